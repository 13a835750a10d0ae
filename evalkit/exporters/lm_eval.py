"""lm-eval's own files: `results_*.json` and `samples_*.jsonl`, as version 0.4 writes them.

For what was measured by lm-eval's tasks, asked here or imported: benchmark entries of type lm_eval
and open_llm_leaderboard.  One folder per entry and model, as `lm_eval --output_path ENTRY` makes:

    lm_eval/mine/results_2026-01-31T09-30-00.json          "results", "configs", "versions", ...
    lm_eval/mine/samples_gsm8k_2026-01-31T09-30-00.jsonl   a row per document and filter

`evalkit import lm_eval FOLDER` gives the same figures back; lm-eval's own table printer and
whatever reads its files take them as they stand.

Departures from what lm-eval writes:
- Figures that are evalkit's own (leaderboard averages, normalised scores, plain means over a
  group's tasks) are left out.
- `doc` is empty, since a run keeps the prompt and not the raw document; `resps` are the answers as
  the run keeps them: of choices the text with its log-probability to four digits.
- A document that failed has a row without metrics: it is missing, not wrong.
- Without a first session to date it, the file names have the run's id, or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from evalkit.core import Estimate, Json, Record, Run
from evalkit.core.protocols import Exported
from evalkit.core.specs import ExportSpec
from evalkit.errors import ExportError
from evalkit.exporters import _about as about
from evalkit.exporters._lm_eval_samples import sample_rows

__all__ = ["LmEval", "LmEvalSpec"]

_TYPES = ("lm_eval", "open_llm_leaderboard")
_OWN_METRICS = ("normalised", "average", "average_without_drop")


class LmEvalSpec(ExportSpec):
    """lm-eval's result files."""


class LmEval:
    """Writes what lm-eval writes."""

    publishes: ClassVar[bool] = False

    def __init__(self, spec: LmEvalSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """Results of each model and entry, and (unless figures only) the samples of each task."""
        files: dict[str, bytes] = {}
        for run, model, entry, figures in _found(runs):
            stamp = _stamp(run)
            folder = f"{about.file_part(entry)}/{about.file_part(model)}"
            records = [r for r in run.records if (r.model, r.benchmark) == (model, entry)]
            content = _results(run, (model, entry), figures, records)
            name = f"{folder}/results_{stamp or run.manifest.get('run_id')}.json"
            about.add(files, name, _pretty(content))
            for task, mine in _by_task(records).items() if not self._spec.figures_only else ():
                name = (
                    f"{folder}/samples_{about.file_part(task)}{'_' if stamp else ''}{stamp}.jsonl"
                )
                about.add(files, name, b"".join(map(_line, sample_rows(mine))))
        if not files:
            raise ExportError(
                f"{', '.join(str(run.folder) for run in runs)}: no figure of an lm-eval task; "
                f"this format is for benchmarks of type {' and '.join(_TYPES)}"
            )
        return Exported(files)


def _found(runs: Sequence[Run]) -> Iterator[tuple[Run, str, str, list[Estimate]]]:
    """Run, model, benchmark entry and the figures that are lm-eval's."""
    for run in runs:
        for entry in about.entries(run):
            kind = about.description(run, entry).get("type")
            for model in about.measured(run) if kind in _TYPES else ():
                figures = [
                    row
                    for row in about.figures_of(run, model, entry)
                    if row.task != "open_llm_leaderboard" and _is_lm_evals(row.metric)
                ]
                if figures:
                    yield run, model, entry, figures


def _is_lm_evals(metric: str) -> bool:
    return metric not in _OWN_METRICS and not metric.endswith(" (mean of tasks)")


def _stamp(run: Run) -> str:
    """The date in lm-eval's file names; empty where it is not known."""
    moment = about.began(run)
    return "" if moment is None else moment.replace(tzinfo=None).isoformat().replace(":", "-")


def _by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.task, []).append(record)
    return found


