"""Front matter as the hub reads it, and what the hub would refuse or lose without a word.

The hub's own check needs the network, and its client repairs silently: it keeps one of two
sources, one of two models, turns what it does not know into nothing.  Each rule here names the
field and what to do; the tests hold them against the client itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from evalkit.core.requests import Json
from evalkit.errors import CardError, Problem

__all__ = [
    "MOST_BYTES",
    "Parts",
    "check_front_matter",
    "check_index",
    "check_text",
    "line_end_of",
    "load",
    "require",
    "split",
]

MOST_BYTES = 1 << 20
"""Largest front matter.  Cards of embedding models with thousands of results stay below it."""
_FIELDS: Mapping[str, frozenset[str]] = {
    "task": frozenset({"type", "name"}),
    "dataset": frozenset({"type", "name", "config", "split", "revision", "args"}),
    "metrics": frozenset({"type", "value", "name", "config", "args", "verified", "verifyToken"}),
    "source": frozenset({"name", "url"}),
}
_IDENTITY = ("type", "config", "split", "revision")


def require(problems: Sequence[Problem], what: str) -> None:
    """Raise CardError with every problem at once, if there are any."""
    if problems:
        lines = "\n  ".join(map(str, problems))
        raise CardError(f"{what} cannot be written: the hub would refuse or lose\n  {lines}")


def check_front_matter(data: Json, n_bytes: int) -> list[Problem]:
    """Everything wrong with a card's front matter that has to do with its index.

    Args:
        data: As YAML's plain data.
        n_bytes: Length of its text in UTF-8.
    """
    if not isinstance(data, Mapping):
        return [Problem("front matter", f"{data!r:.80}; expected fields by name")]
    problems = []
    if n_bytes > MOST_BYTES:
        problems.append(
            Problem(
                "front matter",
                f"{n_bytes} bytes; expected at most {MOST_BYTES}: leave benchmarks out with --only",
            )
        )
    return problems + (check_index(data["model-index"]) if "model-index" in data else [])


def check_text(text: str) -> list[Problem]:
    """Everything wrong with the index of a whole card; a text without front matter has none.

    Raises:
        CardError: the front matter is no YAML.
    """
    parts = split(text)
    size = len(parts.yaml.encode("utf-8", "surrogatepass"))
    return check_front_matter(load(parts.yaml), size)


def check_index(index: Json) -> list[Problem]:
    """Everything wrong with a `model-index`."""
    return list(_index(index))


def _index(index: Json) -> Iterator[Problem]:
    where = "model-index"
    if not isinstance(index, list) or not index:
        yield Problem(where, f"{index!r:.80}; expected a list with one model")
        return
    yield from _values(index, where)
    if len(index) > 1:
        names = ", ".join(repr(m.get("name")) for m in index if isinstance(m, Mapping))
        yield Problem(
            where,
            f"{len(index)} models ({names}); the hub's client keeps one name for the results of "
            f"all: keep one model, that of this repository",
        )
    for i, model in enumerate(index):
        yield from _model(model, f"{where}[{i}]")


def _model(model: Json, where: str) -> Iterator[Problem]:
    if not isinstance(model, Mapping):
        yield Problem(where, f"{model!r:.80}; expected `name` and `results`")
        return
    yield from _text(model, "name", where)
    results = model.get("results")
    if not isinstance(results, list):
        yield Problem(f"{where}.results", f"{results!r:.80}; expected a list, empty or not")
        return
    for i, result in enumerate(results):
        yield from _result(result, f"{where}.results[{i}]")
    yield from _repeated(results, f"{where}.results")


def _result(result: Json, where: str) -> Iterator[Problem]:
    if not isinstance(result, Mapping):
        yield Problem(where, f"{result!r:.80}; expected `task`, `dataset` and `metrics`")
        return
    for part in ("task", "dataset", "source"):
        yield from _part(result, part, where)
    yield from _unknown(result, frozenset(_FIELDS), where)
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        yield Problem(f"{where}.metrics", f"{metrics!r:.80}; expected a list of metrics")
        return
    for i, metric in enumerate(metrics):
        yield from _metric(metric, f"{where}.metrics[{i}]")


def _part(result: Mapping[str, Json], part: str, where: str) -> Iterator[Problem]:
    place, found = f"{where}.{part}", result.get(part)
    if found is None and part == "source":
        return
    if not isinstance(found, Mapping):
        yield Problem(place, f"{found!r:.80}; expected fields by name")
        return
    needed = {"task": ("type",), "dataset": ("type", "name"), "source": ("url",)}[part]
    for name in needed:
        yield from _text(found, name, place)
    yield from _unknown(found, _FIELDS[part], place)


def _metric(metric: Json, where: str) -> Iterator[Problem]:
    if not isinstance(metric, Mapping):
        yield Problem(where, f"{metric!r:.80}; expected `type` and `value`")
        return
    yield from _text(metric, "type", where)
    yield from _unknown(metric, _FIELDS["metrics"], where)
    value = metric.get("value")
    empty = isinstance(value, str | list | dict) and not value
    if value is None or isinstance(value, bool) or empty:
        yield Problem(
            f"{where}.value", f"{value!r}; expected a number: leave undefined figures out"
        )


def _text(found: Mapping[str, Json], name: str, where: str) -> Iterator[Problem]:
    value = found.get(name)
    if not isinstance(value, str) or not value.strip():
        yield Problem(f"{where}.{name}", f"{value!r:.80}; expected text that is not empty")


def _unknown(found: Mapping[str, Json], known: frozenset[str], where: str) -> Iterator[Problem]:
    for name in found:
        if name not in known:
            yield Problem(
                f"{where}.{name}" if isinstance(name, str) else where,
                f"no field {name!r} is read here, and the hub's client drops it; expected "
                f"{', '.join(sorted(known))}: what else there is to say belongs into `args`",
            )


# --- entries that fall together -----------------------------------------------------------------


def _repeated(results: Sequence[Json], where: str) -> Iterator[Problem]:
    seen: dict[Any, tuple[int, Mapping[str, Json]]] = {}
    for i, result in enumerate(results):
        if not _is_whole(result):
            continue
        data = result["dataset"]
        key = repr((result["task"].get("type"), *(data.get(k) for k in _IDENTITY)))
        if key in seen:
            yield from _together(result, seen[key], f"{where}[{i}]", where)
        else:
            seen[key] = (i, result)
        yield from _twice(result["metrics"], f"{where}[{i}].metrics")


def _is_whole(result: Json) -> bool:
    if not isinstance(result, Mapping):
        return False
    parts = isinstance(result.get("task"), Mapping) and isinstance(result.get("dataset"), Mapping)
    return parts and isinstance(result.get("metrics"), list)


def _together(
    result: Mapping[str, Json], first: tuple[int, Mapping[str, Json]], where: str, results: str
) -> Iterator[Problem]:
    number, other = first
    name = result["dataset"].get("name")
    lost = [
        what
        for what, ours, theirs in (
            ("source", result.get("source"), other.get("source")),
            ("args", result["dataset"].get("args"), other["dataset"].get("args")),
            ("name", name, other["dataset"].get("name")),
        )
        if ours != theirs
    ]
    said = f"its {' and '.join(lost)} would be lost" if lost else "the two become one"
    yield Problem(
        where,
        f"{name!r}: same task, data set, config, split and revision as {results}[{number}]; "
        f"{said}: remove one of the two, or write their metrics into one entry",
    )


def _twice(metrics: Sequence[Json], where: str) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for i, metric in enumerate(metrics):
        if not isinstance(metric, Mapping):
            continue
        key = repr([metric.get(k) for k in ("type", "name", "config")])
        if key in seen:
            yield Problem(
                f"{where}[{i}]",
                f"{metric.get('type')!r} is given twice, first as {where}[{seen[key]}]; keep one",
            )
        seen.setdefault(key, i)


# --- values -------------------------------------------------------------------------------------


def _values(value: Json, where: str) -> Iterator[Problem]:
    """What YAML or the hub cannot carry, anywhere below."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                yield Problem(where, f"the name {key!r} is no text; write it in quotes")
            else:
                yield from _values(key, where)
            yield from _values(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _values(inner, f"{where}[{i}]")
    else:
        yield from _scalar(value, where)


def _scalar(value: Json, where: str) -> Iterator[Problem]:
    if type(value) is float and not math.isfinite(value):
        yield Problem(where, f"{value!r}; expected a finite number: leave undefined figures out")
    elif isinstance(value, str):
        if any("\ud800" <= c <= "\udfff" for c in value):
            yield Problem(where, f"{value!r} holds half a character (a surrogate); correct it")
    elif not isinstance(value, date) and type(value) not in (bool, int, float, type(None)):
        kind = f"{type(value).__module__}.{type(value).__name__}"
        yield Problem(where, f"{value!r} is a {kind}; expected a plain number: float(x) or str(x)")


# --- where it is --------------------------------------------------------------------------------

# As the hub and its client find front matter.
_FRONT = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(?:\r\n|\n|$))")
_ENDS = re.compile(r"\r\n|\n")


