"""Plain values to a Suite, in one pass; pydantic's errors as messages, each with its line.

Engines, judges and benchmarks are unions discriminated by `type`, of the specs of the suite's
types.  The caller passes a Resolver that finds the specs.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, Union, get_args

from pydantic import BaseModel, Discriminator, Tag, ValidationError, create_model

from evalkit.core import Json, trust
from evalkit.core.protocols import ReadsLogprobs
from evalkit.core.specs import (
    BenchmarkSpec,
    EngineSpec,
    GateSpec,
    JudgeSpec,
    ModelSpec,
    Name,
    Spec,
    Suite,
)
from evalkit.errors import EvalkitError, did_you_mean
from evalkit.suite.reading import Blank, FieldPath, SuiteText, choices_hint, shown

__all__ = [
    "STRUCK",
    "Offer",
    "Parts",
    "Resolver",
    "Room",
    "Struck",
    "Types",
    "suite_model",
    "validate",
    "without_struck",
]

Room = Literal["engines", "judges", "benchmarks"]
_BASES: dict[Room, type[Spec]] = {
    "engines": EngineSpec,
    "judges": JudgeSpec,
    "benchmarks": BenchmarkSpec,
}


class Offer(Protocol):
    """The class and spec of a type name."""

    @property
    def cls(self) -> type[Any]:
        """The benchmark or engine itself."""
        ...

    @property
    def spec(self) -> type[Spec] | None:
        """Its settings; None: the room's base spec."""
        ...


class Resolver(Protocol):
    """Finds types (`evalkit.plugins` does).

    A parameter, because it imports rooms above this one.  Both lookups raise an EvalkitError where
    there is no such type.
    """

    def find(self, room: Literal["benchmarks", "engines", "judges"], name: str) -> Offer:
        """The benchmark, engine or judge protocol of that type."""
        ...

    def judge_spec(self, kind: str) -> type[JudgeSpec]:
        """Settings of a judge of that type."""
        ...

    def names(self, room: Literal["benchmarks", "engines"]) -> Sequence[str]:
        """Types that may be named."""
        ...


@dataclass(frozen=True)
class Types:
    """The types of a suite's three rooms, from a Resolver."""

    resolve: Resolver
    root: Path | None = None
    """Folder of the suite; None: it has none."""

    def choices(self, room: Room) -> list[str]:
        """Types a section of that room may name."""
        if room != "judges":
            return list(self.resolve.names(room))
        return ["engine", *(n for n in self.resolve.names("engines") if not self.needs_weights(n))]

    def spec(self, room: Room, name: Json) -> type[Spec]:
        """Spec class of that type.  Raises EvalkitError, whose message is for the user."""
        base, found = _BASES[room], self._named(room, name)
        if found is None:
            choices = self.choices(room)  # imports every module of the room
            if name is None:
                raise EvalkitError(f"missing; expected one of {', '.join(map(repr, choices))}")
            if room == "judges" and name in self.resolve.names("engines"):
                raise EvalkitError(
                    f"{name!r} serves models that have weights; list the judge under `models` and "
                    f"write {{type: engine, model: NAME}}"
                )
            quoted = shown(name) if isinstance(name, str) else f"({shown(name)})"
            own = "" if room == "judges" else ", or a dotted path to a module of your own"
            raise EvalkitError(f"unknown type {quoted}{choices_hint(name, choices)}{own}")
        if not issubclass(found, base):
            wanted = f"evalkit.core.specs.{base.__name__}"
            raise EvalkitError(f"the spec of {name!r} must derive from {wanted}")
        return found

    def _named(self, room: Room, name: Json) -> type[Spec] | None:
        """Of a type that there is; importing no other.  A dotted path's own error is raised."""
        if not isinstance(name, str):
            return None
        if "." in name:
            trust.current().ask(trust.module_code(name, self.root))
        try:
            if room != "judges":
                return self.resolve.find(room, name).spec or _BASES[room]
            weighs = name != "engine" and "." not in name and self.needs_weights(name)
            return None if weighs else self.resolve.judge_spec(name)
        except EvalkitError:
            if "." in name:
                raise
            return None

    def needs_weights(self, engine: str) -> bool:
        """Whether models of this engine need `path`, or `base` and `adapter`."""
        return bool(self.resolve.find("engines", engine).cls.needs_weights)

    def without_logprobs(self, spec: BenchmarkSpec, judge: JudgeSpec) -> Mapping[str, Json]:
        """What to write so that no log-probabilities are read; empty where none are.

        Raises SuiteError for settings that do not exist.
        """
        if judge.protocol == "logprob":
            return {"protocol": "text"}
        benchmark = self.resolve.find("benchmarks", spec.type).cls
        if judge.protocol == "text" or benchmark.original_judge is None:
            return {}
        original = self.resolve.find("judges", benchmark.original_judge).cls
        reads = isinstance(original, ReadsLogprobs)
        return original.without_logprobs(benchmark.judge_options(spec)) if reads else {}

    def judged(self, benchmark: str) -> bool:
        """Whether this benchmark needs a judge."""
        return self.resolve.find("benchmarks", benchmark).cls.judge_kind is not None


