"""alpaca_eval's own judge: any evaluator it ships, by name.

Source: https://github.com/tatsu-lab/alpaca_eval (Apache-2.0), Li et al. 2023 and Dubois et al. 2024
(arXiv:2404.04475); configurations and prompts from the installed package (`_alpaca_config.py`),
parsers as upstream's (`_alpaca_parsers.py`).  What `alpaca_eval_gpt4` and
`weighted_alpaca_eval_gpt4_turbo` reply:

    [{'model': 'model_1', 'rank': 2}, {'model': 'model_2', 'rank': 1}]
    M          (with the log-probabilities of `m` and `M` as its first token)

Upstream's rules that are kept:
- One order is asked, drawn from the instruction: `random.Random("is_switched_outputs" +
  instruction + "0").choices([False, True])`; the reference is shown first where it says False
  (`annotators/pairwise_evaluator.py`, `processors.py`).
- Temperature, tokens and alternatives are the configuration's, unless the suite sets its own.

Departures:
- The judging model is the suite's, and is recorded beside the one the configuration names.
- Texts are put into messages that were cut before, in one pass: upstream cuts afterwards, so an
  answer with `<|im_end|>` ended its prompt, and an instruction with `{output_1}` swallowed the
  answer.  In texts that hold ChatML's two border tokens, these are broken with a space, because
  judges served locally would take them for real ones.  Other prompts equal upstream's.
- A reply without exactly one verdict is unparsable; for weighted judges see `_alpaca_parsers.py`.
- Position bias cannot be measured sample by sample, since one order is asked.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from importlib.metadata import version

from evalkit.core import Completion, Exchange, Flow, Json, Judgment, Message, Request
from evalkit.core.protocols import JudgeContext
from evalkit.core.specs import JudgeSpec
from evalkit.judges._alpaca_config import Evaluator, evaluator
from evalkit.judges._alpaca_parsers import read
from evalkit.judges._prompt import sampling_seed

__all__ = ["PairwiseAlpacaEval"]

_BORDERS = re.compile(r"<(?=\|im_(?:start|end)\|>)")
_LAST = -1


class PairwiseAlpacaEval:
    """Prefers one of two answers as an evaluator of alpaca_eval does."""

    protocol = "pairwise_alpaca_eval"

    def __init__(self, name: str, engine: str, spec: JudgeSpec, context: JudgeContext) -> None:
        self.name = name
        self._engine = engine
        self._spec = spec
        self._evaluator_name = str(context.options.get("evaluator") or "alpaca_eval_gpt4")
        self._evaluator: Evaluator | None = None

    def load(self) -> None:
        """Read configuration and prompt.  Raises SuiteError with the names there are."""
        if self._evaluator is None:
            self._evaluator = evaluator(self._evaluator_name)

    @property
    def _loaded(self) -> Evaluator:
        self.load()
        assert self._evaluator is not None
        return self._evaluator

    def compare(self, instruction: str, answer: str, reference: str) -> Flow[Judgment]:
        """One request; `value` is 0 where the reference is better, 1 where the answer is."""
        config = self._loaded
        answer_first = config.is_order_drawn and _is_switched(instruction)
        shown = (answer, reference) if answer_first else (reference, answer)
        prompt = config.prompt(
            {
                "instruction": _BORDERS.sub("< ", instruction),
                "output_1": _BORDERS.sub("< ", shown[0]),
                "output_2": _BORDERS.sub("< ", shown[1]),
            }
        )
        (reply,) = yield [self._request(config, prompt)]
        verdict = read(config.parser, config.parser_settings, reply)
        asked = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        return Judgment(
            judge=self.name,
            protocol=self.protocol,
            status="unparsable" if verdict is None else "ok",
            value=None if verdict is None else _preference(verdict, answer_first=answer_first),
            exchanges=(Exchange(asked, _shown(config, reply)),),
            error="the reply holds no verdict that the evaluator's parser reads"
            if verdict is None
            else None,
        )

    def describe(self) -> Mapping[str, Json]:
        """Evaluator, prompt, parser, settings, and the model the evaluator was made for."""
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

    def _max_tokens(self, config: Evaluator) -> int:
        own = "judge_max_tokens" in self._spec.model_fields_set
        return self._spec.judge_max_tokens if own else config.max_tokens

    def _temperature(self, config: Evaluator) -> float:
        own = "judge_temperature" in self._spec.model_fields_set
        return self._spec.judge_temperature if own else config.temperature

    def _request(self, config: Evaluator, prompt: tuple[Message, ...] | str) -> Request:
        temperature = self._temperature(config)
        asked = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        return Request(
            self._engine,
            "generate",
            prompt,
            max_tokens=self._max_tokens(config),
            temperature=temperature,
            seed=sampling_seed(asked, temperature),
            top_logprobs=config.top_logprobs,
            top_logprobs_at="last" if _reads_last(config) else "first",
            tool=config.tool,
        )


def _is_switched(instruction: str) -> bool:
    """Whether alpaca_eval shows the answer first."""
    drawn = random.Random(f"is_switched_outputs{instruction}0")  # noqa: S311 - nothing secret
    return drawn.choices([False, True])[0]


def _reads_last(config: Evaluator) -> bool:
    return config.parser_settings.get("log_prob_index") == _LAST


def _preference(verdict: float, *, answer_first: bool) -> float:
    """0 to 1 for the answer, from a verdict about what was shown first and second."""
    if verdict == 0:
        return 0.5
    return 2 - verdict if answer_first else verdict - 1


def _shown(config: Evaluator, reply: Completion) -> str:
    """The reply as text; with its alternatives where these were read."""
    if not config.top_logprobs:
        return reply.text
    tops = " ".join(f"{token}={value:.6f}" for token, value in reply.top_logprobs)
    return f"{reply.text}\n{tops}" if tops else reply.text
