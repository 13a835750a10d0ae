"""The runs that are shown, each with what an index needs.

Records are read once after each change of a run, for what speaks against its figures, and dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from evalkit import report, store
from evalkit.compare import damages, weak_judges
from evalkit.compare.words import has_direction
from evalkit.core import Estimate, Json, Run
from evalkit.errors import EvalkitError
from evalkit.store import MANIFEST_NAME, RESULTS_NAME
from evalkit.viewer.shape import fault

__all__ = ["Entry", "Library", "headline_metrics"]

_SLUG = 12
_MANY = 20_000
"""Records from which on a page reads its samples from files beside it, as they are asked for."""
_KEPT_RUNS = 4
"""Runs whose records stay in memory."""


@dataclass(frozen=True)
class Entry:
    """One run folder."""

    slug: str
    """Its part of an address: hex digits, whatever its name holds."""
    folder: Path
    manifest: Mapping[str, Json]
    estimates: tuple[Estimate, ...]
    started: float | None
    """Unix time at which its first session began."""
    error: str = ""
    """Why it cannot be shown; empty: it can."""
    damaged: frozenset[tuple[str, str]] = frozenset()
    """(model, benchmark entry) with figures that evidence or records speak against."""
    weak: Mapping[str, str] = field(default_factory=dict)
    """The judge by benchmark entry, where a model of the suite judged."""
    unchecked: bool = False
    """Its records cannot be read, so that nothing tells what they say of its figures."""

    @property
    def suite(self) -> str:
        """Name of its suite."""
        return str(self.manifest.get("suite_name", ""))

    @property
    def run_id(self) -> str:
        """As the manifest has it."""
        return str(self.manifest.get("run_id", ""))

    @property
    def models(self) -> tuple[str, ...]:
        """Its candidates; all that were asked where it has none."""
        entries = [e for e in _list(self.manifest.get("models")) if isinstance(e, Mapping)]
        chosen = [e for e in entries if e.get("role") == "candidate"] or entries
        return tuple(str(e.get("name")) for e in chosen)

    @property
    def date(self) -> str:
        """Of the first session, in UTC; empty where no session is stored."""
        if self.started is None:
            return ""
        return datetime.fromtimestamp(self.started, UTC).strftime("%Y-%m-%d %H:%M")

    @property
    def level(self) -> float:
        """Confidence level that its suite asks of intervals."""
        suite = self.manifest.get("suite")
        settings = suite.get("report") if isinstance(suite, Mapping) else None
        level = settings.get("level") if isinstance(settings, Mapping) else None
        return level if isinstance(level, float) and 0.5 <= level < 1 else 0.95

    @property
    def marks(self) -> tuple[str, ...]:
        """What must be known before a figure is quoted."""
        if self.error:
            return ("unreadable",)
        marks = [] if self.manifest.get("sealed") else ["not finished"]
        limit = self.manifest.get("limit")
        if isinstance(limit, int):
            marks.append(f"limited to {limit} a task")
        if self.unchecked:
            marks.append("unreadable records")
        if self.damaged:
            marks.append("damaged evidence")
        if not marks and self.manifest.get("publishable") is False:
            marks.append("not publishable")
        return tuple(marks)

    def doubts(self, e: Estimate) -> tuple[str, ...]:
        """What must be known before this figure of it is quoted."""
        if e.method == "published":
            return ()
        found = ["weak judge"] if e.benchmark in self.weak and has_direction(e.unit) else []
        if (e.model, e.benchmark) in self.damaged:
            found.append("damaged evidence")
        return tuple(found)

    def figure(self, model: str, key: tuple[str, str, str]) -> Estimate | None:
        """A model's figure by (benchmark, task, metric)."""
        for e in self.estimates:
            if e.model == model and e.category is None and (e.benchmark, e.task, e.metric) == key:
                return e
        return None


