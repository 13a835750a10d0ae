"""Puts packs of a token trie through a transformers model, and says which models allow it.

One pass computes a pack (`_tree.Pack`) on top of the keys and values of one path.  A four-
dimensional attention mask lets each token see its ancestors alone, and explicit positions put
it where it stands in its own sequence, so that every token gets the logits it would get in a
pass of its own, up to rounding.

That is true of models that take such a mask as it is, compute positions from `position_ids`
alone and keep plain keys and values; sliding windows become part of the mask.  `sharing` names
what is known to stand in the way, and compares with plain passes for whatever else there is.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from evalkit.engines._padded import score_pairs
from evalkit.engines._scoring import Pair
from evalkit.engines._tree import Forest, Pack

__all__ = ["TOLERANCE", "TreePass", "Windows", "difference", "ends", "path_slots", "sharing"]

TOLERANCE = {"float32": 1e-4, "float16": 1e-1, "bfloat16": 1.0}
"""How far a log-likelihood of up to five tokens may lie from the plain pass's, by dtype.

A few times what rounding does (SmolLM2: 2e-5, 3e-2 and 3e-1 nats); a wrong mask or wrong
positions move them by several nats.
"""

_CHECK_TOKENS = 5
"""Tokens that the tolerance is for; longer continuations may differ by more, in proportion."""
_SHORT = 64
"""Tokens of a sequence that the tolerance is for; it is ten times as much for longer ones."""
_CHECK_LIMITS = (64, 5)
"""Tokens of a pack, when packs are compared with plain passes: everything in one, and many."""

_MOST_LOGITS = 2**26
"""Logits of a pass at most: 256 MiB of float32, a few times over."""

Windows: TypeAlias = Mapping[str, int | None]
"""How far back a layer looks, by layer type; None: to the beginning."""


class TreePass:
    """A model, and the keys and values of the path that its last pack ended with.

    `most_rows`: of how many tokens a pack may want something, so that the logits fit in memory.
    """

    def __init__(self, lm: Any, device: str, windows: Windows) -> None:
        self._lm = lm
        self._device = device
        self._windows = windows
        self._cache: Any = None
        self._slots: list[int] = []
        vocabulary = int(lm.config.get_text_config(decoder=True).vocab_size)
        self.most_rows = max(1, _MOST_LOGITS // vocabulary)

    def run(self, pack: Pack) -> tuple[list[float], list[bool]]:
        """Log-probability and is-most-likely of each edge the pack wants.

        Raises RuntimeError where the model does something else than asked, and whatever it
        raises itself; `forget` before the next pack then.
        """
        import torch

        base = pack.depths[0]
        rows = [node for node, _ in itertools.groupby(pack.nodes)]
        with torch.inference_mode():
            self._keep(base)
            output = self._lm(
                input_ids=_tensor(pack.tokens, self._device)[None],
                attention_mask=self._masks(pack.depths),
                position_ids=_tensor(pack.depths, self._device)[None],
                past_key_values=self._cache,
                use_cache=True,
                # Without any row, one is computed: not every head takes an empty tensor.
                logits_to_keep=torch.tensor(rows or [len(pack.tokens) - 1], device=self._device),
            )
            if output.logits.shape[1] != max(1, len(rows)):
                raise RuntimeError(f"{len(rows)} rows were asked for, {output.logits.shape} came")
            self._slots = path_slots(pack.depths)
            return _read(output.logits[0], pack) if rows else ([], [])

    def forget(self) -> None:
        """Drop keys and values."""
        self._cache, self._slots = None, []

    def _keep(self, base: int) -> None:
        """Leave in the cache the first `base` tokens of the path."""
        import torch
        from transformers import DynamicCache

        if base > len(self._slots):
            raise RuntimeError(f"the path has {len(self._slots)} tokens, and {base} are needed")
        if not base:
            # Without the model's config every layer keeps all it has seen.
            self._cache = DynamicCache()
            return
        slots = self._slots[:base]
        kept: Any = slice(0, base)
        if slots[-1] != base - 1:
            kept = torch.tensor(slots, device=self._device)
        for layer in self._cache.layers:
            layer.keys = layer.keys[..., kept, :]
            layer.values = layer.values[..., kept, :]

    def _masks(self, depths: array[int]) -> Any:
        """Additive masks [1, 1, pack, path + pack]: one, or one for each layer type."""
        import torch

        depth = _tensor(depths, self._device)
        number = torch.arange(len(depths), device=self._device)
        end = torch.tensor(ends(depths), device=self._device)
        past = torch.arange(depths[0], device=self._device)
        # A subtree is contiguous; of the path, a token sees what lies above its first ancestor.
        within = (number[:, None] >= number) & (number[:, None] < end)
        above = past < depth.cummin(0).values[:, None]
        visible = torch.cat([above, within], dim=1)
        back = depth[:, None] - torch.cat([past, depth])
        found = {
            kind: self._additive(visible if width is None else visible & (back < width))
            for kind, width in self._windows.items()
        }
        return found if len(found) > 1 else next(iter(found.values()))

    def _additive(self, visible: Any) -> Any:
        import torch

        dtype = self._lm.dtype
        mask = torch.zeros(visible.shape, dtype=dtype, device=self._device)
        return mask.masked_fill_(~visible, torch.finfo(dtype).min)[None, None]


def _tensor(numbers: array[int], device: str) -> Any:
    import torch

    return torch.tensor(numbers, dtype=torch.long, device=device)


def _read(logits: Any, pack: Pack) -> tuple[list[float], list[bool]]:
    """`logits`: [rows, vocabulary], a row for each distinct node of the pack's edges."""
    import torch

    logprobs = torch.log_softmax(logits.float(), dim=-1)
    numbers = [n for n, (_, edges) in enumerate(itertools.groupby(pack.nodes)) for _ in edges]
    rows = torch.tensor(numbers, device=logits.device)
    labels = _tensor(pack.labels, logits.device)
    best = logprobs.argmax(dim=-1)[rows] == labels
    return logprobs[rows, labels].tolist(), best.tolist()


