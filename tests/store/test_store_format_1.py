"""Runs that older versions wrote are read by the one upgrade, and reading never writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from evalkit import store
from evalkit.core import Json
from evalkit.core.figures import Estimator, FigureKey

KEPT = Path(__file__).parent / "format_1"
RUNS = sorted(path.parent for path in KEPT.glob("*/manifest.json"))


def digest(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def plain(rows: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Without what format 2 adds."""
    return [{k: v for k, v in r.items() if k not in ("how", "published", "df")} for r in rows]


@pytest.mark.parametrize("folder", RUNS, ids=lambda p: p.name)
def test_every_figure_is_read_as_it_was_written(folder: Path) -> None:
    before, run = digest(folder), store.load(folder)
    assert digest(folder) == before
    written = json.loads((folder / "results.json").read_bytes())
    again = json.loads(store.pretty_json(store.results(run.figures, run.comparisons, "x")))
    for rows in ("estimates", "comparisons"):
        assert len(written[rows]) > 2
        assert plain(again[rows]) == plain(written[rows])
    assert len(run.records) == len((folder / "records.jsonl").read_bytes().splitlines())


@pytest.mark.parametrize("folder", RUNS, ids=lambda p: p.name)
def test_written_again_in_the_present_format_it_is_the_same_run(
    folder: Path, tmp_path: Path
) -> None:
    run = store.load(folder)
    place = tmp_path / "again"
    with store.RunStore.open(place, run.manifest.model_copy(update={"sealed": False})) as written:
        for record in run.records:
            written.append(record)
        found = store.results(run.figures, run.comparisons, run.manifest.run_id)
        written.seal([r.key for r in run.records], run.manifest, found, {})
    again = store.load(place)
    assert again.manifest == run.manifest
    assert (again.records, again.figures, again.comparisons) == (
        run.records,
        run.figures,
        run.comparisons,
    )


def test_what_format_1_said_in_prose_or_in_the_suite_is_a_field() -> None:
    whole, limited = (store.load(KEPT / name) for name in ("whole", "limited"))
    assert limited.manifest.limit == 2
    assert whole.manifest.suite.gate is not None
    published = [f for f in whole.figures if f.source is not None]
    assert published
    assert {f.value.method.estimator for f in published} == {Estimator.PUBLISHED}
    computed = {Estimator.MEAN, Estimator.SHARE, Estimator.TASKS, Estimator.CORPUS}
    assert computed & {f.value.method.estimator for f in whole.figures if f.source is None}
    assert whole.local_judges
    assert set(whole.local_judges) <= {b.name for b in whole.benchmarks if b.judge}
    averaged = [b for b in whole.benchmarks if b.averages]
    assert next(FigureKey(b.name, a.task, a.metric.name) for b in averaged for a in b.averages) in (
        whole.headlines
    )


def test_degrees_of_freedom_that_format_1_left_unsaid_are_its_units_less_one(
    tmp_path: Path,
) -> None:
    for path in (KEPT / "whole").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    results = json.loads((tmp_path / "results.json").read_bytes())
    for row in results["comparisons"]:
        row["df"] = None
    (tmp_path / "results.json").write_text(json.dumps(results))
    found = [c.difference for c in store.load(tmp_path).comparisons]
    assert all(d.df == d.n_units - 1 for d in found if d.standard_error is not None)
    assert any(d.df for d in found)
