"""The commands as a user meets them: quick help, right exit codes, nothing but JSON on stdout."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import evalkit
from tests.support.runs import build_run, stored_run, write_run


def cpu_of(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "evalkit", *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick() -> None:
    assert min(cpu_of("--help") for _ in range(3)) < 0.3


def test_verbose_may_stand_before_or_behind_the_command(tmp_path: Path) -> None:
    for arguments in (("-v", "list"), ("list", "-v"), ("list", "--verbose")):
        assert evalkit(tmp_path, *arguments).code == 0


@pytest.mark.parametrize("command", ["run", "check", "schema", "list", "merge", "report"])
def test_every_command_explains_itself(tmp_path: Path, command: str) -> None:
    done = evalkit(tmp_path, command, "--help")
    assert done.code == 0
    assert done.out.startswith("Usage: ")
    assert command in evalkit(tmp_path, "--help").out


def test_unknown_commands_and_options_are_input_errors(tmp_path: Path) -> None:
    assert evalkit(tmp_path, "rum").code == 2
    assert evalkit(tmp_path, "run", "--nope").code == 2


def test_schema_is_a_json_schema(tmp_path: Path) -> None:
    import jsonschema

    done = evalkit(tmp_path, "schema")
    assert done.code == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(done.out))


def test_list_names_what_suites_may_name(tmp_path: Path) -> None:
    found = json.loads(evalkit(tmp_path, "list", "--json").out)
    assert {"quickstart", "chat"} <= set(found["suites"])
    assert {"alpaca_eval", "mt_bench", "lm_eval", "open_llm_leaderboard"} <= set(
        found["benchmarks"]
    )
    assert {"vllm", "transformers", "openai", "fake"} <= set(found["engines"])


def test_list_searches_what_there_is(tmp_path: Path) -> None:
    first, *_ = evalkit(tmp_path, "list", "tasks", "gsm8k").out.splitlines()
    assert first.startswith("gsm8k ")
    assert "openai/gsm8k" in first
    everywhere = json.loads(evalkit(tmp_path, "list", "alpaca", "--json").out)
    assert {kind for kind, rows in everywhere.items() if rows} >= {"benchmarks", "formats"}
    assert all(about for kind in ("suites", "engines") for about in everywhere[kind].values())
    missed = evalkit(tmp_path, "list", "tasks", "arc_chalenge")
    assert missed.code == 2
    assert "did you mean 'arc_challenge'" in missed.err


def test_check_prints_problems_as_json(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: s\nmodels: {}\nbenchmark: []\n")
    done = evalkit(tmp_path, "check", "s.yaml", "--json")
    assert done.code == 2
    found = json.loads(done.out)
    assert found["ok"] is False
    assert any("s.yaml:3" in p["where"] for p in found["problems"])
    assert any("'benchmarks'" in p["message"] for p in found["problems"])


def test_a_missing_run_is_an_input_error(tmp_path: Path) -> None:
    done = evalkit(tmp_path, "report", "nowhere")
    assert done.code == 2
    assert "nowhere" in done.err


def test_merge_refuses_what_is_not_there(tmp_path: Path) -> None:
    done = evalkit(tmp_path, "merge", "./base", "./adapter", "out")
    assert done.code == 2, done.err
    assert "base" in done.err or "adapter" in done.err
    assert "Traceback" not in done.err


def test_a_dry_run_refuses_a_missing_folder_as_a_run_would(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: s\nmodels: {a: {path: ./modle}}\nengine: {type: transformers}\n"
        "benchmarks: [{type: lm_eval, tasks: [arc_easy]}]\n"
    )
    (tmp_path / "model").mkdir()
    for more in (["--dry-run"], []):
        done = evalkit(tmp_path, "run", "s.yaml", *more)
        assert done.code == 2, done.err
        assert "'./modle'" in done.err
        assert "did you mean 'model'" in done.err


def test_a_plugin_with_a_bug_is_not_a_verdict(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: s\nmodels: {a: {path: x}}\nengine: {type: fake}\nbenchmarks: [{type: own.module}]\n"
    )
    done = evalkit(tmp_path, "run", "s.yaml")
    assert done.code == 2
    assert "own.module" in done.err


def test_report_takes_a_file_of_the_run_for_the_run(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run").folder
    done = evalkit(tmp_path, "report", "run/manifest.json")
    assert done.code == 0, done.err
    assert (run / "index.html").is_file()
    printed = evalkit(tmp_path, "report", "run/records.jsonl", "--json")
    assert printed.code == 0, printed.err
    assert json.loads(printed.out) == json.loads((run / "results.json").read_text())


def test_an_unfinished_run_has_a_report_but_no_results(tmp_path: Path) -> None:
    run = write_run(build_run(), tmp_path / "run", sealed=False).folder
    done = evalkit(tmp_path, "report", "run")
    assert done.code == 0, done.err
    assert "not finished" in done.out
    printed = evalkit(tmp_path, "report", "run", "--json")
    assert printed.code == 2
    assert printed.out == ""
    assert "run: this run is not finished" in printed.err
    assert "run the same command again" in printed.err
    assert "not finished" in (run / "report.md").read_text()


def test_report_writes_a_comment_and_nothing_else(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run").folder
    before = sorted(p.name for p in run.iterdir())
    shown = evalkit(tmp_path, "report", str(run), "--comment", "-")
    assert shown.code == 0, shown.err
    assert shown.out.startswith("<!-- evalkit report -->\n")
    assert evalkit(tmp_path, "report", str(run), "--comment", "c.md").code == 0
    assert (tmp_path / "c.md").read_text(encoding="utf-8") == shown.out
    assert sorted(p.name for p in run.iterdir()) == before
