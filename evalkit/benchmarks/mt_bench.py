"""MT-Bench: two-turn conversations in eight categories, each answer rated from 1 to 10.

Source: Zheng et al. 2023, arXiv:2306.05685, https://github.com/lm-sys/FastChat (Apache-2.0),
`fastchat/llm_judge`; 80 questions, 160 ratings a model.
Format: FastChat's `question.jsonl` and answer files (here of the references):

    {"question_id": 101, "category": "reasoning", "turns": ["Imagine ...", "If ..."]}
    {"question_id": 101, "choices": [{"index": 0, "turns": ["Second place.", "..."]}]}

FastChat's rules that are kept:
- Temperature by category: writing and roleplay 0.7, stem and humanities 0.1, the other known
  ones 0, an unknown one 0.7; up to 1024 new tokens a turn; answers are stripped.
- The second question is asked after the model's own first answer, and the second rating sees
  the whole conversation.
- Math, reasoning and coding are rated with reference answers, where the data has them.
- The score pools the ratings of both turns (it is not the mean of the turns' means), and
  ratings that could not be read leave it; here they are counted too.

- Pairs are judged in both orders, and contradicting verdicts are a tie; the win rate counts ties
  neither way and the adjusted one counts them half (`show_result.py`).  A baseline is a fixed set
  of answers (`pairwise-baseline`) or models of the suite (`pairwise-all`).

Departures:
- Sampled turns are seeded by suite seed, question and turn; FastChat calls
  `torch.manual_seed(0)` once a question.
- Sampling is plain: FastChat's local generation inherits transformers' top_k of 50.
- No system message; FastChat's conversation templates bring their own.
- Where the second question fails, the first answer is rated all the same, and the record has
  the failure's status; FastChat writes "ERROR" as the answer and has it rated.
- A judge with `protocol: original` is asked with FastChat's prompts; scores are FastChat's only
  with these and with its judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, cast

from pydantic import Field, model_validator

from evalkit import data
from evalkit.benchmarks._judged import judged, load_judge, no_judge, sampling_seed, worst
from evalkit.benchmarks._mt_bench_scores import (
    GUIDED,
    METRICS,
    PARTS,
    TASK,
    pair_metrics,
    pair_scores,
)
from evalkit.benchmarks._mt_bench_scores import scores as rating_scores
from evalkit.errors import DataError, RequestFailed
from evalkit.protocols import BenchmarkContext, PairwiseJudge, RatingJudge
from evalkit.specs import BenchmarkSpec
from evalkit.types import (
    Completion,
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
    Score,
)

__all__ = ["MtBench", "MtBenchSpec"]

RULES = 1
"""Raised whenever the same answers and judgments would get other scores."""
TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "extraction": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "reasoning": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
UNKNOWN_TEMPERATURE = 0.7
REFERENCES = ("reference_answer.jsonl", "reference_answer/gpt-4.jsonl")
QUESTIONS = "mt_bench/question"
GPT4_ANSWERS = "mt_bench/reference_answer/gpt-4"


class MtBenchSpec(BenchmarkSpec):
    """MT-Bench: two-turn conversations, each answer rated from 1 to 10."""

    type: Literal["mt_bench"] = "mt_bench"
    """Always `mt_bench`."""
    max_tokens: int = Field(default=1024, ge=1)
    """New tokens of one answer at most; a longer one is cut, marked and rated as it is."""
    system: str | None = None
    """System message before each conversation; default: none."""
    mode: Literal["single", "pairwise"] = "single"
    """`single` rates every answer; `pairwise` compares it with the baseline's, in both orders."""
    baseline: tuple[str, ...] = ()
    """`pairwise`: models to compare with, of the suite (FastChat's pairwise-all: name them all) or,
    as FILE or the name of a data set, recorded answers in FastChat's format (pairwise-baseline)."""

    @model_validator(mode="after")
    def _consistent(self) -> MtBenchSpec:
        if (self.mode == "pairwise") != bool(self.baseline):
            raise ValueError(
                f"mode {self.mode!r} with baseline {list(self.baseline)!r}: `mode: pairwise` needs "
                f"`baseline`, and only it does"
            )
        return self


