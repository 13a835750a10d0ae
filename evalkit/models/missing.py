"""What a model still needs from the hub, asked without going there: for plans."""

from __future__ import annotations

from pathlib import Path

from evalkit.core.specs import ModelSpec
from evalkit.errors import ModelError
from evalkit.models.hub import is_cached
from evalkit.models.sources import check_named, on_hub

__all__ = ["missing"]


def missing(spec: ModelSpec, root: Path) -> tuple[str, ...]:
    """References of `spec` that would have to be downloaded; relative paths start at `root`.

    A folder or file that is not there is none of them: `prepare` raises ModelError for it, and
    so nothing is listed where one of the references is such.
    """
    wanted = (
        (spec.path, spec.revision),
        (spec.base, spec.base_revision),
        (spec.adapter, spec.adapter_revision),
    )
    named = [(reference, revision) for reference, revision in wanted if reference is not None]
    try:
        for reference, _ in named:
            check_named(reference, root)
    except ModelError:
        return ()
    return tuple(
        reference
        for reference, revision in named
        if on_hub(reference, root) and not is_cached(reference, revision)
    )
