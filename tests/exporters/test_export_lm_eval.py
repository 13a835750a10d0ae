"""lm-eval's files from runs: read back by our importer and by lm-eval's own table printer.

The importer is held against lm-eval's evaluator in tests/importers, so equal figures here are
figures that lm-eval itself would have written.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit import compare, exporters, store
from evalkit.core import Estimate, Message, Outcome, Run
from evalkit.core.protocols import DataPlaces
from evalkit.errors import ExportError
from evalkit.importers import Evidence, ImportOptions, lm_eval
from tests.benchmarks.conftest import task_folder  # noqa: F401 - a fixture
from tests.support.exports import exportable_run
from tests.support.runs import Plan

OPTIONS = ImportOptions(("mine",), None, (), DataPlaces(), 0.95)
OWN = ("normalised", "average")


def exported(run: Run, folder: Path, **settings: Any) -> list[str]:
    """Write a run's files; their names."""
    spec = exporters.settings("lm_eval", settings)
    done = exporters.export([run], spec, "lm_eval")
    for name, content in done.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return list(done.files)


def figures(evidence: Evidence) -> dict[tuple[str, str], Estimate]:
    made = compare.estimates(evidence.records, {evidence.entry: evidence.metrics}, 0.95)
    return {(e.task, e.metric): e for e in (*made, *store.old_estimates(evidence.figures))}


def assert_equal_figures(run: Run, entry: str, model: str, found: Evidence) -> int:
    """Every figure of lm-eval's comes back; how many there were."""
    back, checked = figures(found), 0
    for e in run.estimates:
        if (e.model, e.benchmark) != (model, entry) or e.metric.endswith("(mean of tasks)"):
            continue
        again = back[e.task, e.metric]
        for name in ("point", "standard_error", "low", "high"):
            value, wanted = getattr(again, name), getattr(e, name)
            close = value == wanted or math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9)
            assert close, (e.task, e.metric, name, value, wanted)
        assert (again.n, again.n_missing, again.unit) == (e.n, e.n_missing, e.unit), e
        checked += 1
    return checked


def test_figures_come_back_through_the_importer(tmp_path: Path) -> None:
    run = exportable_run(tmp_path / "none", Plan(samples=(2, 2, 200)))
    assert any(r.outcome.status == "engine_error" for r in run.records)
    names = exported(run, tmp_path)
    assert names[:3] == [
        "lm_eval/quick-lora/results_3f2a9c1b7d04.json",
        "lm_eval/quick-lora/samples_opposites.jsonl",
        "lm_eval/quick-lora/samples_gsm8k.jsonl",
    ]
    for model in ("quick-lora", "smollm2"):
        (found,) = lm_eval.read([tmp_path / "lm_eval" / model], OPTIONS)
        assert assert_equal_figures(run, "lm_eval", model, found) == 2
        assert not [f for f in found.findings if f.damaged]
        back = {(r.task, r.sample): r.outcome for r in found.records}
        for record in run.records:
            if (record.model, record.benchmark) != (model, "lm_eval"):
                continue
            again = back.pop((record.task, record.sample))
            assert record.outcome.scores == again.scores
            assert record.outcome.answers == again.answers
            assert record.outcome.conversation == again.conversation
        assert not back


def test_settings_come_back_too(tmp_path: Path) -> None:
    exported(exportable_run(tmp_path / "none"), tmp_path)
    (found,) = lm_eval.read([tmp_path / "lm_eval" / "smollm2"], OPTIONS)
    said = found.description.tasks["gsm8k"]
    assert (said["version"], said["num_fewshot"], said["n"]) == (3.0, 5, 40)
    assert said["generation_kwargs"]["until"] == ["Question:"]
    assert found.description.models_in_files == ("pretrained=smollm2",)


def test_a_limited_run_says_so(tmp_path: Path) -> None:
    exported(exportable_run(tmp_path / "none", Plan(limit=40)), tmp_path)
    (found,) = lm_eval.read([tmp_path / "lm_eval" / "smollm2"], OPTIONS)
    assert "limited" in {f.code for f in found.findings}


