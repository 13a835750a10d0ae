"""Which scores compare, and the comparisons.

`scores` gathers per-sample scores and knows what is missing, `estimates` makes figures of one
model, `comparisons` sets candidates against baselines, `health` measures the judges.

Everything here works within one run, where suite, data and settings are equal by construction.
What lets two runs meet (the guard over their manifests) belongs in a file `guard.py` beside
these, called before `comparisons` and raising ComparisonError.
"""

from __future__ import annotations

from evalkit.compare.comparisons import comparisons
from evalkit.compare.estimates import estimates
from evalkit.compare.health import JudgeHealth, judge_health
from evalkit.store.results import results_json

__all__ = ["JudgeHealth", "comparisons", "estimates", "judge_health", "results_json"]
