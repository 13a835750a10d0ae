"""YAML text to plain values, each with its place in the file.

The text is composed into nodes and read here, rather than loaded: nodes know their lines,
every repeated key can be named (a loader stops at the first), only YAML's own tags are
obeyed, and aliases are counted as they unfold, so that a few nested ones cannot fill memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from evalkit.core import Json
from evalkit.errors import Problem, SuiteError

__all__ = [
    "Blank",
    "FieldPath",
    "Place",
    "Source",
    "compose",
    "dotted",
    "from_mapping",
    "from_text",
    "read",
    "scalar_or_tree",
]

FieldPath: TypeAlias = tuple[str | int, ...]

_MAX_BYTES = 1 << 20
_MAX_VALUES = 20_000
_MAX_DEPTH = 40
_CORE = "tag:yaml.org,2002:"
_SCALARS = frozenset(_CORE + name for name in ("str", "int", "float", "bool", "null", "timestamp"))


class Blank(str):
    """Stands where something unusable stood, so that it is reported once and never shown."""

    __slots__ = ()


class Place(NamedTuple):
    """Where a value was written."""

    shown: str
    """`file:line`, or the override that set it."""
    order: int
    """Its line; overrides come after the file."""


@dataclass
class Source:
    """A suite before validation: plain values, where each was written, what is wrong so far."""

    origin: str
    """File name as the user gave it, or what stands for it."""
    tree: dict[str, Json] = field(default_factory=dict)
    places: dict[FieldPath, Place] = field(default_factory=dict)
    found: list[tuple[int, Problem]] = field(default_factory=list)
    """Problems so far, each with its place's order."""

    @property
    def problems(self) -> list[Problem]:
        """Each problem once, in the order of the file."""
        return list(dict.fromkeys(p for _, p in sorted(self.found, key=lambda pair: pair[0])))

    def place(self, path: FieldPath) -> Place:
        """That of the nearest enclosing value that has one."""
        known = (path[:n] for n in range(len(path), -1, -1))
        return next((self.places[p] for p in known if p in self.places), Place(self.origin, 0))

    def where(self, path: FieldPath) -> str:
        """`file:line: field.path`."""
        return _where(self.place(path), path)

    def report(self, path: FieldPath, message: str, place: Place | None = None) -> None:
        """Note one thing that is wrong; `place`: elsewhere than where `path` was written."""
        at = place or self.place(path)
        self.found.append((at.order, Problem(_where(at, path), message)))


def _where(place: Place, path: FieldPath) -> str:
    return f"{place.shown}: {dotted(path)}" if path else place.shown


def dotted(path: FieldPath) -> str:
    """A field path as `--set` takes it; unprintable names are escaped."""
    return ".".join(p if isinstance(p, str) and p.isprintable() else repr(p) for p in path)


