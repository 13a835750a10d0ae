"""A cell in a reader's words to the one figure it means, or a refusal that lists the choices.

    cell     SUBJECT/BENCHMARK[/TASK][/METRIC][/CATEGORY]      as `evalkit claim` names places
             [SUBJECT | BENCHMARK | cell] NUMBER               the number as it was printed
    SUBJECT  MODEL, RUN:MODEL, or a difference A-B, "A minus B"

Names may hold slashes and blanks, so they are looked up, never split: as written, else in any
case.  Without METRIC the headline metric is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from evalkit.compare import Options, names
from evalkit.compare.words import benchmark_label
from evalkit.core import Run
from evalkit.errors import DataError
from evalkit.evidence.figures import Figure, of_pair, of_runs
from evalkit.evidence.numbers import Printed, printed

__all__ = ["find"]

_CHOICES = 12
"""Cells listed where several are meant."""
_NEAREST = 3
_JOINTS = ("-", " - ", " minus ", "\N{MINUS SIGN}", " \N{MINUS SIGN} ")


@dataclass(frozen=True)
class _Subject:
    """One way of writing a model or a difference, and how to get its figures."""

    written: str
    figures: Callable[[], Sequence[Figure]]


def find(runs: Sequence[Run], text: str, options: Options) -> Figure:
    """The figure that `text` names.

    Args:
        runs: Where to look.
        text: See above.
        options: For differences that stand in no run and are computed now.

    Raises:
        DataError: nothing, or several figures are meant; names choices.
        ComparisonError: a difference of models that were not measured alike.
    """
    known, plain = list(of_runs(runs)), " ".join(text.split())
    if not known:
        folders = ", ".join(str(run.folder) for run in runs)
        raise DataError(f"{folders}: no figures; a run has some once it is finished")
    for stage in _stages(runs, known, plain, options):
        found = [f for place, figures in _split(plain, stage, "/") for f in _at(figures, place)]
        if found:
            return _one(text, _headlines(found))
    number = printed(plain)
    if number is None:
        raise DataError(_unknown(runs, known, text))
    among = _among(runs, known, number.subject, options)
    return _by_number(text, number, among)


def _stages(
    runs: Sequence[Run], known: Sequence[Figure], text: str, options: Options
) -> Iterator[list[_Subject]]:
    """Surest first: models, differences that are stored, differences that can be computed.

    Of the last only those that `text` may begin with: of many runs there are very many.
    """
    models = _models(runs, known)
    yield [
        _Subject(written, lambda own=own: own)  # type: ignore[misc]
        for written, own in models.items()
    ]
    stored: dict[str, list[Figure]] = {}
    for f in known:
        if len(f.models) == 2:
            for prefix in ("", *(f"{name}:" for name in _run_names(f.run))):
                for joint in _JOINTS:
                    stored.setdefault(f"{prefix}{joint.join(f.models)}", []).append(f)
    yield [
        _Subject(written, lambda own=own: own)  # type: ignore[misc]
        for written, own in stored.items()
    ]
    yield [
        _Subject(f"{a}{joint}{b}", lambda a=a, b=b: list(of_pair(runs, a, b, options)))  # type: ignore[misc]
        for a, b in permutations(models, 2)
        if text.casefold().startswith(a.casefold())
        for joint in _JOINTS
    ]


def _models(runs: Sequence[Run], known: Sequence[Figure]) -> dict[str, list[Figure]]:
    """Figures of every model by its name and by RUN:MODEL."""
    found: dict[str, list[Figure]] = {name: [] for name in names(runs)}
    for f in known:
        if len(f.models) == 1:
            (model,) = f.models
            for prefix in ("", *(f"{name}:" for name in _run_names(f.run))):
                found.setdefault(f"{prefix}{model}", []).append(f)
    return found


def _run_names(run: Run) -> tuple[str, ...]:
    """A run's folder, the folder's last part, its id."""
    folder = Path(run.folder)
    return tuple(dict.fromkeys((str(folder), folder.name, str(run.manifest.get("run_id")))))


def _split(
    text: str, subjects: Iterable[_Subject], joints: str
) -> Iterator[tuple[str, Sequence[Figure]]]:
    """What follows each subject that `text` begins with, and that subject's figures."""
    for subject in subjects:
        start, rest = text[: len(subject.written)], text[len(subject.written) :]
        if start.casefold() == subject.written.casefold() and rest[:1] in joints:
            yield rest[1:], subject.figures()


