"""Exchange: `import` and `export`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import click

from evalkit.cli.console import (
    PATH,
    RUNS,
    Near,
    json_option,
    named_values,
    print_json,
    read_runs,
    runs_argument,
    say_findings,
    show,
)
from evalkit.core.evidence import KINDS
from evalkit.core.run import Run
from evalkit.errors import SuiteError

__all__ = ["export", "import_"]


# --- import_ --------------------------------------------------------------------------------


_VOTES = "votes"


@click.command("import")
@click.argument("kind", type=Near((*KINDS, _VOTES)))
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--model", "models", multiple=True, help="Name of the model; the first is candidate.")
@click.option("--outputs", multiple=True, type=PATH, help="alpaca_eval: the model's outputs.")
@click.option("--answers", multiple=True, type=PATH, help="mt_bench: FastChat's answer file.")
@click.option("--out", type=PATH, help="Run folder.")
@click.option("--strict", is_flag=True, help="Exit with 1 where the evidence is damaged.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json.")
def import_(kind: str, files: tuple[Path, ...], **given: Any) -> int:
    """Make an ordinary run of results that other tools wrote.

    \b
    alpaca_eval      annotations.json: which answer the judge preferred
    mt_bench         FastChat's judgments (gpt-4_single.jsonl, gpt-4_pair.jsonl)
    lm_eval          results_*.json and samples_*.jsonl
    ifeval           eval_results_*.jsonl; or responses, which are checked here
    inspect          logs of Inspect (.eval, .json)
    every_eval_ever  records of the Every Eval Ever datastore
    votes            FILE... RUN, into RUN: what people chose between its answers, as the voting
                     page of its report exports it, a .csv (sample, first, second, choice, voter),
                     or alpaca_eval's cross-annotations

    A folder stands for the files in it; files may be .json or .jsonl, each also with .gz.  --model
    NEW=OLD renames one of several models.  What was read, what was not, and what is wrong with the
    evidence is said, and shown in the report.
    """  # noqa: D301 - click reads a backspace as: leave these lines as they stand
    from evalkit import report, runner, store
    from evalkit.cli.progress import watcher
    from evalkit.runner import importing

    if kind == _VOTES:
        return _votes(files, given)
    workspace = store.find_workspace()
    origin = runner.Origin(f"import {kind}", Path.cwd(), workspace, ("evalkit", *sys.argv[1:]))
    source = importing.ImportSource(kind, files, _companions(kind, given), given["models"])
    result = importing.import_run(source, origin, given["out"], watcher().step)
    stored = result.run
    damaged = say_findings(stored)
    click.echo(_read_in(stored), err=given["as_json"])
    if given["as_json"]:
        click.echo((stored.folder / "results.json").read_text(encoding="utf-8"))
    else:
        show(*report.summary_lines(stored))
    click.echo(f"report: {stored.folder / 'index.html'}", err=given["as_json"])
    return 1 if damaged and given["strict"] else 0


def _read_in(run: Run) -> str:
    """`read 2 files: 1 model, 160 samples, 12 figures`."""
    files = {str(f.get("file")) for e in run.manifest.evidence for f in e.files} or {""}
    counts = ((len(run.manifest.models), "model"), (len(run.records), "sample"))
    found = (*counts, (len(run.figures), "figure"))
    said = ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for n, what in found)
    return f"read {len(files)} file{'' if len(files) == 1 else 's'}: {said}"


def _votes(files: tuple[Path, ...], given: dict[str, Any]) -> int:
    from evalkit import store
    from evalkit.comparison.votes import people, people_json, people_tables
    from evalkit.draw import one_line, visible
    from evalkit.runner import importing

    unused = [name for name in ("models", "outputs", "answers", "out", "strict") if given[name]]
    if len(files) < 2 or unused:
        raise SuiteError(
            "expected evalkit import votes FILE... RUN: files of votes, and the folder of the run "
            "that was voted on; there are no other options than --json"
        )
    *sources, folder = files
    run, notes = importing.import_votes(sources, store.find_run(folder))
    found = people(run)
    for note in notes:
        click.echo(f"note: {one_line(visible(note))}", err=True)
    if given["as_json"]:
        print_json({"people": people_json(found)})
    else:
        show(*(line for table in people_tables(found) for line in (table, "")))
    click.echo(f"report: {run.folder / 'index.html'}", err=given["as_json"])
    return 0


def _companions(kind: str, given: dict[str, Any]) -> tuple[Path, ...]:
    for option, of in (("outputs", "alpaca_eval"), ("answers", "mt_bench")):
        if given[option] and kind != of:
            raise SuiteError(f"--{option} belongs to {of!r} results, not to {kind!r}; leave it out")
    return (*given["outputs"], *given["answers"])


# --- export ---------------------------------------------------------------------------------


@click.command("export", epilog=RUNS)
@runs_argument
@click.option("--format", "kind", required=True, metavar="FORMAT", help="See above.")
@click.option("--out", required=True, type=PATH, help="Folder to write into.")
@click.option("--model", "models", multiple=True, help="Only this model; may be repeated.")
@click.option("--figures-only", is_flag=True, help="Leave out every question and answer.")
@click.option(
    "--allow-unpublishable",
    is_flag=True,
    help="Publish limited runs and damaged evidence too, marked.",
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="The format's own.")
@json_option
def export(
    runs: tuple[str, ...],
    kind: str,
    out: Path,
    settings: tuple[str, ...],
    as_json: bool,
    **common: Any,
) -> None:
    """Write RUNS in a format that other tools read.

    \b
    csv, json, parquet  the tables of Run.to_frame(), with their columns described
    eval_results        .eval_results/*.yaml of a model repository on the hub
    every_eval_ever     Every Eval Ever's JSON, one file per model and benchmark
    lm_eval             results_*.json and samples_*.jsonl, as lm-eval writes them
    inspect             logs that `inspect view` opens, one per model and task
    argilla             judged pairs for people to review, blind

    A setting that a format does not have is refused with the list of those it has.
    """  # noqa: D301 - click reads a backspace as: leave these lines as they stand
    from evalkit import formats

    spec = formats.settings(kind, {**named_values(settings, "spreadsheet=true"), **common})
    done = formats.export(read_runs(runs), spec)
    formats.write(done, out)
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        listing = [
            {
                "file": str(out / name),
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in done.files.items()
        ]
        print_json({"files": listing})
        return
    for name in done.files:
        click.echo(out / name)
