"""`evalkit init` writes suites that `check` passes and `run` runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalkit import load_run
from evalkit.errors import EvalkitError
from evalkit.runner.drafting import _y as as_yaml
from evalkit.runner.drafting import draft
from tests.support.cli import evalkit

FAKE = ("--set", "engine={type: fake}")
LONG = "a long answer " * 9


@pytest.fixture
def adapter(tmp_path: Path) -> str:
    folder = tmp_path / "my adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "base_model_name_or_path": "org/base"}'
    )
    (folder / "adapter_model.safetensors").write_bytes(len(b"{}").to_bytes(8, "little") + b"{}")
    return str(folder)


def prompts(workspace: Path, name: str, rows: list[dict[str, object]]) -> str:
    (workspace / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def test_prompts_alone_are_judged_against_the_baseline(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Name a colour.\n\nName a fruit.\n")
    assert evalkit(tmp_path, "init", "--prompts", "p.txt", "--out", "p.yaml").code == 0
    suite = yaml.safe_load((tmp_path / "p.yaml").read_text())
    (entry,) = suite["benchmarks"]
    assert (entry["type"], entry["baseline"]) == ("alpaca_eval", list(suite["models"])[1])
    checked = evalkit(tmp_path, "check", "p.yaml", *FAKE)
    assert checked.code == 0, checked.err
    done = evalkit(tmp_path, "run", "p.yaml", *FAKE, "--set", "judges.judge.protocol=text")
    assert (tmp_path / "reports" / "p").is_dir(), done.err
    (run,) = (tmp_path / "reports" / "p").iterdir()
    assert {len(r.outcome.reference) for r in load_run(run).records} == {1}


def test_long_answers_are_references_for_a_judge(tmp_path: Path) -> None:
    said = {"role": "assistant", "content": LONG}
    rows: list[dict[str, object]] = [{"messages": [{"role": "user", "content": "Why?"}, said]}]
    prompts(tmp_path, "p.jsonl", rows)
    done = evalkit(tmp_path, "init", "--prompts", "p.jsonl", "--out", "in/p.yaml")
    assert done.code == 0, done.err
    (row,) = (tmp_path / "in" / "p-prompts.jsonl").read_text().splitlines()
    assert json.loads(row) == {"instruction": "Why?", "output": LONG}
    checked = evalkit(tmp_path, "check", "in/p.yaml", *FAKE)
    assert checked.code == 0, checked.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    [
        {"Question": "Capital of France?", "Answer": "Paris"},
        {"question": "Which is a fruit?", "options": ["car", "apple"], "answer": "B"},
    ],
)
def test_short_answers_and_choices_need_no_judge(tmp_path: Path, row: dict[str, object]) -> None:
    prompts(tmp_path, "p.jsonl", [row, row])
    assert evalkit(tmp_path, "init", "--prompts", "p.jsonl", "--out", "p.yaml").code == 0
    assert "judges" not in yaml.safe_load((tmp_path / "p.yaml").read_text())
    assert evalkit(tmp_path, "check", "p.yaml", *FAKE).code == 0
    done = evalkit(tmp_path, "run", "p.yaml", *FAKE)
    assert done.code == 0, done.err
    (run,) = (tmp_path / "reports" / "p").iterdir()
    assert len(load_run(run).records) == 4


def test_a_table_with_a_heading(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('Prompt,Reference\n"2, and 2?",4\n3 and 3?,6\n')
    made = draft(tmp_path / "s.yaml", prompts=tmp_path / "p.csv")
    rows = [json.loads(line) for line in made.files["s-prompts/s.jsonl"].splitlines()]
    assert rows == [{"prompt": "2, and 2?", "answer": "4"}, {"prompt": "3 and 3?", "answer": "6"}]


def test_an_adapter_names_its_base(tmp_path: Path, adapter: str) -> None:
    done = evalkit(tmp_path, "init", "--adapter", adapter, "--out", "-")
    assert done.code == 0, done.err
    suite = yaml.safe_load(done.out)
    assert suite["models"]["my-adapter"]["base"] == "org/base"
    assert suite["models"]["base"] == {"role": "baseline", "path": "org/base"}
    assert not (tmp_path / "-").exists()
    (tmp_path / "-.yaml").touch()


def test_a_key_that_is_there_chooses_the_judge(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Name a colour.\n")
    arguments = ("init", "--prompts", "p.txt", "--out", "-")
    done = evalkit(tmp_path, *arguments, ANTHROPIC_API_KEY="sk-ant-secret")
    (judge,) = yaml.safe_load(done.out)["judges"].values()
    assert judge["type"] == "anthropic"
    assert "secret" not in done.out + done.err


def test_results_are_read_as_they_are(tmp_path: Path) -> None:
    results = {"results": {"arc_easy": {"acc,none": 0.5, "acc_stderr,none": 0.01}}}
    for name in ("mine", "base"):
        about = {"config": {"model": "hf", "model_args": f"pretrained=org/{name}"}}
        (tmp_path / f"{name}.json").write_text(json.dumps({**results, **about}))
    arguments = ("--results", "mine.json", "--results", "base.json", "--out", "r.yaml")
    done = evalkit(tmp_path, "init", *arguments)
    assert done.code == 0, done.err
    suite = yaml.safe_load((tmp_path / "r.yaml").read_text())
    assert [m["role"] for m in suite["models"].values()] == ["candidate", "baseline"]
    assert evalkit(tmp_path, "check", "r.yaml").code == 0
    assert evalkit(tmp_path, "run", "r.yaml").code == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"promt": "x"}], "no prompt; it has promt, expected one of prompt, instruction"),
        ([{"prompt": "x", "answer": "y"}, {"prompt": "z"}], "prompt 2 has no answer"),
        ([{"prompt": "x", "choices": ["a", "b"], "answer": "c"}], "answer 'c' is no choice"),
        ([{"messages": []}], "0 messages of the user; expected one"),
        ([], "no prompts in it"),
    ],
)
def test_prompts_that_cannot_be_used_say_why(
    tmp_path: Path, rows: list[dict[str, object]], said: str
) -> None:
    done = evalkit(tmp_path, "init", "--prompts", prompts(tmp_path, "p.jsonl", rows))
    assert done.code == 2
    assert said in done.err


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Name a colour.\n")
    (tmp_path / "my-suite-prompts.jsonl").write_text("mine")
    done = evalkit(tmp_path, "init", "--prompts", "p.txt")
    assert (done.code, "'my-suite-prompts.jsonl' is there already" in done.err) == (2, True)
    assert not (tmp_path / "my-suite.yaml").exists()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_texts_mean_the_same_in_yaml(text: str) -> None:
    assert yaml.safe_load(f"b:\n  - {{a: {as_yaml(text)}}}") == {"b": [{"a": text}]}
    assert yaml.safe_load(f"b:\n  a: {as_yaml([text])}") == {"b": {"a": [text]}}


@given(st.lists(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none()))))
def test_no_prompts_are_a_crash(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("p")
    try:
        made = draft(folder / "s.yaml", prompts=folder / prompts(folder, "p.jsonl", rows))
    except EvalkitError:
        return
    assert yaml.safe_load(made.text)["name"] == "s"
