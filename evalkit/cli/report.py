"""`evalkit report`: reports from stored files alone."""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.errors import DataError

__all__ = ["command"]


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default: the run's own.")
@click.option("--figures-only", is_flag=True, help="Leave out every question and answer.")
@click.option("--comment", metavar="FILE", help="Only write the short form for a PR (-: stdout).")
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of a summary.")
def command(
    run: Path, out: Path | None, figures_only: bool, comment: str | None, as_json: bool
) -> None:
    """Render the reports of RUN (its folder, or a file in it) again, byte for byte the same.

    With --figures-only the copy can be published where the benchmark's texts may not.
    --comment is for pull requests: verdict, warnings and one table, in at most 65,536 characters
    of Markdown; its first line lets a later comment replace it.
    """
    from evalkit import report, store

    stored = store.read_run(run)
    if as_json and not stored.manifest.get("sealed"):
        raise DataError(
            f"{stored.folder}: this run is not finished and has no results yet; "
            f"run the same command again, then ask for its report"
        )
    if comment is not None:
        _comment(report.comment(stored), comment)
        return
    folder = out or stored.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in report.render(stored, figures_only=figures_only).items():
        store.write_file(folder / name, content)
        click.echo(f"report: {folder / name}", err=as_json)
    if as_json:
        click.echo((stored.folder / "results.json").read_text(encoding="utf-8"))
        return
    for line in report.summary_lines(stored):
        click.echo(line)


def _comment(text: str, place: str) -> None:
    from evalkit import store

    if place == "-":
        click.echo(text, nl=False)
    else:
        store.write_file(Path(place), text.encode("utf-8"))
        click.echo(f"comment: {place}", err=True)
