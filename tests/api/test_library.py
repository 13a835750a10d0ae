"""The library's functions answer what the commands answer."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import click
import pytest

import evalkit
from evalkit import api
from evalkit.cli import command_groups
from evalkit.comparison.contests import contest_json
from evalkit.comparison.gate import gate_json, pin
from evalkit.core.run import Run
from evalkit.core.specs import GateSpec
from evalkit.errors import ComparisonError, SuiteError
from tests.support.cli import evalkit as command
from tests.support.runs import Plan, build_run, with_suite, write_run

GATE = {"baseline": "b", "margins": {"default": {"percent": 3.0, "points": 3.0}}}


@pytest.fixture
def stored(tmp_path: Path) -> Run:
    """A run on disk whose suite has a gate."""
    run = build_run(Plan(models=("a", "b", "c"), advantage=0.4))
    return write_run(with_suite(run, gate=GATE), tmp_path / "run")


def test_comparing_is_the_command(stored: Run) -> None:
    rows = evalkit.compare(stored, baseline="b")
    done = command(stored.folder.parent, "compare", "run", "--baseline", "b", "--json")
    assert [contest_json(row) for row in rows] == json.loads(done.out)["comparisons"]
    assert evalkit.compare(stored.folder, baseline="b") == rows
    assert evalkit.compare(str(stored.folder), baseline="b", level=0.5) != rows


def test_a_claim_is_the_command(stored: Run) -> None:
    text = "a beats b and c on lm_eval/sums"
    done = command(stored.folder.parent, "claim", "run", text, "--json")
    assert evalkit.claim(text, stored).to_json() == json.loads(done.out)
    with pytest.raises(ComparisonError, match="no model is called 'x'"):
        evalkit.claim("x beats b", stored.folder)


def test_a_gate_is_the_command(stored: Run, tmp_path: Path) -> None:
    result = evalkit.gate(stored)
    done = command(stored.folder.parent, "gate", "run", "--json")
    # Notes name the folder, as it was given.
    assert {**gate_json(result), "notes": []} == {**json.loads(done.out), "notes": []}
    assert done.code == result.exit_code
    pinned = tmp_path / "baseline.json"
    pinned.write_bytes(pin(stored, "b"))
    again = evalkit.gate(stored, baseline_run=pinned)
    assert [t.bounds for t in again.tests] == [t.bounds for t in result.tests]
    assert evalkit.gate(stored, candidate="a", baseline_run=stored) == result


def test_a_gate_needs_a_policy(stored: Run) -> None:
    bare = with_suite(stored, gate=None)
    with pytest.raises(SuiteError, match="no gate section"):
        evalkit.gate(bare)
    with pytest.raises(SuiteError, match="suite 'quickstart' has no gate section"):
        evalkit.gate(stored, policy="quickstart")


def test_what_a_policy_requires_is_never_passed_in_silence(stored: Run) -> None:
    """Required by name, but in neither side's run."""
    demanding = GateSpec(
        baseline="b",
        margins={"default": {"percent": 99.0, "points": 99.0}},
        required=("lm_eval", "other/task"),
    )
    result = evalkit.gate(with_suite(stored, gate=demanding))
    assert (result.verdict, result.exit_code) == ("incomplete", 3)
    assert any("other" in reason and "no samples" in reason for reason in result.reasons)


def test_names_are_those_that_a_person_may_use() -> None:
    assert dir(evalkit) == list(evalkit.__all__)
    assert evalkit.__all__ == api.__all__


@pytest.mark.parametrize(
    ("command_name", "function"),
    [(name, name.replace("-", "_")) for name in ("run", "judge", "judge-bridge", "compare", "claim",
                                                  "gate", "export", "watch")],
)  # fmt: skip
def test_parameters_are_the_options_of_the_command(command_name: str, function: str) -> None:
    """What prints, or writes a file that the returned value has, is the command's own."""
    found = next(c for group in command_groups().values() for c in group if c.name == command_name)
    own = {"as_json", "wide", "junit", "comment", "write_baseline", "html", "all", "once",
           "dry_run", "show_all"}  # fmt: skip
    renamed = {"overrides": "set", "settings": "set", "models": "model", "kind": "format"}
    options = {
        option.opts[0].removeprefix("--").replace("-", "_")
        for option in found.params
        if isinstance(option, click.Option)
    }
    names = {renamed.get(name, name) for name in options} - own - {"json", "markdown"}
    parameters = set(inspect.signature(getattr(evalkit, function)).parameters)
    assert names <= parameters
    positional = {"run", "runs", "suite", "text", "folder", "trust_suite"}  # of `evalkit` itself
    assert parameters - names <= positional


def test_type_errors_name_the_choices(stored: Run) -> None:
    with pytest.raises(TypeError, match=r"no parameter 'adaptor'; did you mean 'adapter'\? it has"):
        evalkit.run("quick", adaptor="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="got neither"):
        evalkit.run()
    with pytest.raises(TypeError, match=r"expected a YAML file's path, .*; got int"):
        evalkit.run(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"a run's folder or id, .*; got int"):
        evalkit.compare(3)  # type: ignore[arg-type]


def test_a_run_shows_itself(stored: Run) -> None:
    shown = repr(stored)
    assert shown.startswith("<Run ")
    assert "\n" not in shown
    assert stored.manifest.run_id in shown
    html = stored._repr_html_()
    assert html is not None
    assert "<table" in html
    assert "<script" not in html


def test_a_suite_is_a_file_a_name_or_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(json.dumps({"instruction": f"Name {n}.", "output": "A."}) + "\n" for n in "abc")
    (tmp_path / "alpaca.jsonl").write_text(rows)
    judge = {"type": "engine", "model": "b", "protocol": "text"}
    content = {
        "name": "tiny",
        "models": {"a": {"path": "a"}, "b": {"role": "baseline", "path": "b"}},
        "engine": {"type": "fake"},
        "judges": {"j": judge},
        "benchmarks": [{"type": "alpaca_eval", "data": "alpaca.jsonl", "judge": "j"}],
    }
    done = evalkit.run(content, limit=2)
    assert len(done.records) == 4
    assert evalkit.run(evalkit.load_suite(content), limit=2).manifest.run_id == done.manifest.run_id
    assert evalkit.run(content, limit=2, set={"seed": 9}).manifest.seed == 9
    assert repr(evalkit.load_run("tiny")).startswith("<Run tiny/")
