"""Finds benchmarks, engines, judge protocols and formats: a module of the room, or a dotted path.

A module's `__all__` names its one class and, where users configure it, its spec (a pydantic
class), beside functions that other rooms use; there is no registry.
A dotted path runs code of the suite's author, so that importing it needs consent (`core.trust`).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.core import trust
from evalkit.core.specs import EngineSpec, JudgeSpec, LocalJudgeSpec, RecordedJudgeSpec, Spec
from evalkit.errors import EvalkitError, did_you_mean

__all__ = ["Extension", "UnknownTypeError", "find", "judge_spec", "names"]

Room = Literal["benchmarks", "engines", "formats", "judges"]
_MODULES: Mapping[str, Mapping[str, str]] = {
    "formats": {
        "csv": "tabular",
        "json": "tabular",
        "parquet": "tabular",
        "eval_results": "hub",
    }
}
"""Module of a type that is not called like it."""


class UnknownTypeError(EvalkitError):
    """No module of that name; holds the names there are."""

    exit_code = 2

    def __init__(self, room: str, name: str, choices: tuple[str, ...], reason: str = "") -> None:
        self.choices = choices
        tail = f" ({reason})" if reason else ""
        hint = did_you_mean(name, choices) or ";"
        super().__init__(
            f"unknown type {name!r} in {room}{tail}{hint} expected one of {', '.join(choices)}, "
            f"or a dotted path to a module whose __all__ names a class and its spec"
        )


@dataclass(frozen=True)
class Extension:
    """What a module of a room offers."""

    cls: type[Any]
    spec: type[Spec] | None


def names(room: Room) -> tuple[str, ...]:
    """Types that may be named in `room`, sorted."""
    package = importlib.import_module(f"evalkit.{room}")
    found = (m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))
    others = _MODULES.get(room, {})
    own = (n for n in found if n not in others.values() and _read(f"evalkit.{room}.{n}"))
    return tuple(sorted((*own, *others)))


def _read(module_name: str) -> Extension | None:
    module = importlib.import_module(module_name)
    offered = [getattr(module, n) for n in getattr(module, "__all__", ())]
    offered = [o for o in offered if isinstance(o, type)]
    specs = [o for o in offered if issubclass(o, Spec)]
    classes = [o for o in offered if not issubclass(o, Spec)]
    if len(classes) != 1 or len(specs) > 1:
        return None
    return Extension(classes[0], specs[0] if specs else None)


def find(room: Room, name: str) -> Extension:
    """The extension called `name`.

    Raises:
        UnknownTypeError: there is none.
        SuiteError: it is a dotted path, and nobody consented.
    """
    module = _MODULES.get(room, {}).get(name, name)
    module_name = name if "." in name else f"evalkit.{room}.{module}"
    # Only this module is imported: a run need not load the engines it does not use.
    hidden = name.startswith("_") or name in _MODULES.get(room, {}).values()
    if "." not in name and (hidden or not importlib.util.find_spec(module_name)):
        raise UnknownTypeError(room, name, names(room))
    if "." in name:
        trust.current().ask(trust.module_code(name))
    try:
        extension = _read(module_name)
    except Exception as error:  # a module of the suite's author may raise anything
        raise UnknownTypeError(room, name, names(room), str(error)) from error
    if extension is None:
        raise UnknownTypeError(
            room, name, names(room), "its __all__ must name one class and at most one spec"
        )
    return extension


def judge_spec(kind: str) -> type[JudgeSpec]:
    """Spec of a judge of type `kind`: `engine`, `recorded`, or an engine's settings and its own."""
    own: dict[str, type[JudgeSpec]] = {"engine": LocalJudgeSpec, "recorded": RecordedJudgeSpec}
    return own[kind] if kind in own else _as_judge(find("engines", kind).spec)


@functools.cache
def _as_judge(engine: type[Spec] | None) -> type[JudgeSpec]:
    """The same class each time, so that equal judges compare equal."""
    own = engine or EngineSpec
    return type(f"{own.__name__}AsJudge", (JudgeSpec, own), {"__module__": __name__})
