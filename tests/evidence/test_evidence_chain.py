"""The chain holds what a reader must be able to check, and hostile text stays text."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pytest

from evalkit.compare import Options
from evalkit.core import Run
from evalkit.evidence import Chain, chain, chain_lines, find, recompute, records_behind
from evalkit.evidence.figures import of_runs
from tests.support.runs import Plan, build_run
from tests.support.stored import stored_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stored_run(tmp_path_factory.mktemp("evidence") / "run", Plan(published=True))


def made(cell: str, runs: Sequence[Run]) -> Chain:
    figure = find(runs, cell, Options())
    return chain(figure, recompute(figure), runs)


def test_a_models_figure(run: Run) -> None:
    parts = made("quick-lora/alpaca_eval", [run]).parts
    mine = [r for r in run.records if (r.model, r.benchmark) == ("quick-lora", "alpaca_eval")]
    scored = [r.sample for r in mine if r.outcome.scores]
    assert parts["samples"]["ids"] == scored
    assert parts["samples"]["n"] == len(scored) == parts["figure"]["n"]
    lost = parts["samples"]["without_score"]
    assert [row["sample"] for row in lost] == [r.sample for r in mine if not r.outcome.scores]
    assert {row["status"] for row in lost} == {"over_long"}
    prompt = parts["judgments"]["prompt"]
    first = next(r for r in mine if r.outcome.judgments)
    asked = first.outcome.judgments[0].exchanges[0]
    assert prompt["text"] == f"[user]\n{asked.prompt[0].content}"
    assert prompt["sha256"] == hashlib.sha256(prompt["text"].encode()).hexdigest()
    assert prompt["reply"] == asked.reply
    (model,) = parts["models"]
    assert model["fingerprint"] == run.manifest["models"][0]["fingerprint"]
    assert model["provenance"]["merge_proof"]["argmax_agreement"] == 1.0
    assert model["first_prompt"]["benchmark"] == "alpaca_eval"
    assert parts["benchmark"]["description"]["data"]["sha256"] == "ab" * 32
    (about,) = parts["runs"]
    assert about["versions"]["evalkit"] == "0.1.0"
    assert about["git_commit"] == run.manifest["git_commit"]
    data = (run.folder / "records.jsonl").read_bytes()
    assert about["files"]["records.jsonl"] == hashlib.sha256(data).hexdigest()
    assert parts["commands"]["made_the_run"] == ["evalkit run suites/quickstart.yaml"]
    assert parts["commands"]["recompute"][0].startswith("evalkit evidence ")
    assert "published" not in parts


def test_a_difference_has_both_sides(run: Run) -> None:
    parts = made("quick-lora-smollm2/mt_bench", [run]).parts
    assert [m["name"] for m in parts["models"]] == ["quick-lora", "smollm2"]
    assert {"evalkit evidence", "evalkit compare"} <= {
        " ".join(command.split()[:2]) for command in parts["commands"]["recompute"]
    }
    figure = find([run], "quick-lora-smollm2/mt_bench", Options())
    assert {r.model for r in records_behind(figure, [run])} == {"quick-lora", "smollm2"}


def test_a_category_has_its_own_samples(run: Run) -> None:
    figure = find([run], "smollm2/mt_bench/score/math", Options())
    behind = records_behind(figure, [run])
    assert behind
    assert {r.category for r in behind} == {"math"}
    assert chain(figure, recompute(figure), [run]).parts["samples"]["n"] == len(behind)


def test_a_published_figure_has_a_source_and_nothing_computed(run: Run) -> None:
    found = made("claude-2/alpaca_eval", [run])
    assert set(found.parts) == {"figure", "recomputed", "published", "runs", "commands"}
    assert found.parts["published"]["source"] == "https://leaderboard.example, 2023-08-01"
    assert not found.contradicted
    text = "\n".join(chain_lines(found))
    assert "nothing was computed: the source says so" in text


def test_it_is_json_and_says_the_same_twice(run: Run) -> None:
    for figure in of_runs([run]):
        found = chain(figure, recompute(figure), [run])
        assert json.loads(json.dumps(found.parts)) == found.parts
        assert chain_lines(found) == chain_lines(chain(figure, recompute(figure), [run]))


def test_a_difference_over_two_runs_has_both_runs(run: Run, tmp_path: Path) -> None:
    plan = Plan(models=("tuned", "smollm2"), seed=3)
    other = stored_run(tmp_path / "other", plan, run_id="abcdef012345")
    parts = made("quick-lora-tuned/alpaca_eval", [run, other]).parts
    assert [r["run_id"] for r in parts["runs"]] == ["3f2a9c1b7d04", "abcdef012345"]
    assert "computed just now" in parts["recomputed"]["why"]


def test_terminals_get_plain_text() -> None:
    payloads = cycle(("\x1b[31mred", "\u202eback", "a\nb", "\x00", "|<script>", "\x9b"))
    names = ("\x1b]0;x\x07name", "other")
    planted = build_run(Path("run"), Plan(models=names, say=lambda s: s + next(payloads)))
    for figure in list(of_runs([planted]))[:40]:
        for line in chain_lines(chain(figure, recompute(figure), [planted])):
            assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)


def test_what_a_weak_judge_judged_says_so(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run", Plan(models=("a", "b"), published=True))
    for subject in ("a", "a-b"):
        for place in ("alpaca_eval/alpaca_eval/win_rate", "mt_bench"):
            found = made(f"{subject}/{place}", [run])
            assert found.parts["figure"]["flags"] == ["weak judge: base-judge"]
            assert any(
                re.fullmatch(r"  flag +weak judge: base-judge", x) for x in chain_lines(found)
            )
        for place in ("lm_eval/sums", "alpaca_eval/alpaca_eval/avg_length"):
            assert made(f"{subject}/{place}", [run]).parts["figure"]["flags"] == []
    theirs = [f for f in of_runs([run]) if f.row.method == "published"]
    assert theirs
    assert not any(f.flags for f in theirs), "others judged those"


def test_a_judge_that_is_no_model_of_the_suite_is_not_called_weak(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run", Plan(models=("a", "b"), local_judge=False))
    assert made("a/mt_bench", [run]).parts["figure"]["flags"] == []


def test_a_limit_is_said_with_the_figure(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run", Plan(models=("a", "b"), limit=9, local_judge=False))
    (flag,) = made("a-b/mt_bench", [run]).parts["figure"]["flags"]
    assert flag.startswith("limited run: at most 9 samples per task")
