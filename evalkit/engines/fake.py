"""An engine without a model: replies are computed from a hash of the request.

For tests of whole pipelines and for trying a suite without weights.  Equal requests get equal
replies, in any order and in any process; two models differ if their fingerprints do.

`generate` looks at the last message of the prompt, first rule that fits:

    it contains            reply ends with
    [[A]]                  [[A]], [[B]] or, if the prompt has [[C]], [[C]]
    [[rating]], [[number]] or [[5]]  [[1]] ... [[10]]
    'rank' and model_1     [{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]
    Output (m)             m or M
    anything else          (nothing: the reply is 5 to 60 plain words)

A model with `thinking` thinks 1 to 32 words before each of these, which `budget` may cut.

One word counts as one token.  `top_logprobs` spreads over A B m M 1 ... 10, so judges that read
the first token find their choices.  Log-likelihoods are negative, longer texts less likely.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from evalkit.core import Completion, Job, Json, PreparedModel, Rendered, Reply, Request
from evalkit.core.specs import EngineSpec
from evalkit.engines._keys import cut, request_digest
from evalkit.errors import EngineError, RequestFailed

__all__ = ["FakeEngine", "FakeSpec"]

STORY = (
    "the river bends slowly past a quiet mill where two old friends count coins and talk "
    "about bread rain music numbers and how a small plan became a long and happy road home"
)
WORDS = tuple(STORY.split())
CHOICES = ("A", "B", "m", "M", *(str(n) for n in range(1, 11)))


class FakeSpec(EngineSpec):
    """Settings of the fake engine."""

    operational = frozenset({"exclusive", "delay_s", "fail_every", "down", "faults"})

    type: Literal["fake"] = "fake"
    """`fake`: replies are computed from a hash, no model is loaded."""
    seed: int = 0
    """Other seeds give other replies."""
    exclusive: bool = False
    """Behave like an engine that needs the device to itself."""
    max_prompt_words: int | None = Field(default=None, ge=1)
    """Longer prompts end as `over_long`."""
    delay_s: float = Field(default=0.0, ge=0)
    """Seconds per request, one after the other."""
    fail_every: int = Field(default=0, ge=0)
    """About one request in so many fails, always the same ones; 0: none."""
    down: bool = False
    """Opening fails."""
    faults: str | None = None
    """A JSON file with any of delay_s, fail_every and down; read when the engine opens, and
    only while the file is there.  So faults can come and go without changing the suite."""


class FakeEngine:
    """Answers at once, or after `delay_s` per request."""

    needs_weights: ClassVar[bool] = False

    def __init__(
        self,
        spec: FakeSpec,
        model: PreparedModel,
        reply: Callable[[Request], Reply] | None = None,
    ) -> None:
        """`reply` replaces the rules of this module (unit tests)."""
        self.identity: Mapping[str, Json] = {
            "type": "fake",
            "model": model.fingerprint,
            "seed": spec.seed,
            "max_prompt_words": spec.max_prompt_words,
        }
        self.exclusive = spec.exclusive
        self.opened = 0
        """How often `open` succeeded."""
        self.answered = 0
        """Replies given, failures included."""
        self._spec, self._thinking = spec, model.thinking
        self._now = spec
        self._reply = reply or self._computed
        self._jobs: deque[Job] = deque()
        self._ready_at = 0.0
        self._is_open = False

    @property
    def pending(self) -> int:
        """Jobs not yet returned."""
        return len(self._jobs)

    def keys(self, requests: Sequence[Request]) -> list[str]:
        """Hash of the request as text."""
        return [request_digest(self.identity, request) for request in requests]

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        """Words."""
        return [len(_text(request).split()) for request in requests]

    def render(self, request: Request) -> Rendered | None:
        """One message per line; the "ids" are word lengths."""
        text = _text(request)
        return Rendered(text=text, prompt_ids=tuple(len(word) for word in text.split()))

    def open(self) -> None:
        """Read `faults`.  Raises EngineError when down, or where the file holds anything else."""
        self._now = _with_faults(self._spec)
        if self._now.down:
            raise EngineError(
                "the fake engine is down, as its setting 'down' says; set it to false"
            )
        self.opened += 1
        self._is_open = True
        self._ready_at = time.monotonic() + self._now.delay_s

    def submit(self, jobs: Sequence[Job]) -> None:
        """Accept jobs."""
        if not self._jobs:
            self._ready_at = time.monotonic() + self._now.delay_s
        self._jobs.extend(jobs)

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        """Replies whose time has come, in the order of requests."""
        if not self._is_open or not self._jobs:
            return []
        wait = self._ready_at - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, timeout))
        replies: list[tuple[int, Reply]] = []
        while self._jobs and time.monotonic() >= self._ready_at and len(replies) < 64:
            ticket, request = self._jobs.popleft()
            replies.append((ticket, self._reply(request)))
            self._ready_at += self._now.delay_s
        self.answered += len(replies)
        return replies

    def close(self) -> None:
        """Forget all jobs."""
        self._jobs.clear()
        self._is_open = False

    def _computed(self, request: Request) -> Reply:
        key = self.keys([request])[0]
        text = _text(request)
        n_words = len(text.split())
        limit = self._spec.max_prompt_words
        if limit is not None and n_words > limit:
            return RequestFailed("over_long", f"prompt has {n_words} words, at most {limit} fit")
        # Digits that the replies do not use, so that failures do not depend on them.
        if self._now.fail_every and int(key[-8:], 16) % self._now.fail_every == 0:
            return RequestFailed("engine_error", "the fake engine failed, as 'fail_every' says")
        if request.kind == "generate":
            made = _generated(request, key, n_words)
            return made if self._thinking is None else _thought(made, key, self._thinking.budget)
        scored = request.continuation if request.kind == "loglikelihood" else text
        n_scored = max(1, len(scored.split()))
        return Completion(
            logprob=-round((0.05 + 4 * _unit(key, 0)) * n_scored, 6),
            is_greedy=_unit(key, 1) < 0.25 if request.kind == "loglikelihood" else None,
            prompt_tokens=n_words + (n_scored if request.kind == "loglikelihood" else 0),
        )


def _text(request: Request) -> str:
    if isinstance(request.prompt, str):
        return request.prompt
    return "\n".join(f"<{m.role}> {m.content}" for m in request.prompt)


def _unit(key: str, place: int) -> float:
    """A number in [0, 1) from four hex digits of the key."""
    return int(key[4 * place : 4 * place + 4], 16) / 65536


def _generated(request: Request, key: str, prompt_tokens: int) -> Completion:
    last = request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content
    words = [WORDS[int(c, 16) + int(key[i - 1], 16)] for i, c in enumerate(key)]
    words = words[: 5 + int(_unit(key, 2) * 56)]
    verdict = _verdict(last, key)
    if verdict is not None:
        words = [*words[:5], verdict]
    text = cut(" ".join(words), request.stop)
    n_tokens = len(text.split())
    truncated = n_tokens > request.max_tokens
    if truncated:
        text = " ".join(text.split()[: request.max_tokens])
    return Completion(
        text=text,
        truncated=truncated,
        top_logprobs=_spread(key)[: request.top_logprobs],
        prompt_tokens=prompt_tokens,
        completion_tokens=min(n_tokens, request.max_tokens),
    )


def _thought(answer: Completion, key: str, budget: int | None) -> Completion:
    """The answer after a thought; without it where the thought is longer than its budget."""
    words = [WORDS[int(c, 16)] for c in key[: 1 + int(_unit(key, 4) * 32)]]
    unfinished = budget is not None and len(words) > budget
    words = words[:budget]
    return replace(
        answer,
        text="" if unfinished else answer.text,
        thought=" ".join(words),
        thought_tokens=len(words),
        unfinished=unfinished,
        truncated=unfinished or answer.truncated,
        completion_tokens=len(words) + (0 if unfinished else answer.completion_tokens),
    )


def _verdict(prompt: str, key: str) -> str | None:
    """The verdict that a judge's prompt requests; see the table at the top of this file."""
    if "[[A]]" in prompt:
        letters = "ABC" if "[[C]]" in prompt else "AB"
        return f"[[{letters[int(_unit(key, 3) * len(letters))]}]]"
    if re.search(r"\[\[(rating|number|\d+)\]\]", prompt):
        return f"[[{1 + int(_unit(key, 3) * 10)}]]"
    if "model_1" in prompt and "rank" in prompt:
        first = 1 + int(_unit(key, 3) * 2)
        ranks = (f"{{'model': 'model_{m}', 'rank': {r}}}" for r, m in ((1, first), (2, 3 - first)))
        return f"[{', '.join(ranks)}]"
    if "Output (m)" in prompt:
        return "mM"[int(_unit(key, 3) * 2)]
    return None


