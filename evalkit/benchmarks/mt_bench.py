"""MT-Bench: two-turn conversations in eight categories, each answer rated from 1 to 10.

Source: Zheng et al. 2023, arXiv:2306.05685, https://github.com/lm-sys/FastChat (Apache-2.0),
`fastchat/llm_judge`; 80 questions, 160 ratings a model.
Format: FastChat's `question.jsonl` and answer files (here of the references):

    {"question_id": 101, "category": "reasoning", "turns": ["Imagine ...", "If ..."]}
    {"question_id": 101, "choices": [{"index": 0, "turns": ["Second place.", "..."]}]}

FastChat's rules that are kept:
- Temperature by category: writing and roleplay 0.7, stem and humanities 0.1, the other known
  ones 0, an unknown one 0.7; up to 1024 new tokens a turn; answers are stripped.
- The second question follows the model's own first answer, and the second rating is of the whole
  conversation.
- Math, reasoning and coding are judged with reference answers, where the data has them.
- A turn's score is the mean of that turn's ratings; the score pools the ratings of both turns (it
  is not the mean of the turns' means); unreadable ratings (-1) are left out, and counted here
  (`show_result.py`).
- Pairs (`gen_judgment.py --mode`): every answer against that of a baseline
  (`pairwise-baseline`), or of each other model (`pairwise-all`), in both orders; verdicts that
  differ are a tie, and a pair without a verdict in either order is left out of the rates
  (`show_result.py`).  Win and loss rates are the shares of a model's pairs that it wins and loses;
  the adjusted win rate counts ties half.  FastChat's default baseline is gpt-3.5-turbo; its
  answers are not in the catalogue, so the suite names a baseline.

Departures:
- Sampled turns are seeded by suite seed, question and turn; FastChat calls
  `torch.manual_seed(0)` once a question.
- Sampling is plain: FastChat's local generation inherits transformers' top_k of 50.
- No system message; FastChat's conversation templates bring their own.
- Where the second request fails, the first answer is judged all the same, and the record has
  the failure's status; FastChat writes "ERROR" as the answer and has it rated.
- With `pairwise-all` both models of a pair keep a record of their match, each as the one that
  is shown first in the first of the two orders; the prompts are equal, so none is sent twice.
- A single baseline that is a model of the suite ties with itself without being judged: given one
  answer twice, a judge calls it a tie or prefers the same position in both orders, which is a tie,
  too.  So candidates can be compared with it; FastChat leaves its row out.
- `protocol: original` uses FastChat's prompts; scores are FastChat's only with these and with its
  judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from evalkit import catalogue, data
from evalkit.benchmarks._judged import Asked, Verdict, judged, no_judge, sampling_seed, worst
from evalkit.core import (
    Completion,
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
from evalkit.core.figures import Figure
from evalkit.core.protocols import (
    BenchmarkContext,
    MatchJudge,
    PairwiseJudge,
    RatingJudge,
    StoredPrompts,
)
from evalkit.core.specs import BenchmarkSpec
from evalkit.core.thoughts import NO_ANSWER, Separated, marks_in, separate, thoughts_of
from evalkit.errors import BenchmarkError, DataError, RequestFailed

__all__ = [
    "MtBench",
    "MtBenchSpec",
    "pair_metrics",
    "pair_part",
    "pair_scores",
    "rating_scores",
]

RULES = 1
"""Raised whenever the same answers and judgments would get other scores."""
TASK = "mt_bench"
PARTS = ("turn_1", "turn_2")
METRICS = (
    Metric("score", "points", primary=True, by_category=True, parts=PARTS),
    Metric("score_turn_1", "points"),
    Metric("score_turn_2", "points"),
)
PAIR_PRIMARY = "win_rate_adjusted"
"""Share of wins, ties counted half."""
GUIDED = frozenset({"math", "reasoning", "coding"})
"""Categories that are judged with reference answers."""
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
QUESTIONS = "mt_bench/question"
REFERENCES = "mt_bench/reference_answer/gpt-4"
_OWN_REFERENCES = ("reference_answer.jsonl", "reference_answer/gpt-4.jsonl")
_ENDINGS = (".jsonl", ".json", ".jsonl.gz", ".json.gz")

Answers = Mapping[int, tuple[str, ...]]
"""Two answers by question_id."""


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
    def opponents(self) -> tuple[str, ...]:
        """Models of the suite that answer every sample, whichever model is judged."""
        return tuple(name for name in self.baseline if not _is_file(name))

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
    """Two answers per conversation, each rated by the judge."""

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
        self._answers: dict[str, Answers] = {}

    @staticmethod
    def judge_options(spec: MtBenchSpec) -> Mapping[str, Json]:
        """Whether answers are rated or compared."""
        return {"mode": spec.mode}

    def data_needs(self) -> Sequence[str]:
        """Questions and references, unless the suite has its own; prompts, baselines."""
        own = () if self._spec.data is not None else (QUESTIONS, REFERENCES)
        stored = [j for j in self._context.judges if isinstance(j, StoredPrompts)]
        prompts = dict.fromkeys(name for judge in stored for name in judge.data_needs())
        return (*own, *prompts, *filter(data.is_known, self._spec.baseline))

    def load(self) -> None:
        """Read questions, reference answers, the judge's prompts and recorded baselines.

        Raises DataError, also where the public references are missing: without them scores would
        differ.  The suite's own data may lack some or all references; `describe` counts them.
        Raises BenchmarkError for a judge that cannot compare.
        """
        if self._questions is not None:
            return
        for judge in self._context.judges:
            prompts: object = judge
            if isinstance(prompts, StoredPrompts):
                prompts.load()
            if self._spec.mode == "pairwise" and not isinstance(judge, MatchJudge):
                raise BenchmarkError(
                    f"{self.name}: `mode: pairwise` with judge {judge.name!r} and its protocol "
                    f"{judge.protocol!r}; expected `protocol: original`, since only FastChat's own "
                    f"prompts compare conversations: write it in the judge's entry"
                )
        root, places, own = self._context.root, self._context.places, self._spec.data
        if own is None:
            questions = data.records(QUESTIONS, places)
            self._references = data.records(REFERENCES, places)
        else:
            questions, self._references = _read_own(own, root, f"MT-Bench ({self.name})")
        self._samples = _samples(questions, self._references)
        for name in filter(_is_file, self._spec.baseline):
            self._recorded[name] = data.read_jsonl(data.evidence(name, root, places).path)
            self._answers[name] = _read_answers(self._recorded[name], "answers")
        self._questions = questions

    def samples(self) -> Sequence[Sample]:
        """One per question, in file order; the id is the question's."""
        self.load()
        return self._samples

    def metrics(self, task: str) -> Sequence[Metric]:
        """The pooled score (also by category), then each turn's; or win rates of pairs."""
        del task
        return pair_metrics() if self._spec.baseline else METRICS

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """Two turns, then a judgment of each.  Raises BenchmarkError where there is no judge."""
        if not any(isinstance(judge, RatingJudge) for judge in self._context.judges):
            raise no_judge(self.name, "rating")
        said, completions, failure = yield from self._talk(sample, model)
        if self._spec.baseline:
            verdicts, scores = yield from self._matches(sample, model, said)
        else:
            verdicts = yield from self._ratings(sample, said)
            scores = tuple(
                score
                for turn, verdict in enumerate(verdicts, start=1)
                if verdict.value is not None
                for score in rating_scores(turn, verdict.value)
            )
        status, error_text = worst(verdicts)
        if failure is not None:
            status, error_text = failure.status, str(failure)
        return Outcome(
            status=status,
            conversation=tuple(said),
            answers=tuple(c.text.strip() for c in completions if not c.unfinished),
            reference=sample.reference,
            scores=scores,
            judgments=tuple(j for verdict in verdicts for j in verdict.judgments),
            truncated=any(completion.truncated for completion in completions),
            error=error_text,
            thoughts=thoughts_of(completions),
            thought_tokens=sum(completion.thought_tokens for completion in completions),
        )

    def _talk(
        self, sample: Sample, model: str
    ) -> Flow[tuple[list[Message], list[Completion], RequestFailed | None]]:
        """Both turns, each after the answers before it; and the failure that ended it early."""
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
            if completion.unfinished:
                return said, completions, RequestFailed("unfinished", NO_ANSWER)
            said.append(Message("assistant", completion.text.strip()))
        return said, completions, None

    def _ratings(self, sample: Sample, said: Sequence[Message]) -> Flow[list[Verdict]]:
        """What the judges make of each answer in `said`, given the conversation up to it."""
        judges = [j for j in self._context.judges if isinstance(j, RatingJudge)]
        verdicts: list[Verdict] = []
        for turn, talk in enumerate(_talks(said)):
            reference, part = sample.reference[: turn + 1], PARTS[turn]
            asked = [Asked(j, partial(j.rate, talk, reference, part)) for j in judges]
            verdicts.append((yield from judged(asked, self._context, sample.id, part)))
        return verdicts

    def _matches(
        self, sample: Sample, model: str, said: Sequence[Message]
    ) -> Flow[tuple[list[Verdict], tuple[Score, ...]]]:
        """Each answer against each baseline's, turn by turn."""
        judges = self._context.judges
        ours = _talks(said)
        if self._spec.baseline == (model,):
            parts = PARTS[: len(ours)]
            return [], tuple(s for part in parts for s in pair_scores(model, part, 0.5))
        verdicts: list[Verdict] = []
        scores: list[Score] = []
        for rival in (name for name in self._spec.baseline if ours and name != model):
            theirs, lack = yield from self._answers_of(rival, sample)
            for turn, (mine, part) in enumerate(zip(ours, PARTS, strict=False)):
                name, reference = pair_part(rival, part), sample.reference[: turn + 1]
                other = theirs[turn] if turn < len(theirs) else lack
                asked = [Asked(j, partial(_match, j, mine, other, reference, name)) for j in judges]
                verdict = yield from judged(asked, self._context, sample.id, name)
                verdicts.append(verdict)
                if verdict.value is not None:
                    scores += pair_scores(rival, part, verdict.value)
        return verdicts, tuple(scores)

    def _answers_of(
        self, rival: str, sample: Sample
    ) -> Flow[tuple[Sequence[tuple[Message, ...]], RequestFailed]]:
        """A baseline's conversations, recorded or generated, and why one is missing."""
        gone = RequestFailed("excluded", f"{rival} has no answer to question {sample.id}")
        if rival not in self._answers:
            said, _, failure = yield from self._talk(sample, rival)
            return _talks(said), gone if failure is None else failure
        said = []
        answers = self._answers[rival].get(int(sample.id), ())
        for question, text in zip(sample.turns, answers, strict=False):
            marks = marks_in(text)
            found = Separated("", text) if marks is None else separate(text, marks)
            if found.unfinished:
                break
            said += [Message("user", question), Message("assistant", found.answer)]
        return _talks(said), gone

    def extra_figures(self, records: Sequence[Record], level: float) -> Sequence[Figure]:
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
        """Per model: 160 for the public data; for own data None until it is read."""
        if self._questions is not None:
            return sum(len(sample.turns) for sample in self._samples)
        return catalogue.BENCHMARKS[TASK].requests if self._spec.data is None else None

    @property
    def requests_per_judgment(self) -> int:
        """To FastChat's judge, per answer: both orders against each baseline."""
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
            own_settings=self._spec.generation_config == "model",
            expected_tokens=self._spec.max_tokens * (len(sample.turns) - turn),
        )


