"""Commands without a run take the newest; `-` is standard output; near misses are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import evalkit as library
from tests.support.cli import evalkit
from tests.support.runs import training_run


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("defaults")
    for n in (1, 2):
        training_run(place / "reports" / "chat" / f"checkpoint-{n}", seed=n, started=float(n))
    return place


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare",),
        ("compare", "latest", "--html", "-"),
        ("claim", "tuned beats base on alpaca_eval"),
        ("gate", "chat"),
        ("verify", "reports/chat"),
        ("evidence", "tuned/alpaca_eval"),
        ("evidence", "tuned/alpaca_eval", "--samples", "-"),
        ("report", "--comment", "-"),
        ("report", "checkpoint-2"),
        ("card", "write", "--template", "chat"),
        ("export", "--format", "json", "--out", "tables"),
    ],
)
def test_the_newest_run_is_taken_and_said(workspace: Path, arguments: tuple[str, ...]) -> None:
    done = evalkit(workspace, *arguments)
    assert "Traceback" not in done.err
    assert ("checkpoint-2" in done.err) == ("checkpoint-2" not in arguments), done.err
    assert "no run" not in done.err


def test_standard_output_has_the_file_and_nothing_else(workspace: Path) -> None:
    page = evalkit(workspace, "compare", "--html", "-").out
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    lines = evalkit(workspace, "evidence", "tuned/alpaca_eval", "--samples", "-").out.splitlines()
    assert {json.loads(line)["model"] for line in lines} == {"tuned"}
    both = evalkit(workspace, "compare", "--html", "-", "--json")
    assert both.code == 2
    assert "--html - and --json all go to standard output" in both.err


def test_history_takes_a_suite_or_the_newest_runs_suite(workspace: Path) -> None:
    for arguments in ((), ("chat",), ("reports/chat",)):
        found = json.loads(evalkit(workspace, "history", *arguments, "--json").out)
        assert {len(series["points"]) for series in found["series"]} == {2}


def test_functions_take_what_the_commands_take(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    names = (None, "latest", "chat", "reports/chat/checkpoint-2")
    assert {library.load_run(name).folder.name for name in names} == {"checkpoint-2"}
    assert library.compare() == library.compare("latest")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rum",), "no command 'rum'; did you mean 'run'?"),
        (("suite.yaml",), "did you mean `evalkit run suite.yaml`?"),
        (("card", "writ"), "write"),
        (("compare", "--basline", "x"), "--baseline"),
        (("report", "caht"), "did you mean 'chat'?"),
        (("compare", "--candidate", "tund"), "did you mean 'tuned'?"),
    ],
)
def test_near_misses_are_named(workspace: Path, arguments: tuple[str, ...], said: str) -> None:
    done = evalkit(workspace, *arguments)
    assert done.code == 2
    assert said in done.err
