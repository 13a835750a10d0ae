"""`.eval_results/*.yaml`: read back by huggingface_hub; only what the hub has a leaderboard for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit import catalogue, formats
from evalkit.core.figures import Estimator, Interval, Measured, Method, Source
from evalkit.core.protocols import Exported
from evalkit.core.requests import Json
from evalkit.core.run import Run
from evalkit.errors import ExportError
from tests.support.exports import exportable
from tests.support.runs import Plan


def export(run: Run, **settings: Any) -> Exported:
    return formats.export([run], formats.settings("eval_results", settings))


def entries(done: Exported) -> list[Any]:
    """Every entry of every file, as huggingface_hub reads them."""
    import yaml
    from huggingface_hub import parse_eval_result_entries

    return [e for f in done.files.values() for e in parse_eval_result_entries(yaml.safe_load(f))]


def renamed(run: Run, task: str, **dataset: Json) -> Run:
    """`run` with its task gsm8k called otherwise, or on another data set."""
    benchmarks = []
    for entry in run.manifest.benchmarks:
        said = entry.description
        if "gsm8k" in said.tasks:
            old = said.tasks["gsm8k"]
            about = {**old, "dataset": {**old["dataset"], **dataset}}
            others = {name: found for name, found in said.tasks.items() if name != "gsm8k"}
            said = said.model_copy(update={"tasks": {**others, task: about}})
        tasks = {task if name == "gsm8k" else name: found for name, found in entry.tasks.items()}
        benchmarks.append(entry.model_copy(update={"tasks": tasks, "description": said}))
    return replace(
        run,
        manifest=run.manifest.model_copy(update={"benchmarks": tuple(benchmarks)}),
        figures=tuple(
            replace(f, key=replace(f.key, task=task)) if f.key.task == "gsm8k" else f
            for f in run.figures
        ),
        records=tuple(replace(r, task=task) if r.task == "gsm8k" else r for r in run.records),
    )


def value_of(run: Run, model: str = "quick-lora") -> Measured:
    """Of gsm8k."""
    return next(f.value for f in run.figures if (f.model, f.key.task) == (model, "gsm8k"))


def changed(run: Run, **changes: Any) -> Run:
    """`run` with fields of its figures of gsm8k as given."""
    figures = (replace(f, **changes) if f.key.task == "gsm8k" else f for f in run.figures)
    return replace(run, figures=tuple(figures))


def test_a_registered_figure_comes_back_through_huggingface_hub() -> None:
    run = exportable()
    done = export(
        run, source_url="https://example.org/report", source_name="Report", date="2026-01-31"
    )
    assert list(done.files) == [".eval_results/gsm8k.yaml"]
    (entry,) = entries(done)
    wanted = value_of(run)
    assert entry.value == wanted.point
    assert type(entry.value) is float
    assert (entry.dataset_id, entry.task_id) == ("openai/gsm8k", "gsm8k")
    assert entry.dataset_revision == "ab" * 20
    assert (entry.date, entry.source_url) == ("2026-01-31", "https://example.org/report")
    assert entry.source_name == "Report"
    assert entry.notes.startswith("lm-eval 0.4.13 gsm8k, 5 shots, exact_match,strict-match, 95% ")
    missing = f" ({wanted.n_missing} missing)" if wanted.n_missing else ""
    assert f"n = {wanted.n}{missing}, evalkit run 3f2a9c1b7d04" in entry.notes


def test_what_is_left_out_is_said_with_the_reason() -> None:
    done = export(exportable())
    (note,) = done.notes
    assert note == (
        "left out: alpaca_eval, mt_bench, opposites: no registered benchmark of the hub, as far as "
        "evalkit knows"
    )


def test_without_any_registered_task_it_is_an_error() -> None:
    run = renamed(exportable(), "sums")
    with pytest.raises(ExportError, match=r"nothing of 'quick-lora' belongs .*gsm8k, gsm8k_cot"):
        export(run)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("leaderboard_mmlu_pro", "by log-probability"),
        ("leaderboard_gpqa_diamond", "by log-probability"),
        ("gpqa_diamond_zeroshot", "by log-probability"),
        ("gpqa_main_cot_zeroshot", "is of its diamond questions"),
    ],
)
def test_why_tasks_near_a_leaderboard_are_left_out(task: str, said: str) -> None:
    with pytest.raises(ExportError, match=rf"left out: {task}: .*{said}"):
        export(renamed(exportable(), task))


def test_gpqa_diamond_is_written_under_the_task_id_of_the_files_on_the_hub() -> None:
    run = renamed(exportable(), "gpqa_diamond_cot_zeroshot", path="Idavidrein/gpqa")
    (entry,) = entries(export(run))
    assert (entry.dataset_id, entry.task_id) == ("Idavidrein/gpqa", "diamond")


def test_another_data_set_under_a_known_name_is_left_out() -> None:
    run = renamed(exportable(), "gsm8k", path="my-org/gsm8k-rewritten")
    with pytest.raises(ExportError, match=r"measured on data 'my-org/gsm8k-rewritten'"):
        export(run)
    old = renamed(exportable(), "gsm8k", path="gsm8k")
    assert export(old).files, "lm-eval's own name of the data set until 2024"


def test_a_figure_that_is_no_share_is_left_out() -> None:
    run = exportable()
    with pytest.raises(ExportError, match="not a share"):
        export(changed(run, unit="raw"))


def test_an_undefined_figure_is_not_written_as_a_number() -> None:
    run = exportable()
    with pytest.raises(ExportError, match="nothing of 'quick-lora'"):
        export(changed(run, value=replace(value_of(run), point=None)))


def published(run: Run, source: str) -> Run:
    """`run` with its figures of gsm8k as someone else's."""
    theirs = replace(value_of(run), method=Method(Estimator.PUBLISHED, Interval.STATED))
    return changed(run, value=theirs, source=Source(source))


