"""Pairs of conversations: who is compared with whom, what is missing, FastChat's rates."""

from __future__ import annotations

import io
import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evalkit.benchmarks.mt_bench import MtBench, MtBenchSpec
from evalkit.compare import estimates
from evalkit.core import (
    Completion,
    Estimate,
    Flow,
    Json,
    Judgment,
    Message,
    Outcome,
    Record,
    Reply,
    Request,
)
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.core.specs import JudgeSpec
from evalkit.errors import BenchmarkError, DataError, RequestFailed
from evalkit.plugins import find
from tests.support.cli import evalkit
from tests.support.flows import play

Verdict = Callable[[str, str, str], float | None]
"""Of (answer, other answer, part): the value of the match, None without verdict."""


class Referee:
    """A judge that compares as it was told, and keeps what it saw."""

    name = "referee"
    protocol = "known"

    def __init__(self, verdict: Verdict = lambda *_: 1.0) -> None:
        self.seen: list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str]] = []
        self._verdict = verdict

    def rate(
        self, conversation: Sequence[Message], reference: Sequence[str], part: str
    ) -> Flow[Judgment]:
        """Never asked here."""
        raise NotImplementedError

    def match(
        self,
        conversation: Sequence[Message],
        other: Sequence[Message],
        reference: Sequence[str],
        part: str,
    ) -> Flow[Judgment]:
        ours, theirs = (tuple(m.content for m in talk) for talk in (conversation, other))
        self.seen.append((ours, theirs, tuple(reference), part))
        yield [Request("judge", "generate", tuple(conversation))]
        value = self._verdict(ours[-1], theirs[-1], part)
        status: Any = "ok" if value is not None else "unparsable"
        error = "unreadable" if value is None else None
        return Judgment(self.name, self.protocol, status, value, part, error=error)

    def describe(self) -> Mapping[str, Json]:
        return {"protocol": self.protocol}


