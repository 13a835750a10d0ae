"""How the figures of a card were made, in one line a benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from evalkit.card import headlines
from evalkit.card.asked import harness_of, judge_of, named, own_data, remarks_of
from evalkit.card.figures import Block, Figure, Material
from evalkit.card.footnotes import Markdown, linked
from evalkit.card.hub import label_of
from evalkit.core import Json
from evalkit.draw import count

__all__ = ["made_by", "settings"]

_FOLDERS = re.compile(r"(?<![^\s'\"=])/(?:[^\s'\"/]+/)+(?=[^\s'\"/])")
"""Absolute paths say nothing to those who read a card elsewhere."""
_METRICS_NAMED = 12
"""Most tasks whose metrics are listed."""


def settings(material: Material) -> list[Markdown]:
    """One line for each benchmark of which something was measured here."""
    lines = []
    for block in material.blocks:
        mine = _described(block, material.candidate)
        if mine is not None:
            parts = [part for part in _parts(block, mine) if part]
            lines.append(linked(f"{block.title}: {'; '.join(parts)}."))
    return lines


def made_by(material: Material) -> list[Markdown]:
    """Which runs the card is of, and the commands that recompute them."""
    lines = []
    for run in material.runs:
        m = run.manifest
        version = m.get("versions", {}).get("evalkit", "of unknown version")
        commands = "; ".join(_FOLDERS.sub("", str(c)) for c in m.get("commands", ()))
        again = f"; recompute: {commands}" if commands else ""
        if commands.startswith("evalkit import "):
            again += " (where those files are)"
        text = f"evalkit {version}, suite {m.get('suite_name')}, run {m.get('run_id')}{again}"
        lines.append(linked(text))
    return lines


def _described(block: Block, candidate: str) -> Figure | None:
    """A figure whose description tells how the block was made: the candidate's, if it has one."""
    known = [f for f in block.figures if not f.is_published]
    mine = [f for f in known if f.estimate.model == candidate]
    return next(iter(mine or known), None)


def _parts(block: Block, example: Figure) -> Iterator[str]:
    about = example.description
    if example.stated is None:
        yield f"scored by evalkit's {block.kind}, version {about.get('version')}"
    own = own_data(example)
    yield f"own questions ({own}), not the public ones" if own else ""
    harness = harness_of(example)
    if harness is not None:
        yield harness
    elif example.stated is not None:
        yield "read from result files that do not state the harness's version"
    if about.get("settings"):
        yield f"the leaderboard's settings: {about['settings']}"
    yield _reference(about)
    yield from _judge(example) if block.kind in headlines.CHAT else ()
    yield _sampling(about)
    yield _template(about, example)
    yield _engine(example)
    if block.kind not in headlines.CHAT:
        yield _metrics(block)
    yield from _remarks(block, example)


def _reference(about: Mapping[str, Json]) -> str:
    data = about.get("data")
    size = data.get("records") if isinstance(data, Mapping) else None
    parts = [f"{count(size)} questions"] if isinstance(size, int) else []
    if about.get("reference"):
        parts.append(f"against {about['reference']}")
    return " ".join(parts)


def _judge(example: Figure) -> Iterator[str]:
    judge = judge_of(example)
    if judge is None:
        return
    yield f"judge {judge.who}" + (" (recorded judgments)" if judge.protocol == "recorded" else "")
    if judge.is_local:
        yield "a model of the same suite, which is a weak judge"
    if judge.protocol and judge.protocol != "recorded":
        yield f"judge prompts {judge.protocol}" + _hash(judge.prompt_sha256)


def _hash(value: Json) -> str:
    return f" (sha256 {str(value)[:12]})" if value else ""


def _sampling(about: Mapping[str, Json]) -> str:
    parts = []
    if about.get("max_tokens") is not None:
        parts.append(f"at most {about['max_tokens']} new tokens")
    if about.get("temperature") is not None:
        parts.append(f"temperature {about['temperature']}")
    elif about.get("temperatures") is not None:
        parts.append("FastChat's temperature for each category")
    return ", ".join(parts)


def _template(about: Mapping[str, Json], example: Figure) -> str:
    if about.get("apply_chat_template") is False:
        return "without chat template"
    entry = _entry(example)
    source = entry.get("template_source")
    return f"chat template from {source}" if source and source != "none" else ""


def _engine(example: Figure) -> str:
    engine = _entry(example).get("engine")
    if not isinstance(engine, Mapping) or engine.get("type") in (None, "recorded"):
        return ""
    parts = [str(engine[key]) for key in ("type", "version", "dtype") if engine.get(key)]
    return f"engine {' '.join(parts)}"


def _entry(example: Figure) -> Mapping[str, Json]:
    return named(example.run.manifest.get("models"), example.estimate.model)


def _remarks(block: Block, example: Figure) -> Iterator[str]:
    """Data that depart from the official ones."""
    shown = headlines.tasks(block)
    mine = [f for f in block.figures if f.estimate.model == example.estimate.model]
    for f in mine:
        task, metric = f.estimate.task, f.metric.name
        if task in shown and metric == headlines.headline(block, task):
            yield from (f"{label_of(task)}: {remark}" for remark in remarks_of(f))


def _metrics(block: Block) -> str:
    shown = headlines.tasks(block)
    if len(shown) > _METRICS_NAMED:
        return ""
    named = [(task, headlines.headline(block, task)) for task in shown]
    return "metrics: " + ", ".join(f"{label_of(t)} {m}" for t, m in named if m)
