"""`evalkit check` finds what would stop the run, and imports nothing of the suite's."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import evalkit

NOTHING = len(b"{}").to_bytes(8, "little") + b"{}"
"""A safetensors file without a tensor."""


def checkpoint(folder: Path, template: str | None = "{{ messages[0]['content'] }}") -> None:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama", "hidden_size": 8}')
    (folder / "model.safetensors").write_bytes(NOTHING)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))


def lora(folder: Path, base: str, hidden: int | None = None) -> None:
    folder.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(NOTHING)
    if hidden:
        (folder / "config.json").write_text(json.dumps({"hidden_size": hidden}))


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., Path]:
    checkpoint(tmp_path / "base")
    checkpoint(tmp_path / "bare", template=None)
    lora(tmp_path / "adapter", "base")
    lora(tmp_path / "other", "org/other")
    lora(tmp_path / "wider", "base", hidden=16)
    (tmp_path / "own.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    (tmp_path / "broken.jsonl").write_text('{"instruction": "a", "ouput": "b"}\n')

    def write(model: str = "path: base", judge: str = "", benchmark: str = "") -> Path:
        entry = benchmark or "{type: alpaca_eval, data: own.jsonl, judge: j}"
        (tmp_path / "s.yaml").write_text(
            "name: s\n"
            f"models:\n  mine: {{{model}}}\n  base: {{role: baseline, path: base}}\n"
            "engine: {type: transformers}\n"
            f"judges:\n  j: {{{judge or 'type: engine, model: base'}}}\n"
            f"benchmarks:\n  - {entry}\n"
        )
        return tmp_path

    return write


def test_a_good_suite_is_fine(suite: Callable[..., Path]) -> None:
    done = evalkit(suite("base: base, adapter: adapter"), "check", "s.yaml")
    assert done.code == 0, done.err
    assert "s.yaml: fine" in done.out


@pytest.mark.parametrize(
    ("written", "where", "said"),
    [
        ({"model": "path: adapter"}, "s.yaml:3: models.mine.path", "write `adapter: ...` and"),
        ({"model": "base: base, adapter: other"}, "s.yaml:3: models.mine.base", "'org/other'"),
        ({"model": "base: base, adapter: wider"}, "s.yaml:3: models.mine.base", "there 16"),
        ({"model": "path: bare"}, "s.yaml:3: models.mine", "chat_template: FILE.jinja"),
        ({"model": "path: org/nowhere"}, "s.yaml:3: models.mine", "not on this machine"),
        ({"judge": "type: openai, model: m"}, "s.yaml:7: judges.j", "OPENAI_API_KEY is not set"),
        ({"judge": "type: openai, model: gpt-4"}, "s.yaml:7: judges.j.model", "'gpt-4' retired"),
        (
            {"benchmark": "{type: lm_eval, tasks: [arc_chalenge]}"},
            "s.yaml:9: benchmarks.0.tasks.0",
            "did you mean 'arc_challenge'",
        ),
        (
            {"benchmark": "{type: lm_eval, tasks: [own/task.yaml]}"},
            "s.yaml:9: benchmarks.0.tasks.0",
            "there is no file",
        ),
        (
            {"benchmark": "{type: alpaca_eval, data: broken.jsonl, judge: j}"},
            "s.yaml:9: benchmarks.0",
            "did you mean 'ouput'",
        ),
        (
            {"benchmark": "{type: alpaca_eval, judge: j}"},
            "s.yaml:9: benchmarks.0",
            "evalkit data pull",
        ),
    ],
)
def test_what_would_stop_the_run_is_found(
    suite: Callable[..., Path], written: dict[str, str], where: str, said: str
) -> None:
    workspace = suite(**written)
    done = evalkit(workspace, "check", "s.yaml")
    assert done.code == 2, done.out
    assert any(where in part and said in part for part in done.err.split("error: ")[1:]), done.err
    found = json.loads(evalkit(workspace, "check", "s.yaml", "--json").out)
    assert any(where in p["where"] and said in p["message"] for p in found["problems"])


def test_names_in_own_task_files_are_tasks(suite: Callable[..., Path]) -> None:
    workspace = suite(benchmark="{type: lm_eval, tasks: [mine, many], include: own}")
    (workspace / "own").mkdir()
    (workspace / "own" / "a.yaml").write_text(
        "task: mine\ntag: many\ndataset_path: json\ndataset_kwargs: {data_files: {test: d.jsonl}}\n"
        "output_type: generate_until\ntest_split: test\ndoc_to_text: a\ndoc_to_target: b\n"
        "process_results: !function code.run\n"
    )
    (workspace / "own" / "code.py").write_text("import pathlib\npathlib.Path('RAN').touch()\n")
    done = evalkit(workspace, "check", "s.yaml")
    assert "no task" not in done.err
    assert not (workspace / "RAN").exists()


def test_it_loads_nothing_heavy(suite: Callable[..., Path]) -> None:
    heavy = {"torch", "transformers", "vllm"} & set(sys.modules)
    evalkit(suite("base: base, adapter: adapter"), "check", "s.yaml")
    assert {"torch", "transformers", "vllm"} & set(sys.modules) == heavy
