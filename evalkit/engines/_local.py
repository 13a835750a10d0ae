"""Shared by engines that load weights themselves: token ids, keys, small helpers.

`Renderer` turns requests into token ids: chat template, context and continuation, BOS, the model's
window.  It needs the tokenizer and `config.json` only, so cache keys, plans and the manifest's
first prompts load no weights.

Chat prompts are rendered with the prepared model's template and encoded without further
special tokens (the template spells them out).  Raw text follows lm-eval's local backends
(`TemplateLM`, `HFLM.tok_encode`, `VLLM._loglikelihood_tokens` of lm-eval 0.4.13):

- context and continuation are encoded jointly, trailing spaces of the context moved to the
  continuation; the continuation is what the joint encoding has beyond the context's length;
- an empty context becomes the prefix token (BOS, else EOS), unless the continuation begins
  with it, which then is the context;
- no BOS is added to text that already begins with it;
- longer prompts are truncated from the left: log-likelihoods to `max_len - 1` tokens of context
  and continuation together, generation prompts to `max_len - max_tokens`.

Departures: the BOS rule is applied to each text, not taken from the first of a batch; a context
of spaces alone counts as empty (upstream fails); a conversation is never truncated, since half a
template is another prompt: it is `over_long`.  Lone surrogates (half a character, which JSON can
spell and UTF-8 cannot) become U+FFFD before templates and tokenizer, which refuse them.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.metadata
import json
import os
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from evalkit.core import Json, Message, PreparedModel, Rendered, Request
from evalkit.core.thoughts import KNOWN, Marks, separate
from evalkit.engines._keys import digest, sampling_seed, sayable
from evalkit.engines._scoring import Pair, rolling_windows
from evalkit.engines._thinking import Reader, Thinking
from evalkit.errors import ModelError, RequestFailed

Ids: TypeAlias = "array[int]"
"""Token ids, four bytes each: a full benchmark has tens of millions."""

_WINDOW_FIELDS = ("n_positions", "max_position_embeddings", "n_ctx", "max_sequence_length")
_DEFAULT_WINDOW = 2048
_BATCH = 256
"""Texts per call of the tokenizer: its results take a hundred times the ids' memory."""
_NO_LIMIT = 10**9
"""Tokenizers without a limit have a far larger `model_max_length`."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A request in token ids, or why it cannot be sent."""

    prompt: Ids
    """Context (`loglikelihood`), prompt (`generate`), or all that is scored (`rolling`)."""
    continuation: Ids
    """`loglikelihood` only."""
    failure: RequestFailed | None = None


def context_window(path: Path, wanted: int | None) -> int:
    """Most tokens of prompt and answer together: `wanted`, else what config.json says.

    Raises ModelError where `wanted` exceeds a window that no rope scaling extends.
    """
    config = _config(path)
    stated = next((int(config[f]) for f in _WINDOW_FIELDS if config.get(f)), None)
    if wanted is None:
        return stated or _tokenizer_limit(path) or _DEFAULT_WINDOW
    scaled = config.get("rope_scaling") or (config.get("rope_parameters") or {}).get("factor")
    if stated is not None and wanted > stated and not scaled:
        raise ModelError(
            f"max_model_len {wanted!r} is beyond the model's window; expected at most {stated} "
            f"({path / 'config.json'}); lower max_model_len in the suite's engine section"
        )
    return wanted


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{str(path)!r} is not a transformers checkpoint: config.json cannot be read "
            f"({error}); name a folder that has one"
        ) from error
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else dict(config)


def _tokenizer_limit(path: Path) -> int | None:
    try:
        limit = json.loads((path / "tokenizer_config.json").read_text("utf-8"))["model_max_length"]
    except (OSError, ValueError, KeyError):
        return None
    return int(limit) if limit and limit < _NO_LIMIT else None


