"""The only table of benchmarks: names, data sets of the hub, tasks, shots, metrics, units, faults.

Facts only, and look-ups in them.  A run itself declares its headline figures; the checksums of
data files are in `data`.  Three tables, each by the name that everything else uses:

    BENCHMARKS  what people name: "alpaca_eval", "mt_bench", "arc_challenge", "mmlu_pro", ...
    METRICS     what records and figures name: "win_rate", "acc_norm", "exact_match,strict-match"
    UNITS       "percent", "points", "characters", "raw"

A `BenchmarkInfo` holds its `Task`s (lm-eval's, or evalkit's own type), its `BoardColumn` on the
Open LLM Leaderboard, and AlpacaEval's its `Edition`s.  Look-ups:

    by_name("MT Bench"), by_name("AlpacaEval 2.0")    a benchmark as people write it, else None
    edition_of("AlpacaEval 2.0")                      "2"
    by_task("leaderboard_bbh_navigate")               the benchmark of an lm-eval task or a type
    label("mmlu_anatomy"), data_of(...)               a column's heading; the hub's data set
    said_metric("truthfulqa_mc2", "acc")              "mc2": a task's metric as people call it
    metric("exact_match,strict-match").words          "exact match (strict-match)"; never fails
    metric_by_name("LC win rate")                     a metric as people write it, else None
    first_term(words("MMLU-Pro (5-shot)"))            the longest name that some words begin with
    unit("percent").words, .of_difference, .low, .high
    hub_metric(task, "acc_norm")                      its type and name in a `model-index`
    hub_data_set("hendrycks_test")                    a data set by any id or name it has had
    on_hub(), why_not_on_hub("gpqa_main_zeroshot")    the hub's leaderboards (`.eval_results`)
    columns(1), chance("leaderboard_gpqa_main")       the leaderboards' columns, 1/4

Sources: the benchmarks' papers, the leaderboards' column heads of 2023 and 2024 ("AI2 Reasoning
Challenge (25-Shot)", "MATH Lvl 5"), alpaca_eval's leaderboard ("LC Win Rate"), lm-eval's task
names, and the `model-index` entries of the leaderboard's bot with today's owners of the data sets.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from evalkit.core.figures import Unit

__all__ = [
    "BENCHMARKS",
    "HUB_SETS",
    "METRICS",
    "UNITS",
    "BenchmarkInfo",
    "BoardColumn",
    "Edition",
    "HubData",
    "HubSet",
    "MetricInfo",
    "Task",
    "Term",
    "UnitInfo",
    "by_name",
    "by_task",
    "chance",
    "columns",
    "data_of",
    "edition_of",
    "first_term",
    "hub_data_set",
    "hub_metric",
    "label",
    "metric",
    "metric_by_name",
    "on_hub",
    "said_metric",
    "unit",
    "why_not_on_hub",
    "words",
]

# --- units ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UnitInfo:
    """What is known of a unit."""

    words: str
    of_difference: str
    """The unit of a difference, in words."""
    low: float | None = None
    """Smallest possible figure; None: unknown."""
    high: float | None = None
    has_direction: bool = True
    """Higher (or lower) is better; False for lengths."""


UNITS: Mapping[str, UnitInfo] = {
    "percent": UnitInfo("percent", "percentage points", 0.0, 100.0),
    "points": UnitInfo("points of 10", "points of 10", 1.0, 10.0),
    "characters": UnitInfo("characters", "characters", has_direction=False),
    "raw": UnitInfo("in its own unit", "in its own unit"),
}


def unit(name: str) -> UnitInfo:
    """A unit; an unknown one is in its own unit."""
    return UNITS.get(name, UNITS["raw"])


# --- metrics --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MetricInfo:
    """A metric, or a word for several."""

    name: str
    """As records and figures have it."""
    shown: str = ""
    """As evalkit prints it, where that is not its name with blanks."""
    names: tuple[str, ...] = ()
    """As people write it, besides `name` and `words`; case, blanks and dashes do not matter."""
    may_be: tuple[str, ...] = ()
    """Metrics that the word may stand for in a table or a sentence; empty: itself."""
    unit: Unit = "percent"
    hub_type: str = ""
    """`metrics: type` in a `model-index`; empty: `name`."""
    hub_name: str = ""
    """`metrics: name` there; empty: `name` with blanks."""
    over_tasks: bool = False
    """An average over a benchmark's tasks, which goes by the benchmark's name."""

    @property
    def words(self) -> str:
        """As evalkit prints it."""
        match = _VARIANT.fullmatch(self.name)
        plain = f"{match['base']} ({match['variant']})" if match is not None else self.name
        return self.shown or plain.replace("_", " ")


_EXACT = ("exact_match,strict-match", "exact_match,flexible-extract", "exact_match,get-answer")
_IFEVAL = (
    "prompt_level_strict_acc",
    "inst_level_strict_acc",
    "prompt_level_loose_acc",
    "inst_level_loose_acc",
)
_WRITTEN = tuple(
    f"{name}_{kind}"
    for name in ("bleu", "rouge1", "rouge2", "rougeL")
    for kind in ("max", "acc", "diff")
)
"""Of TruthfulQA's written answers."""


