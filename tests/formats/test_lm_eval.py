"""lm-eval's files as evidence, and runs as lm-eval's files.

Oracles: lm-eval's own evaluator (0.4.13) on the fake engine, whose results and samples are written
the way it writes them; and the public result files of late 2023 with the averages their authors
printed (https://github.com/argilla-io/notus, v1/eval/README.md: ARC 64.25, HellaSwag 84.90, MMLU
61.69, TruthfulQA 52.77, Winogrande 74.51, GSM8K 39.5, DROP 0.98).  What is written is read back
by our reader and by lm-eval's own table printer.
"""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evalkit
from evalkit import formats
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Figure, Measured
from evalkit.core.protocols import DataPlaces
from evalkit.core.requests import Json, Message
from evalkit.core.run import BenchmarkEntry, Run, TaskEntry
from evalkit.core.samples import Outcome
from evalkit.errors import DataError, ExportError
from evalkit.formats import lm_eval
from tests.benchmarks.conftest import task_folder  # noqa: F401 - a fixture
from tests.support.exports import all_figures, exportable
from tests.support.runs import Plan

OPTIONS = ImportOptions(("mine",), None, (), DataPlaces(), 0.95)
Write = Callable[[str, Sequence[Json]], Path]


def stated(evidence: Evidence) -> dict[tuple[str, str], Figure]:
    return {(f.key.task, f.key.metric): f for f in all_figures(evidence)}


def figures(evidence: Evidence) -> dict[tuple[str, str], Measured]:
    return {key: f.value for key, f in stated(evidence).items()}


def codes(evidence: Evidence) -> set[str]:
    return {f.code for f in evidence.findings}


@pytest.mark.data
def test_the_notus_teams_own_results(public_data: Path) -> None:
    (found,) = lm_eval.read([public_data / "notus" / "lm_eval_harness"], OPTIONS)
    made = figures(found)
    printed = {
        ("arc_challenge", "acc_norm"): 64.25,
        ("hellaswag", "acc_norm"): 84.90,
        ("mmlu", "acc"): 61.69,
        ("truthfulqa_mc2", "acc"): 52.77,
        ("winogrande", "acc"): 74.51,
        ("gsm8k", "exact_match,get-answer"): 39.50,
        ("drop", "f1"): 0.98,
    }
    for key, value in printed.items():
        assert round(made[key].point or 0, 2) == value
    assert made["gsm8k", "exact_match,get-answer"].n == 1319
    assert made["arc_challenge", "acc_norm"].n == 1172
    assert made["mmlu", "acc"].n == 14042
    assert made["truthfulqa_mc2", "acc"].n == 0, "a mean of shares tells no size"
    error = made["mmlu", "acc"].standard_error
    assert error is not None
    assert 0.35 < error < 0.45
    assert codes(found) == {"group_standard_error"}
    assert not [f for f in found.findings if f.damaged]
    seven = made["open_llm_leaderboard", "average"]
    assert seven.point is not None
    assert "get-answer" in seven.how
    assert found.records == ()


def results(tasks: dict[str, dict[str, float]], **more: Any) -> dict[str, Any]:
    return {
        "results": {t: {"alias": t, **values} for t, values in tasks.items()},
        "versions": dict.fromkeys(tasks, 1.0),
        "n-shot": dict.fromkeys(tasks, 5),
        "config": {"model": "hf", "model_args": "pretrained=org/mine", "limit": None},
        **more,
    }


