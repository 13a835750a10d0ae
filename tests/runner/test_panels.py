"""Panels of judges: real judge servers, scores by hand, judges that fail, and what a suite may say.

By hand: pairwise, `ours` gives the model's answer 1, `tie` 0.5, `theirs` 0; ratings are 9, 4, 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evalkit import store
from evalkit.comparison.votes import judge_agreements
from evalkit.core import Run
from evalkit.formats.model_index import Item
from tests.support.cli import evalkit
from tests.support.fault_server import FaultServer, Received, Step, ok, status

RATINGS = {"ours": 9, "tie": 4, "theirs": 2}
PRICES = {"ours": 10, "tie": 20, "theirs": 40, "mute": 10, "down": 10}
"""Dollars per million input tokens."""


def reply(received: Received) -> Step:
    judge = received.body["model"]
    if judge == "down":
        return status(500, "down")
    if judge == "mute":
        return ok("I would rather not say.", usage=(1000, 0))
    if "[[number]]" in received.last or "[[rating]]" in received.last:
        return ok(f"[[{RATINGS[judge]}]]", usage=(1000, 0))
    reference_first = "<answer_A>\nRiver " in received.last
    ours, theirs = ("B", "A") if reference_first else ("A", "B")
    verdict = {"ours": ours, "tie": "C", "theirs": theirs}[judge]
    return ok(f"[[{verdict}]]", usage=(1000, 0))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer([], default=reply) as running:
        yield running


def write(workspace: Path, server: FaultServer, judge: str, more: str = "") -> None:
    judges = "".join(
        f"  {name}: {{type: openai, protocol: text, model: {name}, base_url: '{server.url}', "
        f"usd_per_million_input_tokens: {price}, usd_per_million_output_tokens: 0, "
        f"max_retries: 0, wait_s: 0, repeats: {{times: 0}}}}\n"
        for name, price in PRICES.items()
    )
    suite = (workspace / "small.yaml").read_text()
    suite = suite.replace("benchmarks:\n", f"{judges}benchmarks:\n")
    (workspace / "panel.yaml").write_text(suite.replace("judge: local", f"judge: {judge}{more}"))


def ran(workspace: Path, code: int = 0, out: str = "run") -> Run:
    done = evalkit(workspace, "run", "panel.yaml", "--limit", "5", "--out", out)
    assert done.code == code, done.err + done.out
    return store.load(workspace / out)


def points(run: Run) -> dict[tuple[str, str], float | None]:
    return {(f.model, f.key.metric): f.value.point for f in run.figures if not f.key.category}


def test_the_score_is_the_mean_and_every_judgment_is_kept(
    workspace: Path, server: FaultServer
) -> None:
    write(workspace, server, "[ours, tie]")
    run = ran(workspace)
    found = points(run)
    assert found["tuned", "win_rate"] == pytest.approx(75.0)
    assert found["tuned", "discrete_win_rate"] == 100.0
    assert found["plain", "score"] == pytest.approx(6.5)
    for record in run.records:
        per_answer = len(record.outcome.answers)
        assert [j.judge for j in record.outcome.judgments] == ["ours", "tie"] * per_answer
    assert [run.benchmark(b).judge for b in ("alpaca_eval", "mt_bench")] == [("ours", "tie")] * 2
    assert {j.name for j in run.manifest.judges} == {"ours", "tie"}
    # 10 pairs in two orders and 20 ratings, of each judge; 1,000 tokens each.
    assert run.manifest.usage is not None
    assert run.manifest.usage.cost_usd == pytest.approx(40 * (0.01 + 0.02))


def test_agreement_stands_in_the_report(workspace: Path, server: FaultServer) -> None:
    write(workspace, server, "[ours, tie, theirs]")
    run = ran(workspace)
    found = {(a.benchmark, a.judges): a for a in judge_agreements(run.records, 0.95)}
    opposite = found["alpaca_eval", ("ours", "theirs")]
    assert opposite.verdicts is not None
    assert (opposite.n, opposite.verdicts.alike.point) == (10, 0.0)
    assert found["mt_bench", ("tie", "theirs")].n == 20
    report = (workspace / "run" / "report.md").read_text()
    assert "Agreement between judges" in report
    assert "ours and theirs" in report


def test_an_answer_needs_more_than_half_of_its_judges(workspace: Path, server: FaultServer) -> None:
    write(workspace, server, "[ours, mute, tie]")
    run = ran(workspace)
    assert points(run)["tuned", "win_rate"] == pytest.approx(75.0)
    assert {r.outcome.status for r in run.records} == {"ok"}
    write(workspace, server, "[ours, mute, tie]", ", judge_minimum: 3")
    strict = ran(workspace, out="strict")
    assert points(strict)["tuned", "win_rate"] is None
    assert {r.outcome.status for r in strict.records} == {"unparsable"}
    assert all(r.outcome.error for r in strict.records)


def test_a_judge_that_fails_takes_no_other_with_it(workspace: Path, server: FaultServer) -> None:
    write(workspace, server, "[ours, down, tie]")
    run = ran(workspace, code=3)
    assert points(run)["tuned", "win_rate"] == pytest.approx(75.0)
    asked = [r.body["model"] for r in server.received]
    assert (asked.count("ours"), asked.count("tie")) == (40, 40)
    text = (workspace / "panel.yaml").read_text()
    (workspace / "panel.yaml").write_text(text.replace("model: down", "model: theirs"))
    mended = points(ran(workspace, out="mended"))
    again = [r.body["model"] for r in server.received][len(asked) :]
    assert set(again) == {"theirs"}
    assert mended["tuned", "win_rate"] == pytest.approx(50.0)
    assert mended["tuned", "score"] == pytest.approx(5.0)


def test_one_name_in_a_list_is_that_name(workspace: Path, server: FaultServer) -> None:
    write(workspace, server, "ours")
    one = ran(workspace, out="one")
    write(workspace, server, "[ours]")
    listed = ran(workspace, out="listed")
    assert one.manifest.run_id == listed.manifest.run_id
    assert listed.benchmark("mt_bench").judge == "ours"


def test_who_judged_is_named_and_a_local_member_is_marked(
    workspace: Path, server: FaultServer
) -> None:
    write(workspace, server, "[ours, local]")
    run = ran(workspace)
    assert run.local_judges == {"alpaca_eval": ("local",), "mt_bench": ("local",)}
    figure = next(f for f in run.figures if f.key.metric == "win_rate")
    judge = Item(run, figure).judge
    assert judge is not None
    assert (judge.who, judge.protocol) == ("ours, plain", "pairwise_text")


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("[ours, tye]", "benchmarks.0.judge.1: no judge 'tye'; did you mean 'tie'?"),
        ("[ours, ours]", "benchmarks.0.judge: ['ours', 'ours']; expected"),
        ("[]", "benchmarks.0.judge: []; expected the name of a judge"),
        ("3", "benchmarks.0.judge: 3; expected text (put it in quotes) or a list"),
        ("[ours, old]", "benchmarks.0.judge.1: 'old' is recorded; expected judges that answer"),
        ("[ours, tie], judge_minimum: 3", "benchmarks.0.judge_minimum: 3; the benchmark has 2"),
    ],
)
def test_a_wrong_panel_is_refused_where_it_is_written(
    workspace: Path, server: FaultServer, judge: str, said: str
) -> None:
    write(workspace, server, judge)
    text = (workspace / "panel.yaml").read_text()
    recorded = "judges:\n  old: {type: recorded, model: gpt-4, judgments: {}}\n"
    (workspace / "panel.yaml").write_text(text.replace("judges:\n", recorded))
    done = evalkit(workspace, "check", "panel.yaml")
    assert done.code == 2
    place, _, message = said.partition(": ")
    shown = " ".join((done.err + done.out).split())
    assert message in shown
    assert place in shown or "panel.yaml:" in shown
