"""Cache keys: the digest of everything that decides an answer, and of nothing else.

Two requests that must get the same answer share a key: a seed means nothing at temperature 0,
token limits mean nothing to a log-likelihood.  The engine's name in the suite never enters,
its identity (weights, version, dtype, ...) does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from evalkit.core import Json, Request
from evalkit.engines._rendering import Tokens

__all__ = ["digest", "request_key", "sampling_seed"]


def digest(value: Json) -> str:
    """SHA-256 of canonical JSON, in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sampling_seed(request: Request, engine_seed: int) -> int | None:
    """Seed of a sampled request, below 2**63; None for a greedy one.

    The request's own seed in its first trial.  Without one, or in later trials, a number
    derived from what is asked and the trial: the same whatever else is in the batch.
    """
    if request.temperature == 0:
        return None
    if request.seed is not None and request.trial == 0:
        return request.seed
    base = engine_seed if request.seed is None else request.seed
    prompt = request.prompt
    asked = prompt if isinstance(prompt, str) else [[m.role, m.content] for m in prompt]
    return int(digest([base, request.trial, asked])[:16], 16) >> 1


def request_key(
    identity: Mapping[str, Json], request: Request, tokens: Tokens, engine_seed: int
) -> str:
    """Key of `request`, rendered as `tokens`, put to the engine of that identity."""
    asked: dict[str, Json] = {
        "engine": dict(identity),
        "kind": request.kind,
        "prompt": list(tokens.prompt),
        "trial": request.trial,
    }
    if tokens.failure is not None:
        # No ids tell unanswerable requests apart, so the reason must.
        asked["failure"] = [tokens.failure.status, str(tokens.failure)]
    if request.kind == "loglikelihood":
        asked["continuation"] = list(tokens.continuation)
    if request.kind == "generate":
        asked |= {
            "max_tokens": request.max_tokens,
            "stop": list(request.stop),
            "top_logprobs": request.top_logprobs,
            "temperature": float(request.temperature),
        }
        if request.temperature > 0:
            asked |= {
                "top_p": float(request.top_p),
                "seed": sampling_seed(request, engine_seed),
            }
    return digest(asked)
