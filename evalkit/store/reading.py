"""A run's folder to a typed `Run`, whatever version wrote it; nothing is written.

results.json has one flat object per row.  Its field names must not change, since others read it:
those of `Figure` and `Comparison`, with the fields of `FigureKey` and `Measured` in place and
`n_clusters` for `n_units`.  Format 2 adds `how` (the method's fields), `published` (the source's)
and `df`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from evalkit.core import Json, Record
from evalkit.core.figures import Comparison, Figure
from evalkit.core.run import FORMAT, Manifest, Run
from evalkit.core.secrets import masked_settings
from evalkit.core.votes import Vote
from evalkit.errors import DataError, StoreError, SuiteError, did_you_mean
from evalkit.store.codec import CodecError, decode, encode, parse_json, read
from evalkit.store.files import open_plain, read_file, read_lines

__all__ = [
    "digest",
    "find_place",
    "find_run",
    "find_workspace",
    "load",
    "load_manifest",
    "manifest_json",
    "manifest_of",
    "natural_key",
    "read_json",
    "read_sessions",
    "results",
    "run_folders",
    "started",
]

T = TypeVar("T")
MANIFEST_NAME = "manifest.json"
RECORDS_NAME = "records.jsonl"
RESULTS_NAME = "results.json"
SESSIONS_NAME = "sessions.jsonl"
VOTES_NAME = "votes.jsonl"
LEDGER_NAME = "ledger.jsonl"
SUMS_NAME = "SHA256SUMS"
REPORTS = "reports"
LATEST = "latest"
Key: TypeAlias = tuple[str, str, str, str]
"""`Record.key`: model, benchmark, task, sample."""
NaturalKey: TypeAlias = tuple[tuple[tuple[int, int, str], ...], str]
_AGAIN = "delete records.jsonl and run the suite again to write both"
_SESSION_LOST = (
    "delete that line: its session's times, tokens and cost are lost, and a judge's cap no longer "
    "counts what it spent"
)
_SUMS_BYTES = 1 << 20
_NEVER = 253_402_300_800
"""Unix time of the year 10000, which no calendar of Python has."""
_DIGITS = re.compile("([0-9]+)")
_KEY = ("benchmark", "task", "metric", "category")
_MEASURED = ("point", "standard_error", "low", "high", "level", "n", "n_missing", "df")


def load(folder: Path) -> Run:
    """A run from its folder (or any file of it), sealed or not.

    An unsealed run has the records so far, in the order of manifest and sample ids, and no figures
    or comparisons: those on disk, if any, belong to older records.  Of a sealed run whose records
    are gone `Run.unreadable` says why.

    Raises:
        DataError: not a run, damaged (names file and line), or of a newer evalkit.
    """
    place = folder.parent if folder.is_file() else folder
    manifest = load_manifest(place)
    records, unreadable = dict[Key, Record](), ""
    try:
        records = {record.key: record for record in read_records(place / RECORDS_NAME)}
    except OSError as error:
        if manifest.sealed or not isinstance(error, FileNotFoundError):
            unreadable = f"{RECORDS_NAME}: {error.strerror}"
    if not manifest.sealed:
        found = _ordered(records, manifest)
        return Run(place, manifest, found, (), (), unreadable=unreadable)
    path = place / RESULTS_NAME
    found = read_json(path, _AGAIN)
    try:
        figures, comparisons = _read_results(found, path)
    except CodecError as error:
        raise DataError(f"{path}: {error}; {_AGAIN}") from error
    votes = _read_votes(place / VOTES_NAME)
    changed = () if unreadable else tuple(_changed(place))
    if found.get("run_id") != manifest.run_id:
        changed = (f"{RESULTS_NAME} is of run {str(found.get('run_id'))[:40]!r}", *changed)
    read = tuple(records.values())
    return Run(place, manifest, read, figures, comparisons, votes, changed, unreadable)


def _changed(place: Path) -> Iterator[str]:
    """Files that are not those that were sealed, in words; runs from before digests have none."""
    try:
        lines = read_file(place / SUMS_NAME, _SUMS_BYTES).decode("ascii", "replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        yield f"{SUMS_NAME}: {error.strerror}"
        return
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in (MANIFEST_NAME, RECORDS_NAME, RESULTS_NAME):
        with open_plain(place / name) as file:
            if sums.get(name) != hashlib.file_digest(file, "sha256").hexdigest():
                yield f"{name} was changed after the run was sealed"


def digest(folder: Path) -> str | None:
    """SHA-256 of a sealed run's SHA256SUMS, in hex; None: it has none."""
    try:
        return hashlib.sha256(read_file(folder / SUMS_NAME, _SUMS_BYTES)).hexdigest()
    except OSError:
        return None


