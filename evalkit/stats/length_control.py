"""Win rates as they would be at equal length: alpaca_eval's model, with an honest error.

Here belongs what surrounds the model: which rows enter, the capped variant, the bootstrap.  The
fit itself is `_length_glm.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit.stats._length_glm import Games, Rows, choose_strength, fit

__all__ = ["Games", "LengthControlled", "Pair", "length_controlled"]

REPLICATES = 500
"""Refits of the bootstrap; its error is then known to about 3% of itself (1/√(2·500))."""
ENOUGH = 0.9
"""Share of replicates that must have a figure, or there is no standard error."""


@dataclass(frozen=True)
class Pair:
    """An answer compared with the reference answer to one instruction."""

    instruction: int
    """Position in the canonical order of instructions."""
    answer_length: int
    """Characters."""
    reference_length: int
    """Characters."""
    preference: float | None
    """For the answer over the reference, 0 to 1; None: not judged."""


@dataclass(frozen=True)
class LengthControlled:
    """A length-controlled win rate with its uncertainty, as a share: 0 to 1."""

    point: float | None
    """None where it is undefined; `method` says why."""
    standard_error: float | None
    low: float | None
    high: float | None
    n: int
    """Pairs with a preference."""
    n_clusters: int
    """Instructions among them."""
    method: str
    """How point, standard error and interval were computed, or why there are none."""
    coefficients: tuple[float, float, float] | None = None
    """Of tanh(standardised length difference), instruction difficulty, and the model."""


@dataclass(frozen=True)
class _Arrays:
    """The pairs, one row each, in canonical order; numpy arrays."""

    cluster: Any
    """Which of the resampled instructions a row belongs to."""
    answer: Any
    reference: Any
    preference: Any
    """NaN: not judged."""
    difficulty: Any


def length_controlled(
    pairs: Sequence[Pair],
    games: Games,
    level: float,
    *,
    cap_quantile: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> LengthControlled:
    """Length-controlled win rate (Dubois et al. 2024, arXiv:2404.04475), with bootstrap error.

    Point: alpaca_eval's `length_controlled_v1` (`metrics/glm_winrate.py`, version 0.6.6).
    A logistic model of the preferences on tanh(Δ/sd(Δ)), the instruction's difficulty and a
    constant, where Δ is the reference's length minus the answer's and sd has ddof = 1; fitted
    together with the down-weighted games of the baseline against itself; L1 penalty of a
    strength chosen by five-fold cross-validation.  The figure is the mean prediction at Δ = 0
    over all pairs, those without a preference included.  Rows enter in canonical order whatever
    the order of `pairs`, because the folds depend on it.

    Capped: with `cap_quantile` lengths beyond that quantile of all answers and references, taken
    together, count as that quantile before Δ is formed.  A few runaway answers otherwise inflate
    sd(Δ), every ordinary difference becomes small, and the model has nothing left to explain
    by length.  (AlpacaEval 1, Notus-7B-v1: three answers of 18 to 33 thousand characters
    make sd(Δ) 2064 instead of 1275 and the figure 83.5 instead of 79.4; capped at the 0.99
    quantile it is 78.6.)  Quantiles are linear between order statistics.

    Standard error: instructions are resampled with replacement, and in each replicate the cap,
    sd(Δ), the coefficients and the mean prediction are computed anew; the interval is the
    replicates' percentile interval.  Two things are held fixed.  The strength of the penalty:
    choosing it anew costs 35 times as much, and with the same 400 draws gives 2.48 instead of
    2.47, 2.60 for 2.61, 1.43 for 1.43 and 1.68 for 1.68 points on four models' real annotations.
    The baseline's games: they are constants of the metric; resampled along they change the error
    by less than 0.02 points.  Upstream's own `lc_standard_error` is the spread of predictions
    between instructions and ignores that the coefficients are estimated (0.04 to 0.75 where
    this gives 1.4 to 2.6).  In simulations the 90% interval held the expected figure 90% of the
    time with 805 and with 250 instructions, but only 79% with 120: there it is too narrow.

    Args:
        pairs: at most one model's; several of one instruction are resampled together.
        games: of the baseline; sets the difficulties.
        level: confidence level, between 0 and 1.
        cap_quantile: between 0 and 1; None: lengths as they are.
        replicates: how many bootstrap refits.
        seed: of the bootstrap; equal pairs and seed give equal figures.

    Returns:
        No preference at all, or no variation in Δ: None.  Every pair a draw at equal length:
        one half by construction, error 0.  Preferences of fewer than two instructions: no error.

    Raises:
        ValueError: an instruction without difficulty, or a preference outside 0 to 1.
    """
    import numpy as np

    _check(pairs, games)
    judged = [p for p in pairs if p.preference is not None]
    result = LengthControlled(
        None, None, None, None, len(judged), len({p.instruction for p in judged}), ""
    )
    if not judged:
        return replace(result, method="undefined: no pair has a preference")
    if all(p.preference == 0.5 and p.answer_length == p.reference_length for p in pairs):
        half = "one half by construction: every answer draws with a reference of its length"
        return replace(result, point=0.5, standard_error=0.0, low=0.5, high=0.5, method=half)
    arrays = _arrays(pairs, games)
    rows = _rows(arrays, np.ones(len(pairs)), cap_quantile)
    if rows is None:
        return replace(result, method="undefined: all length differences are equal")
    strength = choose_strength(rows, games)
    fitted = fit(rows, games, strength)
    result = replace(
        result,
        point=fitted.win_rate,
        coefficients=fitted.coefficients,
        method=_words(cap_quantile, strength),
    )
    draws = _Draws(replicates, seed, games, strength, cap_quantile)
    return _with_error(result, _replicates(arrays, draws), replicates, level)


def _check(pairs: Sequence[Pair], games: Games) -> None:
    for pair in pairs:
        if pair.instruction not in games.difficulty:
            raise ValueError(f"instruction {pair.instruction!r} has no difficulty; leave it out")
        if pair.preference is not None and not 0 <= pair.preference <= 1:
            raise ValueError(f"preference {pair.preference!r}; expected None or 0 to 1")


def _words(cap_quantile: float | None, strength: float) -> str:
    cap = "" if cap_quantile is None else f", lengths capped at their {cap_quantile:g} quantile"
    return f"alpaca_eval's length_controlled_v1{cap}; C {strength:.4g} by cross-validation"


def _arrays(pairs: Sequence[Pair], games: Games) -> _Arrays:
    import numpy as np

    def key(pair: Pair) -> tuple[int, int, int, float]:
        value = -1.0 if pair.preference is None else pair.preference
        return (pair.instruction, pair.answer_length, pair.reference_length, value)

    ordered = sorted(pairs, key=key)
    instruction = [p.instruction for p in ordered]
    return _Arrays(
        cluster=np.unique(instruction, return_inverse=True)[1],
        answer=np.array([p.answer_length for p in ordered], dtype=float),
        reference=np.array([p.reference_length for p in ordered], dtype=float),
        preference=np.array(
            [np.nan if p.preference is None else p.preference for p in ordered], dtype=float
        ),
        difficulty=np.array([games.difficulty[i] for i in instruction]),
    )


def _rows(arrays: _Arrays, weight: Any, cap_quantile: float | None) -> Rows | None:
    """What the model sees of pairs that each count `weight` times; None: Δ does not vary."""
    import numpy as np

    answer, reference = arrays.answer, arrays.reference
    if cap_quantile is not None:
        times = np.tile(weight, 2).astype(int)
        bound = np.quantile(np.repeat(np.concatenate([answer, reference]), times), cap_quantile)
        answer, reference = np.minimum(answer, bound), np.minimum(reference, bound)
    delta = reference - answer
    total = weight.sum()
    if total < 2:
        return None
    centred = delta - (weight @ delta) / total
    spread = np.sqrt(weight @ centred**2 / (total - 1))
    if spread == 0:
        return None
    return Rows(np.tanh(delta / spread), arrays.difficulty, arrays.preference, weight)


@dataclass(frozen=True)
class _Draws:
    """How the replicates are drawn and fitted."""

    replicates: int
    seed: int
    games: Games
    strength: float
    cap_quantile: float | None


def _replicates(arrays: _Arrays, draws: _Draws) -> list[float]:
    """The win rates of those replicates that have one."""
    import numpy as np

    n = int(arrays.cluster.max()) + 1
    if n < 2:
        return []
    random = np.random.default_rng(draws.seed)
    found = []
    for _ in range(draws.replicates):
        times = np.bincount(random.integers(0, n, n), minlength=n)
        weight = times[arrays.cluster].astype(float)
        rows = _rows(arrays, weight, draws.cap_quantile)
        if rows is not None and bool((weight[~np.isnan(arrays.preference)] > 0).any()):
            found.append(fit(rows, draws.games, draws.strength).win_rate)
    return found


def _with_error(
    result: LengthControlled, found: Sequence[float], replicates: int, level: float
) -> LengthControlled:
    import numpy as np

    if result.n_clusters < 2 or replicates < 2 or len(found) < ENOUGH * replicates:
        return replace(result, method=f"{result.method}; too few pairs for a standard error")
    low, high = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2])
    lost = replicates - len(found)
    note = f" ({lost} undefined)" if lost else ""
    words = f"bootstrap over instructions, {replicates} refits at that C{note}; percentile interval"
    return replace(
        result,
        standard_error=float(np.std(found, ddof=1)),
        low=float(low),
        high=float(high),
        method=f"{result.method}; {words}",
    )
