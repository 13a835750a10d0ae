"""Suites as accidents and enemies write them: `check` names what is wrong, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.cli import evalkit
from tests.support.mutations import alters, yaml_of

EVERYTHING = """\
name: everything
models:
  tuned: {base: org/base, adapter: org/adapter, base_revision: main, dtype: float32}
  plain: &plain
    role: baseline
    path: org/base
    revision: "0123456789abcdef0123456789abcdef01234567"
    chat_template: "fastchat:zephyr"
  other: {<<: *plain, role: baseline}
  zephyr-7b-beta: {role: published, leaderboard: true}
engine: {type: vllm, dtype: bfloat16}
judges:
  small: {type: engine, model: plain}
  large: {type: openai, model: gpt-4o, base_url: "https://host/v1", timeout_s: 9}
benchmarks:
  - {type: alpaca_eval, version: 2, judge: large, max_tokens: 10}
  - {type: mt_bench, judge: [small, large]}
  - {type: lm_eval, tasks: [arc_easy, gsm8k]}
gate:
  baseline: plain
  margins: {alpaca_eval: 3.0, default: {percent: 1.5, points: 0.3}}
  warn_only: [mt_bench]
report: {formats: [html, card], level: 0.9}
card: {license: mit, tags: [a, b], columns: {Size: {tuned: 7B}}}
"""


def _fuzz(folder: Path, repository: Path, seeds: range) -> None:
    texts = [path.read_text() for path in sorted((repository / "suites").glob("*.yaml"))]
    texts.append(EVERYTHING)
    for seed in seeds:
        dice = random.Random(seed)
        raw = yaml_of(dice.choice(texts), dice)
        (folder / "suite.yaml").write_bytes(raw)
        done = alters(
            lambda: evalkit(folder, "check", "suite.yaml"), f"seed {seed}: {raw[:2_000]!r}"
        )
        assert done.code in (0, 2), f"seed {seed}: {done}"


def test_the_suite_that_is_altered_is_read(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(EVERYTHING)
    done = evalkit(tmp_path, "check", "suite.yaml", OPENAI_API_KEY="none")
    wrong = [line for line in done.err.splitlines() if "expected one of" in line]
    assert not wrong, "its mutations would be about that"


def test_a_few_altered_suites(tmp_path: Path, repository: Path) -> None:
    _fuzz(tmp_path, repository, range(8))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_altered_suites(part: int, tmp_path: Path, repository: Path) -> None:
    _fuzz(tmp_path, repository, range(1_000 + part * 1_000, 2_000 + part * 1_000))
