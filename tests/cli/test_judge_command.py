"""`evalkit judge`: stored answers, another judge; and a gate whose sides two judges judged.

By hand: `old` rates an answer to question n with 9 - n % 2, `new` with 7 - n % 2: 2 points lower,
correlation 1.  Of pairs, `old` prefers the answer to instruction n where n is even, `new` where
n % 4 is 0, else the reference: of 20 they agree on 15, and kappa is (0.75 - 0.5) / 0.5 = 0.5.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import evalkit as library
from evalkit import store
from evalkit.comparison.gate import pin
from tests.support.cli import Outcome, evalkit
from tests.support.fault_server import FaultServer, Received, Step, ok

pytestmark = pytest.mark.slow

SUITE = """
name: chat
models:
  {candidate}: {{role: candidate, engine: {{type: fake, seed: {seed}}}}}
  base: {{role: baseline, engine: {{type: fake, seed: 7}}}}
judges:
  judge: {{type: openai, protocol: text, model: {judge}, base_url: "{url}",
    repeats: {{times: 0}}}}
benchmarks:
  - {{type: mt_bench, data: mt, judge: judge, max_tokens: 40}}
  - {{type: alpaca_eval, data: alpaca.jsonl, judge: judge, max_tokens: 40}}
gate: {{baseline: base, margins: {{default: {{percent: 3.0, points: 3.0}}}}}}
"""


def judged(received: Received) -> Step:
    model, text = received.body["model"], received.last
    if "[[rating]]" in text:
        (n, *_) = map(int, re.findall(r"Say (\d+)\.", text))
        return ok(f"Fair. [[{(9 if model == 'old' else 7) - n % 2}]]")
    (n,) = map(int, re.findall(r"Name river (\d+)\.", text))
    prefers_answer = n % 2 == 0 if model == "old" else n % 4 == 0
    answer_first = "<answer_B>\nThe Rhine" in text
    return ok(f"[[{'A' if prefers_answer == answer_first else 'B'}]]")


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer(default=judged) as running:
        yield running


@pytest.fixture
def place(_place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_place, tmp_path / "place"))


@pytest.fixture(scope="module", name="_place")
def _made(tmp_path_factory: pytest.TempPathFactory, server: FaultServer) -> Path:
    """A workspace with two suites, by an old and by a new judge, and the run of the old one."""
    tmp_path = tmp_path_factory.mktemp("judge")
    (tmp_path / "mt").mkdir()
    questions = [
        {"question_id": n, "category": "writing", "turns": [f"Say {n}.", f"Again, {n} times."]}
        for n in range(20)
    ]
    (tmp_path / "mt" / "question.jsonl").write_text("\n".join(map(json.dumps, questions)))
    pairs = [{"instruction": f"Name river {n}.", "output": f"The Rhine {n}."} for n in range(20)]
    (tmp_path / "alpaca.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    for judge, candidate, seed in (("old", "v1", 1), ("new", "v2", 2)):
        text = SUITE.format(judge=judge, candidate=candidate, seed=seed, url=server.url)
        (tmp_path / f"{judge}.yaml").write_text(text)
    done = run(tmp_path, "run", "old.yaml", "--out", "old")
    assert done.code == 0, done.err
    return tmp_path


def run(folder: Path, *arguments: str) -> Outcome:
    return evalkit(folder, *arguments, OPENAI_API_KEY="sk-test")


def again(folder: Path, *more: str) -> Outcome:
    return run(
        folder, "judge", "old", "--judge", "judge", "--suite", "new.yaml", "--out", "again", *more
    )


def test_the_stored_answers_are_judged_by_another_judge(place: Path, server: FaultServer) -> None:
    before = len(server.received)
    done = again(place, "--json")
    assert done.code == 0, done.err
    sent = [r.body["model"] for r in server.received[before:]]
    assert sent == ["new"] * (2 * 20 * 2 + 2 * 20 * 2), "every answer, pairs in both orders"
    old, new = store.load(place / "old"), store.load(place / "again")
    assert [(r.key, r.outcome.answers) for r in new.records] == [
        (r.key, r.outcome.answers) for r in old.records
    ]
    for model in ("v1", "base"):
        points = {f.key.metric: f.value.point for f in new.figures if f.model == model}
        assert points["score"] == pytest.approx(6.5)
        assert points["win_rate"] == pytest.approx(25.0)
    found = json.loads(done.out)
    relation = next(
        r for r in found["relations"] if (r["key"]["metric"], r["model"]) == ("score", "v1")
    )
    assert relation["offset"]["point"] == pytest.approx(2.0)
    assert relation["correlation"] == pytest.approx(1.0)
    pairs = next(a for a in found["agreements"] if a["benchmark"] == "alpaca_eval")
    assert (pairs["n"], pairs["verdicts"]["alike"]["point"]) == (40, 75.0)
    assert pairs["verdicts"]["kappa"]["point"] == pytest.approx(0.5)
    ratings = next(a for a in found["agreements"] if a["benchmark"] == "mt_bench")
    assert (ratings["n"], ratings["verdicts"]) == (80, None)


def test_both_tables_are_shown_and_nothing_is_sent_twice(place: Path, server: FaultServer) -> None:
    first = again(place)
    assert "Agreement between judges" in first.out
    assert "old and new" in first.out
    assert "75.0" in first.out
    before = len(server.received)
    second = again(place)
    assert (second.code, len(server.received)) == (0, before), second.err


def test_a_judge_by_type_and_model(place: Path, server: FaultServer) -> None:
    done = run(
        place, "judge", "old", "--judge", "openai:new", "--model", "v1", "--out", "again",
        "--set", f"base_url={server.url}", "--set", "protocol=text",
    )  # fmt: skip
    assert done.code == 0, done.err
    new = store.load(place / "again")
    assert {r.model for r in new.records} == {"v1"}
    assert [judge.name for judge in new.manifest.judges] == ["new"]
    wrong = run(place, "judge", "old", "--judge", "juge")
    assert wrong.code == 2
    assert "did you mean 'judge'" in wrong.err
    wrong = run(place, "judge", "old", "--judge", "openai:new", "--set", "timeout=5")
    assert wrong.code == 2
    assert "error: --judge 'openai:new': timeout: Extra inputs are not permitted" in wrong.err


def test_a_limited_run_stays_limited(place: Path) -> None:
    done = run(place, "run", "old.yaml", "--limit", "3", "--out", "few")
    assert done.code == 0, done.err
    done = run(place, "judge", "few", "--judge", "judge", "--suite", "new.yaml", "--out", "again")
    assert done.code == 0, done.err
    new = store.load(place / "again")
    assert (new.manifest.limit, new.manifest.publishable) == (3, False)
    assert len(new.records) == 2 * 2 * 3


def test_the_function_is_the_command(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    done = library.judge("old", judge="judge", suite="new.yaml", out=place / "again")
    assert done.run.folder == place / "again"
    found = json.loads(again(place, "--json").out)
    assert {**done.to_json(), "run": ""} == {**found, "run": ""}


def test_a_gate_across_two_judges_is_incomplete_and_says_what_to_do(place: Path) -> None:
    """A baseline pinned while the old judge answered, and a candidate by its successor."""
    (place / "base.json").write_bytes(pin(store.load(place / "old"), "base"))
    done = run(place, "run", "new.yaml", "--out", "new")
    assert done.code == 0, done.err
    for baseline in ("base.json", "old"):
        gated = run(place, "gate", "new", "--candidate", "v2", "--baseline-run", baseline, "--json")
        assert gated.code == 3, gated.err
        found = json.loads(gated.out)
        assert found["verdict"] == "incomplete"
        assert {d["verdict"] for d in found["decisions"]} == {"missing"}
        for reason in found["reasons"]:
            assert "judge.model: 'new' against 'old'" in reason
            assert "`evalkit judge RUN --judge NAME`" in reason
            assert "`evalkit judge-bridge RUN`" in reason
    compared = run(place, "compare", "old", "new", "--candidate", "v2", "--baseline", "old:base")
    assert compared.code == 2
    assert "`evalkit judge-bridge RUN`" in compared.err
    assert again(place).code == 0
    decided = run(place, "gate", "new", "--candidate", "v2", "--baseline-run", "again", "--json")
    assert {d["verdict"] for d in json.loads(decided.out)["decisions"]} <= {"pass", "inconclusive"}


def test_what_one_judge_judged_is_gated_beside_what_two_did(
    place: Path, server: FaultServer
) -> None:
    """AlpacaEval by one judge on both sides, MT-Bench by two: only the latter is incomplete."""
    text = (place / "new.yaml").read_text()
    both = f'  first: {{type: openai, protocol: text, model: old, base_url: "{server.url}"}}\n'
    text = text.replace("benchmarks:\n", f"{both}benchmarks:\n")
    text = text.replace("data: alpaca.jsonl, judge: judge", "data: alpaca.jsonl, judge: first")
    (place / "new.yaml").write_text(text)
    done = run(place, "run", "new.yaml", "--out", "new")
    assert done.code == 0, done.err
    gated = run(place, "gate", "new", "--candidate", "v2", "--baseline-run", "old", "--json")
    assert gated.code == 3, gated.err
    verdicts = {d["benchmark"]: d["verdict"] for d in json.loads(gated.out)["decisions"]}
    assert verdicts["mt_bench"] == "missing"
    assert verdicts["alpaca_eval"] in ("pass", "inconclusive")


def test_what_has_no_stored_answer_is_not_judged(place: Path) -> None:
    """A model whose AlpacaEval answers alone were recorded: MT-Bench stays empty for it."""
    outputs = [{"instruction": f"Name river {n}.", "output": f"Old {n}."} for n in range(20)]
    (place / "outputs.json").write_text(json.dumps(outputs))
    text = (place / "old.yaml").read_text()
    theirs = "{type: recorded, answers: {alpaca_eval: outputs.json}}"
    text = text.replace("engine: {type: fake, seed: 1}", f"engine: {theirs}")
    (place / "theirs.yaml").write_text(text)
    done = run(place, "run", "theirs.yaml", "--out", "theirs")
    assert done.code == 0, done.err
    done = run(
        place, "judge", "theirs", "--judge", "judge", "--suite", "new.yaml", "--out", "again"
    )
    assert done.code == 0, done.err
    new = store.load(place / "again")
    assert {r.benchmark for r in new.records if r.model == "v1"} == {"alpaca_eval"}
    assert {r.outcome.status for r in new.records} == {"ok"}


def test_a_strangers_judge_is_sent_nothing_before_its_address_is_repeated(
    place: Path, server: FaultServer
) -> None:
    """A run's own suite may name any server, and the key would go there."""
    manifest = place / "old" / "manifest.json"
    elsewhere = server.url.replace("127.0.0.1", "127.0.0.2")
    manifest.write_text(manifest.read_text().replace(server.url, elsewhere))
    before = len(server.received)
    done = run(place, "judge", "old", "--judge", "judge", "--out", "again")
    assert done.code == 2
    assert f"--set base_url={elsewhere}" in done.err
    assert len(server.received) == before
