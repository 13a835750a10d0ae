"""What lies beside a run's records and can be rendered again from them alone."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit import card, report
from evalkit.core import Run

__all__ = ["render"]


def render(
    run: Run,
    *,
    figures_only: bool = False,
    split: bool = False,
    more: Sequence[report.Section] = (),
) -> dict[str, bytes]:
    """The files the suite's `report.formats` asks for, by name: reports and model cards.

    Args:
        run: A stored run.
        figures_only: Leave out every question and answer; cards never have any.
        split: Put the page's samples into files beside it.
        more: Sections that a run alone cannot have, such as its history.
    """
    made = report.render(run, figures_only=figures_only, split=split, more=more)
    formats = run.manifest.get("suite", {}).get("report", {}).get("formats", ())
    return {**made, **card.files(run)} if "card" in formats else made
