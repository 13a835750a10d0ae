"""FastChat's judge: its own functions as oracle for prompts, ratings and winners.

FastChat's view of the judge stays `gpt-4`, and its function that talks to OpenAI (which no longer
works) is replaced by one that keeps the messages and returns a reply made up here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Completion, Message, Request
from evalkit.core.protocols import DataPlaces, JudgeContext
from evalkit.core.specs import JudgeSpec, LocalJudgeSpec
from evalkit.errors import DataError, RequestFailed
from evalkit.judges.rating_fastchat import FastChatJudge
from tests.support.flows import play

Asked = tuple[str, float, int, list[dict[str, str]]]
"""Model, temperature, max_tokens and messages as FastChat would send them."""

PIECES = st.sampled_from(["{answer}", "{answer_1}", "{ref_answer_1}", "{", "}", "{{x}}", "{0}"])
TEXT = st.lists(PIECES | st.text(max_size=8), max_size=4).map("".join)
TURNS = st.tuples(TEXT, TEXT)
REPLIES = st.lists(
    st.sampled_from(["[[A]]", "[[B]]", "[[C]]", "[[7]]", "[3]", "[[8.5]]", "[[0]]", "A", " "]),
    max_size=3,
).map("".join)


def conversation(questions: tuple[str, ...], answers: tuple[str, ...]) -> tuple[Message, ...]:
    pairs = zip(questions, answers, strict=True)
    return tuple(m for q, a in pairs for m in (Message("user", q), Message("assistant", a)))


def row(turns: tuple[str, ...]) -> dict[str, Any]:
    """An answer or a reference as FastChat stores it."""
    return {"choices": [{"index": 0, "turns": list(turns)}]}


@pytest.fixture(scope="module")
def judge(public_data: Path) -> FastChatJudge:
    context = JudgeContext(DataPlaces((public_data,)), {})
    return FastChatJudge("the judge", "its engine", JudgeSpec(), context)


class Upstream:
    """FastChat with a chat function of ours."""

    def __init__(self, common: Any, prompts: Mapping[str, Any]) -> None:
        self.common, self.prompts = common, prompts
        self.asked: list[Asked] = []
        self.replies: list[str] = []

    def chat(self, model: str, conv: Any, temperature: float, max_tokens: int) -> str:
        self.asked.append((model, temperature, max_tokens, conv.to_openai_api_messages()))
        return self.replies.pop(0)

    def judge(self, name: str) -> Any:
        return self.common.Judge("gpt-4", self.prompts[name])


@pytest.fixture(scope="module")
def upstream(public_data: Path) -> Iterator[Upstream]:
    from fastchat.llm_judge import common

    path = public_data / "mt_bench" / "judge_prompts.jsonl"
    found = Upstream(common, common.load_judge_prompts(str(path)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "chat_completion_openai", found.chat)
        yield found


def as_sent(request: Request) -> Asked:
    """A request of ours in the form of `Upstream.asked`."""
    assert not isinstance(request.prompt, str)
    messages = [{"role": m.role, "content": m.content} for m in request.prompt]
    return ("gpt-4", request.temperature, request.max_tokens, messages)


@dataclass(frozen=True)
class Case:
    """A question and what was said; `turn` is judged."""

    questions: tuple[str, str]
    ours: tuple[str, str]
    theirs: tuple[str, str]
    reference: tuple[str, str] | None
    turn: int

    @property
    def references(self) -> tuple[str, ...]:
        return (self.reference or ())[: self.turn]

    @property
    def upstream_reference(self) -> dict[str, Any] | None:
        return None if self.reference is None else row(self.reference)

    def talk(self, answers: tuple[str, str]) -> tuple[Message, ...]:
        return conversation(self.questions[: self.turn], answers[: self.turn])

    def prompt(self, plain: str, math: str) -> str:
        return (plain if self.reference is None else math) + "-multi-turn" * (self.turn == 2)


CASES = st.builds(Case, TURNS, TURNS, TURNS, st.none() | TURNS, st.sampled_from([1, 2]))


@pytest.mark.data
@pytest.mark.slow
@given(case=CASES, reply=REPLIES)
def test_ratings_are_asked_and_read_as_fastchat_does(
    judge: FastChatJudge, upstream: Upstream, case: Case, reply: str
) -> None:
    upstream.asked, upstream.replies = [], [reply]
    rating, _, _ = upstream.common.run_judge_single(
        {"turns": list(case.questions)},
        row(case.ours),
        upstream.judge(case.prompt("single-v1", "single-math-v1")),
        case.upstream_reference,
        multi_turn=case.turn == 2,
    )
    flow = judge.rate(case.talk(case.ours), case.references, "its part")
    judgment, waves = play(flow, lambda request: Completion(text=reply))
    assert [as_sent(request) for wave in waves for request in wave] == upstream.asked
    expected = rating if 1 <= rating <= 10 else None
    assert (judgment.value, judgment.part) == (expected, "its part")
    assert judgment.status == ("unparsable" if expected is None else "ok")


WINNERS = {"model_1": 1.0, "model_2": 0.0, "tie": 0.5}
"""`value` by FastChat's word for who won."""


def by_show_result(first: str, second: str) -> float | None:
    """A match's value by the rule of `show_result.display_result_pairwise`."""
    if "error" in (first, second):
        return None
    return 0.5 if first == "tie" or first != second else WINNERS[first]


