"""Answers that someone already has, instead of a model: nothing is loaded and nothing is sent.

The settings name the files of a model's answers (or figures).  Formats read them, and the runner
replays recorded answers in the model's place (`runner/known.py`).  A request that still reaches
this engine has no recorded answer and is excluded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from evalkit.core import Job, Json, PreparedModel, Rendered, Reply, Request
from evalkit.core.specs import EngineSpec
from evalkit.engines._keys import request_digest
from evalkit.errors import RequestFailed

__all__ = ["Recorded", "RecordedSpec"]


class RecordedSpec(EngineSpec):
    """Answers that someone already has."""

    type: Literal["recorded"] = "recorded"
    """`recorded`: answers and figures are read from files."""
    answers: dict[str, str] = Field(default_factory=dict)
    """By benchmark entry: a file of answers (alpaca_eval outputs, FastChat answers, IFEval
    responses), relative to the suite, or the name of a data set."""
    results: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """By benchmark entry: result files of lm-eval, with or without samples, or of the tool that a
    `recorded` benchmark names, likewise."""


class Recorded:
    """An engine that answers nothing by itself."""

    needs_weights: ClassVar[bool] = False
    exclusive = False

    def __init__(self, spec: RecordedSpec, model: PreparedModel) -> None:
        self.identity: Mapping[str, Json] = {
            "type": "recorded",
            "answers": dict(spec.answers),
            "results": {name: list(files) for name, files in spec.results.items()},
            "fingerprint": model.fingerprint,
        }
        self._waiting: list[int] = []
        self._is_open = False

    @property
    def pending(self) -> int:
        """Jobs not yet refused."""
        return len(self._waiting)

    def keys(self, requests: Sequence[Request]) -> list[str]:
        """One digest per request, never of a stored answer."""
        return [request_digest(self.identity, request) for request in requests]

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        """Unknown."""
        return [None] * len(requests)

    def render(self, request: Request) -> Rendered | None:
        """None: the prompts were sent elsewhere."""
        del request
        return None

    def open(self) -> None:
        """Nothing to load."""
        self._is_open = True

    def submit(self, jobs: Sequence[Job]) -> None:
        """Accept jobs only to refuse them."""
        self._waiting.extend(ticket for ticket, _ in jobs)

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        """Every job failed as `excluded`; nothing before `open`."""
        del timeout
        if not self._is_open:
            return []
        done, self._waiting = self._waiting, []
        reason = "there is no recorded answer to this question"
        return [(ticket, RequestFailed("excluded", reason)) for ticket in done]

    def close(self) -> None:
        """Nothing to release."""
        self._is_open = False
