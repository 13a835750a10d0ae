r"""Domain types to JSON and back, strictly: what cannot be read again is never written.

Fields are written by their names, tuples as lists.  Reading refuses unknown fields, missing
ones without default and wrong types, naming the path; so does writing.  NaN and infinity are
refused both ways.  The codec follows the type hints, so a new field of a domain type needs no
line here; a field with a default may be absent from older files.

Text is UTF-8 with one trap: model output may hold half of a surrogate pair, which UTF-8 cannot
say.  It is written as its JSON escape (`\ud800`) and comes back as it was.  Two halves that
follow each other come back as the one character they spell.
"""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from evalkit.core import Json

__all__ = ["CodecError", "canonical_json", "decode", "encode", "json_bytes", "parse_json"]

T = TypeVar("T")
Convert: TypeAlias = Callable[[Any], Any]


class CodecError(ValueError):
    """A value does not fit its type; the path is collected on the way out.

    Stays within the store: who knows the file and line raises StoreError or DataError from it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = ""

    def under(self, step: str) -> CodecError:
        """The same error, seen from one level up."""
        separator = "" if not self.path or self.path.startswith("[") else "."
        self.path = f"{step}{separator}{self.path}"
        return self

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


# --- JSON text ------------------------------------------------------------------------------


def canonical_json(value: Json) -> bytes:
    """The one byte string of a JSON value: keys sorted, no spaces, UTF-8.  For hashes."""
    return json_bytes(value, sort_keys=True)


def json_bytes(value: Json, *, sort_keys: bool = False, indent: int | None = None) -> bytes:
    """JSON as UTF-8, one line unless `indent` is given.

    Raises:
        CodecError: NaN, infinity, or something JSON has no form for.
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
        )
    except (TypeError, ValueError) as error:
        raise CodecError(f"cannot be written as JSON ({error})") from error
    # Only lone surrogates have no UTF-8; backslashreplace spells exactly their JSON escape.
    return text.encode("utf-8", "backslashreplace")


