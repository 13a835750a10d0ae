"""Every Eval Ever JSON: by its own schema and validator, with the run's figures in it.

The package needs Python 3.12 in its metadata only; `scripts/setup.sh` installs it for these tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from evalkit import formats, store
from evalkit.core.evidence import ImportOptions
from evalkit.core.protocols import DataPlaces, Exported
from evalkit.core.requests import Json
from evalkit.core.run import JudgeEntry, Provenance, Run
from evalkit.errors import ExportError
from evalkit.formats import every_eval_ever
from tests.support.cli import evalkit
from tests.support.exports import NEEDED, exportable
from tests.support.runs import Plan

HOSTILE = '\ud800<b>"\\ \x00 = | ../'


def export(run: Run, **settings: Any) -> dict[str, dict[str, Any]]:
    """The parsed files by name, with what a model of the suite judged."""
    done = exported(run, allow_unpublishable=True, **settings)
    return {name: json.loads(content) for name, content in done.files.items()}


def exported(run: Run, **settings: Any) -> Exported:
    given = {**NEEDED["every_eval_ever"], **settings}
    return formats.export([run], formats.settings("every_eval_ever", given))


@pytest.fixture(scope="module")
def schema() -> Json:
    try:
        package = metadata.distribution("every-eval-ever")
    except metadata.PackageNotFoundError:
        pytest.skip("every-eval-ever is not installed (scripts/setup.sh installs it)")
    path = package.locate_file("every_eval_ever/schemas/eval.schema.json")
    found = json.loads(Path(str(path)).read_text(encoding="utf-8"))
    assert found["version"] == "0.3.0"
    return found


def all_runs() -> Iterator[Run]:
    yield exportable()
    yield exportable(Plan(published=True, samples=(1, 1, 1)))
    yield exportable(Plan(say=lambda text: HOSTILE + text))
    yield exportable(Plan(models=("org-a model", "..b", "日本語")))


@pytest.mark.parametrize("number", range(4))
def test_files_fit_the_schema(schema: Json, number: int) -> None:
    run = list(all_runs())[number]
    for log in export(run).values():
        jsonschema.Draft7Validator(schema).validate(log)


@pytest.mark.parametrize("number", range(4))
def test_the_packages_own_validator_accepts_them(number: int, tmp_path: Path) -> None:
    core = pytest.importorskip("every_eval_ever.validator.validation_core")
    run = list(all_runs())[number]
    for name, log in export(run).items():
        path = tmp_path / Path(name).name
        path.write_text(json.dumps(log))
        report = core.validate_file(path)
        assert report.valid, report.errors
        assert not report.warnings, report.warnings


def test_every_figure_is_there_with_its_uncertainty() -> None:
    run = exportable(Plan(published=True))
    logs = export(run)
    found = {
        (log["model_info"]["name"], result["evaluation_result_id"]): result
        for log in logs.values()
        for result in log["evaluation_results"]
    }
    own = [f for f in run.figures if not f.published and f.value.point is not None]
    assert len(found) == len(own)
    assert not [name for name in logs if "claude" in name], "published by others"
    for f in own:
        parts, e = (f.key.benchmark, f.key.task, f.key.category, f.key.metric), f.value
        result = found[f.model, "/".join(p for p in parts if p)]
        details = result["score_details"]
        assert details["score"] == e.point
        assert details["uncertainty"].get("num_samples", 0) == e.n
        assert details["details"]["n_missing"] == str(e.n_missing)
        error = details["uncertainty"].get("standard_error")
        assert (error or {}).get("value") == e.standard_error
        bounds = details["uncertainty"].get("confidence_interval") or {}
        assert (bounds.get("lower"), bounds.get("upper")) == (e.low, e.high)
        assert result["metric_config"]["metric_unit"] == f.unit
        assert result["metric_config"]["lower_is_better"] is False


def test_settings_and_provenance() -> None:
    (log,) = (
        log
        for log in export(exportable(), models=("quick-lora",)).values()
        if log["evaluation_results"][0]["evaluation_name"] == "opposites"
    )
    assert log["source_metadata"]["source_organization_name"] == "Example Lab"
    assert log["source_metadata"]["additional_details"]["run_id"] == "3f2a9c1b7d04"
    assert log["evaluation_timestamp"] == "1769817600", "2026-01-31 in UTC"
    assert log["model_info"]["inference_engine"] == {"name": "vllm", "version": "0.32.0"}
    assert log["model_info"]["additional_details"]["deployment_type"] == "self_deployed"
    gsm8k = log["evaluation_results"][-1]
    parameters = gsm8k["metric_config"]["metric_parameters"]
    assert (parameters["type"], parameters["lm_eval"]) == ("lm_eval", "0.4.13")
    assert parameters["task_version"] == 3.0
    assert gsm8k["source_data"]["hf_repo"] == "openai/gsm8k"
    assert gsm8k["source_data"]["samples_number"] == 40
    assert gsm8k["generation_config"]["additional_details"] == {"num_fewshot": "5"}


def test_the_judges_of_the_judgments_are_named() -> None:
    """Each benchmark's own, by the model behind it, where several judges are in the run."""
    run = exportable()
    judge = {"protocol": "original", "prompt_sha256": "cd" * 32}
    judges = (
        JudgeEntry(name="another", model="claude"),
        JudgeEntry(name="base-judge", model="gpt-4-0613"),
    )
    benchmarks = tuple(
        b.model_copy(update={"description": b.description.model_copy(update={"judge": judge})})
        for b in run.manifest.benchmarks
    )
    update = {"judges": judges, "benchmarks": benchmarks}
    logs = export(
        replace(run, manifest=run.manifest.model_copy(update=update)), models=("smollm2",)
    )
    for log in logs.values():
        for result in log["evaluation_results"]:
            scoring = result["metric_config"].get("llm_scoring")
            judged = result["evaluation_name"].startswith(("alpaca_eval", "mt_bench"))
            if not judged or result["metric_config"]["metric_unit"] == "characters":
                assert scoring is None
                continue
            assert [j["model_info"]["name"] for j in scoring["judges"]] == ["gpt-4-0613"]
            assert scoring["input_prompt"] == f"sha256 {'cd' * 32}"
            assert scoring["additional_details"]["protocol"] == "original"


