"""Chat templates: the tokenizer's own, or the one the suite names.  Never one guessed by name.

A suite names a template as a file (`chat_template: zephyr.jinja`) or as one of FastChat's
(`chat_template: fastchat:vicuna_v1.1`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from evalkit.core import Message
from evalkit.errors import ModelError
from evalkit.models.checkpoint import read_json

__all__ = ["choose_template", "own_template", "render"]

_FASTCHAT = "fastchat:"
_PROBE = "evalkit probe 4711"
_TOKEN_FILES = ("special_tokens_map.json", "tokenizer_config.json")


def choose_template(
    wanted: str | None, folder: Path, root: Path, *, code: bool = False
) -> tuple[str | None, str]:
    """The Jinja source to use and where it is from (`PreparedModel.template_source`).

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
    """What the tokenizer in `folder` brings: chat_template.jinja, else tokenizer_config.json.

    Raises ModelError when the file cannot be read.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(
                f"cannot read the chat template {str(file)!r}: {error}; expected Jinja in UTF-8: "
                "mend it, or name another with `chat_template:`"
            ) from error
    config = folder / "tokenizer_config.json"
    found = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(found, list):
        named = {str(t.get("name")): t.get("template") for t in found if isinstance(t, dict)}
        found = named.get("default")
    return str(found) if found else None


def _from_file(name: str, root: Path) -> str:
    path = root / Path(name).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"cannot read the chat template {name!r} ({str(path)!r}): {error}; expected a Jinja "
            "file relative to the suite, or fastchat:NAME"
        ) from error


def _fastchat(name: str, folder: Path, code: bool) -> str:
    from evalkit.models.fastchat_template import fastchat_template

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
    """What the tokenizer calls its special tokens; templates use them by these names."""
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
    # A template is a program: it can fail with anything (1 / 0, a range too long for the sandbox).
    except Exception as error:
        line = getattr(error, "lineno", None)
        where = f" (line {line})" if line else ""
        raise ModelError(
            f"the chat template {source!r} cannot be rendered{where}: "
            f"{type(error).__name__}: {error}; mend it, or name another with `chat_template:`"
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
    """A conversation as text, as transformers renders it.  Raises what the template raises."""
    turns = [{"role": m.role, "content": m.content} for m in messages]
    compiled = _environment().from_string(template)
    context = special_tokens or {}
    return str(
        compiled.render(messages=turns, add_generation_prompt=add_generation_prompt, **context)
    )


def _environment() -> Any:
    """Jinja set up as transformers sets it up; sandboxed, for templates come with models."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks the assistant's text for training; here it changes nothing."""

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
