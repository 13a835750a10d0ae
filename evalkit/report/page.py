"""A run to the files of its report: every section in order, as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from evalkit.core.run import Run
from evalkit.report import evidence, results, summary
from evalkit.report.browser import samples_of
from evalkit.report.content import Report, Section
from evalkit.report.render import Page, to_html, to_markdown

__all__ = ["render"]

SECTIONS: tuple[Callable[[Report], Section | None], ...] = (
    summary.verdict,
    results.answers,
    results.results,
    results.leaderboard,
    evidence.judges,
    evidence.people,
    evidence.recorded,
    evidence.models,
    evidence.settings,
    evidence.cost,
    evidence.reproduce,
)
_NAMED = 3
"""Models of a side that the title names; of more it says how many."""


def render(
    run: Run, *, figures_only: bool = False, split: bool = False, more: Sequence[Section] = ()
) -> dict[str, bytes]:
    """The files the suite's `report.formats` asks for, by name: `index.html`, `report.md`.

    A pure function of its arguments: the same run gives the same bytes.

    Args:
        run: A stored run.
        figures_only: Leave out every question and answer, for publication where the
            benchmark's texts may not be passed on.
        split: Put the samples into files beside `index.html`, for a web server; a browser reads
            them as they are requested.
        more: Sections that a run alone cannot have (its history), to stand after the results.
    """
    wanted = run.manifest.suite.report
    if figures_only:
        models = tuple(m.model_copy(update={"first_prompts": ()}) for m in run.manifest.models)
        run = replace(run, manifest=run.manifest.model_copy(update={"models": models}))
    report = Report(run, browsable=not figures_only and wanted.examples > 0)
    sections: list[Section] = []
    for make in SECTIONS:
        section = None if figures_only and make is results.answers else make(report)
        sections += [] if section is None else [section]
        sections += more if make is results.results else ()
    page = Page(_title(report), run.manifest.suite_name or "", run.manifest.run_id, tuple(sections))
    files = {}
    if "html" in wanted.formats:
        samples = samples_of(report) if report.browsable else None
        page = replace(page, samples=samples)
        files["index.html"] = to_html(page, split=split).encode("utf-8")
        if split and samples is not None:
            files |= samples.files
    if "markdown" in wanted.formats:
        files["report.md"] = to_markdown(page).encode("utf-8")
    return files


def _title(report: Report) -> str:
    def listed(names: dict[str, None]) -> str:
        return ", ".join(names) if len(names) <= _NAMED else f"{len(names)} models"

    candidates = dict.fromkeys(a for a, _ in report.pairs)
    if not candidates:
        return ", ".join(report.run.models) or "Evaluation"
    return f"{listed(candidates)} against {listed(dict.fromkeys(b for _, b in report.pairs))}"
