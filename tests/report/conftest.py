"""Runs that the tests of reports share, built once, and ways to read a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag

from evalkit.core.figures import Comparison, Measured
from evalkit.core.run import Run
from evalkit.report import render
from tests.support.runs import Plan, build_run, with_manifest, with_suite

PAIR = ("quick-lora", "smollm2")
PRIMARY = ("win_rate", "score", "acc", "exact_match,strict-match")


@pytest.fixture(scope="session")
def run() -> Run:
    """Two models, a local judge, a published figure."""
    return build_run(Plan(published=True))


@pytest.fixture(scope="session")
def sound() -> Run:
    """The same, its judge no model of the suite."""
    return build_run(Plan(local_judge=False))


def soup(run: Run, *, figures_only: bool = False) -> BeautifulSoup:
    """The page."""
    html = render(run, figures_only=figures_only)["index.html"]
    return BeautifulSoup(html, "html.parser")


def markdown(run: Run) -> str:
    """report.md."""
    return render(run)["report.md"].decode("utf-8")


def captioned(page: Tag, caption: str) -> list[Tag]:
    """Tables of this caption."""
    return [t for t in page.find_all("table") if t.caption and t.caption.get_text() == caption]


def rows_of(table: Tag) -> Iterator[list[str]]:
    """Cells of the rows; of a group's heading, its text alone."""
    for row in table.select("tbody tr"):
        yield [cell.get_text().strip() for cell in row.find_all(["th", "td"])]


def cells(page: Tag, caption: str) -> dict[str, dict[str, str]]:
    """Rows of a table by their first cell, each by its columns' headings."""
    (table,) = captioned(page, caption)
    head = [th.get_text() for th in table.select("thead th")]
    rows = (row for row in rows_of(table) if len(row) == len(head))
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def headlines(page: Tag) -> dict[str, dict[str, str]]:
    """The first screen's rows by benchmark, with what "How sure?" folds away."""
    found: dict[str, dict[str, str]] = {}
    for table in page.select("table.scores"):
        head = [re.split(",| →", th.get_text())[0] for th in table.select("thead th")]
        for row in rows_of(table):
            found[row[0]] = {k: v for k, v in zip(head, row, strict=True) if v}  # but drawings
    tests = cells(page, "Tests and counts")
    names = {label: label.removesuffix(", points of 10") for label in tests}
    return {name: {**tests[label], **found[name]} for label, name in names.items()}


def changed(run: Run, change: Callable[[Comparison], dict[str, Any] | None]) -> Run:
    """The run whose comparisons have other numbers; `p` is the comparison's, the rest of its
    difference."""

    def one(c: Comparison) -> Comparison:
        found = change(c)
        if not found:
            return c
        p = found.pop("p", c.p)
        difference: Measured = replace(c.difference, **found)
        return replace(c, difference=difference, p=p)

    return replace(run, comparisons=tuple(map(one, run.comparisons)))


def with_gate(run: Run, **policy: Any) -> Run:
    """The run whose suite has a gate against smollm2."""
    return with_suite(run, gate={"baseline": PAIR[1], **policy})


def unfinished(run: Run) -> Run:
    """The run as it is before it is sealed."""
    return replace(
        with_manifest(run, sealed=False), records=run.records[:100], figures=(), comparisons=()
    )
