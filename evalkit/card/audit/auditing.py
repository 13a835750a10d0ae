"""The audit itself: a card and its evidence to everything that was found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from evalkit.card.audit.checks import table_problems
from evalkit.card.audit.claims import Judge, check_claims
from evalkit.card.audit.diagnosis import diagnosed
from evalkit.card.audit.evidence import Evidence
from evalkit.card.audit.index import index_board, index_names, index_numbers, index_problems
from evalkit.card.audit.labels import Vocabulary
from evalkit.card.audit.layout import Layout, lay_out
from evalkit.card.audit.matching import Matcher
from evalkit.card.audit.models import Models
from evalkit.card.audit.settings import settings_problems
from evalkit.card.audit.shapes import OWN, Audit, Card, Checked
from evalkit.card.audit.whose import by_entries, require_named, unknown_own

__all__ = ["audit"]

_TITLE = re.compile(r"^(?:model card (?:for|of)|model)\s*:?\s+", re.IGNORECASE)
_OTHER = re.compile(r"\b(?:base model|baseline|teacher|original model|before)\b", re.IGNORECASE)
_DETAILS = re.compile(r"details_(?P<org>[\w.-]+?)__(?P<name>[\w.-]+)")


def audit(card: Card, evidence: Evidence, same: Mapping[str, str] | None = None) -> Audit:
    """Hold a card against evidence, and against itself.

    Args:
        card: What was read.
        evidence: What is known.
        same: Models of the evidence by the name that the card gives them, by `OWN` for its own
            model, where words do not tell; see `whose`.

    Raises:
        DataError: `same` has a name that is not in the card.
    """
    models = _models(card, evidence, same or {})
    words = Vocabulary({f.bench for f in evidence.facts if f.bench != "open_llm_leaderboard"})
    matcher = Matcher(evidence.facts, models)
    numbers = index_numbers(card, words)
    board_model = _board_model(card)
    layouts = [_headed(lay_out(table, words, board_model), models) for table in card.tables]
    every = [*numbers, *(n for layout in layouts for n in layout.numbers)]
    require_named(same or {}, models.own_names, every)
    inside = diagnosed(matcher.check(numbers, index_board(numbers)), matcher)
    outside: list[Checked] = []
    problems = list(unknown_own(models, every, evidence))
    for layout in layouts:
        checked = diagnosed(matcher.table(layout), matcher)
        outside += checked
        problems += table_problems(layout, checked, words)
        problems += settings_problems(card, layout, checked, words)
    problems += index_problems(card, inside, outside, matcher)
    shown = frozenset(c.fact.model for c in outside if c.fact is not None)
    claims = check_claims(card, Judge(matcher, models, words, evidence.runs, shown))
    return Audit(
        (*inside, *outside),
        tuple(sorted(problems, key=lambda p: (not p.wrong, p.line))),
        tuple(claims),
        tuple(evidence.sources),
    )


def _models(card: Card, evidence: Evidence, same: Mapping[str, str]) -> Models:
    """The evidence's models, and what the card calls them."""
    names: dict[str, set[str]] = {}
    for fact in evidence.facts:
        names.setdefault(fact.model, set()).update(fact.names)
    stated = {fact.model for fact in evidence.facts if fact.kind != "leaderboard"}
    own = _own_names(card)
    by_words = Models(names, own, stated)
    entries = by_entries(card, evidence).items()
    known = {name: model for name, model in entries if not by_words.find(name).possible}
    known |= {name: model for name, model in same.items() if name != OWN}
    if OWN in same:
        own = own or [same[OWN]]
        known |= dict.fromkeys(own, same[OWN])
    return Models(names, own, stated, known)


def _own_names(card: Card) -> list[str]:
    """What the card's model is called: by its index, else by its title."""
    return list(dict.fromkeys(index_names(card) or _titles(card)))


def _headed(layout: Layout, models: Models) -> Layout:
    """Numbers that no model is named for, below a heading that names or means another one."""
    heading = layout.table.headings[-1] if layout.table.headings else ""
    named = {name for *_, found, name in models.mentioned(heading) if found != models.own.certain}
    if not named and _OTHER.search(heading) is None:
        return layout
    why = f"the heading {heading!r} speaks of another model"
    numbers = []
    for number in layout.numbers:
        if number.model:
            numbers.append(number)
        elif len(named) == 1:
            numbers.append(replace(number, model=next(iter(named)), loose=why))
        else:
            numbers.append(replace(number, doubt=number.doubt or why))
    return replace(layout, numbers=tuple(numbers))


def _board_model(card: Card) -> str:
    """The one model whose details on the Open LLM Leaderboard the card links to."""
    found = [match["name"] for link in card.links if (match := _DETAILS.search(link))]
    names = {re.sub(r"[-_]private$", "", name) for name in found}
    return names.pop() if len(names) == 1 else ""


def _titles(card: Card) -> Iterator[str]:
    title = next((b.text for b in card.blocks if b.kind == "heading"), None)
    if title is not None:
        yield _TITLE.sub("", title).strip()
