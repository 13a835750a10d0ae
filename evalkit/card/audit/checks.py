"""A table held against itself: order, averages, units, the best in bold.

Only what the card states is checked: an order it names or numbers, an average whose parts are
known, a column that cannot be of one unit, bold that it says marks the best.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from evalkit.card.audit.agreement import agree, is_share_of, tolerance
from evalkit.card.audit.benchmarks import BENCHMARKS, CATEGORIES
from evalkit.card.audit.labels import Vocabulary, plain_words
from evalkit.card.audit.layout import Layout
from evalkit.card.audit.shapes import OWN, Checked, Number, Problem
from evalkit.draw import significant

__all__ = ["table_problems"]

_SORTED = re.compile(
    r"\b(?:sorted|ordered|ranked|sorting|in (?:descending|decreasing|ascending|increasing) order)"
    r"(?:\s+(?:in\s+)?(?:descending|decreasing|ascending|increasing|order))*\s+"
    r"(?:by|of|according to|on|based on)\s+(?:the |their )?"
    r"(?P<what>[^.,;:\n]{1,60}?)(?=\s+and\b|[.,;:\n]|$)",
    re.IGNORECASE,
)
_ASCENDING = re.compile(r"\b(?:ascending|increasing|lowest first|worst first)\b", re.IGNORECASE)
_BOLD = re.compile(
    r"\bbest\b[^.;\n]{0,30}\b(?:in bold|bold(?:ed|face)?|are bold|is bold)\b|"
    r"\bbold\b[^.;\n]{0,30}\b(?:best|highest|top)\b",
    re.IGNORECASE,
)
_NOT_ALL_BOLD = re.compile(r"second|per size|each size|open|category|group|7b|13b", re.IGNORECASE)
_OF_ABOVE = re.compile(r"\b(?:above|previous|preceding)\b", re.IGNORECASE)
_OF_BELOW = re.compile(r"\b(?:below|next|following|now)\b|:\s*$", re.IGNORECASE)
"""What stands between two tables may speak of either."""
_DESCENDING_MARK = "▼"
_MARKS = frozenset({_DESCENDING_MARK, "▲"})
"""Of the column by which a table is sorted; plain arrows say which direction is better."""
_MT_BENCH_ROOM = 0.05
"""Turns and categories have a few ratings less where a judgment failed."""


def table_problems(
    layout: Layout, checked: Sequence[Checked], words: Vocabulary
) -> Iterator[Problem]:
    """Everything that is wrong with a table by its own words.

    An average that the evidence confirms may be of parts that are not all printed.
    """
    yield from _order(layout, words)
    yield from _ranks(layout)
    confirmed = [c.number for c in checked if c.verdict == "confirmed"]
    yield from _averages(layout, confirmed)
    yield from _units(layout, checked)
    yield from _bold(layout)


def _by_column(layout: Layout) -> dict[int, list[Number]]:
    found: dict[int, list[Number]] = {}
    for number in layout.numbers:
        found.setdefault(number.column, []).append(number)
    return found


def _problem(layout: Layout, code: str, message: str, *, wrong: bool = True) -> Problem:
    table = layout.table
    return Problem(code, wrong, table.line, f"table {table.number}: {message}")


# --- order --------------------------------------------------------------------------------------


def _order(layout: Layout, words: Vocabulary) -> Iterator[Problem]:
    table = layout.table
    above = [text for text in table.before.split("\n") if not _OF_ABOVE.search(text)]
    below = [text for text in table.after.split("\n") if not _OF_BELOW.search(text)]
    for text in (*above, *below):
        match = _SORTED.search(text)
        if match is None:
            continue
        column = _named_column(layout, match["what"], words)
        if column is not None:
            stated = f"sorted by {match['what'].strip()}"
            descending = not _ASCENDING.search(text)
            yield from _neighbours(layout, column, stated, descending=descending)
            return
    marked = [c for c in _by_column(layout).values() if _MARKS & set(c[0].heading)]
    if len(marked) == 1:
        stated = f"marked as sorted by {marked[0][0].heading}"
        descending = _DESCENDING_MARK in marked[0][0].heading
        yield from _neighbours(layout, marked[0], stated, descending=descending)


def _neighbours(
    layout: Layout, column: Sequence[Number], stated: str, *, descending: bool
) -> Iterator[Problem]:
    for a, b in pairwise(column):
        if _out_of_order(a, b, descending=descending):
            yield _problem(layout, "order", _misplaced(a, b, stated))


def _misplaced(a: Number, b: Number, stated: str) -> str:
    return (
        f"{a.model or OWN!r} ({a.text}) stands above "
        f"{b.model or OWN!r} ({b.text}), though the rows are {stated}"
    )


def _out_of_order(a: Number, b: Number, *, descending: bool) -> bool:
    first, second = (a.printed, b.printed) if descending else (b.printed, a.printed)
    if (first.value <= 1 < second.value or second.value <= 1 < first.value) and first != second:
        return False  # units are mixed: said elsewhere
    if first.decimals == second.decimals:
        return second.value > first.value
    return second.value - tolerance(second) > first.value + tolerance(first)


def _named_column(layout: Layout, what: str, words: Vocabulary) -> list[Number] | None:
    """The one column that some words mean."""
    wanted = words.read(what)
    columns = _by_column(layout)
    found = []
    for j, numbers in columns.items():
        label = numbers[0].label
        if layout.columns[j].kind != "measure":
            continue
        if wanted.average and not wanted.bench:
            fits = label.average and not label.bench
        elif wanted.bench:
            fits = label.bench == wanted.bench and wanted.metric in (None, label.metric)
        else:
            heading, said = plain_words(numbers[0].heading), plain_words(what)
            is_metric = wanted.metric is not None and label.metric == wanted.metric
            fits = is_metric or heading == said
        if fits:
            found.append(numbers)
    if len(found) > 1 and wanted.metric is None:
        return None
    return found[0] if len(found) == 1 and len(found[0]) > 1 else None


def _ranks(layout: Layout) -> Iterator[Problem]:
    """Ranks against the one column they can be of: the average, else the only one there is."""
    if not layout.ranks or len({column for _, column, _ in layout.ranks}) != 1:
        return
    columns = [n for j, n in _by_column(layout).items() if layout.columns[j].kind == "measure"]
    averages = [n for n in columns if n[0].label.average and not n[0].label.bench]
    chosen = averages if len(averages) == 1 else columns
    if len(chosen) != 1:
        return
    rank = {row: place for row, _, place in layout.ranks}
    ranked = sorted((n for n in chosen[0] if n.row in rank), key=lambda n: (rank[n.row], n.row))
    for a, b in pairwise(ranked):
        if rank[a.row] < rank[b.row] and _out_of_order(a, b, descending=True):
            said = f"ranked {rank[a.row]} and {rank[b.row]}"
            yield _problem(layout, "order", _misplaced(a, b, said))


def _bold(layout: Layout) -> Iterator[Problem]:
    """Bold that the card says marks the best of a column."""
    near = f"{layout.table.before}\n{layout.table.after}"
    match = _BOLD.search(near)
    if match is None or _NOT_ALL_BOLD.search(near):
        return
    for numbers in _by_column(layout).values():
        marked = [n for n in numbers if n.bold]
        if len(marked) != 1 or len(numbers) < 2 or len({n.heading for n in numbers}) != 1:
            continue
        better = [n for n in numbers if _out_of_order(marked[0], n, descending=True)]
        if better:
            best = max(better, key=lambda n: n.printed.value)
            yield _problem(
                layout,
                "bold",
                f"{marked[0].heading}: {marked[0].text} is in bold as the best, but "
                f"{best.model or OWN!r} has {best.text}",
            )


# --- averages -----------------------------------------------------------------------------------


def _averages(layout: Layout, confirmed: Sequence[Number]) -> Iterator[Problem]:
    lines: dict[tuple[str, int], list[Number]] = {}
    for number in layout.numbers:
        by_column = layout.columns[number.column].kind == "measure"
        key = number.row if by_column else -1 - number.column
        lines.setdefault((number.model, key), []).append(number)
    found = [(line, _average_of(line)) for line in lines.values()]
    known = [(line, fit) for line, fit in found if fit is not None]
    follow = [len(parts) for _, (_, fits, parts) in known if fits]
    for line, (average, fits, parts) in ((line, fit) for line, fit in known):
        if fits or average in confirmed:
            continue
        is_sure = _is_whole_board(line) or _is_mt_bench(line) or follow.count(len(parts)) >= 2
        if is_sure:
            mean = sum(p.printed.value for p in parts) / len(parts)
            yield _problem(
                layout,
                "average",
                f"{average.model or OWN!r}: {average.heading} is {average.text}, "
                f"but the mean of its {len(parts)} parts is {significant(mean, 4)}",
            )


def _average_of(line: Sequence[Number]) -> tuple[Number, bool, list[Number]] | None:
    """(the average of a line, whether it follows from some natural set of parts, the parts)."""
    averages = [n for n in line if _is_average(n)]
    parts = [n for n in line if not _is_average(n) and _is_part(n, averages)]
    if len(averages) != 1 or len(parts) < 2:
        return None
    sets = [parts, [p for p in parts if p.label.bench != "drop"]]
    fits = any(_follows(averages[0], chosen) for chosen in sets if len(chosen) >= 2)
    return averages[0], fits, parts


def _is_average(number: Number) -> bool:
    if number.label.bench == "mt_bench":
        return "average" in plain_words(number.heading) or "avg" in plain_words(number.heading)
    return number.label.average and number.label.bench is None


def _is_part(number: Number, averages: Sequence[Number]) -> bool:
    if not averages or number.doubt:
        return False
    if averages[0].label.bench == "mt_bench":
        return number.label.bench == "mt_bench" and _part_kind(number) is not None
    bench = BENCHMARKS.get(number.label.bench or "")
    return (bench is None or bench.unit == "percent") and number.label.metric != "avg_length"


def _part_kind(number: Number) -> str | None:
    if number.label.category is not None:
        return "category"
    return "turn" if (number.label.metric or "").startswith("score_turn_") else None


def _follows(average: Number, parts: Sequence[Number]) -> bool:
    mean = sum(p.printed.value for p in parts) / len(parts)
    room = tolerance(average.printed) + sum(tolerance(p.printed) for p in parts) / len(parts)
    if average.label.bench == "mt_bench":
        room += _MT_BENCH_ROOM
    off = mean - average.printed.value
    cut_off = tolerance(average.printed) if off > 0 else 0.0
    return abs(off) <= room + cut_off + 1e-9


def _is_whole_board(line: Sequence[Number]) -> bool:
    """The line has all columns of a leaderboard and nothing else but an average."""
    parts = [n.label.bench for n in line if not _is_average(n)]
    benches = set(parts)
    if len(benches) < len(parts):
        return False
    for board in ("1", "2"):
        wanted = {key for key, bench in BENCHMARKS.items() if bench.board == board}
        if benches in (wanted, wanted - {"drop"}):
            return True
    return False


def _is_mt_bench(line: Sequence[Number]) -> bool:
    """The line has both turns, or all eight categories."""
    kinds = [_part_kind(n) for n in line]
    categories = {n.label.category for n in line if n.label.category}
    turns = {n.label.metric for n in line if _part_kind(n) == "turn"}
    if "category" in kinds and "turn" in kinds:
        return False
    return len(turns) == 2 or categories == set(CATEGORIES)


# --- units --------------------------------------------------------------------------------------


def _units(layout: Layout, checked: Sequence[Checked]) -> Iterator[Problem]:
    """Shares of 1 beside percentages, in one column or of one measure.

    A share is known by the evidence, which has it as a percentage, or by what guessing gives.
    """
    shares = {_place(c.number) for c in checked if _is_evident_share(c)}
    odd: dict[tuple[int, int], Number] = {}
    among: set[tuple[int, int]] = set()
    for numbers in _together(layout):
        ones, hundreds = _by_unit(numbers, shares)
        if ones and hundreds:
            few = ones if len(ones) <= len(hundreds) else hundreds
            odd |= {_place(n): n for n in few}
            among |= {_place(n) for n in (*ones, *hundreds)}
    if odd:
        few = list(odd.values())
        named = ", ".join(_short(n) for n in few[:3])
        more = f" and {len(few) - 3} more" if len(few) > 3 else ""
        differ = "differs" if len(few) == 1 else "differ"
        yield _problem(
            layout,
            "units",
            f"shares (0 to 1) stand beside percentages (0 to 100); {len(few)} of {len(among)} "
            f"numbers {differ} from the others: {named}{more}",
        )


def _place(number: Number) -> tuple[int, int]:
    return number.row, number.column


def _is_evident_share(checked: Checked) -> bool:
    number, fact = checked.number, checked.fact
    if checked.verdict != "confirmed" or fact is None:
        return False
    found = agree(number.printed, fact, number.label)
    return found is not None and found.is_share and is_share_of(number.printed, fact)


def _together(layout: Layout) -> Iterator[Sequence[Number]]:
    """Numbers that should have one unit: a column's, and those below one heading in any column."""
    found: dict[int | str, list[Number]] = {}
    for number in layout.numbers:
        bench = BENCHMARKS.get(number.label.bench or "")
        is_percent = bench is not None and bench.unit == "percent"
        if is_percent and number.label.metric != "avg_length" and not number.doubt:
            found.setdefault(number.column, []).append(number)
            found.setdefault(number.heading, []).append(number)
    yield from found.values()