def test_someone_elses_figure_is_written_with_its_address_or_not_at_all() -> None:
    run = exportable()
    with pytest.raises(ExportError, match=r"left out: gsm8k: .*at no address"):
        export(published(run, "a leaderboard"))
    (entry,) = entries(export(published(run, "https://example.org/board"), date="2026-01-31"))
    assert (entry.source_url, entry.date) == ("https://example.org/board", None)
    assert "published by others, not measured here" in entry.notes
    wanted = value_of(run)
    assert entry.value == wanted.point


def test_of_two_tasks_of_one_leaderboard_the_first_is_written() -> None:
    run = exportable()
    both = renamed(run, "gsm8k_cot")
    ours, theirs = run.benchmark("lm_eval"), both.benchmark("lm_eval")
    tasks = {**ours.description.tasks, **theirs.description.tasks}
    update = {
        "tasks": {**ours.tasks, **theirs.tasks},
        "description": ours.description.model_copy(update={"tasks": tasks}),
    }
    joined = ours.model_copy(update=update)
    benchmarks = tuple(joined if b.name == "lm_eval" else b for b in run.manifest.benchmarks)
    done = export(
        replace(
            run,
            manifest=run.manifest.model_copy(update={"benchmarks": benchmarks}),
            figures=(*run.figures, *(f for f in both.figures if f.key.task == "gsm8k_cot")),
            records=(*run.records, *(r for r in both.records if r.task == "gsm8k_cot")),
        )
    )
    assert list(done.files) == [".eval_results/gsm8k.yaml"]
    assert any("gsm8k_cot" in note and "keeps one" in note for note in done.notes)


def test_one_model_a_time() -> None:
    run = exportable(Plan(models=("a", "b", "c")))
    (baseline,) = entries(export(run, models=("b",)))
    wanted = value_of(run, "b")
    assert baseline.value == wanted.point
    with pytest.raises(ExportError, match=r"2 are meant \(b, c\)"):
        export(run, models=("b", "c"))


def test_a_source_has_an_address() -> None:
    with pytest.raises(ExportError, match="needs source_url"):
        export(exportable(), source_name="Report")


@pytest.mark.parametrize("task", catalogue.on_hub())
def test_lm_eval_has_these_tasks_on_these_data_sets(task: str) -> None:
    """Oracle: the YAML files of lm-eval 0.4.13."""
    import lm_eval

    parts = {"gpqa_diamond_cot_n_shot": "cot_n_shot", "gpqa_diamond_cot_zeroshot": "cot_zeroshot"}
    parts["gpqa_diamond_generative_n_shot"] = "generative"
    name = f"gpqa/{parts[task]}" if task in parts else task.partition("_cot")[0]
    folder = Path(str(lm_eval.__file__)).parent / "tasks" / name
    files = [path for path in folder.iterdir() if path.is_file()]
    lines = {line for path in files for line in path.read_text(encoding="utf-8").splitlines()}
    assert lines & {f"task: {task}", f"group: {task}"}
    paths = {line.partition(": ")[2] for line in lines if line.startswith("dataset_path:")}
    assert {s and s.id for s in map(catalogue.hub_data_set, paths)} == {catalogue.on_hub()[task][0]}
