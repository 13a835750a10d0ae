"""Every Eval Ever: one JSON file per model and benchmark, written as 0.3.0, read as 0.2 and 0.3.

    data/<benchmark>/<developer>/<model>/<uuid>.json     the datastore's layout

Source: https://github.com/evaleval/every_eval_ever (PyPI every-eval-ever, which has the schema,
`eval.schema.json`, and needs Python 3.12).

Written: every figure that was measured or imported is a result with standard error, interval, n,
unit and bounds; figures that someone else published are left out.  Names are evalkit's own; the
datastore's canonical names can be put in their place by its own tools.  Figures that a model of the
suite judged are left out, too, and named in the notes; with `allow_unpublishable` they are written,
and their file says that they are not for publication.

What the format wants and a run does not know is a setting: who publishes (`organization`,
required), how they stand to the model's maker (`relationship`), the model's id on the hub where it
was not loaded from there (`model_id`), and when, where no session says so (`date`).  Instance-level
records are not written: they are texts of the benchmark.  `retrieved_timestamp` is when the run
began, not when it was exported: the same run gives the same bytes, and the file name is a hash of
them in the form of a random UUID.

Read: of each result the task (`metric_id`'s part before the point, else `evaluation_name`), the
metric, the score, its unit, and what it says of shots and judge.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from evalkit import catalogue
from evalkit.comparison.cautions import doubts
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import (
    Estimator,
    Figure,
    FigureKey,
    Finding,
    Method,
    Metric,
    Source,
    Unit,
)
from evalkit.core.files import read_file
from evalkit.core.protocols import Exported
from evalkit.core.requests import Json
from evalkit.core.run import BenchmarkEntry, Description, EngineIdentity, Run
from evalkit.core.specs import ExportSpec
from evalkit.errors import DataError, ExportError
from evalkit.formats._reading import (
    expanded,
    mapping,
    no_files,
    normal_interval,
    not_read,
    pick_models,
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

__all__ = ["EveryEvalEver", "EveryEvalEverSpec", "read"]

KIND = "every_eval_ever"
_VERSION = "0.3.0"
_SERVED = ("openai", "anthropic", "google")
_LOCAL = ("vllm", "transformers", "ray", "fake")
_BOUNDS: Mapping[str, tuple[Json, Json]] = {
    "percent": (0, 100),
    "points": (1, 10),
    "characters": (0, "Infinity"),
}
"""Lowest and highest value by unit; of other units nothing is known."""


class EveryEvalEverSpec(ExportSpec):
    """Records of the Every Eval Ever datastore."""

    organization: str = Field(min_length=1)
    """Who publishes the figures."""
    organization_url: str | None = None
    """Their address."""
    relationship: Literal["first_party", "third_party", "collaborative", "other"] = "other"
    """How they stand to the model's maker."""
    model_id: str | None = None
    """The model as DEVELOPER/NAME, with one --model; default: its hub repository, else its name."""
    date: dt.date | None = None
    """When it was measured, as YYYY-MM-DD; default: when the run began."""


