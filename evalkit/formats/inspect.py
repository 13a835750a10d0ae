"""Logs of Inspect (`.eval`, or `.json`) as evidence, and runs as such logs.

Source: https://inspect.aisi.org.uk/eval-logs.html (MIT), format version 2.  An `.eval` file is a
ZIP archive, deflated or (today's) Zstandard:

    header.json                {"version": 2, "status": "success", "eval": {"task": "arc_easy",
                                "model": "openai/gpt-4o", "config": {"epochs": 2}, ...}, "results":
                                {"scores": [{"name": "match", "scorer": "match", "metrics":
                                {"accuracy": {"value": 0.5}, "stderr": {"value": 0.2}}}]}}
    samples/1_epoch_1.json     {"id": 1, "epoch": 1, "input": "...", "target": "4", "messages":
                                [...], "output": {"completion": "4"}, "scores": {"match": {"value":
                                "C", "answer": "4"}}}
    reductions.json            [{"scorer": "match", "reducer": "mean", "samples": [{"sample_id": 1,
                                "value": 0.5}]}]

A `.json` log holds the same as one object, with lists `samples` and `reductions`.

A sample's score is its reduction over epochs, else its one epoch's: C is 1, P one half, I and N 0
(Inspect's `value_to_float`), numbers and truth values as they are.  `accuracy` and `mean` are means
of these and get intervals here; they are checked against the log.  Any other metric is a figure as
the log states it, with its scorer's `stderr` where that is the only one of the scorer.  Where that
`stderr` is clustered (`params: {"cluster": FIELD}`), FIELD of a sample's metadata is its cluster.

Written: an `.eval` file per run, model, benchmark entry and task, which `inspect view` opens.  Each
metric is a scorer.  A sample's value is the mean of its scores (of MT-Bench's two turns, say), NaN
with a reason where it has none: Inspect counts it as unscored then.  A figure that is the mean of
these values is called `accuracy` (a share) or `mean`; any other (a length-controlled win rate, an
average over tasks, a mean over turns of which some are missing) has the name of its estimator, in
the report's unit.  What a judge replied is the score's explanation, its whole exchange
`metadata.grading`, as Inspect's own model-graded scorers have them.  A sample's id is what its file
is named after: one that is no safe name of a file gets a hash in place of what is not.

It cannot say: figures of categories (a sample's category is in its metadata), p and intervals, and
tokens and time by task: `model_usage` and `stats` are of the whole run.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from evalkit import catalogue
from evalkit.comparison.cautions import doubts
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import (
    Estimator,
    Figure,
    FigureKey,
    Finding,
    Interval,
    Method,
    Metric,
    Source,
    Unit,
)
from evalkit.core.files import read_file
from evalkit.core.protocols import Exported
from evalkit.core.requests import Json, Message
from evalkit.core.run import BenchmarkEntry, Description, Run
from evalkit.core.samples import UNANSWERED, Judgment, Outcome, Record, Score
from evalkit.core.specs import ExportSpec
from evalkit.errors import DataError, ExportError
from evalkit.formats._reading import (
    expanded,
    last_part,
    mapping,
    no_files,
    normal_interval,
    not_read,
    pick_models,
    remark,
)
from evalkit.formats._writing import (
    add,
    figures_of,
    file_part,
    folders,
    json_bytes,
    judging,
    measured,
    moment,
)

__all__ = ["Inspect", "InspectSpec", "read"]

KIND = "inspect"
_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_MEANS = ("accuracy", "mean")
_ERRORS = frozenset({"stderr", "bootstrap_stderr", "std", "var"})
"""Metrics that say how sure another one is."""
_MOST_BYTES = 2**30
"""Of one member of an archive."""


@dataclass(frozen=True)
class _Log:
    """One log file."""

    path: Path
    sha256: str
    header: Mapping[str, Json]
    samples: tuple[Mapping[str, Json], ...]
    reductions: tuple[Mapping[str, Json], ...]

    @property
    def about(self) -> Mapping[str, Json]:
        """Its `eval`: task, model, settings."""
        return mapping(self.header.get("eval"))

    @property
    def task(self) -> str:
        """Without the package it comes from."""
        return last_part(str(self.about.get("task") or "task"))

    @property
    def scores(self) -> list[Mapping[str, Json]]:
        """One per scorer and reducer."""
        found = mapping(self.header.get("results")).get("scores")
        return [s for s in found if isinstance(s, Mapping)] if isinstance(found, list) else []

    @cached_property
    def values(self) -> Mapping[str, Mapping[str, float | None]]:
        """By scorer, each sample's value."""
        return {_name(score): _values(self, score) for score in self.scores}


