"""The lm_eval benchmark against lm-eval's own evaluator on the same engine.

Oracle: `lm_eval.simple_evaluate` of 0.4.13, with `engine_lm` as its model.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks._lm_eval_tasks import quiet
from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec, chat_prompt, requests_of, response
from evalkit.core import Completion, Outcome, PreparedModel, Record, Reply, Request
from evalkit.core.protocols import BenchmarkContext, DataPlaces, Engine
from evalkit.engines._drive import drive
from evalkit.engines.fake import FakeEngine, FakeSpec
from evalkit.errors import BenchmarkError, RequestFailed

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _consent(task_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the tasks have functions of their own."""
    monkeypatch.setenv("EVALKIT_TRUST", str(task_folder))


_WAIT_S = 1.0


def engine_lm(engine: Engine, name: str, seed: int = 0) -> Any:
    """`engine` as an instance of `lm_eval.api.model.LM`.

    Args:
        engine: open, with nothing pending; the caller closes it.
        name: what requests say in `Request.engine`.
        seed: for sampled generations: the suite's seed.

    Returns:
        An LM whose methods raise BenchmarkError where a request fails, because lm-eval has no
        word for a missing answer.
    """
    return _class()(engine, name, seed)


@cache
def _class() -> Any:
    """The subclass is made on first use, because its base costs seconds to import."""
    from lm_eval.api.model import LM

    class EngineLM(LM):  # type: ignore[misc]
        """An evalkit engine as a model of lm-eval."""

        def __init__(self, engine: Engine, name: str, seed: int) -> None:
            super().__init__()
            self._engine = engine
            self._name = name
            self._seed = seed

        @property
        def tokenizer_name(self) -> str:
            """Part of lm-eval's request cache key (which evalkit does not use)."""
            return self._name

        def apply_chat_template(
            self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
        ) -> str:
            """The conversation itself: the engine applies its model's template."""
            return chat_prompt(chat_history, add_generation_prompt)

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            """(log-probability, is greedy) of each continuation."""
            return self._respond(requests)

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            """Log-probability of each text."""
            return self._respond(requests)

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            """Generated texts."""
            return self._respond(requests)

        def _respond(self, instances: Sequence[Any]) -> list[Any]:
            asked = _repeated(instances, self._name, self._seed)
            answered = _ask(self._engine, asked)
            return [response(i, c) for i, c in zip(instances, answered, strict=True)]

    return EngineLM


def _repeated(instances: Sequence[Any], name: str, seed: int) -> list[Request]:
    """lm-eval passes an instance as often as it repeats; each time is the next trial."""
    trials: Counter[int] = Counter()
    asked = []
    for instance in instances:
        asked.append(requests_of(instance, name, seed, chat=False)[trials[id(instance)]])
        trials[id(instance)] += 1
    return asked


def _ask(engine: Engine, requests: Sequence[Request]) -> list[Completion]:
    engine.submit(list(enumerate(requests)))
    replies: dict[int, Completion] = {}
    while len(replies) < len(requests):
        for ticket, reply in engine.poll(_WAIT_S):
            if isinstance(reply, RequestFailed):
                raise BenchmarkError(
                    f"a request of lm-eval failed ({reply.status}): {reply}"
                ) from reply
            replies[ticket] = reply
    return [replies[ticket] for ticket in range(len(requests))]


# --- the comparison -------------------------------------------------------------------------------


MODEL = PreparedModel("m", "candidate", None, "f" * 64, None, "none")
TASKS = (
    "tiny_choice",
    "tiny_first_n",
    "tiny_mutual",
    "tiny_brier",
    "tiny_sums",
    "tiny_vote",
    "tiny_prefill",
    "tiny_bleu",
    "tiny_wino",
    "tiny_rolling",
    "tiny_ending",
)
BOOTSTRAPPED = ("tiny_binary", "tiny_bleu", "tiny_ending")
"""Tasks whose standard error is lm-eval's bootstrap; that of f1 takes seconds."""