class MtBench:
    """Asks both questions of a conversation and has both answers rated."""

    judge_kind: ClassVar[Literal["pairwise", "rating"] | None] = "rating"
    original_judge: ClassVar[str | None] = "rating_fastchat"
    version = f"1.{RULES}"

    def __init__(self, spec: MtBenchSpec, context: BenchmarkContext) -> None:
        self.name = spec.entry
        self._spec = spec
        self._context = context
        self._questions: data.Dataset | None = None
        self._references: data.Dataset | None = None
        self._samples: tuple[Sample, ...] = ()
        self._rivals: dict[str, Mapping[int, tuple[str, ...]] | None] = {}

    @staticmethod
    def judge_options(spec: MtBenchSpec) -> Mapping[str, Json]:
        """Whether answers are rated or compared."""
        return {"mode": spec.mode}

    def data_needs(self) -> Sequence[str]:
        """Questions and references, unless the suite has its own; the judge's prompts."""
        own = () if self._spec.data is not None else (QUESTIONS, GPT4_ANSWERS)
        return (*own, *getattr(self._context.judge, "data_needs", tuple)())

    def load(self) -> None:
        """Read questions and, for the categories rated with them, reference answers.

        Raises DataError, also where the mirror lacks the references: without them its scores
        would be other ones.  Data named in the suite may do without, wholly or in part;
        `describe` counts what there is.
        """
        if self._questions is not None:
            return
        load_judge(self._context.judge)
        questions, self._references = self._read()
        data.require(questions, {"question_id": int, "category": str, "turns": list})
        _check_turns(questions)
        answers = {} if self._references is None else _reference_answers(self._references)
        self._samples = tuple(_sample(record, answers) for record in questions.records)
        self._rivals = {name: self._rival(name) for name in self._spec.baseline}
        self._questions = questions

    def _read(self) -> tuple[data.Dataset, data.Dataset | None]:
        """Questions and references: public ones, or the suite's own."""
        places = self._context.places
        if self._spec.data is None:
            return data.records(QUESTIONS, places), data.records(GPT4_ANSWERS, places)
        place = data.Place(self._folder(), self._context.root, None)
        what = f"MT-Bench ({self.name})"
        questions = data.read_jsonl(data.locate(place, "mt_bench", ("question.jsonl",), what=what))
        return questions, _read_references(place, questions.path.parent, what)

    def _rival(self, name: str) -> Mapping[int, tuple[str, ...]] | None:
        """Recorded answers of a baseline by question; None for a model that is asked."""
        is_file = name.endswith((".jsonl", ".json", ".gz"))
        if not is_file and not data.is_known(name):
            return None
        found = data.evidence(name, self._context.root, self._context.places)
        return _reference_answers(data.read_jsonl(found.path))

    def samples(self) -> Sequence[Sample]:
        """One per question, in file order; the id is the question's."""
        self.load()
        return self._samples

    def metrics(self, task: str) -> Sequence[Metric]:
        """The pooled score (also by category), then each turn's; or win rates of pairs."""
        del task
        return pair_metrics(self._spec.baseline) if self._spec.baseline else METRICS

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """Two turns, then a rating of each.  Raises BenchmarkError where no judge was given."""
        judge = _rating(self._context.judge, self.name)
        said, completions, failure = yield from self._talk(sample, model)
        if self._spec.baseline:
            judgments, scores = yield from self._matches(judge, sample, model, said)
        else:
            judgments = yield from _judgments(judge, sample, said)
            scores = tuple(score for judgment in judgments for score in _scores(judgment))
        status, error_text = worst(judgments)
        if failure is not None:
            status, error_text = failure.status, str(failure)
        return Outcome(
            status=status,
            conversation=tuple(said),
            answers=tuple(completion.text.strip() for completion in completions),
            reference=sample.reference,
            scores=scores,
            judgments=judgments,
            truncated=any(completion.truncated for completion in completions),
            error=error_text,
        )

    def _talk(
        self, sample: Sample, model: str
    ) -> Flow[tuple[list[Message], list[Completion], RequestFailed | None]]:
        """Both questions, each after the answers before it; and what ended it early."""
        system = self._spec.system
        said = [] if system is None else [Message("system", system)]
        completions: list[Completion] = []
        for turn, question in enumerate(sample.turns):
            said.append(Message("user", question))
            try:
                (completion,) = yield [self._request(sample, model, said, turn)]
            except RequestFailed as error:
                return said, completions, error
            completions.append(completion)
            said.append(Message("assistant", completion.text.strip()))
        return said, completions, None

    def _matches(
        self, judge: RatingJudge, sample: Sample, model: str, said: Sequence[Message]
    ) -> Flow[tuple[tuple[Judgment, ...], tuple[Score, ...]]]:
        """Each answer against each baseline's, turn by turn."""
        match = getattr(judge, "match", None)
        if match is None:
            raise no_judge(self.name, "pairwise (`protocol: original`)")
        judgments: list[Judgment] = []
        scores: list[Score] = []
        for rival in self._spec.baseline:
            if rival == model:
                continue
            theirs = yield from self._answers_of(rival, sample)
            for turn, part in enumerate(PARTS):
                ours, other = _until(said, turn), _until(theirs, turn)
                if ours is None or other is None:
                    continue
                reference = sample.reference[: turn + 1]
                asked = match(ours, other, reference, f"{rival}/{part}")
                judgment = yield from judged(asked, judge, f"{rival}/{part}")
                judgments.append(judgment)
                if judgment.status == "ok" and judgment.value is not None:
                    scores += pair_scores(rival, part, judgment.value)
        return tuple(judgments), tuple(scores)

    def _answers_of(self, rival: str, sample: Sample) -> Flow[Sequence[Message]]:
        """The baseline's conversation: recorded, or asked of that model of the suite."""
        recorded = self._rivals[rival]
        if recorded is None:
            said, _, _ = yield from self._talk(sample, rival)
            return said
        answers = recorded.get(int(sample.id), ())
        return [
            message
            for question, answer in zip(sample.turns, answers, strict=False)
            for message in (Message("user", question), Message("assistant", answer))
        ]

    def extra_estimates(self, records: Sequence[Record], level: float) -> Sequence[Estimate]:
        """None: every figure is a mean over ratings."""
        del records
        return ()

    def describe(self) -> Mapping[str, Json]:
        """Data, decoding, how many questions are rated with a reference, and the judge."""
        self.load()
        assert self._questions is not None
        references, judge = self._references, self._context.judge
        return {
            "type": self._spec.type,
            "version": self.version,
            "data": {
                "file": self._questions.path.name,
                "sha256": self._questions.sha256,
                "records": len(self._questions.records),
                "reference_sha256": None if references is None else references.sha256,
                "with_reference": sum(1 for s in self._samples if s.reference),
            },
            "max_tokens": self._spec.max_tokens,
            "temperatures": {**TEMPERATURES, "default": UNKNOWN_TEMPERATURE},
            "seed": self._context.seed,
            "system": self._spec.system,
            "mode": self._spec.mode,
            "baseline": list(self._spec.baseline),
            "judge": None if judge is None else dict(judge.describe()),
        }

    def nominal_requests(self) -> int | None:
        """Requests to one model: 160 for the public data; for own data known once it is read."""
        if self._questions is not None:
            return sum(len(sample.turns) for sample in self._samples)
        return 160 if self._spec.data is None else None

    def _folder(self) -> str | None:
        """`data:` as a folder: the question file itself may be named too."""
        named = self._spec.data
        if named is not None and named.endswith("question.jsonl"):
            return named.removesuffix("question.jsonl") or "."
        return named

    def _request(self, sample: Sample, model: str, said: Sequence[Message], turn: int) -> Request:
        temperature = TEMPERATURES.get(sample.category or "", UNKNOWN_TEMPERATURE)
        seed = sampling_seed(self._context.seed, TASK, sample.id, PARTS[turn])
        return Request(
            engine=model,
            kind="generate",
            prompt=tuple(said),
            max_tokens=self._spec.max_tokens,
            temperature=temperature,
            seed=seed if temperature > 0 else None,
        )