def read(files: Sequence[Path], options: ImportOptions) -> list[Evidence]:
    """Evidence of each model in `files`; a folder stands for the logs in it.

    Raises:
        DataError: a file is no log of Inspect, or names do not fit.
    """
    logs, others = [], []
    for path, named in expanded(files):
        if named or path.suffix in (".eval", ".json"):
            try:
                logs.append(_read(path))
                continue
            except DataError:
                if named:
                    raise
        others.append(path)
    if not logs:
        raise no_files(files, others, "logs of Inspect (.eval or .json)")
    by_model: dict[str, list[_Log]] = {}
    for log in logs:
        by_model.setdefault(str(log.about.get("model") or ""), []).append(log)
    stored = list(by_model)
    left = [not_read(others, "no logs of Inspect")] if others else []
    return [
        _evidence(name, stored[index], by_model[stored[index]], options, left)
        for index, name in pick_models(stored, options.models)
    ]


# --- files --------------------------------------------------------------------------------------


_NO_LOG = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, RecursionError, NotImplementedError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error, struct.error),
)
"""What damaged archives and JSON raise; RuntimeError: a password is asked for."""


def _read(path: Path) -> _Log:
    try:
        stored = read_file(path)
        if zipfile.is_zipfile(io.BytesIO(stored)):
            header, samples, reductions = _archive(stored)
        else:
            header = _json(stored)
            samples = header.get("samples") or []
            reductions = header.get("reductions") or []
        header = {"eval": dict(header["eval"]), "status": str(header["status"]), **header}
        sha256 = hashlib.sha256(stored).hexdigest()
    except _NO_LOG as error:
        raise DataError(
            f"{path} is no log of Inspect ({type(error).__name__}: {str(error)[:120]}); name an "
            f".eval file, or a .json one with eval and results"
        ) from error
    rows = (tuple(x for x in found if isinstance(x, Mapping)) for found in (samples, reductions))
    return _Log(path, sha256, header, *rows)


def _archive(stored: bytes) -> tuple[Mapping[str, Any], list[Json], list[Json]]:
    import zipfile_zstd  # noqa: F401 - teaches zipfile Zstandard

    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        names = archive.namelist()
        large = next((i for i in archive.infolist() if i.file_size > _MOST_BYTES), None)
        if large is not None:
            raise ValueError(f"{large.filename} has {large.file_size} bytes")
        # A run that was killed has no header, only how it began.
        header = _json(
            archive.read("header.json" if "header.json" in names else "_journal/start.json")
        )
        header.setdefault("status", "started")
        samples = [_json(archive.read(name)) for name in names if name.startswith("samples/")]
        has_reductions = "reductions.json" in names
        reductions = json.loads(archive.read("reductions.json")) if has_reductions else []
    return header, samples, reductions if isinstance(reductions, list) else []


def _json(text: bytes) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError(f"expected an object, got {found!r:.60}")
    return found


# --- evidence -----------------------------------------------------------------------------------


def _evidence(
    model: str, stored: str, logs: Sequence[_Log], options: ImportOptions, left: list[Finding]
) -> Evidence:
    entry = options.entry or KIND
    metrics: dict[str, tuple[Metric, ...]] = {}
    records: list[Record] = []
    figures: list[Figure] = []
    findings: list[Finding] = list(left)
    for log in logs:
        if log.task in metrics:
            findings.append(
                Finding(
                    "repeated_task",
                    f"{log.path.name}: another log of {log.task}; the first one counts",
                )
            )
            continue
        means = _means(log)
        metrics[log.task] = _metrics(log, means)
        mine = _records(log, model, entry, means)
        records += mine
        figures += _stated(log, model, entry, means, options.level)
        findings += _findings(log, mine, means)
    return Evidence(
        model=model,
        entry=entry,
        kind=KIND,
        description=Description(
            type="recorded",
            version="1",
            format=KIND,
            model_in_file=stored,
            tasks={
                log.task: {"version": log.about.get("task_version")}
                | {"epochs": mapping(log.about.get("config")).get("epochs")}
                | {"generation_kwargs": log.about.get("model_generate_config")}
                for log in logs
            },
            files=tuple({"file": log.path.name, "sha256": log.sha256} for log in logs),
        ),
        metrics=metrics,
        records=tuple(records),
        figures=tuple(figures),
        findings=tuple(findings),
    )


