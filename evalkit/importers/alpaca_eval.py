"""alpaca_eval's annotations (and outputs) as evidence.

Source: https://github.com/tatsu-lab/alpaca_eval, `annotations.json` and `model_outputs.json`, as
its `evaluate` writes them.  One raw row of each (texts shortened):

    {"instruction": "What are ...", "output_1": "Some ...", "generator_1": "text_davinci_003",
     "dataset": "helpful_base", "output_2": "1. Hugh ...", "generator_2": "notus-7b-v1",
     "annotator": "alpaca_eval_gpt4", "preference": 2.0, "raw_completion": {...}}
    {"instruction": "What are ...", "output": "1. Hugh ...", "generator": "notus-7b-v1"}

`output_1` is the reference, `output_2` the model's answer; `preference` is 1 where the reference
was better, 2 where the answer was, between them where the judge was weighted, 1.5 (0 in old
files) for a draw and null where the judgment failed.

Departures from upstream's leaderboard:
- A failed judgment leaves the win rate, as upstream, and is counted as missing.
- An instruction without a row becomes a record that is excluded, and counted as missing.
- The average length is taken from the outputs file, as upstream; without one it is undefined.
- Repeated rows of an instruction: the first one counts, and the finding says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit import data
from evalkit.benchmarks import alpaca_eval as rules
from evalkit.core import Exchange, Finding, Json, Judgment, Message, Outcome, Record, Score
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.protocols import DataPlaces
from evalkit.core.run import Description
from evalkit.errors import DataError
from evalkit.importers._alpaca_findings import VERSIONS, Checked, inspect
from evalkit.importers._common import pairs_of, pick_models

__all__ = ["read"]

Row = Mapping[str, Json]
KIND = "alpaca_eval"
RULES = 1
FIELDS = {"instruction": str, "output_1": str, "output_2": str}
REFERENCES = {1: "alpaca_eval/reference_text_davinci_003", 2: "alpaca_eval/reference_gpt4_turbo"}
INSTRUCTIONS = "alpaca_eval/instructions"


@dataclass(frozen=True)
class _Source:
    """One model's rows of one file."""

    model: str
    """Name to give it."""
    stored: str
    """Name in the file."""
    rows: tuple[Row, ...]
    annotations: data.Dataset
    outputs: data.Dataset | None


@dataclass
class _Canonical:
    """What the public data says, as far as it is at hand."""

    order: Mapping[str, int] = field(default_factory=dict)
    """Position by instruction."""
    categories: Mapping[str, str] = field(default_factory=dict)


def read(files: Sequence[Path], options: ImportOptions) -> list[Evidence]:
    """Evidence of each model in `files`.

    Args:
        files: annotation files; one may hold several models.
        options: `models` renames the models of the files in order, or picks among those of one
            file; `companion` holds output files, matched by their generator, else by order.

    Raises:
        DataError: a file is not what alpaca_eval writes, or names do not fit.
    """
    sources = _sources(files, options)
    canonical = _canonical(options.places)
    return [_evidence(source, canonical, options) for source in sources]


def _sources(files: Sequence[Path], options: ImportOptions) -> list[_Source]:
    found: list[tuple[data.Dataset, str, tuple[Row, ...]]] = []
    for path in files:
        dataset = data.read_jsonl(path)
        data.require(dataset, FIELDS)
        for name in dict.fromkeys(map(_answerer, dataset.records)):
            rows = tuple(row for row in dataset.records if _answerer(row) == name)
            found.append((dataset, name, rows))
    named = pick_models([name for _, name, _ in found], options.models)
    outputs = [data.read_jsonl(path) for path in options.companion]
    matched = pairs_of([found[i][1] for i, _ in named], outputs, "generator")
    return [
        _Source(name, found[i][1], found[i][2], found[i][0], companion)
        for (i, name), companion in zip(named, matched, strict=True)
    ]


def _answerer(row: Row) -> str:
    """The model that answered; empty where the row does not say."""
    name = row.get("generator_2")
    return name if isinstance(name, str) else ""


def _canonical(places: DataPlaces) -> _Canonical:
    """Empty where the list of instructions is not at hand: then ids come from their texts."""
    if data.missing([INSTRUCTIONS], DataPlaces(places.mirrors)):
        return _Canonical()
    rows = data.records(INSTRUCTIONS, places).records
    order = {row["instruction"]: index for index, row in enumerate(rows)}
    return _Canonical(order, {row["instruction"]: str(row.get("dataset", "")) for row in rows})


