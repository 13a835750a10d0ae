"""lm-eval's results and samples as evidence.

Source: EleutherAI/lm-evaluation-harness (MIT), `results_*.json` and `samples_*.jsonl` of 0.4, the
`big-refactor` branch of late 2023, 0.3, and the Open LLM Leaderboard's result files; formats in
`_lm_eval_files.py`.

Samples become records with lm-eval's own metric names, which pair with those of a live run.  What
has no samples is a figure with its source: point, standard error as the file has it, no difference.

Departures from the files:
- A group's standard error is computed from its tasks' (stratified by size).  lm-eval of late 2023
  printed the spread of the tasks instead (MMLU: 0.127 where the error is 0.004).
- Sizes that a file does not state follow from a share of right answers and its standard error,
  n = p(1-p)/se² + 1; other means tell nothing of their size.
- Old task names are written as today's (`hendrycksTest-anatomy` as `mmlu_anatomy`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evalkit.benchmarks import _lm_eval_scores as live
from evalkit.core import Finding, Json, Metric
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Estimator, Figure, FigureKey, Interval, Method, Source
from evalkit.core.run import Description
from evalkit.errors import DataError
from evalkit.importers._common import few, normal_interval, remark, require_name
from evalkit.importers._lm_eval_files import Files, ResultFile, SampleFile, Stated, read_files
from evalkit.importers._lm_eval_leaderboard import averages, declared
from evalkit.importers._lm_eval_models import by_model
from evalkit.importers._lm_eval_records import Measured, measured

__all__ = ["read"]

KIND = "lm_eval"
_AGREE = 1e-6
_FAR = 2.0


def read(files: Sequence[Path], options: ImportOptions) -> list[Evidence]:
    """The evidence of each model asked for in `files` (folders stand for what is in them).

    Raises:
        DataError: a file is missing or not lm-eval's, or whose files they are cannot be told.
    """
    parts = by_model(read_files(files), options.models)
    return [_evidence(name or "model", found, options) for name, found in parts]


def _evidence(model: str, found: Files, options: ImportOptions) -> Evidence:
    entry = options.entry or KIND
    require_name(model)
    samples = {file.task: measured(file, model, entry) for file in found.samples}
    figures, findings = _merged(found)
    if not figures and not samples:
        raise DataError(
            f"{', '.join(str(file.path) for file in found.results)}: no figure of any task in it; "
            f"expected numbers under results, such as {{'arc_challenge': {{'acc,none': 0.6}}}}"
        )
    of_files = list(_unsampled(found, figures, samples, (model, entry), options.level))
    leaderboard, notes = averages(figures, _settings(found), (model, entry), options.level)
    findings += [*_checks(found, figures, samples), *notes]
    metrics = _metrics(figures, samples, found)
    return Evidence(
        model=model,
        entry=entry,
        kind=KIND,
        description=_description(found),
        metrics=metrics,
        records=tuple(record for one in samples.values() for record in one.records),
        figures=(*of_files, *leaderboard),
        findings=(*found.findings, *findings),
        averages=tuple(declared(samples, _settings(found), _groups(found), metrics)),
    )


Figures = dict[str, dict[str, tuple[Stated, ResultFile]]]


def _merged(found: Files) -> tuple[Figures, list[Finding]]:
    """Figures by task and metric of all files; the first file that has one counts."""
    merged: Figures = {}
    findings = []
    for file in found.results:
        for task, figures in file.figures.items():
            for figure in figures:
                known = merged.setdefault(task, {}).setdefault(figure.metric, (figure, file))
                if known[0].point != figure.point:
                    findings.append(
                        Finding(
                            "repeated_task",
                            f"{task} {figure.metric} is {known[0].point} in {known[1].path.name} "
                            f"and {figure.point} in {file.path.name}; the first one counts",
                        )
                    )
    return merged, findings


def _settings(found: Files) -> dict[str, Mapping[str, Json]]:
    return {task: kept for file in found.results for task, kept in file.settings.items()}


def _groups(found: Files) -> dict[str, tuple[str, ...]]:
    return {name: below for file in found.results for name, below in file.groups.items()}


def _unsampled(
    found: Files,
    figures: Figures,
    samples: Mapping[str, Measured],
    place: tuple[str, str],
    level: float,
) -> Iterator[Figure]:
    """Of every figure that no samples are there to compute."""
    sizes = _sizes(found, figures)
    groups = _groups(found)
    for task, metrics in figures.items():
        for metric, (figure, file) in metrics.items():
            if task in samples and metric in samples[task].means:
                continue
            error, method = figure.standard_error, "as the file has it"
            if task in groups:
                error, method = _group_error(groups[task], metric, figures, sizes)
            n, shots = sizes.get(task, 0), file.settings.get(task, {}).get("num_fewshot")
            is_percent = live.percent(metric) and 0 <= (figure.point or 0) <= 1
            scale = 100.0 if is_percent else 1.0
            yield Figure(
                place[0],
                FigureKey(place[1], task, metric),
                "percent" if is_percent else "raw",
                normal_interval(
                    None if figure.point is None else scale * figure.point,
                    None if error is None else scale * error,
                    n=n,
                    level=level,
                    method=Method(
                        Estimator.RECORDED,
                        Interval.STATED,
                        detail=f"recorded; standard error {method}",
                    ),
                ),
                Source(file.path.name, file.date, None if shots is None else f"{shots} shots"),
            )


def _sizes(found: Files, figures: Figures) -> dict[str, int]:
    """Documents by task: as stated, else from an accuracy and its standard error."""
    sizes: dict[str, int] = {}
    stated = _settings(found)
    for task, metrics in figures.items():
        n = stated.get(task, {}).get("n")
        if isinstance(n, int) and n > 0:
            sizes[task] = n
            continue
        known = (_size(figure) for figure, _ in metrics.values())
        size = next((n for n in known if n is not None), None)
        if size is not None:
            sizes[task] = size
    for group, below in ((g, b) for f in found.results for g, b in f.groups.items()):
        if below and all(task in sizes for task in below):
            sizes[group] = sum(sizes[task] for task in below)
        else:
            sizes.pop(group, None)
    return sizes


def _size(figure: Stated) -> int | None:
    """From the sample standard error of a share, se² = p(1-p)/(n-1)."""
    p, error = figure.point, figure.standard_error
    if p is None or error is None or not 0 < p < 1 or error <= 0:
        return None
    n = round(p * (1 - p) / error**2) + 1
    # Right answers are counted whole; a mean of anything else (mc2) gives no whole number.
    return n if math.isclose(p * n, round(p * n), abs_tol=1e-6 * n) else None


def _group_error(
    below: Sequence[str], metric: str, figures: Figures, sizes: Mapping[str, int]
) -> tuple[float | None, str]:
    """Of the mean over all documents: sqrt(Σ (n_i/N)² se_i²)."""
    parts = [
        (sizes.get(task), figures.get(task, {}).get(metric, (Stated(metric, None, None),))[0])
        for task in below
    ]
    if not parts or any(n is None or f.standard_error is None for n, f in parts):
        return None, "not known for this group"
    total = sum(n for n, _ in parts if n is not None)
    variance = math.fsum(
        (n / total * f.standard_error) ** 2 for n, f in parts if n and f.standard_error
    )
    return math.sqrt(variance), f"stratified over {len(parts)} tasks"


def _metrics(
    figures: Figures, samples: Mapping[str, Measured], found: Files
) -> dict[str, tuple[Metric, ...]]:
    better = {task: kept.get("higher_is_better") for task, kept in _settings(found).items()}
    made = {}
    for task in dict.fromkeys([*figures, *samples]):
        names = dict.fromkeys(
            [*figures.get(task, {}), *(samples[task].means if task in samples else ())]
        )
        order = sorted(names, key=lambda name: {"acc_norm": 0, "acc": 1}.get(name, 2))
        kept = better.get(task)
        made[task] = tuple(
            Metric(
                name=name,
                unit="percent" if live.percent(name) else "raw",
                scale=100.0 if live.percent(name) else 1.0,
                higher_is_better=_is_better(kept, name),
                primary=n == 0,
            )
            for n, name in enumerate(order)
        )
    return made


def _is_better(known: Json, metric: str) -> bool:
    plain = metric.partition(",")[0]
    if isinstance(known, Mapping) and isinstance(known.get(plain), bool):
        return bool(known[plain])
    return "perplexity" not in plain and plain not in ("bits_per_byte", "ter", "wer")


def _checks(found: Files, figures: Figures, samples: Mapping[str, Measured]) -> Iterator[Finding]:
    models = sorted({file.model for file in found.results if file.model})
    if len(models) > 1:
        yield Finding(
            "several_models",
            f"results of one name, but of several models or settings: {few(models)}; import each "
            f"one's by themselves where they are not the same model",
        )
    for file in found.results:
        if file.limit not in (None, 0, "None"):
            yield Finding("limited", f"{file.path.name}: run with --limit {file.limit}")
        for task, kept in file.settings.items():
            n, whole = kept.get("n"), kept.get("n_original")
            if isinstance(n, int) and isinstance(whole, int) and n < whole and not file.limit:
                yield Finding("limited", f"{file.path.name}: {task} has {n} of {whole} documents")
    yield from _group_findings(found, figures)
    for task, one in samples.items():
        yield from one.findings
        for metric, value in one.means.items():
            known = figures.get(task, {}).get(metric)
            if known is None or known[0].point is None or value is None:
                continue
            if not math.isclose(known[0].point, value, abs_tol=_AGREE):
                yield Finding(
                    "samples_and_results_differ",
                    f"{task} {metric}: the samples' mean is {value:.6f}, {known[1].path.name} says "
                    f"{known[0].point:.6f}; the samples are used",
                )


def _group_findings(found: Files, figures: Figures) -> Iterator[Finding]:
    sizes = _sizes(found, figures)
    for file in found.results:
        for group, below in file.groups.items():
            for metric, (figure, _) in figures.get(group, {}).items():
                error, _ = _group_error(below, metric, figures, sizes)
                stated = figure.standard_error
                if error and stated and not 1 / _FAR < stated / error < _FAR:
                    yield remark(
                        "group_standard_error",
                        f"{file.path.name}: the standard error of {group} {metric} is written as "
                        f"{stated:.4f}, its {len(below)} tasks' give {error:.4f}, which is used",
                    )


def _description(found: Files) -> Description:
    files: list[ResultFile | SampleFile] = [*found.results, *found.samples]
    return Description(
        type=KIND,
        version="1",
        models_in_files=tuple(sorted({file.model for file in found.results if file.model})),
        tasks={
            task: {k: v for k, v in kept.items() if v is not None}
            for task, kept in _settings(found).items()
        },
        files=tuple({"file": file.path.name, "sha256": file.sha256} for file in files),
    )
