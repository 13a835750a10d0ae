"""AlpacaEval's flow, and its numbers against alpaca_eval's own."""

from __future__ import annotations

import csv
import gzip
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evalkit.benchmarks.alpaca_eval import AlpacaEval, AlpacaEvalSpec
from evalkit.core import Completion, Flow, Json, Judgment, Outcome, Request
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.errors import DataError
from tests.support.flows import play
from tests.support.properties import examples


class KnownJudge:
    """Gives the preference it was told, for each instruction; None is unparsable."""

    name = "known"
    protocol = "known"

    def __init__(self, preferences: Mapping[str, float | None]) -> None:
        self._preferences = preferences

    def compare(self, instruction: str, answer: str, reference: str) -> Flow[Judgment]:
        yield []
        value = self._preferences[instruction]
        status: Any = "unparsable" if value is None else "ok"
        return Judgment(self.name, self.protocol, status, value, error=None if value else "none")

    def describe(self) -> Mapping[str, Json]:
        return {"protocol": self.protocol}


Row = tuple[str, str, str, float | None]
"""Instruction, answer, reference, preference."""


def run(folder: Path, rows: Sequence[Row], **settings: Any) -> list[Outcome]:
    """The outcomes of a model that gives these answers to a judge with these preferences."""
    path = folder / "reference.jsonl"
    lines = [json.dumps({"instruction": i, "output": r}) + "\n" for i, _, r, _ in rows]
    path.write_text("".join(lines), encoding="utf-8")
    answers = {i: a for i, a, _, _ in rows}
    judge = KnownJudge({i: p for i, _, _, p in rows})
    spec = AlpacaEvalSpec(data=path.name, **settings)
    benchmark = AlpacaEval(spec, BenchmarkContext(folder, DataPlaces(), judge, seed=0))

    def reply(request: Request) -> Completion:
        assert not isinstance(request.prompt, str)
        return Completion(text=answers[request.prompt[-1].content])

    return [play(benchmark.flow(sample, "m"), reply)[0] for sample in benchmark.samples()]


def mean_and_error(outcomes: Sequence[Outcome], metric: str) -> tuple[float, float, int]:
    values = [s.value for o in outcomes for s in o.scores if s.metric == metric]
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return statistics.fmean(values), error, len(values)


def check_against_alpaca_eval(outcomes: Sequence[Outcome], preferences: list[Any]) -> None:
    from alpaca_eval.metrics import get_winrate

    oracle = get_winrate([{"preference": p} for p in preferences])
    point, error, n = mean_and_error(outcomes, "win_rate")
    assert 100 * point == pytest.approx(oracle["win_rate"], abs=1e-9)
    assert 100 * error == pytest.approx(oracle["standard_error"], abs=1e-9, nan_ok=True)
    assert n == oracle["n_total"]
    discrete, _, _ = mean_and_error(outcomes, "discrete_win_rate")
    assert 100 * discrete == pytest.approx(oracle["discrete_win_rate"], abs=1e-9)


