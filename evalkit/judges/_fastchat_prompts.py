"""FastChat's judge prompts: read once, filled in as `fastchat.llm_judge.common` fills them in.

Pure but for `read_templates`.  Texts are inserted by one `str.format` of FastChat's own template,
as upstream does: what stands in braces inside a question or an answer is not looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit import data
from evalkit.core import Message
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError

__all__ = ["PROMPTS", "Template", "Templates", "pair_prompt", "read_templates", "single_prompt"]

PROMPTS = "mt_bench/judge_prompts"
"""Name of the data set."""
_NAMES = tuple(
    f"{kind}{turns}"
    for kind in ("single-v1", "single-math-v1", "pair-v2", "pair-math-v1")
    for turns in ("", "-multi-turn")
)


@dataclass(frozen=True)
class Template:
    """One judge prompt."""

    system: str
    text: str
    """With placeholders in braces."""


@dataclass(frozen=True)
class Templates:
    """All eight prompts."""

    by_name: Mapping[str, Template]
    sha256: str
    """Of the file they were read from."""


def read_templates(places: DataPlaces) -> Templates:
    """The eight prompts that single grading and pairs need.

    Raises:
        DataError: the data set is not here, or lacks one of them.
    """
    prompts = data.records(PROMPTS, places)
    data.require(prompts, {"name": str, "system_prompt": str, "prompt_template": str})
    found = {
        row["name"]: Template(row["system_prompt"], row["prompt_template"])
        for row in prompts.records
    }
    missing = sorted(set(_NAMES) - set(found))
    if missing:
        raise DataError(
            f"{prompts.path}: no judge prompt {missing[0]!r}; expected FastChat's {len(_NAMES)}: "
            f"{', '.join(_NAMES)}"
        )
    return Templates(found, prompts.sha256)


def single_prompt(
    templates: Templates,
    questions: Sequence[str],
    answers: Sequence[str],
    references: Sequence[str] | None,
    *,
    multi_turn: bool,
) -> tuple[Message, ...]:
    """The prompt that has one answer rated: the first, or with `multi_turn` the second.

    Args:
        templates: from `read_templates`.
        questions: user turns, in order; two where `multi_turn`.
        answers: the model's, likewise.
        references: reference answers, likewise; None or empty: rated without.
        multi_turn: whether the second answer is rated, in sight of the first.

    Returns:
        System and user message.
    """
    if multi_turn:
        values = {
            **_numbered("question", questions),
            **_numbered("answer", answers),
        }
    else:
        values = {"question": questions[0], "answer": answers[0]}
    kind = "single-math-v1" if references else "single-v1"
    return _filled(templates, kind, values, references, multi_turn)


def pair_prompt(
    templates: Templates,
    questions: Sequence[str],
    answers: tuple[Sequence[str], Sequence[str]],
    references: Sequence[str] | None,
    *,
    multi_turn: bool,
) -> tuple[Message, ...]:
    """The prompt that has two models' answers compared; `answers`: of A, then of B.

    The rest is as in `single_prompt`.
    """
    first, second = answers
    if multi_turn:
        values = {
            **_numbered("question", questions),
            **_numbered("answer_a", first),
            **_numbered("answer_b", second),
        }
    else:
        values = {"question": questions[0], "answer_a": first[0], "answer_b": second[0]}
    kind = "pair-math-v1" if references else "pair-v2"
    return _filled(templates, kind, values, references, multi_turn)


def _numbered(name: str, texts: Sequence[str]) -> dict[str, str]:
    return {f"{name}_{turn}": texts[turn - 1] for turn in (1, 2)}


def _filled(
    templates: Templates,
    kind: str,
    values: Mapping[str, str],
    references: Sequence[str] | None,
    multi_turn: bool,
) -> tuple[Message, ...]:
    template = templates.by_name[f"{kind}-multi-turn" if multi_turn else kind]
    given = dict(values)
    for turn, text in enumerate(references or (), start=1):
        given[f"ref_answer_{turn}"] = text
    return (Message("system", template.system), Message("user", template.text.format(**given)))
