"""A chat template that prints the date prints one date in all sessions of a run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.engines.conftest import TEMPLATE, save_tiny
from tests.support.cli import evalkit

TASK = """
task: say
dataset_path: json
dataset_kwargs: {data_files: {test: say.jsonl}}
output_type: generate_until
test_split: test
doc_to_text: "{{q}}"
doc_to_target: x
generation_kwargs: {until: ["!"], do_sample: false, max_gen_toks: 4}
metric_list: [{metric: exact_match}]
metadata: {version: 1.0}
"""
SUITE = """
name: dated
models: {m: {role: candidate, path: model}}
engine: {type: transformers, device: cpu}
benchmarks: [{type: lm_eval, tasks: [say], include: tasks, apply_chat_template: true}]
"""


@pytest.mark.slow
def test_a_resumed_run_keeps_its_date(tmp_path: Path) -> None:
    save_tiny(tmp_path / "model", adds_bos=False)
    dated = "{{ strftime_now('%d %H:%M:%S') }}" + TEMPLATE
    (tmp_path / "model" / "chat_template.jinja").write_text(dated)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "say.yaml").write_text(TASK)
    (tmp_path / "tasks" / "say.jsonl").write_text('{"q": "One"}\n{"q": "Two"}\n')
    (tmp_path / "suite.yaml").write_text(SUITE)
    first = evalkit(tmp_path, "run", "suite.yaml")
    assert first.code == 0, first.err
    assert "prints the date" in first.err
    (folder,) = (tmp_path / "reports" / "dated").iterdir()
    records, manifest = folder / "records.jsonl", folder / "manifest.json"
    whole, before = records.read_bytes(), json.loads(manifest.read_text())
    # As a killed run leaves it: one record, unsealed.
    records.write_bytes(whole.splitlines(keepends=True)[0])
    manifest.write_text(json.dumps({**before, "sealed": False}))
    time.sleep(1.1)
    again = evalkit(tmp_path, "run", "suite.yaml")
    assert again.code == 0, again.err
    assert "0 requests answered, 1 from the cache" in again.out + again.err
    assert list((tmp_path / "reports" / "dated").iterdir()) == [folder]
    assert records.read_bytes() == whole
    after = json.loads(manifest.read_text())
    assert after["date"] == before["date"]
    assert after["models"][0]["first_prompts"] == before["models"][0]["first_prompts"]
