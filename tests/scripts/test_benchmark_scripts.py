"""The benchmark scripts start, and count what they say they count."""

from __future__ import annotations

import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks import scoring, tokens
from benchmarks._common import Clock, parser
from benchmarks.scoring import Measured
from evalkit.core import Request
from evalkit.engines._local import Tokens

pytestmark = pytest.mark.slow

SCRIPTS = sorted(
    path.stem
    for path in (Path(__file__).resolve().parents[2] / "benchmarks").glob("*.py")
    if not path.stem.startswith("_")
)

ids = st.lists(st.integers(0, 2), min_size=1, max_size=6)
pairs = st.lists(st.tuples(ids, ids), min_size=1, max_size=12)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_how_it_is_used(script: str, repository: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", "--help"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("usage:")


def test_the_options_all_scripts_have() -> None:
    options = parser("words\n").parse_args(["--json", "--save", "part"])
    assert options.json
    assert options.save == "part"


@example([([0], [0]), ([0], [0, 0, 0, 0]), ([0, 0, 0, 0, 0], [0, 0])], 3)
@given(pairs, st.integers(1, 4))
def test_counted_tokens(found: list[tuple[list[int], list[int]]], block: int) -> None:
    """Oracle: sets of prefixes."""
    cost = tokens.cost(found, block)
    wanted = {(*context, *continuation[:-1]) for context, continuation in found}
    assert cost["requests"] == len(found)
    assert cost["naive"] == sum(len(c) + len(k) for c, k in found)
    assert cost["trie"] == len({p[:n] for p in wanted for n in range(1, len(p) + 1)})
    assert cost["trie"] <= cost["floor"] <= cost["planned"]


def test_a_row_for_each_task_and_for_all_together() -> None:
    request = Request("model", "loglikelihood", prompt="p", continuation="c")

    def rendered(*ids: int) -> Tokens:
        return Tokens(array("i", ids), array("i", [9]))

    host = tokens.Host(
        sent={"a": [request] * 2, "b": [request]},
        tokens=[rendered(1, 2), rendered(1, 3), rendered(1, 2)],
    )
    rows = tokens.cost_rows(host, [1, 16])
    assert {len(row) for row in rows} == {len(tokens.COLUMNS)}
    named = {(row[0], row[1]): dict(zip(tokens.COLUMNS, row, strict=True)) for row in rows}
    assert list(named) == [(t, block) for block in (1, 16) for t in ("a", "b", "all")]
    # 1, 2 and 3 are the distinct prefixes' ends; the second task adds none.
    assert named["a", 1]["trie"] == named["all", 1]["trie"] == 3
    assert named["all", 1]["lm-eval + vLLM"] == 9
    assert named["all", 1]["evalkit / floor"] == 1.0
    assert named["a", 16]["floor"] == 4


def test_a_task_without_requests_has_no_ratios() -> None:
    row = dict(
        zip(tokens.COLUMNS, tokens.cost_rows(tokens.Host(sent={"a": []}), [16])[0], strict=True)
    )
    assert row["requests"] == 0
    assert row["evalkit / trie"] is None


def test_a_comparison_of_two_sides() -> None:
    theirs = Measured(Clock(8.0, 6.0), ((-1.0, True), (-2.5, False)), {})
    work = {"naive": 90, "computed": 30, "trie": 20, "floor": 28}
    ours = Measured(Clock(2.0, 3.0), ((-1.0, True), (-2.0, True)), work)
    row = dict(zip(scoring.COLUMNS, scoring.compared("arc", theirs, ours), strict=True))
    assert row == {
        "task": "arc",
        "requests": 2,
        "upstream tokens": 90,
        "evalkit tokens": 30,
        "trie": 20,
        "floor": 28,
        "wall ratio": 4.0,
        "CPU ratio": 2.0,
        "largest difference": 0.5,
        "is_greedy differences": 1,
    }


@pytest.mark.data
@pytest.mark.model
@pytest.mark.slow
def test_real_documents_are_counted(public_data: Path, repository: Path) -> None:
    """Known: the plan is never below the trie, and shares what the floor says can be shared."""
    from benchmarks._common import smollm2

    host = tokens.prepare(smollm2(), ["winogrande"], 4)
    ((name, asked),) = host.pairs()
    assert name == "winogrande"
    found = tokens.cost(asked, 16)
    assert found["requests"] == 8
    assert found["trie"] <= found["floor"] <= found["planned"] < found["naive"]
    tokens.cost_rows(host, [16])
    assert all(clock.cpu_s > 0 for clock in host.clocks.values())
