"""Where a text is divided into thought and answer."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.specs import ModelSpec, ThinkingSpec
from evalkit.core.thoughts import KNOWN, Marks, Separated, marks_in, odd_mark, separate

THINK = Marks("<think>", "</think>")


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>\nTwo and three.\n</think>\n\n5", "Two and three.", "5"),
        ("\n<think>a</think>5", "a", "5"),
        ("a\n</think>\n\n5", "a", "5"),  # the prompt ended with the start mark
        ("<think></think>\n\n5", "", "5"),
        ("<think>a</think>b\n<think>c</think>d", "a</think>b\n<think>c", "d"),
        ("\n\n</think>\n\n</think>\n\n5", "</think>", "5"),  # closed twice
        ("<think>a</think>\n\n\n  5\n", "a", "\n  5\n"),
        ("<think>a</think>", "a", ""),
        ("<think>a</think>write <think> first", "a", "write <think> first"),
        ("No thought at all. ", "", "No thought at all. "),
        ("The mark <think> opens it", "", "The mark <think> opens it"),
        ("", "", ""),
    ],
)
def test_the_answer_follows_the_last_end_mark(text: str, thought: str, answer: str) -> None:
    assert separate(text, THINK) == Separated(thought, answer)


@pytest.mark.parametrize(
    "text", ["<think>a", " <think> a\nb", "<think>a</think>b\n<think>c", "Well.\n<think>c"]
)
def test_a_thought_that_does_not_end_leaves_no_answer(text: str) -> None:
    found = separate(text, THINK)
    assert found.unfinished
    assert found.answer == ""


def test_a_thought_that_the_template_opened() -> None:
    assert separate("a\n</think>\n\n5", THINK, opened=True) == Separated("a", "5")
    assert separate("a [[9]]", THINK, opened=True) == Separated("a [[9]]", "", unfinished=True)
    assert separate("", THINK, opened=True).unfinished


texts = st.text(st.sampled_from("ab <>/think\n"), max_size=40)


@given(texts, texts, st.sampled_from(KNOWN), st.booleans())
def test_what_is_put_together_is_separated(
    thought: str, answer: str, marks: Marks, opened: bool
) -> None:
    clean = {thought, answer}
    if any(mark in text for text in clean for mark in (marks.start, marks.end)):
        return
    start = "" if opened else marks.start
    # The mark must not arise where the parts meet.
    whole = f"{start}\n{thought}\n{marks.end}\n\n{answer}"
    assert separate(whole, marks, opened=opened) == Separated(thought.strip(), answer)


@given(st.text(max_size=60), st.sampled_from(KNOWN))
def test_a_text_without_marks_is_unchanged(text: str, marks: Marks) -> None:
    if marks.start in text or marks.end in text:
        return
    assert separate(text, marks) == Separated("", text)


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "\n", " "]), max_size=12))
def test_the_answer_is_what_lm_eval_would_score(parts: list[str]) -> None:
    """But for blanks before it, as `postprocess_generated_text` of lm-eval 0.4.13 does it."""
    text = "".join(parts)
    found = separate(text, THINK)
    if not found.unfinished:
        assert found.answer.lstrip() == text.split("</think>")[-1].lstrip()


@pytest.mark.parametrize(
    "unit", ["<think>", "</think>", "\n", " ", "<think>\n", "</think", "\n \n"]
)
def test_time_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * size
        begin = time.process_time()
        separate(text, THINK)
        marks_in(text)
        return time.process_time() - begin

    assert seconds(200_000) < 1.0


def test_what_a_suite_may_say_of_thoughts() -> None:
    assert ThinkingSpec(start="<a>", end="</a>").marks == Marks("<a>", "</a>")
    assert ThinkingSpec(budget=5).marks is None
    for wrong in ({"start": "<a>"}, {"end": "</a>"}, {"start": "*", "end": "*"}, {"budget": 0}):
        with pytest.raises(ValueError, match=r"start|budget"):
            ThinkingSpec.model_validate(wrong)
    with pytest.raises(ValueError, match="'tokenize' is set by evalkit itself"):
        ModelSpec(path="x", chat_template_kwargs={"tokenize": True})
    # A run from before is the same run.
    assert "thinking" not in ModelSpec(path="x").model_dump()
    assert "chat_template_kwargs" not in ModelSpec(path="x").model_dump()
    assert ModelSpec(path="x", thinking=ThinkingSpec(budget=5)).model_dump()["thinking"]


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("<think>a", "<think>"),
        ("\n<reasoning>\na", "<reasoning>"),
        ("[THOUGHTS] a", "[THOUGHTS]"),
        ("<|channel|>analysis<|message|>a", "<|channel|>analysis<|message|>"),
        ("I think <b>this</b>", None),
        ("<b>think</b>", None),
        ("A <think> mark", None),
    ],
)
def test_an_answer_that_begins_with_what_looks_like_a_mark(text: str, mark: str | None) -> None:
    assert odd_mark(text) == mark


def test_marks_of_servers_whose_template_nobody_sees() -> None:
    assert marks_in("\n<think>a") == THINK
    assert marks_in("[THINK]a[/THINK]b") == Marks("[THINK]", "[/THINK]")
    assert marks_in("a\n</think>\n\n5") == THINK
    assert marks_in("\n\n</think>\n\n<solution>A</solution>") == THINK
    assert marks_in("a\n  </think>") == THINK
    for answer in (
        "The tags are <think> and </think>.",
        "```\n<think>\na\n</think>\n```",
        "The mark </think> ends it.",
        "",
    ):
        assert marks_in(answer) is None
