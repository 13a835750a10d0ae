"""lm-eval's results and samples: read as evidence, and written as lm-eval writes them.

Source: EleutherAI/lm-evaluation-harness (MIT), `results_*.json` and `samples_*.jsonl` of 0.4, the
`big-refactor` branch of late 2023, 0.3, and the Open LLM Leaderboard's result files; formats in
`_lm_eval_files.py`.

Reading.  Samples become records with lm-eval's own metric names, which pair with those of a live
run.  What has no samples is a figure with its source: point, standard error as the file has it, no
difference.  The leaderboards' averages are given where a set of results has all they take, with the
leaderboard's shots.  Departures from the files:
- A group's standard error is computed from its tasks' (stratified by size).  lm-eval of late 2023
  printed the spread of the tasks instead (MMLU: 0.127 where the error is 0.004).
- Sizes that a file does not state follow from a share of right answers and its standard error,
  n = p(1-p)/se² + 1, where one n fits within their rounding; other means say nothing of their size.
- Old task names are written as today's (`hendrycksTest-anatomy` as `mmlu_anatomy`).

Writing.  For what was measured by lm-eval's tasks, run here or imported: benchmark entries of type
lm_eval and open_llm_leaderboard.  One folder per entry and model, as `lm_eval --output_path ENTRY`
makes:

    lm_eval/mine/results_2026-01-31T09-30-00.json          "results", "configs", "versions", ...
    lm_eval/mine/samples_gsm8k_2026-01-31T09-30-00.jsonl   a row per document and filter

`evalkit import lm_eval FOLDER` gives the same figures back; lm-eval's own table printer and
whatever reads its files take them as they stand.  Departures from what lm-eval writes:
- Figures that are evalkit's own (leaderboard averages, normalised scores, plain means over a
  group's tasks) are left out.
- `doc` is empty, since a run keeps the prompt and not the raw document; `resps` are the answers as
  the run keeps them: of choices the text with its log-probability to four digits.
- A document that failed has a row without metrics: it is missing, not wrong.
- Without a first session to date it, the file names have the run's id, or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from evalkit import catalogue
from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks import open_llm_leaderboard as board
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import (
    Average,
    Estimator,
    Figure,
    FigureKey,
    Finding,
    Interval,
    Method,
    Metric,
    Source,
)
from evalkit.core.protocols import Exported
from evalkit.core.requests import Json
from evalkit.core.run import BenchmarkEntry, Description, Run, TaskDescription
from evalkit.core.samples import Record
from evalkit.core.specs import ExportSpec
from evalkit.errors import DataError, ExportError
from evalkit.formats._lm_eval_files import (
    Files,
    ResultFile,
    SampleFile,
    Stated,
    by_model,
    read_files,
)
from evalkit.formats._lm_eval_samples import Sampled, sample_rows, sampled
from evalkit.formats._reading import few, normal_interval, remark, require_name
from evalkit.formats._writing import (
    add,
    began,
    figures_of,
    file_part,
    folders,
    json_bytes,
    measured,
)

__all__ = ["LmEval", "LmEvalSpec", "read"]

KIND = "lm_eval"
_BOARD = "open_llm_leaderboard"
_AGREE = 1e-6
_FAR = 2.0
_MANY = 100_000
"""Sizes that a rounded standard error leaves open; of so many, more than one fits."""
_SUBJECTS = 57
"""Of MMLU."""
_MMLU_GROUPS = frozenset({"mmlu_humanities", "mmlu_social_sciences", "mmlu_stem", "mmlu_other"})
_V2_GROUPS = frozenset(
    {"leaderboard_bbh", "leaderboard_gpqa", "leaderboard_math_hard", "leaderboard_musr"}
)
_NO_MERIT = ("bits_per_byte", "ter", "wer")
"""Metrics of which less is better, besides perplexities."""


def read(files: Sequence[Path], options: ImportOptions) -> list[Evidence]:
    """The evidence of each wanted model in `files` (folders stand for what is in them).

    Raises:
        DataError: a file is missing or not lm-eval's, or it does not say whose files they are.
    """
    parts = by_model(read_files(files), options.models)
    entry = options.entry or KIND
    return [
        _Import(name or "model", entry, found, options.level).evidence() for name, found in parts
    ]


@dataclass(frozen=True)
class _Import:
    """One model's files."""

    model: str
    entry: str
    found: Files
    level: float

    @cached_property
    def settings(self) -> Mapping[str, Mapping[str, Json]]:
        """By task: version, num_fewshot, n, ..."""
        return {task: said for file in self.found.results for task, said in file.settings.items()}

    @cached_property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Tasks below each group."""
        return {name: below for file in self.found.results for name, below in file.groups.items()}

    @cached_property
    def stated(self) -> Mapping[str, Mapping[str, tuple[Stated, ResultFile]]]:
        """Figures by task and metric of all files; the first file that has one counts."""
        merged: dict[str, dict[str, tuple[Stated, ResultFile]]] = {}
        for file in self.found.results:
            for task, figures in file.figures.items():
                for figure in figures:
                    merged.setdefault(task, {}).setdefault(figure.metric, (figure, file))
        return merged

    @cached_property
    def samples(self) -> Mapping[str, Sampled]:
        """By task."""
        return {f.task: sampled(f, self.model, self.entry) for f in self.found.samples}

    def evidence(self) -> Evidence:
        """Everything together."""
        require_name(self.model)
        if not self.stated and not self.samples:
            raise DataError(
                f"{', '.join(str(file.path) for file in self.found.results)}: no figure of any "
                f"task in it; expected numbers under results, such as "
                f"{{'arc_challenge': {{'acc,none': 0.6}}}}"
                f"{''.join(f'; {f.message}' for f in self.found.findings)}"
            )
        files: list[ResultFile | SampleFile] = [*self.found.results, *self.found.samples]
        return Evidence(
            model=self.model,
            entry=self.entry,
            kind=KIND,
            description=Description(
                type=KIND,
                version="1",
                models_in_files=tuple(sorted({f.model for f in self.found.results if f.model})),
                tasks={
                    task: {k: v for k, v in said.items() if v is not None}
                    for task, said in self.settings.items()
                },
                files=tuple({"file": file.path.name, "sha256": file.sha256} for file in files),
            ),
            metrics=self.metrics,
            records=tuple(record for one in self.samples.values() for record in one.records),
            figures=(*self._unsampled(), *self._averages_v1(), *self._averages_v2()),
            findings=(*self.found.findings, *self._repeated(), *self._checks(), *self._shots()),
            averages=tuple(self._declared()),
        )

    # --- figures ---

    def _unsampled(self) -> Iterator[Figure]:
        """Every figure that no samples are there to compute."""
        for task, metrics in self.stated.items():
            for metric, (figure, file) in metrics.items():
                if task in self.samples and metric in self.samples[task].means:
                    continue
                error, how = figure.standard_error, "as the file has it"
                own = self._group_error(task, metric) if task in self.groups else None
                error, how = (error, how) if own is None else own
                shots = file.settings.get(task, {}).get("num_fewshot")
                is_percent = scoring.percent(metric) and 0 <= (figure.point or 0) <= 1
                scale = 100.0 if is_percent else 1.0
                value = normal_interval(
                    None if figure.point is None else scale * figure.point,
                    None if error is None else scale * error,
                    n=self._n(task, metric),
                    level=self.level,
                    method=_recorded(f"standard error {how}"),
                )
                source = Source(
                    file.path.name, file.date, None if shots is None else f"{shots} shots"
                )
                key = FigureKey(self.entry, task, metric)
                yield Figure(self.model, key, "percent" if is_percent else "raw", value, source)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Documents by task: as stated, else from an accuracy and its standard error."""
        sizes: dict[str, int] = {}
        for task, metrics in self.stated.items():
            if task in self.groups:
                continue
            n = self.settings.get(task, {}).get("n")
            if isinstance(n, int) and n > 0:
                sizes[task] = n
                continue
            known = (_size(figure) for figure, _ in metrics.values())
            size = next((n for n in known if n is not None), None)
            if size is not None:
                sizes[task] = size
        return sizes

    def _entering(self, group: str, metric: str) -> list[tuple[int | None, float | None]]:
        """Size and standard error of each task below `group` that has the metric."""
        found = [(task, self.stated.get(task, {}).get(metric)) for task in self.groups[group]]
        return [(self.sizes.get(task), one[0].standard_error) for task, one in found if one]

    def _n(self, task: str, metric: str) -> int:
        """Documents in a figure, of a group those of the tasks that enter; 0: not known."""
        counted = self.settings.get(task, {}).get("sample_count")
        stated = counted.get(metric) if isinstance(counted, Mapping) else None
        if isinstance(stated, int):
            return stated
        if task not in self.groups:
            return self.sizes.get(task, 0)
        sizes = [n for n, _ in self._entering(task, metric)]
        return sum(n for n in sizes if n is not None) if None not in sizes else 0

    def _group_error(self, group: str, metric: str) -> tuple[float, str] | None:
        """Of the mean over all documents: sqrt(Σ (n_i/N)² se_i²); None: it cannot be computed."""
        parts = [(n, e) for n, e in self._entering(group, metric) if n and e is not None]
        if not parts or len(parts) < len(self._entering(group, metric)):
            return None
        total = sum(n for n, _ in parts)
        variance = math.fsum((n / total * error) ** 2 for n, error in parts)
        return math.sqrt(variance), f"stratified over {len(parts)} tasks"

    # --- the leaderboards' averages ---

    def _averages_v1(self) -> Iterator[Figure]:
        """Version 1's average of six, and of seven with DROP."""
        for drop in (False, True):
            found = self._average_v1(drop=drop)
            if found is None or self._other_shots(drop=drop):
                continue
            average, how = found
            point = None if average.point is None else 100 * average.point
            value = normal_interval(point, None, n=0, level=self.level, method=_recorded(how))
            key = FigureKey(self.entry, _BOARD, "average" if drop else "average_without_drop")
            source = Source("computed from the tasks' recorded figures")
            yield Figure(self.model, key, "percent", value, source)

    def _average_v1(self, *, drop: bool) -> tuple[scoring.Aggregate, str] | None:
        """And how it was computed; None where a task is not there."""
        parts: dict[str, list[scoring.Aggregate]] = {}
        columns, used = catalogue.columns(1, drop=drop), []
        for column in columns:
            task, metric = column.task, column.metric
            names = [task]
            if task == "mmlu":
                subjects = (n for n in self.stated if n.startswith("mmlu_"))
                names = [n for n in subjects if n not in _MMLU_GROUPS]
            for name in names:
                known = self.stated.get(name, {})
                chosen = next((m for m in (metric, *column.formerly) if m in known), None)
                if chosen is None:
                    return None
                parts[name] = [_aggregate(known[chosen][0], metric)]
                if chosen != metric and name == task:
                    used.append(f"{task} by {chosen}")
        if sum(name.startswith("mmlu_") for name in parts) != _SUBJECTS:
            return None
        how = "; ".join([f"mean of {len(columns)} tasks, MMLU as the mean of its 57", *used])
        return board.average_v1(parts, include_drop=drop), how

    def _other_shots(self, *, drop: bool) -> str:
        """Tasks with other shots than the leaderboard's; empty: none."""
        other = []
        for column in catalogue.columns(1, drop=drop):
            names = [column.task]
            if column.task == "mmlu":
                names = [n for n in self.settings if n.startswith("mmlu_")]
            said = {self.settings.get(name, {}).get("num_fewshot") for name in names} - {None}
            if said and said != {column.shots}:
                given = ", ".join(map(str, sorted(said, key=str)))
                other.append(f"{column.task} with {given} instead of {column.shots}")
        return "; ".join(other)

    def _shots(self) -> Iterator[Finding]:
        other = self._other_shots(drop=False)
        if other and self._average_v1(drop=False) is not None:
            yield remark("other_shots", f"no leaderboard average: {other} worked examples")

    def _averages_v2(self) -> Iterator[Figure]:
        """Version 2's normalised scores and average, where there is any of its tasks."""
        tasks = {
            task: [_aggregate(figure, metric) for metric, (figure, _) in metrics.items()]
            for task, metrics in self.stated.items()
            if board.family_of(task) is not None and task not in _V2_GROUPS
        }
        if not tasks:
            return
        scores = {task: board.normalised(task, found) for task, found in tasks.items()}
        points = {task: point for task, point in scores.items() if point is not None}
        families = {f: p for f, p in board.families_v2(tasks).items() if f not in tasks}
        how = "recorded, normalised as the leaderboard does it"
        made = [
            (task, scoring.Aggregate("normalised", point, None, 0, 0, how, corpus=True))
            for task, point in (*points.items(), *families.items())
        ]
        for task, found in (*made, (_BOARD, board.average_v2(tasks))):
            yield scoring.figure(found, self.model, (self.entry, task), self.level)

    def _declared(self) -> list[Average]:
        """The averages that samples are there for, so that a leaderboard compares as one run here.

        Groups that lm-eval prints are means over all documents.
        """
        made: list[Average] = []
        means = {task: one.means for task, one in self.samples.items()}
        tasks = list(means)
        n_subjects = sum(name.startswith("mmlu_") for name in tasks)
        for drop in (True, False):
            there = all(
                n_subjects == _SUBJECTS
                if column.task == "mmlu"
                else column.metric in means.get(column.task, {})
                for column in catalogue.columns(1, drop=drop)
            )
            if there and not self._other_shots(drop=drop):
                made = board.averages_v1(tasks, include_drop=drop)
                break
        families = {board.family_of(task) for task in tasks} - {None}
        if len(families) == len(catalogue.columns(2)):
            made += board.averages_v2(tasks)
        for group, below in self.groups.items():
            for metric in self.metrics.get(group, ()):
                if below and all(metric.name in means.get(task, {}) for task in below):
                    of = tuple((task, metric.name) for task in below)
                    made.append(Average(group, replace(metric, primary=False), of, by_size=True))
        return made

    # --- metrics and findings ---

    @cached_property
    def metrics(self) -> Mapping[str, tuple[Metric, ...]]:
        """By task; acc_norm speaks for it, else acc, else what stands first."""
        made = {}
        for task in dict.fromkeys([*self.stated, *self.samples]):
            measured_here = self.samples[task].means if task in self.samples else ()
            names = dict.fromkeys([*self.stated.get(task, {}), *measured_here])
            order = sorted(names, key=lambda name: {"acc_norm": 0, "acc": 1}.get(name, 2))
            better = self.settings.get(task, {}).get("higher_is_better")
            made[task] = tuple(
                Metric(
                    name=name,
                    unit="percent" if scoring.percent(name) else "raw",
                    scale=100.0 if scoring.percent(name) else 1.0,
                    higher_is_better=_is_better(better, name),
                    primary=n == 0,
                )
                for n, name in enumerate(order)
            )
        return made

    def _repeated(self) -> Iterator[Finding]:
        for file in self.found.results:
            for task, figures in file.figures.items():
                for figure in figures:
                    first, where = self.stated[task][figure.metric]
                    if first.point != figure.point:
                        yield Finding(
                            "repeated_task",
                            f"{task} {figure.metric} is {first.point} in {where.path.name} "
                            f"and {figure.point} in {file.path.name}; the first one counts",
                        )

    def _checks(self) -> Iterator[Finding]:
        models = sorted({file.model for file in self.found.results if file.model})
        if len(models) > 1:
            yield Finding(
                "several_models",
                f"results of one name, but of several models or settings: {few(models)}; import "
                f"each one's by themselves where they are not the same model",
            )
        for file in self.found.results:
            name = file.path.name
            if file.limit not in (None, 0, "None"):
                yield Finding("limited", f"{name}: run with --limit {file.limit}")
            for task, said in file.settings.items():
                n, whole = said.get("n"), said.get("n_original")
                if isinstance(n, int) and isinstance(whole, int) and n < whole and not file.limit:
                    yield Finding("limited", f"{name}: {task} has {n} of {whole} documents")
        yield from self._group_errors()
        for task, one in self.samples.items():
            yield from one.findings
            for metric, value in one.means.items():
                known, where = self.stated.get(task, {}).get(metric, (None, None))
                if known is None or where is None or known.point is None or value is None:
                    continue
                if not math.isclose(known.point, value, abs_tol=_AGREE):
                    yield Finding(
                        "samples_and_results_differ",
                        f"{task} {metric}: the samples' mean is {value:.6f}, {where.path.name} "
                        f"says {known.point:.6f}; the samples are used",
                    )

    def _group_errors(self) -> Iterator[Finding]:
        for file in self.found.results:
            for group in file.groups:
                for metric, (figure, _) in self.stated.get(group, {}).items():
                    error, _ = self._group_error(group, metric) or (None, "")
                    said = figure.standard_error
                    if error and said and not 1 / _FAR < said / error < _FAR:
                        yield remark(
                            "group_standard_error",
                            f"{file.path.name}: the standard error of {group} {metric} is written "
                            f"as {said:.4f}, the {len(self._entering(group, metric))} that enter "
                            f"it give {error:.4f}, which is used",
                        )


