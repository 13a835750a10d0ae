"""The `transformers` engine: forward passes of the model itself, where there is no vLLM.

Source: Hugging Face transformers' `AutoModelForCausalLM`.  Log-probabilities are a float32
log-softmax of the model's own logits.  Shared prefixes of log-likelihoods are computed once
(`_tree`), where the model allows it and agrees with plain passes at the first use.  Otherwise, and
with `shared_prefixes: false`, each pair is a row of a padded batch: the reference.

Departures from `model.generate`, and why: the decoding loop is our own, so that every row has
its own stop strings, token limit, temperature and random generator.  So a sampled answer depends
on its seed only, not on the rest of the batch (up to rounding of the logits).  Text is decoded
token by token after the prompt, as vLLM does, so that both engines return the same spaces.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

from pydantic import Field

from evalkit.core import Completion, Job, Json, PreparedModel, Reply, Request
from evalkit.core.specs import Dtype, EngineSpec
from evalkit.engines._keys import cut, sampling_seed
from evalkit.engines._local import (
    LocalEngine,
    cuda_present,
    give_back_memory,
    package_version,
    top,
)
from evalkit.engines._thinking import Reader
from evalkit.engines._tree import (
    Forest,
    Scored,
    TreePass,
    difference,
    padded,
    score_items,
    sharing,
)
from evalkit.errors import EngineError, RequestFailed

__all__ = ["TransformersEngine", "TransformersSpec"]


class TransformersSpec(EngineSpec):
    """Plain transformers: where there is no vLLM, and the reference."""

    operational = frozenset({"batch_size", "device", "shared_prefixes"})

    type: Literal["transformers"] = "transformers"
    """`transformers`: forward passes in this process, the reference."""
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
    shared_prefixes: bool = True
    """Compute what contexts have in common once; log-likelihoods move by float noise alone.
    Models whose attention cannot do that, or gives other numbers, are scored plainly anyway."""


_FEWEST_TOKENS = 16
"""A pass with shared prefixes is not made smaller than this."""
_PACK_TOKENS = {False: 64, True: 256}
"""Tokens of such a pass for each of `batch_size`, by whether the device is CUDA."""

_Answer: TypeAlias = Callable[[Sequence[Job]], list[tuple[int, Reply]]]


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
    reader: Reader | None
    """None: the model does not think."""
    processors: Any = None
    """For the model's own settings, temperature and nucleus among them; None: it has none."""
    ids: list[int] = field(default_factory=list)
    text: str = ""
    first: dict[int, float] = field(default_factory=dict)
    finished: bool = False
    stopped: bool = False
    """By a token of the model's."""
    truncated: bool = False

    def grow(self, text: str) -> None:
        """Take the text of a new token; notes whether that was the last."""
        self.text += text
        if self.reader is not None:
            self.finished = self.reader.ends(self.text, len(self.ids))
        else:
            self.finished = cut(self.text, self.request.stop) != self.text
        if not self.finished and len(self.ids) >= self.limit:
            self.finished = self.truncated = True


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
        self._sorted = True
        self._shared: dict[int, Job] = {}
        self._alone: list[Job] = []
        self._done: list[tuple[int, Reply]] = []
        self._forest = Forest()
        self._passes: TreePass | None = None
        self._pack_tokens = spec.batch_size * _PACK_TOKENS[self._device == "cuda"]
        self._decided, self._proved_tokens = False, 0
        # For provenance: whether prefixes are shared (None: undecided), and the reason.
        self.scoring_path: Literal["shared", "plain"] | None = None
        self.scoring_reason = "no log-likelihood was requested yet"

    @property
    def pending(self) -> int:
        """Jobs submitted and not yet returned by `poll`."""
        scored = len(self._scored) + len(self._shared) + len(self._alone)
        return len(self._generations) + scored + len(self._done)

    def checks(self) -> Mapping[str, Json]:
        """How log-likelihoods are computed, once decided; see `core.Checked`."""
        if self.scoring_path is None:
            return {}
        return {"scoring_path": self.scoring_path, "scoring_reason": self.scoring_reason}

    def work(self) -> dict[str, Json]:
        """Tokens computed for log-likelihoods with shared prefixes: `Cost` by field."""
        return asdict(self._forest.cost)

    def _key_settings(self, request: Request) -> dict[str, Json]:
        # Stop ids that this engine once did not know.
        stops = sorted(self._renderer.config_stop_ids) if request.kind == "generate" else ()
        return self._settings(request) | ({"eos_token_id": stops} if stops else {})

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
        self._lm = self._passes = None
        self._decided, self._proved_tokens = False, 0
        self._generations, self._scored, self._alone, self._done = [], [], [], []
        self._shared, self._forest = {}, Forest(self._forest.cost)
        self._renderer.forget()
        give_back_memory()

    # --- work --------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs; may be called before `open`."""
        tokens = self._renderer.tokens([request for _, request in jobs])
        self._sorted = False
        for job, rendered in zip(jobs, tokens, strict=True):
            if rendered.failure is not None:
                self._done.append((job[0], rendered.failure))
            else:
                (self._generations if job[1].kind == "generate" else self._scored).append(job)

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        """Compute batches until something finishes; one batch may take longer than `timeout`."""
        deadline = time.monotonic() + timeout
        while self._lm is not None and not self._done and self.pending:
            self._batch()
            if time.monotonic() >= deadline:
                break
        done, self._done = self._done, []
        return done

    def _batch(self) -> None:
        if not self._sorted:
            # Rows that end together waste least of a batch.
            self._generations.sort(key=lambda job: (-job[1].max_tokens, job[0]))
            self._scored.sort(key=lambda job: job[0])
            self._sorted = True
        if self._generations:
            self._answer(self._taken(self._generations), self._generate)
        else:
            self._score_batch()

    def _taken(self, queue: list[Job]) -> list[Job]:
        size = self._spec.batch_size
        jobs, queue[:size] = queue[:size], []
        return jobs

    def _answer(self, jobs: Sequence[Job], answer: _Answer) -> None:
        try:
            self._done += answer(jobs)
        except Exception as error:  # noqa: BLE001 - one request must not fail the others
            if len(jobs) == 1:
                failure = RequestFailed("engine_error", f"transformers failed: {error}")
                self._done.append((jobs[0][0], failure))
                return
            for job in jobs:
                self._answer([job], answer)

    # --- log-likelihoods ---------------------------------------------------------------------

    def _score_batch(self) -> None:
        """One forward pass, or one job where that failed."""
        if self._alone:
            self._answer([self._alone.pop(0)], self._score)
        elif (passes := self._tree_pass()) is None:
            self._answer(self._taken(self._scored), self._score)
        else:
            self._plan()
            self._share(passes)

    def _tree_pass(self) -> TreePass | None:
        """How to share prefixes; None: plain passes.  Decided at the first use."""
        if not self._decided:
            self._passes, self.scoring_reason = None, "shared_prefixes is false"
            if self._spec.shared_prefixes:
                max_len = self._renderer.max_len
                self._passes, self.scoring_reason = sharing(self._lm, self._device, max_len)
            self.scoring_path = "plain" if self._passes is None else "shared"
            self._decided = True
        return self._passes

    def _plan(self) -> None:
        jobs, self._scored = self._scored, []
        for job in jobs:
            try:
                self._forest.add(job[0], self._pairs(job[1]))
                self._shared[job[0]] = job
            except Exception:  # noqa: BLE001 - sent alone, it raises again
                self._alone.append(job)

    def _share(self, passes: TreePass) -> None:
        pack = self._forest.next(self._pack_tokens, passes.most_rows)
        if pack is None:  # a job without pairs: left to plain scoring
            self._alone, self._shared = [*self._shared.values()], {}
            return
        try:
            answers = passes.run(pack)
        except Exception:  # noqa: BLE001 - each of its jobs is retried alone, and raises again
            passes.forget()
            self._alone += [self._shared.pop(ticket) for ticket in self._forest.fail(pack)]
            # Most likely memory ran out.
            self._pack_tokens = max(_FEWEST_TOKENS, self._pack_tokens // 2)
            return
        scores = self._forest.receive(pack, *answers)
        if not self._proved(scores):
            return
        for score in scores:
            del self._shared[score.ticket]
            self._done.append((score.ticket, _reply(score)))

    def _proved(self, scores: Sequence[Scored]) -> bool:
        """Compare with a plain pass whenever sequences are twice as long as those compared before.

        Some models treat long sequences in a way that their configuration does not state.  Where
        the numbers differ, all remaining jobs are scored plainly.
        """
        # The windows of a rolling log-likelihood have nothing in common.
        choices = (s for s in scores if self._shared[s.ticket][1].kind == "loglikelihood")
        score = max(choices, key=lambda s: s.tokens, default=None)
        if score is None or score.tokens < 2 * self._proved_tokens:
            return True
        self._proved_tokens = score.tokens
        try:
            pairs = self._pairs(self._shared[score.ticket][1])
            agrees, reason = difference(self._lm, self._device, pairs, [score.logprob])
        except Exception as error:  # noqa: BLE001 - a plain pass may need too much memory
            agrees, reason = True, f"{self.scoring_reason}; then a plain pass failed: {error}"
        self.scoring_reason = reason
        if not agrees:
            self.scoring_path, self._passes = "plain", None
            self._scored += self._shared.values()
            self._shared, self._forest = {}, Forest(self._forest.cost)
        return agrees

    def _score(self, jobs: Sequence[Job]) -> list[tuple[int, Reply]]:
        items = [self._pairs(request) for _, request in jobs]
        scores = score_items(self._lm, items, self._device, self._spec.batch_size)
        return [(ticket, _reply(score)) for (ticket, _), score in zip(jobs, scores, strict=True)]

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
        reader = self._renderer.reader(request)
        most = reader.most_tokens if reader else request.max_tokens
        limit = min(most, self._renderer.max_len - len(prompt))
        marked = reader is not None and reader.special
        stream = DecodeStream(ids=prompt, skip_special_tokens=not marked)
        processors = self._processors(request, len(prompt))
        return _Row(request, prompt, limit, generator, stream, reader, processors)

    def _processors(self, request: Request, prompt: int) -> Any:
        """Those that `generate` uses, for the model's own settings; None where there are none.

        Where the request is sampled, temperature and top_p are among them.
        """
        import torch
        from transformers import GenerationConfig

        settings = self._settings(request)
        if not settings:
            return None
        sampled = request.temperature > 0
        if sampled:
            settings = {"top_p": request.top_p, **settings, "temperature": request.temperature}
        config = GenerationConfig(**settings, do_sample=sampled)
        config._eos_token_tensor = torch.tensor(  # noqa: SLF001 - as `generate` does
            sorted(self._renderer.stop_ids), device=self._device
        )
        return self._lm._get_logits_processor(  # noqa: SLF001 - what `generate` applies
            config, input_ids_seq_length=prompt, device=self._device
        )

    def _decode(self, rows: Sequence[_Row]) -> Iterator[Any]:
        """Logits of the next token, row by row, until every row is finished."""
        import torch

        ids, mask, positions = padded([row.prompt for row in rows], self._device)
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
            # Finished rows repeat their last token; their logits are not read.
            ids = torch.tensor([[row.ids[-1]] for row in rows], device=self._device)
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
            positions = positions[:, -1:] + 1

    def _advance(self, row: _Row, logits: Any) -> None:
        import torch

        request = row.request
        if request.top_logprobs and not row.ids:
            row.first = _most_likely(logits, request.top_logprobs)
        temperature, top_p = request.temperature, request.top_p
        if row.processors is not None:
            given = torch.tensor([row.prompt + row.ids], device=logits.device)
            logits = row.processors(given, logits[None])[0]
            temperature = top_p = 1.0
        token = _choose(logits, row.generator, temperature, top_p)
        row.ids.append(token)
        if token in self._renderer.stop_ids:
            row.finished = row.stopped = True
            return
        row.grow(row.stream.step(self._renderer.tokenizer.backend_tokenizer, token) or "")

    def _completion(self, row: _Row) -> Completion:
        request = row.request
        first = top(row.first, request.top_logprobs, self._renderer)
        if row.reader is not None:
            done = row.reader.completion(row.text, len(row.ids), stopped=row.stopped)
            return replace(done, top_logprobs=first, prompt_tokens=len(row.prompt))
        return Completion(
            text=cut(row.text, request.stop),
            truncated=row.truncated,
            top_logprobs=first,
            prompt_tokens=len(row.prompt),
            completion_tokens=len(row.ids),
        )


def _most_likely(logits: Any, count: int) -> dict[int, float]:
    """Log-probability by token of the `count` most likely ones; `logits`: [vocabulary]."""
    import torch

    values, tokens = torch.log_softmax(logits, dim=-1).topk(min(count, logits.shape[-1]))
    return dict(zip(tokens.tolist(), values.tolist(), strict=True))


def _choose(logits: Any, generator: Any, temperature: float, top_p: float) -> int:
    """The next token: the most likely one, or a draw from the top_p nucleus at temperature."""
    import torch

    if generator is None:
        return int(logits.argmax())
    weights = torch.softmax(logits.cpu().double() / temperature, dim=-1)
    ordered, tokens = weights.sort(descending=True, stable=True)
    # A token stays while the mass before it is below top_p, so the first always does.
    ordered[(ordered.cumsum(0) - ordered) >= top_p] = 0.0
    return int(tokens[torch.multinomial(ordered, 1, generator=generator)])


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


def _reply(score: Scored) -> Completion:
    return Completion(
        logprob=score.logprob,
        is_greedy=score.is_greedy,
        prompt_tokens=score.tokens,
        reused_tokens=score.tokens - score.computed,
    )
