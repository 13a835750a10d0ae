"""Where suites and workspaces are found, and the suite behind --base and --adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit import suite
from evalkit.errors import SuiteError


def test_bundled_suites(repository: Path) -> None:
    assert set(suite.bundled()) >= {"chat", "notus", "quickstart"}
    assert suite.locate("quickstart").samefile(repository / "suites" / "quickstart.yaml")


def test_a_file_wins_over_a_bundled_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickstart").write_text("name: mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert suite.locate("quickstart") == Path("quickstart")


def test_a_folder_does_not(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "suites")
    assert suite.locate("quickstart").name == "quickstart.yaml"


@pytest.mark.parametrize("name", ["quickstrat", "nowhere/suite.yaml", "a\0b", "x" * 5000])
def test_unknown(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuiteError) as caught:
        suite.locate(name)
    assert "'chat', 'notus', 'quickstart'" in str(caught.value)
    if name == "quickstrat":
        assert "did you mean 'quickstart'?" in str(caught.value)


def test_workspace_is_the_nearest_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".evalkit").mkdir()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "suite.yaml").write_text("name: s\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "a")
    assert suite.find_workspace(str(inner / "suite.yaml")) == tmp_path
    assert suite.find_workspace("b/suite.yaml") == tmp_path
    (tmp_path / "a" / ".evalkit").mkdir()
    assert suite.find_workspace(str(inner / "suite.yaml")) == tmp_path / "a"


def test_workspace_is_here_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "suite.yaml").write_text("name: s\n", encoding="utf-8")
    (tmp_path / "suites" / ".evalkit").write_text("a file is no workspace", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "here")
    assert suite.find_workspace(str(tmp_path / "suites" / "suite.yaml")) == tmp_path / "here"


def test_a_bundled_suite_belongs_to_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert suite.find_workspace("quickstart") == tmp_path
    assert suite.find_workspace() == tmp_path
    (tmp_path / ".evalkit").mkdir()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert suite.find_workspace("quickstart") == tmp_path


@pytest.mark.parametrize(
    ("base", "adapter", "names"),
    [
        ("org/base-7b", "org/base-7b-lora", ["base-7b-lora", "base-7b"]),
        ("./out/base/", "./out/adapter/", ["adapter", "base"]),
        ("package://m/Tiny.Q4.gguf", "adapter", ["adapter", "Tiny.Q4"]),
        ("same", "elsewhere/same", ["same-adapted", "same"]),
        ("a/model, v1", "a/.hidden", ["hidden", "model-v1"]),
        ("/", "..", ["model-adapted", "model"]),
    ],
)
def test_preset_names(base: str, adapter: str, names: list[str]) -> None:
    made = suite.preset(base, adapter)
    assert list(made["models"]) == names
    assert made["models"][names[0]] == {"role": "candidate", "base": base, "adapter": adapter}
    assert made["models"][names[1]] == {"role": "baseline", "path": base}
