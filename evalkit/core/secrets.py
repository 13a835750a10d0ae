"""Keys and passwords: what looks like one, and texts without them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from evalkit.core.requests import Json

__all__ = ["looks_secret", "masked", "masked_settings", "masked_url", "secret_parts"]

_SECRET = re.compile(
    r"\b(sk-(?=[\w-]*\d)[\w-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_\w{8,}|xox[a-z]-\w+|AKIA[A-Z0-9]{12,}"
    r"|(?:gsk|xai|nvapi)[_-](?=[\w-]*\d)[\w-]{16,}|AIza[\w-]{30,})"
    r"|\bbearer\s+(?!\[key\])\S{8,}"
    r"|(?<=://)[^/@\s]*:[^/@\s]+(?=@)",
    re.IGNORECASE,
)
_PART = re.compile(
    r"(?:(?<=[/?#&;=])|(?<=%2F))(?:"
    r"(?=[^/?#&;=%]*\d)(?=[^/?#&;=%]*[a-z])[a-z0-9_~+]{20,}=*"
    r"|(?-i:(?=(?:[A-Za-z]*?[A-Z][a-z]?[A-Z]){2})(?=[A-Z]*[a-z])[A-Za-z]{20,})"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4,}){4}"
    r"|eyJ[\w.-]{20,}"
    r"|(?<=key=|ken=|ret=|pwd=|sig=|ord=)[^/?#&;\s%]+"
    r")(?=[/?#&;]|%2F|\s|$)",
    re.IGNORECASE,
)
"""A part of a URL's path, query or fragment that no person would write: long, of letters and digits
or of mixed case; a UUID; a web token (RFC 7519); the value of a key, token, secret or password."""


def looks_secret(value: Json) -> bool:
    """Whether a text looks like an API key, a bearer token or a URL with a password."""
    return isinstance(value, str) and _SECRET.search(value) is not None


def masked(text: str, secrets: Sequence[str] = ()) -> str:
    """`text` with `[key]` for each of `secrets`, and for whatever looks like one."""
    for secret in secrets:
        text = text.replace(secret, "[key]")
    return _SECRET.sub("[key]", text)


def secret_parts(url: str) -> list[str]:
    """Parts of the path, query and fragment that look like a secret."""
    return _PART.findall(url)


def masked_url(url: str) -> str:
    """`url` without what looks like a secret; different secrets stay different."""
    return _PART.sub(
        lambda part: f"[key-{hashlib.sha256(part.group().encode()).hexdigest()[:8]}]", masked(url)
    )


def masked_settings(value: Json, name: str = "") -> Json:
    """Settings, as JSON, without secrets; `name`: of the field that holds them."""
    if isinstance(value, str):
        return masked_url(value) if name.endswith("url") else masked(value)
    if isinstance(value, dict):
        return {key: masked_settings(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [masked_settings(item) for item in value]
    return value
