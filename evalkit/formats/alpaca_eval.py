"""alpaca_eval's annotations (and outputs) as evidence, and what can be wrong with them.

Source: https://github.com/tatsu-lab/alpaca_eval, `annotations.json` and `model_outputs.json`, as
its `evaluate` writes them.  One raw row of each (texts shortened):

    {"instruction": "What are ...", "output_1": "Some ...", "generator_1": "text_davinci_003",
     "dataset": "helpful_base", "output_2": "1. Hugh ...", "generator_2": "notus-7b-v1",
     "annotator": "alpaca_eval_gpt4", "preference": 2.0, "raw_completion": {...}}
    {"instruction": "What are ...", "output": "1. Hugh ...", "generator": "notus-7b-v1"}

`output_1` is the reference, `output_2` the model's answer; `preference` is 1 where the reference
was better, 2 where the answer was, between them where the judge was weighted, 1.5 (0 in old
files) for a draw and null where the judgment failed.  From 0.6.5 on, the judge's reply is called
`preference_raw_completion`.

Departures from upstream's leaderboard:
- A failed judgment leaves the win rate, as upstream, and is counted as missing.
- An instruction without a row becomes a record that is excluded, and counted as missing.
- The average length is taken from the outputs file, as upstream; without one it is undefined.
- Repeated rows of an instruction: the first one counts, and the finding says so.

A false alarm is worse than a miss: a check that needs public data is silent without it, and texts
are compared without white space at their ends, which alpaca_eval strips before judging.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit import catalogue, data
from evalkit.benchmarks import alpaca_eval as rules
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Finding
from evalkit.core.protocols import DataPlaces
from evalkit.core.requests import Message
from evalkit.core.run import Description
from evalkit.core.samples import Exchange, Judgment, Outcome, Record, Score
from evalkit.errors import DataError
from evalkit.formats import published
from evalkit.formats._reading import (
    EDITIONS,
    Row,
    few,
    named_rows,
    no_files,
    not_read,
    pairs_of,
    pick_models,
    remark,
    sorted_out,
)

__all__ = ["read"]

KIND = "alpaca_eval"
RULES = 1
_FIELDS = {"instruction": str, "output_1": str, "output_2": str}
_OUTPUT = frozenset({"instruction", "output"})
_INSTRUCTIONS = "alpaca_eval/instructions"
_MOSTLY = 0.5
_CONTROL = re.compile(r"<\|im_(?:start|end)\|>")


@dataclass
class _Public:
    """What the public data says, as far as it is here."""

    order: Mapping[str, int] = field(default_factory=dict)
    """Canonical position by instruction."""
    categories: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Source:
    """One model's rows of one file, and what they are checked against."""

    model: str
    """Name to give it."""
    stored: str
    """Name in the file."""
    rows: tuple[Row, ...]
    annotations: data.Dataset
    outputs: data.Dataset | None
    public: _Public

    @property
    def generators(self) -> list[str]:
        """The reference models."""
        return sorted({str(row.get("generator_1", "")) for row in self.rows})

    @property
    def edition(self) -> str | None:
        """AlpacaEval's version; None: another reference than its own."""
        return next((EDITIONS[name] for name in self.generators if name in EDITIONS), None)


