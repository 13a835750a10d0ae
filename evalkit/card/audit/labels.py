"""Headings to labels: which benchmark, version, metric, shots and judge some words name.

A heading is understood word by word, the longest names first.  What is left over is `unknown`:
"MMLU (German)" is not MMLU, and its numbers are compared with nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from evalkit.card.audit.benchmarks import BENCHMARKS, CATEGORIES, FILLERS, KINDS, METRIC_NAMES
from evalkit.card.audit.printed import without_citations
from evalkit.card.audit.shapes import Label

__all__ = ["Vocabulary", "judge_of", "judging_lines", "merged", "names_judge", "plain_words"]

_SHOTS = re.compile(
    r"(?<![\w.])(\d{1,2}|zero|one|five)[- ]shots?(?![\w])|(?<!\w)@(\d{1,2})(?!\w)|"
    r"\((\d{1,2})-s\)"
)
_SPELLED = {"zero": 0, "one": 1, "five": 5}
_VERSIONS = {"1": "1", "1.0": "1", "v1": "1", "v1.0": "1", "2": "2", "2.0": "2", "v2": "2"}
_GLUED = re.compile(r"(?<=alpacaeval)(?=v?\d)")
_APART = re.compile(r"[\s_\-\u2010-\u2015\u2212/\\:;()\[\]{},|·•&*+=!?\"'“”\u2018\u2019<>]+")
_LATEX = re.compile(r"\$|\\(?:up|down)arrow")
_AVERAGE = frozenset({"average", "avg", "mean", "overall"})
_JUDGES = re.compile(
    r"(?:weighted_)?alpaca_eval_gpt4(?:_turbo)?|gpt[- ]?4[- ]?o(?:[- ]mini)?|gpt[- ]?4[- ]?\.?1|"
    r"gpt[- ]?4(?:[- ]?(?:turbo|preview|\d{4}(?:[- ]preview)?))*|"
    r"gpt[- ]?3\.5(?:[- ]turbo)?|claude[\w. -]{0,12}\d|llama[- ]?\d[\w.-]*|qwen[\w.-]*|"
    r"prometheus[\w.-]*|mistral[- ]large|gemini[\w. -]{0,8}",
    re.IGNORECASE,
)
_JUDGING = re.compile(r"\bjudg|\bannotator|\bevaluated by\b|\bgraded by\b", re.IGNORECASE)
_JUDGED = ("alpaca_eval", "mt_bench")
_REFERENCES = {
    "text davinci 003": "1",
    "davinci003": "1",
    "davinci 003": "1",
    "gpt 4 turbo": "2",
    "gpt4 turbo": "2",
    "gpt 4 1106 preview": "2",
}
"""Whom AlpacaEval's versions compare with."""
_VERSUS = frozenset({"vs", "v.s", "versus", "against"})


def plain_words(text: str) -> list[str]:
    """Words in lower case; arrows, pictures and punctuation are left out."""
    folded = unicodedata.normalize("NFKC", _LATEX.sub(" ", text)).casefold()
    spaced = _GLUED.sub(" ", folded.replace("%", " % ").replace("@", " @"))
    words = (w.strip(".") for w in _APART.split(spaced))
    return [w for w in words if any(c.isalnum() or c in "%#±" for c in w)]


def judge_of(text: str) -> str | None:
    """The judge some text names; None where it names none or several."""
    if not _JUDGING.search(text):
        return None
    found = {re.sub(r"[\s-]+", "-", m.lower()).rstrip("-.") for m in _JUDGES.findall(text)}
    return next(iter(found)) if len(found) == 1 else None


def judging_lines(text: str) -> str:
    """The lines of some text that speak of judging."""
    return "\n".join(line for line in text.split("\n") if _JUDGING.search(line))


def names_judge(text: str) -> bool:
    """Whether a line says who judged, be it several."""
    return bool(_JUDGES.search(judging_lines(text)))


def merged(labels: Sequence[Label]) -> Label | None:
    """What several headings say together; None where they name two benchmarks or settings."""
    whole = Label()
    for label in labels:
        for name in ("bench", "version", "metric", "shots", "judge", "category"):
            ours, theirs = getattr(whole, name), getattr(label, name)
            if ours is not None and theirs is not None and ours != theirs:
                if name != "metric" or "score" not in (ours, theirs):
                    return None
                theirs = theirs if ours == "score" else ours
            if theirs is not None:
                whole = replace(whole, **{name: theirs})
        whole = replace(
            whole,
            average=whole.average or label.average,
            percent=whole.percent or label.percent,
            exact=whole.exact or label.exact,
            unknown=(*whole.unknown, *label.unknown),
        )
    return whole


