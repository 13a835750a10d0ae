"""`evalkit report`: reports from stored files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from evalkit.errors import DataError

__all__ = ["command", "say_size"]

_BIG_MB = 30
"""A browser needs half a second for a page of this size, and mail programs refuse it."""


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    run: Path
    out: Path | None
    figures_only: bool
    split: bool
    comment: str | None
    places: tuple[Path, ...]
    as_json: bool


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default: the run's own.")
@click.option("--figures-only", is_flag=True, help="Leave out every question and answer.")
@click.option("--split", is_flag=True, help="Put samples into files beside it, for a web server.")
@click.option("--comment", metavar="FILE", help="Only write the short form for a PR (-: stdout).")
@click.option(
    "--history",
    "places",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Show figures over the checkpoints in DIR, too (as `evalkit history DIR`).",
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of a summary.")
def command(**given: Any) -> None:
    """Render the reports of RUN (its folder, or a file in it) again, byte for byte the same.

    With --figures-only the copy can be published where the benchmark's texts may not.
    --split is for runs too big for one page: a web server hands out the samples as they are
    asked for; opened from a disk, such a page shows figures only.
    --comment is for pull requests: verdict, warnings and one table, in at most 65,536 characters
    of Markdown; its first line lets a later comment replace it.
    """
    from evalkit import report, store
    from evalkit.cli.trend import trend
    from evalkit.runner import render

    asked = _Options(**given)
    stored = store.read_run(asked.run)
    if asked.as_json and not stored.manifest.get("sealed"):
        raise DataError(
            f"{stored.folder}: this run is not finished and has no results yet; "
            f"run the same command again, then ask for its report"
        )
    if asked.comment is not None:
        _comment(report.comment(stored), asked.comment)
        return
    folder = asked.out or stored.folder
    folder.mkdir(parents=True, exist_ok=True)
    more = [trend(asked.places)] if asked.places else []
    files = render(
        store.load(asked.run), figures_only=asked.figures_only, split=asked.split, more=more
    )
    for name, content in files.items():
        store.write_file(folder / name, content)
        if "/" not in name:
            click.echo(f"report: {folder / name}", err=asked.as_json)
    _remove_others(folder, set(files))
    say_size(folder)
    if asked.as_json:
        click.echo((stored.folder / "results.json").read_text(encoding="utf-8"))
        return
    for line in report.summary_lines(stored):
        click.echo(line)


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Samples of an earlier split page: texts that --figures-only must not leave behind."""
    from evalkit.report import sample_files

    for path in sample_files(folder):
        if path.relative_to(folder).as_posix() not in kept:
            path.unlink()


def say_size(folder: Path) -> None:
    """What to do about a page that is too big to send around."""
    page = folder / "index.html"
    size = page.stat().st_size / 1e6 if page.exists() else 0
    if size > _BIG_MB:
        click.echo(
            f"note: {page.name} has {size:,.0f} MB; `evalkit report {folder} --split` puts its "
            f"samples into files beside it, for a web server",
            err=True,
        )


def _comment(text: str, place: str) -> None:
    from evalkit import store

    if place == "-":
        click.echo(text, nl=False)
    else:
        store.write_file(Path(place), text.encode("utf-8"))
        click.echo(f"comment: {place}", err=True)