def _name(score: Mapping[str, Json]) -> str:
    """Scorer, and the reducer where it is not the mean over epochs."""
    reducer = score.get("reducer")
    name = str(score.get("name") or score.get("scorer") or "score")
    return name if reducer in (None, "mean") else f"{name} ({reducer})"


def _means(log: _Log) -> dict[str, str]:
    """By scorer with values per sample: the metric of the log that is their mean."""
    found = {}
    for score in log.scores:
        stated = next((m for m in _MEANS if m in mapping(score.get("metrics"))), None)
        if stated is not None and any(v is not None for v in log.values[_name(score)].values()):
            found[_name(score)] = stated
    return found


def _values(log: _Log, score: Mapping[str, Json]) -> dict[str, float | None]:
    """One scorer's value by sample; None: it has none."""
    scorer, key = str(score.get("scorer") or ""), str(score.get("name") or "")
    reduced = [r for r in log.reductions if r.get("scorer") in (scorer, key)]
    wanted = score.get("reducer")
    chosen = next((r for r in reduced if r.get("reducer") == wanted), None)
    if chosen is not None and isinstance(chosen.get("samples"), list):
        rows = [r for r in chosen["samples"] if isinstance(r, Mapping)]
        return {str(r.get("sample_id")): _number(r.get("value"), key) for r in rows}
    found: dict[str, float | None] = {}
    for sample in log.samples:
        given = mapping(sample.get("scores"))
        value = mapping(given.get(scorer) or given.get(key)).get("value")
        found.setdefault(str(sample.get("id")), _number(value, key))
    return found


def _number(value: Json, key: str) -> float | None:
    """A score's value; of several under one scorer that of `key`."""
    if isinstance(value, Mapping):
        value = value.get(key)
    if isinstance(value, str):
        return _GRADES.get(value)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def _metrics(log: _Log, means: Mapping[str, str]) -> tuple[Metric, ...]:
    """The log's own headline first, else the first mean of a scorer."""
    headline = mapping(mapping(log.header.get("results")).get("headline")).get("score")
    made: dict[Metric, bool] = {}
    for name, mean in means.items():
        percent = mean == "accuracy"
        unit: Unit = "percent" if percent else "raw"
        made[Metric(name, unit, 100.0 if percent else 1.0)] = name == headline
    for score in log.scores:
        name = _name(score)
        for other in mapping(score.get("metrics")):
            if other not in _ERRORS and means.get(name) != other:
                made[Metric(f"{name}, {other}", "raw")] = name == headline
    order = sorted(made, key=lambda metric: not made[metric])
    return tuple(replace(metric, primary=n == 0) for n, metric in enumerate(order))


def _records(log: _Log, model: str, entry: str, means: Mapping[str, str]) -> list[Record]:
    values = {name: log.values[name] for name in means}
    by_id: dict[str, Mapping[str, Json]] = {}
    for sample in sorted(log.samples, key=lambda s: str(s.get("epoch"))):
        by_id.setdefault(str(sample.get("id")), sample)
    names = dict.fromkeys([*by_id, *(i for found in values.values() for i in found)])
    errors = [mapping(mapping(score.get("metrics")).get("stderr")) for score in log.scores]
    field = next((f for e in errors if (f := mapping(e.get("params")).get("cluster"))), None)
    records = []
    for name in names:
        sample = by_id.get(name, {})
        cluster = f"{log.task}:{mapping(sample.get('metadata')).get(str(field), name)}"
        known = {metric: found.get(name) for metric, found in values.items()}
        scores = tuple(Score(metric, v) for metric, v in known.items() if v is not None)
        lacking = [metric for metric, v in known.items() if v is None]
        said = mapping(sample.get("error")).get("message")
        error = str(said) if said else f"no value of {lacking[0]} in the log" if lacking else None
        output = _text(mapping(sample.get("output")).get("completion"), sample)
        target = sample.get("target")
        outcome = Outcome(
            "ok" if not lacking else "unparsable" if scores else "excluded",
            _conversation(sample),
            answers=(output,) if output else (),
            reference=tuple(map(str, target if isinstance(target, list) else [target]))
            if target is not None
            else (),
            scores=scores,
            error=error if lacking else None,
        )
        records.append(Record(model, entry, log.task, name, None, cluster, outcome))
    return records


