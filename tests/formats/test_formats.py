"""What holds of every format that runs are written in."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import formats, plugins, store
from evalkit.core.figures import Finding
from evalkit.core.requests import Json
from evalkit.core.run import EvidenceEntry, Run
from evalkit.core.specs import ExportSpec
from evalkit.errors import ExportError
from evalkit.formats._writing import add, began, file_part
from tests.support.exports import NEEDED, exportable, texts_of
from tests.support.runs import Plan

ALL_TEXT = {"argilla"}
"""Formats that are nothing without texts."""
KINDS = plugins.names("formats")
HOSTILE = "=1+1 \ud800 | <script>alert(1)</script> \x00 \r\n, \"quoted\" 'single' \u202e ../../x"


def spec_of(kind: str, **given: Json) -> ExportSpec:
    return formats.settings(kind, {**NEEDED.get(kind, {}), **given})


@pytest.fixture(scope="module")
def run() -> Run:
    return exportable(folder=Path("reports/quickstart/3f2a9c1b7d04"))


def readable(files: dict[str, bytes]) -> Iterator[str]:
    """The files' text; Parquet's columns and an archive's members one after the other."""
    for name, content in files.items():
        if name.endswith(".parquet"):
            import pyarrow.parquet as pq

            yield str(pq.read_table(io.BytesIO(content)).to_pydict())
        elif name.endswith(".eval"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                yield from (archive.read(member).decode("utf-8") for member in archive.namelist())
        else:
            yield content.decode("utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_its_spec_is_an_export_spec(kind: str) -> None:
    spec = plugins.find("formats", kind).spec
    assert spec is not None
    assert issubclass(spec, ExportSpec)
    assert all(field.description for field in spec.model_fields.values())


@pytest.mark.parametrize("kind", KINDS)
def test_files_have_safe_names_and_the_same_bytes_each_time(kind: str, run: Run) -> None:
    done = formats.export([run], spec_of(kind))
    assert done.files
    for name, content in done.files.items():
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert content
    assert formats.export([run], spec_of(kind)) == done


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_run_gives_the_bytes_of_the_one_it_was(
    kind: str, run: Run, tmp_path: Path
) -> None:
    """What order objects have in memory decides nothing."""
    folder = tmp_path / "3f2a9c1b7d04"
    with store.RunStore.open(folder, run.manifest) as written:
        for record in reversed(run.records):
            written.append(record)
        results = store.results(run.figures, run.comparisons, "3f2a9c1b7d04")
        written.seal([r.key for r in run.records], run.manifest, results, {})
    again = formats.export([store.load(folder)], spec_of(kind))
    assert again == formats.export([replace(run, folder=folder)], spec_of(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_crashes_nothing(kind: str) -> None:
    plan = Plan(samples=(4, 4, 6), say=lambda text: f"{HOSTILE}{text}")
    done = formats.export([exportable(plan, Path("r/x"))], spec_of(kind))
    assert list(readable(dict(done.files)))


@pytest.mark.parametrize("kind", KINDS)
def test_figures_only_leaves_no_word_of_a_benchmark_model_or_judge(kind: str, run: Run) -> None:
    spec = spec_of(kind, figures_only=True)
    if kind in ALL_TEXT:
        with pytest.raises(ExportError, match="--figures-only"):
            formats.export([run], spec)
        return
    done = formats.export([run], spec)
    text = "\n".join(readable(dict(done.files)))
    assert not [word for word in texts_of(run) if len(word) > 12 and word in text]


@pytest.mark.parametrize("kind", KINDS)
def test_only_formats_that_do_not_publish_take_limited_runs(kind: str) -> None:
    limited = exportable(Plan(limit=40), Path("r/limited"))
    exporter = plugins.find("formats", kind).cls
    if not exporter.publishes:
        assert formats.export([limited], spec_of(kind)).files
        return
    with pytest.raises(ExportError, match=r"limited to 40 samples per task.*--allow-unpublishable"):
        formats.export([limited], spec_of(kind))
    done = formats.export([limited], spec_of(kind, allow_unpublishable=True))
    for name, content in done.files.items():
        assert b"limited to 40 samples per task" in content, name


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_evidence_is_not_published(kind: str, run: Run) -> None:
    entry = EvidenceEntry(
        model="quick-lora",
        entry="alpaca_eval",
        kind="x",
        findings=(Finding("x", "judged twice"),),
    )
    update = {"publishable": False, "evidence": (entry,)}
    damaged = replace(run, manifest=run.manifest.model_copy(update=update))
    exporter = plugins.find("formats", kind).cls
    if exporter.publishes:
        said = "damaged evidence of quick-lora, alpaca_eval: judged twice"
        with pytest.raises(ExportError, match=said):
            formats.export([damaged], spec_of(kind))
        other = spec_of(kind, models=("smollm2",))
        assert formats.export([damaged], other).files, "another model's evidence is sound"
    else:
        assert formats.export([damaged], spec_of(kind)).files


@pytest.mark.parametrize("kind", KINDS)
def test_an_unfinished_run_is_refused(kind: str, run: Run) -> None:
    unfinished = replace(run, manifest=run.manifest.model_copy(update={"sealed": False}))
    with pytest.raises(ExportError, match="not finished"):
        formats.export([unfinished], spec_of(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_model_is_refused_with_the_known_ones(kind: str, run: Run) -> None:
    with pytest.raises(ExportError, match=r"no model 'nobody' in .*quick-lora, smollm2"):
        formats.export([run], spec_of(kind, models=("nobody",)))


def test_an_unknown_format_lists_the_known() -> None:
    with pytest.raises(plugins.UnknownTypeError, match=r"'xlsx' in formats.*csv, "):
        formats.settings("xlsx", {})


def test_a_dotted_path_is_a_format(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "lines.py").write_text(
        "from evalkit.core.protocols import Exported\n"
        "from evalkit.core.specs import ExportSpec\n"
        "__all__ = ['Lines', 'LinesSpec']\n"
        "class LinesSpec(ExportSpec):\n"
        "    end: str = '!'\n"
        "class Lines:\n"
        "    publishes = False\n"
        "    def __init__(self, spec):\n"
        "        self._end = spec.end\n"
        "    def export(self, runs):\n"
        "        return Exported({'a.txt': (runs[0].manifest.run_id + self._end).encode()})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("EVALKIT_TRUST", str(tmp_path))
    done = formats.export([run], formats.settings("mine.lines", {"end": "?"}))
    assert dict(done.files) == {"a.txt": b"3f2a9c1b7d04?"}


def test_an_unknown_setting_lists_the_known() -> None:
    with pytest.raises(ExportError, match=r"'tabs' of csv.*tables: .*spreadsheet: "):
        formats.settings("csv", {"tabs": "samples"})


# --- names of files -----------------------------------------------------------------------------


@given(st.text(st.characters(), max_size=30))
def test_a_part_is_one_part_and_can_be_written(name: str) -> None:
    part = file_part(name)
    part.encode()
    for kind in (PurePosixPath, PureWindowsPath):
        assert kind("folder", part).parts == ("folder", part)
    assert part not in ("", ".", "..")


@pytest.mark.parametrize("name", ["gsm8k", "zephyr-7b-beta", "exact match", "日本語", "a.b"])
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert file_part(name) == name


def test_two_files_of_one_name_are_an_error() -> None:
    files: dict[str, bytes] = {}
    add(files, "a/b", b"1")
    with pytest.raises(ExportError, match="'a/b' would be written twice"):
        add(files, "a/b", b"1")


def test_a_run_without_sessions_has_no_date(tmp_path: Path) -> None:
    run = exportable(folder=tmp_path)
    assert began(run) is None
    (tmp_path / "sessions.jsonl").write_text('{"started": 1769817600.5}\n{"started": 9e9}\n')
    moment = began(run)
    assert moment is not None
    assert moment.isoformat() == "2026-01-31T00:00:00.500000+00:00"
