"""Damaged evidence of a suite is named in the terminal, as `evalkit import` does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit import data
from evalkit.core.protocols import DataPlaces
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


LM = """\
name: recorded
models: {mine: {role: candidate, engine: {type: recorded, results: {lm_eval: [r.json]}}}}
benchmarks: [{type: lm_eval, tasks: [arc_chalenge]}]
"""


def test_a_task_that_the_files_lack_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"results": {"arc_challenge": {"acc": 0.5}}}))
    (tmp_path / "s.yaml").write_text(LM)
    done = evalkit(tmp_path, "run", "s.yaml", "--out", "run")
    assert done.code == 0, done.err
    assert "no task 'arc_chalenge'; did you mean 'arc_challenge'?" in done.err


@pytest.mark.parametrize(
    ("named", "near"),
    [
        ("a.jsn", "a.json"),
        ("sub/b.jsnl", "sub/b.jsonl"),
        ("mt_bench/questions", "mt_bench/question"),
    ],
)
def test_a_file_that_is_not_there_has_its_nearest_name(
    tmp_path: Path, named: str, near: str
) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.json", "sub/b.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=f"did you mean '{near}'"):
        data.evidence(named, tmp_path, DataPlaces())


@pytest.mark.parametrize("named", [".", "", "/nowhere/a.json", "sub"])
def test_what_is_no_file_is_refused(tmp_path: Path, named: str) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="neither a file below"):
        data.evidence(named, tmp_path, DataPlaces())
