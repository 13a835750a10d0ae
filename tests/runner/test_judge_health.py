"""Judges that are measured while they judge: repeats, the order not shown, and what follows.

Real runs against a local server.  By hand: 20 pairs of each of two models in both orders (80
requests) and 16 ratings of each (32 requests).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from evalkit import store
from evalkit.comparison.health import health
from evalkit.core import Run
from evalkit.core.contests import JudgeFigure
from tests.support.cli import evalkit
from tests.support.fault_server import FaultServer, Received, Step, ok

pytestmark = pytest.mark.slow

ONCE = 80 + 32
FIRST = "[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]"
GATE = "gate: {baseline: plain, margins: {default: {percent: 50, points: 5}}}\n"


def rates(received: Received) -> bool:
    return "[[rating]]" in received.last or "[[number]]" in received.last


def steady(received: Received) -> Step:
    """The model's answer in both orders; 8 of 10."""
    if rates(received):
        return ok("[[8]]")
    return ok("[[B]]" if "<answer_A>\nRiver " in received.last else "[[A]]")


def blind(received: Received) -> Step:
    """Whatever stands first."""
    return ok("[[8]]" if rates(received) else "[[A]]")


def judged_by(workspace: Path, server: FaultServer, settings: str, more: str = "") -> None:
    judge = f"{{type: openai, model: judge, base_url: '{server.url}', {settings}}}"
    suite = (workspace / "small.yaml").read_text()
    suite = suite.replace("{type: engine, model: plain, protocol: text}", judge)
    (workspace / "small.yaml").write_text(suite + more)


def ran(workspace: Path, out: str) -> Run:
    done = evalkit(workspace, "run", "small.yaml", "--out", out)
    assert done.code == 0, done.err
    return store.load(workspace / out)


def measured(run: Run, benchmark: str) -> dict[str, JudgeFigure]:
    (row,) = (row for row in health(run) if row.benchmark == benchmark)
    return {figure.measure: figure for figure in row.figures}


def points(run: Run) -> dict[object, object]:
    return {(f.model, f.key): f.value for f in run.figures}


def test_repeats_are_counted_kept_and_enter_no_score(workspace: Path) -> None:
    with FaultServer([], default=steady) as server:
        judged_by(workspace, server, "protocol: text, repeats: {times: 0}")
        alone = ran(workspace, "alone")
        assert len(server.received) == ONCE
    assert "self_agreement" not in measured(alone, "alpaca_eval")
    text = (workspace / "small.yaml").read_text()
    with FaultServer([], default=steady) as server:
        again = text.replace("{times: 0}", "{times: 2, share: 1}")
        (workspace / "small.yaml").write_text(again.replace("model: judge", "model: other"))
        text = (workspace / "small.yaml").read_text()
        url = text.split("base_url: '")[1].split("'")[0]
        (workspace / "small.yaml").write_text(text.replace(url, server.url))
        run = ran(workspace, "repeated")
        assert len(server.received) == 3 * ONCE
    assert points(run) == points(alone)
    judgments = [j for r in run.records for j in r.outcome.judgments]
    assert {len(j.repeats) for j in judgments} == {2}
    assert {j.repeats for j in judgments if j.votes} == {((1.0, 1.0), (1.0, 1.0))}
    agreed = measured(run, "alpaca_eval")["self_agreement"]
    assert (agreed.value.point, agreed.fails) == (100.0, False)


def test_a_tenth_is_repeated_by_default_and_a_finished_run_stays_as_it_is(workspace: Path) -> None:
    with FaultServer([], default=steady) as server:
        judged_by(workspace, server, "protocol: text")
        run = ran(workspace, "run")
        repeats = [len(j.votes) or 1 for r in run.records for j in r.outcome.judgments if j.repeats]
        assert len(server.received) == ONCE + sum(repeats)
        assert 0 < len(repeats) <= 72 // 4
        assert evalkit(workspace, "run", "small.yaml", "--out", "run").code == 0
        assert len(server.received) == ONCE + sum(repeats)


def test_a_repeat_that_fails_costs_nothing_but_itself(workspace: Path) -> None:
    numbers = count()

    def unsteady(received: Received) -> Step:
        reply = steady(received)
        return ok("I am lost.") if next(numbers) >= ONCE else reply

    with FaultServer([], default=unsteady) as server:
        judged_by(
            workspace, server, "protocol: text, concurrency: 1, repeats: {times: 1, share: 1}"
        )
        run = ran(workspace, "run")
    assert {r.outcome.status for r in run.records} <= {"ok", "unparsable"}
    assert len(server.received) == 2 * ONCE


def test_the_other_order_of_a_published_prompt_is_sent_for_its_bias_alone(workspace: Path) -> None:
    def first(received: Received) -> Step:
        return ok("[[8]]" if "model_1" not in received.last else FIRST)

    with FaultServer([], default=first) as server:
        judged_by(workspace, server, "protocol: original, repeats: {times: 1, share: 1}")
        text = (workspace / "small.yaml").read_text()
        entry = "{type: alpaca_eval, judge: local, "
        text = text.replace(entry, f"{entry}evaluator: alpaca_eval_gpt4, ")
        (workspace / "small.yaml").write_text(
            "\n".join(x for x in text.split("\n") if "mt_" not in x)
        )
        run = ran(workspace, "run")
        assert len(server.received) == 3 * 40
    found = measured(run, "alpaca_eval")
    assert found["position_bias"].value.point == 50.0
    assert found["verdict_flips"].value.point == 100.0
    values = {j.value for r in run.records for j in r.outcome.judgments}
    assert values == {0.0, 1.0}, "of the one order that AlpacaEval draws"


@pytest.fixture
def unfit(workspace: Path) -> Iterator[Path]:
    with FaultServer([], default=blind) as server:
        judged_by(workspace, server, "protocol: text, repeats: {times: 0}", GATE)
        ran(workspace, "run")
        yield workspace


def test_an_unfit_judge_loses_the_headline_everywhere(unfit: Path) -> None:
    done = evalkit(unfit, "gate", "run")
    assert done.code == 3
    assert "judge not fit on 1 of 2 required tests" in done.out
    assert "judge local is not fit: position bias 50.0 points towards the answer shown" in done.out
    compared = evalkit(unfit, "--wide", "compare", "run").out
    assert "(judge not fit)" in compared
    told = json.loads(evalkit(unfit, "gate", "run", "--json").out)["decisions"][0]["cautions"]
    assert told[0]["kind"] == "judge_unfit"
    assert told[0]["reasons"][0] == {
        "measure": "position_bias",
        "point": 50.0,
        "low": 50.0,
        "high": 50.0,
        "limit": 20.0,
        "at_least": False,
    }
    claim = evalkit(unfit, "claim", "run", "tuned is not worse than plain on AlpacaEval")
    assert claim.code != 0
    assert "No conclusion about tuned against plain on AlpacaEval: judge local" in claim.out
    report = (unfit / "run" / "report.md").read_text()
    assert "Judge local is not fit on AlpacaEval." in report
    assert "No conclusion about tuned against plain on AlpacaEval" in report
    card = evalkit(unfit, "card", "write", "run")
    assert "judge local is not fit" in card.out + card.err


def test_a_suite_may_require_less(unfit: Path) -> None:
    settings = "judges.local.require={position_bias: null, verdict_flips: null}"
    done = evalkit(unfit, "run", "small.yaml", "--out", "loose", "--set", settings)
    assert done.code == 0, done.err
    assert evalkit(unfit, "gate", "loose").code == 0
