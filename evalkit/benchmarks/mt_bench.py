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
- Math, reasoning and coding are judged with reference answers, where the data has them.
- The score pools the ratings of both turns (it is not the mean of the turns' means), and
  ratings that could not be read leave it; here they are counted too.
- Pairs (`gen_judgment.py --mode`): every answer against that of a baseline
  (`pairwise-baseline`), or of each other model (`pairwise-all`), in both orders; verdicts that
  differ are a tie, and a pair without verdict in either order leaves the rates
  (`show_result.py`).  FastChat's baseline is gpt-3.5-turbo unless told; its answers are no
  public data set of ours, so the suite names them.

Departures:
- Sampled turns are seeded by suite seed, question and turn; FastChat calls
  `torch.manual_seed(0)` once a question.
- Sampling is plain: FastChat's local generation inherits transformers' top_k of 50.
- No system message; FastChat's conversation templates bring their own.
- Where the second question fails, the first answer is judged all the same, and the record has
  the failure's status; FastChat writes "ERROR" as the answer and has it rated.
- With `pairwise-all` both models of a pair keep a record of their match, each as the one that
  is shown first in the first of the two orders; the prompts are equal, so none is asked twice.
- The only baseline, where it is a model of the suite, ties with itself without being judged: a
  judge that is shown one answer twice says so, or prefers the same place in both orders, and
  either is a tie.  So candidates can be compared with it; FastChat leaves its row out.
- A judge with `protocol: original` is asked with FastChat's prompts; scores are FastChat's only
  with these and with its judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, cast

from pydantic import Field, model_validator

from evalkit import data
from evalkit.benchmarks import _mt_bench_data as files
from evalkit.benchmarks._judged import (
    MatchJudge,
    judged,
    load_judge,
    no_judge,
    sampling_seed,
    worst,
)
from evalkit.benchmarks._mt_bench_scores import (
    METRICS,
    PARTS,
    TASK,
    pair_metrics,
    pair_part,
    pair_scores,
)
from evalkit.benchmarks._mt_bench_scores import scores as rating_scores
from evalkit.core import (
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
from evalkit.core.protocols import BenchmarkContext, PairwiseJudge, RatingJudge
from evalkit.core.specs import BenchmarkSpec
from evalkit.errors import BenchmarkError, RequestFailed

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
    """`pairwise`: what to compare with.  A model of the suite, or recorded answers in FastChat's
    format (a file relative to the suite, or the name of a data set): FastChat's pairwise-baseline.
    Every model of the suite: its pairwise-all."""

    @property
    def asks(self) -> tuple[str, ...]:
        """Models of the suite that every sample is asked of, whosever answers are judged."""
        return tuple(name for name in self.baseline if not files.is_file(name))

    @model_validator(mode="after")
    def _consistent(self) -> MtBenchSpec:
        if (self.mode == "pairwise") != bool(self.baseline):
            raise ValueError(
                f"mode {self.mode!r} with baseline {list(self.baseline)!r}: `mode: pairwise` needs "
                f"`baseline`, and only it does"
            )
        if len(set(self.baseline)) < len(self.baseline):
            raise ValueError(f"baseline {list(self.baseline)!r} names one twice; name each once")
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
        self._recorded: dict[str, data.Dataset] = {}
        """Answers of the baselines that are files."""
        self._answers: dict[str, files.Answers] = {}

    @staticmethod
    def judge_options(spec: MtBenchSpec) -> Mapping[str, Json]:
        """Whether answers are rated or compared."""
        return {"mode": spec.mode}

    def data_needs(self) -> Sequence[str]:
        """Questions and references, unless the suite has its own; prompts, baselines."""
        own = () if self._spec.data is not None else (files.QUESTIONS, files.REFERENCES)
        judge = self._context.judge
        prompts: Sequence[str] = getattr(judge, "data_needs", lambda: ())()
        return (*own, *prompts, *filter(data.is_known, self._spec.baseline))

    def load(self) -> None:
        """Read questions, reference answers, the judge's prompts and recorded baselines.

        Raises DataError, also where the public references are not here: without them scores
        would be other ones.  Data named in the suite may do without, wholly or in part;
        `describe` counts what there is.  Raises BenchmarkError for a judge that cannot compare.
        """
        if self._questions is not None:
            return
        self._check_judge()
        load_judge(self._context.judge)
        root, places, own = self._context.root, self._context.places, self._spec.data
        questions, self._references = (
            files.read_public(places)
            if own is None
            else files.read_own(own, root, f"MT-Bench ({self.name})")
        )
        self._samples = files.samples(questions, self._references)
        for name in filter(files.is_file, self._spec.baseline):
            self._recorded[name] = files.read_rival(name, root, places)
            self._answers[name] = files.read_answers(self._recorded[name], "answers")
        self._questions = questions

    def _check_judge(self) -> None:
        judge = self._context.judge
        if self._spec.mode == "pairwise" and not isinstance(judge, MatchJudge | None):
            raise BenchmarkError(
                f"{self.name}: `mode: pairwise` with judge {judge.name!r}, which is asked by "
                f"{judge.protocol!r}; expected `protocol: original`, since only FastChat's own "
                f"prompts compare conversations: write it in the judge's entry"
            )

    def samples(self) -> Sequence[Sample]:
        """One per question, in file order; the id is the question's."""
        self.load()
        return self._samples

    def metrics(self, task: str) -> Sequence[Metric]:
        """The pooled score (also by category), then each turn's; or win rates of pairs."""
        del task
        return pair_metrics() if self._spec.baseline else METRICS

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """Two turns, then a judgment of each.  Raises BenchmarkError where no judge was given."""
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
        ours = _talks(said)
        if self._spec.baseline == (model,):
            parts = PARTS[: len(ours)]
            return (), tuple(s for part in parts for s in pair_scores(model, part, 0.5))
        judgments: list[Judgment] = []
        scores: list[Score] = []
        for rival in (name for name in self._spec.baseline if ours and name != model):
            theirs, lack = yield from self._answers_of(rival, sample)
            for turn, (mine, part) in enumerate(zip(ours, PARTS, strict=False)):
                name, reference = pair_part(rival, part), sample.reference[: turn + 1]
                if turn < len(theirs):
                    match = _matching(judge).match(mine, theirs[turn], reference, name)
                    judgment = yield from judged(match, judge, name)
                else:
                    judgment = _unmatched(judge, name, lack)
                judgments.append(judgment)
                if judgment.value is not None:
                    scores += pair_scores(rival, part, judgment.value)
        return tuple(judgments), tuple(scores)

    def _answers_of(
        self, rival: str, sample: Sample
    ) -> Flow[tuple[Sequence[tuple[Message, ...]], RequestFailed]]:
        """A baseline's conversations, recorded or asked of that model, and why one is missing."""
        gone = RequestFailed("excluded", f"{rival} has no answer to question {sample.id}")
        if rival not in self._answers:
            said, _, failure = yield from self._talk(sample, rival)
            return _talks(said), gone if failure is None else failure
        said = []
        answers = self._answers[rival].get(int(sample.id), ())
        for question, answer in zip(sample.turns, answers, strict=False):
            said += [Message("user", question), Message("assistant", answer)]
        return _talks(said), gone

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
            "baseline": {
                name: self._recorded[name].sha256 if name in self._recorded else "asked"
                for name in self._spec.baseline
            },
            "judge": None if judge is None else dict(judge.describe()),
        }

    def nominal_requests(self) -> int | None:
        """Requests to one model: 160 for the public data; for own data known once it is read."""
        if self._questions is not None:
            return sum(len(sample.turns) for sample in self._samples)
        return 160 if self._spec.data is None else None

    @property
    def requests_per_judgment(self) -> int:
        """To FastChat's judge, about one answer: both orders against each baseline."""
        return max(1, 2 * len(self._spec.baseline))

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
            expected_tokens=self._spec.max_tokens * (len(sample.turns) - turn),
        )


