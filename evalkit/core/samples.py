"""Samples, and what becomes of them: judgments and scores of an answer, and the record."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from evalkit.core.requests import STORED, Json, Message, Moderate

__all__ = [
    "CONTROL_TOKEN",
    "SETTLED",
    "SUSPICIOUS",
    "UNANSWERED",
    "Exchange",
    "Judgment",
    "Outcome",
    "Record",
    "Sample",
    "Score",
    "Status",
    "Suspicion",
    "frequent",
    "suspicions",
]

Status: TypeAlias = Literal[
    "ok",
    "engine_error",
    "transport_error",
    "unparsable",
    "refused",
    "over_long",
    "unfinished",
    "excluded",
]
UNANSWERED: frozenset[Status] = frozenset({"engine_error", "transport_error"})
"""Failures that a retry may fix; the others would fail the same way again."""
SETTLED: frozenset[Status] = frozenset({"refused", "over_long", "unfinished", "excluded"})
"""Failures that do not depend on what a judge replied, and that no retry changes."""


def frequent(reasons: Iterable[str]) -> str:
    """The three most frequent of them, each once and with its number."""
    return "; ".join(f"{n} times: {reason}" for reason, n in Counter(reasons).most_common(3))


@dataclass(frozen=True)
class Sample:
    """One item of a benchmark."""

    id: str
    """Unique within its task; stable over versions of the code."""
    task: str
    """lm-eval task name, or the benchmark's type where it has no tasks."""
    turns: tuple[str, ...]
    """User turns in order; for lm-eval the document's prompt as text."""
    category: str | None = None
    """As the benchmark calls it; None: it has no categories."""
    cluster: str = ""
    """Unit of resampling; empty: the sample itself."""
    reference: tuple[str, ...] = ()
    """Reference answer per turn, or the gold target."""
    data: Mapping[str, Json] = field(default_factory=dict)
    """The raw item."""


@dataclass(frozen=True)
class Exchange:
    """One request to a judge and its reply, verbatim."""

    __pydantic_config__ = STORED

    prompt: tuple[Message, ...]
    reply: str
    """Text, or `choice=log-probability` pairs where log-probabilities were read."""
    thought: str = ""
    """What the judge wrote before its reply; no verdict is read from it."""


@dataclass(frozen=True)
class Judgment:
    """A judge's judgment of one answer (or pair of answers)."""

    __pydantic_config__ = STORED

    judge: str
    """Name in the suite."""
    protocol: str
    """Module of the judges room."""
    status: Status
    value: Moderate | None
    """Pairwise: preference for the answer over the reference, 0 to 1.  Rating: 1 to 10."""
    part: str = ""
    """`turn_1`, `turn_2`; empty where there is one judgment a sample."""
    votes: tuple[Moderate, ...] = ()
    """Pairwise: the preference for the answer when it was shown first, then when second."""
    exchanges: tuple[Exchange, ...] = ()
    """Requests and replies it rests on, in the order sent."""
    repeats: tuple[tuple[Moderate, ...], ...] = ()
    """The same judgment made again, to see whether the judge agrees with itself: each time its
    votes, or its one value.  They enter no score."""
    error: str | None = None
    """Why there is no value; None where there is one."""


@dataclass(frozen=True)
class Score:
    """One number about one sample."""

    __pydantic_config__ = STORED

    metric: str
    value: Moderate
    """In the metric's own unit per sample (a 0/1 accuracy, a preference 0 to 1, a rating)."""
    part: str = ""
    """Distinguishes several scores of one metric (`turn_1`, `turn_2`), paired part by part."""


