"""What a card is held against: runs, files that importers read, suites, the leaderboards.

What each `--evidence` is follows from what is in it, not from its name.  The tables that
alpaca-eval ships are always there.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from evalkit import compare, data, plugins, store
from evalkit.card.audit import earlier
from evalkit.card.audit.facts import Settings, damaged, facts_of, run_facts
from evalkit.card.audit.models import key_of, last_part
from evalkit.card.audit.shapes import Fact
from evalkit.core import Json, Run
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError
from evalkit.importers import ImportOptions
from evalkit.importers.evidence import Evidence as Imported

__all__ = ["Evidence", "gather", "leaderboard_facts"]

LEVEL = 0.95
_PRETTY = re.compile(r"^\s+pretty_name:\s*(?P<name>.+?)\s*(?:\s#.*)?$", re.MULTILINE)
_LINK = re.compile(r"^\s+link:\s*[\"']?(?P<link>https?://\S+?)[\"']?\s*$", re.MULTILINE)


@dataclass
class Evidence:
    """Everything that is known."""

    facts: list[Fact] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    """With records: what a claim can be tested on."""
    sources: list[str] = field(default_factory=list)


def gather(paths: Sequence[Path], places: DataPlaces | None = None) -> Evidence:
    """Read every piece of evidence, and the leaderboards after it.

    Args:
        paths: run folders (or their files), result files, folders of them, suites.
        places: where public data may lie, by which imported samples are told apart; None:
            nowhere.

    Raises:
        DataError: something is missing, damaged, or none of these.
        SuiteError: a suite is wrong.
    """
    places = places or DataPlaces()
    found = Evidence()
    loose: list[Path] = []
    for path in paths:
        kind = _kind(path)
        if kind == "run":
            _add_run(found, path)
        elif kind == "results":
            _add_results(found, path)
        elif kind == "suite":
            _add_suite(found, path)
        elif kind == "lm_eval":
            loose.append(path)
        else:
            _add_imported(found, kind, [path], places)
    for group in _by_model(loose, places):
        _add_imported(found, "lm_eval", group, places)
    found.facts += leaderboard_facts()
    found.sources.append("leaderboards of alpaca_eval")
    return found


# --- what a path is -----------------------------------------------------------------------------


def _kind(path: Path) -> str:
    place = path.parent if path.is_file() else path
    if (place / "manifest.json").is_file() and (path.is_dir() or path.name != "README.md"):
        return "run"
    if path.is_dir():
        return "lm_eval"
    if path.suffix in (".yaml", ".yml") or (not path.exists() and not path.suffix):
        return "suite"
    if not path.exists():
        raise DataError(
            f"{str(path)!r} does not exist; expected a run, a file of results, or a suite"
        )
    return _kind_of_rows(path)


def _kind_of_rows(path: Path) -> str:
    if path.name.removesuffix(".gz").endswith(".json"):
        rows = _json(path)
        if isinstance(rows, Mapping) and {"estimates", "comparisons"} <= set(rows):
            return "results"
        if isinstance(rows, Mapping) and isinstance(rows.get("results"), Mapping):
            return "lm_eval"
        first = rows[0] if isinstance(rows, list) and rows else {}
    else:
        if path.name.startswith("samples_"):
            return "lm_eval"
        first = next(iter(data.read_jsonl(path).records), {})
    if isinstance(first, Mapping) and {"instruction", "output_1", "output_2"} <= set(first):
        return "alpaca_eval"
    if isinstance(first, Mapping) and {"question_id", "judgment"} <= set(first):
        return "mt_bench"
    raise DataError(
        f"{str(path)!r} is no evidence that can be read; expected a run's folder, results.json, "
        f"lm-eval's results, alpaca_eval's annotations, FastChat's judgments, or a suite (.yaml)"
    )


def _json(path: Path) -> Json:
    import gzip
    import json
    import zlib

    try:
        stored = path.read_bytes()
        text = gzip.decompress(stored) if path.name.endswith(".gz") else stored
        return json.loads(text.decode("utf-8-sig"))
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise DataError(
            f"{str(path)!r} cannot be read as JSON ({type(error).__name__}: {error}); name a file "
            f"that evalkit, lm-eval, alpaca_eval or FastChat wrote"
        ) from error


# --- reading it ---------------------------------------------------------------------------------


def _add_run(found: Evidence, path: Path) -> None:
    run = store.read_run(path)
    if not run.manifest.get("sealed"):
        raise DataError(
            f"{str(path)!r}: the run is not finished, so it has no figures; run its suite again"
        )
    if run.manifest.get("limit") is not None:
        raise DataError(
            f"{str(path)!r}: a run with --limit {run.manifest['limit']} measured only a part of "
            f"each benchmark, which is no evidence for a card; run the suite without it"
        )
    found.facts += run_facts(run)
    found.runs.append(run)
    found.sources += [f"run {path}", *_left_out(run)]


def _add_results(found: Evidence, path: Path) -> None:
    estimates, _ = store.read_results(path)
    for estimate in estimates:
        found.facts += facts_of([estimate], Settings(estimate.benchmark), "file", path.name)
    found.sources.append(f"results {path}")


def _add_suite(found: Evidence, path: Path) -> None:
    from evalkit import suite as suites
    from evalkit.importers import leaderboards

    suite = suites.load(suites.locate(str(path)), (), plugins)
    for spec in suite.benchmarks:
        settings = Settings(spec.type, str(v) if (v := getattr(spec, "version", None)) else None)
        for name, model in suite.models.items():
            own = leaderboards.figure_estimates(name, model, [spec], LEVEL)
            found.facts += facts_of(own, settings, "figure")
            if model.leaderboard:
                row = model.leaderboard if isinstance(model.leaderboard, str) else name
                rows = leaderboards.table_estimates(name, row, [spec], LEVEL)
                found.facts += facts_of(rows, settings, "leaderboard")
    found.sources.append(f"suite {path}")


def _add_imported(found: Evidence, kind: str, paths: Sequence[Path], places: DataPlaces) -> None:
    importer = importlib.import_module(f"evalkit.importers.{kind}")
    options = ImportOptions((), None, (), places, LEVEL)
    for imported in importer.read(list(paths), options):
        run = _as_run(imported, paths[0])
        source = ", ".join(path.name for path in paths[:3])
        found.facts += [
            replace(fact, source=_named(fact.source, source), kind="file")
            for fact in run_facts(run)
        ]
        if imported.records:
            found.runs.append(run)
        found.sources += _left_out(run)
    found.sources.append(f"{kind} {', '.join(map(str, paths))}")


def _left_out(run: Run) -> list[str]:
    return [
        f"damaged evidence of {model} on {entry} left out: {why}"
        for (model, entry), why in damaged(run).items()
    ]


def _named(said: str, files: str) -> str:
    return files if said.startswith("run ") else re.sub(r" \(run [^)]*\)$", "", said)


def _as_run(imported: Imported, path: Path) -> Run:
    """Evidence in the shape of a run, as far as figures and claims need it."""
    entry, model = imported.entry, imported.model
    metrics = {task: list(found) for task, found in imported.metrics.items()}
    records = imported.records
    computed = compare.estimates(records, {entry: metrics}, LEVEL) if records else []
    manifest: dict[str, Json] = {
        "run_id": path.name,
        "sealed": True,
        "suite": {"models": {model: {"role": "baseline"}}, "benchmarks": []},
        "models": [{"name": model, "role": "baseline"}],
        "benchmarks": [
            {
                "name": entry,
                "description": dict(imported.description),
                "tasks": {t: {"metrics": [asdict(m) for m in ms]} for t, ms in metrics.items()},
            }
        ],
        "evidence": [
            {
                "model": model,
                "entry": entry,
                "description": dict(imported.description),
                "findings": [asdict(finding) for finding in imported.findings],
            }
        ],
    }
    return Run(path, manifest, records, (*computed, *imported.estimates), ())


def _by_model(paths: Sequence[Path], places: DataPlaces) -> Iterator[list[Path]]:
    """lm-eval writes one file a command: those of one model belong together."""
    importer = importlib.import_module("evalkit.importers.lm_eval")
    groups: dict[str, list[Path]] = {}
    for path in paths:
        options = ImportOptions((), None, (), places, LEVEL)
        for imported in importer.read([path], options):
            groups.setdefault(imported.model, []).append(path)
    yield from groups.values()


# --- the leaderboards ---------------------------------------------------------------------------


def leaderboard_facts() -> list[Fact]:
    """Every row of both leaderboards of AlpacaEval, with the names they print.

    Raises DataError where alpaca_eval is not installed.
    """
    from evalkit.importers import leaderboards

    names = _printed_names()
    found: list[Fact] = []
    for edition in (1, 2):
        estimates = leaderboards.board_estimates(edition, LEVEL)
        facts = facts_of(estimates, Settings("alpaca_eval", str(edition)), "leaderboard")
        found += [replace(fact, names=names.get(fact.model, ())) for fact in facts]
    alike = next(f for f in found if (f.version, f.metric) == ("1", "win_rate"))
    for row, value in earlier.WIN_RATES.items():
        past = replace(alike, model=row, names=names.get(row, ()), value=value)
        found.append(
            replace(past, standard_error=None, n=0, source=f"{earlier.SOURCE}, row {row!r}")
        )
    return found


def _printed_names() -> dict[str, tuple[str, ...]]:
    """By row of the leaderboards: its pretty name, its hub repository."""
    spec = find_spec("alpaca_eval")
    places: Iterable[str] = (spec.submodule_search_locations or ()) if spec else ()
    found: dict[str, tuple[str, ...]] = {}
    for folder in places:
        for file in sorted(Path(folder, "models_configs").glob("*/configs.yaml")):
            text = file.read_text(encoding="utf-8", errors="replace")
            pretty, link = _PRETTY.search(text), _LINK.search(text)
            names = [pretty["name"].strip("\"' ")] if pretty else []
            if link and "huggingface.co/" in link["link"]:
                names.append(link["link"].partition("huggingface.co/")[2].rstrip("/"))
            found[file.parent.name] = tuple(names)
    return _unambiguous(found)


def _unambiguous(names: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Without names that several rows bear: some link to the model they were made from."""
    rows: dict[tuple[str, ...], set[str]] = {}
    for row, others in names.items():
        for name in (row, *others):
            rows.setdefault(key_of(last_part(name)), set()).add(row)
    return {
        row: tuple(n for n in others if rows[key_of(last_part(n))] == {row})
        for row, others in names.items()
    }
