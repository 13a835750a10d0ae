r"""What the commands share: guarded output, common options, what is said of a run.

What a terminal or a CI runner would obey in a command's output is spelled out before it is printed,
as JSON spells it (`\u001b`), so that JSON that is printed keeps its values: control characters,
bidirectional overrides, everything that cannot be seen.

GitHub's runner reads a step's output: a line that begins (after blanks) with `::` and a line that
has `##[` in it are commands to it (actions/runner, ActionCommand.cs), whoever wrote them.  Names
of models, tasks and files are not evalkit's own words: there the second colon is printed as
`\u003a` and the bracket as `\u005b`.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from evalkit.errors import SuiteError, did_you_mean

if TYPE_CHECKING:
    from evalkit.core.run import Run
    from evalkit.draw import Line

__all__ = [
    "PATH",
    "RUNS",
    "Guarded",
    "Near",
    "allow_different_option",
    "commands_of",
    "guard_output",
    "harmless",
    "json_option",
    "level_option",
    "named_values",
    "print_json",
    "read_run",
    "read_runs",
    "repeats_option",
    "run_argument",
    "runs_argument",
    "say_findings",
    "seen",
    "set_option",
    "show",
    "split",
    "taken",
    "tasks_option",
    "write_out",
]

PATH = click.Path(path_type=Path)
RUNS = (
    "RUN is a run's folder, a suite's name (its newest run), a run's id, or `latest`. Without one: "
    "the newest run in ./reports that is finished."
)
"""Ends the help of the commands that read runs."""

set_option = click.option(
    "--set", "overrides", multiple=True, metavar="A.B=C", help="Change a field."
)
run_argument = click.argument("run", required=False)
runs_argument = click.argument("runs", nargs=-1, metavar="[RUN]...")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
allow_different_option = click.option(
    "--allow-different",
    multiple=True,
    metavar="FIELD",
    help="Settings that may differ; flagged wherever the figures show.",
)
level_option = click.option(
    "--level",
    type=click.FloatRange(0.5, 0.999),
    default=0.95,
    show_default=True,
    help="Of the intervals.",
)
repeats_option = click.option(
    "--repeats", is_flag=True, help="Several runs of a model repeat one measurement."
)

tasks_option = click.option(
    "--tasks", multiple=True, metavar="A,B", help="Only these: entries of the suite, lm-eval tasks."
)


class Near(click.Choice[str]):
    """A choice that names the nearest one where there is no such."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """What is wrong, and what was meant."""
        hint = did_you_mean(str(value), self.choices) or ";"
        return f"no {value!r}{hint} expected one of {', '.join(self.choices)}"


def read_run(text: str | Path | None) -> Run:
    """The run that a command was given (`store.find_run`).

    Said first, on the error stream: which one it is, and what keeps it from having a verdict.
    """
    from evalkit import store
    from evalkit.comparison.recompute import load
    from evalkit.draw import state_text

    run = load(store.find_run(text, say=lambda line: click.echo(line, err=True)))
    if said := state_text(run):
        click.echo(f"warning: {store.shown(run.folder)}: {said}", err=True)
    return run


def read_runs(texts: Sequence[str | Path]) -> list[Run]:
    """Those that a command was given; the newest where it was given none."""
    return [read_run(text) for text in texts or (None,)]


def print_json(found: Any) -> None:
    """On standard output, for programs."""
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


_STDOUT = Path("-")


def taken(**places: Path | bool | None) -> bool:
    """Whether an option writes to standard output (`-`, or a switch as --json), so no text may.

    Raises click.UsageError where two do.
    """
    wanted = [
        f"--{name.replace('_', '-')}{'' if place is True else ' -'}"
        for name, place in places.items()
        if place is True or place == _STDOUT
    ]
    if len(wanted) > 1:
        raise click.UsageError(
            f"{' and '.join(wanted)} all go to standard output; expected one of them"
        )
    return bool(wanted)


def write_out(content: str | bytes, place: Path, what: str) -> None:
    """Write a file, and say `what: place`; `-` is standard output."""
    from evalkit import store

    data = content.encode() if isinstance(content, str) else content
    if place == _STDOUT:
        click.echo(data.decode(), nl=False)
        return
    store.write_file(place, data)
    click.echo(f"{what}: {place}", err=True)


def named_values(values: Iterable[str], example: str) -> dict[str, str]:
    """`--set NAME=VALUE`, repeated; values are strings.  Raises SuiteError."""
    found = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not equals or not name:
            raise SuiteError(f"--set {value!r}: expected NAME=VALUE, such as {example}")
        found[name] = rest
    return found


def split(values: Iterable[str]) -> tuple[str, ...]:
    """Names from repeated or comma-separated options."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def say_findings(run: Run) -> bool:
    """Print the findings of `run` on the error stream; whether one of them is damage."""
    is_damaged = False
    for entry in run.manifest.evidence:
        for finding in entry.findings:
            is_damaged |= finding.damaged
            word = "damaged" if finding.damaged else "note"
            click.echo(f"{word}: {entry.model}: {finding.message}", err=True)
    return is_damaged


