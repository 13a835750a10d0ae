"""Win rates at equal length: alpaca_eval's length-controlled model, with a bootstrap error.

Source of the model: `alpaca_eval/metrics/glm_winrate.py`, version 0.6.6, `length_controlled_v1`:
LogisticRegressionCV with penalty L1, solver liblinear, no intercept, random_state 123, its ten
default strengths, GroupKFold(5), scored by the log loss of the preferences themselves.  A
preference p enters as two rows of the same features: label 1 with weight p, label 0 with
weight 1 - p; both are in the same fold.  Only here is scikit-learn imported.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from evalkit.core.figures import Estimator, Interval, Measured, Method

__all__ = ["Games", "Pair", "length_controlled"]

REPLICATES = 500
"""Refits of the bootstrap; its error is then known to about 3% of itself (1/√(2·500))."""
ENOUGH = 0.9
"""Share of replicates that must have a figure, or there is no standard error."""
GAME_WEIGHT = 0.2 / 2
"""Of each game against 1 of a judged pair: upstream's lambda, halved for two gamed models."""
FOLDS = 5
SETTINGS: Mapping[str, Any] = {
    "penalty": "l1",
    "solver": "liblinear",
    "fit_intercept": False,
    "random_state": 123,
}


@dataclass(frozen=True)
class Games:
    """The baseline against its own verbose and concise answers: the effect of length alone.

    Sequences are of equal length, in the file's order, which decides the folds.
    """

    preference: tuple[float, ...]
    """For the gamed answer, 0 to 1."""
    std_delta_len: tuple[float, ...]
    """Baseline's length minus the gamed answer's, in their standard deviations."""
    instruction: tuple[int, ...]
    """Position in the canonical order."""
    difficulty: Mapping[int, float]
    """Of each instruction, by position; higher is better for the model."""


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


