"""Models that think: thoughts kept apart, stop strings and limits after them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Completion, Message, PreparedModel
from evalkit.core.specs import ThinkingSpec
from evalkit.core.thoughts import Marks
from evalkit.engines._local import Renderer
from evalkit.engines._thinking import Reader, Thinking, divided
from evalkit.engines.transformers import TransformersEngine, TransformersSpec
from evalkit.engines.vllm import VllmEngine, VllmSpec
from evalkit.errors import ModelError

from .conftest import TEMPLATE, MakeModel, ask, completions

THINK = Marks("<think>", "</think>")
OPENING = TEMPLATE.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")


def read(
    tokens: Sequence[str], budget: int | None = None, *, opened: bool = False, stop: str = ""
) -> tuple[int, Completion]:
    """How many of the tokens were needed, and what they came to."""
    request = ask(stop=(stop,) if stop else (), max_tokens=12)
    reader, text = Reader(request, Thinking(THINK, budget), opened=opened), ""
    for n, token in enumerate(tokens, 1):
        text += token
        if reader.ends(text, n):
            return n, reader.completion(text, n, stopped=False)
    return len(tokens), reader.completion(text, len(tokens), stopped=True)


def test_a_stop_string_ends_the_answer_and_not_the_thought() -> None:
    tokens = ["<thi", "nk>", "\n", "a", "\n", "</th", "ink>", "\n", "\n", "5", "\n", "Question"]
    needed, done = read(tokens, stop="\n")
    assert (done.text, done.thought, done.thought_tokens) == ("5", "a", 7)
    assert needed == 11
    assert not done.truncated
    assert not done.unfinished
    needed, done = read(["5", "\n", "Question"], stop="\n")
    assert (needed, done.text, done.thought_tokens) == (2, "5", 0)


def test_a_thought_has_its_own_limit_where_there_is_a_budget() -> None:
    thought, answer = ["<think>", *"a" * 18, "</think>"], ["5"] * 30
    needed, done = read([*thought, *answer], budget=30)
    assert (needed, done.text, done.truncated) == (20 + 12, "5" * 12, True)
    assert done.thought_tokens == 20
    needed, done = read([*thought, *answer], budget=19)
    assert (needed, done.text, done.unfinished, done.truncated) == (19, "", True, True)
    needed, done = read([*thought, *answer])  # as in lm-eval, max_tokens is for both
    assert (needed, done.unfinished) == (12, True)
    needed, done = read(answer, budget=30)  # an answer without a thought
    assert (needed, done.text) == (12, "5" * 12)


def test_a_model_that_ends_its_turn_within_a_thought_gave_no_answer() -> None:
    _, done = read(["a"], opened=True)
    assert done.unfinished
    assert not done.truncated


pieces = st.lists(
    st.sampled_from(["<think>", "</think>", "<th", "ink>", "a", "b", "\n", " ", "stop"]),
    max_size=14,
)


@given(pieces, st.booleans(), st.sampled_from(["", "stop", "\n", "a"]))
def test_reading_token_by_token_gives_what_the_whole_text_gives(
    tokens: list[str], opened: bool, stop: str
) -> None:
    """But for what a model would have written after the end of its answer."""
    needed, done = read(tokens, 100, opened=opened, stop=stop)
    whole = divided("".join(tokens[:needed]), [stop], Thinking(THINK), opened=opened)
    assert (done.text, done.thought, done.unfinished) == (
        whole.answer,
        whole.thought,
        whole.unfinished,
    )
    if needed < len(tokens):
        assert done.truncated or not done.unfinished


def test_special_tokens_are_taken_out_where_marks_are_some() -> None:
    thinking = Thinking(Marks("[THINK]", "[/THINK]"), special=("[THINK]", "[/THINK]", "<pad>"))
    found = divided("[THINK]a<pad>[/THINK]5<pad>", ["\n"], thinking)
    assert (found.thought, found.answer) == ("a", "5")


# --- a model with weights: its marks are parts of what it writes ----------------------------------


def engine(model: PreparedModel, **settings: Any) -> TransformersEngine:
    made = TransformersEngine(
        TransformersSpec(device="cpu"), replace(model, thinking=ThinkingSpec(**settings))
    )
    made.open()
    return made


@pytest.mark.slow
def test_a_real_model_whose_template_opens_a_thought(tiny_model: MakeModel) -> None:
    model = tiny_model(template=OPENING)
    plain = engine(model, start="\x01", end="\x02")
    (full,) = completions(plain, [ask(max_tokens=40)])
    assert full.thought == ""
    end, stop = full.text[8:11], full.text[2:4]
    thought, _, rest = full.text.partition(end)

    thinks = engine(model, start="<think>", end=end, budget=30)
    (done,) = completions(thinks, [ask(max_tokens=5, stop=(stop,))])
    assert done.thought == thought.strip()
    assert rest.startswith(done.text)
    assert stop not in done.text
    assert done.completion_tokens <= done.thought_tokens + 5

    (cut,) = completions(engine(model, start="<think>", end=end, budget=2), [ask(max_tokens=5)])
    assert (cut.text, cut.unfinished, cut.truncated) == ("", True, True)
    assert cut.completion_tokens == cut.thought_tokens == 2


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.model
def test_vllm_ends_thought_and_answer_where_they_end(smollm2: PreparedModel) -> None:
    """Its template opens a thought, and a word that it writes once ends it."""
    opens = (smollm2.chat_template or "").replace("assistant\n", "assistant\n<think>")
    ours = VllmEngine(
        VllmSpec(max_num_seqs=4, max_model_len=512), replace(smollm2, chat_template=opens)
    )
    known = vars(ours._renderer)  # of one engine, since loading takes its time
    ours.open()
    try:
        known["thinking"] = None
        (full,) = completions(ours, [ask(max_tokens=24)])
        words = full.text.split(" ")
        end = next(word for word in words[2:] if full.text.count(word) == 1)
        thought, _, rest = full.text.partition(end)
        inside, after = words[0], rest.strip()[4:6]
        known["thinking"] = Thinking(Marks("<think>", end), 20)
        first, again, cut, short = completions(
            ours,
            [
                ask(max_tokens=2),
                ask(max_tokens=2, stop=(inside,)),
                ask(max_tokens=2, stop=(after,)),
                replace(ask(max_tokens=2), trial=1),
            ],
        )
        known["thinking"] = Thinking(Marks("<think>", "\x02"), 5)
        (lost,) = completions(ours, [ask(max_tokens=2)])
    finally:
        ours.close()
    assert first.thought == thought.strip()
    assert rest.removeprefix(" ").startswith(first.text)
    assert first.text
    assert first.truncated
    assert first.completion_tokens == first.thought_tokens + 2
    assert again.thought == cut.thought == short.thought == first.thought
    assert again.text == first.text.partition(inside)[0]
    assert cut.text == first.text.partition(after)[0]
    assert (lost.unfinished, lost.text, lost.completion_tokens) == (True, "", 5)


@pytest.mark.slow
@pytest.mark.model
def test_smollm2_answers_after_its_thought_as_after_the_same_words(smollm2: PreparedModel) -> None:
    """A real model whose template opens a thought: it ends at a line that the model writes.

    The oracle is the model itself, which continues the same words as plain text.
    """
    opens = (smollm2.chat_template or "").replace(
        "<|im_start|>assistant\n", "<|im_start|>assistant\n<think>"
    )
    assert opens != smollm2.chat_template
    model = replace(smollm2, chat_template=opens)
    question = (Message("user", "Is 17 a prime number? Explain it."),)
    plain = engine(model, start="\x01", end="\x02")
    (full,) = completions(plain, [ask(question, max_tokens=32)])
    words = full.text.split(" ")
    end, stop = words[6], words[1]
    thought, _, rest = full.text.partition(end)
    thinks = engine(model, start="<think>", end=end, budget=30)
    (done,) = completions(thinks, [ask(question, max_tokens=8, stop=(f" {stop} ",))])
    assert stop in done.thought
    assert done.thought == thought.strip()
    assert done.text
    assert rest.removeprefix(" ").startswith(done.text)
    (cut,) = completions(engine(model, start="<think>", end="\x02", budget=8), [ask(question)])
    assert cut.unfinished
    assert cut.completion_tokens == 8


def test_keys_change_only_for_models_that_think(tiny_model: MakeModel) -> None:
    def key(model: PreparedModel) -> str:
        return TransformersEngine(TransformersSpec(device="cpu"), model).keys([ask()])[0]

    today = key(tiny_model())
    marks = ThinkingSpec(start="<a>", end="</a>")
    changed = [
        key(replace(tiny_model(), thinking=marks)),
        key(replace(tiny_model(), thinking=marks.model_copy(update={"budget": 5}))),
        key(tiny_model(template=TEMPLATE + "{# </think> #}")),
    ]
    assert len({today, *changed}) == 4
    assert key(tiny_model(template=TEMPLATE + "{# a thought #}")) == today


def test_marks_are_found_in_the_template(tiny_model: MakeModel) -> None:
    def renderer(**changes: Any) -> Renderer:
        return Renderer(replace(tiny_model(), **changes), None)

    assert renderer().thinking is None
    found = renderer(chat_template=OPENING)
    assert found.thinking == Thinking(THINK)
    reader = found.reader(ask())
    assert reader is not None
    assert reader.ends("a</think>5", 12)
    assert reader.completion("a</think>5", 12, stopped=True).text == "5"
    prefilled = found.reader(ask((Message("user", "x"), Message("assistant", "The answer"))))
    assert prefilled is not None
    assert prefilled.completion("is 5", 2, stopped=True).text == "is 5"
    with pytest.raises(ModelError, match="no known mark"):
        _ = renderer(thinking=ThinkingSpec(budget=5)).thinking


def test_template_variables_reach_the_template(tiny_model: MakeModel) -> None:
    template = (
        TEMPLATE + "{% if enable_thinking is defined and not enable_thinking %}off{% endif %}"
    )
    on = replace(tiny_model(template=template), chat_template_kwargs={"enable_thinking": True})
    off = replace(on, chat_template_kwargs={"enable_thinking": False})
    texts = [Renderer(model, None).render(ask()).text for model in (on, off)]
    assert texts[1] == texts[0] + "off"


def test_a_text_that_grows_costs_linear_time() -> None:
    begin = time.process_time()
    read(["<think>", *["a word "] * 20_000], budget=50_000)
    assert time.process_time() - begin < 5
