"""AlpacaEval: one instruction, one answer, compared with a reference output.

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
  versions.  Its constants are public data: the baseline's games (`df_gamed.csv` of the hub data set
  tatsu-lab/alpaca_eval, with the instructions' difficulties), one row a game, and the canonical
  order of instructions to which `index` refers:

      preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline,model
      0.8048,0,-1.0693,-2e-10,False,gpt4_1106_preview_verbose

  Both versions use the same games, of gpt4_1106_preview: upstream's version 1 leaderboard does too
  (its zephyr-7b-beta row is met to 0.03 points with them).

Departures:
- Decoding is greedy by default, with up to 2048 new tokens; upstream has a configuration for
  each model, and several of them sample.
- No system message by default; upstream takes each model's own prompt file.
- Whether the win rate is AlpacaEval's published one depends on the judge: with evalkit's own
  prompts it is not, and compares models within one suite only.  The original judge's departures
  are listed in its own file.
- Length control (`alpaca_eval/metrics/glm_winrate.py`): a row's difficulty is found by its
  instruction; upstream goes by the row's position, which gives wrong difficulties when rows are
  missing or in another order.  The standard error is a bootstrap that refits the model; upstream
  prints the spread of the predictions.  `length_capped_win_rate` is not upstream's: see
  `stats.length_control`.  Where the hub's file is not available, a stand-in is used if there is
  one, and the figure's method says so.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from evalkit import catalogue, data
from evalkit.benchmarks._judged import Asked, judged, no_judge, sampling_seed
from evalkit.core import (
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
from evalkit.core.figures import Estimator, Figure, FigureKey, Interval, Measured, Method
from evalkit.core.protocols import BenchmarkContext, DataPlaces, OneOrder, PairwiseJudge
from evalkit.core.specs import BenchmarkSpec
from evalkit.core.thoughts import NO_ANSWER, thoughts_of
from evalkit.errors import DataError, RequestFailed
from evalkit.stats.length_control import Games, Pair, length_controlled

__all__ = [
    "AlpacaEval",
    "AlpacaEvalSpec",
    "constants",
    "figures",
    "preference",
    "sample_id",
    "scores",
]

RULES = 1
"""Raised whenever the same answers and judgments would get other scores."""
TASK = "alpaca_eval"
METRICS = (
    Metric("win_rate", "percent", scale=100.0, primary=True),
    Metric("discrete_win_rate", "percent", scale=100.0),
    Metric("avg_length", "characters", whole=True),
)
"""The means over samples; `figures` computes the others."""
EDITIONS = catalogue.BENCHMARKS[TASK].editions
INSTRUCTIONS = "alpaca_eval/instructions"
IN_ORDER = (
    INSTRUCTIONS,
    "alpaca_eval/reference_gpt4_turbo",
    "alpaca_eval/reference_text_davinci_003",
)
"""Data sets with the 805 instructions in canonical order."""
GAMES = "alpaca_eval/lc/df_gamed"
STAND_IN = "alpaca_eval/lc/df_gamed_surrogate"
CAPPED: Mapping[str, float | None] = {
    "length_controlled_win_rate": None,
    "length_capped_win_rate": 0.99,
}
"""Quantile at which lengths are capped, by metric."""


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
    baseline: str | None = None
    """Model of the suite whose own answers stand in the reference's place, so that `data` needs no
    `output`; it draws with itself.  Default: the reference outputs."""

    @property
    def opponents(self) -> tuple[str, ...]:
        """The baseline answers every instruction, whichever model is judged."""
        return () if self.baseline is None else (self.baseline,)


class AlpacaEval:
    """One answer per instruction, compared by the judge with the reference."""

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
        """The evaluator configuration."""
        assert isinstance(spec, AlpacaEvalSpec)
        return {"evaluator": spec.evaluator or EDITIONS[str(spec.version)].evaluator}

    def data_needs(self) -> Sequence[str]:
        """The reference outputs, unless the suite has its own."""
        return () if self._spec.data is not None else (f"{TASK}/{self._reference}",)

    @property
    def _reference(self) -> str:
        return EDITIONS[str(self._spec.version)].reference

    def load(self) -> None:
        """Read the reference outputs.  Raises DataError."""
        if self._dataset is None:
            dataset = self._read()
            output = {"output": str} if self._spec.baseline is None else {}
            optional = {"dataset": str, "generator": str, "output": str}
            data.require(dataset, {"instruction": str, **output}, optional=optional)
            self._dataset = dataset

    def samples(self) -> Sequence[Sample]:
        """One per record, in file order; the id is the record's index."""
        return [
            Sample(
                id=sample_id(index),
                task=TASK,
                turns=(record["instruction"],),
                category=record.get("dataset"),
                reference=() if self._spec.baseline else (record["output"],),
                data=record,
            )
            for index, record in enumerate(self._loaded().records)
        ]

    def metrics(self, task: str) -> Sequence[Metric]:
        """Win rate, discrete win rate, average length in characters."""
        del task
        return METRICS

    def flow(self, sample: Sample, model: str) -> Flow[Outcome]:
        """The model's answer, then the judgment.  Raises BenchmarkError where there is no judge."""
        judges = [j for j in self._context.judges if isinstance(j, PairwiseJudge)]
        if not judges:
            raise no_judge(self.name, "pairwise")
        spec, reference = self._spec, sample.reference
        system = () if spec.system is None else (Message("system", spec.system),)
        prompt = (*system, Message("user", sample.turns[0]))
        seed = sampling_seed(self._context.seed, TASK, sample.id) if spec.temperature > 0 else None
        request = Request(
            engine=model,
            kind="generate",
            prompt=prompt,
            max_tokens=spec.max_tokens,
            temperature=spec.temperature,
            seed=seed,
            own_settings=spec.generation_config == "model",
        )
        try:
            (completion,) = yield [request]
            if spec.baseline is not None:
                (theirs,) = yield [replace(request, engine=spec.baseline)]
                reference = () if theirs.unfinished else (theirs.text.strip(),)
        except RequestFailed as failure:
            return Outcome(failure.status, prompt, reference=reference, error=str(failure))
        if completion.unfinished or not reference:
            mine = completion.unfinished
            return Outcome(
                "unfinished" if mine else "excluded",
                prompt,
                reference=reference,
                truncated=completion.truncated,
                error=NO_ANSWER if mine else f"{spec.baseline}: {NO_ANSWER}",
                thoughts=thoughts_of([completion]),
                thought_tokens=completion.thought_tokens,
            )
        answer = completion.text.strip()

        def compare(judge: PairwiseJudge) -> Flow[Judgment]:
            if answer == reference[0]:
                return Judgment(judge.name, judge.protocol, "ok", 0.5)
            return (yield from judge.compare(sample.turns[0], answer, reference[0]))

        asked = []
        for judge in judges:
            swapped, first = None, False
            if isinstance(judge, OneOrder) and answer != reference[0]:
                swapped = partial(judge.compare, sample.turns[0], reference[0], answer)
                first = judge.shows_first(sample.turns[0])
            asked.append(Asked(judge, partial(compare, judge), swapped, first))
        verdict = yield from judged(asked, self._context, sample.id)
        return Outcome(
            status=verdict.status,
            conversation=(*prompt, Message("assistant", answer)),
            answers=(answer,),
            reference=reference,
            scores=scores(answer, verdict.value),
            judgments=verdict.judgments,
            truncated=completion.truncated,
            error=verdict.error,
            thoughts=thoughts_of([completion]),
            thought_tokens=completion.thought_tokens,
        )

    def extra_figures(self, records: Sequence[Record], level: float) -> Sequence[Figure]:
        """Draws, length-controlled and length-capped win rate; nothing without records.

        The constants are downloaded where need be, but not for data of the suite's own.
        """
        if not records:
            return ()
        return figures(records, self._constants(), level, own_data=self._spec.data is not None)

    def constants(self) -> Mapping[str, str | None]:
        """The baseline's games: unless they are the stand-in or, of own data, there are none."""
        known = self._constants()
        if isinstance(known, str):
            return {} if self._spec.data is not None else {GAMES: None}
        if self._spec.data is not None:
            applies = any(sample.turns[0] in known.order for sample in self.samples())
            return {GAMES: known.sha256} if applies else {}
        return {} if known.note else {GAMES: known.sha256}

    def _constants(self) -> _Constants | str:
        places = self._context.places
        if self._spec.data is not None and places.downloads is not None:
            places = DataPlaces((*places.mirrors, places.downloads))
        return constants(places)

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
            **({"baseline": self._spec.baseline} if self._spec.baseline else {}),
            "judge": None if judge is None else dict(judge.describe()),
        }

    def nominal_requests(self) -> int | None:
        """Per model: 805 for the public data; for own data None until it is read."""
        if self._dataset is not None:
            return len(self._dataset.records)
        return catalogue.BENCHMARKS[TASK].requests if self._spec.data is None else None

    def _loaded(self) -> data.Dataset:
        self.load()
        assert self._dataset is not None
        return self._dataset

    def _read(self) -> data.Dataset:
        if self._spec.data is None:
            return data.records(f"{TASK}/{self._reference}", self._context.places)
        root, names = self._context.root, [f"{self._reference}.jsonl{end}" for end in ("", ".gz")]
        what = f"AlpacaEval ({self._spec.entry})"
        return data.read_jsonl(data.locate(self._spec.data, root, names, what=what))