class Vocabulary:
    """The names of the table, and the tasks that the evidence has."""

    def __init__(self, tasks: Collection[str] = ()) -> None:
        self._phrases: dict[tuple[str, ...], tuple[str, str]] = {}
        for task in sorted(tasks):
            self._phrases[tuple(plain_words(task))] = ("bench", task)
        for key, bench in BENCHMARKS.items():
            for name in (*bench.names, key):
                self._phrases[tuple(plain_words(name))] = ("bench", key)
        for metric, names in METRIC_NAMES.items():
            for name in names:
                self._phrases.setdefault(tuple(name.split()), ("metric", metric))
        for name in ("text davinci 003", "davinci003"):
            self._phrases[tuple(name.split())] = ("version", _REFERENCES[name])
        self._kinds = {
            " ".join(plain_words(name)): kind for kind, names in KINDS.items() for name in names
        }
        self._longest = max((len(p) for p in self._phrases), default=1)

    @lru_cache(maxsize=4096)  # noqa: B019 - lives as long as one audit
    def read(self, text: str) -> Label:
        """What a heading says."""
        text = without_citations(text)
        words = plain_words(text)
        kind = self._kinds.get(" ".join(words), "")
        if kind:
            return Label(kind=kind)
        shots, rest = _shots(text)
        label = replace(_judged(Label(shots=shots), text), percent="%" in text)
        left: list[str] = []
        words, against = _against(plain_words(rest))
        label = replace(label, version=_REFERENCES.get(against))
        left += [f"vs {against}"] if against and label.version is None else []
        while words:
            size, found = self._next(words)
            if found is None:
                label, left = _word(label, words[0], left)
            else:
                label, left = _named(label, found, words[:size], left)
            words = words[size:]
        left = [word for word in left if word not in FILLERS]
        if label.metric not in (None, "score"):
            label = replace(label, average=False)  # "mean length" is no mean of the columns
        return _with_judge(label, left)

    def benches(self, text: str) -> Iterator[str]:
        """Benchmarks that prose names."""
        words = plain_words(text)
        while words:
            size, found = self._next(words)
            if found is not None and found[0] == "bench":
                yield found[1]
            words = words[size:]

    def versions(self, text: str) -> Iterator[str]:
        """Versions of AlpacaEval that prose names."""
        words = plain_words(text)
        after = ""
        while words:
            size, found = self._next(words)
            if found is not None and found[0] == "version":
                yield found[1]
            elif found is None and after == "alpaca_eval" and words[0] in _VERSIONS:
                yield _VERSIONS[words[0]]
            after = found[1] if found is not None else ""
            words = words[size:]

    def _next(self, words: Sequence[str]) -> tuple[int, tuple[str, str] | None]:
        for size in range(min(self._longest, len(words)), 0, -1):
            found = self._phrases.get(tuple(words[:size]))
            if found is not None:
                return size, found
        return 1, None


def _shots(text: str) -> tuple[int | None, str]:
    folded = re.sub("[\u2010-\u2015]", "-", text.casefold())
    match = _SHOTS.search(folded)
    if match is None:
        return None, text
    said = match[1] or match[2] or match[3]
    number = _SPELLED.get(said)
    return (int(said) if number is None else number), folded[: match.start()] + folded[
        match.end() :
    ]


def _against(words: list[str]) -> tuple[list[str], str]:
    """(the words before a "vs", the opponent after it)."""
    at = next((i for i, word in enumerate(words) if word in _VERSUS), len(words))
    return words[:at], " ".join(word for word in words[at + 1 :] if word not in FILLERS)


def _judged(label: Label, text: str) -> Label:
    judge = judge_of(text)
    return replace(label, judge=judge) if judge is not None else label


def _with_judge(label: Label, left: list[str]) -> Label:
    """`MT-Bench (GPT-4)`: what is left of a judged benchmark's heading may be its judge."""
    if label.judge is not None:
        spoken = plain_words(label.judge.replace("-", " "))
        left = [word for word in left if word not in spoken]
    elif label.bench in _JUDGED and _JUDGES.fullmatch(" ".join(left)):
        return replace(label, judge="-".join(left))
    return replace(label, unknown=tuple(left))


def _named(
    label: Label, found: tuple[str, str], words: Sequence[str], left: list[str]
) -> tuple[Label, list[str]]:
    """With a phrase of the table taken in; a second benchmark is not understood."""
    field, value = found
    known: Mapping[str, object] = {"bench": label.bench, "metric": label.metric}
    if known.get(field) not in (None, value):
        return label, [*left, *words]
    if field == "bench":
        return replace(label, bench=value), left
    if field == "version":
        return replace(label, version=value), left
    return replace(label, metric=value), left


def _word(label: Label, word: str, left: list[str]) -> tuple[Label, list[str]]:
    if word in _AVERAGE:
        return replace(label, average=True), left
    if label.bench == "alpaca_eval" and word in _VERSIONS:
        return replace(label, version=_VERSIONS[word]), left
    if label.bench == "mt_bench" and word in ("1", "10"):
        return label, left  # its scale
    if word in CATEGORIES and label.bench in (None, "mt_bench"):
        return replace(label, category=word), left
    return label, [*left, word]
