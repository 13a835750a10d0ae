"""Which model and which benchmark a heading means, and what it may not be taken for."""

from __future__ import annotations

import pytest

from evalkit.card.audit.evidence import Evidence
from evalkit.card.audit.labels import Vocabulary, judge_of
from evalkit.card.audit.models import Models, key_of, size_of, without_size
from evalkit.card.audit.shapes import Label

WORDS = Vocabulary({"my_task", "leaderboard_bbh_navigate"})

HEADINGS = [
    ("MT-Bench", Label(bench="mt_bench")),
    ("MT Bench (score)", Label(bench="mt_bench", metric="score")),
    ("MT-Bench (GPT-4)", Label(bench="mt_bench", judge="gpt-4")),
    ("MT-Bench (1 to 10)", Label(bench="mt_bench")),
    ("AlpacaEval", Label(bench="alpaca_eval")),
    ("AlpacaEval (win rate %)", Label(bench="alpaca_eval", metric="win_rate", percent=True)),
    ("AlpacaEval 2.0", Label(bench="alpaca_eval", version="2")),
    ("AlpacaEval2.0", Label(bench="alpaca_eval", version="2")),
    ("Alpaca Eval v1", Label(bench="alpaca_eval", version="1")),
    (
        "AlpacaEval 2 LC Win Rate ↑",
        Label(bench="alpaca_eval", version="2", metric="length_controlled_win_rate"),
    ),
    (
        "AlpacaEval (winrate) v.s. Text-Davinci-003",
        Label(bench="alpaca_eval", version="1", metric="win_rate"),
    ),
    (
        "AlpacaEval win rate vs GPT-4 Turbo",
        Label(bench="alpaca_eval", version="2", metric="win_rate"),
    ),
    ("ARC (25-shot)", Label(bench="arc_challenge", shots=25)),
    ("ARC-C", Label(bench="arc_challenge")),
    ("AI2 Reasoning Challenge (25-Shot)", Label(bench="arc_challenge", shots=25)),
    ("arc_challenge acc_norm", Label(bench="arc_challenge", metric="acc_norm")),
    ("ARC-Easy", Label(bench="arc_easy")),
    ("TruthfulQA (mc2, 0-shot)", Label(bench="truthfulqa", metric="mc2", shots=0)),
    ("ARC (25-s) ⬆️", Label(bench="arc_challenge", shots=25)),
    ("GSM8k (5-shot)", Label(bench="gsm8k", shots=5)),
    ("MMLU", Label(bench="mmlu")),
    ("MMLU-PRO (5-shot)", Label(bench="leaderboard_mmlu_pro", shots=5)),
    ("MATH Lvl 5 (4-Shot)", Label(bench="leaderboard_math", shots=4)),
    ("Average", Label(average=True)),
    ("Avg.", Label(average=True)),
    ("First turn", Label(metric="score_turn_1")),
    ("Average length", Label(metric="avg_length")),
    ("my_task", Label(bench="my_task")),
    ("leaderboard_bbh_navigate", Label(bench="leaderboard_bbh_navigate")),
    ("Rank", Label(kind="rank")),
    ("n-shot", Label(kind="shots")),
]


@pytest.mark.parametrize(("text", "label"), HEADINGS, ids=[text for text, _ in HEADINGS])
def test_a_heading_is_understood(text: str, label: Label) -> None:
    assert WORDS.read(text) == label


@pytest.mark.parametrize(
    "text",
    ["AlpacaEval vs GPT-4", "AlpacaEval (win rate) v.s. ChatGPT", "MMLU (German)", "MMLU-Redux",
     "MT-Bench-JA", "MT-Bench-101", "AlpacaEval-Hard", "GSM8K-Platinum", "HellaSwag-DE",
     "ARC Easy and Challenge", "MMLU STEM", "MT-Bench hard", "Winogrande xs"],
)  # fmt: skip
def test_a_heading_with_a_word_more_is_of_something_else(text: str) -> None:
    assert WORDS.read(text).unknown or WORDS.read(text).category


