"""`evalkit card audit` as CI calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import evalkit

HERE = Path(__file__).parent
FIGURES = ("--evidence", str(HERE / "evidence.yaml"))


def card(name: str) -> str:
    return str(HERE / "cards" / f"{name}.md")


@pytest.mark.slow
def test_exit_codes_and_forms(tmp_path: Path) -> None:
    wrong = evalkit(tmp_path, "card", "audit", card("swapped"), *FIGURES)
    assert wrong.code == 1
    assert "18 numbers: 12 confirmed, 3 contradicted, 3 no evidence" in wrong.out
    assert "95.03, evidence has 95.28 (alpaca_eval" in wrong.out
    right = evalkit(tmp_path, "card", "audit", card("swapped_right"), *FIGURES, "--all")
    assert right.code == 0
    assert "rounded to 2 decimals" in right.out
    data = json.loads(evalkit(tmp_path, "card", "audit", card("swapped"), "--json").out)
    assert data["contradicted"]
    assert {n["verdict"] for n in data["numbers"]} == {"confirmed", "contradicted", "no evidence"}
    shown = evalkit(tmp_path, "card", "audit", card("swapped"), *FIGURES, "--markdown").out
    assert "swapped with" in shown
    assert shown.count("| contradicted |") == 3


@pytest.mark.slow
def test_what_cannot_be_read_is_the_users_input(tmp_path: Path) -> None:
    missing = evalkit(tmp_path, "card", "audit", "nowhere.md")
    assert missing.code == 2
    assert "'nowhere.md' does not exist" in missing.err
    (tmp_path / "latin.md").write_bytes("# Modèle".encode("latin-1"))
    assert evalkit(tmp_path, "card", "audit", "latin.md").code == 2
    (tmp_path / "odd.json").write_text('{"a": 1}')
    odd = evalkit(tmp_path, "card", "audit", card("german"), "--evidence", "odd.json")
    assert odd.code == 2
    assert "is no evidence that can be read" in odd.err