def read(files: Sequence[Path], options: ImportOptions) -> list[Evidence]:
    """Evidence of each model in `files`.

    Args:
        files: annotation files; one may hold several models.
        options: `models` renames the models of the files in order, or picks among those of one
            file; `companion` holds output files, matched by their generator, else by order.

    Raises:
        DataError: a file is not what alpaca_eval writes, or names do not fit.
    """
    found: list[tuple[data.Dataset, str, tuple[Row, ...]]] = []
    kinds, others = sorted_out(files, {"annotations": frozenset(_FIELDS), "outputs": _OUTPUT})
    if not kinds["annotations"]:
        raise no_files(files, [*kinds["outputs"], *others], "annotations of alpaca_eval")
    for path in kinds["annotations"]:
        dataset = data.read_jsonl(path)
        data.require(dataset, _FIELDS)
        by_model: dict[str, list[Row]] = {}
        for row in dataset.records:
            name = row.get("generator_2")
            by_model.setdefault(name if isinstance(name, str) else "", []).append(row)
        found += [(dataset, name, tuple(rows)) for name, rows in by_model.items()]
    named = pick_models([name for _, name, _ in found], options.models)
    names = [found[i][1] for i, _ in named]
    matched = pairs_of(names, options.companion, kinds["outputs"], "generator")
    left = (not_read(others, "neither annotations nor outputs of alpaca_eval"),) if others else ()
    public = _Public()
    if not data.missing([_INSTRUCTIONS], DataPlaces(options.places.mirrors)):
        rows = data.records(_INSTRUCTIONS, options.places).records
        public.order = {row["instruction"]: index for index, row in enumerate(rows)}
        public.categories = {row["instruction"]: str(row.get("dataset", "")) for row in rows}
    return [
        _evidence(_Source(name, *found[i][1:], found[i][0], companion, public), options, left)
        for (i, name), companion in zip(named, matched, strict=True)
    ]


def _evidence(source: _Source, options: ImportOptions, left: Sequence[Finding]) -> Evidence:
    entry, order = options.entry or KIND, source.public.order
    rows: dict[str, Row] = {}
    for row in source.rows:
        rows.setdefault(row["instruction"], row)
    outputs = None if source.outputs is None else _texts(source.outputs)
    unknown = [text for text in rows if text not in order]
    is_canonical = bool(order) and len(unknown) < len(rows)
    findings = [*left, *(finding for check in _CHECKS for finding in check(source))]
    findings += _other_reference(source, options.places)
    if not is_canonical:
        findings.append(
            remark(
                "no_canonical_order",
                "AlpacaEval's list of instructions is not here or does not fit, so samples are "
                "named by their text, missing ones cannot be counted, and length-controlled "
                "figures are undefined",
            )
        )
    records = []
    for text in [*order, *unknown] if is_canonical else rows:
        given = rows.get(text)
        own = given.get("dataset") if given is not None else None
        category = str(own or source.public.categories.get(text) or "") or None
        if is_canonical and text in order:
            sample = rules.sample_id(order[text])
        else:
            sample = "t" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        outcome = _unjudged(text, outputs) if given is None else _outcome(given, text, outputs)
        cluster = f"{rules.TASK}:{sample}"
        records.append(Record(source.model, entry, rules.TASK, sample, category, cluster, outcome))
    return Evidence(
        model=source.model,
        entry=entry,
        kind=KIND,
        description=_description(source),
        metrics={rules.TASK: rules.METRICS},
        records=tuple(records),
        findings=tuple(findings),
    )


def _texts(dataset: data.Dataset) -> Mapping[str, str]:
    """The model's outputs by instruction."""
    data.require(dataset, {"instruction": str, "output": str})
    found: dict[str, str] = {}
    for place, row in zip(dataset.places, dataset.records, strict=True):
        if found.setdefault(row["instruction"], row["output"]) != row["output"]:
            raise DataError(
                f"{place}: a second, different output for {row['instruction'][:60]!r}; keep the "
                f"one that was judged"
            )
    return found


def _unjudged(instruction: str, outputs: Mapping[str, str] | None) -> Outcome:
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
    raw = row.get("raw_completion", row.get("preference_raw_completion"))
    reply = raw if isinstance(raw, str) else json.dumps(raw, sort_keys=True)
    # The length is the outputs file's, and there is none without that file.
    scores = [s for s in rules.scores(answer, preferred) if s.metric != "avg_length"]
    if outputs is not None and instruction in outputs:
        scores.append(Score("avg_length", float(len(outputs[instruction]))))
    judgment = Judgment(
        judge=str(row.get("annotator") or "unknown"),
        protocol="recorded",
        status="ok" if preferred is not None else "unparsable",
        value=preferred,
        exchanges=() if raw is None else (Exchange((), reply),),
        error=None if preferred is not None else "no preference in the evidence",
    )
    return Outcome(
        judgment.status,
        (Message("user", instruction), Message("assistant", answer)),
        answers=(answer,),
        reference=(row["output_1"],),
        scores=tuple(scores),
        judgments=(judgment,),
        error=judgment.error,
    )


