"""Adapters for the stand-in of `tests.support.vllm_lora_standin`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalkit.core import KnownPrompt, UnmergedAdapter
from tests.support.vllm_lora_standin import greedy, logprob

__all__ = ["unmerged"]

STEPS = 3
TOKENS = (3, 4, 5, 6)


def unmerged(base: Path, path: Path, rank: int) -> UnmergedAdapter:
    """An adapter that the stand-in serves as it should."""
    known = tuple(
        KnownPrompt(prompt, _steps(None, prompt), _steps(str(path), prompt))
        for prompt in ((5, 6, 7), (8, 9))
    )
    return UnmergedAdapter(base, path, rank, known)


def _steps(adapter: str | None, prompt: tuple[int, ...]) -> tuple[Mapping[int, float], ...]:
    written = greedy(adapter, prompt, STEPS)
    steps = []
    for n, token in enumerate(written):
        # After the prompt both models are compared on the same tokens; the likeliest is among
        # those of its own step.
        others = greedy(None, prompt, 1) + greedy(adapter, prompt, 1) if n == 0 else [token]
        wanted = sorted({*TOKENS, *others})
        steps.append({t: logprob(adapter, [*prompt, *written[:n]], t) for t in wanted})
    return tuple(steps)
