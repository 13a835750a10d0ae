"""A stand-in for vLLM's API without a model: each request ends after its length in steps.

    with installed(length) as engines:
        engine = VllmEngine(...)
        engine.open()
        ...engines[0].steps...

It schedules as vLLM does: first come, first served, at most `max_num_seqs` at a time, one token
for each of them a step.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

__all__ = ["StandIn", "installed"]

Length = Callable[[Sequence[int]], int]
"""Tokens of the answer to a prompt of these ids."""


class StandIn:
    """Takes `LLMEngine`'s place."""

    def __init__(self, max_num_seqs: int, length: Length) -> None:
        self.steps = 0
        self.started: dict[tuple[int, ...], int] = {}
        """Step in which a prompt's answer got its first token."""
        self.ended: dict[tuple[int, ...], int] = {}
        self.busy: list[int] = []
        """By step: how many answers were computed."""
        self.vllm_config = SimpleNamespace(cache_config=SimpleNamespace(block_size=32))
        self.engine_core = SimpleNamespace(shutdown=lambda: None)
        self._slots = max_num_seqs
        self._length = length
        self._waiting: deque[tuple[str, tuple[int, ...]]] = deque()
        self._running: dict[str, tuple[tuple[int, ...], int]] = {}

    def add_request(
        self, request_id: str, prompt: dict[str, list[int]], params: Any, **_more: Any
    ) -> None:
        self._waiting.append((request_id, tuple(prompt["prompt_token_ids"])))

    def step(self) -> list[Any]:
        self.steps += 1
        while self._waiting and len(self._running) < self._slots:
            number, ids = self._waiting.popleft()
            self._running[number] = (ids, self.steps + self._length(ids) - 1)
            self.started[ids] = self.steps
        self.busy.append(len(self._running))
        ended = [number for number, (_, last) in self._running.items() if last <= self.steps]
        return [self._output(number) for number in ended]

    def _output(self, number: str) -> Any:
        ids, last = self._running.pop(number)
        self.ended[ids] = last
        n = self._length(ids)
        answer = SimpleNamespace(
            text="fine", finish_reason="stop", token_ids=range(n), logprobs=None
        )
        return SimpleNamespace(
            request_id=number,
            finished=True,
            outputs=[answer],
            prompt_token_ids=ids,
            num_cached_tokens=0,
        )


@contextmanager
def installed(length: Length) -> Iterator[list[StandIn]]:
    """Until the end, `import vllm` finds the stand-in; yields the engines made of it."""
    made: list[StandIn] = []

    def from_engine_args(arguments: Any) -> StandIn:
        made.append(StandIn(arguments.max_num_seqs, length))
        return made[-1]

    contents: dict[str, dict[str, Any]] = {
        "vllm": {"SamplingParams": SimpleNamespace},
        "vllm.sampling_params": {"RequestOutputKind": SimpleNamespace(FINAL_ONLY=2)},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"EngineArgs": SimpleNamespace},
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