def test_lm_evals_table_shows_them(tmp_path: Path) -> None:
    from lm_eval.utils import make_table

    run = exportable_run(tmp_path / "none")
    exported(run, tmp_path)
    written = json.loads((tmp_path / "lm_eval/smollm2/results_3f2a9c1b7d04.json").read_text())
    table = make_table(written)
    (acc,) = (
        e for e in run.estimates if (e.model, e.task, e.metric) == ("smollm2", "opposites", "acc")
    )
    assert acc.point is not None
    row = next(line for line in table.splitlines() if line.startswith("|opposites"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[4:7] == ["acc", "↑", f"{acc.point / 100:.4f}"]


def test_a_chat_is_written_as_lm_eval_writes_one(tmp_path: Path) -> None:
    run = exportable_run(tmp_path / "none")
    first = next(r for r in run.records if r.task == "gsm8k")
    talk = (Message("system", "s"), Message("user", "u"), Message("assistant", "42"))
    outcome = Outcome("ok", talk, ("42",), ("42", "forty-two"), first.outcome.scores)
    exported(replace(run, records=(replace(first, outcome=outcome),)), tmp_path)
    (row,) = (tmp_path / "lm_eval/quick-lora/samples_gsm8k.jsonl").read_text().splitlines()
    read = json.loads(row)
    asked = json.loads(read["arguments"]["gen_args_0"]["arg_0"])
    assert asked == [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert read["resps"] == [["42"]]
    assert read["target"] == "['42', 'forty-two']"


def test_figures_only_writes_no_samples(tmp_path: Path) -> None:
    names = exported(exportable_run(tmp_path / "none"), tmp_path, figures_only=True)
    assert [Path(name).name for name in names] == ["results_3f2a9c1b7d04.json"] * 2


def test_a_run_without_lm_eval_tasks_is_refused(tmp_path: Path) -> None:
    run = exportable_run(tmp_path)
    without = replace(run, estimates=tuple(e for e in run.estimates if e.benchmark != "lm_eval"))
    with pytest.raises(ExportError, match="no figure of an lm-eval task"):
        exported(without, tmp_path)


def test_the_same_model_and_benchmark_in_two_runs_is_refused(tmp_path: Path) -> None:
    run = exportable_run(tmp_path)
    with pytest.raises(ExportError, match="would be written twice"):
        exporters.export([run, run], exporters.settings("lm_eval", {}), "lm_eval")


@pytest.mark.slow
def test_every_kind_of_task_comes_back(task_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    """Filters, repeats, groups, corpus metrics: asked of the fake engine, written, imported."""
    names = [
        *("tiny_group", "tiny_sums", "tiny_vote", "tiny_binary", "tiny_mutual", "tiny_wino"),
        *("tiny_bleu", "tiny_prefill", "tiny_brier", "tiny_first_n", "tiny_ending", "tiny_rolling"),
    ]
    (tmp_path / ".evalkit").mkdir()
    suite = {
        "name": "all",
        "models": {"mine": {"path": "mine"}},
        "engine": {"type": "fake"},
        "benchmarks": [{"type": "lm_eval", "tasks": names, "include": str(task_folder)}],
    }
    (tmp_path / "all.yaml").write_text(json.dumps(suite))
    run = store.untyped(evalkit.run(tmp_path / "all.yaml", out=tmp_path / "run"))
    files = exported(run, tmp_path / "out")
    assert any("T" in Path(name).stem.split("_")[-1] for name in files), "dated by the session"
    (found,) = lm_eval.read([tmp_path / "out" / "lm_eval" / "mine"], OPTIONS)
    assert assert_equal_figures(run, "lm_eval", "mine", found) > 15
    assert not [f for f in found.findings if f.damaged], found.findings


@pytest.mark.data
def test_notus_recorded_results_come_back(public_data: Path, tmp_path: Path) -> None:
    """argilla/notus's own result files, imported, exported and imported again."""
    (first,) = lm_eval.read([public_data / "notus" / "lm_eval_harness"], OPTIONS)
    run = exportable_run(tmp_path)
    tasks: dict[str, Any] = {t: {"metrics": []} for t in first.metrics}
    entry = {"name": "lm_eval", "description": dict(first.description.all), "tasks": tasks}
    recorded = replace(
        run,
        records=(),
        comparisons=(),
        estimates=tuple(store.old_estimates(first.figures)),
        manifest={**run.manifest, "benchmarks": [entry]},
    )
    exported(recorded, tmp_path / "out")
    (again,) = lm_eval.read([tmp_path / "out" / "lm_eval" / "mine"], OPTIONS)
    assert assert_equal_figures(recorded, "lm_eval", "mine", again) == 99
    assert figures(again)["gsm8k", "exact_match,get-answer"].n == 1319
