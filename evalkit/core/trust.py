"""Whose code may run.

A suite, a task file or a model may be a stranger's.  What in them is code (a `!function`, a type
with a dotted path, `trust_remote_code`) runs only with the user's consent: `--trust-suite`, or
EVALKIT_TRUST with the files and folders whose code may run (separated as in PATH).

Consent is one object for a command, `current()`: whatever comes upon such code asks it before the
code runs.  Where nobody gave it, in a new thread for one, only EVALKIT_TRUST counts.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.specs import ModelSpec
from evalkit.errors import Problem, SuiteError

__all__ = ["Code", "Trust", "current", "model_code", "module_code", "trusting"]


@dataclass(frozen=True)
class Code:
    """Code that a suite, a task file or a model brings."""

    runs: str
    """What would run, in words."""
    where: str = ""
    """What asks for it, as `file:line`; empty: whoever reports it knows."""
    places: tuple[Path, ...] = ()
    """The file that asks for it, and the one it is in."""
    root: Path | None = None
    """Folder of the suite."""


class Trust:
    """What the user consented to, and what was run by it."""

    def __init__(self, suite: bool = False, *, environment: bool = True) -> None:
        """`suite`: whether --trust-suite was given; `environment`: whether EVALKIT_TRUST counts."""
        self._suite, self._environment = suite, environment
        self._read: dict[Path, Path] = {}
        self._used: dict[str, str] = {}

    @property
    def used(self) -> tuple[str, ...]:
        """What runs by consent, in the order it was come upon."""
        return tuple(f"{where}: {runs}" if where else runs for runs, where in self._used.items())

    def afresh(self) -> Trust:
        """The same consent, before any suite was read."""
        return Trust(self._suite, environment=self._environment)

    def read(self, suite: Path) -> None:
        """Note that a suite's file was read: consent to it is consent to all that it brings."""
        self._read[_resolved(suite)] = suite

    def suites_in(self, root: Path) -> list[Path]:
        """Files of suites that were read, in the folder `root`, as they were named."""
        return [named for suite, named in self._read.items() if suite.parent == _resolved(root)]

    def refusal(self, code: Code) -> str:
        """Why `code` may not run, and how to consent; empty where it may."""
        if code.runs in self._used or self._allows(code):
            self._used.setdefault(code.runs, code.where)
            return ""
        place = next(iter(code.places), code.root or "PATH")
        return (
            f"would run {code.runs}, and its author's code runs only with your consent: read it, "
            f"then add --trust-suite to the command (in Python, trust_suite=True), or set "
            f"EVALKIT_TRUST={place}"
        )

    def ask(self, code: Code | None) -> None:
        """Raise SuiteError where `code` may not run; None: there is none."""
        if code is not None and (refusal := self.refusal(code)):
            raise SuiteError([Problem(code.where, refusal)] if code.where else refusal)

    def _allows(self, code: Code) -> bool:
        named = os.environ.get("EVALKIT_TRUST", "") if self._environment else ""
        trusted = [_resolved(Path(name)) for name in named.split(os.pathsep) if name]
        # A folder that a stored run names as its suite's may be anyone's: the file must be read.
        suites = self.suites_in(code.root) if code.root else []
        asking = map(_resolved, [*suites, *code.places])
        return self._suite or any(p.is_relative_to(t) for p in asking for t in trusted)


def _resolved(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, ~ of nobody, a NUL
        return path.absolute()


_CURRENT: ContextVar[Trust | None] = ContextVar("trust", default=None)


def current() -> Trust:
    """Whom to ask before code of a suite's author runs."""
    return _CURRENT.get() or Trust()


@contextmanager
def trusting(trust: Trust) -> Iterator[Trust]:
    """Make `trust` the current one."""
    token = _CURRENT.set(trust)
    try:
        yield trust
    finally:
        _CURRENT.reset(token)


def model_code(spec: ModelSpec, root: Path) -> Code:
    """What `trust_remote_code` runs of a model, whose relative paths start at `root`."""
    named = [name for name in (spec.path, spec.base, spec.adapter) if name is not None]
    places = [root / os.path.expanduser(name) for name in named]  # noqa: PTH111 - never raises
    folders = tuple(place for place in places if place.is_dir())
    files = ", ".join(sorted(file.name for folder in folders for file in folder.glob("*.py")))
    runs = f"Python files that come with {' and '.join(map(repr, named))}"
    return Code(f"{runs} ({files})" if files else runs, places=folders, root=root)


def module_code(name: str, root: Path | None = None) -> Code | None:
    """The module of the dotted path `name`, which a suite in `root` names; None: there is none.

    Nothing is imported, not even the package it is in.
    """
    try:
        found = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None:
        return None
    inside = list(found.submodule_search_locations or ())
    place = inside[0] if inside else found.origin if found.has_location else None
    at, places = (f" ({place})", (Path(place),)) if place else ("", ())
    return Code(f"the module {name!r}{at}", places=places, root=root)