class Renderer:
    """Renders each request once and remembers it."""

    def __init__(self, model: PreparedModel, max_model_len: int | None) -> None:
        self._model = model
        self._max_model_len = max_model_len
        self._memo: dict[tuple[object, ...], Tokens] = {}
        self._date = datetime.now().astimezone()

    def use_date(self, date: datetime) -> None:
        """Render with `date` where a template prints the date."""
        self._date = date
        self.forget()

    @property
    def path(self) -> Path:
        """Folder of the checkpoint.  Raises ModelError where the model has no weights."""
        if self._model.path is None:
            raise ModelError(
                f"model {self._model.name!r} has no weights here, so a local engine cannot serve "
                f"it; give it a path, or an engine of type openai"
            )
        return self._model.path

    @cached_property
    def max_len(self) -> int:
        """Tokens of prompt and answer together."""
        return context_window(self.path, self._max_model_len)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's own transformers tokenizer (the fast one where there is one).

        Raises ModelError where it cannot be loaded.
        """
        from transformers import AutoTokenizer

        path, trust = str(self.path), self._model.trust_remote_code
        try:
            return AutoTokenizer.from_pretrained(
                path, trust_remote_code=trust, local_files_only=True
            )
        except Exception as error:
            raise ModelError(
                f"the tokenizer of model {self._model.name!r} cannot be loaded from {path!r}: "
                f"{error}"
            ) from error

    @cached_property
    def prefix_id(self) -> int:
        """Replaces an empty context: BOS, else EOS.  Raises ModelError where there is neither."""
        tokenizer = self.tokenizer
        found = tokenizer.bos_token_id
        found = tokenizer.eos_token_id if found is None else found
        if found is None:
            raise ModelError(
                f"the tokenizer of model {self._model.name!r} names neither a BOS nor an EOS "
                f"token; add eos_token to its tokenizer_config.json"
            )
        return int(found)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a generation: the tokenizer's EOS and generation_config.json's."""
        try:
            config = json.loads((self.path / "generation_config.json").read_text("utf-8"))
        except (OSError, ValueError):
            config = {}
        named = config.get("eos_token_id")
        ids = [named] if isinstance(named, int) else list(named or ())
        eos = self.tokenizer.eos_token_id
        own = [] if eos is None else [int(eos)]
        return frozenset([*ids, *own, *self.config_stop_ids])

    @cached_property
    def config_stop_ids(self) -> frozenset[int]:
        """What only config.json names, and transformers takes without a generation_config.json."""
        if (self.path / "generation_config.json").is_file():
            return frozenset()
        named = _config(self.path).get("eos_token_id")
        ids = {named} if isinstance(named, int) else {*(named or ())}
        return frozenset(ids - {self.tokenizer.eos_token_id})

    @cached_property
    def thinking(self) -> Thinking | None:
        """How the model thinks; None: neither suite, template nor tokenizer has marks of thoughts.

        Raises ModelError where the suite gives a budget and nothing tells the marks.
        """
        spec = self._model.thinking
        # A tokenizer of the model's own code may have no such list.
        added = getattr(self.tokenizer, "get_added_vocab", dict[str, int])()
        known = {*added, self._model.chat_template or ""}
        marks = spec.marks if spec else None
        marks = marks or next((m for m in KNOWN if _named(m, known)), None)
        if marks is None and spec is not None:
            raise ModelError(
                f"the chat template and tokenizer of model {self._model.name!r} have no known mark "
                f"of a thought; write its marks: `thinking: {{start: MARK, end: MARK}}`"
            )
        if marks is None:
            return None
        special = tuple(self.tokenizer.all_special_tokens)
        inside = any(token in marks.start or token in marks.end for token in special)
        return Thinking(marks, spec.budget if spec else None, special if inside else ())

    @cached_property
    def _opens_thought(self) -> bool:
        """Whether the template begins an answer within a thought."""
        try:
            text = self._chat_text((Message("user", "Hello."),))
        except (ModelError, RequestFailed):
            return False
        return self.thinking is not None and text.rstrip().endswith(self.thinking.marks.start)

    def reader(self, request: Request) -> Reader | None:
        """Follows the generation of `request`; None where the model does not think."""
        thinking, prompt = self.thinking, request.prompt
        if thinking is None:
            return None
        if isinstance(prompt, str):
            opened = prompt.rstrip().endswith(thinking.marks.start)
        elif prompt and prompt[-1].role == "assistant":
            opened = separate(prompt[-1].content, thinking.marks).unfinished
        else:
            opened = self._opens_thought
        return Reader(request, thinking, opened=opened)

    def tokens(self, requests: Sequence[Request]) -> list[Tokens]:
        """Token ids of each request; texts not seen before go to the tokenizer in one batch.

        Raises ModelError where a conversation is sent to a model without chat template.
        """
        new = {k: r for r in requests if (k := _memo_key(r)) not in self._memo}
        if new:
            self._memo.update(zip(new, self._encode_requests(list(new.values())), strict=True))
        return [self._memo[_memo_key(r)] for r in requests]

    def render(self, request: Request) -> Rendered:
        """The request as the model sees it.  Raises ModelError as `tokens` does."""
        tokens = self.tokens([request])[0]
        return Rendered(
            text=self.tokenizer.decode(list(tokens.prompt), skip_special_tokens=False),
            prompt_ids=tuple(tokens.prompt),
            continuation_ids=tuple(tokens.continuation),
            bos=self._bos(tokens.prompt),
        )

    def token_text(self, token: int) -> str:
        """One token as text, a leading space included where the tokenizer keeps it."""
        return str(self.tokenizer.decode([token], skip_special_tokens=False))

    def drop(self, requests: Iterable[Request]) -> None:
        """Forget these requests, whose tokens are kept elsewhere."""
        for request in requests:
            self._memo.pop(_memo_key(request), None)

    def forget(self) -> None:
        """Forget all requests."""
        self._memo.clear()

    # --- rendering -------------------------------------------------------------------------

    def _encode_requests(self, requests: Sequence[Request]) -> list[Tokens]:
        prepared = [self._prepare(r) for r in requests]
        encoded = self._encode({text for p in prepared for text in p.texts})
        return [self._assemble(r, p, encoded) for r, p in zip(requests, prepared, strict=True)]

    def _prepare(self, request: Request) -> _Prepared:
        if what := _unsupported(request):
            failure = RequestFailed(
                "excluded",
                f"models loaded here cannot {what}, which the judge's evaluator wants; choose "
                f"another evaluator, or serve the judge behind an OpenAI-compatible API",
            )
            return _Prepared("", "", False, failure)
        try:
            text, special = self._text(request)
        except RequestFailed as refusal:
            return _Prepared("", "", False, refusal)
        if request.kind != "loglikelihood":
            return _Prepared(text, "", special)
        context = text.rstrip()
        whole = text + sayable(request.continuation)
        return _Prepared(context, whole, special and bool(context))

    def _text(self, request: Request) -> tuple[str, bool]:
        """The prompt as text, and whether the tokenizer may add its special tokens."""
        prompt = request.prompt
        if not isinstance(prompt, str):
            if not self._model.system_role:
                prompt = without_system(prompt, keep=is_judging(request))
            return self._chat_text(prompt), False
        prompt = sayable(prompt)
        spelled = self._prefix_text != "" and prompt.startswith(self._prefix_text)
        return prompt, not spelled

    def _assemble(
        self, request: Request, prepared: _Prepared, encoded: dict[tuple[str, bool], Ids]
    ) -> Tokens:
        if prepared.failure is not None:
            return Tokens(_NONE, _NONE, prepared.failure)
        context = encoded[prepared.context, prepared.special]
        if request.kind == "rolling":
            return Tokens(context, _NONE, None if context else _no_tokens(request.prompt))
        if request.kind == "generate":
            return self._fit_prompt(request, context or array("i", [self.prefix_id]))
        whole = encoded[prepared.whole, prepared.special]
        if prepared.context:
            return self._fit_pair(request, context, whole[len(context) :])
        if whole and whole[0] == self.prefix_id:
            return self._fit_pair(request, whole[:1], whole[1:])
        return self._fit_pair(request, array("i", [self.prefix_id]), whole)

    def _chat_text(self, messages: tuple[Message, ...]) -> str:
        model = self._model
        if model.chat_template is None:
            raise ModelError(
                f"model {model.name!r} has no chat template, and a conversation was sent to it; "
                f"write one under its name in the suite: `chat_template: FILE.jinja` or "
                f"`chat_template: fastchat:NAME`"
            )
        prefill = bool(messages) and messages[-1].role == "assistant"
        try:
            text = self.tokenizer.apply_chat_template(
                [{"role": m.role, "content": sayable(m.content)} for m in messages],
                **model.chat_template_kwargs,
                chat_template=model.chat_template,
                tokenize=False,
                add_generation_prompt=not prefill,
                continue_final_message=prefill,
                strftime_now=self._date.strftime,
            )
        except Exception as error:
            roles = ", ".join(m.role for m in messages)
            raise RequestFailed(
                "excluded",
                f"the chat template of model {model.name!r} ({model.template_source}) refuses "
                f"this conversation ({roles}): {type(error).__name__}: {error}",
            ) from error
        return str(text)

    def _encode(self, texts: Iterable[tuple[str, bool]]) -> dict[tuple[str, bool], Ids]:
        found: dict[tuple[str, bool], Ids] = {}
        ordered = sorted(texts)
        for special in (False, True):
            texts_of = [t for t, s in ordered if s == special]
            for at in range(0, len(texts_of), _BATCH):
                batch = texts_of[at : at + _BATCH]
                # verbose=False: else every text beyond model_max_length is a warning.
                ids = self.tokenizer(
                    batch,
                    add_special_tokens=special,
                    return_attention_mask=False,
                    verbose=False,
                )["input_ids"]
                found |= {(t, special): array("i", i) for t, i in zip(batch, ids, strict=True)}
        return found

    # --- the window ------------------------------------------------------------------------

    def _fit_prompt(self, request: Request, prompt: Ids) -> Tokens:
        budget = (self.thinking and self.thinking.budget) or 0
        room = self.max_len - request.max_tokens - budget
        if isinstance(request.prompt, str) and room >= 1:
            return Tokens(prompt[-room:] if len(prompt) > room else prompt, _NONE)
        if len(prompt) < self.max_len and not isinstance(request.prompt, str):
            return Tokens(prompt, _NONE)
        return Tokens(prompt, _NONE, self._over_long(len(prompt), request.max_tokens))

    def _fit_pair(self, request: Request, context: Ids, continuation: Ids) -> Tokens:
        if not continuation:
            return Tokens(context, continuation, _no_tokens(request.continuation))
        excess = len(context) + len(continuation) - (self.max_len - 1)
        if excess <= 0:
            return Tokens(context, continuation)
        if excess >= len(context) or not isinstance(request.prompt, str):
            failure = self._over_long(len(context), len(continuation))
            return Tokens(context, continuation, failure)
        return Tokens(context[excess:], continuation)

    def _over_long(self, prompt: int, answer: int) -> RequestFailed:
        return RequestFailed(
            "over_long",
            f"the prompt has {prompt} tokens and up to {answer} follow; the window of model "
            f"{self._model.name!r} is {self.max_len}: raise max_model_len if the model was made "
            f"for more, or lower the answer's limit",
        )

    # --- BOS -------------------------------------------------------------------------------

    @cached_property
    def _prefix_text(self) -> str:
        return str(self.tokenizer.decode([self.prefix_id], skip_special_tokens=False))

    @cached_property
    def _adds_bos(self) -> bool:
        bos = self.tokenizer.bos_token_id
        return bos is not None and self.tokenizer("a")["input_ids"][0] == bos

    def _bos(self, prompt: Ids) -> Literal["one", "doubled", "missing", "none"]:
        bos = self.tokenizer.bos_token_id
        if bos is None or not prompt or prompt[0] != bos:
            return "missing" if self._adds_bos else "none"
        return "doubled" if len(prompt) > 1 and prompt[1] == bos else "one"