def judged_figures(files: Mapping[str, bytes]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each file, and whether it has a figure of AlpacaEval or MT-Bench besides lengths."""
    for content in files.values():
        log = json.loads(content)
        found = [
            result
            for result in log["evaluation_results"]
            if result["evaluation_name"].startswith(("alpaca_eval", "mt_bench"))
            and result["metric_config"]["metric_unit"] != "characters"
        ]
        yield log, bool(found)


def test_figures_of_a_local_judge_are_left_out_and_named() -> None:
    """As `.eval_results` and a card's index have it."""
    run = exportable(Plan(models=("a", "b")))
    done = exported(run)
    assert done.files
    assert not any(judged for _, judged in judged_figures(done.files))
    assert len(done.notes) == 2, "one a model"
    for note, model in zip(done.notes, ("a", "b"), strict=True):
        assert note.startswith(f"left out of {model}: alpaca_eval win_rate, ")
        assert "mt_bench score" in note
        assert "gsm8k" not in note
        assert "avg_length" not in note
        assert "judged by base-judge, a model of the same suite" in note
    lengths = [f for f in run.figures if f.unit == "characters"]
    texts = b"".join(done.files.values()).decode()
    assert lengths
    assert all(f"/{f.key.metric}" in texts for f in lengths), "no judge decides a length"


def test_with_allow_unpublishable_they_are_written_and_marked() -> None:
    done = exported(exportable(Plan(limit=24)), allow_unpublishable=True)
    assert not done.notes
    assert {judged for _, judged in judged_figures(done.files)} == {True, False}
    for log, judged in judged_figures(done.files):
        said = log["source_metadata"]["additional_details"]["not_for_publication"]
        assert said.startswith("limited to 24 samples per task")
        assert ("judged by base-judge, a model of the same suite" in said) == judged


def test_a_judge_that_is_no_model_of_the_suite_is_no_caution() -> None:
    done = exported(exportable(Plan(local_judge=False)))
    assert not done.notes
    for log, _ in judged_figures(done.files):
        assert "not_for_publication" not in log["source_metadata"]["additional_details"]


def test_nothing_but_a_local_judges_figures_says_why_and_what_to_do() -> None:
    run = exportable()
    rows = tuple(f for f in run.figures if f.key.benchmark == "mt_bench" and f.unit == "points")
    with pytest.raises(ExportError, match=r"mt_bench score.*base-judge.*--allow-unpublishable"):
        exported(replace(run, figures=rows))


def test_paths_are_the_datastores_and_names_are_random_uuids_in_form() -> None:
    logs = export(exportable(), models=("quick-lora",), model_id="my-org/mine")
    for name, log in logs.items():
        parts = Path(name).parts
        assert parts[0] == "data"
        assert parts[2:4] == ("my-org", "mine")
        assert Path(name).stem[14] == "4"
        assert log["model_info"]["id"] == "my-org/mine"
        assert log["model_info"]["developer"] == "my-org"
    assert {Path(name).parts[1] for name in logs} == {"alpaca_eval", "mt_bench", "lm_eval"}


def test_a_model_from_the_hub_keeps_its_id() -> None:
    run = exportable()
    place = Provenance(source={"kind": "hub", "path": "org/base", "repo": "org/base"})
    models = tuple(m.model_copy(update={"provenance": place}) for m in run.manifest.models)
    served = replace(run, manifest=run.manifest.model_copy(update={"models": models}))
    for name, log in export(served, models=("smollm2",)).items():
        assert Path(name).parts[2:4] == ("org", "base")
        assert log["model_info"]["id"] == "org/base"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"date": None}, r"no session says when.*--set date"),
        ({"model_id": "a/b"}, r"'a/b' is one model's; name it with --model: quick-lora, smollm2"),
    ],
)
def test_what_the_format_needs_and_is_not_known(settings: dict[str, Json], said: str) -> None:
    with pytest.raises(ExportError, match=said):
        export(exportable(), **settings)


