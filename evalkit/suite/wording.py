"""How a value, a choice and a secret appear in an error message."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from evalkit.core import Json

__all__ = ["choices_hint", "looks_secret", "names_secret", "nearest", "shown"]

_SECRET_NAME = re.compile(
    r"(^|[_\-.])(api[_-]?key|access[_-]?key|secret(s|[_-]?key)?|passw(or)?d|authorization"
    r"|(hf|api|auth|access|bearer)[_-]?token|credentials?)$"
    r"|^(token|bearer|key)$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"\b(sk-(?=[\w-]*\d)[\w-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_\w{8,}|xox[a-z]-\w+|AKIA[A-Z0-9]{12,})"
    r"|\bbearer\s+\S{8,}"
    r"|://[^/@\s]*:[^/@\s]+@",
    re.IGNORECASE,
)


def names_secret(key: str) -> bool:
    """Whether a field of this name would hold a secret (`api_key`, not `api_key_env`)."""
    return _SECRET_NAME.search(key) is not None


def looks_secret(value: Json) -> bool:
    """Whether a text looks like an API key, a bearer token or a URL with a password."""
    return isinstance(value, str) and _SECRET_VALUE.search(value) is not None


def shown(value: Json) -> str:
    """A value for a message: quoted, shortened, never a secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if looks_secret(value):
        return "a value that looks like a key (not shown)"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]}...{text[-1]}"


def nearest(wrong: Json, choices: Sequence[str]) -> str | None:
    """The choice that was probably meant; None where none is near."""
    near = difflib.get_close_matches(str(wrong), choices, n=1, cutoff=0.5)
    return near[0] if near else None


def choices_hint(wrong: Json, choices: Sequence[str]) -> str:
    """`; did you mean 'x'? expected one of 'x', 'y'` (a guess only where one is near)."""
    unique = list(dict.fromkeys(choices))
    near = nearest(wrong, unique)
    guess = f"; did you mean {near!r}?" if near else ";"
    if not unique:
        return f"{guess} there are none"
    listed = ", ".join(map(repr, unique))
    return f"{guess} expected {listed}" if len(unique) == 1 else f"{guess} expected one of {listed}"
