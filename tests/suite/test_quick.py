"""The suite `quick`: its items have right answers, and are nobody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit import plugins, suite
from evalkit.suite import Options

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
]


def rows(repository: Path, name: str) -> list[dict[str, Any]]:
    text = (repository / "suites" / "quick" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def right(row: dict[str, Any]) -> str:
    return str(row["choices"][row["answer"]] if "choices" in row else row["answer"])


@pytest.mark.parametrize(("name", "count"), [("choices", 100), ("numbers", 30), ("forms", 36)])
def test_answers_are_what_a_program_finds(repository: Path, name: str, count: int) -> None:
    found = rows(repository, f"tasks/{name}.jsonl")
    assert len(found) == count
    for row in found:
        if "check" in row:
            computed = eval(row["check"], {"DAYS": DAYS, "MONTHS": MONTHS})  # our own data
            assert str(computed) == right(row), row
        prompt = str(row.get("prompt") or row["question"])
        if row.get("kind") == "reading":
            words = {"seven", "nothing", "nobody"}  # 2 + 1 + 4
            told = right(row).removeprefix("to ").removeprefix("a ").split()[-1]
            assert told in words or told.casefold() in str(prompt).casefold(), row


def test_choices_are_four_and_right_answers_stand_anywhere(repository: Path) -> None:
    found = rows(repository, "tasks/choices.jsonl")
    assert all(len(set(row["choices"])) == 4 for row in found)
    assert [sum(row["answer"] == n for row in found) for n in range(4)] == [25] * 4


def test_no_item_is_there_twice_or_was_trained_on(repository: Path) -> None:
    """The demonstration's adapter was trained on `quickstart/train.jsonl`."""
    prompts = [
        str(row.get("prompt") or row.get("question") or row["instruction"])
        for name in ("tasks/choices", "tasks/numbers", "tasks/forms", "instructions")
        for row in rows(repository, f"{name}.jsonl")
    ]
    assert len(set(prompts)) == len(prompts) == 206
    train = (repository / "suites" / "quickstart" / "train.jsonl").read_text(encoding="utf-8")
    trained = {json.loads(line)["prompt"].casefold() for line in train.splitlines()}
    plain = {p.removeprefix("Question: ").removesuffix("\nAnswer:").casefold() for p in prompts}
    assert not plain & trained


def test_without_a_judge_it_says_what_is_left_out() -> None:
    path = suite.locate("quick")
    plain = suite.check(path, (), plugins)
    assert [spec.entry for spec in plain.suite.benchmarks] == ["choices", "answers"]
    assert [str(w).split(":")[0] for w in plain.warnings] == ["instructions"]
    judged = suite.check(path, (), plugins, options=Options(judge="gpt-6.1-sol")).suite
    assert [spec.entry for spec in judged.benchmarks] == ["choices", "answers", "instructions"]
    assert judged.judges["gpt-6.1-sol"].model_dump()["type"] == "openai"
