"""The quickstart's own questions: complete, well-formed, and not the public ones."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evalkit.benchmarks.mt_bench import GUIDED, TEMPERATURES


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def quickstart(repository: Path) -> Path:
    return repository / "suites" / "quickstart"


def test_alpaca_eval(quickstart: Path) -> None:
    found = rows(quickstart / "alpaca_eval.jsonl")
    assert len(found) == 24
    assert len({row["instruction"] for row in found}) == 24
    for row in found:
        assert set(row) == {"instruction", "output", "generator", "dataset"}
        assert row["generator"] == "evalkit-reference"
        assert 20 <= len(row["output"]) <= 600


def test_mt_bench(quickstart: Path) -> None:
    questions = rows(quickstart / "mt_bench" / "question.jsonl")
    assert Counter(q["category"] for q in questions) == dict.fromkeys(TEMPERATURES, 2)
    references = rows(quickstart / "mt_bench" / "reference_answer.jsonl")
    guided = [q["question_id"] for q in questions if q["category"] in GUIDED]
    assert [r["question_id"] for r in references] == guided


def test_reference_code_runs(quickstart: Path) -> None:
    """The coding references are right: both turns' code, run."""
    code = {
        row["question_id"]: "\n".join(
            re.findall(r"```python\n(.*?)```", "\n".join(row["choices"][0]["turns"]), re.DOTALL)
        )
        for row in rows(quickstart / "mt_bench" / "reference_answer.jsonl")
    }
    palindrome: dict[str, Any] = {}
    exec(code[9], palindrome)
    assert palindrome["is_palindrome"]("Able was I, ere I saw Elba")
    largest: dict[str, Any] = {}
    exec(code[10], largest)
    assert largest["largest"]([-5, -2, -9]) == -2
    with pytest.raises(ValueError, match="empty"):
        largest["largest"]([])


@pytest.mark.data
def test_nothing_is_copied_from_the_public_sets(quickstart: Path, public_data: Path) -> None:
    """No eight words in a row are shared with AlpacaEval or MT-Bench."""

    def eights(texts: list[str]) -> set[tuple[str, ...]]:
        words = [re.findall(r"\w+", text.lower()) for text in texts]
        return {tuple(w[i : i + 8]) for w in words for i in range(len(w) - 7)}

    alpaca = public_data / "alpaca_eval"
    public = [
        text
        for name in ("reference_text_davinci_003", "reference_gpt4_turbo")
        for row in rows(alpaca / f"{name}.jsonl")
        for text in (row["instruction"], row["output"])
    ]
    public += [t for q in rows(public_data / "mt_bench/question.jsonl") for t in q["turns"]]
    own = [
        text
        for row in rows(quickstart / "alpaca_eval.jsonl")
        for text in (row["instruction"], row["output"])
    ]
    own += [t for q in rows(quickstart / "mt_bench/question.jsonl") for t in q["turns"]]
    assert not eights(own) & eights(public)
