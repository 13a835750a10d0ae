"""Claims on what is not there, on what has no better side, and names written otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from evalkit import compare
from evalkit.cli.compare import command
from evalkit.compare import ClaimResult
from evalkit.compare.claim_text import Names, Place, parse
from evalkit.core import Estimate, Run
from evalkit.errors import ComparisonError
from tests.support.runs import Plan, build_run
from tests.support.stored import seal


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build_run(tmp_path / "one", Plan(models=("a", "b"), advantage=0.5, local_judge=False))


def claimed(run: Run, text: str) -> ClaimResult:
    return compare.check_claim([run], text, compare.Options())


# --- names ----------------------------------------------------------------------------------

NAMED = Names(
    ("notus-7b-v1", "Claude-2", "RUN:claude_2"),
    {"alpaca_eval": Place("alpaca_eval"), "AlpacaEval": Place("alpaca_eval"),
     "lm_eval/gsm8k": Place("lm_eval", "gsm8k"), "lm-eval/gsm8k": Place("lm_eval", "gsm8k")},
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "Notus 7B v1 beats Claude 2 on alpaca eval",
        "notus_7b_v1 beats claude_2 on Alpaca-Eval",
        "NOTUS-7B-V1 beats CLAUDE-2 on ALPACA_EVAL",
    ],
)
def test_names_may_be_written_with_other_gaps(text: str) -> None:
    claim = parse(text, NAMED)
    assert (claim.subject, claim.others) == ("notus-7b-v1", ("Claude-2",))
    assert claim.places == (Place("alpaca_eval"),)


def test_several_spellings_of_one_place_are_no_ambiguity() -> None:
    claim = parse("notus-7b-v1 beats claude 2 on LM eval/gsm8k", NAMED)
    assert claim.places == (Place("lm_eval", "gsm8k"),)


def test_an_ambiguous_name_lists_the_candidates() -> None:
    names = Names(("a", "claude-2", "Claude_2"), {})
    with pytest.raises(ComparisonError, match="'Claude 2' may be any of 'claude-2', 'Claude_2'"):
        parse("a beats Claude 2", names)
    assert parse("a beats claude_2", names).others == ("Claude_2",)


def test_a_gap_is_not_nothing() -> None:
    with pytest.raises(ComparisonError, match="no model is called 'claude2'"):
        parse("notus-7b-v1 beats claude2", NAMED)


GAPS = st.sampled_from([" ", "-", "_"])


@given(st.lists(st.from_regex(r"[a-zA-Z0-9.]{1,6}", fullmatch=True), min_size=1, max_size=4),
       st.data())  # fmt: skip
def test_any_gaps_find_the_name(parts: list[str], data: st.DataObject) -> None:
    known, written = (
        parts[0] + "".join(data.draw(GAPS) + part for part in parts[1:]) for _ in range(2)
    )
    names = Names(("other-model-x", f"m{known}z"), {})
    found = parse(f"other-model-x beats M{written.swapcase()}Z", names)
    assert found.others == (f"m{known}z",)


# --- measures without a better side -----------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a beats b on alpaca_eval avg_length",
        "b beats a on alpaca_eval avg_length",
        "a is worse than b on alpaca_eval avg_length",
        "a beats b by more than 1 characters on alpaca_eval avg_length",
        "a is not worse than b by more than 900 characters on alpaca_eval avg_length",
        "a is best on alpaca_eval avg_length",
    ],
)
def test_no_claim_of_better_stands_on_a_length(run: Run, text: str) -> None:
    longer = lengthened(run)
    found = claimed(longer, text)
    assert found.answer == "not supported"
    assert "AlpacaEval (average length) has no better direction" in found.reasons[0]
    assert "er than" in found.suggestion
    assert "better" not in found.suggestion


def test_lengths_may_match(run: Run) -> None:
    text = "a matches b within 5000 characters on alpaca_eval avg_length"
    assert claimed(lengthened(run), text).answer == "supported"


def lengthened(run: Run) -> Run:
    """Every answer of a is about 700 characters longer."""
    records = []
    for n, record in enumerate(run.records):
        more = 700 + n % 7 if record.model == "a" else 0
        scores = tuple(
            replace(s, value=s.value + more) if s.metric == "avg_length" else s
            for s in record.outcome.scores
        )
        records.append(replace(record, outcome=replace(record.outcome, scores=scores)))
    return replace(run, records=tuple(records), estimates=())


def test_the_json_verdict_of_a_length_is_a_length(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "stored"
    seal(lengthened(run), folder)
    for candidate, baseline, said in (("a", "b", "longer"), ("b", "a", "shorter")):
        asked = [str(folder), "--candidate", candidate, "--baseline", baseline, "--json"]
        done = CliRunner().invoke(command, asked, standalone_mode=False)
        rows = json.loads(done.output)["comparisons"]
        (length,) = (r for r in rows if r["metric"] == "avg_length")
        assert length["verdict"] == said
        assert all(r["verdict"] not in ("longer", "shorter") for r in rows if r is not length)


# --- what is not there --------------------------------------------------------------------------


def published(model: str, benchmark: str, point: float) -> Estimate:
    return Estimate(
        model, benchmark, benchmark, "score", None, point, None, None, None, 0.95, 0, 0, 0,
        "points", "published", f"card of {model}",
    )  # fmt: skip


def test_figures_without_samples_are_printed_with_the_reason(run: Run) -> None:
    kept = tuple(r for r in run.records if r.benchmark != "mt_bench")
    figures = (published("a", "mt_bench", 7.3), published("b", "mt_bench", 7.34))
    bare = replace(run, records=kept, estimates=figures)
    found = claimed(bare, "a beats b on mt_bench")
    assert found.answer == "not supported"
    reason, ours, theirs = found.reasons
    assert reason.startswith("a and b have no samples of MT-Bench in common: without scores of")
    assert reason.endswith("so that no interval can be given.")
    assert ours == "a, MT-Bench, score, both turns: 7.30 (card of a)"
    assert theirs == "b, MT-Bench, score, both turns: 7.34 (card of b)"
    assert found.suggestion == ""


def test_models_without_any_common_sample_are_no_error(run: Run) -> None:
    kept = tuple(r for r in run.records if (r.model == "a") == (r.benchmark == "lm_eval"))
    figures = (published("a", "mt_bench", 7.3), published("b", "mt_bench", 7.34))
    found = claimed(replace(run, records=kept, estimates=figures), "a beats b on mt_bench")
    assert found.answer == "not supported"
    assert "7.30 (card of a)" in found.reasons[1]
    assert claimed(replace(run, records=kept), "a beats b").answer == "not supported"


def test_only_headline_figures_of_published_models_are_printed(tmp_path: Path) -> None:
    run = build_run(tmp_path, Plan(published=True))
    found = claimed(run, "quick-lora beats claude 2 on alpaca_eval")
    assert [r.partition(":")[0] for r in found.reasons[1:]] == [
        "quick-lora, AlpacaEval, win rate",
        "claude-2, AlpacaEval, win rate",
    ]


def test_a_place_of_two_that_one_side_lacks_is_missed(run: Run) -> None:
    """One task of a benchmark must not stand for another."""
    kept = tuple(r for r in run.records if (r.model, r.task) != ("b", "opposites"))
    bare = replace(run, records=kept, estimates=())
    assert claimed(bare, "a beats b on lm_eval/sums").answer == "supported"
    found = claimed(bare, "a beats b on lm_eval/sums and lm_eval/opposites")
    assert found.answer == "not supported"
    assert any("no samples of lm-eval: opposites in common" in r for r in found.reasons)


def test_a_benchmark_named_whole_needs_all_its_tasks(run: Run) -> None:
    kept = tuple(r for r in run.records if (r.model, r.task) != ("b", "opposites"))
    found = claimed(replace(run, records=kept), "a beats b on lm_eval")
    assert found.answer == "not supported"
    assert "Not compared: lm-eval: opposites: a has samples, b has none." in found.reasons


def test_a_claim_on_what_is_common_says_what_is_not(run: Run) -> None:
    kept = tuple(
        r for r in run.records if r.task == "sums" or (r.model == "a" and r.task == "mt_bench")
    )
    found = claimed(replace(run, records=kept, estimates=()), "a beats b")
    assert found.answer == "supported"
    assert "Not compared: MT-Bench: a has samples, b has none." in found.reasons


def test_another_benchmark_that_was_measured_otherwise_stops_no_claim(
    run: Run, tmp_path: Path
) -> None:
    entries = json.loads(json.dumps(run.manifest["benchmarks"]))
    entries[0]["description"]["max_tokens"] = 512
    other = replace(run, folder=tmp_path / "two", manifest={**run.manifest, "benchmarks": entries})
    sides = [
        replace(one, records=tuple(r for r in one.records if r.model == model))
        for one, model in ((run, "a"), (other, "b"))
    ]
    text = "a beats b on lm_eval/sums"
    assert compare.check_claim(sides, text, compare.Options()).answer == "supported"
    with pytest.raises(ComparisonError, match="max_tokens"):
        compare.check_claim(sides, "a beats b on alpaca_eval", compare.Options())


def test_damage_counts_for_a_model_named_with_its_run(run: Run) -> None:
    finding = {"code": "x", "message": "rows repeat", "damaged": True}
    entry = {"model": "b", "entry": "lm_eval", "findings": [finding]}
    damaged = replace(run, manifest={**run.manifest, "evidence": [entry]})
    found = claimed(damaged, "a beats one:b on lm_eval/sums")
    assert "Damaged evidence of b: rows repeat." in found.reasons
