"""A run's page, its short forms, and the index of several runs.

    run ─ content.Report (with what compare says) ─▶ sections of blocks ─ render ─▶ HTML, Markdown

Read `page.py` first: it has the sections in order.  `summary.py` is the first screen, `results.py`
what was measured, `evidence.py` how, `browser.py` every sample; `index.py` lists runs and sets
them side by side, `serve.py` hands out the pages on this machine.  All of it is a pure function
of stored runs: no clock, no network, the same bytes for the same run.
"""

from __future__ import annotations

from evalkit.report.browser import sample_files
from evalkit.report.content import Block, Chart, Section, Text
from evalkit.report.index import comparison_page, entries, index_page, relative_link
from evalkit.report.page import render
from evalkit.report.summary import comment, headline_html, status_lines, summary_lines

__all__ = [
    "Block",
    "Chart",
    "Section",
    "Text",
    "comment",
    "comparison_page",
    "entries",
    "headline_html",
    "index_page",
    "relative_link",
    "render",
    "sample_files",
    "status_lines",
    "summary_lines",
]
