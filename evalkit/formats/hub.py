"""`.eval_results/*.yaml` of a model repository on the hub, for benchmarks registered there.

    - dataset: {id: openai/gsm8k, task_id: gsm8k, revision: ...}
      value: 54.2
      date: '2026-01-31'
      source: {url: ..., name: ...}
      notes: 'lm-eval 0.4.13 gsm8k, 5 shots, exact_match,strict-match; ...'

`--out` is the repository's folder.  One model at a time, the candidate unless `--model` names
another; one file per lm-eval task.  Written and read back through huggingface_hub's own functions.

The figures are those of the `model-index`, chosen there: one for each data set.  Of these the hub
shows only what belongs to a registered benchmark: the catalogue has those that evalkit knows, with
their source.  Everything else is left out, with the reason.

Values are in percent, as other entries are.  A figure that someone else published is written with
the address where it was, and not where it has none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from evalkit import catalogue
from evalkit.comparison.cautions import doubts
from evalkit.core.protocols import Exported
from evalkit.core.run import DatasetDescription, Run
from evalkit.core.specs import ExportSpec
from evalkit.draw import count, interval, level
from evalkit.errors import ExportError
from evalkit.formats._writing import began, file_part, measured, text
from evalkit.formats.model_index import Item, gather, make_index

__all__ = ["EvalResults", "EvalResultsSpec"]


class EvalResultsSpec(ExportSpec):
    """Evaluation results on the hub."""

    source_url: str | None = None
    """Where the evidence can be seen: the report, or the run's files."""
    source_name: str | None = None
    """What that is called; needs source_url."""
    date: dt.date | None = None
    """When it was measured, as YYYY-MM-DD; default: when the run began."""
    only: str = ""
    """Only these benchmark entries of the runs, with commas, as `card write --only` has it."""


class EvalResults:
    """Writes .eval_results files."""

    publishes: ClassVar[bool] = True

    def __init__(self, spec: EvalResultsSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """A file per registered task; what is left out, and why, in the notes."""
        model = _model(runs, self._spec.models)
        only = [name.strip() for name in self._spec.only.split(",") if name.strip()]
        index = make_index(gather(runs, model, only, allow_unpublishable=True))
        files: dict[str, bytes] = {}
        left: dict[str, list[str]] = {}
        for one in index.without:
            task = one.item.key.task
            if task in catalogue.on_hub():
                said = f"{one.said} of {one.block.title}"
                left.setdefault(one.why.replace("--only", "--set only="), []).append(said)
            else:
                left.setdefault(catalogue.why_not_on_hub(task), []).append(task)
        taken: dict[str, str] = {}
        for item in index.figures:
            task = item.key.task
            reason = _why_not(item, taken)
            if reason:
                left.setdefault(reason, []).append(task)
            else:
                taken[catalogue.on_hub()[task][0]] = task
                files[f".eval_results/{file_part(task)}.yaml"] = self._yaml(item)
        notes = [f"left out: {', '.join(dict.fromkeys(t))}: {why}" for why, t in left.items()]
        if not files:
            raise ExportError(
                f"nothing of {model!r} belongs to a registered benchmark "
                f"({', '.join(catalogue.on_hub())}); " + "; ".join(notes or ["it has no figures"])
            )
        return Exported(files, tuple(notes))

    def _yaml(self, item: Item) -> bytes:
        import yaml  # what huggingface_hub itself reads and writes these files with
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

        spec = self._spec
        if spec.source_name and not spec.source_url:
            raise ExportError("source_name needs source_url, which the hub links it to")
        dataset, task_id = catalogue.on_hub()[item.key.task]
        assert item.figure.value.point is not None
        theirs = item.link() if item.published else None
        dataset_here = _data(item)
        entry = EvalResultEntry(
            dataset_id=dataset,
            task_id=task_id,
            value=float(item.figure.value.point),
            dataset_revision=None if theirs or dataset_here is None else dataset_here.revision,
            date=_date(item) if theirs else self._day(item.run),
            source_url=theirs.url if theirs else spec.source_url,
            source_name=theirs.name if theirs else spec.source_name,
            notes=str(text(_notes(item))),
        )
        rows = eval_result_entries_to_yaml([entry])
        return yaml.safe_dump(rows, sort_keys=False, allow_unicode=True).encode()

    def _day(self, run: Run) -> str | None:
        moment = began(run)
        day = self._spec.date or (None if moment is None else moment.date())
        return None if day is None else day.isoformat()


def _date(item: Item) -> str | None:
    """When others published it, where that is a day."""
    said = item.stated
    try:
        return None if said is None else dt.date.fromisoformat(str(said.date)).isoformat()
    except ValueError:
        return None


def _model(runs: Sequence[Run], wanted: Sequence[str]) -> str:
    roles = {name: run.role(name) for run in runs for name in measured(run)}
    found = list(wanted) or [name for name, role in roles.items() if role == "candidate"]
    if len(found) != 1:
        raise ExportError(
            f"eval_results is of one model's repository, and {len(found)} are meant "
            f"({', '.join(found) or 'no candidate'}); name one with --model: "
            f"{', '.join(roles) or 'none has figures'}"
        )
    return found[0]


def _why_not(item: Item, taken: Mapping[str, str]) -> str:
    """Why a figure does not belong on the hub's leaderboards; empty where it does."""
    if item.key.task not in catalogue.on_hub():
        return catalogue.why_not_on_hub(item.key.task)
    dataset, _ = catalogue.on_hub()[item.key.task]
    data = None if item.published else _data(item)
    path = None if data is None else data.path
    if item.published and item.link() is None:
        return "someone else published it, at no address that the hub could link to"
    known = None if path is None else catalogue.hub_data_set(path)
    if path is not None and (known is None or known.id != dataset):
        return f"measured on data {path!r}, the leaderboard is of {dataset!r}"
    if item.figure.unit != "percent":
        return f"{item.key.metric} is not a share, which the leaderboard shows"
    if dataset in taken:
        return f"the leaderboard of {dataset} has a figure already, of {taken[dataset]}"
    return ""


def _data(item: Item) -> DatasetDescription | None:
    """Data set of a task, or of a group's first task, as far as the benchmark says."""
    said, task = item.run.description(item.figure.model, item.key.benchmark), item.key.task
    names = (task, *said.group(task).tasks)
    return next((found for name in names if (found := said.task(name).dataset)), None)


def _notes(item: Item) -> str:
    found = doubts(item.run, [item.figure.model])
    marked = [f"NOT FOR PUBLICATION: {'; '.join(found)}"] if found else []
    return "; ".join([*marked, ", ".join(_said(item))])


def _said(item: Item) -> Iterator[str]:
    value, task = item.figure.value, item.key.task
    version = item.entry.description.lm_eval
    yield f"lm-eval {version} {task}" if version and not item.published else f"lm-eval {task}"
    if item.shots is not None:
        yield f"{item.shots} shots"
    yield item.key.metric
    if item.published:
        yield "published by others, not measured here"
    if value.low is not None:
        bounds = interval(value.low, value.high, item.figure.unit)
        yield f"{level(value.level)} interval {bounds}"
    if value.n:
        missing = f" ({count(value.n_missing)} missing)" if value.n_missing else ""
        yield f"n = {count(value.n)}{missing}"
    yield f"evalkit run {item.run.manifest.run_id}"
