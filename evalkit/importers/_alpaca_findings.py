"""What can be wrong with AlpacaEval annotations, said with counts and what it does to the figures.

A false alarm is worse than a miss: a check that needs public data is silent without it, and texts
are compared without white space at their ends, which alpaca_eval strips before judging.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evalkit import data
from evalkit.benchmarks import alpaca_eval as rules
from evalkit.core import Finding, Json
from evalkit.importers._common import few, named_rows, remark

__all__ = ["VERSIONS", "Checked", "inspect"]

Row = Mapping[str, Json]
EXPECTED = 805
VERSIONS = {"text_davinci_003": 1, "gpt4_1106_preview": 2, "gpt4_turbo": 2}
"""AlpacaEval's version by the name of its reference model."""
_MOSTLY = 0.5
_CONTROL = re.compile(r"<\|im_(?:start|end)\|>")


@dataclass(frozen=True)
class Checked:
    """One model's rows and what they are held against."""

    model: str
    rows: tuple[Row, ...]
    outputs: data.Dataset | None
    order: Mapping[str, int]
    """Canonical position by instruction; empty where the list is not at hand."""
    reference: Mapping[str, str]
    """Published reference by instruction; empty where it is not at hand."""
    annotations: data.Dataset


def inspect(known: Checked) -> list[Finding]:
    """Everything that is wrong with one model's annotations."""
    checks = (_count, _repeats, _failed, _reference, _generators, _outputs, _prompts, _annotators)
    return [finding for check in checks for finding in check(known)]


def _count(known: Checked) -> Iterator[Finding]:
    distinct = {row["instruction"] for row in known.rows}
    foreign = [text for text in distinct if text not in known.order] if known.order else []
    if foreign and len(foreign) == len(distinct):
        yield remark(
            "other_instructions",
            f"none of the {len(distinct)} instructions is one of AlpacaEval's 805: these are "
            f"judgments of another set, and no AlpacaEval figures",
        )
    elif len(distinct) != EXPECTED:
        yield Finding(
            "count",
            f"{len(distinct)} instructions were judged, AlpacaEval has {EXPECTED}: the win rate is "
            f"not comparable with published ones",
        )
    elif foreign:
        yield Finding(
            "foreign_instructions",
            f"{named_rows(len(foreign))} with instructions that are not AlpacaEval's, for example "
            f"{foreign[0][:80]!r}",
        )


def _repeats(known: Checked) -> Iterator[Finding]:
    counts = Counter(row["instruction"] for row in known.rows)
    repeated = [text for text, n in counts.items() if n > 1]
    if repeated:
        extra = sum(counts[text] - 1 for text in repeated)
        yield Finding(
            "repeated_rows",
            f"{named_rows(extra)} repeat an instruction ({len(repeated)} of them, for example "
            f"{repeated[0][:80]!r}); the first row of each counts here, where a mean over all rows "
            f"counts them more than once",
        )


def _failed(known: Checked) -> Iterator[Finding]:
    values = [rules.preference(row.get("preference")) for row in known.rows]
    failed = sum(value is None for value in values)
    odd = [
        row.get("preference")
        for row, value in zip(known.rows, values, strict=True)
        if value is None and row.get("preference") is not None
    ]
    if odd:
        yield Finding(
            "impossible_preference",
            f"{named_rows(len(odd))} with a preference that is neither null, 0 nor from 1 to 2: "
            f"{few(odd)}; they are counted as not judged",
        )
    if known.rows and failed / len(known.rows) > _MOSTLY:
        yield Finding(
            "mostly_unparsable",
            f"{failed} of {len(known.rows)} judgments failed: the judge's run is broken, and the "
            f"win rate is that of the {len(known.rows) - failed} that are left",
        )


def _reference(known: Checked) -> Iterator[Finding]:
    shared = [row for row in known.rows if row["instruction"] in known.reference]
    if not shared:
        return
    other = [
        row
        for row in shared
        if known.reference[row["instruction"]].strip() != row["output_1"].strip()
    ]
    if not other:
        return
    names = ", ".join(sorted({str(row.get("generator_1")) for row in other}))
    yield Finding(
        "other_reference",
        f"{len(other)} of {len(shared)} answers were judged against a text that is not the "
        f"published reference ({names}), for example that of "
        f"{other[0]['instruction'][:60]!r}: these win rates do not compare with the leaderboard's",
        damaged=len(other) > 0.05 * len(shared),
    )


def _generators(known: Checked) -> Iterator[Finding]:
    names = sorted({str(row.get("generator_1")) for row in known.rows})
    if len(names) > 1:
        yield Finding(
            "several_references",
            f"answers were judged against several reference models: {', '.join(names)}",
        )
    elif names and names[0] not in VERSIONS:
        yield remark(
            "own_reference",
            f"answers were judged against {names[0]!r}, which is no reference of AlpacaEval's "
            f"({', '.join(sorted(VERSIONS))}): the win rate is not comparable with published ones",
        )


def _outputs(known: Checked) -> Iterator[Finding]:
    if known.outputs is None:
        yield remark(
            "no_outputs",
            "the file of the model's outputs was not given, so the average length is undefined "
            "(--outputs FILE)",
        )
        return
    texts = {row["instruction"]: str(row.get("output", "")) for row in known.outputs.records}
    judged = [row for row in known.rows if row["instruction"] in texts]
    other = [r for r in judged if texts[r["instruction"]].strip() != r["output_2"].strip()]
    if other:
        yield Finding(
            "other_answers",
            f"{len(other)} of {len(judged)} judged answers are not those of the outputs file "
            f"{known.outputs.path.name}, for example that to {other[0]['instruction'][:60]!r}: "
            f"judgments and outputs are not of the same model or run",
            damaged=len(other) > 0.01 * max(len(judged), 1),
        )
    unanswered = len({row["instruction"] for row in known.rows} - set(texts))
    if unanswered:
        yield Finding(
            "answers_missing",
            f"the outputs file lacks {unanswered} of the judged instructions: the average length "
            f"leaves them out",
        )


def _prompts(known: Checked) -> Iterator[Finding]:
    marked = [r for r in known.rows if _CONTROL.search(str(r["output_2"]) + str(r["output_1"]))]
    if marked:
        yield remark(
            "control_tokens",
            f"{named_rows(len(marked))} hold chat control tokens (<|im_end|>), at which "
            f"alpaca_eval cuts the judge's prompt: the judge may not have seen these answers whole",
        )


def _annotators(known: Checked) -> Iterator[Finding]:
    names = sorted({str(row.get("annotator")) for row in known.rows})
    if len(names) > 1:
        yield Finding("several_judges", f"judged by several evaluators: {', '.join(names)}")
