"""What holds of every export format that is found in the room."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from evalkit import exporters, plugins, store
from evalkit.core import Json, Run
from evalkit.core.specs import ExportSpec
from evalkit.errors import ExportError
from tests.support.exports import NEEDED, exportable_run, texts_of
from tests.support.runs import Plan

ALL_TEXT = {"argilla"}
"""Formats that are nothing without texts."""
KINDS = plugins.names("exporters")
HOSTILE = "=1+1 \ud800 | <script>alert(1)</script> \x00 \r\n, \"quoted\" 'single' \u202e ../../x"


def spec_of(kind: str, **given: Json) -> ExportSpec:
    return exporters.settings(kind, {**NEEDED.get(kind, {}), **given})


@pytest.fixture(scope="module")
def run() -> Run:
    return exportable_run(Path("reports/quickstart/3f2a9c1b7d04"))


def readable(files: dict[str, bytes]) -> Iterator[str]:
    """The files' text; Parquet's columns one after the other."""
    for name, content in files.items():
        if name.endswith(".parquet"):
            import pyarrow.parquet as pq

            yield str(pq.read_table(io.BytesIO(content)).to_pydict())
        else:
            yield content.decode("utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_its_spec_is_an_export_spec(kind: str) -> None:
    spec = plugins.find("exporters", kind).spec
    assert spec is not None
    assert issubclass(spec, ExportSpec)
    assert all(field.description for field in spec.model_fields.values())


@pytest.mark.parametrize("kind", KINDS)
def test_files_have_safe_names_and_the_same_bytes_each_time(kind: str, run: Run) -> None:
    done = exporters.export([run], spec_of(kind), kind)
    assert done.files
    for name, content in done.files.items():
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert content
    assert exporters.export([run], spec_of(kind), kind) == done


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_run_gives_the_bytes_of_the_one_it_was(
    kind: str, run: Run, tmp_path: Path
) -> None:
    """What order objects have in memory decides nothing."""
    folder = tmp_path / "3f2a9c1b7d04"
    with store.RunStore.open(folder, run.manifest) as written:
        for record in reversed(run.records):
            written.append(record)
        results = store.results_json(run.estimates, run.comparisons, "3f2a9c1b7d04")
        written.seal([r.key for r in run.records], run.manifest, results, {})
    again = exporters.export([store.read_run(folder)], spec_of(kind), kind)
    assert again == exporters.export([replace(run, folder=folder)], spec_of(kind), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_crashes_nothing(kind: str) -> None:
    plan = Plan(samples=(4, 4, 6), say=lambda text: f"{HOSTILE}{text}")
    done = exporters.export([exportable_run(Path("r/x"), plan)], spec_of(kind), kind)
    assert list(readable(dict(done.files)))


@pytest.mark.parametrize("kind", KINDS)
def test_figures_only_leaves_no_word_of_a_benchmark_model_or_judge(kind: str, run: Run) -> None:
    spec = spec_of(kind, figures_only=True)
    if kind in ALL_TEXT:
        with pytest.raises(ExportError, match="--figures-only"):
            exporters.export([run], spec, kind)
        return
    done = exporters.export([run], spec, kind)
    text = "\n".join(readable(dict(done.files)))
    assert not [word for word in texts_of(run) if len(word) > 12 and word in text]


@pytest.mark.parametrize("kind", KINDS)
def test_only_formats_that_do_not_publish_take_limited_runs(kind: str) -> None:
    limited = exportable_run(Path("r/limited"), Plan(limit=40))
    exporter = plugins.find("exporters", kind).cls
    if not exporter.publishes:
        assert exporters.export([limited], spec_of(kind), kind).files
        return
    with pytest.raises(ExportError, match=r"limited to 40 samples per task.*--allow-unpublishable"):
        exporters.export([limited], spec_of(kind), kind)
    done = exporters.export([limited], spec_of(kind, allow_unpublishable=True), kind)
    for name, content in done.files.items():
        assert b"limited to 40 samples per task" in content, name


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_evidence_is_not_published(kind: str, run: Run) -> None:
    finding = {"code": "x", "message": "judged twice", "damaged": True}
    entry = {"model": "quick-lora", "entry": "alpaca_eval", "kind": "x", "findings": [finding]}
    damaged = replace(run, manifest={**run.manifest, "publishable": False, "evidence": [entry]})
    exporter = plugins.find("exporters", kind).cls
    if exporter.publishes:
        said = "damaged evidence of quick-lora, alpaca_eval: judged twice"
        with pytest.raises(ExportError, match=said):
            exporters.export([damaged], spec_of(kind), kind)
        other = spec_of(kind, models=("smollm2",))
        assert exporters.export([damaged], other, kind).files, "another model's evidence is sound"
    else:
        assert exporters.export([damaged], spec_of(kind), kind).files


@pytest.mark.parametrize("kind", KINDS)
def test_an_unfinished_run_is_refused(kind: str, run: Run) -> None:
    unfinished = replace(run, manifest={**run.manifest, "sealed": False})
    with pytest.raises(ExportError, match="not finished"):
        exporters.export([unfinished], spec_of(kind), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_model_is_refused_with_the_known_ones(kind: str, run: Run) -> None:
    with pytest.raises(ExportError, match=r"no model 'nobody' in .*quick-lora, smollm2"):
        exporters.export([run], spec_of(kind, models=("nobody",)), kind)


def test_an_unknown_format_lists_the_known() -> None:
    with pytest.raises(plugins.UnknownTypeError, match=r"'xlsx' in exporters.*csv, "):
        exporters.settings("xlsx", {})


def test_an_unknown_setting_lists_the_known() -> None:
    with pytest.raises(ExportError, match=r"'tabs' of csv.*tables: .*spreadsheet: "):
        exporters.settings("csv", {"tabs": "samples"})