def _by_unit(
    numbers: Sequence[Number], shares: Collection[tuple[int, int]]
) -> tuple[list[Number], list[Number]]:
    """(shares of 1, percentages); a low number that may be either is neither."""
    hundreds = [
        n for n in numbers if _place(n) not in shares and (n.printed.percent or n.printed.value > 1)
    ]
    low = [n for n in numbers if n not in hundreds]
    ones = [n for n in low if _place(n) in shares or _beats_guessing(n) or _is_finer(n, hundreds)]
    return ones, hundreds


def _beats_guessing(number: Number) -> bool:
    """A share: as a percentage it would be less than what guessing gives."""
    bench = BENCHMARKS.get(number.label.bench or "")
    if bench is None or bench.floor is None or number.printed.decimals < 2:
        return False
    return number.printed.value * 100 >= bench.floor


def _is_finer(number: Number, hundreds: Sequence[Number]) -> bool:
    """A share: two digits more than all percentages around it, and among them times 100."""
    if len(hundreds) < 2 or len({n.heading for n in (number, *hundreds)}) > 1:
        return False
    values = [n.printed.value for n in hundreds]
    finest = max(n.printed.decimals for n in hundreds)
    is_among = min(values) <= 100 * number.printed.value <= max(values)
    return is_among and number.printed.decimals >= max(4, finest + 2)


def _short(number: Number) -> str:
    return f"{number.model or number.heading} {number.text}"
