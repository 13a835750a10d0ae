"""Whatever is written: a Suite, or a SuiteError whose places are lines of the file."""

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
from evalkit.errors import SuiteError
from evalkit.suite import reading
from tests.suite.conftest import GOOD, Catalogue

CATALOGUE = Catalogue()
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


@given(st.dictionaries(SECTIONS | st.integers(), TREES))
def test_any_mapping(mapping: dict[Any, Any]) -> None:
    outcome(mapping)


@given(SECTIONS, TREES)
def test_a_good_suite_with_one_section_replaced(section: str, value: object) -> None:
    mapping = {**reading.from_text(GOOD, "good").tree, section: value}
    made = outcome(mapping)
    if isinstance(made, Suite):
        dump = json.loads(json.dumps(made.model_dump(mode="json"), allow_nan=False))
        assert suite.load_mapping(dump, "dump", [], CATALOGUE) == made


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


@given(st.lists(WORDS | st.integers(0, 3).map(str) | st.text(max_size=5), max_size=4), TREES)
def test_any_override(segments: list[str], value: object) -> None:
    text = json.dumps(value)
    outcome(reading.from_text(GOOD, "good").tree, f"{'.'.join(segments)}={text}")
    outcome(reading.from_text(GOOD, "good").tree, ".".join(segments))


@given(st.integers() | st.booleans() | st.none() | st.text("abc-_ .", max_size=9))
def test_an_override_says_what_json_says(value: object) -> None:
    source = reading.from_text(GOOD, "good")
    reading.apply_overrides(source, [f"seed={json.dumps(value)}"])
    assert source.problems == []
    assert source.tree["seed"] == value


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_preset_is_well_formed(base: str, adapter: str) -> None:
    """Benchmarks and judges are real ones, which this catalogue lacks; the rest must be right."""
    made = {**suite.preset(base, adapter), "judges": {}, "benchmarks": [{"type": "choices"}]}
    result = outcome(made)
    if isinstance(result, SuiteError):
        # Only text that is no text (lone surrogates), or looks like a key, may be refused.
        assert all(p.where.endswith((".path", ".base", ".adapter")) for p in result.problems), (
            result
        )


@given(TREES, TREES)
def test_a_value_inside_itself(first: object, second: object) -> None:
    loop: list[Any] = [first, second]
    loop.append(loop)
    assert isinstance(outcome({"name": "a", "models": loop}), SuiteError)
