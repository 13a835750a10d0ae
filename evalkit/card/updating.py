"""A real card brought up to date: its index and its marked parts, and nothing else of it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.card import checks, front_matter, sections, splice
from evalkit.card.index import identity, is_ours
from evalkit.card.render import Card
from evalkit.errors import CardError, Problem
from evalkit.types import Json

__all__ = ["Updated", "update"]


@dataclass(frozen=True)
class Updated:
    """What an update makes of a card."""

    old: str
    new: str
    notes: tuple[str, ...]
    """What was left out of the index, or is wrong with what others wrote."""

    @property
    def is_stale(self) -> bool:
        """Whether the card differs from what the runs say."""
        return self.old != self.new

    def diff(self, name: str) -> str:
        """What changes, as a unified diff; empty where nothing does."""
        old, new = _lines(self.old), _lines(self.new)
        made = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
        ended = (
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in made
        )
        return "".join(ended)


def _lines(text: str) -> list[str]:
    """Split at line feeds alone: other characters that end lines are part of a card's text."""
    *ended, last = text.split("\n")
    return [f"{line}\n" for line in ended] + ([last] if last else [])


def update(text: str, card: Card, *, keep_name: bool = True) -> Updated:
    """The card `text` with the index entries and marked parts of `card`.

    Args:
        text: A whole card, with front matter or without.
        card: What the runs say.
        keep_name: A card whose index has one model without foreign entries keeps its name.

    Raises:
        CardError: the card cannot be read or changed in place, its index is of another model, or
            the hub would refuse or lose something of what is written.
    """
    given = front_matter.split(text)
    old = front_matter.load(given.yaml)
    name = _name(old.get("model-index"), card.name, keep_name=keep_name)
    results, left_out = _without_foreign(card.index.results, old.get("model-index"), name)
    known = _problems(old, given.yaml)
    parts, new = splice.with_results(given, name, results)
    found = _problems(new, parts.yaml)
    said = {problem.message for problem in known}
    checks.require([p for p in found if p.message not in said], "the card")
    body, unlike = sections.fill(given, card.part)
    closing = parts.closing
    if not closing.endswith(("\n", "\r")):
        closing += parts.line_end
    made = front_matter.Parts(parts.before, parts.opening, parts.yaml, closing, body)
    notes = [f"not in the index: {reason}" for reason in (*card.index.left_out, *left_out)]
    notes += [f"left as it is: {note}" for note in unlike]
    notes += [f"was there before: {problem}" for problem in known]
    return Updated(text, str(made), tuple(notes))


def _problems(data: Mapping[str, Json], text: str) -> list[Problem]:
    if not data.get("model-index"):
        return []
    return checks.check_front_matter(data, len(text.encode("utf-8", "surrogatepass")))


def _name(index: Json, wanted: str, *, keep_name: bool) -> str:
    """The model of the card's index that is to be changed, by the name it has there."""
    models = [m for m in (index or ()) if isinstance(m, Mapping)] if _is_list(index) else []
    names = [str(m.get("name")) for m in models]
    if not models or wanted in names:
        return wanted
    results = models[0].get("results")
    foreign = [r for r in results if not is_ours(r)] if isinstance(results, list) else []
    if keep_name and len(models) == 1 and not foreign:
        return names[0]
    known = ", ".join(map(repr, names))
    raise CardError(
        f"model-index: of {known}, the figures are of {wanted!r}; an index holds one model. If "
        f"they are the same, say so: --name {names[0]!r}"
    )


def _is_list(index: Json) -> bool:
    return isinstance(index, list)


def _without_foreign(
    results: Sequence[dict[str, Json]], index: Json, name: str
) -> tuple[list[dict[str, Json]], list[str]]:
    """Entries whose data set no one else's entry has, and why the others are not written."""
    taken = set()
    for model in index if isinstance(index, list) else ():
        if isinstance(model, Mapping) and model.get("name") == name:
            taken |= {_identity(r) for r in model.get("results") or () if not is_ours(r)}
    kept = [r for r in results if repr(identity(r)) not in taken]
    reasons = [
        f"{r['dataset']['name']}: the card has an entry of that data set which evalkit did not "
        f"write, and the hub keeps one; remove that one if this is to stand there"
        for r in results
        if repr(identity(r)) in taken
    ]
    return kept, reasons


def _identity(result: Json) -> str:
    try:
        return repr(identity(result))
    except (KeyError, TypeError, AttributeError):
        return ""
