"""Logs of Inspect: written by Inspect itself, and read with the figures it computed.

Oracle: inspect_ai (PyPI) runs a small evaluation with its own scorers over two epochs, in its own
process; accuracy, mean and stderr are those of its log.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Measured
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError
from evalkit.formats import inspect
from tests.support.cli import evalkit
from tests.support.exports import all_figures

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
