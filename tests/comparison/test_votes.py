"""Agreement of judges with people, against FastChat's published counts and scikit-learn's kappa."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from evalkit.comparison.votes import people
from evalkit.core.run import Run
from evalkit.core.samples import Judgment, Outcome, Record
from evalkit.core.votes import Vote
from evalkit.stats.ppi import ppi_mean
from tests.support.runs import Plan, build_run

PREFERENCE = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (inconsistent)": 0.5}
CHOICE = {"model_a": "first", "model_b": "second", "tie": "tie", "tie (inconsistent)": "tie"}


def rows(file: Path, turn: int) -> Iterator[dict[str, str]]:
    for line in file.read_text().splitlines():
        row = json.loads(line)
        if row["turn"] == turn:
            yield row


def mt_bench(human: Path, turn: int) -> Run:
    """The pairs GPT-4 judged in both orders, and the votes of FastChat's human judges on them."""
    judged: dict[tuple[str, str], list[Judgment]] = {}
    for row in rows(human / "mt_bench_gpt4_pair.jsonl", turn):
        value = PREFERENCE[row["winner"]]
        part = f"turn_{turn}#{row['model_b']}"
        verdict = Judgment("gpt-4", "rating_fastchat", "ok", value, part)
        judged.setdefault((row["model_a"], str(row["question_id"])), []).append(verdict)
    records = tuple(
        Record(model, "mt_bench", "mt_bench", question, None, question, Outcome("ok", judgments=j))
        for (model, question), found in judged.items()
        if (j := tuple(found))
    )
    votes = tuple(
        Vote(
            benchmark="mt_bench",
            task="mt_bench",
            sample=str(row["question_id"]),
            first=row["model_a"],
            second=row["model_b"],
            choice=CHOICE[row["winner"]],  # type: ignore[arg-type]
            voter=row["annotator"],
            part=f"turn_{turn}",
        )
        for row in rows(human / "mt_bench_human_votes.jsonl", turn)
        if row["kind"] == "expert"
    )
    return replace(build_run(Plan()), records=records, comparisons=(), votes=votes)


@pytest.mark.data
@pytest.mark.parametrize("turn", [1, 2])
def test_agreement_is_what_fastchats_compute_agreement_gives(public_data: Path, turn: int) -> None:
    human = public_data / "judging" / "human"
    expected = json.loads((human / "expected.json").read_text())["mt_bench"]
    (found,) = people(mt_bench(human, turn))
    assert (found.judge, found.benchmark) == ("gpt-4", "mt_bench")
    for name, one in (
        ("gpt4_vs_expert", found.with_judge),
        ("expert_vs_expert", found.among_people),
    ):
        for setup, measured in (("with", one.alike), ("without", one.without_ties)):
            known = expected[f"turn{turn}_{setup}_ties"][name]
            assert measured.n == known["total"]
            assert measured.point == pytest.approx(100 * known["ratio"], abs=1e-12)
            assert measured.low is not None
            assert measured.high is not None
            assert measured.low < 100 * known["ratio"] < measured.high


def test_what_was_skipped_is_no_vote() -> None:
    run = build_run(Plan(samples=(6, 2, 2)))
    pair = next(r for r in run.records if r.outcome.judgments)
    place = {"benchmark": pair.benchmark, "task": pair.task, "sample": pair.sample}
    both = {"first": "reference", "second": pair.model, "voter": "a1"}
    votes = [Vote(**place, **both, choice=choice) for choice in ("skip", "first")]
    (found,) = people(replace(run, votes=tuple(votes)))
    assert (found.n_votes, found.n_pairs, found.n_voters) == (1, 1, 1)
    value = pair.outcome.judgments[0].value
    assert value is not None
    assert found.with_judge.alike.point == (100.0 if value < 0.5 else 0.0)
    assert found.among_people.alike.point is None


