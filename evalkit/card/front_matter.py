"""Where a card's front matter is, and what it says; `splice.py` changes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evalkit.core import Json
from evalkit.errors import CardError

__all__ = ["LINE_END", "Parts", "line_end_of", "load", "split"]

# As the hub and its client find front matter.
_FRONT = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(?:\r\n|\n|$))")
LINE_END = re.compile(r"\r\n|\r|\n")
"""What ends a line of YAML here."""
_ENDS = re.compile(r"\r\n|\n")


@dataclass(frozen=True)
class Parts:
    """A card's text in pieces; joined they are the text again."""

    before: str
    """A byte order mark, or nothing."""
    opening: str
    """`---` and its line end; empty where there is no front matter."""
    yaml: str
    closing: str
    body: str

    def __str__(self) -> str:
        return self.before + self.opening + self.yaml + self.closing + self.body

    @property
    def line_end(self) -> str:
        """What ends the lines that are added to the text."""
        return line_end_of(str(self))


def line_end_of(text: str, default: str = "\n") -> str:
    """The first of a text; a carriage return alone ends no front matter for the hub."""
    found = _ENDS.search(text)
    return found[0] if found is not None else default


def split(text: str) -> Parts:
    """Find a card's front matter."""
    before = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(before)
    match = _FRONT.search(text)
    if match is None:
        return Parts(before, "", "", "", text)
    opening, yaml_, closing = match.groups()
    return Parts(before, opening, yaml_, closing, text[match.end() :])


def load(yaml_: str) -> dict[str, Json]:
    """Front matter as data.

    Raises:
        CardError: it is no YAML, or no fields by name.
    """
    import yaml

    try:
        data = yaml.safe_load(f"{yaml_}\n")  # the line end that the text after it begins with
    except (yaml.YAMLError, ValueError) as error:
        raise CardError(
            f"front matter: not YAML that the hub reads: {error}; correct it, then try again"
        ) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CardError(f"front matter: {data!r:.80}; expected fields by name (license: mit)")
    return data
