"""What the options of `evalkit run` make of a suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import plugins, suite
from evalkit.core.specs import ModelSpec, Suite
from evalkit.errors import Problem, SuiteError
from evalkit.suite import Options, from_here
from evalkit.suite.options import api_judge
from tests.suite.conftest import Catalogue, make_folders

SUITE = """\
name: small
models:
  tuned: {role: candidate, path: x}
  older: {role: candidate, path: third}
  plain: {role: baseline, path: base}
judges:
  self: {type: engine, model: plain}
  paid: {type: served, model: m}
benchmarks:
  - {type: pairs, judge: self}
  - {type: choices, tasks: [a, b]}
  - {type: pairs, name: spare, judge: null}
gate: {baseline: plain}
"""


def changed(options: Options, *changes: str, text: str = SUITE) -> suite.CheckResult:
    make_folders(Path())
    path = Path("options.yaml")
    path.write_text(text, encoding="utf-8")
    return suite.check(path, changes, Catalogue(), options=options)


def refused(options: Options, *changes: str) -> str:
    with pytest.raises(SuiteError) as caught:
        changed(options, *changes)
    return str(caught.value)


def test_an_adapter_and_its_base_take_the_place_of_all_models() -> None:
    made = changed(Options(adapter="adapter", base="./base")).suite
    assert made.models == {
        "adapter": ModelSpec(role="candidate", base="./base", adapter="adapter"),
        "base": ModelSpec(role="baseline", path="./base"),
    }
    assert made.judges["self"].model_dump()["model"] == "base"
    assert made.gate is not None
    assert made.gate.baseline == "base"


@pytest.mark.parametrize(
    ("base", "adapter", "names"),
    [
        ("org/base-7b", "org/base-7b-lora", ["base-7b-lora", "base-7b"]),
        ("./base/", "./adapter/", ["adapter", "base"]),
        ("org/same", "elsewhere/same", ["same-adapted", "same"]),
    ],
)
def test_models_are_named_after_the_last_part(base: str, adapter: str, names: list[str]) -> None:
    assert list(changed(Options(adapter=adapter, base=base)).suite.models) == names


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_adapter_gives_well_formed_names(base: str, adapter: str) -> None:
    wrong = (".path", ".base", ".adapter")
    try:
        problems: tuple[Problem, ...] = changed(Options(adapter=adapter, base=base)).warnings[:0]
    except SuiteError as error:
        problems = tuple(error.problems)
    assert all(p.where.endswith(wrong) for p in problems)


def test_published_models_stay() -> None:
    text = SUITE.replace("  plain:", "  paper: {role: published, leaderboard: true}\n  plain:")
    made = changed(Options(adapter="adapter", base="base"), text=text).suite
    assert list(made.models) == ["adapter", "base", "paper"]


def judges(made: Suite) -> dict[str, object]:
    return {spec.entry: spec.judge for spec in made.benchmarks}


def test_a_judged_benchmark_without_a_judge_is_left_out_and_that_is_said() -> None:
    found = changed(Options())
    assert judges(found.suite) == {"pairs": "self", "choices": None}
    (said,) = [w for w in found.warnings if w.where == "spare"]
    assert "left out" in said.message
    assert "--judge" in said.message


@pytest.mark.parametrize(
    ("wanted", "name", "fields"),
    [
        ("paid", "paid", {"type": "served", "model": "m"}),
        ("plain", "plain", {"type": "engine", "model": "plain"}),
        ("served:org/model-x", "model-x", {"type": "served", "model": "org/model-x"}),
    ],
)
def test_a_judge_judges_all_that_is_judged(wanted: str, name: str, fields: dict[str, str]) -> None:
    made = changed(Options(judge=wanted)).suite
    assert judges(made) == {"pairs": name, "choices": None, "spare": name}
    assert list(made.judges) == [name]
    assert fields.items() <= made.judges[name].model_dump().items()


def test_the_vendor_of_a_model_is_known_by_its_name() -> None:
    assert api_judge("gpt-6.1-sol") == {"type": "openai", "model": "gpt-6.1-sol"}
    assert api_judge("claude-opus-5") == {"type": "anthropic", "model": "claude-opus-5"}
    assert api_judge("my-model") is None


def test_an_unknown_judge_is_answered_with_the_nearest() -> None:
    found = refused(Options(judge="plian"))
    assert "--judge: 'plian'" in found
    assert "did you mean 'plain'?" in found


def test_tasks_are_entries_or_tasks_of_lm_eval() -> None:
    text = SUITE.replace("choices, tasks: [a, b]", "choices, tasks: [a, b], name: lm_eval")
    made = changed(Options(tasks=("pairs",)), text=text).suite
    assert [spec.entry for spec in made.benchmarks] == ["pairs"]
    chosen = suite.check(
        suite.locate("quickstart"), ["benchmarks.lm_eval.shots=5"], plugins,
        options=Options(tasks=("arc_easy", "everyday", "piqa")),
    ).suite  # fmt: skip
    everyday, added = chosen.benchmarks
    assert everyday.entry == "everyday"
    assert added.entry == "lm_eval"
    assert added.model_dump()["tasks"] == ("arc_easy", "piqa")
    assert added.model_dump()["shots"] == 5


def test_a_chosen_entry_without_a_judge_is_a_problem() -> None:
    assert "--judge NAME adds one" in refused(Options(tasks=("spare",)))


def test_the_cap_is_shared_by_the_apis_in_use() -> None:
    def cap(options: Options, *changes: str) -> object:
        return changed(options, *changes).suite.judges["paid"].model_dump()["max_cost_usd"]

    assert cap(Options(max_cost=3)) is None  # nobody is judged by it
    assert cap(Options(max_cost=3, judge="paid")) == 3
    assert cap(Options(max_cost=3, judge="paid"), "judges.paid.max_cost_usd=5") == 5
    both = "models.tuned.engine={type: served, model: m}"
    made = changed(Options(max_cost=3), both, "benchmarks.pairs.judge=paid").suite
    assert made.judges["paid"].model_dump()["max_cost_usd"] is None  # --set comes after


def test_a_model_is_removed_by_null() -> None:
    assert list(changed(Options(), "models.older=null").suite.models) == ["tuned", "plain"]
    assert "did you mean 'older'?" in refused(Options(), "models.oldre=null")


def test_paths_are_typed_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "out" / "adapter").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert from_here("out/adapter", Path("suites")) == "../out/adapter"
    assert from_here("./nowhere", Path("suites")) == "../nowhere"
    assert from_here("org/model", Path("suites")) == "org/model"
    assert from_here("package://m/x.gguf", Path("suites")) == "package://m/x.gguf"
    monkeypatch.chdir(tmp_path / "out")
    assert from_here("adapter", tmp_path / "suites") == str(tmp_path / "out" / "adapter")


def test_paths_of_set_are_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "suites").mkdir()
    make_folders(tmp_path / "suites")
    (tmp_path / "ours").mkdir()
    monkeypatch.chdir(tmp_path)
    file = Path("suites/small.yaml")
    file.write_text(SUITE, encoding="utf-8")
    found = suite.check(file, ["models.tuned.path=ours", "name=ours"], Catalogue()).suite
    assert found.models["tuned"].path == "../ours"
    assert found.name == "ours"
    made = suite.check(file, ["models.new={path: ./ours}"], Catalogue()).suite
    assert made.models["new"].path == "../ours"
