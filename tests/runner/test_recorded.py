"""Recorded answers under a live judge, recorded judgments beside a live model, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import store
from evalkit.core import Completion, Flow, Message, Outcome, Request, Run
from evalkit.errors import RequestFailed
from evalkit.runner.known import replay
from tests.support.cli import evalkit

SUITE = """\
name: recorded
models:
  theirs: {{role: candidate, engine: {{type: recorded, answers: {{alpaca_eval: outputs.json}}}}}}
  plain: {{role: baseline, path: plain}}
engine: {{type: fake}}
judges:
  local: {judge}
benchmarks:
  - {{type: alpaca_eval, judge: local, data: alpaca.jsonl}}
  - {{type: mt_bench, judge: local, data: mt}}
"""
LIVE = "{type: engine, model: plain, protocol: text}"


def write(workspace: Path, judge: str = LIVE, answered: int = 20) -> None:
    """The suite, and outputs of `theirs` for the first `answered` instructions."""
    (workspace / "recorded.yaml").write_text(SUITE.format(judge=judge))
    rows = [json.loads(line) for line in (workspace / "alpaca.jsonl").read_text().splitlines()]
    outputs = [
        {"instruction": r["instruction"], "output": f" Recorded {n}.\n", "generator": "theirs"}
        for n, r in enumerate(rows[:answered])
    ]
    (workspace / "outputs.json").write_text(json.dumps(outputs))


def ran(workspace: Path, *more: str) -> Run:
    done = evalkit(workspace, "run", "recorded.yaml", "--out", "run", *more)
    assert done.code == 0, done.err
    return store.load(workspace / "run")


def test_recorded_answers_are_judged_and_compared(workspace: Path) -> None:
    write(workspace)
    run = ran(workspace)
    mine = [r for r in run.records if r.model == "theirs"]
    assert [r.outcome.answers[0] for r in mine] == [f"Recorded {n}." for n in range(20)]
    assert all(len(r.outcome.judgments) == 1 for r in mine)
    pairs = {
        (c.key.benchmark, c.difference.n) for c in run.comparisons if c.key.metric == "win_rate"
    }
    both = {r.sample for r in mine if r.outcome.status == "ok"} & {
        r.sample
        for r in run.records
        if r.model == "plain" and r.benchmark == "alpaca_eval" and r.outcome.status == "ok"
    }
    assert pairs == {("alpaca_eval", len(both))}


def test_a_benchmark_without_evidence_stays_empty_and_visible(workspace: Path) -> None:
    """`theirs` has no MT-Bench answers: no record, no figure, and a row that says so."""
    write(workspace)
    run = ran(workspace)
    assert {r.benchmark for r in run.records if r.model == "theirs"} == {"alpaca_eval"}
    assert not [f for f in run.figures if (f.model, f.key.benchmark) == ("theirs", "mt_bench")]
    assert not [c for c in run.comparisons if c.key.benchmark == "mt_bench"]


def test_an_answer_that_was_not_recorded_is_excluded_not_asked(workspace: Path) -> None:
    write(workspace, answered=15)
    run = ran(workspace)
    lost = [r for r in run.records if r.model == "theirs" and r.outcome.status == "excluded"]
    assert [r.sample for r in lost] == [f"{n:04d}" for n in range(15, 20)]
    (rate,) = (f.value for f in run.figures if (f.model, f.key.metric) == ("theirs", "win_rate"))
    assert rate.n + rate.n_missing == 20
    assert rate.n_missing >= 5


def test_another_file_of_answers_is_another_run(workspace: Path) -> None:
    write(workspace)
    first = ran(workspace).manifest.run_id
    write(workspace, answered=19)
    second = evalkit(workspace, "run", "recorded.yaml", "--out", "second")
    assert second.code == 0, second.err
    assert store.load(workspace / "second").manifest.run_id != first


def test_the_plan_counts_nothing_for_what_is_recorded(workspace: Path) -> None:
    write(workspace, judge="{type: recorded, model: someone, judgments: {}}")
    done = evalkit(workspace, "plan", "recorded.yaml", "--json")
    assert done.code == 0, done.err
    plan = json.loads(done.out)
    assert plan["rows"] == []
    assert any("theirs: no requests for alpaca_eval" in note for note in plan["notes"])


@pytest.mark.parametrize(
    ("judge", "field"),
    [
        ("{type: recorded, model: m, judgments: {alpaca_evil: {theirs: f.json}}}", "alpaca_evil"),
        ("{type: recorded, model: m, judgments: {alpaca_eval: {there: f.json}}}", "there"),
    ],
)
def test_names_in_evidence_are_checked(workspace: Path, judge: str, field: str) -> None:
    write(workspace, judge=judge)
    done = evalkit(workspace, "check", "recorded.yaml")
    assert done.code == 2
    assert f"{field!r}" in done.err + done.out
    assert "did you mean" in done.err + done.out


def two_turns(judge: str) -> Flow[Outcome]:
    """Asks a model twice and a judge after each turn, as a judged benchmark does."""
    said: list[str] = []
    status = "ok"
    for turn in range(2):
        try:
            (answer,) = yield [Request("model", "generate", f"turn {turn}")]
        except RequestFailed as failure:
            status = failure.status
            break
        said.append(answer.text)
        (verdict,) = yield [Request(judge, "generate", answer.text)]
        said.append(verdict.text)
    return Outcome(status, (Message("user", "q"),), tuple(said))  # type: ignore[arg-type]


@given(st.lists(st.text(), max_size=3))
def test_a_replay_answers_for_the_model_and_asks_only_the_judge(texts: list[str]) -> None:
    flow = replay(two_turns("judge"), "model", [Completion(text=text) for text in texts])
    asked: list[Request] = []
    reply: list[Completion] | None = None
    try:
        while True:
            requests = next(flow) if reply is None else flow.send(reply)
            asked += requests
            reply = [Completion(text=f"judged {request.prompt}") for request in requests]
    except StopIteration as ended:
        outcome: Outcome = ended.value
    used = texts[:2]
    assert {request.engine for request in asked} <= {"judge"}
    assert [request.prompt for request in asked] == used
    assert list(outcome.answers) == [part for text in used for part in (text, f"judged {text}")]
    assert outcome.status == ("ok" if len(texts) >= 2 else "excluded")
