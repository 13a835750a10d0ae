"""From where a run was imported: a folder in which the command finds its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.evidence.places import where_made
from tests.support.runs import Plan, build_run

RUN = build_run(Path("run"), Plan(samples=(2, 2, 2)))
UNKNOWN = "a folder that is not known: file names are relative to it"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with result files, beside the present one."""
    for folder in ("there/data", "here"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "there/data/a.json").touch()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "there"


@pytest.mark.parametrize(
    ("command", "folder", "said"),
    [
        ("evalkit import alpaca_eval data/a.json --out out/x", "out/x", "../there"),
        ("evalkit import alpaca_eval data/a.json --out=out/x", "out/x", "../there"),
        ("evalkit import lm_eval data --model m", "reports/import/1a", "../there"),
        (
            "evalkit import mt_bench data/a.json --answers data/a.json",
            "reports/import/1a",
            "../there",
        ),
        (
            "evalkit import alpaca_eval --outputs=data/a.json data/a.json",
            "reports/import/1",
            "../there",
        ),
        ("evalkit import alpaca_eval data/a.json --out out/x", "moved/y", UNKNOWN),
        ("evalkit import alpaca_eval data/gone.json --out out/x", "out/x", UNKNOWN),
        ("evalkit import alpaca_eval data/a.json --outputs data/gone.json", "reports/i/1", UNKNOWN),
        ("evalkit import alpaca_eval /data/a.json", "reports/import/1a", ""),
        ("evalkit run suites/chat.yaml", "reports/chat/1a", ""),
    ],
)
def test_the_folder_in_which_an_import_finds_its_files(
    there: Path, command: str, folder: str, said: str
) -> None:
    assert where_made(replace(RUN, folder=there / folder), command) == said


def test_the_present_folder_is_said_too(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(there)
    command = "evalkit import alpaca_eval data/a.json --out out/x"
    assert where_made(replace(RUN, folder=Path("out/x")), command) == "."
    assert where_made(replace(RUN, folder=Path("elsewhere")), command) == "."