def _evidence(source: _Source, canonical: _Canonical, options: ImportOptions) -> Evidence:
    entry = options.entry or KIND
    generators = sorted({str(row.get("generator_1", "")) for row in source.rows})
    version = next((VERSIONS[name] for name in generators if name in VERSIONS), None)
    reference = _reference(version, options.places)
    known = Checked(
        source.model, source.rows, source.outputs, canonical.order, reference, source.annotations
    )
    rows: dict[str, Row] = {}
    for row in source.rows:
        rows.setdefault(row["instruction"], row)
    outputs = None if source.outputs is None else _outputs(source.outputs)
    unknown = [text for text in rows if text not in canonical.order]
    is_canonical = bool(canonical.order) and len(unknown) < len(rows)
    order = [*canonical.order, *unknown] if is_canonical else list(rows)
    records = tuple(
        _record(
            (source.model, entry, _id(text, canonical.order, is_canonical=is_canonical)),
            (text, canonical.categories.get(text)),
            rows.get(text),
            outputs,
        )
        for text in order
    )
    return Evidence(
        model=source.model,
        entry=entry,
        kind=KIND,
        description=_description(source, version, generators),
        metrics={rules.TASK: rules.METRICS},
        records=records,
        findings=(*inspect(known), *_ids_remark(is_canonical=is_canonical)),
    )


def _id(instruction: str, order: Mapping[str, int], *, is_canonical: bool) -> str:
    if is_canonical and instruction in order:
        return rules.sample_id(order[instruction])
    return "t" + hashlib.sha256(instruction.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _ids_remark(*, is_canonical: bool) -> list[Finding]:
    if is_canonical:
        return []
    message = (
        "AlpacaEval's list of instructions is not at hand or does not fit, so samples are named by "
        "their text, missing ones cannot be counted, and length-controlled figures are undefined"
    )
    return [Finding("no_canonical_order", message, damaged=False)]


def _reference(version: int | None, places: DataPlaces) -> Mapping[str, str]:
    """The published reference answer by instruction; empty where it is not at hand."""
    if version is None or data.missing([REFERENCES[version]], DataPlaces(places.mirrors)):
        return {}
    found = data.records(REFERENCES[version], places).records
    return {row["instruction"]: row["output"] for row in found}


def _outputs(dataset: data.Dataset) -> Mapping[str, str]:
    data.require(dataset, {"instruction": str, "output": str})
    found: dict[str, str] = {}
    for place, row in zip(dataset.places, dataset.records, strict=True):
        if found.setdefault(row["instruction"], row["output"]) != row["output"]:
            raise DataError(
                f"{place}: a second, different output for {row['instruction'][:60]!r}; keep the "
                f"one that was judged"
            )
    return found


def _record(
    place: tuple[str, str, str],
    item: tuple[str, str | None],
    row: Row | None,
    outputs: Mapping[str, str] | None,
) -> Record:
    model, entry, sample = place
    instruction, category = item
    if row is not None:
        category = str(row.get("dataset") or category or "") or None
    outcome = _missing(instruction, outputs) if row is None else _outcome(row, instruction, outputs)
    cluster = f"{rules.TASK}:{sample}"
    return Record(model, entry, rules.TASK, sample, category, cluster, outcome)


def _missing(instruction: str, outputs: Mapping[str, str] | None) -> Outcome:
    """An instruction that no row is about."""
    answer = (outputs or {}).get(instruction)
    said = () if answer is None else (Message("assistant", answer),)
    return Outcome(
        "excluded",
        (Message("user", instruction), *said),
        answers=() if answer is None else (answer,),
        error="the evidence has no judgment of this instruction",
    )


def _outcome(row: Row, instruction: str, outputs: Mapping[str, str] | None) -> Outcome:
    answer, preferred = row["output_2"], rules.preference(row.get("preference"))
    judgment = Judgment(
        judge=str(row.get("annotator") or "unknown"),
        protocol="recorded",
        status="ok" if preferred is not None else "unparsable",
        value=preferred,
        exchanges=_exchanges(row),
        error=None if preferred is not None else "no preference in the evidence",
    )
    return Outcome(
        judgment.status,
        (Message("user", instruction), Message("assistant", answer)),
        answers=(answer,),
        reference=(row["output_1"],),
        scores=_scores(answer, preferred, (outputs, instruction)),
        judgments=(judgment,),
        error=judgment.error,
    )


def _scores(
    answer: str, preferred: float | None, lengths: tuple[Mapping[str, str] | None, str]
) -> tuple[Score, ...]:
    """The length is the outputs file's, and there is none without that file."""
    outputs, instruction = lengths
    kept = [s for s in rules.scores(answer, preferred) if s.metric != "avg_length"]
    if outputs is not None and instruction in outputs:
        kept.append(Score("avg_length", float(len(outputs[instruction]))))
    return tuple(kept)


def _exchanges(row: Row) -> tuple[Exchange, ...]:
    raw = row.get("raw_completion")
    if raw is None:
        return ()
    return (Exchange((), raw if isinstance(raw, str) else json.dumps(raw, sort_keys=True)),)


def _description(source: _Source, version: int | None, generators: list[str]) -> Description:
    annotators = sorted({str(row.get("annotator") or "unknown") for row in source.rows})
    files = [source.annotations, *([source.outputs] if source.outputs is not None else [])]
    return Description(
        type=KIND,
        version=f"{version or 'unknown'}.{RULES}",
        data={"records": len(source.rows)},
        reference=", ".join(generators),
        judge={"protocol": "recorded", "evaluator": ", ".join(annotators)},
        model_in_file=source.stored,
        files=tuple({"file": f.path.name, "sha256": f.sha256} for f in files),
    )
