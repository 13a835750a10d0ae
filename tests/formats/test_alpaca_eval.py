"""AlpacaEval annotations as evidence: the published rows, and what can be wrong with them.

Oracles: the leaderboard rows in the public data's `expected.csv` (taken from alpaca_eval's own
tables), and `alpaca_eval.metrics` is what those were made with.
"""

from __future__ import annotations

import csv
import gzip
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
from evalkit.formats import alpaca_eval, cross_findings
from tests.support.exports import all_figures

Write = Callable[[str, Sequence[Json]], Path]


def row(n: int, preference: Json = 2.0, **more: Json) -> dict[str, Json]:
    return {
        "instruction": f"Do {n}.",
        "output_1": f"reference {n}",
        "generator_1": "text_davinci_003",
        "output_2": f"answer {n}",
        "generator_2": "mine",
        "annotator": "alpaca_eval_gpt4",
        "preference": preference,
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


def codes(evidence: Evidence, *, damaged: bool = True) -> set[str]:
    return {f.code for f in evidence.findings if f.damaged or not damaged}


@pytest.mark.data
def test_every_published_row_is_met(public_data: Path) -> None:
    folder = public_data / "alpaca_eval"
    with (folder / "expected.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 4
    for expected in rows:
        name = f"{expected['evaluator']}/{expected['model']}.json.gz"
        outputs = folder / "model_outputs" / f"{expected['model']}.json.gz"
        companion = (outputs,) if outputs.is_file() else ()
        (found,) = alpaca_eval.read(
            [folder / "annotations" / name], options(companion=companion, mirror=public_data)
        )
        assert codes(found) == set()
        made = figures(found)
        rate = made["win_rate"]
        assert rate.point == pytest.approx(float(expected["win_rate"]), abs=1e-6)
        assert rate.standard_error == pytest.approx(float(expected["standard_error"]), abs=1e-6)
        assert rate.n == int(expected["n_total"])
        assert rate.n + rate.n_missing == 805
        discrete = made["discrete_win_rate"].point
        wins, draws = int(expected["n_wins"]), int(expected["n_draws"])
        share = 100 * (wins + draws / 2) / rate.n
        assert discrete == pytest.approx(share, abs=1e-6)
        if companion:
            assert made["avg_length"].point == int(expected["avg_length"])
        else:
            assert "avg_length" not in made


@pytest.mark.data
def test_rows_that_lack_are_no_damage_where_the_published_figure_is_of_the_same(
    public_data: Path, tmp_path: Path
) -> None:
    """A file without its unjudged rows has the published win rate and n; one judgment less has not.

    What alpaca_eval publishes then as length-controlled goes by row numbers (its
    `_get_instruction_difficulty` indexes the difficulties by position).
    """
    folder = public_data / "alpaca_eval" / "annotations" / "alpaca_eval_gpt4"
    rows = json.loads(gzip.decompress((folder / "zephyr-7b-beta.json.gz").read_bytes()))
    judged = [one for one in rows if one["preference"] is not None]
    assert len(judged) == 803 < len(rows)
    for kept, damage in ((judged, set()), (judged[:-1], {"count"})):
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(kept))
        (found,) = alpaca_eval.read([path], options(mirror=public_data))
        assert codes(found) == damage
        assert {"count", "length_control_by_position"} <= codes(found, damaged=False)


def test_the_judges_reply_is_kept_under_either_name(write: Write) -> None:
    for name in ("raw_completion", "preference_raw_completion"):
        path = write("annotations.json", [row(0, **{name: "m"})])
        (found,) = alpaca_eval.read([path], options())
        (judgment,) = found.records[0].outcome.judgments
        assert [e.reply for e in judgment.exchanges] == ["m"]


@pytest.mark.data
def test_records_are_those_of_a_live_run(public_data: Path) -> None:
    """Same samples in the same order: the canonical list of instructions is the oracle."""
    folder = public_data / "alpaca_eval"
    (found,) = alpaca_eval.read(
        [folder / "annotations" / "alpaca_eval_gpt4" / "notus-7b-v1.json.gz"],
        options("notus", mirror=public_data),
    )
    with (folder / "instructions.jsonl").open(encoding="utf-8") as file:
        instructions = [json.loads(line)["instruction"] for line in file]
    asked = [r.outcome.conversation[0].content for r in found.records]
    assert asked == instructions
    assert [r.sample for r in found.records] == [f"{n:04d}" for n in range(805)]
    assert {r.model for r in found.records} == {"notus"}
    assert str(found.description.version).startswith("1.")


@pytest.mark.data
def test_another_reference_and_other_answers_are_named(public_data: Path, write: Write) -> None:
    """text_davinci_003's own outputs are another sample than version 1's reference."""
    folder = public_data / "alpaca_eval"
    with gzip.open(folder / "annotations" / "alpaca_eval_gpt4" / "zephyr-7b-beta.json.gz") as file:
        rows = json.load(file)
    with gzip.open(folder / "model_outputs" / "text_davinci_003.json.gz") as file:
        other = {r["instruction"]: r["output"] for r in json.load(file)}
    swapped = write("swapped.json", [{**r, "output_1": other[r["instruction"]]} for r in rows])
    (found,) = alpaca_eval.read([swapped], options(mirror=public_data))
    assert codes(found) == {"other_reference"}
    notus = folder / "model_outputs" / "notus-7b-v1.json.gz"
    (found,) = alpaca_eval.read(
        [folder / "annotations" / "alpaca_eval_gpt4" / "zephyr-7b-beta.json.gz"],
        options(companion=(notus,), mirror=public_data),
    )
    assert "other_answers" in codes(found)


@pytest.mark.data
def test_the_same_file_under_two_names_is_named(public_data: Path) -> None:
    file = public_data / "alpaca_eval" / "annotations" / "alpaca_eval_gpt4" / "notus-7b-v1.json.gz"
    found = alpaca_eval.read([file, file], options("one", "other", mirror=public_data))
    extra = cross_findings(found)
    assert {name: [f.code for f in fs] for name, fs in extra.items()} == {
        "one": ["identical_judgments"],
        "other": ["identical_judgments"],
    }
    assert all("805" in f.message for fs in extra.values() for f in fs)


def test_what_is_wrong_is_counted(write: Write) -> None:
    rows = [row(n) for n in range(10)] + [row(3, 1.0), row(11, 7.5), row(12, "2.0")]
    (found,) = alpaca_eval.read([write("a.json", rows)], options())
    assert codes(found) == {"count", "repeated_rows", "impossible_preference"}
    rate = figures(found)["win_rate"]
    assert (rate.point, rate.n, rate.n_missing) == (100.0, 11, 1)


def test_a_broken_judge_is_named(write: Write) -> None:
    rows = [row(n, None) for n in range(8)] + [row(n) for n in range(8, 10)]
    (found,) = alpaca_eval.read([write("a.json", rows)], options())
    assert "mostly_unparsable" in codes(found)
    rate = figures(found)["win_rate"]
    assert (rate.n, rate.n_missing) == (2, 8)


def test_draws_old_and_new_count_half(write: Write) -> None:
    rows = [row(0, 0), row(1, 1.5), row(2, 2), row(3, 1)]
    (found,) = alpaca_eval.read([write("a.json", rows)], options())
    assert figures(found)["win_rate"].point == 50.0


def test_models_are_picked_or_renamed(write: Write) -> None:
    rows = [row(0), row(0, generator_2="yours"), row(1), row(1, generator_2="yours")]
    path = write("a.json", rows)
    assert [e.model for e in alpaca_eval.read([path], options())] == ["mine", "yours"]
    assert [e.model for e in alpaca_eval.read([path], options("yours"))] == ["yours"]
    assert [e.model for e in alpaca_eval.read([path], options("a", "b"))] == ["a", "b"]
    with pytest.raises(DataError, match="did you mean 'yours'"):
        alpaca_eval.read([path], options("your"))


@given(st.permutations(range(12)), st.integers(1, 12))
def test_order_and_number_of_rows_change_nothing_but_n(order: list[int], kept: int) -> None:
    import tempfile

    rows = [row(n, 1.0 + n % 2) for n in range(12)]
    chosen = sorted(order[:kept])
    with tempfile.TemporaryDirectory() as folder:
        a, b = Path(folder) / "a.json", Path(folder) / "b.json"
        a.write_text(json.dumps([rows[n] for n in order[:kept]]))
        b.write_text(json.dumps([rows[n] for n in chosen]))
        first, second = (figures(alpaca_eval.read([p], options())[0]) for p in (a, b))
    for metric in ("win_rate", "discrete_win_rate"):
        assert first[metric].point == pytest.approx(second[metric].point)
        assert first[metric].n == second[metric].n == kept


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "nothing|no rows|no records|the file has no records"),
        ('[{"instruction": "x"}]', "no field 'output_1'"),
        ('[{"instruction": 3, "output_1": "a", "output_2": "b"}]', "'instruction' is 3"),
        ("{", "not JSON"),
    ],
)
def test_other_files_are_refused_with_their_place(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        alpaca_eval.read([path], options())


# --- what no tool should write, but someone's file holds -----------------------------------------


def odd(n: int, **more: Json) -> dict[str, Json]:
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


@pytest.mark.parametrize("name", [None, ["a"], "", "absent"])
def test_annotations_that_name_no_model_need_a_name(write: Write, name: Json) -> None:
    rows = [odd(n, generator_2=name) for n in range(3)]
    if name == "absent":
        rows = [{k: v for k, v in row.items() if k != "generator_2"} for row in rows]
    path = write("a.json", rows)
    with pytest.raises(DataError, match=r"does not say which model.*--model NAME"):
        alpaca_eval.read([path], options())
    assert alpaca_eval.read([path], options("mine"))[0].model == "mine"


@pytest.mark.parametrize("name", ["a:b", " mine", "a,b", "x" * 121])
def test_names_that_no_suite_could_use_are_refused(write: Write, name: str) -> None:
    path = write("a.json", [odd(n, generator_2=name) for n in range(3)])
    with pytest.raises(DataError, match=r"a model cannot be called .*--model NAME"):
        alpaca_eval.read([path], options())


def test_two_models_are_never_mixed_under_one_name(write: Write) -> None:
    rows = [odd(n) for n in range(3)] + [odd(n, generator_2="b") for n in range(3)]
    with pytest.raises(DataError, match="'x' is given twice"):
        alpaca_eval.read([write("a.json", rows)], options("x", "x"))


def test_a_reference_of_ones_own_is_said(write: Write) -> None:
    (found,) = alpaca_eval.read(
        [write("a.json", [odd(n, generator_1="sft") for n in range(3)])], options()
    )
    assert "own_reference" in {f.code for f in found.findings}
    assert found.description.version == "unknown.1"


def test_instructions_with_a_lone_surrogate_get_an_id(write: Write) -> None:
    (found,) = alpaca_eval.read([write("a.json", [odd(0, instruction="\ud800")])], options())
    assert found.records[0].sample.startswith("t")


def test_a_second_different_output_is_refused(write: Write) -> None:
    path = write("a.json", [odd(0)])
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
    rows = [odd(n) for n in range(3)]
    rows += [odd(n, generator_2="b", **other) for n in range(3)]
    found = cross_findings(alpaca_eval.read([write("a.json", rows)], options()))
    assert ([f.code for f in found.get("b", [])] == ["other_scale"]) is is_said


def test_both_names_of_the_second_reference_are_one_scale(write: Write) -> None:
    names = {"mine": "gpt4_turbo", "b": "gpt4_1106_preview"}
    rows = [odd(0, generator_2=m, generator_1=name) for m, name in names.items()]
    assert cross_findings(alpaca_eval.read([write("a.json", rows)], options())) == {}


@pytest.mark.slow
@given(
    st.lists(st.sampled_from([1.0, 2.0, 1.5, 0, 1.2345]), min_size=805, max_size=805),
    st.sampled_from(["raw_completion", "preference_raw_completion"]),
)
def test_a_clean_file_has_its_mean_and_no_damage(preferences: list[float], reply: str) -> None:
    """805 rows as any version writes them: 0 is how old files say a draw."""
    rows = [row(n, value, **{reply: "m"}) for n, value in enumerate(preferences)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "annotations.json"
        path.write_text(json.dumps(rows))
        (found,) = alpaca_eval.read([path], options())
    assert codes(found) == set()
    values = [0.5 if value == 0 else value - 1 for value in preferences]
    assert figures(found)["win_rate"].point == pytest.approx(100 * sum(values) / 805)
