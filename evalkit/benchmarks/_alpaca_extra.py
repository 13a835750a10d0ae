"""AlpacaEval's figures that are no means over samples: draws and length-controlled win rates.

They are computed from records alone, so that imported results get them too.  The constants of
the length-controlled win rate are public data: the baseline's games (`df_gamed.csv` of the hub
data set tatsu-lab/alpaca_eval, with the instructions' difficulties), one row a game:

    preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline,model
    0.8048,0,-1.0693,-2e-10,False,gpt4_1106_preview_verbose

and the canonical order of instructions that `index` refers to.  Both versions use the same
games, of gpt4_1106_preview: upstream's version 1 leaderboard does too (its zephyr-7b-beta row
is met to 0.03 points with them).

Departures from `alpaca_eval/metrics/glm_winrate.py`:
- A row's difficulty is found by its instruction; upstream goes by the row's position, which
  gives wrong difficulties when rows are missing or in another order.
- The standard error is a bootstrap that refits the model; upstream prints the spread of the
  predictions.
- `length_capped_win_rate` is not upstream's: see `stats.length_controlled`.
- Where the hub's file is not at hand, a stand-in is used if there is one, and the method says so.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit import data
from evalkit.benchmarks._alpaca_scores import TASK
from evalkit.core import Estimate, Record
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError
from evalkit.stats import Games, LengthControlled, Pair, length_controlled

__all__ = ["GAMES", "INSTRUCTIONS", "Constants", "constants", "estimates", "extra_estimates"]

INSTRUCTIONS = "alpaca_eval/instructions"
IN_ORDER = (
    INSTRUCTIONS,
    "alpaca_eval/reference_gpt4_turbo",
    "alpaca_eval/reference_text_davinci_003",
)
"""Data sets with the 805 instructions in canonical order."""
GAMES = "alpaca_eval/lc/df_gamed"
STAND_IN = "alpaca_eval/lc/df_gamed_surrogate"
CAP_QUANTILE = 0.99
CONTROLLED: Mapping[str, float | None] = {
    "length_controlled_win_rate": None,
    "length_capped_win_rate": CAP_QUANTILE,
}
"""Quantile at which lengths are capped, by metric."""


@dataclass(frozen=True)
class Constants:
    """What the length-controlled win rate needs besides the records."""

    order: Mapping[str, int]
    """Canonical position of each instruction."""
    games: Games
    note: str
    """Where the games came from, if that must be known."""


def extra_estimates(
    records: Sequence[Record], places: DataPlaces, level: float, *, own_data: bool = False
) -> list[Estimate]:
    """Draws, length-controlled and length-capped win rate of one model.

    As `estimates`, with the constants from wherever `places` has them; for data of the suite's
    own nothing is downloaded.  Nothing without records.
    """
    if not records:
        return []
    if own_data and places.downloads is not None:
        places = DataPlaces((*places.mirrors, places.downloads))
    return estimates(records, constants(places), level, own_data=own_data)


def estimates(
    records: Sequence[Record], known: Constants | str, level: float, *, own_data: bool = False
) -> list[Estimate]:
    """Draws, length-controlled and length-capped win rate of one model.

    Of a record are read: the first user message (the instruction), the first answer and
    reference, and the score `win_rate`.  Equal records give equal figures.

    Args:
        records: one model's of one entry, at least one, in any order.
        known: the constants, or why there are none.
        level: confidence level of the intervals, 0 to 1.
        own_data: the instructions may be others than AlpacaEval's 805; if none is among them,
            the length-controlled figures do not apply and are left out.

    Returns:
        What cannot be computed has the point None, and its method says why.
    """
    found = [_draws(records, level)]
    if isinstance(known, str):
        none = LengthControlled(None, None, None, None, 0, 0, f"not computed: {known}")
        rows = [] if own_data else [_row(records, name, none, level) for name in CONTROLLED]
        return [*found, *rows]
    pairs, unknown = _pairs(records, known.order)
    if own_data and not pairs:
        return found
    for name, cap in CONTROLLED.items():
        result = length_controlled(pairs, known.games, level, cap_quantile=cap)
        note = f"; {unknown} with other instructions left out" if unknown else ""
        found.append(_row(records, name, result, level, known.note + note))
    return found


def constants(places: DataPlaces) -> Constants | str:
    """The constants, or why there are none.

    The hub's file first, be it downloaded now; the stand-in only where that is not to be had.
    A file that is there but damaged is a reason, nothing is taken in its place.
    """
    try:
        order = _order(places)
        for name, note in ((GAMES, ""), (STAND_IN, "; baseline games: stand-in for df_gamed")):
            path = _path(name, places)
            if path is not None:
                return Constants(order, _read_games(path), note)
    except DataError as error:
        return str(error)
    return f"neither {GAMES!r} nor a stand-in is on this machine or can be fetched from here"


def _order(places: DataPlaces) -> Mapping[str, int]:
    name = next((name for name in IN_ORDER if _path(name, places) is not None), INSTRUCTIONS)
    dataset = data.records(name, places)
    data.require(dataset, {"instruction": str})
    return {row["instruction"]: index for index, row in enumerate(dataset.records)}


def _path(name: str, places: DataPlaces) -> Path | None:
    """Of the file, fetched if need be; None: not to be had.  Raises DataError: damaged."""
    found = data.local(data.entry(name), places)
    if found is not None:
        return found.path
    if data.missing([name], places):
        return None
    try:
        return data.resolve(name, places).path
    except DataError:
        return None


def _draws(records: Sequence[Record], level: float) -> Estimate:
    values = [v for r in records if (v := _preference(r)) is not None]
    return Estimate(
        model=records[0].model,
        benchmark=records[0].benchmark,
        task=TASK,
        metric="draws",
        category=None,
        point=float(values.count(0.5)) if values else None,
        standard_error=None,
        low=None,
        high=None,
        level=level,
        n=len(values),
        n_clusters=len(values),
        n_missing=len(records) - len(values),
        unit="raw",
        method="count of preferences of exactly one half",
    )


def _row(
    records: Sequence[Record], name: str, result: LengthControlled, level: float, note: str = ""
) -> Estimate:
    def percent(share: float | None) -> float | None:
        return None if share is None else 100 * share

    return Estimate(
        model=records[0].model,
        benchmark=records[0].benchmark,
        task=TASK,
        metric=name,
        category=None,
        point=percent(result.point),
        standard_error=percent(result.standard_error),
        low=percent(result.low),
        high=percent(result.high),
        level=level,
        n=result.n,
        n_clusters=result.n_clusters,
        n_missing=len(records) - result.n,
        unit="percent",
        method=result.method + note,
    )


def _preference(record: Record) -> float | None:
    if record.outcome.status == "excluded":
        return None
    return next((s.value for s in record.outcome.scores if s.metric == "win_rate"), None)


def _pairs(records: Sequence[Record], order: Mapping[str, int]) -> tuple[list[Pair], int]:
    """Those with an answer to one of AlpacaEval's instructions; how many have another."""
    pairs, unknown = [], 0
    for record in records:
        outcome = record.outcome
        asked = next((m.content for m in outcome.conversation if m.role == "user"), "")
        if not outcome.answers or not outcome.reference or outcome.status == "excluded":
            continue
        if asked not in order:
            unknown += 1
            continue
        answer, reference = outcome.answers[0], outcome.reference[0]
        pairs.append(Pair(order[asked], len(answer), len(reference), _preference(record)))
    return pairs, unknown


def _read_games(path: Path) -> Games:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        found = list(_numbers(rows))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not the baseline's games ({type(error).__name__}: {error}); expected columns "
            f"preference, index, std_delta_len, instruction_difficulty; fetch the file again"
        ) from error
    difficulty: dict[int, float] = {}
    for _, instruction, _, value in found:
        difficulty.setdefault(instruction, value)
    return Games(
        preference=tuple(row[0] for row in found),
        instruction=tuple(row[1] for row in found),
        std_delta_len=tuple(row[2] for row in found),
        difficulty=difficulty,
    )


def _numbers(rows: Sequence[Mapping[str, str]]) -> Iterator[tuple[float, int, float, float]]:
    for row in rows:
        yield (
            float(row["preference"]),
            int(row["index"]),
            float(row["std_delta_len"]),
            float(row["instruction_difficulty"]),
        )