def put(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        path.write_text(json.dumps(content))
    return path


def sample(doc: int, acc: float, chosen: str = "none", metric: str = "acc") -> dict[str, Any]:
    return {
        "doc_id": doc,
        "doc": {"q": f"Question {doc}"},
        "target": "0",
        "arguments": {"gen_args_0": {"arg_0": f"Question {doc}", "arg_1": " a"}},
        "resps": [[["-1.5", "False"]], [["-2.5", "False"]]],
        "filtered_resps": [["-1.5", "False"]],
        "filter": chosen,
        "metrics": [metric],
        metric: acc,
    }


def test_samples_become_records_that_agree_with_the_results(tmp_path: Path) -> None:
    scores = [1.0, 0.0, 1.0, 1.0]
    put(tmp_path, "results_2024-05-01T10-00-00.0.json", results({"t": {"acc,none": 0.75}}))
    rows = [sample(n, s) for n, s in enumerate(scores)]
    put(tmp_path, "samples_t_2024-05-01T10-00-00.0.jsonl", rows)
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    assert [r.sample for r in found.records] == ["0", "1", "2", "3"]
    assert found.records[0].outcome.conversation[0].content == "Question 0"
    figure = stated(found)["t", "acc"]
    assert (figure.value.point, figure.value.n, figure.source) == (75.0, 4, None)
    assert codes(found) == set()


def test_what_does_not_agree_is_named(tmp_path: Path) -> None:
    put(tmp_path, "results_a.json", results({"t": {"acc,none": 0.5}}))
    put(tmp_path, "samples_t.jsonl", [sample(0, 1.0), sample(1, 1.0), sample(1, 0.0)])
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    assert codes(found) == {"repeated_rows", "samples_and_results_differ"}
    assert figures(found)["t", "acc"].point == 100.0


def test_each_filter_is_a_metric_of_the_same_document(tmp_path: Path) -> None:
    rows = [
        sample(n, score, chosen, "exact_match")
        for n in range(3)
        for chosen, score in (("strict-match", 0.0), ("flexible-extract", 1.0))
    ]
    put(tmp_path, "samples_gsm8k_2024-05-01T10-00-00.0.jsonl", rows)
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    made = figures(found)
    assert len(found.records) == 3
    assert made["gsm8k", "exact_match,strict-match"].point == 0.0
    assert made["gsm8k", "exact_match,flexible-extract"].point == 100.0


def test_names_of_2023_are_todays(tmp_path: Path) -> None:
    old = {
        "harness|arc:challenge|25": {"acc": 0.5, "acc_norm": 0.6, "acc_norm_stderr": 0.01},
        "harness|hendrycksTest-anatomy|5": {"acc": 0.4},
        "harness|truthfulqa:mc|0": {"mc1": 0.3, "mc2": 0.45},
        "all": {"acc": 0.9},
    }
    path = put(tmp_path, "results_2023-11-29T22-16-51.521321.json", {"results": old})
    (found,) = lm_eval.read([path], OPTIONS)
    made = figures(found)
    assert made["arc_challenge", "acc_norm"].point == 60.0
    source = stated(found)["arc_challenge", "acc_norm"].source
    assert source is not None
    assert (source.date, source.settings) == ("2023-11-29", "25 shots")
    assert made["mmlu_anatomy", "acc"].point == 40.0
    assert made["truthfulqa_mc2", "acc"].point == 45.0
    assert made["truthfulqa_mc1", "acc"].point == 30.0
    assert ("all", "acc") not in made


def test_limited_mixed_and_undefined_results_are_named(tmp_path: Path) -> None:
    limited = results(
        {"t": {"acc,none": 0.5}}, config={"limit": 10, "model_args": "pretrained=other/mine"}
    )
    put(tmp_path, "results_a.json", limited)
    other = results({"t": {"acc,none": 0.6}, "u": {"acc,none": float("nan")}})
    put(tmp_path, "results_b.json", other)
    (found,) = lm_eval.read([tmp_path], named("third"))
    assert codes(found) == {"limited", "several_models", "repeated_task", "not_a_number"}
    assert figures(found)["t", "acc"].point == 50.0
    assert figures(found)["u", "acc"].point is None


def test_version_2_is_normalised_as_the_hub_did(tmp_path: Path) -> None:
    """GPQA .6 gives 46.67 and MuSR .7/.4/.6 give 35.00 (the leaderboard's documentation)."""
    tasks = {
        "leaderboard_gpqa_main": {"acc_norm,none": 0.6},
        "leaderboard_musr_murder_mysteries": {"acc_norm,none": 0.7},
        "leaderboard_musr_object_placements": {"acc_norm,none": 0.4},
        "leaderboard_musr_team_allocation": {"acc_norm,none": 0.6},
    }
    path = put(tmp_path, "results.json", results(tasks))
    (found,) = lm_eval.read([path], OPTIONS)
    made = figures(found)
    assert made["leaderboard_gpqa", "normalised"].point == pytest.approx(46.6667, abs=1e-3)
    assert made["leaderboard_musr", "normalised"].point == pytest.approx(35.0, abs=1e-9)
    assert made["open_llm_leaderboard", "average"].point is None


@pytest.mark.parametrize("content", ["{}", "[1]", '{"results": 3}', "nope"])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"x\.json"):
        lm_eval.read([path], OPTIONS)


