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


def find_workspace(suite_path: Path) -> Path:
    """The nearest folder at or above `suite_path` that has `.evalkit`, else the current one."""
    start = suite_path.resolve()
    for folder in (start, *start.parents):
        if (folder / ".evalkit").is_dir():
            return folder
    return Path.cwd()
