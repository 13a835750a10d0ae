"""lm-eval's files, old and new, as one shape: figures and samples by task, and whose they are.

Formats:
    results, today    {"results": {"arc_challenge": {"alias": "arc_challenge", "acc,none": 0.60,
                       "acc_stderr,none": 0.01}}, "configs": {...}, "versions": {...},
                       "n-shot": {...}, "n-samples": {"arc_challenge": {"original": 1172, ...}}}
    results, 2023     {"results": {"arc_challenge": {"acc": 0.60, "acc_stderr": 0.01}}, ...}
    the leaderboard's {"results": {"harness|arc:challenge|25": {"acc": 0.60, ...}, "all": {...}}}
    samples           {"doc_id": 0, "doc": {...}, "target": "...", "arguments": ..., "resps": [...],
                       "filtered_resps": [...], "filter": "none", "metrics": ["acc"], "acc": 1.0}
                      in samples_TASK_DATE.jsonl; of 0.4.0 to 0.4.2 as one JSON list in
                      MODEL_ARGS_TASK.jsonl, without `filter` and `metrics`

What is among a task's metrics and is none (labels, sizes, whatever newer versions add) is neither a
figure nor a fault: today's metrics have a filter behind a comma, and older ones are numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from evalkit import catalogue, data
from evalkit.benchmarks._lm_eval_scores import display, number, percent
from evalkit.core.figures import Finding
from evalkit.core.files import read_file, unpacked
from evalkit.core.requests import Json
from evalkit.errors import DataError
from evalkit.formats._reading import expanded, few, last_part, mapping, no_files, not_read, remark

__all__ = [
    "Files",
    "ResultFile",
    "SampleFile",
    "Stated",
    "by_model",
    "read_files",
    "scores_of",
]

_SAMPLES = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d\d-\d\dT[\d.:-]+)?\.jsonl?(\.gz)?")
_JSON = re.compile(r".*\.json(\.gz)?")
_LINES = re.compile(r"\.jsonl(\.gz)?$")
_NOT_METRICS = frozenset(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}
    | {"doc_hash", "prompt_hash", "target_hash"}
)
_LABELS = frozenset({"alias", "name", "sample_len", "sample_count"})
"""What stands among a task's metrics and is none."""
_NO_SCORE = "bypass"
"""The metric of `lm_eval --predict_only`: answers, and 999 in place of a score."""
_NO_ERROR = (None, "N/A")
"""How lm-eval writes that a metric has no standard error."""
_MODEL_KEYS = ("pretrained", "model", "path")
_ODD = re.compile(r"[^0-9a-z]+")
_OLD_NAMES = {"arc:challenge": "arc_challenge", "arc:easy": "arc_easy"}
_TWO_IN_ONE = frozenset({"truthfulqa:mc", "truthfulqa_mc"})
"""Old names of a task with two metrics that today is two tasks."""


@dataclass(frozen=True)
class Stated:
    """One aggregated metric, in lm-eval's own scale."""

    metric: str
    """`acc`, or `exact_match,strict-match` where the filter is not `none`."""
    point: float | None
    standard_error: float | None


@dataclass(frozen=True)
class ResultFile:
    """One file of results."""

    path: Path
    sha256: str
    figures: Mapping[str, tuple[Stated, ...]]
    """By task, group or subgroup."""
    groups: Mapping[str, tuple[str, ...]]
    """Tasks below each group, as far as the file says."""
    settings: Mapping[str, Mapping[str, Json]]
    """By task: version, num_fewshot, n, higher_is_better, ... as far as known."""
    model: str
    limit: Json
    date: str | None


@dataclass(frozen=True)
class SampleFile:
    """The samples of one task."""

    path: Path
    sha256: str
    task: str
    rows: tuple[Mapping[str, Json], ...]


