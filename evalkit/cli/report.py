"""`evalkit report`: reports from stored files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.errors import DataError

if TYPE_CHECKING:
    from evalkit.core.run import Run

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
    index: bool
    places: tuple[Path, ...]
    as_json: bool


@click.command("report")
@click.argument("run", metavar="RUN|DIR", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default: the run's own.")
@click.option("--figures-only", is_flag=True, help="Leave out every question and answer.")
@click.option("--split", is_flag=True, help="Put samples into files beside it, for a web server.")
@click.option("--comment", metavar="FILE", help="Only write the short form for a PR (-: stdout).")
@click.option("--index", is_flag=True, help="Write DIR/index.html: all runs below DIR, sortable.")
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
    needed; opened from a disk, such a page shows figures only.
    --comment is for pull requests: verdict, warnings and one table, in at most 65,536 characters
    of Markdown; its first line lets a later comment replace it.
    --index links to the reports that are there, and leaves them as they are.
    """
    from evalkit import report, store

    options = _Options(**given)
    if options.index:
        _index(options.run, options.out or options.run)
        return
    stored = store.load(options.run)
    if options.as_json and not stored.manifest.sealed:
        raise DataError(
            f"{stored.folder}: this run is not finished and has no results yet; "
            f"run the same command again, then request its report"
        )
    if options.comment is not None:
        _comment(report.comment(stored), options.comment)
        return
    folder = options.out or stored.folder
    folder.mkdir(parents=True, exist_ok=True)
    files = _files(stored, options)
    for name, content in files.items():
        store.write_file(folder / name, content)
        if "/" not in name:
            click.echo(f"report: {folder / name}", err=options.as_json)
    # Samples of an earlier split page: texts that --figures-only must not leave behind.
    for path in report.sample_files(folder):
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    say_size(folder)
    if options.as_json:
        click.echo((stored.folder / "results.json").read_text(encoding="utf-8"))
        return
    for line in report.summary_lines(stored):
        click.echo(line)


def _files(run: Run, options: _Options) -> dict[str, bytes]:
    """Reports, and cards where the suite wants them, by name."""
    from evalkit import report

    more = []
    if options.places:
        from evalkit.cli.trend import trend

        more.append(trend(options.places))
    files = report.render(run, figures_only=options.figures_only, split=options.split, more=more)
    if "card" in run.manifest.suite.report.formats:
        from evalkit import card

        files |= card.files(run)
    return files


def _index(place: Path, out: Path) -> None:
    from evalkit import report, store

    if (place / store.MANIFEST_NAME).is_file() or not place.is_dir():
        raise DataError(
            f"{str(place)!r} is not a folder of runs; name one, such as reports/, or leave out "
            f"--index for the report of this run"
        )
    found = list(report.entries([place]))
    link = report.relative_link(out)
    page = report.index_page(found, link, [place])
    out.mkdir(parents=True, exist_ok=True)
    store.write_file(out / "index.html", page.encode("utf-8"))
    click.echo(f"index: {out / 'index.html'}")
    bare = sum(not entry.error and not link(entry) for entry in found)
    if bare:
        what = "1 run has" if bare == 1 else f"{bare} runs have"
        click.echo(f"note: {what} no report to link to; `evalkit report RUN` writes it", err=True)


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
