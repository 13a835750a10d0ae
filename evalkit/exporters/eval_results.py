"""`.eval_results/*.yaml` of a model repository on the hub, for benchmarks registered there.

    - dataset: {id: openai/gsm8k, task_id: gsm8k, revision: ...}
      value: 54.2
      date: '2026-01-31'
      source: {url: ..., name: ...}
      notes: 'lm-eval 0.4.13 gsm8k, 5 shots, exact_match,strict-match; ...'

`--out` is the repository's folder.  One model a time, the candidate unless `--model` names another;
one file per lm-eval task.  Written and read back through huggingface_hub's own functions.

The hub shows only what belongs to a registered benchmark: `_hub_benchmarks.py` has those that
evalkit knows, with their source; everything else is left out, with the reason.

Values are in percent, as other entries are.  A figure that someone else published is never written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from evalkit.compare.doubts import doubts
from evalkit.compare.words import level_text
from evalkit.errors import ExportError
from evalkit.exporters import _about as about
from evalkit.exporters._hub_benchmarks import ALIASES, REASONS, REGISTERED
from evalkit.protocols import Exported
from evalkit.specs import ExportSpec
from evalkit.tables import count, interval
from evalkit.types import Estimate, Run

__all__ = ["EvalResults", "EvalResultsSpec"]


class EvalResultsSpec(ExportSpec):
    """Evaluation results on the hub."""

    source_url: str | None = None
    """Where the evidence can be seen: the report, or the run's files."""
    source_name: str | None = None
    """What that is called; needs source_url."""
    date: dt.date | None = None
    """When it was measured, as YYYY-MM-DD; default: when the run began."""


class EvalResults:
    """Writes .eval_results files."""

    publishes: ClassVar[bool] = True

    def __init__(self, spec: EvalResultsSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """A file per registered task; what is left out, and why, in the notes."""
        model = _model(runs, self._spec.models)
        files: dict[str, bytes] = {}
        left: dict[str, list[str]] = {}
        for run, row in _figures(runs, model):
            reason = _why_not(run, row)
            if reason:
                left.setdefault(reason, []).append(row.task)
            else:
                name = f".eval_results/{about.file_part(row.task)}.yaml"
                about.add(files, name, self._yaml(run, row))
        notes = [f"left out: {', '.join(dict.fromkeys(t))}: {why}" for why, t in left.items()]
        if not files:
            raise ExportError(
                f"nothing of {model!r} belongs to a registered benchmark "
                f"({', '.join(REGISTERED)}); " + "; ".join(notes or ["it has no figures"])
            )
        return Exported(files, tuple(notes))

    def _yaml(self, run: Run, row: Estimate) -> bytes:
        import yaml  # what huggingface_hub itself reads and writes these files with
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

        spec, place = self._spec, REGISTERED[row.task]
        if spec.source_name and not spec.source_url:
            raise ExportError("source_name needs source_url, which the hub links it to")
        assert row.point is not None
        day, moment = spec.date, about.began(run)
        if day is None and moment is not None:
            day = moment.date()
        entry = EvalResultEntry(
            dataset_id=place.dataset,
            task_id=place.task,
            value=float(row.point),
            dataset_revision=_data(run, row).get("revision"),
            date=None if day is None else day.isoformat(),
            source_url=spec.source_url,
            source_name=spec.source_name,
            notes=str(about.text(_notes(run, row))),
        )
        rows = eval_result_entries_to_yaml([entry])
        return yaml.safe_dump(rows, sort_keys=False, allow_unicode=True).encode()


def _model(runs: Sequence[Run], wanted: Sequence[str]) -> str:
    roles = {
        name: about.model_entry(run, name).get("role")
        for run in runs
        for name in about.measured(run)
    }
    found = list(wanted) or [name for name, role in roles.items() if role == "candidate"]
    if len(found) != 1:
        raise ExportError(
            f"eval_results is of one model's repository, and {len(found)} are meant "
            f"({', '.join(found) or 'no candidate'}); name one with --model: "
            f"{', '.join(roles) or 'none has figures'}"
        )
    return found[0]


def _figures(runs: Sequence[Run], model: str) -> Iterator[tuple[Run, Estimate]]:
    """The headline figure of every task and group."""
    for run in runs:
        for entry in about.entries(run):
            headlines = set()
            for row in about.figures_of(run, model, entry):
                if row.point is not None and row.task not in headlines and _is_headline(run, row):
                    headlines.add(row.task)
                    yield run, row


def _is_headline(run: Run, row: Estimate) -> bool:
    """The task's primary metric; of a group, which declares none, its first figure."""
    if row.category is not None:
        return False
    metrics = about.declared(run, row.benchmark, row.task)
    return not metrics or any(m.get("name") == row.metric and m.get("primary") for m in metrics)


def _why_not(run: Run, row: Estimate) -> str:
    """Why a figure does not belong on the hub's leaderboards; empty where it does."""
    place = REGISTERED.get(row.task)
    if place is None:
        known = (why for start, why in REASONS.items() if row.task.startswith(start))
        return next(known, "no registered benchmark of the hub, as far as evalkit knows")
    path = _data(run, row).get("path")
    if path is not None and ALIASES.get(path, path) != place.dataset:
        return f"asked on data {path!r}, the leaderboard is of {place.dataset!r}"
    if row.unit != "percent":
        return f"{row.metric} is not a share, which the leaderboard shows"
    return ""


def _data(run: Run, row: Estimate) -> Mapping[str, str | None]:
    """Data set of a task, or of a group's first task, as far as the benchmark says."""
    said = about.description(run, row.benchmark)
    tasks = said.get("tasks", {})
    below = said.get("groups", {}).get(row.task, {}).get("tasks", ())
    for name in (row.task, *below):
        found: Mapping[str, str | None] = tasks.get(name, {}).get("dataset") or {}
        if found:
            return found
    return {}


def _notes(run: Run, row: Estimate) -> str:
    said = about.description(run, row.benchmark)
    task = said.get("tasks", {}).get(row.task, {})
    shots = about.shots(task)
    version = said.get("lm_eval")
    parts = [f"lm-eval {version} {row.task}" if version else f"lm-eval {row.task}"]
    parts += [] if shots is None else [f"{shots} shots"]
    parts.append(row.metric)
    if row.low is not None:
        bounds = interval(row.low, row.high, row.unit)
        parts.append(f"{level_text(row.level)} interval {bounds}")
    if row.n:
        missing = f" ({count(row.n_missing)} missing)" if row.n_missing else ""
        parts.append(f"n = {count(row.n)}{missing}")
    parts.append(f"evalkit run {run.manifest.get('run_id')}")
    found = doubts(run, [row.model])
    marked = [f"NOT FOR PUBLICATION: {'; '.join(found)}"] if found else []
    return "; ".join([*marked, ", ".join(parts)])