def build(folder: Path, referee: Any, *baseline: str, questions: int = 1) -> MtBench:
    rows = [
        {"question_id": n, "category": "math", "turns": [f"q{n}.1", f"q{n}.2"]}
        for n in range(1, questions + 1)
    ]
    (folder / "question.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    references = [{"question_id": 1, "choices": [{"index": 0, "turns": ["r1", "r2"]}]}]
    (folder / "reference_answer.jsonl").write_text(json.dumps(references[0]) + "\n")
    spec = MtBenchSpec(data=".", mode="pairwise", baseline=baseline)
    return MtBench(spec, BenchmarkContext(folder, DataPlaces(), referee, 0))


def says(request: Request) -> Reply:
    """Each model answers with its name and the question."""
    last = request.prompt[-1]
    assert isinstance(last, Message)
    return Completion(text=f"{request.engine}: {last.content}\n")


def outcome_of(benchmark: MtBench, model: str, reply: Callable[[Request], Reply] = says) -> Outcome:
    return play(benchmark.flow(benchmark.samples()[0], model), reply)[0]


def scores(outcome: Outcome) -> dict[tuple[str, str], float]:
    return {(s.metric, s.part): s.value for s in outcome.scores}


def test_a_model_of_the_suite_is_asked_the_same_questions(tmp_path: Path) -> None:
    referee = Referee(lambda ours, theirs, part: 1.0 if part.startswith("turn_1") else 0.5)
    outcome = outcome_of(build(tmp_path, referee, "base"), "mine")
    ours = ("q1.1", "mine: q1.1", "q1.2", "mine: q1.2")
    theirs = ("q1.1", "base: q1.1", "q1.2", "base: q1.2")
    assert referee.seen == [
        (ours[:2], theirs[:2], ("r1",), "turn_1#base"),
        (ours, theirs, ("r1", "r2"), "turn_2#base"),
    ]
    assert (outcome.status, outcome.answers) == ("ok", (ours[1], ours[3]))
    assert scores(outcome) == {
        ("win_rate_adjusted", "turn_1#base"): 1.0,
        ("win_rate_adjusted", "turn_2#base"): 0.5,
        ("win_rate_adjusted_turn_1", "#base"): 1.0,
        ("win_rate_adjusted_turn_2", "#base"): 0.5,
        ("win_rate", "turn_1#base"): 1.0,
        ("win_rate", "turn_2#base"): 0.0,
        ("win_rate_turn_1", "#base"): 1.0,
        ("win_rate_turn_2", "#base"): 0.0,
        ("loss_rate", "turn_1#base"): 0.0,
        ("loss_rate", "turn_2#base"): 0.0,
        ("loss_rate_turn_1", "#base"): 0.0,
        ("loss_rate_turn_2", "#base"): 0.0,
    }


def answers_file(folder: Path, *questions: int) -> str:
    rows = [
        {"question_id": n, "choices": [{"index": 0, "turns": [f" old {n}.1", f"old {n}.2"]}]}
        for n in questions
    ]
    (folder / "old.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return "old.jsonl"


def test_recorded_answers_are_compared_as_they_stand(tmp_path: Path) -> None:
    referee = Referee()
    benchmark = build(tmp_path, referee, answers_file(tmp_path, 1))
    outcome, waves = play(benchmark.flow(benchmark.samples()[0], "mine"), says)
    assert [seen[1] for seen in referee.seen] == [
        ("q1.1", " old 1.1"),
        ("q1.1", " old 1.1", "q1.2", "old 1.2"),
    ]
    assert {r.engine for wave in waves for r in wave} == {"mine", "judge"}
    assert scores(outcome)["win_rate", "turn_2#old.jsonl"] == 1.0
    described = benchmark.describe()["baseline"]
    assert len(bytes.fromhex(described["old.jsonl"])) == 32


def test_every_model_meets_every_other_one(tmp_path: Path) -> None:
    referee = Referee()
    outcome = outcome_of(build(tmp_path, referee, "one", "two", "three"), "two")
    assert [seen[3] for seen in referee.seen] == [
        "turn_1#one",
        "turn_2#one",
        "turn_1#three",
        "turn_2#three",
    ]
    assert len(outcome.scores) == 4 * 6


def test_the_only_baseline_ties_with_itself(tmp_path: Path) -> None:
    """By FastChat's own rule, so nothing is asked."""
    referee = Referee()
    outcome = outcome_of(build(tmp_path, referee, "base"), "base")
    assert (outcome.status, outcome.judgments, referee.seen) == ("ok", (), [])
    assert {(s.metric.partition("_turn")[0], s.value) for s in outcome.scores} == {
        ("win_rate_adjusted", 0.5),
        ("win_rate", 0.0),
        ("loss_rate", 0.0),
    }
    assert len(outcome.scores) == 12


def test_a_match_without_verdict_is_counted_not_scored(tmp_path: Path) -> None:
    referee = Referee(lambda ours, theirs, part: None if part == "turn_1#base" else 0.0)
    outcome = outcome_of(build(tmp_path, referee, "base"), "mine")
    assert (outcome.status, outcome.error) == ("unparsable", "unreadable")
    assert scores(outcome)["loss_rate", "turn_2#base"] == 1.0
    assert not [key for key in scores(outcome) if "turn_1" in "".join(key)]


def test_an_opponent_that_fails_is_the_judgments_status(tmp_path: Path) -> None:
    def reply(request: Request) -> Reply:
        if request.engine == "base" and len(request.prompt) > 1:
            return RequestFailed("over_long", "8 tokens too many")
        return says(request)

    outcome = outcome_of(build(tmp_path, Referee(), "base"), "mine", reply)
    assert [(j.part, j.status, j.value) for j in outcome.judgments] == [
        ("turn_1#base", "ok", 1.0),
        ("turn_2#base", "over_long", None),
    ]
    assert (outcome.status, outcome.error) == ("over_long", "the baseline: 8 tokens too many")
    assert outcome.answers == ("mine: q1.1", "mine: q1.2")


def test_a_question_without_recorded_answer_is_excluded(tmp_path: Path) -> None:
    referee = Referee()
    outcome = outcome_of(build(tmp_path, referee, answers_file(tmp_path, 7)), "mine")
    assert (outcome.status, referee.seen, outcome.scores) == ("excluded", [], ())
    assert outcome.error == "the baseline: old.jsonl has no answer to question 1"
    assert [j.status for j in outcome.judgments] == ["excluded", "excluded"]


def test_without_an_answer_of_its_own_nobody_else_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(request: Request) -> Reply:
        asked.append(request.engine)
        return RequestFailed("over_long", "too long")

    outcome = outcome_of(build(tmp_path, Referee(), "base"), "mine", reply)
    assert (outcome.status, asked) == ("over_long", ["mine"])


def test_a_judge_that_cannot_compare_is_refused_at_once(tmp_path: Path) -> None:
    judge = find("judges", "rating_text").cls("weak", "judge", JudgeSpec())
    with pytest.raises(BenchmarkError, match=r"judge 'weak'.*`protocol: original`"):
        build(tmp_path, judge, "base").load()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mode": "pairwise"}, "needs `baseline`"),
        ({"baseline": ("base",)}, "mode 'single'"),
        ({"mode": "pairwise", "baseline": ("a", "b", "a")}, "names one twice"),
    ],
)
def test_mode_and_baseline_belong_together(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        MtBenchSpec.model_validate(settings)


def test_baselines_are_models_files_or_data_sets() -> None:
    names = ("gpt-3.5-turbo", "old.jsonl", "answers/old.json.gz", "mt_bench/model_answer/vicuna")
    assert MtBenchSpec(mode="pairwise", baseline=names).opponents == ("gpt-3.5-turbo",)
    assert MtBenchSpec().opponents == ()


def test_recorded_answers_that_are_not_there_say_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.jsonl"):
        build(tmp_path, Referee(), "nothing.jsonl").load()
    (tmp_path / "bad.jsonl").write_text('{"question_id": 1, "choices": [{"turns": ["one"]}]}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl:1: no two answers"):
        build(tmp_path, Referee(), "bad.jsonl").load()


# --- FastChat's table ------------------------------------------------------------------------

MODELS = ("one", "two", "three")
WORDS = {1.0: ("model_1", "model_1"), 0.0: ("model_2", "model_2"), None: ("error", "model_1")}
"""How FastChat writes a match down; a tie in either way is below."""
VALUES = st.sampled_from([1.0, 0.0, 0.5, None])
TIES = st.sampled_from([("tie", "tie"), ("model_1", "model_2"), ("model_2", "tie")])


def show_result(path: Path, baseline: str | None) -> dict[str, tuple[float, float, float]]:
    """Win, loss and adjusted win rate by model, as FastChat prints them."""
    import pandas as pd
    from fastchat.llm_judge import show_result as upstream

    options = Namespace(input_file=str(path), model_list=None, baseline_model=baseline)
    printed = io.StringIO()
    with redirect_stdout(printed), pd.option_context("display.precision", 15, "display.width", 500):
        upstream.display_result_pairwise(options)
    rows = [line.split() for line in printed.getvalue().splitlines()[3:]]
    return {row[0]: (float(row[4]), float(row[5]), float(row[6])) for row in rows}


def figures(found: Sequence[Estimate], metric: str) -> dict[str, float]:
    return {
        e.model: e.point / 100
        for e in found
        if e.metric == metric and e.category is None and e.point is not None
    }


Matches = Mapping[tuple[int, str, str, int], tuple[float | None, tuple[str, str]]]
"""By question, pair of models (in suite order) and turn: value for the first, words for a tie."""


def fastchat_rows(matches: Matches) -> list[dict[str, Any]]:
    return [
        {
            "question_id": question,
            "model_1": first,
            "model_2": second,
            "turn": turn,
            "g1_winner": words[0],
            "g2_winner": words[1],
        }
        for (question, first, second, turn), (value, tie) in matches.items()
        for words in [tie if value == 0.5 else WORDS[value]]
    ]


def our_estimates(folder: Path, matches: Matches, *baseline: str) -> list[Estimate]:
    def verdict(ours: str, theirs: str, part: str) -> float | None:
        (us, question), (them, _) = (said.split(": q") for said in (ours, theirs))
        number, turn = map(int, question.split("."))
        turned = MODELS.index(us) > MODELS.index(them)
        pair = (them, us) if turned else (us, them)
        value = matches[number, *pair, turn][0]
        return 1 - value if turned and value is not None else value

    benchmark = build(folder, Referee(verdict), *baseline, questions=3)
    records = [
        Record(model, "mt_bench", s.task, s.id, s.category, s.cluster, outcome)
        for model in MODELS
        for s in benchmark.samples()
        for outcome in [play(benchmark.flow(s, model), says)[0]]
    ]
    return estimates(records, {"mt_bench": {"mt_bench": benchmark.metrics("mt_bench")}}, 0.95)


PAIRS = [
    (question, first, second, turn)
    for question in (1, 2, 3)
    for first, second in (("one", "two"), ("one", "three"), ("two", "three"))
    for turn in (1, 2)
]


def has_verdicts(matches: Matches) -> bool:
    """In each turn both have one against three: show_result knows no model without any."""
    judged = {pair[1:] for pair, (value, _) in matches.items() if value is not None}
    return judged >= {(model, "three", turn) for model in ("one", "two") for turn in (1, 2)}


MATCHES = st.fixed_dictionaries({pair: st.tuples(VALUES, TIES) for pair in PAIRS})


@pytest.mark.slow
@given(matches=MATCHES.filter(has_verdicts), everyone=st.booleans())
def test_rates_are_those_fastchat_shows(
    tmp_path_factory: pytest.TempPathFactory, matches: Matches, everyone: bool
) -> None:
    """`pairwise-all`, or `pairwise-baseline` with model three; all pairs, then turn by turn."""
    folder = tmp_path_factory.mktemp("pairs")
    path = folder / "pair.jsonl"
    found = our_estimates(folder, matches, *(MODELS if everyone else ("three",)))
    rows = fastchat_rows(matches)
    for turns, suffix in (((1, 2), ""), ((1,), "_turn_1"), ((2,), "_turn_2")):
        shown = [row for row in rows if row["turn"] in turns]
        path.write_text("".join(json.dumps(row) + "\n" for row in shown))
        expected = show_result(path, None if everyone else "three")
        for place, name in enumerate(("win_rate", "loss_rate", "win_rate_adjusted")):
            ours = figures(found, name + suffix)
            if not everyone:
                assert ours.pop("three") == (0.5 if name == "win_rate_adjusted" else 0.0)
            assert ours == pytest.approx({model: row[place] for model, row in expected.items()})


@given(matches=MATCHES)
def test_matches_without_verdict_are_missing(
    tmp_path_factory: pytest.TempPathFactory, matches: Matches
) -> None:
    found = our_estimates(tmp_path_factory.mktemp("pairs"), matches, "three")
    lost = {
        model: sum(matches[q, model, "three", t][0] is None for q in (1, 2, 3) for t in (1, 2))
        for model in ("one", "two")
    }
    counted = {
        e.model: e.n_missing
        for e in found
        if e.metric == "win_rate_adjusted" and e.category is None and e.model != "three"
    }
    assert counted == lost


def test_a_plan_without_data_counts_both_orders(tmp_path: Path) -> None:
    (tmp_path / ".evalkit").mkdir()
    (tmp_path / "pairs.yaml").write_text(
        "name: pairs\n"
        "models: {mine: {role: candidate, path: mine}}\n"
        "engine: {type: fake}\n"
        'judges: {gpt-4: {type: openai, model: m, base_url: "http://127.0.0.1:9/v1"}}\n'
        "benchmarks:\n"
        "  - {type: mt_bench, judge: gpt-4, mode: pairwise, baseline: [old.jsonl]}\n"
        "  - {type: mt_bench, name: single, judge: gpt-4}\n"
    )
    done = evalkit(tmp_path, "run", "pairs.yaml", "--dry-run", "--json")
    assert done.code == 0, done.err
    counted = {(r["engine"], r["benchmark"]): r["requests"] for r in json.loads(done.out)["rows"]}
    assert counted == {
        ("mine", "mt_bench"): 160,
        ("judge:gpt-4", "mt_bench"): 320,
        ("mine", "single"): 160,
        ("judge:gpt-4", "single"): 160,
    }


def test_an_unknown_opponent_is_found_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "pairs.yaml").write_text(
        "name: pairs\n"
        "models: {mine: {role: candidate, path: mine}, zephyr: {role: baseline, path: z}}\n"
        "engine: {type: fake}\n"
        "judges: {gpt-4: {type: openai, model: gpt-4-0613}}\n"
        "benchmarks:\n"
        "  - {type: mt_bench, judge: gpt-4, mode: pairwise, baseline: [zefyr]}\n"
    )
    done = evalkit(tmp_path, "check", "pairs.yaml")
    assert done.code == 2
    assert "benchmarks.0.baseline: no model 'zefyr'" in done.err
    assert "did you mean 'zephyr'" in done.err
