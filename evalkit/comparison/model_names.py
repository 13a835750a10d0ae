"""Which model a printed name means: the one matcher of models' names.

A name is its words in any order, so that "LLaMA2 Chat 70B" is `llama-2-70b-chat-hf`, "Zephyr-7B-β"
and its LaTeX are `zephyr-7b-beta`, and `TheOrg/Some-Model` is `some-model`; or
its letters and numbers in their order, so that `Xwin-LM-70B-V0.1` is `xwinlm-70b-v0.1`.  Every
word counts: no name is matched by a part that another model shares.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

__all__ = ["ModelNames", "model_key"]

_ALIASES = {
    "Tulu 2+DPO 70B V0.1": "tulu-2-dpo-70b",
    "Tulu 2+DPO 13B V0.1": "tulu-2-dpo-13b",
    "Tulu 2+DPO 7B V0.1": "tulu-2-dpo-7b",
    "Claude 1": "claude",
}
"""Other names of models that had one release."""
_LATEX = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|bf|it|rm)\b|[${}]")
_GREEK = {"alpha": "\u03b1", "beta": "\u03b2", "gamma": "\u03b3"}
_WORDS = re.compile(
    r"\d+x\d+(?:\.\d+)?[bm](?![a-z])|\d+(?:\.\d+)?[bmk](?![a-z])|\d+(?:\.\d+)*|[^\W\d_]+"
)
_NOISE = frozenset({"hf", "model", "v"})
_OWN_MARK = re.compile(
    r"[(\[\uff08]\s*(?:ours?|(?:this|our) model|this work|candidate|\u672c\u6a21\u578b)\s*"
    r"[)\]\uff09]",
    re.IGNORECASE,
)
_CITED = re.compile(r"[(\[][^()\[\]]*\bet al\b[^()\[\]]*[)\]]|\[\d+\]")
_VERSION = re.compile(r"\d|\d+(?:\.\d+)+")

Key = tuple[str, ...]


def _words_of(name: str) -> Key:
    """Words in their order."""
    said = _CITED.sub(" ", _OWN_MARK.sub(" ", _LATEX.sub(" ", name))).strip().rstrip("/")
    if "/" in said and " " not in said:
        said = said.rpartition("/")[2]
    for word, letter in _GREEK.items():
        said = said.replace(f"\\{word}", f" {word} ").replace(letter, f" {word} ")
    plain = unicodedata.normalize("NFKD", said).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return tuple(w for w in _WORDS.findall(plain) if w not in _NOISE)


def model_key(name: str) -> Key:
    """What all ways of writing a model have in common: its words, sorted; empty: no name."""
    return tuple(sorted(_words_of(name)))


def _joined(name: str) -> Key:
    """Its letters run together, then its numbers: "Xwin-LM-70B" as "XwinLM 70B"."""
    words = _words_of(name)
    numbers = [w for w in words if w[0].isdigit()]
    return ("".join(w for w in words if not w[0].isdigit()), *numbers)


class ModelNames:
    """Models by every way of writing them."""

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        """Index the names.

        Args:
            names: By model, other ways of writing it: its repository, a leaderboard's label.
        """
        self._exact = {model: model for model in names}
        self._by_key: dict[Key, set[str]] = {}
        self._by_joined: dict[Key, set[str]] = {}
        self._keys: dict[Key, str] = {}
        for model, others in names.items():
            self._keys[model_key(model)] = model
            for name in (model, *others):
                self._by_key.setdefault(model_key(name), set()).add(model)
                self._by_joined.setdefault(_joined(name), set()).add(model)
        for alias, model in _ALIASES.items():
            if model in names:
                self._by_key.setdefault(model_key(alias), set()).add(model)

    def find(self, name: str) -> str | None:
        """The one model a name means; None where it means none, or may mean several.

        A name without a version ("Claude") may be any of a family's, unless written exactly.
        """
        if name in self._exact:
            return name
        key = model_key(name)
        found = self._by_key.get(key) or self._by_joined.get(_joined(name), set())
        if not key or len(found) != 1 or self._has_versions(key):
            return None
        return next(iter(found))

    def _has_versions(self, key: Key) -> bool:
        for whole in self._keys:
            rest = list(whole)
            if len(whole) == len(key) + 1 and set(key) <= set(whole):
                for word in key:
                    if word in rest:
                        rest.remove(word)
                if len(rest) == 1 and _VERSION.fullmatch(rest[0]):
                    return True
        return False