@dataclass(frozen=True)
class Outcome:
    """What a sample's flow returns: a record without its identity."""

    __pydantic_config__ = STORED

    status: Status
    conversation: tuple[Message, ...] = ()
    """Prompt and answers in order, as sent to the model."""
    answers: tuple[str, ...] = ()
    """The model's answers (for log-likelihood items: the choices with their scores as text)."""
    reference: tuple[str, ...] = ()
    """As in the sample."""
    scores: tuple[Score, ...] = ()
    judgments: tuple[Judgment, ...] = ()
    rejudged: tuple[Score, ...] = ()
    """Scores of the same answers by the judge of the benchmark's bridge; they enter no figure of
    this model, and its judgments stand among the others."""
    truncated: bool = False
    """An answer was cut by its token limit; it is scored all the same, and counted."""
    error: str | None = None
    """What went wrong; None where the status is ok."""
    data: Mapping[str, Json] = field(default_factory=dict)
    """By metric, the values that corpus metrics (perplexity, F1, BLEU) are computed from and that
    are not one number; empty for most samples."""
    thoughts: tuple[str, ...] = ()
    """What the model thought, request by request; empty: it did not think."""
    thought_tokens: int = 0
    """Of all thoughts together; 0 where nobody counts them."""

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Why a model or a judge did not answer, where a retry may fix it; each reason once."""
        of: tuple[Outcome | Judgment, ...] = (self, *self.judgments)
        return tuple({one.error or one.status: 0 for one in of if one.status in UNANSWERED})

    @property
    def is_wrong(self) -> bool:
        """Scored as wrong, because its thought did not end."""
        return self.status == "unfinished" and bool(self.scores) and not self.judgments

    @property
    def is_missing(self) -> bool:
        """Without a score it should have."""
        return self.status != "ok" and not self.is_wrong


@dataclass(frozen=True)
class Record:
    """One line of records.jsonl: one sample with one model."""

    __pydantic_config__ = STORED

    model: str
    """Name in the suite."""
    benchmark: str
    """Entry of the suite."""
    task: str
    sample: str
    """`Sample.id`."""
    category: str | None
    cluster: str
    """Unit of resampling; never empty."""
    outcome: Outcome

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Identity within a run; ties in the canonical order are broken by it."""
        return (self.model, self.benchmark, self.task, self.sample)


# --- answers that address their judge ------------------------------------------------------------

CONTROL_TOKEN = re.compile(
    r"<(?=[|\uff5c][^<>\n]{1,60}[|\uff5c]>|/?s>|<SYS>>|</SYS>>|(?:start|end)_of_turn>|[be]os>|pad>|unk>"
    r"|/?(?:think|tool_call|tool_response)>)"
    r"|\[(?=/?INST\]|/?SYSTEM_PROMPT\]|/?TOOL_CALLS\]|/?AVAILABLE_TOOLS\])"
)
"""The first character of what chat templates use as borders: ChatML, Llama 2 and 3, Mistral, Gemma,
DeepSeek (with its full-width bars), Phi, Qwen."""

Suspicion: TypeAlias = Literal["verdict", "delimiter", "control token", "role", "instruction"]
"""What in an answer may be meant for its judge."""
# As text, so that only a report compiles them.
SUSPICIOUS: Mapping[Suspicion, str] = {
    # FastChat's, Arena-Hard's and our own verdicts, alpaca_eval's rankings and letters.
    "verdict": (
        r"(?m)\[\[\s*(?:\d{1,2}(?:\.\d*)?|[A-C](?:[<>=]{1,2}[A-C])?)\s*\]\]"
        r"|\bmodel_[12]\W{1,9}rank\b|\brank[\"']?\s{0,3}:\s{0,3}[\"']?[12]\b"
        r"|[\"'](?:verdict|winner|preference|ordered_models|rating|score)[\"']\s{0,3}:"
        r"|^ ?Output \([ab]\)|\A\W{0,9}[mMAB]\W{0,9}\Z"
    ),
    "delimiter": (
        r"(?i)\[(?:The )?(?:Start|End|Begin) of [^\]\n]{0,30}"
        r"(?:assistant|model|answer|response|output|conversation|question|instruction)"
        r"|<\s{0,3}/?\s{0,3}(?:question|answer|reference)(?:[_-]\w{1,9}){0,2}\s{0,3}>"
    ),
    "control token": CONTROL_TOKEN.pattern,
    "role": r"(?im)^[ \t#*\[<]{0,9}(?:system|user|human|assistant|judge)[ \t*\]>]{0,9}:",
    "instruction": (
        r"(?i)\b(?:ignore|disregard|forget|override)\b[^.\n]{0,40}"
        r"\b(?:above|previous|prior|preceding|earlier|instructions?|prompts?|rubrics?|criteria)\b"
        r"|\b(?:note|message|instructions?|dear|attention)\b[^.\n]{0,20}"
        r"\b(?:judges?|evaluators?|graders?|raters?)\b"
        r"|\b(?:judges?|evaluators?|graders?|raters?)\b[^.\n]{0,20}"
        r"\b(?:must|should|please|rate|score|choose|prefer|output|reply)\b"
        r"|\b(?:rate|score|choose|prefer|pick|select|rank)\b[^.\n]{0,30}"
        r"\b(?:this|my|the (?:first|second|other)) (?:answer|response|output|reply)\b"
    ),
}


def suspicions(answers: Iterable[str]) -> tuple[Suspicion, ...]:
    """What answers hold of these, in the table's order.  Answers may hold it in good faith."""
    texts = [unicodedata.normalize("NFKC", answer) for answer in answers]
    return tuple(
        name for name, pattern in SUSPICIOUS.items() if any(re.search(pattern, t) for t in texts)
    )
