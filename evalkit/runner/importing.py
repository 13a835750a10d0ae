"""Results that someone already has, as an ordinary run: the pipeline with nothing to generate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evalkit import plugins, store
from evalkit.comparison.recompute import load
from evalkit.comparison.votes import all_pairs
from evalkit.core import Json
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.run import Run
from evalkit.core.specs import BenchmarkSpec, JudgeSpec, ModelSpec, RecordedJudgeSpec, Suite
from evalkit.engines.recorded import RecordedSpec
from evalkit.errors import DataError
from evalkit.formats import cross_findings, last_part, read_votes, reader, require_name
from evalkit.formats.ifeval import model_of_responses
from evalkit.runner.assemble import (
    Origin,
    Selection,
    assemble,
    build_benchmarks,
    mirrors,
    with_engines,
)
from evalkit.runner.known import Known
from evalkit.runner.pipeline import Result, Silent, render, run
from evalkit.store.completions import CompletionStore

__all__ = ["ImportSource", "import_run", "import_votes"]

_JUDGED = ("alpaca_eval", "mt_bench")
_LEVEL = 0.95
_LATEST = 2
"""AlpacaEval's version where the reference belongs to neither."""


@dataclass(frozen=True)
class ImportSource:
    """What is imported."""

    kind: str
    """One of `core.evidence.KINDS`; benchmarks are called like them."""
    files: tuple[Path, ...]
    companions: tuple[Path, ...] = ()
    """Outputs (alpaca_eval) or answers (mt_bench) that belong to the judgments."""
    models: tuple[str, ...] = ()
    """Names of the models; the first is the candidate, the others baselines."""