@dataclass
class Files:
    """Everything that was read."""

    results: list[ResultFile] = field(default_factory=list)
    samples: list[SampleFile] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read_files(paths: Sequence[Path]) -> Files:
    """Read result and sample files; a folder stands for all of them in it.

    Raises:
        DataError: a file is missing, or is neither.
    """
    found = Files()
    others: list[Path] = []
    # Results first: they know the tasks that old sample files are named after.
    for path, named in sorted(expanded(paths), key=lambda one: _is_lines(one[0])):
        if _is_lines(path):
            task = _task_of(path, found.results)
            sure = named or _SAMPLES.fullmatch(path.name) is not None
            samples = None if task is None else _samples(path, task, sure=sure)
            known = samples is not None
            if samples is not None:
                found.samples.append(samples)
        else:
            content, sha256 = _json(path) if named or _JSON.fullmatch(path.name) else (None, "")
            known = False
            if isinstance(content, Mapping) and isinstance(content.get("results"), Mapping):
                known = True
                found.results.append(_results(path, sha256, content, found.findings))
        if named and not known:
            raise DataError(
                f"{path}: neither results of lm-eval (an object with `results`) nor samples "
                f"(samples_TASK_DATE.jsonl, or MODEL_ARGS_TASK.jsonl of lm-eval 0.4.0 to 0.4.2 "
                f"beside its results); name files that lm-eval wrote"
            )
        if not known:
            others.append(path)
    if not found.results and not found.samples:
        raise no_files(paths, others, "results_*.json and no samples_*.jsonl of lm-eval")
    if others:
        found.findings.append(not_read(others, "neither results nor samples of lm-eval"))
    return found


def _is_lines(path: Path) -> bool:
    return _SAMPLES.fullmatch(path.name) is not None or _LINES.search(path.name) is not None


def _task_of(path: Path, results: Sequence[ResultFile]) -> str | None:
    """The task in the name of a sample file; of 0.4.0 to 0.4.2 the longest that it ends with."""
    named = _SAMPLES.fullmatch(path.name)
    if named is not None:
        return named["task"]
    parts = path.name.removesuffix(".gz").removesuffix(".jsonl").split("_")
    ends = ["_".join(parts[n:]) for n in range(len(parts))]
    tasks = {task for file in results for task in file.figures}
    return next((t for t in ends if t in tasks or catalogue.by_task(t) is not None), None)


def _json(path: Path) -> tuple[Json, str]:
    """A file's one JSON value; NaN, which Python's json writes, is taken as it stands."""
    try:
        stored = read_file(path)
        text = unpacked(stored, path).decode("utf-8-sig")
        return json.loads(text), hashlib.sha256(stored).hexdigest()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; name a file of results, or a folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as JSON ({type(error).__name__}: {error}); name a file that "
            f"lm-eval wrote"
        ) from error


def _samples(path: Path, task: str, *, sure: bool) -> SampleFile | None:
    """None where a file that only may be one holds no samples; `sure`: it must be one."""
    try:
        dataset = data.read_jsonl(path, nan=True)
    except DataError:
        if sure:
            raise
        return None
    if not sure and not (dataset.records and {"doc_id", "resps"} <= dataset.records[0].keys()):
        return None
    data.require(dataset, {"doc_id": int})
    return SampleFile(path, dataset.sha256, task, dataset.records)


def _results(
    path: Path, sha256: str, content: Mapping[str, Json], findings: list[Finding]
) -> ResultFile:
    figures: dict[str, tuple[Stated, ...]] = {}
    shots: dict[str, Json] = dict(mapping(content.get("n-shot")))
    for key, values in content["results"].items():
        if key == "all" or not isinstance(values, Mapping):
            continue
        name, shot = _name(str(key))
        if shot is not None:
            shots[name] = shot
        found = tuple(_figures(name, values, path, findings))
        if found:
            figures |= _renamed(name, found)
    config = mapping(content.get("config")) or mapping(content.get("config_general"))
    return ResultFile(
        path=path,
        sha256=sha256,
        figures=figures,
        groups=_groups(content, figures),
        settings={name: _settings(name, content, shots) for name in figures},
        model=_model(
            config.get("model_args") or content.get("model_name") or config.get("model_name")
        ),
        limit=config.get("limit"),
        date=_date(content, path),
    )


