"""Pairwise judgments as games, and the strengths of the players: a benchmark's second ranking.

Two benchmarks have games: AlpacaEval, where every model meets one reference (`win_rate`), and
MT-Bench by pairs (`win_rate_adjusted`), where models meet named rivals, turn by turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

from evalkit.compare.old_ranking import Contrast, Floor, Ranking, rank
from evalkit.compare.scores import Metrics
from evalkit.core import Record
from evalkit.stats import BradleyTerry, Game, bradley_terry, strength_difference

__all__ = ["ELO", "Strengths", "games", "strengths"]

ELO = 400 / math.log(10)
"""Elo points of one unit of log strength."""
_AGAINST_REFERENCE = "win_rate"
_AGAINST_RIVALS = "win_rate_adjusted"


@dataclass(frozen=True)
class Strengths:
    """One task's players."""

    benchmark: str
    task: str
    result: BradleyTerry
    ranking: Ranking | None
    """By differences of strengths; None where strengths or their errors do not exist."""
    several_rivals: bool
    """Models met more than one opponent, so that plain rates have different opponents."""


def strengths(
    records: Sequence[Record],
    metrics: Metrics,
    level: float,
    references: Mapping[str, str],
    floors: Mapping[tuple[str, str, str], Floor] = MappingProxyType({}),
) -> list[Strengths]:
    """Bradley-Terry strengths of every task with games between three players or more.

    Args:
        records: canonical order.
        metrics: by benchmark entry and task.
        level: of intervals and rankings.
        references: what to call the reference of a benchmark entry; default: `reference`.
        floors: see `ranking`.
    """
    found = []
    for benchmark, tasks in metrics.items():
        for task in tasks:
            mine = [r for r in records if (r.benchmark, r.task) == (benchmark, task)]
            primary = {m.name for m in tasks[task] if m.primary}
            played = list(games(mine, primary, references.get(benchmark, "reference")))
            if len({name for game in played for name in (game.a, game.b)}) > 2:
                result = bradley_terry(played, level)
                rivals = {game.b for game in played}
                floor = {
                    pair: p
                    for name in sorted(primary)
                    for pair, p in floors.get((benchmark, task, name), {}).items()
                }
                ranking = _ranking(result, level, floor)
                found.append(Strengths(benchmark, task, result, ranking, len(rivals) > 1))
    return found


def games(records: Sequence[Record], primary: set[str], reference: str) -> Iterator[Game]:
    """Games in one task's records, each once though both players may have a record of it."""
    seen: set[tuple[frozenset[str], str, str]] = set()
    for record in records:
        if record.outcome.status == "excluded":
            continue
        for score in record.outcome.scores:
            turn, _, rival = score.part.partition("#")
            if score.metric not in primary:
                continue
            if score.metric == _AGAINST_REFERENCE and not score.part:
                rival = reference
            elif score.metric != _AGAINST_RIVALS or not rival:
                continue
            key = (frozenset((record.model, rival)), record.sample, turn)
            if rival != record.model and key not in seen:
                seen.add(key)
                cluster = record.cluster or record.sample
                yield Game(record.model, rival, score.value, cluster)


def _ranking(result: BradleyTerry, level: float, floor: Floor) -> Ranking | None:
    points = {s.model: s.point for s in result.strengths if s.point is not None}
    if result.covariance is None or len(points) < len(result.strengths):
        return None
    contrasts = []
    for a, b in combinations(points, 2):
        found = strength_difference(result, a, b)
        contrasts.append(Contrast(a, b, found.point, _p(found.point, found.standard_error)))
    return rank(points, contrasts, level, floor)


def _p(point: float | None, error: float | None) -> float | None:
    """Two-sided, normal."""
    if point is None or not error:
        return None
    return math.erfc(abs(point) / error / math.sqrt(2))