def _spread(key: str) -> tuple[tuple[str, float], ...]:
    """A probability for each of CHOICES, most likely first, as (token, log-probability)."""
    weights = {c: 0.02 + _unit(key, i) for i, c in enumerate(CHOICES)}
    total = sum(weights.values())
    logprobs = [(c, round(math.log(w / total), 6)) for c, w in weights.items()]
    return tuple(sorted(logprobs, key=lambda pair: (-pair[1], pair[0])))


def _with_faults(spec: FakeSpec) -> FakeSpec:
    if spec.faults is None:
        return spec
    path = Path(spec.faults)
    if not path.is_file():
        return spec
    try:
        return FakeSpec.model_validate({**spec.model_dump(), **_faults(path)})
    except (OSError, TypeError, ValueError) as error:
        raise EngineError(
            f"{path}: {error}; expected a JSON object with any of delay_s, fail_every and down: "
            f"correct the file or remove it"
        ) from error


def _faults(path: Path) -> dict[str, Json]:
    """Raises ValueError or TypeError where the file holds anything else."""
    faults = json.loads(path.read_text(encoding="utf-8"))
    unknown = sorted(set(faults) - {"delay_s", "fail_every", "down"})
    if unknown:
        raise ValueError(f"unknown fault {unknown[0]!r}")
    return dict(faults)
