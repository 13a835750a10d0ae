"""`evalkit report --split`: what lies beside the page, and what does not stay there."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evalkit.cli.read import report as command
from evalkit.cli.read import say_size
from tests.support.runs import Plan, stored_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sealed run on disk."""
    return stored_run(tmp_path / "run", Plan(samples=(4, 2, 2))).folder


def report(folder: Path, *options: str) -> Result:
    found = CliRunner().invoke(command, [str(folder), *options])
    assert found.exit_code == 0, found.output
    return found


def test_samples_lie_beside_the_page_and_go_with_it(folder: Path) -> None:
    whole = report(folder)
    assert whole.stdout.count("report: ") == 2
    assert not (folder / "samples").exists()
    split = report(folder, "--split")
    assert split.stdout.replace("report, unchanged:", "report:") == whole.stdout
    files = {path.name for path in folder.glob("samples/*")}
    page = (folder / "index.html").read_text()
    assert len(files) == 3
    assert all(f"samples/{name}" in page for name in files)
    (folder / "samples" / "mine.json.gz").write_bytes(b"")
    stale = folder / "samples" / ("0" * 20 + ".json.gz")
    stale.write_bytes(b"")
    report(folder, "--split")
    assert not stale.exists()
    assert files < {path.name for path in folder.glob("samples/*")}
    report(folder, "--figures-only")
    assert [path.name for path in folder.glob("samples/*")] == ["mine.json.gz"]


def test_a_big_page_says_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(folder)
    say_size(folder)
    assert capsys.readouterr().err == ""
    with (folder / "index.html").open("r+b") as page:
        page.truncate(31_000_000)
    say_size(folder)
    said = capsys.readouterr().err
    assert "31 MB" in said
    assert f"`evalkit report {folder} --split`" in said
