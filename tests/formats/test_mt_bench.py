"""MT-Bench judgments as evidence: FastChat's averages, and what can be wrong with them.

Oracles: `expected.csv` of the public data, and FastChat's `show_result` computed with pandas here
exactly as that script does (group by model and turn, -1 left out).
"""

from __future__ import annotations

import csv
import json
import tempfile
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


# --- pairs ----------------------------------------------------------------------------------------


def match(question: Json, turn: int, models: str, winners: str, **more: Json) -> dict[str, Json]:
    """A row of two games: `models` and `winners` as "a b" and "model_1 tie"."""
    (one, two), (first, second) = models.split(), winners.split()
    verdict = {"model_1": ("A", "B"), "model_2": ("B", "A"), "tie": ("C", "C"), "error": ("", "")}
    return {
        "question_id": question,
        "model_1": one,
        "model_2": two,
        "g1_winner": first,
        "g2_winner": second,
        "judge": ["gpt-4", "pair-v2"],
        "g1_user_prompt": f"question {question}",
        "g1_judgment": f"Because. [[{verdict[first][0]}]]",
        "g2_user_prompt": f"question {question}",
        "g2_judgment": f"Because. [[{verdict[second][1]}]]",
        "turn": turn,
        **more,
    }


def show_result(rows: Sequence[dict[str, Json]]) -> dict[str, tuple[int, int, int]]:
    """Wins, losses, ties by model, as FastChat's `display_result_pairwise` counts them."""
    counts: dict[str, list[int]] = {}
    for one in rows:
        games = one["g1_winner"], one["g2_winner"]
        if "error" in games:
            continue
        ours = counts.setdefault(one["model_1"], [0, 0, 0])
        theirs = counts.setdefault(one["model_2"], [0, 0, 0])
        if games[0] == "tie" or games[0] != games[1]:
            ours[2] += 1
            theirs[2] += 1
        else:
            (ours if games[0] == "model_1" else theirs)[0] += 1
            (theirs if games[0] == "model_1" else ours)[1] += 1
    return {model: (w, lost, t) for model, (w, lost, t) in counts.items()}


@given(
    st.lists(
        st.tuples(
            st.integers(81, 99),
            st.integers(1, 2),
            st.sampled_from(["a b", "b a", "a c", "c b"]),
            st.lists(
                st.sampled_from(["model_1", "model_2", "tie", "error"]), min_size=2, max_size=2
            ),
        ),
        min_size=1,
    )
)
def test_rates_of_pairs_are_fastchats(rows: list[tuple[int, int, str, list[str]]]) -> None:
    written = [match(q, turn, models, " ".join(winners)) for q, turn, models, winners in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gpt-4_pair.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in written))
        found = {e.model: e for e in mt_bench.read([path], options())}
    expected = show_result(written)
    for model, evidence in found.items():
        made = figures(evidence)
        wins, losses, ties = expected.get(model, (0, 0, 0))
        n = wins + losses + ties
        assert made["win_rate_adjusted"].n == n
        if n:
            assert made["win_rate_adjusted"].point == pytest.approx(100 * (wins + ties / 2) / n)
            assert made["win_rate"].point == pytest.approx(100 * wins / n)
            assert made["loss_rate"].point == pytest.approx(100 * losses / n)


def test_a_pair_is_seen_from_both_sides(write: Write) -> None:
    rows = [
        match(81, 1, "a b", "model_1 model_1"),
        match(82, 1, "b a", "model_1 tie"),
        match(83, 1, "a b", "error tie"),
    ]
    ours, theirs = mt_bench.read([write("j.jsonl", rows)], options())
    assert [j.votes for r in ours.records for j in r.outcome.judgments] == [(1, 1), (0.5, 0), ()]
    assert [j.votes for r in theirs.records for j in r.outcome.judgments] == [(0, 0), (1, 0.5), ()]
    assert [r.outcome.status for r in ours.records] == ["ok", "ok", "unparsable"]
    parts = {s.part for e in (ours, theirs) for r in e.records for s in r.outcome.scores}
    assert {p for p in parts if p.startswith("turn")} == {"turn_1#b"}, "one name, so they compare"
    assert ours.description.reference == theirs.description.reference == "b"


