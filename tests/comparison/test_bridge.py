"""Comparisons and figures across two judges: marked, refused, right where the truth is known."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from evalkit.comparison import bridge
from evalkit.comparison.contests import Options, contest_json, contests
from evalkit.comparison.gate import gate, gate_json, pin, read_pinned
from evalkit.comparison.resolve import Part
from evalkit.core import Contest, Metric, Outcome, Record, Run, Score
from evalkit.core.figures import Bridged, Estimator
from evalkit.core.run import BenchmarkEntry, Manifest, TaskEntry
from evalkit.core.specs import GateSpec
from evalkit.draw import caution_notes, contest_sentence, contest_table
from evalkit.errors import ComparisonError
from tests.support.terminal import screen

RATING = Metric("score", "points", primary=True)
LENGTH = Metric("avg_length", "characters")
POLICY = GateSpec(baseline="base", margins={"default": 0.5})
OFFSET, N, SAMPLE = 0.6, 400, 100


def judged(rng: random.Random, quality: float, noise: float) -> list[tuple[float, float]]:
    """By question, both judges' scores of one model's answers; the second is lower by OFFSET."""
    truth = [rng.gauss(quality, 1.5) for _ in range(N)]
    return [(t + rng.gauss(0, noise), t - OFFSET + rng.gauss(0, noise)) for t in truth]


def run_of(
    folder: str, judge: str, scores: dict[str, list[float]], again: list[float | None] | None = None
) -> Run:
    """A run of one benchmark, whose models' answers one judge scored; `again`: and a second."""
    records = []
    for model, values in scores.items():
        for i, value in enumerate(values):
            second = again[i] if again else None
            outcome = Outcome(
                "ok",
                answers=(f"{model} says {i}",),
                scores=(Score("score", value), Score("avg_length", 10.0 + i % 7)),
                rejudged=() if second is None else (Score("score", second),),
            )
            records.append(Record(model, "b", "t", str(i), None, str(i), outcome))
    described = {"type": "chat", "judge": {"model": judge}, "seed": 1}
    entry = BenchmarkEntry(
        name="b",
        description=described,  # type: ignore[arg-type]
        tasks={"t": TaskEntry(n_samples=N, metrics=(RATING, LENGTH))},
        judge=judge,
    )
    if again:
        after = {**described, "judge": {"model": "new-judge"}}
        bridged = {"judge": "new-judge", "description": after, "sample": SAMPLE, "seed": 0}
        entry = BenchmarkEntry.model_validate({**entry.model_dump(), "bridge": bridged})
    manifest = Manifest(run_id=folder, sealed=True, benchmarks=(entry,))
    return Run(Path(folder), manifest, tuple(records), (), ())


def world(
    seed: int, *, better: float = 0.0, noise: float = 0.6
) -> tuple[Run, Run, list[tuple[float, float]], list[tuple[float, float]]]:
    """A run by the new judge, the bridge, and what both judges say of both models' answers."""
    rng = random.Random(seed)
    ours, theirs = judged(rng, 6 + better, noise), judged(rng, 6, noise)
    sample = set(rng.sample(range(N), SAMPLE))
    again = [b if i in sample else None for i, (_, b) in enumerate(theirs)]
    new = run_of("new", "new-judge", {"candidate": [b for _, b in ours]})
    return new, run_of("old", "old-judge", {"base": [a for a, _ in theirs]}, again), ours, theirs


def contest(new: Run, old: Run, candidate: str = "candidate", baseline: str = "base") -> Contest:
    found = contests([new, old], candidate, [baseline], Options())
    return next(one for one in found if one.key.metric == "score")


