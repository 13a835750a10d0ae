"""Engines with a tokenizer: rendering (chat templates, lm-eval's joint encoding, BOS, the window)
and cache keys, equal where answers must be, different where they may be.
"""

from __future__ import annotations

import json
import re
from array import array
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.core import Message, Request
from evalkit.engines._keys import sampling_seed, sayable
from evalkit.engines._local import Renderer, Tokens, context_window, request_key
from evalkit.engines.transformers import TransformersEngine, TransformersSpec
from evalkit.errors import ModelError, RequestFailed

from .conftest import WINDOW, MakeModel, score

pytestmark = pytest.mark.slow

CHAT = (Message("system", "Be short."), Message("user", "What is the capital of France?"))


def generate(prompt: Any, max_tokens: int = 8) -> Request:
    return Request(engine="m", kind="generate", prompt=prompt, max_tokens=max_tokens)


@pytest.fixture
def renderer(tiny_model: MakeModel) -> Renderer:
    return Renderer(tiny_model(), None)


def test_a_conversation_opens_a_new_turn(renderer: Renderer) -> None:
    rendered = renderer.render(generate(CHAT))
    assert rendered.text == (
        "<|im_start|>system\nBe short.<|im_end|>\n"
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert rendered.bos == "one"
    assert renderer.tokenizer.decode(rendered.prompt_ids) == rendered.text


def test_a_final_assistant_message_is_continued(renderer: Renderer) -> None:
    rendered = renderer.render(generate((*CHAT, Message("assistant", "The capital"))))
    assert rendered.text.endswith("<|im_start|>assistant\nThe capital")


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"tool": "{}"}, "cannot call functions"),
        ({"top_logprobs": 5, "top_logprobs_at": "last"}, "cannot give the last token's"),
    ],
)
def test_what_only_servers_can_do_is_refused_and_nothing_else(
    renderer: Renderer, wish: dict[str, Any], says: str
) -> None:
    plain = generate(CHAT)
    refused = replace(plain, **wish)
    for asked in ([plain, refused], [refused, plain]):
        renderer.forget()
        by_request = dict(zip(asked, renderer.tokens(asked), strict=True))
        assert says in str(by_request[refused].failure)
        assert by_request[plain].failure is None


def test_no_template_says_what_to_write(tiny_model: MakeModel) -> None:
    renderer = Renderer(tiny_model(template=None), None)
    with pytest.raises(ModelError, match=r"'tiny'.*`chat_template: FILE.jinja`"):
        renderer.tokens([generate(CHAT)])
    assert renderer.tokens([generate("Raw text")])[0].failure is None


