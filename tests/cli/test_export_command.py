"""`evalkit export` as a user runs it, on a run that was imported."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from evalkit import export, store
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
    wanted = store.load(workspace / "run").to_frame()
    assert found.score.tolist() == wanted.score.tolist()
    assert found.answer.tolist() == wanted.answer.tolist()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gone", "--format", "csv"), "no run 'gone': no such file"),
        (("run", "--format", "xlsx"), "unknown type 'xlsx' in formats"),
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


def test_the_library_writes_the_same_files(workspace: Path) -> None:
    done = evalkit(workspace, "export", "run", "--format", "json", "--out", "by_command")
    assert done.code == 0, done.err
    files = export(workspace / "run", format="json", out=workspace / "by_library")
    assert files
    for path in files:
        assert path.read_bytes() == (workspace / "by_command" / path.name).read_bytes()


def test_damaged_evidence_is_published_only_where_asked(workspace: Path) -> None:
    """The imported file has 10 of AlpacaEval's 805 instructions."""
    named = ("--set", "organization=Lab", "--set", "date=2026-01-31")
    asked = ("export", "run", "--format", "every_eval_ever", "--out", "eee", *named)
    refused = evalkit(workspace, *asked)
    assert refused.code == 2
    assert "damaged evidence of mine, alpaca_eval: 10 instructions were judged" in refused.err
    assert not (workspace / "eee").exists()
    done = evalkit(workspace, *asked, "--allow-unpublishable")
    assert done.code == 0, done.err
    (path,) = (workspace / "eee").rglob("*.json")
    marked = json.loads(path.read_text())["source_metadata"]["additional_details"]
    assert "10 instructions were judged" in marked["not_for_publication"]
