"""Options and small helpers that several commands share."""

from __future__ import annotations

from collections.abc import Iterable

import click

__all__ = ["split", "verbose_option"]

verbose_option = click.option(
    "-v", "--verbose", is_flag=True, help="Let the libraries speak; details of each stage."
)


def split(values: Iterable[str]) -> tuple[str, ...]:
    """Names from repeated or comma-separated options."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())
