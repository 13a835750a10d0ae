"""Rows of lm-eval's `samples_*.jsonl` to records, and back.

A record is a document with the scores of all its filters; lm-eval has a row per document and
filter.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalkit.benchmarks._lm_eval_scores import jsonable, number, passage_cluster, percent
from evalkit.core.figures import Finding
from evalkit.core.requests import Json, Message
from evalkit.core.samples import Outcome, Record, Score
from evalkit.formats._lm_eval_files import SampleFile, scores_of
from evalkit.formats._reading import Row, few, named_rows
from evalkit.formats._writing import text

__all__ = ["Sampled", "sample_rows", "sampled"]

_CORPUS = frozenset({"perplexity"})
"""Metrics whose samples are single numbers and whose figure is not their mean (lm-eval writes a
document's log-likelihood): the figure is the result file's."""


@dataclass(frozen=True)
class Sampled:
    """One task's records."""

    records: tuple[Record, ...]
    means: Mapping[str, float | None]
    """Mean of each per-sample metric, in lm-eval's own scale; None: no document has it."""
    findings: tuple[Finding, ...]


def sampled(file: SampleFile, model: str, entry: str) -> Sampled:
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
        _record(model, entry, file.task, document, list(rows.values()))
        for document, rows in sorted(by_doc.items())
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
    return Sampled(records, _means(records), tuple(findings))


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
            f"{'undefined' if value is None else repr(value)[:40]} of document {document}; "
            f"{'it is' if len(found) == 1 else 'they are'} left out and counted as missing",
            # NaN, an infinity and null are read as None: undefined, and no fault of the file.
            damaged=any(value is not None for _, _, value in found),
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


def _record(model: str, entry: str, task: str, document: int, rows: list[Row]) -> Record:
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


# --- back ---------------------------------------------------------------------------------------


def sample_rows(records: Sequence[Record]) -> Iterator[dict[str, Json]]:
    """Rows of one task's records, every filter's in turn, as lm-eval orders them."""
    by_filter = [_by_filter(record.outcome) for record in records]
    filters = list(dict.fromkeys(name for found in by_filter for name in found)) or ["none"]
    for chosen in filters:
        for place, (record, found) in enumerate(zip(records, by_filter, strict=True)):
            if chosen in found or (not found and chosen == filters[0]):
                yield _written(record, place, chosen, found.get(chosen, {}))


def _by_filter(outcome: Outcome) -> dict[str, dict[str, Json]]:
    """Values by filter and metric; an excluded document has none."""
    found: dict[str, dict[str, Json]] = {}
    if outcome.status == "excluded":
        return found
    values: dict[str, Json] = {score.metric: score.value for score in outcome.scores}
    for name, value in {**values, **outcome.data}.items():
        metric, _, chosen = name.partition(",")
        found.setdefault(chosen or "none", {})[metric] = value
    return found


def _written(
    record: Record, place: int, chosen: str, values: Mapping[str, Json]
) -> dict[str, Json]:
    outcome = record.outcome
    arguments = _arguments(outcome)
    reference = outcome.reference
    target = reference[0] if len(reference) == 1 else str(list(reference))
    return {
        "doc_id": int(record.sample) if record.sample.isdecimal() else place,
        "doc": {},
        "target": target,
        "arguments": {f"gen_args_{i}": {"arg_0": argument} for i, argument in enumerate(arguments)},
        "resps": [[answer] for answer in outcome.answers],
        "filtered_resps": list(outcome.answers),
        "filter": chosen,
        "metrics": list(values),
        "prompt_hash": _hash(arguments[0] if arguments else ""),
        "target_hash": _hash(target),
        **values,
    }


def _arguments(outcome: Outcome) -> list[str]:
    """What was sent: raw prompts as they are, a chat as lm-eval writes one, a JSON list."""
    talk = outcome.conversation
    sent = talk[:-1] if talk and talk[-1].role == "assistant" else talk
    if all(message.role == "user" for message in sent):
        return [message.content for message in sent]
    chat = [{"role": message.role, "content": message.content} for message in sent]
    return [json.dumps(chat, ensure_ascii=False)]


def _hash(value: str) -> str:
    return hashlib.sha256(str(text(value)).encode()).hexdigest()
