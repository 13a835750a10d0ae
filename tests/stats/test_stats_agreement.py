"""Kappa against scikit-learn's and statsmodels', and its jackknife error against simulation."""

from __future__ import annotations

import random

import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from evalkit.stats.agreement import Choices, agreement


def choices(rng: random.Random, n: int, copies: int = 1) -> list[Choices]:
    """Raters who agree more often than chance; each unit `copies` times."""
    found: list[Choices] = []
    for unit in range(n):
        ours = rng.choice((0.0, 0.5, 1.0))
        theirs = ours if rng.random() < 0.6 else rng.choice((0.0, 0.5, 1.0))
        found += [(unit, ours, theirs)] * copies
    return found


def test_kappa_is_scikit_learns_and_its_error_is_close_to_the_large_sample_one() -> None:
    found = choices(random.Random(1), 400)
    kappa = agreement(found, 0.95).kappa
    ours, theirs = [2 * a for _, a, _ in found], [2 * b for _, _, b in found]
    assert kappa.point == pytest.approx(cohen_kappa_score(ours, theirs), abs=1e-12)
    table = [[sum((a, b) == (x, y) for a, b in zip(ours, theirs, strict=True)) for y in (0, 1, 2)]
             for x in (0, 1, 2)]  # fmt: skip
    assert kappa.standard_error == pytest.approx(cohens_kappa(table).std_kappa, rel=0.03)


def test_copies_of_a_unit_add_no_precision() -> None:
    one, five = (agreement(choices(random.Random(2), 80, copies), 0.95) for copies in (1, 5))
    assert five.kappa.point == pytest.approx(one.kappa.point)
    assert five.kappa.standard_error == pytest.approx(one.kappa.standard_error)
    assert five.alike.standard_error == pytest.approx(one.alike.standard_error)
    assert five.alike.n_units == 80


def test_among_people_the_order_of_two_means_nothing() -> None:
    found = choices(random.Random(3), 60)
    turned = [(u, b, a) if n % 2 else (u, a, b) for n, (u, a, b) in enumerate(found)]
    kappas = [agreement(rows, 0.95, symmetric=True).kappa for rows in (found, turned)]
    assert kappas[0] == kappas[1]


def test_ties_count_as_a_choice_and_are_left_out_beside() -> None:
    found: list[Choices] = [("a", 1.0, 0.8), ("b", 0.5, 0.5), ("c", 0.2, 0.5), ("d", 0.9, 0.1)]
    agreed = agreement(found, 0.95)
    assert (agreed.alike.point, agreed.alike.n) == (50.0, 4)
    assert (agreed.without_ties.point, agreed.without_ties.n) == (50.0, 2)


@pytest.mark.parametrize("rows", [[], [("a", 1.0, 1.0)], [("a", 1.0, 1.0), ("b", 1.0, 1.0)]])
def test_kappa_is_undefined_where_chance_explains_everything(rows: list[Choices]) -> None:
    kappa = agreement(rows, 0.95).kappa
    assert kappa.point is None
    assert kappa.how == "undefined"


@pytest.mark.slow
def test_intervals_cover_the_true_kappa() -> None:
    """Agreement is chance in 40% of pairs and sure in 60%: kappa is 0.6."""
    rng = random.Random(4)
    hits = 0
    for _ in range(1000):
        kappa = agreement(choices(rng, 100), 0.95).kappa
        assert kappa.low is not None
        assert kappa.high is not None
        hits += kappa.low <= 0.6 <= kappa.high
    assert 930 <= hits <= 970
