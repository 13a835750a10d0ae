"""What the run cost: time, tokens and money; what scoring computed, saved, and its bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evalkit.core import Json
from evalkit.draw import MISSING, Cell, Column, Group, Table, count, figure, percent
from evalkit.report.blocks import Section
from evalkit.report.facts import facts
from evalkit.report.view import View, mapping

__all__ = ["build"]

_NOTE = (
    "Tokens: of prompts, for log-likelihoods. Asked: every choice with its whole context, which "
    "is what computing them one by one costs. Computed: what went through the model. Bound: each "
    "distinct prefix once; no method needs less. Floor: the same where only whole cache blocks "
    "can be shared."
)


def build(view: View) -> Section | None:
    """Everything that was noted when the run was sealed; None where nothing was."""
    blocks = (*_usage(view), *_scoring(view))
    return Section("Cost", blocks) if blocks else None


def _usage(view: View) -> Iterator[Table]:
    usage = mapping(view.manifest.get("usage"))
    if not usage:
        return
    money = usage.get("cost_usd")
    rows: list[tuple[str, Json]] = [
        ("time", _duration(usage.get("seconds"))),
        ("sessions", usage.get("sessions")),
        ("requests answered by engines", usage.get("asked")),
        ("requests answered from the cache", usage.get("from_cache")),
        ("tries that failed", usage.get("failed")),
        ("prompt tokens", usage.get("prompt_tokens")),
        ("of these reused from a shared prefix", usage.get("reused_tokens")),
        ("generated tokens", usage.get("completion_tokens")),
        ("money, in US dollars", figure(money, "points") if money else None),
    ]
    for name, spent in sorted(mapping(usage.get("spent")).items()):
        cost = figure(mapping(spent).get("cost_usd"), "points")
        asked = count(_number(mapping(spent), "requests"))
        rows.append((f"{name}, of its cap", f"{asked} requests, {cost} US dollars"))
    note = (
        "Time is that of the sessions together, whatever the machine; a session that was killed "
        "counts up to its last note, at most half a minute before."
    )
    yield facts("All sessions", rows, note)


def _duration(seconds: Json) -> str | None:
    if not isinstance(seconds, int | float):
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{count(hours)} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _scoring(view: View) -> Iterator[Table]:
    """One row per engine that planned."""
    found = {
        name: counts
        for name, counts in mapping(view.manifest.get("work")).items()
        if _number(mapping(counts), "computed")
    }
    if not found:
        return
    columns = (
        Column("Engine", header=True),
        Column("Requests", "right"),
        Column("Tokens asked", "right"),
        Column("Computed", "right"),
        Column("Saved", "right"),
        Column("Bound", "right"),
        Column("Computed / bound", "right"),
        Column("Computed / floor", "right"),
    )
    rows = tuple(_row(str(name), mapping(counts)) for name, counts in found.items())
    yield Table("What scoring cost", columns, (Group("", rows),), _NOTE)


def _row(name: str, counts: Mapping[str, Json]) -> tuple[Cell, ...]:
    asked, computed = _number(counts, "naive"), _number(counts, "computed")
    saved = 100 * (1 - computed / asked) if asked else None
    return (
        Cell.text(name),
        Cell(_number(counts, "requests"), count(_number(counts, "requests"))),
        Cell(asked, count(asked)),
        Cell(computed, count(computed)),
        Cell(saved, MISSING if saved is None else f"{percent(saved)}%"),
        Cell(_number(counts, "trie"), count(_number(counts, "trie"))),
        _ratio(computed, _number(counts, "trie")),
        _ratio(computed, _number(counts, "floor")),
    )


def _ratio(computed: int, bound: int) -> Cell:
    value = computed / bound if bound else None
    return Cell(value, figure(value, "raw"))


def _number(counts: Mapping[str, Json], name: str) -> int:
    value = counts.get(name, 0)
    return value if isinstance(value, int) else 0
