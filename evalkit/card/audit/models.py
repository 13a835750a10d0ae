"""Which model of the evidence a printed name means.

A name is read as its words in any order: "LLaMA2 Chat 70B" and `llama-2-70b-chat-hf` have the same.
That is certain; a name with a date or revision more ("GPT-4" for `gpt4_0613`) is only possible:
it may confirm a number, and never contradicts one.  Aliases are in `ALIASES`, each with its source.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalkit.card.audit.printed import without_citations

__all__ = [
    "ALIASES",
    "Alias",
    "Match",
    "Models",
    "is_own",
    "key_of",
    "last_part",
    "size_of",
    "spoken",
    "without_size",
]

Key = tuple[str, ...]


@dataclass(frozen=True)
class Alias:
    """Another way of writing a model."""

    name: str
    model: str
    certain: bool
    """False: it may mean another model too."""
    source: str


ALIASES = (
    Alias("Tulu 2+DPO 70B V0.1", "tulu-2-dpo-70b", True, "its only release"),
    Alias("Tulu 2+DPO 13B V0.1", "tulu-2-dpo-13b", True, "its only release"),
    Alias("Tulu 2+DPO 7B V0.1", "tulu-2-dpo-7b", True, "its only release"),
    Alias("GPT-4-turbo", "gpt4_1106_preview", False, "OpenAI's name for several previews"),
    Alias("GPT-4 Turbo", "gpt-4-turbo-2024-04-09", False, "OpenAI's name for several releases"),
    Alias("ChatGPT", "gpt-3.5-turbo-0301", False, "OpenAI's name for several releases"),
    Alias("GPT-3.5", "gpt-3.5-turbo-0301", False, "short for the chat model of the family"),
    Alias("Claude 1", "claude", True, "Anthropic's first release"),
)

_GREEK = str.maketrans({"\u03b1": " alpha ", "\u03b2": " beta ", "\u03b3": " gamma "})
_WORDS = re.compile(
    r"\d+x\d+(?:\.\d+)?[bm](?![a-z])|\d+(?:\.\d+)?[bmk](?![a-z])|\d+(?:\.\d+)*|[^\W\d_]+"
)
_NOISE = frozenset({"hf", "model", "v"})
_SIZE = re.compile(r"(?:\d+x)?\d+(?:\.\d+)?[bm]")
_DATED = re.compile(r"\d{2,4}|\d{6,8}|preview|hf")
"""What only says when a model of that name was made."""
_VERSION = re.compile(r"\d|\d+(?:\.\d+)+")
_HUB = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/"
    r"(?!datasets/|spaces/|papers?/|docs/|blog/|collections/)[\w.-]+/(?P<name>[\w.-]+)"
)
_REPOSITORY = re.compile(r"(?<![\w./])[\w.-]+/(?P<name>[A-Za-z][\w.-]+)(?![\w/])")
_OWN = frozenset(
    {"ours", "our model", "this model", "this", "our", "score", "value", "result", "results", ""}
    | {"scores", "values", "this work", "proposed", "performance", "metric value"}
)
_ASIDE = re.compile(
    r"[(\[\uff08]\s*(?:ours|(?:this|our) model|this work|candidate|\u672c\u6a21\u578b)\s*"
    r"[)\]\uff09]",
    re.IGNORECASE,
)


def spoken(name: str) -> Key:
    """The words of a name, in their order."""
    said = without_citations(_ASIDE.sub("", name))
    plain = unicodedata.normalize("NFKD", said).casefold().translate(_GREEK)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return tuple(w for w in _WORDS.findall(plain) if w not in _NOISE)


def key_of(name: str) -> Key:
    """What two ways of writing one model have in common."""
    return tuple(sorted(spoken(name)))


def size_of(key: Key) -> str | None:
    """The word that is a number of parameters; None where none or several are."""
    found = [word for word in key if _SIZE.fullmatch(word)]
    return found[0] if len(found) == 1 else None


def without_size(key: Key) -> Key:
    """A model's family: its words without the number of parameters."""
    return tuple(word for word in key if not _SIZE.fullmatch(word))


def is_own(text: str) -> bool:
    """Whether a cell means the model the card is of."""
    plain = " ".join(text.casefold().strip(" *()[]").split())
    return plain in _OWN


@dataclass(frozen=True)
class Match:
    """Which models of the evidence a printed name means."""

    certain: frozenset[str]
    possible: frozenset[str]
    """The certain ones among them."""
    how: str
    """How the name was matched, or why it was not."""


