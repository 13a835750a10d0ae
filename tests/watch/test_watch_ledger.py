"""The ledger: what is spent is spent once, whatever happens to the process that writes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.core.specs import GateSpec
from evalkit.errors import DataError, StoreError, SuiteError
from evalkit.runner.watch_ledger import Failure, Ledger, Plan, Verdict, level_of
from evalkit.stats.decisions import Spending, alpha_spending

GATE = GateSpec(baseline="plain", margins={"default": 2.0})
PLAN = Plan("./out", "tuned", "plain", 5, "even", GATE.model_dump(mode="json"), {"models": "a"})


def play(folder: Path, checkpoints: int = 5, until: int | None = None) -> bytes:
    """A watch over so many checkpoints, each a look but the third, which failed before.

    `until`: it is killed when the ledger has so many bytes.
    """
    with Ledger(folder) as ledger:
        ledger.begin(PLAN)
        for n in range(checkpoints):
            name = f"checkpoint-{n}"
            if ledger.look_at(name) is None and n == 2:
                ledger.fail(Failure(name, "f2", "it would not load"))
            look = ledger.open_look(name, f"f{n}", f"tuned-{name}", f"run{n}")
            if look in ledger.open_looks:
                ledger.decide(Verdict(look.look, "pass", 0, (), {"difference": 0.5 * n}))
        path = ledger.path
    if until is not None:
        path.write_bytes(path.read_bytes()[:until])
    return path.read_bytes()


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3000), max_size=3))
def test_killed_anywhere_it_ends_with_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int]
) -> None:
    place = tmp_path_factory.mktemp("ledger")
    expected = play(place / "undisturbed")
    for until in kills:
        play(place / "killed", until=until)
    assert play(place / "killed") == expected


def test_no_alpha_is_spent_twice(tmp_path: Path) -> None:
    play(tmp_path)
    play(tmp_path)
    with Ledger(tmp_path) as ledger:
        assert [look.look for look in ledger.looks] == [1, 2, 3, 4, 5]
        assert sum(look.level for look in ledger.looks) == pytest.approx(0.05, abs=1e-15)
        assert ledger.looks[-1].spent == pytest.approx(0.05, abs=1e-15)
        assert ledger.used_up
        assert ledger.open_looks == []
        assert ledger.failures == ()


@pytest.mark.parametrize("spending", ["even", "pocock", "obrien_fleming"])
def test_levels_are_those_of_alpha_spending(spending: Spending) -> None:
    expected = alpha_spending([k / 8 for k in range(1, 9)], 0.05, spending=spending)
    found = [level_of(k, 8, 0.05, spending) for k in range(1, 9)]
    assert [level for level, _ in found] == list(expected.levels)
    assert [total for _, total in found] == list(expected.spent)
    assert sum(expected.levels) == pytest.approx(0.05, abs=1e-12)


def test_even_spending_is_bonferronis_split() -> None:
    for look in range(1, 21):
        level, total = level_of(look, 20, 0.05, "even")
        assert level == pytest.approx(0.05 / 20, abs=1e-12)
        assert total == pytest.approx(0.05 * look / 20, abs=1e-12)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"looks": 10}, "looks: 5, now 10"),
        ({"spending": "pocock"}, "spending: 'even', now 'pocock'"),
        ({"policy": {**PLAN.policy, "alpha": 0.2}}, "gate.alpha: 0.05, now 0.2"),
        ({"suite": {"models": "b"}}, "suite section 'models'"),
        ({"baseline": "other"}, "baseline: 'plain', now 'other'"),
    ],
)
def test_the_plan_stays(tmp_path: Path, changed: dict[str, object], named: str) -> None:
    play(tmp_path, checkpoints=1)
    with Ledger(tmp_path) as ledger:
        ledger.begin(PLAN)
        with pytest.raises(SuiteError, match="another plan") as caught:
            ledger.begin(replace(PLAN, **changed))  # type: ignore[arg-type]
    assert named in str(caught.value)
    assert "move the ledger away" in str(caught.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: lines[1:],
        lambda lines: [lines[0], *lines],
        lambda lines: [*lines[:1], *lines[2:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [*lines, b'{"entry":"other"}'],
        lambda lines: [*lines, b"[]"],
        lambda lines: [lines[0].replace(b'"format":1', b'"format":2'), *lines[1:]],
        lambda lines: [*lines[:1], lines[1].replace(b'"level":', b'"lvl":'), *lines[2:]],
    ],
    ids=["no plan", "two plans", "no look", "no verdict", "again", "unknown", "list", "new", "key"],
)
def test_a_damaged_ledger_is_refused(tmp_path: Path, spoil: object) -> None:
    lines = play(tmp_path, checkpoints=2).splitlines()
    (tmp_path / "ledger.jsonl").write_bytes(b"\n".join(spoil(lines)) + b"\n")  # type: ignore[operator]
    with pytest.raises(DataError, match=r"ledger\.jsonl:\d+: .*restore the file"):
        Ledger(tmp_path)


def test_two_watches_do_not_share_a_ledger(tmp_path: Path) -> None:
    with Ledger(tmp_path), pytest.raises(StoreError, match="process"):
        Ledger(tmp_path)


def test_the_same_failure_again_adds_nothing(tmp_path: Path) -> None:
    failure = Failure("checkpoint-1", "f", "it would not load")
    with Ledger(tmp_path) as ledger:
        ledger.begin(PLAN)
        ledger.fail(failure)
        size = ledger.path.stat().st_size
        ledger.fail(failure)
        assert ledger.path.stat().st_size == size
        ledger.fail(replace(failure, reason="another"))
        assert ledger.failures == (replace(failure, reason="another"),)
        assert ledger.looks == []


def test_entries_are_lines_of_json_without_a_clock(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in play(tmp_path, checkpoints=3).splitlines()]
    kinds = [line["entry"] for line in lines]
    assert kinds == ["plan", "look", "verdict", "look", "verdict", "failure", "look", "verdict"]