@pytest.mark.parametrize(
    ("failing", "words"),
    [
        ("raise_exception('no system role')", "no system role"),
        ("range(10**9) | list", "OverflowError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_template_that_refuses_fails_that_request_only(
    failing: str, words: str, tiny_model: MakeModel
) -> None:
    template = f"{{{{ ({failing}) if messages[0]['role'] == 'system' }}}}x"
    renderer = Renderer(tiny_model(template=template), None)
    refused, fine = renderer.tokens([generate(CHAT), generate(CHAT[1:])])
    assert refused.failure is not None
    assert refused.failure.status == "excluded"
    assert words in str(refused.failure)
    assert fine.failure is None


@pytest.mark.parametrize(
    ("adds_bos", "prompt", "bos"),
    [
        (False, "Paris", "none"),
        (True, "Paris", "one"),
        (True, "<|im_start|>Paris", "one"),
        (False, "<|im_start|>Paris", "one"),
        (False, "<|im_start|><|im_start|>Paris", "doubled"),
        (True, CHAT, "one"),
    ],
)
def test_bos(tiny_model: MakeModel, adds_bos: bool, prompt: Any, bos: str) -> None:
    assert Renderer(tiny_model(adds_bos=adds_bos), None).render(generate(prompt)).bos == bos


def test_a_template_without_bos_is_told(tiny_model: MakeModel) -> None:
    model = tiny_model(adds_bos=True, template="{{ messages[-1]['content'] }}")
    assert Renderer(model, None).render(generate(CHAT)).bos == "missing"


def test_trailing_spaces_move_to_the_continuation(renderer: Renderer) -> None:
    apart = renderer.tokens([score("Answer:", " yes")])[0]
    moved = renderer.tokens([score("Answer: ", "yes")])[0]
    assert moved == apart
    assert renderer.tokenizer.decode(list(apart.continuation)) == " yes"


def test_empty_context_becomes_the_prefix_token(renderer: Renderer) -> None:
    tokens = renderer.tokens([score("", "Paris"), score("  ", "Paris"), score("", "")])
    assert list(tokens[0].prompt) == [renderer.prefix_id]
    assert renderer.tokenizer.decode(list(tokens[1].continuation)) == "  Paris"
    assert tokens[2].failure is not None
    spelled = renderer.tokens([score("", "<|im_start|>Paris")])[0]
    assert (list(spelled.prompt), spelled.continuation) == (
        [renderer.prefix_id],
        tokens[0].continuation,
    )


def test_long_raw_prompts_are_cut_on_the_left(renderer: Renderer) -> None:
    long = "one two three " * 100
    everything = renderer.tokenizer(long.rstrip())["input_ids"]
    cut = renderer.tokens([generate(long, max_tokens=10)])[0]
    assert len(cut.prompt) == WINDOW - 10
    scored = renderer.tokens([score(long.rstrip(), " four")])[0]
    assert len(scored.prompt) + len(scored.continuation) == WINDOW - 1
    assert list(scored.prompt) == everything[-len(scored.prompt) :]


@pytest.mark.parametrize(
    "request_",
    [
        generate((Message("user", "one two three " * 100),)),
        generate("short", max_tokens=WINDOW),
        score((Message("user", "one two three " * 100),), "x"),
        score("Answer:", " one two three" * 100),
    ],
)
def test_over_long_is_a_status_with_the_lengths(renderer: Renderer, request_: Request) -> None:
    failure = renderer.tokens([request_])[0].failure
    assert failure is not None
    assert failure.status == "over_long"
    assert f"is {WINDOW}" in str(failure)


def test_a_conversation_may_leave_less_room_than_max_tokens(renderer: Renderer) -> None:
    assert renderer.tokens([generate(CHAT, max_tokens=WINDOW)])[0].failure is None


def test_a_request_is_rendered_once(renderer: Renderer) -> None:
    request = score("Answer:", " yes")
    first = renderer.tokens([request, request])
    assert first[0] is first[1]
    assert renderer.tokens([replace(request, engine="other", trial=3)])[0] is first[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    context=st.text(alphabet="abc Theé\n.", max_size=20),
    continuation=st.text(alphabet="abc Theé\n.", min_size=1, max_size=8),
)
def test_context_and_continuation_spell_the_joint_text(
    renderer: Renderer, context: str, continuation: str
) -> None:
    tokens = renderer.tokens([score(context, continuation)])[0]
    ids = [*tokens.prompt, *tokens.continuation]
    if not context.rstrip():
        assert ids.pop(0) == renderer.prefix_id
    joint = renderer.tokenizer(context + continuation)["input_ids"]
    alone = renderer.tokenizer(context.rstrip())["input_ids"]
    assert len(ids) == max(len(joint), len(alone))
    if joint[: len(alone)] == alone:
        assert ids == joint


@pytest.mark.parametrize("half", [0xD83D, 0xDE00])
def test_half_a_surrogate_pair_becomes_the_replacement_character(
    renderer: Renderer, half: int
) -> None:
    odd = f"hi {chr(half)} there"
    plain = "hi \ufffd there"
    asked = [generate(odd), generate((Message("user", odd),)), score(odd, odd)]
    asked.append(Request(engine="m", kind="rolling", prompt=odd))
    expected = [generate(plain), generate((Message("user", plain),)), score(plain, plain)]
    expected.append(Request(engine="m", kind="rolling", prompt=plain))
    assert renderer.tokens(asked) == renderer.tokens(expected)


@given(st.text(st.characters(), max_size=20))
def test_sayable_text_is_utf8_and_keeps_the_rest(text: str) -> None:
    said = sayable(text)
    said.encode()
    lone = re.sub(
        "[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]", "\ufffd", text
    )
    # What is left are pairs, which Python spells as two characters and UTF-16 as one.
    assert said == lone.encode("utf-16", "surrogatepass").decode("utf-16")


def test_window(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        context_window(tmp_path, None)
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 100}))
    assert context_window(tmp_path, None) == 100
    assert context_window(tmp_path, 50) == 50
    with pytest.raises(ModelError, match=r"101 .* at most 100"):
        context_window(tmp_path, 101)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 70}))
    assert context_window(tmp_path, None) == 70
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 10**30}))
    assert context_window(tmp_path, None) == 2048


