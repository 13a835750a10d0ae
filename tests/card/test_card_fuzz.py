"""Model cards as accidents and enemies leave them: audited and updated, or told what is wrong."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from tests.support.cli import evalkit
from tests.support.mutations import alters, json_of, yaml_of
from tests.support.runs import Plan, stored_run

_PLAN = Plan(models=("a", "b"), samples=(3, 2, 6))


def _card(folder: Path) -> str:
    stored_run(folder / "run", _PLAN)
    done = evalkit(folder, "card", "write", "run", "--license", "mit", "--allow-unpublishable")
    assert done.code == 0, done.err
    return done.out


def _fuzz(folder: Path, card: str, seeds: range) -> None:
    front, body = card.removeprefix("---\n").split("\n---\n", 1)
    file = folder / "README.md"
    for seed in seeds:
        dice = random.Random(seed)
        way = dice.random()
        if way < 0.4:
            raw = b"---\n" + yaml_of(front, dice) + b"\n---\n" + body.encode()
        elif way < 0.5:
            index = {"model-index": [{"name": "a", "results": [{"task": {"type": "x"}}]}]}
            raw = f"---\n{json_of(index, dice)}\n---\n{body}".encode("utf-8", "surrogatepass")
        else:
            raw = f"---\n{front}\n---\n".encode() + yaml_of(body, dice)
        what = f"seed {seed}: {raw[:1_500]!r}"
        file.write_bytes(raw)
        done = alters(lambda: evalkit(folder, "card", "audit", "README.md"), what)
        assert done.code in (0, 1, 2), f"{what}: {done}"
        update = ("card", "update", "README.md", "run", "--allow-unpublishable")
        done = alters(lambda: evalkit(folder, *update), what)  # noqa: B023
        assert done.code in (0, 1, 2), f"{what}: {done}"
        if done.code == 2:
            assert file.read_bytes() == raw, what


def test_a_few_altered_cards(tmp_path: Path) -> None:
    _fuzz(tmp_path, _card(tmp_path), range(2))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(2))
def test_a_thousand_altered_cards(part: int, tmp_path: Path) -> None:
    _fuzz(tmp_path, _card(tmp_path), range(1_000 + part * 500, 1_500 + part * 500))


@pytest.mark.slow
def test_what_is_no_card(tmp_path: Path) -> None:
    """A pipe that nobody writes to, deep nesting, a front matter without end."""
    stored_run(tmp_path / "run", _PLAN)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "deep").write_text(f"---\na: {'[' * 10_000}\n---\n")
    (tmp_path / "quotes").write_text("> " * 10_000 + json.dumps("x"))
    (tmp_path / "endless").write_text("---\n" + "a: 1\n" * 60_000)
    for name in ("pipe", "deep", "quotes", "endless", "gone"):
        for command in (("audit", name), ("update", name, "run", "--allow-unpublishable")):
            done = alters(lambda: evalkit(tmp_path, "card", *command), f"{command}")  # noqa: B023
            assert done.code in (0, 1, 2), f"{command}: {done}"
