"""Small runs written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from evalkit.core import Judgment, Outcome, Record, Score, Status

MakeRecord = Callable[..., Record]


@pytest.fixture
def record() -> MakeRecord:
    """Builds a record of benchmark `b`, task `t`."""

    def build(
        model: str,
        sample: str,
        scores: Sequence[Score] = (),
        *,
        status: Status = "ok",
        category: str | None = None,
        cluster: str = "",
        judgments: Sequence[Judgment] = (),
    ) -> Record:
        outcome = Outcome(status=status, scores=tuple(scores), judgments=tuple(judgments))
        return Record(model, "b", "t", sample, category, cluster, outcome)

    return build