def read_json(path: Path, step: str) -> Json:
    """The values of a JSON file of a run, which may be a stranger's.

    Args:
        path: The file.
        step: What to do where it cannot be read, for the message.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        return parse_json(read_file(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {step}") from error
    except CodecError as error:
        raise DataError(f"{path}: {error}; {step}") from error


def load_manifest(folder: Path) -> Manifest:
    """The manifest of the run in `folder` (or of the run that the file `folder` is part of).

    Raises:
        DataError: there is no run, it is damaged, or it was written by a newer evalkit.
    """
    place = folder.parent if folder.is_file() else folder
    path = place / MANIFEST_NAME
    if not _is_there(path):
        raise DataError(_no_run(place))
    step = "the run cannot be read: run its suite again into a new folder"
    try:
        return manifest_of(read_json(path, step), path)
    except CodecError as error:
        raise DataError(f"{path}: {error}; {step}") from error


def manifest_of(found: Json, path: Path) -> Manifest:
    """A manifest of the JSON values of `path`, which a file other than manifest.json may hold.

    Raises:
        CodecError: a field is missing, unknown or of a wrong type.
        DataError: it is no manifest, or of a newer evalkit.
    """
    layout = check_format(found, path)
    if not isinstance(found.get("run_id"), str):
        raise DataError(f"{path}: no run_id, so this is not a run of evalkit; name its folder")
    if layout == 1:
        from evalkit.store.upgrade import upgraded_manifest

        found = upgraded_manifest(found)
    # Earlier versions stored keys that stood in a setting or in a URL's path.
    settings = ("suite", "models", "judges", "commands")
    found |= {name: masked_settings(found[name]) for name in settings if name in found}
    return decode(Manifest, found)


def check_format(found: Json, path: Path) -> int:
    """The layout number.  Raises DataError where this version cannot read it."""
    layout = found.get("format") if isinstance(found, Mapping) else None
    if isinstance(layout, int) and 1 <= layout <= FORMAT:
        return layout
    if isinstance(layout, int) and layout > FORMAT:
        raise DataError(
            f"{path}: format {layout!r}, this evalkit reads up to {FORMAT}; upgrade evalkit"
        )
    raise DataError(
        f"{path}: format {layout!r}; expected 1 to {FORMAT}: this file was not written by evalkit"
    )


def manifest_json(manifest: Manifest) -> dict[str, Json]:
    """The content of manifest.json; keys that do not apply are absent."""
    found: dict[str, Json] = manifest.model_dump(exclude_unset=True)
    return {**found, "format": FORMAT}


def results(
    figures: Sequence[Figure], comparisons: Sequence[Comparison], run_id: str
) -> dict[str, Json]:
    """The content of results.json.

    Raises:
        StoreError: a figure is NaN or infinite (undefined is None).
    """
    try:
        return {
            "format": FORMAT,
            "run_id": run_id,
            "estimates": [figure_row(figure) for figure in figures],
            "comparisons": [comparison_row(comparison) for comparison in comparisons],
        }
    except CodecError as error:
        raise StoreError(
            f"results of run {run_id} cannot be written: {error}; the code that made the figure "
            f"must return None where it is undefined"
        ) from error


def figure_row(figure: Figure) -> dict[str, Json]:
    """A flat row of `estimates`.  Raises CodecError."""
    row, source = encode(figure), figure.source
    value = row["value"]
    return {
        "model": row["model"],
        **row["key"],
        "point": value["point"],
        **_uncertainty(value),
        "n": value["n"],
        "n_clusters": value["n_units"],
        "n_missing": value["n_missing"],
        "unit": row["unit"],
        "method": figure.value.how,
        "source": source.text if source else "",
        "df": value["df"],
        "how": value["method"],
        **({"published": row["source"]} if source else {}),
    }


def comparison_row(comparison: Comparison) -> dict[str, Json]:
    """A flat row of `comparisons`.  Raises CodecError."""
    row = encode(comparison)
    value = row["difference"]
    counts = ("wins", "losses", "ties", "n_missing_candidate", "n_missing_baseline")
    return {
        "candidate": row["candidate"],
        "baseline": row["baseline"],
        **row["key"],
        "difference": value["point"],
        **_uncertainty(value),
        "p": row["p"],
        "n": value["n"],
        "n_clusters": value["n_units"],
        **{name: row[name] for name in (*counts, "unit", "higher_is_better")},
        "method": comparison.difference.how,
        "df": value["df"],
        "how": value["method"],
    }


def row_json(row: Figure | Comparison) -> dict[str, Json]:
    """A flat row of results.json.  Raises CodecError."""
    return figure_row(row) if isinstance(row, Figure) else comparison_row(row)


def _uncertainty(value: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value[name] for name in ("standard_error", "low", "high", "level")}


def _read_results(found: Json, path: Path) -> tuple[tuple[Figure, ...], tuple[Comparison, ...]]:
    layout = check_format(found, path)

    def rows(name: str, make: Callable[[dict[str, Json]], T]) -> tuple[T, ...]:
        given = found.get(name)
        if not isinstance(given, list):
            raise CodecError(f"{name}: expected a list of rows")
        made = []
        for index, row in enumerate(given):
            try:
                fields = dict(row) if isinstance(row, dict) else {}
                if layout == 1:
                    from evalkit.store.upgrade import upgraded_row

                    fields = upgraded_row(fields)
                made.append(make(fields))
            except CodecError as error:
                raise CodecError(f"{name}[{index}]: {error}") from None
        return tuple(made)

    return rows("estimates", _figure), rows("comparisons", _comparison)


def _figure(row: dict[str, Json]) -> Figure:
    nested = _nested(row, "value")
    nested["source"] = row.pop("published", None)
    row.pop("source", None)  # the text of `published`
    return decode(Figure, {**row, **nested})


def _comparison(row: dict[str, Json]) -> Comparison:
    if "difference" in row:
        row["point"] = row.pop("difference")
    missing = (row.get("n_missing_candidate"), row.get("n_missing_baseline"))
    row["n_missing"] = sum(n for n in missing if isinstance(n, int))
    nested = _nested(row, "difference")
    return decode(Comparison, {**row, **nested})


def _nested(row: dict[str, Json], name: str) -> dict[str, Any]:
    """Key and measured value of a flat row, whose fields are taken out of it."""
    key = {field: row.pop(field) for field in _KEY if field in row}
    value = {field: row.pop(field) for field in _MEASURED if field in row}
    if "n_clusters" in row:
        value["n_units"] = row.pop("n_clusters")
    if "how" in row:
        value["method"] = row.pop("how")
    row.pop("method", None)  # the text of `how`
    return {"key": key, name: value}


def _ordered(records: Mapping[Any, Record], manifest: Manifest) -> tuple[Record, ...]:
    """By model, benchmark and task as the manifest has them, then by sample."""
    tasks = dict.fromkeys(task for b in manifest.benchmarks for task in b.tasks)
    named = ([m.name for m in manifest.models], [b.name for b in manifest.benchmarks], list(tasks))
    places = tuple({name: i for i, name in enumerate(names)} for names in named)

    def rank(key: tuple[str, str, str, str]) -> tuple[object, ...]:
        known = (p.get(name, len(p)) for p, name in zip(places, key[:3], strict=True))
        return (*known, int(key[3]) if key[3].isdecimal() else -1, key)

    return tuple(records[key] for key in sorted(records, key=rank))


def _no_run(place: Path) -> str:
    if not place.exists():
        return f"{str(place)!r}: no such folder; name a run, reports/SUITE/RUN_ID"
    runs = sorted(p.parent.name for p in place.glob(f"*/{MANIFEST_NAME}"))
    if runs:
        return f"{str(place)!r} is not a run but holds runs; name one of {', '.join(runs)} in it"
    return f"{str(place)!r} is not a run (no {MANIFEST_NAME}); name a run, reports/SUITE/RUN_ID"


def read_records(path: Path) -> list[Record]:
    """Every complete line; one without its newline is still being written.

    Raises:
        DataError: a line is damaged; names it.
        OSError: the file cannot be read.
    """
    found: list[Record] = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.endswith(b"\n"):
            break
        found.append(_read_record(line, f"{path}:{number}"))
    return found


def _read_record(line: bytes, where: str) -> Record:
    try:
        return read(Record, line)
    except CodecError as error:
        raise DataError(
            f"{where}: {error}; delete that line and run the suite again: "
            f"stored answers come from the cache"
        ) from error


def _read_votes(path: Path) -> tuple[Vote, ...]:
    """What people voted; none where nobody did."""
    try:
        return tuple(read(Vote, line) for line in read_file(path).splitlines())
    except FileNotFoundError:
        return ()
    except (CodecError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path}: {why}; delete it and import the votes again (`evalkit import votes`)"
        ) from error


def read_sessions(folder: Path) -> list[Json]:
    """Lines of a run's sessions.jsonl, oldest first; an incomplete last line is left out.

    Raises:
        DataError: a line is damaged; names it.
    """
    path = folder / SESSIONS_NAME
    try:
        lines = read_file(path).split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {_SESSION_LOST}") from error
    return [_read_session(line, f"{path}:{n}") for n, line in enumerate(lines, 1)]


def started(folder: Path) -> float | None:
    """When the run's first session began, in Unix time; None: unknown."""
    try:
        return _moment(read_sessions(folder)[0]["started"])
    except (DataError, LookupError, TypeError):
        return None


