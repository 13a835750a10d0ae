"""What the README shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from evalkit import load_suite
from evalkit.core.specs import GateSpec
from tests.support.cli import evalkit


def blocks(repository: Path, language: str) -> list[str]:
    text = (repository / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_its_gate_section_is_one(repository: Path) -> None:
    (shown,) = (b for b in blocks(repository, "yaml") if b.startswith("gate:"))
    spec = GateSpec.model_validate(yaml.safe_load(shown)["gate"])
    assert spec.margins["open_llm_leaderboard/gsm8k"] == 2.0


def test_its_suite_is_fine(repository: Path, tmp_path: Path) -> None:
    whole, judges = (b for b in blocks(repository, "yaml") if "benchmarks:" in b)
    (tmp_path / "my.yaml").write_text(whole, encoding="utf-8")
    assert load_suite(tmp_path / "my.yaml").name == "my-adapter"
    models = "models: {a: {path: org/a}, smollm2: {role: baseline, path: org/b}}\n"
    (tmp_path / "judged.yaml").write_text(f"name: j\n{models}{judges}", encoding="utf-8")
    assert "claude" in load_suite(tmp_path / "judged.yaml").judges


def test_its_commands_exist(repository: Path, tmp_path: Path) -> None:
    listed = evalkit(tmp_path, "--help").out
    text = (repository / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"evalkit ([a-z]+)\b", "\n".join(blocks(repository, "sh"))))
    named |= set(re.findall(r"`evalkit ([a-z]+)\b", text))
    assert {"run", "check"} <= named
    for name in named:
        assert re.search(rf"^  {name}\b", listed, re.MULTILINE), name


def test_its_make_targets_exist(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    readme = (repository / "README.md").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)\b", readme, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
