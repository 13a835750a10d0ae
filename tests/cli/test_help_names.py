"""What help texts name is what there is."""

from __future__ import annotations

from click.testing import CliRunner

from evalkit import suite
from evalkit.cli.evaluate import run as command


def test_run_names_the_bundled_suites() -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    named = text.split("bundled suite (")[1].split(")")[0].split(", ")
    assert sorted(named) == sorted(suite.bundled())