def _moment(seconds: Json) -> float:
    """Unix time.  Raises TypeError where it is none that a calendar has."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{seconds!r} is no time")
    if not 0 <= seconds < _NEVER:
        raise TypeError(f"{seconds!r} is no time")
    return float(seconds)


def last_session(folder: Path) -> float:
    """When somebody last worked on the run, in Unix time; an import's is that of its manifest."""
    try:
        last = read_sessions(folder)[-1]
        return _moment(last["started"] + last.get("seconds", 0))
    except (DataError, LookupError, TypeError):
        return os.lstat(folder / MANIFEST_NAME).st_mtime


def _read_session(line: bytes, where: str) -> Json:
    try:
        found = parse_json(line)
    except CodecError as error:
        raise DataError(f"{where}: {error}; {_SESSION_LOST}") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}: expected an object; {_SESSION_LOST}")
    return found


def run_folders(place: Path) -> list[Path]:
    """`place` where it is a run (or a file), else the runs below it by name.

    Hidden folders and folders inside a run are not searched.

    Raises:
        DataError: a folder without any run.
    """
    if not place.is_dir() or _is_there(place / MANIFEST_NAME):
        return [place]
    found = []
    for folder, inner, files in os.walk(place):
        is_run = MANIFEST_NAME in files or MANIFEST_NAME in inner
        inner[:] = sorted((n for n in inner if not n.startswith(".")), key=natural_key)
        if is_run:
            found.append(Path(folder))
            inner.clear()
    if not found:
        raise DataError(
            f"{str(place)!r} holds no run (no folder in it has a {MANIFEST_NAME}); "
            f"name a folder such as reports/SUITE, or runs in it"
        )
    return found