# --- the shape of a pack --------------------------------------------------------------------


def ends(depths: Sequence[int]) -> list[int]:
    """For each token of a pack, the number after its last descendant's (or its own)."""
    found = [len(depths)] * len(depths)
    open_: list[int] = []
    for at, depth in enumerate(depths):
        while open_ and depths[open_[-1]] >= depth:
            found[open_.pop()] = at
        open_.append(at)
    return found


def path_slots(depths: Sequence[int]) -> list[int]:
    """Where the path to the last token lies: in the path before, followed by the pack."""
    base = depths[0]
    slots = list(range(base))
    for at, depth in enumerate(depths):
        del slots[depth:]
        slots.append(base + at)
    return slots


# --- which models ---------------------------------------------------------------------------


def sharing(lm: Any, device: str, length: int) -> tuple[TreePass | None, str]:
    """How to put packs through a model, or None and the reason why they cannot be trusted.

    Args:
        lm: A causal language model of transformers.
        device: Where it is.
        length: Tokens of the longest sequence it will be asked.

    Compares packs with plain passes on a few fixed sequences, a branch of a branch and tokens
    past a branch among them, in one pack and in many.  Never raises: what fails is a reason.
    """
    try:
        windows = _windows(lm, length)
        if isinstance(windows, str):
            return None, windows
        return _compared(TreePass(lm, device, windows), lm, device)
    except Exception as error:  # noqa: BLE001 - whatever it is, the plain pass needs none of it
        return None, f"{type(error).__name__}: {error}"


