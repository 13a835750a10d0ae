"""Sentences that set models against each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from evalkit import card as cards
from evalkit.card import audit
from evalkit.card.audit.claims import _labelled
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


@pytest.fixture(scope="module")
def by_task(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A run whose candidate is better on one task by far, where all else is a weak judge's."""
    plan = Plan(samples=(60, 40, 200), advantage=0.3)
    run = build_run(tmp_path_factory.mktemp("runs") / "weak", plan)
    return Evidence(list(run_facts(run)), [run], ["run weak"])


def test_a_place_is_read_as_reports_label_it(by_task: Evidence) -> None:
    """Evalkit's own sentences, in the card that it writes."""
    text = cards.Card(cards.gather(by_task.runs), "quick-lora").text()
    found = audit.audit(audit.parse_card(text), by_task).claims
    assert found
    for claim in found:
        assert "quick-lora is better than smollm2 on lm-eval: " in claim.text
        assert claim.answer == "supported"
        assert claim.reasons == (claim.text,)


def test_a_label_that_begins_another_is_not_read_in_it(by_task: Evidence) -> None:
    (run,) = by_task.runs
    tasks = {e.task for e in run.estimates if e.benchmark == "lm_eval"}
    task = sorted(tasks)[0]
    longer = [replace(e, task=f"{task} hard") for e in run.estimates if e.task == task]
    both = replace(run, estimates=(*run.estimates, *longer))
    said = f"quick-lora beats smollm2 on lm-eval: {task}"
    assert list(_labelled(f"{said} hard.", "quick-lora", [both])) == [f"lm_eval/{task} hard"]
    assert list(_labelled(f"{said}: +1.", "quick-lora", [both])) == [f"lm_eval/{task}"]
    assert list(_labelled(f"{said}x.", "quick-lora", [both])) == []


def test_the_same_claim_twice_is_checked_once(audit_text: AuditCard) -> None:
    text = "It outperforms Claude 2 on AlpacaEval."
    assert len(audit_text(f"{TITLE}{text}\n\n{text}\n").claims) == 1
