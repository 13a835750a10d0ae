"""A page as one HTML file that needs nothing else, and lets nothing else in.

No reference to anything outside the file, and a Content-Security-Policy that allows exactly the
style sheet and the script inside (by their hashes); a page without samples has no script.  Every
string is escaped by Jinja; `_shown` spells out what cannot be seen or encoded before that.  The
script turns no text into markup, which Trusted Types hold it to.
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evalkit.draw import one_line, visible
from evalkit.draw.html import hash_source, stylesheet
from evalkit.report import browser
from evalkit.report.page import Page

__all__ = ["environment", "hash_source", "policies", "style", "to_html"]

_TEMPLATES = Path(__file__).parent / "templates"
_LONG = 700
"""Characters of an answer above which it is folded."""
_MANY_LINES = 14
_PREVIEW = 260


def to_html(page: Page, *, split: bool = False) -> str:
    """The whole file as text; `split` leaves the samples to the files beside it."""
    sheet, script = _parts(samples=page.samples is not None)
    template = environment().get_template("page.html.j2")
    # Style sheet and script are files of this package: the only text that is not escaped.
    return template.render(
        page=page,
        style=Markup(sheet),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=_policy(sheet, script, split=split),
        split=split,
    )


def style() -> str:
    """The style sheet of a page without samples."""
    return stylesheet()


def policies() -> frozenset[str]:
    """The Content-Security-Policies of every kind of page that this version writes."""
    kinds = ((False, False), (True, False), (True, True))
    return frozenset(_policy(*_parts(samples=samples), split=split) for samples, split in kinds)


def _parts(*, samples: bool) -> tuple[str, str]:
    """Style sheet and script."""
    return (style() + browser.style(), browser.script()) if samples else (style(), "")


def _policy(sheet: str, script: str, *, split: bool) -> str:
    rules = ["default-src 'none'", f"style-src {hash_source(sheet)}"]
    if script:
        rules += [f"script-src {hash_source(script)}", "require-trusted-types-for 'script'"]
        rules += ["trusted-types 'none'"]
    if script and split:
        rules += ["connect-src 'self'"]
    return "; ".join([*rules, "img-src data:", "base-uri 'none'", "form-action 'none'"])


@cache
def environment() -> Environment:
    """Jinja that escapes every string, after spelling out what cannot be seen."""
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
    environment.filters["base64"] = _base64
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


def _base64(data: bytes) -> Markup:
    return Markup(base64.b64encode(data).decode("ascii"))  # noqa: S704 - letters, digits, + / =


def _is_kind(block: object, name: str) -> bool:
    return type(block).__name__ == name
