"""What changes a run's figures changes its id; what does not leaves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit import store
from tests.support.cli import evalkit

pytestmark = [pytest.mark.slow, pytest.mark.data]


def ids(workspace: Path, *more: str, **environment: str) -> dict[str, int]:
    """By run id, how many of the run's figures are defined."""
    done = evalkit(workspace, "run", "small.yaml", *more, **environment)
    assert done.code == 0, done.err
    runs = [store.load(folder) for folder in (workspace / "reports" / "small").iterdir()]
    return {r.manifest.run_id: sum(f.value.point is not None for f in r.figures) for r in runs}


def test_runs_with_and_without_public_data_are_two_where_their_figures_differ(
    workspace: Path, public_data: Path
) -> None:
    plain = ids(workspace)
    with_data = ids(workspace, EVALKIT_DATA=str(public_data))
    assert with_data == plain  # the instructions are the suite's own
    public = public_data / "alpaca_eval" / "reference_gpt4_turbo.jsonl"
    rows = [json.loads(line) for line in public.read_text().splitlines()[:20]]
    (workspace / "alpaca.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    without = ids(workspace)
    (changed,) = without.keys() - plain.keys()
    with_data = ids(workspace, EVALKIT_DATA=str(public_data))
    (other,) = with_data.keys() - without.keys()
    assert with_data[other] > with_data[changed]
