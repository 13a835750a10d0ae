"""What the options of `evalkit run` change in a suite: the adapter, the judge, the tasks, the cap.

They change plain values before these are validated: `put` before `--set`, which may change what
they put, `choose` after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.core import Json
from evalkit.core.specs import Suite
from evalkit.errors import EvalkitError, Problem
from evalkit.suite.reading import Position, SuiteText, choices_hint, labels
from evalkit.suite.validation import Types

__all__ = ["NONE", "Chosen", "Options", "api_judge", "choose", "put"]

_LAST = 1 << 29
"""Order of the problems of options: after the file, before `--set`."""
_VENDORS = {"gpt-": "openai", "claude-": "anthropic", "gemini-": "google"}
"""Engine by how the names of a vendor's models begin."""


@dataclass(frozen=True)
class Options:
    """Changes of a suite that have a name of their own; none by default."""

    adapter: str | None = None
    """An adapter, in place of the suite's candidates; paths as in the suite."""
    base: str | None = None
    """With `adapter`: what it was trained on, also in place of the suite's baselines."""
    judge: str | None = None
    """Judges every judged benchmark: a judge or a model of the suite, a vendor's model by its name,
    or TYPE:MODEL."""
    max_cost: float | None = None
    """Most USD in all: each API in use may spend an equal part."""
    tasks: tuple[str, ...] = ()
    """Entries of the suite, in place of all of them; other names are lm-eval's tasks."""


NONE = Options()


@dataclass(frozen=True)
class Chosen:
    """What is run of a suite."""

    left_out: tuple[Problem, ...]
    """Entries that are not, each with the reason."""
    positions: tuple[int, ...] | None
    """Of the benchmarks that are; None: all."""

    def of(self, suite: Suite) -> Suite:
        """`suite` with these benchmarks."""
        if self.positions is None:
            return suite
        chosen = tuple(suite.benchmarks[n] for n in self.positions)
        return suite.model_copy(update={"benchmarks": chosen})


def put(source: SuiteText, options: Options, types: Types) -> dict[str, Json] | None:
    """Change `source` in place; what cannot be done becomes a problem of it.

    Returns the entry that was added for `tasks`, which `choose` is to be given.
    """
    added = None
    if options.adapter is not None and options.base is not None:
        _put_adapter(source, options.adapter, options.base)
    if not isinstance(source.tree.get("benchmarks"), list):
        return None  # left to validation
    if options.judge is not None:
        _put_judge(source, options.judge, types)
    if options.tasks:
        added = _put_tasks(source, options.tasks)
    if options.max_cost is not None:
        _put_cap(source, options.max_cost, types)
    return added


def choose(
    source: SuiteText, options: Options, types: Types, added: dict[str, Json] | None
) -> Chosen:
    """What is run; entries that are not and cannot be are taken out of `source`."""
    if not isinstance(source.tree.get("benchmarks"), list):
        return Chosen((), None)
    left_out = tuple(_leave_out(source, options.tasks, types))
    named = [n for n, e in _entries(source) if e is added or {*options.tasks} & {*labels(e)}]
    return Chosen(left_out, tuple(named) if options.tasks else None)


def _report(source: SuiteText, option: str, message: str) -> None:
    source.report((), message, Position(option, _LAST))


def _put(source: SuiteText, option: str, path: tuple[str | int, ...], value: Json) -> None:
    """Set a value whose containers are there, and note where it is from."""
    node: Any = source.tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    source.places = {p: at for p, at in source.places.items() if p[: len(path)] != path}
    source.places[path] = Position(option, _LAST)


def _section(source: SuiteText, name: str) -> dict[str, Json]:
    """A mapping of the suite; empty where it has none, or something else, to be reported later."""
    found = source.tree.get(name)
    return found if isinstance(found, dict) else {}


def _entries(source: SuiteText) -> list[tuple[int, dict[str, Json]]]:
    """Position and fields of each benchmark."""
    return [(n, e) for n, e in enumerate(source.tree["benchmarks"]) if isinstance(e, dict)]


# The adapter


def _put_adapter(source: SuiteText, adapter: str, base: str) -> None:
    """The adapter for the suite's candidates, its base for the baselines, wherever it names them.

    Published models stay.
    """
    candidate, baseline = model_name(adapter), model_name(base)
    if candidate == baseline:
        candidate = f"{candidate}-adapted"
    new: dict[str, Json] = {
        candidate: {"role": "candidate", "base": base, "adapter": adapter},
        baseline: {"role": "baseline", "path": base},
    }
    renamed: dict[Json, str] = {}
    for name, spec in _section(source, "models").items():
        role = spec.get("role", "candidate") if isinstance(spec, dict) else "candidate"
        if role == "published":
            new.setdefault(name, spec)
        else:
            renamed[name] = candidate if role == "candidate" else baseline
    _put(source, "--adapter", ("models",), new)
    judges = _section(source, "judges").values()
    fields = [(judge, "model") for judge in judges if _is_local(judge)]
    fields += [(_section(source, "gate"), "baseline")]
    benchmarks = source.tree.get("benchmarks")
    fields += [(e, "baseline") for e in (benchmarks if isinstance(benchmarks, list) else ())]
    for holder, field in fields:
        value = holder.get(field) if isinstance(holder, dict) else None
        if isinstance(value, str):
            holder[field] = renamed.get(value, value)
        elif isinstance(value, list):
            holder[field] = list(dict.fromkeys(renamed.get(str(v), v) for v in value))


