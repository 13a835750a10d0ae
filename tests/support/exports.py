"""Runs that every format has something to write of, and all figures of imported evidence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from evalkit import store
from evalkit.comparison.figures import figures
from evalkit.core import Figure, FigureKey, Json, Run
from evalkit.core.evidence import Evidence
from evalkit.core.run import BenchmarkEntry, TaskEntry
from tests.support.runs import Plan, build_run, with_manifest

__all__ = ["NEEDED", "all_figures", "exportable", "texts_of"]

NEEDED: Mapping[str, Mapping[str, Json]] = {
    "every_eval_ever": {"organization": "Example Lab", "date": "2026-01-31"},
    "inspect": {"date": "2026-01-31"},
}
"""Settings without default, by format."""
PLAIN = Plan()
_GSM8K = {
    "version": 3.0,
    "output_type": "generate_until",
    "dataset": {"path": "openai/gsm8k", "name": "main", "revision": "ab" * 20, "files": {}},
    "documents": 40,
    "shots": 5,
    "generation": {"until": ["Question:"], "do_sample": False},
    "filters": ["strict-match"],
    "metrics": ["exact_match,strict-match"],
}


def exportable(plan: Plan = PLAIN, folder: Path = Path("run")) -> Run:
    """`build_run` with the task `sums` as GSM8K, described as the lm_eval benchmark does."""
    run = build_run(plan, folder)
    tasks = {"gsm8k": _GSM8K, "opposites": {**_GSM8K, "dataset": {"path": "json"}, "shots": 0}}
    text = json.dumps(store.manifest_json(run.manifest)).replace('"sums"', '"gsm8k"')
    manifest = json.loads(text)
    about = next(b for b in manifest["benchmarks"] if b["name"] == "lm_eval")["description"]
    about.pop("data")
    about |= {"lm_eval": "0.4.13", "tasks": tasks, "groups": {}}

    def renamed(key: FigureKey) -> FigureKey:
        return replace(key, task={"sums": "gsm8k"}.get(key.task, key.task))

    return replace(
        with_manifest(run, **manifest),
        records=tuple(replace(r, task="gsm8k") if r.task == "sums" else r for r in run.records),
        figures=tuple(replace(f, key=renamed(f.key)) for f in run.figures),
        comparisons=tuple(replace(c, key=renamed(c.key)) for c in run.comparisons),
    )


def all_figures(evidence: Evidence) -> list[Figure]:
    """Computed from its records, and as it states them."""
    tasks = {task: TaskEntry(metrics=metrics) for task, metrics in evidence.metrics.items()}
    entry = BenchmarkEntry(name=evidence.entry, tasks=tasks)
    return [*figures(evidence.records, [entry], 0.95), *evidence.figures]


def texts_of(run: Run) -> set[str]:
    """Every word of a benchmark, a model or a judge in the run."""
    return {text for record in run.records for text in _texts(record.outcome) if text}


def _texts(outcome: Json) -> Iterable[str]:
    yield from (m.content for m in outcome.conversation)
    yield from outcome.answers
    yield from outcome.reference
    yield outcome.error or ""
    for judgment in outcome.judgments:
        yield judgment.error or ""
        for exchange in judgment.exchanges:
            yield exchange.reply
            yield from (m.content for m in exchange.prompt)
