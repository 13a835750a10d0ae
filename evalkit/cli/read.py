"""Read: `report`, `view`, `evidence`, `verify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.console import (
    PATH,
    RUNS,
    allow_different_option,
    json_option,
    print_json,
    read_run,
    read_runs,
    run_argument,
    runs_argument,
    show,
    split,
    taken,
    write_out,
)
from evalkit.errors import DataError

if TYPE_CHECKING:
    from evalkit.comparison.history import Series
    from evalkit.core.figures import Figure
    from evalkit.core.run import Run
    from evalkit.report import Block, Section

__all__ = ["evidence", "report", "say_size", "verify", "view"]


# --- report ---------------------------------------------------------------------------------


_BIG_MB = 30
"""A browser needs half a second for a page of this size, and mail programs refuse it."""


@click.command("report", epilog=RUNS)
@click.argument("run", metavar="[RUN|DIR]", required=False)
@click.option("--out", type=PATH, help="Folder; default: the run's own.")
@click.option("--figures-only", is_flag=True, help="Leave out every question and answer.")
@click.option("--split", is_flag=True, help="Put samples into files beside it, for a web server.")
@click.option(
    "--comment", type=PATH, metavar="FILE", help="Only write the short form for a PR (-: stdout)."
)
@click.option("--index", is_flag=True, help="Write DIR/index.html: all runs below DIR, sortable.")
@click.option(
    "--history",
    "places",
    multiple=True,
    metavar="DIR",
    help="Show figures over the checkpoints in DIR, too (as `evalkit history DIR`).",
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of a summary.")
def report(
    run: str | None,
    out: Path | None,
    figures_only: bool,
    split: bool,
    comment: Path | None,
    index: bool,
    places: tuple[str, ...],
    as_json: bool,
) -> None:
    """Render the reports of RUN (its folder, or a file in it) again, byte for byte the same.

    A file that has these bytes is not written.
    With --figures-only the copy can be published where the benchmark's texts may not.
    --split is for runs too big for one page: a web server hands out the samples as they are
    needed; opened from a disk, such a page shows figures only.
    --comment is for pull requests: verdict, warnings and one table, in at most 65,536 characters
    of Markdown; its first line lets a later comment replace it.
    --index links to the reports that are there (in ./reports, or DIR), and leaves them as they are.
    """
    from evalkit import report, store

    if index:
        _index(store.find_place(run), out)
        return
    stored = read_run(run)
    if as_json and not stored.manifest.sealed:
        raise DataError(
            f"{stored.folder}: this run is not finished and has no results yet; "
            f"run the same command again, then request its report"
        )
    if comment is not None:
        write_out(report.comment(stored), comment, "comment")
        return
    folder = out or stored.folder
    folder.mkdir(parents=True, exist_ok=True)
    more = [trend([store.find_place(place) for place in places])] if places else []
    files = report.render(stored, figures_only=figures_only, split=split, more=more)
    if "card" in stored.manifest.suite.report.formats:
        from evalkit import card

        files |= card.files(stored)
    earlier = report.sample_files(folder)
    for name, content in files.items():
        is_there = store.holds(folder / name, content)
        if not is_there:
            store.write_file(folder / name, content)
        if "/" not in name:
            said = "report, unchanged" if is_there else "report"
            click.echo(f"{said}: {folder / name}", err=as_json)
    # Samples of an earlier split page: texts that --figures-only must not leave behind.
    for path in earlier:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    say_size(folder)
    if as_json:
        click.echo((stored.folder / "results.json").read_text(encoding="utf-8"))
        return
    show(*report.summary_lines(stored))


def _index(place: Path, out: Path | None) -> None:
    from evalkit import report, store

    if (place / store.MANIFEST_NAME).is_file() or not place.is_dir():
        raise DataError(
            f"{str(place)!r} is not a folder of runs; name one, such as reports/, or leave out "
            f"--index for the report of this run"
        )
    out = out or place
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


# --- trend ----------------------------------------------------------------------------------


def trend(places: Sequence[Path]) -> Section:
    """A chart and a table for each headline figure of two checkpoints or more.

    Args:
        places: Run folders, or folders searched for runs.

    Raises:
        DataError: a place holds no run, or none of the runs has figures.
    """
    from evalkit import report
    from evalkit.comparison import history

    runs, left_out = history.find_runs(places)
    found = history.checkpoints(runs, None)
    every = history.history(found.checkpoints)
    blocks = [b for series in every if len(series.points) > 1 for b in _blocks(series)]
    if not blocks:
        blocks = [report.Text("There are not two checkpoints of any measure to show a trend of.")]
    notes = [report.Text(note, "Note.") for note in (*left_out, *found.notes)]
    return report.Section("Over checkpoints", (*blocks, *notes))


def _blocks(series: Series) -> Iterator[Block]:
    from evalkit import report
    from evalkit.comparison import history
    from evalkit.draw import svg

    table = history.series_table(series)
    drawing = svg.trend(history.series_trend(series))
    yield report.Chart(table.caption, drawing, replace(table, caption=""), fixed=True)
    yield report.Text(history.change_sentence(series))
    for point in series.points:
        if point.split:
            yield report.Text(point.split, f"{point.checkpoint.label} is not joined:")
    best = history.best_of(series)
    if best is not None:
        yield report.Text(history.best_sentence(best, series))
    for note in series.notes:
        yield report.Text(note, "Note.")


# --- view -----------------------------------------------------------------------------------


@click.command("view")
@click.argument("names", metavar="[RUN|DIR|SUITE]...", nargs=-1)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="any that is free")
@click.option("--open/--no-open", "to_open", default=True, help="Open a browser; default: do.")
def view(names: tuple[str, ...], port: int, to_open: bool) -> None:
    """Show runs in a browser: a sortable index, with every run's report.

    Nothing, or `latest`, opens the newest run's report, with all of ./reports beside it.  DIR, or
    the runs of SUITE, are searched for runs at every visit.  Listens on 127.0.0.1 only and writes
    nothing; a run without a report is rendered when it is opened.  Ctrl-C ends it.  For two runs
    side by side: evalkit compare RUN RUN --html FILE.
    """
    import webbrowser

    from evalkit import store
    from evalkit.report import serve

    names = names or (store.LATEST,)
    places = [store.find_place(name) for name in names]
    opened = [store.find_run(names[0])] if names == (store.LATEST,) else places
    library = serve.Library(places)
    entries = library.entries()
    for entry in entries:
        if entry.error and entry.folder in places:
            raise DataError(entry.error)
    try:
        server = serve.Server(library, port)
    except OSError as error:
        raise click.UsageError(
            f"port {port} cannot be listened on ({error.strerror}); leave --port out for any"
        ) from error
    shown = [e for e in entries if not e.error and (len(entries) == 1 or [e.folder] == opened)]
    address = server.address_of(shown[0]) if shown else server.address
    click.echo(address)
    if shown and len(entries) > 1:
        click.echo(f"all runs: {server.address}", err=True)
    runs = "1 run" if len(entries) == 1 else f"{len(entries)} runs"
    click.echo(f"{runs}; Ctrl-C ends this", err=True)
    if to_open and not webbrowser.open(address):
        click.echo("no browser could be opened: open the address above yourself", err=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    finally:
        server.server_close()


# --- evidence -------------------------------------------------------------------------------


def _extra() -> Callable[[Run, str, str], Sequence[Figure]]:
    """Figures that need a benchmark's code: all of that is loaded only where one does, and once."""
    found: dict[tuple[Path, str, str], Sequence[Figure]] = {}

    def extra(run: Run, model: str, benchmark: str) -> Sequence[Figure]:
        from evalkit.runner.assemble import extra_figures

        place = (run.folder, model, benchmark)
        if place not in found:
            found[place] = extra_figures(run, model, benchmark)
        return found[place]

    return extra


