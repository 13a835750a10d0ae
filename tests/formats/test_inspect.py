"""Logs of Inspect: written by Inspect itself and read with its figures; and runs as such logs.

Oracle: inspect_ai (PyPI) runs a small evaluation with its own scorers over two epochs, in its own
process; accuracy, mean and stderr are those of its log.  It reads what is exported, too.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import formats
from evalkit.comparison.figures import figures as figures_of
from evalkit.core import Run
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Measured
from evalkit.core.frames import encodable
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError, ExportError
from evalkit.formats import inspect
from tests.support.cli import evalkit
from tests.support.exports import all_figures, exportable
from tests.support.runs import ENTRIES, Plan, build_run, with_manifest

OPTIONS = ImportOptions((), None, (), DataPlaces(), 0.95)
EVALUATION = """
import sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import accuracy, f1, includes, match, mean, scorer, stderr, Score, Target
from inspect_ai.solver import solver

TEXTS = {1: "4", 2: "five", 3: "six 6", 4: "7"}

@solver
def scripted():
    async def solve(state, generate):
        text = TEXTS[state.sample_id] if state.epoch == 1 else "4"
        state.output = ModelOutput.from_content("mockllm/org/tiny", text)
        state.messages.append(state.output.message)
        return state
    return solve

@scorer(metrics=[mean(), stderr()])
def length():
    async def score(state, target):
        return Score(value=len(state.output.completion))
    return score

samples = [Sample(input=f"{n}?", target=str(n)) for n in (4, 5, 6, 8)]
task = Task(dataset=samples, solver=[scripted()], scorer=[match(), includes(), f1(), length()],
            epochs=2, name="arithmetic")
