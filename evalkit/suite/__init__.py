"""A YAML file to a Suite, or everything that is wrong with it.

In order: `reading` (YAML to values with their lines, `--set`, secrets), `validation` (values to
specs; pydantic's errors as messages), `checks` (between sections, files, warnings); `loading` calls
them.  `schema` is the JSON Schema.
"""

from __future__ import annotations

from evalkit.suite.loading import (
    CheckResult,
    Names,
    Template,
    bundled,
    check,
    load,
    load_mapping,
    load_stored,
    load_template,
    locate,
    places,
    preset,
)
from evalkit.suite.schema import json_schema
from evalkit.suite.validation import Offer, Resolver

__all__ = [
    "CheckResult",
    "Names",
    "Offer",
    "Resolver",
    "Template",
    "bundled",
    "check",
    "json_schema",
    "load",
    "load_mapping",
    "load_stored",
    "load_template",
    "locate",
    "places",
    "preset",
]
