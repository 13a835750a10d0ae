"""The example plug-in is installed as a package and used through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import evalkit

PLUGIN = Path(__file__).parents[2] / "examples/plugin"
FAKE = ("--set", "engine={type: fake}")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has the package as pip installs it, and the suite."""
    to = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(to), str(PLUGIN)], check=True, timeout=300)
    monkeypatch.syspath_prepend(to)
    for name in [name for name in sys.modules if name.startswith("evalkit_letters")]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "suite.yaml").write_bytes((PLUGIN / "suite.yaml").read_bytes())
    return tmp_path


@pytest.mark.slow
def test_its_benchmark_and_format_are_found(installed: Path) -> None:
    done = evalkit(installed, "run", "suite.yaml", "--trust-suite", *FAKE)
    assert done.code == 0, done.err
    (results,) = installed.glob("reports/letters/*/results.json")
    rows = {r["model"]: r for r in json.loads(results.read_text())["estimates"]}
    assert set(rows) == {"mine", "other"}
    assert rows["mine"]["n_clusters"] == 7
    table = ("export", "latest", "--format", "evalkit_letters.table", "--out", "tables")
    done = evalkit(installed, *table, "--trust-suite")
    assert done.code == 0, done.err
    head, *lines = (installed / "tables/figures.tsv").read_text().splitlines()
    assert head.split("\t")[-2:] == ["point", "standard_error"]
    assert len(lines) == 2


@pytest.mark.slow
def test_it_needs_consent(installed: Path) -> None:
    done = evalkit(installed, "run", "suite.yaml", *FAKE)
    assert done.code == 2
    assert "--trust-suite" in done.err
