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

from evalkit import compare
from evalkit.core import Estimate, Json
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError
from evalkit.importers import Evidence, ImportOptions, mt_bench

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


def figures(evidence: Evidence) -> dict[str, Estimate]:
    made = compare.estimates(evidence.records, {evidence.entry: evidence.metrics}, 0.95)
    return {e.metric: e for e in made if e.category is None}


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
        assert (made["score"].n, made["score"].n_clusters) == (160, 80)
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
    assert (score.point, score.n, score.n_missing, score.n_clusters) == (6.75, 4, 1, 2)


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
