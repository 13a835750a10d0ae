"""AlpacaEval: one instruction, one answer, preferred or not over a reference output.

Source: Li et al. 2023, https://github.com/tatsu-lab/alpaca_eval (code Apache-2.0, data CC BY-NC
4.0); 805 instructions.  Version 1 compares with text_davinci_003, version 2 with
gpt4_1106_preview (Dubois et al. 2024, arXiv:2404.04475).
Format: alpaca_eval's model outputs, here those of the reference model:

    {"instruction": "How do I wrap a present?", "output": "Cut the paper ...",
     "generator": "text_davinci_003", "dataset": "helpful_base"}

alpaca_eval's rules that are kept:
- The win rate is the mean of the preferences, its standard error uses ddof = 1; the discrete
  win rate counts a preference of exactly one half as half a win
  (`alpaca_eval.metrics.helpers`).  Here preferences are 0 to 1, upstream's are 1 to 2.
- The average length is that of the answers, judged or not, cut to a whole number (`main.py`).
- Answers of a model are stripped of white space at both ends (`is_strip_output`).
- An empty answer is judged like any other.
- An answer equal to the reference is a draw and not judged (`PairwiseAnnotator._preprocess`).
- A pair without a judgment leaves the win rate, and its answer's length still counts.
- The length-controlled win rate is its `length_controlled_v1`, in canonical row order, for both
  versions; `_alpaca_extra.py` has its data, departures, and the length-capped variant.

Departures:
- Decoding is greedy by default, with up to 2048 new tokens; upstream has a configuration for
  each model, and several of them sample.
- No system message by default; upstream takes each model's own prompt file.
- Whether the win rate is AlpacaEval's published one depends on the judge: with a judge that is
  read through its log-probabilities or asked with evalkit's own prompts it is not, and only
  compares models within one suite.  What the original judge does otherwise than upstream is
  said in its own file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, cast

from pydantic import Field

from evalkit import data
from evalkit.benchmarks._alpaca_extra import extra_estimates
from evalkit.benchmarks._alpaca_scores import METRICS, TASK, sample_id, scores
from evalkit.benchmarks._judged import judged, no_judge, sampling_seed, worst
from evalkit.core import (
    Estimate,
    Flow,
    Json,
    Judgment,
    Message,
    Metric,
    Outcome,
    Record,
    Request,
    Sample,
)
from evalkit.core.protocols import BenchmarkContext, PairwiseJudge, RatingJudge
from evalkit.core.specs import BenchmarkSpec
from evalkit.errors import RequestFailed

__all__ = ["AlpacaEval", "AlpacaEvalSpec"]

RULES = 1
"""Raised whenever the same answers and judgments would get other scores."""
REFERENCES = {1: "reference_text_davinci_003", 2: "reference_gpt4_turbo"}
EVALUATORS = {1: "alpaca_eval_gpt4", 2: "weighted_alpaca_eval_gpt4_turbo"}


class AlpacaEvalSpec(BenchmarkSpec):
    """AlpacaEval: preference for the model's answer over a reference answer."""

    type: Literal["alpaca_eval"] = "alpaca_eval"
    """Always `alpaca_eval`."""
    version: Literal[1, 2] = 2
    """1 compares with text_davinci_003, 2 with gpt4_1106_preview; no matter with own `data`."""
    evaluator: str | None = None
    """Configuration of alpaca_eval's whose prompts a judge asks with and whose rules read its
    replies (judge `protocol: original`); default: the version's, `alpaca_eval_gpt4` for 1 and
    `weighted_alpaca_eval_gpt4_turbo` for 2."""
    max_tokens: int = Field(default=2048, ge=1)
    """New tokens of an answer at most; a longer one is cut, marked and judged as it is."""
    temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature of the model; 0 is greedy."""
    system: str | None = None
    """System message before each instruction; default: none."""


class AlpacaEval:
    """Asks each instruction once and has the answer compared with the reference."""

    judge_kind: ClassVar[Literal["pairwise", "rating"] | None] = "pairwise"
    original_judge: ClassVar[str | None] = "pairwise_alpaca_eval"

    def __init__(self, spec: AlpacaEvalSpec, context: BenchmarkContext) -> None:
        self.name = spec.entry
        self.version = f"{spec.version}.{RULES}"
        self._spec = spec
        self._context = context
        self._dataset: data.Dataset | None = None

    @staticmethod
    def judge_options(spec: BenchmarkSpec) -> Mapping[str, Json]:
        """The evaluator configuration to ask with."""
        assert isinstance(spec, AlpacaEvalSpec)
        return {"evaluator": spec.evaluator or EVALUATORS[spec.version]}

    def data_needs(self) -> Sequence[str]:
        """The reference outputs, unless the suite has its own."""
        return () if self._spec.data is not None else (f"{TASK}/{REFERENCES[self._spec.version]}",)

    def load(self) -> None:
        """Read the reference outputs.  Raises DataError."""
        if self._dataset is None:
            dataset = self._read()
            data.require(
                dataset,
                {"instruction": str, "output": str},
                optional={"dataset": str, "generator": str},
            )
            self._dataset = dataset

    def samples(self) -> Sequence[Sample]:
        """One per record, in file order; the id is the record's index."""
        return [
            Sample(
                id=sample_id(index),
                task=TASK,
                turns=(record["instruction"],),
                category=record.get("dataset"),
                reference=(record["output"],),
                data=record,
            )
            for index, record in enumerate(self._loaded().records)
        ]

    def metrics(self, task: str) -> Sequence[Metric]:
        """Win rate, discrete win rate, average length in characters."""
        del task
        return METRICS

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """Ask the model, then the judge.  Raises BenchmarkError where no judge was given."""
        judge = _pairwise(self._context.judge, self.name)
        asked = self._conversation(sample)
        try:
            (completion,) = yield [self._request(sample, model, asked)]
        except RequestFailed as failure:
            return Outcome(failure.status, asked, reference=sample.reference, error=str(failure))
        answer = completion.text.strip()
        judgment = yield from _judgment(judge, sample, answer)
        status, error = worst([judgment])
        return Outcome(
            status=status,
            conversation=(*asked, Message("assistant", answer)),
            answers=(answer,),
            reference=sample.reference,
            scores=scores(answer, _preference(judgment)),
            judgments=(judgment,),
            truncated=completion.truncated,
            error=error,
        )

    def extra_estimates(self, records: Sequence[Record], level: float) -> Sequence[Estimate]:
        """Draws, length-controlled and length-capped win rate; see `_alpaca_extra.py`."""
        own = self._spec.data is not None
        return extra_estimates(records, self._context.places, level, own_data=own)

    def describe(self) -> Mapping[str, Json]:
        """Edition, data, decoding and judge."""
        dataset, judge = self._loaded(), self._context.judge
        return {
            "type": self._spec.type,
            "version": self.version,
            "data": {
                "file": dataset.path.name,
                "sha256": dataset.sha256,
                "records": len(dataset.records),
            },
            "max_tokens": self._spec.max_tokens,
            "temperature": self._spec.temperature,
            "system": self._spec.system,
            "judge": None if judge is None else dict(judge.describe()),
        }

    def nominal_requests(self) -> int | None:
        """Requests to one model: 805 for the public data; for own data known once it is read."""
        if self._dataset is not None:
            return len(self._dataset.records)
        return 805 if self._spec.data is None else None

    def _loaded(self) -> data.Dataset:
        self.load()
        assert self._dataset is not None
        return self._dataset

    def _read(self) -> data.Dataset:
        name = REFERENCES[self._spec.version]
        if self._spec.data is None:
            return data.records(f"{TASK}/{name}", self._context.places)
        root, names = self._context.root, [f"{name}.jsonl{end}" for end in ("", ".gz")]
        what = f"AlpacaEval ({self._spec.entry})"
        return data.read_jsonl(data.locate(self._spec.data, root, names, what=what))

    def _conversation(self, sample: Sample) -> tuple[Message, ...]:
        system = self._spec.system
        head = () if system is None else (Message("system", system),)
        return (*head, Message("user", sample.turns[0]))

    def _request(self, sample: Sample, model: str, asked: tuple[Message, ...]) -> Request:
        sampled = self._spec.temperature > 0
        return Request(
            engine=model,
            kind="generate",
            prompt=asked,
            max_tokens=self._spec.max_tokens,
            temperature=self._spec.temperature,
            seed=sampling_seed(self._context.seed, TASK, sample.id) if sampled else None,
        )


def _pairwise(judge: PairwiseJudge | RatingJudge | None, name: str) -> PairwiseJudge:
    if judge is None or not hasattr(judge, "compare"):
        raise no_judge(name, "pairwise")
    return cast("PairwiseJudge", judge)


def _judgment(judge: PairwiseJudge, sample: Sample, answer: str) -> Flow[Judgment]:
    reference = sample.reference[0]
    if answer == reference:
        return Judgment(judge.name, judge.protocol, "ok", 0.5)
    return (yield from judged(judge.compare(sample.turns[0], answer, reference), judge))


def _preference(judgment: Judgment) -> float | None:
    return judgment.value if judgment.status == "ok" else None
