"""Fixtures every room's tests may use."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.browser import launched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

if "PYTEST_XDIST_WORKER" in os.environ:
    # Threads of several processes that wait for each other's cores make tiny models crawl.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# An example's time is the machine's affair: a busy one must not fail a property.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", _PATIENT)
settings.register_profile("quick", _PATIENT, max_examples=8)  # `make check`
settings.load_profile("full")  # unless --hypothesis-profile names another

REPOSITORY = Path(__file__).resolve().parents[1]

_FAST_S = 2.0
"""What a test may take that no mark calls slow: seconds of CPU, its children's included."""
_PATIENCE = 5
"""Times as long by the clock: a busy machine must not fail a test, a sleeping one should."""
_HEAVY = {
    "alpaca_eval",
    "anthropic",
    "google.genai",
    "lm_eval",
    "openai",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "torch",
    "transformers",
}
"""Libraries whose import takes seconds; the first test that needs one is not to blame."""
_SLOW = {"slow", "vllm", "model", "browser", "data", "gpu", "ray"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fails an unmarked test that is slow in `make check`; fixtures do not count.

    Only there, where properties have few examples.
    """
    began, cpu, loaded = time.monotonic(), sum(os.times()[:4]), _HEAVY & {*sys.modules}
    found = yield
    taken, used = time.monotonic() - began, sum(os.times()[:4]) - cpu
    marks = {mark.name for mark in item.iter_markers()}
    is_check = item.config.getoption("hypothesis_profile", None) == "quick"
    excused = bool(marks & _SLOW) or _HEAVY & {*sys.modules} != loaded
    if is_check and not excused and (used > _FAST_S or taken > _PATIENCE * _FAST_S):
        pytest.fail(
            f"{item.nodeid} took {used:.1f} s of CPU in {taken:.1f} s and is not marked `slow`; "
            f"expected at most {_FAST_S:g} s: make it quicker, or mark it",
            pytrace=False,
        )
    return found


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


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One Chromium for all tests (a process can drive no second); skips where there is none."""
    with launched() as browser:
        yield browser
