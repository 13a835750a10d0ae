"""JudgeBench: the published rule on published verdicts, and a model that judges through the CLI."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from evalkit import store
from evalkit.benchmarks.judgebench import is_right
from evalkit.comparison.health import health
from tests.support.cli import evalkit
from tests.support.fault_server import FaultServer, Received, Step, ok

DATA = Path(os.environ.get("EVALKIT_DATA", "")) / "judging/judgebench"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs JudgeBench's pairs")
VOTES = {"A>B": 1.0, "A=B": 0.5, "B>A": 0.0}
SUITE = """\
name: probe
models:
  good: {{role: candidate, engine: {{type: openai, model: good, base_url: '{url}'}}}}
  blind: {{role: baseline, engine: {{type: openai, model: blind, base_url: '{url}'}}}}
benchmarks:
  - {{type: judgebench, data: pairs.jsonl}}
"""


@needs_data
@pytest.mark.parametrize(
    "name", ["arena_hard__o1-mini-2024-09-12__gpt4o", "arena_hard__minimax-m2.1__claude",
             "reward_model__GRM-Gemma-2B__gpt4o", "no_rubric__Qwen3-1.7B__gpt4o"],
)  # fmt: skip
def test_the_rule_gives_the_published_accuracy(name: str) -> None:
    known = json.loads((DATA / "expected.json").read_text())[name]["by_source"]["overall"]
    raw = gzip.decompress((DATA / f"verdicts/{name}.jsonl.gz").read_bytes()).decode()
    rows = [json.loads(line) for line in raw.splitlines()]
    right = 0
    for row in rows:
        # What is no verdict (null, "A>A") counts as a tie.  The second decision is about swapped
        # answers: A is then the pair's B.
        first, second = (VOTES.get(decision, 0.5) for decision in row["decisions"])
        right += is_right(row["label"], (first, 1 - second))
    assert (right, len(rows)) == (known["n_correct"], known["n"])


def pairs() -> list[dict[str, object]]:
    sources = ("mmlu-pro-law", "livebench-reasoning", "livebench-math", "livecodebench")
    return [
        {
            "pair_id": f"p{n}",
            "original_id": n // 2,
            "source": sources[n % 4],
            "question": f"What is {n} + 1?",
            "response_model": "m",
            "response_A": f"right {n}" if n % 3 else f"wrong {n}",
            "response_B": f"wrong {n}" if n % 3 else f"right {n}",
            "label": "A>B" if n % 3 else "B>A",
        }
        for n in range(24)
    ]


def judging(received: Received) -> Step:
    if received.body["model"] == "blind":
        return ok("[[A]]")
    return ok("[[A]]" if "<answer_A>\nright" in received.last else "[[B]]")


@pytest.mark.slow
def test_a_model_judges_and_is_measured_as_a_judge(tmp_path: Path) -> None:
    (tmp_path / ".evalkit").mkdir()
    rows = "".join(json.dumps(row) + "\n" for row in pairs())
    (tmp_path / "pairs.jsonl").write_text(rows)
    with FaultServer([], default=judging) as server:
        (tmp_path / "probe.yaml").write_text(SUITE.format(url=server.url))
        done = evalkit(tmp_path, "run", "probe.yaml", "--out", "run")
        assert done.code == 0, done.err
        assert len(server.received) == 2 * 2 * 24
    run = store.load(tmp_path / "run")
    found = {(f.model, f.key.category): f.value.point for f in run.figures}
    assert found["good", None] == 100.0
    assert found["good", "livebench-math"] == 100.0
    assert found["blind", None] == 0.0, "by position alone, nothing adds up"
    rows_of = {row.judge: {f.measure: f for f in row.figures} for row in health(run)}
    assert rows_of["blind"]["verdict_flips"].value.point == 100.0
    assert rows_of["good"]["probe"].value.point == 100.0
    assert not any(f.fails for figures in rows_of.values() for f in figures.values())


@needs_data
def test_the_public_pairs_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / ".evalkit").mkdir()
    with FaultServer([], default=lambda _: ok("[[A]]")) as server:
        suite = SUITE.replace(", data: pairs.jsonl", "").format(url=server.url)
        (tmp_path / "probe.yaml").write_text(suite)
        plan = evalkit(tmp_path, "plan", "probe.yaml", "--json")
        assert plan.code == 0, plan.err
    rows = json.loads(plan.out)["rows"]
    assert [row["requests"] for row in rows] == [2 * 620, 2 * 620]
