"""alpaca_eval's own judge: any evaluator it ships, by name.

Source: https://github.com/tatsu-lab/alpaca_eval (Apache-2.0), Li et al. 2023 and Dubois et al. 2024
(arXiv:2404.04475); configurations (`evaluators_configs/NAME/configs.yaml`) and the prompt files
they name are read from the installed package, parsers are as upstream's `completion_parsers.py`.
A configuration, shortened:

    weighted_alpaca_eval_gpt4_turbo:
      prompt_template: "alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"
      completions_kwargs: {model_name: "gpt-4-1106-preview", max_tokens: 1, temperature: 1,
                           logprobs: true, top_logprobs: 5}
      fn_completion_parser: "logprob_parser"
      completion_parser_kwargs: {numerator_token: "m", denominator_tokens: ["m", "M"]}

Prompts are in ChatML, in Claude's "Human:" form, or plain text.  Replies to `alpaca_eval_gpt4`, and
to this one:

    [{'model': 'model_1', 'rank': 2}, {'model': 'model_2', 'rank': 1}]
    M          (with the log-probabilities of `m` and `M` as its first token)

Upstream's rules that are kept:
- One order is sent, drawn from the instruction: `random.Random("is_switched_outputs" +
  instruction + "0").choices([False, True])`; the reference is shown first where it says False
  (`annotators/pairwise_evaluator.py`, `processors.py`).
- Temperature, tokens and alternatives are the configuration's, unless the suite sets its own.

Departures:
- The judging model is the suite's, and is recorded beside the one the configuration names.
- The template is split into messages first, then filled in one pass.  Upstream fills first, so an
  answer with `<|im_end|>` ended its prompt, and an instruction with `{output_1}` swallowed the
  answer.  ChatML's two border tokens within texts are broken with a space, because judges served
  locally would read them as real ones.  Other prompts equal upstream's.
- A reply without exactly one verdict is unparsable.  Upstream gives a token that is not among the
  alternatives the probability 0, so a missing `m` scores 2.0; here both must be there.  Two scores
  of which one is NaN are a tie upstream; here there is no verdict.
- A verdict that also stands in the judged texts is not read (see `_prompt`); a letter is not where
  an answer begins or ends with it, or has it alone on a line.
- Where a judge's `repeats` say so, the other order is sent besides, for its position bias; it
  enters no score.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import math
import random
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from evalkit.core import Completion, Exchange, Flow, Json, Judgment, Message, Request
from evalkit.core.protocols import JudgeContext
from evalkit.core.specs import JudgeSpec
from evalkit.errors import SuiteError, did_you_mean
from evalkit.judges._prompt import LONGEST_REPLY, NOTHING, Material, sampling_seed, why_unparsable

__all__ = ["PairwiseAlpacaEval", "evaluator", "evaluators", "read_verdict"]

WRITTEN = "alpaca_eval_gpt4"
"""AlpacaEval 1's evaluator: every prompt with version 2's instructions needs log-probabilities or
tools."""
_BORDERS = re.compile(r"<(?=\|im_(?:start|end)\|>)")


class PairwiseAlpacaEval:
    """Prefers one of two answers as an evaluator of alpaca_eval does."""

    protocol = "pairwise_alpaca_eval"

    def __init__(self, name: str, engine: str, spec: JudgeSpec, context: JudgeContext) -> None:
        self.name = name
        self._engine = engine
        self._spec = spec
        self._evaluator_name = str(context.options.get("evaluator") or "alpaca_eval_gpt4")

    @functools.cached_property
    def _loaded(self) -> _Evaluator:
        """Configuration and prompt.  Raises SuiteError with the names there are."""
        return evaluator(self._evaluator_name)

    @staticmethod
    def without_logprobs(options: Mapping[str, Json]) -> Mapping[str, Json]:
        """The nearest evaluator that reads a written reply; empty where this one does."""
        chosen = evaluator(str(options["evaluator"]))
        return {"evaluator": WRITTEN} if chosen.top_logprobs else {}

    def compare(self, instruction: str, answer: str, reference: str) -> Flow[Judgment]:
        """One request; `value` is 0 where the reference is better, 1 where the answer is."""
        config = self._loaded
        answer_first = self.shows_first(instruction)
        shown = (answer, reference) if answer_first else (reference, answer)
        prompt = config.prompt(
            {
                "instruction": _BORDERS.sub("< ", instruction),
                "output_1": _BORDERS.sub("< ", shown[0]),
                "output_2": _BORDERS.sub("< ", shown[1]),
            }
        )
        (reply,) = yield [self._request(config, prompt)]
        parser, settings = config.parser, config.parser_settings
        material = Material(instruction, answer, reference, prompt=prompt)
        verdict = read_verdict(parser, settings, reply, material)
        # Where the first token is read, the rest may be cut.
        reads_first = config.top_logprobs > 0 and settings.get("log_prob_index") != -1
        error = why_unparsable(
            [replace(reply, truncated=False) if reads_first else reply],
            lambda _: read_verdict(parser, settings, reply),
            self._max_tokens(config),
            "the reply holds no verdict that the evaluator's parser reads",
        )
        sent = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        return Judgment(
            judge=self.name,
            protocol=self.protocol,
            status="unparsable" if verdict is None else "ok",
            value=None if verdict is None else _preference(verdict, answer_first=answer_first),
            exchanges=(Exchange(sent, _shown(config, reply), reply.thought),),
            error=error if verdict is None else None,
        )

    def shows_first(self, instruction: str) -> bool:
        """Whether the answer is shown before the reference."""
        return self._loaded.is_order_drawn and _is_switched(instruction)

    def describe(self) -> Mapping[str, Json]:
        """Evaluator, prompt, parser, settings, and the model that upstream uses with it."""
        config = self._loaded
        return {
            "protocol": self.protocol,
            "evaluator": config.name,
            "alpaca_eval": version("alpaca_eval"),
            "prompt_sha256": config.sha256,
            "parser": config.parser,
            "order": "drawn from the instruction" if config.is_order_drawn else "reference first",
            "evaluator_model": config.model,
            "max_tokens": self._max_tokens(config),
            "temperature": self._temperature(config),
            "top_logprobs": config.top_logprobs,
        }

    def _max_tokens(self, config: _Evaluator) -> int:
        own = "judge_max_tokens" in self._spec.model_fields_set
        return self._spec.judge_max_tokens if own else config.max_tokens

    def _temperature(self, config: _Evaluator) -> float:
        own = "judge_temperature" in self._spec.model_fields_set
        return self._spec.judge_temperature if own else config.temperature

    def _request(self, config: _Evaluator, prompt: tuple[Message, ...] | str) -> Request:
        temperature = self._temperature(config)
        reads_last = config.parser_settings.get("log_prob_index") == -1
        sent = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        return Request(
            self._engine,
            "generate",
            prompt,
            max_tokens=self._max_tokens(config),
            temperature=temperature,
            seed=sampling_seed(sent, temperature),
            top_logprobs=config.top_logprobs,
            top_logprobs_at="last" if reads_last else "first",
            tool=config.tool,
        )


def _is_switched(instruction: str) -> bool:
    """Whether alpaca_eval shows the answer first."""
    drawn = random.Random(f"is_switched_outputs{instruction}0")  # noqa: S311 - nothing secret
    return drawn.choices([False, True])[0]


def _preference(verdict: float, *, answer_first: bool) -> float:
    """0 to 1 for the answer, from a verdict about what was shown first and second."""
    if verdict == 0:
        return 0.5
    return 2 - verdict if answer_first else verdict - 1


def _shown(config: _Evaluator, reply: Completion) -> str:
    """The reply as text, with the alternatives where log-probabilities were read."""
    if not config.top_logprobs:
        return reply.text
    tops = " ".join(f"{token}={value:.6f}" for token, value in reply.top_logprobs)
    return f"{reply.text}\n{tops}" if tops else reply.text


# --- configurations -------------------------------------------------------------------------------

_TURN = re.compile(r"<\|im_start\|>(\w+)[^\n]*\n(.*?)<\|im_end\|>", re.DOTALL)
_PLACEHOLDER = re.compile(r"{([^ \s]+?)}")
_OTHER_COLUMNS = frozenset({"input", "dataset", "generator_1", "generator_2"})
"""Columns that upstream can put into a prompt, besides `_Evaluator.prompt`'s three."""
_PARSERS = frozenset(
    {"ranking_parser", "regex_parser", "logprob_parser", "lmsys_parser", "pipeline_meta_parser"}
)
_ROLES: tuple[Literal["system"], Literal["user"], Literal["assistant"]]
_ROLES = ("system", "user", "assistant")
_BIASED = ("tokens_to_favor", "tokens_to_avoid")


