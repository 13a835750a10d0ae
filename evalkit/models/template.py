"""Chat templates: the tokenizer's own, or the one the suite names; never guessed from a name.

A suite names a template as a file (`chat_template: zephyr.jinja`), as one of several that the
tokenizer has (`chat_template: tokenizer:rag`), or as one of FastChat's
(`chat_template: fastchat:vicuna_v1.1`).

A template is tried before anything is sent: one that fails or leaves out the user's message is an
error; what it does with system text, and where it leaves the assistant's turn unopened, is said.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from evalkit.core import Json, Message
from evalkit.errors import ModelError
from evalkit.models.checkpoint import has_vocabulary, read_json
from evalkit.models.sources import local_path

__all__ = [
    "Template",
    "choose_template",
    "fastchat_template",
    "jinja_literal",
    "own_template",
    "render",
]

_FASTCHAT = "fastchat:"
_OWN = "tokenizer:"
_PROBE = "evalkit probe 4711"
_SYSTEM_PROBE = "evalkit system probe 4712"
_ANSWER_PROBE = "evalkit answer probe 4713"
_END = 60
"""Characters of a prompt's end that a warning shows."""
_TOKEN_FILES = ("special_tokens_map.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Template:
    """The chosen chat template, and what trying it has shown."""

    text: str | None
    """Jinja source; None: the tokenizer has none and none is named."""
    source: str
    """`PreparedModel.template_source`."""
    system_role: bool = True
    """False: it refuses a system message."""
    warnings: tuple[str, ...] = ()

    @property
    def dated(self) -> bool:
        """It can print the date."""
        return self.text is not None and "strftime_now" in self.text


def choose_template(
    wanted: str | None,
    folder: Path,
    root: Path,
    *,
    code: bool = False,
    adapter: Path | None = None,
    options: Mapping[str, Json] | None = None,
) -> Template:
    """The chat template of a model, tried.

    Args:
        wanted: The suite's `chat_template`; None: the adapter's own, else the tokenizer's.
        folder: The checkpoint; of a merge, the base's.
        root: Files are relative to it.
        code: The tokenizer may run code that comes with it.
        adapter: Of a merge, the adapter's folder.
        options: The suite's `chat_template_kwargs`.

    Raises:
        ModelError: The named template does not exist, or the template cannot be used.
    """
    # The tokenizer of a merge is the adapter's own where it has a vocabulary.
    tokenizer = adapter if adapter is not None and has_vocabulary(adapter) else folder
    warnings: list[str] = []
    if wanted is None:
        text, source = own_template(folder), "tokenizer"
        trained = own_template(adapter) if adapter is not None else None
        if trained is not None:
            if text is not None and text.strip() != trained.strip():
                warnings.append(
                    "the adapter and its base have different chat templates; the adapter's is "
                    "used: where it was trained with the base's, name that with `chat_template:`"
                )
            text, source = trained, "tokenizer" if tokenizer is adapter else "adapter"
        if text is None:
            return Template(None, "none", warnings=_unchosen(tokenizer))
    elif wanted.startswith(_FASTCHAT):
        text, source = _fastchat(wanted[len(_FASTCHAT) :], tokenizer, code), wanted
    elif wanted.startswith(_OWN):
        text, source = _named(wanted[len(_OWN) :], tokenizer), wanted
    else:
        text, source = _from_file(wanted, root), f"file:{wanted}"
    special = {**_special_tokens(tokenizer), **(options or {})}
    _check(text, source, special)
    system_role = _probe(text, special, warnings)
    return Template(text, source, system_role, tuple(warnings))


def own_template(folder: Path) -> str | None:
    """The template of the tokenizer in `folder`; None: it has none, or none is its default.

    Looked for where transformers writes it: chat_template.jinja, tokenizer_config.json,
    chat_template.json (a processor's).

    Raises ModelError when the file cannot be read.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        return _read(file)
    for name in ("tokenizer_config.json", "chat_template.json"):
        config = folder / name
        found = read_json(config).get("chat_template") if config.is_file() else None
        if isinstance(found, list):
            found = _by_name(found).get("default")
        if found:
            return str(found)
    return None


def _by_name(found: Sequence[Json]) -> dict[str, str]:
    """A tokenizer's list of templates, `[{"name": ..., "template": ...}]`."""
    return {str(t.get("name")): str(t.get("template")) for t in found if isinstance(t, dict)}


def _several(folder: Path) -> dict[str, str]:
    """Templates that the tokenizer has by name, besides its default."""
    config = folder / "tokenizer_config.json"
    found = read_json(config).get("chat_template") if config.is_file() else None
    listed = _by_name(found) if isinstance(found, list) else {}
    files = sorted((folder / "additional_chat_templates").glob("*.jinja"))
    return {**listed, **{file.stem: _read(file) for file in files}}


def _unchosen(folder: Path) -> tuple[str, ...]:
    names = ", ".join(map(repr, sorted(_several(folder))))
    warning = (
        f"its tokenizer has the chat templates {names} and no default, so none is used: choose "
        f"one by its name, as in `chat_template: {_OWN}NAME`"
    )
    return (warning,) if names else ()


def _named(name: str, folder: Path) -> str:
    found = _several(folder)
    if name not in found:
        raise ModelError(
            f"the tokenizer in {str(folder)!r} has no chat template {name!r}; it has "
            f"{', '.join(sorted(found)) or 'none by name'}"
        )
    return found[name]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"cannot read the chat template {str(file)!r}: {error}; expected Jinja in UTF-8: "
            "correct it, or name another with `chat_template:`"
        ) from error


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