# --- scores of one answer, also for imported annotations ------------------------------------------


def sample_id(index: int) -> str:
    """Of the instruction at this position of the canonical order (or of own data)."""
    return f"{index:04d}"


def preference(raw: Json) -> float | None:
    """alpaca_eval's `preference` of one annotation, for the answer, 0 to 1.

    Upstream's: 1 the reference is better, 2 the answer is better, weighted in between; 1.5 a draw,
    in old annotations 0 too; null not judged.  Numbers may be written as text.  Null, an absent
    preference, text that is no number, and numbers that are neither 0 nor from 1 to 2 are None, a
    missing judgment, as in `alpaca_eval.metrics.helpers.describe_head2head`.
    """
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        return None
    if value == 0:
        return 0.5
    return value - 1 if math.isfinite(value) and 1 <= value <= 2 else None


def scores(answer: str, preferred: float | None) -> tuple[Score, ...]:
    """One answer's preference (0 to 1), discrete win and length.

    Without a preference only the length: a pair that was not judged is in no win rate.  A discrete
    win counts 1, a preference of exactly one half counts half.
    """
    length = Score("avg_length", float(len(answer)))
    if preferred is None:
        return (length,)
    discrete = 0.5 if preferred == 0.5 else float(preferred > 0.5)
    return (Score("win_rate", preferred), Score("discrete_win_rate", discrete), length)