class EveryEvalEver:
    """Writes Every Eval Ever JSON."""

    publishes: ClassVar[bool] = True

    def __init__(self, spec: EveryEvalEverSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """A file per run, model and benchmark."""
        models = list(dict.fromkeys(name for run in runs for name in measured(run)))
        if self._spec.model_id and len(models) > 1:
            raise ExportError(
                f"model_id {self._spec.model_id!r} is one model's; name it with --model: "
                f"{', '.join(models)}"
            )
        files: dict[str, bytes] = {}
        left: dict[tuple[str, str], dict[str, None]] = {}
        for run in runs:
            for model in measured(run):
                for entry in run.benchmarks:
                    mine = [
                        f for f in figures_of(run, model, entry.name) if f.value.point is not None
                    ]
                    doubt = judging(run, entry.name)
                    judged = [f for f in mine if doubt and catalogue.unit(f.unit).has_direction]
                    if judged and not self._spec.allow_unpublishable:
                        mine = [f for f in mine if f not in judged]
                        names = dict.fromkeys(f"{f.key.task} {f.key.metric}" for f in judged)
                        left.setdefault((model, doubt), {}).update(names)
                        judged = []
                    if mine:
                        caution = doubt if judged else None
                        add(files, *self._file(run, model, entry, mine, caution))
        notes = tuple(
            f"left out of {model}: {', '.join(names)}: {doubt}"
            for (model, doubt), names in left.items()
        )
        if not files:
            why = "no figure that was measured or imported; figures that others published are "
            why += "theirs to record"
            if notes:
                why = f"{'; '.join(notes)}; write them all the same, marked, with "
                why += "--allow-unpublishable"
            raise ExportError(f"{folders(runs)}: {why}")
        return Exported(files, notes)

    def _file(
        self,
        run: Run,
        model: str,
        entry: BenchmarkEntry,
        mine: Sequence[Figure],
        caution: str | None,
    ) -> tuple[str, bytes]:
        """Name and content of one model's figures of one benchmark entry."""
        moment, judges = self._moment(run), _judges_of(run, model, entry.name)
        full = self._id(run, model)
        log = {
            "schema_version": _VERSION,
            "evaluation_id": f"{entry.name}/{full}/{moment}",
            "evaluation_timestamp": moment,
            "retrieved_timestamp": moment,
            "source_metadata": self._source(run, model, entry.name, caution),
            "eval_library": {
                "name": "evalkit",
                "version": run.manifest.versions.get("evalkit", "unknown"),
                "additional_details": dict(run.manifest.versions),
            },
            "model_info": self._model(run, model),
            "evaluation_results": [_result(entry, figure, judges) for figure in mine],
        }
        content = json_bytes(log, indent=2)
        developer, _, name = full.rpartition("/")
        digest = uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=4)
        parts = (entry.name, developer or "unknown", name)
        return "/".join(("data", *map(file_part, parts), f"{digest}.json")), content

    def _moment(self, run: Run) -> str:
        """Seconds since 1970, as text."""
        return str(int(moment(run, self._spec.date).timestamp()))

    def _id(self, run: Run, model: str) -> str:
        served = run.model(model)
        return self._spec.model_id or (served and served.provenance.repository) or model

    def _source(self, run: Run, model: str, entry: str, caution: str | None) -> dict[str, Json]:
        spec, manifest = self._spec, run.manifest
        unfit = [*doubts(run, [model]), *([caution] if caution else [])]
        return _known(
            {
                "source_name": "evalkit",
                "source_type": "evaluation_run"
                if run.records_of(model, entry)
                else "documentation",
                "source_organization_name": spec.organization,
                "source_organization_url": spec.organization_url,
                "evaluator_relationship": spec.relationship,
                "additional_details": _known(
                    {
                        "run_id": manifest.run_id,
                        "suite": str(manifest.suite_name),
                        "git_commit": manifest.git_commit,
                        "commands": "; ".join(manifest.commands) or None,
                        "not_for_publication": "; ".join(unfit) or None,
                    }
                ),
            }
        )

    def _model(self, run: Run, model: str) -> dict[str, Json]:
        served, full = run.model(model), self._id(run, model)
        engine = served.engine if served else EngineIdentity()
        kind = engine.type or ""
        local = {"name": kind, **({"version": engine.version} if engine.version else {})}
        on_hub = served is not None and served.provenance.repository is not None
        deployment = "self_deployed" if kind in _LOCAL else "unknown"
        return _known(
            {
                "name": model,
                "id": full,
                "developer": full.rpartition("/")[0] or None,
                "inference_engine": local if kind in _LOCAL else None,
                "inference_platform": kind if kind in _SERVED else None,
                "additional_details": _known(
                    {
                        "deployment_type": "externally_managed" if kind in _SERVED else deployment,
                        "model_availability": "open_weights" if on_hub else "unknown",
                        "role": served.role if served else None,
                        "fingerprint": served.fingerprint if served else None,
                        "template_source": served.template_source if served else None,
                        "dtype": engine.dtype,
                    }
                ),
            }
        )


def _known(found: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in found.items() if value is not None}


def _judges_of(run: Run, model: str, entry: str) -> list[str]:
    """Who judged a model's answers: the models behind the judges its judgments name."""
    behind = {judge.name: judge.model or judge.name for judge in run.manifest.judges}
    named = dict.fromkeys(
        judgment.judge
        for record in run.records_of(model, entry)
        for judgment in record.outcome.judgments
    )
    return [behind.get(name, name) for name in named]