def _at(figures: Iterable[Figure], place: str) -> Iterator[Figure]:
    """Those that `BENCHMARK[/TASK][/METRIC][/CATEGORY]` names; METRIC also after a blank."""
    return (f for f in figures if _is_at(f, place.casefold()))


def _is_at(f: Figure, wanted: str) -> bool:
    benchmark, task, metric, category = f.place
    for name in dict.fromkeys((benchmark, benchmark_label(benchmark))):
        places = (name, f"{name}/{task}")
        ways = [f"{place}{joint}{metric}" for place in places for joint in "/ "]
        ways = [*places, *ways]
        ways = ways if category is None else [f"{way}/{category}" for way in ways]
        if any(way.casefold() == wanted for way in ways):
            return True
    return False


def _headlines(found: Sequence[Figure]) -> list[Figure]:
    """Headline figures where some are meant; what is written out in full has no other.

    Of categories, those of the headline metric.
    """
    first = [f for f in found if f.headline]
    return first or [f for f in found if f.of_headline_metric] or list(found)


# --- by number ----------------------------------------------------------------------------------


def _among(
    runs: Sequence[Run], known: Sequence[Figure], subject: str, options: Options
) -> list[Figure]:
    """Everything that is said of a subject or of a benchmark; all there is where none is named."""
    if not subject:
        return list(known)
    for stage in _stages(runs, known, subject, options):
        found = [
            f
            for place, figures in _split(subject, stage, "/ ")
            for f in (_at(figures, place) if place else figures)
        ]
        if found:
            return found
    found = list(_at(known, subject))
    if not found:
        raise DataError(_unknown(runs, known, subject))
    return found


def _by_number(text: str, number: Printed, among: Sequence[Figure]) -> Figure:
    found = [f for f in among if number.is_of(f)] or [f for f in among if number.is_share_of(f)]
    if found:
        return _one(text, found)
    defined = [f for f in among if f.value is not None]
    nearest = sorted(defined, key=lambda f: abs((f.value or 0.0) - number.value))[:_NEAREST]
    raise DataError(
        f"no figure of {len(among)} prints as {number.text!r}; nearest: "
        + ("; ".join(f"{f.shown} ({f.cell})" for f in nearest) or "none")
    )


# --- refusals -----------------------------------------------------------------------------------


def _one(text: str, found: Sequence[Figure]) -> Figure:
    unique = list({id(f.row): f for f in found}.values())
    if len(unique) == 1:
        return unique[0]
    cells = [f.cell for f in unique]
    if len(set(cells)) < len(cells):
        cells = [f"{f.run.folder}:{f.cell}" for f in unique]
    more = f" and {len(cells) - _CHOICES} more" if len(cells) > _CHOICES else ""
    lines = "".join(
        f"\n  {cell}  ({f.shown})" for cell, f in zip(cells[:_CHOICES], unique, strict=False)
    )
    raise DataError(f"{text!r} may be any of {len(cells)} figures; name one:{lines}{more}")


def _unknown(runs: Sequence[Run], known: Sequence[Figure], text: str) -> str:
    mine = [
        f
        for place, figures in _split(text, next(_stages(runs, known, text, Options())), "/ ")
        for f in figures
    ]
    if mine:
        cells = dict.fromkeys(f.cell for f in _headlines(mine))
        return f"{text!r}: no such figure; expected one of: {_some(list(cells))}"
    models = dict.fromkeys(m for f in known for m in f.models)
    return (
        f"{text!r} names no figure of {', '.join(str(run.folder) for run in runs)}; expected "
        f"MODEL/BENCHMARK[/TASK][/METRIC], A-B/BENCHMARK for a difference, or the number as "
        f"printed; models: {_some(list(models))}"
    )


def _some(found: Sequence[str]) -> str:
    more = f" and {len(found) - _CHOICES} more" if len(found) > _CHOICES else ""
    return f"{', '.join(found[:_CHOICES])}{more}"
