"""A YAML file, or a mapping, to plain values with their lines; then `--set a.b=c`.

The text is composed into ruamel's nodes and read from them, not loaded: nodes have positions, every
repeated key can be reported (a loader stops at the first), only YAML's own tags are accepted, and
aliases are counted as they expand, so that a few nested ones cannot fill memory.  Also here: how
values appear in messages, and how keys and passwords are kept out of them.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from evalkit import catalogue
from evalkit.core import Json, trust
from evalkit.core.files import read_file
from evalkit.core.secrets import looks_secret
from evalkit.errors import Problem, SuiteError, did_you_mean

__all__ = [
    "HUB",
    "Blank",
    "FieldPath",
    "Position",
    "SuiteText",
    "apply_overrides",
    "choices_hint",
    "from_here",
    "from_mapping",
    "from_text",
    "labels",
    "names_secret",
    "read",
    "refuse_secrets",
    "shown",
]

FieldPath: TypeAlias = tuple[str | int, ...]

_MAX_BYTES = 1 << 20
_MAX_VALUES = 20_000
_MAX_DEPTH = 40
_MAX_NUMBER = 10**100


class Blank(str):
    """Replaces a value that is unusable, so that it is reported once and never shown."""

    __slots__ = ()


class Position(NamedTuple):
    """Where a value was written."""

    shown: str
    """`file:line`, or the override that set it."""
    order: int
    """Its line; overrides come after the file."""


@dataclass
class SuiteText:
    """A suite before validation: plain values, the place of each, the problems so far."""

    origin: str
    """File name as the user gave it, or a replacement for messages."""
    tree: dict[str, Json] = field(default_factory=dict)
    places: dict[FieldPath, Position] = field(default_factory=dict)
    found: list[tuple[int, Problem]] = field(default_factory=list)
    """Problems so far, each with the order of its place."""

    @property
    def problems(self) -> list[Problem]:
        """Each problem once, in the order of the file."""
        return list(dict.fromkeys(p for _, p in sorted(self.found, key=lambda pair: pair[0])))

    def place(self, path: FieldPath) -> Position:
        """Where `path` was written, else the nearest value around it."""
        around = (path[:n] for n in range(len(path), -1, -1))
        return next((self.places[p] for p in around if p in self.places), Position(self.origin, 0))

    def where(self, path: FieldPath, place: Position | None = None) -> str:
        """`file:line: field.path`."""
        at = (place or self.place(path)).shown
        return f"{at}: {_dotted(path)}" if path else at

    def report(self, path: FieldPath, message: str, place: Position | None = None) -> None:
        """Note one problem; `place`: elsewhere than where `path` was written."""
        problem = Problem(self.where(path, place), message)
        self.found.append(((place or self.place(path)).order, problem))


def _dotted(path: FieldPath) -> str:
    """A field path as `--set` takes it; unprintable names are escaped."""
    return ".".join(p if isinstance(p, str) and p.isprintable() else repr(p) for p in path)


# Values in messages


_SECRET_NAME = re.compile(
    r"(^|[_\-.])(api[_-]?key|access[_-]?key|secret(s|[_-]?key)?|passw(or)?d|authorization"
    r"|(hf|api|auth|access|bearer)[_-]?token|credentials?)$"
    r"|^(token|bearer|key)$",
    re.IGNORECASE,
)


def names_secret(key: str) -> bool:
    """Whether a field of this name would hold a secret (`api_key`, not `api_key_env`)."""
    return _SECRET_NAME.search(key) is not None


def shown(value: Json) -> str:
    """A value for a message: quoted, shortened, never a secret."""
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    if looks_secret(value):
        return "a value that looks like a key (not shown)"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:76]}...{text[-1]}"


def choices_hint(wrong: Json, choices: Sequence[str]) -> str:
    """`; did you mean 'x'? expected one of 'x', 'y'` (a guess only where one is similar)."""
    unique = list(dict.fromkeys(choices))
    guess = did_you_mean(str(wrong), unique, cutoff=0.5) or ";"
    one_of = "one of " if len(unique) > 1 else ""
    return (
        f"{guess} expected {one_of}{', '.join(map(repr, unique))}" if unique else "; there are none"
    )


_NO_KEYS = (
    "looks like an API key or password (not shown); a suite is shared, so set it in the "
    "environment and name the variable with `api_key_env`"
)


def refuse_secrets(source: SuiteText, value: Json = None, path: FieldPath = ()) -> None:
    """Report keys and passwords and blank them, so that no later message shows one."""
    value = value if path else source.tree
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        named = isinstance(key, str) and names_secret(key) and isinstance(item, str)
        if looks_secret(key):
            source.report(path, f"a name in it {_NO_KEYS}")
            del value[key]
        elif named or looks_secret(item):
            source.report((*path, key), _NO_KEYS)
            value[key] = Blank()
        elif isinstance(item, dict | list):
            refuse_secrets(source, item, (*path, key))


# Reading


def read(path: Path) -> SuiteText:
    """The file as a SuiteText.

    Raises:
        SuiteError: it cannot be read, is no YAML, or is not a mapping.
    """
    origin = str(path)
    try:
        raw = read_file(path, 2 * _MAX_BYTES)
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
    trust.current().read(path)
    return from_text(text, origin)


def from_text(text: str, origin: str) -> SuiteText:
    """As `read`, for the text of a file."""
    source = SuiteText(origin)
    node = _compose(text, origin)
    if node is None:
        raise _refused(
            origin,
            "is empty; a suite has at least name, models and benchmarks "
            "(suites/quickstart.yaml is an example)",
        )
    if not isinstance(node, MappingNode):
        raise _refused(f"{origin}:{_line(node)}", "expected a mapping (name: value)")
    source.places[()] = Position(f"{origin}:1", 1)
    source.tree = _Reader(source).mapping(node, ())
    return source


def from_mapping(mapping: Mapping[str, Any], origin: str) -> SuiteText:
    """A suite given as values that JSON can hold.  Raises SuiteError for any other value."""
    try:
        tree = json.loads(json.dumps(dict(mapping), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused(origin, f"not plain values, as JSON has them: {error}") from None
    return SuiteText(origin, tree)


def _refused(where: str, message: str) -> SuiteError:
    return SuiteError([Problem(where, message)])


def _compose(text: str, origin: str) -> Node | None:
    """The document's root node; None for an empty document.  Raises SuiteError."""
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refused(f"{origin}:{mark.line + 1 if mark else 1}", _syntax(error)) from None
    except RecursionError:
        raise _refused(origin, f"nested too deeply; at most {_MAX_DEPTH} levels") from None
    except (YAMLError, ValueError, TypeError, AttributeError, LookupError, AssertionError) as error:
        # On some malformed text ruamel's scanner raises other errors than its own.
        line = text[: getattr(error, "position", 0)].count("\n") + 1
        reason = getattr(error, "reason", f"the parser gave up: {type(error).__name__}")
        raise _refused(f"{origin}:{line}", f"not YAML: {reason}") from None
    return node


