"""The domain types: data only, standard library and pydantic.

    Sample ─ Benchmark.flow ─▶ Request ─ Engine ─▶ Completion ─ flow ─▶ Outcome ─ runner ─▶ Record
    Record* ─ stats ─▶ Measured ─▶ Figure, Comparison ─ compare ─▶ Contest, GateTest

`requests.py`, `samples.py` and `models.py` have the first line, `figures.py` and `contests.py` the
second; `run.py` has a stored run, `specs.py` what users write, `protocols.py` what rooms expect of
each other.  `columns.py` and `frames.py` lay a run out as flat tables.
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
