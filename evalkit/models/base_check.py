"""Checks that the base is the one the adapter was trained on.

PEFT does not: an adapter fits any model of the same shapes.  The evidence is examined in order of
strength, and the first conclusive one decides:

1. digests of the base's weights recorded beside the adapter (`evalkit_base.json`);
2. tokenizers: if the adapter's own gives other ids to more than 1% of the base's tokens, the base
   is another one;
3. the architecture in a config.json beside the adapter, where training left one;
4. the hub or package name in adapter_config.json (and its revision, where both are known);
5. where that name is a folder or file on this machine, the weights in it.

A folder's name proves nothing: every project has its `./base`.  A relative one may start at the
suite's folder, at the adapter's, or above it.  If the base is none of these folders, it is another
one; if it is one of them, whether it is the right one remains unknown, and there is a warning.  An
absolute path whose weights are unchanged since the adapter was written is enough; one that is not
here is another machine's, and says nothing about any base.

Shapes and layers are checked by the merge itself, which uses every adapter weight or fails.
A different base is an error, unless the suite states the name the adapter gives
(`allow_different_base`); then it is a warning in the report.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evalkit.errors import MergeError
from evalkit.models.checkpoint import (
    BASE_RECORD,
    Adapter,
    FileHashes,
    read_json,
    weight_files,
    weights_digest,
)
from evalkit.models.sources import (
    WeightsSource,
    is_absolute,
    is_commit,
    is_local,
    local_path,
)

__all__ = ["Base", "BaseCheck", "check_base", "check_base_unread"]

_SAME_TOKENS = 0.99
"""Share of base tokens that must keep their id; fine-tunes may rename a few reserved ones."""
_ARCHITECTURE = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "rms_norm_eps",
    "rope_theta",
)
"""Fields of config.json that fine-tuning with an adapter never changes."""


@dataclass(frozen=True)
class Base:
    """The base a suite names, ready to be merged into."""

    source: WeightsSource
    folder: Path
    """Checkpoint; of a GGUF file, the converted one."""
    digests: tuple[str, ...]
    """Of its weights; of a GGUF file also the file's own."""
    fingerprint: str


@dataclass
class BaseCheck:
    """What was found."""

    verdict: Literal["same", "different", "unknown"] = "unknown"
    text: str = ""
    """What was compared, and the result, in a sentence."""
    not_checked: list[str] = field(default_factory=list)
    unproved: str = ""
    """Where the verdict is unknown: what that means and how to record it.  No warning: most
    adapters are made without such a record."""
    warnings: list[str] = field(default_factory=list)

    def decide(self, verdict: Literal["same", "different"], text: str) -> BaseCheck:
        """Set both; returns itself."""
        self.verdict, self.text = verdict, text
        return self


def check_base(
    base: Base, adapter: Adapter, root: Path, allow: str | None, hashes: FileHashes
) -> BaseCheck:
    """Compare `base` with the base that `adapter` names.

    `root`: relative folder names in the adapter's config start there.  `allow`: the suite's
    `allow_different_base`.  Raises MergeError on another base that the suite does not allow.
    """
    found = _look(base, adapter, root, hashes)
    if found.verdict == "unknown":
        found.unproved = _unknown(base, adapter, found.text)
    if found.verdict == "different":
        trained = adapter.base_name or ""
        if allow is None or allow != trained:
            raise MergeError(_refusal(base, adapter, found.text, allow))
        found.text += f"; accepted because the suite allows a base other than {trained!r}"
        found.warnings.append(
            f"adapter {adapter.source.reference} was trained on {trained}, not on "
            f"{base.source.reference}: {found.text}"
        )
    return found


def check_base_unread(
    reference: str, source: WeightsSource | None, adapter: Adapter, root: Path, allow: str | None
) -> None:
    """As `check_base`, as far as that is known without reading weights.  Raises MergeError.

    `reference`, `source`: the base as the suite names it, and on this machine; None: it is not.
    """
    name = adapter.base_name
    if adapter.base_digests or (allow is not None and allow == name):
        return
    at = source or WeightsSource("hub", reference, Path(), reference)
    base, found = Base(at, at.path, (), ""), BaseCheck()
    other = None if source is None or source.is_gguf else _other_files(base, adapter)
    if other is not None:
        found.decide("different", other)
    elif not name or not _meant(name, adapter, root):
        found = _by_name(base, adapter, root, FileHashes(root), found)
    if found.verdict == "different":
        raise MergeError(_refusal(base, adapter, found.text, allow))


def _unknown(base: Base, adapter: Adapter, text: str) -> str:
    return (
        f"Whether adapter {adapter.source.reference} was trained on the weights of "
        f"{base.source.reference} is not known beyond its shapes: {text}; record it where the "
        f"adapter is trained, with `evalkit adapter record ADAPTER BASE`, which writes "
        f"{BASE_RECORD} beside it"
    )


def _refusal(base: Base, adapter: Adapter, text: str, allow: str | None) -> str:
    trained = adapter.base_name or "unnamed"
    start = (
        f"adapter {adapter.source.reference!r} was trained on {trained!r}, "
        f"not on {base.source.reference!r}: {text}; "
    )
    if allow is not None:
        start += f"allow_different_base is {allow!r}, expected the name the adapter gives; "
    return start + (
        f"name the right base, or write `allow_different_base: {json.dumps(trained)}` if it is "
        "the same under another name or you mean it"
    )