def _syntax(error: MarkedYAMLError) -> str:
    # Without the mark's snippet, since the line may hold a key.
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
    return 1 if node.start_mark is None else int(node.start_mark.line) + 1


_CORE = "tag:yaml.org,2002:"
_SCALARS = frozenset(_CORE + name for name in ("str", "int", "float", "bool", "null", "timestamp"))


class _Reader:
    """Turns nodes into values; records places and problems in the source."""

    def __init__(self, source: SuiteText) -> None:
        self.source = source
        self.left = _MAX_VALUES
        self.yaml = YAML(typ="safe", pure=True)

    def value(self, node: Node, path: FieldPath) -> Json:
        self.left -= 1
        if self.left < 0 or len(path) > _MAX_DEPTH:
            raise _refused(
                self._place(node).shown,
                f"more than {_MAX_VALUES} values or {_MAX_DEPTH} levels once aliases expand; "
                f"write the suite without them",
            )
        if isinstance(node, MappingNode) and node.tag == _CORE + "map":
            return self.mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == _CORE + "seq":
            places = {(*path, n): self._place(child) for n, child in enumerate(node.value)}
            self.source.places.update(places)
            return [self.value(child, (*path, n)) for n, child in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.tag in _SCALARS:
            return self._scalar(node, path)
        tag = str(node.tag).replace(_CORE, "!!")
        return self._refuse(node, path, f"the tag {tag!r} is not allowed here; write a plain value")

    def mapping(self, node: MappingNode, path: FieldPath) -> dict[str, Json]:
        found: dict[str, Json] = {}
        lines: dict[str, int] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _CORE + "merge":
                merged += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                continue
            key = key_node.value
            if not isinstance(key_node, ScalarNode) or key_node.tag != _CORE + "str":
                name = repr(key) if isinstance(key_node, ScalarNode) else "a list or mapping"
                self._refuse(key_node, path, f"the key {name} is not text; put it in quotes")
            elif key in lines:
                again = f"{key!r} is set twice (first on line {lines[key]}); remove one"
                self._refuse(key_node, (*path, key), again)
            else:
                lines[key] = _line(key_node)
                self.source.places[(*path, key)] = self._place(key_node)
                found[key] = self.value(value_node, (*path, key))
        # `<<: *anchor`: the mapping's own keys win, then the first of several anchors.
        for part in merged:
            if not isinstance(part, MappingNode):
                self._refuse(part, path, "`<<` takes a mapping or a list of mappings")
                continue
            own = dict(self.source.places)
            given = self.value(part, path)
            self.source.places.update(own)
            if isinstance(given, dict):
                found |= {key: value for key, value in given.items() if key not in found}
        return found

    def _scalar(self, node: ScalarNode, path: FieldPath) -> Json:
        kind = str(node.tag).removeprefix(_CORE)
        if kind in ("str", "timestamp"):
            return str(node.value)
        try:
            value = self.yaml.constructor.construct_object(node)
        except (ValueError, TypeError, LookupError, YAMLError):
            return self._refuse(node, path, f"{node.value!r:.80} is not a {kind}")
        if isinstance(value, int) and abs(value) > _MAX_NUMBER:
            return self._refuse(node, path, f"{node.value!r:.80} is beyond {_MAX_NUMBER:g}")
        if isinstance(value, float) and not math.isfinite(value):
            return self._refuse(node, path, f"{node.value!r:.80} is not a finite number")
        return value

    def _place(self, node: Node) -> Position:
        return Position(f"{self.source.origin}:{_line(node)}", _line(node))

    def _refuse(self, node: Node, path: FieldPath, message: str) -> Blank:
        self.source.report(path, message, self._place(node))
        return Blank()


# Overrides


HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""A hub repository OWNER/NAME, unless it is a folder."""
_WEIGHTS = frozenset({"path", "base", "adapter"})
_FILES = frozenset({"chat_template", "data", "include", "mirror"})
_FILES_BELOW = frozenset({"answers", "results", "judgments"})


def from_here(value: str, root: Path, *, weights: bool = True) -> str:
    """A path typed where one stands, as a suite in the folder `root` writes it.

    Relative to `root` where that is below the current folder, else absolute.  What is no path stays
    as it is: URLs, and a hub repository OWNER/NAME that is no folder here.

    Args:
        value: As typed.
        root: The suite's folder.
        weights: It names a model; else it may be something besides a path where it is not there.
    """
    here = Path.cwd()
    try:
        target = here / Path(value).expanduser()
        is_there = target.exists()
    except (OSError, RuntimeError, ValueError):  # ~ of an unknown user, a name too long
        return value
    is_repository = HUB.fullmatch(value) is not None and not value.endswith(".gguf")
    if ":" in value or (not is_there and (not weights or is_repository)):
        return value
    inside = (here / root).resolve().is_relative_to(here)
    return os.path.relpath(target, here / root) if inside else os.path.normpath(target)


def _placed(path: str, value: Json, root: Path) -> Json:
    """The value of an override, with its paths as a suite in `root` writes them."""
    if isinstance(value, dict):
        return {key: _placed(f"{path}.{key}", item, root) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    names = path.split(".")
    if names[-1] in _WEIGHTS:
        return from_here(value, root)
    is_file = names[-1] in _FILES or not _FILES_BELOW.isdisjoint(names)
    return from_here(value, root, weights=False) if is_file else value


def apply_overrides(source: SuiteText, overrides: Sequence[str], root: Path) -> None:
    """Apply `a.b=c` changes in place; one that cannot be applied becomes a problem of `source`.

    Paths in the values are relative to the current folder; `root` is the suite's.

    A path names mapping keys, list positions (`benchmarks.0.limit`) or list entries by their
    name or type (`benchmarks.alpaca_eval.max_tokens`).  Names may contain dots: the longest
    matching key is used.  Unknown fields are left to validation, which knows the names.
    `models.NAME=null` removes a model.
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        place = Position(f"--set {path}", 1 << 30)
        if not equals or not path:
            source.report((), "expected PATH=VALUE, as in engine.dtype=float32", place)
            continue
        try:
            _set(source, path.split("."), _placed(path, _parsed(text), root), place)
        except SuiteError as error:
            source.report((), error.problems[0].message, place)


def _parsed(text: str) -> Json:
    """The value after `--set a.b=`, typed as YAML types it.  Raises SuiteError."""
    source = SuiteText("value")
    try:
        node = _compose(text, "value")
        value = None if node is None else _Reader(source).value(node, ())
    except SuiteError as error:
        source.report((), error.problems[0].message)
    if source.problems:
        raise SuiteError(f"the value cannot be read: {source.problems[0].message}")
    return value


def _set(source: SuiteText, segments: list[str], value: Json, place: Position) -> None:
    node: Json = source.tree
    path: FieldPath = ()
    while True:
        key, segments = _step(node, segments, path)
        path = (*path, key)
        if not segments:
            break
        if isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
            source.places[path] = place
        node = node[key]
    # Drop the lines of the old value.
    source.places = {p: at for p, at in source.places.items() if p[: len(path)] != path}
    if value is None and path[:-1] == ("models",):
        if key not in node:
            raise SuiteError(f"models has no {key!r}{choices_hint(key, list(node))}")
        del node[key]
        return
    node[key] = value
    source.places[path] = place


def _step(node: Json, segments: list[str], path: FieldPath) -> tuple[str | int, list[str]]:
    """The key that `segments` begin with, and the segments after it.  Raises SuiteError."""
    named: dict[str | int, list[str]]
    if isinstance(node, dict):
        named = {key: [key] for key in node}
    elif isinstance(node, list):
        named = {n: [str(n), *labels(item)] for n, item in enumerate(node)}
    else:
        at = _dotted(path)
        raise SuiteError(f"{at} is a plain value and has no {segments[0]!r}; set {at} itself")
    for n in range(len(segments), 0, -1):
        wanted = ".".join(segments[:n])
        hits = [key for key, names in named.items() if wanted in names]
        if len(hits) > 1:
            raise SuiteError(
                f"{_dotted(path)} has {len(hits)} entries {wanted!r}; "
                f"name one by its position ({', '.join(map(str, hits))})"
            )
        if hits:
            return hits[0], segments[n:]
    if isinstance(node, dict):
        if path[-1:] == ("margins",):
            last = len(segments) - (segments[-1] in catalogue.UNITS)
            return ".".join(segments[:last]), segments[last:]
        # Keys of models and judges are the user's own names: a typo must not add one.
        if path not in (("models",), ("judges",)) or len(segments) == 1:
            return segments[0], segments[1:]
    known = [name for names in named.values() for name in names]
    raise SuiteError(f"{_dotted(path)} has no {segments[0]!r}{choices_hint(segments[0], known)}")


def labels(item: Json) -> list[str]:
    """Names that select an entry: its name, or its type with and without the version."""
    if not isinstance(item, dict):
        return []
    if isinstance(item.get("name"), str):
        return [item["name"]]
    kind = item.get("type")
    if not isinstance(kind, str):
        return []
    return [kind, f"{kind}-v{item['version']}"] if "version" in item else [kind]
