"""From replies to judgments: known answers, and FastChat's own patterns as oracle."""

from __future__ import annotations

import ast
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Completion, Judgment, Message, Request
from evalkit.core.specs import JudgeSpec
from evalkit.judges.pairwise_logprob import PairwiseLogprob
from evalkit.judges.pairwise_text import PairwiseText
from evalkit.judges.rating_logprob import RatingLogprob
from evalkit.judges.rating_text import RatingText
from tests.support.flows import play

TALK = (Message("user", "q"), Message("assistant", "a"))
logprobs = st.floats(-60, 0)


def pairwise(answers: dict[tuple[bool, str], float]) -> tuple[Judgment, list[list[Request]]]:
    """Judge with log-probabilities by (answer shown first, letter)."""

    def reply(request: Request) -> Completion:
        content = request.prompt[0].content if not isinstance(request.prompt, str) else ""
        first = content.index("the answer") < content.index("the reference")
        return Completion(logprob=answers[first, request.continuation.strip()])

    judge = PairwiseLogprob("j", "e", JudgeSpec())
    return play(judge.compare("q", "the answer", "the reference"), reply)


def test_pairwise_known_answer() -> None:
    """Probabilities .6/.2 for A/B when first, .1/.3 when second: votes .75 and .75."""
    judgment, waves = pairwise(
        {
            (True, "A"): math.log(0.6),
            (True, "B"): math.log(0.2),
            (False, "A"): math.log(0.1),
            (False, "B"): math.log(0.3),
        }
    )
    assert judgment.votes == pytest.approx((0.75, 0.75))
    assert judgment.value == pytest.approx(0.75)
    assert judgment.exchanges[0].reply == "A=-0.510826 B=-1.609438"
    assert len(waves) == 1
    assert [r.continuation for r in waves[0]] == [" A", " B", " A", " B"]
    for request in waves[0]:
        assert request.kind == "loglikelihood"
        assert not isinstance(request.prompt, str)
        assert request.prompt[-1].role == "assistant"
        assert not request.prompt[-1].content.endswith(" ")


@given(logprobs, logprobs, logprobs, logprobs)
def test_pairwise_swaps_and_position_bias(a: float, b: float, c: float, d: float) -> None:
    judgment, _ = pairwise({(True, "A"): a, (True, "B"): b, (False, "A"): c, (False, "B"): d})
    swapped, _ = pairwise({(True, "A"): c, (True, "B"): d, (False, "A"): a, (False, "B"): b})
    assert judgment.value is not None
    assert swapped.value is not None
    assert 0 <= judgment.value <= 1
    assert judgment.value + swapped.value == pytest.approx(1)
    only_place, _ = pairwise({(True, "A"): a, (True, "B"): b, (False, "A"): a, (False, "B"): b})
    assert only_place.value == pytest.approx(0.5)


def test_pairwise_survives_extremes() -> None:
    low = {(True, "A"): -5e5, (True, "B"): -1.0, (False, "A"): -1.0, (False, "B"): -math.inf}
    judgment, _ = pairwise(low)
    assert judgment.value == pytest.approx(0.0)


@given(st.lists(st.floats(0.001, 1), min_size=10, max_size=10))
def test_expected_rating(weights: list[float]) -> None:
    """Against the definition, computed with probabilities instead of their logarithms."""

    def reply(request: Request) -> Completion:
        n = int(request.continuation.removesuffix("]]"))
        return Completion(logprob=math.log(weights[n - 1]))

    judgment, waves = play(RatingLogprob("j", "e", JudgeSpec()).rate(TALK, (), "turn_1"), reply)
    expected = sum((i + 1) * w for i, w in enumerate(weights)) / sum(weights)
    assert judgment.value == pytest.approx(expected)
    assert [len(wave) for wave in waves] == [10]
    continuations = [request.continuation for request in waves[0]]
    for one in continuations:
        assert not any(other != one and other.startswith(one) for other in continuations)