_VARIANT = re.compile(r"(?P<base>\w+)(?: \(|,)(?P<variant>.+?)\)?")
"""`exact_match,strict-match`, `acc (mean of tasks)`."""


def metric(name: str) -> MetricInfo:
    """A metric as records call it; one that is not in the table has its name only."""
    return METRICS.get(name) or MetricInfo(name)


def hub_metric(task: str, name: str) -> tuple[str, str]:
    """(type, name) of a task's metric in a `model-index`."""
    match = _VARIANT.fullmatch(name)
    base, variant = (match["base"], match["variant"]) if match is not None else (name, "")
    info, said = metric(base), said_metric(task, base)
    kind, shown = info.hub_type or base, info.hub_name or base.replace("_", " ")
    if said != base:
        kind = shown = said
    return kind, f"{shown} ({variant})" if variant else shown


METRICS: Mapping[str, MetricInfo] = {
    m.name: m
    for m in (
        MetricInfo(
            "win_rate", names=("win rates", "wr"), may_be=("win_rate", "discrete_win_rate")
        ),
        MetricInfo(
            "length_controlled_win_rate",
            names=(
                "lc", "lc wr", "wr lc", "lc win rate", "win rate lc", "length controlled",
                "length controlled wr", "win rate length controlled", "win rates length controlled",
            ),
            hub_name="length-controlled win rate",
        ),
        MetricInfo("length_capped_win_rate"),
        MetricInfo("discrete_win_rate"),
        MetricInfo("win_rate_adjusted"),
        MetricInfo("loss_rate"),
        MetricInfo("draws", unit="raw"),
        MetricInfo(
            "avg_length", "average length",
            ("length", "avg len", "mean length", "output length", "average length characters"),
            unit="characters",
        ),
        MetricInfo(
            "score", "score, both turns", ("scores", "rating", "points", "mt bench score"),
            may_be=("score", "win_rate", "length_controlled_win_rate", "acc", "acc_norm"),
            unit="points", hub_name="MT-Bench score (1 to 10)",
        ),
        MetricInfo(
            "score_turn_1", "score, first turn", ("turn 1", "first turn", "1st turn", "turn one"),
            unit="points",
        ),
        MetricInfo(
            "score_turn_2", "score, second turn",
            ("turn 2", "second turn", "2nd turn", "turn two"), unit="points",
        ),
        MetricInfo(
            "accuracy",
            may_be=(
                "acc", "acc_norm", "mc1", "mc2", "normalised", "prompt_level_strict_acc", *_EXACT
            ),
        ),
        MetricInfo(
            "acc", "accuracy", hub_name="accuracy",
            may_be=("acc", "acc_norm", "mc1", "mc2", "exact_match,strict-match"),
        ),
        MetricInfo("acc (mean of tasks)", "accuracy, mean of tasks"),
        MetricInfo(
            "acc_norm", "accuracy, length-normalised", ("accuracy length normalized",),
            hub_name="normalized accuracy",
        ),
        MetricInfo(
            "normalised",
            names=("normalized", "normalised accuracy", "normalized accuracy", "normalized score"),
            may_be=("normalised", "acc_norm"),
            hub_type="normalized_score", hub_name="score normalized against chance",
        ),
        MetricInfo("mc1"),
        MetricInfo("mc2"),
        MetricInfo("exact_match", may_be=("exact_match", "em", "normalised", *_EXACT)),
        MetricInfo(
            "em", may_be=("exact_match", "em", "normalised", *_EXACT), hub_type="exact_match",
            hub_name="exact match",
        ),
        MetricInfo("f1", names=("f1 score",), hub_name="f1 score"),
        MetricInfo("exact_match,strict-match", names=("strict match", "exact match strict")),
        MetricInfo(
            "exact_match,flexible-extract", names=("flexible extract", "exact match flexible")
        ),
        MetricInfo("exact_match,get-answer", names=("get answer",)),
        MetricInfo(
            "strict accuracy",
            may_be=("normalised", "prompt_level_strict_acc", "inst_level_strict_acc"),
        ),
        *(MetricInfo(name, names=(name.removesuffix("_acc"),)) for name in _IFEVAL),
        *(MetricInfo(name, unit="raw") for name in _WRITTEN),
        MetricInfo("perplexity", unit="raw"),
        MetricInfo("pass_at_1", names=("pass@1",)),
        MetricInfo("average", names=("avg", "mean", "overall"), over_tasks=True),
        MetricInfo("average_without_drop", "average without DROP", over_tasks=True),
    )
}  # fmt: skip


