"""Addresses within a report: `#sample=…` for one sample, `#samples&…` for a list of them.

What stands after the `#` is `&`-separated, percent-encoded, and read by `script/50_address.js`.
"""

from __future__ import annotations

from urllib.parse import quote

from evalkit.draw import visible

__all__ = ["sample_link", "samples_link"]


def sample_link(benchmark: str, task: str, sample: str) -> str:
    """The address of one sample, stable over runs and versions."""
    return "#sample=" + "/".join(_quoted(part) for part in (benchmark, task, sample))


def samples_link(**filters: str) -> str:
    """The address of the list with `filters` set.

    Args:
        filters: `benchmark`, `task`, `category` by name; `pair` by its place among the run's;
            `verdict` (`win`, `loss`, `tie`, `none`); `status` (a status, or `failed` for any but
            `ok`); `flag` (`truncated`, `orders`); `sort` (`worst`, `best`, `largest`, `run`); `q`.
    """
    return "#samples" + "".join(f"&{name}={_quoted(text)}" for name, text in filters.items())


def _quoted(text: str) -> str:
    return quote(visible(text), safe="")
