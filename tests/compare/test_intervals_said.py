"""Intervals stay on their scale, say nothing where they are useless; n says what it counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evalkit import compare, gate
from evalkit.compare.words import bounds, has_width, is_too_wide, sentence, units_text
from evalkit.core import Comparison, Metric, Outcome, Record, Score
from evalkit.core.specs import GateSpec
from evalkit.draw import MISSING
from tests.support.runs import Plan, build_run

POINTS = Metric("score", "points", primary=True)


def rated(values: list[float]) -> list[Record]:
    return [
        Record("m", "b", "t", str(n), None, "", Outcome("ok", scores=(Score("score", value),)))
        for n, value in enumerate(values)
    ]


@given(st.lists(st.floats(1, 10), min_size=2, max_size=12))
def test_no_interval_of_a_mean_leaves_the_scale(values: list[float]) -> None:
    """Within it the interval is scipy's; the mean and its error are never touched."""
    (found,) = compare.estimates(rated(values), {"b": {"t": [POINTS]}}, 0.95)
    if not found.standard_error:
        return
    assert found.low is not None
    assert found.high is not None
    low, high = scipy.stats.t.interval(
        0.95, len(values) - 1, loc=found.point, scale=found.standard_error
    )
    assert found.low == pytest.approx(max(low, 1.0), abs=1e-9)
    assert found.high == pytest.approx(min(high, 10.0), abs=1e-9)
    assert ("cut to the scale" in found.method) == (low < 1 or high > 10)


def test_values_beyond_the_scale_are_not_hidden() -> None:
    """A task may define its points otherwise; then nothing is known of the scale."""
    (found,) = compare.estimates(rated([0.0, 11.0, 30.0]), {"b": {"t": [POINTS]}}, 0.95)
    assert found.low is not None
    assert found.low < 0


def difference(n: int, low: float, high: float, unit: str = "percent") -> Comparison:
    return Comparison(
        "a", "b", "alpaca_eval", "alpaca_eval", "win_rate", None, (low + high) / 2, 9.0, low, high,
        0.95, 0.5, n, n, 1, 1, n - 2, 0, 0, unit, True, "paired mean",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("n", "low", "high", "useless"),
    [
        (2, -1270.0, 1310.0, True),
        (4, -20.0, 30.0, True),
        (4, -20.0, 29.0, False),
        (5, -90.0, 90.0, False),
    ],
)
def test_an_interval_of_a_handful_is_not_printed_as_information(
    n: int, low: float, high: float, useless: bool
) -> None:
    c = difference(n, low, high)
    assert is_too_wide(c) is useless
    assert has_width(c) is not useless
    said = sentence(c, "AlpacaEval")
    if useless:
        assert bounds(c) == f"{MISSING} (too wide to be of use)"
        assert said.endswith(f"{n} samples: its 95% interval is too wide to be of use.")
        assert f"{high:+,.1f}" not in said
    else:
        assert bounds(c) in said


def test_without_a_scale_no_interval_is_too_wide() -> None:
    assert not is_too_wide(difference(2, -9000.0, 9000.0, "characters"))


def test_a_handful_resolves_nothing(tmp_path: Path) -> None:
    run = build_run(tmp_path, Plan(models=("a", "b"), samples=(4, 5, 6), local_judge=False))
    rows = {r.comparison.benchmark: r for r in compare.compare([run], "a", ["b"], compare.Options())
            if r.headline}  # fmt: skip
    assert rows["alpaca_eval"].mde is None
    assert "which resolve" not in rows["alpaca_eval"].sentence
    assert rows["mt_bench"].mde is not None


def test_scores_and_what_they_belong_to_are_told_apart(tmp_path: Path) -> None:
    assert units_text(802, 802) == "802 samples"
    assert units_text(1, 1) == "1 sample"
    assert units_text(160, 80) == "80 independent units"
    run = build_run(tmp_path, Plan(models=("a", "b"), local_judge=False))
    rows = compare.compare([run], "a", ["b"], compare.Options())
    (row,) = (r for r in rows if r.headline and r.comparison.benchmark == "mt_bench")
    c = row.comparison
    assert c.n > c.n_clusters
    assert f"{c.n} scores of {c.n_clusters} independent units" in row.sentence
    assert "n: scores" in compare.rows_table(rows).note
    spec = GateSpec(baseline="b", margins={"default": 0.01})
    lines = "\n".join(gate.gate_lines(gate.gate_run(replace(run), spec)))
    assert f"that {c.n_clusters} independent units resolve" in lines
    assert "n: scores" in gate.gate_table(gate.gate_run(run, spec)).note