def _conversation(sample: Mapping[str, Json]) -> tuple[Message, ...]:
    """Messages as texts; what a tool answered stands as the user's."""
    found = []
    for message in sample.get("messages") or ():
        role = mapping(message).get("role")
        text = _text(mapping(message).get("content"), sample)
        if role in ("system", "user", "assistant"):
            found.append(Message(role, text))
        elif role == "tool":
            found.append(Message("user", text))
    return tuple(found)


def _text(content: Json, sample: Mapping[str, Json]) -> str:
    """Text parts joined; long texts are attachments of the sample."""
    if isinstance(content, list):
        parts = (
            mapping(part).get("text") for part in content if mapping(part).get("type") == "text"
        )
        content = "\n".join(str(part) for part in parts if part)
    text = str(content or "")
    attached = mapping(sample.get("attachments")).get(text.removeprefix("attachment://"))
    return str(attached) if text.startswith("attachment://") and attached else text


def _stated(
    log: _Log, model: str, entry: str, means: Mapping[str, str], level: float
) -> Iterator[Figure]:
    """Metrics that are no mean of sample scores, or of samples that the log does not hold."""
    for score in log.scores:
        stated = mapping(score.get("metrics"))
        others = [m for m in stated if m not in _ERRORS and means.get(_name(score)) != m]
        for name in others:
            point = _number(mapping(stated[name]).get("value"), name)
            error = _number(mapping(stated.get("stderr")).get("value"), "stderr")
            n = score.get("scored_samples")
            value = normal_interval(
                point,
                error if len(others) == 1 and _name(score) not in means else None,
                n=n if isinstance(n, int) else 0,
                level=level,
                method=Method(Estimator.RECORDED, Interval.STATED, detail="recorded by Inspect"),
            )
            key = FigureKey(entry, log.task, f"{_name(score)}, {name}")
            yield Figure(model, key, "raw", value, Source(log.path.name, _date(log)))


def _date(log: _Log) -> str | None:
    created = str(log.about.get("created") or "")
    return created[:10] or None


def _findings(log: _Log, records: Sequence[Record], means: Mapping[str, str]) -> Iterator[Finding]:
    name, status = log.path.name, log.header["status"]
    if status != "success":
        yield Finding(
            "unfinished", f"{name}: the evaluation of {log.task} ended with status {status!r}"
        )
    config = mapping(log.about.get("config"))
    if config.get("limit") is not None:
        yield Finding("limited", f"{name}: run with a limit of {config['limit']!r:.40} samples")
    if not log.samples and log.scores:
        yield remark("no_samples", f"{name}: the log holds no samples, only figures")
    for score in log.scores:
        metric = means.get(_name(score))
        if metric is None:
            continue
        stated = _number(mapping(mapping(score.get("metrics"))[metric]).get("value"), metric)
        values = [s.value for r in records for s in r.outcome.scores if s.metric == _name(score)]
        mean = math.fsum(values) / len(values) if values else None
        if stated is not None and mean is not None and not math.isclose(stated, mean, abs_tol=1e-6):
            yield Finding(
                "samples_and_results_differ",
                f"{name}: the mean of {_name(score)} over the samples is {mean:.6f}, the log says "
                f"{stated:.6f}; the samples are used",
            )


# --- writing ------------------------------------------------------------------------------------


class InspectSpec(ExportSpec):
    """Logs of Inspect."""

    date: dt.date | None = None
    """When it was measured, as YYYY-MM-DD; default: when the run began."""