def parse_json(data: bytes | str) -> Json:
    """JSON text to values.

    Raises:
        CodecError: not JSON, not UTF-8, a repeated key, NaN or infinity.
    """
    try:
        return json.loads(data, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise CodecError(f"not UTF-8 ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise CodecError(f"not JSON ({error.msg} at character {error.pos})") from error
    except RecursionError as error:
        raise CodecError("not readable as JSON (nested too deeply)") from error


def _refuse_constant(name: str) -> Json:
    raise CodecError(f"{name} is not a JSON number; undefined figures are null")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise CodecError(f"key {twice!r} appears twice")
    return found


# --- domain types ---------------------------------------------------------------------------


def encode(value: Any) -> Json:
    """A domain dataclass as a JSON object.  Raises CodecError."""
    found: Json = _encoder(type(value))(value)  # type: ignore[arg-type]  # a type is hashable
    return found


def decode(cls: type[T], data: Json) -> T:
    """The `cls` that `encode` wrote.  Raises CodecError."""
    found: T = _decoder(cls)(data)  # type: ignore[arg-type]
    return found


@cache
def _encoder(hint: Any) -> Convert:
    return _converter(hint, _encode_dataclass, list, _encoder)


@cache
def _decoder(hint: Any) -> Convert:
    return _converter(hint, _decode_dataclass, tuple, _decoder)


def _converter(
    hint: Any,
    of_dataclass: Callable[[type[Any]], Convert],
    sequence: Callable[[list[Any]], Any],
    again: Callable[[Any], Convert],
) -> Convert:
    """Encoding and decoding differ in dataclasses and in what a sequence becomes only."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return of_dataclass(hint)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _literal(args)
    if origin is tuple:
        return _sequence(args, sequence, again)
    if origin is Mapping:
        return _mapping(again(args[1]))
    if origin in (Union, types.UnionType) and len(args) == 2 and type(None) in args:
        inner = again(next(a for a in args if a is not type(None)))
        return lambda value: None if value is None else inner(value)
    raise TypeError(f"the codec has no form for {hint!r}; add one in store/codec.py")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise CodecError(f"{value!r}; expected text")
    return str(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise CodecError(f"{value!r}; expected a whole number")
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CodecError(f"{value!r}; expected true or false")
    return value


def _float(value: Any) -> float:
    # numbers.Real: NumPy's scalars are welcome and become plain floats
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise CodecError(f"{value!r}; expected a number")
    number = float(value)
    if not math.isfinite(number):
        raise CodecError(f"{value!r}; expected a finite number (undefined is null)")
    return number


def _json(value: Any) -> Json:
    """Any JSON value, with NumPy's scalars made plain and tuples made lists."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return _float(value)
    if isinstance(value, (list, tuple)):
        return [_under(f"[{i}]", _json, item) for i, item in enumerate(value)]
    return _mapping(_json)(value)


def _mapping(convert: Convert) -> Convert:
    def each(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise CodecError(f"{value!r}; expected an object, or a value JSON can say")
        for name in value:
            if not isinstance(name, str):
                raise CodecError(f"key {name!r}; expected text")
        return {str(name): _under(name, convert, item) for name, item in value.items()}

    return each


def _under(step: str, convert: Convert, value: Any) -> Any:
    try:
        return convert(value)
    except CodecError as error:
        raise error.under(step) from None


_PLAIN: Mapping[Any, Convert] = {
    str: _text,
    int: _whole,
    bool: _flag,
    float: _float,
    Any: _json,
}


def _literal(choices: tuple[Any, ...]) -> Convert:
    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise CodecError(f"{value!r}; expected one of {', '.join(map(str, choices))}")
        return value

    return check


def _sequence(
    args: tuple[Any, ...], build: Callable[[list[Any]], Any], again: Callable[[Any], Convert]
) -> Convert:
    endless = len(args) == 2 and args[1] is Ellipsis
    converts = [again(a) for a in args if a is not Ellipsis]

    def convert(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise CodecError(f"{value!r}; expected a list")
        if not endless and len(value) != len(converts):
            raise CodecError(f"{value!r}; expected {len(converts)} items")
        found = [
            _under(f"[{index}]", converts[0 if endless else index], item)
            for index, item in enumerate(value)
        ]
        return build(found)

    return convert


def _fields(cls: type[Any]) -> dict[str, tuple[Any, bool]]:
    """Type hint of each field, and whether it must be there."""
    hints = get_type_hints(cls)
    missing = dataclasses.MISSING
    return {
        f.name: (hints[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(cls)
    }


def _encode_dataclass(cls: type[Any]) -> Convert:
    converts = {name: _encoder(hint) for name, (hint, _) in _fields(cls).items()}

    def convert(value: Any) -> dict[str, Json]:
        if not isinstance(value, cls):
            raise CodecError(f"{value!r}; expected a {cls.__name__}")
        return {name: _under(name, item, getattr(value, name)) for name, item in converts.items()}

    return convert


def _decode_dataclass(cls: type[Any]) -> Convert:
    fields = _fields(cls)
    converts = {name: _decoder(hint) for name, (hint, _) in fields.items()}
    required = {name for name, (_, needed) in fields.items() if needed}

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            raise CodecError(f"{value!r}; expected an object with the fields of {cls.__name__}")
        _check_names(cls.__name__, value, set(converts), required)
        found = {name: _under(name, converts[name], item) for name, item in value.items()}
        return cls(**found)

    return convert


def _check_names(what: str, value: Mapping[str, Json], known: set[str], required: set[str]) -> None:
    unknown, missing = sorted(value.keys() - known), sorted(required - value.keys())
    if unknown:
        raise CodecError(f"unknown field {unknown[0]!r}; {what} has {', '.join(sorted(known))}")
    if missing:
        raise CodecError(f"field {missing[0]!r} of {what} is missing")