def difference(
    lm: Any, device: str, pairs: Sequence[Pair], logprobs: Sequence[float]
) -> tuple[bool, str]:
    """Whether log-likelihoods are those of plain passes up to rounding, and a line that says so.

    `logprobs`: what is to be compared, by pair.
    """
    plain = score_pairs(lm, pairs, device)
    found = [abs(ours - theirs) for ours, (theirs, _) in zip(logprobs, plain, strict=True)]
    longest = max(len(context) + len(continuation) for context, continuation in pairs)
    scales = [max(1.0, len(continuation) / _CHECK_TOKENS) for _, continuation in pairs]
    # Attention over a thousand tokens rounds more often than over fifteen.
    slack = 1.0 if longest <= _SHORT else 10.0
    tolerance = slack * TOLERANCE.get(str(lm.dtype).removeprefix("torch."), 0.0)
    # Written so that NaN fails.
    alike = all(d <= tolerance * scale for d, scale in zip(found, scales, strict=True))
    worst = max(found, key=lambda d: (math.isnan(d), d))
    return alike, (
        f"largest difference from plain passes {worst:.1e} in sequences of up to {longest} "
        f"tokens; tolerance {tolerance:.0e}"
    )


def _compared(passes: TreePass, lm: Any, device: str) -> tuple[TreePass | None, str]:
    pairs = _check_pairs(int(lm.config.get_text_config(decoder=True).vocab_size))
    packed = [logprob for limit in _CHECK_LIMITS for logprob in _packed(passes, pairs, limit)]
    alike, told = difference(lm, device, pairs * len(_CHECK_LIMITS), packed)
    return (passes if alike else None), told


def _check_pairs(vocabulary: int) -> list[Pair]:
    """Branches, branches of branches, equal beginnings and one-token contexts."""
    ids = [7919 * n % vocabulary for n in range(3, 30)]
    stem, (a, b, c, d, e), other = ids[:8], ids[8:13], ids[13:]
    return [
        (stem, [a]),
        (stem, [b]),
        (stem, [a, c, d, e]),
        (stem, [a, c, e, b]),
        (stem, [b, d, c, a, e]),
        ([*stem, a], [d, b]),
        ([*stem[:5], *other[:3]], [a]),
        ([*stem[:5], *other[:2]], [a, b, c]),
        (stem[:1], [a, b]),
        (other[:1], [d]),
    ]


def _packed(passes: TreePass, pairs: Sequence[Pair], limit: int) -> list[float]:
    forest = Forest()
    for ticket, pair in enumerate(pairs):
        forest.add(ticket, [pair])
    found: dict[int, float] = {}
    while (pack := forest.next(limit, limit)) is not None:
        found |= {score.ticket: score.logprob for score in forest.receive(pack, *passes.run(pack))}
    passes.forget()
    return [found[ticket] for ticket in range(len(pairs))]


def _length_dependent(rope: Any) -> bool:
    """Whether rotary frequencies change with the longest position of a pass."""
    if not isinstance(rope, Mapping):
        return False
    types = (rope.get("rope_type"), rope.get("type"))
    return any(t in ("dynamic", "longrope") for t in types) or any(
        _length_dependent(inner) for inner in rope.values()
    )


def _windows(lm: Any, length: int) -> Windows | str:
    """How far each type of layer looks back in sequences of up to `length` tokens.

    A reason instead, where the model's configuration says that packs would not give the numbers
    of plain passes.
    """
    from transformers import DynamicCache, cache_utils

    config = lm.config.get_text_config(decoder=True)
    if getattr(config, "num_kv_shared_layers", None):
        return "its layers share keys and values"
    if _length_dependent(getattr(config, "rope_parameters", None)):
        return "its rotary frequencies depend on the longest sequence of a pass"
    kinds = getattr(config, "layer_types", None)
    layers = DynamicCache(config=config).layers
    found: dict[str, int | None] = {}
    for kind, layer in zip(kinds or itertools.repeat("attention"), layers, strict=False):
        width = None
        if type(layer) is cache_utils.DynamicSlidingWindowLayer and "chunked" not in kind:
            width = int(layer.sliding_window)
        elif type(layer) is not cache_utils.DynamicLayer:
            return f"its cache has a {type(layer).__name__} ({kind})"
        width = None if width is None or width >= length else width
        if found.setdefault(kind, width) != width:
            return f"its layers of type {kind} look back by different lengths"
    if len(set(found.values())) == 1:
        return {"attention": next(iter(found.values()))}
    return found