@dataclass(frozen=True)
class Parts:
    """A card's text in pieces; joined they are the text again."""

    before: str
    """A byte order mark, or nothing."""
    opening: str
    """`---` and its line end; empty where there is no front matter."""
    yaml: str
    closing: str
    body: str

    def __str__(self) -> str:
        return self.before + self.opening + self.yaml + self.closing + self.body

    @property
    def line_end(self) -> str:
        """What ends the lines that are added to the text."""
        return line_end_of(str(self))


def line_end_of(text: str, default: str = "\n") -> str:
    """The first of a text; a carriage return alone ends no front matter for the hub."""
    found = _ENDS.search(text)
    return found[0] if found is not None else default


def split(text: str) -> Parts:
    """Find a card's front matter."""
    before = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(before)
    match = _FRONT.search(text)
    if match is None:
        return Parts(before, "", "", "", text)
    opening, yaml_, closing = match.groups()
    return Parts(before, opening, yaml_, closing, text[match.end() :])


def load(yaml_: str) -> dict[str, Json]:
    """Front matter as data.

    Raises:
        CardError: it is no YAML, or no fields by name.
    """
    import yaml

    try:
        data = yaml.safe_load(f"{yaml_}\n")  # the line end that the text after it begins with
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise CardError(
            f"front matter: not YAML that the hub reads: {error}; correct it, then try again"
        ) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CardError(f"front matter: {data!r:.80}; expected fields by name (license: mit)")
    return data
