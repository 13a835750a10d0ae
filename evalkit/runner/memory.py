"""The memory that a model takes where it is loaded, before it is: a part of `evalkit plan`.

Nothing is loaded: config.json and the headers of the safetensors say what there will be.

- Weights: exact.  Floating point tensors count in the type they are served in, quantised ones as
  they are stored; what is tied to the embeddings, and layers for speculation alone, are not loaded.
- Attention keys and values: layers · 2 · heads of keys · head size a token (grouped queries), or
  the compressed latent (multi-head latent attention: DeepSeek-V2, section 2.1).  A layer with a
  sliding window keeps the window and the tokens of one step; vLLM on CPU keeps all.  Models whose
  state is another one (state spaces, linear attention, layers that share theirs) are unknown here:
  None.
- Head-room: an estimate of one step's largest activations (the feed-forward layer's, and the
  logits of each request in float32, which sampling copies), and 1 GiB for the process itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit import models
from evalkit.core import Json
from evalkit.core.machine import Room
from evalkit.core.protocols import Footprint, Sized
from evalkit.core.specs import EngineSpec, Suite
from evalkit.engines._local import context_window
from evalkit.errors import ModelError
from evalkit.models.checkpoint import read_json

__all__ = ["Memory", "memory_of"]

_SIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
_PROCESS = 2**30
_OTHER_STATE = re.compile(
    r"mamba|ssm|rwkv|recurrent|linear_(attn|num|key|value|conv)|conv_|block_types|attn_layer"
    r"|is_encoder_decoder|state_size|hybrid|kv_shared_layers|global_head_dim|index_topk|compress_"
    r"|attn_type|attn_config|block_configs|multi_query_group|use_cla"
)
"""Fields of models whose state is not that of plain attention."""
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
_HEADS = ("num_attention_heads", "n_head")
_WIDTH = ("hidden_size", "n_embd")
_FULL_EVERY = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6}
"""Every which layer sees the whole window, where config.json does not say."""
_ALL_SLIDING = frozenset({"mistral", "mixtral", "phi3", "starcoder2"})
_KEPT = re.compile(r"embed|lm_head|norm|router|gate\.weight")
"""Tensors that quantising while loading leaves alone."""
_MOST = 0.95
"""Of a GPU's memory: CUDA and its graphs take some beside."""
_LEAST_WINDOW = 1024
"""No smaller window is proposed: prompts would be cut."""


@dataclass(frozen=True)
class Memory:
    """What one model takes, in bytes of each device that it is split over; None: unknown."""

    model: str
    device: str
    """`cpu` or `cuda`."""
    window: int = 0
    """Tokens of prompt and answer together; 0: unknown."""
    batch: int = 0
    """Requests computed at the same time, at most."""
    weights: int | None = None
    kv_window: int | None = None
    """Keys and values of one request that fills the window: what there must be."""
    head_room: int | None = None
    """About, for activations and the process."""
    needed: int | None = None
    """The least with which it loads and answers."""
    available: int | None = None
    """On this machine; None: it has no such device."""
    fits: bool | None = None
    changes: tuple[str, ...] = ()
    """Where it does not fit: settings with which it does; each alone does."""
    note: str = ""
    """Why something is unknown."""


def memory_of(
    suite: Suite, root: Path, workspace: Path, devices: Mapping[str, Sequence[Room]]
) -> Iterator[Memory]:
    """Of each model of `suite` that is loaded, in its order.

    Args:
        suite: Checked.
        root: Relative paths start here.
        workspace: Holds converted checkpoints.
        devices: What there is (`machine.devices`).
    """
    for name, model in suite.models.items():
        engine = model.engine or suite.engine
        if model.role == "published" or not isinstance(engine, Sized):
            continue
        try:
            folder, tensors = models.headers(model, root, workspace)
            config = read_json(folder / "config.json")
            text = {**config, **(config.get("text_config") or {})}
            sizes = _Sizes(name, folder, text, tensors, devices)
            found = sizes.memory(engine)
            if found.fits is False:
                found = replace(found, changes=tuple(_changes(engine, found, sizes)))
        except ModelError as error:
            found = Memory(name, engine.footprint(0).device, note=str(error))
        yield found