def find_workspace() -> Path:
    """The folder that `.evalkit` and `reports` belong to: where one stands, or EVALKIT_WORKSPACE.

    Never a folder above: its cache may be a stranger's.

    Raises:
        SuiteError: EVALKIT_WORKSPACE names no folder.
    """
    named = os.environ.get("EVALKIT_WORKSPACE")
    if named and not Path(named).is_dir():
        raise SuiteError(
            f"EVALKIT_WORKSPACE is {named!r}, which is no folder; make it, name another, or unset "
            f"the variable to work in the current folder"
        )
    return Path(named).resolve() if named else Path.cwd()


def find_run(
    text: str | Path | None = None,
    workspace: Path | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Path:
    """The folder of the run that a person means; it is not read.

    Args:
        text: A run's folder or a file in it; a folder of runs; a suite's name or a run's id in the
            workspace's reports; `latest` or None: any run there. Of several, the newest finished
            one; the newest, where none is finished.
        workspace: Whose `reports` are searched; None: `find_workspace()`.
        say: Called with a line on which run was chosen, where `text` is not that run itself, and
            one on a newer run that is not finished.

    Raises:
        DataError: there is no such run; names those that there are.
        SuiteError: EVALKIT_WORKSPACE names no folder.
    """
    place = find_place(text, workspace)
    if not place.is_dir() or _is_there(place / MANIFEST_NAME):
        return place
    newest = sorted(run_folders(place), key=last_session, reverse=True)
    finished = (folder for folder in newest if _is_finished(folder))
    chosen = next(finished, newest[0])
    if chosen != newest[0]:
        say(f"not finished: {shown(newest[0])}, the newest; name it to read what it has")
    of = "" if len(newest) == 1 else f", the newest of {len(newest)} runs that is finished"
    if not _is_finished(chosen):
        of = ", which is not finished"
    say(f"run: {shown(chosen)}{of}")
    return chosen


def find_place(text: str | Path | None = None, workspace: Path | None = None) -> Path:
    """What `find_run` searches: a run, a file in one, or a folder of some.  Raises as it does."""
    reports = (workspace or find_workspace()) / REPORTS
    name = LATEST if text is None else str(text)
    suites = sorted({path.parents[1].name for path in reports.glob(f"*/*/{MANIFEST_NAME}")})
    places = [Path(name), reports / name, *(reports / suite / name for suite in suites)]
    found = next((place for place in places if _is_there(place)), None)
    if found is not None and text is not None:
        return found
    if suites and name == LATEST:
        return reports
    there = f"in {shown(reports)} there are runs of {', '.join(suites)}"
    if not suites:
        there = f"{shown(reports)} has none; `evalkit run` makes one"
    if name == LATEST:
        raise DataError(f"no run yet: {there}")
    hint = did_you_mean(name, [*suites, LATEST]) or ";"
    raise DataError(f"no run {name!r}: no such file, suite or run id{hint} {there}")


def _is_there(place: Path) -> bool:
    """Whatever it is: a link that leads nowhere, too."""
    return os.path.lexists(place)


def _is_finished(folder: Path) -> bool:
    try:
        return load_manifest(folder).sealed
    except DataError:
        return False


def shown(path: Path) -> str:
    """`path` as one would type it where one stands."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def natural_key(name: str) -> NaturalKey:
    """Sorts names as people do: `checkpoint-9` before `checkpoint-10`.

    Different names have different keys, so the order is unique.
    """
    parts = []
    for part in _DIGITS.split(name):
        digits = part.lstrip("0")
        parts.append((0, len(digits), digits) if part.isdecimal() else (1, 0, part.casefold()))
    return tuple(parts), name
