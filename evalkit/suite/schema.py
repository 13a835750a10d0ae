"""The JSON Schema of suites, with every engine, judge and benchmark there is.

Editors check suites with it (`# yaml-language-server: $schema=...`).  Each field's
documentation is its description.  What spans sections (names that must exist, weights given
once) is beyond JSON Schema and left to `evalkit check`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import models_json_schema

from evalkit.core import Json
from evalkit.core.specs import BenchmarkSpec, EngineSpec, JudgeSpec, Spec, Suite
from evalkit.suite.validation import Resolver, Room, Types

__all__ = ["json_schema"]

_ROOMS: dict[Room, type[Spec]] = {
    "engines": EngineSpec,
    "judges": JudgeSpec,
    "benchmarks": BenchmarkSpec,
}
_REF = "#/$defs/"


def json_schema(resolve: Resolver) -> dict[str, Json]:
    """JSON Schema (2020-12) of a suite."""
    types = Types(resolve)
    specs = {
        (room, name): types.spec(room, name) for room in _ROOMS for name in types.choices(room)
    }
    wanted: list[type[Any]] = [Suite, *_ROOMS.values(), *dict.fromkeys(specs.values())]
    refs, generated = models_json_schema([(cls, "validation") for cls in wanted])
    defs: dict[str, Json] = generated["$defs"]

    def definition(cls: type[Any]) -> str:
        return str(refs[cls, "validation"]["$ref"]).removeprefix(_REF)

    for room, base in _ROOMS.items():
        variants = []
        for name in types.choices(room):
            key = f"{room}.{name}"
            defs[key] = _variant(defs[definition(specs[room, name])], name, room)
            variants.append({"$ref": _REF + key})
        if room != "judges":
            variants.append(_own_module())
        defs[room] = {"description": (base.__doc__ or "").strip(), "oneOf": variants}
    renamed = {_REF + definition(base): _REF + room for room, base in _ROOMS.items()}
    suite = _redirect(defs[definition(Suite)], renamed)
    kept = {key: _redirect(value, renamed) for key, value in defs.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **suite,
        "title": "evalkit suite",
        "$defs": {key: kept[key] for key in sorted(_reached(suite, kept))},
    }


def _variant(schema: Json, name: str, room: Room) -> dict[str, Json]:
    """A spec's schema for one `type`; only the default engine may leave `type` out."""
    found: dict[str, Json] = copy.deepcopy(schema)
    described = found["properties"]["type"].get("description", "")
    found["properties"]["type"] = {"const": name, "description": described}
    found["title"] = name
    if room != "engines" or name != EngineSpec.model_fields["type"].default:
        rest = [f for f in found.get("required", []) if f != "type"]
        found["required"] = ["type", *rest]
    return found


def _own_module() -> dict[str, Json]:
    return {
        "title": "a module of your own",
        "description": "A dotted path; the module's own spec is checked by `evalkit check`.",
        "type": "object",
        "properties": {"type": {"type": "string", "pattern": r"\."}},
        "required": ["type"],
    }


def _redirect(value: Json, renamed: dict[str, str]) -> Json:
    """`value` with references to the base specs led to their variants."""
    if isinstance(value, dict):
        found = {key: _redirect(item, renamed) for key, item in value.items()}
        if isinstance(found.get("$ref"), str):
            found["$ref"] = renamed.get(found["$ref"], found["$ref"])
        return _strict_names(found)
    if isinstance(value, list):
        return [_redirect(item, renamed) for item in value]
    return value


def _strict_names(schema: dict[str, Json]) -> dict[str, Json]:
    """Refuse names that break the pattern; `patternProperties` alone would let them pass."""
    if len(schema.get("patternProperties", {})) == 1 and "propertyNames" in schema:
        ((pattern, item),) = schema.pop("patternProperties").items()
        schema["propertyNames"] = {**schema["propertyNames"], "pattern": pattern}
        schema["additionalProperties"] = item
    return schema


def _reached(start: Json, defs: dict[str, Json]) -> set[str]:
    """Definitions that `start` refers to, directly or through others."""
    reached: set[str] = set()
    waiting = list(_references(start))
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(_references(defs[name]))
    return reached


def _references(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix(_REF)
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