@pytest.mark.data
@pytest.mark.slow
@given(case=CASES, replies=st.tuples(REPLIES, REPLIES))
def test_pairs_are_asked_and_read_as_fastchat_does(
    judge: FastChatJudge, upstream: Upstream, case: Case, replies: tuple[str, str]
) -> None:
    upstream.asked, upstream.replies = [], list(replies)
    played = upstream.common.play_a_match_pair(
        upstream.common.MatchPair(
            {"question_id": 81, "turns": list(case.questions)},
            "ours",
            "theirs",
            row(case.ours),
            row(case.theirs),
            upstream.judge(case.prompt("pair-v2", "pair-math-v1")),
            ref_answer=case.upstream_reference,
            multi_turn=case.turn == 2,
        ),
        output_file=None,
    )
    left = list(replies)
    flow = judge.match(case.talk(case.ours), case.talk(case.theirs), case.references, "its part")
    judgment, waves = play(flow, lambda request: Completion(text=left.pop(0)))
    assert [len(wave) for wave in waves] == [2]
    assert [as_sent(request) for request in waves[0]] == upstream.asked
    winners = played["g1_winner"], played["g2_winner"]
    assert judgment.value == by_show_result(*winners)
    if judgment.value is None:
        assert (judgment.status, judgment.votes) == ("unparsable", ())
    else:
        assert judgment.status == "ok"
        assert judgment.votes == tuple(WINNERS[winner] for winner in winners)
    assert [exchange.reply for exchange in judgment.exchanges] == list(replies)


# --- without FastChat ---------------------------------------------------------------------------


def test_prompts_that_are_not_here_are_named() -> None:
    judge = FastChatJudge("j", "e", JudgeSpec(), JudgeContext(DataPlaces(), {}))
    assert judge.data_needs() == ("mt_bench/judge_prompts",)
    with pytest.raises(DataError, match=r"mt_bench/judge_prompts[^\n]*\n.*evalkit data pull"):
        judge.load()


# --- Verdicts ------------------------------------------------------------------------------

TALK = conversation(("q",), ("ours",))
OTHER = conversation(("q",), ("theirs",))


@pytest.mark.data
@pytest.mark.parametrize(
    ("replies", "value", "votes"),
    [
        (("[[A]]", "[[B]]"), 1.0, (1.0, 1.0)),
        (("[[B]]", "[[A]]"), 0.0, (0.0, 0.0)),
        (("[[A]]", "[[A]]"), 0.5, (1.0, 0.0)),
        (("[[C]]", "[[C]]"), 0.5, (0.5, 0.5)),
        (("[[C]]", "[[B]]"), 0.5, (0.5, 1.0)),
        (("[[B]] or [[A]]", "so [[B]]."), 1.0, (1.0, 1.0)),
        (("[[A]]", "[B]"), None, ()),
        (("", "[[A]]"), None, ()),
    ],
)
def test_verdicts_of_both_orders(
    judge: FastChatJudge,
    replies: tuple[str, str],
    value: float | None,
    votes: tuple[float, ...],
) -> None:
    left = list(replies)
    flow = judge.match(TALK, OTHER, (), "turn_1#them")
    judgment, _ = play(flow, lambda request: Completion(text=left.pop(0)))
    assert (judgment.value, judgment.votes, judgment.part) == (value, votes, "turn_1#them")
    assert (judgment.error is None) == (value is not None)
    prompts = [exchange.prompt[1].content for exchange in judgment.exchanges]
    assert [p.index("ours") < p.index("theirs") for p in prompts] == [True, False]


@pytest.mark.data
def test_it_asks_its_engine_with_the_judges_settings(judge: FastChatJudge) -> None:
    (request,) = next(judge.rate(TALK, (), "turn_1"))
    assert (request.engine, request.kind, request.seed) == ("its engine", "generate", None)
    assert (request.temperature, request.max_tokens) == (0.0, 2048)
    spec = LocalJudgeSpec(model="tuned", judge_temperature=0.5, judge_max_tokens=99)
    own = FastChatJudge("j", "e", spec, judge._context)
    (request,) = next(own.rate(TALK, (), "turn_1"))
    assert (request.temperature, request.max_tokens) == (0.5, 99)
    assert request.seed is not None
    described = own.describe()
    assert (described["model"], described["temperature"], described["max_tokens"]) == (
        "tuned",
        0.5,
        99,
    )


@pytest.mark.data
def test_it_describes_its_prompts(judge: FastChatJudge) -> None:
    """The file's hash is the one published with FastChat's commit 0e6d3e4b."""
    described = judge.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["judge_prompts_sha256"] == (
        "fd283293406d024f44c174b094ef48031d0687a4682fd3a56b29b138f80281b6"
    )
    assert len(bytes.fromhex(described["prompt_sha256"])) == 32


@pytest.mark.data
def test_a_failed_request_passes_through(judge: FastChatJudge) -> None:
    for flow in (judge.rate(TALK, (), "turn_1"), judge.match(TALK, OTHER, (), "turn_1")):
        with pytest.raises(RequestFailed, match="gone"):
            play(flow, lambda request: RequestFailed("transport_error", "gone"))
