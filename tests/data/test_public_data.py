"""Names to verified files: mirrors, downloads, tampering, being offline, `evalkit data pull`.

The hub of `evalkit data pull` is a stand-in on this machine (`tests/support/hub_server.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import data, store
from evalkit.core.protocols import DataPlaces
from evalkit.data import hubsets, public
from evalkit.errors import DataError
from tests.runner.test_chat_suite import save_datasets
from tests.support.hub_server import HubServer

QUESTION = "mt_bench/question"
ANNOTATED = "alpaca_eval/reference_text_davinci_003"


class Files(BaseHTTPRequestHandler):
    """Serves `contents` by path, and counts."""

    contents: dict[str, bytes] = {}  # noqa: RUF012 - set anew by the fixture
    asked: list[str] = []  # noqa: RUF012

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        found = self.contents.get(self.path)
        self.send_response(200 if found is not None else 404)
        self.send_header("Content-Length", str(len(found or b"")))
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Files]]:
    """Stands in for raw.githubusercontent.com."""
    Files.contents, Files.asked = {}, []
    http = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    Thread(target=http.serve_forever, daemon=True).start()
    monkeypatch.setenv("EVALKIT_RAW_URL", f"http://127.0.0.1:{http.server_port}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("EVALKIT_OFFLINE", raising=False)
    yield Files
    http.shutdown()
    http.server_close()


def path_of(name: str) -> str:
    return data.entry(name).url.split("raw.githubusercontent.com")[1]


@pytest.mark.data
def test_every_file_of_the_catalogue_is_what_it_says(public_data: Path) -> None:
    """The mirror's own MANIFEST is the oracle of the hashes it lists."""
    import csv

    places = DataPlaces((public_data,))
    known = [e for e in data.entries().values() if (public_data / e.mirror).is_file()]
    assert len(known) > 180
    for entry in known:
        assert data.resolve(entry.name, places).sha256 == entry.sha256
    with (public_data / "MANIFEST.csv").open(encoding="utf-8") as file:
        listed = {row["file"]: row["sha256"] for row in csv.DictReader(file)}
    shared = [e for e in known if e.mirror in listed]
    assert len(shared) > 150
    assert all(listed[e.mirror] == e.sha256 for e in shared)


@pytest.mark.data
def test_the_official_file_gives_the_same_records_as_the_mirrors(
    public_data: Path, server: type[Files], tmp_path: Path
) -> None:
    """The questions lie at their origin byte for byte as in the mirror."""
    server.contents[path_of(QUESTION)] = (public_data / data.entry(QUESTION).mirror).read_bytes()
    places = DataPlaces((), tmp_path)
    fetched = data.records(QUESTION, places)
    assert fetched.records == data.records(QUESTION, DataPlaces((public_data,))).records
    assert data.resolve(QUESTION, places).source == "download"
    assert server.asked == [path_of(QUESTION)]


def test_changed_bytes_are_refused_wherever_they_come_from(
    server: type[Files], tmp_path: Path
) -> None:
    expected = data.entry(QUESTION).sha256
    server.contents[path_of(QUESTION)] = b'{"question_id": 81}\n'
    found = hashlib.sha256(b'{"question_id": 81}\n').hexdigest()
    with pytest.raises(DataError, match=f"expected sha256 {expected}, found {found}"):
        data.resolve(QUESTION, DataPlaces((), tmp_path / "downloads"))
    assert not list((tmp_path / "downloads").rglob("*.jsonl"))
    mirror = tmp_path / data.entry(QUESTION).mirror
    mirror.parent.mkdir(parents=True)
    mirror.write_bytes(b'{"question_id": 81}\n')
    with pytest.raises(DataError, match=f"expected sha256 {expected}, found {found}"):
        data.resolve(QUESTION, DataPlaces((tmp_path,)))


def test_a_server_that_has_it_not_is_named(server: type[Files], tmp_path: Path) -> None:
    del server
    with pytest.raises(DataError, match="cannot be fetched") as caught:
        data.resolve(QUESTION, DataPlaces((), tmp_path))
    assert "evalkit data pull" in str(caught.value)


@pytest.mark.parametrize("where", ["http://[::1", "nowhere", "http://127.0.0.1:9"])
def test_an_address_that_is_none_is_a_clear_error(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_RAW_URL", where)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("EVALKIT_OFFLINE", raising=False)
    with pytest.raises(DataError, match="cannot be fetched"):
        data.resolve(QUESTION, DataPlaces((), tmp_path))
    assert data.missing([QUESTION], DataPlaces((), tmp_path)) == [QUESTION]


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_ENDPOINT", "EVALKIT_RAW_URL"):
        monkeypatch.setenv(name, "")
    assert public.hub_endpoint() == "https://huggingface.co"
    assert public._url(data.entry(QUESTION)).startswith("https://raw.githubusercontent.com/")


def test_offline_everything_missing_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no cache"))
    names = [QUESTION, ANNOTATED, "hub:openai/gsm8k:main"]
    with pytest.raises(DataError) as caught:
        data.require_available(names, DataPlaces((), tmp_path))
    text = str(caught.value)
    assert all(name in text for name in names)
    assert text.count("evalkit data pull") == 1


def test_a_file_without_known_hash_is_held_to_its_first_one(tmp_path: Path) -> None:
    assert public.locked(tmp_path, "x", "aa") == "aa"
    assert public.locked(tmp_path, "x", "bb") == "aa"
    lock = tmp_path / public.LOCK
    assert json.loads(lock.read_text()) == {"x": "aa"}
    lock.write_text("[]")
    with pytest.raises(DataError, match="expected checksums by name"):
        public.locked(tmp_path, "x", "aa")
    lock.write_text("{")
    with pytest.raises(DataError, match="checksums of earlier downloads"):
        public.locked(tmp_path, "x", "aa")


def test_the_reference_of_version_1_comes_out_of_annotations(tmp_path: Path) -> None:
    """The original holds annotations: their first output is the reference."""
    rows = [{"instruction": "i", "dataset": "d", "output_1": "ref", "generator_1": "g", "x": 1}]
    entry = data.entry(ANNOTATED)
    path = tmp_path / public.original(entry)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(rows))
    with pytest.raises(DataError, match="is not the data set"):
        data.resolve(ANNOTATED, DataPlaces((tmp_path,)))
    assert entry.form == "output_1"


