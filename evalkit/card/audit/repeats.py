"""A measurement that the model-index gives twice: in two units, or with two values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from evalkit.card.audit.shapes import Card, Problem
from evalkit.card.measurement import Measurement, likeness, measurements, same_data, same_measure
from evalkit.core import Json
from evalkit.draw import one_line, visible

__all__ = ["repeated_measurements"]


def repeated_measurements(card: Card) -> Iterator[Problem]:
    """Everything that one model of the index has twice, under one name of its data set or two."""
    index = card.front.get("model-index")
    for model in index if isinstance(index, list) else ():
        results = model.get("results") if isinstance(model, Mapping) else None
        yield from _of_model(results if isinstance(results, list) else [])


def _of_model(results: list[Json]) -> Iterator[Problem]:
    found = [one for result in results for one in measurements(result)]
    for a, b in combinations(found, 2):
        if not same_data(a, b) or not same_measure(a, b):
            continue
        how = likeness(a, b)
        both = one_line(visible(f"{a.said}, {b.said}"), 200)
        if how == "unit":
            yield _problem(
                "units", f"gives one measurement as a share of 1 and as a percentage: {both}"
            )
        elif how == "equal":
            yield _problem("index", f"gives one measurement twice: {both}", wrong=False)
        elif _are_named_alike(a, b):
            yield _problem("index", f"gives two values of one measurement: {both}")


def _are_named_alike(a: Measurement, b: Measurement) -> bool:
    """A name may say what the metric does not: "GSM8K (CoT)"."""
    return a.name == b.name


def _problem(code: str, message: str, *, wrong: bool = True) -> Problem:
    return Problem(code, wrong, 1, f"the model-index {message}")
