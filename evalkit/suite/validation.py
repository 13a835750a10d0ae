"""Plain values to specs: every section against the class its `type` names.

Sections are validated one by one, so that a mistake in one hides none in another; what
fails is left out of what is checked next, and is known by name only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from evalkit.core import Json
from evalkit.core.specs import (
    BenchmarkSpec,
    EngineSpec,
    GateSpec,
    JudgeSpec,
    LocalJudgeSpec,
    ModelSpec,
    ReportSpec,
    Spec,
    Suite,
)
from evalkit.errors import EvalkitError
from evalkit.suite.explaining import explanations
from evalkit.suite.reading import Blank, FieldPath, Source
from evalkit.suite.wording import choices_hint, looks_secret, names_secret, shown

__all__ = ["Offer", "Parts", "Resolver", "Room", "Types", "assemble", "validate"]

Room = Literal["engines", "benchmarks", "judges"]
S = TypeVar("S", bound=Spec)


class Offer(Protocol):
    """What a type name stands for."""

    @property
    def cls(self) -> type[Any]:
        """The benchmark or engine itself."""
        ...

    @property
    def spec(self) -> type[Spec] | None:
        """Its settings; None: those every one of its room has."""
        ...


class Resolver(Protocol):
    """Knows the types there are (`evalkit.plugins` does).

    Handed in, because the rooms it looks into lie above this one.  Both lookups raise an
    EvalkitError where there is no such type.
    """

    def find(self, room: Literal["benchmarks", "engines"], name: str) -> Offer:
        """The benchmark or engine of that type."""
        ...

    def judge_spec(self, kind: str) -> type[JudgeSpec]:
        """Settings of a judge of that type."""
        ...

    def names(self, room: Literal["benchmarks", "engines"]) -> Sequence[str]:
        """Types that may be named."""
        ...


@dataclass(frozen=True)
class Types:
    """The three kinds of `type` a suite has, read from a Resolver."""

    resolve: Resolver

    def choices(self, room: Room) -> list[str]:
        """Types a section of that room may name."""
        if room != "judges":
            return list(self.resolve.names(room))
        return ["engine", *(n for n in self.resolve.names("engines") if not self.needs_weights(n))]

    def spec(self, room: Room, name: str) -> type[Spec]:
        """Spec class of that type.  Raises EvalkitError."""
        if room == "judges":
            return self.resolve.judge_spec(name)
        own = self.resolve.find(room, name).spec
        return own or (EngineSpec if room == "engines" else BenchmarkSpec)

    def needs_weights(self, engine: str) -> bool:
        """Whether models of this engine need `path`, or `base` and `adapter`."""
        return bool(self.resolve.find("engines", engine).cls.needs_weights)

    def judged(self, benchmark: str) -> bool:
        """Whether this benchmark needs a judge."""
        return self.resolve.find("benchmarks", benchmark).cls.judge_kind is not None


@dataclass
class Parts:
    """The sections of a suite; None stands for one too wrong to say anything about."""

    engine: EngineSpec | None = None
    models: dict[str, ModelSpec | None] = field(default_factory=dict)
    judges: dict[str, JudgeSpec | None] = field(default_factory=dict)
    benchmarks: list[BenchmarkSpec | None] = field(default_factory=list)
    gate: GateSpec | None = None
    lost: set[FieldPath] = field(default_factory=set)
    """Fields that are wrong, and so left out of the sections above."""

    def knows(self, *path: str | int) -> bool:
        """Whether the field says what was written: nothing there was wrong."""
        return path not in self.lost


def validate(source: Source, types: Types) -> Parts:
    """The sections that are right; everything else becomes a problem of `source`."""
    _refuse_secrets(source, source.tree, ())
    tree = source.tree
    parts = Parts()
    checker = _Checker(source, types, parts.lost)
    parts.engine = checker.typed("engines", EngineSpec, tree.get("engine", {}), ("engine",))
    for name, value in _mapping(tree.get("models")).items():
        parts.models[name] = checker.model(value, ("models", name))
    for name, value in _mapping(tree.get("judges")).items():
        parts.judges[name] = checker.typed("judges", JudgeSpec, value, ("judges", name))
    for n, value in enumerate(_list(tree.get("benchmarks"))):
        path = ("benchmarks", n)
        parts.benchmarks.append(checker.typed("benchmarks", BenchmarkSpec, value, path))
    if tree.get("gate") is not None:
        parts.gate = checker.spec(GateSpec, tree["gate"], ("gate",))
    if "report" in tree:
        checker.spec(ReportSpec, tree["report"], ("report",))
    checker.frame(parts)
    return parts


def assemble(source: Source, parts: Parts) -> Suite:
    """The suite, where `validate` found nothing wrong."""
    return Suite.model_validate(_with_parts(source.tree, parts))


def _with_parts(tree: dict[str, Json], parts: Parts) -> dict[str, Any]:
    """The tree with each section replaced by its spec, or by a stand-in where it has none."""
    whole: dict[str, Any] = dict(tree)
    whole["engine"] = parts.engine or EngineSpec()
    if isinstance(tree.get("models"), dict):
        whole["models"] = {name: m or ModelSpec() for name, m in parts.models.items()}
    if isinstance(tree.get("judges"), dict):
        whole["judges"] = {n: j or LocalJudgeSpec(model="") for n, j in parts.judges.items()}
    if isinstance(tree.get("benchmarks"), list):
        whole["benchmarks"] = [b or BenchmarkSpec(type="") for b in parts.benchmarks]
    return whole


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


_NO_KEYS = (
    "looks like an API key or password (not shown); a suite is shared, so set it in the "
    "environment and name the variable with `api_key_env`"
)


def _refuse_secrets(source: Source, value: Json, path: FieldPath) -> None:
    """Report keys written into the file, and blank them, so that nothing later prints one."""
    items = value.items() if isinstance(value, dict) else enumerate(_list(value))
    for key, item in list(items):
        here = (*path, key)
        named = isinstance(key, str) and names_secret(key) and isinstance(item, str)
        if looks_secret(key):
            source.report(path, f"a name in it {_NO_KEYS}")
            del value[key]
        elif named or looks_secret(item):
            source.report(here, _NO_KEYS)
            value[key] = Blank()
        else:
            _refuse_secrets(source, item, here)


class _Checker:
    """Validates values against specs and words what pydantic finds."""

    def __init__(self, source: Source, types: Types, lost: set[FieldPath]) -> None:
        self.source = source
        self.types = types
        self.lost = lost

    def typed(self, room: Room, kind: type[S], value: Json, path: FieldPath) -> S | None:
        """A section whose class its own `type` names."""
        if not isinstance(value, dict):
            if not isinstance(value, Blank):
                self.source.report(path, f"{shown(value)}; expected a mapping with a `type`")
            return None
        cls = self._class(room, kind, value, path)
        return None if cls is None else self.spec(cls, value, path)

    def _class(
        self, room: Room, kind: type[S], value: dict[str, Json], path: FieldPath
    ) -> type[S] | None:
        default = kind.model_fields["type"].default if kind is EngineSpec else None
        name = value.get("type", default)
        choices = self.types.choices(room)
        if isinstance(name, Blank):
            return None
        if isinstance(name, str) and (name in choices or "." in name):
            return self._find(room, kind, name, path)
        if "type" not in value:
            message = f"missing; expected one of {', '.join(map(repr, choices))}"
        elif room == "judges" and name in self.types.choices("engines"):
            message = (
                f"{name!r} serves models that have weights; list the judge under `models` and "
                f"write {{type: engine, model: NAME}}"
            )
        else:
            quoted = shown(name) if isinstance(name, str) else f"({shown(name)})"
            message = f"unknown type {quoted}{choices_hint(name, choices)}"
            message += ", or a dotted path to a module of your own" if room != "judges" else ""
        self.source.report((*path, "type"), message)
        return None

    def _find(self, room: Room, kind: type[S], name: str, path: FieldPath) -> type[S] | None:
        try:
            cls = self.types.spec(room, name)
        except EvalkitError as error:
            self.source.report((*path, "type"), str(error))
            return None
        if issubclass(cls, kind):
            return cls
        self.source.report(
            (*path, "type"),
            f"the spec of {name!r} must derive from evalkit.core.specs.{kind.__name__}",
        )
        return None

    def model(self, value: Json, path: FieldPath) -> ModelSpec | None:
        """A model, with the engine of its own it may have."""
        if not isinstance(value, dict) or value.get("engine") is None:
            return self.spec(ModelSpec, value, path)
        engine = self.typed("engines", EngineSpec, value["engine"], (*path, "engine"))
        if engine is None:
            self.lost.add((*path, "engine"))
        return self.spec(ModelSpec, {**value, "engine": engine}, path)

    def spec(self, cls: type[S], value: Json, path: FieldPath) -> S | None:
        """`value` as `cls`, without the fields that are wrong; None where that is none."""
        if not isinstance(value, dict):
            if not isinstance(value, Blank):
                self.source.report(path, f"{shown(value)}; expected a mapping (name: value)")
            return None
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            self.explain(error, cls, value, path)
            wrong = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
        self.lost.update((*path, name) for name in wrong)
        try:
            return cls.model_validate({k: v for k, v in value.items() if k not in wrong})
        except ValidationError:
            return None

    def frame(self, parts: Parts) -> None:
        """The top level: its names, and the sections that must be there."""
        whole = _with_parts(self.source.tree, parts)
        if whole.get("report") is not None:
            whole["report"] = ReportSpec()
        if whole.get("gate") is not None:
            whole["gate"] = GateSpec(baseline="")
        try:
            Suite.model_validate(whole)
        except ValidationError as error:
            self.explain(error, Suite, whole, ())

    def explain(
        self, error: ValidationError, cls: type[BaseModel], value: Json, path: FieldPath
    ) -> None:
        """Report what pydantic found."""
        for loc, message in explanations(error, cls, value):
            self.source.report((*path, *loc), message)