def length_controlled(
    pairs: Sequence[Pair],
    games: Games,
    level: float,
    *,
    cap_quantile: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Measured:
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
    sd(Δ), every ordinary difference becomes small, and length explains nothing any more.
    (AlpacaEval 1, Notus-7B-v1: three answers of 18 to 33 thousand characters
    make sd(Δ) 2064 instead of 1275 and the figure 83.5 instead of 79.4; capped at the 0.99
    quantile it is 78.6.)  Quantiles are linear between order statistics.

    Standard error: instructions are resampled with replacement, and in each replicate the cap,
    sd(Δ), the coefficients and the mean prediction are computed anew; the interval is the
    replicates' percentile interval.  Two things are held fixed.  The strength of the penalty:
    choosing it in each replicate costs 35 times as much, and with the same 400 draws gives 2.48
    instead of 2.47, 2.60 for 2.61, 1.43 for 1.43 and 1.68 for 1.68 points on four models' real
    annotations.  The baseline's games: they are constants of the metric; resampling them, too,
    changes the error by less than 0.02 points.  Upstream's own `lc_standard_error` is the spread of
    predictions between instructions and ignores that the coefficients are estimated (0.04 to 0.75
    where this gives 1.4 to 2.6).  In simulations the 90% interval covered the expected figure 90%
    of the time with 805 and with 250 instructions, but only 79% with 120: there it is too narrow.

    Args:
        pairs: at most one model's; several of one instruction are resampled together.
        games: of the baseline; sets the difficulties.
        level: confidence level, between 0 and 1.
        cap_quantile: between 0 and 1; None: lengths as they are.
        replicates: how many bootstrap refits.
        seed: of the bootstrap; equal pairs and seed give equal figures.

    Returns:
        A share, 0 to 1; `n`: pairs with a preference; `n_units`: instructions among them.
        No preference at all, or no variation in Δ: None.  Every pair a draw at equal length:
        one half by construction, error 0.  Preferences of fewer than two instructions: no error.

    Raises:
        ValueError: an instruction without difficulty, or a preference outside 0 to 1.
    """
    import numpy as np

    for pair in pairs:
        if pair.instruction not in games.difficulty:
            raise ValueError(f"instruction {pair.instruction!r} has no difficulty; leave it out")
        if pair.preference is not None and not 0 <= pair.preference <= 1:
            raise ValueError(f"preference {pair.preference!r}; expected None or 0 to 1")
    judged = [p for p in pairs if p.preference is not None]
    method = Method(Estimator.LENGTH_CONTROLLED, cap_quantile=cap_quantile)
    units = len({p.instruction for p in judged})
    none = Measured(None, None, None, None, level, len(judged), units, 0, method)

    def undefined(why: str) -> Measured:
        return replace(none, method=replace(method, detail=why))

    if not judged:
        return undefined("no pair has a preference")
    if all(p.preference == 0.5 and p.answer_length == p.reference_length for p in pairs):
        half = undefined("one half by construction: every answer draws with one of its length")
        return replace(half, point=0.5, standard_error=0.0, low=0.5, high=0.5)
    arrays = _arrays(pairs, games)
    rows = _rows(arrays, np.ones(len(pairs)), cap_quantile)
    if rows is None:
        return undefined("all length differences are equal")
    penalty = _choose_penalty(rows, games)
    point = _win_rate(rows, games, penalty)
    method = replace(method, penalty=penalty)
    n, found = int(arrays.cluster.max()) + 1, []
    random = np.random.default_rng(seed)
    for _ in range(replicates if n > 1 else 0):
        times = np.bincount(random.integers(0, n, n), minlength=n)
        weight = times[arrays.cluster].astype(float)
        rows = _rows(arrays, weight, cap_quantile)
        if rows is not None and bool((weight[~np.isnan(arrays.preference)] > 0).any()):
            found.append(_win_rate(rows, games, penalty))
    if units < 2 or replicates < 2 or len(found) < ENOUGH * replicates:
        method = replace(method, detail="too few pairs for a standard error")
        return replace(none, point=point, method=method)
    low, high = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2])
    lost = replicates - len(found)
    method = replace(
        method,
        interval=Interval.BOOTSTRAP,
        replicates=replicates,
        detail=f"{lost} replicates undefined" if lost else "",
    )
    error, ends = float(np.std(found, ddof=1)), (float(low), float(high))
    return Measured(point, error, *ends, level, len(judged), units, 0, method)


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


@dataclass(frozen=True)
class _Rows:
    """One model's pairs as features; numpy arrays of one length."""

    tanh_length: Any
    difficulty: Any
    preference: Any
    """0 to 1; NaN: not judged, predicted all the same."""
    weight: Any
    """How often the pair counts; 0: not at all."""


def _rows(arrays: _Arrays, weight: Any, cap_quantile: float | None) -> _Rows | None:
    """Features of pairs that each count `weight` times; None: Δ does not vary."""
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
    return _Rows(np.tanh(delta / spread), arrays.difficulty, arrays.preference, weight)


@dataclass(frozen=True)
class _Design:
    """Games and pairs in liblinear's form: each row twice, label 1 first."""

    features: Any
    label: Any
    share: Any
    """The label's share of the preference."""
    weight: Any
    """Of the row, without `share`."""
    group: Any


def _choose_penalty(rows: _Rows, games: Games) -> float:
    """C, the inverse strength of the L1 penalty, by cross-validation."""
    import numpy as np
    import sklearn
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import GroupKFold

    design = _design(rows, games)
    # Upstream switches metadata routing on for the whole process; here only for this fit.
    with sklearn.config_context(enable_metadata_routing=True), _quiet():
        scorer = make_scorer(_log_loss, response_method="predict_proba", greater_is_better=False)
        model = LogisticRegressionCV(
            cv=GroupKFold(n_splits=FOLDS),
            scoring=scorer.set_score_request(share=True, weight=True),
            **SETTINGS,
        )
        model.set_fit_request(sample_weight=True)
        model.fit(
            design.features,
            design.label,
            sample_weight=design.share * design.weight,
            groups=design.group,
            share=design.share,
            weight=design.weight,
        )
    return float(np.ravel(model.C_)[0])


def _win_rate(rows: _Rows, games: Games, penalty: float) -> float:
    """Mean prediction at equal length of the model at a given C (liblinear's seed is fixed)."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    design = _design(rows, games)
    with _quiet():
        model = LogisticRegression(C=penalty, **SETTINGS)
        model.fit(design.features, design.label, sample_weight=design.share * design.weight)
    _, difficulty, constant = (float(c) for c in model.coef_[0])
    predicted = 1 / (1 + np.exp(-(difficulty * rows.difficulty + constant)))
    return float(rows.weight @ predicted / rows.weight.sum())


def _design(rows: _Rows, games: Games) -> _Design:
    import numpy as np

    used = ~np.isnan(rows.preference) & (rows.weight > 0)
    own = np.count_nonzero(used)
    gamed = len(games.preference)
    length = np.concatenate([np.tanh(games.std_delta_len), rows.tanh_length[used]])
    known = [games.difficulty[i] for i in games.instruction]
    difficulty = np.concatenate([known, rows.difficulty[used]])
    constant = np.concatenate([np.zeros(gamed), np.ones(own)])
    preference = np.concatenate([games.preference, rows.preference[used]])
    weight = np.concatenate([np.full(gamed, GAME_WEIGHT), rows.weight[used]])
    features = np.column_stack([length, difficulty, constant])
    group = np.arange(gamed + own)
    return _Design(
        features=np.concatenate([features, features]),
        label=np.repeat([1, 0], gamed + own),
        share=np.concatenate([preference, 1 - preference]),
        weight=np.concatenate([weight, weight]),
        group=np.concatenate([group, group]),
    )


def _log_loss(label: Any, predicted: Any, share: Any, weight: Any) -> float:
    """Of predictions for label 1 against the preferences, weighted, divided by the rows."""
    import numpy as np

    preference = np.where(label == 1, share, 1 - share)
    predicted = np.clip(predicted, 1e-15, 1 - 1e-15)
    gain = preference * np.log(predicted) + (1 - preference) * np.log(1 - predicted)
    return -float(np.mean(gain * weight))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the warnings that `penalty` is deprecated and that liblinear did not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
