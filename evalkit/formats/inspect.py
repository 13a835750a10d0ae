"""Logs of Inspect (`.eval`, or `.json`) as evidence.

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
the log states it, with its scorer's `stderr` where that is the only one of the scorer.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

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
from evalkit.core.requests import Json, Message
from evalkit.core.run import Description
from evalkit.core.samples import Outcome, Record, Score
from evalkit.errors import DataError
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

__all__ = ["read"]

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


def _read(path: Path) -> _Log:
    try:
        stored = path.read_bytes()
        if zipfile.is_zipfile(io.BytesIO(stored)):
            header, samples, reductions = _archive(stored)
        else:
            header = _json(stored)
            samples = header.get("samples") or []
            reductions = header.get("reductions") or []
        header = {"eval": dict(header["eval"]), "status": str(header["status"]), **header}
        sha256 = hashlib.sha256(stored).hexdigest()
    except (OSError, ValueError, KeyError, TypeError, RecursionError, zipfile.BadZipFile) as error:
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
    """The log's own headline first, else the first scorer's."""
    headline = mapping(mapping(log.header.get("results")).get("headline")).get("score")
    names = sorted(means, key=lambda name: name != headline)
    made: list[Metric] = []
    for name in names:
        percent = means[name] == "accuracy"
        unit: Unit = "percent" if percent else "raw"
        made.append(Metric(name, unit, 100.0 if percent else 1.0, primary=not made))
    for score in log.scores:
        for other in mapping(score.get("metrics")):
            if other not in _ERRORS and means.get(_name(score)) != other:
                made.append(Metric(f"{_name(score)}, {other}", "raw", primary=not made))
    return tuple(made)


def _records(log: _Log, model: str, entry: str, means: Mapping[str, str]) -> list[Record]:
    values = {name: log.values[name] for name in means}
    by_id: dict[str, Mapping[str, Json]] = {}
    for sample in sorted(log.samples, key=lambda s: str(s.get("epoch"))):
        by_id.setdefault(str(sample.get("id")), sample)
    names = dict.fromkeys([*by_id, *(i for found in values.values() for i in found)])
    records = []
    for name in names:
        sample = by_id.get(name, {})
        known = {metric: found.get(name) for metric, found in values.items()}
        scores = tuple(Score(metric, v) for metric, v in known.items() if v is not None)
        lacking = [metric for metric, v in known.items() if v is None]
        said = mapping(sample.get("error")).get("message")
        error = str(said) if said else f"no value of {lacking[0]} in the log" if lacking else None
        output = _text(mapping(sample.get("output")).get("completion"), sample)
        target = sample.get("target")
        outcome = Outcome(
            "ok" if not lacking else "excluded",
            _conversation(sample),
            answers=(output,) if output else (),
            reference=tuple(map(str, target if isinstance(target, list) else [target]))
            if target is not None
            else (),
            scores=scores,
            error=error if lacking else None,
        )
        records.append(Record(model, entry, log.task, name, None, f"{log.task}:{name}", outcome))
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