def _settings(name: str, content: Mapping[str, Json], shots: Mapping[str, Json]) -> dict[str, Json]:
    """What a file says of the settings of task `name`; None where it says nothing."""

    def of(section: str) -> Json:
        return mapping(content.get(section)).get(name)

    config, size = mapping(of("configs")), mapping(of("n-samples"))
    return {
        "version": of("versions"),
        "num_fewshot": shots.get(name, config.get("num_fewshot")),
        "n": size.get("effective", mapping(of("results")).get("sample_len")),
        "n_original": size.get("original"),
        "sample_count": {
            display(*_parted(key)): n
            for key, n in mapping(mapping(of("results")).get("sample_count")).items()
        }
        or None,
        "higher_is_better": of("higher_is_better"),
        "generation_kwargs": config.get("generation_kwargs"),
    }


def _model(said: Json) -> str:
    """`key=value,...` as lm-eval's command line takes it; newer files have an object."""
    if isinstance(said, Mapping):
        return ",".join(f"{key}={value}" for key, value in said.items())
    return said if isinstance(said, str) else ""


def _name(key: str) -> tuple[str, int | None]:
    """Today's task name and the shots of a key such as `harness|hendrycksTest-anatomy|5`."""
    parts = key.split("|")
    shots = int(parts[-1]) if len(parts) > 1 and parts[-1].isdigit() else None
    name = (parts[1] if len(parts) > 2 else parts[0]).strip()
    if name.startswith("hendrycksTest-"):
        name = "mmlu_" + name.removeprefix("hendrycksTest-")
    return _OLD_NAMES.get(name, name), shots


def _figures(
    task: str, values: Mapping[str, Json], path: Path, findings: list[Finding]
) -> Iterator[Stated]:
    with_filters = any("," in str(key) for key in values)
    for key, value in values.items():
        metric, chosen = _parted(key)
        comma = "," in str(key)
        if not metric.strip() or metric in _LABELS or metric.endswith("_stderr"):
            continue
        if with_filters and not comma:
            continue
        error_key = f"{metric}_stderr,{chosen}" if comma else f"{metric}_stderr"
        if not isinstance(value, int | float | None) and not (
            percent(metric) or error_key in values
        ):
            continue
        if metric == _NO_SCORE:
            message = f"{path.name}: {task} has answers only (lm_eval --predict_only), no scores"
            findings.append(remark("no_scores", message))
            continue
        point = None if isinstance(value, bool) else number(value)
        if point is None:
            findings.append(_not_a_number(task, key, value, path))
        stated = values.get(error_key)
        error = number(stated)
        if error is None or error < 0:
            error = None
            if stated not in _NO_ERROR and not is_nan(stated):
                findings.append(_not_a_number(task, error_key, stated, path))
        yield Stated(display(metric, chosen), point, error)


def _parted(key: str) -> tuple[str, str]:
    """Metric and filter of `acc,none`; files without filters mean `none`."""
    metric, _, chosen = str(key).partition(",")
    return metric, chosen or "none"


def is_nan(value: Json) -> bool:
    """NaN or an infinity: a value that is undefined, and no fault of the file."""
    return isinstance(value, float) and not math.isfinite(value)


def _not_a_number(task: str, key: str, value: Json, path: Path) -> Finding:
    return Finding(
        "not_a_number",
        f"{path.name}: {task} {key} is {value!r:.40}, expected a number; it is left undefined",
        damaged=not is_nan(value),
    )


def _renamed(name: str, found: tuple[Stated, ...]) -> dict[str, tuple[Stated, ...]]:
    """The old task `truthfulqa_mc` is today's two tasks, each with one accuracy."""
    if name not in _TWO_IN_ONE:
        return {name: found}
    return {
        f"truthfulqa_{f.metric}": (Stated("acc", f.point, f.standard_error),)
        for f in found
        if f.metric in ("mc1", "mc2")
    }


def _groups(
    content: Mapping[str, Json], figures: Mapping[str, object]
) -> dict[str, tuple[str, ...]]:
    """Tasks below each group: from `group_subtasks`, else from how far aliases are indented."""
    listed = mapping(content.get("group_subtasks"))
    named = {*mapping(content.get("groups")), *listed} & set(figures)
    if listed:
        return {group: tuple(_listed(group, listed)) for group in sorted(named)}
    rows = [
        (str(name), _indent(mapping(values).get("alias")))
        for name, values in content["results"].items()
    ]
    return {group: tuple(_indented(group, rows, named)) for group in sorted(named)}