# --- data sets of the hub -------------------------------------------------------------------------


@dataclass(frozen=True)
class HubSet:
    """A data set of the hub."""

    id: str
    """Today's `OWNER/NAME`."""
    name: str
    """For people."""
    former: tuple[str, ...] = ()
    """Ids under which the same files are loaded."""
    copies: tuple[str, ...] = ()
    """Other ids of the same questions, of other owners or in another form; short names."""


@dataclass(frozen=True)
class HubData:
    """A data set as a `model-index` names it."""

    name: str
    """For people."""
    type: str
    """Its id on the hub; `unknown` where it is not there."""
    config: str | None = None
    split: str | None = None


HUB_SETS: Mapping[str, HubSet] = {
    s.id: s
    for s in (
        HubSet("tatsu-lab/alpaca_eval", "AlpacaEval"),
        HubSet(
            "HuggingFaceH4/mt_bench_prompts", "MT-Bench", (), ("lmsys/mt_bench", "lmsys/mt-bench")
        ),
        HubSet(
            "allenai/ai2_arc", "AI2 Reasoning Challenge", ("ai2_arc",), ("arc", "arc_challenge")
        ),
        HubSet("Rowan/hellaswag", "HellaSwag", ("hellaswag",)),
        HubSet("cais/mmlu", "MMLU", ("hails/mmlu_no_train",), ("lukaemon/mmlu", "hendrycks_test")),
        HubSet(
            "truthfulqa/truthful_qa",
            "TruthfulQA",
            ("truthful_qa",),
            ("EleutherAI/truthful_qa_mc",),
        ),
        HubSet("allenai/winogrande", "Winogrande", ("winogrande",)),
        HubSet("openai/gsm8k", "GSM8K", ("gsm8k",)),
        HubSet("ucinlp/drop", "DROP"),
        HubSet(
            "google/IFEval",
            "IFEval",
            (),
            ("wis-k/instruction-following-eval", "HuggingFaceH4/ifeval"),
        ),
        HubSet("SaylorTwift/bbh", "BBH", ("lukaemon/bbh",)),
        HubSet("DigitalLearningGmbH/MATH-lighteval", "MATH Lvl 5"),
        HubSet("Idavidrein/gpqa", "GPQA"),
        HubSet("TAUR-Lab/MuSR", "MuSR"),
        HubSet("TIGER-Lab/MMLU-Pro", "MMLU-Pro"),
    )
}
"""By id."""


def hub_data_set(text: str) -> HubSet | None:
    """The data set with this id, former id or short name; None: not in the table."""
    plain = text.casefold().strip()
    return _hub_names().get(plain if "/" in plain else _plain(plain))


@functools.cache
def _hub_names() -> Mapping[str, HubSet]:
    found: dict[str, HubSet] = {}
    for one in HUB_SETS.values():
        for name in (one.id, one.name, one.id.partition("/")[2], *one.former, *one.copies):
            found[name.casefold() if "/" in name else _plain(name)] = one
    return found


# --- benchmarks -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """An lm-eval task or group, or a type of benchmark."""

    name: str
    label: str = ""
    """Heading of its column in a table; empty: the benchmark's for the first, else its name."""
    data: HubData | None = None
    """Where its data differ from the benchmark's."""
    said: Mapping[str, str] = field(default_factory=dict)
    """By metric, the name people use, where it is another."""
    hub_task: str = ""
    """`task_id` on the hub's leaderboard of the data set, where this is its task."""


