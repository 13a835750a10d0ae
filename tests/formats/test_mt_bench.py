"""MT-Bench judgments as evidence: FastChat's averages, and what can be wrong with them.

Oracles: `expected.csv` of the public data, and FastChat's `show_result` computed with pandas here
exactly as that script does (group by model and turn, -1 left out).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Measured
from evalkit.core.protocols import DataPlaces
from evalkit.core.requests import Json
from evalkit.errors import DataError
from evalkit.formats import mt_bench
from tests.support.exports import all_figures

Write = Callable[[str, Sequence[Json]], Path]


def row(question: int, turn: int, score: float, **more: Json) -> dict[str, Json]:
    return {
        "question_id": question,
        "model": "mine",
        "judge": ["gpt-4", "single-v1"],
        "user_prompt": f"about answer {question}.{turn}",
        "judgment": f"Rating: [[{score}]]" if score != -1 else "no rating",
        "score": score,
        "turn": turn,
        "tstamp": 1.0,
        **more,
    }


def options(
    *models: str, companion: tuple[Path, ...] = (), mirror: Path | None = None
) -> ImportOptions:
    places = DataPlaces((mirror,) if mirror else ())
    return ImportOptions(models, None, companion, places, 0.95)


def figures(evidence: Evidence) -> dict[str, Measured]:
    found = all_figures(evidence)
    return {f.key.metric: f.value for f in found if f.key.category is None}


def codes(evidence: Evidence) -> set[str]:
    return {f.code for f in evidence.findings if f.damaged}


@pytest.mark.data
def test_the_public_judgments_give_the_expected_averages(public_data: Path) -> None:
    folder = public_data / "mt_bench"
    judgments = folder / "model_judgment" / "gpt-4_single.jsonl"
    with (folder / "expected.csv").open(encoding="utf-8") as file:
        expected = {row["model"]: row for row in csv.DictReader(file)}
    answers = tuple(folder / "model_answer" / f"{name}.jsonl" for name in expected)
    found = mt_bench.read([judgments], options(companion=answers, mirror=public_data))
    assert {e.model for e in found} >= set(expected)
    for evidence in found:
        stated = expected.get(evidence.model)
        if stated is None:
            continue
        assert codes(evidence) == set()
        made = figures(evidence)
        assert made["score"].point == pytest.approx(float(stated["average"]), abs=1e-6)
        assert made["score_turn_1"].point == pytest.approx(float(stated["turn1_mean"]), abs=1e-6)
        assert made["score_turn_2"].point == pytest.approx(float(stated["turn2_mean"]), abs=1e-6)
        assert (made["score"].n, made["score"].n_units) == (160, 80)
        assert all(len(r.outcome.answers) == 2 for r in evidence.records)


@pytest.mark.data
def test_answers_of_another_model_are_named(public_data: Path) -> None:
    folder = public_data / "mt_bench"
    (found,) = mt_bench.read(
        [folder / "model_judgment" / "gpt-4_single.jsonl"],
        options(
            "mistral-orpo-trl",
            companion=(folder / "model_answer" / "zephyr-7b-beta.jsonl",),
            mirror=public_data,
        ),
    )
    assert "other_answers" in codes(found)


ROWS = st.lists(
    st.tuples(st.integers(81, 90), st.integers(1, 2), st.sampled_from([-1, 1, 5, 7.5, 10])),
    min_size=1,
    max_size=40,
)


@given(ROWS)
def test_averages_are_fastchats_whatever_is_repeated(rows: list[tuple[int, int, float]]) -> None:
    import tempfile

    import pandas as pd

    table = pd.DataFrame(rows, columns=["question", "turn", "score"])
    table = table[table["score"] != -1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j.jsonl"
        path.write_text("".join(json.dumps(row(q, t, s)) + "\n" for q, t, s in rows))
        (found,) = mt_bench.read([path], options())
    made = figures(found)
    pairs = [("score", table), *((f"score_turn_{t}", table[table["turn"] == t]) for t in (1, 2))]
    for metric, part in pairs:
        point = made[metric].point if metric in made else None
        if len(part) == 0:
            assert point is None
        else:
            assert point == pytest.approx(part["score"].mean(), abs=1e-9)
            assert made[metric].n == len(part)


def test_what_is_wrong_is_counted(write: Write) -> None:
    rows = [row(q, t, -1) for q in range(81, 141) for t in (1, 2)]
    rows += [row(q, t, 7.0) for q in range(141, 161) for t in (1, 2)]
    (found,) = mt_bench.read([write("j.jsonl", rows)], options())
    assert codes(found) == {"mostly_unparsable"}
    score = figures(found)["score"]
    assert (score.point, score.n, score.n_missing) == (7.0, 40, 120)


def test_repeats_and_missing_turns_are_named(write: Write) -> None:
    rows = [row(81, 1, 5), row(81, 1, 7), row(81, 2, 6), row(82, 1, 9)]
    (found,) = mt_bench.read([write("j.jsonl", rows)], options())
    assert codes(found) == {"count", "missing_turns", "repeated_rows"}
    score = figures(found)["score"]
    assert (score.point, score.n, score.n_missing, score.n_units) == (6.75, 4, 1, 2)


def test_a_score_that_is_not_in_its_text_is_named(write: Write) -> None:
    (found,) = mt_bench.read(
        [write("j.jsonl", [row(81, 1, 5, judgment="Rating: [[6]]"), row(81, 2, 5)])], options()
    )
    assert "score_not_in_text" in codes(found)


def test_pairs_are_refused_with_a_way_on(write: Write) -> None:
    rows = [{"model_1": "a", "model_2": "b", "g1_winner": "tie", "g2_winner": "tie"}]
    with pytest.raises(DataError, match="mode: pairwise"):
        mt_bench.read([write("j.jsonl", rows)], options())


@pytest.mark.parametrize(
    ("change", "said"),
    [({"score": "7"}, "score is '7'"), ({"turn": 3}, "turn is 3"), ({"question_id": "x"}, "'x'")],
)
def test_odd_rows_are_refused_with_their_place(
    write: Write, change: dict[str, Json], said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        mt_bench.read([write("j.jsonl", [{**row(81, 1, 5), **change}])], options())
    assert "j.jsonl:1" in str(caught.value)


# --- what no tool should write, but someone's file holds -----------------------------------------


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


def test_judges_that_begin_alike_are_distinguished(write: Write) -> None:
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
