"""The order of generations, longest first, and names under which their lengths are remembered.

The longest answer, started last, runs alone at the end; started first, it costs nothing extra.
Lengths are guesses.  They order work and never decide an answer, so a wrong one costs time only.
The turns that wait for an answer count, too: MT-Bench's second turn can only start when the first
has ended, and longest-first on single answers leaves such pairs to the end (Graham 1969, "Bounds on
Multiprocessing Timing Anomalies": list scheduling by the longest path).

The expected length is the mean of the guess and the limit: an answer that runs to its limit costs
most when it starts last, and another model's answers do not predict which one does.  On published
answers, another model's lengths alone take up to a third more steps than no order at all, the mean
at most a tenth more, and guesses within a half of the truth still give nearly the best order
(`benchmarks/schedule.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.core import Completion, Message, Request


def work_order(request: Request) -> tuple[int, int]:
    """Sort key of a generation; the smallest goes first.

    By expected tokens, else by the limit, so that an unknown length comes before every known one
    below it.  Of equal ones the one with the lower limit goes first: it has more turns to go.
    """
    expected = request.expected_tokens
    return (-(request.max_tokens if expected is None else expected), request.max_tokens)


def cautious(guess: int, most: int) -> int:
    """Expected tokens of an answer with the guess `guess` and the limit `most`."""
    return (min(guess, most) + most) // 2


def length_names(request: Request) -> tuple[str, str]:
    """Names of a generation's length and of the length of the turn that follows it.

    Hex digests of the prompt without the model's answers; model, sampling and limits do not enter.
    """
    prompt = _without_answers(request.prompt)
    return _digest(["answer", prompt]), _digest(["next answer", prompt])


def expecting(requests: Sequence[Request], lengths: Mapping[str, int]) -> list[Request]:
    """The requests with `expected_tokens` from `lengths`, by `length_names`; others unchanged.

    A benchmark's own `expected_tokens` is taken as the limit of an answer and its later turns.
    """
    return [_expecting(r, lengths) if r.kind == "generate" else r for r in requests]


def answer_lengths(request: Request, completion: Completion) -> dict[str, int]:
    """Tokens by name, to be remembered.

    The length of a truncated answer stays unknown, so its limit counts.  Nothing where the server
    counts no tokens.
    """
    if request.kind != "generate" or completion.completion_tokens < 1:
        return {}
    found = {}
    if not completion.truncated:
        found[length_names(request)[0]] = completion.completion_tokens
    before = _turn_before(request.prompt)
    if before:
        found[_digest(["next answer", _without_answers(before)])] = completion.completion_tokens
    return found


def _expecting(request: Request, lengths: Mapping[str, int]) -> Request:
    own, following = length_names(request)
    if own not in lengths and following not in lengths:
        return request
    guess = min(lengths.get(own, request.max_tokens), request.max_tokens)
    most = request.max_tokens if request.expected_tokens is None else request.expected_tokens
    return replace(request, expected_tokens=cautious(guess + lengths.get(following, 0), most))


def _turn_before(prompt: str | tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation up to the last user turn but one; empty where there is none."""
    if isinstance(prompt, str):
        return ()
    answers = [n for n, message in enumerate(prompt[:-1]) if message.role == "assistant"]
    return prompt[: answers[-1]] if answers else ()


def _without_answers(prompt: str | tuple[Message, ...]) -> str | list[list[str]]:
    """The prompt without the model's own answers; a prefill at its end is part of it."""
    if isinstance(prompt, str):
        return prompt
    last = len(prompt) - 1
    return [
        [message.role, "" if message.role == "assistant" and n < last else message.content]
        for n, message in enumerate(prompt)
    ]


def _digest(value: list[object]) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
