"""Evaluate: `run`, `plan`, `schema`, `data`, `merge`, `adapter`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.console import (
    json_option,
    print_json,
    say_findings,
    set_option,
    show,
    split,
    tasks_option,
)
from evalkit.cli.read import say_size
from evalkit.errors import SuiteError

if TYPE_CHECKING:
    from evalkit.core.protocols import DataPlaces
    from evalkit.data import Entry
    from evalkit.runner import Opened, Result, Selection
    from evalkit.runner.plan import Plan
    from evalkit.suite import Options

__all__ = ["adapter", "data", "merge", "plan", "run", "schema"]

_NOT_PART_OF_THE_RESULT = (
    *("--out", "--max-cost"),  # with a value
    *("--dry-run", "--without-judge", "-v", "--verbose", "--trust-suite"),
)


def _suite_options(command: Callable[..., int]) -> Callable[..., int]:
    """What changes a suite, for the commands that take one to run it or to plan it."""
    for option in (
        set_option,
        click.option("--limit", type=int, metavar="N", help="First N samples a task; a trial."),
        tasks_option,
        click.option("--judge", metavar="NAME", help="A judge of the suite, or any model's name."),
        click.option(
            "--base", metavar="MODEL", help="The adapter's base, if not the one it names."
        ),
        click.option("--adapter", metavar="A", help="Compare this adapter with its base."),
        click.argument("suite", required=False),
    ):
        command = option(command)
    return command


@click.command("run")
@_suite_options
@click.option("--without-judge", is_flag=True, help="Generate answers; a later run judges them.")
@click.option("--max-cost", type=click.FloatRange(0), metavar="USD", help="Spend at most this.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and stop.")
def run(
    suite: str | None,
    adapter: str | None,
    base: str | None,
    judge: str | None,
    without_judge: bool,
    max_cost: float | None,
    tasks: tuple[str, ...],
    limit: int | None,
    overrides: tuple[str, ...],
    out: Path | None,
    dry_run: bool,
) -> int:
    """Run SUITE: a YAML file, or the name of a bundled suite (quick, quickstart, chat, notus).

    With --adapter, the adapter is the candidate and its base the baseline; SUITE is then quick if
    none is named.  The judge is a judge or a model of the suite, a vendor's model (gpt-6.1-sol), or
    TYPE:MODEL (openai:MODEL).  An interrupted run is resumed; of a finished one nothing is sent
    again.
    """
    from evalkit import runner
    from evalkit.cli.progress import watcher
    from evalkit.suite import Options

    watch = watcher()
    options = Options(adapter, base, judge, max_cost, split(tasks))
    opened = _open(suite, options, overrides, watch.step)
    chosen = runner.Selection(limit, without_judge)
    if dry_run:
        from evalkit.runner.plan import planned

        _show_plan(planned(opened.suite, opened.origin, chosen, watch.step))
        return 0
    return _finish(runner.run_suite(opened.suite, opened.origin, watch, chosen, out), chosen)


@click.command("plan")
@_suite_options
@click.option("--tokens", is_flag=True, help="Count tokens and stored answers, too: slower.")
@json_option
def plan(
    suite: str | None,
    adapter: str | None,
    base: str | None,
    judge: str | None,
    tasks: tuple[str, ...],
    limit: int | None,
    overrides: tuple[str, ...],
    tokens: bool,
    as_json: bool,
) -> int:
    """Say what `evalkit run` with the same options would send, and what it would cost."""
    from evalkit import runner
    from evalkit.cli.progress import watcher
    from evalkit.runner.plan import planned
    from evalkit.suite import Options

    watch = watcher()
    options = Options(adapter, base, judge, None, split(tasks))
    opened = _open(suite, options, overrides, watch.step)
    chosen = runner.Selection(limit)
    made = planned(opened.suite, opened.origin, chosen, watch.step, tokens=tokens)
    if as_json:
        print_json(made.to_json())
    else:
        _show_plan(made)
    return 0


def _open(
    suite: str | None, options: Options, overrides: tuple[str, ...], say: Callable[[str], None]
) -> Opened:
    from evalkit import runner

    if suite is None and options.adapter is None:
        raise SuiteError(
            "nothing to run; give --adapter FOLDER to compare your adapter with its base, or "
            "SUITE: a YAML file or a bundled suite (`evalkit list` names them)"
        )
    command = ("evalkit", *_deciding(sys.argv[1:]))
    opened = runner.opened(suite or runner.DEFAULT_SUITE, options, overrides, command)
    for warning in opened.warnings:
        say(f"warning: {warning}")
    return opened


def _deciding(arguments: list[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument.split("=")[0] in _NOT_PART_OF_THE_RESULT:
            skip = argument in _NOT_PART_OF_THE_RESULT[:2]
        else:
            kept.append(shlex.quote(argument))
    return kept


def _show_plan(made: Plan) -> None:
    from evalkit.draw import MISSING, Cell, Column, Table

    def numbers(*titles: str) -> tuple[Column, ...]:
        return tuple(Column(title, "right") for title in titles)

    def counted(n: int | None) -> Cell:
        return Cell(n, "unknown" if n is None else f"{n:,}")

    rows = []
    for row in made.rows:
        tokens = counted(row.prompt_tokens)
        if row.lower_bound and row.prompt_tokens is not None:
            tokens = replace(tokens, shown=f"at least {tokens.shown}")
        cells = map(counted, (row.samples, row.requests, row.cached, row.to_send))
        rows.append((*map(Cell.text, (row.engine, row.model, row.benchmark)), *cells, tokens))
    named = (Column("Engine"), Column("Answers of"), Column("Benchmark", header=True))
    of_each = numbers("Samples", "Requests", "Cached", "To send", "Prompt tokens")
    columns = (*named, *of_each[:2], replace(of_each[2], rank=1), *of_each[3:])
    if all(row.prompt_tokens is None for row in made.rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    show(Table.of("Requests", columns, rows))
    costs = []
    for one in made.money:
        share = one.reused_tokens / one.prompt_tokens if one.prompt_tokens else 0.0
        usd, most = (f"{m:,.2f}" if m is not None else "unknown" for m in (one.usd, one.most_usd))
        batch = MISSING if one.usd_batch is None else f"{one.usd_batch:,.2f}"
        counts = (f"about {one.prompt_tokens:,}", f"{share:.0%}", f"about {one.new_tokens:,}")
        tokens_of = f"{one.most_prompt_tokens + one.most_new_tokens:,}"
        texts = (one.engine, f"{one.requests:,}", *counts, usd, batch, most, tokens_of)
        costs.append(tuple(map(Cell.text, texts)))
    if costs:
        sent = numbers("To send", "Prompt tokens", "In its prompt cache", "Reply tokens")
        paid = numbers("Expected USD", "With mode: batch", "At most USD", "At most tokens")
        sent = (sent[0], *(replace(column, rank=1) for column in sent[1:]))
        columns = (Column("Engine", header=True), *sent, *paid)
        show("", Table.of("Cost of requests to APIs", columns, costs))
    for estimate in made.money:
        show(f"{estimate.engine}: expected if {'; '.join(estimate.assumptions)}")
        if estimate.usd is None:
            show(
                f"{estimate.engine}: its price is unknown; write usd_per_million_input_tokens and "
                f"usd_per_million_output_tokens in its settings"
            )
    for name, caps in made.caps.items():
        limits = ", ".join(f"{k} {'none' if v is None else v}" for k, v in caps.items())
        show(f"judge {name}: {limits}")
    show(*(f"note: {note}" for note in made.notes))


def _finish(result: Result, chosen: Selection) -> int:
    from evalkit import report, store

    folder = result.run.folder
    say_findings(result.run)
    show(*report.summary_lines(result.run))
    if result.fresh == 0:
        click.echo("nothing had to be sent: no engine was started", err=True)
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
            click.echo(f"report: {store.shown(folder / name)}")
    say_size(folder)
    settled, why = result.run.settled
    if settled:
        click.echo(
            f"{settled} samples have no score and would have none again, so they are not sent "
            f"again ({why})",
            err=True,
        )
    if result.unanswered:
        next_step = "the same command sends just those again"
        if result.input_error:
            next_step = f"correct that, and {next_step}"
        if chosen.without_judge:
            next_step = "the same command without --without-judge judges what is not judged"
        elif result.raise_caps:
            raised = [part for cap in result.raise_caps for part in ("--set", cap)]
            command = shlex.join(["evalkit", *sys.argv[1:], *raised])
            next_step = f"a cap is reached; to go on with a higher one: {command}"
        click.echo(
            f"incomplete: {result.unanswered} samples could not be answered or judged "
            f"({result.reasons}); {next_step}",
            err=True,
        )
    return result.exit_code


@click.command("schema")
def schema() -> None:
    """Print the JSON Schema of suites, with the fields of every engine, judge and benchmark."""
    from evalkit import plugins
    from evalkit import suite as suites

    click.echo(json.dumps(suites.json_schema(plugins), indent=2, ensure_ascii=False))


@click.group("data")
def data() -> None:
    """Public data sets: by name, with revision and checksum."""


@data.command("pull", short_help="Copy all the data that SUITE needs.")
@click.argument("suite")
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print what was fetched.")
def _pull(suite: str, folder: Path, as_json: bool) -> None:
    """Copy all the data that SUITE needs into DIR, verified, for a machine without network.

    There, set EVALKIT_DATA=DIR, or write `data: {mirror: DIR}` in the suite.
    """
    from evalkit.runner.plan import pull

    rows = []
    for row in pull(suite, folder):
        rows.append(row)
        if not as_json:
            size = f"{row['bytes']:,} bytes" if row["bytes"] is not None else ""
            licence = f"licence: {row['licence']}" if row["licence"] else ""
            parts = [row["name"], row["from"], size, licence]
            click.echo("  ".join(part for part in parts if part))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(f"{len(rows)} data sets in {folder}; use them with EVALKIT_DATA={folder}")


@data.command("list", short_help="Every public data set: where it is, whether its hash is right.")
@click.argument("suite", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def _list(suite: str | None, as_json: bool) -> None:
    """Every public data set (or those SUITE needs): where it is, and whether its hash is right."""
    from evalkit import data as sets
    from evalkit.draw import Cell, Column, Table
    from evalkit.runner.plan import data_needs

    places, names = data_needs(suite)
    rows = [_row(name, places) for name in (names if names is not None else sets.entries())]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    lines = []
    for row in rows:
        is_there = row["state"] not in ("absent", "changed")
        why = "" if is_there else row["problem"] or row["origin"]
        texts = (row["name"], row["licence"] or "none stated", why)
        state = Cell.text(row["state"], tone="" if is_there else "warning")
        lines.append((state, *map(Cell.text, texts)))
    columns = (Column("State"), Column("Name", header=True), Column("Licence"), Column("Where"))
    n = 4 if any(cells[-1].shown for cells in lines) else 3
    show(Table.of("", columns[:n], [cells[:n] for cells in lines]))


def _row(name: str, places: DataPlaces) -> dict[str, Any]:
    from evalkit import data as sets

    if name.startswith("hub:"):
        state = "absent" if sets.missing([name], places) else "available"
        return {
            "name": name,
            "state": state,
            "licence": "",
            "origin": "the hub",
            "problem": "",
            "path": None,
        }
    entry = sets.entry(name)
    return {**_state(entry, places), **asdict(entry), "origin": entry.origin}


def _state(entry: Entry, places: DataPlaces) -> dict[str, Any]:
    from evalkit import data as sets
    from evalkit.errors import DataError

    try:
        found = sets.local(entry, places)
    except DataError as error:
        return {"state": "changed", "problem": str(error), "path": None}
    if found is None:
        return {"state": "absent", "problem": ""}
    return {"state": found.source, "problem": "", "path": str(found.path)}


@click.command("merge")
@click.argument("base")
@click.argument("adapter")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="Type of the written weights; auto: the base's own.",
)
@click.option("--allow-different-base", metavar="NAME", help="The base the adapter names.")
@click.option("--json", "as_json", is_flag=True, help="Print the proof.")
def merge(base: str, adapter: str, out: Path, as_json: bool, **settings: Any) -> None:
    """Merge ADAPTER into BASE, prove it, and write a plain transformers checkpoint to OUT.

    BASE and ADAPTER are folders or hub repositories; BASE may be package://module/file.gguf.
    """
    from evalkit import models, store
    from evalkit.cli.progress import watcher
    from evalkit.core.specs import ModelSpec

    spec = ModelSpec.model_validate({"base": base, "adapter": adapter, **settings})
    workspace = store.find_workspace()
    proof = models.merge(base, adapter, out, spec, workspace, watcher().step)
    for warning in proof.get("warnings", ()):
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(proof, indent=2))
    else:
        click.echo(f"merged and proved: {out} (the proof is {out / 'evalkit_merge.json'})")


@click.group("adapter")
def adapter() -> None:
    """What is kept with an adapter, besides what PEFT saves."""


@adapter.command("record", short_help="Record the base an adapter was trained on.")
@click.argument("adapter")
@click.argument("base")
def record(adapter: str, base: str) -> None:
    """Record beside ADAPTER the BASE it was trained on, and what it answers.

    Run it where the adapter was just trained: ADAPTER is its folder, BASE as in a suite's `base:`.
    A later merge is then compared with these answers.  In the training script itself,
    evalkit.models.recording_callback(BASE, WORKSPACE) records those of the model in memory.
    """
    from evalkit import models, store

    models.record_base(Path(adapter), base, store.find_workspace())
    click.echo(f"recorded {base} beside {adapter} (evalkit_base.json)")
