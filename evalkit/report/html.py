"""A page as one HTML file that needs nothing else, and lets nothing else in.

No script, no reference to anything outside the file, and a Content-Security-Policy that allows
exactly the style sheet inside (by its hash).  Every string is escaped by Jinja; `_shown` spells
out what cannot be seen or encoded before that.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evalkit.report.page import Page
from evalkit.tables import one_line, visible

__all__ = ["to_html"]

_TEMPLATES = Path(__file__).parent / "templates"
_LONG = 700
"""Characters of an answer above which it is folded."""
_MANY_LINES = 14
_PREVIEW = 260


def to_html(page: Page) -> str:
    """The whole file as text."""
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    template = _environment().get_template("page.html.j2")
    # The style sheet is a file of this package: the only text that is not escaped.
    return template.render(page=page, style=Markup(style), policy=policy)  # noqa: S704


def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["is_long"] = _is_long
    environment.filters["preview"] = _preview
    environment.tests["kind"] = _is_kind
    return environment


def _shown(value: object) -> object:
    # Markup is a str as well, but already safe.
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


def _is_long(text: str) -> bool:
    return len(text) > _LONG or text.count("\n") >= _MANY_LINES


def _preview(text: str) -> str:
    return one_line(text, _PREVIEW)


def _is_kind(block: object, name: str) -> bool:
    return type(block).__name__ == name
