"""Makes text from anywhere showable: what cannot be seen, encoded or trusted is spelled out.

Control characters, bidirectional overrides, invisible characters and lone surrogates become
`⟨U+202E⟩`.  The result can always be encoded as UTF-8, and means the same on every reader.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["one_line", "visible"]

# Zero-width joiner and non-joiner stay: emoji and several scripts are written with them.
# Unassigned characters stay too: which ones are is a matter of Python's version.
_KEPT = frozenset("\n\t\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
_SPELLED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_LEFT = "\N{MATHEMATICAL LEFT ANGLE BRACKET}"
_RIGHT = "\N{MATHEMATICAL RIGHT ANGLE BRACKET}"
_PLAIN = re.compile(r"[\n\t\x20-\x7e]*")
_ODD = re.compile(r"[^\n\t\x20-\x7e]")


def visible(text: str) -> str:
    """`text` with line ends as line feeds, tabs kept and every other unprintable spelled out."""
    if _PLAIN.fullmatch(text):
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Answers in any language are mostly printable, which Python says of a whole text at once.
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return _ODD.sub(lambda found: _spell(found.group()), text)


def one_line(text: str, limit: int | None = None) -> str:
    """`text` on one line, its blanks collapsed, cut to `limit` characters with an ellipsis."""
    line = " ".join(text.split())
    if limit is not None and len(line) > limit:
        return line[: limit - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return line


def _spell(char: str) -> str:
    if char in _KEPT or unicodedata.category(char) not in _SPELLED:
        return char
    return f"{_LEFT}U+{ord(char):04X}{_RIGHT}"
