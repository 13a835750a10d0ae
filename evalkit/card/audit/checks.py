"""A card against itself: averages, places that state one figure, sentences, and notes.

No evidence is needed here, so that every accusation can be checked by reading the card.  A false
one is worse than many misses: where two numbers may be of two things, nothing is said.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from evalkit import catalogue
from evalkit.card.audit.findings import Answer, ClaimChecked, Remark
from evalkit.card.audit.reading import Sentence, Text
from evalkit.card.audit.stated import Grid, Label, Stated, Vocabulary
from evalkit.comparison.claim_grammar import Compared, NotUnderstood, Scored, Statement, read_claim
from evalkit.comparison.model_names import Key, model_key
from evalkit.draw.numbers import Printed, read_number

__all__ = [
    "Own",
    "average_remarks",
    "check_sentences",
    "note_remarks",
    "place_remarks",
    "same_metric",
    "states_same",
]


@dataclass(frozen=True)
class Own:
    """What a card calls its own model."""

    names: tuple[str, ...]

    @property
    def keys(self) -> frozenset[Key]:
        """Of those names."""
        return frozenset(model_key(name) for name in self.names) - {()}

    def of(self, key: Key) -> Key:
        """A model's key, where the card's own is the empty one."""
        return () if key in self.keys else key


# --- averages -----------------------------------------------------------------------------------

_FIT = 1e-9
_ROOM = 2.0
"""Times the rounding of average and parts within which nothing is wrong: some round twice."""
_LENGTHS = ("avg_length", "perplexity")


def average_remarks(grid: Grid) -> Iterator[Remark]:
    """Averages that are not the mean of what they stand beside.

    Over which numbers of a line an average is, the lines that fit tell: all, those on one side of
    it up to the next average, or all but DROP or the points among percentages.  A line is wrong
    where it fits none of these while others fit, or where its parts are all columns of a
    leaderboard, or both turns of MT-Bench.
    """
    lines: dict[tuple[object, ...], list[Stated]] = {}
    for s in grid.stated:
        line = (s.row,) if grid.by_row else (s.column,)
        lines.setdefault(line, []).append(s)
    kept = [line for line in lines.values() if len(line) > 2]
    order: Callable[[Stated], int] = (lambda s: s.column) if grid.by_row else (lambda s: s.row)
    for at in sorted({order(s) for line in kept for s in line if _is_average(s)}):
        found = [(a, line) for line in kept for a in line if order(a) == at and _is_average(a)]
        yield from _averages_at(found, order)
    yield from _average_below(grid)


def _is_average(s: Stated) -> bool:
    label = s.label
    if label.rest or label.metric not in (None, "score"):
        return False
    turns = label.bench == "mt_bench" and re.search(r"\b(?:avg|average|mean)\b", s.heading, re.I)
    return (label.average and label.bench is None) or bool(turns)


def _averages_at(
    found: Sequence[tuple[Stated, Sequence[Stated]]], order: Callable[[Stated], int]
) -> Iterator[Remark]:
    everywhere = Counter(order(s) for _, line in found for s in line)
    fits: Counter[str] = Counter()
    tried: list[tuple[Stated, dict[str, list[Stated]]]] = []
    for average, line in found:
        sets = _part_sets(average, line, order)
        tried.append((average, sets))
        fits.update(name for name, parts in sets.items() if _follows(average.printed, parts))
    for average, sets in tried:
        if average.printed.approximate or any(
            _follows(average.printed, parts, room=_ROOM) for parts in sets.values()
        ):
            continue
        best = max(sets, key=lambda name: fits[name], default=None)
        if best is None:
            continue
        parts = sets[best]
        misses = len(found) - fits[best]
        complete = all(everywhere[order(p)] <= len(found) for p in parts) and len(parts) == max(
            len(other.get(best, ())) for _, other in tried
        )
        sure = fits[best] >= misses and fits[best] >= 1 and len(parts) >= 3 and complete
        if sure or (fits[best] >= misses - 1 and _is_whole(parts)):
            mean = _mean(parts)
            decimals = max(2, average.printed.decimals)
            yield Remark(
                "average", True, average.line,
                f"{average.where}: {average.said} is {average.text}, but the mean of its "
                f"{len(parts)} parts ({', '.join(p.text for p in parts[:8])}"
                f"{', …' if len(parts) > 8 else ''}) is {mean:.{decimals}f}",
            )  # fmt: skip


def _part_sets(
    average: Stated, line: Sequence[Stated], order: Callable[[Stated], int]
) -> dict[str, list[Stated]]:
    """Sets of numbers that an average may be over, by what they are."""
    ordered = sorted((s for s in line if s.label.metric not in _LENGTHS), key=order)
    at = next(n for n, s in enumerate(ordered) if order(s) == order(average))
    others = [s for s in ordered if not (s.label.average or _is_average(s))]
    stops = [n for n, s in enumerate(ordered) if s.label.average or _is_average(s)]
    right = ordered[at + 1 : next((n for n in stops if n > at), None)]
    left = ordered[max((n for n in stops if n < at), default=-1) + 1 : at]
    points = [s for s in others if s.printed.value <= 10]
    sets = {
        "all": others,
        "right": right,
        "left": left,
        "without DROP": [s for s in others if s.label.bench != "drop"],
        "percentages": [s for s in others if s not in points],
        "known": [s for s in others if s.label.bench],
    }
    if average.label.bench == "mt_bench":
        turns = [s for s in others if (s.label.metric or "").startswith("score_turn_")]
        sets = {"turns": turns, "categories": [s for s in others if s.label.category]}
    return {name: parts for name, parts in sets.items() if len(parts) > 1}


def _mean(parts: Sequence[Stated]) -> float:
    return math.fsum(p.printed.value for p in parts) / len(parts)


def _follows(average: Printed, parts: Sequence[Stated], room: float = 1.0) -> bool:
    """Whether an average is the mean of some numbers, rounded or cut off."""
    tolerance = average.last_digit / 2 + sum(p.printed.last_digit for p in parts) / 2 / len(parts)
    off = _mean(parts) - average.value
    cut_off = average.last_digit / 2 if off > 0 else 0.0
    return abs(off) <= room * (tolerance + cut_off) + _FIT


def _is_whole(parts: Sequence[Stated]) -> bool:
    """All columns of a leaderboard and nothing else, or both turns of MT-Bench."""
    benches = [p.label.bench for p in parts]
    if any(p.label.rest for p in parts):
        return False
    if {p.label.metric for p in parts} == {"score_turn_1", "score_turn_2"} and len(parts) == 2:
        return True
    names = {b.name: b.column for b in catalogue.BENCHMARKS.values() if b.column is not None}
    boards = [
        {n for n, c in names.items() if c.board == board and (drop or n != "drop")}
        for board, drop in ((1, False), (1, True), (2, False))
    ]
    return len(set(benches)) == len(benches) and set(benches) in boards


_BELOW = re.compile(
    r"\**(?:average|avg\.?|mean)\**\s*[:=]\s*\**(?P<value>\d[\d.]*)\s*%?\**\s*",
    re.IGNORECASE,
)


def _average_below(grid: Grid) -> Iterator[Remark]:
    """`Average: 75.70` below lm-eval's table, against the range that means of it have."""
    match = _BELOW.fullmatch(grid.table.after.split("\n")[0].strip())
    tasks: dict[tuple[object, ...], list[float]] = {}
    for s in grid.stated:
        if s.key or s.label.average or s.label.metric in _LENGTHS or s.variant:
            return
        tasks.setdefault((s.label.bench, s.label.rest), []).append(s.printed.value)
    number = None if match is None else read_number(match["value"])
    if number is None or not tasks or any(c.role == "named" for c in grid.columns):
        return
    scale = 100 if number.value > 1 and all(v <= 1 for own in tasks.values() for v in own) else 1
    low, high = (scale * math.fsum(pick(own) for own in tasks.values()) / len(tasks)
                 for pick in (min, max))  # fmt: skip
    room = number.last_digit + 0.01 * scale / 100
    if not low - room <= number.value <= high + room:
        line = grid.table.rows[-1].line
        yield Remark(
            "average", True, line,
            f"below table {grid.table.number}: the average {match['value'] if match else ''} does "
            f"not follow from it: the mean of its {len(tasks)} "
            f"{'task' if len(tasks) == 1 else 'tasks'} is "
            + (f"{low:.2f}" if high - low < 1e-6 else f"between {low:.2f} and {high:.2f}"),
        )  # fmt: skip


