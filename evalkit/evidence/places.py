"""Where the command that made a run was given: the folder that its file names are relative to.

A run does not keep that folder, which is of someone's machine; it follows from where the run lies
and from the files that are there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalkit.core import Run

__all__ = ["where_made"]

_WITH_VALUE = ("--model", "--out")
"""Options of `import` whose values are no files that are read."""
_REPORTS = 3
"""Folders between a run and its workspace: reports/SUITE/RUN."""


def where_made(run: Run, command: str) -> str:
    """The folder for a reader who is in the present one; empty where the command names no files.

    Args:
        run: As it was read.
        command: One of its manifest's.
    """
    words = command.split()
    files = list(_files(words)) if words[:2] == ["evalkit", "import"] else []
    if not files or all(Path(name).is_absolute() for name in files):
        return ""
    for folder in _folders(Path(run.folder).absolute(), words):
        if all((folder / name).exists() for name in files):
            return os.path.relpath(folder)
    return "a folder that is not known: file names are relative to it"


def _files(words: Sequence[str]) -> Iterator[str]:
    """File names of an import's command line."""
    is_value = False
    for word in words[3:]:
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            is_value = not equals and name in _WITH_VALUE
            if equals and name not in _WITH_VALUE:
                yield value
        elif not is_value and not word.startswith("-"):
            yield word
        else:
            is_value = False


def _folders(run: Path, words: Sequence[str]) -> Iterator[Path]:
    """Where it may have been given, the likeliest first."""
    out = _out(words)
    if out is not None and not out.is_absolute():
        parts = Path(os.path.normpath(out)).parts
        if run.parts[-len(parts) :] == parts:
            yield Path(*run.parts[: -len(parts)])
    elif out is None and len(run.parents) > _REPORTS - 1:
        yield run.parents[_REPORTS - 1]
    yield Path.cwd()


def _out(words: Sequence[str]) -> Path | None:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--out":
            return Path(following)
        if word.startswith("--out="):
            return Path(word.removeprefix("--out="))
    return None
