"""A card's `model-index`: the hub's nesting of tasks, data sets and metrics, from figures.

    - name: MODEL
      results:
      - task: {type, name}
        dataset: {name, type, config?, split?, revision?, args?}
        metrics: [{type, name, value, args}]
        source: {name, url}?

The hub tells entries apart by task, data set, config, split and revision alone: of two with the
same of these the second's arguments and source are lost.  So there is one entry for each, the
first in order of runs and benchmarks.  Figures of a weak judge have none.  What is left out is
said.  `.eval_results` files are of the figures that are chosen here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.card import headlines, hub
from evalkit.card.asked import harness_of, judge_of, own_data, remarks_of
from evalkit.card.figures import Block, Figure, Material
from evalkit.card.sources import source_of
from evalkit.core import Json
from evalkit.draw import figure as shown

__all__ = ["MARK", "Chosen", "Index", "LeftOut", "identity", "is_ours", "make_index"]

MARK = "evalkit"
"""Key of a metric's `args` by which evalkit knows its own entries: the version that wrote it."""


_HAS_ONE = (
    "the index has an entry for these data already, and the hub keeps one; --only names benchmarks "
    "to choose"
)


@dataclass(frozen=True)
class Chosen:
    """A figure of the model, and the benchmark entry it is of."""

    figure: Figure
    block: Block


@dataclass(frozen=True)
class LeftOut:
    """A figure that the index does not hold."""

    figure: Figure
    block: Block
    why: str

    @property
    def said(self) -> str:
        """Task, metric and value."""
        e = self.figure.estimate
        return f"{e.task} {e.metric} {shown(e.point, e.unit)}"


@dataclass(frozen=True)
class Index:
    """The entries of one model."""

    results: tuple[dict[str, Json], ...]
    figures: tuple[Chosen, ...]
    """What they are made from, in order of runs and benchmarks."""
    without: tuple[LeftOut, ...]
    undefined: tuple[str, ...]
    """Figures that have no value, and why, a sentence each."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """What is not in it, and why, a sentence each."""
        grouped: dict[tuple[str, str], list[str]] = {}
        for one in self.without:
            grouped.setdefault((one.block.title, one.why), []).append(one.said)
        said = (f"{title}: {', '.join(of)}: {why}" for (title, why), of in grouped.items())
        return (*said, *self.undefined)


def make_index(material: Material, published_at: str | None = None) -> Index:
    """The candidate's entries.

    Args:
        material: What there is.
        published_at: Where the runs can be seen; the source of figures computed in them.
    """
    results: dict[tuple[Any, ...], dict[str, Json]] = {}
    chosen, without = [], []
    for figure, block in _headlines(material):
        if figure.weak_judge:
            without.append(LeftOut(figure, block, _weak(figure)))
            continue
        entry = _entry(figure, block, material, published_at)
        known = results.setdefault(identity(entry), entry)
        if known is entry or _added(known, entry):
            chosen.append(Chosen(figure, block))
        else:
            without.append(LeftOut(figure, block, _HAS_ONE))
    undefined = tuple(_undefined(material))
    return Index(tuple(results.values()), tuple(chosen), tuple(without), undefined)


def _headlines(material: Material) -> Iterator[tuple[Figure, Block]]:
    for block in material.blocks:
        for task in headlines.tasks(block):
            for metric in headlines.metrics(block, task):
                figure = block.find(material.candidate, task, metric)
                if figure is not None:
                    yield figure, block


def _weak(figure: Figure) -> str:
    return (
        f"judged by {figure.weak_judge}, a model of the same suite: figures of such a judge are "
        f"not published"
    )


def identity(result: Mapping[str, Json]) -> tuple[Any, ...]:
    """What the hub tells entries apart by."""
    data = result["dataset"]
    parts = (data.get(key) for key in ("type", "config", "split", "revision"))
    return (result["task"]["type"], *parts)


def is_ours(result: Json) -> bool:
    """Whether evalkit wrote an entry, by the arguments of its metrics."""
    metrics = result.get("metrics") if isinstance(result, Mapping) else None
    if not isinstance(metrics, list) or not metrics:
        return False
    return all(
        isinstance(m, Mapping) and isinstance(m.get("args"), Mapping) and MARK in m["args"]
        for m in metrics
    )


def _added(known: dict[str, Json], entry: Mapping[str, Json]) -> bool:
    """Add the entry's metric to `known`; False where they differ in more than it."""
    (metric,) = entry["metrics"]
    same = {k: v for k, v in known.items() if k != "metrics"} == {
        k: v for k, v in entry.items() if k != "metrics"
    }
    if not same or metric["type"] in {m["type"] for m in known["metrics"]}:
        return False
    known["metrics"].append(metric)
    return True


