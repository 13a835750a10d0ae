"""Judged pairs for reviewers: blind, complete, and of the form that argilla itself reads."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from evalkit import formats
from evalkit.core.run import Run
from evalkit.core.samples import Judgment, Record
from evalkit.errors import ExportError
from evalkit.stats.ppi import ppi_mean
from tests.support.runs import Plan, build_run


@pytest.fixture(scope="module")
def run() -> Run:
    return build_run(Plan(samples=(40, 6, 4)))


def exported(run: Run, **settings: Any) -> dict[str, bytes]:
    return dict(formats.export([run], formats.settings("argilla", settings)).files)


def records(run: Run, **settings: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(exported(run, **settings)["records.json"])
    return found


def of(run: Run, row: dict[str, Any]) -> Record:
    said = row["metadata"]
    key = (said["model"], said["benchmark"], said["task"], said["sample"])
    return next(r for r in run.records if r.key == key)


def test_every_judged_answer_is_beside_its_reference(run: Run) -> None:
    rows = records(run)
    judged = [r for r in run.records if r.benchmark == "alpaca_eval" and r.outcome.judgments]
    assert len(rows) == len(judged) == len({row["id"] for row in rows})
    for row in rows:
        record, fields = of(run, row), row["fields"]
        ours = row["metadata"]["answer_is"]
        theirs = {"a": "b", "b": "a"}[ours]
        assert fields["instruction"] == record.outcome.conversation[0].content
        assert fields[f"response_{ours}"] == record.outcome.answers[0]
        assert fields[f"response_{theirs}"] == record.outcome.reference[0]
        assert row["metadata"]["compared_with"] == "reference"


def test_the_suggestion_is_the_judges_preference(run: Run) -> None:
    for row in records(run):
        (judgment,) = of(run, row).outcome.judgments
        value, ours = judgment.value, row["metadata"]["answer_is"]
        assert value is not None
        theirs = {"a": "b", "b": "a"}[ours]
        suggested = row["suggestions"]["preference"]
        assert suggested["value"] == (ours if value > 0.5 else theirs if value < 0.5 else "tie")
        assert suggested["agent"] == "base-judge"
        assert value == 0.5 or suggested["score"] == max(value, 1 - value)
        assert row["metadata"]["judge_preference"] == value
        assert (row["metadata"]["vote_first"], row["metadata"]["vote_second"]) == judgment.votes


def test_without_suggestions_the_preference_is_in_the_metadata_only(run: Run) -> None:
    rows = records(run, suggestions="false")
    assert all(row["suggestions"] == {} for row in rows)
    assert all("judge_preference" in row["metadata"] for row in rows)


def test_a_failed_judgment_is_a_pair_without_suggestion(run: Run) -> None:
    first = next(r for r in run.records if r.outcome.judgments)
    failed = Judgment("base-judge", "pairwise_logprob", "unparsable", None, error="no verdict")
    outcome = replace(first.outcome, judgments=(failed,), scores=())
    (row,) = records(replace(run, records=(replace(first, outcome=outcome),)))
    assert row["suggestions"] == {}
    assert "judge_preference" not in row["metadata"]


def test_sides_and_order_are_fair_and_decided_by_the_seed(run: Run) -> None:
    rows = records(run)
    sides = Counter(row["metadata"]["answer_is"] for row in rows)
    assert min(sides.values()) > len(rows) / 4
    models = [row["metadata"]["model"] for row in rows]
    assert len(set(models[:20])) == 2, "the first ones are of both models"
    assert records(run) == rows
    other = records(run, seed="1")
    assert {row["id"] for row in other} == {row["id"] for row in rows}
    assert [row["id"] for row in other] != [row["id"] for row in rows]
    by_id = {row["id"]: row["metadata"]["answer_is"] for row in rows}
    assert any(by_id[row["id"]] != row["metadata"]["answer_is"] for row in other)


def test_nothing_a_reviewer_sees_names_the_model(run: Run) -> None:
    files = exported(run)
    settings = json.loads(files[".argilla/settings.json"])
    assert all(p["visible_for_annotators"] is False for p in settings["metadata"])
    assert {p["name"] for p in settings["metadata"]} >= {
        key for row in json.loads(files["records.json"]) for key in row["metadata"]
    }
    for row in json.loads(files["records.json"]):
        seen = json.dumps([row["id"], row["fields"], row["suggestions"]])
        assert "quick-lora" not in seen
        assert "smollm2" not in seen


def test_a_random_few(run: Run) -> None:
    few = records(run, at_most="7")
    assert few == records(run)[:7]


def test_candidate_beside_baseline(run: Run) -> None:
    rows = records(run, pairs="models")
    kinds = Counter(row["metadata"]["benchmark"] for row in rows)
    assert kinds == {"alpaca_eval": 37, "mt_bench": 6}, "choices are not reviewed"
    for row in rows:
        assert row["metadata"]["model"] == "quick-lora"
        assert row["metadata"]["compared_with"] == "smollm2"
    turns = next(row for row in rows if row["metadata"]["benchmark"] == "mt_bench")
    assert turns["fields"]["instruction"].startswith("[Question 1]\nQuestion ")
    assert "\n\n[Answer 2]\n" in turns["fields"]["response_a"]
    frame = run.to_frame().set_index(["model", "benchmark", "sample"]).score
    for row in rows:
        said = row["metadata"]
        ours = frame["quick-lora", said["benchmark"], said["sample"]]
        theirs = frame["smollm2", said["benchmark"], said["sample"]]
        assert said["judge_preference"] == (0.5 if ours == theirs else float(ours > theirs))


def test_a_match_of_two_models_is_one_pair(run: Run) -> None:
    """MT-Bench's `mode: pairwise` against every model: both keep a record of their match."""
    base = [r for r in run.records if r.benchmark == "mt_bench" and len(r.outcome.answers) == 2]
    rivals = {"quick-lora": "smollm2", "smollm2": "quick-lora"}
    records_ = []
    for record in base:
        value = 1.0 if record.model == "quick-lora" else 0.0
        parts = [f"turn_{n}#{rivals[record.model]}" for n in (1, 2)]
        judgments = tuple(Judgment("gpt-4", "rating_fastchat", "ok", value, p) for p in parts)
        outcome = replace(record.outcome, judgments=judgments)
        records_.append(replace(record, outcome=outcome))
    rows = records(replace(run, records=tuple(records_)))
    assert len(rows) == len(base)
    assert Counter(row["metadata"]["part"] for row in rows) == {
        "turn_1": len(base) // 2,
        "turn_2": len(base) // 2,
    }
    first = next(row for row in rows if row["metadata"]["part"] == "turn_1")
    assert "Question 2" not in first["fields"]["instruction"]
    alone = tuple(r for r in records_ if r.model == "quick-lora")
    spec = formats.settings("argilla", {})
    with pytest.raises(ExportError, match="no pair of answers"):
        formats.export([replace(run, records=alone)], spec)


