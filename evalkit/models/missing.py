"""What a model still needs from the hub, asked without going there: for plans."""

from __future__ import annotations

from pathlib import Path

from evalkit.specs import ModelSpec

__all__ = ["missing"]


def missing(spec: ModelSpec, root: Path) -> tuple[str, ...]:
    """References of `spec` that would have to be downloaded; relative paths start at `root`."""
    wanted = (
        (spec.path, spec.revision),
        (spec.base, spec.base_revision),
        (spec.adapter, spec.adapter_revision),
    )
    return tuple(
        reference
        for reference, revision in wanted
        if reference is not None
        and "://" not in reference
        and not (root / reference).exists()
        and not _fetched(reference, revision)
    )


def _fetched(repo: str, revision: str | None) -> bool:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        snapshot_download(repo, revision=revision, local_files_only=True)
    except (HFValidationError, LocalEntryNotFoundError, OSError):
        return False
    return True
