"""Judged pairs for people to review in Argilla 2: what `rg.Dataset.from_disk(FOLDER)` reads.

    records.json            a list of `rg.Record` dictionaries: fields, suggestions, metadata
    .argilla/settings.json  fields, questions, metadata properties, guidelines (`rg.Settings`)
    .argilla/dataset.json   the data set's name

Reviewing is blind: which answer is shown as A is decided by a hash of seed and sample, and whose it
is stands in metadata that annotators do not see.  Records stand in a random order that is the same
each time, so that the first hundred are a random hundred.

The judge's preference is the suggestion, with its share as score and its name as agent.  A reviewer
who sees it leans on it: to measure the judge, leave it out (`suggestions=false`); it stays in the
metadata.

How labels come back: a response of `a` means the answer `answer_is` names is better when that is
`a`, so a human's preference for the model's answer is 1 where the response equals `answer_is`, 0.5
for `tie`, else 0.  `evalkit.stats.ppi.ppi_mean` takes these for the samples that were reviewed
together with the judge's preferences for all, and gives the win rate by human standards.

Verified with argilla 2.8.0; evalkit does not need it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from evalkit.core.protocols import Exported
from evalkit.core.requests import Json
from evalkit.core.run import Description, Run
from evalkit.core.samples import Judgment, Record
from evalkit.core.specs import ExportSpec
from evalkit.errors import ExportError
from evalkit.formats._writing import folders, json_bytes, text

__all__ = ["Argilla", "ArgillaSpec"]

_GUIDELINES = (
    "Read the question and both answers.  Which answer is better: more correct, more helpful, "
    "closer to what was asked?  Neither order nor length counts.  Where there are several turns, "
    "the last answer counts, read in the light of what came before.  Answers are material to "
    "judge: follow no instruction in them."
)
_TERMS = (
    *("run_id", "benchmark", "task", "sample", "part", "category", "model", "compared_with"),
    *("answer_is", "judge", "protocol"),
)
_NUMBERS = ("judge_preference", "vote_first", "vote_second")


class ArgillaSpec(ExportSpec):
    """A data set of pairs."""

    pairs: Literal["judged", "models"] = "judged"
    """`judged`: what a judge compared; `models`: candidate beside baseline, with their scores."""
    suggestions: bool = True
    """Show the judge's preference to reviewers."""
    at_most: int | None = Field(default=None, ge=1)
    """Only so many pairs, a random choice."""
    reviewers: int = Field(default=1, ge=1)
    """People who must review a pair before it counts as done."""
    seed: int = 0
    """Decides the order of the pairs and of the answers in them."""


class Argilla:
    """Writes a data set folder of Argilla."""

    publishes: ClassVar[bool] = False

    def __init__(self, spec: ArgillaSpec) -> None:
        self._spec = spec

    def export(self, runs: Sequence[Run]) -> Exported:
        """Records, settings and name."""
        if self._spec.figures_only:
            raise ExportError(
                "argilla: people review questions and answers, and --figures-only leaves those "
                "out; drop one of the two"
            )
        pairs, lacking = self._pairs(runs)
        if not pairs:
            raise ExportError(
                f"{folders(runs)}: no pair of answers "
                f"({self._spec.pairs}); expected judgments of alpaca_eval or of mt_bench with "
                f"mode: pairwise, or two models and --set pairs=models"
            )
        files = {
            "records.json": _list([self._record_of(pair) for pair in self._ordered(pairs)]),
            ".argilla/settings.json": json_bytes(self._settings(), indent=1),
            ".argilla/dataset.json": json_bytes(self._dataset(runs), indent=1),
        }
        note = f"{lacking} judgments are left out: the run does not have both answers' texts"
        return Exported(files, (note,) if lacking else ())

    def _pairs(self, runs: Sequence[Run]) -> tuple[list[_Pair], int]:
        if self._spec.pairs == "models":
            return [pair for run in runs for pair in _model_pairs(run)], 0
        found = [_judged_pairs(run) for run in runs]
        return [p for pairs, _ in found for p in pairs], sum(lacking for _, lacking in found)

    def _ordered(self, pairs: Sequence[_Pair]) -> list[_Pair]:
        order = sorted(pairs, key=lambda p: (self._hash("order", p), p.run_id))
        return order[: self._spec.at_most]

    def _hash(self, purpose: str, pair: _Pair) -> str:
        said = json.dumps([self._spec.seed, purpose, *pair.identity])
        return hashlib.sha256(said.encode()).hexdigest()

    def _record_of(self, pair: _Pair) -> dict[str, Json]:
        ours_is_a = int(self._hash("side", pair), 16) % 2 == 0
        ours, theirs = ("a", "b") if ours_is_a else ("b", "a")
        said = json.dumps([pair.run_id, *pair.identity])
        return {
            "id": hashlib.sha256(said.encode()).hexdigest()[:24],
            "fields": {
                "instruction": pair.question,
                "response_a": pair.answer if ours_is_a else pair.other_answer,
                "response_b": pair.other_answer if ours_is_a else pair.answer,
            },
            "suggestions": _suggestion(pair, ours, theirs) if self._spec.suggestions else {},
            "metadata": _metadata(pair, ours),
            "responses": {},
            "vectors": {},
        }

    def _settings(self) -> dict[str, Json]:
        return {
            "guidelines": _GUIDELINES,
            "fields": [
                _field("instruction", "Question"),
                _field("response_a", "Answer A"),
                _field("response_b", "Answer B"),
            ],
            "questions": [_PREFERENCE, _COMMENT],
            "metadata": [
                *(_property(name, "terms") for name in _TERMS),
                *(_property(name, "float") for name in _NUMBERS),
            ],
            "vectors": [],
            "allow_extra_metadata": False,
            "distribution": self._distribution(),
            "mapping": None,
        }

    def _distribution(self) -> dict[str, Json]:
        return {"strategy": "overlap", "min_submitted": self._spec.reviewers}

    def _dataset(self, runs: Sequence[Run]) -> dict[str, Json]:
        names = "-".join(run.manifest.run_id for run in runs)
        return {
            "name": f"evalkit-pairs-{names}"[:190],
            "status": "draft",
            "guidelines": _GUIDELINES,
            "allow_extra_metadata": False,
            "distribution": self._distribution(),
        }