def reply(request: Request) -> Reply:
    """Right about half the time; depends on all that may differ between two requests."""
    parts = (request.prompt, request.continuation, request.trial, request.temperature, request.seed)
    seed = int.from_bytes(hashlib.sha256(repr((parts, request.stop)).encode()).digest()[:8], "big")
    rng = random.Random(seed)
    if request.kind != "generate":
        return Completion(logprob=-rng.uniform(0.1, 4) * 3, is_greedy=rng.random() < 0.4)
    numbers = [rng.choice([0, 2, 4, 6, 8, 11]) for _ in range(2)]
    return Completion(
        text=rng.choice([" It is so. #### {0}", " {0} or {1}", " no idea", "#### {1}"]).format(
            *numbers
        )
    )


def engine() -> FakeEngine:
    return FakeEngine(FakeSpec(), MODEL, reply)


def benchmark(folder: Path, tasks: tuple[str, ...], **spec: Any) -> LmEval:
    context = BenchmarkContext(root=folder, places=DataPlaces(), judge=None, seed=5)
    return LmEval(LmEvalSpec(tasks=tasks, include=".", **spec), context)


def ours(bench: LmEval, limit: int | None = None) -> list[Record]:
    samples = [s for s in bench.samples() if limit is None or int(s.id) < limit]
    flows = {(s.task, s.id): bench.flow(s, "m") for s in samples}
    ends = dict(drive(flows, {"m": engine()}))
    made = []
    for sample in samples:
        outcome = ends[sample.task, sample.id]
        assert isinstance(outcome, Outcome)
        made.append(Record("m", bench.name, sample.task, sample.id, None, "", outcome))
    return made


def theirs(folder: Path, tasks: tuple[str, ...], **options: Any) -> dict[str, Any]:
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    asked = engine()
    asked.open()
    with quiet():
        found = lm_eval.simple_evaluate(
            model=engine_lm(asked, "m", seed=5),
            tasks=list(tasks),
            task_manager=manager,
            bootstrap_iters=scoring.BOOTSTRAP,
            **options,
        )
    assert isinstance(found, dict)
    return found


def same(ours_: Any, theirs_: Any) -> None:
    left, right = scoring.jsonable(ours_), scoring.jsonable(theirs_)
    if isinstance(right, float):
        right = pytest.approx(right, rel=1e-12, abs=1e-12)
    assert left == right


def check_samples(records: list[Record], results: dict[str, Any]) -> int:
    """Every value lm-eval logged is in our records, and nothing else is."""
    by_key = {(r.task, r.sample): r.outcome for r in records}
    seen: dict[tuple[str, str], set[str]] = {}
    for task, logged in results["samples"].items():
        for sample in logged:
            key = (task, str(sample["doc_id"]))
            outcome = by_key[key]
            assert outcome.status == "ok", outcome.error
            scores = {s.metric: s.value for s in outcome.scores}
            for metric in sample["metrics"]:
                name = scoring.display(metric, sample["filter"])
                seen.setdefault(key, set()).add(name)
                value = sample[metric]
                if name in scores:
                    assert scores[name] == float(value)
                else:
                    for a, b in zip(
                        _flat(outcome.data[name]), _flat(scoring.jsonable(value)), strict=True
                    ):
                        same(a, b)
    for found, outcome in by_key.items():
        assert seen[found] == {s.metric for s in outcome.scores} | set(outcome.data)
    return len(seen)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [leaf for item in value for leaf in _flat(item)]
    return [value]


def check_aggregates(bench: LmEval, records: list[Record], results: dict[str, Any]) -> int:
    checked = 0
    for task, figures in bench.figures(records).items():
        printed = results["results"][task]
        for figure in figures:
            metric, _, name = figure.metric.partition(",")
            same(figure.point, printed[f"{metric},{name or 'none'}"])
            error = printed[f"{metric}_stderr,{name or 'none'}"]
            same(figure.standard_error, None if error == "N/A" else error)
            checked += 1
    return checked


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")


