"""MT-Bench: turns, temperatures, references, what is missing where something fails, and pairs.

Oracles: FastChat's tables of temperatures and guided categories, and the rates it shows.
"""

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

from evalkit.benchmarks.mt_bench import GUIDED, TEMPERATURES, MtBench, MtBenchSpec
from evalkit.comparison.figures import figures
from evalkit.core import (
    Completion,
    Flow,
    Json,
    Judgment,
    Message,
    Outcome,
    Record,
    Reply,
    Request,
)
from evalkit.core.figures import Figure, FigureKey
from evalkit.core.protocols import BenchmarkContext, DataPlaces, Panel
from evalkit.core.specs import JudgeSpec
from evalkit.data import require_available
from evalkit.errors import BenchmarkError, DataError, RequestFailed
from evalkit.plugins import find
from tests.support.cli import evalkit
from tests.support.compared import entry
from tests.support.flows import play

Seen = tuple[tuple[Message, ...], tuple[str, ...], str]


class KnownJudge:
    """Gives the rating it was told for each part, None being unparsable; keeps what it saw."""

    name = "known"
    protocol = "known"

    def __init__(self, ratings: Mapping[str, float | None]) -> None:
        self.seen: list[Seen] = []
        self._ratings = ratings

    def rate(
        self, conversation: Sequence[Message], reference: Sequence[str], part: str
    ) -> Flow[Judgment]:
        self.seen.append((tuple(conversation), tuple(reference), part))
        yield [Request("judge", "generate", tuple(conversation))]
        value = self._ratings[part]
        status: Any = "unparsable" if value is None else "ok"
        error = "unreadable" if value is None else None
        return Judgment(self.name, self.protocol, status, value, part, error=error)

    def describe(self) -> Mapping[str, Json]:
        return {"protocol": self.protocol}


def write(folder: Path, *questions: tuple[int, str], references: Sequence[int] = ()) -> None:
    rows = [
        {"question_id": n, "category": c, "turns": [f"q{n}.1", f"q{n}.2"]} for n, c in questions
    ]
    (folder / "question.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    answers = [
        {"question_id": n, "choices": [{"index": 0, "turns": [f"r{n}.1", f"r{n}.2"]}]}
        for n in references
    ]
    if answers:
        text = "".join(json.dumps(a) + "\n" for a in answers)
        (folder / "reference_answer.jsonl").write_text(text)


def build(folder: Path, judge: KnownJudge | None = None, seed: int = 0, **settings: Any) -> MtBench:
    spec = MtBenchSpec(data=".", **settings)
    return MtBench(spec, BenchmarkContext(folder, DataPlaces(), judge, seed))


def echo(request: Request) -> Reply:
    """The model answers a question with its own words; the judge's reply does not matter."""
    return Completion(text=f" to {request.prompt[-1].content}\n")  # type: ignore[union-attr]


def run(
    folder: Path,
    ratings: Mapping[str, float | None],
    reply: Callable[[Request], Reply] = echo,
) -> tuple[Outcome, KnownJudge]:
    judge = KnownJudge(ratings)
    benchmark = build(folder, judge)
    outcome, _ = play(benchmark.flow(benchmark.samples()[0], "m"), reply)
    return outcome, judge


BOTH = {"turn_1": 8.0, "turn_2": 5.5}


def test_two_turns_and_two_ratings(tmp_path: Path) -> None:
    write(tmp_path, (7, "math"), references=[7])
    outcome, judge = run(tmp_path, BOTH)
    said = (
        Message("user", "q7.1"),
        Message("assistant", "to q7.1"),
        Message("user", "q7.2"),
        Message("assistant", "to q7.2"),
    )
    assert (outcome.status, outcome.error, outcome.conversation) == ("ok", None, said)
    assert outcome.answers == ("to q7.1", "to q7.2")
    assert [(s.metric, s.part, s.value) for s in outcome.scores] == [
        ("score", "turn_1", 8.0),
        ("score_turn_1", "", 8.0),
        ("score", "turn_2", 5.5),
        ("score_turn_2", "", 5.5),
    ]
    assert judge.seen == [
        (said[:2], ("r7.1",), "turn_1"),
        (said, ("r7.1", "r7.2"), "turn_2"),
    ]


