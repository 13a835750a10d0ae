"""lm-eval's instances become requests, and completions become lm-eval's responses.

Here belongs what crosses the border between lm-eval and engines; `_lm_eval_lm.py` uses the same
functions for lm-eval's own evaluator.

How generation options map, after `lm_eval.models.utils.normalize_gen_kwargs` and `HFLM` of
0.4.13: the limit is the first of max_gen_toks, max_new_tokens, max_tokens and
max_completion_tokens that is given, else 256; `do_sample: false`, or neither sampling nor a
temperature, is greedy; sampling without a temperature has temperature 1 (lm-eval's vllm backend
samples at 1 when a task gives neither; its hf backend is followed here).  The end-of-text token,
which upstream adds to the stop strings, ends generation in every engine anyway.  Options no
engine has (top_k, beams) are an error, not ignored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evalkit.core import Completion, Message, Request
from evalkit.errors import BenchmarkError

__all__ = ["ChatPrompt", "chat_prompt", "generation", "requests_of", "response", "seed_of"]

_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_DEFAULT_LIMIT = 256
_NEUTRAL = {"num_beams": 1, "num_return_sequences": 1, "top_k": 0, "repetition_penalty": 1.0}
"""Options that change nothing at this value."""


class ChatPrompt(str):
    """A conversation that travels through lm-eval as the string it expects."""

    messages: tuple[Message, ...]

    def __new__(cls, messages: tuple[Message, ...]) -> ChatPrompt:
        made = super().__new__(cls, json.dumps([[m.role, m.content] for m in messages]))
        made.messages = messages
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> ChatPrompt:
        return self

    def __reduce__(self) -> tuple[type[ChatPrompt], tuple[tuple[Message, ...]]]:
        return (ChatPrompt, (self.messages,))


def chat_prompt(
    chat_history: Iterable[Mapping[str, Any]],
    add_generation_prompt: bool = True,
) -> ChatPrompt:
    """What lm-eval calls to render a conversation.

    A conversation that ends with an assistant turn is continued by every engine, which is what
    lm-eval means by `add_generation_prompt=False`.  Raises BenchmarkError where the two disagree.
    """
    messages = tuple(Message(m["role"], m["content"]) for m in chat_history)
    if add_generation_prompt == (messages[-1].role == "assistant"):
        raise BenchmarkError(
            f"lm-eval asks to {'open' if add_generation_prompt else 'continue'} an answer after "
            f"a turn of {messages[-1].role!r}; expected the other"
        )
    return ChatPrompt(messages)


def generation(options: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Request fields for lm-eval's generation_kwargs.

    Raises BenchmarkError for an option no engine has.
    """
    known = {"until", "do_sample", "temperature", "top_p", *_LIMITS}
    for key in options.keys() - known:
        if key not in _NEUTRAL or options[key] not in (None, _NEUTRAL[key]):
            raise BenchmarkError(
                f"task {task!r} sets generation_kwargs.{key} to {options[key]!r}; expected only "
                f"{', '.join(sorted(known))}; remove it with "
                f"overrides: {{{task}: {{generation_kwargs: {{{key}: null}}}}}}"
            )
    until = options.get("until") or []
    stops = [until] if isinstance(until, str) else until
    limits = [options[key] for key in _LIMITS if options.get(key) is not None]
    return {
        "max_tokens": int(limits[0]) if limits else _DEFAULT_LIMIT,
        "temperature": _temperature(options),
        "top_p": float(options.get("top_p") or 1.0),
        "stop": tuple(str(s) for s in stops if s),
    }


def _temperature(options: Mapping[str, Any]) -> float:
    sample, temperature = options.get("do_sample"), options.get("temperature")
    if sample is False:
        return 0.0
    if temperature is None:
        return 1.0 if sample else 0.0
    return float(temperature)


def seed_of(seed: int, task: str, doc: int, trial: int) -> int:
    """A sampling seed (31 bits) that differs between documents and trials."""
    text = f"{seed}/{task}/{doc}/{trial}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def requests_of(instance: Any, engine: str, seed: int, *, chat: bool) -> list[Request]:
    """The requests of one lm-eval Instance, one per repeat.

    Only generation is asked anew for each repeat; a log-likelihood is the same every time.
    Raises BenchmarkError for options no engine has, and for a prompt as text where `chat`.
    """
    args, kind = instance.args, instance.request_type
    if kind == "loglikelihood_rolling":
        requests = [Request(engine, "rolling", str(args[0]))]
    elif kind == "loglikelihood":
        prompt = _prompt(args[0], instance, chat=chat)
        requests = [Request(engine, "loglikelihood", prompt, continuation=str(args[1]))]
    else:
        prompt = _prompt(args[0], instance, chat=chat)
        fields = generation(args[1], str(instance.task_name))
        return [
            Request(
                engine,
                "generate",
                prompt,
                **fields,
                seed=_seed(fields["temperature"], seed, instance, trial),
                trial=trial,
            )
            for trial in range(instance.repeats or 1)
        ]
    return requests * (instance.repeats or 1)


def _seed(temperature: float, seed: int, instance: Any, trial: int) -> int | None:
    if temperature == 0:
        return None
    return seed_of(seed, str(instance.task_name), int(instance.doc_id), trial)


def _prompt(context: Any, instance: Any, *, chat: bool) -> str | tuple[Message, ...]:
    if isinstance(context, ChatPrompt):
        return context.messages
    if chat and context:
        raise BenchmarkError(
            f"task {instance.task_name!r} builds its prompt as text and cannot be used with "
            f"apply_chat_template; set apply_chat_template: false for it"
        )
    return str(context)


def response(instance: Any, completion: Completion) -> Any:
    """What lm-eval's LM methods return for one instance.

    Raises BenchmarkError where the engine answered without a log-probability.
    """
    if instance.request_type == "generate_until":
        return completion.text
    if completion.logprob is None:
        raise BenchmarkError(
            f"the engine gave no log-probability for task {instance.task_name!r}; "
            f"use an engine that scores text (vllm, transformers)"
        )
    if instance.request_type == "loglikelihood_rolling":
        return completion.logprob
    return (completion.logprob, bool(completion.is_greedy))


def messages_of(requests: Sequence[Request]) -> tuple[Message, ...]:
    """The prompts of a document for a record: each distinct one once."""
    seen: dict[tuple[Message, ...], None] = {}
    for request in requests:
        prompt = request.prompt
        if prompt:
            seen[(Message("user", prompt),) if isinstance(prompt, str) else prompt] = None
    return tuple(message for prompt in seen for message in prompt)