def test_a_date_is_a_day_that_there_is() -> None:
    with pytest.raises(ExportError, match=r"'date' of every_eval_ever: .*got '2026-02-30'"):
        export(exportable(), date="2026-02-30")


def test_only_published_figures_are_nothing_to_record() -> None:
    run = exportable(Plan(published=True))
    rows = tuple(f for f in run.figures if f.published)
    with pytest.raises(ExportError, match="theirs to record"):
        export(replace(run, records=(), figures=rows))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    options = ImportOptions((), None, (), DataPlaces(), 0.95)
    for name, log in export(exportable()).items():
        file = tmp_path / Path(name).name
        file.write_text(json.dumps(log), encoding="utf-8")
        (found,) = every_eval_ever.read([file], options)
        results = log["evaluation_results"]
        wanted = [r["score_details"]["score"] for r in results]
        assert [f.value.point for f in found.figures] == wanted
        shots = [
            r.get("generation_config", {}).get("additional_details", {}).get("num_fewshot")
            for r in results
        ]
        read = [found.description.task(f.key.task).n_shots for f in found.figures]
        assert [None if n is None else str(n) for n in read] == shots


def test_an_import_has_every_figure_with_its_uncertainty(tmp_path: Path) -> None:
    """A folder of records, of several models, as one run; beside a file of something else."""
    run = exportable()
    for name, content in exported(run, allow_unpublishable=True).files.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(content)
    (tmp_path / "data" / "notes.json").write_text("{}")
    done = evalkit(tmp_path, "import", "every_eval_ever", "data", "--out", "run", "--strict")
    assert done.code == 0, done.err
    assert "notes.json" in done.err
    found = store.load(tmp_path / "run")
    read = {
        (f.model, f.unit, f.value.point, f.value.standard_error, f.value.n) for f in found.figures
    }
    wanted = {
        (f.model, f.unit, f.value.point, f.value.standard_error, f.value.n)
        for f in run.figures
        if not f.published and f.value.point is not None
    }
    assert read == wanted
