"""The commands, imported when one of them runs: `--help` stays quick."""

from __future__ import annotations

import errno
import importlib
import signal
import sys
import traceback
from types import FrameType

import click

from evalkit.cli.console import guard_output
from evalkit.errors import EvalkitError, did_you_mean

__all__ = ["command_groups", "main"]

_COMMANDS = {
    "Evaluate": {
        "run": ("evaluate:run", "Generate, judge, score and report a suite; resumes."),
        "plan": ("evaluate:plan", "What a run would send, and what it would cost."),
        "check": ("setup:check", "What is wrong with a suite, and what would stop its run."),
        "init": ("setup:init", "Write a suite, from an adapter, prompts or results you have."),
        "doctor": ("doctor:doctor", "What of this machine stands in the way of a run."),
        "list": (
            "setup:list_",
            "Suites, benchmarks, tasks, judges, ...: what there is; searchable.",
        ),
        "schema": ("evaluate:schema", "Print the JSON Schema of suites."),
        "data": ("evaluate:data", "Public data: list it, or copy what a suite needs."),
        "merge": ("evaluate:merge", "Merge a PEFT adapter into its base, and prove it."),
        "adapter": ("evaluate:adapter", "Record what an adapter was trained on (`record`)."),
    },
    "Judge": {
        "judge": ("judge:judge", "A stored run's answers again, by another judge."),
        "judge-bridge": ("judge:bridge", "Figures by a new judge on an earlier judge's scale."),
    },
    "Compare": {
        "compare": ("compare:compare", "A candidate against baselines."),
        "claim": ("compare:claim", "Whether stored runs support a statement."),
        "gate": ("compare:gate", "Pass, regression, incomplete or inconclusive, for CI."),
        "power": ("compare:power", "The effect a suite can detect, before anything is spent."),
        "history": ("compare:history", "Figures over the checkpoints of a training run."),
        "watch": ("compare:watch", "Evaluate and gate checkpoints as they appear."),
    },
    "Read": {
        "report": ("read:report", "Render a stored run's reports again."),
        "view": ("read:view", "Runs in a browser, on this machine only."),
        "evidence": ("read:evidence", "What a published figure rests on, recomputed."),
        "verify": ("read:verify", "Whether a run is as it was sealed, and its figures hold."),
    },
    "Exchange": {
        "import": ("exchange:import_", "Make a run of results that other tools wrote."),
        "export": ("exchange:export", "Write runs in the formats that other tools read."),
    },
    "Publish": {
        "card": ("card:command", "Model cards: write them, update real ones, audit any."),
    },
}
"""As `--help` groups them: module and function, and one line."""


class _Commands(click.Group):
    """Imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in _COMMANDS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = next((c[cmd_name] for c in _COMMANDS.values() if cmd_name in c), None)
        if found is None:
            return None
        module, _, function = found[0].partition(":")
        command = getattr(importlib.import_module(f"evalkit.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        wrong = args[0]
        if not wrong.startswith("-") and self.get_command(ctx, wrong) is None:
            hint = did_you_mean(wrong, self.list_commands(ctx)) or "; `evalkit --help` lists them"
            if wrong.endswith((".yaml", ".yml")):
                hint = f"; did you mean `evalkit run {wrong}`?"
            ctx.fail(f"no command {wrong!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in _COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])


@click.group("evalkit", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="evalkit")
@click.option("-v", "--verbose", is_flag=True, help="Let libraries speak; details of each stage.")
@click.option("--wide", is_flag=True, help="Tables with all columns, however wide.")
@click.option("--trust-suite", is_flag=True, help="Run code that the suite, its tasks and its "
              "models bring; EVALKIT_TRUST names files and folders to trust always.")  # fmt: skip
@click.pass_context
def _group(context: click.Context, verbose: bool, wide: bool, trust_suite: bool) -> None:
    """Whether a fine-tuned chat model is better, by how much, and on what evidence."""
    from evalkit.core.trust import Trust, trusting  # the others are asked for where they count

    context.with_resource(trusting(Trust(trust_suite)))


_SWITCHES = ("-v", "--verbose", "--wide", "--trust-suite")
"""Of evalkit itself; they may stand behind the command, too."""


def command_groups() -> dict[str, list[click.Command]]:
    """The commands, by the groups of `--help`; imports all of them."""
    context = click.Context(_group)
    return {
        title: [found for name in names if (found := _group.get_command(context, name))]
        for title, names in _COMMANDS.items()
    }


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run a command and exit with the code of its outcome.

    0 done; 1 a negative verdict; 2 your input; 3 incomplete; 4 environment or internal error;
    130 interrupted.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    guard_output()
    try:
        order = sorted(sys.argv[1:], key=lambda a: a not in _SWITCHES)
        code = _group(order, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except EvalkitError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: the same command resumes", err=True)
        sys.exit(130)
    except OSError as error:
        click.echo(f"error: {error}; free the disk or mend the path and repeat", err=True)
        sys.exit(2 if error.errno in {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL} else 4)
    except Exception:  # noqa: BLE001 - the last resort: a bug must not look like a verdict
        traceback.print_exc()
        click.echo("error: this is a bug in evalkit; please report the lines above", err=True)
        sys.exit(4)
