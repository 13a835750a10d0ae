"""What a claim says: a small grammar of the sentences people put on model cards.

    claim     A RELATION B [and C ...] [within X | by more than X] [on PLACE [and PLACE ...]]
              A is (the) best [on PLACE ...]
    RELATION  beats, surpasses, outperforms, is better than | is worse than, loses to
              | matches, ties with, is on par with | is not worse than, is at least as good as
              | is longer than | is shorter than
    PLACE     BENCHMARK, BENCHMARK/TASK, BENCHMARK/CATEGORY or BENCHMARK METRIC; all benchmarks;
              a label that a report or a comparison prints, such as `lm-eval: sums (accuracy)`

Names may hold spaces, so they are looked up, never guessed: as written or as a report labels them,
else in any case, else with space, hyphen and underscore taken for one another ("Claude 2" for
claude-2).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.errors import ComparisonError

__all__ = ["FORMS", "Ambiguous", "Claim", "Names", "Place", "Relation", "parse"]

Relation: TypeAlias = Literal["better", "worse", "equal", "not_worse", "best", "longer", "shorter"]

_WORDS: dict[str, Relation] = {
    "is not worse than": "not_worse",
    "is no worse than": "not_worse",
    "is at least as good as": "not_worse",
    "is better than": "better",
    "is worse than": "worse",
    "is longer than": "longer",
    "is shorter than": "shorter",
    "is on par with": "equal",
    "is equal to": "equal",
    "is comparable to": "equal",
    "ties with": "equal",
    "is as good as": "equal",
    "is the best": "best",
    "is best": "best",
    "outperforms": "better",
    "surpasses": "better",
    "beats": "better",
    "loses to": "worse",
    "underperforms": "worse",
    "matches": "equal",
    "equals": "equal",
}
_RELATION = re.compile(
    r"(?<!\S)(?:" + "|".join(re.escape(w) for w in _WORDS) + r")(?!\S)", re.IGNORECASE
)
_AMOUNT = re.compile(
    r"\s+(?P<how>by (?:no )?more than|within|by)\s+(?P<value>\d+(?:\.\d+)?)"
    r"(?:\s*(?:%|percentage points?|percent|points?|pp|characters?)(?!\w))?(?=\s|$)",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\s*,\s*(?:and\s+)?|\s+(?:and|or)\s+")
_FEW, _NEAREST = 8, 4
"""Names that an error lists; and how many of more."""
_GAP = re.compile(r"[\s_-]+")
_ALL = frozenset({"all benchmarks", "every benchmark", "all", "everything"})
Known: TypeAlias = Mapping[str, Hashable]
"""What may be named, by every way of writing it."""
FORMS = (
    '"A beats B on alpaca_eval", "A beats B and C on all benchmarks", "A matches B within 3 '
    'points on mt_bench", "A is not worse than B by more than 3 points on alpaca_eval", "A is '
    'best on lm_eval/gsm8k"'
)


def _loosely(name: str) -> str:
    return _GAP.sub(" ", name.casefold()).strip()


_FOLDS: tuple[Callable[[str], str], ...] = (str.casefold, _loosely)
"""Ways of reading a name that is not written as it is, strictest first."""


@dataclass(frozen=True)
class Place:
    """Where a claim is made."""

    benchmark: str
    task: str | None = None
    """None: every task of the benchmark."""
    metric: str | None = None
    """None: the primary one."""
    category: str | None = None
    """None: all of the task."""


@dataclass(frozen=True)
class Ambiguous:
    """What a label stands for that several places have."""

    names: tuple[str, ...]
    """Of the places, as they are."""


@dataclass(frozen=True)
class Claim:
    """A claim, its names looked up."""

    subject: str
    relation: Relation
    others: tuple[str, ...]
    """Empty for `best`: all there are."""
    amount: float | None
    """`within X`, `by more than X`, in the benchmark's own unit."""
    places: tuple[Place, ...]
    """Empty: every benchmark that is common."""


@dataclass(frozen=True)
class Names:
    """What a claim may name."""

    models: Sequence[str]
    """With records or published; `RUN:MODEL` forms among them."""
    places: Mapping[str, Place | Ambiguous]
    """By every way of writing them."""

    @property
    def by_model(self) -> Mapping[str, str]:
        """Each model by its name."""
        return {name: name for name in self.models}


def parse(text: str, names: Names) -> Claim:
    """Read a claim.

    Raises ComparisonError where it has none of the forms, or a name is unknown or ambiguous.
    """
    plain = " ".join(text.split()).rstrip(".!")
    for found in _RELATION.finditer(plain):
        subject = _lookup(plain[: found.start()].strip(), names.by_model)
        if subject is not None:
            relation = _WORDS[found.group().lower()]
            return _rest(subject, relation, plain[found.end() :], names)
    match = _RELATION.search(plain)
    if match is None:
        raise ComparisonError(f"{text!r} is no claim that can be checked; expected one of {FORMS}")
    raise _unknown("model", plain[: match.start()].strip(), names.by_model)