@dataclass(frozen=True)
class BoardColumn:
    """A column of the Open LLM Leaderboard."""

    board: Literal[1, 2]
    """1: of 2023; 2: of 2024."""
    task: str
    """lm-eval's task, or what the names of its tasks begin with."""
    metric: str
    """Of the task's documents."""
    shots: int
    formerly: tuple[str, ...] = ()
    """Names that older harnesses have for the metric."""
    choices: Mapping[str, int] = field(default_factory=dict)
    """Number of answers c by task, of version 2; the chance level is 1/c."""
    differences_2023: tuple[str, ...] = ()
    """How the settings of 2023 differ from lm-eval's present ones."""

    @property
    def printed_metric(self) -> str:
        """The figure that the column shows."""
        if self.board == 2:
            return "normalised"
        return "acc (mean of tasks)" if self.task == "mmlu" else self.metric


@dataclass(frozen=True)
class Edition:
    """A version of AlpacaEval: whom answers are compared with, and who judges."""

    reference: str
    """Data set of the reference's answers, below `alpaca_eval/`."""
    evaluator: str
    """alpaca_eval's evaluator of its leaderboard."""
    hub_config: str
    """Configuration of the hub's data set that holds the reference's answers."""


@dataclass(frozen=True)
class BenchmarkInfo:
    """One benchmark as people name it."""

    name: str
    label: str
    """As evalkit prints it."""
    aliases: tuple[str, ...] = ()
    """Other spellings; case, blanks and dashes do not matter."""
    metrics: tuple[str, ...] = ("acc",)
    """Metrics, as people call them, that a figure without a named metric may have; the first is
    the headline by convention."""
    tasks: tuple[Task, ...] = ()
    """The first is the one by convention; a name of a task is a name of the benchmark, too."""
    data: HubData | None = None
    unit: Unit = "percent"
    column: BoardColumn | None = None
    samples: int | None = None
    """In the full data set."""
    requests: int | None = None
    """Requests per model: one per choice, or per turn."""
    floor: float | None = None
    """Percent; guessing scores more, so a lower number is no percentage."""
    categories: tuple[str, ...] = ()
    editions: Mapping[str, Edition] = field(default_factory=dict)
    """By version."""
    is_common_word: bool = False
    """Its name is an English word: a heading means it only beside other benchmarks."""
    family: str = ""
    """Benchmark whose name people also use for it."""
    fault: str = ""
    """A known fault, with its source."""

    @property
    def headline(self) -> str:
        """The metric by convention."""
        return self.metrics[0]


_SHUFFLED = (
    "worked examples: generator seeded with 42, after shuffling the documents with it (now: 1234, "
    "in document order)"
)
_MACRO = (
    "average: mean of the 57 tasks (lm-eval now prints the mean over all questions; both are "
    "reported)"
)
_STOPS = (
    "generation stops at ':', 'Question:' and 'Question' (now: 'Question:', '</s>' and "
    "'<|im_end|>'), which cuts answers that contain a colon"
)
_DROP_PROMPT = (
    "prompt: 'Passage: …', 'Question: …', 'Answer:' with the worked answers written out (now: "
    "passage and question only, and the worked answers are the words 'number,date,spans')"
)
_BBH = {
    "boolean_expressions": 2,
    "causal_judgement": 2,
    "date_understanding": 6,
    "disambiguation_qa": 3,
    "formal_fallacies": 2,
    "geometric_shapes": 11,
    "hyperbaton": 2,
    "logical_deduction_five_objects": 5,
    "logical_deduction_seven_objects": 7,
    "logical_deduction_three_objects": 3,
    "movie_recommendation": 6,
    "navigate": 2,
    "object_counting": 19,
    "penguins_in_a_table": 5,
    "reasoning_about_colored_objects": 18,
    "ruin_names": 6,
    "salient_translation_error_detection": 6,
    "snarks": 2,
    "sports_understanding": 2,
    "temporal_sequences": 4,
    "tracking_shuffled_objects_five_objects": 5,
    "tracking_shuffled_objects_seven_objects": 7,
    "tracking_shuffled_objects_three_objects": 3,
    "web_of_lies": 2,
}
_GPQA = ("leaderboard_gpqa_diamond", "leaderboard_gpqa_extended", "leaderboard_gpqa_main")
_MUSR = {
    "leaderboard_musr_murder_mysteries": 2,
    "leaderboard_musr_object_placements": 5,
    "leaderboard_musr_team_allocation": 3,
}
_ACC = ("acc_norm", "acc")
_V2 = ("normalised", "acc_norm", "acc")
_TRUTHFULQA = HubData("TruthfulQA", "truthfulqa/truthful_qa", "multiple_choice", "validation")

