"""A YAML file to a Suite, or everything that is wrong with it.

`loading.py` is the way: `reading` (YAML to values with their lines), `overrides` (`--set`),
`validation` (each section against its spec; `explaining` words what pydantic finds), `crosschecks`
and `recorded` (between sections), `files` (what must exist).  `wording` quotes values and keeps
secrets out of messages.  Beside it: `places`, `preset`, `schema`, `template`.
"""

from __future__ import annotations

from evalkit.suite.loading import CheckResult, Names, check, check_mapping, load, load_mapping
from evalkit.suite.places import bundled, find_workspace, locate
from evalkit.suite.preset import preset
from evalkit.suite.schema import json_schema
from evalkit.suite.template import Template, load_template
from evalkit.suite.validation import Offer, Resolver

__all__ = [
    "CheckResult",
    "Names",
    "Offer",
    "Resolver",
    "Template",
    "bundled",
    "check",
    "check_mapping",
    "find_workspace",
    "json_schema",
    "load",
    "load_mapping",
    "load_template",
    "locate",
    "preset",
]