def test_a_difference_across_judges_is_on_one_scale_and_says_so() -> None:
    new, old, ours, theirs = world(1, better=1.0)
    one = contest(new, old)
    c, fact = one.comparison, one.comparison.difference.method.bridged
    assert c.difference.method.estimator is Estimator.BRIDGED
    assert fact is not None
    assert fact in one.cautions
    assert (fact.scored_by, fact.scale_of, fact.n) == ("new-judge", "old-judge", SAMPLE)
    assert (fact.answers_of, fact.own) == (("base",), False)
    assert c.difference.low is not None
    assert c.difference.high is not None
    apart = fmean(a for a, _ in ours) - fmean(a for a, _ in theirs)
    assert c.difference.low < apart < c.difference.high
    assert not c.difference.low < apart - OFFSET < c.difference.high, "that is without a bridge"
    assert (c.wins + c.losses + c.ties, c.difference.n) == (SAMPLE, N)
    assert one.verdict == "better"
    assert "on the scale of old-judge" in contest_sentence(one)
    assert "(bridged)" in "\n".join(screen([contest_table([one])]))
    assert any("scale of old-judge" in note for note in caution_notes([one]))
    row = contest_json(one)
    assert {"kind": "bridged", "scored_by": "new-judge"}.items() <= row["cautions"][0].items()
    assert "such questions, if the judges differ as on base's answers" in row["method"]


def test_the_other_way_round_it_is_the_same_with_the_other_sign() -> None:
    new, old, *_ = world(2, better=0.4)
    one, other = contest(new, old), contest(new, old, "base", "candidate")
    a, b = one.comparison.difference, other.comparison.difference
    assert a.point is not None
    assert b.point == pytest.approx(-a.point)
    assert (b.low, b.high) == (pytest.approx(-a.high), pytest.approx(-a.low))  # type: ignore[operator]
    assert (one.comparison.wins, one.comparison.p) == (other.comparison.losses, other.comparison.p)


def test_a_figure_less_the_earlier_ones_is_the_difference() -> None:
    new, old, _, theirs = world(3)
    (figure,) = bridge.figures(Part(new, "candidate", "b"), [Part(old, "base", "b")], 0.95)
    difference = contest(new, old).comparison.difference
    assert figure.value.point is not None
    assert difference.point == pytest.approx(figure.value.point - fmean(a for a, _ in theirs))
    assert figure.value.method.estimator is Estimator.BRIDGED
    assert (figure.value.n, figure.unit, figure.key.metric) == (N, "points", "score")


def test_by_the_models_own_answers_the_interval_is_narrower_and_for_these_answers() -> None:
    rng = random.Random(4)
    ours = judged(rng, 6, 0.6)
    new = run_of("new", "new-judge", {"candidate": [b for _, b in ours]})
    few = run_of("few", "old-judge", {"candidate": [a for a, _ in ours[:SAMPLE]]}, [None] * N)
    (own,) = bridge.figures(Part(new, "candidate", "b"), [Part(few, "candidate", "b")], 0.95)
    fact = own.value.method.bridged
    assert fact is not None
    assert (fact.own, fact.n, fact.answers_of) == (True, SAMPLE, ("candidate",))
    assert "old-judge's mean over the answers of this run" in own.value.how
    assert own.value.low is not None
    assert own.value.high is not None
    assert own.value.low < fmean(a for a, _ in ours) < own.value.high
    elsewhere = run_of("new", "new-judge", {"other": [b for _, b in ours]})
    (carried,) = bridge.figures(Part(elsewhere, "other", "b"), [Part(few, "candidate", "b")], 0.95)
    assert carried.value.how.startswith("undefined: 0 scores by both judges")


def test_judges_that_hardly_agree_on_an_answer_are_no_bridge() -> None:
    new, old, *_ = world(5, noise=4.0)
    one = contest(new, old)
    assert one.verdict == "undefined"
    assert one.comparison.p is None
    assert "expected 0.5 or more" in one.comparison.difference.how
    result = gate(
        new,
        GateSpec(baseline="base", margins={"default": 0.5}),
        candidate="candidate",
        baseline=[old],
    )
    assert (result.verdict, result.exit_code) == ("incomplete", 3)
    assert "correlate by" in result.tests[0].note