@dataclass(frozen=True)
class _Evaluator:
    """One configuration."""

    name: str
    template: tuple[Message, ...] | str
    """Messages with placeholders, or plain text for a completion model."""
    parser: str
    parser_settings: Mapping[str, Json]
    model: str
    """The model that alpaca_eval uses with it."""
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
    """Fill each placeholder's first occurrence, in one pass: inserted text is not searched."""
    seen: set[str] = set()

    def put(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in values or name in seen:
            return found.group()
        seen.add(name)
        return values[name]

    return _PLACEHOLDER.sub(put, template)


def evaluator(name: str) -> _Evaluator:
    """The configuration called `name`.

    Raises:
        SuiteError: no such configuration, one that needs features servers lack, or alpaca_eval is
            not installed.
    """
    known = evaluators()
    if name not in known:
        raise SuiteError(
            f"alpaca_eval has no evaluator {name!r}{did_you_mean(name, known, 3)}  "
            f"It ships {', '.join(sorted(known))}"
        )
    config = known[name]
    settings = config.get("completions_kwargs") or {}
    _refuse(name, config, settings)
    text = (_folder() / str(config["prompt_template"])).read_text(encoding="utf-8")
    unknown = sorted(set(_PLACEHOLDER.findall(text)) & _OTHER_COLUMNS)
    if unknown:
        raise SuiteError(f"evaluator {name!r}: its prompt needs {unknown[0]!r}, which is not given")
    tools = settings.get("tools") or []
    return _Evaluator(
        name=name,
        template=_messages(text),
        parser=str(config.get("fn_completion_parser") or "regex_parser"),
        parser_settings=dict(config.get("completion_parser_kwargs") or {}),
        model=str(settings.get("model_name", "")),
        max_tokens=int(
            settings.get("max_tokens")
            or settings.get("max_tokens_to_sample")
            or settings.get("max_new_tokens")
            or 50
        ),
        temperature=float(settings.get("temperature", 0.0)),
        top_logprobs=int(settings.get("top_logprobs", 0)) if settings.get("logprobs") else 0,
        tool=json.dumps(tools[0], sort_keys=True) if tools else "",
        is_order_drawn=bool(config.get("is_randomize_output_order", True)),
    )


def _refuse(name: str, config: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise SuiteError for configurations that OpenAI-compatible servers cannot reproduce."""
    if int(config.get("batch_size") or 1) != 1:
        raise SuiteError(
            f"evaluator {name!r} puts {config['batch_size']} pairs into one prompt, so that a "
            f"verdict depends on its neighbours; choose one with a pair a prompt, for example "
            f"'alpaca_eval_gpt4'"
        )
    biased = next((key for key in _BIASED if settings.get(key)), None)
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
def evaluators() -> dict[str, dict[str, Any]]:
    """All configurations of the installed package, by name.  Raises SuiteError."""
    import yaml

    found: dict[str, dict[str, Any]] = {}
    for path in sorted(_folder().glob("*/configs.yaml")):
        found |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


# --- parsers; a verdict is 1: the answer shown first is better, 2: the second, 0: a tie -----------

Settings = Mapping[str, Json]
_NO_VALUE = (
    *(ValueError, SyntaxError, TypeError, KeyError, StopIteration),
    *(RecursionError, MemoryError),  # thousands of brackets or signs
)
_LONGEST_SCORE = 30
"""Characters of a score."""
_MOST_MATCHES = 50
"""Matches that are looked at in one reply."""


def read_verdict(
    parser: str, settings: Settings, reply: Completion, material: Material = NOTHING
) -> float | None:
    """The verdict in `reply`; None where there is none, or not exactly one.

    `material`: see `_prompt`.
    """
    if len(reply.text) > LONGEST_REPLY:
        return None
    if parser == "logprob_parser":
        words = reply.text.split()
        chosen = words[-1:] if settings.get("log_prob_index") == -1 else words[:1]
        letters = {str(letter) for letter in settings.get("denominator_tokens") or ()}
        is_quoted = any(map(material.shows, letters.intersection(chosen)))
        return None if is_quoted else _logprob(settings, reply.top_logprobs)
    if parser == "pipeline_meta_parser":
        return None if material.ranks(reply.text) else _pipeline(settings, reply.text)
    if not reply.text:
        return None
    if parser == "ranking_parser":
        return None if material.ranks(reply.text) else _ranking(settings, reply.text)
    if parser == "lmsys_parser":
        return _lmsys(reply.text, material)
    return _regex(settings, reply.text, material)


def _ranking(settings: Settings, text: Any) -> float | None:
    """`[{'model': 'model_1', 'rank': 1}, ...]`: the rank of what was shown first."""
    first = str(settings.get("model_1_name", "model_1"))
    try:
        with warnings.catch_warnings():  # of escapes that Python does not know
            warnings.simplefilter("ignore")
            rows = ast.literal_eval(text) if isinstance(text, str) else text
        rank = next(row for row in rows if row["model"] == first)["rank"]
    except _NO_VALUE:
        return None
    return float(rank) if type(rank) in (int, float) and rank in (1, 2) else None


def _regex(settings: Settings, text: str, material: Material) -> float | None:
    """The one match of the two patterns; no match or several: no verdict."""
    patterns = settings.get("outputs_to_match") or {}
    own: list[float] = []
    left, at = text, 0
    for _ in range(_MOST_MATCHES):
        found = [
            (match.start(), key, match)
            for key, pattern in patterns.items()
            if (match := re.search(str(pattern), left))
        ]
        if not found:
            return own[0] if len(own) == 1 else None
        _, key, match = min(found, key=lambda f: f[:2])
        start, end = (at + place for place in match.span())
        own += [] if material.repeats(text, start, end) else [float(key)]
        left, at = text[end:], end
    return None


def _lmsys(text: str, material: Material) -> float | None:
    """Two scores on the first line, the first one's first."""
    pair = text.split("\n", maxsplit=1)[0].replace(",", " ").split(" ")
    if len(pair) != 2 or max(map(len, pair)) > _LONGEST_SCORE:
        return None
    try:
        first, second = float(pair[0]), float(pair[1])
    except ValueError:
        return None
    if math.isnan(first) or math.isnan(second) or material.counts(*pair):
        return None
    return 1.0 if first > second else 2.0 if first < second else 0.0


def _pipeline(settings: Settings, text: str) -> float | None:
    """JSON under a key, then a ranking (the evaluators that call a function)."""
    steps = settings.get("parsers_to_kwargs") or {}
    value: Any = text
    for parser, own in steps.items():
        if parser == "json_parser":
            value = _json(value, own.get("annotation_key"))
        elif parser == "ranking_parser":
            return _ranking(own, value)
        else:
            return None
        if value is None:
            return None
    return None


def _json(text: str, key: str | None) -> Any:
    if "```json" in text:
        inside = re.search(r"```json(.*?)```", text, re.DOTALL)
        text = inside.group(1) if inside else ""
    try:
        value = json.loads(text)
        return value if key is None else value[key]
    except _NO_VALUE:
        return None


def _logprob(settings: Settings, tops: Sequence[tuple[str, float]]) -> float | None:
    """2 - P(first) among the two tokens; 1 or 2 where the judge is binarised."""
    first = str(settings.get("numerator_token"))
    tokens = [str(token) for token in settings.get("denominator_tokens") or ()]
    known = {token: value for token, value in tops if token in (*tokens, first)}
    if first not in known or any(token not in known for token in tokens):
        return None
    if settings.get("is_binarize", True):
        return 1.0 if all(known[first] > known[t] for t in tokens if t != first) else 2.0
    top = max(known[token] for token in tokens)
    if not math.isfinite(top):
        return None
    total = math.fsum(math.exp(known[token] - top) for token in tokens)
    return 2 - math.exp(known[first] - top) / total
