"""Reading YAML: every way a file can be unreadable is one clear SuiteError with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit import suite
from evalkit.errors import SuiteError
from tests.suite.conftest import Catalogue, Finder, Loader, make_folders


def only(found: tuple[object, ...]) -> str:
    assert len(found) == 1, found
    return str(found[0])


def test_good_suite_loads(load: Loader, good: str) -> None:
    made = load(good)
    assert [s.entry for s in made.benchmarks] == ["pairs", "choices"]
    assert made.models["tuned"].adapter == "./adapter"


def test_missing_file(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(SuiteError, match=r"none\.yaml: no such file"):
        suite.load(tmp_path / "none.yaml", [], catalogue)


def test_folder(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(SuiteError, match="is a folder"):
        suite.load(tmp_path, [], catalogue)


def test_path_through_a_file(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SuiteError, match="cannot be read"):
        suite.load(tmp_path / "file" / "suite.yaml", [], catalogue)


def test_not_utf8_names_the_line(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"name: a\n# caf\xe9\n")
    with pytest.raises(SuiteError, match=r"s\.yaml:2: byte 0xe9 is not UTF-8"):
        suite.load(path, [], catalogue)


def test_byte_order_mark_is_no_problem(tmp_path: Path, catalogue: Catalogue, good: str) -> None:
    make_folders(tmp_path)
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + good.encode())
    assert suite.load(path, [], catalogue).name == "small"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_empty(text: str, problems: Finder) -> None:
    found = only(problems(text))
    assert "is empty" in found or "expected a mapping" in found


def test_too_large(problems: Finder) -> None:
    assert "a suite has at most" in only(problems("#" * (1 << 20) + "\nname: a\n"))


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("name: a\nmodels:\n\tx: 1\n", "suite.yaml:3", "a tab"),
        ("- a\n- b\n", "suite.yaml:1", "expected a mapping"),
        ("name: a\nmodels: *nowhere\n", "suite.yaml:2", "undefined alias"),
        ("name: a\n---\nname: b\n", "suite.yaml:2", "second document"),
        ("name: 'a\n", "suite.yaml:2", "not YAML"),
        ("name: a\nb: \x01\n", "suite.yaml:2", "not YAML"),
        ("name: a\nmodels: {x: {y: 1\n", "suite.yaml:3", "not YAML"),
        ("name: a\nmodels: {x: 1\nseed: 2\n", "suite.yaml:3", "mapping that begins on line 2"),
        ("name: *x\n", "suite.yaml:1", "alias 'x'; write its anchor"),
    ],
)
def test_syntax(text: str, where: str, message: str, problems: Finder) -> None:
    (found,) = problems(text)
    assert found.where == where
    assert message in found.message


def test_every_duplicate_key_is_named(problems: Finder, good: str) -> None:
    text = good + "name: again\n" + "gate: {}\n"
    found = [str(p) for p in problems(text)]
    assert "suite.yaml:17: name: 'name' is set twice (first on line 1); remove one" in found
    assert "suite.yaml:18: gate: 'gate' is set twice (first on line 14); remove one" in found


def test_anchors_and_merge_keys(load: Loader, good: str) -> None:
    text = good.replace("plain: {role: baseline", "plain: &p {role: baseline") + "seed: 0\n"
    text = text.replace("judges:\n", "  third: {<<: *p, trust_remote_code: true}\njudges:\n")
    made = load(text)
    assert made.models["third"].path == "./base"
    assert made.models["third"].trust_remote_code
    assert not made.models["plain"].trust_remote_code


def test_key_written_out_wins_over_merged(load: Loader, good: str) -> None:
    text = good.replace("plain: {role: baseline", "plain: &p {role: baseline")
    text = text.replace("judges:\n", "  third: {path: ./other, <<: *p}\njudges:\n")
    assert load(text).models["third"].path == "./other"


def test_billion_laughs(problems: Finder) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "once aliases unfold" in only(problems("\n".join(lines)))


def test_alias_inside_itself(problems: Finder) -> None:
    assert "once aliases unfold" in only(problems("name: &a [*a]\n"))


def test_nested_too_deeply(problems: Finder) -> None:
    assert "levels" in only(problems("name: " + "[" * 60 + "]" * 60))
    assert "nested too deeply" in only(problems("name: " + "[" * 1000))


@pytest.mark.slow
def test_nested_far_too_deeply(problems: Finder) -> None:
    assert "nested too deeply" in only(problems("name: " + "[" * 20_000))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("!!python/object/apply:os.system [ls]", "tag '!!python/object/apply:os.system'"),
        ("!secret x", "tag '!secret'"),
        ("!!binary aGk=", "tag '!!binary'"),
        ("!!int abc", "'abc' is not a int"),
        (".inf", "'.inf' is not a finite number"),
        (".nan", "not a finite number"),
        ("1e999", "not a finite number"),
    ],
)
def test_only_plain_values(value: str, message: str, problems: Finder, good: str) -> None:
    (found,) = problems(good + f"seed: {value}\n")
    assert found.where == "suite.yaml:17: seed"
    assert message in found.message


def test_a_date_stays_text(load: Loader, good: str) -> None:
    made = load(
        good.replace("{role: baseline, path", "{role: baseline, revision: 2024-05-01, path")
    )
    assert made.models["plain"].revision == "2024-05-01"


@pytest.mark.parametrize("key", ["1", "null", "[a]", "1.5"])
def test_keys_are_text(key: str, problems: Finder, good: str) -> None:
    (found,) = problems(good.replace("judges:\n", f"  ? {key}\n  : {{path: x}}\njudges:\n"))
    assert found.where == "suite.yaml:8: models"
    assert "is not text; put it in quotes" in found.message
