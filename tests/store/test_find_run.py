"""Which run a person means: by folder, suite, id, `latest` or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import store
from evalkit.errors import DataError, SuiteError
from tests.support.runs import training_run


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs of `chat`, one newer that is not, an older one of `quick`."""
    place = tmp_path_factory.mktemp("workspace")
    for name, started, sealed in (
        ("quick/a1", 100.0, True),
        ("chat/b1", 300.0, True),
        ("chat/b2", 200.0, True),
        ("chat/b3", 400.0, False),
    ):
        training_run(place / "reports" / name, started=started, sealed=sealed)
    return place


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "chat/b1"),
        ("latest", "chat/b1"),
        ("chat", "chat/b1"),
        ("reports/chat", "chat/b1"),
        ("reports", "chat/b1"),
        ("quick", "quick/a1"),
        ("a1", "quick/a1"),
        ("chat/b2", "chat/b2"),
        ("b3", "chat/b3"),
        ("reports/chat/b3", "chat/b3"),
    ],
)
def test_a_run_is_found_as_people_name_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, found: str
) -> None:
    monkeypatch.chdir(workspace)
    assert store.find_run(text, workspace).resolve() == workspace / "reports" / found


def test_which_one_it_is_and_a_newer_unfinished_one_are_said(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    said: list[str] = []
    store.find_run(None, workspace, said.append)
    assert said == [
        "not finished: reports/chat/b3, the newest; name it to read what it has",
        "run: reports/chat/b1, the newest of 4 runs that is finished",
    ]
    said.clear()
    store.find_run("reports/chat/b3", workspace, said.append)
    assert said == []


def test_where_none_is_finished_the_newest_is_taken_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    for name, started in (("r1", 1.0), ("r2", 2.0)):
        training_run(tmp_path / "reports" / "s" / name, started=started, sealed=False)
    assert store.find_run("s", tmp_path, said.append).name == "r2"
    assert said[-1].endswith("which is not finished")


def test_a_damaged_run_hides_no_other(tmp_path: Path) -> None:
    training_run(tmp_path / "reports" / "s" / "good", started=1.0)
    bad = tmp_path / "reports" / "s" / "bad"
    bad.mkdir()
    (bad / "manifest.json").write_text("{")
    assert store.find_run("latest", tmp_path).name == "good"


def test_errors_name_what_there_is(workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run 'chta'.*did you mean 'chat'\?.*runs of chat, qu"):
        store.find_run("chta", workspace)
    with pytest.raises(DataError, match=r"no run yet: .*reports has none; `evalkit run` makes one"):
        store.find_run(None, tmp_path)


@given(st.text(max_size=300))
def test_no_name_is_a_crash(workspace: Path, text: str) -> None:
    try:
        found = store.find_run(f"no-such-{text}", workspace)
    except DataError:
        return
    assert found.exists()


def test_the_workspace_is_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a folder above, whose cache may be a stranger's, nor the suite's."""
    (tmp_path / ".evalkit").mkdir()
    (tmp_path / "below").mkdir()
    monkeypatch.delenv("EVALKIT_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path / "below")
    assert store.find_workspace() == tmp_path / "below"
    monkeypatch.setenv("EVALKIT_WORKSPACE", str(tmp_path))
    assert store.find_workspace() == tmp_path
    monkeypatch.setenv("EVALKIT_WORKSPACE", str(tmp_path / "none"))
    with pytest.raises(SuiteError, match=r"EVALKIT_WORKSPACE is .*none"):
        store.find_workspace()