def test_the_judge_is_read_where_judging_is_spoken_of() -> None:
    assert judge_of("Judged by GPT-4-Turbo.") == "gpt-4-turbo"
    assert judge_of("with gpt-4o-mini as judge") == "gpt-4o-mini"
    assert judge_of("trained on GPT-4 data") is None
    assert judge_of("judges: GPT-4 and Claude 3") is None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("LLaMA2 Chat 70B", "llama-2-70b-chat-hf"),
        ("Zephyr-7b-β", "zephyr-7b-beta"),
        ("GPT-4", "gpt4"),
        ("XwinLM 70b V0.1", "xwinlm-70b-v0.1"),
        ("Tülu 2+DPO 70B", "tulu-2-dpo-70b"),
        ("Mixtral 8x7B", "mixtral-8x7b"),
        ("Notus-7b-v1 (ours)", "notus-7b-v1"),
    ],
)
def test_ways_of_writing_one_model(ours: str, theirs: str) -> None:
    assert key_of(ours) == key_of(theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Claude 2", "Claude 2.1"),
        ("zephyr-7b-alpha", "zephyr-7b-beta"),
        ("Tulu-2-DPO-7B", "Tulu-2-DPO-70B"),
        ("Llama-3-8B", "Llama-3.1-8B"),
        ("GPT-4o", "GPT-4"),
        ("Mistral-7B-v0.1", "Mistral-7B-v0.2"),
        ("zephyr-7b-beta (4-bit)", "zephyr-7b-beta"),
        ("Qwen1.5-7B", "Qwen-1-5-7B"),
    ],
)
def test_names_that_are_other_models(ours: str, theirs: str) -> None:
    assert key_of(ours) != key_of(theirs)


def test_sizes() -> None:
    assert size_of(key_of("Tulu-2-DPO-70B")) == "70b"
    assert size_of(key_of("Claude 2")) is None
    assert without_size(key_of("Tulu-2-DPO-7B")) == without_size(key_of("Tulu-2-DPO-70B"))


@pytest.fixture(scope="module")
def models(evidence: Evidence) -> Models:
    names: dict[str, set[str]] = {}
    for fact in evidence.facts:
        names.setdefault(fact.model, set()).update(fact.names)
    return Models(names, ("notus-7b-v1",))


def test_names_that_are_certain(models: Models) -> None:
    assert models.find("GPT-4").certain == {"gpt4"}
    assert models.find("Cohere Command").certain == {"cohere"}
    assert models.find("Zephyr 7B Beta").certain == {"zephyr-7b-beta"}
    assert models.find("Tulu 2 DPO", size="70B").certain == {"tulu-2-dpo-70b"}
    link = "https://huggingface.co/HuggingFaceH4/zephyr-7b-beta"
    assert models.find("Zephyr 7B", (link,)).certain == {"zephyr-7b-beta"}
    for own in ("", "Ours", "this model", "Score"):
        assert models.find(own).certain == {"notus-7b-v1"}


def test_names_that_may_be_several_models_are_only_possible(models: Models) -> None:
    assert models.find("Claude").certain == frozenset()
    assert "claude-2" not in models.find("Claude").possible
    assert models.find("GPT-3.5-turbo").certain == frozenset()
    assert "gpt-3.5-turbo-0301" in models.find("GPT-3.5-turbo").possible
    made_from = models.find("Mine (HuggingFaceH4/zephyr-7b-beta)")
    assert made_from.certain == frozenset()
    assert made_from.possible == {"zephyr-7b-beta"}


def test_the_names_of_given_evidence_mean_its_models() -> None:
    models = Models({"mine": (), "mine-2": ()}, stated=("mine",))
    assert models.find("mine").certain == {"mine"}
    assert Models({"mine": (), "mine-2": ()}).find("mine").certain == frozenset()


def test_text_and_link_that_disagree_settle_nothing(models: Models) -> None:
    link = "https://huggingface.co/allenai/tulu-2-dpo-7b"
    assert models.find("Tulu 2 DPO 70B", (link,)).certain != {"tulu-2-dpo-7b"}
    assert models.find("tulu", (link,)).certain == {"tulu-2-dpo-7b"}