def _talks(said: Sequence[Message]) -> list[tuple[Message, ...]]:
    """The conversation up to each of its answers."""
    return [tuple(said[:end]) for end, m in enumerate(said, start=1) if m.role == "assistant"]


def _match(
    judge: PairwiseJudge | RatingJudge,
    mine: Sequence[Message],
    other: Sequence[Message] | RequestFailed,
    reference: Sequence[str],
    part: str,
) -> Flow[Judgment]:
    """`judge`'s comparison with the baseline's conversation, or with why there is none."""
    if isinstance(other, RequestFailed):
        raise RequestFailed(other.status, f"the baseline: {other}")
    assert isinstance(judge, MatchJudge), "`load` refuses any other"
    return (yield from judge.match(mine, other, reference, part))


# --- files ----------------------------------------------------------------------------------------


def _read_own(named: str, root: Path, what: str) -> tuple[data.Dataset, data.Dataset | None]:
    """The suite's own questions and, where they are beside them, references.

    Args:
        named: folder, or its question file.
        root: folder of the suite.
        what: names them in messages.

    Raises:
        DataError: no questions there, or unreadable files.
    """
    questions = data.read_jsonl(data.locate(named, root, ("question.jsonl",), what=what))
    beside = [questions.path.parent / name for name in _OWN_REFERENCES]
    found = next((path for path in beside if path.is_file()), None)
    return questions, None if found is None else data.read_jsonl(found)


