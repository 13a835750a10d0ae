"""JudgeBench: pairs of answers of which one is right; the model is the judge.

Source: Tan et al. 2024, arXiv:2410.12784; https://github.com/ScalerLab/JudgeBench (no licence
stated) at commit e2c52c2, on the hub as ScalerLab/JudgeBench; 620 pairs, 350 of gpt-4o-2024-05-13
and 270 of claude-3-5-sonnet-20240620, on knowledge, reasoning, mathematics and code.
Format, shortened:

    {"pair_id": "e302b0a0-...", "original_id": 1420, "source": "mmlu-pro-law",
     "question": "A college student ...", "response_model": "gpt-4o-2024-05-13",
     "response_A": "To determine ...", "response_B": "To determine ...", "label": "A>B"}

A probe of judges: who judges elsewhere is here a model of the suite, and two candidates for a
judge are compared like any two models.  Its rule is kept (`utils/metrics.py`): both orders are
sent; each verdict that equals the label counts +1, its opposite -1, a tie 0; the pair is right
where the sum is above 0.  So a judge that goes by position gets 0, a coin 25.

Departures: the prompts are evalkit's own (protocols `text` and `logprob`), those that such a judge
has in other benchmarks; the paper's have another wording for each judge.  A pair with a reply that
cannot be read is missing; upstream counts it as a tie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from evalkit import data
from evalkit.benchmarks._judged import guarded
from evalkit.core import Flow, Json, Message, Metric, Outcome, Record, Sample, Score
from evalkit.core.figures import Figure
from evalkit.core.protocols import BenchmarkContext, PairwiseJudge
from evalkit.core.specs import BenchmarkSpec, JudgeSpec

__all__ = ["JudgeBench", "JudgeBenchSpec", "is_right"]

RULES = "1"
"""Raised whenever the same verdicts would get other scores."""
TASK = "judgebench"
PAIRS = tuple(
    f"judging/judgebench/pairs_{model}"
    for model in ("gpt-4o-2024-05-13", "claude-3-5-sonnet-20240620")
)
"""Names of the data sets, by the model that answered."""
SIZE = 620
_OWN = ("pairs.jsonl",)
_LABELS = {"A>B": 1.0, "B>A": 0.0}
_CATEGORIES = ("mmlu-pro", "livebench-reasoning", "livebench-math", "livecodebench")


class JudgeBenchSpec(BenchmarkSpec):
    """JudgeBench: whether a model, as a judge, finds the right one of two answers."""

    type: Literal["judgebench"] = "judgebench"
    """Always `judgebench`."""
    protocol: Literal["text", "logprob"] = "text"
    """How the model judges: by a written verdict, or by the probabilities of the letters."""
    max_tokens: int = Field(default=2048, ge=1)
    """Most tokens of a written reply."""


class JudgeBench:
    """Each pair in both orders."""

    judge_kind: ClassVar[Literal["pairwise", "rating"] | None] = None
    original_judge: ClassVar[str | None] = None
    version = RULES

    def __init__(self, spec: JudgeBenchSpec, context: BenchmarkContext) -> None:
        self.name = spec.entry
        self._spec = spec
        self._context = context
        self._judging = JudgeSpec(protocol=spec.protocol, judge_max_tokens=spec.max_tokens)
        self._sets: tuple[data.Dataset, ...] = ()

    @staticmethod
    def judge_options(_: Any) -> Mapping[str, Json]:
        """Nothing: the model judges."""
        return {}

    def data_needs(self) -> Sequence[str]:
        """Both sets of pairs, unless the suite has its own."""
        return () if self._spec.data is not None else PAIRS

    def load(self) -> None:
        """Read the pairs.  Raises DataError."""
        if self._sets:
            return
        own, context = self._spec.data, self._context
        if own is not None:
            found = [data.read_jsonl(data.locate(own, context.root, _OWN, what="JudgeBench"))]
        else:
            found = [data.records(name, context.places) for name in PAIRS]
        texts = ("pair_id", "source", "question", "response_A", "response_B", "label")
        for one in found:
            data.require(one, dict.fromkeys(texts, str))
        self._sets = tuple(found)

    def samples(self) -> Sequence[Sample]:
        """One per pair; pairs on one question are a cluster."""
        self.load()
        rows = [row for one in self._sets for row in one.records]
        return [
            Sample(
                id=row["pair_id"],
                task=TASK,
                turns=(row["question"],),
                category=next((c for c in _CATEGORIES if row["source"].startswith(c)), None),
                cluster=f"{row['source']}:{row.get('original_id', row['pair_id'])}",
                reference=(row["label"],),
                data=row,
            )
            for row in rows
            if row["label"] in _LABELS
        ]

    def metrics(self, task: str) -> Sequence[Metric]:
        """The share of pairs that are judged right."""
        del task
        return (Metric("accuracy", "percent", scale=100.0, primary=True, by_category=True),)

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """The model's judgment of the pair, in both orders."""
        judge, row = self._judge(model), sample.data
        compared = judge.compare(sample.turns[0], row["response_A"], row["response_B"])
        judgment = yield from guarded(compared, judge, "")
        scores: tuple[Score, ...] = ()
        if judgment.status == "ok":
            scores = (Score("accuracy", float(is_right(row["label"], judgment.votes))),)
        return Outcome(
            status=judgment.status,
            conversation=(Message("user", sample.turns[0]),),
            reference=sample.reference,
            scores=scores,
            judgments=(judgment,),
            error=judgment.error,
        )

    def _judge(self, model: str) -> PairwiseJudge:
        assert self._context.as_judge is not None, "whoever assembles a run gives it"
        return self._context.as_judge(model, self._judging)

    def extra_figures(self, records: Sequence[Record], level: float) -> Sequence[Figure]:
        """None."""
        return ()

    def describe(self) -> Mapping[str, Json]:
        """Data, and how the model judges."""
        self.load()
        return {
            "type": self._spec.type,
            "version": self.version,
            "data": [{"file": s.path.name, "sha256": s.sha256} for s in self._sets],
            "max_tokens": self._spec.max_tokens,
            "prompts": dict(self._judge("").describe()),
        }

    def nominal_requests(self) -> int | None:
        """Two orders of each pair, by `logprob` two letters of each."""
        each = 2 if self._spec.protocol == "text" else 4
        if self._sets:
            return each * len(self.samples())
        return each * SIZE if self._spec.data is None else None


def is_right(label: str, votes: Sequence[float]) -> bool:
    """Whether a pair's votes, each the preference for A, add up to its label.

    `votes`: with A shown first, then second; `label`: `A>B` or `B>A`.
    """
    total = sum((vote > 0.5) - (vote < 0.5) for vote in votes)
    return (total if label == "A>B" else -total) > 0