class Inspect:
    """Writes logs of Inspect."""

    publishes: ClassVar[bool] = False

    def __init__(self, spec: InspectSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """A log per run, model, entry and task; without its samples for figures only."""
        files: dict[str, bytes] = {}
        for run in runs:
            when = moment(run, self._spec.date).replace(microsecond=0)
            for model in measured(run):
                for entry in run.benchmarks:
                    figures = figures_of(run, model, entry.name)
                    records = run.records_of(model, entry.name)
                    for task in dict.fromkeys(f.key.task for f in figures):
                        log = _Written(
                            run,
                            model,
                            entry,
                            tuple(f for f in figures if f.key.task == task),
                            tuple(r for r in records if r.task == task),
                            when.isoformat(),
                        )
                        stamp = log.created.replace(":", "-")
                        names = (file_part(n).replace("_", "-") for n in (task, model))
                        name = "_".join((stamp, *names, log.identity("task")[:12]))
                        place = f"{file_part(entry.name)}/{name}.eval"
                        add(files, place, log.archive(self._spec.figures_only))
        if not files:
            raise ExportError(f"{folders(runs)}: no figure that was measured or imported")
        several = len(files) > 1 and any(run.manifest.usage for run in runs)
        note = "model_usage in each log is of the whole run, not of its task alone"
        return Exported(files, (note,) if several else ())


@dataclass(frozen=True)
class _Written:
    """One log, of one model and task."""

    run: Run
    model: str
    entry: BenchmarkEntry
    figures: tuple[Figure, ...]
    records: tuple[Record, ...]
    created: str
    """ISO 8601, in UTC."""

    @property
    def task(self) -> str:
        return self.figures[0].key.task

    def identity(self, of: str) -> str:
        """An id that the same run gives again."""
        place = (of, self.run.manifest.run_id, self.model, self.entry.name, self.task)
        return hashlib.sha256("\0".join(place).encode(errors="replace")).hexdigest()[:22]

    def archive(self, figures_only: bool) -> bytes:
        """The `.eval` file; the same bytes each time."""
        samples = [] if figures_only else [self._sample(record) for record in self.records]
        members: dict[str, Json] = {"header.json": self._header([s["id"] for s in samples])}
        for sample in samples:
            members[f"samples/{sample['id']}_epoch_1.json"] = sample
        members["summaries.json"] = [_summary(sample) for sample in samples]
        stored = io.BytesIO()
        with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), json_bytes(content), zipfile.ZIP_DEFLATED)
        return stored.getvalue()

    def _header(self, ids: Sequence[str]) -> dict[str, Json]:
        run, manifest, said = self.run, self.run.manifest, self.entry.description
        about = said.task(self.task)
        scores = list(self._scores())
        cautions = [*doubts(run, [self.model]), *filter(None, [judging(run, self.entry.name)])]
        graders = [{"model": name} for name in self._judges.values()]
        seconds = manifest.usage.seconds if manifest.usage else 0
        lasted = dt.timedelta(seconds=min(seconds, 1e8))  # a stranger's may be any number
        headline = next((k.metric for k in self.entry.headlines if k.task == self.task), None)
        return {
            "version": 2,
            "status": "success",
            "eval": {
                "eval_id": self.identity("eval"),
                "run_id": manifest.run_id,
                "created": self.created,
                "task": self.task,
                "task_id": self.identity("task"),
                "task_version": about.version if isinstance(about.version, int | str) else 0,
                "dataset": {
                    "name": about.dataset.path if about.dataset else self.task,
                    "samples": len(self.records),
                    "sample_ids": list(ids),
                },
                "model": self._called(self.model),
                "model_generate_config": {
                    name: value
                    for name in ("max_tokens", "temperature")
                    if isinstance(value := said.all.get(name), int | float)
                },
                "model_roles": {"grader": graders} if graders else None,
                "config": {"limit": manifest.limit, "epochs": 1},
                "packages": dict(manifest.versions),
                "metadata": {
                    "benchmark": self.entry.name,
                    "git_commit": manifest.git_commit,
                    "model_usage_of": "the whole run",
                    "warnings": cautions,
                },
                "scorers": [
                    {"name": score["name"], "metrics": [{"name": m} for m in score["metrics"]]}
                    for score in scores
                ],
            },
            "plan": {"name": "evalkit", "steps": []},
            "results": {
                "total_samples": len(self.records),
                "completed_samples": sum(not r.outcome.is_missing for r in self.records),
                "scores": scores,
                "headline": {"scorer": headline, "score": headline} if headline else None,
            },
            "stats": {
                "started_at": self.created,
                "completed_at": (dt.datetime.fromisoformat(self.created) + lasted).isoformat(),
                "model_usage": self._usage(),
            },
        }

    @cached_property
    def _judges(self) -> dict[str, str]:
        """By judge, the model behind it as Inspect calls it."""
        named = {j.judge: j.judge for r in self.records for j in r.outcome.judgments}
        for judge in self.run.manifest.judges:
            if judge.name in named:
                engine = judge.engine
                model = judge.model or engine.model or judge.name
                named[judge.name] = f"{engine.type}/{model}" if engine.type else model
        return named

    def _called(self, model: str) -> str:
        """What Inspect calls a model: PROVIDER/NAME."""
        served = self.run.model(model)
        kind = served.engine.type if served else None
        return f"{kind}/{model}" if kind else model

    def _usage(self) -> dict[str, Json]:
        """Tokens of the model and of its judges, in the whole run."""
        usage = self.run.manifest.usage
        engines = {self.model: self._called(self.model)}
        engines |= {f"judge:{judge}": name for judge, name in self._judges.items()}
        found: dict[str, Json] = {}
        for engine, name in engines.items():
            if usage is not None and (of := usage.engines.get(engine)) is not None:
                found[name] = {
                    "input_tokens": of.prompt_tokens - of.reused_tokens,
                    "input_tokens_cache_read": of.reused_tokens,
                    "output_tokens": of.completion_tokens,
                    "total_tokens": of.prompt_tokens + of.completion_tokens,
                    "total_cost": of.cost_usd,
                }
        return found

    @cached_property
    def _metrics(self) -> dict[str, Metric | None]:
        """By the name of each metric that the task has a figure of, as declared."""
        whole = [f.key.metric for f in self.figures if f.key.category is None]
        return {name: self.entry.metric(self.task, name) for name in whole}

    def _is_share(self, metric: str) -> bool:
        declared = self._metrics[metric]
        return declared is not None and (declared.unit, declared.scale) == ("percent", 100.0)

    def _value(self, outcome: Outcome, metric: str) -> float | None:
        """A sample's value: the mean of its scores, a share or in the metric's unit."""
        values = [s.value for s in outcome.scores if s.metric == metric]
        declared = self._metrics[metric]
        scale = 1.0 if declared is None or self._is_share(metric) else declared.scale
        return scale * math.fsum(values) / len(values) if values else None

    def _scores(self) -> Iterator[dict[str, Json]]:
        """`results.scores`: one per metric."""
        for figure in self.figures:
            name, value = figure.key.metric, figure.value
            if figure.key.category is not None or value.point is None:
                continue
            values = [v for r in self.records if (v := self._value(r.outcome, name)) is not None]
            share = self._is_share(name)
            mean, point = math.fsum(values) / max(1, len(values)), value.point
            called = value.method.estimator.value
            if values and math.isclose(mean, point * (0.01 if share else 1), abs_tol=1e-9):
                called, value = ("accuracy", value.times(0.01)) if share else ("mean", value)
            elif called in _MEANS:
                called = "figure"
            metrics: dict[str, Json] = {called: {"name": called, "value": value.point}}
            if value.standard_error is not None:
                params = {"cluster": "cluster"} if value.method.clustered else {}
                error = {"name": "stderr", "value": value.standard_error, "params": params}
                metrics["stderr"] = error
            yield {
                "name": name,
                "scorer": name,
                "scored_samples": len(values) or value.n,
                "unscored_samples": len(self.records) - len(values),
                "metrics": metrics,
            }

    def _sample(self, record: Record) -> dict[str, Json]:
        outcome = record.outcome
        talk = _talk(outcome)
        first = next((n for n, m in enumerate(talk) if m["role"] == "assistant"), len(talk))
        answered = bool(talk) and talk[-1]["role"] == "assistant"
        text = "\n".join(outcome.answers[-1:] if answered else outcome.answers)
        last = talk[-1] if answered else _assistant(text)
        stopped = "max_tokens" if outcome.truncated else "stop"
        failed = outcome.error if outcome.status in UNANSWERED else None
        return {
            "id": _sample_id(record.sample),
            "epoch": 1,
            "input": talk[:first],
            "target": list(outcome.reference),
            "messages": talk,
            "output": {
                "model": self._called(self.model),
                "choices": [{"message": last, "stop_reason": stopped}] if outcome.answers else [],
                "completion": text,
            },
            "scores": {
                name: self._score(outcome, name)
                for name, declared in self._metrics.items()
                if declared is not None
            },
            "metadata": {
                "cluster": record.cluster,
                "status": outcome.status,
                "category": record.category,
            },
            "error": {"message": failed, "traceback": "", "traceback_ansi": ""} if failed else None,
        }

    def _score(self, outcome: Outcome, metric: str) -> dict[str, Json]:
        """A sample's score, with what the judge said where it is a judge's (a length is not)."""
        value, declared = self._value(outcome, metric), self._metrics[metric]
        judged = declared is not None and catalogue.unit(declared.unit).has_direction
        judgments = outcome.judgments if judged else ()
        said = "\n\n".join(filter(None, map(_said, judgments)))
        parts = {s.part: s.value for s in outcome.scores if s.metric == metric and s.part}
        exchanges = [e for judgment in judgments for e in judgment.exchanges]
        grading = [
            message
            for e in exchanges
            for message in (*map(_message, e.prompt), _assistant(e.reply, e.thought))
        ]
        failed = value is None
        return {
            "value": math.nan if failed else value,
            "answer": outcome.answers[-1] if outcome.answers else None,
            "reason": _REASONS.get(outcome.status, outcome.status) if failed else None,
            "explanation": said or (outcome.error if failed else None),
            "metadata": parts | ({"grading": grading} if grading else {}),
        }


