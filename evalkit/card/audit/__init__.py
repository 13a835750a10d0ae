"""Audits a model card: every number it prints held against evidence, and against itself.

`reading` makes a card of Markdown, `layout` says what each number of a table is of, `evidence`
gathers facts, `matching` brings both together; `checks`, `index`, `settings` and `claims` look at
the rest.  A false alarm is worse than a miss: what is not certain is "no evidence".
"""

from __future__ import annotations

from evalkit.card.audit.auditing import audit
from evalkit.card.audit.evidence import Evidence, gather
from evalkit.card.audit.reading import parse_card, read_card
from evalkit.card.audit.rendering import audit_lines, audit_markdown
from evalkit.card.audit.shapes import Audit, Card
from evalkit.card.audit.whose import by_user

__all__ = [
    "Audit",
    "Card",
    "Evidence",
    "audit",
    "audit_lines",
    "audit_markdown",
    "by_user",
    "gather",
    "parse_card",
    "read_card",
]
