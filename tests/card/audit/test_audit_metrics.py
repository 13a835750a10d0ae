"""One benchmark, several metrics: which of them a number may be of, and which contradicts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.card import audit
from evalkit.card.audit.evidence import Evidence
from evalkit.card.audit.shapes import Audit, Fact
from tests.support.cli import evalkit


def fact(bench: str, metric: str, value: float, unit: str = "percent", shots: int = 5) -> Fact:
    return Fact(
        model="m", names=(), bench=bench, version=None, task=bench, metric=metric, category=None,
        unit=unit, value=value, standard_error=None, n=0, shots=shots, judge=None,
        source="a file", kind="file",
    )  # fmt: skip


def held(heading: str, text: str, *facts: Fact) -> Audit:
    card = f"# m\n\n| Model | {heading} |\n|---|---|\n| m | {text} |\n"
    return audit.audit(audit.parse_card(card), Evidence(list(facts), [], ["a file"]))


@pytest.mark.data
@pytest.mark.slow
def test_every_number_of_a_card_of_all_of_truthfulqa_is_confirmed(
    public_data: Path, tmp_path: Path
) -> None:
    """Notus' file has the group, its three tasks, and BLEU and ROUGE of the written answers."""
    folder = str(public_data / "notus" / "lm_eval_harness")
    assert evalkit(tmp_path, "import", "lm_eval", folder, "--model", "m", "--out", "run").code == 0
    assert evalkit(tmp_path, "card", "write", "run", "--out", "m.md").code == 0
    done = evalkit(tmp_path, "card", "audit", "m.md", "--evidence", "run")
    assert done.code == 0, done.out
    assert "21 numbers: 21 confirmed, 0 contradicted, 0 no evidence" in done.out
    path = tmp_path / "m.md"
    path.write_text(path.read_text().replace("| 46.97<", "| 41.97<").replace("29.892", "28.892"))
    wrong = evalkit(tmp_path, "card", "audit", "m.md", "--evidence", "run")
    assert wrong.code == 1
    assert "TruthfulQA, %: 41.97, evidence has 52.77" in wrong.out
    assert "bleu_max: 28.892398101025726, evidence has 29.892398101025726" in wrong.out


@pytest.mark.parametrize(
    ("heading", "text", "verdict"),
    [
        ("Winogrande (5-shot)", "74.51", "confirmed"),
        ("Winogrande (5-shot)", "70.25", "no evidence"),
        ("Winogrande (5-shot)", "71.25", "contradicted"),
        ("Winogrande (5-shot)", "12.345", "contradicted"),
    ],
)
def test_another_metrics_figure_is_not_contradicted(heading: str, text: str, verdict: str) -> None:
    """Of the same unit; a heading that names no metric may be of either."""
    acc, norm = fact("winogrande", "acc", 74.51), fact("winogrande", "acc_norm", 70.25)
    (number,) = held(heading, text, acc, norm, fact("winogrande", "loss", 12.345, "raw")).numbers
    assert number.verdict == verdict
    if verdict == "no evidence":
        assert number.why.startswith("it is lm-eval: winogrande accuracy, length-normalised, 5 sh")


def test_a_heading_that_names_its_metric_is_of_no_other() -> None:
    both = fact("truthfulqa", "mc1", 35.37, shots=0), fact("truthfulqa", "mc2", 52.77, shots=0)
    (number,) = held("TruthfulQA mc2 (0-shot)", "35.37", *both).numbers
    assert number.verdict == "contradicted"
    (number,) = held("TruthfulQA (0-shot)", "35.37", *both).numbers
    assert number.verdict == "confirmed"


@pytest.mark.parametrize("heading", ["TruthfulQA bleu_max (0-shot)", "TruthfulQA (generation)"])
def test_written_answers_are_called_truthfulqa_too(heading: str) -> None:
    written = fact("truthfulqa_gen", "bleu_max", 29.892, "raw", 0)
    choice = fact("truthfulqa", "mc2", 52.77, shots=0)
    (number,) = held(heading, "29.892", written, choice).numbers
    assert number.verdict == "confirmed"


@pytest.mark.parametrize(
    ("heading", "text", "verdict"),
    [
        ("GSM8K (%)", "0.1516", "contradicted"),
        ("GSM8K (%)", "0.395", "contradicted"),
        ("GSM8K", "0.1516%", "contradicted"),
        ("GSM8K (%)", "~0.1516", "no evidence"),
        ("GSM8K (%)", "0.15", "no evidence"),
        ("GSM8K (%)", "0.2516", "no evidence"),
        ("GSM8K (%)", "0.985", "confirmed"),
        ("GSM8K (%)", "15.16", "confirmed"),
        ("GSM8K", "0.1516", "confirmed"),
        ("GSM8K of ours-extended (%)", "0.1516", "no evidence"),
    ],
)
def test_a_share_below_a_percent_sign_is_wrong_whichever_metric_is_meant(
    heading: str, text: str, verdict: str
) -> None:
    """Unless it is some metric's percentage: 0.985 is one's, and the share of another one's."""
    found = held(
        heading,
        text,
        fact("gsm8k", "exact_match,strict-match", 15.163),
        fact("gsm8k", "exact_match,flexible-extract", 39.5),
        fact("gsm8k", "exact_match,get-answer", 98.5, shots=8),
        fact("gsm8k", "exact_match,strict-match", 0.985, shots=0),
    )
    (number,) = found.numbers
    assert number.verdict == verdict
    if verdict == "contradicted":
        assert number.why == "it is that figure as a share of 1, where percentages are expected"
