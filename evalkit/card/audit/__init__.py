"""Audits a model card: what it prints held against itself, and against evidence.

    reading ─▶ Text ─ stated ─▶ Stated ─┬─ checks ─▶ what the card says twice, averages, notes
                                        └─ evidence ─▶ Checked: confirmed, contradicted, differs

A false accusation of someone's card is worse than ten misses: what is not certain is a note, or
"not checked", and only certain errors make exit code 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.card.audit.checks import (
    Own,
    average_remarks,
    check_sentences,
    note_remarks,
    place_remarks,
)
from evalkit.card.audit.evidence import Evidence, Held, gather, model_remark
from evalkit.card.audit.findings import Audit, Unread
from evalkit.card.audit.reading import Text, parse_card, read_text
from evalkit.card.audit.render import audit_lines, audit_markdown
from evalkit.card.audit.stated import Stated, Vocabulary, index_stated, read_grid
from evalkit.comparison.model_names import model_key
from evalkit.errors import DataError

__all__ = [
    "Audit",
    "Evidence",
    "audit",
    "audit_lines",
    "audit_markdown",
    "by_user",
    "gather",
    "parse_card",
    "read_card",
]

_CHOICES = 8
"""Models that a message lists."""
_TITLES = ("model card for ", "model card of ", "model: ")


def read_card(path: Path) -> Text:
    """A card from its file, or from the README.md of a folder; raises DataError."""
    return parse_card(read_text(path))


def audit(text: Text, evidence: Evidence, same: Mapping[str, str] | None = None) -> Audit:
    """Hold a card against itself and against evidence.

    Args:
        text: What was read.
        evidence: What is known.
        same: Model of the evidence by a name of the card that is said to mean it, by "" for the
            card's own; see `by_user`.

    Raises:
        DataError: `same` has a name that is not in the card.
    """
    words = Vocabulary(evidence.tasks)
    index = list(index_stated(text, words))
    title = text.title
    for start in _TITLES:
        title = title[len(start) :] if title.lower().startswith(start) else title
    named = dict.fromkeys([*(s.model for s in index if s.model), title])
    own = Own(tuple(name for name in named if name))
    main = model_key(own.names[0]) if own.names else ()
    grids = [read_grid(table, words, main) for table in text.tables]
    in_tables = [s for grid in grids for s in grid.stated]
    stated = [*index, *in_tables]
    _require_named(same or {}, own, stated)
    held = Held(evidence, own, {**_by_entries(index, evidence), **(same or {})})
    numbers = held.numbers(stated)
    remarks = [r for grid in grids for r in average_remarks(grid)]
    remarks += place_remarks(stated, own)
    remarks += [r for r in (model_remark(held, evidence, own, stated),) if r is not None]
    remarks += note_remarks(text, grids, index)
    claims = check_sentences(
        text.sentences, stated, own, words, held.outside, lambda name: held.model(name) is not None
    )
    unread = tuple(Unread(g.table.line, g.table.number, g.why) for g in grids if g.why)
    return Audit(
        tuple(numbers), tuple(sorted(remarks, key=lambda r: (not r.wrong, r.line))),
        tuple(claims), unread, len(grids), tuple(evidence.sources),
    )  # fmt: skip


def by_user(said: Sequence[str], evidence: Evidence) -> dict[str, str]:
    """Model of the evidence by a name of the card; by "" for the card's own.

    Args:
        said: `CARD_NAME=NAME`, or `NAME` for the card's own model.
        evidence: Where the model is to be.

    Raises:
        DataError: the evidence has no such model, or one name is said to be two.
    """
    known = dict.fromkeys([*evidence.measured, *(f.model for f in evidence.facts)])
    found: dict[str, str] = {}
    for text in said:
        cuts = (text.rpartition("=") if n == 0 else text.partition("=") for n in range(2))
        pairs = [("", text)] if text in known else [
            (a.strip(), b.strip()) for a, eq, b in cuts if eq and a.strip() and b.strip() in known
        ]  # fmt: skip
        if not pairs:
            raise DataError(
                f"--model {text!r}: the evidence has no such model; expected NAME for the card's "
                f"own model, or CARD_NAME=NAME, with NAME one of: "
                f"{', '.join(list(known)[:_CHOICES]) or 'none'}"
            )
        name, model = pairs[0]
        if found.setdefault(name, model) != model:
            raise DataError(f"--model: {name!r} cannot be both {found[name]!r} and {model!r}")
    return found


def _require_named(same: Mapping[str, str], own: Own, stated: Sequence[Stated]) -> None:
    """Raise DataError where the card names no such model: the name is misspelt."""
    printed = dict.fromkeys([*own.names, *(s.model for s in stated if s.model)])
    keys = {model_key(name) for name in printed}
    for name in same:
        if name and model_key(name) not in keys:
            raise DataError(
                f"--model: the card has no figures of a model {name!r}; it names "
                f"{', '.join(list(printed)[:_CHOICES]) or 'none'}"
            )


def _by_entries(index: Sequence[Stated], evidence: Evidence) -> dict[str, str]:
    """Model of a run by the name that the index gives it, as evalkit's own entries say."""
    known = {(f.run_id, f.model) for f in evidence.facts}
    found: dict[str, set[str]] = {}
    for s in index:
        if s.own and (str(s.args.get("run")), str(s.args.get("model"))) in known:
            found.setdefault(s.model, set()).add(str(s.args["model"]))
    return {name: next(iter(models)) for name, models in found.items() if len(models) == 1}