# Struck values


class Struck(NamedTuple):
    """A value that suites could once have.

    In a suite file it is an error that says what to write; in a stored run it is accepted.
    """

    at: tuple[str, ...]
    """Its field; `*` is any name or position."""
    value: Json
    instead: Json
    """Its replacement in a stored suite; None: the field is removed."""
    message: str
    """For a suite file; empty: it never had an effect, and a suite file may have it, too."""


_NO_LORA = (
    "'lora' is no longer offered; expected 'merged', the default: it merges the adapter into its "
    "base and proves the merge; for several adapters of one base write one model for each, and "
    "remove `serve`"
)
STRUCK = (
    Struck(
        ("report", "charts"),
        "radar",
        "bars",
        "'radar' is no longer drawn; expected 'bars', the default, which shows intervals, too",
    ),
    Struck(("engine", "serve"), "lora", "merged", _NO_LORA),
    Struck(("models", "*", "engine", "serve"), "lora", "merged", _NO_LORA),
)


def without_struck(source: SuiteText, *, stored: bool) -> None:
    """Replace every struck value in place; in a suite that is not `stored`, report it, too."""
    for struck in STRUCK:
        for path in _matching(source.tree, struck.at, ()):
            if (owner := _at(source.tree, path[:-1]))[path[-1]] != struck.value:
                continue
            if struck.message and not stored:
                source.report(path, struck.message)
            if struck.instead is None:
                del owner[path[-1]]
            else:
                owner[path[-1]] = struck.instead


def _matching(value: Json, at: tuple[str, ...], path: FieldPath) -> Iterator[FieldPath]:
    """Paths in `value` that the pattern `at` leads to."""
    if not at:
        yield path
    elif isinstance(value, dict | list):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            if at[0] in ("*", key):
                yield from _matching(item, at[1:], (*path, key))


