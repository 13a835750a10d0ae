"""IFEval's files: its script's verdicts, and responses that are checked here.

Oracle of the responses: the checker that lm-eval carries (`lm_eval.tasks.ifeval.utils`), called
directly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.core.evidence import ImportOptions
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError
from evalkit.formats import ifeval
from tests.support.cli import evalkit
from tests.support.exports import all_figures

OPTIONS = ImportOptions(("mine",), None, (), DataPlaces(), 0.95)


def write(path: Path, verdicts: Sequence[Sequence[bool]]) -> Path:
    rows = [
        {
            "follow_all_instructions": all(followed),
            "follow_instruction_list": list(followed),
            "instruction_id_list": ["x:y"] * len(followed),
            "prompt": f"Do {n}.",
            "response": f"Done {n}.",
        }
        for n, followed in enumerate(verdicts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_prompts_and_instructions_are_counted(tmp_path: Path) -> None:
    strict = write(tmp_path / "eval_results_strict.jsonl", [[True, False], [True], [False] * 3])
    loose = write(tmp_path / "eval_results_loose.jsonl", [[True, True], [True], [False] * 3])
    (found,) = ifeval.read([tmp_path], OPTIONS)
    made = {f.key.metric: f.value for f in all_figures(found)}
    assert made["prompt_level_strict_acc"].point == pytest.approx(100 / 3)
    assert made["inst_level_strict_acc"].point == pytest.approx(100 * 2 / 6)
    assert made["prompt_level_loose_acc"].point == pytest.approx(200 / 3)
    assert made["inst_level_loose_acc"].point == pytest.approx(100 * 3 / 6)
    assert (made["inst_level_strict_acc"].n, made["inst_level_strict_acc"].n_units) == (6, 3)
    assert found.findings == ()
    write(loose, [[True]])
    with pytest.raises(DataError, match="same prompts"):
        ifeval.read([strict, loose], OPTIONS)


def test_a_model_must_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "eval_results_strict.jsonl", [[True]])
    with pytest.raises(DataError, match="--model NAME"):
        ifeval.read([path], ImportOptions((), None, (), DataPlaces(), 0.95))


@pytest.mark.data
@pytest.mark.slow
def test_responses_are_checked_as_the_task_checks_them(public_data: Path, tmp_path: Path) -> None:
    source = public_data / "leaderboard_v2" / "ifeval" / "input_data.jsonl"
    rows = [json.loads(line) for line in source.read_text().splitlines()][:40]
    said = [f"I cannot, for {row['key']} reasons\n\n* one\n* two\nP.S. no" for row in rows]
    answers = [{"prompt": r["prompt"], "response": t} for r, t in zip(rows, said, strict=True)]
    file = tmp_path / "input_response_data_tiny.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in answers))
    run = str(tmp_path / "run")
    named = {"EVALKIT_DATA": str(public_data), "NLTK_DATA": str(public_data / "nltk_data")}
    done = evalkit(tmp_path, "import", "ifeval", str(file), "--out", run, **named)
    assert done.code == 0, done.err
    lines = (tmp_path / "run" / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    judged = [r for r in records if r["outcome"]["status"] == "ok"]
    assert len(judged) == 40

    from lm_eval.tasks.ifeval.utils import process_results

    for record, row, text in zip(judged, rows, said, strict=True):
        expected: dict[str, Any] = process_results(row, [text])
        scores = {s["metric"]: s["value"] for s in record["outcome"]["scores"]}
        for level in ("strict", "loose"):
            name = f"prompt_level_{level}_acc"
            assert scores[name] == float(expected[name])