def _named(marks: Marks, texts: Iterable[str]) -> bool:
    return any(mark in text for mark in (marks.start, marks.end) for text in texts)


_NONE: Ids = array("i")


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The texts of a request for the tokenizer."""

    context: str
    whole: str
    special: bool
    """Let the tokenizer add its special tokens."""
    failure: RequestFailed | None = None

    @property
    def texts(self) -> tuple[tuple[str, bool], ...]:
        return ((self.context, self.special), (self.whole, self.special))


def is_judging(request: Request) -> bool:
    """Whether a model of the suite is asked as a judge."""
    return request.engine.startswith("judge:")


def without_system(messages: tuple[Message, ...], *, keep: bool) -> tuple[Message, ...]:
    """The conversation for a template that refuses a system message.

    It is left out, as lm-eval 0.4.13 does (`HFLM.apply_chat_template`); `keep`: its text goes
    before the first user turn, since a judge's instructions may stand there.
    """
    text = "".join(m.content + "\n\n" for m in messages if m.role == "system" and keep)
    rest = [m for m in messages if m.role != "system"]
    if text and rest:
        rest[0] = Message(rest[0].role, text + rest[0].content)
    return tuple(rest)


def _unsupported(request: Request) -> str:
    """What it needs that only servers of OpenAI's API can do; empty: nothing."""
    if request.tool:
        return "call functions"
    wants_last = request.top_logprobs and request.top_logprobs_at != "first"
    return "give the last token's alternatives" if wants_last else ""


