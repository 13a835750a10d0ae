"""Footnotes of a card's tables, and card text that is Markdown already.

Marks are letters in `<sup>`: every renderer of cards shows them, and no digit beside a figure
can be taken for part of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.card.figures import Figure
from evalkit.card.sources import LINK
from evalkit.draw import escape_markdown, one_line, visible

__all__ = ["Footnotes", "Markdown", "linked", "remarks"]


class Markdown(str):
    """Text that is Markdown already; everything else is escaped where a card places it."""

    __slots__ = ()


class Footnotes:
    """Letters by text, in order of first use; a text that comes again keeps its letter."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}

    def mark(self, text: str, detail: str = "") -> str:
        """The mark of a note, as Markdown.

        Args:
            text: The note.
            detail: Added to it in brackets, once for each use that differs.
        """
        details = self._texts.setdefault(text, [])
        if detail and detail not in details:
            details.append(detail)
        return f"<sup>{self._letter(list(self._texts).index(text))}</sup>"

    def source(self, figure: Figure, column: str, common: frozenset[str] = frozenset()) -> str:
        """Marks of a figure that was not computed here: its source, then what else is known.

        `column`: what a remark is about; `common`: remarks that the whole column shares.
        """
        said, e = figure.stated, figure.estimate
        if said is None:
            return ""
        if not figure.is_published:
            return self.mark("As its result files state it", f"{column}: {said.source}")
        dated = f", {said.date}" if said.date else ""
        row = f"{e.model}: row {said.row}" if said.row not in ("", repr(e.model)) else ""
        marks = self.mark(f"Published, not measured here: {said.source}{dated}", row)
        rest = [r for r in remarks(figure) if r not in common]
        return marks + (
            self.mark(f"{column}, as stated: {'; '.join(rest)}", e.model) if rest else ""
        )

    def weak_judge(self, figure: Figure) -> str:
        """Mark of a figure that a model of the suite judged; the index has none of these."""
        if not figure.weak_judge or figure.estimate.unit == "characters":
            return ""
        return self.mark(
            f"Judged by {figure.weak_judge}, a model of the same suite; such a judge shows that "
            f"everything works, not how good a model is: not for publication"
        )

    def lines(self) -> Iterator[Markdown]:
        """Each note as a line of Markdown, in order."""
        for n, (text, details) in enumerate(self._texts.items()):
            added = f" ({'; '.join(details)})" if details else ""
            yield Markdown(f"<sup>{self._letter(n)}</sup> {linked(f'{text}{added}.')}")

    @staticmethod
    def _letter(n: int) -> str:
        letters = ""
        n += 1
        while n:
            n, rest = divmod(n - 1, 26)
            letters = chr(ord("a") + rest) + letters
        return letters


def remarks(figure: Figure) -> list[str]:
    """Settings of a stated figure that tell more than its shots, which headings show."""
    said = "" if figure.stated is None else figure.stated.settings
    parts = (part.strip() for part in said.replace(";", ",").split(","))
    return [part for part in parts if part and not _is_shots(part)]


def linked(text: str) -> Markdown:
    """`text` on one line as Markdown, with plain addresses as links and all else escaped."""
    text = one_line(visible(text))
    made, at = "", 0
    for match in LINK.finditer(text):
        made += _escaped(text[at : match.start()]) + f"<{match[0]}>"
        at = match.end()
    return Markdown(made + _escaped(text[at:]))


def _escaped(text: str) -> str:
    """Escaped, with the blanks at its ends kept."""
    body = text.strip(" ")
    if not body:
        return text
    start = text.index(body)
    return " " * start + escape_markdown(body) + " " * (len(text) - start - len(body))


def _is_shots(text: str) -> bool:
    number, _, word = text.partition(" ")
    return number.isdigit() and word in ("shot", "shots")
