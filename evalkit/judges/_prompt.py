"""How material is shown to a judge, whatever the protocol.

Answers are hostile text.  Three things keep them from acting as part of the prompt:

- Nothing is substituted: prompts are put together from pieces, so a placeholder in an answer
  means nothing.
- Every text stands between tags of its own.  Where a text contains something that looks like
  one of the tags, all tags get a number that no text contains, so an answer cannot close its
  own section or open another one.
- Chat control tokens (`<|im_end|>`, `[INST]`, ...) are broken with a space, because tokenizers
  turn them into real turn borders wherever they stand.  Only what the judge sees is changed;
  the record keeps the answer as it was.

A judge can still be talked round in plain words; no prompt prevents that.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from evalkit.core import Exchange, Message

__all__ = ["exchange", "prompt_hash", "quote", "sampling_seed"]

_CONTROL = re.compile(
    r"<(?=[|\uff5c][^<>\n]{1,60}[|\uff5c]>|/?s>|<SYS>>|</SYS>>|(?:start|end)_of_turn>|[be]os>|pad>|unk>)"
    r"|\[(?=/?INST\]|/?SYSTEM_PROMPT\])"
)
"""The first character of what common chat templates use as borders: ChatML, Llama 2 and 3,
Mistral, Gemma, DeepSeek (with its full-width bars), Phi."""

_TAG = re.compile(r"<\s*/?\s*(?:question|answer|reference)", re.IGNORECASE)


def quote(sections: Sequence[tuple[str, str]]) -> str:
    """Each (tag, text) as `<tag>`, the text, `</tag>` on lines of their own."""
    texts = [_CONTROL.sub(lambda found: found.group() + " ", text) for _, text in sections]
    mark = _mark("\n".join(texts))
    return "\n\n".join(
        f"<{tag}{mark}>\n{text}\n</{tag}{mark}>"
        for (tag, _), text in zip(sections, texts, strict=True)
    )


def _mark(texts: str) -> str:
    """Empty where nothing looks like a tag of any judge prompt, else a number found nowhere."""
    if not _TAG.search(texts):
        return ""
    number = 1
    while f"-{number}" in texts:
        number += 1
    return f"-{number}"


def prompt_hash(prompt: Sequence[Message]) -> str:
    """Sha256 (hex) of a prompt made from fixed material: changes when the wording does."""
    text = json.dumps([[m.role, m.content] for m in prompt])
    return hashlib.sha256(text.encode()).hexdigest()


def sampling_seed(prompt: Sequence[Message], temperature: float) -> int | None:
    """Seed of a written reply: from the prompt itself, so that it needs no other state."""
    return int(prompt_hash(prompt)[:7], 16) if temperature > 0 else None


def exchange(prompt: Sequence[Message], choices: Sequence[tuple[str, float | None]]) -> Exchange:
    """An exchange with a judge read through its logits: `A=-0.700000 B=-0.900000`."""
    known = (f"{name}={value:.6f}" for name, value in choices if value is not None)
    return Exchange(tuple(prompt), " ".join(known))
