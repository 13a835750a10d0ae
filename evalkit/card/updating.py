"""A real card brought up to date: its index and its marked parts, and nothing else of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evalkit.card import checks, front_matter, sections, splice
from evalkit.card.foreign import settle
from evalkit.card.index import is_ours
from evalkit.card.render import Card
from evalkit.core import Json
from evalkit.errors import CardError, Problem

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
            figures are another model's than evalkit's entries there, or the hub would refuse or
            lose something of what is written.
    """
    given = front_matter.split(text)
    old = front_matter.load(given.yaml)
    name = _name(old.get("model-index"), card.name, keep_name=keep_name)
    _require_same_model(old.get("model-index"), name, card)
    settled = settle(card.index.results, _entries(old.get("model-index"), name))
    known = _problems(old, given.yaml)
    parts, new = splice.with_results(given, name, settled.results, settled.places)
    found = _problems(new, parts.yaml)
    said = {_placeless(problem) for problem in known}
    checks.require([p for p in found if _placeless(p) not in said], "the card")
    body, unlike = sections.fill(given, card.part)
    closing = parts.closing
    if not closing.endswith(("\n", "\r")):
        closing += parts.line_end
    made = front_matter.Parts(parts.before, parts.opening, parts.yaml, closing, body)
    left_out = (*card.index.left_out, *settled.left_out)
    notes = [f"not in the index: {reason}" for reason in left_out]
    notes += [f"taken over: {note}" for note in settled.taken_over]
    notes += [f"left as it is: {note}" for note in unlike]
    notes += [f"was there before: {problem}" for problem in known]
    return Updated(text, str(made), tuple(notes))


def _placeless(problem: Problem) -> str:
    """What a problem is, wherever the entries before it have moved it."""
    return re.sub(r"\[\d+\]", "[]", problem.message)


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


def _require_same_model(index: Json, name: str, card: Card) -> None:
    """Raise CardError where a name that was kept is another model's.

    Evalkit's own entries say whose they are, and so does a name that the runs have, too.
    """
    mine, known = card.material.candidate, _models(card)
    said = list(dict.fromkeys(_said_models(_entries(index, name))))
    whose = said or ([name] if name in known else [])
    if name == card.name or not whose or mine in whose:
        return
    here = [other for other in whose if other in known]
    step = f"give runs of {whose[0]!r}"
    if here:
        step = f"write those of that one: --model {here[0]!r}"
    raise CardError(
        f"model-index: the card {name!r} is of {', '.join(map(repr, whose))}"
        f"{' by the entries that evalkit wrote' if said else ', a model of the runs'}, the figures "
        f"are of {mine!r}; {step}; if both are one model, say so: --name {name!r}"
    )


def _models(card: Card) -> set[str]:
    return {estimate.model for run in card.material.runs for estimate in run.estimates}


def _said_models(results: list[Json]) -> Iterator[str]:
    """Models that evalkit's own entries say they are of."""
    for result in results:
        for metric in result["metrics"] if is_ours(result) else ():
            model = metric["args"].get("model")
            if isinstance(model, str):
                yield model


def _is_list(index: Json) -> bool:
    return isinstance(index, list)


def _entries(index: Json, name: str) -> list[Json]:
    """What the card's index has of a model; the first of that name is the one that is changed."""
    for model in index if isinstance(index, list) else ():
        if isinstance(model, Mapping) and model.get("name") == name:
            results = model.get("results")
            return results if isinstance(results, list) else []
    return []
