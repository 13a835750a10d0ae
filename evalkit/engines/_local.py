"""What engines that load weights themselves have in common: rendering, keys, small helpers."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.metadata
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from evalkit.core import Json, PreparedModel, Rendered, Request
from evalkit.engines._keys import request_key
from evalkit.engines._rendering import Renderer
from evalkit.engines._scoring import Pair, rolling_windows

__all__ = ["LocalEngine", "cuda_present", "give_back_memory", "package_version", "top"]


class LocalEngine:
    """Renders requests and derives their cache keys; subclasses answer them."""

    needs_weights: ClassVar[bool] = True
    identity: Mapping[str, Json]
    exclusive: bool

    def __init__(self, model: PreparedModel, max_model_len: int | None, seed: int) -> None:
        self.exclusive = True
        self._model = model
        self._seed = seed
        self._renderer = Renderer(model, max_model_len)

    def keys(self, requests: Sequence[Request]) -> list[str]:
        """A hex digest per request; see `_keys.request_key`."""
        tokens = self._renderer.tokens(requests)
        return [
            request_key(self.identity, r, t, self._seed)
            for r, t in zip(requests, tokens, strict=True)
        ]

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        """Prompt length of each request in tokens, after any cut."""
        return [len(t.prompt) for t in self._renderer.tokens(requests)]

    def render(self, request: Request) -> Rendered:
        """The request as the model sees it."""
        return self._renderer.render(request)

    def checks(self) -> Mapping[str, Json]:
        """How log-likelihoods are computed, where the engine had to find that out."""
        path = getattr(self, "scoring_path", None)
        if path is None:
            return {}
        return {"scoring_path": path, "scoring_reason": getattr(self, "scoring_reason", "")}

    def _pairs(self, request: Request) -> list[Pair]:
        """The (context, continuation) pairs a log-likelihood request is the sum of."""
        tokens = self._renderer.tokens([request])[0]
        if request.kind == "loglikelihood":
            return [(tokens.prompt, tokens.continuation)]
        # One token of the window stays free for the one vLLM must generate, as in lm-eval.
        return rolling_windows(tokens.prompt, self._renderer.prefix_id, self._renderer.max_len - 2)


def package_version(names: Sequence[str]) -> str | None:
    """`name version` of the first distribution that is installed; imports nothing."""
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{name} {importlib.metadata.version(name)}"
    return None


def cuda_present() -> bool:
    """Whether torch would find a CUDA device; answered without importing it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return False
    if "+cpu" in (package_version(["torch"]) or ""):
        return False
    return any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/dxg"))


def top(
    logprobs: Mapping[int, float], count: int, renderer: Renderer
) -> tuple[tuple[str, float], ...]:
    """The `count` most likely tokens as text; equal ones in order of their id."""
    ranked = sorted(logprobs.items(), key=lambda item: (-item[1], item[0]))[:count]
    return tuple((renderer.token_text(token), float(value)) for token, value in ranked)


def give_back_memory() -> None:
    """Return freed memory to the operating system and the device."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):
        # glibc keeps freed heap pages otherwise; other C libraries have no malloc_trim.
        ctypes.CDLL(None).malloc_trim(0)
