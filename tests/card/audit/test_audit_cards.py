"""Cards of many habits, held against published figures: what is found, and no false alarm.

Figures are public ones: the tables that alpaca-eval ships, the cards and papers that
`evidence.yaml` names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.card.audit.shapes import Audit

CARDS = Path(__file__).parent / "cards"
AuditCard = Callable[[str], Audit]

COUNTS: dict[str, tuple[int, int, int]] = {
    "board_v1": (7, 0, 0),
    "board_v2": (0, 0, 7),
    "checkpoints": (3, 0, 6),
    "chinese": (6, 0, 0),
    "german": (4, 0, 0),
    "html_table": (6, 0, 0),
    "index_only": (4, 0, 0),
    "latex_sections": (5, 0, 0),
    "lm_eval_output": (3, 0, 1),
    "mixed_units": (10, 0, 0),
    "mixed_units_right": (10, 0, 0),
    "mt_bench": (1, 0, 13),
    "not_the_same": (0, 0, 20),
    "own_measurements": (6, 0, 6),
    "plus_minus": (8, 0, 2),
    "references": (4, 1, 10),
    "several_tables": (10, 0, 0),
    "swapped": (12, 3, 3),
    "swapped_right": (15, 0, 3),
    "training": (0, 0, 0),
    "transposed": (14, 0, 0),
    "two_headings": (12, 0, 0),
}
"""Confirmed, contradicted, no evidence: counted by hand in the cards."""
WRONG = {"mixed_units": {"units"}, "swapped": {"order"}}
"""Errors of a card by itself."""


def test_every_card_of_the_folder_is_looked_at() -> None:
    assert {path.stem for path in CARDS.glob("*.md")} == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_each_number_gets_its_verdict(audit_file: AuditCard, name: str) -> None:
    found = audit_file(name)
    verdicts = [n.verdict for n in found.numbers]
    counted = tuple(verdicts.count(v) for v in ("confirmed", "contradicted", "no evidence"))
    assert counted == COUNTS[name]
    assert {p.code for p in found.problems if p.wrong} == WRONG.get(name, set())
    assert found.contradicted == (counted[1] > 0 or name in WRONG)


@pytest.mark.parametrize("name", COUNTS)
def test_each_verdict_says_how_or_why(audit_file: AuditCard, name: str) -> None:
    for checked in audit_file(name).numbers:
        if checked.verdict == "no evidence":
            assert checked.why
        else:
            assert len(checked.how) == 3
            assert checked.fact is not None
            assert checked.fact.source
        assert bool(checked.right) == (checked.verdict == "contradicted")


def test_two_swapped_win_rates_are_called_swapped(audit_file: AuditCard) -> None:
    wrong = {n.number.text: n for n in audit_file("swapped").numbers if n.verdict == "contradicted"}
    assert wrong["95.03"].right == "95.28"
    assert wrong["95.03"].why == "swapped with 'Tülu 2+DPO 70B V0.1'"
    assert wrong["95.28"].right == "95.03"
    assert wrong["95.28"].why == "swapped with 'GPT-4'"
    assert wrong["95.28"].fact is not None
    assert "row 'tulu-2-dpo-70b'" in wrong["95.28"].fact.source


def test_the_score_of_another_size_is_recognised(audit_file: AuditCard) -> None:
    wrong = [n for n in audit_file("swapped").numbers if n.number.text == "6.29"]
    assert [n.right for n in wrong] == ["7.89"]
    assert "figure of tulu-2-dpo-7b, another size (6.29," in wrong[0].why


def test_an_empty_index_beside_results_is_remarked(audit_file: AuditCard) -> None:
    for name in ("swapped", "swapped_right"):
        remarks = [p.code for p in audit_file(name).problems if not p.wrong]
        assert "empty_index" in remarks


def test_missing_settings_are_remarked(audit_file: AuditCard) -> None:
    said = [p.message for p in audit_file("swapped_right").problems if p.code == "settings"]
    version = "which version of AlpacaEval (by its figures 1)"
    judged = "who judged MT-Bench and AlpacaEval; on how many samples"
    assert said == [f"table 1 does not say {version}; {judged}"]
    assert not [p for p in audit_file("plus_minus").problems if p.code == "settings"]


SHORT = """
| Model | AlpacaEval (win rate %) |
| --- | ---: |
| GPT-4 | {} |
| Tulu-2-DPO-70B | {} |
"""


def test_a_swap_is_found_in_a_table_of_two_rows(audit_text: AuditCard) -> None:
    """Each other's figure, to the last digit, is no measurement of one's own."""
    right = audit_text(SHORT.format("95.28", "95.03"))
    assert [n.verdict for n in right.numbers] == ["confirmed", "confirmed"]
    wrong = audit_text(SHORT.format("95.03", "95.28"))
    assert [(n.verdict, n.right) for n in wrong.numbers] == [
        ("contradicted", "95.28"),
        ("contradicted", "95.03"),
    ]
    assert wrong.numbers[0].why == "swapped with 'Tulu-2-DPO-70B'"


def test_one_figure_that_differs_in_so_short_a_table_contradicts_nothing(
    audit_text: AuditCard,
) -> None:
    found = audit_text(SHORT.format("94.10", "95.03"))
    assert [n.verdict for n in found.numbers] == ["no evidence", "confirmed"]
