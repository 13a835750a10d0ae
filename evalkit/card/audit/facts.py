"""Estimates of any origin to facts: what was measured, under which settings, from where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.card.audit.benchmarks import task_key
from evalkit.card.audit.labels import judge_of
from evalkit.card.audit.shapes import Fact, Kind
from evalkit.core import Estimate, Json, Run

__all__ = ["Settings", "damaged", "facts_of", "run_facts"]

_EVALUATORS = {
    "alpaca_eval_gpt4": ("1", "gpt-4"),
    "weighted_alpaca_eval_gpt4_turbo": ("2", "gpt-4-turbo"),
}
"""AlpacaEval's own annotators: version and judge."""
_SHOTS = re.compile(r"(?<!\d)(\d{1,2})[ -]shots?\b")


@dataclass(frozen=True)
class Settings:
    """What is known of a benchmark entry's measurements."""

    type: str
    version: str | None = None
    judge: str | None = None
    shots: Mapping[str, int | None] | None = None
    """By task."""


def damaged(run: Run) -> dict[tuple[str, str], str]:
    """By model and benchmark entry, why its evidence should not be published."""
    return {
        (str(entry.get("model")), str(entry.get("entry"))): str(finding.get("message"))
        for entry in run.manifest.get("evidence", ())
        for finding in entry.get("findings", ())
        if finding.get("damaged")
    }


def run_facts(run: Run) -> Iterator[Fact]:
    """Every figure of a run that is whole, but for those of damaged evidence."""
    place = run.folder.name
    left_out = damaged(run)
    names = {m["name"]: tuple(_names(m)) for m in run.manifest.get("models", ()) if "name" in m}
    for estimate in run.estimates:
        if (estimate.model, estimate.benchmark) in left_out and not estimate.source:
            continue
        settings = _settings(run.manifest, estimate)
        source = estimate.source or f"run {place}"
        if estimate.source and not estimate.source.startswith("alpaca_eval "):
            source = f"{estimate.source} (run {place})"
        fact = _fact(estimate, settings, source, _kind(estimate))
        if fact is not None:
            yield replace(fact, names=names.get(estimate.model, ()))


def _kind(estimate: Estimate) -> Kind:
    if estimate.method != "published":
        return "run"
    return "leaderboard" if estimate.source.startswith("alpaca_eval ") else "figure"


def facts_of(
    estimates: Sequence[Estimate],
    settings: Settings,
    kind: Kind,
    source: str = "",
) -> Iterator[Fact]:
    """Facts of one benchmark entry; `source` stands in where an estimate has none."""
    for estimate in estimates:
        fact = _fact(estimate, settings, estimate.source or source, kind)
        if fact is not None:
            yield fact


def _fact(
    estimate: Estimate,
    settings: Settings,
    source: str,
    kind: Kind,
) -> Fact | None:
    if estimate.point is None:
        return None
    bench, metric = task_key(estimate.task, estimate.metric)
    shots = (settings.shots or {}).get(estimate.task)
    said = _SHOTS.search(estimate.source)
    judge = judge_of(estimate.source) or settings.judge
    version = settings.version
    for name, (edition, by) in _EVALUATORS.items():
        if name in re.split(r"[^\w]+|_leaderboard", estimate.source):
            judge, version = by, edition
    return Fact(
        model=estimate.model,
        names=(),
        bench=bench,
        version=version if bench == "alpaca_eval" else None,
        task=estimate.task,
        metric=metric,
        category=estimate.category,
        unit=estimate.unit,
        value=estimate.point,
        standard_error=estimate.standard_error,
        n=estimate.n,
        shots=int(said[1]) if shots is None and said is not None else shots,
        judge=judge if bench in ("alpaca_eval", "mt_bench") else None,
        source=source,
        kind=kind,
    )


def _names(model: Mapping[str, Json]) -> Iterator[str]:
    """Repositories of a run's model, which cards may call it by."""
    source = model.get("provenance", {}).get("source", {})
    for field in ("repository", "adapter"):
        named = source.get(field) if isinstance(source, Mapping) else None
        if isinstance(named, str) and "/" in named:
            yield named


def _settings(manifest: Mapping[str, Json], estimate: Estimate) -> Settings:
    described = _description(manifest, estimate)
    spec: Mapping[str, Json] = next(
        (
            entry
            for entry in manifest.get("suite", {}).get("benchmarks", ())
            if estimate.benchmark in (entry.get("name"), entry.get("type"))
        ),
        {},
    )
    kind = str(described.get("type") or spec.get("type") or estimate.benchmark)
    judge = described.get("judge")
    said = judge if isinstance(judge, Mapping) else {}
    evaluator = str(said.get("evaluator") or "")
    version, by = _EVALUATORS.get(evaluator, (None, None))
    if version is None and kind == "alpaca_eval":
        named = spec.get("version") or str(described.get("version", "")).partition(".")[0]
        version = str(named) if str(named) in ("1", "2") else None
    model = said.get("model")
    return Settings(kind, version, by or (str(model) if model else None), _shots(described))


def _shots(described: Mapping[str, Json]) -> dict[str, int | None]:
    tasks = described.get("tasks")
    found: dict[str, int | None] = {}
    for task, entry in tasks.items() if isinstance(tasks, Mapping) else ():
        said = entry.get("shots", entry.get("num_fewshot")) if isinstance(entry, Mapping) else None
        found[str(task)] = said if isinstance(said, int) else None
    return found


def _description(manifest: Mapping[str, Json], estimate: Estimate) -> Mapping[str, Json]:
    for entry in manifest.get("evidence", ()):
        if (entry.get("model"), entry.get("entry")) == (estimate.model, estimate.benchmark):
            found: Mapping[str, Json] = entry.get("description") or {}
            return found
    for entry in manifest.get("benchmarks", ()):
        if entry.get("name") == estimate.benchmark:
            described: Mapping[str, Json] = entry.get("description") or {}
            return described
    return {}
