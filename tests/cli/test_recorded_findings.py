"""Damaged evidence of a suite is named in the terminal, as `evalkit import` does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.errors import DataError
from evalkit.runner.assemble import Origin, mirrors
from tests.support.cli import evalkit

SUITE = """\
name: recorded
models: {mine: {role: candidate, engine: {type: recorded}}}
judges: {gpt: {type: recorded, model: gpt-4, judgments: {alpaca_eval: {mine: a.json}}}}
benchmarks: [{type: alpaca_eval, version: 2, judge: gpt}]
"""


def test_a_run_names_the_damage_and_the_other_version(tmp_path: Path) -> None:
    row = {
        "instruction": "Do.",
        "output_1": "r",
        "generator_1": "text_davinci_003",
        "output_2": "a",
        "generator_2": "mine",
        "preference": 7,
    }
    (tmp_path / "a.json").write_text(json.dumps([row]))
    (tmp_path / "s.yaml").write_text(SUITE)
    done = evalkit(tmp_path, "run", "s.yaml", "--out", "run")
    assert done.code == 0, done.err
    assert "damaged: mine: 1 row with a preference that is neither" in done.err
    assert "damaged: mine: the recorded judgments are of AlpacaEval 1, the suite says" in done.err


def test_a_mirror_that_is_no_folder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_DATA", str(tmp_path / "nix"))
    with pytest.raises(DataError, match=r"EVALKIT_DATA is '.*nix', which is no folder"):
        mirrors(None, Origin("", tmp_path, tmp_path, ()))