# --- figures that are not means over samples, from records alone ----------------------------------


@dataclass(frozen=True)
class _Constants:
    """What the length-controlled win rate needs besides the records."""

    order: Mapping[str, int]
    """Canonical position of each instruction."""
    games: Games
    note: str
    """Added to the method, where the games are a stand-in."""
    sha256: str
    """Of the games' file."""


def figures(
    records: Sequence[Record], known: _Constants | str, level: float, *, own_data: bool = False
) -> list[Figure]:
    """Draws, length-controlled and length-capped win rate of one model.

    Reads of each record the first user message (the instruction), the first answer and reference,
    and the score `win_rate`.  Equal records give equal figures.

    Args:
        records: one model's of one entry, at least one, in any order.
        known: the constants, or why there are none.
        level: confidence level of the intervals, 0 to 1.
        own_data: the instructions may be others than AlpacaEval's 805; if none is among them,
            the length-controlled figures do not apply and are left out.

    Returns:
        A figure that cannot be computed has the point None, and its method says why.
    """
    values = [v for r in records if (v := _preferred(r)) is not None]
    n, point = len(values), float(values.count(0.5)) if values else None
    how = Method(
        Estimator.CORPUS, Interval.STATED, detail="count of preferences of exactly one half"
    )
    counted = Measured(point, None, None, None, level, n, n, len(records) - n, how)
    model, entry = records[0].model, records[0].benchmark
    draws = Figure(model, FigureKey(entry, TASK, "draws"), "raw", counted)

    def controlled(name: str, share: Measured, note: str = "") -> Figure:
        detail = "; ".join(text for text in (share.method.detail, note) if text)
        value = replace(
            share.times(100.0),
            n_missing=len(records) - share.n,
            method=replace(share.method, detail=detail),
        )
        return Figure(model, FigureKey(entry, TASK, name), "percent", value)

    if isinstance(known, str):
        why = Method(Estimator.LENGTH_CONTROLLED, detail=known)
        none = Measured(None, None, None, None, level, 0, 0, 0, why)
        return [draws, *(() if own_data else (controlled(name, none) for name in CAPPED))]
    pairs, unknown = _pairs(records, known.order)
    if own_data and not pairs:
        return [draws]
    left_out = f"{unknown} with other instructions left out" if unknown else ""
    notes = "; ".join(note for note in (known.note, left_out) if note)
    found = [draws]
    for name, cap in CAPPED.items():
        share = length_controlled(pairs, known.games, level, cap_quantile=cap)
        found.append(controlled(name, share, notes))
    return found