@click.command("verify", epilog=RUNS)
@run_argument
@json_option
def verify(run: str | None, as_json: bool) -> int:
    """Check that RUN is as it was sealed, and compute all its figures again.

    What needs code of the suite's author is named, not recomputed.  Exit code 1: a file was changed
    since, or the records say something else than results.json.
    """
    from evalkit.comparison import recompute

    stored = read_run(run)
    if stored.state == "unfinished":
        return 2
    made = recompute.verify(stored, _extra())
    if as_json:
        cells = {
            cell: {"outcome": outcome, "why": again.why, "differences": list(again.differences)}
            for outcome, found in made.outcomes.items()
            for cell, again in found
        }
        parts = {
            "holds": made.holds,
            "sha256": made.digest,
            "changed": list(made.changed),
            "lacking": list(made.lacking),
        }
        print_json({**parts, "figures": cells})
        return 0 if made.holds else 1
    for change in made.changed:
        click.echo(f"CHANGED: {change}")
    for cell, again in made.outcomes.get("differs", ()):
        click.echo(f"DIFFERENT: {cell}: {'; '.join(again.differences)}")
    for cell in made.lacking:
        click.echo(f"MISSING: {cell}: the records give it, results.json lacks it")
    silent: tuple[recompute.Outcome, ...] = ("not recomputed", "nothing computed")
    for outcome in silent:
        reasons = Counter(again.why for _, again in made.outcomes.get(outcome, ()))
        for why, n in reasons.items():
            click.echo(f"{outcome}: {n} figure{'' if n == 1 else 's'}: {why}")
    click.echo(f"the same: {len(made.outcomes.get('same', ()))} figures and differences")
    click.echo(f"digest: {made.digest or 'none: sealed by an earlier version'}")
    return 0 if made.holds else 1


@click.command("evidence", epilog=RUNS)
@runs_argument
@click.argument("cell")
@click.option(
    "--samples",
    type=PATH,
    metavar="FILE",
    help="Write the records behind the figure here, as JSON lines (-: stdout).",
)
@allow_different_option
@json_option
def evidence(
    runs: tuple[str, ...],
    cell: str,
    samples: Path | None,
    allow_different: tuple[str, ...],
    as_json: bool,
) -> int:
    """Show what the figure CELL of the RUNS rests on, and compute it again.

    CELL is MODEL/BENCHMARK[/TASK][/METRIC], or A-B/BENCHMARK[...] for a difference.  RUN:MODEL
    where two runs have one name.  Exit code 1: the records say something else than results.json.
    """
    from evalkit import store
    from evalkit.comparison import evidence
    from evalkit.comparison.contests import Options
    from evalkit.comparison.guard import allowed_fields

    quiet = taken(samples=samples, json=as_json)
    stored = read_runs(runs)
    options = Options(allow_different=allowed_fields(stored, split(allow_different)))
    found = evidence.find(stored, cell, options)
    made = evidence.chain(found, evidence.recompute(found, _extra()), stored)
    if samples is not None:
        behind = evidence.records_behind(found, stored)
        lines = [store.canonical_json(store.encode(record)) + b"\n" for record in behind]
        write_out(b"".join(lines), samples, f"samples ({len(lines)} records)")
    if as_json:
        print_json(made.parts)
    else:
        show(*evidence.chain_lines(made), err=quiet)
    return 1 if made.contradicted else 0