def _rating(judge: PairwiseJudge | RatingJudge | None, name: str) -> RatingJudge:
    if judge is None or not hasattr(judge, "rate"):
        raise no_judge(name, "rating")
    return cast("RatingJudge", judge)


def _matching(judge: RatingJudge) -> MatchJudge:
    assert isinstance(judge, MatchJudge), "`load` refuses any other judge of pairs"
    return judge


def _judgments(
    judge: RatingJudge, sample: Sample, said: Sequence[Message]
) -> Flow[tuple[Judgment, ...]]:
    """A judgment for each answer in `said`, which each sees the conversation up to itself."""
    judgments: list[Judgment] = []
    for turn, talk in enumerate(_talks(said)):
        rating = judge.rate(talk, sample.reference[: turn + 1], PARTS[turn])
        judgments.append((yield from judged(rating, judge, PARTS[turn])))
    return tuple(judgments)


def _scores(judgment: Judgment) -> tuple[Score, ...]:
    if judgment.status != "ok" or judgment.value is None:
        return ()
    return rating_scores(PARTS.index(judgment.part) + 1, judgment.value)


def _talks(said: Sequence[Message]) -> list[tuple[Message, ...]]:
    """The conversation up to each of its answers."""
    return [tuple(said[:end]) for end, m in enumerate(said, start=1) if m.role == "assistant"]


def _unmatched(judge: RatingJudge, part: str, failure: RequestFailed) -> Judgment:
    """Of an answer that the baseline has none to hold against."""
    return Judgment(
        judge.name, judge.protocol, failure.status, None, part, error=f"the baseline: {failure}"
    )
