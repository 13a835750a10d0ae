"""The JSON Schema of suites, with every engine, judge and benchmark there is.

Editors check suites with it (`# yaml-language-server: $schema=...`).  Each field's
documentation is its description.  What spans sections (names that must exist, weights given
once) is beyond JSON Schema and left to `evalkit check`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from evalkit.core import Json
from evalkit.core.specs import EngineSpec, Spec
from evalkit.suite.validation import Resolver, Room, Types, suite_model

__all__ = ["json_schema"]


class _OwnModule(Spec):
    """A module of your own, by its dotted path; `evalkit check` checks its settings."""

    model_config = ConfigDict(extra="allow", title="a module of your own")

    type: Annotated[str, Field(pattern=r"\.")]
    """Dotted path of the module."""


class _Strict(GenerateJsonSchema):
    """Refuses what validation refuses and pydantic's own schema lets pass."""

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """A name that breaks the pattern: `patternProperties` alone says nothing about it."""
        found = super().dict_schema(schema)
        if "propertyNames" in found and len(found.get("patternProperties", {})) == 1:
            ((pattern, item),) = found.pop("patternProperties").items()
            found["propertyNames"]["pattern"] = pattern
            found["additionalProperties"] = item
        return found

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """A section without a `type`: only the default engine may leave it out."""
        found = super().model_schema(schema)
        kind = found.get("properties", {}).get("type", {}).get("const")
        if kind not in (None, EngineSpec.model_fields["type"].default):
            found["required"] = ["type", *(f for f in found.get("required", ()) if f != "type")]
        return found


def json_schema(resolve: Resolver) -> dict[str, Json]:
    """JSON Schema (2020-12) of a suite."""
    types = Types(resolve)
    own: dict[Room, dict[str, type[Spec]]] = {
        "engines": {"-": _OwnModule},
        "judges": {},
        "benchmarks": {"-": _OwnModule},
    }
    specs = {
        room: {n: types.spec(room, n) for n in types.choices(room)} | own[room] for room in own
    }
    return {
        "$schema": _Strict.schema_dialect,
        **suite_model(specs).model_json_schema(schema_generator=_Strict),
        "title": "evalkit suite",
    }
