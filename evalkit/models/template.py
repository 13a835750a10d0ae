"""Chat templates: the tokenizer's own, or the one the suite names; never guessed from a name.

A suite names a template as a file (`chat_template: zephyr.jinja`) or as one of FastChat's
(`chat_template: fastchat:vicuna_v1.1`).

FastChat's conversation templates as Jinja chat templates.
Source: `fastchat.conversation` of fschat 0.2.36, used as a black box.  FastChat builds prompts
in code, one branch per separator style.  Here the code is run on marked messages, the text between
the marks becomes a Jinja template, and that is compared with FastChat on other messages.  Templates
without fixed pieces (that count rounds or rewrite messages) fail the comparison and are refused,
never approximated.

A conversation without a system message gets FastChat's default one, as in FastChat.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from evalkit.core import Message
from evalkit.errors import ModelError
from evalkit.models.checkpoint import read_json
from evalkit.models.sources import local_path

__all__ = ["choose_template", "fastchat_template", "jinja_literal", "own_template", "render"]

_FASTCHAT = "fastchat:"
_PROBE = "evalkit probe 4711"
_TOKEN_FILES = ("special_tokens_map.json", "tokenizer_config.json")


def choose_template(
    wanted: str | None, folder: Path, root: Path, *, code: bool = False
) -> tuple[str | None, str]:
    """The Jinja source and its origin (`PreparedModel.template_source`).

    `wanted`: the suite's `chat_template`; `folder`: the checkpoint; files are relative to
    `root`; `code`: a tokenizer may run code that comes with it.  (None, "none") where the
    tokenizer has none and none is named.  Raises ModelError when the named one does not exist
    or the template cannot be used.
    """
    if wanted is None:
        template, source = own_template(folder), "tokenizer"
        if template is None:
            return None, "none"
    elif wanted.startswith(_FASTCHAT):
        template, source = _fastchat(wanted[len(_FASTCHAT) :], folder, code), wanted
    else:
        template, source = _from_file(wanted, root), f"file:{wanted}"
    _check(template, source, _special_tokens(folder))
    return template, source


def own_template(folder: Path) -> str | None:
    """The template of the tokenizer in `folder`: chat_template.jinja, else tokenizer_config.json.

    Raises ModelError when the file cannot be read.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(
                f"cannot read the chat template {str(file)!r}: {error}; expected Jinja in UTF-8: "
                "correct it, or name another with `chat_template:`"
            ) from error
    config = folder / "tokenizer_config.json"
    found = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(found, list):
        named = {str(t.get("name")): t.get("template") for t in found if isinstance(t, dict)}
        found = named.get("default")
    return str(found) if found else None


def _from_file(name: str, root: Path) -> str:
    path = local_path(name, root)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"cannot read the chat template {name!r} ({str(path)!r}): {error}; expected a Jinja "
            "file relative to the suite, or fastchat:NAME"
        ) from error


def _fastchat(name: str, folder: Path, code: bool) -> str:
    template = fastchat_template(name)
    # FastChat tokenises its prompts with special tokens added, a chat template is tokenised
    # without: a tokenizer that adds BOS needs it in the template.
    return "{{- bos_token }}" + template if _adds_bos(folder, code) else template


def _adds_bos(folder: Path, code: bool) -> bool:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=code
        )
        ids = tokenizer("a")["input_ids"]
    except Exception as error:
        raise ModelError(
            f"transformers cannot load the tokenizer in {str(folder)!r}: {error}; save it again "
            "with `save_pretrained`"
        ) from error
    bos = tokenizer.bos_token_id
    return bos is not None and bool(ids) and ids[0] == bos


def _special_tokens(folder: Path) -> dict[str, str]:
    """Special tokens by the names that the tokenizer's files and templates use."""
    found: dict[str, str] = {}
    for file in (folder / n for n in _TOKEN_FILES):
        for name, value in (read_json(file) if file.is_file() else {}).items():
            text = value.get("content") if isinstance(value, dict) else value
            if name.endswith("_token") and isinstance(text, str):
                found[name] = text
    return found


def _check(template: str, source: str, special_tokens: dict[str, str]) -> None:
    try:
        text = render(template, [Message("user", _PROBE)], special_tokens=special_tokens)
    # A template is a program: any error is possible (1 / 0, a range too long for the sandbox).
    except Exception as error:
        line = getattr(error, "lineno", None)
        where = f" (line {line})" if line else ""
        raise ModelError(
            f"the chat template {source!r} cannot be rendered{where}: "
            f"{type(error).__name__}: {error}; correct it, or name another with `chat_template:`"
        ) from error
    if _PROBE not in text:
        raise ModelError(
            f"the chat template {source!r} leaves out the user's message; expected it to print "
            "messages[i]['content']: name another with `chat_template:`"
        )


def render(
    template: str,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = True,
    special_tokens: dict[str, str] | None = None,
) -> str:
    """A conversation as text, as transformers renders it.  Raises any error of the template."""
    turns = [{"role": m.role, "content": m.content} for m in messages]
    compiled = _environment().from_string(template)
    context = special_tokens or {}
    return str(
        compiled.render(messages=turns, add_generation_prompt=add_generation_prompt, **context)
    )


def _environment() -> Any:
    """Jinja with transformers' settings; sandboxed, since templates come with models."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks the assistant's text for training; it has no effect here."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    environment.filters["tojson"] = to_json
    return environment


# --- FastChat's templates ----------------------------------------------------------------------

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
    """A Jinja expression statement that prints `text` unchanged."""
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