def _at(value: Json, path: FieldPath) -> Json:
    """What is at `path`; None where nothing is."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        else:
            inside = isinstance(value, list) and isinstance(step, int) and step < len(value)
            value = value[step] if inside else None
    return value


# Validation


@dataclass
class Parts:
    """The sections of a suite; None: an invalid one."""

    engine: EngineSpec | None = None
    models: dict[str, ModelSpec | None] = field(default_factory=dict)
    judges: dict[str, JudgeSpec | None] = field(default_factory=dict)
    benchmarks: list[BenchmarkSpec | None] = field(default_factory=list)
    gate: GateSpec | None = None
    suite: Suite | None = None
    """The whole suite, where it is valid."""
    lost: set[FieldPath] = field(default_factory=set)
    """Invalid fields, which the sections above lack."""

    def knows(self, *path: str | int) -> bool:
        """Whether the field has the value that was written: it, and all in it, is valid."""
        return all(wrong[: len(path)] != path for wrong in self.lost)


def validate(source: SuiteText, types: Types) -> Parts:
    """The valid sections; everything else becomes a problem of `source`."""
    tree = source.tree
    tree.setdefault("engine", {})
    sections = _Sections(tree, types)
    parts, made = Parts(), None
    try:
        made = sections.classes[()].model_validate(tree)
    except ValidationError as error:
        for path, message in sections.explained(error):
            source.report(path, message)
            parts.lost.add(path)

    def part(*path: str | int) -> Any:
        """The section without its invalid fields; None where it needs them."""
        value, cls = _at(tree, path), sections.classes.get(path)
        if cls is None or not isinstance(value, dict):
            return None
        parts.lost |= {(*path, key) for key, item in value.items() if isinstance(item, Blank)}
        try:
            return cls.model_validate({k: v for k, v in value.items() if parts.knows(*path, k)})
        except ValidationError:
            return None

    parts.engine = part("engine")
    parts.models = {name: part("models", name) for name in _entries(tree, "models")}
    parts.judges = {name: part("judges", name) for name in _entries(tree, "judges")}
    parts.benchmarks = _named([part("benchmarks", n) for n in _entries(tree, "benchmarks")])
    parts.gate = part("gate")
    if made is not None:
        # Models are plain ModelSpecs again, so that equal suites compare equal.
        models = {name: ModelSpec(**dict(model)) for name, model in made.models.items()}
        changed: dict[str, Any] = {"models": models, "benchmarks": parts.benchmarks}
        parts.suite = Suite(**{**dict(made), **changed})
    return parts


def suite_model(specs: Mapping[Room, Mapping[str, type[Spec]]]) -> type[Suite]:
    """`Suite`, with every section that has a `type` a union of these specs, by their types."""
    return _suite_model(*(tuple(specs[room].items()) for room in _BASES))


@functools.lru_cache(maxsize=64)
def _suite_model(*specs: tuple[tuple[str, type[Spec]], ...]) -> type[Suite]:
    """Kept, since pydantic takes longer to make the class than to read a suite."""
    by_room = dict(zip(_BASES, map(dict, specs), strict=True))

    def union(room: Room) -> Any:
        known = by_room[room] or {"-": _BASES[room]}

        def tag(value: Any) -> str | None:
            name = value.get("type", _default_type(room)) if isinstance(value, dict) else None
            return name if isinstance(name, str) and name in known else None

        tagged = tuple(Annotated[cls, Tag(name)] for name, cls in known.items())
        return Annotated[Union[tagged], Discriminator(tag)]  # noqa: UP007

    def derived(base: Any, **annotations: Any) -> Any:
        fields: Any = {name: (kind, base.model_fields[name]) for name, kind in annotations.items()}
        return create_model(base.__name__, __base__=base, __doc__=base.__doc__, **fields)

    engine, judge, benchmark = union("engines"), union("judges"), union("benchmarks")
    model = derived(ModelSpec, engine=engine | None)
    made: type[Suite] = derived(
        Suite,
        engine=engine,
        models=dict[Name, model],  # type: ignore[valid-type]
        judges=dict[Name, judge],  # type: ignore[valid-type]
        benchmarks=tuple[benchmark, ...],  # type: ignore[valid-type]
    )
    return made


def _entries(tree: dict[str, Json], section: str) -> list[Any]:
    """Keys or positions of a section's entries; none where the section is of a wrong type."""
    value = tree.get(section)
    if section == "benchmarks":
        return list(range(len(value))) if isinstance(value, list) else []
    return list(value) if isinstance(value, dict) else []


class _Sections:
    """The class of each section of a suite, and pydantic's errors as messages."""

    def __init__(self, tree: dict[str, Json], types: Types) -> None:
        self.tree = tree
        self.classes: dict[FieldPath, Any] = {("gate",): GateSpec}
        self.refused: dict[FieldPath, str] = {}
        """Why the `type` of a section has no class."""
        specs: dict[Room, dict[str, type[Spec]]] = {room: {} for room in _BASES}
        typed: list[tuple[Room, FieldPath]] = [("engines", ("engine",))]
        typed += [("engines", ("models", name, "engine")) for name in _entries(tree, "models")]
        typed += [("judges", ("judges", name)) for name in _entries(tree, "judges")]
        typed += [("benchmarks", ("benchmarks", n)) for n in _entries(tree, "benchmarks")]
        for room, path in typed:
            value = _at(tree, path)
            name = value.get("type", _default_type(room)) if isinstance(value, dict) else Blank()
            if isinstance(name, Blank):
                continue
            try:
                self.classes[path] = specs[room][name] = types.spec(room, name)
            except EvalkitError as error:
                self.refused[path] = str(error)
        self.classes[()] = suite_model(specs)
        model = _model_in(self.classes[()].model_fields["models"].annotation)
        self.classes |= {("models", name): model for name in _entries(tree, "models")}

    def explained(self, error: ValidationError) -> Iterator[tuple[FieldPath, str]]:
        """Each invalid place once, with everything that would be valid there."""
        grouped: dict[FieldPath, tuple[Json, list[str]]] = {}
        for detail in error.errors(include_url=False):
            path, value = _path(detail, self.tree), detail["input"]
            if isinstance(value, Blank):
                continue
            if detail["type"] == "union_tag_not_found" and isinstance(value, dict):
                if path in self.refused:
                    yield (*path, "type"), self.refused[path]
            elif (message := self._special(detail, path)) is not None:
                if message:
                    yield path, message
            else:
                expectations = grouped.setdefault(path, (value, []))[1]
                expectations.append(_expectation(detail, path))
        for path, (value, expectations) in grouped.items():
            yield path, f"{shown(value)}; expected {' or '.join(dict.fromkeys(expectations))}"

    def _special(self, detail: Any, path: FieldPath) -> str | None:
        """Messages that do not begin with the value; None: another kind of error."""
        kind = detail["type"]
        if kind == "missing":
            return f"missing; write `{path[-1]}` ({self._about(path)})"
        if kind == "extra_forbidden":
            fields = list(self._owner(path).model_fields)
            return f"unknown field {str(path[-1])!r}{choices_hint(path[-1], fields)}"
        if kind in ("too_short", "string_too_short"):
            # Where all entries are invalid, pydantic also reports that there are none.
            return "" if detail["input"] else f"is empty; expected {self._about(path)}"
        if kind in ("value_error", "assertion_error"):
            return str(detail["msg"]).split(", ", maxsplit=1)[-1]
        if detail["loc"] and detail["loc"][-1] == "[key]":
            return f"the name {shown(detail['input'])} cannot be used; expected {_NAME}"
        return None

    def _about(self, path: FieldPath) -> str:
        """What a field is, from its documentation."""
        info = self._owner(path).model_fields.get(str(path[-1]))
        text = " ".join(((info and info.description) or "a value").rstrip(".").split())
        return text[0].lower() + text[1:] if text[1:2].islower() else text

    def _owner(self, path: FieldPath) -> type[BaseModel]:
        """The class that has the field `path` leads to."""
        start = next(n for n in range(len(path) - 1, -1, -1) if path[:n] in self.classes)
        found: type[BaseModel] = self.classes[path[:start]]
        for step in path[start:-1]:
            if step in found.model_fields:
                found = _model_in(found.model_fields[str(step)].annotation) or found
        return found


