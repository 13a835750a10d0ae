"""How hard properties are tried; `tests/conftest.py` has the profiles."""

from __future__ import annotations

from hypothesis import settings

__all__ = ["examples"]


def examples(full: int) -> settings:
    """`full` examples under the profile `full`, the same share of them under another."""
    return settings(max_examples=max(1, full * settings().max_examples // 100))