def test_what_is_wrong_with_pairs_is_named(write: Write) -> None:
    rows = [match(81, 1, "a b", "model_1 model_1", g2_judgment="Because. [[A]]")]
    (found, _) = mt_bench.read([write("j.jsonl", rows)], options())
    assert "score_not_in_text" in codes(found)
    rows = [match(81, 1, "a b", "model_1 tie", g2_winner="model_3")]
    with pytest.raises(DataError, match="model_3"):
        mt_bench.read([write("j.jsonl", rows)], options())


@pytest.mark.data
def test_the_public_pairs_give_what_show_result_prints(public_data: Path) -> None:
    file = "gpt-4_pair_alpaca_vs_llama-adapter.jsonl.gz"
    path = public_data / "mt_bench" / "model_judgment" / file
    found = mt_bench.read([path], options(mirror=public_data))
    made = {e.model: figures(e)["win_rate_adjusted"] for e in found}
    rates = {model: round((value.point or 0) / 100, 6) for model, value in made.items()}
    assert rates == {"alpaca_mt": 0.631579, "llama-adapter-question-mt": 0.368421}
    assert {value.n for value in made.values()} == {76}
    assert [codes(e) for e in found] == [set(), set()]


# --- names ----------------------------------------------------------------------------------------


def test_ids_may_be_texts_and_names_repositories(write: Write) -> None:
    rows = [row(0, turn, 7, question_id="logic-1", model="org/mine") for turn in (1, 2)]
    (found,) = mt_bench.read([write("j.jsonl", rows)], options())
    assert (found.model, [r.sample for r in found.records]) == ("mine", ["logic-1"])


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (("new=a",), ["new"]),
        (("b", "new=a"), ["b", "new"]),
        (("x=y", "z"), ["x=y", "z"]),
        (("k=v=a",), ["k=v"]),
    ],
)
def test_one_of_several_models_can_be_renamed(
    write: Write, wanted: tuple[str, ...], names: list[str]
) -> None:
    rows = [row(81, turn, 7, model=model) for model in "ab" for turn in (1, 2)]
    found = mt_bench.read([write("j.jsonl", rows)], options(*wanted))
    assert [e.model for e in found] == names


def test_two_models_of_one_name_are_refused(write: Write) -> None:
    rows = [row(81, turn, 7, model=model) for model in ("x/a", "y/a") for turn in (1, 2)]
    with pytest.raises(DataError, match="NEW=OLD"):
        mt_bench.read([write("j.jsonl", rows)], options())


@pytest.mark.parametrize(
    ("change", "said"),
    [({"score": "7"}, "score is '7'"), ({"turn": 3}, "turn is 3"), ({"question_id": 1.5}, "1.5")],
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


# --- clean files ----------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([n / 2 for n in range(2, 21)]), min_size=160, max_size=160),
    st.booleans(),
    st.sampled_from(["mine", "org/mine"]),
)
def test_a_clean_file_has_fastchats_averages_and_no_damage(
    scores: list[float], texts: bool, model: str
) -> None:
    """Ratings of both turns of 80 questions, with numbers or texts as ids."""
    places = [(question, turn) for question in range(81, 161) for turn in (1, 2)]
    rows = [
        row(q, turn, score, model=model, **({"question_id": f"q-{q}"} if texts else {}))
        for (q, turn), score in zip(places, scores, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gpt-4_single.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
        (found,) = mt_bench.read([path], options())
    assert (found.model, codes(found)) == ("mine", set())
    made = figures(found)
    assert made["score"].point == pytest.approx(sum(scores) / 160)
    assert made["score_turn_2"].point == pytest.approx(sum(scores[1::2]) / 80)


@given(st.lists(st.sampled_from(["model_1", "model_2", "tie"]), min_size=320, max_size=320))
def test_clean_pairs_have_no_damage(winners: list[str]) -> None:
    places = [(question, turn) for question in range(81, 161) for turn in (1, 2)]
    games = zip(winners[::2], winners[1::2], strict=True)
    rows = [match(q, t, "a b", f"{x} {y}") for (q, t), (x, y) in zip(places, games, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gpt-4_pair.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
        found = mt_bench.read([path], options())
    assert [codes(e) for e in found] == [set(), set()]
