"""What alpaca_eval's parsers read from a judge's reply.

Source: https://github.com/tatsu-lab/alpaca_eval, `completion_parsers.py`.  A verdict is 1 (what
was shown first is better), 2 (what was shown second), between them where the judge is weighted, and
0 for a tie; None where upstream finds none (NaN).

Departures:
- Upstream takes a judge's token that is not among the alternatives for one of probability 0, so a
  missing `m` scores 2.0; here both must be there, else the reply is unparsable.
- Of two scores one of which is NaN, upstream makes a tie; here there is no verdict.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.core import Completion, Json

__all__ = ["read"]

Settings = Mapping[str, Json]


def read(parser: str, settings: Settings, reply: Completion) -> float | None:
    """The verdict in `reply`; None where there is none, or not exactly one."""
    if parser == "logprob_parser":
        return _logprob(settings, reply.top_logprobs)
    if parser == "pipeline_meta_parser":
        return _pipeline(settings, reply.text)
    if not reply.text:
        return None
    if parser == "ranking_parser":
        return _ranking(settings, reply.text)
    if parser == "lmsys_parser":
        return _lmsys(reply.text)
    return _regex(settings, reply.text)


def _ranking(settings: Settings, text: Any) -> float | None:
    """`[{'model': 'model_1', 'rank': 1}, ...]`: the rank of what was shown first."""
    try:
        rows = ast.literal_eval(text) if isinstance(text, str) else text
        first = str(settings.get("model_1_name", "model_1"))
        rank = next(row for row in rows if row["model"] == first)["rank"]
    except (ValueError, SyntaxError, TypeError, KeyError, StopIteration, RecursionError):
        return None
    return float(rank) if not isinstance(rank, bool) and rank in (1, 2) else None


def _regex(settings: Settings, text: str) -> float | None:
    """The one match of the two patterns; no match and several are no verdict."""
    patterns = settings.get("outputs_to_match") or {}
    matches = []
    left = text
    while True:
        found = [
            (match.start(), key, match.end())
            for key, pattern in patterns.items()
            if (match := re.search(str(pattern), left))
        ]
        if not found:
            break
        _, key, end = min(found)
        matches.append(float(key))
        if end == 0:
            break
        left = left[end:]
    return matches[0] if len(matches) == 1 else None


def _lmsys(text: str) -> float | None:
    """Two scores on the first line, the first one's first."""
    pair = text.split("\n", maxsplit=1)[0].replace(",", " ").split(" ")
    if len(pair) != 2:
        return None
    try:
        first, second = float(pair[0]), float(pair[1])
    except ValueError:
        return None
    if math.isnan(first) or math.isnan(second):
        return None
    return 1.0 if first > second else 2.0 if first < second else 0.0


def _pipeline(settings: Settings, text: str) -> float | None:
    """JSON under a key, then a ranking (the evaluators that call a function)."""
    steps = settings.get("parsers_to_kwargs") or {}
    value: Any = text
    for parser, own in steps.items():
        if parser == "json_parser":
            value = _json(value, own.get("annotation_key"))
        elif parser == "ranking_parser":
            return _ranking(own, value)
        else:
            return None
        if value is None:
            return None
    return None


def _json(text: str, key: str | None) -> Any:
    if "```json" in text:
        inside = re.search(r"```json(.*?)```", text, re.DOTALL)
        text = inside.group(1) if inside else ""
    try:
        value = json.loads(text)
        return value if key is None else value[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _logprob(settings: Settings, tops: Sequence[tuple[str, float]]) -> float | None:
    """2 - P(first) among the two tokens; 1 or 2 where the judge is binarised."""
    first = str(settings.get("numerator_token"))
    tokens = [str(token) for token in settings.get("denominator_tokens") or ()]
    known = {token: value for token, value in tops if token in (*tokens, first)}
    if first not in known or any(token not in known for token in tokens):
        return None
    if settings.get("is_binarize", True):
        return 1.0 if all(known[first] > known[t] for t in tokens if t != first) else 2.0
    top = max(known[token] for token in tokens)
    total = math.fsum(math.exp(known[token] - top) for token in tokens)
    return 2 - math.exp(known[first] - top) / total
