"""The `transformers` engine: plain forward passes, the reference the others are checked against.

Source: Hugging Face transformers' `AutoModelForCausalLM`.  Correctness before speed: batches
are padded on the left, log-probabilities are a float32 log-softmax of the model's own logits,
and log-likelihoods are read off one pass over context and continuation.

Departures from `model.generate`, and why: the decoding loop is our own, so that every row has
its own stop strings, token limit, temperature and random generator.  A sampled answer
therefore depends on its seed only, not on who shares the batch (up to rounding of the logits).
Text is decoded token by token in the light of the prompt, as vLLM does, so that both engines
return the same spaces.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from evalkit.engines._keys import sampling_seed
from evalkit.engines._local import (
    LocalEngine,
    cuda_present,
    cut,
    give_back_memory,
    package_version,
    top,
)
from evalkit.engines._scoring import Pair
from evalkit.errors import EngineError, RequestFailed
from evalkit.specs import Dtype, EngineSpec
from evalkit.types import Completion, Job, PreparedModel, Reply, Request

__all__ = ["TransformersEngine", "TransformersSpec"]


class TransformersSpec(EngineSpec):
    """Plain transformers: slow, and the reference."""

    operational = frozenset({"batch_size", "device"})

    type: Literal["transformers"] = "transformers"
    """`transformers`: plain forward passes, the reference."""
    dtype: Dtype = "auto"
    """Type of weights and arithmetic; auto: float32 on CPU, bfloat16 on CUDA."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: CUDA where there is a device."""
    batch_size: int = Field(default=8, ge=1)
    """Requests computed at the same time."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Tokens of prompt and answer together; default: the model's own window."""
    seed: int = 0
    """Seeds sampled requests that bring no seed of their own."""


@dataclass(slots=True)
class _Row:
    """One generation in a batch."""

    request: Request
    prompt: list[int]
    limit: int
    """New tokens at most."""
    generator: Any
    """torch.Generator; None for greedy decoding."""
    stream: Any
    ids: list[int] = field(default_factory=list)
    text: str = ""
    first: dict[int, float] = field(default_factory=dict)
    finished: bool = False
    truncated: bool = False