def _rating(judge: PairwiseJudge | RatingJudge | None, name: str) -> RatingJudge:
    if judge is None or not hasattr(judge, "rate"):
        raise no_judge(name, "rating")
    return cast("RatingJudge", judge)


def _check_turns(questions: data.Dataset) -> None:
    seen: set[int] = set()
    for place, record in zip(questions.places, questions.records, strict=True):
        turns, number = record["turns"], record["question_id"]
        if len(turns) != 2 or not all(isinstance(turn, str) for turn in turns):
            raise DataError(
                f"{place}: 'turns' of question {number} is not two strings; MT-Bench asks two "
                f"questions a conversation: correct the record"
            )
        if number in seen:
            raise DataError(
                f"{place}: question_id {number} occurs twice; ids name the records of a run: "
                f"give each question its own"
            )
        seen.add(number)


def _read_references(place: data.Place, folder: Path, what: str) -> data.Dataset | None:
    if place.data is not None and not any((folder / name).is_file() for name in REFERENCES):
        return None
    path = data.locate(place, "mt_bench", REFERENCES, what=f"{what}, reference answers")
    return data.read_jsonl(path)


def _reference_answers(answers: data.Dataset) -> dict[int, tuple[str, ...]]:
    data.require(answers, {"question_id": int, "choices": list})
    found: dict[int, tuple[str, ...]] = {}
    for place, record in zip(answers.places, answers.records, strict=True):
        try:
            turns = record["choices"][0]["turns"]
        except (IndexError, KeyError, TypeError):
            turns = None
        if not (
            isinstance(turns, list) and len(turns) == 2 and all(isinstance(t, str) for t in turns)
        ):
            raise DataError(
                f"{place}: no two reference answers; expected "
                f'"choices": [{{"index": 0, "turns": ["...", "..."]}}]: correct the record'
            )
        found[record["question_id"]] = tuple(turns)
    return found