def _is_file(baseline: str) -> bool:
    """Whether a baseline names recorded answers; else it names a model, which has no slash."""
    return "/" in baseline or baseline.endswith(_ENDINGS)


def _samples(questions: data.Dataset, references: data.Dataset | None) -> tuple[Sample, ...]:
    """One per question, with references in the categories that are judged with them.

    Raises DataError with the place of a record that is not a question or an answer.
    """
    data.require(questions, {"question_id": int, "category": str, "turns": list})
    _check_turns(questions)
    answers = {} if references is None else _read_answers(references, "reference answers")
    return tuple(_sample(record, answers) for record in questions.records)


def _check_turns(questions: data.Dataset) -> None:
    seen: set[int] = set()
    for place, record in zip(questions.places, questions.records, strict=True):
        turns, number = record["turns"], record["question_id"]
        if len(turns) != 2 or not all(isinstance(turn, str) for turn in turns):
            raise DataError(
                f"{place}: 'turns' of question {number} is not two strings; MT-Bench has two "
                f"questions a conversation: correct the record"
            )
        if number in seen:
            raise DataError(
                f"{place}: question_id {number} occurs twice; ids name the records of a run: "
                f"give each question its own"
            )
        seen.add(number)


def _read_answers(answers: data.Dataset, what: str) -> Answers:
    """Both turns' answers of each record.  Raises DataError with the place."""
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
                f"{place}: no two {what}; expected "
                f'"choices": [{{"index": 0, "turns": ["...", "..."]}}]: correct the record'
            )
        found[record["question_id"]] = tuple(turns)
    return found