_REASONS = {"refused": "refusal", "unparsable": "grader_failed"}
"""Inspect's word for a status, where it has one."""
_SHOWN = 1024
"""Characters of a text in the list of samples."""


def _sample_id(name: str) -> str:
    """`name` where it can be a file's, else with a hash that tells it from others."""
    part = file_part(name)[:100]
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    return part if part == name else f"{part}-{digest}"


def _message(message: Message) -> dict[str, Json]:
    return {"role": message.role, "content": message.content}


def _assistant(content: str, thought: str = "") -> dict[str, Json]:
    """The model's message; a thought stands before the text, as reasoning."""
    parts = [{"type": "reasoning", "reasoning": thought}, {"type": "text", "text": content}]
    return {"role": "assistant", "content": parts if thought else content}


def _talk(outcome: Outcome) -> list[dict[str, Json]]:
    """The conversation; thoughts stand with the answers, where there is one for each."""
    mine = sum(m.role == "assistant" for m in outcome.conversation)
    thoughts = iter(outcome.thoughts if len(outcome.thoughts) == mine else [""] * mine)
    return [
        _assistant(m.content, next(thoughts)) if m.role == "assistant" else _message(m)
        for m in outcome.conversation
    ]


def _said(judgment: Judgment) -> str:
    """A judge's replies, under its name."""
    who = f"{judgment.judge}, {judgment.part}" if judgment.part else judgment.judge
    replies = "\n".join([e.reply for e in judgment.exchanges] or [judgment.error or ""])
    return f"{who}: {replies}" if replies else ""


def _summary(sample: Mapping[str, Json]) -> dict[str, Json]:
    """What the list of samples shows of one."""
    scores = {
        name: {
            **score,
            "answer": (score["answer"] or "")[:_SHOWN],
            "explanation": (score["explanation"] or "")[:_SHOWN],
            "metadata": None,
        }
        for name, score in sample["scores"].items()
    }
    return {
        **{name: sample[name] for name in ("id", "epoch", "metadata")},
        "input": [{**m, "content": m["content"][:_SHOWN]} for m in sample["input"]],
        "target": [text[:_SHOWN] for text in sample["target"]],
        "scores": scores,
        "message_count": len(sample["messages"]),
        "completed": True,
        "error": (sample["error"] or {}).get("message"),
    }