def _no_tokens(text: object) -> RequestFailed:
    return RequestFailed(
        "excluded",
        f"{text!r} is no token of its own where it stands, so it has no log-probability",
    )


def _memo_key(request: Request) -> tuple[object, ...]:
    key = (request.kind, request.prompt, is_judging(request))
    if request.kind == "generate":
        return (*key, request.max_tokens, _unsupported(request))
    return (*key, request.continuation)


# --- The engine ----------------------------------------------------------------------------


GREEDY_SETTINGS = frozenset(
    {"repetition_penalty", "no_repeat_ngram_size", "bad_words_ids", "sequence_bias"}
    | {"min_length", "min_new_tokens", "suppress_tokens", "begin_suppress_tokens"}
    | {"forced_bos_token_id", "exponential_decay_length_penalty"}
)
"""Settings of generation_config.json that change any generation."""
SAMPLING_SETTINGS = frozenset(
    {"top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h"}
)
"""Those that change sampled generations only."""


def own_settings(settings: Mapping[str, Json], request: Request) -> dict[str, Json]:
    """Those of a model's own settings that decide the answer to `request`; see `Request`."""
    if not request.own_settings or request.kind != "generate":
        return {}
    names = GREEDY_SETTINGS | (SAMPLING_SETTINGS if request.temperature > 0 else frozenset())
    if request.top_p != 1.0:
        names -= {"top_p"}
    return {name: value for name, value in settings.items() if name in names}