def read(path: Path) -> Source:
    """The file as a Source.

    Raises:
        SuiteError: it cannot be read, is no YAML, or is not a mapping.
    """
    origin = str(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise _refused(origin, "no such file; `evalkit list` names the bundled suites") from None
    except IsADirectoryError:
        raise _refused(origin, "is a folder; name the YAML file in it") from None
    except (OSError, ValueError) as error:
        raise _refused(repr(origin), f"cannot be read: {error}") from None
    if len(raw) > _MAX_BYTES:
        raise _refused(origin, f"{len(raw)} bytes; a suite has at most {_MAX_BYTES}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        message = f"byte {raw[error.start]:#04x} is not UTF-8; save as UTF-8"
        raise _refused(f"{origin}:{line}", message) from None
    return from_text(text, origin)


def _refused(where: str, message: str) -> SuiteError:
    return SuiteError([Problem(where, message)])


def from_text(text: str, origin: str) -> Source:
    """As `read`, for text that is already here."""
    source = Source(origin)
    node = compose(text, origin)
    if node is None:
        raise _refused(
            origin,
            "is empty; a suite has at least name, models and benchmarks "
            "(suites/quickstart.yaml is an example)",
        )
    if not isinstance(node, MappingNode):
        raise _refused(f"{origin}:{_line(node)}", "expected a mapping (name: value)")
    source.places[()] = Place(f"{origin}:1", 1)
    source.tree = _Reader(source).mapping(node, ())
    return source


def from_mapping(mapping: Mapping[str, Any], origin: str) -> Source:
    """A suite given as Python values; everything that YAML could not say is a problem."""
    source = Source(origin, places={(): Place(origin, 0)})
    tree = _Plain(source).value(mapping, ())
    source.tree = tree if isinstance(tree, dict) else {}
    return source


def scalar_or_tree(text: str) -> Json:
    """The value after `--set a.b=`, typed as YAML types it.  Raises SuiteError."""
    source = Source("value")
    node = compose(text, "value")
    value = None if node is None else _Reader(source).value(node, ())
    if source.problems:
        raise SuiteError(source.problems)
    return value


def compose(text: str, origin: str) -> Node | None:
    """The document's root node; None for an empty document.  Raises SuiteError."""
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise _refused(f"{origin}:{line}", _syntax(error)) from None
    except YAMLError as error:
        line = text[: getattr(error, "position", 0)].count("\n") + 1
        reason = getattr(error, "reason", "cannot be parsed")
        raise _refused(f"{origin}:{line}", f"not YAML: {reason}") from None
    except RecursionError:
        raise _refused(origin, f"nested too deeply; at most {_MAX_DEPTH} levels") from None
    except (ValueError, TypeError, AttributeError, LookupError, AssertionError) as error:
        # ruamel's scanner lets these out on some malformed text.
        kind = type(error).__name__
        raise _refused(origin, f"not YAML (the parser gave up: {kind})") from None
    return node


def _syntax(error: MarkedYAMLError) -> str:
    # The mark's snippet stays out: the line may hold a key.
    problem = str(error.problem or "cannot be parsed")
    if r"'\t'" in problem:
        return "a tab; YAML is indented with spaces"
    if "another document" in problem:
        return "a second document begins; a suite is one document (one file each)"
    if "undefined alias" in problem:
        return f"{problem}; write its anchor (&NAME) above it, or the value itself"
    context = f" {error.context}" if error.context else ""
    start, mark = error.context_mark, error.problem_mark
    if start is not None and mark is not None and start.line < mark.line:
        context += f" that begins on line {start.line + 1}"
    return f"not YAML: {problem}{context}"


def _line(node: Node) -> int:
    mark = node.start_mark
    return 1 if mark is None else int(mark.line) + 1


class _Reader:
    """Unfolds nodes into values; notes places and problems in the source."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.left = _MAX_VALUES
        self.yaml = YAML(typ="safe", pure=True)

    def value(self, node: Node, path: FieldPath) -> Json:
        self.left -= 1
        if self.left < 0 or len(path) > _MAX_DEPTH:
            message = (
                f"more than {_MAX_VALUES} values or {_MAX_DEPTH} levels once aliases unfold; "
                f"write the suite out"
            )
            raise _refused(self._place(node).shown, message)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if str(node.tag) not in (_CORE + "map", _CORE + "seq"):
            return self._bad_tag(node, path)
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        return [self._item(child, (*path, n)) for n, child in enumerate(node.value)]

    def mapping(self, node: MappingNode, path: FieldPath) -> dict[str, Json]:
        found: dict[str, Json] = {}
        lines: dict[str, int] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _CORE + "merge":
                merged.append(value_node)
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in lines:
                self._note(
                    key_node,
                    (*path, key),
                    f"{key!r} is set twice (first on line {lines[key]}); remove one",
                )
                continue
            lines[key] = _line(key_node)
            self.source.places[(*path, key)] = self._place(key_node)
            found[key] = self.value(value_node, (*path, key))
        for other in merged:
            self._merge(other, path, found)
        return found

    def _merge(self, node: Node, path: FieldPath, found: dict[str, Json]) -> None:
        """`<<: *anchor`: keys written out win, then the first of several anchors."""
        for part in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(part, MappingNode):
                self._note(node, path, "`<<` takes a mapping or a list of mappings")
                continue
            places = dict(self.source.places)
            given = self.value(part, path)
            self.source.places.update(places)
            for key, value in given.items():
                found.setdefault(key, value)

    def _item(self, node: Node, path: FieldPath) -> Json:
        self.source.places[path] = self._place(node)
        return self.value(node, path)

    def _key(self, node: Node, path: FieldPath) -> str | None:
        if isinstance(node, ScalarNode) and node.tag == _CORE + "str":
            return str(node.value)
        shown = repr(node.value) if isinstance(node, ScalarNode) else "a list or mapping"
        self._note(node, path, f"the key {shown} is not text; put it in quotes")
        return None

    def _scalar(self, node: ScalarNode, path: FieldPath) -> Json:
        tag = str(node.tag)
        if tag not in _SCALARS:
            return self._bad_tag(node, path)
        if tag in (_CORE + "str", _CORE + "timestamp"):
            return str(node.value)
        try:
            value = self.yaml.constructor.construct_object(node)
        except (ValueError, TypeError, LookupError, YAMLError):
            self._note(node, path, f"{node.value!r:.80} is not a {tag.removeprefix(_CORE)}")
            return Blank()
        if isinstance(value, float) and not math.isfinite(value):
            self._note(node, path, f"{node.value!r:.80} is not a finite number")
            return Blank()
        return value

    def _bad_tag(self, node: Node, path: FieldPath) -> Blank:
        shown = str(node.tag).replace(_CORE, "!!")
        self._note(node, path, f"the tag {shown!r} is not allowed here; write a plain value")
        return Blank()

    def _place(self, node: Node) -> Place:
        return Place(f"{self.source.origin}:{_line(node)}", _line(node))

    def _note(self, node: Node, path: FieldPath, message: str) -> None:
        self.source.report(path, message, self._place(node))


class _Plain:
    """Copies Python values, keeping only what YAML can say."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.left = _MAX_VALUES

    def value(self, value: object, path: FieldPath) -> Json:
        self.left -= 1
        if self.left < 0 or len(path) > _MAX_DEPTH:
            raise _refused(
                self.source.origin,
                f"more than {_MAX_VALUES} values or {_MAX_DEPTH} levels "
                f"(does a value contain itself?)",
            )
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
            return [self.value(item, (*path, n)) for n, item in enumerate(value)]
        if isinstance(value, float) and not math.isfinite(value):
            self.source.report(path, f"{value!r} is not a finite number")
            return Blank()
        if value is None or isinstance(value, str | int | float):
            return value
        self.source.report(
            path,
            f"a {type(value).__name__}; expected text, a number, true, false, null, "
            f"a list or a mapping",
        )
        return Blank()

    def _mapping(self, value: Mapping[Any, Any], path: FieldPath) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for key, item in value.items():
            if isinstance(key, str):
                found[key] = self.value(item, (*path, key))
            else:
                self.source.report(path, f"the key {key!r:.80} is not text; put it in quotes")
        return found
