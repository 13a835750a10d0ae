"""The author's own entries beside evalkit's: one measurement stands once, in one unit.

The index of `author` has what the card of Notus-7B-v1 published in 2023: short names of data sets
and shares of 1, for figures that the Open LLM Leaderboard had.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalkit import card
from evalkit.card import checks
from evalkit.card.update import _same_measure, likeness, measurements, settle
from evalkit.core import Json
from evalkit.formats.model_index import MARK, is_ours
from tests.support.cli import Command
from tests.support.properties import examples
from tests.support.runs import Plan, build_run

AUTHOR = (
    ("AI2 Reasoning Challenge (25-Shot)", "ai2_arc", "ARC-Challenge", "test", "acc_norm",
     0.6459044368600683),
    ("HellaSwag (10-Shot)", "hellaswag", None, "validation", "acc_norm", 0.8478390758812986),
    ("Drop (3-Shot)", "drop", None, "validation", "f1", 0.08913590604026835),
    ("TruthfulQA (0-shot)", "truthful_qa", "multiple_choice", "validation", "mc2",
     0.5436768358952805),
    ("MMLU (5-Shot)", "cais/mmlu", "all", "test", "acc", 0.6303308230938872),
    ("GSM8k (5-shot)", "gsm8k", "main", "test", "acc", 0.1516300227445034),
    ("Winogrande (5-shot)", "winogrande", "winogrande_xl", "validation", "acc", 0.7940015785319653),
)  # fmt: skip


def entry(
    name: str, kind: str, metric: str, value: Json, *, mark: bool = False, **data: Any
) -> dict[str, Any]:
    args: dict[str, Json] = {"args": {MARK: "0.1.0"}} if mark else {}
    return {
        "task": {"type": "text-generation"},
        "dataset": {"name": name, "type": kind, **data},
        "metrics": [{"type": metric, "value": value, **args}],
    }


def _given(**data: Any) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value}


def author() -> list[dict[str, Any]]:
    """The entries of a real card."""
    found = [
        entry(name, kind, metric, value, split=split, **_given(config=config))
        for name, kind, config, split, metric, value in AUTHOR
    ]
    alpaca = entry("AlpacaEval", "tatsu-lab/alpaca_eval", "tatsu-lab/alpaca_eval", 0.9142)
    alpaca["metrics"][0]["name"] = "win rate"
    bench = entry("MT-Bench", "unknown", "unknown", 7.3)
    bench["metrics"][0]["name"] = "score"
    return [*found, alpaca, bench]


def text_of(results: Sequence[Json], name: str = "notus-7b-v1", comment: str = "# an entry") -> str:
    index = {"model-index": [{"name": name, "results": list(results)}]}
    front = yaml.safe_dump(json.loads(json.dumps(index)), sort_keys=False)  # without anchors
    # A comment before each entry, as people write them.
    if comment:
        front = re.sub(r"^  - task:", f"  {comment}\n  - task:", front, flags=re.MULTILINE)
    return f"---\nlicense: mit\n{front}---\n# {name}\n"


def results_of(text: str) -> list[Any]:
    (model,) = checks.load(checks.split(text).yaml)["model-index"]
    found: list[Any] = model["results"]
    return found


@pytest.mark.data
@pytest.mark.slow
def test_a_real_cards_index_is_brought_up_to_date_in_place(
    public_data: Path, tmp_path: Path, command: Command
) -> None:
    given = ("--set", f"data.mirror={public_data}", "--out", "run")
    assert command("run", "notus", *given).code == 0
    path = tmp_path / "README.md"
    path.write_text(text_of(author()), encoding="utf-8")
    done = command("card", "update", "README.md", "run")
    assert done.code == 0, done.err
    new = path.read_text(encoding="utf-8")
    results = results_of(new)
    assert [r["dataset"]["type"] for r in results if is_ours(r)] == ["tatsu-lab/alpaca_eval"]
    assert len(results) == len(author()), "a first-hand entry is not replaced by a published figure"
    assert new.count("# an entry") == len(author())
    assert "taken over: tatsu-lab/alpaca_eval" in done.err
    assert "(gsm8k acc 0.1516300227445034) as its author's own figure" in done.err
    again = command("card", "update", "README.md", "run", "--check")
    assert (again.code, "taken over" in again.err) == (0, False)
    held = command("card", "audit", "README.md", "--evidence", "run")
    assert held.code == 0, held.out


OURS = entry("GSM8K (5-shot)", "openai/gsm8k", "exact_match", 15.163, mark=True, config="main",
             split="test")  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "is_taken"),
    [
        (entry("GSM8k (5-shot)", "gsm8k", "acc", 0.15163, config="main", split="test"), True),
        (entry("GSM8K", "openai/gsm8k", "exact_match", 15.16), True),
        (entry("gsm8k", "unknown", "exact_match", "15.2%"), True),
        (entry("GSM8K", "gsm8k", "exact_match", 0.16, config="main"), False),
        (entry("GSM8K (8-shot)", "gsm8k", "exact_match", 31.2), None),
        (entry("GSM8K", "gsm8k", "exact_match", 15.16, config="socratic"), None),
        (entry("GSM8K", "gsm8k", "f1", 31.2), None),
        (entry("GSM8K", "my-org/gsm8k", "exact_match", 31.2), None),
    ],
)
def test_the_same_measurement_is_taken_over_another_value_stays(
    theirs: dict[str, Any], is_taken: bool | None
) -> None:
    """None: another measurement, beside which evalkit's is written."""
    settled = settle([OURS], [theirs])
    assert settled.places == ({0: 0} if is_taken else {})
    assert bool(settled.taken_over) == bool(is_taken)
    assert settled.results == (() if is_taken is False else (OURS,))
    assert bool(settled.left_out) == (is_taken is False)