BENCHMARKS: Mapping[str, BenchmarkInfo] = {
    b.name: b
    for b in (
        BenchmarkInfo(
            "alpaca_eval", "AlpacaEval",
            metrics=("win_rate", "length_controlled_win_rate", "discrete_win_rate"),
            data=HubData("AlpacaEval", "tatsu-lab/alpaca_eval", None, "eval"),
            samples=805, requests=805,
            editions={
                "1": Edition(
                    "reference_text_davinci_003", "alpaca_eval_gpt4", "alpaca_eval"
                ),
                "2": Edition(
                    "reference_gpt4_turbo", "weighted_alpaca_eval_gpt4_turbo",
                    "alpaca_eval_gpt4_baseline",
                ),
            },
            fault="Judges prefer long answers; the length-controlled win rate corrects for it "
            "(Dubois et al. 2024, arXiv:2404.04475).",
        ),
        BenchmarkInfo(
            "mt_bench", "MT-Bench", metrics=("score",),
            data=HubData("MT-Bench", "HuggingFaceH4/mt_bench_prompts", None, "train"),
            unit="points", samples=80, requests=160,
            categories=(
                "writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem",
                "humanities",
            ),
            fault="Some of GPT-4's reference answers in math, coding and reasoning are wrong "
            "(https://inflection.ai/blog/inflection-2-5).",
        ),
        BenchmarkInfo(
            "open_llm_leaderboard", "Open LLM Leaderboard", ("open llm leaderboard average",),
            ("average", "average_without_drop"),
        ),
        BenchmarkInfo("lm_eval", "lm-eval", ("lm evaluation harness",), ()),
        BenchmarkInfo(
            "arc_challenge", "ARC", ("arc c", "ai2 reasoning challenge", "ai2 arc"), _ACC,
            data=HubData("AI2 Reasoning Challenge", "allenai/ai2_arc", "ARC-Challenge", "test"),
            column=BoardColumn(1, "arc_challenge", "acc_norm", 25, differences_2023=(_SHUFFLED,)),
            samples=1_172, requests=4_687, floor=10,
        ),
        BenchmarkInfo(
            "arc_easy", "ARC-Easy", ("arc e",), _ACC,
            data=HubData("AI2 Reasoning Challenge", "allenai/ai2_arc", "ARC-Easy", "test"),
            floor=10,
        ),
        BenchmarkInfo(
            "hellaswag", "HellaSwag", metrics=_ACC,
            data=HubData("HellaSwag", "Rowan/hellaswag", None, "validation"),
            column=BoardColumn(1, "hellaswag", "acc_norm", 10, differences_2023=(_SHUFFLED,)),
            samples=10_042, requests=40_168, floor=10,
        ),
        BenchmarkInfo(
            "mmlu", "MMLU", ("massive multitask language understanding", "hendryckstest"),
            data=HubData("MMLU", "cais/mmlu", "all", "test"),
            column=BoardColumn(1, "mmlu", "acc", 5, differences_2023=(_MACRO,)),
            samples=14_042, requests=56_168, floor=10,
            fault="About 6.5% of its questions have errors (Gema et al. 2024, arXiv:2406.04127).",
        ),
        BenchmarkInfo(
            "truthfulqa", "TruthfulQA", ("tqa",), ("mc2", "mc1", "acc"),
            (
                Task("truthfulqa_mc2", said={"acc": "mc2"}),
                Task("truthfulqa_mc1", "TruthfulQA MC1", said={"acc": "mc1"}),
                # lm-eval's tag of all three tasks: both configurations.
                Task("truthfulqa", data=replace(_TRUTHFULQA, config=None)),
            ),
            _TRUTHFULQA, column=BoardColumn(1, "truthfulqa_mc2", "acc", 0, formerly=("mc2",)),
            samples=817, requests=6_204, floor=5,
        ),
        BenchmarkInfo(
            "truthfulqa_gen", "TruthfulQA (generation)", metrics=_WRITTEN,
            data=replace(_TRUTHFULQA, config="generation"), unit="raw", samples=817,
            family="truthfulqa",
        ),
        BenchmarkInfo(
            "winogrande", "Winogrande",
            data=HubData("Winogrande", "allenai/winogrande", "winogrande_xl", "validation"),
            column=BoardColumn(1, "winogrande", "acc", 5, differences_2023=(_SHUFFLED,)),
            samples=1_267, requests=2_534, floor=20,
        ),
        BenchmarkInfo(
            "gsm8k", "GSM8K", metrics=_EXACT,
            tasks=tuple(
                Task(f"gsm8k{how}", hub_task="gsm8k")
                for how in ("", "_cot", "_cot_llama", "_cot_self_consistency", "_cot_zeroshot")
            ),
            data=HubData("GSM8K", "openai/gsm8k", "main", "test"),
            column=BoardColumn(
                1, "gsm8k", "exact_match,strict-match", 5,
                formerly=("exact_match,get-answer", "acc"), differences_2023=(_SHUFFLED, _STOPS),
            ),
            samples=1_319, requests=1_319,
            fault="With the settings of 2023 generation stops at a colon, so that right answers "
            "are cut before their number.",
        ),
        BenchmarkInfo(
            "drop", "DROP", metrics=("f1", "em"),
            data=HubData("DROP", "ucinlp/drop", None, "validation"),
            column=BoardColumn(1, "drop", "f1", 3, differences_2023=(_SHUFFLED, _DROP_PROMPT)),
            samples=9_536, requests=9_536, is_common_word=True,
            fault="The leaderboard withdrew it in December 2023: answers were cut at the first "
            "full stop, and a number before a line break counted as wrong "
            "(https://huggingface.co/blog/open-llm-leaderboard-drop).",
        ),
        BenchmarkInfo(
            "ifeval", "IFEval", metrics=("normalised", *_IFEVAL),
            tasks=(Task("leaderboard_ifeval"),),
            data=HubData("IFEval", "google/IFEval", None, "train"),
            column=BoardColumn(2, "leaderboard_ifeval", "prompt_level_strict_acc", 0),
            samples=541, requests=541,
        ),
        BenchmarkInfo(
            "bbh", "BBH", ("big bench hard",), _V2, (Task("leaderboard_bbh"),),
            HubData("BBH", "SaylorTwift/bbh", None, "test"),
            column=BoardColumn(
                2, "leaderboard_bbh", "acc_norm", 3,
                choices={f"leaderboard_bbh_{name}": c for name, c in _BBH.items()},
            ),
            samples=5_761, requests=31_710,
        ),
        BenchmarkInfo(
            "math_lvl_5", "MATH Lvl 5", ("math level 5", "math hard"),
            ("normalised", "exact_match"),
            (Task("leaderboard_math"), Task("leaderboard_math_hard")),
            HubData("MATH Lvl 5", "DigitalLearningGmbH/MATH-lighteval", None, "test"),
            column=BoardColumn(2, "leaderboard_math", "exact_match", 4),
            samples=1_324, requests=1_324,
        ),
        BenchmarkInfo(
            "gpqa", "GPQA", metrics=_V2,
            tasks=(
                Task("leaderboard_gpqa"),
                *(
                    Task(f"gpqa_diamond_{how}", hub_task="diamond")
                    for how in ("cot_n_shot", "cot_zeroshot", "generative_n_shot")
                ),
            ),
            data=HubData("GPQA", "Idavidrein/gpqa", None, "train"),
            column=BoardColumn(
                2, "leaderboard_gpqa", "acc_norm", 0, choices=dict.fromkeys(_GPQA, 4)
            ),
            samples=1_192, requests=4_768,
        ),
        BenchmarkInfo(
            "musr", "MuSR", metrics=_V2, tasks=(Task("leaderboard_musr"),),
            data=HubData("MuSR", "TAUR-Lab/MuSR"),
            column=BoardColumn(2, "leaderboard_musr", "acc_norm", 0, choices=_MUSR),
            samples=756, requests=2_530,
        ),
        BenchmarkInfo(
            "mmlu_pro", "MMLU-Pro", metrics=_V2,
            tasks=(Task("leaderboard_mmlu_pro"), Task("mmlu_pro", hub_task="mmlu_pro")),
            data=HubData("MMLU-Pro", "TIGER-Lab/MMLU-Pro", None, "test"),
            column=BoardColumn(
                2, "leaderboard_mmlu_pro", "acc", 5, choices={"leaderboard_mmlu_pro": 10}
            ),
            samples=12_032, requests=113_966,
        ),
        BenchmarkInfo("arena_hard", "Arena-Hard", metrics=("score",)),
        BenchmarkInfo("boolq", "BoolQ"),
        BenchmarkInfo("humaneval", "HumanEval", metrics=("pass_at_1",)),
        BenchmarkInfo("lambada_openai", "LAMBADA", metrics=("acc", "perplexity")),
        BenchmarkInfo("mbpp", "MBPP", metrics=("pass_at_1",)),
        BenchmarkInfo("openbookqa", "OpenBookQA", ("obqa",), _ACC),
        BenchmarkInfo("piqa", "PIQA", metrics=_ACC),
    )
}  # fmt: skip
"""By name.  Columns of a leaderboard are in its printed order.

Requests: one per choice, counted from the data sets' test or validation splits.  GPQA: 198 + 448 +
546 documents with 4 choices; MMLU-Pro: up to 10 choices; MuSR: 250, 256 and 250 documents with 2,
up to 5 and 3 choices.

The hub's leaderboards (https://huggingface.co/docs/hub/eval-results) are HLE, GPQA, MMLU-Pro and
GSM8K; the allow-list grows and cannot be fetched offline.  `hub_task`: GSM8K and MMLU-Pro as the
Every Eval Ever package 0.3.0 posts them (`tools/hf_community_evals.py`); GPQA `diamond` as there
and in `.eval_results/gpqa.yaml` of MiniMaxAI/MiniMax-M2.5, commit f710177.
"""


