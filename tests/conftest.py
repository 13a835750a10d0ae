"""Fixtures every room's tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# An example's time is the machine's affair: a busy one must not fail a property.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def public_data() -> Path:
    """Real benchmark data; skips where EVALKIT_DATA does not say where it is."""
    folder = os.environ.get("EVALKIT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EVALKIT_DATA names no folder with the public benchmark data")
    return Path(folder)
