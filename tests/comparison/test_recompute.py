"""A run's records decide what its figures are: what they contradict is found, and gets no verdict.

The oracle is the run itself: whatever field of whatever row is changed, that row is named.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from evalkit import draw, report, store
from evalkit.cli.read import report as command
from evalkit.comparison.cautions import doubts
from evalkit.comparison.claim import claim
from evalkit.comparison.contests import Options, contests, stored
from evalkit.comparison.gate import gate
from evalkit.comparison.recompute import Recomputing, load, verify
from evalkit.core.figures import Interval
from evalkit.core.run import Run, State
from evalkit.core.specs import GateSpec
from tests.support.runs import Plan, build_run, with_suite, write_run

PLAN = Plan(models=("a", "b", "c"), samples=(8, 6, 8), local_judge=False, published=True)
RUN = build_run(PLAN)
TEXT = "a beats b on lm_eval/sums"


def found_in(run: Run) -> list[str]:
    return list(Recomputing(run).contradictions())


def test_a_run_contradicts_nothing_of_itself() -> None:
    assert found_in(RUN) == []
    verified = verify(RUN)
    assert verified.holds
    assert {name: len(cells) for name, cells in verified.outcomes.items()} == {
        "same": len(RUN.figures) - 1 + len(RUN.comparisons),
        "nothing computed": 1,
    }


MEASURED = ("standard_error", "low", "high", "level", "n", "n_units", "n_missing")


@pytest.mark.parametrize("field", ["point", *MEASURED])
def test_a_changed_figure_is_named(field: str) -> None:
    row = RUN.figures[0]
    value = replace(row.value, **{field: getattr(row.value, field) + 1})
    (said,) = found_in(replace(RUN, figures=(replace(row, value=value), *RUN.figures[1:])))
    assert said.startswith("a/alpaca_eval/alpaca_eval/win_rate: ")
    assert "results.json has" in said
    assert "the records give" in said


@pytest.mark.parametrize(
    "change",
    [
        *({"difference": {field: 0.5}} for field in ("point", *MEASURED[:4])),
        {"p": 1e-9},
        {"wins": 8},
        {"losses": 0},
        {"higher_is_better": False},
        {"candidate": "b", "baseline": "c"},
    ],
    ids=str,
)
def test_a_changed_difference_is_named(change: dict[str, Any]) -> None:
    row, *others = RUN.comparisons
    fields = dict(change)
    if "difference" in fields:
        fields["difference"] = replace(row.difference, **fields["difference"])
    said = found_in(replace(RUN, comparisons=(replace(row, **fields), *others)))
    assert said[0].startswith(("a-b/alpaca_eval", "b-c/alpaca_eval"))


def test_what_was_left_out_is_named() -> None:
    """A difference that somebody did not like."""
    run = replace(RUN, comparisons=RUN.comparisons[1:], figures=RUN.figures[1:])
    assert found_in(run) == [
        "a/alpaca_eval/alpaca_eval/win_rate: the records give it, results.json lacks it",
        "a-b/alpaca_eval/alpaca_eval/win_rate: the records give it, results.json lacks it",
    ]
    assert found_in(replace(RUN, comparisons=())) == [], "older runs and imports store none"


def test_an_interval_of_another_version_is_no_contradiction() -> None:
    """What a later version computes by another method it does not hold against the run."""
    row = RUN.figures[0]
    method = replace(row.value.method, interval=Interval.BOOTSTRAP)
    value = replace(row.value, low=1.0, high=99.0, method=method)
    run = replace(RUN, figures=(replace(row, value=value), *RUN.figures[1:]))
    assert found_in(run) == []
    ((cell, again),) = verify(run).outcomes["not recomputed"]
    assert cell == "a/alpaca_eval/alpaca_eval/win_rate"
    assert "another version computed its interval another way" in again.why
    moved = replace(row, value=replace(value, point=1.0))
    assert found_in(replace(RUN, figures=(moved, *RUN.figures[1:])))


# --- what becomes of a run that is not as it was sealed -----------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = GateSpec(baseline="b", margins={"default": {"percent": 99.0, "points": 9.0}})
    return write_run(with_suite(RUN, gate=spec), tmp_path / "run").folder


def gone(folder: Path) -> None:
    (folder / "records.jsonl").unlink()


def no_file(folder: Path) -> None:
    gone(folder)
    (folder / "records.jsonl").mkdir()


def cut(folder: Path) -> None:
    path = folder / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-40])


def touched(folder: Path) -> None:
    path = folder / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'","', b'", "', 1))


def improved(folder: Path) -> None:
    path = folder / "results.json"
    results = json.loads(path.read_bytes())
    results["comparisons"][0]["difference"] += 1
    path.write_text(json.dumps(results))
    (folder / "SHA256SUMS").unlink()


def foreign(folder: Path) -> None:
    path = folder / "results.json"
    path.write_bytes(path.read_bytes().replace(RUN.manifest.run_id.encode(), b"0123456789ab"))
    (folder / "SHA256SUMS").unlink()


def unsealed(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"sealed": true', b'"sealed": false'))


@pytest.mark.parametrize(
    ("damage", "state", "said"),
    [
        (gone, "records missing", "records.jsonl: No such file"),
        (no_file, "records missing", "records.jsonl"),
        (cut, "figures differ", "the records give"),
        (touched, "changed", "records.jsonl was changed after the run was sealed"),
        (improved, "figures differ", "a-b/alpaca_eval/alpaca_eval/win_rate: difference"),
        (foreign, "changed", "results.json is of run '0123456789ab'"),
        (unsealed, "unfinished", "This run is not finished"),
    ],
)
def test_its_state_comes_first_and_there_is_no_verdict(
    folder: Path, damage: Callable[[Path], None], state: State, said: str
) -> None:
    assert load(folder).state == "finished"
    damage(folder)
    run = load(folder)
    assert run.state == state
    text = draw.state_text(run)
    assert said in text
    files = report.render(run)
    for shown in (files["report.md"].decode(), report.comment(run)):
        body = draw.escape_markdown(text)
        assert body in shown
        assert not any(f"{mark} " in shown for mark in "▲▼"), "no verdict stands anywhere"
        assert "better" not in shown.partition(body)[0]
    assert report.summary_lines(run)[0] == draw.Cell.text(text, tone="warning")
    assert {one.verdict for one in stored(run)} <= {"undefined"}
    result = gate(run)
    assert (result.verdict, result.exit_code) == ("incomplete", 3)
    assert said.partition(":")[0] in " ".join([*result.reasons, *result.notes])
    assert any(text in why for why in doubts(run))


def test_accepted_damage_has_verdicts_and_is_said(folder: Path) -> None:
    touched(folder)
    run = load(folder)
    refused = claim([run], TEXT, Options())
    assert refused.answer == "not supported"
    assert "changed after it was finished" in refused.reasons[0]
    accepted = claim([run], TEXT, Options(accept_damaged=True))
    sound = claim([RUN], TEXT, Options())
    assert accepted.answer == sound.answer
    assert any(why.startswith("Accepted with --accept-damaged: ") for why in accepted.reasons)
    found = contests([run], "a", ["b"], Options(accept_damaged=True))
    assert [c.verdict for c in found] == [c.verdict for c in contests([RUN], "a", ["b"], Options())]
    assert all("changed after it was finished" in draw.verdict_words(c) for c in found)
    unfinished = replace(run, manifest=run.manifest.model_copy(update={"sealed": False}))
    assert all(
        c.verdict == "undefined"
        for c in contests([unfinished], "a", ["b"], Options(accept_damaged=True))
    )


def test_a_sealed_run_that_holds_is_read_by_digest(folder: Path) -> None:
    verified = verify(load(folder))
    assert verified.holds
    assert verified.digest == store.digest(folder)


def test_a_report_that_is_there_is_not_written_again(folder: Path) -> None:
    def rendered() -> dict[str, tuple[int, bytes]]:
        done = CliRunner().invoke(command, [str(folder)])
        assert done.exit_code == 0, done.output
        assert ("unchanged" in done.output) == bool(found)
        return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.iterdir()}

    found: dict[str, tuple[int, bytes]] = {}
    found = rendered()
    assert rendered() == found