@pytest.mark.slow
@pytest.mark.parametrize("adds_bos", [False, True])
def test_pairs_equal_lm_evals_own(tiny_model: MakeModel, adds_bos: bool) -> None:
    """Oracle: `_encode_pair` of lm-eval's hf backend."""
    from lm_eval.models.huggingface import HFLM

    model = tiny_model(adds_bos=adds_bos)
    oracle = HFLM(pretrained=str(model.path), device="cpu", dtype="float32")
    renderer = Renderer(model, None)
    for context, continuation in [
        ("Answer:", " yes"),
        ("Answer: ", "yes"),
        ("The quick brown", " fox jumps"),
        ("The qui", "ck brown fox"),
        ("<|im_start|>user\nWho?", "\nMe"),
        ("One two\n\n", "three"),
    ]:
        tokens = renderer.tokens([score(context, continuation)])[0]
        expected = oracle._encode_pair(context, continuation)
        assert (list(tokens.prompt), list(tokens.continuation)) == expected


# --- keys --------------------------------------------------------------------------------------

IDENTITY = {"type": "vllm", "model": "abc"}

ids = st.lists(st.integers(0, 50_000), max_size=6).map(lambda v: array("i", v))
tokens = st.builds(Tokens, prompt=ids, continuation=ids)
requests = st.builds(
    Request,
    engine=st.sampled_from(["a", "b"]),
    kind=st.sampled_from(["generate", "loglikelihood", "rolling"]),
    prompt=st.sampled_from(["x", "y", (Message("user", "x"),)]),
    max_tokens=st.integers(1, 9),
    temperature=st.sampled_from([0.0, 0.5, 1.0]),
    top_p=st.sampled_from([0.5, 1.0]),
    stop=st.lists(st.sampled_from(["\n", "END"]), max_size=2, unique=True).map(tuple),
    seed=st.none() | st.integers(0, 9),
    top_logprobs=st.integers(0, 5),
    trial=st.integers(0, 3),
)


def key(request: Request, rendered: Tokens, identity: Any = IDENTITY) -> str:
    return request_key(identity, request, rendered, engine_seed=0)


@given(requests, tokens)
def test_equal_requests_have_equal_keys(request: Request, rendered: Tokens) -> None:
    again = Tokens(array("i", rendered.prompt), array("i", rendered.continuation))
    assert key(replace(request, engine="other"), again, dict(reversed(IDENTITY.items()))) == key(
        request, rendered
    )


@given(requests, tokens)
def test_what_can_change_the_answer_changes_the_key(request: Request, rendered: Tokens) -> None:
    variants = [
        key(request, rendered),
        key(request, rendered, IDENTITY | {"model": "abd"}),
        key(replace(request, trial=request.trial + 1), rendered),
        key(request, replace(rendered, prompt=rendered.prompt + array("i", [7]))),
        key(request, replace(rendered, failure=RequestFailed("over_long", "1"))),
        key(request, replace(rendered, failure=RequestFailed("over_long", "2"))),
    ]
    if request.kind == "loglikelihood":
        longer = replace(rendered, continuation=rendered.continuation + array("i", [7]))
        variants.append(key(request, longer))
    if request.kind == "generate":
        changes: list[dict[str, Any]] = [
            {"max_tokens": request.max_tokens + 1},
            {"stop": (*request.stop, "more")},
            {"top_logprobs": request.top_logprobs + 1},
            {"temperature": request.temperature + 0.1},
        ]
        if request.temperature > 0:
            changes += [{"top_p": request.top_p / 2}, {"seed": (request.seed or 0) + 10}]
        variants += [key(replace(request, **change), rendered) for change in changes]
    if request.kind != "rolling":
        variants.append(key(replace(request, kind="rolling"), rendered))
    if request.kind != "generate":
        variants.append(key(replace(request, kind="generate"), rendered))
    assert len(set(variants)) == len(variants)


