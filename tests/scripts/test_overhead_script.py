"""The overhead and start-up scripts: what they measure is a whole run, and their rows say so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import overhead, startup
from benchmarks.overhead import CASES, COLUMNS, Measured
from evalkit import api

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_a_suite_that_runs(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the library's front door, which overhead.py goes through in two steps."""
    monkeypatch.chdir(tmp_path)  # a cache of its own
    suite = overhead.furnish(tmp_path / "suite", case, 8)
    run = api.run(suite, out=tmp_path / "run")
    assert len(run.records) * CASES[case] == 8
    assert {record.outcome.status for record in run.records} == {"ok"}
    lines = (tmp_path / "run" / "sessions.jsonl").read_text(encoding="utf-8").splitlines()
    (row,) = map(json.loads, lines)
    assert (row["asked"], row["from_cache"], row["failed"]) == (8, 0, 0)


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_measured_in_stages(case: str) -> None:
    found = overhead.measure(case, 40)
    assert found.requests == 40
    assert list(found.cpu_s) == ["assemble", "ask", "seal", "replay"]
    assert all(seconds > 0 for seconds in found.cpu_s.values())
    assert found.run_cpu_s == pytest.approx(sum(found.cpu_s.values()) - found.cpu_s["replay"])


def test_rows_compare_with_the_smallest_size_of_the_same_case() -> None:
    def measured(case: str, requests: int, ask: float) -> Measured:
        parts = {"assemble": 0.0, "ask": ask, "seal": 0.0, "replay": ask / 2}
        return Measured(case, requests, parts, peak_gb=requests / 1e6)

    found = [measured("a", 100, 1.0), measured("a", 1000, 30.0), measured("b", 1000, 5.0)]
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in overhead.rows(found, 0.1)]
    assert [row["growth of CPU time"] for row in rows] == pytest.approx([1.0, 3.0, 1.0])
    assert [row["growth of replay"] for row in rows] == pytest.approx([1.0, 3.0, 1.0])
    assert [row["peak memory, bytes per request"] for row in rows] == [1000] * 3
    assert [row["percent of vLLM's CPU time"] for row in rows] == pytest.approx([10.0, 30.0, 5.0])
    assert overhead.rows(found, None)[0][-1] is None


def test_start_up_counts_a_process_and_its_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    assert startup.spent(["-c", child]).cpu_s >= 0.3


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(SystemExit, match="ended with 3: words"):
        startup.spent(["-c", "print('words'); raise SystemExit(3)"])


def test_start_up_prints_a_row_for_each_command(repository: Path) -> None:
    wanted = ["python -c pass", "evalkit --version"]
    options = ["--json", "--repeats", "1", "--commands", *wanted]
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.startup", *options],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    (table,) = json.loads(said.stdout)["tables"]
    assert table["columns"] == list(startup.COLUMNS)
    assert [row[0] for row in table["rows"]] == wanted
    assert table["rows"][0][1:] == [1.0, None, 1.0]