def _sample(record: Mapping[str, Json], answers: Mapping[int, tuple[str, ...]]) -> Sample:
    number, category = record["question_id"], record["category"]
    return Sample(
        id=str(number),
        task=TASK,
        turns=tuple(record["turns"]),
        category=category,
        cluster=str(number),
        reference=answers.get(number, ()) if category in GUIDED else (),
        data=record,
    )


def _judgments(
    judge: RatingJudge, sample: Sample, said: Sequence[Message]
) -> Flow[tuple[Judgment, ...]]:
    """A judgment for each answer in `said`, which each sees the conversation up to itself."""
    judgments: list[Judgment] = []
    for end, message in enumerate(said, start=1):
        if message.role == "assistant":
            turn = len(judgments)
            rating = judge.rate(tuple(said[:end]), sample.reference[: turn + 1], PARTS[turn])
            judgments.append((yield from judged(rating, judge, PARTS[turn])))
    return tuple(judgments)


def _scores(judgment: Judgment) -> tuple[Score, ...]:
    if judgment.status != "ok" or judgment.value is None:
        return ()
    return rating_scores(PARTS.index(judgment.part) + 1, judgment.value)


def _until(said: Sequence[Message], turn: int) -> tuple[Message, ...] | None:
    """The conversation up to the answer of a turn; None where there is no such answer."""
    ends = [n for n, message in enumerate(said, start=1) if message.role == "assistant"]
    return tuple(said[: ends[turn]]) if turn < len(ends) else None
