"""The kill loop, small: nothing finished is paid for twice, caps hold, live and in batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability.commands import COMMANDS
from benchmarks.reliability.commands import survive as survive_command
from benchmarks.reliability.kills import PRICE, survive

pytestmark = pytest.mark.slow
ONE = 110 * PRICE / 1e6
"""USD of one live request."""


@pytest.mark.parametrize("mode", ["live", "batch"])
@pytest.mark.parametrize("share", [20.0, 0.5])
def test_nothing_finished_is_paid_for_twice(mode: str, share: float, tmp_path: Path) -> None:
    price = ONE if mode == "live" else ONE / 2
    cap = 2 * 60 * price * share
    found = survive(tmp_path, mode, samples=60, kills=4, cap_usd=cap, seed=1)
    assert found.again == 0
    assert found.most_lost <= 16, "replies in flight"
    assert found.billed_usd <= min(cap, found.counted_usd + 1e-9)
    assert found.exit_code == (0 if share > 1 else 3)
    if share > 1:
        assert found.needed == 120


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_killed_command_leaves_what_an_undisturbed_one_does(command: str, tmp_path: Path) -> None:
    found = survive_command(tmp_path / "work", command, samples=40, kills=3, seed=2)
    assert found.files > 1
    assert found.holds, found
