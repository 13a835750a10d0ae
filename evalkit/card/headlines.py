"""Which figures of a benchmark a card shows, in which order, and how they were asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from evalkit import catalogue
from evalkit.card.figures import Block, Figure
from evalkit.core import Json

__all__ = ["CHAT", "averages", "headline", "metrics", "shots", "tasks"]

CHAT = ("mt_bench", "alpaca_eval")
"""Types of benchmarks that judge conversations, in the order of the chat table."""
WHOLE = "open_llm_leaderboard"
"""The task under which a leaderboard's average stands."""
_LC = "length_controlled_win_rate"
_SHOTS = re.compile(r"(\d+)[- ]shots?\b")
_V1 = {column.task: column for column in catalogue.columns(1, drop=True)}
_V2 = tuple(column.task for column in catalogue.columns(2))
_GROUPS = ("mmlu", "mmlu_pro", *_V2)
"""Tasks that stand for all whose names begin with theirs."""
_MEAN_OF_TASKS = "acc (mean of tasks)"
"""MMLU as the leaderboard averaged it; lm-eval's own `acc` weighs its tasks by size."""


def tasks(block: Block) -> list[str]:
    """Tasks a card shows: groups in place of their members; a leaderboard's in its own order."""
    known = [t for t in block.tasks if t != WHOLE or block.kind not in (WHOLE, "lm_eval")]
    groups = [g for g in _GROUPS if g in known]
    shown = [t for t in known if t in groups or not any(t.startswith(f"{g}_") for g in groups)]
    shown = [t for t in shown if headline(block, t) is not None]
    ordered = [t for t in (*_V1, *_V2) if t in shown]
    return [*ordered, *(t for t in shown if t not in ordered)]


def headline(block: Block, task: str) -> str | None:
    """The metric of a task's column; None where none of its metrics leads."""
    names = list(dict.fromkeys(f.metric.name for f in block.figures if f.estimate.task == task))
    wanted = {"alpaca_eval": "win_rate", "mt_bench": "score"}.get(block.kind)
    if wanted is None:
        wanted = _of_leaderboard(block.kind, task, names)
    if wanted in names:
        return wanted
    primary = [f for f in block.figures if f.estimate.task == task and f.metric.primary]
    if primary:
        return primary[0].metric.name
    return names[0] if names and task in _GROUPS else None  # a group's metrics are not declared


def _of_leaderboard(kind: str, task: str, names: Sequence[str]) -> str | None:
    if task in _V2 and "normalised" in names:
        return "normalised"
    if kind == WHOLE and task == "mmlu" and _MEAN_OF_TASKS in names:
        return _MEAN_OF_TASKS
    return _V1[task].metric if task in _V1 else None


def metrics(block: Block, task: str) -> list[str]:
    """Metrics of a task that a model-index holds, the headline first."""
    first = headline(block, task)
    more = [_LC] if block.kind == "alpaca_eval" else []
    return [m for m in (first, *more) if m is not None]


def averages(block: Block) -> list[str]:
    """The metric of the block's average, if it has one."""
    names = [f.metric.name for f in block.figures if f.estimate.task == WHOLE]
    wanted: tuple[str, ...] = ("average", "average_without_drop")
    return [m for m in wanted if m in names][:1]


def shots(figure: Figure, block: Block) -> int | None:
    """Worked examples in the prompt, where that is known."""
    said = _said(figure.of_task)
    if said is not None:
        return said
    if figure.stated is not None:
        match = _SHOTS.search(figure.stated.settings or figure.stated.source)
        if match is not None:
            return int(match[1])
    task = figure.estimate.task
    members = figure.description.get("tasks")
    if task in _GROUPS and isinstance(members, Mapping):
        found = {_said(m) for name, m in members.items() if name.startswith(f"{task}_")} - {None}
        if len(found) == 1:
            return found.pop()
    return _V1[task].shots if task in _V1 and block.kind == WHOLE else None


def _said(about: Json) -> int | None:
    if not isinstance(about, Mapping):
        return None
    value = about.get("shots", about.get("num_fewshot"))
    return value if isinstance(value, int) else None