def test_a_run_without_pairs_says_what_would_have_some(run: Run) -> None:
    without = replace(run, records=tuple(r for r in run.records if r.benchmark == "lm_eval"))
    with pytest.raises(ExportError, match="mode: pairwise"):
        exported(without)


def test_labels_come_back_as_the_docstring_says(run: Run) -> None:
    """Reviewers who agree with the judge's side give the judge's win rate."""
    rows = records(run, models=("quick-lora",))
    judge = {row["id"]: row["metadata"]["judge_preference"] for row in rows}
    human = {}
    for row in rows[:20]:
        response = row["suggestions"]["preference"]["value"]
        said = row["metadata"]["answer_is"]
        human[row["id"]] = 0.5 if response == "tie" else float(response == said)
    found = ppi_mean(human, judge, {key: key for key in judge}, 0.95)
    assert (found.measured.n, found.n_judge) == (20, len(rows) - 20)
    assert found.measured.point is not None
    assert found.measured.low is not None
    share = sum(p > 0.5 for p in judge.values()) / len(judge)
    assert found.measured.low < share < (found.measured.high or 0)


# --- argilla's own reader -------------------------------------------------------------------


class _Me(BaseHTTPRequestHandler):
    """All that argilla's client asks of a server before it reads files."""

    def do_GET(self) -> None:
        user = {"id": "00000000-0000-4000-8000-000000000000", "username": "x", "role": "owner"}
        body = json.dumps({**user, "first_name": "x", "version": "2.8.0"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def argilla() -> Iterator[Any]:
    rg = pytest.importorskip("argilla")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Me)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        rg.Argilla(api_url=f"http://127.0.0.1:{server.server_port}", api_key="x")
        yield rg
    finally:
        server.shutdown()
        server.server_close()


def test_argilla_reads_settings_and_records(run: Run, argilla: Any, tmp_path: Path) -> None:
    files = exported(run, reviewers="2")
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    settings = argilla.Settings.from_json(tmp_path / ".argilla" / "settings.json")
    settings.validate()
    assert [f.name for f in settings.fields] == ["instruction", "response_a", "response_b"]
    assert [q.name for q in settings.questions] == ["preference", "comment"]
    assert settings.questions["preference"].labels == ["a", "b", "tie"]
    assert settings.distribution.min_submitted == 2
    dataset = argilla.Dataset(name="pairs", settings=settings)
    rows = json.loads(files["records.json"])
    for row in rows:
        record = argilla.Record.from_dict(row, dataset=dataset)
        again = record.to_dict()
        assert again["fields"] == row["fields"]
        assert again["metadata"] == row["metadata"]
        assert again["suggestions"]["preference"]["value"] in {"a", "b", "tie"}
        assert record.api_model().model_dump()["metadata"]
    models = import_module("argilla._models")
    model = models.DatasetModel(**json.loads(files[".argilla/dataset.json"]))
    assert model.name == "evalkit-pairs-3f2a9c1b7d04"