def constants(places: DataPlaces) -> _Constants | str:
    """The constants, or why there are none.

    The hub's file first, downloaded if need be; the stand-in only where that is unavailable.  A
    damaged file is a reason: nothing is used in its place.
    """
    try:
        name = next((n for n in IN_ORDER if _found(n, places) is not None), INSTRUCTIONS)
        dataset = data.records(name, places)
        data.require(dataset, {"instruction": str})
        order = {row["instruction"]: index for index, row in enumerate(dataset.records)}
        for name, note in ((GAMES, ""), (STAND_IN, "baseline games: stand-in for df_gamed")):
            found = _found(name, places)
            if found is not None:
                return _Constants(order, _read_games(found.path), note, found.sha256)
    except DataError as error:
        return str(error)
    return f"neither {GAMES!r} nor a stand-in is on this machine or can be fetched from here"


def _found(name: str, places: DataPlaces) -> data.Found | None:
    """The file, fetched if need be; None: unavailable.  Raises DataError: damaged."""
    found = data.local(data.entry(name), places)
    if found is not None:
        return found
    if data.missing([name], places):
        return None
    try:
        return data.resolve(name, places)
    except DataError:
        return None


def _preferred(record: Record) -> float | None:
    if record.outcome.status == "excluded":
        return None
    return next((s.value for s in record.outcome.scores if s.metric == "win_rate"), None)


def _pairs(records: Sequence[Record], order: Mapping[str, int]) -> tuple[list[Pair], int]:
    """Pairs for AlpacaEval's instructions, and the number of answers to other instructions."""
    pairs, unknown = [], 0
    for record in records:
        outcome = record.outcome
        instruction = next((m.content for m in outcome.conversation if m.role == "user"), "")
        if not outcome.answers or not outcome.reference or outcome.status == "excluded":
            continue
        if instruction not in order:
            unknown += 1
            continue
        answer, reference = outcome.answers[0], outcome.reference[0]
        pairs.append(Pair(order[instruction], len(answer), len(reference), _preferred(record)))
    return pairs, unknown


def _read_games(path: Path) -> Games:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = ("preference", "std_delta_len", "instruction_difficulty")
    try:
        found = [(int(row["index"]), [float(row[name]) for name in numbers]) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not the baseline's games ({type(error).__name__}: {error}); expected columns "
            f"preference, index, std_delta_len, instruction_difficulty; fetch the file again"
        ) from error
    difficulty: dict[int, float] = {}
    for index, (_, _, value) in found:
        difficulty.setdefault(index, value)
    return Games(
        preference=tuple(values[0] for _, values in found),
        instruction=tuple(index for index, _ in found),
        std_delta_len=tuple(values[1] for _, values in found),
        difficulty=difficulty,
    )
