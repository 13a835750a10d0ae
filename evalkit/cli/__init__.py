"""The commands.  One module each, imported when its command runs: `--help` stays quick."""

from __future__ import annotations

import importlib
import signal
import sys
import traceback
from types import FrameType

import click

from evalkit.cli.console import guard_output
from evalkit.errors import EvalkitError

__all__ = ["main"]

_COMMANDS = {
    "run": "Ask, judge, score and report a suite; goes on where it was interrupted.",
    "check": "Say everything that is wrong with a suite.",
    "schema": "Print the JSON Schema of suites.",
    "list": "List suites and the types that suites may name.",
    "merge": "Merge a PEFT adapter into its base, and prove it.",
    "import": "Make a run of results that other tools wrote.",
    "data": "Public data: list it, or copy what a suite needs.",
    "compare": "A candidate against baselines, with what may be said.",
    "claim": "Whether stored runs carry a sentence.",
    "evidence": "What a published figure rests on, computed again.",
    "gate": "Pass, regression, incomplete or inconclusive, for CI.",
    "history": "Figures over the checkpoints of a training run.",
    "watch": "Evaluate and gate the checkpoints of a training run as they appear.",
    "power": "What a suite can resolve, before anything is spent.",
    "view": "Runs in a browser: an index, reports, side by side.",
    "report": "Render a stored run's reports again.",
    "export": "Write runs in the forms that other tools read.",
    "card": "Model cards: write them from runs, update real ones, audit any.",
}


_MODULES = {"import": "importing"}
"""Commands whose name is a word of Python."""


class _Commands(click.Group):
    """Imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"evalkit.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group("evalkit", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="evalkit")
def _group() -> None:
    """Whether a fine-tuned chat model is better, by how much, and on what evidence."""


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run a command and exit with the code that DESIGN's table gives its outcome.

    0 done; 1 a negative verdict; 2 your input; 3 incomplete; 4 environment or internal error;
    130 interrupted.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    guard_output()
    try:
        code = _group(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except EvalkitError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: the same command goes on from here", err=True)
        sys.exit(130)
    except OSError as error:
        click.echo(f"error: {error}; free the disk or mend the path and repeat", err=True)
        sys.exit(4)
    except Exception:  # noqa: BLE001 - the last resort: a bug must not look like a verdict
        traceback.print_exc()
        click.echo("error: this is a bug in evalkit; please report the lines above", err=True)
        sys.exit(4)