def _look(base: Base, adapter: Adapter, root: Path, hashes: FileHashes) -> BaseCheck:
    found = BaseCheck()
    recorded = adapter.base_digests
    if set(recorded) & set(base.digests):
        return found.decide("same", "the base's weights have the digest recorded at training")
    comparable = {_kind(d) for d in recorded} & {_kind(d) for d in base.digests}
    if comparable:
        return found.decide("different", "its weights do not have the digest recorded at training")
    found.not_checked.append("weights: none recorded beside the adapter that can be compared")
    other = _other_files(base, adapter)
    if other is not None:
        return found.decide("different", other)
    return _by_name(base, adapter, root, hashes, found)


def _other_files(base: Base, adapter: Adapter) -> str | None:
    """How tokenizer or architecture beside the adapter differ; None: they do not."""
    share = _shared_tokens(base.folder, adapter.path)
    if share is not None and share < _SAME_TOKENS:
        return f"only {share:.0%} of its tokens have the same id in the adapter's own"
    return _other_config(base.folder, adapter.path)


def _other_config(base: Path, adapter: Path) -> str | None:
    """How the architecture in config.json beside the adapter differs; None: it does not."""
    file = adapter / "config.json"
    ours, theirs = read_json(base / "config.json"), read_json(file) if file.is_file() else {}
    both = [f for f in _ARCHITECTURE if ours.get(f) is not None and theirs.get(f) is not None]
    differ = [f"{f} is {ours[f]!r}, there {theirs[f]!r}" for f in both if ours[f] != theirs[f]]
    return f"the config.json beside the adapter differs: {'; '.join(differ)}" if differ else None


def _kind(digest_text: str) -> str:
    return digest_text.partition(":")[0]


def _by_name(
    base: Base, adapter: Adapter, root: Path, hashes: FileHashes, found: BaseCheck
) -> BaseCheck:
    name = adapter.base_name
    if not name:
        found.text = "the adapter's config names no base"
        return found
    if name in _published_names(base.source):
        return _by_revision(base, adapter, found)
    meant = _meant(name, adapter, root)
    if meant:
        return _by_place(base, adapter, meant, hashes, found)
    is_path = is_local(name) or Path(name).parent == Path()
    same_folder = base.source.repo is None and Path(name).name == base.source.path.name
    if is_absolute(name) or (is_path and same_folder):
        found.text = f"the adapter's config names {name!r}, a path that is not here"
        return found
    return found.decide("different", "the names differ and nothing else shows they are the same")


def _published_names(source: WeightsSource) -> set[str]:
    """Names that mean the same on every machine; a folder's name does not."""
    names = {source.repo} if source.repo else set()
    return names | ({source.reference} if source.kind in ("hub", "package") else set())


def _meant(name: str, adapter: Adapter, root: Path) -> list[Path]:
    """Checkpoints on this machine that `name` may refer to."""
    if "://" in name:
        return []
    starts = (root, adapter.path, *adapter.path.parents)
    paths = {local_path(name, start).resolve() for start in starts}
    return sorted(p for p in paths if _is_model(p))


def _is_model(path: Path) -> bool:
    return (path / "config.json").is_file() or (path.suffix == ".gguf" and path.is_file())


def _by_revision(base: Base, adapter: Adapter, found: BaseCheck) -> BaseCheck:
    text = "the adapter's config gives this base's name"
    trained, here = adapter.base_revision, base.source.commit
    if is_commit(trained) and here:
        if trained != here:
            return found.decide("different", f"{text} but revision {trained}, here it is {here}")
        return found.decide("same", f"{text} and revision {trained}")
    if base.source.kind == "hub":
        found.not_checked.append("revision: the adapter's config names no commit")
    return found.decide("same", text)


def _by_place(
    base: Base, adapter: Adapter, meant: list[Path], hashes: FileHashes, found: BaseCheck
) -> BaseCheck:
    """`meant`: the checkpoints here that the adapter's name for its base may refer to."""
    name = adapter.base_name or ""
    equal = [p for p in meant if p == base.source.path or _digest(p, hashes) in base.digests]
    if not equal:
        return found.decide(
            "different", f"its weights differ from those in the folder the adapter names ({name!r})"
        )
    if not local_path(name, Path()).is_absolute():
        found.text = f"the adapter's config names {name!r}, and any folder can have that name"
    elif _newer(equal[0], adapter.weights):
        found.text = f"the weights in {name!r}, which its config names, are newer than the adapter"
    elif equal[0] == base.source.path:
        found.decide("same", "it is the folder the adapter's config names, unchanged since")
    else:
        found.decide("same", "its weights equal those in the folder the adapter names")
    return found


def _digest(path: Path, hashes: FileHashes) -> str | None:
    if path.is_file():
        return "gguf:" + hashes.sha256(path)
    return weights_digest(path, hashes) if weight_files(path) else None


def _newer(path: Path, adapter: Path) -> bool:
    files = [path] if path.is_file() else weight_files(path)
    return any(f.stat().st_mtime > adapter.stat().st_mtime for f in files)


def _shared_tokens(base: Path, adapter: Path) -> float | None:
    """Share of the base's tokens with the same id in the adapter's tokenizer; None: unknown."""
    ours, theirs = _vocabulary(base), _vocabulary(adapter)
    if not ours or not theirs:
        return None
    return sum(theirs.get(token) == i for token, i in ours.items()) / len(ours)


def _vocabulary(folder: Path) -> dict[str, int] | None:
    try:
        raw = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        vocab = raw["model"]["vocab"]
        added = {t["content"]: t["id"] for t in raw.get("added_tokens") or ()}
        if isinstance(vocab, list):
            vocab = {piece[0]: i for i, piece in enumerate(vocab)}
        found = {**vocab, **added}
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return found