def request_key(
    identity: Mapping[str, Json],
    request: Request,
    tokens: Tokens,
    engine_seed: int,
    thinking: Thinking | None = None,
    settings: Mapping[str, Json] | None = None,
) -> str:
    """Key of `request`, rendered as `tokens`, for the engine of that identity.

    `settings`: the model's own that are applied to it.
    """
    decisive: dict[str, Json] = {
        "engine": dict(identity),
        "kind": request.kind,
        "prompt": list(tokens.prompt),
        "trial": request.trial,
    }
    if tokens.failure is not None:
        # Requests that cannot be sent may have the same ids, so the reason is part of it.
        decisive["failure"] = [tokens.failure.status, str(tokens.failure)]
    if request.kind == "loglikelihood":
        decisive["continuation"] = list(tokens.continuation)
    if request.kind == "generate":
        decisive |= {
            "max_tokens": request.max_tokens,
            "stop": list(request.stop),
            "top_logprobs": request.top_logprobs,
            "temperature": float(request.temperature),
        }
        if settings:
            decisive["settings"] = dict(settings)
        if thinking is not None:
            decisive["thinking"] = [thinking.marks.start, thinking.marks.end, thinking.budget]
        if request.temperature > 0:
            decisive |= {
                "top_p": float(request.top_p),
                "seed": sampling_seed(request, engine_seed),
            }
    return digest(decisive)


