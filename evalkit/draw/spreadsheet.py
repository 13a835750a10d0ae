"""Text that a spreadsheet would take for a formula, in whatever is written as CSV.

Cells are written as they are: a file for analysis must give back what was measured, and many
answers are lists that begin with `-`.  Where the file is meant for a spreadsheet, an apostrophe
goes before each such cell; where it is not said to be, a note counts them.
"""

from __future__ import annotations

from typing import TypeVar

__all__ = ["defused", "formula_note", "is_formula"]

T = TypeVar("T")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
"""How a cell begins that a spreadsheet would not take for text; the wide forms count in Excel."""


def is_formula(value: object) -> bool:
    """Whether a cell of text would be taken for a formula; numbers never are."""
    return isinstance(value, str) and value.startswith(_FORMULA)


def defused(value: T) -> T | str:
    """`value`, or the text behind an apostrophe."""
    return f"'{value}" if is_formula(value) else value


def formula_note(cells: int, option: str) -> str:
    """What is said of so many cells that were written as they are."""
    what = "1 cell begins" if cells == 1 else f"{cells} cells begin"
    are = "is" if cells == 1 else "are"
    it = "it is" if cells == 1 else "they are"
    return (
        f"{what} like a formula (= + - @) and {are} written as {it}; to open the files in a "
        f"spreadsheet, add {option}"
    )
