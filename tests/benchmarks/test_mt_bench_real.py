"""MT-Bench on GPT-4's real judgments: every prompt rebuilt, every score read again, every average.

Independent sources: the judgments as FastChat stored them, `expected.csv` beside them (averages
computed apart from this project), and `fastchat.llm_judge.show_result`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import store
from evalkit.benchmarks.mt_bench import MtBench, MtBenchSpec
from evalkit.comparison.figures import figures
from evalkit.core import Completion, Message, Outcome, Record, Reply, Request
from evalkit.core.evidence import ImportOptions
from evalkit.core.figures import Figure, FigureKey, Metric
from evalkit.core.protocols import BenchmarkContext, DataPlaces, JudgeContext
from evalkit.core.run import Run
from evalkit.core.specs import JudgeSpec
from evalkit.formats.mt_bench import read
from evalkit.judges.rating_fastchat import FastChatJudge
from tests.support.cli import evalkit
from tests.support.compared import entry
from tests.support.fault_server import FaultServer, Received, Step, ok
from tests.support.flows import play

MODELS = ("mistral-orpo-capybara", "mistral-orpo-trl")
"""Those whose answers and judgments are both there, whole."""
Row = Mapping[str, Any]


def lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def folder(public_data: Path) -> Path:
    return public_data / "mt_bench"


@pytest.fixture(scope="module")
def judged(folder: Path) -> list[Row]:
    rows = lines(folder / "model_judgment" / "gpt-4_single.jsonl")
    assert len(rows) == 320
    return rows


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[tuple[str, int], list[str]]:
    return {
        (model, row["question_id"]): row["choices"][0]["turns"]
        for model in MODELS
        for row in lines(folder / "model_answer" / f"{model}.jsonl")
    }


@pytest.fixture(scope="module")
def benchmark(public_data: Path) -> MtBench:
    places = DataPlaces((public_data,))
    judge = FastChatJudge("gpt-4", "judge:gpt-4", JudgeSpec(), JudgeContext(places, {}))
    made = MtBench(MtBenchSpec(), BenchmarkContext(public_data, places, judge, 0))
    assert set(made.data_needs()) == {
        "mt_bench/question",
        "mt_bench/reference_answer/gpt-4",
        "mt_bench/judge_prompts",
    }
    return made


@pytest.fixture(scope="module")
def replayed(
    benchmark: MtBench, judged: list[Row], answers: dict[tuple[str, int], list[str]]
) -> list[Record]:
    """Both models, with the recorded answers; the judge replies to prompts it really had."""
    replies = {(row["user_prompt"], row["question_id"]): row["judgment"] for row in judged}

    def played(model: str, sample: Any) -> Outcome:
        left = list(answers[model, int(sample.id)])

        def reply(request: Request) -> Reply:
            if request.engine == model:
                return Completion(text=left.pop(0))
            user = request.prompt[-1]
            assert isinstance(user, Message)
            return Completion(text=replies[user.content, int(sample.id)])

        return play(benchmark.flow(sample, model), reply)[0]

    return [
        Record(model, "mt_bench", s.task, s.id, s.category, s.cluster, played(model, s))
        for model in MODELS
        for s in benchmark.samples()
    ]


@pytest.mark.data
def test_every_judgment_is_rebuilt_and_read_to_the_same_score(
    replayed: list[Record], judged: list[Row]
) -> None:
    """A prompt that differs by a byte would have found no reply above."""
    rebuilt = {
        (record.model, record.sample, judgment.part): judgment
        for record in replayed
        for judgment in record.outcome.judgments
    }
    assert len(rebuilt) == 320
    for row in judged:
        judgment = rebuilt[row["model"], str(row["question_id"]), f"turn_{row['turn']}"]
        (exchange,) = judgment.exchanges
        assert exchange.prompt[1].content.encode() == row["user_prompt"].encode()
        assert (judgment.value, judgment.status) == (row["score"], "ok")


def point(found: Sequence[Figure], model: str, metric: str) -> float:
    key = FigureKey("mt_bench", "mt_bench", metric)
    (one,) = (f.value.point for f in found if (f.model, f.key) == (model, key))
    assert one is not None
    return one


def figures_of(records: Sequence[Record], metrics: Sequence[Metric]) -> list[Figure]:
    return figures(records, [entry(*metrics, name="mt_bench", task="mt_bench")], 0.95)


METRICS = {"turn1_mean": "score_turn_1", "turn2_mean": "score_turn_2", "average": "score"}


@pytest.mark.data
def test_averages_are_the_expected_ones(
    replayed: list[Record], benchmark: MtBench, folder: Path
) -> None:
    found = figures_of(replayed, benchmark.metrics("mt_bench"))
    with (folder / "expected.csv").open() as file:
        expected = [row for row in csv.DictReader(file) if row["model"] in MODELS]
    assert len(expected) == len(MODELS)
    for row in expected:
        for column, metric in METRICS.items():
            assert point(found, row["model"], metric) == pytest.approx(float(row[column]), abs=1e-6)
    categories = [f for f in found if f.model == MODELS[0] and f.key.category is not None]
    assert len(categories) == 8
    sizes = {(f.key.metric, f.value.n, f.value.n_units) for f in categories}
    assert sizes == {("score", 20, 10)}


# --- FastChat's table ------------------------------------------------------------------------


def show_result(path: Path) -> dict[tuple[str, str], float]:
    """(model, metric) to average, as FastChat prints it."""
    import pandas as pd
    from fastchat.llm_judge import show_result as upstream

    printed = io.StringIO()
    options = Namespace(input_file=str(path), model_list=None, bench_name="mt_bench")
    with redirect_stdout(printed), pd.option_context("display.precision", 15, "display.width", 500):
        upstream.display_result_single(options)
    tables = re.split(r"#{10} .* #{10}", printed.getvalue())[1:]
    found: dict[tuple[str, str], float] = {}
    for metric, table in zip(("score_turn_1", "score_turn_2", "score"), tables, strict=True):
        rows = [line.split() for line in table.splitlines()]
        found |= {
            (row[0], metric): float(row[-1])
            for row in rows
            if len(row) == (2 if metric == "score" else 3) and row[0] != "model"
        }
    return found


def imported(path: Path) -> list[Figure]:
    options = ImportOptions(models=(), entry=None, companion=(), places=DataPlaces(), level=0.95)
    evidence = read([path], options)
    records = [record for one in evidence for record in one.records]
    return figures_of(records, evidence[0].metrics["mt_bench"])


@pytest.mark.data
@pytest.mark.slow
def test_real_judgments_average_as_fastchat_shows(
    replayed: list[Record], benchmark: MtBench, folder: Path
) -> None:
    path = folder / "model_judgment" / "gpt-4_single.jsonl"
    shown = show_result(path)
    assert len(shown) == 6
    metrics = benchmark.metrics("mt_bench")
    for found in (figures_of(replayed, metrics), imported(path)):
        for (model, metric), value in shown.items():
            assert point(found, model, metric) == pytest.approx(value, rel=1e-9)


SCORES = st.sampled_from([-1, 1, 4.5, 7, 10])
JUDGMENTS = st.lists(st.tuples(st.integers(81, 84), st.sampled_from([1, 2]), SCORES), max_size=14)


@pytest.mark.slow
@given(rows=JUDGMENTS.filter(lambda rows: {t for _, t, s in rows if s != -1} == {1, 2}))
def test_failed_and_repeated_judgments_average_as_fastchat_shows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, float]]
) -> None:
    """-1 leaves the averages and is counted; a repeated row counts once more in them."""
    path = tmp_path_factory.mktemp("judged") / "gpt-4_single.jsonl"
    written = [
        {
            "question_id": question,
            "model": "m",
            "judge": ["gpt-4", "single-v1"],
            "user_prompt": "p",
            "judgment": f"[[{score}]]" if score != -1 else "none",
            "score": score,
            "turn": turn,
        }
        for question, turn, score in rows
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in written))
    found = imported(path)
    for (model, metric), value in show_result(path).items():
        assert point(found, model, metric) == pytest.approx(value, rel=1e-9)
    key = FigureKey("mt_bench", "mt_bench", "score")
    (pooled,) = (f.value for f in found if f.key == key)
    read_ones = [row for row in rows if row[2] != -1]
    assert pooled.n == len(read_ones)
    asked = {question for question, _, _ in rows}
    assert pooled.n_missing == 2 * len(asked) - len({row[:2] for row in read_ones})


# --- From a suite to figures -------------------------------------------------------------------

SUITE = """\
name: rejudged
models:
  mistral-orpo-capybara:
    role: candidate
    engine: {{type: recorded, answers: {answers[0]}}}
  mistral-orpo-trl:
    role: baseline
    engine: {{type: recorded, answers: {answers[1]}}}