def by_task(task: str) -> BenchmarkInfo | None:
    """The benchmark of an lm-eval task or group, or of a type of benchmark.

    Subtasks belong to it: `mmlu_anatomy`, `leaderboard_bbh_navigate`.
    """
    if task in _tasks():
        return _tasks()[task][0]
    group = group_of(task)
    return None if group is None else _tasks()[group][0]


@functools.cache
def _tasks() -> Mapping[str, tuple[BenchmarkInfo, Task]]:
    found = {b.name: (b, Task(b.name)) for b in BENCHMARKS.values()}
    return found | {task.name: (b, task) for b in BENCHMARKS.values() for task in b.tasks}


def group_of(task: str) -> str | None:
    """The longest leaderboard group that a subtask's name begins with: `mmlu` of `mmlu_anatomy`."""
    groups = ["mmlu", "mmlu_pro", *(c.task for c in columns(2))]
    return max((g for g in groups if task.startswith(f"{g}_")), key=len, default=None)


def label(task: str) -> str:
    """A task's column heading; for a task that is not in the table, its name."""
    if task not in _tasks():
        return task
    benchmark, own = _tasks()[task]
    is_main = task == benchmark.name or own in benchmark.tasks[:1]
    return own.label or (benchmark.label if is_main else task)


def data_of(task: str) -> HubData | None:
    """The hub's data set of a task, or of one of MMLU's subjects; None: not in the table."""
    if task in _tasks():
        benchmark, own = _tasks()[task]
        return own.data or benchmark.data
    group = group_of(task)
    if group not in ("mmlu", "mmlu_pro"):
        return None
    whole = data_of(group)
    subject = task.removeprefix(f"{group}_")
    return whole and replace(whole, name=f"{whole.name} {subject}", config=subject)


