"""A run's folder: resuming, sealing, reading back, and every way it can be wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.core import Record
from evalkit.core.figures import (
    Comparison,
    Estimator,
    Figure,
    FigureKey,
    Measured,
    Method,
    Source,
)
from evalkit.core.run import Manifest
from evalkit.errors import DataError, StoreError, SuiteError
from evalkit.store import (
    RunStore,
    load,
    load_manifest,
    manifest_json,
    pretty_json,
    read_sessions,
    results,
    started,
)

MakeRecord = Callable[..., Record]

FIGURE = Figure(
    "m",
    FigureKey("b", "t", "acc"),
    "percent",
    Measured(0.1 + 0.2, None, None, None, 0.95, 1, 1, 0, Method(Estimator.PUBLISHED)),
    Source("a card", "2024-01-31"),
)
COMPARISON = Comparison(
    "m",
    "o",
    FigureKey("b", "t", "acc", "math"),
    "percent",
    True,
    Measured(-0.5, 0.25, -1.0, 0.0, 0.95, 3, 3, 1, Method(Estimator.PAIRED), 2.0),
    None,
    1,
    2,
    0,
    0,
    1,
)

ESTIMATE_NAMES = [
    "model", "benchmark", "task", "metric", "category", "point", "standard_error", "low", "high",
    "level", "n", "n_clusters", "n_missing", "unit", "method", "source",
    "df", "how", "published",
]  # fmt: skip
COMPARISON_NAMES = [
    "candidate", "baseline", "benchmark", "task", "metric", "category", "difference",
    "standard_error", "low", "high", "level", "p", "n", "n_clusters", "wins", "losses", "ties",
    "n_missing_candidate", "n_missing_baseline", "unit", "higher_is_better", "method", "df", "how",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "reports" / "suite" / "0123456789ab"


def seal(store: RunStore, manifest: Manifest, *samples: str) -> None:
    order = [("m", "bench", "task", sample) for sample in samples]
    found = results([FIGURE], [COMPARISON], manifest.run_id)
    store.seal(order, manifest, found, {"index.html": b"<p>", "img/a.svg": b"<svg>"})


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_interrupted_run_equals_an_uninterrupted_one(
    tmp_path: Path, manifest: Manifest, make_record: MakeRecord
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with RunStore.open(whole, manifest) as store:
        for sample in "123":
            store.append(make_record(sample))
        seal(store, manifest, "1", "2", "3")
    with RunStore.open(broken, manifest) as store:
        store.append(make_record("3"))
        store.append(
            replace(make_record("2"), outcome=replace(make_record("2").outcome, status="refused"))
        )
    with RunStore.open(broken, manifest) as store:
        assert set(store.records) == {("m", "bench", "task", s) for s in "23"}
        store.append(make_record("2"))
        store.append(make_record("1"))
        seal(store, manifest, "1", "2", "3")
    assert files(whole) == files(broken)
    named = {"img/a.svg", "index.html", "manifest.json", "records.jsonl", "results.json"}
    assert set(files(whole)) == {*named, "SHA256SUMS"}


@pytest.mark.parametrize("name", ["manifest.json", "records.jsonl", "results.json"])
def test_what_was_changed_after_sealing_is_named(
    folder: Path, manifest: Manifest, make_record: MakeRecord, name: str
) -> None:
    """`sha256sum` itself agrees with the digests; a blank more is a change."""
    with RunStore.open(folder, manifest) as store:
        store.append(make_record("1"))
        seal(store, manifest, "1")
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode == 0
    assert load(folder).changed == ()
    path = folder / name
    path.write_bytes(path.read_bytes().replace(b": ", b":  ").replace(b'":"', b'": "'))
    assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode == 1
    assert load(folder).changed == (f"{name} was changed after the run was sealed",)


def test_results_of_another_run_are_named(
    folder: Path, manifest: Manifest, make_record: MakeRecord
) -> None:
    with RunStore.open(folder, manifest) as store:
        store.append(make_record("1"))
        seal(store, manifest, "1")
    (folder / "SHA256SUMS").unlink()
    path = folder / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "run_id": "fedcba987654"}))
    assert load(folder).changed == ("results.json is of run 'fedcba987654'",)


def test_reading_back(folder: Path, manifest: Manifest, make_record: MakeRecord) -> None:
    with RunStore.open(folder, manifest) as store:
        store.append(make_record("2"))
        store.append(make_record("1", answer="\ud800 <|im_end|>\n"))
        seal(store, manifest, "1", "2")
        assert store.sealed
    run = load(folder)
    assert run == load(folder / "index.html")
    assert run.manifest == manifest.model_copy(update={"sealed": True})
    assert [r.sample for r in run.records] == ["1", "2"]
    assert run.records[0] == make_record("1", answer="\ud800 <|im_end|>\n")
    assert (run.figures, run.comparisons) == ((FIGURE,), (COMPARISON,))
    found = json.loads((folder / "results.json").read_bytes())
    assert found["estimates"][0]["point"] == 0.1 + 0.2
    assert found["estimates"][0]["category"] is None


def test_rows_of_results_have_the_promised_names() -> None:
    rows = results([FIGURE], [COMPARISON], "r")
    assert [*rows["estimates"][0]] == ESTIMATE_NAMES
    assert [*rows["comparisons"][0]] == COMPARISON_NAMES
    with pytest.raises(StoreError, match="point: nan"):
        results([replace(FIGURE, value=replace(FIGURE.value, point=float("nan")))], [], "r")


def test_a_sealed_run_opens_again_with_the_first_append(
    folder: Path, manifest: Manifest, make_record: MakeRecord
) -> None:
    with RunStore.open(folder, manifest) as store:
        store.append(make_record("1"))
        seal(store, manifest, "1")
    before = files(folder)
    with RunStore.open(folder, manifest) as store:
        assert store.sealed
        assert store.manifest.sealed
    assert files(folder) == before, "opening changes nothing"
    with RunStore.open(folder, manifest) as store:
        store.append(make_record("1", answer="no"))
        assert not store.sealed
        store.append(make_record("1", answer="maybe"))
    run = load(folder)
    assert [r.outcome.answers for r in run.records] == [("maybe",)]
    assert run.figures == (), "results.json is of the older records"
    with RunStore.open(folder, manifest) as store:
        seal(store, manifest, "1")
    assert len((folder / "records.jsonl").read_bytes().splitlines()) == 1


def test_appending_after_sealing_in_one_session(
    folder: Path, manifest: Manifest, make_record: MakeRecord
) -> None:
    with RunStore.open(folder, manifest) as store:
        store.append(make_record("1"))
        seal(store, manifest, "1")
        store.append(make_record("2"))
        assert [r.sample for r in load(folder).records] == ["1", "2"]


def test_an_unsealed_run_is_read_in_manifest_order(
    folder: Path, manifest: Manifest, make_record: MakeRecord
) -> None:
    with RunStore.open(folder, manifest) as store:
        for model, sample in (("m", "10"), ("m", "9"), ("z", "10"), ("m", "x")):
            store.append(make_record(sample, model=model))
        run = load(folder)
    found = [(r.model, r.sample) for r in run.records]
    assert found == [("z", "10"), ("m", "x"), ("m", "9"), ("m", "10")]


def test_a_damaged_session_is_named(folder: Path, manifest: Manifest) -> None:
    with RunStore.open(folder, manifest) as store:
        store.session({"started": 1.5})
        store.session({"started": 2.5})
    assert started(folder) == 1.5
    path = folder / "sessions.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"started":2.5}', b'{"started":2.5'))
    with pytest.raises(DataError, match=r"sessions\.jsonl:2: not JSON.*delete that line"):
        read_sessions(folder)
    path.write_bytes(b"[]\n")
    assert started(folder) is None


def test_sessions_are_lines(folder: Path, manifest: Manifest) -> None:
    with RunStore.open(folder, manifest) as store:
        store.session({"seconds": 1.5})
    with RunStore.open(folder, manifest) as store:
        store.session({"seconds": 2.5})
    assert (folder / "sessions.jsonl").read_bytes() == b'{"seconds":1.5}\n{"seconds":2.5}\n'


def test_the_manifest_of_an_existing_run_stays_until_replaced(
    folder: Path, manifest: Manifest
) -> None:
    first, second = (manifest.model_copy(update={"commands": (c,)}) for c in ("first", "second"))
    RunStore.open(folder, first).close()
    with RunStore.open(folder, second) as store:
        assert store.manifest.commands == ("first",)
        store.update_manifest(second)
    assert load_manifest(folder).commands == ("second",)
    assert (folder / "manifest.json").read_bytes() == pretty_json(manifest_json(second))


# --- what is refused ---------------------------------------------------------------------------


def test_another_run_in_the_folder(folder: Path, manifest: Manifest) -> None:
    RunStore.open(folder, manifest).close()
    with pytest.raises(
        SuiteError, match=r"holds run '0123456789ab', this is run 'ffff'.*name another"
    ):
        RunStore.open(folder, manifest.model_copy(update={"run_id": "ffff"}))
    with (
        RunStore.open(folder, manifest) as store,
        pytest.raises(SuiteError, match="holds run"),
    ):
        store.update_manifest(manifest.model_copy(update={"run_id": "ffff"}))


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(SuiteError, match=r"neither empty nor a run .*'thesis.tex'"):
        RunStore.open(tmp_path, manifest)
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.tex"]


def test_sealing_wants_exactly_the_runs_records(
    folder: Path, manifest: Manifest, make_record: MakeRecord
) -> None:
    with RunStore.open(folder, manifest) as store:
        store.append(make_record("1"))
        with pytest.raises(
            StoreError, match=r"1 samples have no record, first 'm / bench / task / 2'"
        ):
            seal(store, manifest, "1", "2")
        with pytest.raises(StoreError, match="1 samples are not part of the run"):
            seal(store, manifest)
    assert not load_manifest(folder).sealed


@pytest.mark.parametrize("name", ["../up", "/etc/x", "records.jsonl", "", ".lock", "a/.b.1.tmp"])
def test_report_files_stay_in_the_folder(
    folder: Path, manifest: Manifest, name: str, make_record: MakeRecord
) -> None:
    with (
        RunStore.open(folder, manifest) as store,
        pytest.raises(StoreError, match="may not be named"),
    ):
        store.seal([], manifest, {}, {name: b""})


@pytest.mark.parametrize("name", [".lock", "records.jsonl"])
def test_a_link_in_a_strangers_run_changes_no_other_file(
    folder: Path, manifest: Manifest, name: str, tmp_path: Path
) -> None:
    with RunStore.open(folder, manifest):
        pass
    mine = tmp_path / "mine"
    mine.write_text("first line\nno end of line")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(mine)
    with pytest.raises(StoreError, match="remove the link"):
        RunStore.open(folder, manifest)
    assert mine.read_text() == "first line\nno end of line"


def test_nothing_is_sealed_through_a_linked_folder(
    folder: Path, manifest: Manifest, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    with RunStore.open(folder, manifest) as store:
        (folder / "samples").symlink_to(mine)
        with pytest.raises(StoreError, match="remove the link"):
            store.seal([], manifest, {}, {"samples/bench/1.js": b""})
    assert not list(mine.iterdir())


def test_a_record_that_is_no_record(
    folder: Path, manifest: Manifest, make_record: MakeRecord
) -> None:
    with RunStore.open(folder, manifest) as store:
        with pytest.raises(
            StoreError, match=r"record 'm / bench / task / 7'.*scores\[0\].value: nan"
        ):
            store.append(make_record("7", value=float("nan")))
        assert store.records == {}
    assert (folder / "records.jsonl").read_bytes() == b""


def test_reading_what_is_no_run(tmp_path: Path, folder: Path, manifest: Manifest) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"is not a run \(no manifest.json\)"):
        load(tmp_path)
    RunStore.open(folder, manifest).close()
    with pytest.raises(DataError, match="holds runs; name one of 0123456789ab"):
        load(folder.parent)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"manifest\.json: not JSON"),
        (b"[]", "format None; expected 1 to 2"),
        (b'{"format": 3}', "format 3, this evalkit reads up to 2; upgrade"),
        (b'{"format": 1}', "no run_id"),
    ],
)
def test_bad_manifests(folder: Path, manifest: Manifest, content: bytes, message: str) -> None:
    RunStore.open(folder, manifest).close()
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(folder)
    with pytest.raises(DataError, match=message):
        RunStore.open(folder, manifest)
    assert not (folder / ".lock").exists()


def test_bad_lines_are_named(folder: Path, manifest: Manifest, make_record: MakeRecord) -> None:
    with RunStore.open(folder, manifest) as store:
        store.append(make_record("1"))
    path = folder / "records.jsonl"
    path.write_bytes(path.read_bytes() + b'{"model": 1}\n')
    with pytest.raises(DataError, match=r"records\.jsonl:2: model: 1; .*delete that line"):
        load(folder)


def test_bad_results_are_named(folder: Path, manifest: Manifest, make_record: MakeRecord) -> None:
    with RunStore.open(folder, manifest) as store:
        store.append(make_record("1"))
        seal(store, manifest, "1")
    path = folder / "results.json"
    good = path.read_text()
    path.write_text(good.replace('"n": 1', '"n": "1"'))
    with pytest.raises(
        DataError, match=r"results\.json: estimates\[0\]: value\.n: '1'; expected a valid int"
    ):
        load(folder)
    path.unlink()
    with pytest.raises(DataError, match="run the suite again to write both"):
        load(folder)
