"""`evalkit compare`: a candidate against baselines, over stored runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.console import split

if TYPE_CHECKING:
    from evalkit.compare.contests import Uncompared
    from evalkit.core.contests import Contest

__all__ = ["command"]


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--candidate", help="MODEL or RUN:MODEL; default: the runs' candidate.")
@click.option("--baseline", multiple=True, help="The same; several: A,B. Default: the baselines.")
@click.option(
    "--allow-different",
    multiple=True,
    metavar="FIELD",
    help="Compare although this setting differs; flagged wherever it shows.",
)
@click.option("--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True)
@click.option("--repeats", is_flag=True, help="Several runs of a model repeat one measurement.")
@click.option("--all", "everything", is_flag=True, help="Also metrics that are not headlines.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help='Print {"comparisons": [...], "uncompared": [...], "notes": [...]}.',
)
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page side by side."
)
def command(
    runs: tuple[Path, ...],
    candidate: str | None,
    baseline: tuple[str, ...],
    allow_different: tuple[str, ...],
    level: float,
    html: Path | None,
    *,
    repeats: bool,
    everything: bool,
    as_json: bool,
    markdown: bool,
) -> None:
    """Compare models of the RUNS on the samples they share.

    Every difference comes with its interval, the minimum detectable effect, and a summary
    sentence.  Models whose settings differ are refused; benchmarks and tasks that only one side
    has are named.  With --repeats, runs of one model are averaged and what they shift by is in
    the interval.
    """
    from evalkit import draw, report, store
    from evalkit.compare import contests as room
    from evalkit.compare.guard import allowed_fields
    from evalkit.compare.resolve import find, pick

    stored = [store.load(run) for run in runs]
    ours, theirs = pick(stored, candidate, split(baseline))
    allowed = allowed_fields(stored, split(allow_different))
    options = room.Options(level, allow_different=allowed, repeats=repeats)
    found = room.contests(stored, ours, theirs, options)
    left_out = room.uncompared(stored, ours, theirs, options)
    if repeats:
        for note in room.unvaried(find(stored, name, repeats=True) for name in (ours, *theirs)):
            click.echo(f"warning: {draw.one_line(draw.visible(note))}", err=True)
    if as_json:
        out = {
            "comparisons": [room.contest_json(one) for one in found],
            "uncompared": [one.to_json() for one in left_out],
            "notes": draw.caution_notes(found),
        }
        click.echo(json.dumps(out, indent=1, ensure_ascii=False))
        return
    heads = {one.key for one in found if one.family == "headline"}
    shown = found if everything else [one for one in found if one.key.whole in heads]
    table = draw.contest_table(shown, notes=[one.sentence for one in left_out])
    if html is not None:
        sides = [find(stored, name, repeats=repeats) for name in (ours, *theirs)]
        figures = [
            replace(figure, model=side.label)
            for key in dict.fromkeys(one.key for one in found if one.family == "headline")
            for side in sides
            if (part := side.parts.get(key.benchmark)) is not None
            if (figure := part.run.figure(part.model, key)) is not None
        ]
        notes = [one.sentence for one in left_out]
        # Of several runs no one figure is a side's.
        page = report.comparison_page(shown, figures=() if repeats else figures, notes=notes)
        store.write_file(html, page.encode("utf-8"))
        click.echo(f"page: {html}", err=True)
        return
    click.echo(draw.table_to_markdown(table) if markdown else draw.table_to_text(table))
    click.echo("")
    for sentence in _sentences(shown, left_out, markdown=markdown):
        text = draw.one_line(draw.visible(sentence))
        click.echo(f"- {draw.escape_markdown(text)}" if markdown else text)


def _sentences(
    shown: Sequence[Contest], left_out: Sequence[Uncompared], *, markdown: bool
) -> list[str]:
    """One for each headline contest; Markdown has the rest in the table's note, if it has rows."""
    from evalkit import draw

    found = [draw.contest_sentence(one) for one in shown if one.family == "headline"]
    if markdown and shown:
        return found
    found += [one.sentence for one in left_out]
    return [*found, *draw.caution_notes(shown), draw.holm_text(shown)] if shown else found
