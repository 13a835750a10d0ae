"""`evalkit data pull` from a hub, then the same suite where there is no network.

The hub is a stand-in on this machine (`tests/support/hub_server.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evalkit import store
from tests.runner.test_chat_suite import save_datasets
from tests.support.hub_server import HubServer

pytestmark = pytest.mark.slow

SUITE = """\
name: pulled
models:
  tuned: {role: candidate, path: tuned}
engine: {type: fake}
benchmarks:
  - {type: lm_eval, tasks: [gsm8k, truthfulqa_mc1], shots: 2}
"""


def evalkit(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "EVALKIT_"))}
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=folder,
        env={**kept, "HOME": str(folder), "HF_HOME": str(folder / "hf"), **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_pulled_mirror_serves_a_machine_without_network(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    with HubServer({}, save_datasets(tmp_path / "hub")) as server:
        done = evalkit(
            tmp_path, "data", "pull", "suite.yaml", "--to", "mirror", "--json",
            HF_ENDPOINT=server.url,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pulled: list[dict[str, Any]] = json.loads(done.stdout)
    assert {(row["name"], row["from"]) for row in pulled} == {
        ("hub:openai/gsm8k:main", "hub"),
        ("hub:truthfulqa/truthful_qa:multiple_choice", "hub"),
    }
    nowhere = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    alone = evalkit(
        tmp_path, "run", "suite.yaml", "--out", "run",
        EVALKIT_DATA=str(tmp_path / "mirror"), HF_HOME=str(tmp_path / "another"), **nowhere,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    run = store.read_run(tmp_path / "run")
    assert {(r.task, r.outcome.status) for r in run.records} == {
        ("gsm8k", "ok"),
        ("truthfulqa_mc1", "ok"),
    }
    (described,) = run.manifest["benchmarks"]
    dataset = described["description"]["tasks"]["gsm8k"]["dataset"]
    assert dataset["path"] == "openai/gsm8k"
    assert len(dataset["revision"]) == 40
    absent = evalkit(
        tmp_path, "run", "suite.yaml", "--out", "none", **nowhere,
        HF_HOME=str(tmp_path / "third"),
    )  # fmt: skip
    assert absent.returncode == 2
    assert "hub:openai/gsm8k:main" in absent.stderr
    assert "hub:truthfulqa/truthful_qa:multiple_choice" in absent.stderr
    assert "evalkit data pull" in absent.stderr