def _default_type(room: Room) -> Any:
    return _BASES[room].model_fields["type"].default if room == "engines" else None


def _named(benchmarks: list[BenchmarkSpec | None]) -> list[BenchmarkSpec | None]:
    """The benchmarks, with several unnamed entries of one type named by their versions."""
    unnamed = Counter(spec.type for spec in benchmarks if spec is not None and spec.name is None)
    named = list(benchmarks)
    for n, spec in enumerate(benchmarks):
        version = getattr(spec, "version", None)
        if spec and spec.name is None and version is not None and unnamed[spec.type] > 1:
            named[n] = spec.model_copy(update={"name": f"{spec.type}-v{version}"})
    return named


def _path(detail: Any, value: Json) -> FieldPath:
    """Pydantic's location without steps that are not in the file: branches of unions, `[key]`."""
    path: FieldPath = ()
    for step in detail["loc"]:
        in_list = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if in_list or (isinstance(value, dict) and step in value):
            value = value[step]
            path = (*path, step)
    return (*path, detail["loc"][-1]) if detail["type"] == "missing" else path


_NAME = (
    "1 to 120 characters without colon, comma or slash, no dot at the start, no space at either end"
)
_EXPECTED = {
    "bool": "true or false",
    "dict": "a mapping (name: value)",
    "float": "a number",
    "int": "a whole number",
    "list": "a list ([one, two])",
    "model": "a mapping (name: value)",
    "none": "nothing",
    "string": "text",
    "tuple": "a list ([one, two])",
}


def _expectation(detail: Any, path: FieldPath) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "string_type" and isinstance(value, int | float):
        return "text (put it in quotes)"
    if kind in ("literal_error", "enum"):
        choices = re.split(r", | or ", str(detail["ctx"]["expected"]))
        one_of = "one of " if len(choices) > 1 else ""
        near = did_you_mean(str(value), [c.strip("'") for c in choices], cutoff=0.5)
        return f"{one_of}{', '.join(choices)}{near}"
    if kind == "union_tag_not_found":
        return "a mapping with a `type`"
    if kind == "string_pattern_mismatch":
        return _NAME if path[-1:] == ("name",) else f"text that matches {detail['ctx']['pattern']}"
    if kind == "string_unicode":
        return "text that UTF-8 can hold"
    expected = str(detail["msg"]).removeprefix("Input should be ")
    if expected.startswith(("greater", "less")):
        return f"a number {expected}"
    base, _, fault = kind.partition("_")
    known = fault in ("type", "parsing", "from_float", "required")
    return _EXPECTED.get(base, expected) if known else expected


def _model_in(annotation: Any) -> Any:
    """The first model class in an annotation; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a)) is not None), None)
