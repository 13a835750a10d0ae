"""Cards of many habits, held against published figures: what is read, found, and not accused.

Figures are public ones: the tables that alpaca-eval ships, the cards and papers that
`evidence.yaml` names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.card import audit
from evalkit.card.audit import Audit, Evidence
from tests.support.terminal import screen

CARDS = Path(__file__).parent / "cards"
AuditCard = Callable[[str], Audit]
VERDICTS = ("confirmed", "contradicted", "differs", "no evidence")

COUNTS: dict[str, tuple[int, int, int, int]] = {
    "board_v1": (0, 0, 0, 7),
    "board_v2": (0, 0, 0, 7),
    "checkpoints": (2, 0, 0, 7),
    "chinese": (6, 0, 0, 0),
    "german": (4, 0, 0, 0),
    "html_table": (6, 0, 0, 0),
    "index_only": (4, 0, 0, 0),
    "latex_sections": (5, 0, 0, 0),
    "lm_eval_output": (3, 0, 0, 1),
    "mixed_units": (10, 0, 0, 0),
    "mixed_units_right": (10, 0, 0, 0),
    "mt_bench": (1, 0, 0, 13),
    "not_the_same": (0, 0, 1, 19),
    "own_measurements": (6, 0, 2, 4),
    "plus_minus": (8, 0, 0, 2),
    "references": (0, 0, 0, 15),
    "several_tables": (7, 0, 0, 3),
    "swapped": (10, 2, 1, 5),
    "swapped_right": (13, 0, 0, 5),
    "training": (0, 0, 0, 0),
    "transposed": (12, 0, 0, 2),
    "two_headings": (12, 0, 0, 0),
}
"""By card how many numbers get each verdict."""


def test_every_card_of_the_folder_is_looked_at() -> None:
    assert {path.stem for path in CARDS.glob("*.md")} == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_each_number_gets_its_verdict(audit_file: AuditCard, name: str) -> None:
    found = audit_file(name)
    verdicts: list[str] = [n.verdict for n in found.numbers]
    assert tuple(verdicts.count(v) for v in VERDICTS) == COUNTS[name]
    assert [r for r in found.remarks if r.wrong] == []
    assert found.contradicted == (name == "swapped")
    assert all(n.how for n in found.numbers)


def test_two_swapped_rows_are_called_wrong_and_another_sizes_figure_is_a_note(
    audit_file: AuditCard,
) -> None:
    found = {n.stated.text: n for n in audit_file("swapped").numbers if n.verdict != "confirmed"}
    assert found["95.03"].verdict == found["95.28"].verdict == "contradicted"
    assert "it stands in the row of 'Tülu 2+DPO 70B V0.1'" in found["95.03"].how
    assert "95.28 (alpaca_eval" in found["95.03"].how
    assert found["6.29"].verdict == "differs"
    assert "7.89 (https://arxiv.org/abs/2311.10702" in found["6.29"].how


# --- small cards, each of a kind that went wrong once ---------------------------------------------


def wrong(found: Audit) -> list[str]:
    return [r.message for r in found.remarks if r.wrong]


def test_settings_in_a_heading_drop_no_column_from_a_mean(audit_text: AuditCard) -> None:
    text = (
        "| Model | Average | ARC (25-s) | MMLU (5-s) | TruthfulQA (MC) (0-s) |\n"
        "|---|---|---|---|---|\n"
        "| a | 60.00 | 50.00 | 60.00 | 70.00 |\n| b | {} | 51.00 | 62.00 | 73.00 |\n"
    )
    assert wrong(audit_text(text.format("62.00"))) == []
    (said,) = wrong(audit_text(text.format("67.00")))
    assert "Average is 67.00, but the mean of its 3 parts (51.00, 62.00, 73.00) is 62.00" in said


def test_index_and_table_that_state_the_same_settings_must_agree(audit_text: AuditCard) -> None:
    text = (
        "---\nmodel-index:\n- name: m\n  results:\n  - dataset: {{name: HellaSwag (10-Shot)}}\n"
        "    metrics: [{{type: acc_norm, value: {}}}]\n---\n# m\n\n"
        "| Metric | Value |\n|---|---|\n| HellaSwag ({}-Shot) | {} |\n"
    )
    (said,) = wrong(audit_text(text.format(82.36, 10, 84.36)))
    assert said.startswith("model-index, line 6 gives 82.36")
    assert "table 1, line 12 gives 84.36" in said
    for right in ((84.36, 10, "84.4"), (0.8436, 10, "84.36%"), (82.36, 0, 84.36)):
        assert wrong(audit_text(text.format(*right))) == []


def test_a_fenced_table_is_read_with_the_average_below_it(audit_text: AuditCard) -> None:
    text = (
        "# m\n\n```\n|    Task     |Version| Metric |Value |   |Stderr|\n"
        "|-------------|------:|--------|-----:|---|-----:|\n"
        "|arc_challenge|      0|acc     |0.5990|±  |0.0143|\n"
        "|             |       |acc_norm|0.6425|±  |0.0140|\n```\nAverage: {}\n"
    )
    found = audit_text(text.format("75.70"))
    assert [(n.stated.text, n.stated.line) for n in found.numbers] == [("0.5990", 6), ("0.6425", 7)]
    assert "the average 75.70 does not follow from it" in wrong(found)[0]
    assert wrong(audit_text(text.format("64.25"))) == []


@pytest.mark.parametrize(
    "name",
    ["GPT-4", "Claude-2", "Llama-2-70b-chat-hf", "meta-llama/Llama-2-70b-chat-hf",
     "Xwin-LM-70B-V0.1", "$\\text{Zephyr-7B-}\\beta$", "Zephyr-7B-β", "WizardLM-13B-V1.2"],
)  # fmt: skip
def test_official_names_find_their_row(audit_text: AuditCard, name: str) -> None:
    figures = {"gpt": "95.28", "cla": "91.36", "lla": "92.66", "met": "92.66", "xwi": "95.57",
               "$\\t": "90.60", "zep": "90.60", "wiz": "89.17"}  # fmt: skip
    number = figures[name[:3].lower()]
    found = audit_text(f"| Model | AlpacaEval 1 (win rate %) |\n|---|---|\n| {name} | {number} |\n")
    assert [n.verdict for n in found.numbers] == ["confirmed"]


@pytest.mark.parametrize(
    "name",
    ["zephyr-7b-beta-q4", "my-zephyr (HuggingFaceH4/zephyr-7b-beta)", "Claude", "GPT-4 fine"],
)
def test_no_name_is_matched_by_a_part(audit_text: AuditCard, name: str) -> None:
    found = audit_text(f"| Model | AlpacaEval 1 |\n|---|---|\n| {name} | 12.34 |\n")
    assert [n.verdict for n in found.numbers] == ["no evidence"]


def test_published_figures_of_ones_own_are_a_note(audit_text: AuditCard) -> None:
    text = (
        "| Model | AlpacaEval (win rate %) |\n|---|---|\n| GPT-4 | 95.28 |\n| Claude-2 | 91.36 |\n"
        "| Tulu-2-dpo-70b | 95.1 |\n| Tulu-2-dpo-7b | 85.1 |\n"
    )
    found = audit_text(text)
    assert [n.verdict for n in found.numbers] == ["confirmed"] * 2 + ["differs"] * 2
    assert not found.contradicted
    lines = screen(audit.audit_lines(found))
    assert any(s.startswith("note: table 1, line 5") and "differs from" in s for s in lines)


def test_metrics_of_different_scales_are_no_mixed_units(audit_text: AuditCard) -> None:
    head = "| Tasks | Filter | Metric | Value |  | Stderr |\n|---|---|---|---|---|---|\n"
    bleu = head + (
        "| truthfulqa | none | bleu_max | 26.0803 | ± | 0.6528 |\n"
        "| - truthfulqa_mc1 | none | acc | 0.4198 | ± | 0.0173 |\n"
        "| winogrande | none | acc | 0.7609 | ± | 0.0120 |\n"
    )
    assert [r.code for r in audit_text(bleu).remarks if r.code == "units"] == []
    mixed = (
        "| Model | MMLU | Winogrande |\n|---|---|---|\n| a | 0.63 | 79.4 |\n| b | 61.0 | 77.7 |\n"
    )
    (units,) = [r for r in audit_text(mixed).remarks if r.code == "units"]
    assert not units.wrong
    assert "a 0.63" in units.message


def test_claims_are_read_right_or_left_alone(audit_text: AuditCard) -> None:
    text = (
        "# some-model-7b\n\nClaude 2 is beaten by GPT-4 on AlpacaEval 1.\n\n"
        "GPT-4 was not overtaken by Claude 2 on AlpacaEval 1.\n\n"
        "Claude 2 beats GPT-4 on AlpacaEval 1.\n\n"
        "Zephyr-7B-beta outperforms LLaMA2-Chat-70B on the roleplay part of MT-Bench.\n\n"
        "Does Claude 2 beat GPT-4 on AlpacaEval 1? We doubt it.\n\n"
        "Some-model-7b is cheaper than GPT-4 and outperforms it in speed.\n\n"
        "Claude 2 outperforms GPT-4 on AlpacaEval 2 when length is controlled.\n"
    )
    found = audit_text(text)
    assert [c.answer for c in found.claims] == (
        ["consistent", "consistent", "not supported", *["not checked"] * 4]
    )
    assert not found.contradicted


def test_other_versions_and_extensions_are_other_benchmarks(audit_text: AuditCard) -> None:
    text = (
        "# M-7B\n\nM-7B scores 91.4 on AlpacaEval. M-7B scores 60.1 on HumanEval.\n\n"
        "| Model | AlpacaEval 2.0 | HumanEval+ |\n|---|---|---|\n| M-7B | 24.31 | 55.55 |\n"
    )
    found = audit_text(text)
    assert [c.answer for c in found.claims] == ["not checked"] * 2
    assert not found.contradicted


def test_places_that_differ_in_much_are_two_measurements(audit_text: AuditCard) -> None:
    """The leaderboard's figures in the index, one's own harness in the table."""
    entry = "  - dataset: {{name: {} (5-shot)}}\n    metrics: [{{type: acc, value: {}}}]\n"
    index = "".join(entry.format(*p) for p in (("MMLU", 63.03), ("Winogrande", 79.4)))
    text = (
        f"---\nmodel-index:\n- name: m\n  results:\n{index}---\n# m\n\n"
        "| Metric | Value |\n|---|---|\n"
        "| MMLU (5-shot) | 61.69 |\n| Winogrande (5-shot) | 74.51 |\n"
    )
    assert wrong(audit_text(text)) == []


# --- notes ----------------------------------------------------------------------------------------


def notes(found: Audit, code: str) -> list[str]:
    return [r.message for r in found.remarks if r.code == code and not r.wrong]


def test_bold_is_checked_only_where_it_is_said_to_mark_the_best(audit_text: AuditCard) -> None:
    table = "| Model | MT-Bench |\n|---|---|\n| a | **7.4** |\n| b | 7.5 |\n"
    assert len(notes(audit_text(f"{table}\nBest results are in bold."), "bold")) == 1
    assert notes(audit_text(table), "bold") == []
    lower = table.replace("MT-Bench", "MMLU error ↓")
    assert notes(audit_text(f"{lower}\nBest results are in bold."), "bold") == []


def test_missing_settings_and_an_empty_index_are_notes(audit_file: AuditCard) -> None:
    found = audit_file("swapped_right")
    assert notes(found, "settings") == [
        "table 1 does not say which version of AlpacaEval; who judged"
    ]
    assert len(notes(found, "empty_index")) == 1
    assert notes(audit_file("plus_minus"), "settings") == []


def test_tables_that_are_not_read_are_named_with_the_reason(audit_file: AuditCard) -> None:
    unread = audit_file("training").unread
    assert (unread[0].table, unread[0].why) == (1, "no benchmark that evalkit knows is named in it")


def test_without_any_evidence_a_card_is_read_all_the_same() -> None:
    found = audit.audit(audit.read_card(CARDS / "transposed.md"), Evidence())
    assert len(found.numbers) == 14
    assert not found.contradicted