def _result(entry: BenchmarkEntry, figure: Figure, judges: Sequence[str]) -> dict[str, Json]:
    """Of a figure that is defined, by `judges` if it is one of theirs."""
    key, said = figure.key, entry.description
    parts = (key.benchmark, key.task, key.category, key.metric)
    about, shots = said.task(key.task), said.task(key.task).n_shots
    plain = {name: value for name, value in said.all.items() if _is_plain(value)}
    version = {"task_version": about.version} if _is_plain(about.version) else {}
    known = next((m for m in entry.metrics.get(key.task, ()) if m.name == key.metric), None)
    metric: dict[str, Json] = {
        "metric_id": f"{key.task}.{key.metric}",
        "metric_name": key.metric,
        "metric_unit": figure.unit,
        "metric_parameters": plain | version,
        "lower_is_better": known is not None and not known.higher_is_better,
    }
    if figure.unit in _BOUNDS:
        low, high = _BOUNDS[figure.unit]
        metric |= {"score_type": "continuous", "min_score": low, "max_score": high}
    if judges and figure.unit != "characters":
        metric["llm_scoring"] = _judging(said, judges)
    generation: dict[str, Json] = {}
    if isinstance(said.max_tokens, int):
        generation["generation_args"] = {"max_tokens": said.max_tokens}
    if shots is not None:
        generation["additional_details"] = {"num_fewshot": str(shots)}
    return {
        "evaluation_result_id": "/".join(part for part in parts if part),
        "evaluation_name": key.task if key.category is None else f"{key.task}/{key.category}",
        "source_data": _data(said, key.task),
        "metric_config": metric,
        "score_details": _score(figure),
        **({"generation_config": generation} if generation else {}),
    }


def _judging(described: Description, judges: Sequence[str]) -> dict[str, Json]:
    """Who judged; the prompts are named by their hash, since they hold a benchmark's words."""
    said, sha256 = described.judge or {}, described.judging.prompt_sha256
    unknown = {"deployment_type": "unknown", "model_availability": "unknown"}
    return {
        "judges": [
            {"model_info": {"name": name, "id": name, "additional_details": unknown}}
            for name in judges
        ],
        "input_prompt": f"sha256 {sha256}" if sha256 else "not stated",
        "additional_details": {n: str(value) for n, value in said.items() if _is_plain(value)},
    }


def _is_plain(value: Json) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _score(figure: Figure) -> dict[str, Json]:
    value, uncertainty = figure.value, dict[str, Json]()
    if value.standard_error is not None:
        uncertainty["standard_error"] = {"value": value.standard_error, "method": value.how}
    if value.low is not None and value.high is not None:
        uncertainty["confidence_interval"] = {
            "lower": value.low,
            "upper": value.high,
            "confidence_level": value.level,
            "method": value.how,
        }
    if value.n:
        uncertainty["num_samples"] = value.n
    details = {"n_missing": str(value.n_missing), "method": value.how}
    details |= {"source": figure.source.text} if figure.source else {}
    details |= {"n_clusters": str(value.n_units)} if value.n_units != value.n else {}
    found: dict[str, Json] = {"score": value.point, "details": details}
    return {**found, **({"uncertainty": uncertainty} if uncertainty else {})}


def _data(said: Description, task: str) -> dict[str, Json]:
    """The hub data set where the benchmark names one, else what the benchmark is called."""
    about = said.task(task)
    dataset = about.dataset
    details: dict[str, str] = {}
    if dataset is not None:
        named = {"dataset_name": dataset.name, "dataset_revision": dataset.revision}
        details |= {name: value for name, value in named.items() if value}
    if isinstance(said.data, Mapping):
        details |= {f"data_{n}": str(value) for n, value in said.data.items() if _is_plain(value)}
    found: dict[str, Json] = {"dataset_name": task, "source_type": "other"}
    path = (dataset.path if dataset else None) or ""
    if path.count("/") == 1 and not path.startswith((".", "/")):
        found |= {"source_type": "hf_dataset", "hf_repo": path}
        if about.documents is not None:
            found["samples_number"] = about.documents
    return found | ({"additional_details": details} if details else {})


# --- reading ------------------------------------------------------------------------------------


def read(files: Sequence[Path], options: ImportOptions) -> list[Evidence]:
    """The evidence of each model, as far as the format says: figures, shots, who judged.

    A folder stands for the records in it.

    Raises:
        DataError: a file is no such record.
    """
    by_model: dict[str, list[tuple[Path, list[Mapping[str, Json]]]]] = {}
    others: list[Path] = []
    for path, named in expanded(files):
        try:
            log = json.loads(read_file(path))
            model = str(log["model_info"]["name"] or log["model_info"]["id"])
            results = [r for r in log["evaluation_results"] if isinstance(r, Mapping)]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            if not named:
                others.append(path)
                continue
            raise DataError(
                f"{str(path)!r} is no record of Every Eval Ever ({type(error).__name__}: {error}); "
                f"expected JSON with model_info and evaluation_results"
            ) from error
        by_model.setdefault(model, []).append((path, results))
    if not by_model:
        raise no_files(files, others, "records of Every Eval Ever")
    stored = list(by_model)
    left = (not_read(others, "no records of Every Eval Ever"),) if others else ()
    return [
        _evidence(name, stored[index], by_model[stored[index]], options, left)
        for index, name in pick_models(stored, options.models)
    ]


