"""The order of generations, longest first, and names under which their lengths are remembered.

The longest answer, begun last, runs alone at the end; begun first, it costs nothing extra.
Lengths are guesses.  They order work and never decide an answer, so a wrong one costs time only.
What counts is not one answer but what waits for it too: MT-Bench's second turn can only begin
when the first has ended, and longest-first on single answers leaves such pairs to the end
(Graham 1969, "Bounds on Multiprocessing Timing Anomalies": list scheduling by the longest path).

A guess counts half, the limit the other half: an answer that runs away to its limit costs all of
it when it begins last, and which one does, another model's answers do not tell.  On published
answers another model's lengths alone take up to a third more steps than no order at all, the
middle at most a tenth more, and guesses that are right within a half still give nearly the best
order (`benchmarks/schedule.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.core import Completion, Message, Request


def work_order(request: Request) -> tuple[int, int]:
    """Sort key of a generation; the smallest goes first.

    By expected tokens, else by the limit, so that an unknown length stands before every known
    one below it.  Of equal ones that with the lower limit goes first: it has more turns to go.
    """
    expected = request.expected_tokens
    return (-(request.max_tokens if expected is None else expected), request.max_tokens)


def cautious(guess: int, most: int) -> int:
    """What to expect of an answer guessed to have `guess` tokens that may have `most`."""
    return (min(guess, most) + most) // 2


def length_names(request: Request) -> tuple[str, str]:
    """Names of a generation's length and of the length of the turn that follows it.

    Hex digests of the question and of nothing else: not of the model, its answers to earlier
    turns, sampling or limits.
    """
    asked = _asked(request.prompt)
    return _digest(["answer", asked]), _digest(["next answer", asked])


def expecting(requests: Sequence[Request], lengths: Mapping[str, int]) -> list[Request]:
    """The requests with `expected_tokens` from `lengths`, by `length_names`; others unchanged.

    A benchmark's own `expected_tokens` is taken as what an answer and its later turns may have.
    """
    return [_expecting(r, lengths) if r.kind == "generate" else r for r in requests]


def answer_lengths(request: Request, completion: Completion) -> dict[str, int]:
    """What an answer teaches: tokens by name.

    An answer that was cut has no length of its own: it stays unknown, so its limit counts.
    Servers that count no tokens teach nothing.
    """
    if request.kind != "generate" or completion.completion_tokens < 1:
        return {}
    found = {}
    if not completion.truncated:
        found[length_names(request)[0]] = completion.completion_tokens
    before = _turn_before(request.prompt)
    if before:
        found[_digest(["next answer", _asked(before)])] = completion.completion_tokens
    return found


def _expecting(request: Request, lengths: Mapping[str, int]) -> Request:
    own, following = length_names(request)
    if own not in lengths and following not in lengths:
        return request
    guess = min(lengths.get(own, request.max_tokens), request.max_tokens)
    most = request.max_tokens if request.expected_tokens is None else request.expected_tokens
    return replace(request, expected_tokens=cautious(guess + lengths.get(following, 0), most))


def _turn_before(prompt: str | tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation up to the question before the last; empty where there is none."""
    if isinstance(prompt, str):
        return ()
    answers = [n for n, message in enumerate(prompt[:-1]) if message.role == "assistant"]
    return prompt[: answers[-1]] if answers else ()


def _asked(prompt: str | tuple[Message, ...]) -> str | list[list[str]]:
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
