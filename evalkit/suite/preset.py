"""The suite behind `evalkit run --base B --adapter A`: the chat benchmarks, base as baseline."""

from __future__ import annotations

import re

from evalkit.core import Json

__all__ = ["preset"]


def preset(base: str, adapter: str) -> dict[str, Json]:
    """A suite as a mapping, to be validated like any other.

    Models are named after the last part of `base` and `adapter`.
    """
    baseline, candidate = _name(base), _name(adapter)
    if candidate == baseline:
        candidate = f"{candidate}-adapted"
    return {
        "name": candidate,
        "models": {
            candidate: {"role": "candidate", "base": base, "adapter": adapter},
            baseline: {"role": "baseline", "path": base},
        },
        "engine": {"type": "vllm"},
        "judges": {"gpt-4": {"type": "openai", "model": "gpt-4-0613", "max_cost_usd": 40}},
        "benchmarks": [
            {"type": "alpaca_eval", "version": 1, "judge": "gpt-4"},
            {"type": "mt_bench", "judge": "gpt-4"},
            {"type": "open_llm_leaderboard", "version": 1},
        ],
    }


def _name(reference: str) -> str:
    last = re.split(r"[/\\]", reference.rstrip("/\\"))[-1].removesuffix(".gguf")
    return re.sub(r"[^\w.+=@-]+", "-", last).strip("-.")[:100] or "model"