# Multiples of 1/1024: 1 + p and p are both exact, so "exactly one half" is the same for both.
@pytest.mark.slow
@examples(60)
@given(st.lists(st.none() | st.integers(0, 1024).map(lambda n: n / 1024), min_size=2, max_size=30))
def test_win_rates_are_alpaca_evals(
    tmp_path_factory: pytest.TempPathFactory, preferences: list[float | None]
) -> None:
    assume(sum(p is not None for p in preferences) > 1)
    rows = [(f"i{n}", f"a{n}", "r", p) for n, p in enumerate(preferences)]
    outcomes = run(tmp_path_factory.mktemp("alpaca"), rows)
    check_against_alpaca_eval(outcomes, [None if p is None else 1 + p for p in preferences])


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("evaluator", "model"),
    [
        ("alpaca_eval_gpt4", "notus-7b-v1"),
        ("alpaca_eval_gpt4", "zephyr-7b-beta"),
        ("weighted_alpaca_eval_gpt4_turbo", "OpenHermes-2.5-Mistral-7B"),
        ("weighted_alpaca_eval_gpt4_turbo", "claude-2.1"),
    ],
)
def test_published_leaderboard_rows(
    public_data: Path, tmp_path: Path, evaluator: str, model: str
) -> None:
    """Real annotations through the flow give the published row and alpaca_eval's own figures."""
    folder = public_data / "alpaca_eval"
    with gzip.open(folder / "annotations" / evaluator / f"{model}.json.gz", "rt") as file:
        annotations = json.load(file)
    with (folder / "expected.csv").open() as table:
        row = next(r for r in csv.DictReader(table) if r["model"] == model)
    # The same instruction occurs once in each file, so it identifies the annotation.
    preferences = [
        None if a["preference"] is None else (a["preference"] or 1.5) for a in annotations
    ]
    rows = [
        (a["instruction"], a["output_2"], a["output_1"], None if p is None else p - 1)
        for a, p in zip(annotations, preferences, strict=True)
    ]
    outcomes = run(tmp_path, rows)
    check_against_alpaca_eval(outcomes, preferences)
    point, error, n = mean_and_error(outcomes, "win_rate")
    assert 100 * point == pytest.approx(float(row["win_rate"]), abs=1e-6)
    assert 100 * error == pytest.approx(float(row["standard_error"]), abs=1e-6)
    assert n == int(row["n_total"])


@pytest.mark.data
def test_published_average_length(public_data: Path, tmp_path: Path) -> None:
    """Notus: the length in the table is the whole part of ours (its outputs are not stripped)."""
    with gzip.open(public_data / "alpaca_eval/model_outputs/notus-7b-v1.json.gz", "rt") as file:
        outputs = json.load(file)
    outcomes = run(tmp_path, [(o["instruction"], o["output"], "r", None) for o in outputs])
    length, _, n = mean_and_error(outcomes, "avg_length")
    raw = statistics.fmean(len(o["output"]) for o in outputs)
    stripped = statistics.fmean(len(o["output"].strip()) for o in outputs)
    assert (int(raw), n) == (2139, 805)
    assert length == pytest.approx(stripped, abs=1e-9)


def test_outcomes(tmp_path: Path) -> None:
    lost, none, empty, draw = run(
        tmp_path,
        [
            ("i0", " the answer\n", "r", 0.25),
            ("i1", "a", "r", None),
            ("i2", "  ", "r", 0.0),
            ("i3", "same", "same", 1.0),
        ],
    )
    assert lost.answers == ("the answer",)
    assert {s.metric: s.value for s in lost.scores} == {
        "win_rate": 0.25,
        "discrete_win_rate": 0.0,
        "avg_length": 10.0,
    }
    assert none.status == "unparsable"
    assert [s.metric for s in none.scores] == ["avg_length"]
    assert (empty.status, empty.answers, empty.judgments[0].value) == ("ok", ("",), 0.0)
    assert (draw.judgments[0].value, draw.judgments[0].exchanges) == (0.5, ())
    assert [s.value for s in draw.scores] == [0.5, 0.5, 4.0]


