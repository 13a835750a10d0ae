"""How well a bridge between two judges holds, on WildBench's answers that two judges scored.

    EVALKIT_DATA=... .venv/bin/python -m benchmarks.bridge [--draws 2000] [--sample 100]

GPT-4 Turbo (2024-04-09) and GPT-4o (2024-05-13) both scored four models' answers to some 1,020
questions, so what a bridge from a random sample says can be checked against the earlier judge's
mean of all.  Coverage is the share of draws whose 95% interval holds it; width is set against the
interval of the sampled scores of the earlier judge alone.

- own answers: the sample is of the model's own answers (`control_variate_mean`);
- other answers: it is of another model's, whose offset is carried over (`ppi_mean`, weight 1); the
  tuned weight, which is best for a model's own answers, is beside it to show why it is not used.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from statistics import correlation, fmean

from benchmarks._common import Cell, Table, parser, public_data, publish
from evalkit.core.figures import Measured
from evalkit.stats.means import mean
from evalkit.stats.ppi import control_variate_mean, ppi_mean

__all__ = ["JUDGES", "MODELS", "Coverage", "Scores", "coverage", "main", "others", "own", "scores"]

JUDGES = ("gpt-4-turbo-2024-04-09", "gpt-4o-2024-05-13")
"""The earlier one first."""
MODELS = (
    "Phi-3-mini-128k-instruct",
    "Qwen1.5-72B-Chat-greedy",
    "gemma-2b-it",
    "gpt-3.5-turbo-0125",
)


@dataclass(frozen=True)
class Scores:
    """Of one model's answers, by question, 1 to 10."""

    earlier: Mapping[str, float]
    later: Mapping[str, float]

    @property
    def truth(self) -> float:
        """The earlier judge's mean."""
        return fmean(self.earlier.values())


@dataclass(frozen=True)
class Coverage:
    """Of the intervals of many random samples."""

    share: float
    """Of draws whose interval holds the truth."""
    width: float
    """Mean, as a share of the interval's of the earlier judge's sampled scores alone."""


def scores(data: Path, model: str) -> Scores:
    """Where both judges gave one."""
    found = []
    for judge in JUDGES:
        file = data / "judging" / "wildbench" / "judgments" / f"v2.0522__{judge}__{model}.jsonl.gz"
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        found.append({r["session_id"]: float(r["score"]) for r in rows if r["score"] is not None})
    both = sorted(found[0].keys() & found[1].keys())
    return Scores(*({question: of[question] for question in both} for of in found))


def coverage(
    estimate: Callable[[list[str]], Measured], source: Scores, truth: float, size: int, draws: int
) -> Coverage:
    """Of `estimate`, over random samples of the source's questions."""
    rng = random.Random(0)
    hits, widths = 0, []
    for _ in range(draws):
        sample = rng.sample(list(source.earlier), size)
        value, alone = estimate(sample), mean([source.earlier[q] for q in sample], sample, 0.95)
        hits += _low(value) <= truth <= _high(value)
        widths.append((_high(value) - _low(value)) / (_high(alone) - _low(alone)))
    return Coverage(hits / draws, fmean(widths))


def _low(value: Measured) -> float:
    assert value.low is not None
    return value.low


def _high(value: Measured) -> float:
    assert value.high is not None
    return value.high


def own(of: Scores, size: int, draws: int) -> Coverage:
    """From a sample of the model's own answers."""

    def estimate(sample: Iterable[str]) -> Measured:
        few = {question: of.earlier[question] for question in sample}
        return control_variate_mean(few, of.later, {q: q for q in few}, 0.95)

    return coverage(estimate, of, of.truth, size, draws)


def others(source: Scores, of: Scores, size: int, draws: int, weight: float | None) -> Coverage:
    """From a sample of the source's answers."""
    units = {(side, q): q for side, known in enumerate((source, of)) for q in known.earlier}
    scored = {(1, question): value for question, value in of.later.items()}

    def estimate(sample: Iterable[str]) -> Measured:
        earlier = {(0, question): source.earlier[question] for question in sample}
        later = {(0, question): source.later[question] for question in sample}
        return ppi_mean(earlier, {**later, **scored}, units, 0.95, weight).measured

    return coverage(estimate, source, of.truth, size, draws)


def main() -> None:
    """Measure and publish."""
    made = parser(__doc__)
    made.add_argument("--draws", type=int, default=2000)
    made.add_argument("--sample", type=int, default=100)
    options = made.parse_args()
    size, draws = options.sample, options.draws
    known = {model: scores(public_data(), model) for model in MODELS}
    first: list[tuple[Cell, ...]] = []
    for model, of in known.items():
        found = own(of, size, draws)
        earlier, later = list(of.earlier.values()), list(of.later.values())
        about = (model, len(earlier), of.truth - fmean(later), correlation(earlier, later))
        first.append((*about, 100 * found.share, found.width))
    second: list[tuple[Cell, ...]] = []
    for source, target in permutations(known, 2):
        one, tuned = (
            others(known[source], known[target], size, draws // 4, weight) for weight in (1.0, None)
        )
        second.append((source, target, 100 * one.share, one.width, 100 * tuned.share))
    columns = ("model", "answers", "offset", "item correlation", "coverage %", "relative width")
    other = ("judged by both", "figure of", "coverage %", "relative width", "tuned weight: %")
    tables = [
        Table(f"Own answers, {size} judged by both", columns, first),
        Table(f"Another model's answers, {size} judged by both", other, second),
    ]
    publish("bridge", tables, options)


if __name__ == "__main__":
    main()