def said_metric(task: str, name: str) -> str:
    """A task's metric as people call it: `acc` of `truthfulqa_mc2` is `mc2`."""
    return _tasks()[task][1].said.get(name, name) if task in _tasks() else name


def columns(board: Literal[1, 2], *, drop: bool = False) -> tuple[BoardColumn, ...]:
    """Columns of a version of the Open LLM Leaderboard; `drop`: with DROP, as in November 2023."""
    found = (b.column for b in BENCHMARKS.values() if b.column is not None)
    return tuple(c for c in found if c.board == board and (drop or c.task != "drop"))


def chance(task: str) -> float | None:
    """Chance level of a task on version 2 of the leaderboard, 0 to 1; None: it has none."""
    found = next((c.choices[task] for c in columns(2) if task in c.choices), None)
    return None if found is None else 1 / found


def on_hub() -> Mapping[str, tuple[str, str]]:
    """By lm-eval task: data set and `task_id` of its leaderboard on the hub."""
    return {
        name: (b.data.type, task.hub_task)
        for name, (b, task) in sorted(_tasks().items(), key=lambda item: item[0])
        if task.hub_task and b.data is not None
    }


_BY_PROBABILITY = "scored by log-probability, the leaderboard is of written answers"


def why_not_on_hub(task: str) -> str:
    """Why a task has no place on a leaderboard of the hub; empty where it has one."""
    if task in on_hub():
        return ""
    if task.startswith(("gpqa_diamond_", "leaderboard_gpqa", "leaderboard_mmlu_pro")):
        return _BY_PROBABILITY
    if task.startswith("gpqa_"):
        return "the hub's leaderboard of GPQA is of its diamond questions"
    return "no registered benchmark of the hub, as far as evalkit knows"