class Models:
    """The models of the evidence, by every way of writing them."""

    def __init__(
        self,
        names: Mapping[str, Iterable[str]],
        own: Sequence[str] = (),
        stated: Collection[str] = (),
        same: Mapping[str, str] | None = None,
    ) -> None:
        """Index the names.

        Args:
            names: other ways of writing each model.
            own: what the card calls its own model.
            stated: models of evidence that was given for this card, whose names mean them.
            same: models by a name of the card that is said to mean them, whatever its words.
        """
        self._stated = frozenset(stated)
        self._same = {key_of(last_part(name)): model for name, model in (same or {}).items()}
        self._exact: dict[Key, set[str]] = {}
        self._loose: dict[Key, set[str]] = {}
        self._keys: dict[str, Key] = {}
        for model, others in names.items():
            self._keys[model] = key_of(last_part(model))
            for name in (model, *others):
                key = key_of(last_part(name))
                if key:
                    self._exact.setdefault(key, set()).add(model)
        for alias in ALIASES:
            target = self._exact.get(key_of(alias.model), set())
            table = self._exact if alias.certain else self._loose
            if target and key_of(alias.name) not in self._exact:
                table.setdefault(key_of(alias.name), set()).update(target)
        self._exact |= {key: {model} for key, model in self._same.items() if key}
        self._own = tuple(own)

    @property
    def own_names(self) -> tuple[str, ...]:
        """What the card calls its own model."""
        return self._own

    def is_own(self, text: str) -> bool:
        """Whether a name is one that the card gives its own model."""
        return is_own(text) or key_of(last_part(text)) in map(key_of, map(last_part, self._own))

    def of_size(self, size: str) -> frozenset[str]:
        """Models with a number of parameters in their name."""
        return frozenset(m for m, key in self._keys.items() if size_of(key) == size)

    @property
    def own(self) -> Match:
        """The card's own model."""
        found: set[str] = set()
        for name in self._own:
            found |= self._exact.get(key_of(last_part(name)), set())
        said = ", ".join(self._own) or "not named"
        stated = [m for n in self._own if (m := self._same.get(key_of(last_part(n)))) is not None]
        how = f"the card's own model ({said}{f', said to be {stated[0]}' if stated else ''})"
        if not found:
            how = f"no evidence of {how}"
        return Match(frozenset(found), frozenset(found), how)

    def find(self, text: str, links: Sequence[str] = (), size: str = "") -> Match:
        """What a printed name means."""
        if is_own(text):
            return self.own
        same = self._same.get(key_of(last_part(_ASIDE.sub("", text))))
        if same is not None:
            return Match(frozenset({same}), frozenset({same}), f"{text!r} is said to be {same}")
        certain: set[str] = set()
        possible = self._dated(key_of(text)) | self._loose.get(key_of(text), set())
        ways: list[str] = []
        for name, way, is_certain in _readings(text, links, size):
            found = self._exact.get(key_of(name), set())
            possible |= found
            if found and certain and not (found & certain):
                return Match(frozenset(), frozenset(possible), f"{text!r} names two models")
            if found and is_certain and not self._has_versions(text, key_of(name)):
                certain |= found
                ways.append(way)
        if certain:
            return Match(frozenset(certain), frozenset(possible), _said(text, certain, ways[0]))
        if possible:
            how = f"{text!r} may be {' or '.join(sorted(possible))}"
            return Match(frozenset(), frozenset(possible), how)
        return Match(frozenset(), frozenset(), f"no evidence of a model called {text!r}")

    def _dated(self, key: Key) -> set[str]:
        """Models whose name has a date or revision more."""
        if not key:
            return set()
        return {model for model, whole in self._keys.items() if _is_more(key, whole, _DATED)}

    def _has_versions(self, text: str, key: Key) -> bool:
        """Whether a name without a version may be one of several: "Claude", where there is 2."""
        if text in self._stated:
            return False
        return any(_is_more(key, whole, _VERSION) for whole in self._keys.values())

    def siblings(self, models: Iterable[str]) -> set[str]:
        """Models of the same family and another size."""
        families = {
            without_size(self._keys[m])
            for m in models
            if m in self._keys and size_of(self._keys[m])
        }
        return {
            model
            for model, key in self._keys.items()
            if without_size(key) in families and size_of(key) and model not in set(models)
        }

    def mentioned(self, text: str) -> list[tuple[int, int, frozenset[str], str]]:
        """(first word, last word + 1, models, name) of the known models that prose names."""
        words = spoken(text)
        found: list[tuple[int, int, frozenset[str], str]] = []
        start = 0
        while start < len(words):
            for end in range(min(len(words), start + 9), start, -1):
                models = self._exact.get(tuple(sorted(words[start:end])))
                if models and end - start > 1:
                    found.append((start, end, frozenset(models), " ".join(words[start:end])))
                    start = end - 1
                    break
            start += 1
        return found


def last_part(name: str) -> str:
    """Without the organisation of a hub repository."""
    plain = name.strip().rstrip("/")
    return plain.rpartition("/")[2] if "/" in plain and " " not in plain else plain


def _readings(text: str, links: Sequence[str], size: str) -> Iterator[tuple[str, str, bool]]:
    """(name, how it was read, certain) that a cell offers: words, size, repositories, links.

    A repository beside other words ("Mine (org/base)") may be what the model was made from: it
    is certain only where it has all the words.
    """
    yield last_part(_ASIDE.sub("", text)), "by its words", True
    if size and size_of(key_of(text)) is None:
        yield f"{text} {size}", f"by its words and the size {size}", True
    for match in _REPOSITORY.finditer(text):
        around = key_of(text[: match.start()] + text[match.end() :])
        yield match["name"], "by its repository", set(around) <= set(key_of(match["name"]))
    for link in links:
        hub = _HUB.match(link)
        if hub is not None:
            said = key_of(last_part(text))
            yield hub["name"], "by its link", set(said) <= set(key_of(hub["name"]))


def _said(text: str, models: set[str], way: str) -> str:
    names = sorted(models)
    if text in models:
        return f"model {text!r}"
    return f"model {text!r} is {' and '.join(names[:3])} ({way})"


def _is_more(key: Key, whole: Key, kind: re.Pattern[str]) -> bool:
    """Whether `whole` is `key` and words of a kind."""
    left = list(whole)
    for word in key:
        if word not in left:
            return False
        left.remove(word)
    return bool(left) and all(kind.fullmatch(word) for word in left)
