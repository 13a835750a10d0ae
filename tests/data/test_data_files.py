from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import data
from evalkit.errors import DataError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=3)))
def test_what_json_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str | int]]
) -> None:
    """Line separators inside strings (U+2028, U+0085) do not end a record."""
    folder = tmp_path_factory.mktemp("data")
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    (folder / "a.jsonl").write_bytes(lines)
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (folder / "a.json").write_bytes(json.dumps(rows, ensure_ascii=False).encode())
    for name in ("a.jsonl", "a.jsonl.gz", "a.json"):
        dataset = data.read_jsonl(folder / name)
        assert list(dataset.records) == rows
        assert dataset.sha256 == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"question\.jsonl does not exist.*'questions\.jsonl'"):
        data.read_jsonl(tmp_path / "question.jsonl")
    with pytest.raises(DataError, match="there is no folder"):
        data.read_jsonl(tmp_path / "none" / "question.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": \n', r"a\.jsonl:3: not JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', r"a\.jsonl:2: expected an object, got \[1\]"),
        ("a.jsonl", b'{"a": NaN}\n', r"a\.jsonl:1: not JSON \(NaN"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', r"a\.jsonl:2: byte b'\\xff' is not UTF-8"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl:1: not JSON"),
        ("a.json", b'[\n{"a": 1},\n{]', r"a\.json:3: not JSON"),
        ("a.json", b'{"a": 1}', r"expected a list of objects"),
        ("a.json", b'[{"a": 1}, 2]', r"a\.json: item 2: expected an object, got 2"),
        ("a.jsonl.gz", b"plain", r"not a whole gzip file"),
        ("a.jsonl.gz", gzip.compress(b"{}" * 90, mtime=0)[:-9], r"not a whole gzip file"),
        ("a.csv", b"a,b", r"unknown kind of data file 'a\.csv'"),
    ],
)
def test_a_malformed_file_says_where(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        data.read_jsonl(tmp_path / name)


def test_required_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "x", "n": 1}\n\n{"qestion": "y", "n": 2}\n')
    dataset = data.read_jsonl(path)
    data.require(dataset, {"n": int})
    with pytest.raises(DataError, match=r"a\.jsonl:3: no field 'question'.*mean 'qestion'"):
        data.require(dataset, {"question": str})
    with pytest.raises(DataError, match=r"a\.jsonl:1: field 'n' is 1, expected str"):
        data.require(dataset, {"n": str})
    path.write_text('{"n": true}\n')
    with pytest.raises(DataError, match="field 'n' is True, expected int"):
        data.require(data.read_jsonl(path), {"n": int})
    path.write_text("")
    with pytest.raises(DataError, match="no records"):
        data.require(data.read_jsonl(path), {})


def test_own_data_is_a_file_or_the_first_of_a_folders(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "b.jsonl").write_text("{}\n")
    names = ("a.jsonl", "b.jsonl")
    assert data.locate("mine", tmp_path, names, what="X") == folder / "b.jsonl"
    assert data.locate("mine/b.jsonl", tmp_path, names, what="X") == folder / "b.jsonl"
    (folder / "a.jsonl").write_text("{}\n")
    assert data.locate("mine", tmp_path, names, what="X") == folder / "a.jsonl"


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("nowhere", ["nowhere does not exist", "'nowhere'", "correct `data:`"]),
        (".", ["q.jsonl does not exist", "(nor r.jsonl)", "`data: .`", "another `data:`"]),
    ],
)
def test_missing_data_says_what_to_set(tmp_path: Path, named: str, says: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        data.locate(named, tmp_path, ("q.jsonl", "r.jsonl"), what="MT")
    for words in says:
        assert words in str(caught.value)


def test_a_folder_an_empty_file_and_lines_in_a_json_file_have_their_cure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder; name a file in it"):
        data.read_jsonl(tmp_path)
    path = tmp_path / "a.json"
    for content, cure in (("", "the file is empty"), ("{}\n{}", r"rename it to \.jsonl")):
        path.write_text(content)
        with pytest.raises(DataError, match=cure):
            data.read_jsonl(path)
