"""Every package that set-up installs is pinned with the hashes of its files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_PIN = re.compile(r"[A-Za-z0-9._-]+==\S+( --hash=sha256:[0-9a-f]{64})+")


@pytest.mark.parametrize("lock", ["cpu", "gpu", "dev", "torch-cpu"])
def test_every_pin_has_hashes(lock: str, repository: Path) -> None:
    text = (repository / "requirements" / f"{lock}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pins = re.sub(r" \\\n +", " ", "\n".join(lines)).splitlines()
    assert pins
    assert [pin for pin in pins if not _PIN.fullmatch(pin)] == []


def test_set_up_checks_them(repository: Path) -> None:
    script = (repository / "scripts" / "setup.sh").read_text()
    assert 'install --require-hashes --ignore-requires-python -r "$lock"' in script
    assert "--no-build-isolation -e ." in script, "what builds evalkit is pinned, too"