def import_run(
    source: ImportSource,
    origin: Origin,
    out: Path | None,
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Make a run folder of `source`.

    Args:
        source: what is imported.
        origin: folder that file names are relative to, workspace and command.
        out: Run folder; None: reports/import/<run id> in the workspace.
        say: called with what happens.

    Raises:
        DataError: files that are missing or are not of that format.
    """
    places = mirrors(None, origin)
    named = model_of_responses(source.files) if source.kind == "ifeval" else None
    if named is not None:
        return _checked_here(source, source.models[0] if source.models else named, origin, out, say)
    options = ImportOptions(source.models, None, source.companions, places, _LEVEL)
    found = reader(source.kind)(source.files, options)
    if not found:
        raise DataError(f"{', '.join(map(str, source.files))}: nothing to import in it")
    extra = cross_findings(found)
    found = [replace(e, findings=(*e.findings, *extra.get(e.model, ()))) for e in found]
    try:
        suite = _suite(source, found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{', '.join(map(str, source.files))}: {place!r:.200}: {first['msg']}; what the files "
            f"call a model, a judge or a task cannot be a name in a suite: correct it there"
        ) from error
    benchmarks = build_benchmarks(suite, origin)
    with CompletionStore(origin.state / "cache.sqlite") as cache:
        job = with_engines(suite, origin, Selection(), benchmarks, cache, say)
        job.known = Known(tuple(found))
        return run(job, out, retry_failed=False, progress=Silent())


def _checked_here(
    source: ImportSource,
    model: str,
    origin: Origin,
    out: Path | None,
    say: Callable[[str], None],
) -> Result:
    """A run of lm-eval's task, which checks recorded responses."""
    require_name(model)
    from evalkit.benchmarks.lm_eval import LmEvalSpec

    suite = Suite(
        name="import",
        models={model: ModelSpec(engine=RecordedSpec(answers={"ifeval": str(source.files[0])}))},
        benchmarks=(LmEvalSpec(name="ifeval", tasks=("ifeval",)),),
    )
    with CompletionStore(origin.state / "cache.sqlite") as cache:
        job = assemble(suite, origin, Selection(), cache, say)
        return run(job, out, retry_failed=False, progress=Silent())


def _suite(source: ImportSource, found: Sequence[Evidence]) -> Suite:
    """The suite that these files would be recorded evidence of."""
    entries = list(dict.fromkeys(e.entry for e in found))
    models = list(dict.fromkeys(e.model for e in found))
    judges: dict[str, JudgeSpec] = {}
    for evidence in found:
        judges.update(_judge(evidence, found, source))
    judge = next(iter(judges), None)
    return Suite(
        name="import",
        models={
            name: ModelSpec(role="baseline" if n else "candidate", engine=_engine(source, found))
            for n, name in enumerate(models)
        },
        judges=judges,
        benchmarks=tuple(_benchmark(source, found, entry, judge) for entry in entries),
    )


def _engine(source: ImportSource, found: Sequence[Evidence]) -> Any:
    spec = plugins.find("engines", "recorded").spec
    assert spec is not None
    if source.kind in _JUDGED:
        return spec()
    files = [str(path) for path in source.files]
    return spec.model_validate({"results": {e.entry: files for e in found}})


def _judge(
    evidence: Evidence, found: Sequence[Evidence], source: ImportSource
) -> Mapping[str, RecordedJudgeSpec]:
    """The judge, by the name in its judgments; empty for benchmarks without one."""
    if source.kind not in _JUDGED:
        return {}
    said = evidence.description.judge or {}
    name = str(said.get("model") or said.get("annotator") or said.get("name") or "recorded")
    files: dict[str, dict[str, str]] = {}
    for one in found:
        named = one.description.files or ({},)
        files.setdefault(one.entry, {})[one.model] = str(named[0].get("file", source.files[0]))
    judge = RecordedJudgeSpec(type="recorded", model=name, judgments=files)
    return {"".join(c if c not in ":/\\," else "-" for c in name): judge}


def _benchmark(
    source: ImportSource, found: Sequence[Evidence], entry: str, judge: str | None
) -> BenchmarkSpec:
    kind = source.kind if source.kind in (*_JUDGED, "lm_eval") else "recorded"
    spec = plugins.find("benchmarks", kind).spec
    assert spec is not None
    mine = [e for e in found if e.entry == entry]
    fields: dict[str, Json] = {"type": kind, "name": entry}
    if kind == "lm_eval":
        fields["tasks"] = sorted({task for e in mine for task in e.metrics})
    elif kind == "recorded":
        fields["format"] = source.kind
    else:
        fields["judge"] = judge
    if mine[0].description.mode == "pairwise":
        named = {e.description.model_in_file: e.model for e in mine}
        rivals = [str(e.description.reference or e.description.model_in_file) for e in mine]
        baseline = [named.get(rival) or last_part(rival) for rival in rivals]
        fields |= {"mode": "pairwise", "baseline": list(dict.fromkeys(baseline))}
    if source.kind == "alpaca_eval":
        stated = str(mine[0].description.version or "")[:1]
        fields["version"] = int(stated) if stated.isdigit() else _LATEST
    made = spec.model_validate(fields)
    assert isinstance(made, BenchmarkSpec)
    return made


def import_votes(files: Sequence[Path], folder: Path) -> tuple[Run, tuple[str, ...]]:
    """Add people's votes to a run, and render its reports again.

    A later vote of the same person on the same answers replaces the earlier one.

    Args:
        files: See `formats.votes`.
        folder: The run's.

    Returns:
        The run with its votes, and what to know of the files.

    Raises:
        DataError: a file is none of votes, or the run is not finished.
    """
    stored = load(folder)
    if not stored.manifest.sealed:
        raise DataError(f"{stored.folder}: is not finished; run its suite again to resume first")
    pairs = list(all_pairs(stored))
    places, kept, notes = {pair.place for pair in pairs}, {}, []
    for vote in stored.votes:
        kept[vote.voter, vote.place] = vote
    for file in files:
        found = read_votes(file, stored, pairs)
        foreign = [vote for vote in found if vote.place not in places]
        kept |= {(vote.voter, vote.place): vote for vote in found if vote.place in places}
        if len(foreign) == len(found):
            raise DataError(
                f"{file}: none of its {len(found)} votes is on answers of {stored.folder} that a "
                f"judge compared or that both sides of a comparison gave; name the run voted on"
            )
        if foreign:
            notes.append(
                f"{file}: {len(foreign)} of {len(found)} votes are left out: this run has no such "
                f"pair of answers"
            )
    store.write_votes(stored.folder, list(kept.values()))
    again = load(stored.folder)
    for name, content in render(again).items():
        store.write_file(again.folder / name, content)
    return again, tuple(notes)
