"""FastChat's conversation templates as Jinja chat templates.

Source: `fastchat.conversation` of fschat 0.2.36, read as a black box.  FastChat builds prompts
in code, one branch per separator style.  Here the code is run on marked messages, the text
between the marks is cut out, and a Jinja template with these pieces is made and compared with
FastChat on other messages.  A template that is not made of fixed pieces (it counts rounds or
rewrites messages) is refused by that comparison, never approximated.

A conversation without a system message gets FastChat's default one, as in FastChat.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evalkit.core import Message
from evalkit.errors import ModelError

__all__ = ["fastchat_template", "jinja_literal"]

_SYSTEM = "\x02system\x03"
_TURNS = tuple(f"\x02turn{i}\x03" for i in range(8))
_ROLES: tuple[Literal["user"], Literal["assistant"]] = ("user", "assistant")


@dataclass(frozen=True)
class _Pieces:
    """What FastChat puts around the messages."""

    system: tuple[str, ...]
    """Before and after a system message, up to the first user message; one piece where the
    template prints no system message."""
    system_empty: str
    """Instead, where the system message is empty."""
    system_default: str
    """Instead, where the conversation has none."""
    gaps: tuple[str, ...]
    """Between neighbours: user-assistant, assistant-user, user-assistant, ..."""
    close_user: str
    close_assistant: str
    """After the last message, where the conversation ends with it."""
    open_assistant: tuple[str, ...]
    """After the last user message of turn i, where an answer is wanted."""


def fastchat_template(name: str) -> str:
    """Jinja source that renders what FastChat's template `name` does (BOS not included).

    Raises ModelError for an unknown name (listing the nearest) and for templates that are not
    made of fixed pieces.
    """
    from fastchat.conversation import conv_templates

    if name not in conv_templates:
        near = difflib.get_close_matches(name, conv_templates, n=5, cutoff=0.4)
        choices = ", ".join(near) if near else ", ".join(sorted(conv_templates)[:8]) + ", ..."
        raise ModelError(
            f"FastChat has no template {name!r}; the nearest are {choices}; "
            "write `chat_template: fastchat:NAME` or name a Jinja file"
        )
    try:
        template = _jinja(_pieces(name))
        _compare(name, template)
    except _NotFixedError as error:
        raise ModelError(
            f"FastChat's template {name!r} cannot be written as a chat template: {error}; "
            "write it as a Jinja file and name that"
        ) from error
    return template


class _NotFixedError(Exception):
    """The prompt is not made of fixed pieces."""


def _prompt(name: str, system: str | None, turns: Sequence[str], *, answer: bool) -> str:
    """FastChat's own prompt; `turns` alternate, `answer` opens the assistant's turn."""
    from fastchat.conversation import get_conv_template

    conversation = get_conv_template(name)
    if system is not None:
        conversation.set_system_message(system)
    for i, turn in enumerate(turns):
        conversation.append_message(conversation.roles[i % 2], turn)
    if answer:
        conversation.append_message(conversation.roles[len(turns) % 2], None)
    try:
        return str(conversation.get_prompt())
    except (ValueError, TypeError) as error:
        raise _NotFixedError(f"FastChat itself fails: {error}") from error


def _split(text: str, marks: Sequence[str]) -> list[str]:
    """The pieces around `marks`, each of which must occur once and in order."""
    pieces, rest = [], text
    for mark in marks:
        before, found, rest = rest.partition(mark)
        if not found or mark in rest:
            raise _NotFixedError(f"message {mark.strip()!r} is not printed exactly once")
        pieces.append(before)
    return [*pieces, rest]


def _pieces(name: str) -> _Pieces:
    whole = _split(_prompt(name, _SYSTEM, _TURNS, answer=False), _TURNS)
    system = _split(whole[0], (_SYSTEM,)) if _SYSTEM in whole[0] else [whole[0]]
    opened = tuple(
        _split(_prompt(name, _SYSTEM, _TURNS[:n], answer=True), _TURNS[:n])[-1]
        for n in range(1, len(_TURNS), 2)
    )
    return _Pieces(
        system=tuple(system),
        system_empty=_split(_prompt(name, "", _TURNS[:1], answer=False), _TURNS[:1])[0],
        system_default=_split(_prompt(name, None, _TURNS[:1], answer=False), _TURNS[:1])[0],
        gaps=tuple(whole[1:-1]),
        close_user=_split(_prompt(name, _SYSTEM, _TURNS[:1], answer=False), _TURNS[:1])[-1],
        close_assistant=whole[-1],
        open_assistant=opened,
    )


def jinja_literal(text: str) -> str:
    """A Jinja expression statement that prints `text` as it is."""
    # Jinja reads string escapes as Python does; JSON's are a part of them, except for surrogate
    # pairs, which ensure_ascii=False does not write.
    return "{{- " + json.dumps(text, ensure_ascii=False) + " -}}"


def _jinja(pieces: _Pieces) -> str:
    later = {pieces.gaps[i] for i in range(2, len(pieces.gaps), 2)}
    back = {pieces.gaps[i] for i in range(1, len(pieces.gaps), 2)}
    opened = set(pieces.open_assistant[1:])
    if len(later) != 1 or len(back) != 1 or len(opened) != 1:
        raise _NotFixedError("the text between turns changes from turn to turn")
    between_first, between = pieces.gaps[0], later.pop()
    lines = [
        "{%- set turns = messages -%}",
        "{%- if messages and messages[0]['role'] == 'system' -%}",
        "{%- set turns = messages[1:] -%}",
        "{%- if messages[0]['content'] -%}",
        "\n{{- messages[0]['content'] -}}\n".join(map(jinja_literal, pieces.system)),
        "{%- else -%}",
        jinja_literal(pieces.system_empty),
        "{%- endif -%}",
        "{%- else -%}",
        jinja_literal(pieces.system_default),
        "{%- endif -%}",
        "{%- for m in turns -%}",
        "{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) or m['role'] == 'system' -%}",
        "{{- raise_exception('messages must alternate user and assistant') -}}",
        "{%- endif -%}",
        "{{- m['content'] -}}",
        "{%- if loop.last -%}",
        "{%- if m['role'] == 'assistant' -%}",
        jinja_literal(pieces.close_assistant),
        "{%- elif not add_generation_prompt -%}",
        jinja_literal(pieces.close_user),
        "{%- elif loop.first -%}",
        jinja_literal(pieces.open_assistant[0]),
        "{%- else -%}",
        jinja_literal(opened.pop()),
        "{%- endif -%}",
        "{%- elif m['role'] == 'assistant' -%}",
        jinja_literal(back.pop()),
        "{%- elif loop.first -%}",
        jinja_literal(between_first),
        "{%- else -%}",
        jinja_literal(between),
        "{%- endif -%}",
        "{%- endfor -%}",
    ]
    return "\n".join(lines)


_COMPARED = (
    "Is 7 < 8?",
    "Yes: {it} is.\n\nTwo \"lines\", 'quoted' \\ and {{ braced }}.",
    "  Und warum? \N{ROCKET}",
    "Because.",
    "Go on.",
)


def _compare(name: str, template: str) -> None:
    """Render conversations of one to three turns both ways.  Raises on any difference."""
    from evalkit.models.template import render

    for system in (None, "", "Be brief: {x}."):
        for n in range(1, len(_COMPARED) + 1):
            turns = _COMPARED[:n]
            answer = n % 2 == 1
            theirs = _prompt(name, system, turns, answer=answer)
            messages = [Message(_ROLES[i % 2], turn) for i, turn in enumerate(turns)]
            if system is not None:
                messages.insert(0, Message("system", system))
            ours = render(template, messages, add_generation_prompt=answer)
            if ours != theirs:
                raise _NotFixedError(_first_difference(ours, theirs))


def _first_difference(ours: str, theirs: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    at = min(len(ours), len(theirs)) if at is None else at
    return f"it does not print messages as they are (at {theirs[max(0, at - 20) : at + 20]!r})"
