"""A good suite: its specs, its dump, warnings; where suites are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit import plugins, suite
from evalkit.core.specs import LocalJudgeSpec
from evalkit.core.trust import Trust, trusting
from evalkit.errors import SuiteError
from tests.suite.conftest import (
    Catalogue,
    ChoicesSpec,
    Loader,
    LocalSpec,
    PairsSpec,
    ServedJudge,
    ServedSpec,
    make_folders,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_sections_are_of_their_own_classes(load: Loader, good: str) -> None:
    text = good.replace("judges:", "  api: {engine: {type: served, model: m}}\njudges:")
    made = load(text.replace("{type: engine, model: plain}", "{type: served, model: m}"))
    assert type(made.engine) is LocalSpec
    assert type(made.models["api"].engine) is ServedSpec
    assert type(made.judges["self"]) is ServedJudge
    assert [type(s) for s in made.benchmarks] == [PairsSpec, ChoicesSpec]
    assert type(load(good).judges["self"]) is LocalJudgeSpec


def test_dump_has_every_field_of_every_class(load: Loader, good: str) -> None:
    text = good.replace("judges:", "  api: {engine: {type: served, model: m}}\njudges:")
    dump = load(text, "engine.max_len=512").model_dump(mode="json")
    assert dump["engine"] == {"type": "vllm", "dtype": "auto", "max_len": 512}
    assert dump["models"]["api"]["engine"]["api_key_env"] == "SERVED_API_KEY"
    assert dump["judges"]["self"]["model"] == "plain"
    assert dump["benchmarks"][0]["max_tokens"] == 64
    assert dump["benchmarks"][1]["tasks"] == ["a", "b"]


def test_a_dump_loads_as_the_same_suite(load: Loader, good: str, catalogue: Catalogue) -> None:
    made = load(good)
    again = suite.load_mapping(made.model_dump(mode="json"), "dump", [], catalogue)
    assert again == made


def test_served_models_need_no_weights(load: Loader, good: str) -> None:
    text = good.replace("    base: ./base\n    adapter: ./adapter\n", "")
    assert load(text, "engine={type: served, model: m}").models["tuned"].path is None


def test_published_model(load: Loader, good: str) -> None:
    old = "{benchmark: pairs, metric: win_rate, value: 91.5, source: a page}"
    made = load(good.replace("judges:", f"  old: {{role: published, figures: [{old}]}}\njudges:"))
    assert made.models["old"].figures[0].value == 91.5


def check(text: str, folder: Path, catalogue: Catalogue) -> list[tuple[str, str]]:
    make_folders(folder)
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    found = suite.check(path, [], catalogue).warnings
    return [(w.where.removeprefix(f"{folder}/suite.yaml:"), w.message) for w in found]


def test_no_warnings(tmp_path: Path, catalogue: Catalogue, good: str) -> None:
    assert check(good, tmp_path, catalogue) == []


@pytest.mark.parametrize(
    ("path", "where", "part"),
    [
        ("org/model", "7: models.plain.path", "is not pinned; add `revision`"),
        ("org/model, revision: main", "7: models.plain.revision", "'main' can move"),
        ("org/model, revision: 0123abc", "7: models.plain.revision", "40 hexadecimal digits"),
        ("org/model, revision: " + COMMIT, None, ""),
        ("package://evalkit/core/specs.py", None, ""),
        ("/", None, ""),
        ("here/model", None, ""),
    ],
)
def test_unpinned_hub_models(
    path: str, where: str | None, part: str, tmp_path: Path, catalogue: Catalogue, good: str
) -> None:
    (tmp_path / "here" / "model").mkdir(parents=True)
    text = good.replace("path: ./base}", f"path: {path}}}")
    found = check(text, tmp_path, catalogue)
    assert [w for w, _ in found] == ([where] if where else [])
    assert all(part in message for _, message in found)


def test_unused_judge_and_missing_margin(tmp_path: Path, catalogue: Catalogue, good: str) -> None:
    text = good.replace("benchmarks:", "  spare: {type: engine, model: plain}\nbenchmarks:")
    found = dict(check(text.replace(", default: 1", ""), tmp_path, catalogue))
    assert "used by no benchmark" in found["10: judges.spare"]
    assert "neither 'choices' nor 'default'" in found["17: gate.margins"]


def test_mapping_names_its_origin(catalogue: Catalogue) -> None:
    with pytest.raises(SuiteError) as caught:
        suite.load_mapping({"name": "a"}, "--base x", [], catalogue)
    assert [p.where for p in caught.value.problems] == ["--base x: models", "--base x: benchmarks"]


def test_the_real_extensions_resolve(good: str) -> None:
    """The module is passed as it is; this is also what mypy checks it against."""
    resolve: suite.Resolver = plugins
    assert resolve.judge_spec("engine") is LocalJudgeSpec
    assert resolve.judge_spec("fake") is resolve.judge_spec("fake")
    for name in ("..", ".", "a..b", "os.path", "no.such.module", "evalkit.suite", "x y.z"):
        with trusting(Trust(True)), pytest.raises(plugins.UnknownTypeError):
            plugins.find("benchmarks", name)


# Places


def test_bundled_suites(repository: Path) -> None:
    assert set(suite.bundled()) >= {"chat", "notus", "quickstart"}
    assert suite.locate("quickstart").samefile(repository / "suites" / "quickstart.yaml")


def test_a_file_wins_over_a_bundled_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickstart").write_text("name: mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert suite.locate("quickstart") == Path("quickstart")


def test_a_folder_does_not(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "suites")
    assert suite.locate("quickstart").name == "quickstart.yaml"


@pytest.mark.parametrize("name", ["quickstrat", "nowhere/suite.yaml", "a\0b", "x" * 5000])
def test_unknown(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuiteError) as caught:
        suite.locate(name)
    assert "'chat', 'notus', 'quick', 'quickstart'" in str(caught.value)
    if name == "quickstrat":
        assert "did you mean 'quickstart'?" in str(caught.value)


def test_a_default_margin_stands_for_one_unit() -> None:
    """AlpacaEval's percentage points are no points of MT-Bench."""
    mapping = {
        "name": "s",
        "models": {"a": {"path": "hub/a"}, "b": {"path": "hub/b", "role": "baseline"}},
        "judges": {"j": {"type": "engine", "model": "b"}},
        "benchmarks": [{"type": t, "judge": "j"} for t in ("alpaca_eval", "mt_bench")],
        "gate": {"baseline": "b", "margins": {"default": 3}},
    }
    with pytest.raises(SuiteError) as caught:
        suite.load_mapping(mapping, "m", (), plugins)
    (problem,) = caught.value.problems
    assert problem.where == "m: gate.margins.default"
    assert "`default: {percent: 3.0, points: NUMBER}`" in problem.message
    each = "gate.margins.default={percent: 3, points: 0.3}"
    loaded = suite.load_mapping(mapping, "m", (each,), plugins)
    assert loaded.gate is not None
    assert loaded.gate.margins == {"default": {"percent": 3.0, "points": 0.3}}
