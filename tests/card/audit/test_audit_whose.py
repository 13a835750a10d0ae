"""A card's model by another name than the evidence's: said, and told by entries or by the user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from evalkit import card as cards
from evalkit.card import audit
from evalkit.card.audit.evidence import Evidence
from evalkit.card.audit.facts import run_facts
from evalkit.card.audit.shapes import OWN, Audit
from evalkit.errors import DataError
from tests.support.runs import Plan, build_run

RUN = build_run(Path("run"), Plan(published=True, local_judge=False))
KNOWN = Evidence(list(run_facts(RUN)), [RUN], ["run"])
NAME = "my-org/final"
WRITTEN = cards.Card(cards.gather([RUN]), NAME).text()
HAND = """\
# A chat model

| Model | AlpacaEval 1 win rate |
|---|---|
| This model | {} |
| Other | 12.34 |
"""


def held(text: str, *said: str) -> Audit:
    return audit.audit(audit.parse_card(text), KNOWN, audit.by_user(said, KNOWN))


def verdicts(found: Audit) -> set[str]:
    return {n.verdict for n in found.numbers if not n.number.table}


def win_rate() -> str:
    (fact,) = [f for f in KNOWN.facts if (f.model, f.metric) == ("quick-lora", "win_rate")]
    return f"{fact.value:.2f}"


def codes(found: Audit) -> list[str]:
    return [p.code for p in found.problems]


def test_evalkits_own_entries_tell_whose_they_are_whatever_the_card_calls_it() -> None:
    found = held(WRITTEN)
    assert verdicts(found) == {"confirmed"}
    assert "model" not in codes(found)
    assert {n.how[0] for n in found.numbers if not n.number.table} == {
        f"{NAME!r} is said to be quick-lora"
    }
    wrong = WRITTEN.replace(f"value: {win_rate()[:4]}", "value: 1.5", 1)
    assert verdicts(held(wrong)) == {"confirmed", "contradicted"}


def test_entries_of_a_run_that_is_not_there_tell_nothing_and_that_is_said() -> None:
    kept = [line for line in WRITTEN.splitlines() if not line.strip().startswith("run:")]
    other = "\n".join(kept)
    found = held(other)
    assert verdicts(found) == {"no evidence"}
    (remark,) = [p for p in found.problems if p.code == "model"]
    assert not remark.wrong
    assert remark.message.startswith(f"{NAME!r}, the card's own model, is not in the evidence")
    assert remark.message.endswith("say so: --model quick-lora")
    shown = "\n".join(audit.audit_lines(found))
    assert f"no evidence: model-index: no evidence of a model called {NAME!r}" in shown
    assert "no evidence: model-index" in audit.audit_markdown(found)
    assert verdicts(held(other, "quick-lora")) == {"confirmed"}
    assert verdicts(held(other, f"{NAME}=quick-lora")) == {"confirmed"}
    assert verdicts(held(other, "smollm2")) >= {"contradicted"}


def test_a_card_by_hand_is_held_against_the_model_that_is_named() -> None:
    text = HAND.format(win_rate())
    assert [n.verdict for n in held(text).numbers] == ["no evidence"] * 2
    named = held(text, "quick-lora")
    assert [n.verdict for n in named.numbers] == ["confirmed", "no evidence"]
    both = held(text, "quick-lora", "Other=smollm2")
    assert [n.verdict for n in both.numbers] == ["confirmed", "contradicted"]
    assert both.numbers[1].how[0] == "'Other' is said to be smollm2"


def test_what_the_words_of_a_name_mean_is_not_overruled_by_entries() -> None:
    found = held(WRITTEN.replace(f"name: {NAME}", "name: smollm2"))
    assert "contradicted" in verdicts(found)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (("nobody",), r"'nobody': the evidence has no such model; .*one of: quick-lora, smollm2"),
        (("x=nobody",), r"'x=nobody': the evidence has no such model"),
        (("misspelt=quick-lora",), r"no figures of a model 'misspelt'; it names A chat model, "),
        (("Other=smollm2", "Other=quick-lora"), r"'Other' cannot be both 'smollm2' and 'quick-"),
    ],
)
def test_a_model_that_is_nowhere_is_the_users_error(said: Sequence[str], error: str) -> None:
    with pytest.raises(DataError, match=error):
        held(HAND.format("1.00"), *said)


def test_names_with_equals_signs_are_told_apart_by_the_models_there_are() -> None:
    assert audit.by_user(["a=b=smollm2"], KNOWN) == {"a=b": "smollm2"}
    assert audit.by_user(["smollm2"], KNOWN) == {OWN: "smollm2"}


def test_no_more_than_a_few_reasons_are_listed() -> None:
    rows = "\n".join(f"| model {i} | {i}.00 |" for i in range(9))
    found = held(f"# M\n\n| Model | AlpacaEval 1 |\n|---|---|\n{rows}\n")
    lines = [line for line in audit.audit_lines(found) if line.startswith("no evidence: ")]
    assert len(lines) == 6
    assert lines[-1] == "no evidence: 4 more numbers, for 4 other reasons: see --all"