@pytest.mark.parametrize(
    ("replies", "votes"),
    [
        (("so [[A]]", "so [[B]]"), (1.0, 1.0)),
        (("so [[A]]", "so [[A]]"), (1.0, 0.0)),
        (("[[C]]", "**[[B]]**."), (0.5, 1.0)),
        (("[[B]]", "[[A]]"), (0.0, 0.0)),
        (("[[A]] no, [[B]]", "[[A]]"), None),
        (("[[A]] yes, [[A]]", "[[A]]"), None),
        (("[[A]]", "A is better"), None),
        (("[[D]]", "[[A]]"), None),
        (("[A]", "[[A]]"), None),
        (("[[a]]", "[[A]]"), None),
        (("", "[[A]]"), None),
    ],
)
def test_written_verdicts(replies: tuple[str, str], votes: tuple[float, float] | None) -> None:
    queue = list(replies)
    flow = PairwiseText("j", "e", JudgeSpec()).compare("q", "one", "two")
    judgment, _ = play(flow, lambda request: Completion(text=queue.pop(0)))
    assert [e.reply for e in judgment.exchanges] == list(replies)
    if votes is None:
        assert (judgment.status, judgment.value, judgment.votes) == ("unparsable", None, ())
    else:
        assert judgment.status == "ok"
        assert judgment.votes == votes
        assert judgment.value == sum(votes) / 2


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("Good. Rating: [[7]]", 7),
        ("[[8.5]]", 8.5),
        ("[[9.]]", 9),
        ("[6]", 6),
        ("[3] but in all [[5]]", 5),
        ("[[2]] or [[9]]", 2),
        ("[[10]]", 10),
        ("[[1]]", 1),
        ("[[0]]", None),
        ("[[11]]", None),
        ("[[0.99]]", None),
        ("[[-3]]", None),
        ("[[08]]", None),
        ("[[\u0667]]", None),
        ("[[" + "9" * 5000 + "]]", None),
        ("seven", None),
        ("[[7/10]]", None),
        ("", None),
    ],
)
def test_written_ratings(reply: str, value: float | None) -> None:
    flow = RatingText("j", "e", JudgeSpec()).rate(TALK, (), "turn_2")
    judgment, _ = play(flow, lambda request: Completion(text=reply))
    assert (judgment.value, judgment.part) == (value, "turn_2")
    assert judgment.status == ("unparsable" if value is None else "ok")
    assert (judgment.error is None) == (value is not None)


def read_rating(reply: str) -> float | None:
    flow = RatingText("j", "e", JudgeSpec()).rate(TALK, (), "")
    return play(flow, lambda request: Completion(text=reply))[0].value


@pytest.fixture(scope="module")
def fastchat() -> tuple[re.Pattern[str], re.Pattern[str]]:
    from fastchat.llm_judge import common

    return common.one_score_pattern, common.one_score_pattern_backup


def as_fastchat(patterns: tuple[re.Pattern[str], re.Pattern[str]], reply: str) -> float | None:
    """FastChat's own steps; -1, a crash and numbers off the scale become None."""
    match = re.search(patterns[0], reply) or re.search(patterns[1], reply)
    try:
        rating = ast.literal_eval(match.groups()[0]) if match else -1
    except (SyntaxError, ValueError):
        return None
    return float(rating) if 1 <= rating <= 10 else None


@pytest.mark.slow
@given(
    st.lists(
        st.sampled_from(["[[", "]]", "[", "]", "7", "10", "0", ".", ".5", " ", "A", ","])
        | st.text(max_size=3),
        max_size=12,
    ).map("".join)
)
def test_ratings_are_read_as_fastchat_reads_them(
    fastchat: tuple[re.Pattern[str], re.Pattern[str]], reply: str
) -> None:
    assert read_rating(reply) == as_fastchat(fastchat, reply)


@pytest.mark.data
def test_real_judgments_keep_their_scores(public_data: Path) -> None:
    """GPT-4's judgments of real models: text and the score FastChat stored for it."""
    path = public_data / "mt_bench" / "model_judgment" / "gpt-4_single.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) > 100
    for row in rows:
        expected = row["score"] if row["score"] != -1 else None
        assert read_rating(row["judgment"]) == expected