def _listed(group: str, listed: Mapping[str, Json], above: tuple[str, ...] = ()) -> Iterator[str]:
    """Tasks below a group; one that is below itself is not gone into again."""
    below = listed.get(group)
    if isinstance(below, list) and below:
        for name in map(str, below):
            if name not in (*above, group):
                yield from _listed(name, listed, (*above, group))
    else:
        yield group


def _indent(alias: Json) -> int:
    text = str(alias or "")
    return len(text) - len(text.lstrip())


def _indented(group: str, rows: Sequence[tuple[str, int]], groups: set[str]) -> Iterator[str]:
    inside = None
    for name, indent in rows:
        if name == group:
            inside = indent
        elif inside is not None and indent <= inside:
            return
        elif inside is not None and name not in groups:
            yield name


def _date(content: Mapping[str, Json], path: Path) -> str | None:
    stamp = content.get("date")
    if isinstance(stamp, int | float) and stamp > 0:
        with contextlib.suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(stamp, UTC).date().isoformat()
    found = re.search(r"\d{4}-\d\d-\d\d", path.name)
    return found.group() if found else None


def scores_of(row: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """(metric as evalkit prints it, value) of one row of samples."""
    named = row.get("metrics")
    metrics = named if isinstance(named, list) else [k for k in row if k not in _NOT_METRICS]
    for metric in dict.fromkeys(map(str, metrics)):
        if metric == _NO_SCORE:
            continue
        yield display(metric, str(row.get("filter") or "none")), row.get(metric, "absent")


# --- whose they are -----------------------------------------------------------------------------


def _model_name(file: ResultFile) -> str:
    """The last part of the name or path that a result file gives its model; empty: none."""
    for part in file.model.split(","):
        key, _, value = part.partition("=")
        if key.strip() in _MODEL_KEYS and value:
            return last_part(value.strip())
    return last_part(file.model)


def by_model(found: Files, wanted: Sequence[str]) -> list[tuple[str, Files]]:
    """The files of each wanted model; an empty name is what the files say.

    lm-eval writes each model's files into a folder of the model's own name below one
    `--output_path`, and so does `evalkit export --format lm_eval`.  Files that say nothing of their
    model, or all the same, belong to the one wanted model, whatever that is called there.

    Raises:
        DataError: files of several models, and which are meant cannot be told.
    """
    said = dict.fromkeys(name for file in found.results if (name := _model_name(file)))
    if len(wanted) <= 1 and len(said) <= 1:
        return [(wanted[0] if wanted else next(iter(said), ""), found)]
    if not wanted:
        raise DataError(
            f"results of several models ({_places(found)}); name those to import with --model, "
            f"the candidate first, or one model's folder"
        )
    picked = {name: [file for file in found.results if _is_of(file, name)] for name in wanted}
    absent = [name for name, files in picked.items() if not files]
    if absent:
        raise DataError(
            f"no results of {few(absent)} in these lm-eval files: they are of {_places(found)}; "
            f"name models as the files or their folders do, or import each one's by themselves"
        )
    nobodys = [file for file in found.results if not any(file in mine for mine in picked.values())]
    return [(name, _of(found, files, nobodys)) for name, files in picked.items()]


def _is_of(file: ResultFile, name: str) -> bool:
    """By the file's own words, else by its folder's name, both as far as paths can spell names."""
    return _plain(name) in (_plain(_model_name(file)), _plain(file.path.parent.name))


def _plain(name: str) -> str:
    return _ODD.sub("_", name.casefold())


def _of(found: Files, mine: Sequence[ResultFile], nobodys: Sequence[ResultFile]) -> Files:
    """One model's results, and the samples in folders that hold only its results."""
    others = [file for file in found.results if file not in mine]
    folders = {f.path.parent for f in mine} - {f.path.parent for f in others}
    samples = [file for file in found.samples if file.path.parent in folders]
    findings = list(found.findings)
    if nobodys:
        left = _places(replace(found, results=list(nobodys)))
        findings.append(remark("other_models", f"results of other models are left out: {left}"))
    return Files(list(mine), samples, findings)


def _places(found: Files) -> str:
    """Each model with its folder."""
    seen: dict[tuple[str, Path], None] = {}
    for file in found.results:
        seen[_model_name(file) or "unnamed", file.path.parent] = None
    return few([f"{name} in {folder}" for name, folder in seen])
