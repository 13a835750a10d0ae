"""A card's `model-index`: its numbers, and whether the card's tables say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evalkit.card.audit.agreement import Agreement, tolerance
from evalkit.card.audit.benchmarks import BENCHMARKS
from evalkit.card.audit.candidates import repeated_places
from evalkit.card.audit.labels import Vocabulary, merged
from evalkit.card.audit.matching import Matcher
from evalkit.card.audit.measures import metrics_of
from evalkit.card.audit.printed import decimals_of, parse_number
from evalkit.card.audit.repeats import repeated_measurements
from evalkit.card.audit.shapes import Card, Checked, Label, Number, Printed, Problem
from evalkit.card.hub import ALPACA_CONFIGS
from evalkit.card.index import MARK
from evalkit.core import Json
from evalkit.draw import one_line, visible

__all__ = ["index_board", "index_entries", "index_names", "index_numbers", "index_problems"]

_EDITIONS = {config: edition for edition, config in ALPACA_CONFIGS.items()}
_LINE = 1


def index_names(card: Card) -> list[str]:
    """Models that the index names."""
    return [str(e["name"]) for e in _entries(card) if isinstance(e.get("name"), str)]


def index_numbers(card: Card, words: Vocabulary) -> list[Number]:
    """Every figure of the index."""
    found = []
    for entry in _entries(card):
        model = str(entry.get("name") or "")
        for result in _list(entry.get("results")):
            data = result.get("dataset")
            for metric in _list(result.get("metrics")):
                number = _number(model, data if isinstance(data, Mapping) else {}, metric, words)
                if number is not None:
                    found.append(number)
    return found


def index_entries(card: Card) -> Iterator[tuple[Mapping[str, Json], Mapping[str, Json]]]:
    """(model's entry, metric) of everything the index holds."""
    for entry in _entries(card):
        for result in _list(entry.get("results")):
            for metric in _list(result.get("metrics")):
                yield entry, metric


def index_board(numbers: Sequence[Number]) -> str | None:
    """Which Open LLM Leaderboard the index is of; None: neither."""
    benches = {n.label.bench for n in numbers}
    for board in ("1", "2"):
        columns = {key for key, bench in BENCHMARKS.items() if bench.board == board}
        if len(columns & benches) >= 5:
            return board
    return None


def index_problems(
    card: Card, inside: Sequence[Checked], tables: Sequence[Checked], matcher: Matcher
) -> Iterator[Problem]:
    """What is wrong with the index by itself and beside the tables."""
    if card.front_error:
        message = (
            f"the front matter cannot be read, so the hub shows none of it: {card.front_error}"
        )
        yield Problem("front_matter", wrong=False, line=_LINE, message=one_line(visible(message)))
    own = matcher.own_names
    if "model-index" in card.front and not inside and any(_is_own(t, own) for t in tables):
        yield Problem(
            "empty_index",
            wrong=False,
            line=_LINE,
            message="the model-index holds no result, though the tables give the model's: the hub "
            "shows none of them",
        )
    yield from repeated_measurements(card)
    plain = list(_plain(tables))
    for checked in inside:
        for other in plain:
            # Both may be right: a leaderboard's figure in the index, one's own in the table.
            are_known = checked.verdict == other.verdict == "confirmed"
            is_same = _is_own(other, own) and _same(checked.number, other.number)
            if is_same and not are_known and not _agree(checked.number, other.number):
                yield _differs(checked.number, other.number)


def _plain(tables: Sequence[Checked]) -> Iterator[Checked]:
    """Numbers that are the one figure of their model below their heading."""
    by_table: dict[int, list[Checked]] = {}
    for checked in tables:
        by_table.setdefault(checked.number.table, []).append(checked)
    for found in by_table.values():
        several = repeated_places([c.number for c in found])
        for checked in found:
            number = checked.number
            if not number.loose and (number.model, number.heading) not in several:
                yield checked


def _differs(number: Number, other: Number) -> Problem:
    return Problem(
        "index",
        wrong=True,
        line=other.line,
        message=f"table {other.table} gives {other.text} for {other.heading}, the model-index "
        f"{number.text} for {number.heading}",
    )


def _is_own(checked: Checked, own: frozenset[str]) -> bool:
    """Whether a number of a table is the card's own model's, for certain."""
    number = checked.number
    if not number.model:
        return True
    return bool(checked.fact is not None and checked.fact.model in own)


def _same(a: Number, b: Number) -> bool:
    """Whether two numbers are of one measure, both for certain."""
    ours, theirs = a.label, b.label
    if a.doubt or b.doubt or ours.bench is None or ours.bench != theirs.bench:
        return False
    settings = ("version", "shots", "category", "judge")
    if any(getattr(ours, name) != getattr(theirs, name) for name in settings):
        return False
    first_metrics, second_metrics = metrics_of(ours), metrics_of(theirs)
    return len(first_metrics) == 1 and first_metrics == second_metrics


def _agree(a: Number, b: Number) -> bool:
    for first in _readings(a):
        for second in _readings(b):
            room = first[1] + second[1]
            if abs(first[0] - second[0]) <= room + 1e-9:
                return True
            if first[1] != second[1]:
                short, full = sorted((first, second), key=lambda r: -r[1])
                if 0 < full[0] - short[0] < 2 * short[1] + 1e-9:
                    return True
    return False


def _readings(number: Number) -> Iterator[tuple[float, float]]:
    """(value, half a unit of its last digit) as printed, and as a percentage."""
    half = tolerance(number.printed)
    yield number.printed.value, half
    if Agreement.reads_share(number.printed, number.label):
        yield 100 * number.printed.value, 100 * half


# --- reading it ---------------------------------------------------------------------------------


def _number(
    model: str, data: Mapping[str, Json], metric: Mapping[str, Json], words: Vocabulary
) -> Number | None:
    printed, text = _printed(metric.get("value"))
    if printed is None:
        return None
    dataset = one_line(visible(str(data.get("name") or data.get("type") or "")))
    kind = one_line(visible(str(metric.get("type") or metric.get("name") or "")))
    label = _label(data, metric, words)
    doubt = "" if label is not None else "its data set or metric is not known"
    if label is not None and (label.unknown or label.bench is None):
        doubt = f"{dataset!r} with {kind!r} is not known"
    return Number(
        table=0,
        line=_LINE,
        row=0,
        column=0,
        model=one_line(visible(model)),
        heading=", ".join(part for part in (dataset, kind) if part) or "value",
        printed=printed,
        text=text,
        label=label or Label(),
        doubt=doubt,
    )


def _label(data: Mapping[str, Json], metric: Mapping[str, Json], words: Vocabulary) -> Label | None:
    whole = words.read(str(data.get("name") or ""))
    if whole.bench is None:
        whole = words.read(str(data.get("type") or ""))
    named = words.read(str(metric.get("type") or ""))
    if named.metric is None or named.unknown:
        named = words.read(str(metric.get("name") or ""))
    return merged([whole, named, Label(version=_edition(data, metric))])


def _edition(data: Mapping[str, Json], metric: Mapping[str, Json]) -> str | None:
    """Version of AlpacaEval, as evalkit's own entries say it; others use configs as they like."""
    args = metric.get("args")
    is_own = isinstance(args, Mapping) and MARK in args
    return _EDITIONS.get(str(data.get("config"))) if is_own else None


def _printed(value: Json) -> tuple[Printed | None, str]:
    if isinstance(value, bool) or value is None:
        return None, ""
    if isinstance(value, int | float):
        text = repr(value)
        if "e" in text or "n" in text:
            return None, text
        return Printed(abs(float(value)), decimals_of(text)), text
    text = one_line(visible(str(value)), 60)
    return parse_number(text), text


def _entries(card: Card) -> list[Mapping[str, Json]]:
    return _list(card.front.get("model-index"))


def _list(value: Json) -> list[Mapping[str, Json]]:
    return [e for e in value if isinstance(e, Mapping)] if isinstance(value, list) else []
