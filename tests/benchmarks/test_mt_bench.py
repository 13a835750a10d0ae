"""MT-Bench's flow: turns, temperatures, references, and what is missing when something fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.benchmarks.mt_bench import GUIDED, TEMPERATURES, MtBench, MtBenchSpec
from evalkit.core import Completion, Flow, Json, Judgment, Message, Outcome, Reply, Request
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.data import require_available
from evalkit.errors import DataError, RequestFailed
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


def test_missing_ratings_can_be_counted(tmp_path: Path) -> None:
    """Expected scores per record are announced: the parts of each metric."""
    write(tmp_path, (1, "stem"))
    parts = {m.name: m.parts for m in build(tmp_path).metrics("mt_bench")}
    assert parts == {
        "score": ("turn_1", "turn_2"),
        "score_turn_1": ("",),
        "score_turn_2": ("",),
    }


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


def test_malformed_references_say_where(tmp_path: Path) -> None:
    write(tmp_path, (1, "math"))
    (tmp_path / "reference_answer.jsonl").write_text('{"question_id": 1, "choices": []}\n')
    with pytest.raises(DataError, match=r"reference_answer\.jsonl:1: no two reference answers"):
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
