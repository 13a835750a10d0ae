"""What README and docs show works as it stands.

Each command of a `sh` block is parsed by the command line.  It is run here, too, unless it is named
below with what it needs (ABSENT) or with the test that runs it (ELSEWHERE).
"""

from __future__ import annotations

import math
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import click
import pytest
import yaml

from evalkit import load_suite
from evalkit.cli import command_groups
from evalkit.core.specs import GateSpec
from tests.support.cli import evalkit
from tests.support.exports import exportable
from tests.support.runs import Plan, with_suite, write_run

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
MEANT = {
    "RUN": "reports/chat/one",
    "OTHER_RUN": "reports/chat/two",
    "SUITE": "my.yaml",
    "runs/mine": "reports/chat/one",
    "runs/zephyr": "reports/chat/two",
}
"""What a reader puts in place of these."""
ABSENT = {
    "loads a model, or asks the hub for one": (
        r"(run|plan) --adapter my-adapter.*",
        r"run (chat|my\.yaml)( .*)?",
        r"merge BASE ADAPTER OUT",
        r"adapter record ADAPTER BASE",
        r"watch out/ suite\.yaml .*",
    ),
    "sends requests with a paid key": (r"judge(-bridge)? .*",),
    "needs public data": (r"run notus", r"data pull chat .*", r"import ifeval .*"),
    "serves until Ctrl-C": (r"view.*",),
}
"""Only parsed: patterns of commands, by what they need."""
ELSEWHERE = {
    "tests/cli/test_import_command.py": r"import (alpaca_eval|mt_bench|lm_eval) .*",
    "tests/cli/test_import_votes.py": r"import votes .*",
    "tests/formats/test_inspect.py": r"import inspect .*",
    "tests/formats/test_every_eval_ever.py": r"import every_eval_ever .*",
    "tests/docs/test_plugin.py": r".* --format evalkit_letters\.table .*",
}
"""Patterns of commands that another test runs."""
CODES = {
    "check": {0, 2},
    "claim": {0, 1},
    "doctor": {0, 4},
    "card audit": {0, 1},
    "card update": {0, 1},
}
"""Exit codes that say what is so here, and are no failure."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> Iterator[str]:
    """Each once, without comments, environment and `evalkit`."""
    found: dict[str, None] = {}
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words = words[1:]
                if words[:1] == ["evalkit"]:
                    found[shlex.join(words[1:])] = None
    yield from found


COMMANDS = list(commands())


def not_run(command: str) -> str:
    """What a command needs, or the test that runs it; empty where it is run here."""
    for need, patterns in ABSENT.items():
        if any(re.fullmatch(pattern, command) for pattern in patterns):
            return need
    return next((test for test, p in ELSEWHERE.items() if re.fullmatch(p, command)), "")


HERE = [command for command in COMMANDS if not not_run(command)]


def parse(words: list[str]) -> None:
    """Raises what click raises of a command that is not one."""
    known = {c.name: c for found in command_groups().values() for c in found}
    words = [word for word in words if word != "--trust-suite"]
    command, rest = known[words[0]], words[1:]
    while isinstance(command, click.Group):
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(str(command.name), rest)


def test_the_lists_name_commands_that_are_shown() -> None:
    assert len(COMMANDS) > 50
    assert len(HERE) > 25
    for patterns in (*ABSENT.values(), ELSEWHERE.values()):
        for pattern in patterns:
            assert any(re.fullmatch(pattern, command) for command in COMMANDS), pattern
    for test in ELSEWHERE:
        assert (REPOSITORY / test).is_file(), test


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would stand: runs, a suite, an adapter, a card."""
    place = tmp_path_factory.mktemp("reader")
    gate = {"baseline": "smollm2", "margins": {"alpaca_eval": 60, "mt_bench": 8, "lm_eval": 90}}
    for name, models in (("two", ("zephyr-7b-beta",)), ("one", ("mine", "smollm2"))):
        run = exportable(Plan(models=models, local_judge=False, samples=(12, 8, 20)))
        kept = gate if "smollm2" in models else None
        started = {"two": 1e9, "one": 2e9}[name]
        write_run(with_suite(run, gate=kept), place / "reports/chat" / name, started=started)
    page = REPOSITORY / "docs/tutorial.md"
    (suite,) = (b for b in blocks(page, "yaml") if "benchmarks:" in b)
    (place / "my.yaml").write_text(suite, encoding="utf-8")
    shutil.copytree(REPOSITORY / "suites/quickstart/adapter", place / "my-adapter")
    shutil.copy(REPOSITORY / "suites/quickstart/alpaca_eval.jsonl", place / "prompts.jsonl")
    evalkit(place, "card", "write", "reports/chat/one", "--license", "mit", "--out", "README.md")
    evalkit(place, "gate", "reports/chat/one", "--write-baseline", "baseline.json")
    return place


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_a_command(command: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    words = [MEANT.get(word, word) for word in shlex.split(command)]
    parse(words)


@pytest.mark.slow
@pytest.mark.parametrize("command", HERE)
def test_it_runs(command: str, workspace: Path, tmp_path: Path) -> None:
    place = tmp_path / "reader"
    shutil.copytree(workspace, place)
    words = [MEANT.get(word, word) for word in shlex.split(command)]
    if words[0] == "init":
        (place / "my.yaml").unlink()  # it overwrites nothing
    done = evalkit(place, *words)
    expected = next((codes for name, codes in CODES.items() if command.startswith(name)), {0})
    assert done.code in expected, done.err or done.out
    assert done.out or done.err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_a_sentence_exist(page: Path) -> None:
    known = {str(c.name) for found in command_groups().values() for c in found}
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"`evalkit ([a-z][a-z-]*)\b", text)) <= known
    assert len(known) > 15