def test_the_second_question_follows_the_first_answer(tmp_path: Path) -> None:
    write(tmp_path, (1, "writing"))
    benchmark = build(tmp_path, KnownJudge(BOTH), system="be kind")
    _, waves = play(benchmark.flow(benchmark.samples()[0], "m"), echo)
    first, second = (wave[0] for wave in waves[:2])
    assert [m.role for m in first.prompt if not isinstance(m, str)] == ["system", "user"]
    assert [m.content for m in second.prompt if not isinstance(m, str)] == [
        "be kind",
        "q1.1",
        "to q1.1",
        "q1.2",
    ]
    assert (first.max_tokens, first.temperature) == (1024, 0.7)
    assert first.seed != second.seed


def test_an_unreadable_turn_leaves_the_other_scored(tmp_path: Path) -> None:
    write(tmp_path, (1, "stem"))
    outcome, _ = run(tmp_path, {"turn_1": None, "turn_2": 4.0})
    assert (outcome.status, outcome.error) == ("unparsable", "unreadable")
    assert [(s.metric, s.part) for s in outcome.scores] == [
        ("score", "turn_2"),
        ("score_turn_2", ""),
    ]
    assert [j.status for j in outcome.judgments] == ["unparsable", "ok"]


def test_a_failed_second_question_leaves_the_first_scored(tmp_path: Path) -> None:
    write(tmp_path, (1, "stem"))

    def reply(request: Request) -> Reply:
        too_long = request.engine == "m" and len(request.prompt) > 1
        return RequestFailed("over_long", "8 tokens too many") if too_long else echo(request)

    outcome, _ = run(tmp_path, BOTH, reply)
    assert (outcome.status, outcome.error) == ("over_long", "8 tokens too many")
    assert outcome.answers == ("to q1.1",)
    assert [(s.metric, s.part) for s in outcome.scores] == [
        ("score", "turn_1"),
        ("score_turn_1", ""),
    ]
    assert [m.content for m in outcome.conversation] == ["q1.1", "to q1.1", "q1.2"]


@pytest.mark.parametrize("cut", [0, 1])
def test_truncation_of_either_turn_is_marked(tmp_path: Path, cut: int) -> None:
    write(tmp_path, (1, "stem"))

    def reply(request: Request) -> Reply:
        turn = (len(request.prompt) - 1) // 2
        return Completion(text="a", truncated=request.engine == "m" and turn == cut)

    outcome, _ = run(tmp_path, BOTH, reply)
    assert (outcome.truncated, outcome.status) == (True, "ok")
    assert not run(tmp_path, BOTH)[0].truncated


@pytest.mark.slow
def test_temperatures_and_guided_categories_are_fastchats() -> None:
    from fastchat.llm_judge import common

    # arena-hard-200 is another benchmark in the same table.
    other = "arena-hard-200"
    assert {k: v for k, v in common.temperature_config.items() if k != other} == TEMPERATURES
    assert {c for c in common.NEED_REF_CATS if c != other} == GUIDED


def test_sampled_turns_have_stable_seeds(tmp_path: Path) -> None:
    write(tmp_path, (1, "writing"), (2, "math"), (3, "humanities"), (4, "cooking"))

    def first(seed: int) -> list[Request]:
        benchmark = build(tmp_path, KnownJudge(BOTH), seed)
        return [next(benchmark.flow(sample, "m"))[0] for sample in benchmark.samples()]

    assert [r.temperature for r in first(0)] == [0.7, 0.0, 0.1, 0.7]
    seeds = [r.seed for r in first(0)]
    assert seeds[1] is None
    assert len({s for s in seeds if s is not None}) == 3
    assert [r.seed for r in first(0)] == seeds
    assert [r.seed for r in first(1)] != seeds
    # Known value: a change of the rule would change every sampled answer of every stored run.
    assert seeds[0] == 1868310846


