"""What is measured of judges, against counts by hand, statsmodels, and judges that are known.

Stored judgments: JudgeBench, LLMBar, MT-Bench's GPT-4 pairs, and 648 pairs judged four times by
GPT-4 (AlpacaFarm), as their repositories published them.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.comparison.contests import Options, contests
from evalkit.comparison.gate import gate
from evalkit.comparison.health import JudgeHealth, health, unfit, unvalidated
from evalkit.core import Judgment, Outcome, Record, Score, Status
from evalkit.core.contests import JudgeUnfit, Measure
from evalkit.core.figures import Measured, Metric
from evalkit.core.run import (
    BenchmarkEntry,
    Description,
    JudgeEntry,
    Manifest,
    ModelEntry,
    Run,
    StoredSuite,
    TaskEntry,
)
from evalkit.core.specs import GateSpec
from evalkit.core.votes import Vote

DATA = Path(os.environ.get("EVALKIT_DATA", "")) / "judging"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs the judges' stored judgments")
ENTRY = BenchmarkEntry(
    name="b", tasks={"t": TaskEntry(metrics=(Metric("win_rate", "percent", 100.0, primary=True),))}
)


def run_of(records: Sequence[Record], **suite: Any) -> Run:
    models = [ModelEntry(name=n, role=r) for n, r in (("m", "candidate"), ("n", "baseline"))]
    manifest = Manifest(
        run_id="0" * 12,
        suite=StoredSuite.model_validate(suite),
        models=tuple(models),
        benchmarks=(ENTRY,),
    )
    return Run(Path("run"), manifest, tuple(records), (), ())


def judged(sample: str, judgment: Judgment, model: str = "m", **texts: Any) -> Record:
    scores = () if judgment.value is None else (Score("win_rate", judgment.value),)
    outcome = Outcome(judgment.status, scores=scores, judgments=(judgment,), **texts)
    return Record(model, "b", "t", sample, None, sample, outcome)


def one(records: Sequence[Record], **suite: Any) -> JudgeHealth:
    (row,) = health(run_of(records, **suite))
    return row


def measured(row: JudgeHealth, measure: Measure) -> Measured:
    return next(f.value for f in row.figures if f.measure == measure)


def names(row: JudgeHealth) -> set[str]:
    return {f.measure for f in row.figures}


def pair(first: float, second: float, *repeats: tuple[float, ...]) -> Judgment:
    votes = (first, second)
    return Judgment("j", "pairwise", "ok", sum(votes) / 2, votes=votes, repeats=repeats)


def failed(status: Status) -> Judgment:
    return Judgment("j", "pairwise", status, None)


# --- by hand --------------------------------------------------------------------------------------


def test_a_judge_that_always_takes_the_first_and_one_that_reads() -> None:
    row = one([judged(str(i), pair(1.0, 0.0)) for i in range(5)])
    assert measured(row, "position_bias").point == 50.0
    assert measured(row, "verdict_flips").point == 100.0
    assert {r.measure for r in row.reasons} == {"position_bias", "verdict_flips"}
    row = one([judged(str(i), pair(i % 2, i % 2)) for i in range(60)])
    assert measured(row, "position_bias").point == measured(row, "verdict_flips").point == 0.0
    assert row.reasons == ()


def test_judgments_are_counted_and_mixed_votes_averaged() -> None:
    judgments = [pair(0.9, 0.3), pair(0.5, 0.1), failed("unparsable"), failed("transport_error")]
    row = one([judged(str(i), j) for i, j in enumerate(judgments)])
    assert (row.asked, row.parsed, row.unparsable, row.failed) == (4, 2, 1, 1)
    assert measured(row, "position_bias").point == pytest.approx((30 + 20) / 2)
    assert measured(row, "position_bias").standard_error == pytest.approx(5.0)
    assert measured(row, "verdict_flips").point == 50.0, "an even vote prefers neither"
    assert measured(row, "vote_margin").point == pytest.approx((40 + 20 + 0 + 40) / 4)
    assert measured(row, "unparsable").point == pytest.approx(100 / 3), "of the replies"


def test_bias_is_clustered_by_sample() -> None:
    votes = {"1": pair(0.8, 0.2), "2": pair(0.6, 0.6)}
    once = one([judged(k, j) for k, j in votes.items()])
    twice = one([judged(k, j, m) for m in "mn" for k, j in votes.items()])
    errors = [measured(row, "position_bias").standard_error for row in (once, twice)]
    assert errors[0] == pytest.approx(errors[1])


def test_what_a_rating_judge_has_no_order_of_is_not_measured() -> None:
    ratings = [
        Judgment("r", "rating_text", "ok", 7.0, part=f"turn_{i}", repeats=((8.0,),)) for i in (1, 2)
    ]
    (row,) = health(run_of([judged("1", rating) for rating in ratings]))
    assert names(row) == {"unparsable", "self_agreement"}
    assert row.reasons == (), "nothing is shown by two ratings"


def test_what_earlier_versions_recorded_fails_nothing() -> None:
    records = [judged(str(i), Judgment("gpt-4", "recorded", "ok", 1.0)) for i in range(50)]
    row = one(records)
    assert (names(row), row.reasons) == ({"unparsable"}, ())
    assert unfit(run_of(records), "b") == ()


def test_a_requirement_is_the_judges_own_and_null_requires_nothing() -> None:
    records = [judged(str(i), pair(1.0, 0.0)) for i in range(50)]
    loose = {"j": {"require": {"position_bias": None, "verdict_flips": None}}}
    assert one(records, judges=loose).reasons == ()
    strict = {"j": {"require": {"verdict_flips": 3, "position_bias": None}}}
    few = [judged(str(i), pair(1.0, float(i >= 12))) for i in range(100)]
    assert [r.measure for r in one(few, judges=strict).reasons] == ["verdict_flips"]
    assert one(few).reasons == ()


def test_a_family_that_is_favoured_shows_beside_a_judge_of_another() -> None:
    def panel(model: str, i: int) -> Record:
        fair = float(i % 3 == 0)
        own = min(1.0, fair + 0.6) if model == "gpt-x" else fair
        judgments = (
            Judgment("gpt-4o", "p", "ok", own, votes=(own, own)),
            Judgment("claude-opus", "p", "ok", fair, votes=(fair, fair)),
        )
        return Record(model, "b", "t", str(i), None, str(i), Outcome("ok", judgments=judgments))

    models = {name: {"role": "candidate"} for name in ("gpt-x", "llama-y")}
    judges = {name: {"type": "openai", "model": name} for name in ("gpt-4o", "claude-opus")}
    run = run_of([panel(m, i) for m in models for i in range(60)], models=models, judges=judges)
    mine, other = health(run)
    found = measured(mine, "self_preference")
    # 40 of 60 answers gain 0.6, the others are won already.
    assert found.point == pytest.approx(100 * 0.6 * 40 / 60)
    assert [r.measure for r in mine.reasons] == ["self_preference"]
    assert "self_preference" not in names(other), "no model of its family is judged"


def test_a_probe_of_the_model_behind_a_judge_counts_where_it_is_required() -> None:
    probe = BenchmarkEntry(name="probe", description=Description(type="judgebench"))
    good = [judged(str(i), pair(1.0, 1.0)) for i in range(40)]
    scores = (Score("accuracy", 0.0),)
    wrong = [
        Record("n", "probe", "t", str(i), None, str(i), Outcome("ok", scores=scores))
        for i in range(40)
    ]
    reasons = []
    for required in ({}, {"probe": 50}):
        judges = {"j": {"type": "engine", "model": "n", "require": required}}
        run = run_of([*good, *wrong], judges=judges)
        run = replace(run, manifest=run.manifest.model_copy(update={"benchmarks": (ENTRY, probe)}))
        assert measured(health(run)[0], "probe").point == 0.0
        reasons.append([r.measure for c in unfit(run, "b") for r in c.reasons])
    assert reasons == [[], ["probe"]]


def test_people_who_agree_validate_a_local_judge() -> None:
    def voted(right: bool) -> Run:
        records = [
            judged(str(i), pair(float(i % 2), float(i % 2)), answers=("yes",), reference=("no",))
            for i in range(60)
        ]
        described = {"description": Description(type="alpaca_eval"), "judge": "j"}
        entry = ENTRY.model_copy(update=described)
        manifest = run_of(records).manifest.model_copy(
            update={"benchmarks": (entry,), "judges": (JudgeEntry(name="j", local=True),)}
        )
        votes = tuple(
            Vote("b", "t", str(i), "m", "reference", "first" if (i % 2 == 1) == right else "second")
            for i in range(60)
        )
        return replace(run_of(records), manifest=manifest, votes=votes)

    right, wrong = voted(right=True), voted(right=False)
    assert measured(health(right)[0], "people").point == 100.0
    assert (unvalidated(right, "b"), unvalidated(wrong, "b")) == ("", "j")
    assert [r.measure for c in unfit(wrong, "b") for r in c.reasons] == ["people"]
    assert unfit(right, "b") == ()


# --- stored judgments -----------------------------------------------------------------------------


def lines(path: str) -> list[Any]:
    raw = (DATA / path).read_bytes()
    text = gzip.decompress(raw) if path.endswith(".gz") else raw
    return [json.loads(line) for line in text.decode().splitlines()]


@needs_data
@pytest.mark.parametrize("subset", ["Natural", "GPTInst", "GPTOut", "Manual", "Neighbor"])
def test_flips_of_gpt_4_on_llmbar_are_those_it_published(subset: str) -> None:
    expected = json.loads((DATA / "human/expected.json").read_text())["llmbar"]
    known = expected[f"GPT-4/Vanilla/{subset}"]
    rows = [
        r
        for r in lines("human/llmbar_verdicts/GPT-4.jsonl")
        if (r["prompt"], r["subset"]) == ("Vanilla", subset)
    ]
    # `winner` names the output, whichever order it was shown in.
    votes = [
        (float(r["winner_first_order"] == "1"), float(r["winner_swapped"] == "1")) for r in rows
    ]
    row = one([judged(str(i), pair(*v)) for i, v in enumerate(votes)])
    flips = measured(row, "verdict_flips").point
    assert flips == pytest.approx(100 - known["published"]["equal"])
    assert row.reasons == ()


@needs_data
@pytest.mark.parametrize("which", ["arena_hard__o1-mini-2024-09-12__gpt4o"])
def test_flips_on_judgebench_are_counted_from_its_decisions(which: str) -> None:
    rows = lines(f"judgebench/verdicts/{which}.jsonl.gz")
    value = {"A>B": 1.0, "A=B": 0.5, "B>A": 0.0}
    votes = [(value[a], 1 - value[b]) for a, b in (r["decisions"] for r in rows)]
    row = one([judged(str(i), pair(*v)) for i, v in enumerate(votes)])
    flipped = sum({a, b} == {0.0, 1.0} for a, b in votes)
    assert measured(row, "verdict_flips").point == pytest.approx(100 * flipped / len(votes))
    first = sum(a for a, _ in votes) + sum(1 - b for _, b in votes)
    expected = 100 * first / (2 * len(votes)) - 50
    assert measured(row, "position_bias").point == pytest.approx(expected)


def repeated(rows: Sequence[Any]) -> list[Record]:
    """The four judgments of each pair: the first, and three repeats."""
    found = []
    for i, r in enumerate(rows):
        value, *again = (float(p == 2) for p in r["preferences"])
        judgment = Judgment("j", "recorded", "ok", value, repeats=tuple((v,) for v in again))
        answers, reference = (r["output_2"],), (r["output_1"],)
        found.append(judged(str(i), judgment, answers=answers, reference=reference))
    return found


@needs_data
def test_gpt_4_agrees_with_itself_as_counted_and_prefers_longer_as_statsmodels_says() -> None:
    import numpy as np
    import statsmodels.api as sm

    rows = lines("human/reannotation_gpt4_b1.jsonl.gz")
    row = one(repeated(rows))
    twos = [r["preferences"].count(2) for r in rows]
    alike = sum(n * (n - 1) // 2 + (4 - n) * (3 - n) // 2 for n in twos)
    assert measured(row, "self_agreement").point == pytest.approx(100 * alike / (6 * len(rows)))
    gaps = [(len(r["output_2"]) - len(r["output_1"]), r["preferences"][0] == 2) for r in rows]
    kept = [(gap > 0, chosen) for gap, chosen in gaps if abs(gap) > 30]
    x = sm.add_constant(np.array([float(longer) for longer, _ in kept]))
    fit = sm.OLS(np.array([float(chosen) for _, chosen in kept]), x).fit(
        cov_type="cluster", cov_kwds={"groups": np.arange(len(kept))}, use_t=True
    )
    found = measured(row, "length_bias")
    assert found.point == pytest.approx(50 * fit.params[1])
    assert found.standard_error == pytest.approx(50 * fit.bse[1])
    assert (found.low, found.high) == pytest.approx(tuple(50 * fit.conf_int()[1]))
    assert row.reasons == ()


# --- judges that are known to be good or bad ------------------------------------------------------


def coin(seed: int) -> Iterator[Record]:
    """200 items, judged by a coin in both orders and twice: 100 of each model."""
    rng = random.Random(seed)
    for model in "mn":
        for i in range(100):
            tosses = [float(rng.random() < 0.5) for _ in range(4)]
            yield judged(str(i), pair(tosses[0], tosses[1], (tosses[2], tosses[3])), model)


def noise(seed: int) -> Iterator[Record]:
    """Ratings drawn at random, 200 of them twice."""
    rng = random.Random(seed)
    for model in "mn":
        for i in range(100):
            value, again = (float(rng.randint(1, 10)) for _ in range(2))
            yield judged(str(i), Judgment("j", "rating", "ok", value, repeats=((again,),)), model)


@pytest.mark.slow
@pytest.mark.parametrize("judge", [coin, noise])
def test_a_judge_without_judgment_is_unfit_in_100_of_100_runs(
    judge: Callable[[int], Iterator[Record]],
) -> None:
    failed = sum(bool(unfit(run_of(tuple(judge(seed))), "b")) for seed in range(100))
    assert failed == 100


@needs_data
@pytest.mark.slow
def test_gpt_4_is_unfit_in_at_most_5_of_100_resamples() -> None:
    fourfold = lines("human/reannotation_gpt4_b1.jsonl.gz")
    pairs = lines("human/mt_bench_gpt4_pair.jsonl")
    votes = {"model_a": (1.0, 1.0), "model_b": (0.0, 0.0), "tie": (0.5, 0.5)}
    failed = 0
    for seed in range(100):
        rng = random.Random(seed)
        drawn = repeated(rng.choices(fourfold, k=200))
        failed += bool(unfit(run_of(drawn), "b"))
        # Which of the two flipping verdicts came first is not stored: a coin says.
        flips = {"tie (inconsistent)": rng.choice([(1.0, 0.0), (0.0, 1.0)])}
        both = [pair(*{**votes, **flips}[r["winner"]]) for r in rng.choices(pairs, k=200)]
        failed += bool(unfit(run_of([judged(str(i), j) for i, j in enumerate(both)]), "b"))
    assert failed <= 5


# --- what follows ---------------------------------------------------------------------------------


def test_an_unfit_judge_gives_no_verdict_and_no_pass() -> None:
    records = []
    for model, wins in (("m", 1.0), ("n", 0.0)):
        for i in range(100):
            # Better by far in one order, always flipping: the mean of both orders says nothing.
            votes = (1.0, wins) if i % 2 else (1.0, 0.0)
            records.append(judged(str(i), pair(*votes), model))
    run = run_of(records)
    (found,) = contests([run], "m", ["n"], Options())
    assert (found.unfit, found.refused) == (True, True)
    assert (found.verdict, found.p_adjusted, found.mde, found.tests) == ("undefined", None, None, 0)
    (caution,) = (c for c in found.cautions if isinstance(c, JudgeUnfit))
    assert {r.measure for r in caution.reasons} == {"position_bias", "verdict_flips"}
    result = gate(run, GateSpec(baseline="n", margins={"default": 100}))
    assert (result.verdict, result.exit_code) == ("incomplete", 3)
    assert [test.verdict for test in result.tests] == ["unfit"]
    assert "judge j is not fit" in result.reasons[0]
