"""A thousand judgments by each kind of server, with the settings a suite has by default."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.cli import evalkit
from tests.support.dialects import SERVERS
from tests.support.fault_server import FaultServer

EACH = [(kind, name) for kind, servers in SERVERS.items() for name in servers]
QUESTIONS = 250
"""Two models, two turns each: a thousand judgments."""


def furnish(folder: Path, kind: str, url: str, **settings: str) -> None:
    turns = [
        {"question_id": n, "category": "writing", "turns": [f"{n}?", "And?"]}
        for n in range(QUESTIONS)
    ]
    (folder / "mt").mkdir()
    lines = "".join(json.dumps(one) + "\n" for one in turns)
    (folder / "mt" / "question.jsonl").write_text(lines, encoding="utf-8")
    more = "".join(f", {name}: {value}" for name, value in settings.items())
    (folder / "suite.yaml").write_text(
        f"name: many\n"
        f"models:\n"
        f"  tuned: {{role: candidate, path: tuned, engine: {{type: fake}}}}\n"
        f"  plain: {{role: baseline, path: plain, engine: {{type: fake, seed: 1}}}}\n"
        f"judges:\n"
        f"  j: {{type: {kind}, model: m, base_url: '{url}'{more}}}\n"
        f"benchmarks:\n"
        f"  - {{type: mt_bench, data: mt, judge: j}}\n",
        encoding="utf-8",
    )


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("kind", "name"), EACH)
def test_every_judgment_is_made(kind: str, name: str, tmp_path: Path) -> None:
    with FaultServer(default=SERVERS[kind][name]) as server:
        url = server.url if kind == "openai" else server.url.removesuffix("/v1")
        furnish(tmp_path, kind, url)
        done = evalkit(tmp_path, "run", "suite.yaml", EVALKIT_DATA=os.environ["EVALKIT_DATA"])
    assert done.code == 0, done.err
    (folder,) = tmp_path.glob("reports/many/*")
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    judgments = [j for record in records for j in record["outcome"]["judgments"]]
    assert [j["status"] for j in judgments] == ["ok"] * 4 * QUESTIONS
    assert {j["value"] for j in judgments} == {8.0}
    # Besides the repeats that measure the judge: each lesson, and each cut reply, once.
    repeats = sum(len(j.get("repeats", ())) for j in judgments)
    assert len(server.received) <= 4 * QUESTIONS + repeats + 5
    (judge,) = json.loads((folder / "manifest.json").read_text())["judges"]
    assert bool(judge.get("changed")) == (name not in ("plain", "gemini"))
    told = (folder / "report.md").read_text().replace("\\", "")
    assert all(change in told for change in judge.get("changed", ()))