def _recorded(how: str) -> Method:
    return Method(Estimator.RECORDED, Interval.STATED, detail=f"recorded; {how}")


def _aggregate(figure: Stated, metric: str) -> scoring.Aggregate:
    return scoring.Aggregate(metric, figure.point, None, 1, 0, "recorded", corpus=False)


def _size(figure: Stated) -> int | None:
    """From the sample standard error of a share, se² = p(1-p)/(n-1); None where not one n fits.

    Both numbers may be rounded, and right answers are counted whole: a mean of anything else (mc2)
    gives no whole number.
    """
    p, error = figure.point, figure.standard_error
    if p is None or error is None or not 0 < p < 1 or error <= 0:
        return None
    # Half of the last digit; a writer rounds both alike, and 0.5 may be exact.
    digits = max(-int(Decimal(repr(value)).as_tuple().exponent) for value in (p, error))
    off_p, off_error = (max(0.5 * 10.0**-digits, 1e-9 * value) for value in (p, error))
    if off_error >= error:
        return None
    spread = p * (1 - p) + off_p
    first = math.ceil((p * (1 - p) - off_p) / (error + off_error) ** 2 + 1)
    last = math.floor(spread / (error - off_error) ** 2 + 1)
    if last - first > _MANY:
        return None
    fits = [n for n in range(max(2, first), last + 1) if abs(round(p * n) - p * n) <= off_p * n]
    return fits[0] if len(fits) == 1 else None


