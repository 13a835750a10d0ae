"""Token sequences as byte strings that sort as the sequences do.

Four bytes a token, the most significant first: comparing keys compares sequences, a prefix of
a key is the key of a prefix, and a million tokens take four megabytes (a tuple takes eight, and
its integers more).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable

__all__ = ["WIDTH", "common", "decode", "encode", "length", "token_at"]

WIDTH = 4
"""Bytes of one token."""


def encode(ids: Iterable[int]) -> bytes:
    """Key of a sequence of ids, none negative.  Raises OverflowError from 2**31 on."""
    found = array("i", ids)
    if sys.byteorder == "little":
        found.byteswap()
    return found.tobytes()


def decode(key: bytes) -> list[int]:
    """The sequence of a key."""
    found = array("i", key)
    if sys.byteorder == "little":
        found.byteswap()
    return found.tolist()


def length(key: bytes) -> int:
    """Tokens in a key."""
    return len(key) // WIDTH


def token_at(key: bytes, place: int) -> int:
    """The token at a place, counted from 0; negative places count from the end."""
    start = place * WIDTH if place >= 0 else len(key) + place * WIDTH
    return int.from_bytes(key[start : start + WIDTH], "big")


def common(a: bytes, b: bytes) -> int:
    """Tokens at the beginning that both have; by halving, since slices are compared in C."""
    same, end = 0, min(len(a), len(b))
    if a[:end] == b[:end]:
        return end // WIDTH
    while same < end:
        middle = (same + end + 1) // 2
        if a[same:middle] == b[same:middle]:
            same = middle
        else:
            end = middle - 1
    return same // WIDTH