class TransformersEngine(LocalEngine):
    """Answers requests with a transformers model."""

    def __init__(self, spec: TransformersSpec, model: PreparedModel) -> None:
        super().__init__(model, spec.max_model_len, spec.seed)
        self._spec = spec
        self._device: str = spec.device
        if spec.device == "auto":
            self._device = "cuda" if cuda_present() else "cpu"
        self._dtype = spec.dtype
        if spec.dtype == "auto":
            self._dtype = "bfloat16" if self._device == "cuda" else "float32"
        self.identity = {
            "type": "transformers",
            "distribution": package_version(["transformers"]),
            "torch": package_version(["torch"]),
            "model": model.fingerprint,
            "device": self._device,
            "dtype": self._dtype,
            "max_model_len": self._renderer.max_len,
        }
        self._lm: Any = None
        self._generations: list[Job] = []
        self._scored: list[Job] = []
        self._done: list[tuple[int, Reply]] = []

    @property
    def pending(self) -> int:
        """Jobs submitted and not yet returned by `poll`."""
        return len(self._generations) + len(self._scored) + len(self._done)

    # --- life --------------------------------------------------------------------------------

    def open(self) -> None:
        """Load the model.  Raises EngineError with what to do."""
        if self._lm is not None:
            return
        path = str(self._renderer.path)
        try:
            import torch
            from transformers import AutoModelForCausalLM

            with _no_progress_bar():
                self._lm = AutoModelForCausalLM.from_pretrained(
                    path,
                    dtype=getattr(torch, self._dtype),
                    trust_remote_code=self._model.trust_remote_code,
                    local_files_only=True,
                )
            self._lm = self._lm.to(self._device).eval()
        except Exception as error:
            self._lm = None
            give_back_memory()
            raise EngineError(
                f"transformers cannot load model {self._model.name!r} from {path!r} onto "
                f"{self._device!r} as {self._dtype!r}: {error}; check the checkpoint, free "
                f"memory, or choose another dtype or device"
            ) from error

    def close(self) -> None:
        """Drop the model and its memory; queued jobs are forgotten.  Idempotent."""
        self._lm = None
        self._generations, self._scored, self._done = [], [], []
        self._renderer.forget()
        give_back_memory()

    # --- work --------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs; may be called before `open`."""
        tokens = self._renderer.tokens([request for _, request in jobs])
        for job, rendered in zip(jobs, tokens, strict=True):
            if rendered.failure is not None:
                self._done.append((job[0], rendered.failure))
            else:
                (self._generations if job[1].kind == "generate" else self._scored).append(job)

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        """Compute batches until something finishes; one batch may take longer than `timeout`."""
        deadline = time.monotonic() + timeout
        while self._lm is not None and not self._done and (self._generations or self._scored):
            self._batch()
            if time.monotonic() >= deadline:
                break
        done, self._done = self._done, []
        return done

    def _batch(self) -> None:
        queue = self._generations or self._scored
        # Rows that end together waste the least of a batch.
        queue.sort(key=lambda job: (-job[1].max_tokens, job[0]))
        size = self._spec.batch_size
        jobs, queue[:size] = queue[:size], []
        answer = self._generate if jobs[0][1].kind == "generate" else self._score
        try:
            self._done += answer(jobs)
        except Exception as error:  # noqa: BLE001 - one request must not take the others along
            if len(jobs) == 1:
                failure = RequestFailed("engine_error", f"transformers failed: {error}")
                self._done.append((jobs[0][0], failure))
                return
            for job in jobs:
                self._retry_alone(job, answer)

    def _retry_alone(self, job: Job, answer: Any) -> None:
        try:
            self._done += answer([job])
        except Exception as error:  # noqa: BLE001 - reported as this request's failure
            failure = RequestFailed("engine_error", f"transformers failed: {error}")
            self._done.append((job[0], failure))

    # --- log-likelihoods ---------------------------------------------------------------------

    def _score(self, jobs: Sequence[Job]) -> list[tuple[int, Reply]]:
        pairs = [(n, pair) for n, (_, r) in enumerate(jobs) for pair in self._pairs(r)]
        sums = [0.0] * len(jobs)
        greedy = [True] * len(jobs)
        size = self._spec.batch_size
        for at in range(0, len(pairs), size):
            part = pairs[at : at + size]
            scores = self._score_pairs([pair for _, pair in part])
            for (number, _), (logprob, is_greedy) in zip(part, scores, strict=True):
                sums[number] += logprob
                greedy[number] = greedy[number] and is_greedy
        lengths = [0] * len(jobs)
        for number, (context, continuation) in pairs:
            lengths[number] += len(context) + len(continuation)
        return [
            (ticket, Completion(logprob=sums[n], is_greedy=greedy[n], prompt_tokens=lengths[n]))
            for n, (ticket, _) in enumerate(jobs)
        ]

    def _score_pairs(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        import torch

        inputs = [[*context, *continuation[:-1]] for context, continuation in pairs]
        rows = max(len(continuation) for _, continuation in pairs)
        with torch.inference_mode():
            ids, mask, positions = _padded(inputs, self._device)
            # The last `rows` logits are all that is read; the rest would not fit in memory.
            output = self._lm(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                use_cache=False,
                logits_to_keep=rows,
            )
            logprobs = torch.log_softmax(output.logits[:, -rows:].float(), dim=-1)
        return [_read(logprobs[n], continuation) for n, (_, continuation) in enumerate(pairs)]

    # --- generation --------------------------------------------------------------------------

    def _generate(self, jobs: Sequence[Job]) -> list[tuple[int, Reply]]:
        import torch

        rows = [self._row(request) for _, request in jobs]
        with torch.inference_mode():
            for logits in self._decode(rows):
                for n, row in enumerate(rows):
                    if not row.finished:
                        self._advance(row, logits[n].float())
        return [
            (ticket, self._completion(row)) for (ticket, _), row in zip(jobs, rows, strict=True)
        ]

    def _row(self, request: Request) -> _Row:
        import torch
        from tokenizers.decoders import DecodeStream

        prompt = list(self._renderer.tokens([request])[0].prompt)
        seed = sampling_seed(request, self._seed)
        # Drawn on the CPU: a device's generator gives other numbers for the same seed.
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        limit = min(request.max_tokens, self._renderer.max_len - len(prompt))
        stream = DecodeStream(ids=prompt, skip_special_tokens=True)
        return _Row(request, prompt, limit, generator, stream)

    def _decode(self, rows: Sequence[_Row]) -> Iterator[Any]:
        """Logits of the next token, row by row, until every row is finished."""
        import torch

        ids, mask, positions = _padded([row.prompt for row in rows], self._device)
        cache = None
        while not all(row.finished for row in rows):
            output = self._lm(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = output.past_key_values
            yield output.logits[:, -1]
            # Finished rows go on with their last token, unread.
            ids = torch.tensor([[row.ids[-1]] for row in rows], device=self._device)
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
            positions = positions[:, -1:] + 1

    def _advance(self, row: _Row, logits: Any) -> None:
        request = row.request
        if request.top_logprobs and not row.ids:
            row.first = _most_likely(logits, request.top_logprobs)
        token = _choose(logits, request, row.generator)
        row.ids.append(token)
        if token in self._renderer.stop_ids:
            row.finished = True
            return
        row.text += row.stream.step(self._renderer.tokenizer.backend_tokenizer, token) or ""
        row.finished = cut(row.text, request.stop) != row.text
        if not row.finished and len(row.ids) >= row.limit:
            row.finished = row.truncated = True

    def _completion(self, row: _Row) -> Completion:
        request = row.request
        return Completion(
            text=cut(row.text, request.stop),
            truncated=row.truncated,
            top_logprobs=top(row.first, request.top_logprobs, self._renderer),
            prompt_tokens=len(row.prompt),
            completion_tokens=len(row.ids),
        )


@contextlib.contextmanager
def _no_progress_bar() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _padded(sequences: Sequence[Sequence[int]], device: str) -> tuple[Any, Any, Any]:
    """Ids, attention mask and positions, padded on the left; each [batch, longest]."""
    import torch

    longest = max(len(s) for s in sequences)
    ids = [[0] * (longest - len(s)) + list(s) for s in sequences]
    mask = torch.tensor([[0] * (longest - len(s)) + [1] * len(s) for s in sequences])
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return torch.tensor(ids, device=device), mask.to(device), positions.to(device)


def _read(logprobs: Any, continuation: Sequence[int]) -> tuple[float, bool]:
    """Sum over the continuation, and whether each token was the most likely one.

    `logprobs`: [rows, vocabulary]; the last row predicts the continuation's last token.
    """
    import torch

    rows = logprobs[-len(continuation) :]
    wanted = torch.tensor(list(continuation), device=rows.device)
    picked = rows.gather(1, wanted[:, None])[:, 0]
    return float(picked.double().sum()), bool((rows.argmax(dim=-1) == wanted).all())


def _most_likely(logits: Any, count: int) -> dict[int, float]:
    import torch

    values, tokens = torch.log_softmax(logits, dim=-1).topk(min(count, logits.shape[-1]))
    return dict(zip(tokens.tolist(), values.tolist(), strict=True))


def _choose(logits: Any, request: Request, generator: Any) -> int:
    """The next token: the most likely one, or a draw from the top_p nucleus at temperature."""
    import torch

    if generator is None:
        return int(logits.argmax())
    weights = torch.softmax(logits.cpu().double() / request.temperature, dim=-1)
    ordered, tokens = weights.sort(descending=True, stable=True)
    # A token stays while the mass before it is below top_p, so the first always does.
    ordered[(ordered.cumsum(0) - ordered) >= request.top_p] = 0.0
    return int(tokens[torch.multinomial(ordered, 1, generator=generator)])
