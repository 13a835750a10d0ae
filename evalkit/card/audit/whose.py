"""Which model of the evidence a name of the card means, where its words do not tell.

Entries that evalkit wrote into a `model-index` name their run and the model's name in it; who
audits may say the same of any name (`--model CARD_NAME=NAME`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from evalkit.card.audit.evidence import Evidence
from evalkit.card.audit.index import index_entries
from evalkit.card.audit.models import Models, key_of, last_part
from evalkit.card.audit.shapes import OWN, Card, Number, Problem
from evalkit.card.index import MARK
from evalkit.errors import DataError

__all__ = ["by_entries", "by_user", "require_named", "unknown_own"]

_CHOICES = 8
"""Models that a message lists."""


def by_entries(card: Card, evidence: Evidence) -> dict[str, str]:
    """Model of a run by the name that the index gives it, as its entries say."""
    known = {
        (str(run.manifest.get("run_id")), estimate.model)
        for run in evidence.runs
        for estimate in run.estimates
    }
    found: dict[str, set[str]] = {}
    for entry, metric in index_entries(card):
        args = metric.get("args")
        if isinstance(args, Mapping) and MARK in args:
            place = (str(args.get("run")), str(args.get("model")))
            if place in known:
                found.setdefault(str(entry.get("name")), set()).add(place[1])
    return {name: next(iter(models)) for name, models in found.items() if len(models) == 1}


def by_user(said: Sequence[str], evidence: Evidence) -> dict[str, str]:
    """Model of the evidence by a name of the card; by `OWN` for the card's own.

    Args:
        said: `CARD_NAME=NAME`, or `NAME` for the card's own model.
        evidence: Where the model is to be.

    Raises:
        DataError: the evidence has no such model, or one name is said to be two.
    """
    found: dict[str, str] = {}
    known = _known(evidence)
    for text in said:
        pairs = [(OWN, text)] if text in known else list(_pairs(text, known))
        if not pairs:
            choices = ", ".join(list(known)[:_CHOICES]) or "none"
            raise DataError(
                f"--model {text!r}: the evidence has no such model; expected NAME for the card's "
                f"own model, or CARD_NAME=NAME, with NAME one of: {choices}"
            )
        name, model = pairs[0]
        if found.setdefault(name, model) != model:
            raise DataError(f"--model: {name!r} cannot be both {found[name]!r} and {model!r}")
    return found


def require_named(names: Iterable[str], own: Sequence[str], numbers: Iterable[Number]) -> None:
    """Raise DataError where the card names no such model: the name is misspelt."""
    printed = dict.fromkeys([*own, *(n.model for n in numbers if n.model)])
    keys = {key_of(last_part(name)) for name in printed}
    for name in names:
        if name != OWN and key_of(last_part(name)) not in keys:
            raise DataError(
                f"--model: the card has no figures of a model {name!r}; it names "
                f"{', '.join(list(printed)[:_CHOICES]) or 'none'}"
            )


def unknown_own(
    models: Models, numbers: Collection[Number], evidence: Evidence
) -> Iterator[Problem]:
    """A remark where the card's own model is none of the evidence that was given."""
    own = [n for n in numbers if not n.model or models.is_own(n.model)]
    given = list(_given(evidence))
    if models.own.certain or not own or not given:
        return
    name = f"{models.own_names[0]!r}, the card's own model," if models.own_names else OWN
    are = "its number was" if len(own) == 1 else f"its {len(own)} numbers were"
    yield Problem(
        "model",
        wrong=False,
        line=1,
        message=f"{name} is not in the evidence by that name, so {are} held against nothing; if "
        f"it is one of {', '.join(given[:_CHOICES])}, say so: --model {given[0]}",
    )


def _pairs(text: str, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Either side may hold an equals sign itself."""
    for at, char in enumerate(text):
        if char == "=" and text[:at].strip() and text[at + 1 :].strip() in known:
            yield text[:at].strip(), text[at + 1 :].strip()


def _known(evidence: Evidence) -> dict[str, None]:
    """Models of the evidence, those of the leaderboards last."""
    return dict.fromkeys([*_given(evidence), *(fact.model for fact in evidence.facts)])


def _given(evidence: Evidence) -> dict[str, None]:
    """Models of the evidence that was given, candidates first."""
    candidates = [
        str(entry.get("name"))
        for run in evidence.runs
        for entry in run.manifest.get("models", ())
        if entry.get("role") == "candidate"
    ]
    stated = [fact.model for fact in evidence.facts if fact.kind != "leaderboard"]
    return dict.fromkeys([*(name for name in candidates if name in stated), *stated])