judges:
  gpt-4: {{type: openai, model: gpt-4-stand-in, base_url: "{url}"}}
benchmarks:
  - {{type: mt_bench, judge: gpt-4{more}}}
data: {{mirror: "{mirror}"}}
"""


def run_suite(
    workspace: Path, mirror: Path, reply: Callable[[Received], Step], more: str = ""
) -> tuple[Run, list[Received]]:
    (workspace / ".evalkit").mkdir()
    named = [f"{{mt_bench: mt_bench/model_answer/{model}}}" for model in MODELS]
    with FaultServer(default=reply) as server:
        suite = SUITE.format(answers=named, url=server.url, mirror=mirror, more=more)
        (workspace / "rejudged.yaml").write_text(suite)
        done = evalkit(workspace, "run", "rejudged.yaml", "--out", "run")
        assert done.code == 0, done.err
    return store.load(workspace / "run"), server.received


@pytest.mark.data
@pytest.mark.slow
def test_recorded_answers_judged_again_give_the_recorded_scores(
    tmp_path: Path, public_data: Path, judged: list[Row], folder: Path
) -> None:
    """A server replies with what GPT-4 once replied to each very prompt."""
    replies = {row["user_prompt"]: row["judgment"] for row in judged}

    run, received = run_suite(tmp_path, public_data, lambda asked: ok(replies[asked.last]))
    assert {r.last for r in received} == set(replies)
    assert {(r.body["model"], r.body["temperature"]) for r in received} == {("gpt-4-stand-in", 0)}
    assert {message["role"] for r in received for message in r.body["messages"][:1]} == {"system"}
    with (folder / "expected.csv").open() as file:
        expected = {row["model"]: row for row in csv.DictReader(file)}
    for model in MODELS:
        for column, metric in METRICS.items():
            value = float(expected[model][column])
            assert point(run.figures, model, metric) == pytest.approx(value, abs=1e-6)
    (judge,) = run.manifest.judges
    assert (judge.name, judge.all["model"]) == ("gpt-4", "gpt-4-stand-in")
    (described,) = (one.description.judge for one in run.manifest.benchmarks)
    assert described is not None
    assert described["model"] == "gpt-4-stand-in"
    assert described["protocol"] == "rating_fastchat"


@pytest.mark.data
@pytest.mark.slow
def test_recorded_models_are_compared_with_each_other(tmp_path: Path, public_data: Path) -> None:
    """The judge always prefers the first place: every match is a tie, judged twice."""
    run, received = run_suite(
        tmp_path,
        public_data,
        lambda asked: ok("[[A]]"),
        ", mode: pairwise, baseline: [mistral-orpo-trl]",
    )
    # Besides those that are repeated to see whether the judge agrees with itself.
    repeats = sum(
        len(votes) for r in run.records for j in r.outcome.judgments for votes in j.repeats
    )
    assert len(received) == 320 + repeats
    assert point(run.figures, MODELS[0], "win_rate_adjusted") == 50.0
    assert point(run.figures, MODELS[0], "win_rate") == 0.0
    votes = {j.votes for r in run.records for j in r.outcome.judgments}
    assert votes == {(1.0, 0.0)}
    key = FigureKey("mt_bench", "mt_bench", "win_rate_adjusted")
    (compared,) = (c.difference for c in run.comparisons if c.key == key)
    assert (compared.point, compared.n) == (0.0, 160)
