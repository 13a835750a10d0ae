"""Where suites and workspaces are."""

from __future__ import annotations

from pathlib import Path

from evalkit.errors import SuiteError
from evalkit.suite.wording import choices_hint

__all__ = ["bundled", "find_workspace", "locate"]

_PACKAGE = Path(__file__).resolve().parent.parent


def bundled() -> dict[str, Path]:
    """Suites that come with evalkit, by name: in a wheel, or beside a source checkout."""
    for folder in (_PACKAGE / "bundled", _PACKAGE.parent / "suites"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def locate(name_or_path: str) -> Path:
    """A suite's file, given as a path or by the name of a bundled suite.

    Raises:
        SuiteError: neither is there.
    """
    path = Path(name_or_path)
    try:
        if path.is_file():
            return path
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    known = bundled()
    if name_or_path in known:
        return known[name_or_path]
    if exists:
        return path
    hint = choices_hint(name_or_path, list(known))
    raise SuiteError(f"no suite {name_or_path!r}: no such file, nor a bundled suite{hint}")


def find_workspace(suite: str | None = None) -> Path:
    """The folder that `.evalkit` and `reports` belong to.

    The nearest folder above the suite's file that has `.evalkit`, else the current one.  A suite
    named without a path (a bundled one), and None, belong to where the command runs: its own
    file may lie in an installation.
    """
    own = suite is not None and Path(suite).exists()
    start = Path(suite).resolve() if own and suite is not None else Path.cwd()
    for folder in (start, *start.parents):
        if (folder / ".evalkit").is_dir():
            return folder
    return Path.cwd()