def _sample(record: Mapping[str, Json], answers: Answers) -> Sample:
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


# --- scores, also for imported judgments ----------------------------------------------------------


def rating_scores(turn: int, value: float, repeat: int = 1) -> tuple[Score, ...]:
    """One rating's scores: the pooled one and its turn's.

    `repeat` numbers the judgments of one answer: FastChat's averages count each of them.
    """
    again = f"#{repeat}" if repeat > 1 else ""
    return (
        Score("score", value, part=f"turn_{turn}{again}"),
        Score(f"score_turn_{turn}", value, part=again),
    )


def pair_metrics() -> tuple[Metric, ...]:
    """Pairwise comparison: FastChat's three rates over both turns, then of each turn."""
    rates = (("win_rate_adjusted", True), ("win_rate", True), ("loss_rate", False))
    pooled = tuple(
        Metric(
            name,
            "percent",
            scale=100.0,
            higher_is_better=better,
            primary=name == PAIR_PRIMARY,
            by_category=name == PAIR_PRIMARY,
            parts=PARTS,
        )
        for name, better in rates
    )
    return pooled + tuple(
        Metric(f"{name}_{part}", "percent", scale=100.0, higher_is_better=better)
        for part in PARTS
        for name, better in rates
    )


def pair_scores(rival: str, part: str, value: float) -> tuple[Score, ...]:
    """One pair's scores in both orders; `value`: 1 for a win, 0 for a loss, one half for a tie."""
    rates = ((PAIR_PRIMARY, value), ("win_rate", value == 1), ("loss_rate", value == 0))
    return tuple(
        score for name, rate in rates for score in _pair_score(rival, part, name, float(rate))
    )


def _pair_score(rival: str, part: str, name: str, value: float) -> tuple[Score, ...]:
    """Pooled and by turn; of several rivals, each repeats the turn."""
    return (
        Score(name, value, part=pair_part(rival, part)),
        Score(f"{name}_{part}", value, part=f"#{rival}"),
    )


def pair_part(rival: str, part: str) -> str:
    """Names the judgment of one turn against one rival."""
    return f"{part}#{rival}"