def _description(source: _Source) -> Description:
    annotators = sorted({str(row.get("annotator") or "unknown") for row in source.rows})
    files = [f for f in (source.annotations, source.outputs) if f is not None]
    return Description(
        type=KIND,
        version=f"{source.edition or 'unknown'}.{RULES}",
        data={"records": len(source.rows)},
        reference=", ".join(source.generators),
        judge={"protocol": "recorded", "evaluator": ", ".join(annotators)},
        model_in_file=source.stored,
        files=tuple({"file": f.path.name, "sha256": f.sha256} for f in files),
    )


# --- what can be wrong --------------------------------------------------------------------------


def _count(source: _Source) -> Iterator[Finding]:
    expected, order = catalogue.BENCHMARKS[KIND].samples, source.public.order
    distinct = {row["instruction"] for row in source.rows}
    foreign = [text for text in distinct if text not in order] if order else []
    if foreign and len(foreign) == len(distinct):
        yield remark(
            "other_instructions",
            f"none of the {len(distinct)} instructions is one of AlpacaEval's {expected}: these "
            f"are judgments of another set, and no AlpacaEval figures",
        )
    elif len(distinct) != expected:
        same = _published_row(source)
        yield Finding(
            "count",
            f"{len(distinct)} instructions were judged, AlpacaEval has {expected}: "
            + (
                f"the win rate is that of the published row {same!r}, as it stands"
                if same
                else "the win rate is not comparable with published ones"
            ),
            damaged=not same,
        )
        if order:
            yield remark(
                "length_control_by_position",
                f"a length-controlled win rate published of these {len(distinct)} rows takes the "
                f"difficulty of an instruction from its row number, so that each row behind a gap "
                f"got another instruction's; the one computed here goes by the instruction",
            )
    elif foreign:
        yield Finding(
            "foreign_instructions",
            f"{named_rows(len(foreign))} with instructions that are not AlpacaEval's, for example "
            f"{foreign[0][:80]!r}",
        )


def _published_row(source: _Source) -> str | None:
    """The row of alpaca-eval's own leaderboard with this name, win rate and n; None: there is none.

    The win rate is 100 times the mean preference - 1 over all rows that have one.
    """
    if source.edition is None:
        return None
    known = {f.key.metric: f.value for f in published.row_of(source.edition, source.stored)}
    values = [rules.preference(row.get("preference")) for row in source.rows]
    judged = [value for value in values if value is not None]
    stated = known.get("win_rate")
    if stated is None or stated.point is None or not judged or stated.n != len(judged):
        return None
    rate = 100 * math.fsum(judged) / len(judged)
    return source.stored if math.isclose(rate, stated.point, abs_tol=1e-6) else None


def _repeats(source: _Source) -> Iterator[Finding]:
    counts = Counter(row["instruction"] for row in source.rows)
    repeated = [text for text, n in counts.items() if n > 1]
    if repeated:
        extra = sum(counts[text] - 1 for text in repeated)
        yield Finding(
            "repeated_rows",
            f"{named_rows(extra)} repeat an instruction ({len(repeated)} of them, for example "
            f"{repeated[0][:80]!r}); the first row of each counts here, where a mean over all rows "
            f"counts them more than once",
        )


