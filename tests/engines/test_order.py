"""The order of generations, and the names under which lengths are remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Completion, Message, Request
from evalkit.engines._order import (
    answer_lengths,
    cautious,
    expecting,
    length_names,
    work_order,
)

TEXTS = st.sampled_from(["", "a", "b", "a\n"])


@st.composite
def prompts(draw: st.DrawFn) -> str | tuple[Message, ...]:
    if draw(st.booleans()):
        return draw(TEXTS)
    system = [Message("system", draw(TEXTS))] if draw(st.booleans()) else []
    turns = draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=2))
    said = [m for u, a in turns for m in (Message("user", u), Message("assistant", a))]
    end = [Message("user", draw(TEXTS))]
    end += [Message("assistant", draw(TEXTS))] if draw(st.booleans()) else []
    return (*system, *said, *end)


def generate(prompt: str | tuple[Message, ...], max_tokens: int = 100, **more: Any) -> Request:
    return Request("m", "generate", prompt, max_tokens=max_tokens, **more)


def test_an_unknown_length_goes_before_a_short_one() -> None:
    known = generate("a", 1024, expected_tokens=30)
    unknown = generate("b", 1024)
    two_turns = generate("c", 1024, expected_tokens=2048)
    longest = generate("d", 2048)
    assert sorted([known, longest, unknown, two_turns], key=work_order) == [
        two_turns,
        longest,
        unknown,
        known,
    ]


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 5000))
def test_a_guess_counts_half_and_orders_like_the_guess(one: int, other: int, most: int) -> None:
    assert most // 2 <= cautious(one, most) <= most
    if min(one, most) + 1 < min(other, most):
        assert cautious(one, most) < cautious(other, most)


@given(prompts(), st.integers(0, 9))
def test_names_depend_on_the_question_only(prompt: Any, n: int) -> None:
    request = generate(prompt)
    other = replace(
        request, engine="n", max_tokens=n, temperature=0.7, seed=n, trial=n, stop=("x",)
    )
    assert length_names(request) == length_names(other)
    assert len({*length_names(request)}) == 2


@given(prompts(), prompts())
def test_other_questions_have_other_names(one: Any, other: Any) -> None:
    def asked(prompt: Any) -> Any:
        """Without what the model itself said before the end."""
        if isinstance(prompt, str):
            return prompt
        end = len(prompt) - 1
        return [
            (m.role, None if m.role == "assistant" and n < end else m.content)
            for n, m in enumerate(prompt)
        ]

    same = asked(one) == asked(other)
    assert (set(length_names(generate(one))) == set(length_names(generate(other)))) is same
    if not same:
        assert not set(length_names(generate(one))) & set(length_names(generate(other)))


@given(st.integers(1, 100), st.integers(1, 100), TEXTS, TEXTS)
def test_a_first_turn_expects_its_second(first: int, second: int, said: str, later: str) -> None:
    one = generate((Message("user", "q"),), expected_tokens=200)
    lengths: dict[str, int] = {}
    for answer, n in ((said, first), (later, second)):
        asked = generate((Message("user", "q"), Message("assistant", answer), Message("user", "r")))
        lengths |= answer_lengths(one, Completion(completion_tokens=first))
        lengths |= answer_lengths(asked, Completion(completion_tokens=n))
    (hinted,) = expecting([one], lengths)
    assert hinted.expected_tokens == (first + second + 200) // 2
    (last,) = expecting([asked], lengths)
    assert last.expected_tokens == (second + 100) // 2
    assert hinted == one


def test_what_is_unknown_or_no_generation_stays_as_it_is() -> None:
    scored = Request("m", "loglikelihood", "a", continuation="b")
    unknown = generate("never asked", expected_tokens=3)
    assert expecting([scored, unknown], {}) == [scored, unknown]
    assert expecting([unknown], {"other": 1})[0].expected_tokens == 3
    assert answer_lengths(scored, Completion(logprob=-1.0)) == {}
    assert answer_lengths(unknown, Completion("no count")) == {}