def test_requests_follow_the_spec(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('[{"instruction": "do", "output": "done"}]')

    def first(seed: int, **settings: Any) -> Request:
        spec = AlpacaEvalSpec(data="r.json", **settings)
        benchmark = AlpacaEval(spec, BenchmarkContext(tmp_path, DataPlaces(), KnownJudge({}), seed))
        (request,) = next(benchmark.flow(benchmark.samples()[0], "m"))
        return request

    plain = first(0)
    assert (plain.max_tokens, plain.temperature, plain.seed) == (2048, 0.0, None)
    assert not isinstance(plain.prompt, str)
    assert [(m.role, m.content) for m in plain.prompt] == [("user", "do")]
    assert first(5) == plain
    sampled = first(0, temperature=0.7, max_tokens=9, system="be brief")
    assert (sampled.max_tokens, sampled.temperature) == (9, 0.7)
    assert [m.role for m in sampled.prompt if not isinstance(m, str)] == ["system", "user"]
    assert sampled.seed is not None
    assert sampled.seed != first(1, temperature=0.7).seed


def test_truncation_is_marked(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('[{"instruction": "do", "output": "done"}]')
    spec = AlpacaEvalSpec(data="r.json")
    context = BenchmarkContext(tmp_path, DataPlaces(), KnownJudge({"do": 0.9}), 0)
    benchmark = AlpacaEval(spec, context)
    (sample,) = benchmark.samples()
    outcome, _ = play(benchmark.flow(sample, "m"), lambda r: Completion(text="x", truncated=True))
    assert (outcome.truncated, outcome.status) == (True, "ok")


@pytest.mark.data
@pytest.mark.parametrize(
    ("version", "name"), [(1, "reference_text_davinci_003"), (2, "reference_gpt4_turbo")]
)
def test_the_version_picks_the_reference(public_data: Path, version: Any, name: str) -> None:
    lines = (public_data / f"alpaca_eval/{name}.jsonl").read_text(encoding="utf-8").split("\n")
    outputs = [json.loads(line)["output"] for line in lines if line]
    context = BenchmarkContext(Path(), DataPlaces((public_data,)), None, 0)
    benchmark = AlpacaEval(AlpacaEvalSpec(version=version), context)
    assert benchmark.version == f"{version}.1"
    assert [sample.reference for sample in benchmark.samples()] == [(text,) for text in outputs]


def test_own_data_may_be_a_folder(tmp_path: Path) -> None:
    """With files named like the public ones, the version picks its own."""
    for name in ("reference_text_davinci_003", "reference_gpt4_turbo"):
        row = {"instruction": "i", "output": name}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
    for version, name in ((1, "reference_text_davinci_003"), (2, "reference_gpt4_turbo")):
        spec = AlpacaEvalSpec.model_validate({"version": version, "data": "."})
        benchmark = AlpacaEval(spec, BenchmarkContext(tmp_path, DataPlaces(), None, 0))
        assert benchmark.samples()[0].reference == (name,)


def test_public_data_that_is_nowhere_is_named(tmp_path: Path) -> None:
    context = BenchmarkContext(tmp_path, DataPlaces((tmp_path,)), None, 0)
    with pytest.raises(DataError, match=r"alpaca_eval/reference_gpt4_turbo.*\n.*data pull"):
        AlpacaEval(AlpacaEvalSpec(), context).load()


def test_a_record_without_output_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"instruction": "i", "outputs": "x"}\n')
    spec = AlpacaEvalSpec(data="r.jsonl")
    benchmark = AlpacaEval(spec, BenchmarkContext(tmp_path, DataPlaces(), None, 0))
    with pytest.raises(DataError, match=r"r\.jsonl:1: no field 'output'.*did you mean 'outputs'"):
        benchmark.load()


@pytest.mark.parametrize(
    ("field", "value"),
    [("dataset", "5"), ("dataset", '["x"]'), ("generator", "{}"), ("output", "null")],
)
def test_a_field_of_another_type_says_where(tmp_path: Path, field: str, value: str) -> None:
    good = '"instruction": "i", "output": "x"'
    lines = [f"{{{good}}}", f'{{{good}, "dataset": null, "generator": null}}']
    (tmp_path / "r.jsonl").write_text("\n".join([*lines, f'{{{good}, "{field}": {value}}}']))
    benchmark = AlpacaEval(
        AlpacaEvalSpec(data="r.jsonl"), BenchmarkContext(tmp_path, DataPlaces(), None, 0)
    )
    with pytest.raises(DataError, match=rf"r\.jsonl:3: field '{field}' is .*, expected str"):
        benchmark.load()