JUDGE = "gpt-6.1-sol"
REST = {
    "name": "shown",
    "models": {"mine": {"path": "a/a"}}
    | {name: {"role": "baseline", "path": "a/b"} for name in ("smollm2", "zephyr-7b-beta")},
    "benchmarks": [
        {"type": "alpaca_eval", "version": 1, "judge": JUDGE},
        {"type": "mt_bench", "judge": JUDGE},
        {"type": "open_llm_leaderboard"},
    ],
    "judges": {JUDGE: {"type": "openai", "model": JUDGE}},
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_shown_suites_are_suites(page: Path, tmp_path: Path) -> None:
    """Or parts of one; what a part leaves out is REST's."""
    shutil.copytree(REPOSITORY / "suites/quickstart", tmp_path / "quickstart")
    shutil.copy(tmp_path / "quickstart/alpaca_eval.jsonl", tmp_path / "prompts.jsonl")
    (tmp_path / "data").mkdir()
    for shown in blocks(page, "yaml"):
        part = yaml.safe_load(shown)
        if "jobs" in part or "evalkit_letters" in shown:
            continue  # a workflow; a benchmark that has to be installed
        file = tmp_path / "shown.yaml"
        file.write_text(yaml.safe_dump(REST | part), encoding="utf-8")
        assert load_suite(file).models


def test_the_gate_section_is_one() -> None:
    (shown,) = (b for b in blocks(REPOSITORY / "docs/guides/ci.md", "yaml") if b.startswith("gate"))
    spec = GateSpec.model_validate(yaml.safe_load(shown)["gate"])
    assert spec.margins["open_llm_leaderboard/gsm8k"] == 2.0


def test_make_targets_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)\b", readme, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.slow
def test_the_tutorial_goes_from_an_adapter_to_a_card(tmp_path: Path) -> None:
    """Its commands, in order, on the fake engine."""
    shutil.copytree(REPOSITORY / "suites/quickstart/adapter", tmp_path / "my-adapter")
    text = (REPOSITORY / "docs/tutorial.md").read_text(encoding="utf-8")
    fake = ("--set", "engine={type: fake}")
    for command, more in (
        ("run --adapter my-adapter", fake),
        ("card write latest --license mit --out README.md", ()),
        ("card update README.md latest", ()),
    ):
        assert f"\nevalkit {command}\n" in text
        done = evalkit(tmp_path, *shlex.split(command), *more)
        assert done.code == 0, done.err or done.out
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "license: mit" in card
    assert "my-adapter" in card


class Tracker(ModuleType):
    """Stands for an experiment tracker: notes what is logged."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.logged: list[dict[str, float]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.logged.append if name in ("log", "log_metrics") else MagicMock()

    def init(self, **given: str) -> Any:
        return MagicMock(**{"__enter__.return_value": self}) if self.__name__ == "wandb" else None


@pytest.mark.slow
def test_python_that_is_shown_runs(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    trackers = [Tracker(name) for name in ("mlflow", "wandb", "trackio")]
    for tracker in trackers:
        monkeypatch.setitem(sys.modules, tracker.__name__, tracker)
    for name in ("export", "trackers"):
        names: dict[str, Any] = {}
        text = (REPOSITORY / f"docs/guides/{name}.md").read_text(encoding="utf-8")
        for block in re.findall(r"(?ms)^ *```python\n(.*?)^ *```", text):
            exec(textwrap.dedent(block), names)
    for tracker in trackers:
        (figures,) = tracker.logged
        assert len(figures) == len(set(figures)) > 8
        assert figures["mine/gsm8k/exact_match strict-match"] > 0
        assert all(math.isfinite(value) for value in figures.values())
