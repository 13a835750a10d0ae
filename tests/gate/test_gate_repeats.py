"""Several runs of a side: their noise is in the gate's bounds.

Oracle of the bounds: `compare` with `repeats` at the gate's level; of the error rate, the truth
that the simulation draws from.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evalkit import api, compare, gate
from evalkit.cli.gate import command
from evalkit.compare.gate import gate_json
from evalkit.compare.rows import resolved
from evalkit.compare.words import bounds, is_too_wide
from evalkit.core import Comparison, Metric, Outcome, Record, Run, Score
from evalkit.core.specs import GateSpec
from evalkit.errors import ComparisonError
from tests.support.runs import Plan, build_run
from tests.support.stored import seal

SPEC = GateSpec(baseline="b", margins={"default": 30.0})
METRIC = Metric("score", "points", primary=True)


def made(folder: Path, n: int, models: tuple[str, ...] = ("a", "b")) -> list[Run]:
    return [
        build_run(folder / f"r{seed}", Plan(models=models, seed=seed, samples=(40, 16, 60)))
        for seed in range(1, n + 1)
    ]


def test_the_bounds_are_those_of_compare_with_repeats(tmp_path: Path) -> None:
    runs = made(tmp_path, 3)
    result = gate.gate_run(runs[0], SPEC, repeats=runs[1:])
    options = compare.Options(level=1 - 2 * SPEC.alpha, repeats=True)
    rows = [r for r in compare.compare(runs, "a", ["b"], options) if r.headline]
    for decision, row in zip(result.decisions, rows, strict=True):
        c = row.comparison
        assert (decision.task, decision.difference) == (c.task, c.difference)
        assert decision.low == pytest.approx(c.low, abs=1e-9)
        assert decision.high == pytest.approx(c.high, abs=1e-9)
    alone = gate.gate_run(runs[0], SPEC)
    assert [d.difference for d in alone.decisions] != [d.difference for d in result.decisions]
    assert result.notes[0].startswith("3 runs of a, 3 runs of b: scores are means over them")
    assert not any("runs of" in note for note in alone.notes)


def test_no_number_of_samples_is_said_to_do_against_the_noise_of_runs(tmp_path: Path) -> None:
    runs, tight = made(tmp_path, 3), GateSpec(baseline="b", margins={"default": 0.01})
    alone = gate.gate_run(runs[0], tight)
    assert any(d.needed for d in alone.decisions)
    assert not any(d.needed for d in gate.gate_run(runs[0], tight, repeats=runs[1:]).decisions)


def test_the_baseline_may_be_repeated_in_runs_of_its_own(tmp_path: Path) -> None:
    ours, theirs = made(tmp_path / "new", 2, ("a",)), made(tmp_path / "old", 3, ("b",))
    old = gate.Baseline(theirs[0].folder, theirs[0], tuple(theirs[1:]))
    result = gate.gate_run(ours[0], SPEC, baseline=old, repeats=ours[1:])
    assert (result.candidate, result.baseline) == ("a", "b")
    assert result.notes[0].startswith("2 runs of a, 3 runs of b")


def test_one_name_on_both_sides_is_told_apart(tmp_path: Path) -> None:
    ours, theirs = made(tmp_path / "new", 2, ("a",)), made(tmp_path / "old", 2, ("a",))
    old = gate.Baseline(theirs[0].folder, theirs[0], tuple(theirs[1:]))
    spec = GateSpec(baseline="a", margins={"default": 99.0})
    result = gate.gate_run(ours[0], spec, baseline=old, repeats=ours[1:])
    assert result.candidate == f"{ours[0].folder}:a"
    assert result.baseline == f"{theirs[0].folder}:a"
    assert result.notes[0].startswith("2 runs of")


def test_two_checkpoints_under_one_name_repeat_nothing(tmp_path: Path) -> None:
    runs = made(tmp_path, 2)
    models = [{**m, "fingerprint": "0" * 64} for m in runs[1].manifest["models"]]
    other = replace(runs[1], manifest={**runs[1].manifest, "models": models})
    with pytest.raises(ComparisonError, match=r"'a' is not the same model in .*r1 .*fingerprint"):
        gate.gate_run(runs[0], SPEC, repeats=[other])
    allowed = gate.gate_run(runs[0], SPEC, repeats=[other], allow_different=["fingerprint"])
    assert allowed.notes[0].startswith("2 runs of a")


def test_a_run_given_twice_counts_once(tmp_path: Path) -> None:
    """Its second copy would measure a noise of zero."""
    run = made(tmp_path, 1)[0]
    twice = gate.gate_run(run, SPEC, repeats=[run])
    assert twice.to_json() == gate.gate_run(run, SPEC).to_json()


def test_copies_of_one_run_are_said_to_measure_no_noise(tmp_path: Path) -> None:
    run = made(tmp_path, 1)[0]
    copy = replace(run, folder=tmp_path / "copy")
    notes = gate.gate_run(run, SPEC, repeats=[copy]).notes
    assert any("do not differ in any answer or score of AlpacaEval" in note for note in notes)
    other = gate.gate_run(run, SPEC, repeats=made(tmp_path, 2)[1:])
    assert not any("do not differ" in note for note in other.notes)


def test_the_command_and_the_library_take_several(tmp_path: Path) -> None:
    folders = []
    for seed, run in enumerate(made(tmp_path, 2), 1):
        folder = tmp_path / f"stored{seed}"
        suite = {**run.manifest["suite"], "gate": SPEC.model_dump(mode="json")}
        folders.append(str(seal(run, folder, None, suite=suite, run_id=str(seed) * 12).folder))
    done = CliRunner().invoke(command, [*folders, "--json"], standalone_mode=False)
    assert done.exception is None, done.output
    found = json.loads(done.stdout)
    assert found["notes"][0].startswith("2 runs of a, 2 runs of b")
    same = api.gate_run(folders[0], repeats=folders[1:])
    assert json.loads(json.dumps(gate_json(same))) == found
    apart = api.gate_run(folders[0], baseline_run=[folders[1]])
    assert not any("runs of" in note for note in apart.notes)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--write-baseline", "b.json"], "pins the scores of one run, and 2 are given"),
        (["other.yaml"], "'other.yaml' is no stored run"),
    ],
)
def test_what_cannot_be_repeated_says_so(tmp_path: Path, more: list[str], said: str) -> None:
    run = made(tmp_path, 1)[0]
    stored = str(seal(run, tmp_path / "stored").folder)
    given = [stored, stored, *more] if more[0].startswith("--") else [stored, *more]
    done = CliRunner().invoke(command, given, standalone_mode=False)
    assert isinstance(done.exception, ComparisonError)
    assert said in str(done.exception)


def shifted(rng: np.random.Generator, number: int, items: np.ndarray) -> Run:
    """A run of two equal models, each off by a draw of its own."""
    task = {"n_samples": 1, "metrics": [asdict(METRIC)]}
    entry = {"name": "x", "description": {"seed": number}, "tasks": {"t": task}}
    records = tuple(
        Record(model, "x", "t", str(i), None, "", Outcome("ok", scores=(Score("score", v),)))
        for model in ("a", "b")
        for i, v in enumerate(items + rng.normal(0, 0.5, items.size) + rng.normal(0, 0.15))
    )
    manifest = {
        "benchmarks": [entry],
        "models": [{"name": "a", "role": "candidate"}, {"name": "b", "role": "baseline"}],
    }
    return Run(Path(f"run{number}"), manifest, records, (), ())


@pytest.mark.slow
def test_equal_models_in_shifting_runs_are_seldom_called_a_regression() -> None:
    """One run takes its own shift for the model's; four know how much runs shift."""
    rng = np.random.default_rng(5)
    spec = GateSpec(baseline="b", margins={"default": 0.0})
    rounds, alone, together = 200, 0, 0
    for _ in range(rounds):
        items = rng.normal(6, 1, 80)
        runs = [shifted(rng, number, items) for number in range(4)]
        alone += gate.gate_run(runs[0], spec).verdict == "regression"
        found = gate.gate_run(runs[0], spec, repeats=runs[1:])
        together += found.verdict == "regression"
    assert alone / rounds > 0.12
    # Alpha is 0.05, and 200 rounds know a rate of it to 1.5 points.
    assert together / rounds < 0.10


