"""A run to the files of its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.core import Run
from evalkit.report.blocks import Section
from evalkit.report.browser import Samples, build
from evalkit.report.view import View

__all__ = ["Page", "build_page", "render"]

_NAMED = 3
"""Models of a side that the title names; of more it says how many."""


@dataclass(frozen=True)
class Page:
    """Everything a renderer places."""

    title: str
    suite: str
    run_id: str
    level: float
    sections: tuple[Section, ...]
    samples: Samples | None = None
    """What the browser of all samples shows; None where texts are left out."""


def render(
    run: Run, *, figures_only: bool = False, split: bool = False, more: Sequence[Section] = ()
) -> dict[str, bytes]:
    """The files the suite's `report.formats` asks for, by name: `index.html`, `report.md`.

    A pure function of its arguments: the same run gives the same bytes.

    Args:
        run: a stored run.
        figures_only: leave out every question and answer, for publication where the
            benchmark's texts may not be passed on.
        split: put the samples into files beside `index.html`, for a web server; a browser reads
            them as they are asked for.
        more: sections that a run alone cannot have (its history), to stand after the results.
    """
    # Reading records costs nothing until here: jinja2 is loaded by those who render.
    from evalkit.report.html import to_html
    from evalkit.report.markdown import to_markdown

    view = View(_without_prompts(run) if figures_only else run)
    if not figures_only and int(view.settings.get("examples", 6)) > 0:
        view = replace(view, browsable=True)
    page = build_page(view, figures_only=figures_only, more=more)
    formats = view.settings.get("formats", ("html", "markdown"))
    files = {}
    if "html" in formats:
        if view.browsable:
            page = replace(page, samples=build(view))
        files["index.html"] = to_html(page, split=split).encode("utf-8")
        if split and page.samples is not None:
            files |= page.samples.files
    if "markdown" in formats:
        files["report.md"] = to_markdown(page).encode("utf-8")
    return files


def _without_prompts(run: Run) -> Run:
    models = [{**model, "first_prompts": []} for model in run.manifest.get("models", ())]
    return replace(run, manifest={**run.manifest, "models": models})


def build_page(view: View, *, figures_only: bool = False, more: Sequence[Section] = ()) -> Page:
    """All sections that have something to say."""
    from evalkit.report.sections import RESULTS, SECTIONS, TEXTS

    found: list[Section | None] = []
    for section in SECTIONS:
        if not (figures_only and section in TEXTS):
            found.append(section(view))
        if section is RESULTS:
            found += more
    return Page(
        title=_title(view),
        suite=str(view.manifest.get("suite_name", "")),
        run_id=str(view.manifest.get("run_id", "")),
        level=view.level,
        sections=tuple(part for part in found if part is not None),
    )


def _title(view: View) -> str:
    candidates = dict.fromkeys(a for a, _ in view.pairs)
    baselines = dict.fromkeys(b for _, b in view.pairs)
    if not candidates:
        return ", ".join(m.name for m in view.models) or "Evaluation"
    return f"{_listed(list(candidates))} against {_listed(list(baselines))}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= _NAMED else f"{len(names)} models"