eval(task, model="mockllm/org/tiny", log_dir=sys.argv[1], log_format=sys.argv[2], display="none")
"""


@pytest.fixture(scope="module", params=["eval", "json"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    made = [sys.executable, "-c", EVALUATION, str(folder), request.param]
    subprocess.run(made, check=True, timeout=300, capture_output=True)
    (found,) = folder.iterdir()
    return found


def figures(evidence: Evidence) -> dict[str, Measured]:
    return {f.key.metric: f.value for f in all_figures(evidence)}


def stated_scores(path: Path) -> list[dict[str, Any]]:
    import zipfile_zstd  # noqa: F401 - teaches zipfile Zstandard

    if path.suffix == ".json":
        text = path.read_bytes()
    else:
        with zipfile.ZipFile(path) as archive:
            text = archive.read("header.json")
    return list(json.loads(text)["results"]["scores"])


@pytest.mark.slow
def test_every_figure_is_the_logs_own(log: Path) -> None:
    (found,) = inspect.read([log], OPTIONS)
    made = figures(found)
    assert found.model == "tiny"
    assert set(made) == {"match", "includes", "f1", "length"}
    for score in stated_scores(log):
        metrics = score["metrics"]
        stated = metrics.get("accuracy") or metrics["mean"]
        scale = 100 if "accuracy" in metrics else 1
        value = made[score["name"]]
        assert value.point == pytest.approx(scale * stated["value"], abs=1e-9)
        assert value.standard_error == pytest.approx(scale * metrics["stderr"]["value"], abs=1e-9)
        assert value.n == score["scored_samples"] == 4
    assert found.findings == ()
    assert [r.outcome.answers for r in found.records][:2] == [("4",), ("five",)]
    assert [m.role for m in found.records[0].outcome.conversation] == ["user", "assistant"]


@pytest.mark.slow
def test_an_import_is_an_ordinary_run(log: Path, tmp_path: Path) -> None:
    (log.parent / "notes.txt").write_text("mine")
    run = tmp_path / "run"
    named = ("--model", "new=mockllm/org/tiny", "--out", str(run), "--strict")
    done = evalkit(tmp_path, "import", "inspect", str(log.parent), *named)
    (log.parent / "notes.txt").unlink()
    assert done.code == 0, done.err
    assert "read 1 file: 1 model, 4 samples" in done.out
    assert "notes.txt" in done.err
    results = json.loads((run / "results.json").read_text())
    assert {e["model"] for e in results["estimates"]} == {"new"}


def written(folder: Path, **change: Any) -> Path:
    log: dict[str, Any] = {
        "version": 2,
        "status": "success",
        "eval": {"task": "pkg/t", "model": "org/m", "config": {}, "created": "2026-01-02T03:04"},
        "results": {
            "scores": [
                {
                    "name": "s",
                    "scorer": "s",
                    "metrics": {"accuracy": {"value": 0.75}, "stderr": {"value": 0.25}},
                }
            ]
        },
        "samples": [
            {"id": n, "epoch": 1, "input": "q", "scores": {"s": {"value": value}}}
            for n, value in enumerate("CCCI")
        ],
        **change,
    }
    path = folder / "log.json"
    path.write_text(json.dumps(log))
    return path


def test_a_log_without_samples_is_figures_alone(tmp_path: Path) -> None:
    (found,) = inspect.read([written(tmp_path, samples=[])], OPTIONS)
    ((name, value),) = figures(found).items()
    assert (name, value.point, value.standard_error) == ("s, accuracy", 0.75, 0.25)
    assert [f.code for f in found.findings] == ["no_samples"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "error"}, "unfinished"),
        ({"eval": {"task": "t", "model": "m", "config": {"limit": 10}}}, "limited"),
        (
            {"samples": [{"id": 1, "epoch": 1, "scores": {"s": {"value": "I"}}}]},
            "samples_and_results_differ",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], code: str) -> None:
    (found,) = inspect.read([written(tmp_path, **change)], OPTIONS)
    assert {f.code for f in found.findings if f.damaged} == {code}


def test_a_sample_that_failed_is_missing(tmp_path: Path) -> None:
    rows = [{"id": n, "epoch": 1, "scores": {"s": {"value": "C"}}} for n in range(3)]
    rows.append({"id": 3, "epoch": 1, "error": {"message": "it fell over"}})
    (found,) = inspect.read([written(tmp_path, samples=rows)], OPTIONS)
    value = figures(found)["s"]
    assert (value.n, value.n_missing) == (3, 1)
    assert found.records[3].outcome.error == "it fell over"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"PK\x03\x04broken", b'{"eval": 1}'])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.eval"
    path.write_bytes(content)
    with pytest.raises(DataError, match="no log of Inspect"):
        inspect.read([path], OPTIONS)


# --- exported -----------------------------------------------------------------------------------

READER = """
import json, sys
from inspect_ai.log import list_eval_logs, read_eval_log, read_eval_log_sample_summaries
found = []
for info in list_eval_logs(sys.argv[1]):
    log = read_eval_log(info)
    assert len(read_eval_log_sample_summaries(info)) == len(log.samples)
    found.append({"task": info.task, **log.model_dump(mode="json")})