def test_references_guide_their_categories_only(tmp_path: Path) -> None:
    write(tmp_path, (1, "math"), (2, "coding"), (3, "stem"), references=[1, 3])
    benchmark = build(tmp_path)
    assert [s.reference for s in benchmark.samples()] == [("r1.1", "r1.2"), (), ()]
    described = benchmark.describe()
    assert described["data"]["with_reference"] == 1
    assert described["data"]["reference_sha256"]


def test_own_data_may_lack_references_the_mirror_may_not(tmp_path: Path) -> None:
    folder = tmp_path / "mt_bench"
    folder.mkdir()
    write(folder, (1, "math"))
    assert build(folder).samples()[0].reference == ()
    spec = MtBenchSpec()
    with pytest.raises(DataError, match="is not the data set 'mt_bench/question'"):
        MtBench(spec, BenchmarkContext(tmp_path, DataPlaces((tmp_path,)), None, 0)).load()
    with pytest.raises(DataError, match="mt_bench/reference_answer/gpt-4"):
        require_available(
            MtBench(spec, BenchmarkContext(tmp_path, DataPlaces(), None, 0)).data_needs(),
            DataPlaces(),
        )


def test_the_question_file_itself_may_be_named(tmp_path: Path) -> None:
    write(tmp_path, (1, "math"), references=[1])
    for name in ("question.jsonl", "./question.jsonl"):
        spec = MtBenchSpec(data=name)
        benchmark = MtBench(spec, BenchmarkContext(tmp_path, DataPlaces(), None, 0))
        assert benchmark.samples()[0].reference == ("r1.1", "r1.2")


