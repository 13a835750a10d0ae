"""lm-eval's own evaluator on evalkit's engines.

    lm_eval.simple_evaluate(model=engine_lm(engine, "my-model"), tasks=[...])

Requests take the same way as those of the `lm_eval` benchmark, so a cached engine serves both.
The tests use it as that benchmark's oracle: same engine, but lm-eval's loop, filters and
aggregation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from evalkit.benchmarks.lm_eval import chat_prompt, requests_of, response
from evalkit.core import Completion, Request
from evalkit.core.protocols import Engine
from evalkit.errors import BenchmarkError, RequestFailed

__all__ = ["engine_lm"]

_WAIT_S = 1.0


def engine_lm(engine: Engine, name: str, seed: int = 0) -> Any:
    """`engine` as an instance of `lm_eval.api.model.LM`.

    Args:
        engine: open, with nothing pending; the caller closes it.
        name: what requests say in `Request.engine`.
        seed: for sampled generations: the suite's seed.

    Returns:
        An LM whose methods raise BenchmarkError where a request fails, because lm-eval has no
        word for a missing answer.
    """
    return _class()(engine, name, seed)


@cache
def _class() -> Any:
    """The subclass is made on first use, because its base costs seconds to import."""
    from lm_eval.api.model import LM

    class EngineLM(LM):  # type: ignore[misc]
        """An evalkit engine as a model of lm-eval."""

        def __init__(self, engine: Engine, name: str, seed: int) -> None:
            super().__init__()
            self._engine = engine
            self._name = name
            self._seed = seed

        @property
        def tokenizer_name(self) -> str:
            """Part of lm-eval's request cache key (which evalkit does not use)."""
            return self._name

        def apply_chat_template(
            self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
        ) -> str:
            """The conversation itself: the engine applies its model's template."""
            return chat_prompt(chat_history, add_generation_prompt)

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            """(log-probability, is greedy) of each continuation."""
            return self._respond(requests)

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            """Log-probability of each text."""
            return self._respond(requests)

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            """Generated texts."""
            return self._respond(requests)

        def _respond(self, instances: Sequence[Any]) -> list[Any]:
            asked = _repeated(instances, self._name, self._seed)
            answered = _ask(self._engine, asked)
            return [response(i, c) for i, c in zip(instances, answered, strict=True)]

    return EngineLM


def _repeated(instances: Sequence[Any], name: str, seed: int) -> list[Request]:
    """lm-eval passes an instance as often as it repeats; each time is the next trial."""
    trials: Counter[int] = Counter()
    asked = []
    for instance in instances:
        asked.append(requests_of(instance, name, seed, chat=False)[trials[id(instance)]])
        trials[id(instance)] += 1
    return asked


def _ask(engine: Engine, requests: Sequence[Request]) -> list[Completion]:
    engine.submit(list(enumerate(requests)))
    replies: dict[int, Completion] = {}
    while len(replies) < len(requests):
        for ticket, reply in engine.poll(_WAIT_S):
            if isinstance(reply, RequestFailed):
                raise BenchmarkError(
                    f"a request of lm-eval failed ({reply.status}): {reply}"
                ) from reply
            replies[ticket] = reply
    return [replies[ticket] for ticket in range(len(requests))]