def test_an_open_sample_of_a_pinned_baseline_says_to_pin_again(tmp_path: Path) -> None:
    """There is no suite to run in a file of scores."""
    (run,) = made(tmp_path, 1)
    failed = Outcome("transport_error", ())
    records = tuple(replace(r, outcome=failed) if r.sample == "0" else r for r in run.records)
    pinned = tmp_path / "baseline.json"
    pinned.write_bytes(gate.pin(replace(run, records=records), "b"))
    result = gate.gate_run(run, SPEC, baseline=gate.read_baseline(pinned))
    (note,) = (note for note in result.notes if str(pinned) in note)
    assert "pin the baseline again (--write-baseline)" in note
    assert "evalkit run" not in note


@pytest.mark.parametrize(("n", "df", "who"), [(3, 2.0, "3 samples are"), (40, 1.3, "the runs are")])
def test_of_few_samples_or_runs_the_gate_says_no_more_than_compare(
    n: int, df: float, who: str
) -> None:
    c = Comparison(
        "a", "b", "lm_eval", "opposites", "acc", None, 0.0, 100.0, -900.0, 900.0, 0.9, 1.0,
        n, n, 1, 1, n - 2, 0, 0, "percent", True, "paired mean", df,
    )  # fmt: skip
    row = compare.Row(c, True, 1.0, resolved(100.0, df, compare.Options()), "unclear", "")
    policy = gate.Policy(margins={"default": 5.0})
    result = gate.decide(("a", "b"), [row], policy)
    (decision,) = result.decisions
    assert is_too_wide(c)
    assert (row.mde, decision.resolvable, decision.needed) == (None, None, None)
    said = "\n".join(gate.gate_lines(result))
    assert bounds(c) in said
    assert f"opposites: {who} too few to know how precise the difference is" in said
    assert "bounds too wide to be of use," in gate.junit(result).decode()
    enough = gate.decide(("a", "b"), [replace(row, comparison=replace(c, df=4.0))], policy)
    assert "too wide" not in "\n".join(gate.gate_lines(enough))
    assert enough.decisions[0].resolvable is not None