# --- one figure in several places -----------------------------------------------------------------


def place_remarks(stated: Sequence[Stated], own: Own) -> Iterator[Remark]:
    """Figures that two places of a card state differently.

    Two places are of one measurement where all other figures they share agree, be it one where
    both state the same settings; or where the numbers differ as slips of typing do.
    """
    places: dict[str, list[Stated]] = {}
    for s in stated:
        if not (s.label.average or s.dated or s.printed.approximate):
            places.setdefault(s.place, []).append(replace(s, key=own.of(s.key)))
    yield from _index_twice(places.get("model-index", ()))
    once = {name: _single(found) for name, found in places.items()}
    reported: set[tuple[str, int, int]] = set()
    for (_, ours), (_, theirs) in combinations(once.items(), 2):
        pairs = [(a, b) for a in ours for b in theirs if _same(a, b)]
        apart = [(a, b) for a, b in pairs if not states_same(a, b)]
        agreeing = sum(_is_telling(a) and _is_telling(b) for a, b in pairs if states_same(a, b))
        for a, b in apart:
            # Places that differ in several figures are two measurements, or quote two sources.
            likely = agreeing >= 2 or (agreeing == 1 and _is_explicit(a, b)) or _is_slip(a, b)
            sure = len(apart) == 1 and likely
            both = {(s.place, s.line, s.column) for s in (a, b)}
            if not sure or both & reported:
                continue  # of three places one is odd: said once
            reported |= both
            yield Remark(
                "places", True, b.line,
                f"{a.where} gives {a.text} for {a.said}, {b.where} gives {b.text} for {b.said}",
            )  # fmt: skip