def show(*lines: Line, err: bool = False) -> None:
    """Print lines and tables as fits the stream: its width, and colours where it is a terminal.

    `evalkit --wide` shows every column whole.  NO_COLOR (no-color.org) and TERM=dumb: no colours.
    """
    if not lines:
        return
    from evalkit.draw import to_text

    stream = sys.stderr if err else sys.stdout
    environment = os.environ
    dull = environment.get("NO_COLOR") or environment.get("GITHUB_ACTIONS")
    is_plain = dull or environment.get("TERM") == "dumb" or not stream.isatty()
    context = click.get_current_context(silent=True)
    wide = context is not None and bool(context.find_root().params.get("wide"))
    width = None if wide else shutil.get_terminal_size().columns
    text = to_text(lines, width=width, colour=not is_plain)
    if isinstance(stream, Guarded) and not is_plain:
        stream.write_drawn(f"{text}\n")
    else:
        click.echo(text, err=err)


# --- output that obeys nobody ---------------------------------------------------------------

_PLAIN = re.compile(r"[\n\t\x20-\x7e]*")

_COMMAND = re.compile(r"(?P<begin>(?:\A|[\r\n])\s*:):|(?P<old>##)\[")
"""A runner's reader ends a line at a carriage return, too."""


def harmless(text: str) -> str:
    """`text`, from the beginning of a line, without anything a runner takes for a command.

    What becomes of a character depends on those before it only, so that text may come in pieces.
    """
    return _COMMAND.sub(_spelled, text)


def seen(text: str) -> str:
    """`text` with every character spelled out that would act on a terminal or cannot be seen."""
    if _PLAIN.fullmatch(text) or text.replace("\n", "").replace("\t", "").isprintable():
        return text
    from evalkit.draw.text import is_unseen

    return "".join(_escape(c) if is_unseen(c) else c for c in text)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))


def _spelled(found: re.Match[str]) -> str:
    begin = found["begin"]
    return f"{found['old']}\\u005b" if begin is None else f"{begin}\\u003a"


class Guarded(io.TextIOWrapper):
    """A text stream over another's bytes, with nothing in it that a terminal or a runner obeys."""

    def __init__(self, stream: TextIO, *, runner: bool) -> None:
        super().__init__(
            stream.buffer,
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
            write_through=True,
        )
        self._runner = runner
        self.stream = stream
        """Unguarded; kept, since both close the same file."""
        self._line = ""

    def write(self, text: str) -> int:
        """Write it; a command that comes in pieces is none either."""
        if not self._runner:
            super().write(seen(text))
            return len(text)
        before = len(harmless(self._line))
        whole = self._line + text
        super().write(seen(harmless(whole)[before:]))
        self._line = whole[max(whole.rfind("\n"), whole.rfind("\r")) + 1 :]
        return len(text)

    def write_drawn(self, text: str) -> None:
        """Write what `draw.to_text` made: colours, and nothing else that a terminal obeys."""
        super().write(text)


def guard_output(environment: Mapping[str, str] = os.environ) -> None:
    """Guard standard output and error."""
    runner = environment.get("GITHUB_ACTIONS") == "true"
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Guarded):
            setattr(sys, name, Guarded(stream, runner=runner))


def commands_of(stream: TextIO) -> TextIO:
    """Where evalkit's own commands for runner and terminal go: the stream itself, unguarded."""
    if not isinstance(stream, Guarded):
        return stream
    stream.flush()
    return stream.stream
