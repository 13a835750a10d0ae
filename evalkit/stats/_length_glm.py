"""The logistic model behind the length-controlled win rate, fitted as alpaca_eval fits it.

Source: `alpaca_eval/metrics/glm_winrate.py`, version 0.6.6, `length_controlled_v1`:
LogisticRegressionCV with penalty L1, solver liblinear, no intercept, random_state 123, its ten
default strengths, GroupKFold(5), scored by the log loss of the preferences themselves.  A
preference p enters as two rows of the same features: label 1 with weight p, label 0 with
weight 1 - p; both are in the same fold.  Only here is scikit-learn imported.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Fit", "Games", "Rows", "choose_strength", "fit"]

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
    """The baseline against its own verbose and concise answers: what its length is worth.

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
class Rows:
    """One model's pairs as features; numpy arrays of one length."""

    tanh_length: Any
    difficulty: Any
    preference: Any
    """0 to 1; NaN: not judged, predicted all the same."""
    weight: Any
    """How often the pair counts; 0: not at all."""


@dataclass(frozen=True)
class Fit:
    """The fitted model."""

    coefficients: tuple[float, float, float]
    """Of tanh_length, difficulty, and the constant that only the model's own rows have."""
    win_rate: float
    """Mean prediction at equal length over the rows, 0 to 1."""


@dataclass(frozen=True)
class _Design:
    """Games and pairs as liblinear takes them: each row twice, label 1 first."""

    features: Any
    label: Any
    share: Any
    """Of the preference that is for the label."""
    weight: Any
    """Of the row, without `share`."""
    group: Any


def choose_strength(rows: Rows, games: Games) -> float:
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


def fit(rows: Rows, games: Games, strength: float) -> Fit:
    """The model at a given C (deterministic: liblinear's seed is fixed)."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    design = _design(rows, games)
    with _quiet():
        model = LogisticRegression(C=strength, **SETTINGS)
        model.fit(design.features, design.label, sample_weight=design.share * design.weight)
    length, difficulty, constant = (float(c) for c in model.coef_[0])
    predicted = 1 / (1 + np.exp(-(difficulty * rows.difficulty + constant)))
    win_rate = float(rows.weight @ predicted / rows.weight.sum())
    return Fit((length, difficulty, constant), win_rate)


def _design(rows: Rows, games: Games) -> _Design:
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
    """Without the notices that `penalty` goes in scikit-learn 1.10 and that liblinear stopped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