def _rest(subject: str, relation: Relation, text: str, names: Names) -> Claim:
    amounts = list(_AMOUNT.finditer(text))
    if len(amounts) > 1:
        raise ComparisonError(f"{text.strip()!r} names two amounts; expected one")
    amount = float(amounts[0]["value"]) if amounts else None
    if amounts:
        _check_amount(relation, amounts[0])
        text = text[: amounts[0].start()] + text[amounts[0].end() :]
    others, places = _split(f"{text} ", names)
    if relation == "best":
        if others:
            raise ComparisonError(
                f"'is best' is said against all models; unexpected {others!r}; expected 'on' and "
                f"a benchmark, or nothing"
            )
        found: tuple[str, ...] = ()
    else:
        found = tuple(_listed(others, "model", names.by_model))
    return Claim(subject, relation, found, amount, _places(places, names))


def _check_amount(relation: Relation, amount: re.Match[str]) -> None:
    """`beats B within 3` says another thing than `by more than 3`, and neither stands for both."""
    how = " ".join(amount["how"].lower().split())
    wanted: tuple[str, ...] = ("by more than",)
    if relation == "equal":
        wanted = ("within", "by no more than")
    elif relation == "not_worse":
        wanted = ("by more than", "within")
    if how not in wanted:
        raise ComparisonError(
            f"{amount.group().strip()!r} does not go with this relation; expected "
            f"{' or '.join(f'{w} X points' for w in wanted)!r}; forms: {FORMS}"
        )


def _split(text: str, names: Names) -> tuple[str, str]:
    """(models, places) around the first ` on ` after which everything is a place."""
    if _try_list(text.strip(), names.by_model) is not None:
        return text.strip(), ""
    cuts = [m.start() for m in re.finditer(r"(?<!\S)on(?=\s)", text)]
    for at in cuts:
        after = text[at + 2 :].strip()
        if after.lower() in _ALL or _try_list(after, names.places) is not None:
            return text[:at].strip(), after
    if cuts:
        return text[: cuts[-1]].strip(), text[cuts[-1] + 2 :].strip()
    return text.strip(), ""


def _places(text: str, names: Names) -> tuple[Place, ...]:
    if not text or text.lower() in _ALL:
        return ()
    found = (names.places[n] for n in _listed(text, "benchmark", names.places))
    return tuple(place for place in found if isinstance(place, Place))


def _listed(text: str, kind: str, known: Known) -> list[str]:
    if not text:
        raise ComparisonError(f"the claim names no {kind}; expected {_choices('', known)}")
    found = _try_list(text, known)
    if found is None:
        wrong = (piece for piece in _pieces(text) if _lookup(piece, known) is None)
        raise _unknown(kind, next(wrong, text), known)
    return found


def _try_list(text: str, known: Known) -> list[str] | None:
    """Names joined by commas, `and` and `or`; None where some part is no name.

    The longest name first, since a name may hold an `and` itself.
    """
    for cut in [None, *reversed(_separators(text))]:
        head, rest = (text, "") if cut is None else (text[: cut.start()], text[cut.end() :])
        name = _lookup(head.removeprefix("both ").strip(), known)
        if name is None:
            continue
        if cut is None:
            return [name]
        others = _try_list(rest, known)
        if others is not None:
            return [name, *others]
    return None


def _separators(text: str) -> list[re.Match[str]]:
    return list(_SEPARATOR.finditer(text))


def _pieces(text: str) -> list[str]:
    return [piece.removeprefix("both ").strip() for piece in _SEPARATOR.split(text)]


def _lookup(text: str, known: Known) -> str | None:
    """The known name that `text` is, by the strictest way of reading that finds one.

    Raises ComparisonError where that way finds names of different things.
    """
    if text in known:
        return _only(text, [text], known)
    for folded in _FOLDS:
        wanted = folded(text)
        found = [name for name in known if folded(name) == wanted] if wanted else []
        if found:
            return _only(text, found, known)
    return None


def _only(text: str, found: Sequence[str], known: Known) -> str:
    """The first of names that all stand for one thing."""
    things = {known[name]: name for name in reversed(found)}
    several: list[str] = []
    for thing, name in reversed(things.items()):
        several += thing.names if isinstance(thing, Ambiguous) else [name]
    if len(several) > 1:
        listed = ", ".join(map(repr, dict.fromkeys(several)))
        raise ComparisonError(f"{text!r} may be any of {listed}; write one as it is")
    return found[0]


def _unknown(kind: str, text: str, known: Known) -> ComparisonError:
    return ComparisonError(f"no {kind} is called {text!r}; expected {_choices(text, known)}")


def _choices(text: str, known: Known) -> str:
    """All names where they are few; else the nearest, and where all are listed."""
    names = list(dict.fromkeys(known))
    if len(names) <= _FEW:
        return f"one of: {', '.join(names) or 'none'}"
    by_fold = {_loosely(name): name for name in reversed(names)}
    close = difflib.get_close_matches(_loosely(text), by_fold, _NEAREST, 0.4)
    near = [by_fold[folded] for folded in close] or names[:_NEAREST]
    return (
        f"one of {len(names)} names, the nearest: {', '.join(near)}; `evalkit compare RUN... --all "
        f"--json` lists what is compared"
    )
