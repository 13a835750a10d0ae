"""A model ready to serve, and an adapter to be served beside its base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.core.requests import Json

__all__ = ["KnownPrompt", "PreparedModel", "UnmergedAdapter"]


@dataclass(frozen=True)
class KnownPrompt:
    """Per greedy step float32 natural log-probabilities of some next token ids.

    After the prompt, then after each likeliest token.  Both first steps name the same tokens.
    """

    prompt: tuple[int, ...]
    """Token ids."""
    base: tuple[Mapping[int, float], ...]
    """Without the adapter."""
    merged: tuple[Mapping[int, float], ...]
    """With the adapter merged into the weights, before any rounding."""


@dataclass(frozen=True)
class UnmergedAdapter:
    """The folder of a PEFT adapter that is served beside its base's weights, and theirs."""

    base: Path
    """Checkpoint of the base's weights."""
    path: Path
    """The adapter's folder."""
    rank: int
    """Largest of its LoRA matrices."""
    known: tuple[KnownPrompt, ...]
    """What base and merged model answer, to check against."""


@dataclass(frozen=True)
class PreparedModel:
    """A model ready to serve: weights on disk and where they came from."""

    name: str
    """Name in the suite."""
    role: str
    """`candidate`, `baseline`, or `judge`."""
    path: Path | None
    """Folder with a transformers checkpoint; None for models served elsewhere."""
    fingerprint: str
    """Hex digest of weights, config, tokenizer and chat template."""
    chat_template: str | None
    """Jinja source in use; None: this model has none and only raw text may be asked."""
    template_source: str
    """`tokenizer`, `file:PATH`, `fastchat:NAME` or `none`."""
    trust_remote_code: bool = False
    provenance: Mapping[str, Json] = field(default_factory=dict)
    """Source, revision, base, adapter, merge proof, warnings: shown in the report."""
    unmerged: UnmergedAdapter | None = None
    """An adapter to be served so; `path` then holds all but the weights."""
