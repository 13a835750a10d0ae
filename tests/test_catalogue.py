"""The table of benchmarks: what people write finds it, and what is known of it is consistent."""

from __future__ import annotations

import pytest

from evalkit import catalogue
from evalkit.catalogue import BENCHMARKS, METRICS


@pytest.mark.parametrize(
    ("text", "name", "edition"),
    [
        ("AlpacaEval", "alpaca_eval", None),
        ("alpaca-eval 2.0", "alpaca_eval", "2"),
        ("AlpacaEval2", "alpaca_eval", "2"),
        ("Alpaca_Eval v1", "alpaca_eval", "1"),
        ("MT-Bench", "mt_bench", None),
        ("MTBENCH", "mt_bench", None),
        ("ARC", "arc_challenge", None),
        ("arc-c", "arc_challenge", None),
        ("AI2 Reasoning Challenge", "arc_challenge", None),
        ("Hella Swag", "hellaswag", None),
        ("GSM-8K", "gsm8k", None),
        ("MATH Lvl 5", "math_lvl_5", None),
        ("MMLU-Pro", "mmlu_pro", None),
        ("leaderboard_mmlu_pro", "mmlu_pro", None),
        ("MMLU (German)", None, None),
        ("MT-Bench 2", None, None),
        ("AlpacaEval 3", None, None),
        ("", None, None),
    ],
)
def test_a_benchmark_is_found_as_people_write_it_and_nothing_else_is(
    text: str, name: str | None, edition: str | None
) -> None:
    found = catalogue.by_name(text)
    assert (found and found.name, catalogue.edition_of(text)) == (name, edition)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("LC win rate", "length_controlled_win_rate"),
        ("Win Rate (length-controlled)", "length_controlled_win_rate"),
        ("win-rate", "win_rate"),
        ("Avg. length", "avg_length"),
        ("strict-match", "exact_match,strict-match"),
        ("pass@1", "pass_at_1"),
        ("accuracy", "accuracy"),
        ("BLEU max", "bleu_max"),
        ("speed", None),
    ],
)
def test_a_metric_is_found_as_people_write_it(text: str, name: str | None) -> None:
    found = catalogue.metric_by_name(text)
    assert (found and found.name) == name


def test_a_heading_is_read_by_its_longest_names() -> None:
    said = catalogue.words("TruthfulQA MC1 (0-shot) ↑")
    size, benchmark = catalogue.first_term(said) or (0, None)
    assert benchmark is BENCHMARKS["truthfulqa"]
    assert catalogue.first_term(said[size:]) == (1, METRICS["mc1"])
    assert catalogue.first_term(catalogue.words("MMLU-Pro")) == (2, BENCHMARKS["mmlu_pro"])
    assert catalogue.first_term(("of",)) is None


def test_a_task_is_of_a_benchmark_and_so_are_its_subtasks() -> None:
    found = {
        task: benchmark.name
        for task in ("truthfulqa_mc2", "mmlu_anatomy", "mmlu_pro_math", "leaderboard_bbh_navigate")
        if (benchmark := catalogue.by_task(task)) is not None
    }
    assert found == {
        "truthfulqa_mc2": "truthfulqa",
        "mmlu_anatomy": "mmlu",
        "mmlu_pro_math": "mmlu_pro",
        "leaderboard_bbh_navigate": "bbh",
    }
    assert catalogue.by_task("hellaswag_fr") is None


def test_headings_and_metrics_of_tasks_are_those_people_use() -> None:
    assert [catalogue.label(t) for t in ("arc_challenge", "leaderboard_bbh", "gsm8k_cot", "x")] == [
        "ARC",
        "BBH",
        "gsm8k_cot",
        "x",
    ]
    assert catalogue.said_metric("truthfulqa_mc2", "acc") == "mc2"
    assert catalogue.hub_metric("truthfulqa_mc1", "acc") == ("mc1", "mc1")
    assert catalogue.hub_metric("mmlu", "acc (mean of tasks)") == (
        "acc",
        "accuracy (mean of tasks)",
    )
    assert catalogue.metric("exact_match,remove_whitespace").words == (
        "exact match (remove whitespace)"
    )


def test_subjects_of_mmlu_are_configurations_of_its_data_set() -> None:
    found = catalogue.data_of("mmlu_anatomy")
    assert found is not None
    assert (found.type, found.config, found.split) == ("cais/mmlu", "anatomy", "test")
    assert catalogue.data_of("leaderboard_bbh_navigate") is None


@pytest.mark.parametrize("said", ["openai/gsm8k", "OPENAI/GSM8K", "gsm8k", "GSM8K"])
def test_a_data_set_of_the_hub_is_found_by_any_of_its_names(said: str) -> None:
    found = catalogue.hub_data_set(said)
    assert found is not None
    assert found.id == "openai/gsm8k"
    assert catalogue.hub_data_set("someone/gsm8k") is None


def test_only_registered_tasks_have_a_place_on_the_hubs_leaderboards() -> None:
    assert catalogue.why_not_on_hub("gsm8k_cot") == ""
    assert "log-probability" in catalogue.why_not_on_hub("gpqa_diamond_zeroshot")
    assert "diamond" in catalogue.why_not_on_hub("gpqa_main_zeroshot")
    assert "no registered" in catalogue.why_not_on_hub("mmlu")


def test_every_metric_named_is_in_the_table_and_every_data_set_is_known() -> None:
    for b in BENCHMARKS.values():
        assert set(b.metrics) <= set(METRICS), b.name
        if b.data is not None:
            assert catalogue.hub_data_set(b.data.type) is not None
    for m in METRICS.values():
        assert set(m.may_be) <= set(METRICS), m.name


def test_no_name_is_of_two_benchmarks() -> None:
    seen: dict[str, str] = {}
    for b in BENCHMARKS.values():
        for name in (b.name, b.label, *b.aliases):
            plain = "".join(catalogue.words(name))
            assert seen.setdefault(plain, b.name) == b.name
