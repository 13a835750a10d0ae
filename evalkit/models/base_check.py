"""Is this the base the adapter was trained on?

PEFT does not ask: an adapter fits any model of the same shapes.  Here the evidence is looked at
in order of strength, and the first that decides does:

1. digests of the base's weights recorded beside the adapter (`evalkit_base.json`);
2. tokenizers: the adapter's own and the base's give most tokens other ids -> another base;
3. the name in adapter_config.json (and its revision, where both are known);
4. where that name is a folder on this machine, the weights in it.

Shapes and layers are checked by the merge itself, which uses every adapter weight or fails.
A base found to be another one is an error, unless the suite writes out the name the adapter
gives (`allow_different_base`); then it is a warning that the report shows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evalkit.errors import MergeError
from evalkit.models.adapter import Adapter
from evalkit.models.checkpoint import weight_files
from evalkit.models.fingerprint import FileHashes, weights_digest
from evalkit.models.sources import Source, is_commit

__all__ = ["Base", "BaseCheck", "check_base"]

_SAME_TOKENS = 0.99
"""Share of base tokens that must keep their id; a few are renamed where reserved ones are used."""


@dataclass(frozen=True)
class Base:
    """The base a suite names, ready to be merged into."""

    source: Source
    folder: Path
    """Checkpoint; for a GGUF file what it was converted to."""
    digests: tuple[str, ...]
    """Of its weights; of a GGUF file also the file's own."""
    fingerprint: str


@dataclass(frozen=True)
class BaseCheck:
    """What was found."""

    verdict: Literal["same", "different", "unknown"]
    text: str
    """What was compared and what came out, in a sentence."""
    not_checked: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass
class _Findings:
    verdict: Literal["same", "different", "unknown"] = "unknown"
    text: str = ""
    not_checked: list[str] = field(default_factory=list)

    def decide(self, verdict: Literal["same", "different"], text: str) -> _Findings:
        self.verdict, self.text = verdict, text
        return self


def check_base(
    base: Base, adapter: Adapter, root: Path, allow: str | None, hashes: FileHashes
) -> BaseCheck:
    """Compare `base` with what `adapter` says it was trained on.

    `root`: relative folder names in the adapter's config start there.  `allow`: the suite's
    `allow_different_base`.  Raises MergeError on another base that the suite does not allow.
    """
    found = _look(base, adapter, root, hashes)
    if found.verdict == "unknown":
        return BaseCheck("unknown", found.text, tuple(found.not_checked), (_unknown(adapter),))
    if found.verdict == "same":
        return BaseCheck("same", found.text, tuple(found.not_checked))
    trained = adapter.base_name or ""
    if allow is None or allow != trained:
        raise MergeError(_refusal(base, adapter, found.text, allow))
    text = f"{found.text}; accepted because the suite allows a base other than {trained!r}"
    warning = (
        f"adapter {adapter.source.reference} was trained on {trained}, not on "
        f"{base.source.reference}: {text}"
    )
    return BaseCheck("different", text, tuple(found.not_checked), (warning,))


def _unknown(adapter: Adapter) -> str:
    return (
        f"adapter {adapter.source.reference} does not say what it was trained on; whether this "
        "is its base could not be checked beyond its shapes"
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


def _look(base: Base, adapter: Adapter, root: Path, hashes: FileHashes) -> _Findings:
    found = _Findings()
    recorded = adapter.base_digests
    if set(recorded) & set(base.digests):
        return found.decide("same", "the base's weights have the digest recorded at training")
    comparable = {_kind(d) for d in recorded} & {_kind(d) for d in base.digests}
    if comparable:
        return found.decide("different", "its weights do not have the digest recorded at training")
    found.not_checked.append("weights: none recorded beside the adapter that can be compared")
    share = _shared_tokens(base.folder, adapter.path)
    if share is not None and share < _SAME_TOKENS:
        return found.decide(
            "different", f"only {share:.0%} of its tokens have the same id in the adapter's own"
        )
    return _by_name(base, adapter, root, hashes, found)


def _kind(digest_text: str) -> str:
    return digest_text.partition(":")[0]


def _by_name(
    base: Base, adapter: Adapter, root: Path, hashes: FileHashes, found: _Findings
) -> _Findings:
    name = adapter.base_name
    if not name:
        found.text = "the adapter's config names no base"
        return found
    here = {base.source.reference.rstrip("/"), base.source.repo}
    if name.rstrip("/") in here:
        return _by_revision(base, adapter, found)
    for folder in (root / name, adapter.path / name):
        if folder.is_dir() and (folder / "config.json").is_file():
            return _by_folder(base, folder, hashes, found)
    return found.decide("different", "the names differ and nothing else shows they are the same")


def _by_revision(base: Base, adapter: Adapter, found: _Findings) -> _Findings:
    text = "the adapter's config gives this base's name"
    trained, here = adapter.base_revision, base.source.commit
    if is_commit(trained) and here:
        if trained != here:
            return found.decide("different", f"{text} but revision {trained}, here it is {here}")
        return found.decide("same", f"{text} and revision {trained}")
    if base.source.kind == "hub":
        found.not_checked.append("revision: the adapter's config names no commit")
    return found.decide("same", text)


def _by_folder(base: Base, folder: Path, hashes: FileHashes, found: _Findings) -> _Findings:
    """`folder` is the one the adapter was trained on, and still here."""
    if folder.samefile(base.folder):
        return found.decide("same", "it is the folder the adapter's config names")
    if weight_files(folder) and weights_digest(folder, hashes) in base.digests:
        return found.decide("same", "its weights equal those in the folder the adapter names")
    return found.decide(
        "different", "its weights differ from those in the folder the adapter names"
    )


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
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return {**vocab, **added}
