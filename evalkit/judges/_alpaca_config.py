"""alpaca_eval's evaluator configurations, read from the installed package.

Source: https://github.com/tatsu-lab/alpaca_eval, `evaluators_configs/NAME/configs.yaml` and the
prompt files it names; a configuration, shortened:

    weighted_alpaca_eval_gpt4_turbo:
      prompt_template: "alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"
      completions_kwargs: {model_name: "gpt-4-1106-preview", max_tokens: 1, temperature: 1,
                           logprobs: true, top_logprobs: 5}
      fn_completion_parser: "logprob_parser"
      completion_parser_kwargs: {numerator_token: "m", denominator_tokens: ["m", "M"]}

Prompts are in ChatML, in Claude's "Human:" form, or plain text.  A template is cut into messages
here, before any text is put into it: upstream substitutes first, so an answer with `<|im_end|>`
ends the judge's prompt.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalkit.core import Json, Message
from evalkit.errors import SuiteError, did_you_mean

__all__ = ["Evaluator", "evaluator", "evaluator_names"]

_TURN = re.compile(r"<\|im_start\|>(\w+)[^\n]*\n(.*?)<\|im_end\|>", re.DOTALL)
_PLACEHOLDER = re.compile(r"{([^ \s]+?)}")
_FILLED = frozenset({"instruction", "output_1", "output_2"})
_PARSERS = frozenset(
    {"ranking_parser", "regex_parser", "logprob_parser", "lmsys_parser", "pipeline_meta_parser"}
)
_ROLES: tuple[Literal["system"], Literal["user"], Literal["assistant"]]
_ROLES = ("system", "user", "assistant")
_BIASED = ("tokens_to_favor", "tokens_to_avoid")


@dataclass(frozen=True)
class Evaluator:
    """One configuration."""

    name: str
    template: tuple[Message, ...] | str
    """Messages with placeholders, or plain text of a completion model."""
    parser: str
    parser_settings: Mapping[str, Json]
    model: str
    """The model that alpaca_eval asks with it."""
    max_tokens: int
    temperature: float
    top_logprobs: int
    """0: the reply is read as text."""
    tool: str
    """JSON of the function the judge must call; empty: none."""
    is_order_drawn: bool
    """Which answer stands first is drawn; else the reference does."""

    @property
    def sha256(self) -> str:
        """Of everything that decides prompt and verdict."""
        parts = [
            self.template
            if isinstance(self.template, str)
            else [[m.role, m.content] for m in self.template],
            self.parser,
            dict(self.parser_settings),
            self.tool,
            self.is_order_drawn,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def prompt(self, values: Mapping[str, str]) -> tuple[Message, ...] | str:
        """The prompt with `instruction`, `output_1` (shown first) and `output_2` in place."""
        if isinstance(self.template, str):
            return _filled(self.template, values)
        return tuple(Message(m.role, _filled(m.content, values).strip()) for m in self.template)


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Each placeholder's first occurrence, in one pass: what is put in is not looked at again."""
    seen: set[str] = set()

    def put(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in values or name in seen:
            return found.group()
        seen.add(name)
        return values[name]

    return _PLACEHOLDER.sub(put, template)


def evaluator_names() -> tuple[str, ...]:
    """Names of all configurations of the installed package, sorted.  Raises SuiteError."""
    return tuple(sorted(_raw()))


def evaluator(name: str) -> Evaluator:
    """The configuration called `name`.

    Raises:
        SuiteError: no such configuration, one that asks what cannot be asked here, or alpaca_eval
            is not installed.
    """
    known = _raw()
    if name not in known:
        raise SuiteError(
            f"alpaca_eval has no evaluator {name!r}{did_you_mean(name, known, 3)}  "
            f"It ships {', '.join(sorted(known))}"
        )
    config = known[name]
    asked = config.get("completions_kwargs") or {}
    _refuse(name, config, asked)
    text = (_folder() / str(config["prompt_template"])).read_text(encoding="utf-8")
    unknown = sorted(set(_PLACEHOLDER.findall(text)) & _known_columns() - _FILLED)
    if unknown:
        raise SuiteError(f"evaluator {name!r}: its prompt wants {unknown[0]!r}, which is not given")
    tools = asked.get("tools") or []
    return Evaluator(
        name=name,
        template=_messages(text),
        parser=str(config.get("fn_completion_parser") or "regex_parser"),
        parser_settings=dict(config.get("completion_parser_kwargs") or {}),
        model=str(asked.get("model_name", "")),
        max_tokens=int(
            asked.get("max_tokens")
            or asked.get("max_tokens_to_sample")
            or asked.get("max_new_tokens")
            or 50
        ),
        temperature=float(asked.get("temperature", 0.0)),
        top_logprobs=int(asked.get("top_logprobs", 0)) if asked.get("logprobs") else 0,
        tool=json.dumps(tools[0], sort_keys=True) if tools else "",
        is_order_drawn=bool(config.get("is_randomize_output_order", True)),
    )


def _known_columns() -> frozenset[str]:
    return _FILLED | {"input", "dataset", "generator_1", "generator_2"}


def _refuse(name: str, config: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Configurations whose judgments depend on what an OpenAI-compatible server is not asked."""
    if int(config.get("batch_size") or 1) != 1:
        raise SuiteError(
            f"evaluator {name!r} puts {config['batch_size']} pairs into one prompt, so that a "
            f"verdict depends on its neighbours; choose one with a pair a prompt, for example "
            f"'alpaca_eval_gpt4'"
        )
    biased = next((key for key in _BIASED if asked.get(key)), None)
    if biased is not None:
        raise SuiteError(
            f"evaluator {name!r} biases the judge's tokens ({biased}), which is not supported; "
            f"choose another, for example 'chatgpt' or 'alpaca_eval_gpt4'"
        )
    parser = str(config.get("fn_completion_parser") or "regex_parser")
    if parser not in _PARSERS:
        raise SuiteError(
            f"evaluator {name!r}: unknown parser {parser!r}; expected one of "
            f"{', '.join(sorted(_PARSERS))}"
        )


def _messages(text: str) -> tuple[Message, ...] | str:
    turns = _TURN.findall(text)
    if turns:
        return tuple(Message(_role(role), content) for role, content in turns)
    if "Human:" in text:
        body = text.split("Human:", 1)[1].rsplit("Assistant:", 1)[0]
        return (Message("user", body.strip("\n")),)
    return text


def _role(role: str) -> Literal["system", "user", "assistant"]:
    for known in _ROLES:
        if role == known:
            return known
    raise SuiteError(f"a judge prompt has the role {role!r}; expected system, user or assistant")


def _folder() -> Path:
    spec = importlib.util.find_spec("alpaca_eval")
    if spec is None or not spec.submodule_search_locations:
        raise SuiteError(
            "the package alpaca_eval, which ships the evaluators, is not installed; install "
            "evalkit with its dependencies"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "evaluators_configs"


@functools.cache
def _raw() -> dict[str, dict[str, Any]]:
    """Every configuration of every folder, unread prompts."""
    import yaml

    found: dict[str, dict[str, Any]] = {}
    for path in sorted(_folder().glob("*/configs.yaml")):
        found |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return found
