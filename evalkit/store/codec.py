r"""Domain types to JSON and back, strictly: what cannot be read again is never written.

Pydantic's `TypeAdapter` works from the type hints: unknown fields, missing fields without default,
wrong types, NaN and infinity are refused both ways, naming the path; a field with a default may be
absent from older files.

Text is UTF-8 with one trap: model output may hold half of a surrogate pair, which UTF-8 cannot
encode.  It is written as its JSON escape (`\ud800`) and read back unchanged.  Pydantic's own JSON
reader refuses such an escape, so a line that it cannot read goes through the standard library's.
"""

from __future__ import annotations

import json
import math
import numbers
import re
from collections.abc import Hashable, Iterable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from evalkit.core import Json

__all__ = [
    "CodecError",
    "canonical_json",
    "decode",
    "encode",
    "json_bytes",
    "line",
    "parse_json",
    "read",
]

T = TypeVar("T")


_DEEPEST = 200
"""Lists and objects within one another: Pydantic's reader takes no more either."""
_LONGEST_NUMBER = 300
_PARSED_STRICTLY = re.compile(rb"(?i)NaN|Infinity|\\ud|[0-9]E\+?[0-9]{3}|[0-9]{300}")
"""What Pydantic's reader takes for infinity, for a number of any length, or for no text."""


class CodecError(ValueError):
    """A value does not fit its type, or is no JSON.

    Stays within the store: callers that know file and line raise StoreError or DataError from it.
    """


def canonical_json(value: Json) -> bytes:
    """JSON for hashes: keys sorted, no spaces, UTF-8."""
    return json_bytes(value, sort_keys=True)


def json_bytes(value: Json, *, sort_keys: bool = False, indent: int | None = None) -> bytes:
    """JSON as UTF-8, one line unless `indent` is given.

    Raises:
        CodecError: NaN, infinity, or a type JSON does not have.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    try:
        text = json.dumps(
            value,
            ensure_ascii=False,
            allow_nan=False,
            sort_keys=sort_keys,
            separators=separators,
            indent=indent,
            default=_plain,
        )
    except (TypeError, ValueError) as error:
        bad = _not_finite(value)
        raise CodecError(
            f"{bad}; expected a finite number (undefined is null)"
            if bad
            else f"cannot be written as JSON ({error})"
        ) from error
    # Only lone surrogates have no UTF-8; backslashreplace spells exactly their JSON escape.
    return text.encode("utf-8", "backslashreplace")


def _not_finite(value: Any, path: str = "") -> str:
    """Path and value of the first NaN or infinity; empty where there is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path}: {value!r}" if path else repr(value)
    steps: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        steps = ((f"{path}.{k}" if path else str(k), v) for k, v in value.items())
    elif isinstance(value, (list, tuple)):
        steps = ((f"{path}[{i}]", v) for i, v in enumerate(value))
    return next((found for step, v in steps if (found := _not_finite(v, step))), "")


def _plain(value: Any) -> Json:
    """NumPy's scalars as Python's; an enum as its value."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if type(value).__name__ in ("bool", "bool_"):  # NumPy's, without importing it
        return bool(value)
    raise TypeError(f"{value!r} is no JSON type")


def parse_json(data: bytes | str) -> Json:
    """JSON text to values.

    Raises:
        CodecError: not JSON, not UTF-8, a repeated key, NaN or infinity, a number of hundreds of
            digits, nested too deeply.
    """
    try:
        found = json.loads(
            data,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError as error:
        raise CodecError(f"not UTF-8 ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise CodecError(f"not JSON ({error.msg} at character {error.pos})") from error
    except RecursionError as error:
        raise CodecError("not readable as JSON (nested too deeply)") from error
    level = [found] if isinstance(found, dict | list) else []
    for _ in range(_DEEPEST):
        within = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for values in within for v in values if isinstance(v, dict | list)]
        if not level:
            return found
    raise CodecError("not readable as JSON (nested too deeply)")


def _integer(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise CodecError(f"{text[:20]}... is a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise CodecError(f"{text[:40]} is beyond all numbers; undefined figures are null")
    return found


def _refuse_constant(name: str) -> Json:
    raise CodecError(f"{name} is not a JSON number; undefined figures are null")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set[str]()
        for name, _ in pairs:
            if name in seen:
                raise CodecError(f"key {name[:80]!r} appears twice")
            seen.add(name)
    return found


@cache
def _adapter(cls: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast("type[Any]", cls))


def encode(value: Any) -> dict[str, Any]:
    """A domain dataclass as a dictionary that `json_bytes` takes.  Raises CodecError."""
    found: dict[str, Any] = parse_json(line(value))
    return found


def line(value: Any) -> bytes:
    """A domain dataclass as one line of JSON, which can be read again.  Raises CodecError."""
    # Read back, since Pydantic's serializer accepts None for any type; this also turns NumPy's
    # numbers into Python's.
    adapter = _adapter(cast("Hashable", type(value)))
    text = json_bytes(adapter.dump_python(value, warnings=False))
    return json_bytes(adapter.dump_python(read(type(value), text)))


def decode(cls: type[T], data: Json) -> T:
    """The `cls` that `encode` wrote, from JSON values.  Raises CodecError."""
    return _validated(cls, json_bytes(data), data)


def read(cls: type[T], line: bytes) -> T:
    """The `cls` of a JSON text.  Raises CodecError."""
    if _PARSED_STRICTLY.search(line):
        return _validated(cls, line, parse_json(line))
    return _validated(cls, line, None)


def _validated(cls: type[T], text: bytes, data: Json) -> T:
    adapter = _adapter(cast("Hashable", cls))
    try:
        found: T = adapter.validate_json(text, strict=True)
    except ValidationError as error:
        broken = error.errors(include_url=False)[0]
        if broken["type"] != "json_invalid":
            raise CodecError(_explained(cls, error)) from error
        data = parse_json(text) if data is None else data
        try:
            # Not strict, since strict Python input would not take lists for tuples.
            found = adapter.validate_python(data, strict=False)
        except ValidationError as again:
            raise CodecError(_explained(cls, again)) from again
    return found


def _explained(cls: type[Any], error: ValidationError) -> str:
    """The first thing that does not fit: path, value, and what was expected."""
    first = error.errors(include_url=False)[0]
    path = ""
    for step in first["loc"]:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown field {path!r} of {cls.__name__}"
    if first["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"field {path!r} of {cls.__name__} is missing"
    shown = repr(first["input"])
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    expected = first["msg"][:1].lower() + first["msg"][1:]
    return f"{path or cls.__name__}: {shown}; {expected.replace('input should be', 'expected')}"