def test_what_people_prefer_is_estimated_from_votes_and_all_verdicts() -> None:
    """The point is PPI's: the judge's verdicts on the rest, corrected by those voted on."""
    run = build_run(Plan(samples=(60, 2, 2)))
    judged = [r for r in run.records if r.outcome.judgments and r.benchmark == "alpaca_eval"]
    mine = [r for r in judged if r.model == judged[0].model]
    votes = tuple(
        Vote(r.benchmark, r.task, r.sample, r.model, "reference", "first" if n % 3 else "tie", "a")
        for n, r in enumerate(mine[:30])
    )
    (found,) = people(replace(run, votes=votes))
    (one,) = found.preferred
    verdicts = {r.sample: 100 * (r.outcome.judgments[0].value or 0.0) for r in mine}
    labels = {vote.sample: 100.0 if vote.choice == "first" else 50.0 for vote in votes}
    expected = ppi_mean(labels, verdicts, {s: s for s in verdicts}, 0.95).measured
    assert (one.model, one.other, one.judge) == (mine[0].model, "reference", "base-judge")
    assert one.by_people.point == pytest.approx(expected.point)
    assert one.by_people.low == pytest.approx(expected.low)
    assert one.by_judge.point == pytest.approx(fmean(verdicts.values()))
    assert (one.by_people.n, one.by_judge.n) == (30, len(mine))
    assert "estimated from votes on 30 of" in one.sentence


def test_two_models_that_a_judge_rated_are_preferred_by_their_ratings() -> None:
    run = build_run(Plan(samples=(4, 40, 4)))
    ours, theirs = ({r.sample: r for r in run.records_of(m, "mt_bench")} for m in run.models[:2])
    votes = tuple(
        Vote("mt_bench", "mt_bench", sample, run.models[0], run.models[1], "first", "a1")
        for sample in ours
    )
    (found,) = people(replace(run, votes=votes))
    (one,) = found.preferred
    means = [
        [
            fmean(s.value for s in side[k].outcome.scores if s.metric == "score")
            for side in (ours, theirs)
        ]
        for k in ours
        if all(any(s.metric == "score" for s in side[k].outcome.scores) for side in (ours, theirs))
    ]
    wins = fmean((a > b) + 0.5 * (a == b) for a, b in means)
    assert (one.model, one.other) == run.models[:2]
    assert one.by_judge.point == pytest.approx(100 * wins)
    assert one.by_people.point == 100
    assert found.with_judge.alike.point == pytest.approx(100 * fmean(a > b for a, b in means))


@pytest.mark.slow
def test_intervals_of_what_people_prefer_cover_it() -> None:
    """A judge that is right in 80% of pairs, and says so too often; people prefer it in 60%."""
    rng = random.Random(5)
    hits = 0
    for _ in range(500):
        truth = {str(i): float(rng.random() < 0.6) for i in range(400)}
        judge = {
            k: v if rng.random() < 0.8 else float(rng.random() < 0.9) for k, v in truth.items()
        }
        voted = rng.sample(sorted(truth), 80)
        found = ppi_mean({k: truth[k] for k in voted}, judge, {k: k for k in truth}, 0.95).measured
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.6 <= found.high
    assert 460 <= hits <= 490


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "second"),
    [
        ("ae1/alpaca-7b__alpaca_eval_gpt4", "claude"),
        ("ae1/guanaco-65b__alpaca_eval_gpt4", "claude"),
        ("ae2/claude-2.1__alpaca_eval_cot_gpt4_turbo_fn", "alpaca_eval_gpt4_turbo_fn"),
    ],
)
def test_an_annotator_in_place_of_people_agrees_as_alpaca_evals_annotations_do(
    public_data: Path, file: str, second: str
) -> None:
    data = public_data / "judging" / "alpaca_eval"
    place, _, first = file.partition("__")
    model = place.partition("/")[2]
    ours, theirs = (
        {
            row["index"]: row["preference"]
            for row in annotations_of(data / f"{place}__{name}.jsonl.gz")
        }
        for name in (first, second)
    )
    expected = json.loads((data / "expected.json").read_text())[place]["pairs"]
    known = expected[f"{first} | {second}"]
    records, votes = [], []
    for index, preference in ours.items():
        sample = str(index)
        verdict = Judgment(first, "recorded", "ok", preference - 1)
        outcome = Outcome("ok", judgments=(verdict,))
        records.append(Record(model, "alpaca_eval", "alpaca_eval", sample, None, sample, outcome))
        if index in theirs:
            better = "second" if theirs[index] > 1.5 else "tie" if theirs[index] == 1.5 else "first"
            sides = ("reference", model)
            votes.append(
                Vote("alpaca_eval", "alpaca_eval", sample, *sides, better, second)  # type: ignore[arg-type]
            )
    run = replace(build_run(Plan()), records=tuple(records), comparisons=(), votes=tuple(votes))
    (found,) = people(run)
    assert found.with_judge.alike.n == known["n_common"]
    assert found.with_judge.alike.point == pytest.approx(100 * known["same_side"], abs=1e-12)


def annotations_of(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
