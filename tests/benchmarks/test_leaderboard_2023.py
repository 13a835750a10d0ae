"""The settings of 2023: which examples are drawn, and how prompts and stops differ.

Oracle of the draws: the rule of the harness at b281b092, written out here on whole documents
(`evaluator.py`: seed 42, shuffle the documents, then sample for each in that order; `base.py`:
`fewshot_context`), with Python's own generator.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import catalogue, data
from evalkit.benchmarks._lm_eval_tasks import langdetect_seeded
from evalkit.benchmarks.lm_eval import draw
from evalkit.benchmarks.open_llm_leaderboard import OpenLlmLeaderboard, OpenLlmLeaderboardSpec
from evalkit.core.protocols import BenchmarkContext, DataPlaces


def as_then(documents: list[str], training: list[str], k: int) -> dict[str, list[str]]:
    """Examples by document; `training` empty: drawn from the documents themselves."""
    rnd = Random()
    rnd.seed(42)
    shuffled = list(documents)
    rnd.shuffle(shuffled)
    found = {}
    for doc in shuffled:
        if training:
            found[doc] = rnd.sample(training, k)
        else:
            found[doc] = [x for x in rnd.sample(documents, k + 1) if x != doc][:k]
    return found


@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 5))
def test_examples_are_drawn_as_in_2023(n: int, m: int, k: int) -> None:
    documents = [f"document {i}" for i in range(n)]
    training = [f"training {i}" for i in range(m)] if m >= k else []
    pool = training or documents
    if len(pool) < k + 1:
        return
    drawn = draw(documents, pool, k, 42, apart=bool(training))
    assert dict(zip(documents, drawn, strict=True)) == as_then(documents, training, k)


def make(places: DataPlaces, **spec: Any) -> OpenLlmLeaderboard:
    context = BenchmarkContext(Path(), places, judge=None, seed=0)
    return OpenLlmLeaderboard(OpenLlmLeaderboardSpec(**spec), context)


@pytest.mark.data
@pytest.mark.slow
def test_gsm8k_asks_what_the_harness_of_2023_asked(public_data: Path) -> None:
    """Prompt and stops of the first documents, put together from the raw files."""
    places = DataPlaces((public_data,))
    test = data.records("leaderboard_v1/gsm8k/test", places).records
    train = data.records("leaderboard_v1/gsm8k/train", places).records
    shots = as_then(
        [row["question"] for row in test], [str(n) for n in range(len(train))], 5
    )  # fmt: skip
    bench = make(places, settings="2023", only=("gsm8k",))
    now = make(places, only=("gsm8k",))
    different = 0
    for row, sample, other in zip(test[:20], bench.samples(), now.samples(), strict=False):
        examples = [train[int(n)] for n in shots[row["question"]]]
        parts = [f"Question: {e['question']}\nAnswer: {e['answer']}" for e in examples]
        expected = "\n\n".join([*parts, f"Question: {row['question']}\nAnswer:"])
        (request,) = next(bench.flow(sample, "m"))
        assert request.prompt == expected
        assert request.stop == (":", "Question:", "Question")
        different += next(now.flow(other, "m"))[0].prompt != expected
    assert different == 20


def test_every_task_says_how_2023_differs() -> None:
    told = {c.task: len(c.differences_2023) for c in catalogue.columns(1, drop=True)}
    assert [task for task, n in told.items() if n == 0] == ["truthfulqa_mc2"]


@pytest.mark.parametrize(
    "spec",
    [
        {"version": 2, "settings": "2023"},
        {"version": 1, "only": ("bbh",)},
        {"version": 2, "only": ("gsm8k",)},
        {"version": 1, "only": ("drop",)},
    ],
)
def test_settings_that_never_were_are_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        OpenLlmLeaderboardSpec(**spec)


def test_its_tasks_are_known_without_data() -> None:
    tasks = make(DataPlaces(), include_drop=True).figure_tasks()
    assert list(tasks) == [
        *(c.task for c in catalogue.columns(1, drop=True)),
        "open_llm_leaderboard",
    ]
    assert tasks["gsm8k"][0].name == "exact_match,strict-match"
    families = make(DataPlaces(), version=2).figure_tasks()
    assert families["leaderboard_bbh"][0].name == "normalised"


def test_langdetect_is_seeded_only_meanwhile() -> None:
    pytest.importorskip("langdetect")
    from langdetect import DetectorFactory  # type: ignore[import-untyped]

    assert "langdetect" in sys.modules
    before = DetectorFactory.seed
    with langdetect_seeded():
        assert DetectorFactory.seed == 0
    assert DetectorFactory.seed == before