json.dump(found, sys.stdout)
"""


def exported(run: Run, folder: Path, **given: Any) -> Path:
    spec = formats.settings("inspect", {"date": "2026-01-31", **given})
    formats.write(formats.export([run], spec), folder)
    return folder


def read_by_inspect(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """By task and model."""
    made = [sys.executable, "-c", READER, str(folder)]
    done = subprocess.run(made, check=True, timeout=300, capture_output=True)
    return {(log["eval"]["task"], log["eval"]["model"]): log for log in json.loads(done.stdout)}


@pytest.mark.slow
def test_inspect_reads_the_whole_log(tmp_path: Path) -> None:
    usage = {"engines": {"smollm2": {"prompt_tokens": 90, "reused_tokens": 30}}}
    run = with_manifest(exportable(), usage=usage)
    logs = read_by_inspect(exported(run, tmp_path))
    assert len(logs) == 8
    log = logs["gsm8k", "vllm/smollm2"]
    assert (log["status"], log["eval"]["packages"]["evalkit"]) == ("success", "0.1.0")
    spent = log["stats"]["model_usage"]["vllm/smollm2"]
    assert (spent["input_tokens"], spent["input_tokens_cache_read"]) == (60, 30)
    score = log["results"]["scores"][0]
    figure = next(f for f in run.figures if f.model == "smollm2" and f.key.task == "gsm8k")
    assert figure.value.point is not None
    assert score["metrics"]["accuracy"]["value"] == pytest.approx(figure.value.point / 100)
    assert score["metrics"]["stderr"]["value"] == pytest.approx(
        (figure.value.standard_error or 0) / 100
    )
    assert (score["scored_samples"], score["unscored_samples"]) == (39, 1)
    (failed,) = (s for s in log["samples"] if s["error"])
    assert failed["error"]["message"] == "the engine said: engine_error"
    judged = logs["alpaca_eval", "vllm/quick-lora"]
    assert judged["eval"]["model_roles"]["grader"][0]["model"] == "fake/base-judge"
    graded = judged["samples"][0]["scores"]["win_rate"]
    assert graded["explanation"].startswith("base-judge: m=")
    assert [m["role"] for m in graded["metadata"]["grading"]] == ["user", "assistant"] * 2
    assert judged["samples"][0]["scores"]["avg_length"]["explanation"] is None


def test_an_import_of_the_export_has_the_same_figures(tmp_path: Path) -> None:
    run = exportable()
    found = inspect.read([exported(run, tmp_path)], OPTIONS)
    assert [one.findings for one in found] == [(), ()]
    for evidence in found:
        made = {(f.key.task, f.key.metric): f.value for f in all_figures(evidence)}
        mine = [f for f in run.figures if f.model == evidence.model and not f.key.category]
        assert len(made) == len(mine)
        for figure in mine:
            # One turn of one question has no rating, so its mean is over turns, not questions.
            name = figure.key.metric + (", figure" if figure.key.metric == "score" else "")
            value = made[figure.key.task, name]
            assert value.point == pytest.approx(figure.value.point)
            assert value.standard_error == pytest.approx(figure.value.standard_error)
            if figure.key.metric != "score":
                assert value.low == pytest.approx(figure.value.low)
                assert value.n == figure.value.n
        assert evidence.metrics["mt_bench"][0].name == "score, figure"


def test_questions_in_clusters_keep_their_standard_error(tmp_path: Path) -> None:
    run = build_run()
    records = tuple(replace(r, cluster=str(int(r.sample) // 4)) for r in run.records)
    run = replace(run, records=records, figures=tuple(figures_of(records, ENTRIES, 0.95)))
    (mine, _) = inspect.read([exported(run, tmp_path)], OPTIONS)
    expected = next(f.value for f in run.figures if f.key.metric == "win_rate")
    assert expected.method.clustered
    value = figures(mine)["win_rate"]
    assert value.standard_error == pytest.approx(expected.standard_error)
    assert value.n_units == expected.n_units == 6


@given(st.text(st.characters(), max_size=40))
def test_a_texts_way_through_a_log(text: str) -> None:
    """Whatever a sample is called, a model said or a judge replied."""
    run = exportable(Plan(models=("a", "b"), samples=(1, 1, 1), say=lambda _: text))
    records = tuple(replace(r, sample=text) for r in run.records if r.task == "alpaca_eval")
    run = replace(run, records=records)
    done = formats.export([run], formats.settings("inspect", {"date": "2026-01-31"}))
    content = next(c for name, c in done.files.items() if name.startswith("alpaca_eval/"))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = (n for n in archive.namelist() if n.startswith("samples/"))
        sample = json.loads(archive.read(name))
    assert PurePosixPath(name).parts == ("samples", f"{sample['id']}_epoch_1.json")
    assert PureWindowsPath(name).parts == ("samples", f"{sample['id']}_epoch_1.json")
    assert sample["output"]["completion"] == encodable(text)


def test_a_run_without_a_date_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"--set date=YYYY-MM-DD"):
        exported(exportable(folder=tmp_path), tmp_path, date=None)