def _index_twice(found: Sequence[Stated]) -> Iterator[Remark]:
    """Entries of the index that are one measurement, settings included, with two values."""
    for a, b in combinations(found, 2):
        is_one = a.label == b.label and a.label.bench is not None and not a.label.rest
        if is_one and a.key == b.key and a.label.shots is not None and not states_same(a, b):
            yield Remark(
                "places", True, b.line,
                f"the model-index gives {a.text} (line {a.line}) and {b.text} (line {b.line}) for "
                f"{a.said}",
            )  # fmt: skip


def _single(found: Sequence[Stated]) -> list[Stated]:
    """Figures that their place states once."""
    several = [a for a, b in combinations(found, 2) if _same(a, b)]
    several += [b for a, b in combinations(found, 2) if _same(a, b)]
    return [s for s in found if s not in several]


def _same(a: Stated, b: Stated) -> bool:
    """Whether two places state one model's figure of one benchmark, as far as both say."""
    ours, theirs = a.label, b.label
    if a.key != b.key or a.variant != b.variant:
        return False
    if (ours.bench, ours.category, sorted(ours.rest)) != (
        theirs.bench, theirs.category, sorted(theirs.rest)
    ):  # fmt: skip
        return False
    for name in ("edition", "shots"):
        ours_said, theirs_said = getattr(ours, name), getattr(theirs, name)
        if ours_said is not None and theirs_said is not None and ours_said != theirs_said:
            return False
    return same_metric(ours, theirs)


def same_metric(a: Label, b: Label) -> bool:
    """Whether two headings name one metric: the same, or none beside the benchmark's own."""
    if a.metric == b.metric:
        return True
    if a.bench is None:
        return a.metric is None or b.metric is None
    info = catalogue.BENCHMARKS.get(a.bench)
    usual = info.headline if info is not None else None
    ours, theirs = (_metrics(label.metric) or {usual} for label in (a, b))
    return ours == theirs or (usual in ours and usual in theirs)


def _metrics(name: str | None) -> set[str | None]:
    if name is None:
        return set()
    return set(catalogue.metric(name).may_be) or {name}


def states_same(a: Stated, b: Stated) -> bool:
    """Whether two printed numbers are one figure, within rounding, cutting off and units."""
    for first in _readings(a.printed):
        for second in _readings(b.printed):
            room = (first[1] + second[1]) / 2 + _FIT
            if abs(first[0] - second[0]) <= room:
                return True
            short, full = sorted((first, second), key=lambda r: -r[1])
            if short[1] > full[1] and 0 < full[0] - short[0] < short[1] + _FIT:
                return True
    return False


def _readings(printed: Printed) -> Iterator[tuple[float, float]]:
    """(value, one unit of its last digit) as printed, and as a percentage."""
    yield printed.value, printed.last_digit
    if not printed.percent and 0 < printed.value <= 1:
        yield 100 * printed.value, 100 * printed.last_digit


def _is_telling(s: Stated) -> bool:
    """Whether a number has the digits that two figures hardly share by chance."""
    return s.printed.significant_digits >= 3 and s.printed.value not in (1, 10, 100)


