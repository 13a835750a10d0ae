"""Rows of lm-eval's samples to records: one a document, with the scores of all its filters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalkit.benchmarks._lm_eval_scores import jsonable, number, passage_cluster, percent
from evalkit.core import Finding, Json, Message, Outcome, Record, Score
from evalkit.importers._common import few, named_rows
from evalkit.importers._lm_eval_files import SampleFile, scores_of

__all__ = ["Measured", "measured"]

Row = Mapping[str, Json]

_CORPUS = frozenset({"perplexity"})
"""Metrics whose samples are single numbers and whose figure is not their mean (lm-eval writes a
document's log-likelihood): the figure is the result file's."""


@dataclass(frozen=True)
class Measured:
    """One task's records."""

    records: tuple[Record, ...]
    means: Mapping[str, float | None]
    """Mean of each per-sample metric, in lm-eval's own scale; None: no document has it."""
    findings: tuple[Finding, ...]


def measured(file: SampleFile, model: str, entry: str) -> Measured:
    """Records in order of documents; a document's first row of each filter counts."""
    by_doc: dict[int, dict[str, Row]] = {}
    repeated = []
    for row in file.rows:
        chosen = str(row.get("filter") or "none")
        rows = by_doc.setdefault(row["doc_id"], {})
        if chosen in rows:
            repeated.append(row["doc_id"])
        rows.setdefault(chosen, row)
    records = tuple(
        _record((model, entry, file.task), number_, list(rows.values()))
        for number_, rows in sorted(by_doc.items())
    )
    findings = []
    if repeated:
        findings.append(
            Finding(
                "repeated_rows",
                f"{file.path.name}: {named_rows(len(repeated))} repeat a document "
                f"({few(repeated)}); the first of each counts",
            )
        )
    findings += [*_broken(file, records), *_beyond(file, records)]
    return Measured(records, _means(records), tuple(findings))


def _broken(file: SampleFile, records: tuple[Record, ...]) -> Iterator[Finding]:
    """Values that are no numbers; lists are how lm-eval writes metrics of a whole corpus."""
    found = [
        (record.sample, metric, value)
        for record in records
        for metric, value in record.outcome.data.items()
        if _is_broken(metric, value)
    ]
    if found:
        document, metric, value = found[0]
        yield Finding(
            "not_a_number",
            f"{file.path.name}: {_values(found)} no number, for example {metric} "
            f"{value!r:.40} of document {document}; they are left out and counted as missing",
        )


def _beyond(file: SampleFile, records: tuple[Record, ...]) -> Iterator[Finding]:
    found = [
        (record.sample, score)
        for record in records
        for score in record.outcome.scores
        if percent(score.metric) and not 0 <= score.value <= 1
    ]
    if found:
        document, score = found[0]
        yield Finding(
            "impossible_value",
            f"{file.path.name}: {_values(found)} not from 0 to 1, for example "
            f"{score.metric} {score.value:g} of document {document}; they are used as they stand",
        )


def _values(found: Sequence[object]) -> str:
    return "1 value is" if len(found) == 1 else f"{len(found)} values are"


def _record(place: tuple[str, str, str], document: int, rows: list[Row]) -> Record:
    model, entry, task = place
    scores: list[Score] = []
    values: dict[str, Json] = {}
    for row in rows:
        for metric, value in scores_of(row):
            plain = number(value)
            if plain is not None and not _is_corpus(metric):
                scores.append(Score(metric, plain))
            else:
                values[metric] = jsonable(value)
    error = _error(scores, values)
    outcome = Outcome(
        "ok" if error is None else "unparsable",
        _prompt(rows[0]),
        answers=_answers(rows[0]),
        reference=(str(rows[0].get("target", "")),),
        scores=tuple(scores),
        error=error,
        data=values,
    )
    cluster = passage_cluster(task, rows[0].get("doc")) or f"{task}:{document}"
    return Record(model, entry, task, str(document), None, cluster, outcome)


def _error(scores: list[Score], values: Mapping[str, Json]) -> str | None:
    if not scores and not values:
        return "the row has no metric"
    broken = [metric for metric, value in values.items() if _is_broken(metric, value)]
    return f"no number for {few(broken)} in the evidence" if broken else None


def _is_corpus(metric: str) -> bool:
    return metric.partition(",")[0] in _CORPUS


def _is_broken(metric: str, value: Json) -> bool:
    """Neither a number nor what lm-eval writes for metrics of a whole corpus."""
    if isinstance(value, list | Mapping):
        return False
    return not (_is_corpus(metric) and number(value) is not None)


def _prompt(row: Row) -> tuple[Message, ...]:
    """The first request's context: of a list, or (0.4.2 on) under `gen_args_0`, `arg_0`."""
    arguments = row.get("arguments")
    if isinstance(arguments, Mapping):
        first = arguments.get("gen_args_0")
        text = first.get("arg_0") if isinstance(first, Mapping) else None
    else:
        first = arguments[0] if isinstance(arguments, list) and arguments else None
        text = first[0] if isinstance(first, list) and first else None
    return (Message("user", text),) if isinstance(text, str) else ()


def _answers(row: Row) -> tuple[str, ...]:
    replies = row.get("resps")
    if not isinstance(replies, list):
        return ()
    flat = [one for reply in replies for one in (reply if isinstance(reply, list) else [reply])]
    return tuple(one if isinstance(one, str) else str(one) for one in flat)


def _means(records: tuple[Record, ...]) -> dict[str, float | None]:
    values: dict[str, list[float]] = {}
    for record in records:
        for score in record.outcome.scores:
            values.setdefault(score.metric, []).append(score.value)
    return {name: math.fsum(found) / len(found) for name, found in values.items()}