def test_a_question_file_may_have_another_name(tmp_path: Path) -> None:
    write(tmp_path, (1, "math"), references=[1])
    (tmp_path / "question.jsonl").rename(tmp_path / "my_question.jsonl")
    spec = MtBenchSpec(data="my_question.jsonl")
    benchmark = MtBench(spec, BenchmarkContext(tmp_path, DataPlaces(), None, 0))
    assert benchmark.samples()[0].reference == ("r1.1", "r1.2")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"turns": ["one"]}, "not two strings"),
        ({"turns": ["one", 2]}, "not two strings"),
        ({"question_id": 1}, "occurs twice"),
        ({"question_id": "2"}, "expected int"),
        ({"category": None}, "expected str"),
    ],
)
def test_malformed_questions_say_where(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    good = {"question_id": 1, "category": "stem", "turns": ["a", "b"]}
    rows = [good, {**good, "question_id": 2, **row}]
    (tmp_path / "question.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(DataError, match=rf"question\.jsonl:2: .*{says}"):
        build(tmp_path).load()


@pytest.mark.data
def test_public_questions_and_references(public_data: Path) -> None:
    """80 questions, ten a category; references for the 30 guided ones."""
    benchmark = MtBench(
        MtBenchSpec(), BenchmarkContext(public_data, DataPlaces((public_data,)), None, 0)
    )
    samples = benchmark.samples()
    assert len(samples) == 80
    guided = [s for s in samples if s.category in GUIDED]
    assert len(guided) == 30
    assert all(len(s.reference) == 2 for s in guided)
    assert {s.category for s in samples} == set(TEMPERATURES)


# --- pairs of conversations: who is compared with whom, what is missing, FastChat's rates ---------


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


def build_pairs(folder: Path, referee: Any, *baseline: str, questions: int = 1) -> MtBench:
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


def score_values(outcome: Outcome) -> dict[tuple[str, str], float]:
    return {(s.metric, s.part): s.value for s in outcome.scores}


def test_a_model_of_the_suite_is_asked_the_same_questions(tmp_path: Path) -> None:
    referee = Referee(lambda ours, theirs, part: 1.0 if part.startswith("turn_1") else 0.5)
    outcome = outcome_of(build_pairs(tmp_path, referee, "base"), "mine")
    ours = ("q1.1", "mine: q1.1", "q1.2", "mine: q1.2")
    theirs = ("q1.1", "base: q1.1", "q1.2", "base: q1.2")
    assert referee.seen == [
        (ours[:2], theirs[:2], ("r1",), "turn_1#base"),
        (ours, theirs, ("r1", "r2"), "turn_2#base"),
    ]
    assert (outcome.status, outcome.answers) == ("ok", (ours[1], ours[3]))
    assert score_values(outcome) == {
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


@pytest.mark.parametrize(("minimum", "turn_2"), [(2, [2 / 3]), (3, [])])
def test_pairs_judged_by_a_panel(tmp_path: Path, minimum: int, turn_2: list[float]) -> None:
    """The mean of a win, a tie and, in the first turn, a loss; in the second nothing readable."""

    def judge(name: str, first: float, second: float | None) -> Referee:
        made = Referee(lambda ours, theirs, part: first if part.startswith("turn_1") else second)
        made.name = name
        return made

    judges = (judge("a", 1.0, 1.0), judge("b", 0.5, 1 / 3), judge("c", 0.0, None))
    benchmark = build_pairs(tmp_path, Panel(judges, minimum), "base")
    outcome, waves = play(benchmark.flow(benchmark.samples()[0], "mine"), says)
    assert [len(wave) for wave in waves if wave[0].engine == "judge"] == [3, 3]
    found = score_values(outcome)
    assert found["win_rate_adjusted", "turn_1#base"] == 0.5
    assert [v for of, v in found.items() if of == ("win_rate_adjusted", "turn_2#base")] == (
        pytest.approx(turn_2)
    )
    assert outcome.status == ("ok" if turn_2 else "unparsable")
    named = [(j.judge, j.part) for j in outcome.judgments]
    assert named == [(n, f"turn_{t}#base") for t in (1, 2) for n in "abc"]


def answers_file(folder: Path, *questions: int) -> str:
    rows = [
        {"question_id": n, "choices": [{"index": 0, "turns": [f" old {n}.1", f"old {n}.2"]}]}
        for n in questions
    ]
    (folder / "old.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return "old.jsonl"


def test_recorded_answers_are_compared_as_they_stand(tmp_path: Path) -> None:
    referee = Referee()
    benchmark = build_pairs(tmp_path, referee, answers_file(tmp_path, 1))
    outcome, waves = play(benchmark.flow(benchmark.samples()[0], "mine"), says)
    assert [seen[1] for seen in referee.seen] == [
        ("q1.1", " old 1.1"),
        ("q1.1", " old 1.1", "q1.2", "old 1.2"),
    ]
    assert {r.engine for wave in waves for r in wave} == {"mine", "judge"}
    assert score_values(outcome)["win_rate", "turn_2#old.jsonl"] == 1.0
    described = benchmark.describe()["baseline"]
    assert len(bytes.fromhex(described["old.jsonl"])) == 32


def test_every_model_meets_every_other_one(tmp_path: Path) -> None:
    referee = Referee()
    outcome = outcome_of(build_pairs(tmp_path, referee, "one", "two", "three"), "two")
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
    outcome = outcome_of(build_pairs(tmp_path, referee, "base"), "base")
    assert (outcome.status, outcome.judgments, referee.seen) == ("ok", (), [])
    assert {(s.metric.partition("_turn")[0], s.value) for s in outcome.scores} == {
        ("win_rate_adjusted", 0.5),
        ("win_rate", 0.0),
        ("loss_rate", 0.0),
    }
    assert len(outcome.scores) == 12


def test_an_opponent_that_fails_is_the_judgments_status(tmp_path: Path) -> None:
    def reply(request: Request) -> Reply:
        if request.engine == "base" and len(request.prompt) > 1:
            return RequestFailed("over_long", "8 tokens too many")
        return says(request)

    outcome = outcome_of(build_pairs(tmp_path, Referee(), "base"), "mine", reply)
    assert [(j.part, j.status, j.value) for j in outcome.judgments] == [
        ("turn_1#base", "ok", 1.0),
        ("turn_2#base", "over_long", None),
    ]
    assert (outcome.status, outcome.error) == ("over_long", "the baseline: 8 tokens too many")
    assert outcome.answers == ("mine: q1.1", "mine: q1.2")


def test_a_question_without_recorded_answer_is_excluded(tmp_path: Path) -> None:
    referee = Referee()
    outcome = outcome_of(build_pairs(tmp_path, referee, answers_file(tmp_path, 7)), "mine")
    assert (outcome.status, referee.seen, outcome.scores) == ("excluded", [], ())
    assert outcome.error == "the baseline: old.jsonl has no answer to question 1"
    assert [j.status for j in outcome.judgments] == ["excluded", "excluded"]


def test_without_an_answer_of_its_own_nobody_else_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(request: Request) -> Reply:
        asked.append(request.engine)
        return RequestFailed("over_long", "too long")

    outcome = outcome_of(build_pairs(tmp_path, Referee(), "base"), "mine", reply)
    assert (outcome.status, asked) == ("over_long", ["mine"])


def test_a_judge_that_cannot_compare_is_refused_at_once(tmp_path: Path) -> None:
    judge = find("judges", "rating_text").cls("weak", "judge", JudgeSpec())
    with pytest.raises(BenchmarkError, match=r"judge 'weak'.*`protocol: original`"):
        build_pairs(tmp_path, judge, "base").load()


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
        build_pairs(tmp_path, Referee(), "nothing.jsonl").load()
    (tmp_path / "bad.jsonl").write_text('{"question_id": 1, "choices": [{"turns": ["one"]}]}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl:1: no two answers"):
        build_pairs(tmp_path, Referee(), "bad.jsonl").load()


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


def rates(found: Sequence[Figure], metric: str) -> dict[str, float]:
    return {
        f.model: f.value.point / 100
        for f in found
        if f.key == FigureKey("mt_bench", "mt_bench", metric) and f.value.point is not None
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


def our_figures(folder: Path, matches: Matches, *baseline: str) -> list[Figure]:
    def verdict(ours: str, theirs: str, part: str) -> float | None:
        (us, question), (them, _) = (said.split(": q") for said in (ours, theirs))
        number, turn = map(int, question.split("."))
        turned = MODELS.index(us) > MODELS.index(them)
        pair = (them, us) if turned else (us, them)
        value = matches[number, *pair, turn][0]
        return 1 - value if turned and value is not None else value

    benchmark = build_pairs(folder, Referee(verdict), *baseline, questions=3)
    records = [
        Record(model, "mt_bench", s.task, s.id, s.category, s.cluster, outcome)
        for model in MODELS
        for s in benchmark.samples()
        for outcome in [play(benchmark.flow(s, model), says)[0]]
    ]
    metrics = benchmark.metrics("mt_bench")
    return figures(records, [entry(*metrics, name="mt_bench", task="mt_bench")], 0.95)


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
    found = our_figures(folder, matches, *(MODELS if everyone else ("three",)))
    rows = fastchat_rows(matches)
    for turns, suffix in (((1, 2), ""), ((1,), "_turn_1"), ((2,), "_turn_2")):
        shown = [row for row in rows if row["turn"] in turns]
        path.write_text("".join(json.dumps(row) + "\n" for row in shown))
        expected = show_result(path, None if everyone else "three")
        for place, name in enumerate(("win_rate", "loss_rate", "win_rate_adjusted")):
            ours = rates(found, name + suffix)
            if not everyone:
                assert ours.pop("three") == (0.5 if name == "win_rate_adjusted" else 0.0)
            assert ours == pytest.approx({model: row[place] for model, row in expected.items()})


@given(matches=MATCHES)
def test_matches_without_verdict_are_missing(
    tmp_path_factory: pytest.TempPathFactory, matches: Matches
) -> None:
    found = our_figures(tmp_path_factory.mktemp("pairs"), matches, "three")
    lost = {
        model: sum(matches[q, model, "three", t][0] is None for q in (1, 2, 3) for t in (1, 2))
        for model in ("one", "two")
    }
    counted = {
        f.model: f.value.n_missing
        for f in found
        if f.key == FigureKey("mt_bench", "mt_bench", "win_rate_adjusted") and f.model != "three"
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
    done = evalkit(tmp_path, "plan", "pairs.yaml", "--json")
    assert done.code == 0, done.err
    counted = {(r["engine"], r["benchmark"]): r["requests"] for r in json.loads(done.out)["rows"]}
    assert counted == {
        ("mine", "mt_bench"): 160,
        ("judge:gpt-4", "mt_bench"): 352,
        ("mine", "single"): 160,
        ("judge:gpt-4", "single"): 176,
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