class LocalEngine:
    """Renders requests and derives their cache keys; subclasses answer them."""

    needs_weights: ClassVar[bool] = True
    settings: ClassVar[frozenset[str]] = GREEDY_SETTINGS | SAMPLING_SETTINGS
    """Of generation_config.json, what this engine can apply."""
    identity: Mapping[str, Json]
    exclusive: bool

    def __init__(self, model: PreparedModel, max_model_len: int | None, seed: int) -> None:
        self.exclusive = True
        self._model = model
        self._seed = seed
        self._renderer = Renderer(model, max_model_len)

    def keys(self, requests: Sequence[Request]) -> list[str]:
        """A hex digest per request; see `request_key`."""
        tokens = self._renderer.tokens(requests)
        return [
            request_key(
                self.identity, r, t, self._seed, self._renderer.thinking, self._key_settings(r)
            )
            for r, t in zip(requests, tokens, strict=True)
        ]

    def own_settings(self) -> Mapping[str, Json]:
        """See `core.OwnSettings`."""
        return {k: v for k, v in self._model.generation.items() if k in self.settings}

    def _settings(self, request: Request) -> dict[str, Json]:
        return own_settings(self.own_settings(), request)

    def _key_settings(self, request: Request) -> dict[str, Json]:
        """What of it is in the request's key."""
        return self._settings(request)

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        """Prompt length of each request in tokens, after any cut."""
        return [len(t.prompt) for t in self._renderer.tokens(requests)]

    def render(self, request: Request) -> Rendered:
        """The request as the model sees it."""
        return self._renderer.render(request)

    def use_date(self, date: datetime) -> bool:
        """See `core.Dated`."""
        if self._model.dated:
            self._renderer.use_date(date)
        return self._model.dated

    def _pairs(self, request: Request) -> list[Pair]:
        """The (context, continuation) pairs whose sum a log-likelihood request is."""
        tokens = self._renderer.tokens([request])[0]
        if request.kind == "loglikelihood":
            return [(tokens.prompt, tokens.continuation)]
        # One token of the window stays free, since vLLM must generate one; as in lm-eval.
        return rolling_windows(tokens.prompt, self._renderer.prefix_id, self._renderer.max_len - 2)


def package_version(names: Sequence[str]) -> str | None:
    """`name version` of the first distribution that is installed; imports nothing."""
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{name} {importlib.metadata.version(name)}"
    return None


def cuda_present() -> bool:
    """Whether torch would find a CUDA device, without importing it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return False
    if "+cpu" in (package_version(["torch"]) or ""):
        return False
    return any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/dxg"))


def top(
    logprobs: Mapping[int, float], count: int, renderer: Renderer
) -> tuple[tuple[str, float], ...]:
    """The `count` most likely tokens as text; equal ones in order of their id."""
    ranked = sorted(logprobs.items(), key=lambda item: (-item[1], item[0]))[:count]
    return tuple((renderer.token_text(token), float(value)) for token, value in ranked)


def give_back_memory() -> None:
    """Return freed memory to the operating system and the device."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):
        # glibc keeps freed heap pages otherwise; other C libraries have no malloc_trim.
        ctypes.CDLL(None).malloc_trim(0)