@given(requests, tokens)
def test_what_cannot_change_the_answer_does_not(request: Request, rendered: Tokens) -> None:
    greedy = replace(request, temperature=0.0)
    assert key(replace(greedy, seed=1, top_p=0.1), rendered) == key(greedy, rendered)
    scored = replace(request, kind="loglikelihood")
    idle = replace(scored, max_tokens=99, stop=("z",), temperature=0.3, seed=5, top_logprobs=2)
    assert key(idle, rendered) == key(scored, rendered)


def test_context_and_continuation_are_kept_apart() -> None:
    request = Request(engine="m", kind="loglikelihood", prompt="")
    one = Tokens(array("i", [1, 2]), array("i", [3]))
    other = Tokens(array("i", [1]), array("i", [2, 3]))
    assert key(request, one) != key(request, other)


@given(requests)
def test_seeds(request: Request) -> None:
    seed = sampling_seed(request, 0)
    if request.temperature == 0:
        assert seed is None
        return
    assert seed is not None
    assert 0 <= seed < 2**63
    assert seed == sampling_seed(replace(request, engine="z", max_tokens=100), 0)
    assert seed != sampling_seed(replace(request, trial=request.trial + 1), 0)
    if request.seed is None:
        assert seed != sampling_seed(request, 1)
    elif request.trial == 0:
        assert seed == request.seed


REFUSES_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_system_text_goes_the_way_of_lm_eval_where_the_template_refuses_it(
    tiny_model: MakeModel,
) -> None:
    from lm_eval.models.huggingface import HFLM

    model = replace(tiny_model(template=REFUSES_SYSTEM), system_role=False)
    renderer = Renderer(model, None)
    lm = HFLM.__new__(HFLM)
    lm.tokenizer, lm.chat_template_args = renderer.tokenizer, {}
    lm.tokenizer.chat_template = REFUSES_SYSTEM
    history = [{"role": m.role, "content": m.content} for m in CHAT]
    assert renderer.render(generate(CHAT)).text == lm.apply_chat_template(history)
    # A judge's system text may hold its instructions.
    judging = replace(generate(CHAT), engine="judge:j")
    assert renderer.render(judging).text == (
        f"<user>{CHAT[0].content}\n\n{CHAT[1].content}\n<assistant>"
    )


def test_a_date_is_that_of_the_run_and_in_the_key_by_its_value(tiny_model: MakeModel) -> None:
    dated = "{{ strftime_now('%d %b %Y') }}" + REFUSES_SYSTEM
    engine = TransformersEngine(
        TransformersSpec(device="cpu"), replace(tiny_model(template=dated), dated=True)
    )
    asked = generate(CHAT[1:])
    found = []
    for date in (datetime(2026, 3, 1, 8), datetime(2026, 3, 1, 9), datetime(2026, 3, 2, 8)):
        assert engine.use_date(date.astimezone())
        found.append((engine.render(asked).text[:11], engine.keys([asked])[0]))
    assert [text for text, _ in found] == ["01 Mar 2026", "01 Mar 2026", "02 Mar 2026"]
    assert found[0][1] == found[1][1] != found[2][1]
    plain = TransformersEngine(TransformersSpec(device="cpu"), tiny_model())
    before = plain.keys([asked])
    assert not plain.use_date(datetime(2020, 1, 1).astimezone())
    assert plain.keys([asked]) == before
