"""A bridge between judges keeps what it says, on WildBench's answers that two judges scored."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bridge import MODELS, others, own, scores

pytestmark = [pytest.mark.slow, pytest.mark.data]


@pytest.mark.parametrize("model", MODELS)
def test_a_hundred_doubly_judged_answers_give_the_earlier_judges_mean(
    public_data: Path, model: str
) -> None:
    """Coverage of 95% intervals over 2,000 samples is 95% but for 1% (two standard errors)."""
    found = own(scores(public_data, model), 100, 2000)
    assert 0.93 <= found.share <= 0.97
    assert found.width <= 0.70


def test_another_models_figure_is_carried_over_by_the_offset_not_by_the_slope(
    public_data: Path,
) -> None:
    good, weak = (scores(public_data, MODELS[n]) for n in (1, 2))
    by_offset, by_slope = (others(good, weak, 100, 200, weight) for weight in (1.0, None))
    assert by_offset.share >= 0.93
    assert by_slope.share <= 0.1