def _is_explicit(a: Stated, b: Stated) -> bool:
    """Whether both state what decides a figure, and it is the same."""
    if a.label.bench is None or a.label.rest:
        return False
    if a.label.bench == "alpaca_eval":
        return a.label.edition is not None and a.label.edition == b.label.edition
    return a.label.shots is not None and a.label.shots == b.label.shots


def _is_slip(a: Stated, b: Stated) -> bool:
    """Whether two numbers differ as a slip does: two digits turned, or one before the point."""
    ours, theirs = (f"{s.printed.value:.{s.printed.decimals}f}" for s in (a, b))
    if a.label.bench is None or a.printed.decimals < 2 or len(ours) != len(theirs):
        return False
    apart = [n for n in range(len(ours)) if ours[n] != theirs[n]]
    point = ours.index(".")
    if len(apart) == 1:
        return apart[0] < point
    i, j = (apart[0], apart[-1]) if len(apart) == 2 else (0, 0)
    return j > i and ours[i] == theirs[j] and ours[j] == theirs[i]


# --- sentences ----------------------------------------------------------------------------------

_SUBJECT = re.compile(r"^(?:our|this|the) (?:(?:final|fine-?tuned|trained) )?model\b", re.I)
_LEAD = re.compile(
    r"^(?:in particular|notably|overall|as shown(?: in [^,]+)?|moreover|also|furthermore|"
    r"additionally|importantly|in addition|finally),?\s+",
    re.IGNORECASE,
)


def check_sentences(
    sentences: Sequence[Sentence],
    stated: Sequence[Stated],
    own: Own,
    words: Vocabulary,
    outside: Callable[[Statement, Label], tuple[Answer, str] | None],
    is_model: Callable[[str], bool],
) -> Iterator[ClaimChecked]:
    """Sentences that compare models, against the card's own tables.

    Args:
        sentences: Of the prose.
        stated: Figures of tables and index.
        own: The card's own model.
        words: Names of benchmarks and metrics.
        outside: What evidence says to a statement on one benchmark; None: nothing.
        is_model: Whether the evidence has a model of some name.
    """  # fmt: skip
    found = [replace(s, key=own.of(s.key)) for s in stated if not s.dated]
    known = {s.key for s in found} | {()}
    for sentence in sentences:
        text = _LEAD.sub("", sentence.text)
        if own.names:
            text = _SUBJECT.sub(own.names[0].replace("\\", ""), text)
        claim = read_claim(
            text, lambda name: bool(name) and (own.of(model_key(name)) in known or is_model(name))
        )
        if isinstance(claim, NotUnderstood):
            if claim.is_claim:
                yield ClaimChecked(sentence.line, sentence.text, "not checked", (claim.why,))
            continue
        answers = [_answer(one, found, own, words, outside) for one in claim]
        order: tuple[Answer, ...] = (
            "contradicted", "not supported", "not checked", "consistent", "supported"
        )  # fmt: skip
        worst = min((a for a, _ in answers), key=order.index)
        reasons = tuple(dict.fromkeys(why for _, why in answers if why))
        yield ClaimChecked(sentence.line, sentence.text, worst, reasons)


def _answer(
    one: Statement, stated: Sequence[Stated], own: Own, words: Vocabulary,
    outside: Callable[[Statement, Label], tuple[Answer, str] | None],
) -> tuple[Answer, str]:  # fmt: skip
    if isinstance(one, Compared) and one.everywhere:
        return _held(one, None, stated, own)
    places = (one.place,) if isinstance(one, Scored) else one.places
    if not places:
        return "not checked", "it names no benchmark"
    answers: list[tuple[Answer, str]] = []
    for place in places:
        label = words.read(place)
        if label.kind or label.rest or label.average or label.bench is None:
            answers.append(("not checked", f"{place!r} is no benchmark that evalkit knows"))
            continue
        inside = (
            _scored(one, label, stated, own) if isinstance(one, Scored)
            else _held(one, label, stated, own)
        )  # fmt: skip
        # Samples say more than printed figures do; the card's own contradiction stays.
        beyond = outside(one, label) if inside[0] != "contradicted" else None
        if beyond is not None and (inside[0] == "not checked" or beyond[0] != "consistent"):
            inside = beyond
        answers.append(inside)
    order = ("contradicted", "not supported", "not checked", "consistent", "supported")
    return min(answers, key=lambda a: order.index(a[0]))


