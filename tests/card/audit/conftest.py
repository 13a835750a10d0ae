"""The cards of this folder and what they are held against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit import plugins, suite
from evalkit.card import audit
from evalkit.card.audit import Audit, Evidence
from evalkit.core.specs import Suite

FOLDER = Path(__file__).parent
AuditCard = Callable[[str], Audit]


def load_suite(name: str) -> Suite:
    """As the command loads it."""
    return suite.load(suite.locate(name), (), plugins)


@pytest.fixture(scope="session")
def evidence() -> Evidence:
    """Published figures, and the leaderboards that alpaca-eval ships."""
    return audit.gather([FOLDER / "evidence.yaml"], load_suite=load_suite)


@pytest.fixture(scope="session")
def audit_text(evidence: Evidence) -> AuditCard:
    """Audits a card given as text."""
    return lambda text: audit.audit(audit.parse_card(text), evidence)


@pytest.fixture(scope="session")
def audit_file(evidence: Evidence) -> AuditCard:
    """Audits a card of this folder, given by its name."""
    return lambda name: audit.audit(audit.read_card(FOLDER / "cards" / f"{name}.md"), evidence)