def _is_better(known: Json, metric: str) -> bool:
    plain = metric.partition(",")[0]
    if isinstance(known, Mapping) and isinstance(known.get(plain), bool):
        return bool(known[plain])
    return "perplexity" not in plain and plain not in _NO_MERIT


# --- writing ------------------------------------------------------------------------------------


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
        for run in runs:
            moment = began(run)
            stamp = moment.replace(tzinfo=None).isoformat().replace(":", "-") if moment else ""
            for entry in run.benchmarks:
                for model in measured(run) if entry.description.type in (KIND, _BOARD) else ():
                    figures = [f for f in figures_of(run, model, entry.name) if _is_lm_evals(f.key)]
                    if not figures:
                        continue
                    folder = f"{file_part(entry.name)}/{file_part(model)}"
                    content = _results(run, model, entry, figures)
                    name = f"{folder}/results_{stamp or run.manifest.run_id}.json"
                    add(files, name, json_bytes(content, indent=2))
                    by_task: dict[str, list[Record]] = {}
                    if not self._spec.figures_only:
                        for record in run.records_of(model, entry.name):
                            by_task.setdefault(record.task, []).append(record)
                    for task, mine in by_task.items():
                        end = f"_{stamp}" if stamp else ""
                        name = f"{folder}/samples_{file_part(task)}{end}.jsonl"
                        add(files, name, b"".join(map(json_bytes, sample_rows(mine))))
        if not files:
            raise ExportError(
                f"{folders(runs)}: no figure of an lm-eval task; this format is for benchmarks of "
                f"type {KIND} and {_BOARD}"
            )
        return Exported(files)