def _fits(label: Label, wanted: Label) -> bool:
    """Whether a figure is of the benchmark that a sentence names, as far as it says."""
    if label.bench != wanted.bench or label.rest or label.average:
        return False
    if (label.edition, label.category) != (wanted.edition, wanted.category):
        return False
    if wanted.shots is not None and wanted.shots != label.shots:
        return False
    turn = (label.metric or "").startswith("score_turn_")
    if label.metric in _LENGTHS or (turn and wanted.metric is None):
        return False
    info = catalogue.BENCHMARKS.get(label.bench or "")
    usual: set[str | None] = {info.headline} if info is not None else set()
    measured = _metrics(label.metric) or usual
    return wanted.metric is None or bool(_metrics(wanted.metric) & measured)


def _scored(one: Scored, wanted: Label, stated: Sequence[Stated], own: Own) -> tuple[Answer, str]:
    mine = own.of(model_key(one.subject))
    found = [s for s in stated if s.key == mine and not s.variant and _fits(s.label, wanted)]
    said = replace(
        found[0], printed=Printed(one.value, one.decimals, percent=one.percent)
    ) if found else None  # fmt: skip
    if said is None:
        return "not checked", f"the card has no figure of {one.subject} for {one.place}"
    if any(states_same(said, s) for s in found):
        return "consistent", f"{found[0].where}: {found[0].said}"
    values = ", ".join(dict.fromkeys(s.text for s in found))
    if len({s.text for s in found}) > 1:
        return "not checked", f"the card has several figures of it: {values}"
    return "contradicted", f"{found[0].where} gives {values} for {found[0].said}"


def _held(
    one: Compared, wanted: Label | None, stated: Sequence[Stated], own: Own
) -> tuple[Answer, str]:
    """A comparison against every column that has both models; None: all benchmarks."""
    if one.relation not in ("better", "worse", "not_worse"):
        return "not checked", "the card alone does not decide it"
    if one.amount is not None and (one.amount.percent or one.amount.how != "by"):
        return "not checked", "the card alone does not decide it"
    answers: list[tuple[Answer, str]] = []
    for other in one.others:
        ours, theirs = (own.of(model_key(name)) for name in (one.subject, other))
        pairs = [
            (a, b) for a in stated for b in stated
            if (a.key, b.key) == (ours, theirs) and a.place == b.place and a.label == b.label
            and not a.variant and not b.variant
            and (_fits(a.label, wanted) if wanted else bool(a.label.bench) and not a.label.rest
                 and a.label.metric not in _LENGTHS) and not _LOWER.search(a.heading)
        ]  # fmt: skip
        answers.append(_versus(one, pairs, everywhere=wanted is None))
    order = ("contradicted", "not checked", "consistent")
    return min(answers, key=lambda a: order.index(a[0]))


def _versus(
    one: Compared, pairs: Sequence[tuple[Stated, Stated]], *, everywhere: bool
) -> tuple[Answer, str]:
    held = [_holds(one, a, b) for a, b in pairs]
    if not pairs:
        return "not checked", "no table of the card has figures of both"
    a, b = pairs[next((n for n, h in enumerate(held) if not h), 0)]
    shown = f"{a.where}: {a.text} for {a.said}; {b.text} for {b.said}"
    if all(held):
        if one.significant:
            return "not checked", f"{shown}; printed figures do not show significance"
        return "consistent", shown
    if not any(held) or everywhere:
        return "contradicted", shown
    return "not checked", "the card's columns of that benchmark disagree"


def _holds(one: Compared, a: Stated, b: Stated) -> bool:
    gap = a.printed.value - b.printed.value
    gap = -gap if one.relation == "worse" else gap
    if one.amount is not None:
        room = (10.0**-one.amount.decimals + a.printed.last_digit + b.printed.last_digit) / 2
        return abs(gap - one.amount.value) <= 2 * room + _FIT
    return gap >= 0 if one.relation == "not_worse" else gap > 0


# --- notes --------------------------------------------------------------------------------------

_BEST = re.compile(r"\b(?:best|highest|top|winner)[^.]{0,60}\bbold|\bbold\w*[^.]{0,60}\b(?:best|"
                   r"highest|top)\b", re.I)  # fmt: skip
_LOWER = re.compile(r"\u2193|\blower\b|\bbpb\b|\bppl\b|\bperplexity\b|\bloss\b|\berror\b", re.I)
_SECOND = re.compile(r"\bsecond|\bper\b|\bamong\b|\bwithin\b|\bexcept\b|\bopen\b|\bgroup\b", re.I)
_JUDGING = re.compile(
    r"\b(?:judged|graded|evaluated|annotated|scored)\s+by\s+(?!an?\b|the\b)\S|\bgpt-?[345]|"
    r"\bjudges?\s*[:=(]|\b(?:as|is|with)\s+(?:the\s+)?(?:judge|annotator)|judge \S+;",
    re.IGNORECASE,
)


