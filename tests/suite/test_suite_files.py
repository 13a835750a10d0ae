"""Files a suite names and that are not there: all at once, each at its line, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit import plugins, suite
from evalkit.errors import SuiteError

TEXT = """\
name: files
models:
  tuned: {base: ./bsae, adapter: ../none/adapter, chat_template: own.jinja}
  plain:
    role: baseline
    path: package://evalkit/none.gguf
  other: {role: baseline, path: package://no_such_package/x.gguf}
  hub: {role: baseline, path: org/model, chat_template: "fastchat:vicuna_v1.1"}
  served: {role: baseline, path: nowhere, engine: {type: fake}}
judges: {local: {type: engine, model: plain}}
benchmarks:
  - {type: alpaca_eval, judge: local, data: answers.jsonl}
  - {type: lm_eval, tasks: [a], include: tasks}
"""


def wrong(text: str, folder: Path, *overrides: str) -> dict[str, str]:
    path = folder / "s.yaml"
    path.write_text(text)
    with pytest.raises(SuiteError) as caught:
        suite.check(path, overrides, plugins)
    return {p.where.removeprefix(f"{path}:"): p.message for p in caught.value.problems}


def test_everything_that_is_not_there_at_once(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    found = wrong(TEXT, tmp_path)
    assert list(found) == [
        "3: models.tuned.base",
        "3: models.tuned.adapter",
        "3: models.tuned.chat_template",
        "6: models.plain.path",
        "7: models.other.path",
        "12: benchmarks.0.data",
        "13: benchmarks.1.include",
    ]
    assert "'./bsae': there is no folder" in found["3: models.tuned.base"]
    assert "did you mean 'base'?" in found["3: models.tuned.base"]
    assert "'no_such_package' is not installed" in found["7: models.other.path"]


def test_what_is_there_is_fine(tmp_path: Path) -> None:
    for name in ("bsae", "adapter", "tasks"):
        (tmp_path / name).mkdir()
    for name in ("own.jinja", "answers.jsonl"):
        (tmp_path / name).write_text("")
    text = TEXT.replace("../none/adapter", str(tmp_path / "adapter")).replace("none.gguf", "api.py")
    text = text.replace("no_such_package/x.gguf", "evalkit/api.py")
    path = tmp_path / "s.yaml"
    path.write_text(text)
    assert suite.check(path, [], plugins).suite.name == "files"


@pytest.mark.parametrize("path", ["./org/model", "x.gguf", "a/b/c", "org/model.gguf", "/no/where"])
def test_what_no_repository_is_called_must_be_here(path: str, tmp_path: Path) -> None:
    text = (
        f"name: f\nmodels: {{m: {{path: {path}}}}}\nbenchmarks: [{{type: lm_eval, tasks: [a]}}]\n"
    )
    assert list(wrong(text, tmp_path)) == ["2: models.m.path"]


def test_bundled_suites_name_only_what_is_there() -> None:
    for path in suite.bundled().values():
        suite.check(path, [], plugins)


def test_missing_files_and_other_mistakes_come_together(tmp_path: Path) -> None:
    text = TEXT.replace("name: files", "nmae: files").replace("type: fake", "type: fkae")
    found = wrong(text, tmp_path)
    assert "3: models.tuned.base" in found
    assert "did you mean 'name'?" in found["1: nmae"]
    assert "did you mean 'fake'?" in found["9: models.served.engine.type"]
    # Whether a model needs weights is not known while its engine is not.
    assert "9: models.served.path" not in found
