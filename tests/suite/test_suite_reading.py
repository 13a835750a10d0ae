"""A file, or a mapping, and `--set`: a Suite, or problems whose lines are the right ones."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import suite
from evalkit.core.specs import ModelSpec, Suite
from evalkit.core.trust import Trust, trusting
from evalkit.errors import Problem, SuiteError
from evalkit.suite import loading, reading
from tests.suite.conftest import GOOD, Catalogue, Finder, Loader, make_folders

CATALOGUE = Catalogue()


def only(found: tuple[Problem, ...]) -> str:
    (problem,) = found
    return str(problem)


def test_files_that_cannot_be_read(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / "file").write_bytes(b"name: a\n# caf\xe9\n")
    for name, message in {
        "none.yaml": r"none\.yaml: no such file",
        "": "is a folder",
        "file/suite.yaml": "cannot be read",
        "file": "file:2: byte 0xe9 is not UTF-8",
    }.items():
        with pytest.raises(SuiteError, match=message):
            suite.load(tmp_path / name, [], catalogue)


def test_byte_order_mark_is_no_problem(tmp_path: Path, catalogue: Catalogue, good: str) -> None:
    make_folders(tmp_path)
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + good.encode())
    assert suite.load(path, [], catalogue).name == "small"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_empty(text: str, problems: Finder) -> None:
    found = only(problems(text))
    assert "is empty" in found or "expected a mapping" in found


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
    with trusting(Trust(True)):
        made = load(text)
    assert made.models["third"].path == "./base"
    assert made.models["third"].trust_remote_code
    assert not made.models["plain"].trust_remote_code


def test_key_written_out_wins_over_merged(load: Loader, good: str) -> None:
    text = good.replace("plain: {role: baseline", "plain: &p {role: baseline")
    text = text.replace("judges:\n", "  third: {path: ./other, <<: *p}\njudges:\n")
    assert load(text).models["third"].path == "./other"


def test_limits(problems: Finder) -> None:
    assert "a suite has at most" in only(problems("#" * (1 << 20) + "\nname: a\n"))
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "once aliases expand" in only(problems("\n".join(lines)))
    assert "once aliases expand" in only(problems("name: &a [*a]\n"))
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


# --set


def test_values_are_typed_as_in_yaml(load: Loader, good: str) -> None:
    with trusting(Trust(True)):
        made = load(good, "seed=7", "gate.alpha=0.01", "models.plain.trust_remote_code=true",
                    "benchmarks.1.tasks=[x, y, z]", "report.formats=[markdown]")  # fmt: skip
    assert made.seed == 7
    assert made.gate is not None
    assert made.gate.alpha == 0.01
    assert made.models["plain"].trust_remote_code is True
    assert made.benchmarks[1].model_dump()["tasks"] == ("x", "y", "z")
    assert made.report.formats == ("markdown",)
    assert load(good, "engine.max_len=99").engine.model_dump()["max_len"] == 99
    assert load(good, "seed=1", "seed=2").seed == 2
    given = load(good, "models.plain.path=./a=b").models["plain"].path
    assert given == str(Path.cwd() / "a=b")
    assert load(good, "gate=null").gate is None
    assert load(good, "gate=").gate is None


def test_entry_by_position_type_and_name(load: Loader, good: str) -> None:
    named = good.replace("type: choices", "type: choices\n    name: two.b")
    for path in ("benchmarks.0.max_tokens", "benchmarks.pairs.max_tokens"):
        assert load(good, f"{path}=5").benchmarks[0].model_dump()["max_tokens"] == 5
    made = load(named, "benchmarks.two.b.tasks=[q]")
    assert made.benchmarks[1].model_dump()["tasks"] == ("q",)


def test_entry_by_type_and_version(load: Loader, good: str) -> None:
    text = good.replace(
        "  - {type: pairs, judge: self}",
        "  - {type: pairs, judge: self, version: 1}\n  - {type: pairs, judge: self, version: 2}",
    ).replace("{pairs: 3, ", "{")
    made = load(text, "benchmarks.pairs-v2.max_tokens=5")
    assert [s.entry for s in made.benchmarks] == ["pairs-v1", "pairs-v2", "choices"]
    assert [s.model_dump().get("max_tokens") for s in made.benchmarks] == [64, 5, None]


def test_names_may_contain_dots(load: Loader, good: str) -> None:
    text = good.replace("plain", "plain-7b.v1.5")
    made = load(text, "models.plain-7b.v1.5.path=./new", "gate.margins.choices=2.5")
    assert made.models["plain-7b.v1.5"].path == str(Path.cwd() / "new")
    assert made.gate is not None
    assert made.gate.margins["choices"] == 2.5


def test_new_model_and_whole_section(load: Loader, good: str) -> None:
    made = load(good, "models.third={path: ./third}", "report={level: 0.9}")
    assert made.models["third"].path == str(Path.cwd() / "third")
    assert made.report.level == 0.9


@pytest.mark.parametrize(
    ("override", "where", "message"),
    [
        ("seed", "--set seed", "expected PATH=VALUE"),
        ("=1", "--set ", "expected PATH=VALUE"),
        ("seed=[", "--set seed", "the value cannot be read"),
        ("seed=!!python/name:os.x", "--set seed", "tag"),
        ("seed=x", "--set seed: seed", "'x'; expected a whole number"),
        ("sed=1", "--set sed: sed", "did you mean 'seed'?"),
        ("gat.alpha=1", "--set gat.alpha: gat", "did you mean 'gate'?"),
        ("gate.alfa=1", "--set gate.alfa: gate.alfa", "did you mean 'alpha'?"),
        ("models.plane.path=x", "--set models.plane.path", "did you mean 'plain'?"),
        ("judges.sef.model=x", "--set judges.sef.model", "did you mean 'self'?"),
        ("benchmarks.pear.judge=x", "--set benchmarks.pear.judge", "did you mean 'pairs'?"),
        ("benchmarks.7.judge=x", "--set benchmarks.7.judge", "no '7'; expected one of '0'"),
        ("benchmarks.-1.judge=x", "--set benchmarks.-1.judge", "no '-1'"),
        ("name.x=1", "--set name.x", "name is a plain value"),
        ("models.plain.role.x=1", "--set models.plain.role.x", "is a plain value"),
        ("a..b=1", "--set a..b: a", "unknown field 'a'"),
        ("gate.margins.pear=1", "--set gate.margins.pear: gate.margins.pear", "mean 'pairs'?"),
    ],
)
def test_mistakes(override: str, where: str, message: str, problems: Finder, good: str) -> None:
    (found,) = problems(good, override)
    assert found.where == where
    assert message in found.message


def test_ambiguous_entry(problems: Finder, good: str) -> None:
    text = good.replace("    tasks: [a, b]", "  - type: choices")
    found = problems(text, "benchmarks.choices.tasks=[x]")
    assert "2 entries 'choices'; name one by its position (1, 2)" in found[-1].message


def test_a_mistake_under_an_override_is_not_blamed_on_the_file(problems: Finder, good: str) -> None:
    (found,) = problems(good, "benchmarks.0={type: pairs, judge: nobody}")
    assert found.where == "--set benchmarks.0: benchmarks.0.judge"


# Whatever is written


WORDS = st.sampled_from(
    ["name", "type", "role", "path", "base", "adapter", "engine", "judge", "judges", "models",
     "benchmarks", "gate", "report", "margins", "baseline", "figures", "pairs", "choices", "vllm",
     "served", "candidate", "published", "a", "plain", "tuned", "self", "..", "os.path"]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
SECTIONS = st.sampled_from([*Suite.model_fields, "nonsense"])


def outcome(mapping: dict[Any, Any], *changes: str) -> Suite | SuiteError:
    try:
        return suite.load_mapping(mapping, "origin", changes, CATALOGUE)
    except SuiteError as error:
        found = error
    assert found.problems
    assert str(found).encode("utf-8")
    return found


@pytest.mark.slow
@given(st.dictionaries(SECTIONS | st.integers(), TREES))
def test_any_mapping(mapping: dict[Any, Any]) -> None:
    outcome(mapping)


@pytest.mark.slow
@given(SECTIONS, TREES)
def test_a_good_suite_with_one_section_replaced(section: str, value: object) -> None:
    mapping = {**reading.from_text(GOOD, "good").tree, section: value}
    made = outcome(mapping)
    if isinstance(made, Suite):
        dump = json.loads(json.dumps(made.model_dump(mode="json"), allow_nan=False))
        assert suite.load_mapping(dump, "dump", [], CATALOGUE) == made


@pytest.mark.slow
@given(st.dictionaries(WORDS, TREES, max_size=4))
def test_any_model(model: dict[str, Any]) -> None:
    tree = reading.from_text(GOOD, "good").tree
    made = outcome({**tree, "models": {**tree["models"], "extra": model}})
    if isinstance(made, Suite):
        assert isinstance(made.models["extra"], ModelSpec)


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    try:
        problems = reading.from_text(text, "f.yaml").problems
    except SuiteError as error:
        problems = list(error.problems)
    assert all(p.where.startswith("f.yaml") for p in problems)


@given(st.binary(max_size=100))
def test_any_bytes(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.yaml"
        path.write_bytes(raw)
        with pytest.raises(SuiteError, match=re.escape(str(path))):
            suite.load(path, [], CATALOGUE)


PLANTED = [
    ("name: small", "name: a/b"),
    ("role: candidate", "rolle: candidate"),
    ("path: ./base}", "path: 7}"),
    ("model: plain", "model: plan"),
    ("judge: self", "judge: slef"),
    ("tasks: [a, b]", "tasks: [a, 7]"),
    ("  baseline: plain", "  baseline: plane"),
    ("pairs: 3", "pairs: -3"),
]


@pytest.mark.slow
@given(st.sets(st.sampled_from(PLANTED)), st.lists(st.integers(0, 16), max_size=6))
def test_each_mistake_has_its_own_line(planted: set[tuple[str, str]], gaps: list[int]) -> None:
    text = GOOD
    for right, wrong in planted:
        text = text.replace(right, wrong)
    lines = text.splitlines()
    for n in gaps:
        lines.insert(min(n, len(lines)), "# a comment: {of: no, meaning")
    source = reading.from_text("\n".join(lines), "f.yaml")
    found: list[str] = []
    try:
        loading.checked(source, CATALOGUE, Path())
    except SuiteError as error:
        found = [lines[int(p.where.split(":")[1]) - 1] for p in error.problems]
    assert sorted(found) == sorted(line for _, w in planted for line in lines if w in line)


@pytest.mark.slow
@given(st.data())
def test_a_damaged_file_names_lines_it_has(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 12)))
    text = GOOD[:start] + data.draw(st.text("{}[]:,-#&*! \n\tabx0'\"", max_size=6)) + GOOD[end:]
    lines = text.count("\n") + 1
    try:
        source = reading.from_text(text, "f.yaml")
        suite.load_mapping(source.tree, "origin", [], CATALOGUE)
    except SuiteError as error:
        for problem in error.problems:
            found = re.match(r"f\.yaml:(\d+)", problem.where)
            assert found is None or 1 <= int(found[1]) <= lines + 1


@pytest.mark.slow
@given(st.lists(WORDS | st.integers(0, 3).map(str) | st.text(max_size=5), max_size=4), TREES)
def test_any_override(segments: list[str], value: object) -> None:
    outcome(reading.from_text(GOOD, "good").tree, f"{'.'.join(segments)}={json.dumps(value)}")


@given(st.integers() | st.booleans() | st.none() | st.text("abc-_ .", max_size=9))
def test_an_override_says_what_json_says(value: object) -> None:
    source = reading.from_text(GOOD, "good")
    reading.apply_overrides(source, [f"seed={json.dumps(value)}"], Path())
    assert source.problems == []
    assert source.tree["seed"] == value


@given(TREES, TREES)
def test_a_value_inside_itself(first: object, second: object) -> None:
    loop: list[Any] = [first, second]
    loop.append(loop)
    assert isinstance(outcome({"name": "a", "models": loop}), SuiteError)