@dataclass(frozen=True)
class _Sizes:
    """What the files say of a model, and what there is for it."""

    model: str
    folder: Path
    config: Mapping[str, Any]
    tensors: Sequence[models.Tensor]
    devices: Mapping[str, Sequence[Room]]

    def memory(self, spec: Sized) -> Memory:
        """With these settings."""
        window = context_window(self.folder, spec.max_model_len)
        of = spec.footprint(window)
        weights, kv, head = self._weights(of), self._kv(of, window), self._head_room(of)
        known = [size for size in (weights, kv) if isinstance(size, int)]
        notes = [why for why in (weights, kv) if isinstance(why, str)]
        seen = self.devices[of.device]
        if seen and len(seen) < of.split:
            notes.append(f"it is split over {of.split} GPUs, and nvidia-smi names {len(seen)}")
        share, used = of.share or 1.0, seen[: of.split]
        available = min((min(int(share * d.total), d.free) for d in used), default=None)
        least = head + sum(known)
        if of.reserved is not None and isinstance(kv, int):
            least += max(0, of.reserved - kv)
        fits = None if len(known) < 2 or available is None else True
        if available is not None and (
            least > available
            or len(used) < of.split
            or (of.share is not None and any(of.share * d.total > d.free for d in used))
            or (of.reserved is not None and isinstance(kv, int) and kv > of.reserved)
        ):
            fits = False
        return Memory(
            self.model, of.device, window, of.batch,
            weights=weights if isinstance(weights, int) else None,
            kv_window=kv if isinstance(kv, int) else None,
            head_room=head,
            needed=least if len(known) == 2 else None,
            available=available,
            fits=fits,
            note="; ".join(notes),
        )  # fmt: skip

    def _weights(self, of: Footprint) -> int | str:
        """Bytes on each device, or why they are unknown."""
        method = None if "quantization_config" in self.config else of.quantization
        if method not in (None, "fp8"):
            return f"how large its weights are with quantization {method!r} is unknown"
        total = 0
        for tensor in self.tensors:
            size = _SIZES[of.dtype]
            if method and len(tensor.shape) > 1 and not _KEPT.search(tensor.name):
                size = 1
            whole = tensor.dtype not in ("F64", "F32", "BF16", "F16")
            bytes_ = tensor.stored if whole else math.prod(tensor.shape) * size
            total += 0 if self._is_left_out(tensor.name) else bytes_
        return math.ceil(total / of.split)

    def _is_left_out(self, name: str) -> bool:
        """Whether a tensor of the files is not loaded: tied ones, and layers for speculation."""
        layer = re.match(r"model\.layers\.(\d+)\.", name)
        if layer is not None and int(layer[1]) >= (self._int("num_hidden_layers") or math.inf):
            return True
        is_tied = self.config.get("tie_word_embeddings") is True
        return name.endswith("rotary_emb.inv_freq") or (is_tied and name == "lm_head.weight")

    def _kv(self, of: Footprint, window: int) -> int | str:
        """Bytes on each device for one request that fills the window, or why unknown."""
        layers, heads, width = (self._int(*names) for names in (_LAYERS, _HEADS, _WIDTH))
        other = next((n for n, v in self.config.items() if _OTHER_STATE.search(n) and v), "")
        kinds = set(self.config.get("layer_types") or ())
        kinds -= {"full_attention", "sliding_attention", "chunked_attention"}
        if other or kinds or not (layers and heads and width):
            what = f"has {other or min(kinds)!r}" if other or kinds else "lacks layers or heads"
            return f"what it keeps of earlier tokens is unknown: config.json {what}"
        if rank := self._int("kv_lora_rank"):
            each = rank + (self._int("qk_rope_head_dim") or 0)
        else:
            groups = self._int("num_key_value_heads", "num_kv_heads", "n_head_kv") or heads
            if self.config.get("multi_query") and not self.config.get("new_decoder_architecture"):
                groups = 1
            size = self._int("head_dim") or width // heads
            each = 2 * max(1, groups // of.split) * size
        short, kept = self._sliding(layers), window
        if of.slack is not None:
            seen = self._int("sliding_window", "attention_chunk_size") or window
            kept = min(window, seen + of.slack)
        tokens = (layers - short) * window + short * kept
        return tokens * each * _SIZES[of.kv_dtype or of.dtype]

    def _sliding(self, layers: int) -> int:
        """How many of the layers see a window of the latest tokens alone."""
        config, kind = self.config, self.config.get("model_type")
        if config.get("layer_types"):
            return sum(of != "full_attention" for of in config["layer_types"])
        if not config.get("sliding_window") or config.get("use_sliding_window") is False:
            return 0
        every = self._int("sliding_window_pattern") or _FULL_EVERY.get(str(kind))
        return layers - layers // every if every else layers * (kind in _ALL_SLIDING)

    def _head_room(self, of: Footprint) -> int:
        """About how much a step and the process take, in bytes on each device."""
        size, width = _SIZES[of.dtype], self._int(*_WIDTH) or 0
        inner = self._int("intermediate_size", "n_inner", "ffn_dim") or 4 * width
        if chosen := self._int("num_experts_per_tok", "num_experts_per_token"):
            inner = max(inner, chosen * (self._int("moe_intermediate_size") or inner))
        step = of.step * 3 * (width + inner // of.split) * size
        return step + of.batch * (self._int("vocab_size") or 0) * (size + 3 * 4) + _PROCESS

    def _int(self, *names: str) -> int | None:
        """The first of these fields that is a number."""
        values = (self.config.get(name) for name in names)
        return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)

    def splits(self, most: int) -> list[int]:
        """Numbers of devices, up to `most`, that its heads can be split over."""
        return [n for n in (2, 4, 8) if n <= most and not (self._int(*_HEADS) or 0) % n]


def _changes(engine: EngineSpec, now: Memory, sizes: _Sizes) -> Iterator[str]:
    """Settings with which a model fits: each alone, else several together; none: none do."""

    def fits(change: Mapping[str, Json]) -> bool:
        changed = engine.model_copy(update=change)
        return isinstance(changed, Sized) and sizes.memory(changed).fits is True

    tried: dict[str, Sequence[Json]] = {
        "kv_cache_gib": [math.ceil(4 * (now.kv_window or 0) / 2**30) / 4],
        "dtype": ["bfloat16"],
    }
    if now.device == "cuda":
        rooms = sizes.devices["cuda"]
        free = min((int(100 * gpu.free / gpu.total) / 100 for gpu in rooms), default=0)
        tried = {
            "gpu_memory_utilization": [min(free, _MOST)],
            "tensor_parallel_size": sizes.splits(len(rooms)),
            "quantization": [] if "quantization_config" in sizes.config else ["fp8"],
            "kv_cache_dtype": ["fp8"],
        }
    shorter = [now.window >> n for n in range(1, 10) if now.window >> n >= _LEAST_WINDOW]
    able = {n: v for n, v in tried.items() if v and n in type(engine).model_fields}
    each = [[{name: v} for v in values] for name, values in able.items()]
    each.append([{"max_model_len": length} for length in shorter])
    found = [next(filter(fits, changes), None) for changes in each]
    if not any(found):
        last = {name: values[-1] for name, values in able.items()}
        found = [next(filter(fits, [last, *({**last, **one} for one in each[-1])]), None)]
    for change in filter(None, found):
        yield " with ".join(f"{name}: {value}" for name, value in change.items())
