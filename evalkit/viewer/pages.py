"""Pages of the viewer, in the look of the report; Jinja escapes everything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader
from markupsafe import Markup

from evalkit.report.html import environment, hash_source, policies, style
from evalkit.viewer.comparing import SideBySide
from evalkit.viewer.found import Entry
from evalkit.viewer.index import IndexPage

__all__ = [
    "compare_html",
    "error_html",
    "index_html",
    "is_ours",
    "page_policy",
    "report_policy",
]

_TEMPLATES = Path(__file__).parent / "templates"
_META = re.compile(rb'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
_ONCE = tuple(re.compile(word, re.IGNORECASE) for word in (rb"http-equiv", rb"<link"))
"""What a page of ours has in its head and mostly nowhere else; a page that has is rendered anew."""
_DOCTYPE = b"<!doctype html>"
_HEAD = 4096
"""Bytes of a page in which its policy stands."""


@cache
def _environment() -> Environment:
    made = environment()
    assert made.loader is not None
    made.loader = ChoiceLoader([FileSystemLoader(_TEMPLATES), made.loader])
    return made


@cache
def _style() -> str:
    return style() + (_TEMPLATES / "viewer.css").read_text(encoding="utf-8")


@cache
def page_policy() -> str:
    """What a page of the viewer may do: its own style, and its own form."""
    return (
        f"default-src 'none'; style-src {hash_source(_style())}; img-src data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def report_policy(data: bytes) -> str:
    """The policy that stands in the head of a report's page; empty where there is none."""
    match = _META.search(data[:_HEAD])
    return unescape(match[1].decode("ascii", "replace")) if match else ""


def is_ours(data: bytes) -> bool:
    """Whether a stored page may be sent: under a policy of this version no other script runs in it.

    And what no policy forbids is not in it: a refresh that leads elsewhere, a link that has hosts
    looked up before anything is clicked, or a byte order mark, which would make other text of it.
    """
    once = all(len(word.findall(data)) == 1 for word in _ONCE)
    return once and data.lstrip().startswith(_DOCTYPE) and report_policy(data) in policies()


def index_html(page: IndexPage, places: Sequence[Path]) -> str:
    """The index."""
    return _rendered("index.html.j2", page=page, places=[str(place) for place in places])


def compare_html(page: SideBySide) -> str:
    """Runs side by side."""
    return _rendered("compare.html.j2", page=page)


def error_html(status: int, title: str, text: str, entry: Entry | None = None) -> str:
    """Why there is no page."""
    return _rendered("error.html.j2", status=status, title=title, text=text, entry=entry)


def _rendered(template: str, **values: Any) -> str:
    # The style sheet is a file of this package: the only text that is not escaped.
    sheet = Markup(_style())  # noqa: S704
    return _environment().get_template(template).render(style=sheet, **values)
