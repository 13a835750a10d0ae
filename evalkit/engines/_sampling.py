"""What a row of logits says: the most likely tokens, and the next one."""

from __future__ import annotations

from typing import Any

from evalkit.core import Request

__all__ = ["choose", "most_likely"]


def most_likely(logits: Any, count: int) -> dict[int, float]:
    """Log-probability by token of the `count` most likely ones; `logits`: [vocabulary]."""
    import torch

    values, tokens = torch.log_softmax(logits, dim=-1).topk(min(count, logits.shape[-1]))
    return dict(zip(tokens.tolist(), values.tolist(), strict=True))


def choose(logits: Any, request: Request, generator: Any) -> int:
    """The next token: the most likely one, or a draw from the top_p nucleus at temperature."""
    import torch

    if generator is None:
        return int(logits.argmax())
    weights = torch.softmax(logits.cpu().double() / request.temperature, dim=-1)
    ordered, tokens = weights.sort(descending=True, stable=True)
    # A token stays while the mass before it is below top_p, so the first always does.
    ordered[(ordered.cumsum(0) - ordered) >= request.top_p] = 0.0
    return int(tokens[torch.multinomial(ordered, 1, generator=generator)])