def note_remarks(text: Text, grids: Sequence[Grid], inside: Sequence[Stated]) -> Iterator[Remark]:
    """What a reader should know and what is no error: settings, units, bold, the index."""
    if text.front_error:
        yield Remark(
            "front_matter", False, 1,
            f"the front matter cannot be read, so the hub shows none of it: {text.front_error}",
        )  # fmt: skip
    elif "model-index" in text.front and not inside and any(g.stated for g in grids):
        yield Remark(
            "empty_index", False, 1,
            "the model-index holds no result, though the tables have some: the hub shows none",
        )  # fmt: skip
    prose = "\n".join(s.text for s in text.sentences)
    for grid in grids:
        yield from _settings(grid, prose)
        yield from _bold(grid)
        yield from _units(grid)


def _settings(grid: Grid, prose: str) -> Iterator[Remark]:
    if not grid.stated or grid.table.own:
        return
    near = "\n".join((prose, grid.table.before, *grid.table.headings, *(c.heading for c in
                      grid.columns)))  # fmt: skip
    missing: list[str] = []
    benches = {s.label.bench: s for s in grid.stated if s.label.bench}
    alpaca = benches.get("alpaca_eval")
    if alpaca is not None and alpaca.label.edition is None and "alpacaeval 1" not in near.lower():
        missing.append("which version of AlpacaEval")
    if ("mt_bench" in benches or alpaca is not None) and not _JUDGING.search(near):
        missing.append("who judged")
    shots = [
        catalogue.BENCHMARKS[b].label for b, s in benches.items()
        if b in catalogue.BENCHMARKS and catalogue.BENCHMARKS[b].column and s.label.shots is None
    ]  # fmt: skip
    if shots and not re.search(r"\d[- ]shots?\b|leaderboard", near, re.I):
        missing.append(f"how many shots {', '.join(shots[:6])}")
    if missing:
        yield Remark(
            "settings", False, grid.table.line,
            f"table {grid.table.number} does not say {'; '.join(missing)}",
        )  # fmt: skip


def _bold(grid: Grid) -> Iterator[Remark]:
    said = f"{grid.table.before}\n{grid.table.after}"
    if not _BEST.search(said) or _SECOND.search(said):
        return
    by_column: dict[tuple[object, ...], list[Stated]] = {}
    for s in grid.stated:
        by_column.setdefault((s.column,) if grid.by_row else (s.row,), []).append(s)
    for found in by_column.values():
        bold = [s for s in found if s.bold]
        if len(bold) != 1 or bold[0].label.metric in _LENGTHS or _LOWER.search(bold[0].heading):
            continue
        best = max(found, key=lambda s: s.printed.value)
        if best.printed.value > bold[0].printed.value:
            yield Remark(
                "bold", False, bold[0].line,
                f"{bold[0].where}: {bold[0].heading} {bold[0].text} is in bold as the best, but "
                f"{best.model or best.heading} has {best.text}",
            )  # fmt: skip


def _units(grid: Grid) -> Iterator[Remark]:
    """Shares of 1 beside percentages of one benchmark's metric."""
    found: dict[tuple[object, ...], list[Stated]] = {}
    for s in grid.stated:
        info = catalogue.BENCHMARKS.get(s.label.bench or "")
        if info is None or info.floor is None or info.unit != "percent" or s.label.rest:
            continue
        metric = s.label.metric or info.headline
        if catalogue.metric(metric).unit == "percent":
            found.setdefault((s.label.bench, metric, s.label.shots), []).append(s)
    odd: list[Stated] = []
    for same in found.values():
        floor = catalogue.BENCHMARKS[str(same[0].label.bench)].floor or 0.0
        shares = [s for s in same if not s.printed.percent and floor <= 100 * s.printed.value <= 100
                  and s.printed.decimals >= 2]  # fmt: skip
        percentages = [s for s in same if s.printed.percent or s.printed.value > 1]
        if shares and percentages:
            odd += shares if len(shares) <= len(percentages) else percentages
    if odd:
        named = ", ".join(f"{s.model or s.heading} {s.text}" for s in odd[:3])
        yield Remark(
            "units", False, odd[0].line,
            f"table {grid.table.number}: shares of 1 stand beside percentages: {named}"
            f"{f' and {len(odd) - 3} more' if len(odd) > 3 else ''}",
        )  # fmt: skip
