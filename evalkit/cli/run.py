"""`evalkit run`: the whole pipeline; `--dry-run` stops before anything is spent."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.findings import say_findings
from evalkit.cli.options import split, verbose_option
from evalkit.cli.report import say_size
from evalkit.errors import SuiteError

if TYPE_CHECKING:
    from evalkit.cli.progress import Bars, Lines
    from evalkit.core.specs import Suite
    from evalkit.runner import Origin, Plan, Result, Selection

__all__ = ["command"]

_NOT_PART_OF_THE_RESULT = ("--out", "--dry-run", "-v", "--verbose", "--json")


@dataclass(frozen=True)
class _Options:
    """The command line as click parsed it; one field per option below."""

    suite: str | None
    overrides: tuple[str, ...]
    only: tuple[str, ...]
    models: str | None
    limit: int | None
    out: Path | None
    dry_run: bool
    base: str | None
    adapter: str | None
    retry_failed: bool
    as_json: bool
    verbose: bool


@click.command("run")
@click.argument("suite", required=False)
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Change a field.")
@click.option("--only", multiple=True, metavar="BENCH", help="Only these benchmarks.")
@click.option("--models", metavar="A,B", help="Only these models.")
@click.option("--limit", type=int, metavar="N", help="First N samples a task; never published.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
@click.option("--dry-run", is_flag=True, help="Show what would be asked, and stop.")
@click.option("--base", help="Without a suite: the base model of --adapter.")
@click.option("--adapter", help="Without a suite: the adapter to compare with its base.")
@click.option(
    "--retry-failed/--no-retry-failed",
    default=True,
    show_default=True,
    help="Ask again for samples that failed in an earlier session.",
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json, or the plan.")
@verbose_option
def command(**given: Any) -> int:
    """Run SUITE: a YAML file, or the name of a bundled suite (quickstart, chat, notus).

    An interrupted run goes on where it was; a finished one is not asked again.
    """
    from evalkit.cli.progress import watcher
    from evalkit.runner import Selection, planned

    options = _Options(**given)
    watch = watcher(verbose=options.verbose)
    loaded, origin = _load(options)
    models = split((options.models,) if options.models else ())
    chosen = Selection(split(options.only), models, options.limit)
    if options.dry_run:
        return _dry_run(planned(loaded, origin, chosen, watch.step), as_json=options.as_json)
    result = _run(loaded, origin, chosen, options, watch)
    return _finish(result, as_json=options.as_json)


def _load(given: _Options) -> tuple[Suite, Origin]:
    from evalkit import plugins
    from evalkit import suite as suites
    from evalkit.importers.names import unknown_names
    from evalkit.runner import Origin

    command_line = ("evalkit", *_deciding(sys.argv[1:]))
    suite, base, adapter, overrides = given.suite, given.base, given.adapter, given.overrides
    if (suite is None) == (base is None and adapter is None):
        raise SuiteError("give either SUITE, or --base and --adapter")
    if suite is None:
        if base is None or adapter is None:
            raise SuiteError("--base and --adapter go together: what is merged into what?")
        mapping = suites.preset(base, adapter)
        label = f"--base {base} --adapter {adapter}"
        loaded = suites.load_mapping(mapping, label, overrides, plugins)
        return loaded, Origin(label, Path.cwd(), suites.find_workspace(), command_line)
    path = suites.locate(suite)
    loaded = suites.load(path, overrides, plugins, unknown_names)
    return loaded, Origin(suite, path.parent, suites.find_workspace(suite), command_line)


def _deciding(arguments: list[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument.split("=")[0] in _NOT_PART_OF_THE_RESULT:
            skip = argument == "--out"
        else:
            kept.append(shlex.quote(argument))
    return kept


def _dry_run(made: Plan, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(made.to_json(), indent=2))
    else:
        _show_plan(made)
    return 0


def _show_plan(made: Plan) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title="What would be asked", title_justify="left", box=box.SIMPLE_HEAD)
    for title in ("engine", "answers of", "benchmark"):
        table.add_column(title, overflow="fold")
    for title in ("samples", "requests", "cached", "to ask", "prompt tokens"):
        table.add_column(title, justify="right", overflow="fold")
    for row in made.rows:
        tokens = "unknown" if row.prompt_tokens is None else f"{row.prompt_tokens:,}"
        if row.lower_bound and row.prompt_tokens is not None:
            tokens = f"at least {tokens}"
        numbers = (row.samples, row.requests, row.cached, row.to_ask)
        shown = ["unknown" if n is None else f"{n:,}" for n in numbers]
        table.add_row(row.engine, row.model, row.benchmark, *shown, tokens)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for name, caps in made.caps.items():
        limits = ", ".join(f"{k} {'none' if v is None else v}" for k, v in caps.items())
        console.print(f"judge {name}: {limits}", markup=False, highlight=False)
    for note in made.notes:
        console.print(f"note: {note}", markup=False, highlight=False)


def _run(
    suite: Suite, origin: Origin, chosen: Selection, options: _Options, watch: Lines | Bars
) -> Result:
    from evalkit import runner, store

    with store.CompletionStore(origin.state / "cache.sqlite") as cache:
        job = runner.assemble(suite, origin, chosen, cache, say=watch.step)
        return runner.run(job, options.out, options.retry_failed, watch)


def _finish(result: Result, *, as_json: bool) -> int:
    from evalkit import report, store

    folder = result.run.folder
    say_findings(result.run)
    if as_json:
        click.echo((folder / "results.json").read_text(encoding="utf-8"))
    else:
        for line in report.summary_lines(store.untyped(result.run)):
            click.echo(line)
    if result.fresh == 0:
        click.echo("nothing had to be asked: no engine was started", err=True)
    else:
        used = result.usage
        click.echo(
            f"{used.asked:,} requests answered, {used.from_cache:,} from the cache, "
            f"{used.failed:,} failed; {used.prompt_tokens:,} prompt tokens "
            f"({used.reused_tokens:,} reused), {used.completion_tokens:,} generated"
            + (f"; {used.cost_usd:.2f} USD" if used.cost_usd else ""),
            err=True,
        )
    for name in ("index.html", "report.md"):
        if (folder / name).exists():
            click.echo(f"report: {_short(folder / name)}", err=as_json)
    say_size(folder)
    if result.unanswered:
        click.echo(
            f"incomplete: {result.unanswered} samples could not be answered or judged "
            f"({result.reasons}); the same command asks just those again",
            err=True,
        )
        return 3
    return 0


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