def _undefined(material: Material) -> Iterator[str]:
    for block in material.blocks:
        for f in block.figures:
            e = f.estimate
            mine = e.model == material.candidate and e.point is None
            if mine and e.metric in headlines.metrics(block, e.task):
                yield f"{e.task} {e.metric} of {e.benchmark}: undefined ({e.method})"


def _entry(
    figure: Figure, block: Block, material: Material, published_at: str | None
) -> dict[str, Json]:
    entry: dict[str, Json] = {
        "task": dict(hub.TASK),
        "dataset": _dataset(figure, block),
        "metrics": [_metric(figure, material)],
    }
    source = source_of(figure, published_at)
    if source is not None:
        entry["source"] = {"name": source.name, "url": source.url}
    return entry


def _dataset(figure: Figure, block: Block) -> dict[str, Json]:
    data = hub.data_of(block.kind, figure.estimate.task, figure.description)
    if own_data(figure) is not None:
        data = hub.HubData(f"{data.name}, own questions", "unknown", block.entry)
    n_shots = headlines.shots(figure, block)
    described = figure.of_task.get("dataset")
    about = described if isinstance(described, Mapping) else {}
    return _known(
        {
            "name": data.name if n_shots is None else f"{data.name} ({n_shots}-shot)",
            "type": data.type,
            "config": data.config,
            "split": data.split,
            "revision": about.get("revision"),
            "args": None if n_shots is None else {"num_few_shot": n_shots},
        }
    )


def _metric(figure: Figure, material: Material) -> dict[str, Json]:
    e = figure.estimate
    kind, name = hub.metric_of(e.task, e.metric)
    assert e.point is not None
    args = _published(figure) if figure.is_published else _computed(figure)
    if material.warnings:
        args["publishable"] = False
    version = figure.run.manifest.get("versions", {}).get("evalkit", "unknown")
    run = figure.run.manifest.get("run_id")
    own = {MARK: version, "run": run, "model": e.model, "unit": e.unit}
    return {"type": kind, "name": name, "value": float(e.point), "args": _known({**own, **args})}


def _published(figure: Figure) -> dict[str, Json]:
    e, said = figure.estimate, figure.stated
    found: dict[str, Json] = {"published": True, **_uncertainty(figure)}
    if e.n:
        found["n"] = e.n
    if said is not None:
        known = source_of(figure)
        told = known is not None and said.source in (known.name, known.url)
        found |= {"stated_by": "" if told else said.source, "row": said.row}
        found |= {"date": said.date, "settings": said.settings}
    return {k: v for k, v in found.items() if v != ""}


def _computed(figure: Figure) -> dict[str, Json]:
    e, about = figure.estimate, figure.description
    judge = judge_of(figure)
    counted = {"n": e.n, "n_missing": e.n_missing} if e.n else {}
    found = {
        **_uncertainty(figure),
        **counted,
        "method": e.method,
        "benchmark_version": about.get("version"),
        "leaderboard_settings": about.get("settings"),
        "reference": about.get("reference"),
        "apply_chat_template": about.get("apply_chat_template"),
        "task_version": _text(figure.of_task.get("version")),
        "harness": harness_of(figure),
        "data_remarks": remarks_of(figure) or None,
        "own_data": own_data(figure),
        "from": e.source or None,
    }
    if judge is not None:
        found |= {"judge": judge.who, "judge_protocol": judge.protocol or None}
    return found


def _uncertainty(figure: Figure) -> dict[str, Json]:
    e = figure.estimate
    found: dict[str, Json] = {}
    if e.standard_error:  # 0 where no sample differs from another: it measures nothing
        found["standard_error"] = float(e.standard_error)
    if e.low is not None and e.high is not None:
        found |= {"interval": [float(e.low), float(e.high)], "level": float(e.level)}
    return found


def _text(value: Json) -> str | None:
    return None if value is None else str(value)


def _known(found: Mapping[str, Json]) -> dict[str, Json]:
    return {k: v for k, v in found.items() if v is not None}
