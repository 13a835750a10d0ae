"""What is wrong with a run's evidence, said in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evalkit.core.run import Run

__all__ = ["say_findings"]


def say_findings(run: Run) -> bool:
    """Print the findings of `run` on the error stream; whether one of them is damage."""
    is_damaged = False
    for entry in run.manifest.evidence:
        for finding in entry.findings:
            is_damaged |= finding.damaged
            word = "damaged" if finding.damaged else "note"
            click.echo(f"{word}: {entry.model}: {finding.message}", err=True)
    return is_damaged