@given(st.text(min_size=1, max_size=30))
def test_an_unknown_name_is_an_error_with_a_way_on(name: str) -> None:
    if data.is_known(name):
        return
    with pytest.raises(DataError, match="evalkit data list"):
        data.entry(name)


def test_a_near_name_is_offered() -> None:
    with pytest.raises(DataError, match="did you mean 'mt_bench/question'"):
        data.entry("mt_bench/questions")


def test_evidence_is_a_file_or_a_name(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("[]")
    assert data.evidence("mine.json", tmp_path, DataPlaces()).source == "file"
    with pytest.raises(DataError, match=r"neither a file below .* nor a public data set"):
        data.evidence("yours.json", tmp_path, DataPlaces())


@pytest.mark.data
def test_tasks_get_local_files_with_what_that_changes(public_data: Path) -> None:
    places = DataPlaces((public_data,))
    found = data.task_data("Rowan/hellaswag", None, places)
    assert found is not None
    assert found.config["fewshot_split"] == "validation"
    assert any("training split is not there" in remark for remark in found.remarks)
    anatomy = data.task_data("cais/mmlu", "anatomy", places)
    assert anatomy is not None
    assert set(anatomy.config["dataset_kwargs"]["data_files"]) == {"dev", "test"}
    assert data.nltk_folder(places) == str(public_data / "nltk_data")


def test_without_a_mirror_a_task_gets_a_pinned_revision() -> None:
    found = data.task_data("openai/gsm8k", "main", DataPlaces())
    assert found is not None
    assert found.config == {"dataset_kwargs": {"revision": hubsets.revision("gsm8k")}}
    assert data.task_data("someone/else", None, DataPlaces()) is None


def test_a_pulled_copy_comes_before_converted_files(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / f"openai/gsm8k@{hubsets.revision('openai/gsm8k')}" / "main"
    folder.mkdir(parents=True)
    found = data.task_data("gsm8k", "main", DataPlaces((tmp_path,)))
    assert found is not None
    assert found.config == {"dataset_path": str(folder.parent), "dataset_name": "main"}
    assert data.missing(["hub:gsm8k:main"], DataPlaces((tmp_path,))) == []


# --- `evalkit data pull` from a hub, then the same suite where there is no network ----------------


SUITE = """\
name: pulled
models:
  tuned: {role: candidate, path: tuned}
engine: {type: fake}
benchmarks:
  - {type: lm_eval, tasks: [gsm8k, truthfulqa_mc1], shots: 2}
"""


def evalkit(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "EVALKIT_"))}
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=folder,
        env={**kept, "HOME": str(folder), "HF_HOME": str(folder / "hf"), **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
def test_a_pulled_mirror_serves_a_machine_without_network(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    with HubServer({}, save_datasets(tmp_path / "hub")) as server:
        done = evalkit(
            tmp_path, "data", "pull", "suite.yaml", "--to", "mirror", "--json",
            HF_ENDPOINT=server.url,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pulled: list[dict[str, Any]] = json.loads(done.stdout)
    assert {(row["name"], row["from"]) for row in pulled} == {
        ("hub:openai/gsm8k:main", "hub"),
        ("hub:truthfulqa/truthful_qa:multiple_choice", "hub"),
    }
    nowhere = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    alone = evalkit(
        tmp_path, "run", "suite.yaml", "--out", "run",
        EVALKIT_DATA=str(tmp_path / "mirror"), HF_HOME=str(tmp_path / "another"), **nowhere,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    run = store.load(tmp_path / "run")
    assert {(r.task, r.outcome.status) for r in run.records} == {
        ("gsm8k", "ok"),
        ("truthfulqa_mc1", "ok"),
    }
    (described,) = run.manifest.benchmarks
    dataset = described.description.task("gsm8k").dataset
    assert dataset is not None
    assert dataset.path == "openai/gsm8k"
    assert len(dataset.revision or "") == 40
    absent = evalkit(
        tmp_path, "run", "suite.yaml", "--out", "none", **nowhere,
        HF_HOME=str(tmp_path / "third"),
    )  # fmt: skip
    assert absent.returncode == 2
    assert "hub:openai/gsm8k:main" in absent.stderr
    assert "hub:truthfulqa/truthful_qa:multiple_choice" in absent.stderr
    assert "evalkit data pull" in absent.stderr