class Library:
    """The runs in some places, looked for anew at every visit, so that new ones appear."""

    def __init__(self, places: Sequence[Path]) -> None:
        self.places = tuple(places)
        self._read = lru_cache(maxsize=None)(_entry)
        self._runs = lru_cache(maxsize=_KEPT_RUNS)(_run)
        self._pages = lru_cache(maxsize=_KEPT_RUNS)(self._rendered)

    def entries(self) -> list[Entry]:
        """By place and name, each run once.

        Raises:
            DataError: a place is not there or holds no run.
        """
        found: dict[str, Entry] = {}
        for place in self.places:
            for folder in store.run_folders(place):
                home = folder.parent if folder.is_file() else folder
                entry = self._read(home, _state(home))
                found.setdefault(entry.slug, entry)
        return list(found.values())

    def entry(self, slug: str) -> Entry | None:
        """The run of an address."""
        return next((e for e in self.entries() if e.slug == slug), None)

    def run(self, entry: Entry) -> Run:
        """With its records.  Raises DataError."""
        return self._runs(entry.folder, _state(entry.folder))

    def page(self, entry: Entry) -> Mapping[str, bytes]:
        """Its report by file names, rendered now; nothing is written.  Raises DataError."""
        return self._pages(entry.folder, _state(entry.folder))

    def _rendered(self, folder: Path, state: tuple[int, ...]) -> Mapping[str, bytes]:
        run = self._runs(folder, state)
        suite = dict(run.manifest.get("suite", {}))
        suite["report"] = {**dict(suite.get("report") or {}), "formats": ["html"]}
        only_html = replace(run, manifest={**run.manifest, "suite": suite})
        return report.render(only_html, split=len(run.records) > _MANY)


def headline_metrics(entries: Sequence[Entry]) -> list[tuple[str, str, str]]:
    """(benchmark, task, metric) of every headline figure there is, in order of appearance."""
    return list(dict.fromkeys(key for entry in entries for key in _headlines(entry)))


def _headlines(entry: Entry) -> Iterator[tuple[str, str, str]]:
    with_figure = {(e.benchmark, e.task, e.metric) for e in entry.estimates}
    for benchmark in _list(entry.manifest.get("benchmarks")):
        for task, about in dict(benchmark.get("tasks") or {}).items():
            for metric in _list(about.get("metrics")):
                key = (str(benchmark.get("name")), str(task), str(metric.get("name")))
                if metric.get("primary") and key in with_figure:
                    yield key


def _state(folder: Path) -> tuple[int, ...]:
    """Changes whenever the run was written."""
    found: list[int] = []
    for name in (MANIFEST_NAME, RESULTS_NAME, "records.jsonl"):
        try:
            about = (folder / name).stat()
        except OSError:
            found += [0, 0]
        else:
            found += [about.st_mtime_ns, about.st_size]
    return tuple(found)


def _entry(folder: Path, state: tuple[int, ...]) -> Entry:
    resolved = str(folder.resolve()).encode("utf-8", "surrogateescape")
    slug = hashlib.sha256(resolved).hexdigest()[:_SLUG]
    try:
        manifest = store.read_manifest(folder)
        wrong = fault(manifest)
        if wrong:
            return Entry(slug, folder, {}, (), None, f"{folder}: {wrong}; run its suite again")
        estimates = store.read_results(folder / RESULTS_NAME)[0] if manifest.get("sealed") else ()
    except EvalkitError as error:
        return Entry(slug, folder, {}, (), None, str(error))
    run, unchecked = Run(folder, manifest, (), (), ()), False
    try:
        run = store.read_run(folder)
    except EvalkitError:
        unchecked = True  # its report says why
    return Entry(
        slug,
        folder,
        manifest,
        estimates,
        store.started(folder),
        damaged=frozenset((d.model, d.entry) for d in damages(run)),
        weak=weak_judges([run]),
        unchecked=unchecked,
    )


def _run(folder: Path, state: tuple[int, ...]) -> Run:
    return store.read_run(folder)


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list | tuple) else ()
