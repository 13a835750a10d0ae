"""What a stranger named reaches no terminal raw: by no command, errors included."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from evalkit.cli.console import Guarded, show
from evalkit.draw import Cell
from tests.support.cli import evalkit
from tests.support.mutations import HOSTILE, harmless
from tests.support.runs import Plan, stored_run

_NAMES = ("a" + "".join(HOSTILE[:6]).replace(":", ""), "b" + HOSTILE[8])
_COMMANDS = (
    ("compare", "run"),
    ("compare", "run", "--markdown"),
    ("compare", "run", "--json"),
    ("claim", "run", f"{_NAMES[0]} beats {_NAMES[1]} on alpaca_eval"),
    ("gate", "run", "--candidate", _NAMES[0]),
    ("report", "run"),
    ("verify", "run"),
    ("history", "run"),
    ("evidence", "run", f"{_NAMES[0]}/alpaca_eval"),
    ("evidence", "run", f"{_NAMES[0]}/nothing"),
    ("export", "run", "--format", "csv", "--out", "out"),
    ("card", "write", "run", "--model", _NAMES[0], "--allow-unpublishable"),
    ("compare", "run", "--candidate", HOSTILE[1]),
    ("compare", HOSTILE[3]),
    ("check", HOSTILE[1] + ".yaml"),
    ("list", "tasks", HOSTILE[4]),
    ("import", "lm_eval", HOSTILE[0]),
    (HOSTILE[1],),
    ("compare", f"--{HOSTILE[0]}"),
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    stored_run(folder / "run", Plan(models=_NAMES, samples=(6, 4, 8)))
    return folder


@pytest.mark.parametrize("command", _COMMANDS, ids=lambda c: c[0] if c[0].isprintable() else "odd")
def test_nothing_foreign_is_printed_raw(command: tuple[str, ...], workspace: Path) -> None:
    done = evalkit(workspace, *command)
    assert done.out or done.err
    assert "this is a bug" not in done.err
    harmless(done.out + done.err, repr(command))


@pytest.mark.parametrize("plain", [None, "NO_COLOR", "TERM", "GITHUB_ACTIONS"])
def test_a_terminal_gets_our_colours_and_no_others(
    plain: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    if plain is not None:
        monkeypatch.setenv(plain, "dumb")
    raw = io.BytesIO()
    stream = Guarded(io.TextIOWrapper(raw, encoding="utf-8"), runner=False)
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", stream)
    show(Cell.text(f"better {HOSTILE[0]}", tone="better"))
    said = raw.getvalue().decode()
    assert ("\x1b[32m" in said) == (plain is None)
    harmless(said.replace("\x1b[32m", "").replace("\x1b[0m", ""))