def _check(template: str, source: str, context: Mapping[str, Json]) -> None:
    try:
        text = render(template, [Message("user", _PROBE)], context=context)
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


def _probe(template: str, context: Mapping[str, Json], warnings: list[str]) -> bool:
    """Whether a system message is accepted; adds what else to know to `warnings`."""
    user, system = Message("user", _PROBE), Message("system", _SYSTEM_PROBE)
    try:
        taken = _SYSTEM_PROBE in render(template, [system, user], context=context)
        accepted = True
    except Exception:  # noqa: BLE001 - a template is a program
        taken = accepted = False
    if not taken:
        how = "leaves system messages out" if accepted else "refuses system messages"
        warnings.append(
            f"its chat template {how}: the system text of tasks and suites does not reach the "
            "model, as in lm-eval"
        )
    if "strftime_now" in template:
        warnings.append(
            "its chat template prints the date: it is fixed for the whole run and stands in the "
            "manifest; a run of another day has other prompts"
        )
    prompt = render(template, [user], context=context)
    lacking = _before_answer(template, user, prompt, context)
    # A template that ends the user's turn with what opens the assistant's ignores it, too.
    if lacking.strip() and prompt == render(
        template, [user], context=context, add_generation_prompt=False
    ):
        warnings.append(
            f"its chat template ignores add_generation_prompt: prompts end with "
            f"{prompt[-_END:]!r}, and the model has to write {lacking!r} before its answer; name "
            f"a template that opens the assistant's turn with `chat_template:`"
        )
    return accepted


def _before_answer(template: str, user: Message, prompt: str, context: Mapping[str, Json]) -> str:
    """What stands between `prompt` and an answer; empty where that cannot be said."""
    answer = Message("assistant", _ANSWER_PROBE)
    try:
        answered = render(template, [user, answer], context=context)
    except Exception:  # noqa: BLE001 - a template is a program
        return ""
    before, found, _ = answered.partition(_ANSWER_PROBE)
    return before.removeprefix(prompt) if found and before.startswith(prompt) else ""


def render(
    template: str,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = True,
    context: Mapping[str, Json] | None = None,
) -> str:
    """A conversation as text, as transformers renders it.  Raises any error of the template.

    `context`: special tokens and `chat_template_kwargs`, by name.
    """
    turns = [{"role": m.role, "content": m.content} for m in messages]
    compiled = _environment().from_string(template)
    known = {**(context or {}), "messages": turns, "add_generation_prompt": add_generation_prompt}
    return str(compiled.render(known))


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
