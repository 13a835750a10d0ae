"""Claims: what their sentences mean, and whether the data carry them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import compare
from evalkit.compare.claim_text import Claim, Names, Place, parse
from evalkit.core import Run, Score
from evalkit.errors import ComparisonError
from tests.support.runs import Plan, build_run

KNOWN = Names(
    ("A", "B", "model on steam", "C and D"),
    {"alpaca_eval": Place("alpaca_eval"), "AlpacaEval": Place("alpaca_eval"),
     "lm_eval/gsm8k": Place("lm_eval", "gsm8k"),
     "lm_eval/gsm8k acc": Place("lm_eval", "gsm8k", "acc")},
)  # fmt: skip
ALPACA = (Place("alpaca_eval"),)


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("A beats B on alpaca_eval", Claim("A", "better", ("B",), None, ALPACA)),
        ("a Surpasses b on AlpacaEval.", Claim("A", "better", ("B",), None, ALPACA)),
        ("A outperforms B, C and D", Claim("A", "better", ("B", "C and D"), None, ())),
        ("A is better than both B and C and D on all benchmarks",
         Claim("A", "better", ("B", "C and D"), None, ())),
        ("A is worse than B", Claim("A", "worse", ("B",), None, ())),
        ("A matches B within 3 points on alpaca_eval", Claim("A", "equal", ("B",), 3, ALPACA)),
        ("A is on par with B on alpaca_eval within 2.5%", Claim("A", "equal", ("B",), 2.5, ALPACA)),
        ("A is not worse than B by more than 3 percentage points",
         Claim("A", "not_worse", ("B",), 3, ())),
        ("A is the best on lm_eval/gsm8k",
         Claim("A", "best", (), None, (Place("lm_eval", "gsm8k"),))),
        ("model on steam beats B on lm_eval/gsm8k acc and alpaca_eval",
         Claim("model on steam", "better", ("B",), None,
               (Place("lm_eval", "gsm8k", "acc"), *ALPACA))),
        ("A ties with B within 3 on alpaca_eval", Claim("A", "equal", ("B",), 3, ALPACA)),
        ("A is comparable to B", Claim("A", "equal", ("B",), None, ())),
        ("A beats model on steam", Claim("A", "better", ("model on steam",), None, ())),
    ],
)  # fmt: skip
def test_forms(text: str, claim: Claim) -> None:
    assert parse(text, KNOWN) == claim


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A is nice", "expected one of"),
        ("X beats B", "no model is called 'X'"),
        ("A beats X", "no model is called 'X'; expected one of: A, B"),
        ("A beats B on arc", "no benchmark is called 'arc'"),
        ("A beats", "names no model"),
        ("A is best B", "against all models"),
        ("A matches B within 1 point within 2 points", "two amounts"),
        ("A beats B within 3 points", "expected 'by more than X points'"),
        ("A beats B by no more than 3 points", "does not go with this relation"),
        ("A beats B by 3 points on alpaca_eval", "expected 'by more than X points'"),
        ("A matches B by more than 3 points", "expected 'within X points or by no more than"),
    ],
)
def test_what_is_no_claim_says_what_is(text: str, said: str) -> None:
    with pytest.raises(ComparisonError, match=said):
        parse(text, KNOWN)


@given(st.text(max_size=60) | st.from_regex(r"A (beats|matches|is best)[ a-zA-Z0-9,.%/]{0,40}"))
def test_any_text_is_a_claim_or_an_error_of_ours(text: str) -> None:
    try:
        found = parse(text, KNOWN)
    except ComparisonError:
        return
    assert found.subject in KNOWN.models
    assert set(found.others) <= set(KNOWN.models)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build_run(tmp_path / "one", Plan(models=("a", "b", "c"), advantage=0.5))


def answer(run: Run, text: str) -> str:
    return compare.check_claim([run], text, compare.Options()).answer


def test_a_better_model_beats_and_is_not_beaten(run: Run) -> None:
    (row,) = (c for c in run.comparisons if (c.baseline, c.task, c.metric) == ("b", "sums", METRIC))
    assert row.low is not None
    assert row.low > 0
    assert answer(run, "a beats b on lm_eval/sums") == "supported"
    assert answer(run, "b beats a on lm_eval/sums") == "contradicted"
    assert answer(run, "a is worse than b on lm_eval/sums") == "contradicted"
    assert answer(run, "a is not worse than b by more than 1 point on lm_eval/sums") == "supported"
    assert answer(run, "b is not worse than a by more than 1 point on lm_eval/sums") == (
        "contradicted"
    )


METRIC = "exact_match,strict-match"


def test_all_parts_must_hold(run: Run) -> None:
    assert answer(run, "b beats c on lm_eval") == "not supported"
    assert answer(run, "a beats b and c on lm_eval/sums") == "supported"
    assert answer(run, "a is best on lm_eval/sums") == "supported"
    assert answer(run, "b is the best on lm_eval/sums") == "contradicted"


def test_on_par_needs_a_margin_and_both_sides(run: Run) -> None:
    assert answer(run, "a matches b on lm_eval/sums") == "not supported"
    assert answer(run, "a matches b within 90 points on lm_eval/sums") == "supported"
    assert answer(run, "a matches b within 1 point on lm_eval/sums") != "supported"
    manifest = dict(run.manifest)
    manifest["suite"] = {**manifest["suite"], "gate": {"margins": {"default": 90.0}}}
    gated = replace(run, manifest=manifest)
    assert answer(gated, "a matches b on lm_eval/sums") == "supported"
    found = compare.check_claim([gated], "a matches b on lm_eval/sums", compare.Options())
    assert "margin 90.00 (of the suite's gate); " in found.reasons[0]


def test_the_suggestion_is_what_the_data_carry(run: Run) -> None:
    found = compare.check_claim([run], "b beats c on lm_eval/sums", compare.Options())
    assert found.answer == "not supported"
    assert "b and c cannot be told apart on lm-eval: sums" in found.suggestion


def test_what_is_not_there_carries_nothing(run: Run) -> None:
    kept = [r for r in run.records if not (r.model == "b" and r.benchmark == "mt_bench")]
    found = compare.check_claim(
        [replace(run, records=tuple(kept))], "a beats b on mt_bench", compare.Options()
    )
    assert found.answer == "not supported"
    assert "no samples of MT-Bench in common" in found.reasons[0]


def test_damaged_evidence_carries_nothing_unless_accepted(run: Run) -> None:
    finding = {"code": "x", "message": "rows repeat", "damaged": True}
    entry = {"model": "a", "entry": "lm_eval", "findings": [finding]}
    damaged = replace(run, manifest={**run.manifest, "evidence": [entry]})
    text = "a beats b on alpaca_eval"
    found = compare.check_claim([damaged], text, compare.Options())
    assert found.answer == "not supported"
    assert "Damaged evidence of a: rows repeat." in found.reasons
    assert found.suggestion == ""
    accepted = compare.check_claim([damaged], text, compare.Options(), accept_damaged=True)
    assert accepted.answer == answer(run, text)


def test_published_figures_carry_no_difference(tmp_path: Path) -> None:
    run = build_run(tmp_path, Plan(published=True))
    found = compare.check_claim(
        [run], "quick-lora beats claude-2 on alpaca_eval", compare.Options()
    )
    assert found.answer == "not supported"
    assert "Only published figures of claude-2" in found.reasons[0]
    assert any("91.38 (https://leaderboard.example" in reason for reason in found.reasons)


def test_lower_is_better_turns_the_sides(run: Run) -> None:
    manifest = {**run.manifest, "benchmarks": [_turned(b) for b in run.manifest["benchmarks"]]}
    turned = replace(run, manifest=manifest)
    assert answer(turned, "b beats a on lm_eval/sums") == "supported"
    assert answer(turned, "a is not worse than b by more than 1 point on lm_eval/sums") == (
        "contradicted"
    )
    assert all(isinstance(s, Score) for r in turned.records for s in r.outcome.scores)


def _turned(entry: dict[str, object]) -> dict[str, object]:
    tasks = entry["tasks"]
    assert isinstance(tasks, dict)
    return {
        **entry,
        "tasks": {
            task: {
                **about,
                "metrics": [{**m, "higher_is_better": False} for m in about["metrics"]],
            }
            for task, about in tasks.items()
        },
    }
