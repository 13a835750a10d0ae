"""`--set a.b=c`: changes to a suite from the command line, before it is validated.

A path names mapping keys, list positions (`benchmarks.0.limit`) or list entries by their
name or type (`benchmarks.alpaca_eval.max_tokens`).  Names may contain dots: the longest key
that fits is taken.  Fields that do not exist are left to validation, which knows the names.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.core import Json
from evalkit.errors import SuiteError
from evalkit.suite.reading import FieldPath, Place, Source, dotted, scalar_or_tree
from evalkit.suite.wording import choices_hint

__all__ = ["apply"]

LAST = 1 << 30
"""Problems of overrides are listed after those of the file."""
_NAMED = ("models", "judges")
"""Sections whose keys are the user's own names: a new one never comes to be by a typo."""


class _BadPath(Exception):
    """The path does not lead anywhere; its message says why."""


def apply(source: Source, overrides: Sequence[str]) -> None:
    """Change `source` in place; what cannot be applied becomes one of its problems."""
    for override in overrides:
        path_text, equals, value_text = override.partition("=")
        place = Place(f"--set {path_text}", LAST)
        if not equals or not path_text:
            source.report((), "expected PATH=VALUE, as in engine.dtype=float32", place)
            continue
        try:
            _set(source, path_text.split("."), scalar_or_tree(value_text), place)
        except SuiteError as error:
            reason = error.problems[0].message
            source.report((), f"the value cannot be read: {reason}", place)
        except _BadPath as error:
            source.report((), str(error), place)


def _set(source: Source, segments: list[str], value: Json, place: Place) -> None:
    node: Json = source.tree
    path: FieldPath = ()
    while True:
        key, rest = _step(node, segments, path)
        path = (*path, key)
        if not rest:
            _forget(source, path)
            node[key] = value
            source.places[path] = place
            return
        if isinstance(node, dict) and node.get(str(key)) is None:
            node[str(key)] = {}
            source.places[path] = place
        node, segments = node[key], rest


def _step(node: Json, segments: list[str], path: FieldPath) -> tuple[str | int, list[str]]:
    """The key that `segments` begin with, and what follows it."""
    if isinstance(node, dict):
        return _key(node, segments, path)
    if isinstance(node, list):
        return _item(node, segments, path)
    raise _BadPath(
        f"{dotted(path)} is a plain value and has no {segments[0]!r}; set {dotted(path)} itself"
    )


def _key(
    node: dict[str, Json], segments: list[str], path: FieldPath
) -> tuple[str | int, list[str]]:
    for n in range(len(segments), 0, -1):
        if ".".join(segments[:n]) in node:
            return ".".join(segments[:n]), segments[n:]
    if path and path[-1] == "margins":
        return ".".join(segments), []
    if len(path) == 1 and path[0] in _NAMED and len(segments) > 1:
        raise _BadPath(
            f"{dotted(path)} has no {segments[0]!r}{choices_hint(segments[0], list(node))}"
        )
    return segments[0], segments[1:]


def _item(node: list[Json], segments: list[str], path: FieldPath) -> tuple[int, list[str]]:
    if segments[0].isdecimal():
        if int(segments[0]) < len(node):
            return int(segments[0]), segments[1:]
        raise _BadPath(f"{dotted(path)} has no entry {segments[0]}; it has {len(node)}, from 0")
    labels = [_labels(item) for item in node]
    for n in range(len(segments), 0, -1):
        wanted = ".".join(segments[:n])
        hits = [i for i, names in enumerate(labels) if wanted in names]
        if len(hits) > 1:
            raise _BadPath(
                f"{dotted(path)} has {len(hits)} entries {wanted!r}; "
                f"name one by its position ({', '.join(map(str, hits))})"
            )
        if hits:
            return hits[0], segments[n:]
    known = [name for names in labels for name in names]
    raise _BadPath(f"{dotted(path)} has no {segments[0]!r}{choices_hint(segments[0], known)}")


def _labels(item: Json) -> list[str]:
    """What an entry may be called: its name, or its type with and without the version."""
    if not isinstance(item, dict):
        return []
    if isinstance(item.get("name"), str):
        return [item["name"]]
    kind = item.get("type")
    if not isinstance(kind, str):
        return []
    return [kind, f"{kind}-v{item['version']}"] if "version" in item else [kind]


def _forget(source: Source, path: FieldPath) -> None:
    """Drop the lines of what `path` held: they are not where its new value was written."""
    for known in [p for p in source.places if p[: len(path)] == path]:
        del source.places[known]
