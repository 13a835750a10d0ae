r"""What every engine does with a request's text and fields: cache keys, seeds, stop strings.

A key is the digest of everything that decides an answer, and of nothing else.  Two requests that
must get the same answer share a key: a seed means nothing at temperature 0, token limits mean
nothing to a log-likelihood.  The engine's name in the suite never enters, its identity (weights,
version, dtype, ...) does.  Engines with a tokenizer hash token ids (`_local`): two prompts that
render alike then share a key.  Others hash the text (`request_digest`).

JSON may spell one half of a surrogate pair (`"\ud83d"`), and Python then holds a string that
UTF-8 cannot say.  What sends text to a model replaces such halves; what stores text keeps them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from evalkit.core import Json, Request

_LATER_FIELDS = {"top_logprobs_at": "first", "tool": ""}
"""Left out where they are not used: what was stored before they existed stays valid."""


HALF = re.compile("[\ud800-\udfff]")


def digest(value: Json) -> str:
    """SHA-256 of canonical JSON, in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sampling_seed(request: Request, engine_seed: int) -> int | None:
    """Seed of a sampled request, below 2**63; None for a greedy one.

    The request's own seed in its first trial.  Without one, or in later trials, a number
    derived from the prompt and the trial: the same whatever else is in the batch.
    """
    if request.temperature == 0:
        return None
    if request.seed is not None and request.trial == 0:
        return request.seed
    base = engine_seed if request.seed is None else request.seed
    prompt = request.prompt
    asked = prompt if isinstance(prompt, str) else [[m.role, m.content] for m in prompt]
    return int(digest([base, request.trial, asked])[:16], 16) >> 1


def request_digest(identity: Mapping[str, Json], request: Request) -> str:
    """Hex SHA-256 of the engine's identity and every field of the request that decides answers.

    `engine` is only a name in a suite: a judge that is also a model shares its answers.
    `expected_tokens` is only a guess.
    """
    fields = asdict(request)
    del fields["engine"], fields["expected_tokens"]
    for name, unset in _LATER_FIELDS.items():
        if fields[name] == unset:
            del fields[name]
    text = json.dumps([dict(identity), fields], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def sayable(text: str) -> str:
    """`text` with U+FFFD for each lone surrogate; two halves that make a pair are joined."""
    if HALF.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def cut(text: str, stop: Sequence[str]) -> str:
    """`text` up to the first of the stop strings; empty ones stop nothing."""
    ends = [at for s in stop if s and (at := text.find(s)) >= 0]
    return text[: min(ends)] if ends else text
