r"""Shared by all engines: cache keys, seeds, stop strings.

A key is the digest of everything that decides an answer, and of nothing else.  Two requests that
must get the same answer share a key: a seed has no effect at temperature 0, nor a token limit on a
log-likelihood.  The engine's name in the suite is not part of it, its identity (weights, version,
dtype, ...) is.  Engines with a tokenizer hash token ids (`_local`): two prompts that render to the
same ids then share a key.  Others hash the text (`request_digest`).

JSON may spell one half of a surrogate pair (`"\ud83d"`), and Python then holds a string that
UTF-8 cannot encode.  Code that sends text replaces such halves; code that stores text keeps them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from evalkit.core import Json, Request

_LATER_FIELDS = {"top_logprobs_at": "first", "tool": ""}
"""Left out where they have these values: keys from before they existed stay valid."""


HALF = re.compile("[\ud800-\udfff]")


def digest(value: Json) -> str:
    """SHA-256 of canonical JSON, in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sampling_seed(request: Request, engine_seed: int) -> int | None:
    """Seed of a sampled request, below 2**63; None for a greedy one.

    The request's own seed in its first trial.  Without one, or in later trials, a number
    derived from the prompt and the trial, so that it does not depend on the rest of the batch.
    """
    if request.temperature == 0:
        return None
    if request.seed is not None and request.trial == 0:
        return request.seed
    base = engine_seed if request.seed is None else request.seed
    prompt = request.prompt
    text = prompt if isinstance(prompt, str) else [[m.role, m.content] for m in prompt]
    return int(digest([base, request.trial, text])[:16], 16) >> 1


def request_digest(identity: Mapping[str, Json], request: Request) -> str:
    """Hex SHA-256 of the engine's identity and every field of the request that decides answers.

    Without `engine`, a name in the suite: a judge that is also a model shares its answers.
    Without `expected_tokens`, a guess, and `own_settings`, which servers do not heed.
    """
    fields = asdict(request)
    del fields["engine"], fields["expected_tokens"], fields["own_settings"]
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
