"""The card's own entries beside evalkit's: never the same measurement twice.

An entry that its author wrote stays.  Where it is the same measurement with the same value (be it
as a share of 1, or under the data set's short name), evalkit's takes its place, and later updates
keep it up to date.  Where the value is another one, evalkit's is not written, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.card.index import identity, is_ours
from evalkit.card.measurement import Measurement, likeness, measurements, same_measure
from evalkit.core import Json

__all__ = ["Settled", "settle"]


@dataclass(frozen=True)
class Settled:
    """Which of evalkit's entries are written, and where."""

    results: tuple[dict[str, Json], ...]
    places: Mapping[int, int]
    """By index of an entry of the card: the index in `results` of the one that takes its place."""
    left_out: tuple[str, ...]
    """Why others are not written, a sentence each."""
    taken_over: tuple[str, ...]
    """What stands in other entries' place, a sentence each."""


def settle(ours: Sequence[dict[str, Json]], card: Sequence[Json]) -> Settled:
    """Hold evalkit's new entries against those of a card.

    Args:
        ours: Evalkit's.
        card: All entries that the card has of the model.
    """
    matches = [[i for i, e in enumerate(card) if _meet(e, one)] for one in ours]
    written: list[dict[str, Json]] = []
    places: dict[int, int] = {}
    left_out, taken_over = [], []
    for one, found in zip(ours, matches, strict=True):
        open_ = [i for i in found if i not in places]
        if len(open_) == 1 and _is_covered(card[open_[0]], one):
            places[open_[0]] = len(written)
            taken_over.append(_taken(card[open_[0]], one))
        elif open_:
            left_out.append(_left(card[open_[0]], one))
            continue
        written.append(one)
    return Settled(tuple(written), places, tuple(left_out), tuple(taken_over))


def _meet(theirs: Json, ours: Mapping[str, Json]) -> bool:
    """Whether someone else's entry and evalkit's cannot both stand."""
    if is_ours(theirs):
        return False
    return _identity(theirs) == _identity(ours) or bool(_pairs(theirs, ours))


def _pairs(theirs: Json, ours: Json) -> list[tuple[Measurement, Measurement]]:
    known = measurements(ours)
    return [(t, o) for t in measurements(theirs) for o in known if same_measure(t, o)]


def _is_covered(theirs: Json, ours: Mapping[str, Json]) -> bool:
    """Whether evalkit's entry says all that someone else's does, with the same values."""
    if any(isinstance(m, Mapping) and m.get("verifyToken") for m in theirs["metrics"]):
        return False  # the hub vouches for what it says
    agreed = {t for t, o in _pairs(theirs, ours) if likeness(t, o) is not None}
    read = measurements(theirs)
    return len(read) == len(theirs["metrics"]) and set(read) == agreed


def _taken(theirs: Json, ours: Mapping[str, Json]) -> str:
    pairs = _pairs(theirs, ours)
    was = ", ".join(t.said for t, _ in pairs)
    now = ", ".join(o.said for _, o in pairs)
    return f"{was}: the same measurement as {now}, which is written in its place"


def _left(theirs: Json, ours: Mapping[str, Json]) -> str:
    their = ", ".join(m.said for m in measurements(theirs))
    our = ", ".join(m.said for m in measurements(ours))
    return (
        f"{ours['dataset']['name']}: the card has an entry of that data set which evalkit did not "
        f"write ({their or 'without a value'}; the runs have {our}); one of the two may stand: "
        f"remove that one if this is to stand there"
    )


def _identity(result: Json) -> str | None:
    try:
        return repr(identity(result))
    except (KeyError, TypeError, AttributeError):
        return None
