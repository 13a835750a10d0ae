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
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from evalkit.comparison.pairs import Pair, judged_pairs, model_pairs
from evalkit.core.protocols import Exported
from evalkit.core.requests import Json
from evalkit.core.run import Run
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

    def _pairs(self, runs: Sequence[Run]) -> tuple[list[Pair], int]:
        if self._spec.pairs == "models":
            return [pair for run in runs for pair in model_pairs(run)], 0
        found = [pair for run in runs for pair in judged_pairs(run)]
        return [p for p in found if p.has_texts], sum(not p.has_texts for p in found)

    def _ordered(self, pairs: Sequence[Pair]) -> list[Pair]:
        order = sorted(pairs, key=lambda p: (self._hash("order", p), p.run_id))
        return order[: self._spec.at_most]

    def _hash(self, purpose: str, pair: Pair) -> str:
        said = json.dumps([self._spec.seed, purpose, *pair.identity])
        return hashlib.sha256(said.encode()).hexdigest()

    def _record_of(self, pair: Pair) -> dict[str, Json]:
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


def _suggestion(pair: Pair, ours: str, theirs: str) -> dict[str, Json]:
    p = pair.preference
    if p is None:
        return {}
    value = "tie" if p == 0.5 else ours if p > 0.5 else theirs
    score = None if p == 0.5 else max(p, 1 - p)
    return {"preference": {"value": value, "score": score, "agent": pair.judge, "type": "model"}}


def _metadata(pair: Pair, ours: str) -> dict[str, Json]:
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