def named(*models: str) -> ImportOptions:
    return ImportOptions(models, None, (), DataPlaces(), 0.95)


def test_files_of_one_model_are_not_those_of_two(tmp_path: Path) -> None:
    path = put(tmp_path, "results.json", results({"t": {"acc,none": 0.5}}))
    with pytest.raises(DataError, match=r"no results of a, b in these .* of mine in"):
        lm_eval.read([path], named("a", "b"))
    assert lm_eval.read([path], named())[0].model == "mine"


def folder_of_two(tmp_path: Path) -> Path:
    """As lm-eval lays it out: a folder a model, named as paths can be."""
    for folder, model, value in (("org__new", "org/new", 0.0), ("old", "/ckpt/final", 1.0)):
        (tmp_path / folder).mkdir()
        content = results({"t": {"acc,none": value}})
        content["config"] = {"model_args": f"pretrained={model},dtype=bfloat16"}
        put(tmp_path / folder, "results.json", content)
        put(tmp_path / folder, "samples_t.jsonl", [sample(0, float(folder == "old"))])
    return tmp_path


def test_of_a_folder_of_several_models_each_gets_its_own(tmp_path: Path) -> None:
    """By what a file says of its model, or by its folder's name; no model gets another's."""
    place = folder_of_two(tmp_path)
    first, second = lm_eval.read([place], named("new", "old"))
    assert (first.model, second.model) == ("new", "old")
    assert codes(first) == codes(second) == set()
    assert [r.outcome.scores[0].value for e in (first, second) for r in e.records] == [0.0, 1.0]
    (alone,) = lm_eval.read([place], named("org-new"))
    assert [r.outcome.scores[0].value for r in alone.records] == [0.0]
    (left,) = (f for f in alone.findings if f.code == "other_models")
    assert not left.damaged
    assert f"final in {place / 'old'}" in left.message


def test_of_several_models_one_must_be_named(tmp_path: Path) -> None:
    place = folder_of_two(tmp_path)
    with pytest.raises(DataError, match=r"several models .*name those to import with --model"):
        lm_eval.read([place], named())
    with pytest.raises(
        DataError, match=r"no results of else in .*: they are of final in .*, new in"
    ):
        lm_eval.read([place], named("else"))


def test_perplexity_is_the_result_files_and_not_the_mean_of_log_likelihoods(tmp_path: Path) -> None:
    """lm-eval 0.4 writes a document's log-likelihood under `perplexity` (lambada_openai)."""
    put(tmp_path, "results_a.json", results({"t": {"perplexity,none": 7.04, "acc,none": 0.5}}))
    rows = [
        {**sample(n, float(n)), "metrics": ["perplexity", "acc"], "perplexity": -1.95 - n}
        for n in range(2)
    ]
    put(tmp_path, "samples_t.jsonl", rows)
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    made = figures(found)
    assert made["t", "perplexity"].point == 7.04
    assert made["t", "acc"].point == 50.0
    assert [r.outcome.data for r in found.records] == [{"perplexity": -1.95}, {"perplexity": -2.95}]
    assert codes(found) == set()


# --- what no tool should write, but someone's file holds -----------------------------------------


def options(*models: str, companion: tuple[Path, ...] = ()) -> ImportOptions:
    return ImportOptions(models, None, companion, DataPlaces(), 0.95)