# --- names as people write them -------------------------------------------------------------------

Term: TypeAlias = BenchmarkInfo | MetricInfo
_LATEX = re.compile(r"\$|\\(?:up|down)arrow")
_GLUED = re.compile(r"(?:(?<=alpacaeval)|(?<=alpaca[ _-]eval))(?=v?\d)")
_APART = re.compile(r"[\s_\-\u2010-\u2015\u2212/\\:;()\[\]{},|·•&*+=!?\"'“”\u2018\u2019<>]+")
_VERSION = re.compile(r"v?(\d)(?:\.0)?")
_LONGEST = 5
"""Words in the longest name."""


def words(text: str) -> tuple[str, ...]:
    """Words in lower case; arrows, pictures and punctuation are left out."""
    folded = unicodedata.normalize("NFKC", _LATEX.sub(" ", text)).casefold()
    spaced = _GLUED.sub(" ", folded.replace("%", " % ").replace("@", " @"))
    found = (w.strip(".") for w in _APART.split(spaced))
    return tuple(w for w in found if any(c.isalnum() or c in "%#±" for c in w))


def by_name(text: str) -> BenchmarkInfo | None:
    """The benchmark that a text names, without further words; AlpacaEval also with its version.

    "MT-Bench", "mt bench", "MTBench", "AlpacaEval 2.0"; None for anything else.
    """
    said = words(text)
    if _edition(said) is not None:
        said = said[:-1]
    return _benchmark_names().get(_plain(*said))


def edition_of(text: str) -> str | None:
    """The version of AlpacaEval that a text names: "AlpacaEval 2.0" is "2"."""
    return _edition(words(text))


def _edition(said: Sequence[str]) -> str | None:
    match = _VERSION.fullmatch(said[-1]) if len(said) > 1 else None
    benchmark = _benchmark_names().get(_plain(*said[:-1]))
    is_one = match is not None and benchmark is not None and match[1] in benchmark.editions
    return match[1] if match is not None and is_one else None


def metric_by_name(text: str) -> MetricInfo | None:
    """The metric, or the word for several, that a text names, without further words; else None."""
    return _metric_names().get(_plain(*words(text)))


def first_term(said: Sequence[str]) -> tuple[int, Term] | None:
    """(number of words, what they name) of the longest name at the start of some `words`."""
    for size in range(min(_LONGEST, len(said)), 0, -1):
        plain = _plain(*said[:size])
        found: Term | None = _benchmark_names().get(plain) or _metric_names().get(plain)
        if found is not None:
            return size, found
    return None


@functools.cache
def _benchmark_names() -> Mapping[str, BenchmarkInfo]:
    found: dict[str, BenchmarkInfo] = {}
    for b in BENCHMARKS.values():
        tasks = (t.name for t in b.tasks if not t.said)  # "TruthfulQA MC1" names a metric, too
        for name in (b.name, b.label, *tasks, *b.aliases):
            found.setdefault(_plain(name), b)
    return found


@functools.cache
def _metric_names() -> Mapping[str, MetricInfo]:
    found: dict[str, MetricInfo] = {}
    for m in METRICS.values():
        for name in (m.name, *m.names):
            found.setdefault(_plain(name), m)
    for m in METRICS.values():
        found.setdefault(_plain(m.words), m)
    return found


def _plain(*said: str) -> str:
    """Letters and digits only, in lower case."""
    return "".join(c for text in said for c in text.casefold() if c.isalnum())