def _failed(source: _Source) -> Iterator[Finding]:
    given = [row.get("preference") for row in source.rows]
    failed = [value for value in given if rules.preference(value) is None]
    odd = [value for value in failed if value is not None]
    if odd:
        yield Finding(
            "impossible_preference",
            f"{named_rows(len(odd))} with a preference that is neither null, 0 nor from 1 to 2: "
            f"{few(odd)}; they are counted as not judged",
        )
    if given and len(failed) / len(given) > _MOSTLY:
        yield Finding(
            "mostly_unparsable",
            f"{len(failed)} of {len(given)} judgments failed: the judge's run is broken, and the "
            f"win rate is that of the {len(given) - len(failed)} that are left",
        )


def _other_reference(source: _Source, places: DataPlaces) -> Iterator[Finding]:
    if source.edition is None:
        return
    named = f"{KIND}/{catalogue.BENCHMARKS[KIND].editions[source.edition].reference}"
    if data.missing([named], DataPlaces(places.mirrors)):
        return
    published = {r["instruction"]: r["output"].strip() for r in data.records(named, places).records}
    shared = [row for row in source.rows if row["instruction"] in published]
    other = [row for row in shared if published[row["instruction"]] != row["output_1"].strip()]
    if other:
        names = ", ".join(sorted({str(row.get("generator_1")) for row in other}))
        yield Finding(
            "other_reference",
            f"{len(other)} of {len(shared)} answers were judged against a text that is not the "
            f"published reference ({names}), for example that of "
            f"{other[0]['instruction'][:60]!r}: these win rates are not comparable with the "
            f"leaderboard's",
            damaged=len(other) > 0.05 * len(shared),
        )


def _generators(source: _Source) -> Iterator[Finding]:
    names = sorted({str(row.get("generator_1")) for row in source.rows})
    if len(names) > 1:
        yield Finding(
            "several_references",
            f"answers were judged against several reference models: {', '.join(names)}",
        )
    elif names and names[0] not in EDITIONS:
        yield remark(
            "own_reference",
            f"answers were judged against {names[0]!r}, which is no reference of AlpacaEval's "
            f"({', '.join(sorted(EDITIONS))}): the win rate is not comparable with published ones",
        )


def _other_answers(source: _Source) -> Iterator[Finding]:
    if source.outputs is None:
        yield remark(
            "no_outputs",
            "the file of the model's outputs was not given, so the average length is undefined "
            "(--outputs FILE)",
        )
        return
    texts = {row["instruction"]: str(row.get("output", "")) for row in source.outputs.records}
    judged = [row for row in source.rows if row["instruction"] in texts]
    other = [r for r in judged if texts[r["instruction"]].strip() != r["output_2"].strip()]
    if other:
        yield Finding(
            "other_answers",
            f"{len(other)} of {len(judged)} judged answers are not those of the outputs file "
            f"{source.outputs.path.name}, for example that to {other[0]['instruction'][:60]!r}: "
            f"judgments and outputs are not of the same model or run",
            damaged=len(other) > 0.01 * max(len(judged), 1),
        )
    unanswered = len({row["instruction"] for row in source.rows} - set(texts))
    if unanswered:
        yield Finding(
            "answers_missing",
            f"the outputs file lacks {unanswered} of the judged instructions: the average length "
            f"leaves them out",
        )


def _control_tokens(source: _Source) -> Iterator[Finding]:
    marked = [r for r in source.rows if _CONTROL.search(str(r["output_2"]) + str(r["output_1"]))]
    if marked:
        yield remark(
            "control_tokens",
            f"{named_rows(len(marked))} hold chat control tokens (<|im_end|>), at which "
            f"alpaca_eval cuts the judge's prompt: the judge may not have seen these answers whole",
        )


def _annotators(source: _Source) -> Iterator[Finding]:
    names = sorted({str(row.get("annotator")) for row in source.rows})
    if len(names) > 1:
        yield Finding("several_judges", f"judged by several evaluators: {', '.join(names)}")


_CHECKS = (_count, _repeats, _failed, _generators, _other_answers, _control_tokens, _annotators)
