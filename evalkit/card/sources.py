"""Where a published figure leads back to: the `source` of a `model-index` entry."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.card.figures import Figure

__all__ = ["LINK", "Source", "source_of"]

LINK = re.compile(r"https?://[A-Za-z0-9._~/?#&=%:+@!;-]*[A-Za-z0-9/=#_-]")
"""An address that can stand in Markdown and YAML as it is."""
_ALPACA_EVAL = "https://github.com/tatsu-lab/alpaca_eval"
_LEADERBOARD = "huggingface.co/datasets/open-llm-leaderboard/"


@dataclass(frozen=True)
class Source:
    """Who says so; the hub takes a name only with a URL."""

    name: str
    url: str


def source_of(figure: Figure, published_at: str | None = None) -> Source | None:
    """The source of a figure.

    Args:
        figure: Published by others, or computed here.
        published_at: Where the run that computed it can be seen.

    Returns:
        For published figures their own source; for computed ones `published_at`, else the public
        file they were computed from; None where there is no address.
    """
    if figure.is_published:
        return _stated(figure)
    if published_at is not None:
        return Source("evalkit", published_at)
    url = _evidence(figure)
    return None if url is None else Source("evalkit, from published results", url)


def _stated(figure: Figure) -> Source | None:
    said = "" if figure.stated is None else figure.stated.source
    match = LINK.search(said)
    if match is not None:
        if _LEADERBOARD in match[0]:
            return Source("Open LLM Leaderboard", match[0])
        return Source(said.replace("https://", "").replace("http://", ""), match[0])
    if said.startswith("alpaca_eval "):
        return Source(said, _ALPACA_EVAL)
    return None


def _evidence(figure: Figure) -> str | None:
    """Address of the public file that the figure was read or computed from."""
    e = figure.estimate
    for entry in figure.run.manifest.get("evidence", ()):
        if (entry.get("model"), entry.get("entry")) == (e.model, e.benchmark):
            files = list(entry.get("files", ()))
            named = e.source.partition(",")[0]
            exact = [f for f in files if f.get("file") == named]
            for file in exact or files[:1]:
                return _addresses().get(str(file.get("sha256")))
    return None


@functools.cache
def _addresses() -> Mapping[str, str]:
    """Address by sha256 of the file, of the public data sets that have one."""
    from evalkit.data import entries

    known = [entry for entry in entries().values() if entry.url]
    return {e.sha256: e.url for e in known} | {e.url_sha256: e.url for e in known}
