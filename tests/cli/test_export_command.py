"""`evalkit export` as a user runs it, on a run that was imported."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from evalkit import store
from tests.support.cli import evalkit


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    rows = [
        {
            "instruction": f"Do {n}.",
            "output_1": "reference",
            "generator_1": "text_davinci_003",
            "output_2": f"- answer {n}",
            "generator_2": "mine",
            "annotator": "alpaca_eval_gpt4",
            "preference": 1.0 + n % 2,
        }
        for n in range(10)
    ]
    (folder / "a.json").write_text(json.dumps(rows))
    done = evalkit(folder, "import", "alpaca_eval", "a.json", "--out", "run")
    assert done.code == 0, done.err
    return folder


def test_tables_of_a_run(workspace: Path) -> None:
    done = evalkit(workspace, "export", "run", "--format", "csv", "--out", "csv", "--json")
    assert done.code == 0, done.err
    assert "10 cells begin like a formula" in done.err
    listed = json.loads(done.out)["files"]
    assert listed[0]["file"] == "csv/samples.csv"
    found = pd.read_csv(workspace / "csv" / "samples.csv")
    wanted = store.read_run(workspace / "run").to_frame()
    assert found.score.tolist() == wanted.score.tolist()
    assert found.answer.tolist() == wanted.answer.tolist()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gone", "--format", "csv"), "'gone': no such folder"),
        (("run", "--format", "xlsx"), "unknown type 'xlsx' in exporters"),
        (("run", "--format", "csv", "--set", "spreadsheet"), "expected NAME=VALUE"),
        (("run", "--format", "csv", "--set", "spreadsheet=perhaps"), "got 'perhaps'"),
        (("run", "--format", "csv", "--model", "nobody"), "expected one of mine"),
    ],
)
def test_what_cannot_be_exported(workspace: Path, arguments: tuple[str, ...], said: str) -> None:
    done = evalkit(workspace, "export", *arguments, "--out", "x")
    assert done.code == 2
    assert said in done.err
    assert not (workspace / "x").exists()


def test_a_file_is_not_taken_for_a_folder(workspace: Path) -> None:
    done = evalkit(workspace, "export", "run", "--format", "csv", "--out", "a.json")
    assert done.code == 2
    assert "is a file" in done.err