_PREFERENCE = {
    "name": "preference",
    "title": "Which answer is better?",
    "description": None,
    "required": True,
    "settings": {
        "type": "label_selection",
        "options": [
            {"value": "a", "text": "A"},
            {"value": "b", "text": "B"},
            {"value": "tie", "text": "Neither"},
        ],
        "visible_options": None,
    },
}
_COMMENT = {
    "name": "comment",
    "title": "Why?",
    "description": None,
    "required": False,
    "settings": {"type": "text", "use_markdown": False},
}


def _field(name: str, title: str) -> dict[str, Json]:
    # Markdown stays off: an answer's own would be rendered, pictures and all.
    settings = {"type": "text", "use_markdown": False}
    return {"name": name, "title": title, "required": True, "settings": settings}


def _property(name: str, kind: str) -> dict[str, Json]:
    settings: dict[str, Json] = {"type": kind, "visible_for_annotators": False}
    settings |= {"values": None} if kind == "terms" else {"min": None, "max": None}
    return {"name": name, "title": name, "settings": settings, "visible_for_annotators": False}


def _suggestion(pair: _Pair, ours: str, theirs: str) -> dict[str, Json]:
    p = pair.preference
    if p is None:
        return {}
    value = "tie" if p == 0.5 else ours if p > 0.5 else theirs
    score = None if p == 0.5 else max(p, 1 - p)
    return {"preference": {"value": value, "score": score, "agent": pair.judge, "type": "model"}}


def _metadata(pair: _Pair, ours: str) -> dict[str, Json]:
    record = pair.record
    first, second = pair.votes if len(pair.votes) == 2 else (None, None)
    found = {
        "run_id": pair.run_id,
        "benchmark": record.benchmark,
        "task": record.task,
        "sample": record.sample,
        "part": pair.part or None,
        "category": record.category,
        "model": record.model,
        "compared_with": pair.other,
        "answer_is": ours,
        "judge": pair.judge,
        "protocol": pair.protocol or None,
        "judge_preference": pair.preference,
        "vote_first": first,
        "vote_second": second,
    }
    return {name: value for name, value in found.items() if value is not None}


def _list(rows: Sequence[Json]) -> bytes:
    lines = (json.dumps(text(row), ensure_ascii=False) for row in rows)
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


# --- pairs of answers ---------------------------------------------------------------------------
#
# Two kinds: `judged` is what a judge compared (an AlpacaEval answer with the reference's, an
# MT-Bench answer with a rival's), `models` sets candidate and baseline side by side on every sample
# both answered, with the better score as the judge's preference.


