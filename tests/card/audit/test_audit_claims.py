"""Sentences that set models against each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evalkit.card import audit
from evalkit.card.audit.evidence import Evidence
from evalkit.card.audit.facts import run_facts
from evalkit.card.audit.shapes import Audit
from tests.support.runs import Plan, build_run

AuditCard = Callable[[str], Audit]
TITLE = "# notus-7b-v1\n\n"


@pytest.mark.parametrize(
    ("sentence", "answer"),
    [
        ("Notus 7B v1 surpasses Zephyr-7B-beta on AlpacaEval.", "not supported"),
        ("It outperforms Claude 2 on AlpacaEval.", "not supported"),
        ("It is on par with Claude 2 on AlpacaEval.", "not supported"),
        ("notus-7b-v1 beats GPT-4 on AlpacaEval.", "contradicted"),
        ("Our model outperforms claude-2 on MT-Bench", "contradicted"),
        ("It surpasses Zephyr-7B-beta.", "not supported"),
        ("GPT-4 outperforms Claude 2 on AlpacaEval.", "not supported"),
        ("Claude 2 outperforms GPT-4 on AlpacaEval.", "contradicted"),
        ("It is the best 7B model on AlpacaEval.", "not supported"),
    ],
)
def test_published_figures_carry_no_claim(
    audit_text: AuditCard, sentence: str, answer: str
) -> None:
    (claim,) = audit_text(TITLE + sentence).claims
    assert claim.answer == answer
    assert claim.reasons


@pytest.mark.parametrize(
    "sentence",
    [
        "It does not outperform GPT-4 on AlpacaEval.",
        "It could surpass GPT-4 on AlpacaEval.",
        "Can it beat GPT-4 on AlpacaEval?",
        "We hope that it beats GPT-4.",
        "It never beats GPT-4 on AlpacaEval.",
        "The weather was better than yesterday.",
        "Some other model beats an unknown one on AlpacaEval.",
        "This dataset outperforms the previous one.",
        "GPT-4 and Claude 2 beat GPT-4 on AlpacaEval.",
    ],
)
def test_sentences_that_claim_nothing_here(audit_text: AuditCard, sentence: str) -> None:
    assert audit_text(TITLE + sentence).claims == ()


def test_a_card_that_shows_a_better_model_is_not_of_the_best(audit_text: AuditCard) -> None:
    rows = "| Starling-LM-7B-alpha | 91.9 |\n| Mistral-7B-ReMax-v0.1 | 94.40 |\n"
    table = f"\n\n| Model | AlpacaEval 1 |\n|---|---|\n{rows}"
    (claim,) = audit_text(f"{TITLE}It is the best 7B model on AlpacaEval.{table}").claims
    assert claim.answer == "contradicted"
    assert "Mistral-7B-ReMax-v0.1 94.40" in claim.reasons[0]


@pytest.fixture(scope="module")
def with_samples(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A run in which the candidate is better by far on AlpacaEval, and unclear on MT-Bench."""
    folder = tmp_path_factory.mktemp("runs")
    plan = Plan(samples=(200, 40, 200), advantage=0.3, local_judge=False)
    clear = build_run(folder / "clear", plan)
    return Evidence(list(run_facts(clear)), [clear], ["run clear"])


def answer(evidence: Evidence, sentence: str) -> str:
    card = audit.parse_card(f"# quick-lora\n\n{sentence}\n")
    (claim,) = audit.audit(card, evidence).claims
    return claim.answer


def test_samples_decide_where_there_are_some(with_samples: Evidence) -> None:
    assert answer(with_samples, "quick-lora beats smollm2 on AlpacaEval.") == "supported"
    assert answer(with_samples, "It outperforms smollm2 on MT-Bench.") == "not supported"
    assert answer(with_samples, "smollm2 beats quick-lora on AlpacaEval.") == "contradicted"
    assert answer(with_samples, "It is on par with smollm2 on AlpacaEval.") == "not supported"


def test_the_reason_of_samples_is_the_comparison(with_samples: Evidence) -> None:
    card = audit.parse_card("# quick-lora\n\nIt beats smollm2 on AlpacaEval.\n")
    (claim,) = audit.audit(card, with_samples).claims
    assert claim.reasons[0].startswith("quick-lora is better than smollm2 on AlpacaEval: +")


def test_the_same_claim_twice_is_checked_once(audit_text: AuditCard) -> None:
    text = "It outperforms Claude 2 on AlpacaEval."
    assert len(audit_text(f"{TITLE}{text}\n\n{text}\n").claims) == 1
