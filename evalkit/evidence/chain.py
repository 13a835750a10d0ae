"""Everything a published figure rests on, gathered from its run: figure to commands.

Each part is plain JSON, so that `--json` is the chain itself; `text.py` sets it out to be read.
"""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.core import Comparison, Estimate, Json, Judgment, Record, Run
from evalkit.evidence.figures import Figure
from evalkit.evidence.places import where_made
from evalkit.evidence.recomputing import Recomputed, is_published, is_recorded
from evalkit.store.codec import encode

__all__ = ["Chain", "chain", "records_behind"]


@dataclass(frozen=True)
class Chain:
    """From a figure to what it was made of."""

    figure: Figure
    recomputed: Recomputed
    parts: Mapping[str, Json]
    """figure, recomputed, published, samples, judgments, models, benchmark, evidence, run,
    commands; what does not apply is absent."""

    @property
    def contradicted(self) -> bool:
        """Records and results say different things."""
        return self.recomputed.outcome == "differs"


def chain(figure: Figure, recomputed: Recomputed, runs: Sequence[Run]) -> Chain:
    """The chain of one figure.

    Args:
        figure: From `find`.
        recomputed: From `recompute`.
        runs: All that were looked at, where the other side of a difference may be.
    """
    sides = _sides(figure, runs)
    parts: dict[str, Json] = {
        "figure": _figure(figure),
        "recomputed": _recomputed(recomputed),
        "published": _published(figure),
    }
    if not is_published(figure.row):
        behind = records_behind(figure, runs)
        parts |= {
            "samples": _samples(figure, behind),
            "judgments": _judgments(figure, behind),
            "models": [_model(run, model, figure.row.benchmark) for run, model in sides],
            "benchmark": _benchmark(figure),
            "evidence": [e for run, model in sides for e in _evidence(run, model, figure)],
        }
    parts["runs"] = [_run(run) for run in _distinct(run for run, _ in sides)]
    parts["commands"] = _commands(figure, _distinct(run for run, _ in sides))
    return Chain(figure, recomputed, {k: v for k, v in parts.items() if v not in (None, [], {})})


def records_behind(figure: Figure, runs: Sequence[Run]) -> list[Record]:
    """Records of the figure's task and category, of its model or of both sides.

    Those without a score are among them: they are what is missing.
    """
    row = figure.row
    return [
        record
        for run, model in _sides(figure, runs)
        for record in run.records
        if (record.model, record.benchmark) == (model, row.benchmark)
        and (record.task == row.task or not _task_has_records(run, row))
        and row.category in (None, record.category)
    ]


def _task_has_records(run: Run, row: Estimate | Comparison) -> bool:
    return any((r.benchmark, r.task) == (row.benchmark, row.task) for r in run.records)


def _sides(figure: Figure, runs: Sequence[Run]) -> list[tuple[Run, str]]:
    """(run, name in it) of the model, or of candidate and baseline."""
    from evalkit.compare.sides import find

    if figure.stored:
        return [(figure.run, model) for model in figure.models]
    parts = [find(runs, model).parts[figure.row.benchmark] for model in figure.models]
    return [(part.run, part.model) for part in parts]


def _distinct(runs: Iterator[Run]) -> list[Run]:
    return list({id(run): run for run in runs}.values())


# --- the figure ---------------------------------------------------------------------------------


def _figure(figure: Figure) -> dict[str, Json]:
    row: dict[str, Json] = encode(figure.row)
    return {
        "cell": figure.cell,
        "printed": figure.shown,
        "printed_interval": figure.shown_interval,
        "headline": figure.headline,
        "flags": list(figure.flags),
        **row,
    }


def _recomputed(found: Recomputed) -> dict[str, Json]:
    row = None if found.row is None else encode(found.row)
    return {
        "outcome": found.outcome,
        "why": found.why,
        "differences": list(found.differences),
        "row": row,
    }


def _published(figure: Figure) -> dict[str, Json] | None:
    row = figure.row
    if not isinstance(row, Estimate) or not row.source:
        return None
    spec = _spec(figure.run, row.model)
    stated = [
        dict(f)
        for f in spec.get("figures") or ()
        if (f.get("benchmark"), f.get("metric")) == (row.benchmark, row.metric)
        and f.get("task") in (None, row.task)
    ]
    computed = "nothing was computed here" if is_published(row) else "read from result files"
    return {
        "source": row.source,
        "how": computed,
        "stated_in_suite": stated[0] if is_published(row) and stated else None,
    }


def _spec(run: Run, model: str) -> Mapping[str, Json]:
    found: Mapping[str, Json] = run.manifest.get("suite", {}).get("models", {}).get(model) or {}
    return found


# --- samples and judgments ----------------------------------------------------------------------


def _samples(figure: Figure, behind: Sequence[Record]) -> dict[str, Json] | None:
    if not behind or is_recorded(figure.row):
        return None
    scored, rest = _by_score(figure.row.metric, behind)
    ids = dict.fromkeys((r.task, r.sample) for r in scored)
    if isinstance(figure.row, Comparison):
        both = Counter((r.task, r.sample) for r in scored)
        ids = dict.fromkeys(key for key in ids if both[key] > 1)
    several = len({task for task, _ in ids}) > 1
    return {
        "n": len(ids),
        "ids": [f"{task}/{sample}" if several else sample for task, sample in ids],
        "without_score": [
            {
                "model": r.model,
                "task": r.task,
                "sample": r.sample,
                "status": r.outcome.status,
                "error": r.outcome.error,
            }
            for r in rest
        ],
        "truncated": sum(r.outcome.truncated for r in behind),
        "first": _first_sample(figure, scored),
    }


