"""What every benchmark must do, and the quickstart's own questions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit import plugins
from evalkit.benchmarks.mt_bench import GUIDED, TEMPERATURES
from evalkit.core import Json, Outcome, PreparedModel, Reply, Request
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.core.specs import JudgeSpec
from evalkit.engines.fake import FakeEngine, FakeSpec
from evalkit.errors import BenchmarkError, DataError, RequestFailed
from tests.support.flows import play

BENCHMARKS = plugins.names("benchmarks")
QUICKSTART: dict[str, dict[str, Json]] = {
    "alpaca_eval": {"data": "quickstart/alpaca_eval.jsonl"},
    "mt_bench": {"data": "quickstart/mt_bench"},
}
NOMINAL = {"alpaca_eval": 805, "mt_bench": 160}

Builder = Callable[..., Any]


@pytest.fixture
def build(repository: Path) -> Builder:
    """A benchmark by type and settings, with the judge of its kind."""

    def make(kind: str, judged: bool = True, mirror: Path | None = None, **settings: Json) -> Any:
        extension = plugins.find("benchmarks", kind)
        assert extension.spec is not None
        judge = None
        if judged and extension.cls.judge_kind is not None:
            found = plugins.find("judges", f"{extension.cls.judge_kind}_logprob")
            judge = found.cls("the judge", "judge:it", JudgeSpec())
        context = BenchmarkContext(
            repository / "suites", DataPlaces((mirror,) if mirror else ()), judge, seed=7
        )
        return extension.cls(extension.spec.model_validate(settings), context)

    return make


def fake() -> Callable[[Request], Reply]:
    engine = FakeEngine(FakeSpec(), PreparedModel("m", "candidate", None, "f", None, "none"))
    engine.open()

    def answer(request: Request) -> Reply:
        engine.submit([(0, request)])
        return engine.poll(1.0)[0][1]

    return answer


@pytest.mark.parametrize("kind", BENCHMARKS)
class TestEveryBenchmark:
    def test_spec_and_class_agree(self, kind: str) -> None:
        extension = plugins.find("benchmarks", kind)
        assert extension.spec is not None
        assert extension.spec.model_fields["type"].default == kind
        assert extension.cls.judge_kind in ("pairwise", "rating", None)

    def test_every_setting_is_documented(self, kind: str) -> None:
        spec = plugins.find("benchmarks", kind).spec
        assert spec is not None
        assert [n for n, f in spec.model_fields.items() if not f.description] == []


@pytest.mark.parametrize("kind", sorted(QUICKSTART))
class TestJudgedBenchmarks:
    def test_samples_are_unique_and_stable(self, build: Builder, kind: str) -> None:
        first, second = (build(kind, **QUICKSTART[kind]) for _ in range(2))
        assert first.samples() == second.samples()
        ids = [(sample.task, sample.id) for sample in first.samples()]
        assert len(set(ids)) == len(ids) > 10
        assert {sample.task for sample in first.samples()} == {kind}

    def test_one_primary_metric_and_every_score_announced(self, build: Builder, kind: str) -> None:
        benchmark = build(kind, **QUICKSTART[kind])
        metrics = benchmark.metrics(kind)
        assert [metric.primary for metric in metrics] == [True] + [False] * (len(metrics) - 1)
        announced = {(metric.name, part) for metric in metrics for part in metric.parts}
        answer = fake()
        for sample in benchmark.samples():
            outcome, waves = play(benchmark.flow(sample, "the model"), answer)
            assert outcome.status == "ok"
            assert {(score.metric, score.part) for score in outcome.scores} == announced
            assert len(outcome.scores) == len(announced)
            assert {r.engine for wave in waves for r in wave} == {"the model", "judge:it"}

    def test_a_failed_model_request_is_a_status(self, build: Builder, kind: str) -> None:
        benchmark = build(kind, **QUICKSTART[kind])
        sample = benchmark.samples()[0]
        outcome, _ = play(
            benchmark.flow(sample, "m"), lambda request: RequestFailed("over_long", "too long")
        )
        assert (outcome.status, outcome.error) == ("over_long", "too long")
        assert (outcome.scores, outcome.judgments, outcome.answers) == ((), (), ())
        assert [message.role for message in outcome.conversation] == ["user"]

    def test_a_failed_judge_keeps_the_answer(self, build: Builder, kind: str) -> None:
        benchmark = build(kind, **QUICKSTART[kind])
        answer = fake()

        def reply(request: Request) -> Reply:
            if request.engine == "m":
                return answer(request)
            return RequestFailed("transport_error", "no route")

        outcome: Outcome
        outcome, _ = play(benchmark.flow(benchmark.samples()[0], "m"), reply)
        assert (outcome.status, outcome.error) == ("transport_error", "no route")
        assert all(outcome.answers)
        assert outcome.judgments
        assert {j.status for j in outcome.judgments} == {"transport_error"}
        primary = benchmark.metrics(kind)[0].name
        assert primary not in {score.metric for score in outcome.scores}

    def test_describes_itself(self, build: Builder, kind: str) -> None:
        benchmark = build(kind, **QUICKSTART[kind])
        described = benchmark.describe()
        assert json.loads(json.dumps(described)) == described
        assert described["type"] == kind
        assert len(bytes.fromhex(described["data"]["sha256"])) == 32
        assert described["judge"]["protocol"].endswith("_logprob")
        assert str(Path(__file__).parents[2]) not in json.dumps(described)

    def test_counts_requests_without_data(self, build: Builder, kind: str) -> None:
        assert build(kind).nominal_requests() == NOMINAL[kind]
        own = build(kind, **QUICKSTART[kind])
        assert own.nominal_requests() is None
        own.load()
        assert own.nominal_requests() == sum(len(sample.turns) for sample in own.samples())

    def test_missing_data_says_what_to_set(self, build: Builder, kind: str) -> None:
        with pytest.raises(DataError, match=r"EVALKIT_DATA.*`data:"):
            build(kind).load()

    def test_a_missing_judge_says_what_to_write(self, build: Builder, kind: str) -> None:
        benchmark = build(kind, judged=False, **QUICKSTART[kind])
        with pytest.raises(BenchmarkError, match="`judge: NAME`"):
            next(benchmark.flow(benchmark.samples()[0], "m"))

    @pytest.mark.data
    def test_public_data_is_complete(self, build: Builder, kind: str, public_data: Path) -> None:
        benchmark = build(kind, mirror=public_data)
        asked = sum(len(sample.turns) for sample in benchmark.samples())
        assert asked == NOMINAL[kind] == benchmark.nominal_requests()


# --- the quickstart's data: complete, well-formed, and not the public ones ------------------------


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def quickstart(repository: Path) -> Path:
    return repository / "suites" / "quickstart"


def test_alpaca_eval(quickstart: Path) -> None:
    found = rows(quickstart / "alpaca_eval.jsonl")
    assert len(found) == 24
    assert len({row["instruction"] for row in found}) == 24
    for row in found:
        assert set(row) == {"instruction", "output", "generator", "dataset"}
        assert row["generator"] == "evalkit-reference"
        assert 20 <= len(row["output"]) <= 600


def test_mt_bench(quickstart: Path) -> None:
    questions = rows(quickstart / "mt_bench" / "question.jsonl")
    assert Counter(q["category"] for q in questions) == dict.fromkeys(TEMPERATURES, 2)
    references = rows(quickstart / "mt_bench" / "reference_answer.jsonl")
    guided = [q["question_id"] for q in questions if q["category"] in GUIDED]
    assert [r["question_id"] for r in references] == guided


def test_reference_code_runs(quickstart: Path) -> None:
    """The coding references are right: both turns' code, run."""
    code = {
        row["question_id"]: "\n".join(
            re.findall(r"```python\n(.*?)```", "\n".join(row["choices"][0]["turns"]), re.DOTALL)
        )
        for row in rows(quickstart / "mt_bench" / "reference_answer.jsonl")
    }
    palindrome: dict[str, Any] = {}
    exec(code[9], palindrome)
    assert palindrome["is_palindrome"]("Able was I, ere I saw Elba")
    largest: dict[str, Any] = {}
    exec(code[10], largest)
    assert largest["largest"]([-5, -2, -9]) == -2
    with pytest.raises(ValueError, match="empty"):
        largest["largest"]([])


@pytest.mark.data
def test_nothing_is_copied_from_the_public_sets(quickstart: Path, public_data: Path) -> None:
    """No eight words in a row are shared with AlpacaEval or MT-Bench."""

    def eights(texts: list[str]) -> set[tuple[str, ...]]:
        words = [re.findall(r"\w+", text.lower()) for text in texts]
        return {tuple(w[i : i + 8]) for w in words for i in range(len(w) - 7)}

    alpaca = public_data / "alpaca_eval"
    public = [
        text
        for name in ("reference_text_davinci_003", "reference_gpt4_turbo")
        for row in rows(alpaca / f"{name}.jsonl")
        for text in (row["instruction"], row["output"])
    ]
    public += [t for q in rows(public_data / "mt_bench/question.jsonl") for t in q["turns"]]
    own = [
        text
        for row in rows(quickstart / "alpaca_eval.jsonl")
        for text in (row["instruction"], row["output"])
    ]
    own += [t for q in rows(quickstart / "mt_bench/question.jsonl") for t in q["turns"]]
    assert not eights(own) & eights(public)