def _is_lm_evals(key: FigureKey) -> bool:
    own = key.metric in ("normalised", "average", "average_without_drop")
    return key.task != _BOARD and not own and not key.metric.endswith(" (mean of tasks)")


def _results(
    run: Run, model: str, entry: BenchmarkEntry, figures: Sequence[Figure]
) -> dict[str, Json]:
    said, manifest, moment = entry.description, run.manifest, began(run)
    names = list(dict.fromkeys(figure.key.task for figure in figures))
    results = {task: _figures(task, [f for f in figures if f.key.task == task]) for task in names}
    tasks = {task: said.task(task) for task in names}
    subtasks = {g: list(said.group(g).tasks) for g in said.groups if g in names}
    better = {
        task: {m.name.partition(",")[0]: m.higher_is_better for m in about.metrics}
        for task, about in entry.tasks.items()
        if task in names and about.metrics
    }
    sizes = {}
    for task in names:
        done = sum(r.task == task for r in run.records_of(model, entry.name))
        done = done or max(f.value.n for f in figures if f.key.task == task)
        whole = tasks[task].documents
        sizes[task] = {"original": done if whole is None else whole, "effective": done}
    served = run.model(model)
    version = {t: tasks[t].version if t in said.tasks else said.group(t).version for t in names}
    return {
        "results": results,
        **({"groups": {name: results[name] for name in subtasks}} if subtasks else {}),
        "group_subtasks": subtasks,
        "configs": {t: _config(t, tasks[t], better.get(t, {})) for t in names if t in said.tasks},
        "versions": version,
        "n-shot": {t: tasks[t].n_shots for t in names if tasks[t].n_shots is not None},
        "higher_is_better": better,
        "n-samples": {task: size for task, size in sizes.items() if size["effective"]},
        "config": {
            "model": served.engine.type if served else None,
            "model_args": {
                "pretrained": (served.provenance.repository if served else None) or model
            },
            "model_dtype": served.engine.dtype if served else None,
            "batch_size": None,
            "device": None,
            "limit": manifest.limit,
            "random_seed": manifest.seed,
        },
        "git_hash": manifest.git_commit,
        "date": None if moment is None else moment.timestamp(),
        "transformers_version": manifest.versions.get("transformers"),
        "lm_eval_version": said.lm_eval or manifest.versions.get("lm_eval"),
        "model_source": "evalkit",
        "model_name": model,
        "model_name_sanitized": file_part(model),
        "system_instruction": said.system_instruction,
        "fewshot_as_multiturn": said.fewshot_as_multiturn,
        "chat_template": served.chat_template if served and said.apply_chat_template else None,
        "evalkit": {
            "run_id": manifest.run_id,
            "version": manifest.versions.get("evalkit"),
            "benchmark": entry.name,
        },
    }


