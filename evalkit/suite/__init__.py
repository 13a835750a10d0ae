"""A YAML file to a Suite, or everything that is wrong with it.

In order: `reading` (YAML to values with their lines, `--set`, secrets), `options` (what options of
`run` change), `validation` (values to specs; pydantic's errors as messages), `checks` (between
sections, files, warnings); `loading` calls them.  `schema` is the JSON Schema.
"""

from __future__ import annotations

from evalkit.suite.loading import (
    CheckResult,
    Names,
    Template,
    bundled,
    check,
    check_mapping,
    load,
    load_mapping,
    load_stored,
    load_template,
    locate,
)
from evalkit.suite.options import Options, api_judge, model_name
from evalkit.suite.reading import from_here
from evalkit.suite.schema import json_schema
from evalkit.suite.validation import Offer, Resolver

__all__ = [
    "CheckResult",
    "Names",
    "Offer",
    "Options",
    "Resolver",
    "Template",
    "api_judge",
    "bundled",
    "check",
    "check_mapping",
    "from_here",
    "json_schema",
    "load",
    "load_mapping",
    "load_stored",
    "load_template",
    "locate",
    "model_name",
]
