"""Runs to tables to pages.

`view.py` reads a run's manifest and rows; each file of `sections/` turns that into one
`Section` of blocks (`blocks.py`); `html.py` and `markdown.py` place the blocks.  All of it is a
pure function of the run: no clock, no network, the same bytes for the same run.
"""

from __future__ import annotations

from evalkit.report.blocks import Block, Chart, Section, Text
from evalkit.report.browser import sample_files
from evalkit.report.page import render
from evalkit.report.summary import comment, summary_lines

__all__ = [
    "Block",
    "Chart",
    "Section",
    "Text",
    "comment",
    "render",
    "sample_files",
    "summary_lines",
]