def lm_results(tmp_path: Path, tasks: Json, **more: Json) -> Evidence:
    path = tmp_path / "results_x.json"
    path.write_text(json.dumps({"results": tasks, **more}))
    (found,) = lm_eval.read([path], options("mine"))
    return found


def said(evidence: Evidence) -> set[str]:
    return {f.code for f in evidence.findings if f.damaged}


@pytest.mark.parametrize("value", ["0.6", None, True, [0.5], {}, 10**400, 1e308])
def test_a_figure_that_is_no_number_is_undefined_and_named(tmp_path: Path, value: Json) -> None:
    found = lm_results(tmp_path, {"arc_challenge": {"acc,none": value}})
    assert [f.value.point for f in found.figures] == [None]
    assert said(found) == {"not_a_number"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_undefined_and_no_damage(tmp_path: Path, value: float) -> None:
    found = lm_results(tmp_path, {"arc_challenge": {"acc,none": value, "acc_stderr,none": value}})
    assert [f.value.point for f in found.figures] == [None]
    assert (said(found), codes(found)) == (set(), {"not_a_number"})


def test_one_undefined_score_is_missing_and_its_document_named(tmp_path: Path) -> None:
    rows = [sample(n, acc) for n, acc in enumerate([1.0, math.nan, 0.0, -math.inf])]
    (found,) = lm_eval.read([put(tmp_path, "samples_t.jsonl", rows)], OPTIONS)
    assert [len(r.outcome.scores) for r in found.records] == [1, 0, 1, 0]
    (finding,) = found.findings
    assert not finding.damaged
    assert "document 1" in finding.message


def test_what_newer_versions_add_is_neither_a_figure_nor_damage(tmp_path: Path) -> None:
    """`sample_count` as lm-eval 0.4.13 writes it into groups (`aggregate_subtask_metrics`)."""
    more = {"sample_len": 6, "sample_count": {"acc,none": 6}, "details": [{"x": 1}], "note": "n/a"}
    values = {"alias": "t", "acc,none": 0.5, "acc_stderr,none": 0.22}
    old = {"acc": 0.5, "acc_stderr": 0.22}
    for task in (values, old):
        found = lm_results(tmp_path, {"t": {**task, **more}})
        assert set(figures(found)) == {("t", "acc")}
        assert found.findings == ()
        assert figures(found)["t", "acc"].n == 6


def test_answers_without_scores_are_no_figures(tmp_path: Path) -> None:
    """`lm_eval --predict_only` writes the metric bypass with the value 999."""
    bypassed: Json = {"bypass,none": 999, "bypass_stderr,none": "N/A"}
    found = lm_results(tmp_path, {"gsm8k": bypassed, "t": {"acc,none": 0.5}})
    assert set(figures(found)) == {("t", "acc")}
    assert (said(found), codes(found)) == (set(), {"no_scores"})
    with pytest.raises(DataError, match="--predict_only"):
        lm_results(tmp_path, {"gsm8k": bypassed})


def test_samples_of_early_versions_are_found_beside_their_results(tmp_path: Path) -> None:
    """Of 0.4.0 to 0.4.2: MODEL_ARGS_TASK.jsonl, which holds one JSON list."""
    put(tmp_path, "results.json", results({"my_task": {"acc,none": 0.5}}))
    rows = [
        {"doc_id": n, "doc": {}, "target": "x", "arguments": ["q", " x"], "resps": [], "acc": acc}
        for n, acc in enumerate([1.0, 0.0])
    ]
    (tmp_path / "pretrained__org__a_task_my_task.jsonl").write_text(json.dumps(rows))
    (tmp_path / "notes.md").write_text("mine")
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    assert [r.task for r in found.records] == ["my_task", "my_task"]
    assert (said(found), codes(found)) == (set(), {"not_read"})
    assert "notes.md" in found.findings[0].message


def test_both_metrics_of_the_old_truthfulqa_are_todays_tasks(tmp_path: Path) -> None:
    """Named `truthfulqa_mc` by lm-eval 0.3, `truthfulqa:mc` by the leaderboard."""
    for name in ("truthfulqa_mc", "harness|truthfulqa:mc|0"):
        found = lm_results(tmp_path, {name: {"mc1": 0.3, "mc2": 0.45, "mc2_stderr": 0.01}})
        made = figures(found)
        assert made["truthfulqa_mc1", "acc"].point == 30.0
        assert made["truthfulqa_mc2", "acc"].point == 45.0


def test_a_groups_n_is_of_the_tasks_that_enter(tmp_path: Path) -> None:
    tasks: dict[str, Json] = {
        "a": {"acc,none": 0.5, "acc_stderr,none": 0.1},
        "b": {"acc,none": 0.5, "acc_stderr,none": 0.1},
        "other": {"f1,none": 0.5},
        "g": {"acc,none": 0.5, "acc_stderr,none": 0.07, "f1,none": 0.5, "f1_stderr,none": 0.04},
    }
    sizes = {name: {"original": n, "effective": n} for name, n in (("a", 30), ("b", 10))}
    more: dict[str, Json] = {"group_subtasks": {"g": ["a", "b", "other"]}, "n-samples": sizes}
    made = figures(lm_results(tmp_path, tasks, **more))
    assert made["g", "acc"].n == 40
    error = made["g", "acc"].standard_error
    assert error == pytest.approx(100 * math.sqrt((0.75 * 0.1) ** 2 + (0.25 * 0.1) ** 2))
    assert made["g", "f1"].n == 0, "the size of its one task is not known"
    assert made["g", "f1"].standard_error == pytest.approx(4.0), "kept, as it cannot be recomputed"


@pytest.mark.parametrize(
    ("p", "error", "n"),
    [
        (0.57, 0.049756985195624284, 100),  # exact, of 57 in 100
        (0.6, 0.01, None),  # rounded: many sizes fit
        (0.333, 0.211, 6),  # rounded: only 2 of 6 fits
        (0.4567, 0.0123456789, None),  # no share of whole answers
    ],
)
def test_a_size_is_inferred_only_where_one_fits(
    tmp_path: Path, p: float, error: float, n: int | None
) -> None:
    made = figures(lm_results(tmp_path, {"t": {"acc,none": p, "acc_stderr,none": error}}))
    assert made["t", "acc"].n == (n or 0)


@pytest.mark.parametrize("error", ["0.01", -0.5, [1], 10**400, 1e308])
def test_a_standard_error_that_is_none_gives_no_interval(tmp_path: Path, error: Json) -> None:
    found = lm_results(tmp_path, {"t": {"acc,none": 0.6, "acc_stderr,none": error}})
    (figure,) = (f.value for f in found.figures)
    assert (figure.point, figure.standard_error, figure.low) == (60.0, None, None)
    assert said(found) == {"not_a_number"}


@pytest.mark.parametrize("error", ["N/A", None, math.nan])
def test_no_standard_error_is_no_damage(tmp_path: Path, error: Json) -> None:
    found = lm_results(tmp_path, {"t": {"acc,none": 0.6, "acc_stderr,none": error}})
    assert said(found) == set()


def test_sizes_and_labels_are_no_metrics(tmp_path: Path) -> None:
    row = {"name": "t", "alias": "t", " ": " ", "sample_len": 9, "acc,none": 0.6}
    found = lm_results(tmp_path, {"t": row})
    assert [f.key.metric for f in found.figures] == ["acc"]
    assert said(found) == set()


@pytest.mark.parametrize("tasks", [{}, {"arc": 0.5}, {"arc": {"alias": "arc"}}])
def test_results_without_a_figure_are_refused(tmp_path: Path, tasks: Json) -> None:
    with pytest.raises(DataError, match=r"results_x.json: no figure of any task"):
        lm_results(tmp_path, tasks)


@pytest.mark.parametrize(
    "more",
    [
        {"date": 1e30},
        {"group_subtasks": {"t": ["t"]}},
        {"group_subtasks": {"t": ["u"], "u": ["t"]}},
        {"n-samples": {"t": {"effective": -5, "original": -5}}},
    ],
)
def test_nonsense_beside_the_figures_does_no_harm(tmp_path: Path, more: dict[str, Json]) -> None:
    found = lm_results(tmp_path, {"t": {"acc,none": 0.6}, "u": {"acc,none": 0.6}}, **more)
    assert [(f.value.point, f.value.n) for f in found.figures] == [(60.0, 0), (60.0, 0)]


@pytest.mark.parametrize("args", ["pretrained=org/m", {"pretrained": "org/m/"}, "path=org/m/"])
def test_a_model_is_called_as_its_folder(tmp_path: Path, args: Json) -> None:
    path = tmp_path / "results_x.json"
    content = {"results": {"t": {"acc": 0.6}}, "config": {"model_args": args}}
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    assert lm_eval.read([path], options())[0].model == "m"


def test_a_damaged_gzip_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "results_x.json.gz"
    path.write_bytes(gzip.compress(b"{}" * 500)[:14] + b"\xff" * 50)
    with pytest.raises(DataError, match="cannot be read as JSON"):
        lm_eval.read([path], options())


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"acc": "1.0"}, "not_a_number"),
        ({"acc": 1e308}, "not_a_number"),
        ({"metrics": ["acc", "f1"]}, "not_a_number"),
        ({"metrics": [["acc"]]}, "not_a_number"),
        ({"acc": -1}, "impossible_value"),
        ({"acc": 60}, "impossible_value"),
    ],
)
def test_samples_with_a_broken_value_are_named(
    write: Write, more: dict[str, Json], code: str
) -> None:
    rows: list[dict[str, Json]] = [
        {"doc_id": n, "metrics": ["acc"], "acc": 1.0, "target": "x"} for n in range(3)
    ]
    rows[0] |= more
    (found,) = lm_eval.read([write("samples_t.jsonl", rows)], options("mine"))
    assert said(found) == {code}
    is_missing = code == "not_a_number"
    assert (found.records[0].outcome.status == "unparsable") is is_missing


