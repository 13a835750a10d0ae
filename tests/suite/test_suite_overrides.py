"""`--set a.b=c`: paths, types of values, and what is said of a path that leads nowhere."""

from __future__ import annotations

import pytest

from tests.suite.conftest import Finder, Loader


def test_values_are_typed_as_in_yaml(load: Loader, good: str) -> None:
    made = load(good, "seed=7", "gate.alpha=0.01", "models.plain.trust_remote_code=true",
                "benchmarks.1.tasks=[x, y, z]", "report.formats=[markdown]")  # fmt: skip
    assert made.seed == 7
    assert made.gate is not None
    assert made.gate.alpha == 0.01
    assert made.models["plain"].trust_remote_code is True
    assert made.benchmarks[1].model_dump()["tasks"] == ("x", "y", "z")
    assert made.report.formats == ("markdown",)


def test_section_the_file_does_not_have(load: Loader, good: str) -> None:
    assert load(good, "engine.max_len=99").engine.model_dump()["max_len"] == 99


def test_null_removes(load: Loader, good: str) -> None:
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
    assert made.models["plain-7b.v1.5"].path == "./new"
    assert made.gate is not None
    assert made.gate.margins["choices"] == 2.5


def test_later_ones_win(load: Loader, good: str) -> None:
    assert load(good, "seed=1", "seed=2").seed == 2


def test_new_model_and_whole_section(load: Loader, good: str) -> None:
    made = load(good, "models.third={path: ./third}", "report={level: 0.9}")
    assert made.models["third"].path == "./third"
    assert made.report.level == 0.9


def test_value_may_hold_equals_signs(load: Loader, good: str) -> None:
    assert load(good, "models.plain.path=./a=b").models["plain"].path == "./a=b"


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
