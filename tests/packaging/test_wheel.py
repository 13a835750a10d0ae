"""The wheel carries what the README promises, and runs it away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, repository],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def run(site: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def test_the_wheel_carries_suites_data_and_adapter(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in (
        "quickstart.yaml",
        "chat.yaml",
        "schema.json",
        "quickstart/alpaca_eval.jsonl",
        "quickstart/mt_bench/question.jsonl",
        "quickstart/tasks/facts.yaml",
        "quickstart/adapter/adapter_model.safetensors",
        "quickstart/adapter/adapter_config.json",
    ):
        assert f"evalkit/bundled/{name}" in names
    assert not [n for n in names if n.startswith(("tests/", "reports/"))]
    assert wheel.stat().st_size < 3_000_000


def test_the_quickstart_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    checked = run(installed, tmp_path, "check", "quickstart")
    assert checked.returncode == 0, checked.stderr
    fake = ("--set", "engine={type: fake}", "--set", "judges.base-model.protocol=logprob")
    done = run(installed, tmp_path, "run", "quickstart", *fake, "--limit", "3")
    assert done.returncode == 0, done.stderr
    (manifest,) = tmp_path.glob("reports/quickstart/*/manifest.json")
    described = json.loads(manifest.read_text())
    assert [b["name"] for b in described["benchmarks"]][:2] == ["alpaca_eval", "mt_bench"]
    where = run(installed, tmp_path, "list")
    assert "quickstart" in where.stdout
