"""No command prints what a terminal or a CI runner would obey, whatever things are called.

What it obeys is in actions/runner, src/Runner.Common/ActionCommand.cs: a line that begins with
`::` once blanks are trimmed, and `##[` anywhere in a line.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.cli.console import Guarded, commands_of, harmless, seen
from tests.support.cli import evalkit
from tests.support.runs import Plan, stored_run

NAMES = ("::error::x", "##[error]x", " ::add-mask::x")
_PIECES = st.text(alphabet=":#[] \t\n\r\u00a0\u3000ab\u2028", max_size=12)


def obeyed(text: str) -> list[str]:
    """Lines that a runner would take for commands; it ends them at \\r, \\n and \\r\\n."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line for line in lines if line.strip().startswith("::") or "##[" in line]


def through(*pieces: str, runner: bool = True) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")
    guarded = Guarded(stream, runner=runner)
    for piece in pieces:
        guarded.write(piece)
        guarded.flush()
    return raw.getvalue().decode()


@given(st.lists(_PIECES, max_size=6))
def test_no_piece_of_output_is_obeyed(pieces: list[str]) -> None:
    said = through(*pieces)
    assert not obeyed(said)
    assert said == seen(harmless("".join(pieces)))


@given(st.recursive(_PIECES, lambda inner: st.lists(inner) | st.dictionaries(_PIECES, inner)))
def test_json_keeps_its_values(value: object) -> None:
    for text in (json.dumps(value, indent=1, ensure_ascii=False), json.dumps(value)):
        assert json.loads(through(text)) == value


@given(st.lists(st.text(max_size=12), max_size=6), st.booleans())
def test_nothing_reaches_a_terminal_that_it_would_obey(pieces: list[str], runner: bool) -> None:
    """Of the control and format characters of Unicode only line feed, tab and joiners are left."""
    kept = {"\n", "\t", "\u200c", "\u200d"}
    said = through(*pieces, runner=runner)
    assert not [c for c in said if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in kept]
    values = json.dumps(pieces, ensure_ascii=False)
    assert json.loads(through(values, runner=runner)) == pieces


@given(st.text(alphabet="a:# b\n", max_size=30))
def test_what_is_no_command_stays(text: str) -> None:
    if not obeyed(text):
        assert harmless(text) == text


def test_evalkits_own_commands_pass() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    guarded = Guarded(stream, runner=True)
    guarded.write("::hostile::\n")
    commands_of(guarded).write("::error::own\n")
    assert raw.getvalue().decode() == ":\\u003ahostile::\n::error::own\n"
    assert commands_of(stream) is stream


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hostile")
    stored_run(
        place / "run",
        Plan(models=(NAMES[0], NAMES[1]), say=lambda text: f"::notice::{text}\n##[x]"),
    )
    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "run"),
        ("compare", "run", "--all", "--json"),
        ("compare", "run", "--markdown"),
        ("compare", "run", "--candidate", NAMES[2]),
        ("claim", "run", f"{NAMES[0]} beats {NAMES[1]} on alpaca_eval"),
        ("claim", "run", NAMES[2]),
        ("evidence", "run", f"{NAMES[0]}/alpaca_eval"),
        ("evidence", "run", NAMES[2]),
        ("history", "run"),
        ("report", "run", "--comment", "-"),
        ("gate", "run"),
        ("card", "write", "run"),
        ("check", NAMES[0]),
        ("run", NAMES[0]),
        (NAMES[0],),
        ("power", NAMES[1]),
    ],
)
def test_no_command_prints_one(arguments: tuple[str, ...], folder: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVALKIT", "GITHUB"))}
    done = subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=folder,
        env={**kept, "HOME": str(folder), "GITHUB_ACTIONS": "true", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout + done.stderr
    assert not obeyed(done.stdout)
    assert not obeyed(done.stderr)


@pytest.mark.slow
def test_the_names_would_be_obeyed_where_nothing_is_guarded(folder: Path) -> None:
    """Elsewhere output stays as it is, and these runs do put names at the start of lines."""
    done = evalkit(folder, "compare", "run")
    assert obeyed(done.out)