@pytest.mark.parametrize(
    ("names", "n_samples", "n_figures"),
    [
        pytest.param(TASKS, 101, 19, id="all but f1", marks=pytest.mark.slow),
        pytest.param(BOOTSTRAPPED, 27, 6, id="bootstrapped", marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_task_equals_lm_evals_evaluator(
    task_folder: Path, names: tuple[str, ...], n_samples: int, n_figures: int
) -> None:
    bench = benchmark(task_folder, names)
    records = ours(bench)
    results = theirs(task_folder, names)
    assert check_samples(records, results) == len(records) == len(bench.samples()) == n_samples
    assert check_aggregates(bench, records, results) == n_figures
    prompts = {
        (task, str(s["doc_id"])): s["arguments"][0][0]
        for task, logged in results["samples"].items()
        for s in logged
    }
    for record in records:
        assert record.outcome.conversation[0].content == prompts[record.task, record.sample]


@pytest.mark.parametrize("multiturn", [False, True])
def test_chat_format_equals_lm_evals_evaluator(task_folder: Path, multiturn: bool) -> None:
    names = ("tiny_choice", "tiny_first_n", "tiny_sums", "tiny_prefill", "tiny_wino", "tiny_vote")
    options = {
        "apply_chat_template": True,
        "fewshot_as_multiturn": multiturn,
        "system_instruction": "Be brief.",
    }
    bench = benchmark(task_folder, names, **options)
    records = ours(bench)
    results = theirs(task_folder, names, **options)
    assert check_samples(records, results) == len(records)
    check_aggregates(bench, records, results)
    by_task = {r.task: r.outcome.conversation for r in records}
    roles = [m.role for m in by_task["tiny_sums"]]
    turns = ["user", "assistant"] * 3 if multiturn else ["user", "assistant"]
    assert roles == ["system", *turns]
    assert by_task["tiny_prefill"][-1].content.startswith("The sum is")


@pytest.mark.parametrize(("shots", "seed"), [(1, 1234), (4, 7)])
def test_shots_and_seed_equal_lm_evals_evaluator(task_folder: Path, shots: int, seed: int) -> None:
    names = ("tiny_choice", "tiny_mutual", "tiny_sums")
    bench = benchmark(task_folder, names, shots=shots, fewshot_seed=seed)
    records = ours(bench)
    results = theirs(task_folder, names, num_fewshot=shots, fewshot_random_seed=seed)
    check_samples(records, results)
    assert check_aggregates(bench, records, results)
    assert {d["shots"] for d in bench.describe()["tasks"].values()} == {shots}


def test_a_limited_run_equals_lm_evals_limited_run(task_folder: Path) -> None:
    bench = benchmark(task_folder, ("tiny_choice", "tiny_sums"))
    results = theirs(task_folder, ("tiny_choice", "tiny_sums"), limit=4)
    assert check_samples(ours(bench, limit=4), results) == 8


def test_groups_are_weighted_as_lm_eval_weights_them(task_folder: Path) -> None:
    bench = benchmark(task_folder, ("tiny_group",))
    records = ours(bench)
    printed = theirs(task_folder, ("tiny_group",))["groups"]["tiny_group"]
    extra = [f for f in bench.extra_figures(records, 0.95) if f.key.task == "tiny_group"]
    rows = {f.key.metric: f.value for f in extra}
    assert rows["acc"].point == pytest.approx(100 * printed["acc,none"])
    assert rows["acc"].n == 23
    assert {f.unit for f in extra} == {"percent"}
    assert rows["acc"].standard_error == pytest.approx(100 * printed["acc_stderr,none"], rel=0.1)
    tasks = {t: fs[0] for t, fs in bench.figures(records).items()}
    a, b = tasks["tiny_choice"], tasks["tiny_yes_no"]
    assert a.standard_error is not None
    assert b.standard_error is not None
    expected = math.hypot(11 * a.standard_error, 12 * b.standard_error) / 23
    assert rows["acc"].standard_error == pytest.approx(100 * expected)
    assert a.point is not None
    assert b.point is not None
    assert rows["acc (mean of tasks)"].point == pytest.approx(50 * (a.point + b.point))


def test_a_failed_request_is_missing_not_wrong(task_folder: Path) -> None:
    bench = benchmark(task_folder, ("tiny_choice",))
    sample = bench.samples()[3]
    flow = bench.flow(sample, "m")
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.throw(RequestFailed("over_long", "5000 tokens; the model's window is 2048"))
    outcome = end.value.value
    assert (outcome.status, outcome.scores) == ("over_long", ())
    assert outcome.conversation
    assert "5000" in outcome.error
    record = Record("m", bench.name, sample.task, sample.id, None, "", outcome)
    figure = bench.figures([record])["tiny_choice"][0]
    assert (figure.point, figure.n, figure.n_missing) == (None, 0, 1)
