"""Plain forward passes of a transformers model over padded batches: the reference for scoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalkit.engines._scoring import Pair
from evalkit.engines._tree import Scored

__all__ = ["padded", "score_items", "score_pairs"]


def score_items(lm: Any, items: Sequence[Sequence[Pair]], device: str, size: int) -> list[Scored]:
    """Scores of items, each the sum over its pairs, numbered from 0; `size` pairs in one pass."""
    found = [Scored(number, 0.0, True, 0, 0) for number in range(len(items))]
    owned = [(number, pair) for number, pairs in enumerate(items) for pair in pairs]
    for at in range(0, len(owned), size):
        part = owned[at : at + size]
        scores = score_pairs(lm, [pair for _, pair in part], device)
        for (number, (context, continuation)), (logprob, is_greedy) in zip(
            part, scores, strict=True
        ):
            old, tokens = found[number], len(context) + len(continuation)
            found[number] = Scored(
                number,
                old.logprob + logprob,
                old.is_greedy and is_greedy,
                old.tokens + tokens,
                # The last token is looked up, not put through the model.
                old.computed + tokens - 1,
            )
    return found


def padded(sequences: Sequence[Sequence[int]], device: str) -> tuple[Any, Any, Any]:
    """Ids, attention mask and positions, padded on the left; each [batch, longest]."""
    import torch

    longest = max(len(s) for s in sequences)
    ids = [[0] * (longest - len(s)) + list(s) for s in sequences]
    mask = torch.tensor([[0] * (longest - len(s)) + [1] * len(s) for s in sequences])
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return torch.tensor(ids, device=device), mask.to(device), positions.to(device)


def score_pairs(lm: Any, pairs: Sequence[Pair], device: str) -> list[tuple[float, bool]]:
    """Log-likelihood and is_greedy of each pair, from one pass over all of them.

    Log-probabilities are a float32 log-softmax of the model's logits, added up in float64.
    """
    import torch

    inputs = [[*context, *continuation[:-1]] for context, continuation in pairs]
    rows = max(len(continuation) for _, continuation in pairs)
    with torch.inference_mode():
        ids, mask, positions = padded(inputs, device)
        # The last `rows` logits are all that is read; the rest would not fit in memory.
        output = lm(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=rows,
        )
        logprobs = torch.log_softmax(output.logits[:, -rows:].float(), dim=-1)
    return [_read(logprobs[n], continuation) for n, (_, continuation) in enumerate(pairs)]


def _read(logprobs: Any, continuation: Sequence[int]) -> tuple[float, bool]:
    """Sum over the continuation, and whether each token was the most likely one.

    `logprobs`: [rows, vocabulary]; the last row predicts the continuation's last token.
    """
    import torch

    rows = logprobs[-len(continuation) :]
    wanted = torch.tensor(list(continuation), device=rows.device)
    picked = rows.gather(1, wanted[:, None])[:, 0]
    return float(picked.double().sum()), bool((rows.argmax(dim=-1) == wanted).all())
