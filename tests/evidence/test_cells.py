"""What a reader holds is found, or refused with the choices; nothing is guessed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.compare import Options
from evalkit.core import Run
from evalkit.draw import difference, figure
from evalkit.errors import ComparisonError, DataError
from evalkit.evidence import Figure, find
from evalkit.evidence.figures import of_runs
from evalkit.evidence.numbers import printed
from tests.support.runs import Plan, build_run

RUN = build_run(Path("reports/q/run1"), Plan(published=True))
OTHER = build_run(Path("reports/q/run2"), Plan(models=("tuned", "smollm2"), seed=2))


def named(text: str, runs: Sequence[Run] = (RUN,)) -> Figure:
    return find(runs, text, Options())


def test_every_figure_is_found_by_its_own_cell() -> None:
    figures = list(of_runs([RUN]))
    assert len(figures) > 30
    for wanted in figures:
        assert named(wanted.cell).row is wanted.row, wanted.cell


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("quick-lora/alpaca_eval", "quick-lora/alpaca_eval/alpaca_eval/win_rate"),
        ("Quick-LoRA/AlpacaEval", "quick-lora/alpaca_eval/alpaca_eval/win_rate"),
        ("quick-lora/MT-Bench/score_turn_1", "quick-lora/mt_bench/mt_bench/score_turn_1"),
        ("quick-lora/mt_bench score_turn_1", "quick-lora/mt_bench/mt_bench/score_turn_1"),
        ("smollm2/lm_eval/sums", "smollm2/lm_eval/sums/exact_match,strict-match"),
        ("smollm2/mt_bench/score/math", "smollm2/mt_bench/mt_bench/score/math"),
        ("smollm2/mt_bench/math", "smollm2/mt_bench/mt_bench/score/math"),
        ("quick-lora-smollm2/MT-Bench/math", "quick-lora-smollm2/mt_bench/mt_bench/score/math"),
        ("run1:smollm2/lm_eval/sums", "smollm2/lm_eval/sums/exact_match,strict-match"),
        ("3f2a9c1b7d04:smollm2/alpaca_eval", "smollm2/alpaca_eval/alpaca_eval/win_rate"),
        ("claude-2/alpaca_eval", "claude-2/alpaca_eval/alpaca_eval/win_rate"),
        ("  smollm2/alpaca_eval ", "smollm2/alpaca_eval/alpaca_eval/win_rate"),
        ("quick-lora-smollm2/AlpacaEval", "quick-lora-smollm2/alpaca_eval/alpaca_eval/win_rate"),
        (
            "quick-lora minus smollm2/lm_eval/opposites",
            "quick-lora-smollm2/lm_eval/opposites/acc",
        ),
        ("quick-lora \N{MINUS SIGN} smollm2/lm_eval/opposites/acc",
         "quick-lora-smollm2/lm_eval/opposites/acc"),
        ("claude-2 91.38", "claude-2/alpaca_eval/alpaca_eval/win_rate"),
        ("91.38", "claude-2/alpaca_eval/alpaca_eval/win_rate"),
        ("91.38%", "claude-2/alpaca_eval/alpaca_eval/win_rate"),
        ("91.4", "claude-2/alpaca_eval/alpaca_eval/win_rate"),
        ("alpaca_eval 91.38", "claude-2/alpaca_eval/alpaca_eval/win_rate"),
        ("claude-2/AlpacaEval 91.38", "claude-2/alpaca_eval/alpaca_eval/win_rate"),
        ("claude-2 0.9138", "claude-2/alpaca_eval/alpaca_eval/win_rate"),
    ],
)  # fmt: skip
def test_ways_of_writing(text: str, cell: str) -> None:
    assert named(text).cell == cell


def test_the_other_difference_is_computed_now() -> None:
    found = named("smollm2-quick-lora/alpaca_eval")
    stored = named("quick-lora-smollm2/alpaca_eval")
    assert stored.stored
    assert not found.stored
    assert found.value == pytest.approx(-(stored.value or 0))


def test_a_difference_over_two_runs() -> None:
    found = named("quick-lora-tuned/alpaca_eval", [RUN, OTHER])
    assert found.models == ("quick-lora", "tuned")
    assert found.run is RUN


def test_runs_that_were_not_measured_alike_are_refused() -> None:
    entries = [dict(e) for e in OTHER.manifest["benchmarks"]]
    entries[0]["description"] = {**entries[0]["description"], "max_tokens": 9}
    other = replace(OTHER, manifest={**OTHER.manifest, "benchmarks": entries})
    with pytest.raises(ComparisonError, match="max_tokens"):
        named("quick-lora-tuned/alpaca_eval", [RUN, other])


def test_one_name_in_two_runs_must_say_which() -> None:
    with pytest.raises(DataError, match="any of 2 figures") as caught:
        named("smollm2/alpaca_eval", [RUN, OTHER])
    choices = [line.strip().split("  ")[0] for line in str(caught.value).split("\n")[1:]]
    assert [named(choice, [RUN, OTHER]).run for choice in choices] == [RUN, OTHER]
    assert named("run2:smollm2/alpaca_eval", [RUN, OTHER]).run is OTHER


def test_a_number_that_several_figures_print_is_refused() -> None:
    first = next(e for e in RUN.estimates if e.model == "quick-lora")
    twin = replace(first, metric="twin")
    run = replace(RUN, estimates=(*RUN.estimates, twin))
    shown = figure(first.point, first.unit)
    with pytest.raises(DataError, match=r"name one:\n  quick-lora/alpaca_eval") as caught:
        named(f"quick-lora {shown}", [run])
    assert "/twin" in str(caught.value)


def test_a_benchmark_with_several_headlines_is_refused() -> None:
    with pytest.raises(DataError, match="any of 2 figures") as caught:
        named("smollm2/lm_eval")
    assert "smollm2/lm_eval/opposites/acc" in str(caught.value)
    assert "smollm2/lm_eval/sums/exact_match,strict-match" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody/alpaca_eval", "models: quick-lora, smollm2"),
        ("smollm2/alpaca", "expected one of: smollm2/alpaca_eval/alpaca_eval/win_rate"),
        ("smollm2/alpaca_eval/nope", "expected one of"),
        ("claude-2 91.39", "nearest: 91.38"),
        ("nobody 91.38", "'nobody' names no figure"),
        ("+91.38", "nearest"),
        ("", "names no figure"),
    ],
)
def test_refusals_say_what_there_is(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        named(text)
    assert message in str(caught.value)


def test_an_unfinished_run_has_no_figures() -> None:
    bare = replace(RUN, estimates=(), comparisons=())
    with pytest.raises(DataError, match="no figures"):
        named("smollm2/alpaca_eval", [bare])


def test_names_with_slashes_blanks_and_dashes() -> None:
    names = ("org/model-7b", "org/model", "a b", "org/model-org")
    run = build_run(Path("r"), Plan(models=names, samples=(6, 0, 4)))
    for wanted in of_runs([run]):
        assert named(wanted.cell, [run]).row is wanted.row, wanted.cell


def try_named(text: str, run: Run) -> Figure | None:
    """None where it is refused because several are meant."""
    try:
        return named(text, [run])
    except DataError as error:
        if "may be any of" not in str(error):
            raise
        return None


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@given(st.lists(TEXTS.map(lambda t: " ".join(t.split())).filter(bool), min_size=2, max_size=3))
def test_any_names_find_their_own_or_are_refused(names: list[str]) -> None:
    if len({name.casefold() for name in names}) < len(names):
        return
    run = build_run(Path("r"), Plan(models=tuple(names), samples=(3, 0, 2)))
    for wanted in of_runs([run]):
        found = try_named(wanted.cell, run)
        assert found is None or found.row is wanted.row


@given(st.floats(-200, 200), st.integers(0, 4), st.booleans())
def test_a_number_is_its_figure_at_any_number_of_decimals(
    value: float, decimals: int, of_difference: bool
) -> None:
    rows = RUN.comparisons if of_difference else RUN.estimates
    row = (
        replace(RUN.comparisons[0], difference=value)
        if of_difference
        else replace(RUN.estimates[0], point=value)
    )
    assert type(row) is type(rows[0])
    subject = Figure(RUN, row, headline=True)
    for text in (
        f"{value:.{decimals}f}",
        difference(value, "percent").removeprefix("+")
        if of_difference
        else figure(value, "percent"),
    ):
        number = printed(text)
        assert number is not None
        assert number.is_of(subject), text


def test_rounding_half_either_way_is_the_figure() -> None:
    subject = Figure(RUN, replace(RUN.estimates[0], point=0.125), headline=True)
    for text, same in (("0.12", True), ("0.13", True), ("0.11", False), ("0.14", False)):
        number = printed(text)
        assert number is not None
        assert number.is_of(subject) is same


def test_numbers_off_by_one_in_the_last_place_are_not_it() -> None:
    rng = random.Random(1)
    for _ in range(200):
        value = rng.uniform(1, 99)
        subject = Figure(RUN, replace(RUN.estimates[0], point=value), headline=True)
        number = printed(f"{value + 0.011:.2f}")
        assert number is not None
        assert not number.is_of(subject)
