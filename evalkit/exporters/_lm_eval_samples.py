"""Records as the rows of lm-eval's `samples_*.jsonl`: one per document and filter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from evalkit.core import Json, Message, Outcome, Record
from evalkit.exporters._about import text

__all__ = ["sample_rows"]


def sample_rows(records: Sequence[Record]) -> Iterator[dict[str, Json]]:
    """Rows of one task's records, every filter's in turn, as lm-eval orders them."""
    by_filter = [_by_filter(record.outcome) for record in records]
    filters = list(dict.fromkeys(name for found in by_filter for name in found)) or ["none"]
    for chosen in filters:
        for place, (record, found) in enumerate(zip(records, by_filter, strict=True)):
            if chosen in found or (not found and chosen == filters[0]):
                yield _row(record, place, chosen, found.get(chosen, {}))


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


def _row(record: Record, place: int, chosen: str, values: Mapping[str, Json]) -> dict[str, Json]:
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
    """What was asked: raw prompts as they are, a chat as lm-eval writes one, a JSON list."""
    talk = outcome.conversation
    asked = talk[:-1] if talk and talk[-1].role == "assistant" else talk
    if all(message.role == "user" for message in asked):
        return [message.content for message in asked]
    return [json.dumps([_message(m) for m in asked], ensure_ascii=False)]


def _message(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _hash(value: str) -> str:
    return hashlib.sha256(str(text(value)).encode()).hexdigest()