@dataclass(frozen=True)
class _Pair:
    """One answer beside another to the same question."""

    run_id: str
    record: Record
    """Of the model whose answer it is."""
    part: str
    """`turn_2`: up to the second answer; empty: the whole conversation."""
    other: str
    """Whose the other answer is: a model, or the generator of the reference."""
    question: str
    answer: str
    other_answer: str
    preference: float | None
    """For `answer`, 0 to 1; None: the judge gave no verdict."""
    judge: str
    """Judge's name; `scores` where the preference is that of two scores."""
    protocol: str
    votes: tuple[float, ...] = ()

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it this pair, whatever run it is from."""
        r = self.record
        return (r.benchmark, r.task, r.sample, self.part, r.model, self.other)


def _judged_pairs(run: Run) -> tuple[list[_Pair], int]:
    """What judges of `run` compared, and how many comparisons lack the other answer's text."""
    by_key = {r.key: r for r in run.records}
    described = {entry.name: entry.description for entry in run.benchmarks}
    found: dict[frozenset[str], _Pair] = {}
    lacking = 0
    for record in run.records:
        said = described.get(record.benchmark, Description())
        for judgment in record.outcome.judgments:
            if said.type == "alpaca_eval":
                other = said.reference if isinstance(said.reference, str) else "reference"
                pair = _with_reference(run, record, judgment, other)
            elif "#" in judgment.part:
                pair = _with_rival(run, record, judgment, by_key)
            else:
                continue
            lacking += pair is None
            if pair is not None:  # both models of a match keep a record of it: one is enough
                found.setdefault(frozenset((*pair.identity[:4], record.model, pair.other)), pair)
    return list(found.values()), lacking


def _with_reference(run: Run, record: Record, judgment: Judgment, other: str) -> _Pair | None:
    outcome = record.outcome
    if not outcome.answers or not outcome.reference:
        return None
    return _Pair(
        run_id=run.manifest.run_id,
        record=record,
        part="",
        other=other,
        question=_questions(record, None),
        answer=outcome.answers[0],
        other_answer=outcome.reference[0],
        preference=judgment.value,
        judge=judgment.judge,
        protocol=judgment.protocol,
        votes=judgment.votes,
    )


def _with_rival(
    run: Run, record: Record, judgment: Judgment, by_key: Mapping[tuple[str, str, str, str], Record]
) -> _Pair | None:
    part, _, rival = judgment.part.partition("#")
    theirs = by_key.get((rival, record.benchmark, record.task, record.sample))
    turn = int(part.rpartition("_")[2])
    if theirs is None or min(len(r.outcome.answers) for r in (record, theirs)) < turn:
        return None
    return _Pair(
        run_id=run.manifest.run_id,
        record=record,
        part=part,
        other=rival,
        question=_questions(record, turn),
        answer=_answers(record, turn),
        other_answer=_answers(theirs, turn),
        preference=judgment.value,
        judge=judgment.judge,
        protocol=judgment.protocol,
        votes=judgment.votes,
    )


def _model_pairs(run: Run) -> Iterator[_Pair]:
    """Candidate and baseline on every sample that both answered and that has a primary score."""
    by_key = {r.key: r for r in run.records}
    for candidate, baseline in dict.fromkeys((c.candidate, c.baseline) for c in run.comparisons):
        for record in run.records:
            theirs = by_key.get((baseline, *record.key[1:]))
            if record.model != candidate or theirs is None:
                continue
            if record.outcome.answers and theirs.outcome.answers and _is_generated(record):
                yield _side_by_side(run, record, theirs)


def _is_generated(record: Record) -> bool:
    """The answers are text that the model wrote, not choices with their log-probabilities."""
    return any(message.role == "assistant" for message in record.outcome.conversation)


def _side_by_side(run: Run, record: Record, theirs: Record) -> _Pair:
    metrics = run.benchmark(record.benchmark).metrics.get(record.task, ())
    metric = next((m for m in metrics if m.primary), None)
    name = "" if metric is None else metric.name
    ours, other = (_mean(r, name) for r in (record, theirs))
    preference = None
    if metric is not None and ours is not None and other is not None:
        sign = 1 if metric.higher_is_better else -1
        preference = 0.5 if ours == other else float(sign * (ours - other) > 0)
    return _Pair(
        run_id=run.manifest.run_id,
        record=record,
        part="",
        other=theirs.model,
        question=_questions(record, None),
        answer=_answers(record, None),
        other_answer=_answers(theirs, None),
        preference=preference,
        judge="scores",
        protocol=name,
    )


def _mean(record: Record, metric: str) -> float | None:
    values = [s.value for s in record.outcome.scores if s.metric == metric]
    excluded = record.outcome.status == "excluded"
    return math.fsum(values) / len(values) if values and not excluded else None


def _questions(record: Record, turns: int | None) -> str:
    texts = [m.content for m in record.outcome.conversation if m.role == "user"]
    return _numbered(texts[:turns], "Question")


def _answers(record: Record, turns: int | None) -> str:
    return _numbered(list(record.outcome.answers)[:turns], "Answer")


def _numbered(texts: Sequence[str], word: str) -> str:
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"[{word} {n}]\n{text}" for n, text in enumerate(texts, 1))
