"""The domain types: data only, standard library and pydantic.

    Sample ─ Benchmark.flow ─▶ Request ─ Engine ─▶ Completion ─ flow ─▶ Outcome ─ runner ─▶ Record
    Record* ─ stats ─▶ Measured ─▶ Figure, Comparison ─ compare ─▶ Contest, GateTest

`requests.py`, `samples.py` and `models.py` have the first line, `figures.py` and `contests.py` the
second.  `run.py` has a stored run with its typed manifest, `evidence.py` what an import found,
`specs.py` what users write, `protocols.py` what rooms expect of each other; `frames.py` lays a run
out as flat tables.  What most rooms use can be imported from here, the rest from its file.
"""

from __future__ import annotations

from evalkit.core.contests import Contest, GateResult, GateTest
from evalkit.core.figures import (
    Average,
    Comparison,
    Figure,
    FigureKey,
    Finding,
    Measured,
    Metric,
    Source,
)
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
from evalkit.core.run import Manifest, Run
from evalkit.core.samples import (
    CONTROL_TOKEN,
    UNANSWERED,
    Exchange,
    Judgment,
    Outcome,
    Record,
    Sample,
    Score,
    Status,
    Suspicion,
    suspicions,
)

__all__ = [
    "CONTROL_TOKEN",
    "UNANSWERED",
    "Average",
    "Comparison",
    "Completion",
    "Contest",
    "Exchange",
    "Figure",
    "FigureKey",
    "Finding",
    "Flow",
    "GateResult",
    "GateTest",
    "Job",
    "Json",
    "Judgment",
    "Manifest",
    "Measured",
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
    "Source",
    "Status",
    "Suspicion",
    "suspicions",
]