# --- writing ------------------------------------------------------------------------------------


def exported(run: Run, folder: Path, **settings: Any) -> list[str]:
    """Write a run's files; their names."""
    done = formats.export([run], formats.settings("lm_eval", settings))
    for name, content in done.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return list(done.files)


def assert_equal_figures(run: Run, entry: str, model: str, found: Evidence) -> int:
    """Every figure of lm-eval's comes back; how many there were."""
    back, checked = figures(found), 0
    for f in run.figures:
        key = f.key
        if (f.model, key.benchmark) != (model, entry) or key.metric.endswith("(mean of tasks)"):
            continue
        again = back[key.task, key.metric]
        for name in ("point", "standard_error", "low", "high"):
            value, wanted = getattr(again, name), getattr(f.value, name)
            close = value == wanted or math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9)
            assert close, (key, name, value, wanted)
        assert (again.n, again.n_missing) == (f.value.n, f.value.n_missing), key
        checked += 1
    return checked


def test_figures_come_back_through_the_importer(tmp_path: Path) -> None:
    run = exportable(Plan(samples=(2, 2, 200)))
    assert any(r.outcome.status == "engine_error" for r in run.records)
    names = exported(run, tmp_path)
    assert names[:3] == [
        "lm_eval/quick-lora/results_3f2a9c1b7d04.json",
        "lm_eval/quick-lora/samples_opposites.jsonl",
        "lm_eval/quick-lora/samples_gsm8k.jsonl",
    ]
    for model in ("quick-lora", "smollm2"):
        (found,) = lm_eval.read([tmp_path / "lm_eval" / model], OPTIONS)
        assert assert_equal_figures(run, "lm_eval", model, found) == 2
        assert not [f for f in found.findings if f.damaged]
        back = {(r.task, r.sample): r.outcome for r in found.records}
        for record in run.records:
            if (record.model, record.benchmark) != (model, "lm_eval"):
                continue
            again = back.pop((record.task, record.sample))
            assert record.outcome.scores == again.scores
            assert record.outcome.answers == again.answers
            assert record.outcome.conversation == again.conversation
        assert not back