def _results(
    run: Run, place: tuple[str, str], figures: Sequence[Estimate], records: Sequence[Record]
) -> dict[str, Json]:
    model, entry = place
    said = about.description(run, entry)
    tasks: Mapping[str, Mapping[str, Json]] = said.get("tasks", {})
    groups: Mapping[str, Mapping[str, Json]] = said.get("groups", {})
    names = list(dict.fromkeys(row.task for row in figures))
    results = {task: _figures(task, [f for f in figures if f.task == task]) for task in names}
    subtasks = {name: group.get("tasks", []) for name, group in groups.items() if name in names}
    sizes = {task: _size(task, figures, records, tasks) for task in names}
    return {
        "results": results,
        **({"groups": {name: results[name] for name in subtasks}} if subtasks else {}),
        "group_subtasks": subtasks,
        "configs": {t: _config(t, tasks[t], run, entry) for t in names if t in tasks},
        "versions": {t: (tasks.get(t) or groups.get(t) or {}).get("version") for t in names},
        "n-shot": {t: n for t in names if (n := about.shots(tasks.get(t, {}))) is not None},
        "higher_is_better": {t: found for t in names if (found := _directions(run, entry, t))},
        "n-samples": {task: size for task, size in sizes.items() if size},
        "config": _run_config(run, model),
        **_environment(run, place),
    }


def _figures(task: str, figures: Sequence[Estimate]) -> dict[str, Json]:
    """In lm-eval's own scale, by `metric,filter`; `N/A` is how it writes an unknown error."""
    found: dict[str, Json] = {"alias": task}
    for row in figures:
        if row.category is not None or row.point is None:
            continue
        scale = 100.0 if row.unit == "percent" else 1.0
        metric, _, chosen = row.metric.partition(",")
        error = row.standard_error
        found[f"{metric},{chosen or 'none'}"] = row.point / scale
        found[f"{metric}_stderr,{chosen or 'none'}"] = "N/A" if error is None else error / scale
    return found


def _size(
    task: str,
    figures: Sequence[Estimate],
    records: Sequence[Record],
    tasks: Mapping[str, Mapping[str, Json]],
) -> dict[str, int]:
    """Documents there are and documents asked; empty where neither is known."""
    asked = sum(record.task == task for record in records)
    asked = asked or max(row.n for row in figures if row.task == task)
    said = tasks.get(task, {}).get("documents")
    whole = said if isinstance(said, int) else asked
    return {"original": whole, "effective": asked} if asked else {}


def _config(task: str, said: Mapping[str, Json], run: Run, entry: str) -> dict[str, Json]:
    data = said.get("dataset") or {}
    metrics = [
        {"metric": name, "higher_is_better": better}
        for name, better in _directions(run, entry, task).items()
    ]
    found = {
        "task": task,
        "dataset_path": data.get("path"),
        "dataset_name": data.get("name"),
        "output_type": said.get("output_type"),
        "num_fewshot": about.shots(said),
        "repeats": said.get("repeats"),
        "generation_kwargs": said.get("generation", said.get("generation_kwargs")),
        "metric_list": metrics,
        "metadata": {"version": said.get("version")},
    }
    return {name: value for name, value in found.items() if value is not None}


def _directions(run: Run, entry: str, task: str) -> dict[str, bool]:
    return {
        str(m.get("name")).partition(",")[0]: bool(m.get("higher_is_better", True))
        for m in about.declared(run, entry, task)
    }


def _run_config(run: Run, model: str) -> dict[str, Json]:
    engine = about.model_entry(run, model).get("engine", {})
    return {
        "model": engine.get("type"),
        "model_args": {"pretrained": about.repository(run, model) or model},
        "model_dtype": engine.get("dtype"),
        "batch_size": None,
        "device": None,
        "limit": run.manifest.get("limit"),
        "random_seed": run.manifest.get("seed"),
    }


def _environment(run: Run, place: tuple[str, str]) -> dict[str, Json]:
    model, entry = place
    said, moment = about.description(run, entry), about.began(run)
    versions = run.manifest.get("versions", {})
    return {
        "git_hash": run.manifest.get("git_commit"),
        "date": None if moment is None else moment.timestamp(),
        "transformers_version": versions.get("transformers"),
        "lm_eval_version": said.get("lm_eval") or versions.get("lm_eval"),
        "model_source": "evalkit",
        "model_name": model,
        "model_name_sanitized": about.file_part(model),
        "system_instruction": said.get("system_instruction"),
        "fewshot_as_multiturn": said.get("fewshot_as_multiturn"),
        "chat_template": about.model_entry(run, model).get("chat_template")
        if said.get("apply_chat_template")
        else None,
        "evalkit": {
            "run_id": run.manifest.get("run_id"),
            "version": versions.get("evalkit"),
            "benchmark": entry,
        },
    }


def _pretty(value: Json) -> bytes:
    return (json.dumps(about.text(value), indent=2, ensure_ascii=False) + "\n").encode()


def _line(row: Mapping[str, Json]) -> bytes:
    return (json.dumps(about.text(row), ensure_ascii=False) + "\n").encode()
