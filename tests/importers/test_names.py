"""Names of figures, leaderboard rows and evaluators: wrong at their line, with all else."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit import plugins, suite
from evalkit.errors import SuiteError
from evalkit.importers.names import unknown_names

TEXT = """\
name: names
models:
  mine: {role: candidate}
  claude-2: {role: published, leaderboard: true}
  claud-2: {role: published, leaderboard: true}
  theirs: {role: published, leaderboard: claude-22}
  other:
    role: published
    figures:
      - {benchmark: mt_bench, metric: score, value: 7, source: s}
      - {benchmark: mt_bench, metric: scor, value: 7, source: s}
      - {benchmark: alpaca_eval, task: alpaca, metric: win_rate, value: 7, source: s}
engine: {type: fake}
judges: {j: {type: fake}}
benchmarks:
  - {type: alpaca_eval, version: 1, judge: j, evaluator: alpaca_eval_gpt5}
  - {type: mt_bench, judge: j}
"""


def found(text: str, folder: Path) -> dict[str, str]:
    path = folder / "s.yaml"
    path.write_text(text)
    with pytest.raises(SuiteError) as caught:
        suite.check(path, (), plugins, unknown_names)
    return {p.where.removeprefix(f"{path}:"): p.message for p in caught.value.problems}


def test_each_is_wrong_at_its_own_field(tmp_path: Path) -> None:
    wrong = found(TEXT.replace(", evaluator: alpaca_eval_gpt5", ""), tmp_path)
    assert list(wrong) == [
        "5: models.claud-2.leaderboard",
        "6: models.theirs.leaderboard",
        "11: models.other.figures.1.metric",
        "12: models.other.figures.2.task",
    ]
    assert "no row 'claud-2'; did you mean 'claude-2'" in wrong["5: models.claud-2.leaderboard"]
    assert "did you mean 'score'?" in wrong["11: models.other.figures.1.metric"]
    assert "Expected 'alpaca_eval'" in wrong["12: models.other.figures.2.task"]


def test_an_evaluator_that_alpaca_eval_does_not_ship(tmp_path: Path) -> None:
    message = found(TEXT, tmp_path)["16: benchmarks.0.evaluator"]
    assert "no evaluator 'alpaca_eval_gpt5'; did you mean 'alpaca_eval_gpt4'" in message


def test_rows_are_not_looked_up_while_an_entry_is_wrong(tmp_path: Path) -> None:
    """Which tables count is not known then, and a false alarm would hide the mistake."""
    wrong = found(TEXT.replace("{type: mt_bench, judge: j}", "{type: mt_bnch}"), tmp_path)
    assert "5: models.claud-2.leaderboard" not in wrong
    assert "17: benchmarks.1.type" in wrong


def test_what_is_right_passes(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    text = TEXT.replace(", evaluator: alpaca_eval_gpt5", "")
    wrong = ("claud-2", "claude-22", "scor,", "task: alpaca")
    path.write_text("\n".join(n for n in text.splitlines() if not any(w in n for w in wrong)))
    assert suite.check(path, (), plugins, unknown_names).suite.name == "names"
