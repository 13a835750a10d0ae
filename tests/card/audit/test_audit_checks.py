"""Order, ranks, bold, averages, units, the index, settings: a card against itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from evalkit.card import audit
from evalkit.card.audit.evidence import Evidence
from evalkit.card.audit.shapes import Audit

AuditCard = Callable[[str], Audit]


def codes(found: Audit) -> list[str]:
    return [p.code for p in found.problems if p.wrong]


def ordered(text: str, values: tuple[str, ...], heading: str = "MT-Bench") -> str:
    rows = "\n".join(f"| model-{i} | {v} |" for i, v in enumerate(values))
    return f"{text}\n\n| Model | {heading} |\n|---|---|\n{rows}\n"


SORTED = "Rows are sorted by MT-Bench."


@pytest.mark.parametrize(
    ("text", "values", "wrong"),
    [
        (SORTED, ("7.5", "7.4", "7.4", "6"), 0),
        (SORTED, ("7.5", "7.6", "7.4"), 1),
        (SORTED, ("7.42", "7.5", "7.4"), 1),
        (SORTED, ("7.5", "7.52", "7.4"), 0),
        (SORTED, ("7.5", "-", "7.4"), 0),
        ("Models in descending order of MT-Bench", ("7.5", "7.6"), 1),
        ("Models in ascending order of MT-Bench", ("7.5", "7.6"), 0),
        ("Models in ascending order of MT-Bench", ("7.6", "7.5"), 1),
        ("Sorted by size.", ("7.5", "7.6"), 0),
        ("Sorted by AlpacaEval.", ("7.5", "7.6"), 0),
        ("Nothing is said of order.", ("7.5", "7.6"), 0),
        ("We sorted prompts by length.", ("7.5", "7.6"), 0),
    ],
)
def test_rows_are_held_against_the_order_that_is_stated(
    audit_text: AuditCard, text: str, values: tuple[str, ...], wrong: int
) -> None:
    assert codes(audit_text(ordered(text, values))) == ["order"] * wrong


def test_a_column_of_ranks_states_an_order(audit_text: AuditCard) -> None:
    table = "| Rank | Model | MT-Bench |\n|---|---|---|\n| 1 | a | {} |\n| 2 | b | {} |\n"
    assert codes(audit_text(table.format("7.5", "7.4"))) == []
    assert codes(audit_text(table.format("7.4", "7.5"))) == ["order"]
    head = "| # | Model | MT-Bench | ARC |\n|---|---|---|---|\n"
    two = f"{head}| 1 | a | 7.4 | 60 |\n| 2 | b | 7.5 | 50 |"
    assert codes(audit_text(two)) == []


def test_text_between_two_tables_may_speak_of_the_next(audit_text: AuditCard) -> None:
    rising, falling = ("7.4", "7.5"), ("7.5", "7.4")
    first = ordered("", rising)
    assert codes(audit_text(first + ordered("\nThe next is sorted by MT-Bench:", falling))) == []
    assert codes(audit_text(f"{first}\n\nRows are sorted by MT-Bench.\n")) == ["order"]
    above = "\nThe table above is sorted by MT-Bench."
    assert codes(audit_text(ordered("", falling) + ordered(above, rising))) == []


def test_a_triangle_marks_the_sorted_column(audit_text: AuditCard) -> None:
    rising = ("7.4", "7.5")
    assert codes(audit_text(ordered("", rising, "MT-Bench ▼"))) == ["order"]
    assert codes(audit_text(ordered("", rising, "MT-Bench ▲"))) == []
    assert codes(audit_text(ordered("", rising, "MT-Bench ↓"))) == []


def test_bold_is_checked_only_where_it_is_said_to_mark_the_best(audit_text: AuditCard) -> None:
    table = "| Model | MT-Bench |\n|---|---|\n| a | **7.4** |\n| b | 7.5 |\n"
    assert codes(audit_text(f"{table}\nBest results are in bold.")) == ["bold"]
    assert codes(audit_text(table)) == []
    fair = table.replace("7.4", "7.6")
    assert codes(audit_text(f"{fair}\nBest results are in bold.")) == []


BOARD = (
    "| Model | Average | ARC | HellaSwag | MMLU | TruthfulQA | Winogrande | GSM8K |\n" + "|---" * 8
)


@pytest.mark.parametrize(
    ("average", "wrong"), [("60.22", 0), ("60.2", 0), ("60", 0), ("61.22", 1), ("60.32", 1)]
)
def test_the_average_of_a_whole_leaderboard(
    audit_text: AuditCard, average: str, wrong: int
) -> None:
    row = f"| mine | {average} | 64.59 | 84.78 | 63.03 | 54.37 | 79.40 | 15.16 |"
    assert codes(audit_text(f"{BOARD}|\n{row}\n")) == ["average"] * wrong


def test_averages_of_unknown_parts_are_left_alone(audit_text: AuditCard) -> None:
    head = "| Model | Average | ARC | HellaSwag |\n|---|---|---|---|\n"
    assert codes(audit_text(f"{head}| a | 70.0 | 50.0 | 60.0 |\n")) == []
    follow = "| b | 55.0 | 50.0 | 60.0 |\n| c | 45.0 | 40.0 | 50.0 |\n"
    assert codes(audit_text(f"{head}| a | 70.0 | 50.0 | 60.0 |\n{follow}")) == ["average"]
    partial = "| a | 55.0 | 55.0 | - |\n"
    assert codes(audit_text(f"{head}{partial}{follow}")) == []


def test_the_mean_of_two_turns(audit_text: AuditCard) -> None:
    head = "## MT-Bench\n\n| Model | Turn 1 | Turn 2 | Average |\n|---|---|---|---|\n"
    assert codes(audit_text(f"{head}| a | 7.62 | 6.90 | 7.26 |\n")) == []
    assert codes(audit_text(f"{head}| a | 7.62 | 6.90 | 7.66 |\n")) == ["average"]


def test_low_percentages_are_no_shares(audit_text: AuditCard) -> None:
    table = "| Model | GSM8K | DROP |\n|---|---|---|\n| a | 0.98 | 0.45 |\n| b | 35.20 | 12.30 |\n"
    assert codes(audit_text(table)) == []


COLUMN = "# notus-7b-v1\n\n| Model | {} |\n|---|---|\n| {} | {} |\n| zephyr-7b-beta | {} |\n"


@pytest.mark.parametrize(
    ("heading", "model", "first", "second", "wrong"),
    [
        ("AlpacaEval 1", "notus-7b-v1", "0.91", "90.60", ["units"]),
        ("AlpacaEval 1", "notus-7b-v1", "0.914", "90.60%", ["units"]),
        ("AlpacaEval 1", "notus-7b-v1", "91.42", "0.906", ["units"]),
        ("AlpacaEval 1", "notus-7b-v1", "91.42", "90.60", []),
        ("AlpacaEval 1", "notus-7b-v1", "0.914", "0.906", []),
        ("AlpacaEval 1", "a-tiny-model", "0.91", "90.60", []),
        ("AlpacaEval 1", "notus-7b-v1", "0.9", "90.60", []),
        ("GSM8K", "a-tiny-model", "0.91", "12.74", []),
        ("DROP", "a-tiny-model", "0.15", "9.66", []),
    ],
)
def test_one_share_in_a_column_of_percentages_is_known_by_the_evidence(
    audit_text: AuditCard, heading: str, model: str, first: str, second: str, wrong: list[str]
) -> None:
    """A figure of 0.91% may be real: only where the evidence has 91 is it a share."""
    found = audit_text(COLUMN.format(heading, model, first, second))
    assert codes(found) == wrong
    assert "contradicted" not in {n.verdict for n in found.numbers}


def test_one_share_below_a_heading_of_percent_is_contradicted(audit_text: AuditCard) -> None:
    found = audit_text(COLUMN.format("AlpacaEval 1 win rate (%)", "notus-7b-v1", "0.91", "90.60"))
    assert [(n.verdict, n.right) for n in found.numbers] == [
        ("contradicted", "91.42"),
        ("confirmed", ""),
    ]
    assert found.numbers[0].why.startswith("it is that figure as a share of 1")


def test_shares_beside_percentages_are_found_in_a_transposed_table(audit_text: AuditCard) -> None:
    table = "# T\n\n| Benchmark | notus-7b-v1 | zephyr-7b-beta |\n|---|---|---|\n"
    rows = "| AlpacaEval 1 | {} | 90.60 |\n| MT-Bench | 7.30 | 7.34 |\n"
    assert codes(audit_text(table + rows.format("0.91"))) == ["units"]
    assert codes(audit_text(table + rows.format("91.42"))) == []


@pytest.mark.parametrize(
    ("odd", "wrong"), [("0.9141", ["units"]), ("0.914", []), ("0.8123", []), ("91.4", [])]
)
def test_a_share_is_known_by_the_rest_of_its_column(
    audit_text: AuditCard, odd: str, wrong: list[str]
) -> None:
    """Finer by two digits than all others, and among them times 100."""
    table = "| Model | AlpacaEval 1 |\n|---|---|\n| mine | {} |\n| a | 95.10 |\n| b | 90.10 |\n"
    assert codes(audit_text(table.format(odd))) == wrong


INDEX = """---
model-index:
- name: my-model
  results:
  - task: {{type: text-generation}}
    dataset: {{name: ARC (25-shot), type: ai2_arc}}
    metrics: [{{type: acc_norm, value: {}}}]
