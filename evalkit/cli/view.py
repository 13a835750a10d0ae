"""`evalkit view`: runs in a browser, on this machine only."""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.errors import DataError

__all__ = ["command"]


@click.command("view")
@click.argument("places", metavar="RUN|DIR...", nargs=-1, required=True, type=Path)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="any that is free")
@click.option("--open/--no-open", "to_open", default=True, help="Open a browser; default: do.")
def command(places: tuple[Path, ...], port: int, to_open: bool) -> None:
    """Show runs in a browser: a sortable index, with every run's report.

    DIR is searched for runs at every visit.  Listens on 127.0.0.1 only and writes nothing; a run
    without a report is rendered when it is opened.  Ctrl-C ends it.  For two runs side by side:
    evalkit compare RUN RUN --html FILE.
    """
    import webbrowser

    from evalkit.report import serve

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
    single = len(entries) == 1 and not entries[0].error
    address = server.address_of(entries[0]) if single else server.address
    click.echo(address)
    click.echo(f"{len(entries)} runs; Ctrl-C ends this", err=True)
    if to_open and not webbrowser.open(address):
        click.echo("no browser could be opened: open the address above yourself", err=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    finally:
        server.server_close()
