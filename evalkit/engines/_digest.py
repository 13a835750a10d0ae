"""Keys of requests for engines that do not tokenise: a hash of the text and all that decides.

Engines with a tokenizer hash token ids instead; two prompts that render alike then share a key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from evalkit.core import Json, Request

__all__ = ["request_digest"]


_LATER_FIELDS = {"top_logprobs_at": "first", "tool": ""}
"""Left out where they are not used: what was stored before they existed stays valid."""


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
