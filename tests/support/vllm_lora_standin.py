"""A stand-in for vLLM that serves adapters, wrongly where base and adapter share a batch.

    with installed() as engines:
        engine = VllmEngine(...)
        engine.open()
        ...engines[0].steps...

As vLLM does on a CPU, it gives every request of a mixed batch the values of one adapter.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

__all__ = ["LoraStandIn", "greedy", "installed", "logprob"]

VOCABULARY = range(3, 12)
"""Tokens that are written."""


def logprob(adapter: str | None, prompt: Sequence[int], token: int) -> float:
    """What the stand-in gives `token` after `prompt`; another value for each adapter."""
    own = 0 if adapter is None else len(adapter)
    return -1.0 - (sum(prompt) * 3 + token * (1 + own)) % 7 - token / 64 - own / 16


def greedy(adapter: str | None, prompt: Sequence[int], steps: int) -> list[int]:
    """What the stand-in writes after `prompt`."""
    written: list[int] = []
    for _ in range(steps):
        said = [*prompt, *written]
        written.append(max(VOCABULARY, key=lambda token: logprob(adapter, said, token)))
    return written


@dataclass(eq=False)
class LoraStandIn:
    """Takes `LLMEngine`'s place; each request is answered in the step after it was added."""

    arguments: Any
    steps: list[set[str | None]] = field(default_factory=list)
    """By step: the adapters' folders in the batch, None for the base."""
    aborted: int = 0
    resets: int = 0
    is_shut: bool = False
    _waiting: list[tuple[str, tuple[int, ...], Any, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vllm_config = SimpleNamespace(cache_config=SimpleNamespace(block_size=32))
        self.engine_core = SimpleNamespace(shutdown=self._shut)

    def _shut(self) -> None:
        self.is_shut = True

    def add_request(
        self, request_id: str, prompt: dict[str, list[int]], params: Any, **more: Any
    ) -> None:
        lora = more.get("lora_request")
        if lora is not None and not getattr(self.arguments, "enable_lora", False):
            raise ValueError("LoRA is not enabled")
        adapter = None if lora is None else str(lora.lora_path)
        self._waiting.append((request_id, tuple(prompt["prompt_token_ids"]), params, adapter))

    def abort_request(self, request_ids: Sequence[str]) -> None:
        kept = [one for one in self._waiting if one[0] not in request_ids]
        self.aborted += len(self._waiting) - len(kept)
        self._waiting = kept

    def reset_prefix_cache(self) -> bool:
        self.resets += 1
        return True

    def has_unfinished_requests(self) -> bool:
        return bool(self._waiting)

    def step(self) -> list[Any]:
        assert not self.is_shut, "a step of an engine that was shut down"
        most = self.arguments.max_num_seqs
        batch, self._waiting = self._waiting[:most], self._waiting[most:]
        adapters = {adapter for _, _, _, adapter in batch}
        self.steps.append(adapters)
        wrong = next((a for a in adapters if a is not None), None)
        return [_output(number, ids, params, wrong) for number, ids, params, _ in batch]


def _output(number: str, ids: tuple[int, ...], params: Any, adapter: str | None) -> Any:
    labels = sorted({*VOCABULARY, *(getattr(params, "logprob_token_ids", None) or ())})
    written = greedy(adapter, ids, params.max_tokens)
    values = [
        {
            token: SimpleNamespace(logprob=logprob(adapter, [*ids, *written[:n]], token))
            for token in labels
        }
        for n in range(len(written))
    ]
    answer = SimpleNamespace(
        text=f"as {adapter}", finish_reason="stop", token_ids=written, logprobs=values
    )
    return SimpleNamespace(
        request_id=number,
        finished=True,
        outputs=[answer],
        prompt_token_ids=ids,
        num_cached_tokens=0,
        prompt_logprobs=None,
    )


class _Parameters(SimpleNamespace):
    detokenize = True


@contextmanager
def installed() -> Iterator[list[LoraStandIn]]:
    """Until the end, `import vllm` finds the stand-in; yields the engines made of it."""
    made: list[LoraStandIn] = []

    def from_engine_args(arguments: Any) -> LoraStandIn:
        assert all(engine.is_shut for engine in made), "vLLM takes one engine per process"
        made.append(LoraStandIn(arguments))
        return made[-1]

    def lora_request(name: str, number: int, path: str) -> Any:
        return SimpleNamespace(lora_name=name, lora_int_id=number, lora_path=path)

    contents: dict[str, dict[str, Any]] = {
        "vllm": {"SamplingParams": _Parameters},
        "vllm.sampling_params": {"RequestOutputKind": SimpleNamespace(FINAL_ONLY=2)},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"EngineArgs": SimpleNamespace},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": lora_request},
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.llm_engine": {
            "LLMEngine": SimpleNamespace(from_engine_args=from_engine_args)
        },
        "vllm.distributed": {},
        "vllm.distributed.parallel_state": {"cleanup_dist_env_and_memory": lambda: None},
    }
    modules = {}
    for name, names in contents.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(names)
    with mock.patch.dict(sys.modules, modules):
        yield made
