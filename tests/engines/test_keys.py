"""Cache keys: equal where answers must be, different where they may be."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Message, Request
from evalkit.engines._keys import sampling_seed
from evalkit.engines._local import Tokens, request_key
from evalkit.errors import RequestFailed

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
