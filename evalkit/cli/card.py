"""`evalkit card`: the group; its commands are modules of their own, imported when they run."""

from __future__ import annotations

import importlib

import click

__all__ = ["command"]

_COMMANDS = {
    "write": "Write a card, or its tables, from runs.",
    "update": "Bring a real card up to date in place.",
    "audit": "Hold the numbers of a card against evidence.",
}


class _Commands(click.Group):
    """Imports `cli/card_NAME.py` only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"evalkit.cli.card_{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group("card", cls=_Commands)
def command() -> None:
    """Model cards whose every figure leads back to evidence."""