def test_settings_come_back_too(tmp_path: Path) -> None:
    exported(exportable(), tmp_path)
    (found,) = lm_eval.read([tmp_path / "lm_eval" / "smollm2"], OPTIONS)
    said = found.description.tasks["gsm8k"]
    assert (said["version"], said["num_fewshot"], said["n"]) == (3.0, 5, 40)
    assert said["generation_kwargs"]["until"] == ["Question:"]
    assert found.description.models_in_files == ("pretrained=smollm2",)


def test_a_limited_run_says_so(tmp_path: Path) -> None:
    exported(exportable(Plan(limit=40)), tmp_path)
    (found,) = lm_eval.read([tmp_path / "lm_eval" / "smollm2"], OPTIONS)
    assert "limited" in {f.code for f in found.findings}


def test_lm_evals_table_shows_them(tmp_path: Path) -> None:
    from lm_eval.utils import make_table

    run = exportable()
    exported(run, tmp_path)
    written = json.loads((tmp_path / "lm_eval/smollm2/results_3f2a9c1b7d04.json").read_text())
    table = make_table(written)
    acc = next(
        f.value.point
        for f in run.figures
        if (f.model, f.key.task, f.key.metric) == ("smollm2", "opposites", "acc")
    )
    assert acc is not None
    row = next(line for line in table.splitlines() if line.startswith("|opposites"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[4:7] == ["acc", "↑", f"{acc / 100:.4f}"]


def test_a_chat_is_written_as_lm_eval_writes_one(tmp_path: Path) -> None:
    run = exportable()
    first = next(r for r in run.records if r.task == "gsm8k")
    talk = (Message("system", "s"), Message("user", "u"), Message("assistant", "42"))
    outcome = Outcome("ok", talk, ("42",), ("42", "forty-two"), first.outcome.scores)
    exported(replace(run, records=(replace(first, outcome=outcome),)), tmp_path)
    (row,) = (tmp_path / "lm_eval/quick-lora/samples_gsm8k.jsonl").read_text().splitlines()
    read = json.loads(row)
    sent = json.loads(read["arguments"]["gen_args_0"]["arg_0"])
    assert sent == [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert read["resps"] == [["42"]]
    assert read["target"] == "['42', 'forty-two']"


def test_figures_only_writes_no_samples(tmp_path: Path) -> None:
    names = exported(exportable(), tmp_path, figures_only=True)
    assert [Path(name).name for name in names] == ["results_3f2a9c1b7d04.json"] * 2


def test_a_run_without_lm_eval_tasks_is_refused(tmp_path: Path) -> None:
    run = exportable(folder=tmp_path)
    without = replace(run, figures=tuple(f for f in run.figures if f.key.benchmark != "lm_eval"))
    with pytest.raises(ExportError, match="no figure of an lm-eval task"):
        exported(without, tmp_path)


def test_the_same_model_and_benchmark_in_two_runs_is_refused(tmp_path: Path) -> None:
    run = exportable(folder=tmp_path)
    with pytest.raises(ExportError, match="would be written twice"):
        formats.export([run, run], formats.settings("lm_eval", {}))


@pytest.mark.slow
def test_every_kind_of_task_comes_back(
    task_folder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Filters, repeats, groups, corpus metrics: run on the fake engine, written, imported."""
    names = [
        *("tiny_group", "tiny_sums", "tiny_vote", "tiny_binary", "tiny_mutual", "tiny_wino"),
        *("tiny_bleu", "tiny_prefill", "tiny_brier", "tiny_first_n", "tiny_ending", "tiny_rolling"),
    ]
    monkeypatch.setenv("EVALKIT_TRUST", str(task_folder))
    (tmp_path / ".evalkit").mkdir()
    suite = {
        "name": "all",
        "models": {"mine": {"path": "mine"}},
        "engine": {"type": "fake"},
        "benchmarks": [{"type": "lm_eval", "tasks": names, "include": str(task_folder)}],
    }
    (tmp_path / "all.yaml").write_text(json.dumps(suite))
    run = evalkit.run(tmp_path / "all.yaml", out=tmp_path / "run")
    files = exported(run, tmp_path / "out")
    assert any("T" in Path(name).stem.split("_")[-1] for name in files), "dated by the session"
    (found,) = lm_eval.read([tmp_path / "out" / "lm_eval" / "mine"], OPTIONS)
    assert assert_equal_figures(run, "lm_eval", "mine", found) > 15
    assert not [f for f in found.findings if f.damaged], found.findings


@pytest.mark.data
def test_notus_recorded_results_come_back(public_data: Path, tmp_path: Path) -> None:
    """argilla/notus's own result files, imported, exported and imported again."""
    (first,) = lm_eval.read([public_data / "notus" / "lm_eval_harness"], OPTIONS)
    run = exportable(folder=tmp_path)
    entry = BenchmarkEntry(
        name="lm_eval", description=first.description, tasks={t: TaskEntry() for t in first.metrics}
    )
    recorded = replace(
        run,
        records=(),
        comparisons=(),
        figures=first.figures,
        manifest=run.manifest.model_copy(update={"benchmarks": (entry,)}),
    )
    exported(recorded, tmp_path / "out")
    (again,) = lm_eval.read([tmp_path / "out" / "lm_eval" / "mine"], OPTIONS)
    assert assert_equal_figures(recorded, "lm_eval", "mine", again) == 99
    assert figures(again)["gsm8k", "exact_match,get-answer"].n == 1319


@st.composite
def clean_files(draw: st.DrawFn) -> tuple[dict[str, Any], dict[tuple[str, str], float]]:
    """A result file as some version writes it, and its figures in percent by task and metric."""
    version = draw(st.sampled_from(["0.3", "leaderboard", "0.4.0", "0.4.13"]))
    tasks = ["arc_challenge", "hellaswag", "winogrande"]
    results: dict[str, Any] = {}
    expected: dict[tuple[str, str], float] = {}
    for task in tasks:
        n = draw(st.integers(20, 2000))
        p = draw(st.integers(0, n)) / n
        error = math.sqrt(p * (1 - p) / (n - 1))
        filtered = version.startswith("0.4")
        names = ("acc,none", "acc_stderr,none") if filtered else ("acc", "acc_stderr")
        values: dict[str, Any] = dict(zip(names, (p, error), strict=True))
        if filtered:
            values["alias"] = task
        if version == "0.4.13":
            values |= {"name": task, "sample_len": n}
        key = f"harness|{task.replace('arc_', 'arc:')}|5" if version == "leaderboard" else task
        results[key] = values
        expected[task, "acc"] = 100 * p
    content: dict[str, Any] = {"results": results, "versions": dict.fromkeys(results, 1)}
    if version == "leaderboard":
        content["config_general"] = {"model_name": "org/mine"}
        results["all"] = {"acc": 0.5}
    else:
        content["config"] = {"model": "hf", "model_args": "pretrained=org/mine", "limit": None}
    if version == "0.4.13":
        sizes = [results[task]["sample_len"] for task in tasks]
        mean = sum(expected[t, "acc"] * n for t, n in zip(tasks, sizes, strict=True)) / sum(sizes)
        group = {"name": "g", "alias": "g", "sample_len": sum(sizes), "acc,none": mean / 100}
        results["g"] = {**group, "acc_stderr,none": "N/A", "sample_count": {"acc,none": sum(sizes)}}
        content |= {"groups": {"g": results["g"]}, "group_subtasks": {"g": tasks}}
        expected["g", "acc"] = mean
    return content, expected


@given(clean_files())
def test_a_clean_file_of_any_version_has_its_figures_and_no_damage(
    made: tuple[dict[str, Any], dict[tuple[str, str], float]],
) -> None:
    content, expected = made
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), "results.json", content)
        (found,) = lm_eval.read([path], OPTIONS)
    assert said(found) == set()
    read = figures(found)
    assert {key: read[key].point for key in expected} == pytest.approx(expected)
