"""Reads the samples out of a rendered page, without the page's script; and a run of many kinds."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from urllib.parse import quote

from evalkit import report
from evalkit.comparison.figures import comparisons
from evalkit.core import Json, Record
from evalkit.core.run import Run
from evalkit.draw import visible
from tests.support.runs import ENTRIES, Plan, build_run

__all__ = ["Packed", "blocks_of", "judged_run", "key_of", "packed", "texts_of"]

_BLOCK = re.compile(rb'<script type="application/gzip" class="b-block">([A-Za-z0-9+/=]+)</script>')


@dataclass(frozen=True)
class Packed:
    """What a page carries, unpacked."""

    head: Json
    shared: list[str]
    samples: list[Json]

    def text(self, sample: Json, ref: int | list[int]) -> str:
        """A reference into a sample's texts or the shared pieces."""
        refs = ref if isinstance(ref, list) else [ref]
        return "".join(sample["texts"][r] if r >= 0 else self.shared[-1 - r] for r in refs)


def blocks_of(html: bytes) -> list[bytes]:
    """The gzipped blocks of a page that is one file."""
    return [base64.b64decode(found) for found in _BLOCK.findall(html)]


def packed(run: Run) -> Packed:
    """What the page of `run` carries."""
    found = [json.loads(gzip.decompress(b)) for b in blocks_of(report.render(run)["index.html"])]
    head, shared, *texts = found
    assert [len(block) for block in texts] == head["sizes"]
    return Packed(head, shared, [sample for block in texts for sample in block])


def key_of(record: Record) -> str:
    """A sample's address, as the page writes it."""
    parts = (record.benchmark, record.task, record.sample)
    # encodeURIComponent leaves these as they are, `quote` does not.
    return "/".join(quote(visible(part), safe="!'()*") for part in parts)


def texts_of(records: list[Record]) -> str:
    """What a search for a sample is answered from: all its texts but the judges' prompts."""
    first = records[0]
    found = [first.benchmark, first.task, first.sample, first.category or ""]
    for r in records:
        found += [m.content for m in r.outcome.conversation]
        found += [*r.outcome.answers, *r.outcome.reference, r.outcome.error or ""]
        for judgment in r.outcome.judgments:
            found += [exchange.reply for exchange in judgment.exchanges]
            found.append(judgment.error or "")
    return "\x01".join(" ".join(visible(text).lower().split()) for text in found)


@cache
def judged_run() -> Run:
    """Three models, all kinds of samples, odd ids; one model lacks some samples."""
    plan = Plan(models=("new", "old", "older"), samples=(40, 24, 30))
    run = build_run(plan)
    places = count()
    kept = tuple(
        replace(r, sample=f"{r.sample}/ü") if r.task == "sums" else r
        for r in run.records
        if r.model != "older" or r.task != "opposites" or next(places) % 3
    )
    roles = {m: "baseline" if i else "candidate" for i, m in enumerate(plan.models)}
    compared = comparisons(kept, ENTRIES, roles, 0.95)
    return replace(run, records=kept, comparisons=tuple(compared))
