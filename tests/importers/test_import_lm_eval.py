"""lm-eval's files as evidence.

Oracles: lm-eval's own evaluator (0.4.13) on the fake engine, whose results and samples are written
the way it writes them; and the public result files of late 2023 with the averages their authors
printed (https://github.com/argilla-io/notus, v1/eval/README.md: ARC 64.25, HellaSwag 84.90, MMLU
61.69, TruthfulQA 52.77, Winogrande 74.51, GSM8K 39.5, DROP 0.98).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit import compare, store
from evalkit.core import Estimate
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError
from evalkit.importers import Evidence, ImportOptions, lm_eval

OPTIONS = ImportOptions(("mine",), None, (), DataPlaces(), 0.95)


def estimates(evidence: Evidence) -> dict[tuple[str, str], Estimate]:
    made = compare.estimates(evidence.records, {evidence.entry: evidence.metrics}, 0.95)
    return {(e.task, e.metric): e for e in (*made, *store.old_estimates(evidence.figures))}


def codes(evidence: Evidence) -> set[str]:
    return {f.code for f in evidence.findings}


@pytest.mark.data
def test_the_notus_teams_own_results(public_data: Path) -> None:
    (found,) = lm_eval.read([public_data / "notus" / "lm_eval_harness"], OPTIONS)
    made = estimates(found)
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
    assert "get-answer" in seven.method
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
    figure = estimates(found)["t", "acc"]
    assert (figure.point, figure.n, figure.source) == (75.0, 4, "")
    assert codes(found) == set()


def test_what_does_not_agree_is_named(tmp_path: Path) -> None:
    put(tmp_path, "results_a.json", results({"t": {"acc,none": 0.5}}))
    put(tmp_path, "samples_t.jsonl", [sample(0, 1.0), sample(1, 1.0), sample(1, 0.0)])
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    assert codes(found) == {"repeated_rows", "samples_and_results_differ"}
    assert estimates(found)["t", "acc"].point == 100.0


def test_each_filter_is_a_metric_of_the_same_document(tmp_path: Path) -> None:
    rows = [
        sample(n, score, chosen, "exact_match")
        for n in range(3)
        for chosen, score in (("strict-match", 0.0), ("flexible-extract", 1.0))
    ]
    put(tmp_path, "samples_gsm8k_2024-05-01T10-00-00.0.jsonl", rows)
    (found,) = lm_eval.read([tmp_path], OPTIONS)
    made = estimates(found)
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
    made = estimates(found)
    assert made["arc_challenge", "acc_norm"].point == 60.0
    assert "25 shots" in made["arc_challenge", "acc_norm"].source
    assert "2023-11-29" in made["arc_challenge", "acc_norm"].source
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
    assert estimates(found)["t", "acc"].point == 50.0
    assert estimates(found)["u", "acc"].point is None


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
    made = estimates(found)
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
    made = estimates(found)
    assert made["t", "perplexity"].point == 7.04
    assert made["t", "acc"].point == 50.0
    assert [r.outcome.data for r in found.records] == [{"perplexity": -1.95}, {"perplexity": -2.95}]
    assert codes(found) == set()
