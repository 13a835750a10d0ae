"""The example notebook runs from top to bottom, and carries no output."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from evalkit import store
from evalkit.core import Run
from tests.support.runs import Plan, build_run


def stored(run: Run, folder: Path) -> None:
    with store.RunStore.open(folder, run.manifest) as written:
        for record in run.records:
            written.append(record)
        results = store.results_json(run.estimates, run.comparisons, "3f2a9c1b7d04")
        written.seal([r.key for r in run.records], run.manifest, results, {})


def cells(repository: Path) -> list[dict[str, Any]]:
    path = repository / "examples" / "notebooks" / "frames.ipynb"
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def shown(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr), "each cell shows something"
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_it_carries_no_output(repository: Path) -> None:
    for cell in cells(repository):
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
    assert len({cell["id"] for cell in cells(repository)}) == len(cells(repository))


@pytest.mark.parametrize("models", [("quick-lora", "smollm2"), ("a", "b", "c"), ("alone",)])
def test_it_runs_on_a_run(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: tuple[str, ...]
) -> None:
    run = build_run(tmp_path, Plan(models=models, published=True))
    stored(run, tmp_path / "reports" / "quickstart" / "3f2a9c1b7d04")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    values = {
        cell["id"]: shown("".join(cell["source"]), names)
        for cell in cells(repository)
        if cell["cell_type"] == "code"
    }
    assert values["load"].name == "3f2a9c1b7d04"
    assert set(values["estimates"].columns) >= set(models)
    assert len(values["comparison"]) == 4 * (len(models) - 1)
    assert all(models[0] in sentence for sentence in values["comparison"])
    assert values["status"].loc[("alpaca_eval", models[0]), "over_long"] == 2
    assert values["judges"].between(0, 1).all()
    for value in values.values():
        assert repr(value)
    if len(models) > 1:
        assert values["samples"].iloc[0] < 0
        assert set(values["worst"].model) == set(models)
