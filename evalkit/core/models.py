"""A model ready to serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.core.requests import Json
from evalkit.core.specs import ThinkingSpec

__all__ = ["PreparedModel"]


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
    """Jinja source in use; None: this model has none and takes raw text only."""
    template_source: str
    """`tokenizer`, `adapter` (its own, without a tokenizer), `tokenizer:NAME` (one of several),
    `file:PATH`, `fastchat:NAME` or `none`."""
    system_role: bool = True
    """False: the chat template refuses a system message, which is left out, as lm-eval does."""
    dated: bool = False
    """The chat template can print the date."""
    trust_remote_code: bool = False
    provenance: Mapping[str, Json] = field(default_factory=dict)
    """Source, revision, base, adapter, merge proof, warnings: shown in the report."""
    chat_template_kwargs: Mapping[str, Json] = field(default_factory=dict)
    """More variables for the chat template."""
    generation: Mapping[str, Json] = field(default_factory=dict)
    """Settings of its generation_config.json that change what is generated, neutral ones left out;
    see `Request.own_settings`."""
    thinking: ThinkingSpec | None = None
    """As the suite has it; None: known marks are found in template, tokenizer and replies."""
