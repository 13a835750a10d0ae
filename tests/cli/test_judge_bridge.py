"""`evalkit judge-bridge`: an earlier judge's run, a run by its successor, and what joins them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit import store
from evalkit.core.figures import Estimator
from tests.support.cli import Outcome, evalkit
from tests.support.fault_server import FaultServer, Received, Step, ok

pytestmark = pytest.mark.slow

QUESTIONS = 30
SUITE = """
name: chat
models:
  {candidate}: {{role: candidate, engine: {{type: fake, seed: {seed}}}}}
  base: {{role: baseline, engine: {{type: fake, seed: 7}}}}
judges:
  judge: {{type: openai, protocol: text, model: {judge}, base_url: "{url}"}}
benchmarks:
  - {{type: mt_bench, data: mt, judge: judge, max_tokens: 40}}
gate: {{baseline: base, margins: {{default: {{percent: 3.0, points: 3.0}}}}}}
report: {{formats: [html, markdown, card]}}
"""


def judged(received: Received) -> Step:
    """Two judges that see the same quality; the new one is a point lower, and another at odds."""
    text = received.last
    drawn = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
    quality, noise = 3 + drawn % 7, drawn // 7 % 2
    model = received.body["model"]
    rating = {"old": quality + noise, "new": quality - 1 + noise // 2, "other": 1 + drawn // 99 % 9}
    return ok(f"Fair. [[{rating[model]}]]")


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer(default=judged) as running:
        yield running


@pytest.fixture(scope="module")
def judged_runs(tmp_path_factory: pytest.TempPathFactory, server: FaultServer) -> Path:
    """A workspace with `old`, judged by the earlier judge, and `new`, judged by its successor."""
    place = tmp_path_factory.mktemp("judged")
    (place / "mt").mkdir()
    rows = [
        {"question_id": n, "category": "writing", "turns": [f"Say {n}.", f"Again, {n} times."]}
        for n in range(QUESTIONS)
    ]
    (place / "mt" / "question.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for judge, candidate, seed in (("old", "v1", 1), ("new", "v2", 2)):
        text = SUITE.format(judge=judge, candidate=candidate, seed=seed, url=server.url)
        (place / f"{judge}.yaml").write_text(text)
        done = run(place, "run", f"{judge}.yaml", "--out", judge)
        assert done.code == 0, done.err
    return place


@pytest.fixture
def place(judged_runs: Path, tmp_path: Path) -> Path:
    """A copy of its own."""
    return Path(shutil.copytree(judged_runs, tmp_path / "work"))


def run(folder: Path, *arguments: str) -> Outcome:
    return evalkit(folder, *arguments, OPENAI_API_KEY="sk-test")


def bridged(folder: Path, *more: str) -> Outcome:
    return run(folder, "judge-bridge", "old", "--sample", "20", "--out", "bridge", *more)


def test_two_judges_are_not_compared_without_a_bridge(place: Path) -> None:
    done = run(place, "compare", "old", "new", "--candidate", "v2", "--baseline", "old:base")
    assert done.code == 2
    assert "judge.model: 'new' against 'old'" in done.err


def test_a_bridge_gates_a_run_of_the_new_judge(place: Path, server: FaultServer) -> None:
    before = len(server.received)
    done = bridged(place, "--judge", "judge", "--to", "new")
    assert done.code == 0, done.err
    sent = [r.body["model"] for r in server.received[before:]]
    assert set(sent) == {"new"}
    assert len(sent) <= 2 * 20 * 2, "two models, twenty questions, two turns; base's are cached"
    gated = run(place, "gate", "new", "--candidate", "v2", "--baseline-run", "bridge", "--json")
    result = json.loads(gated.out)
    (test,) = result["decisions"]
    assert test["verdict"] in ("pass", "inconclusive"), gated.out
    assert test["n"] == 2 * QUESTIONS
    (caution,) = test["cautions"]
    assert caution["kind"] == "bridged"
    assert (caution["scored_by"], caution["scale_of"]) == ("new", "old")
    assert caution["n"] == 40
    assert any(note.startswith("Bridged: ") for note in result["notes"])


def test_figures_are_stated_on_the_earlier_scale_and_marked_everywhere(place: Path) -> None:
    done = bridged(place, "--to", "new")
    assert done.code == 0, done.err
    assert "Bridge between judges" not in done.err
    stored = store.load(place / "bridge")
    key = stored.headlines[0]
    by_new = store.load(place / "new").figure("v2", key)
    figure = stored.figure("v2", key)
    assert figure is not None
    assert by_new is not None
    assert figure.value.method.estimator is Estimator.BRIDGED
    assert figure.value.point is not None
    assert by_new.value.point is not None
    assert 0.5 < figure.value.point - by_new.value.point < 2.5, "the new judge is stricter"
    row: dict[str, Any] = next(
        r
        for r in json.loads((place / "bridge" / "results.json").read_text())["estimates"]
        if r["model"] == "v2" and r["metric"] == key.metric
    )
    assert row["how"]["bridged"]["scale_of"] == "old"
    assert row["method"].startswith("bridged between judges")
    report = (place / "bridge" / "report.md").read_text()
    assert "v2 (bridged)" in report
    assert "Bridge between judges" in report
    page = (place / "bridge" / "index.html").read_text()
    assert "v2 (bridged)" in page
    assert (
        "(bridged)"
        in run(place, "compare", "bridge", "--baseline", "v1", "new", "--candidate", "v2").out
    )


def test_the_same_command_pays_nothing_twice(place: Path, server: FaultServer) -> None:
    assert bridged(place, "--to", "new").code == 0
    first = (place / "bridge" / "results.json").read_bytes()
    before = len(server.received)
    again = bridged(place, "--to", "new")
    assert again.code == 0, again.err
    assert len(server.received) == before
    assert (place / "bridge" / "results.json").read_bytes() == first


def test_a_judge_at_odds_with_the_earlier_one_is_refused(place: Path, server: FaultServer) -> None:
    done = bridged(
        place, "--judge", "openai:other", "--set", f"base_url={server.url}",
        "--set", "protocol=text",
    )  # fmt: skip
    assert done.code == 1
    assert "correlate by" in done.err
    assert not (place / "bridge").exists()


def test_what_is_wrong_is_said(place: Path, server: FaultServer) -> None:
    unknown = bridged(place, "--judge", "juge")
    assert unknown.code == 2
    assert "did you mean 'judge'" in unknown.err
    same = bridged(place)
    assert same.code == 2
    assert "was judged by 'old' already" in same.err
    nobody = bridged(place, "--to", "new", "--model", "nobody")
    assert nobody.code == 2
    assert "'nobody' has no answers" in nobody.err
    before = len(server.received)
    third = bridged(place, "--judge", "openai:other", "--to", "new")
    assert third.code == 2
    assert "was judged by 'new', not by 'other'" in third.err
    assert len(server.received) == before
