"""Evidence that no tool should write, but someone's file holds: named, refused, never mixed up."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evalkit.core import Json
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError
from evalkit.importers import (
    Evidence,
    ImportOptions,
    alpaca_eval,
    cross_findings,
    lm_eval,
    mt_bench,
)

Write = Callable[[str, Sequence[Json]], Path]


def options(*models: str, companion: tuple[Path, ...] = ()) -> ImportOptions:
    return ImportOptions(models, None, companion, DataPlaces(), 0.95)


def annotation(n: int, **more: Json) -> dict[str, Json]:
    return {
        "instruction": f"Do {n}.",
        "output_1": f"reference {n}",
        "generator_1": "text_davinci_003",
        "output_2": f"answer {n}",
        "generator_2": "mine",
        "annotator": "alpaca_eval_gpt4",
        "preference": 2.0,
        **more,
    }


def rating(question: int, turn: int, **more: Json) -> dict[str, Json]:
    return {
        "question_id": question,
        "model": "mine",
        "judge": ["gpt-4", "single-v1"],
        "user_prompt": "",
        "judgment": "Rating: [[7]]",
        "score": 7,
        "turn": turn,
        **more,
    }


@pytest.mark.parametrize("name", [None, ["a"], "", "absent"])
def test_annotations_that_name_no_model_need_a_name(write: Write, name: Json) -> None:
    rows = [annotation(n, generator_2=name) for n in range(3)]
    if name == "absent":
        rows = [{k: v for k, v in row.items() if k != "generator_2"} for row in rows]
    path = write("a.json", rows)
    with pytest.raises(DataError, match=r"does not say which model.*--model NAME"):
        alpaca_eval.read([path], options())
    assert alpaca_eval.read([path], options("mine"))[0].model == "mine"


@pytest.mark.parametrize("name", ["org/mine", "a:b", " mine", "a,b", "x" * 121])
def test_names_that_no_suite_could_use_are_refused(write: Write, name: str) -> None:
    path = write("a.json", [annotation(n, generator_2=name) for n in range(3)])
    with pytest.raises(DataError, match=r"a model cannot be called .*--model NAME"):
        alpaca_eval.read([path], options())


def test_two_models_are_never_mixed_under_one_name(write: Write) -> None:
    rows = [annotation(n) for n in range(3)] + [annotation(n, generator_2="b") for n in range(3)]
    with pytest.raises(DataError, match="'x' is given twice"):
        alpaca_eval.read([write("a.json", rows)], options("x", "x"))


def test_a_reference_of_ones_own_is_said(write: Write) -> None:
    (found,) = alpaca_eval.read(
        [write("a.json", [annotation(n, generator_1="sft") for n in range(3)])], options()
    )
    assert "own_reference" in {f.code for f in found.findings}
    assert found.description.version == "unknown.1"


def test_instructions_with_a_lone_surrogate_get_an_id(write: Write) -> None:
    (found,) = alpaca_eval.read([write("a.json", [annotation(0, instruction="\ud800")])], options())
    assert found.records[0].sample.startswith("t")


def test_a_second_different_output_is_refused(write: Write) -> None:
    path = write("a.json", [annotation(0)])
    outputs = write("o.json", [{"instruction": "Do 0.", "output": text} for text in "ab"])
    with pytest.raises(DataError, match=r"item 2: a second, different output for 'Do 0.'"):
        alpaca_eval.read([path], options(companion=(outputs,)))


@pytest.mark.parametrize(
    ("other", "is_said"),
    [
        ({"generator_1": "gpt4_turbo"}, True),
        ({"annotator": "claude"}, True),
        ({"annotator": None}, False),
        ({}, False),
    ],
)
def test_two_references_or_judges_are_two_scales(
    write: Write, other: dict[str, Json], is_said: bool
) -> None:
    rows = [annotation(n) for n in range(3)]
    rows += [annotation(n, generator_2="b", **other) for n in range(3)]
    found = cross_findings(alpaca_eval.read([write("a.json", rows)], options()))
    assert ([f.code for f in found.get("b", [])] == ["other_scale"]) is is_said


def test_both_names_of_the_second_reference_are_one_scale(write: Write) -> None:
    names = {"mine": "gpt4_turbo", "b": "gpt4_1106_preview"}
    rows = [annotation(0, generator_2=m, generator_1=name) for m, name in names.items()]
    assert cross_findings(alpaca_eval.read([write("a.json", rows)], options())) == {}


@pytest.mark.parametrize("score", ["1e999", "1" + "0" * 400, "null", '"7"', "true"])
def test_a_score_that_is_no_rating_is_refused(tmp_path: Path, write: Write, score: str) -> None:
    path = write("j.jsonl", [rating(81, 1, score=12345)])
    path.write_text(path.read_text().replace("12345", score))
    with pytest.raises(DataError, match=r"j.jsonl:1: score is .*expected a number from 1 to 10"):
        mt_bench.read([path], options())


@pytest.mark.parametrize("judge", [{"name": "x"}, 4, "gpt-4", None, [], [None]])
def test_a_judge_may_be_written_in_any_way(write: Write, judge: Json) -> None:
    (found,) = mt_bench.read([write("j.jsonl", [rating(81, 1, judge=judge)])], options())
    assert "several_judges" not in {f.code for f in found.findings}


def test_judges_that_begin_alike_are_told_apart(write: Write) -> None:
    rows = [rating(81, 1, judge="gpt-4"), rating(81, 2, judge="gpt-3.5")]
    (found,) = mt_bench.read([write("j.jsonl", rows)], options())
    assert "several_judges" in {f.code for f in found.findings}


@pytest.mark.parametrize("turns", ["abc", None, [None, "b"], [1, 2]])
def test_answers_that_are_no_texts_are_refused(write: Write, turns: Json) -> None:
    answers = write("a.jsonl", [{"question_id": 81, "choices": [{"turns": turns}]}])
    with pytest.raises(DataError, match=r"a.jsonl:1: choices is .*a list of texts"):
        mt_bench.read([write("j.jsonl", [rating(81, 1)])], options(companion=(answers,)))


def test_a_second_different_answer_is_refused(write: Write) -> None:
    rows: list[Json] = [
        {"question_id": 81, "choices": [{"turns": [text, text]}]} for text in ("a", "b")
    ]
    with pytest.raises(DataError, match="second, different answer to question 81"):
        mt_bench.read(
            [write("j.jsonl", [rating(81, 1)])], options(companion=(write("a.jsonl", rows),))
        )


def lm_results(tmp_path: Path, tasks: Json, **more: Json) -> Evidence:
    path = tmp_path / "results_x.json"
    path.write_text(json.dumps({"results": tasks, **more}))
    (found,) = lm_eval.read([path], options("mine"))
    return found


def said(evidence: Evidence) -> set[str]:
    return {f.code for f in evidence.findings if f.damaged}


@pytest.mark.parametrize("value", ["0.6", None, True, [0.5], {}, 10**400, 1e308, math.nan])
def test_a_figure_that_is_no_number_is_undefined_and_named(tmp_path: Path, value: Json) -> None:
    found = lm_results(tmp_path, {"arc_challenge": {"acc,none": value}})
    assert [f.value.point for f in found.figures] == [None]
    assert said(found) == {"not_a_number"}


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
        ({"acc": None}, "not_a_number"),
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
