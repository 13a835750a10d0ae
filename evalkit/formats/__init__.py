"""Foreign tools, one file a tool: it reads the tool's results, writes runs for the tool, or both.

A reader is `read(files, options) -> list[Evidence]`; a writer is a class with its spec, both in
`__all__` (see `core.protocols.Exporter`).  What readers share is in `_reading.py`, what writers
share (which runs and models, what may be published) in `_writing.py`.

    alpaca_eval      annotations and outputs; the leaderboards that the package ships
    mt_bench         FastChat's judgments and answers
    lm_eval          results and samples of lm-eval, in and out
    ifeval           verdicts of IFEval's own script
    inspect          logs of Inspect, in and out
    published        figures that others published, as suites and leaderboards state them
    model_index      what runs publish of a model, and its entries of a card's `model-index`
    hub              `.eval_results` of a model repository
    every_eval_ever  the datastore's records, in and out
    argilla          judged pairs for people to review
    votes            what people chose between answers of a run
    tabular          csv, json and parquet
"""

from __future__ import annotations

from evalkit.formats._reading import (
    Answers,
    cross_findings,
    few,
    kind_of,
    last_part,
    read_answers,
    reader,
    require_name,
)
from evalkit.formats._writing import export, settings, write
from evalkit.formats.votes import read_votes

__all__ = [
    "Answers",
    "cross_findings",
    "export",
    "few",
    "kind_of",
    "last_part",
    "read_answers",
    "read_votes",
    "reader",
    "require_name",
    "settings",
    "write",
]
