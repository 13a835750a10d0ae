"""The one place that talks to a model hub, through huggingface_hub.

HF_ENDPOINT, HF_HUB_OFFLINE and HF_HUB_CACHE are read at each call; HF_TOKEN is read by
huggingface_hub itself and never seen here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import ModelError

__all__ = ["Download", "download", "is_cached"]

_PATTERNS = (
    "*.json",
    "*.jinja",
    "*.model",
    "*.safetensors",
    "*.tiktoken",
    "merges.txt",
    "vocab.txt",
)
_TRUE = frozenset({"1", "on", "yes", "true"})


@dataclass(frozen=True)
class Download:
    """A repository's files on this machine."""

    path: Path
    commit: str
    """Full hash the revision stood for."""
    warning: str | None = None


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE


def download(repo: str, revision: str | None, *, code: bool = False) -> Download:
    """Fetch weights, config and tokenizer of `repo` at `revision` (default: its main branch).

    `code`: also its Python files.  Files already on this machine are not fetched again, and do
    when the hub cannot be reached.  Raises ModelError.
    """
    # HTTPError is that of whichever HTTP library huggingface_hub uses (httpx, later httpx2).
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HTTPError,
        OfflineModeIsEnabled,
        RevisionResolutionError,
    )

    if _offline():
        return _cached(repo, revision, "HF_HUB_OFFLINE is set", code)
    try:
        commit, files = _listing(repo, revision)
        path = _snapshot(repo, commit, patterns=_wanted(files, code), local=False)
    except HfHubHTTPError as error:
        raise ModelError(_refusal(repo, revision, error)) from error
    except (HTTPError, OfflineModeIsEnabled, OSError, RevisionResolutionError) as error:
        if isinstance(error, OSError) and error.errno is not None and not _is_network(error):
            raise
        reason = f"{_endpoint()} cannot be reached ({type(error).__name__})"
        return _cached(repo, revision, reason, code)
    return Download(path, commit)


def _is_network(error: OSError) -> bool:
    return isinstance(error, ConnectionError | TimeoutError | FileNotFoundError)


def _listing(repo: str, revision: str | None) -> tuple[str, tuple[str, ...]]:
    from huggingface_hub import HfApi

    info = HfApi(endpoint=_endpoint()).model_info(repo, revision=revision, timeout=20)
    return str(info.sha), tuple(s.rfilename for s in info.siblings or ())


def _wanted(files: Sequence[str], code: bool) -> list[str]:
    """Patterns to fetch: pickled weights only where there are no safetensors."""
    patterns = list(_PATTERNS)
    if not any(f.endswith(".safetensors") for f in files):
        patterns += ["pytorch_model*.bin", "adapter_model.bin"]
    if code:
        patterns.append("*.py")
    return patterns


def _snapshot(repo: str, revision: str | None, *, patterns: list[str], local: bool) -> Path:
    from huggingface_hub import snapshot_download

    options: dict[str, Any] = {"endpoint": _endpoint()}
    if os.environ.get("HF_HUB_CACHE"):
        options["cache_dir"] = os.environ["HF_HUB_CACHE"]
    # Files in subfolders (other formats, training states) are not the model.
    return Path(
        snapshot_download(
            repo,
            revision=revision,
            allow_patterns=patterns,
            ignore_patterns=["*/*"],
            local_files_only=local,
            **options,
        )
    )


def is_cached(repo: str, revision: str | None) -> bool:
    """Whether `download` would find it on this machine; nobody is asked."""
    try:
        _cached(repo, revision, "nobody was asked", code=False)
    except ModelError:
        return False
    return True


def _cached(repo: str, revision: str | None, reason: str, code: bool) -> Download:
    """The copy on this machine, with a warning that says why it was used.  Raises ModelError."""
    from huggingface_hub.errors import HFValidationError, RevisionResolutionError

    try:
        # What is cached counts as whole only against the patterns it was fetched with.
        path = _snapshot(repo, revision, patterns=_wanted((".safetensors",), code), local=True)
        if not any(path.glob("*.safetensors")):
            path = _snapshot(repo, revision, patterns=_wanted((), code), local=True)
    except (OSError, HFValidationError, RevisionResolutionError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise ModelError(
            f"cannot get {repo!r}{at}: {reason} and it is not in the local cache; connect to the "
            "network, set HF_ENDPOINT to a mirror, or download it elsewhere and name its folder"
        ) from error
    return Download(path, path.name, f"{repo}: {reason}; the copy in the local cache was used")


def _refusal(repo: str, revision: str | None, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.errors import RevisionNotFoundError as NoRevision

    start = f"cannot get {repo!r} from {_endpoint()}: "
    if isinstance(error, GatedRepoError):
        return start + "access must be asked for on its page; then log in with `hf auth login`"
    if isinstance(error, NoRevision):
        return start + f"it has no revision {revision!r}; expected a commit hash, branch or tag"
    if isinstance(error, RepositoryNotFoundError):
        return start + (
            "there is no such repository, or it is private; check the name, or log in with "
            "`hf auth login`"
        )
    status = getattr(getattr(error, "response", None), "status_code", "an error")
    return start + f"the hub answered {status}; try again later, or name a local folder"
