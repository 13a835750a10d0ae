"""The domain types: what a run generates (States) and what is computed from it (Results).

Frozen dataclasses, standard library only.  What users write (Specs) is in `specs.py`;
what does the work (Controllers) is in the rooms.

    Sample ─ Benchmark.flow ─▶ Request ─ Engine ─▶ Completion ─ flow ─▶ Outcome ─ runner ─▶ Record
    Record* ─ stats ─▶ Estimate, Comparison ─ tables ─▶ Table of Cell

States are in `asking.py`, `samples.py` and `models.py`, Results in `results.py`; `columns.py` and
`frames.py` lay a run out as flat tables.
"""

from __future__ import annotations

from evalkit.core.models import PreparedModel
from evalkit.core.requests import (
    Completion,
    Flow,
    Job,
    Json,
    Message,
    Observer,
    Rendered,
    Reply,
    Request,
)
from evalkit.core.results import Comparison, Estimate, Finding, Metric, Run
from evalkit.core.samples import (
    UNANSWERED,
    Exchange,
    Judgment,
    Outcome,
    Record,
    Sample,
    Score,
    Status,
)

__all__ = [
    "UNANSWERED",
    "Comparison",
    "Completion",
    "Estimate",
    "Exchange",
    "Finding",
    "Flow",
    "Job",
    "Json",
    "Judgment",
    "Message",
    "Metric",
    "Observer",
    "Outcome",
    "PreparedModel",
    "Record",
    "Rendered",
    "Reply",
    "Request",
    "Run",
    "Sample",
    "Score",
    "Status",
]