def _figures(task: str, figures: Sequence[Figure]) -> dict[str, Json]:
    """In lm-eval's own scale, by `metric,filter`; `N/A` is how it writes an unknown error."""
    found: dict[str, Json] = {"alias": task}
    counted: dict[str, Json] = {}
    for figure in figures:
        if figure.key.category is not None or figure.value.point is None:
            continue
        scale = 100.0 if figure.unit == "percent" else 1.0
        metric, _, chosen = figure.key.metric.partition(",")
        error = figure.value.standard_error
        found[f"{metric},{chosen or 'none'}"] = figure.value.point / scale
        counted[f"{metric},{chosen or 'none'}"] = figure.value.n
        found[f"{metric}_stderr,{chosen or 'none'}"] = "N/A" if error is None else error / scale
    return found if len(set(counted.values())) < 2 else {**found, "sample_count": counted}


def _config(task: str, said: TaskDescription, better: Mapping[str, bool]) -> dict[str, Json]:
    found = {
        "task": task,
        "dataset_path": said.dataset.path if said.dataset else None,
        "dataset_name": said.dataset.name if said.dataset else None,
        "output_type": said.output_type,
        "num_fewshot": said.n_shots,
        "repeats": said.repeats,
        "generation_kwargs": said.generation or said.generation_kwargs,
        "metric_list": [{"metric": m, "higher_is_better": b} for m, b in better.items()],
        "metadata": {"version": said.version},
    }
    return {name: value for name, value in found.items() if value is not None}
