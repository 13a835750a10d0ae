"""The JSON Schema, against JSON Schema itself and against the suites that come with evalkit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from evalkit import plugins, suite
from evalkit.errors import SuiteError
from evalkit.suite.reading import from_text, names_secret, read
from tests.suite.conftest import GOOD, Catalogue

SUITES = sorted((Path(__file__).resolve().parents[2] / "suites").glob("*.yaml"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found: dict[str, Any] = suite.json_schema(Catalogue())
    return found


@pytest.fixture(scope="module")
def real() -> dict[str, Any]:
    found: dict[str, Any] = suite.json_schema(plugins)
    return found


def test_is_a_schema(schema: dict[str, Any], real: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator.check_schema(real)


def errors(schema: dict[str, Any], tree: object) -> list[str]:
    return [e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(tree)]


def test_a_good_suite_fits(schema: dict[str, Any]) -> None:
    assert errors(schema, from_text(GOOD, "good").tree) == []


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("name", "a/b"),
        ("nonsense", 1),
        ("models", {"a:b": {"path": "x"}}),
        ("models", {"m": {"pth": "x"}}),
        ("models", {"m": {"path": "x", "engine": {"type": "vlm"}}}),
        ("engine", {"type": "served"}),
        ("engine", {"type": "vllm", "model": "x"}),
        ("engine", {"max_len": 3}),
        ("judges", {"j": {"model": "x"}}),
        ("judges", {"j": {"type": "vllm"}}),
        ("benchmarks", []),
        ("benchmarks", [{"type": "pairs", "tasks": []}]),
        ("benchmarks", [{"type": "unknown"}]),
        ("benchmarks", [{}]),
        ("gate", {"alpha": 0.1}),
        ("report", {"formats": ["pdf"]}),
    ],
)
def test_schema_and_loader_refuse_the_same(
    section: str, value: object, schema: dict[str, Any]
) -> None:
    tree = {**from_text(GOOD, "good").tree, section: value}
    assert errors(schema, tree)
    with pytest.raises(SuiteError):
        suite.load_mapping(tree, "origin", [], Catalogue())


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("engine", {}),
        ("engine", {"max_len": 64}),
        ("engine", {"type": "served", "model": "m"}),
        ("judges", {"self": {"type": "served", "model": "m", "protocol": "text"}}),
        ("gate", None),
    ],
)
def test_schema_and_loader_accept_the_same(
    section: str, value: object, schema: dict[str, Any]
) -> None:
    tree = {**from_text(GOOD, "good").tree, section: value}
    assert errors(schema, copy.deepcopy(tree)) == []
    suite.load_mapping(tree, "origin", [], Catalogue())


def test_a_module_of_your_own_is_left_to_check(schema: dict[str, Any]) -> None:
    tree = {**from_text(GOOD, "good").tree, "benchmarks": [{"type": "mine.bench", "level": 3}]}
    assert errors(schema, tree) == []


def test_every_field_is_documented_and_none_takes_a_secret(real: dict[str, Any]) -> None:
    for name, definition in {"Suite": real, **real["$defs"]}.items():
        for key, value in definition.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key}"
            assert not names_secret(key), f"{name}.{key}"


@pytest.mark.parametrize("path", SUITES, ids=lambda p: p.stem)
def test_bundled_suite(path: Path, real: dict[str, Any]) -> None:
    assert errors(real, read(path).tree) == []
    made = suite.load(path, [], plugins)
    assert errors(real, made.model_dump(mode="json")) == []
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=schema.json"


def test_the_checked_in_schema_is_current(real: dict[str, Any]) -> None:
    """Mend with: evalkit schema > suites/schema.json."""
    stored = SUITES[0].parent / "schema.json"
    assert json.loads(stored.read_text(encoding="utf-8")) == json.loads(json.dumps(real))


def test_the_chat_suite_is_the_published_case() -> None:
    made = suite.load(suite.locate("chat"), [], plugins)
    notus = made.models["notus-lora"]
    assert (notus.base, notus.adapter) == (
        "alignment-handbook/zephyr-7b-sft-full",
        "argilla/notus-7b-v1-lora-adapter",
    )
    assert made.models["zephyr-7b-beta"].path == "HuggingFaceH4/zephyr-7b-beta"
    assert [s.entry for s in made.benchmarks] == ["alpaca_eval", "mt_bench", "open_llm_leaderboard"]


def test_warnings_of_bundled_suites() -> None:
    assert suite.check(suite.locate("quickstart"), [], plugins).warnings == ()
    found = suite.check(suite.locate("chat"), [], plugins).warnings
    assert [w.where.split(": ")[1] for w in found] == [
        "models.notus-lora.base",
        "models.notus-lora.adapter",
        "models.zephyr-7b-beta.path",
    ]
