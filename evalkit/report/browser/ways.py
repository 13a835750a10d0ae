"""Ways into the list: what a reader most likely wants to see, with how many samples it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from evalkit.core import Record
from evalkit.draw import count
from evalkit.report.browser.links import samples_link
from evalkit.report.browser.rows import Row
from evalkit.report.browser.samples import orders_disagree
from evalkit.report.view import View

__all__ = ["Way", "ways_in"]

_VERDICTS = (("l", "loss", "loses"), ("w", "win", "wins"), ("t", "tie", "ties"))


@dataclass(frozen=True)
class Way:
    """A link into the list."""

    shown: str
    count: str
    href: str


def ways_in(view: View, rows: Sequence[Row]) -> tuple[Way, ...]:
    """Those with something behind them."""
    found = (*_verdicts(view, rows), *_troubles(rows))
    return tuple(Way(shown, count(n), href) for shown, n, href in found if n)


def _verdicts(view: View, rows: Sequence[Row]) -> Iterator[tuple[str, int, str]]:
    for i, (candidate, baseline) in enumerate(view.pairs):
        place = {"pair": str(i)} if i else {}
        against = f" against {baseline}" if len(view.pairs) > 1 else ""
        for letter, name, word in _VERDICTS:
            n = sum(row.pairs[i].verdict == letter for row in rows)
            yield f"{candidate} {word}{against}", n, samples_link(**place, verdict=name)


def _troubles(rows: Sequence[Row]) -> Iterator[tuple[str, int, str]]:
    records = [tuple(row.records.values()) for row in rows]
    failed = _having(records, lambda r: r.outcome.status != "ok")
    yield "A model failed", failed, samples_link(status="failed")
    truncated = _having(records, lambda r: r.outcome.truncated)
    yield "An answer was cut by its token limit", truncated, samples_link(flag="truncated")
    turned = _having(records, orders_disagree)
    yield "The judge's two orders disagree", turned, samples_link(flag="orders")


def _having(samples: Iterable[tuple[Record, ...]], test: Callable[[Record], bool]) -> int:
    return sum(any(test(record) for record in records) for records in samples)