---
# my-model

| Task | Metric | Value |
|---|---|---|
| ARC (25-shot) | acc_norm | {} |
"""


@pytest.mark.parametrize(
    ("index", "table", "wrong"),
    [
        ("64.59", "64.59", 0),
        ("64.590443", "64.6", 0),
        ("0.64590443", "64.59", 0),
        ("64.59", "0.6459", 0),
        ("'64.59%'", "64.59", 0),
        ("64.59", "62.03", 1),
        ("0.6203", "64.59", 1),
        (".nan", "64.59", 0),
        ("null", "64.59", 0),
    ],
)
def test_tables_are_held_against_the_index(
    audit_text: AuditCard, index: str, table: str, wrong: int
) -> None:
    assert codes(audit_text(INDEX.format(index, table))) == ["index"] * wrong


def test_two_figures_that_the_evidence_has_do_not_contradict_each_other(
    evidence: Evidence,
) -> None:
    alike = next(f for f in evidence.facts if (f.bench, f.metric) == ("arc_challenge", "acc_norm"))
    both = [replace(alike, model="my-model", value=value) for value in (64.59, 62.03)]
    card = audit.parse_card(INDEX.format("64.59", "62.03"))
    assert codes(audit.audit(card, Evidence(both))) == []
    assert codes(audit.audit(card, Evidence(both[:1]))) == ["index"]


def test_the_index_is_not_held_against_checkpoints(audit_text: AuditCard) -> None:
    index = INDEX.format("64.59", "64.59").partition("# my-model")[0]
    steps = "| {} | ARC (25-shot) acc_norm |\n|---|---|\n| {} | 61.00 |\n| {} | 64.59 |\n"
    assert codes(audit_text(f"{index}# my-model\n\n{steps.format('Step', 100, 200)}")) == []
    assert codes(audit_text(f"{index}# my-model\n\n{steps.format('', 'ours', 'ours')}")) == []


def test_an_unreadable_front_matter_is_a_remark(audit_text: AuditCard) -> None:
    found = audit_text("---\na: [1\n---\n# T\n")
    assert [p.code for p in found.problems] == ["front_matter"]
    assert not found.contradicted


@pytest.mark.parametrize(
    "front", ["model-index: 5", "model-index: [1, null]", "model-index: [{results: {a: 1}}]",
              "model-index: [{name: x, results: [{metrics: [{value: {}}], dataset: 7}]}]"],
)  # fmt: skip
def test_an_index_of_any_shape_is_read(audit_text: AuditCard, front: str) -> None:
    assert not audit_text(f"---\n{front}\n---\n# T\n").contradicted