def _is_local(judge: Json) -> bool:
    return isinstance(judge, dict) and judge.get("type", "engine") == "engine"


def model_name(reference: str) -> str:
    """A model's name after the last part of where it is."""
    last = re.split(r"[/\\]", reference.rstrip("/\\"))[-1].removesuffix(".gguf")
    return re.sub(r"[^\w.+=@-]+", "-", last).strip("-.")[:100] or "model"


# The judge


def api_judge(wanted: str) -> dict[str, Json] | None:
    """Settings of a judge named as TYPE:MODEL, or as its vendor names it; None: as neither."""
    kind, colon, model = wanted.partition(":")
    if colon and kind and model:
        return {"type": kind, "model": model}
    kind = next((kind for start, kind in _VENDORS.items() if wanted.startswith(start)), "")
    return {"type": kind, "model": wanted} if kind else None


def _put_judge(source: SuiteText, wanted: str, types: Types) -> None:
    judges, models = _section(source, "judges"), _section(source, "models")
    name, spec = wanted, judges.get(wanted)
    if spec is None and wanted in models:
        spec = {"type": "engine", "model": wanted}
    if spec is None and (spec := api_judge(wanted)) is not None:
        name = model_name(spec["model"])
    if spec is None:
        known = choices_hint(wanted, [*judges, *models])
        message = f"{wanted!r}: no judge or model of the suite{known}; or a model behind an API, "
        _report(source, "--judge", f"{message}as gpt-6.1-sol or openai:MODEL")
        return
    judged = [n for n, entry in _entries(source) if _is_judged(entry, types)]
    if not judged:
        _report(source, "--judge", f"{wanted!r}: the suite has no judged benchmark; leave it out")
        return
    _put(source, "--judge", ("judges",), {name: spec})
    for n in judged:
        _put(source, "--judge", ("benchmarks", n, "judge"), name)


def _is_judged(entry: Mapping[str, Json], types: Types) -> bool:
    try:
        return types.judged(str(entry.get("type")))
    except EvalkitError:
        return False  # validation says that there is no such type


def _leave_out(source: SuiteText, tasks: tuple[str, ...], types: Types) -> Iterator[Problem]:
    """Drop the entries whose `judge` is null, unless one was named for them."""
    kept: list[Json] = list(source.tree["benchmarks"])
    for n, entry in reversed(_entries(source)):
        if "judge" not in entry or entry["judge"] is not None or not _is_judged(entry, types):
            continue
        why = "only a judge can score it, and none is named; --judge NAME adds one"
        if set(labels(entry)) & set(tasks):
            source.report(("benchmarks", n, "judge"), why)
            continue
        if not tasks:
            yield Problem(str(entry.get("name", entry["type"])), f"left out: {why}")
        del kept[n]
    if len(kept) < len(source.tree["benchmarks"]):
        # Places of later entries would be those of their neighbours.
        gone = [p for p in source.places if p[:1] == ("benchmarks",) and len(p) > 1]
        for path in gone:
            del source.places[path]
        source.tree["benchmarks"] = kept


# The cap and the tasks


def _put_cap(source: SuiteText, usd: float, types: Types) -> None:
    """Give every API that is used an equal part."""
    named = [entry.get("judge") for _, entry in _entries(source)]
    used = {n for value in named for n in (value if isinstance(value, list) else [value])}
    paths: list[tuple[str, ...]] = [("judges", n) for n in _section(source, "judges") if n in used]
    models = _section(source, "models").items()
    paths += [("models", n, "engine") for n, spec in models if isinstance(spec, dict)]
    capped = [path for path in [("engine",), *paths] if _costs(source, path, types)]
    for path in capped:
        _put(source, "--max-cost", (*path, "max_cost_usd"), usd / len(capped))


def _costs(source: SuiteText, path: tuple[str, ...], types: Types) -> bool:
    node: Any = source.tree
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    if not isinstance(node, dict) or "type" not in node:
        return False
    try:
        found = types.spec("judges" if path[0] == "judges" else "engines", node["type"])
    except EvalkitError:
        return False
    return "max_cost_usd" in found.model_fields


def _put_tasks(source: SuiteText, tasks: tuple[str, ...]) -> dict[str, Json] | None:
    """An entry of those tasks that the suite has no entry for."""
    known = {label for _, entry in _entries(source) for label in labels(entry)}
    others = [task for task in tasks if task not in known]
    if not others:
        return None
    entry: dict[str, Json] = {"type": "lm_eval", "tasks": others}
    if "lm_eval" in known:
        entry["name"] = "tasks"
    benchmarks = source.tree["benchmarks"]
    benchmarks.append(entry)
    source.places["benchmarks", len(benchmarks) - 1] = Position("--tasks", _LAST)
    return entry
