"""Every figure of a real run leads back to its evidence, length-controlled ones included."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from evalkit.comparison.evidence import every, recompute
from evalkit.runner.assemble import extra_figures
from evalkit.store import load
from tests.support.cli import evalkit

pytestmark = [pytest.mark.slow, pytest.mark.data]


def test_the_notus_run_is_what_its_records_give(
    public_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command's environment has no EVALKIT_DATA: the suite names the mirror itself.
    mirror = json.dumps({"mirror": str(public_data)})
    done = evalkit(tmp_path, "run", "notus", "--set", f"data={mirror}")
    assert done.code == 0, done.err
    (folder,) = (tmp_path / "reports" / "notus").iterdir()
    run = load(folder)
    assert "EVALKIT_DATA" in os.environ
    monkeypatch.delenv("EVALKIT_DATA")
    outcomes: Counter[str] = Counter()
    for figure in every(run):
        found = recompute(figure, extra_figures)
        assert found.outcome in ("same", "nothing computed"), (figure.cell, found)
        outcomes[found.outcome] += 1
        if figure.key.metric == "length_controlled_win_rate" and figure.models[0] == "notus-7b-v1":
            assert found.outcome == "same"
    # Two models' three means, draws and two length-controlled rates each; their three differences.
    assert outcomes["same"] == 15