def _by_score(metric: str, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """(with, without) a score of the metric; of any metric where the figure is no mean of them."""
    of_metric = any(s.metric == metric for r in records for s in r.outcome.scores)
    scored: list[Record] = []
    rest: list[Record] = []
    for record in records:
        names = [s.metric for s in record.outcome.scores if record.outcome.status != "excluded"]
        (scored if (metric in names if of_metric else names) else rest).append(record)
    return scored, rest


def _first_sample(figure: Figure, scored: Sequence[Record]) -> dict[str, Json] | None:
    if not scored:
        return None
    record = scored[0]
    scores = [s for s in record.outcome.scores if s.metric == figure.row.metric]
    return {
        "model": record.model,
        "sample": record.sample,
        "conversation": [encode(m) for m in record.outcome.conversation],
        "answers": list(record.outcome.answers),
        "reference": list(record.outcome.reference),
        "scores": [encode(s) for s in scores or record.outcome.scores],
    }


def _judgments(figure: Figure, behind: Sequence[Record]) -> dict[str, Json] | None:
    found = [(r, j) for r in behind for j in r.outcome.judgments]
    if not found:
        return None
    counts: dict[tuple[str, str], Counter[str]] = {}
    for _, j in found:
        counts.setdefault((j.judge, j.protocol), Counter())[j.status] += 1
    return {
        "by": [
            {"judge": judge, "protocol": protocol, "status": dict(sorted(n.items()))}
            for (judge, protocol), n in counts.items()
        ],
        "described": _described_judge(figure),
        "judges": [
            {k: v for k, v in entry.items() if k in ("name", "engine", "protocol", "local")}
            for entry in figure.run.manifest.get("judges", ())
            if entry.get("name") in {judge for judge, _ in counts}
        ],
        "prompt": _prompt(found),
    }


def _described_judge(figure: Figure) -> Json:
    described = [e.get("description") for e in _evidence(figure.run, figure.models[0], figure)]
    described.append(_entry(figure).get("description"))
    return next((d["judge"] for d in described if isinstance(d, Mapping) and d.get("judge")), None)


def _prompt(found: Sequence[tuple[Record, Judgment]]) -> dict[str, Json] | None:
    """The first that is stored, as it was put, with its hash and the reply."""
    for record, judgment in found:
        for exchange in judgment.exchanges:
            text = "\n\n".join(f"[{m.role}]\n{m.content}" for m in exchange.prompt)
            return {
                "model": record.model,
                "sample": record.sample,
                "part": judgment.part,
                "sha256": _sha256(text.encode("utf-8", "surrogatepass")),
                "text": text,
                "reply": exchange.reply,
                "value": judgment.value,
            }
    return None


# --- where it comes from ------------------------------------------------------------------------


def _model(run: Run, model: str, benchmark: str) -> dict[str, Json]:
    entries: Sequence[Mapping[str, Json]] = run.manifest.get("models", ())
    entry = next((e for e in entries if e.get("name") == model), {})
    kept = ("name", "role", "fingerprint", "template_source", "trust_remote_code", "provenance")
    prompts = [p for p in entry.get("first_prompts") or () if p.get("benchmark") == benchmark]
    found = {k: entry[k] for k in (*kept, "engine") if k in entry}
    if not found:
        return {"name": model, "role": _spec(run, model).get("role", "unknown")}
    return {**found, "first_prompt": prompts[0] if prompts else None}


def _entry(figure: Figure) -> Mapping[str, Json]:
    entries: Sequence[Mapping[str, Json]] = figure.run.manifest.get("benchmarks", ())
    return next((e for e in entries if e.get("name") == figure.row.benchmark), {})


def _benchmark(figure: Figure) -> dict[str, Json] | None:
    entry = _entry(figure)
    if not entry:
        return None
    tasks = entry.get("tasks", {})
    read = [e.get("description") for e in _evidence(figure.run, figure.models[0], figure)]
    description = {**((read or [entry.get("description")])[0] or {})}
    if isinstance(description.get("tasks"), Mapping):
        of_task = description["tasks"].get(figure.row.task, {})
        description["tasks"] = {figure.row.task: of_task}
    return {
        "name": entry.get("name"),
        "description": description,
        "n_samples": entry.get("n_samples"),
        "task": tasks.get(figure.row.task),
    }


def _evidence(run: Run, model: str, figure: Figure) -> Iterator[dict[str, Json]]:
    for entry in run.manifest.get("evidence", ()):
        if (entry.get("model"), entry.get("entry")) == (model, figure.row.benchmark):
            yield dict(entry)


def _run(run: Run) -> dict[str, Json]:
    m = run.manifest
    kept = ("run_id", "suite_name", "suite_file", "limit", "publishable", "seed", "git_commit")
    return {
        "folder": str(run.folder),
        **{k: m.get(k) for k in (*kept, "python", "platform", "versions")},
        "files": {
            name: _sha256((Path(run.folder) / name).read_bytes())
            for name in ("manifest.json", "records.jsonl", "results.json")
            if (Path(run.folder) / name).is_file()
        },
    }


def _commands(figure: Figure, sides: Sequence[Run]) -> dict[str, Json]:
    """What made the runs, and what computes the figure again from them."""
    folders = [shlex.quote(str(run.folder)) for run in sides]
    again = [" ".join(["evalkit evidence", *folders, shlex.quote(figure.cell)])]
    if isinstance(figure.row, Comparison):
        ours, theirs = (shlex.quote(model) for model in figure.models)
        again.append(
            " ".join(["evalkit compare", *folders, "--candidate", ours, "--baseline", theirs])
        )
    made = [(c, where_made(run, c)) for run in sides for c in run.manifest.get("commands", ())]
    return {
        "made_the_run": list(dict.fromkeys(command for command, _ in made)),
        "made_in": list(dict.fromkeys(where for _, where in made if where)),
        "recompute": again,
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
