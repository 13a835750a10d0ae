"""Names of models, benchmarks and tasks as parts of paths, whatever they are."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import ExportError
from evalkit.exporters import _about as about


@given(st.text(st.characters(), max_size=30))
def test_a_part_is_one_part_and_can_be_written(name: str) -> None:
    part = about.file_part(name)
    part.encode()
    for kind in (PurePosixPath, PureWindowsPath):
        assert kind("folder", part).parts == ("folder", part)
    assert part not in ("", ".", "..")


@pytest.mark.parametrize("name", ["gsm8k", "zephyr-7b-beta", "exact match", "日本語", "a.b"])
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert about.file_part(name) == name


def test_two_files_of_one_name_are_an_error() -> None:
    files: dict[str, bytes] = {}
    about.add(files, "a/b", b"1")
    with pytest.raises(ExportError, match="'a/b' would be written twice"):
        about.add(files, "a/b", b"1")


def test_a_run_without_sessions_has_no_date(tmp_path: Path) -> None:
    from tests.support.runs import build_run

    run = build_run(tmp_path)
    assert about.began(run) is None
    (tmp_path / "sessions.jsonl").write_text('{"started": 1769817600.5}\n{"started": 9e9}\n')
    moment = about.began(run)
    assert moment is not None
    assert moment.isoformat() == "2026-01-31T00:00:00.500000+00:00"