def _evidence(
    model: str,
    stored: str,
    logs: Sequence[tuple[Path, list[Mapping[str, Json]]]],
    options: ImportOptions,
    findings: tuple[Finding, ...],
) -> Evidence:
    entry = options.entry or KIND
    figures: list[Figure] = []
    metrics: dict[str, dict[str, Metric]] = {}
    tasks: dict[str, Json] = {}
    judges: dict[str, None] = {}
    for path, results in logs:
        for result in results:
            figure = _figure(model, entry, result, options.level, path.name)
            if figure is None:
                continue
            figures.append(figure)
            config = mapping(result.get("metric_config"))
            known = metrics.setdefault(figure.key.task, {})
            better = config.get("lower_is_better") is not True
            metric = Metric(figure.key.metric, figure.unit, 1.0, better, primary=not known)
            known.setdefault(metric.name, metric)
            shots = _shots(result)
            if shots is not None:
                tasks[figure.key.task] = {"num_fewshot": shots}
            for judge in mapping(config.get("llm_scoring")).get("judges") or ():
                name = mapping(mapping(judge).get("model_info")).get("name")
                judges.update({str(name): None} if name else {})
    about = Description(
        type="recorded",
        version="1",
        format=KIND,
        tasks=tasks,
        judge={"model": ", ".join(judges)} if judges else None,
        model_in_file=stored,
        files=tuple(
            {"file": path.name, "sha256": hashlib.sha256(read_file(path)).hexdigest()}
            for path, _ in logs
        ),
    )
    declared = {task: tuple(known.values()) for task, known in metrics.items()}
    return Evidence(model, entry, KIND, about, declared, figures=tuple(figures), findings=findings)


def _figure(
    model: str, entry: str, result: Mapping[str, Json], level: float, file: str
) -> Figure | None:
    """None where a result has no number."""
    config, score = mapping(result.get("metric_config")), mapping(result.get("score_details"))
    value = score.get("score")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    name = str(result.get("evaluation_name") or "")
    identity = str(config.get("metric_id") or "")
    metric = str(config.get("metric_name") or identity.rpartition(".")[2] or "acc")
    task = identity.removesuffix(f".{metric}") if identity.endswith(f".{metric}") else name
    category = name.removeprefix(f"{task}/") if name.startswith(f"{task}/") else None
    highest = config.get("max_score")
    unit: Unit = "percent" if config.get("metric_unit") in ("percent", "%") else "raw"
    if config.get("metric_unit") in ("points", "characters"):
        unit = config["metric_unit"]
    scale = 1.0
    if unit == "raw" and highest == 1 and config.get("min_score") in (0, None):
        scale, unit = 100.0, "percent"
    known = mapping(score.get("uncertainty"))
    error, n = mapping(known.get("standard_error")).get("value"), known.get("num_samples")
    measured = normal_interval(
        float(value),
        float(error) if isinstance(error, int | float) else None,
        n=n if isinstance(n, int) else 0,
        level=level,
        method=Method(Estimator.RECORDED),
    )
    stated = mapping(known.get("confidence_interval"))
    if stated.get("confidence_level") == level:
        low, high = stated.get("lower"), stated.get("upper")
        if isinstance(low, int | float) and isinstance(high, int | float):
            measured = replace(measured, low=float(low), high=float(high))
    measured = measured.times(scale)
    key = FigureKey(entry, task or name, metric, category)
    return Figure(model, key, unit, measured, Source(file))


def _shots(result: Mapping[str, Json]) -> int | None:
    """As other tools write them, or as evalkit does."""
    said = mapping(mapping(result.get("metric_config")).get("metric_parameters"))
    own = mapping(mapping(result.get("generation_config")).get("additional_details"))
    for known in (said.get("num_fewshot"), said.get("shots"), own.get("num_fewshot")):
        if isinstance(known, int | str) and str(known).isdecimal():
            return int(known)
    return None
