"""Small records written by hand, and runs that are built once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from evalkit.core import Judgment, Outcome, Record, Score, Status
from evalkit.core.run import Run
from tests.support.runs import Plan, build_run

MakeRecord = Callable[..., Record]


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`a`, a candidate, and the baselines `b` and `c`."""
    plan = Plan(models=("a", "b", "c"), advantage=0.4, local_judge=False)
    return build_run(plan, tmp_path_factory.mktemp("three") / "one")


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`a` against `b`, clearly better, judged by a model of the suite."""
    plan = Plan(models=("a", "b"), samples=(200, 40, 80), advantage=0.4)
    return build_run(plan, tmp_path_factory.mktemp("judged") / "run")