def test_what_the_hub_vouches_for_and_what_says_more_is_not_taken() -> None:
    theirs = entry("GSM8K", "gsm8k", "exact_match", 15.163)
    theirs["metrics"][0] |= {"verified": True, "verifyToken": "x"}
    assert settle([OURS], [theirs]).results == ()
    theirs = entry("GSM8K", "gsm8k", "exact_match", 15.163)
    theirs["metrics"].append({"type": "f1", "value": 3})
    settled = settle([OURS], [theirs])
    assert settled.results == ()
    assert "gsm8k exact_match 15.163, gsm8k f1 3" in settled.left_out[0]


def test_of_two_entries_that_are_the_same_neither_is_taken() -> None:
    theirs = [entry("GSM8K", kind, "exact_match", 15.163) for kind in ("gsm8k", "openai/gsm8k")]
    assert settle([OURS], theirs).results == ()


def test_entries_that_were_taken_over_stay_where_they_are() -> None:
    run = build_run(Plan(samples=(8, 6, 8), local_judge=False))
    made = card.Card(card.gather([run]), "m")
    ours = made.index.results
    other = entry("Mine", "me/mine", "acc", 1.5)
    theirs = [
        entry(r["dataset"]["name"], r["dataset"]["type"], m["type"], m["value"], **more)
        for r in reversed(ours)
        for m in r["metrics"]
        for more in [{k: v for k, v in r["dataset"].items() if k in ("config", "split")}]
    ]
    text = text_of([theirs[0], other, *theirs[1:]], "m")
    new = card.update(text, made).new
    found = results_of(new)
    assert found[1] == other
    assert [r for r in found if is_ours(r)] == list(reversed(ours))
    assert card.update(new, made).new == new
    listed = yaml.safe_dump([other, *theirs], default_flow_style=True, width=10**9).strip()
    braces = f"---\nmodel-index:\n- name: m\n  results: {listed}\n---\n"
    flowed = card.update(braces, made).new
    assert [r for r in results_of(flowed) if is_ours(r)] == list(reversed(ours))
    assert card.update(flowed, made).new == flowed


values = st.sampled_from([0.5, 50.0, 0.1516, 15.16, 15.163, 7.3, 0, 1, "x", None])
kinds = st.sampled_from(["gsm8k", "openai/gsm8k", "unknown", "drop", "me/mine"])
made_entries = st.builds(
    entry,
    st.sampled_from(["GSM8K", "GSM8K (5-shot)", "DROP", "d"]),
    kinds,
    st.sampled_from(["acc", "exact_match", "f1"]),
    values,
)
FINAL = card.Card(card.gather([build_run(Plan(samples=(4, 4, 4), local_judge=False))]), "m")


@given(st.lists(made_entries, max_size=6), st.lists(made_entries, max_size=2))
@examples(25)
def test_no_measurement_of_ours_stands_beside_anothers(
    theirs: list[dict[str, Any]], mine: list[dict[str, Any]]
) -> None:
    settled = settle(mine, theirs)
    left = [r for i, r in enumerate(theirs) if i not in settled.places]
    for ours in settled.results:
        for other in left:
            pairs = [(a, b) for a in measurements(ours) for b in measurements(other)]
            assert not any(_same_measure(a, b) for a, b in pairs)
    assert len(settled.results) + len(settled.left_out) == len(mine)


like_ours = st.sampled_from(
    [
        entry(r["dataset"]["name"], r["dataset"]["type"], m["type"], m["value"], **place)
        for r in FINAL.index.results
        for m in r["metrics"]
        for place in ({k: v for k, v in r["dataset"].items() if k in ("config", "split")}, {})
    ]
)


@given(st.lists(made_entries | like_ours, min_size=1, max_size=6), st.sampled_from(["# x", ""]))
@examples(25)
def test_an_index_of_anyones_entries_is_updated_once_and_for_all(
    theirs: list[dict[str, Any]], comment: str
) -> None:
    theirs = [
        {**one, "metrics": [{**m, "value": m["value"] or 3} for m in one["metrics"]]}
        for one in theirs
    ]
    new = card.update(text_of(theirs, "m", comment), FINAL).new
    assert card.update(new, FINAL).new == new


def test_values_agree_as_far_as_they_are_printed() -> None:
    def read(value: Json) -> Any:
        return measurements(entry("d", "me/d", "acc", value))[0]

    assert likeness(read(15.16), read(15.163)) == "equal"
    assert likeness(read(15.17), read(15.163)) is None
    assert likeness(read(0.6459), read(64.59044)) == "unit"
    assert likeness(read(0.65), read(64.59044)) == "unit"
    assert likeness(read(1), read(100)) is None, "no decimals: a count, perhaps"
    assert measurements(entry("d", "d", "acc", True)) == []
    assert measurements(entry("d", "d", "acc", "1e5")) == []
    assert measurements({"dataset": 3}) == []