def test_without_a_bridge_and_where_more_than_the_judge_differs_it_is_refused() -> None:
    new, old, *_ = world(6)
    plain = run_of("old", "old-judge", {"base": [5.0] * N})
    with pytest.raises(ComparisonError, match=r"judge\.model: 'new-judge' against 'old-judge'"):
        contest(new, plain)
    entry = new.manifest.benchmarks[0]
    seeded = entry.description.model_copy(update={"seed": 2})
    other = entry.model_copy(update={"description": seeded})
    manifest = new.manifest.model_copy(update={"benchmarks": (other,)})
    with pytest.raises(ComparisonError, match="seed: 2 against 1") as caught:
        contest(replace(new, manifest=manifest), old)
    assert "judge" not in str(caught.value).split("\n")[1]


def test_a_length_needs_no_bridge() -> None:
    new, old, *_ = world(7)
    found = contests([new, old], "candidate", ["base"], Options())
    length = next(one for one in found if one.key.metric == "avg_length")
    assert length.comparison.difference.method.bridged is None
    assert length.comparison.difference.n == N


def test_a_pinned_bridge_gates_like_the_run(tmp_path: Path) -> None:
    new, old, *_ = world(8)
    file = tmp_path / "baseline.json"
    file.write_bytes(pin(old, "base"))
    results = [
        gate_json(gate(new, POLICY, candidate="candidate", baseline=[one]))
        for one in (old, read_pinned(file))
    ]
    assert json.dumps(results[0]["decisions"]) == json.dumps(results[1]["decisions"])
    assert results[0]["verdict"] == "pass"
    assert results[0]["decisions"][0]["needed"] is None
    assert any(note.startswith("Bridged: ") for note in results[0]["notes"])


@pytest.mark.slow
def test_bridged_intervals_hold_the_true_difference() -> None:
    """Of such questions, between models of which one is better by 0.3."""
    hits = 0
    for seed in range(150):
        new, old, *_ = world(seed, better=0.3)
        d = contest(new, old).comparison.difference
        assert d.low is not None
        assert d.high is not None
        hits += d.low <= 0.3 <= d.high
    assert 136 <= hits <= 149


def test_facts_of_a_bridge_are_typed() -> None:
    new, old, *_ = world(9)
    assert [type(c) for c in contest(new, old).cautions] == [Bridged]


@pytest.mark.parametrize(("judge", "refused"), [("gpt-4", False), ("gpt-4-0613", False),
                                                ("gpt-4o", True), ("gpt-6", True)])  # fmt: skip
def test_an_evaluators_published_judgments_are_by_the_model_it_names(
    judge: str, refused: bool
) -> None:
    """Recorded judgments of alpaca_eval_gpt4 do not say the model; its live runs do."""

    def of(run: Run, said: dict[str, str], engine: str, model: str | None) -> Run:
        entry = run.manifest.benchmarks[0].model_dump()
        entry["description"] |= {"judge": {"evaluator": "alpaca_eval_gpt4", **said}}
        manifest = Manifest.model_validate(
            {
                **run.manifest.model_dump(exclude_unset=True),
                "judges": [{"name": "j", "engine": {"type": engine}, "model": model}],
                "benchmarks": [{**entry, "judge": "j"}],
            }
        )
        return replace(run, manifest=manifest)

    scores = [5.0, 6.0, 7.0, 4.0]
    published = of(run_of("old", "x", {"base": scores}), {"protocol": "recorded"}, "recorded", None)
    live = {"protocol": "pairwise_alpaca_eval", "evaluator_model": "gpt-4"}
    ours = of(run_of("new", "x", {"candidate": scores[::-1]}), live, "openai", judge)
    if not refused:
        assert contest(ours, published).comparison.difference.point == 0
        return
    with pytest.raises(ComparisonError, match=rf"judge\.model: '{judge}' against 'gpt-4'"):
        contest(ours, published)
