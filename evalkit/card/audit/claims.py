"""Sentences that set models against each other, and whether the evidence carries them.

A claim is a sentence of the prose with a word of comparison, models that the evidence knows on
both sides and no word that turns it round.  Where both have records the samples decide
(`compare.check_claim`); where only published figures are known there is no interval, and no
claim is carried: figures that say the opposite contradict it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit import compare
from evalkit.card.audit.agreement import tolerance
from evalkit.card.audit.benchmarks import BENCHMARKS
from evalkit.card.audit.labels import Vocabulary
from evalkit.card.audit.matching import Matcher
from evalkit.card.audit.models import Models, spoken
from evalkit.card.audit.shapes import Answer, Card, ClaimChecked, Fact, Printed
from evalkit.compare.words import benchmark_label, figure_label, metric_words, task_label
from evalkit.core import Run
from evalkit.draw import figure, one_line, visible
from evalkit.errors import EvalkitError

__all__ = ["Judge", "check_claims"]

_RELATIONS = (
    ("better", r"surpass(?:es|ed|ing)?|outperform(?:s|ed|ing)?|beat(?:s|ing)?|exceed(?:s|ed)?"),
    ("better", r"(?:is |are |performs? |scores? )?(?:much |significantly )?better than"),
    ("equal", r"(?:is |performs? )?on par with|match(?:es|ed|ing)|(?:is )?comparable (?:to|with)"),
    ("best", r"(?:the )?(?:best|strongest|top)\s+(?:\w+\s+){0,2}?(?:\d+(?:\.\d+)?[bB])\b"),
)  # fmt: skip
_VERB = re.compile(
    "|".join(f"(?P<r{i}>\\b(?:{pattern}))" for i, (_, pattern) in enumerate(_RELATIONS)),
    re.IGNORECASE,
)
_WORDS = {"better": "beats", "equal": "matches"}
_TURNED = re.compile(
    r"\b(?:not|never|no longer|n't|cannot|could|would|should|may|might|if|whether|aims?|hopes?|"
    r"expect\w*|want\w*|trying|tries|than it|fails?|without|neither|nor|almost|nearly|before)\b|"
    r"n't|\?",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^a-z])|\n|;\s|[\u3002\uff01\uff1f\uff1b]")
_CLAUSE = re.compile(r"\b(?:but|while|whereas|although|though|however|except)\b", re.IGNORECASE)
_SELF = re.compile(r"\b(?:it|our model|this model|we|ours|the model|this)\b", re.IGNORECASE)
_LONGEST = 240


@dataclass(frozen=True)
class _Claim:
    line: int
    text: str
    relation: str
    subject: frozenset[str]
    others: tuple[frozenset[str], ...]
    benches: tuple[str, ...]
    size: str = ""


@dataclass(frozen=True)
class Judge:
    """What claims are held against."""

    matcher: Matcher
    models: Models
    words: Vocabulary
    runs: Sequence[Run]
    shown: frozenset[str] = frozenset()
    """Models of the evidence that the card's own tables show."""


def check_claims(card: Card, judge: Judge) -> Iterator[ClaimChecked]:
    """Every claim of the prose that is about models the evidence knows."""
    seen: set[str] = set()
    for block in card.blocks:
        for sentence in _SENTENCE.split(block.text):
            said = one_line(_CLAUSE.split(sentence)[0])
            if said in seen or not _VERB.search(said) or _TURNED.search(said):
                continue
            seen.add(said)
            claim = _claim(said, block.line, judge)
            if claim is not None:
                yield _checked(claim, judge)


# --- reading ------------------------------------------------------------------------------------


def _claim(text: str, line: int, judge: Judge) -> _Claim | None:
    verb = _VERB.search(text)
    assert verb is not None
    relation = next(name for i, (name, _) in enumerate(_RELATIONS) if verb[f"r{i}"] is not None)
    before, after = text[: verb.start()], text[verb.end() :]
    subject = _subject(before, judge.models)
    benches = tuple(dict.fromkeys(judge.words.benches(text)))
    known = tuple(b for b in benches if b in BENCHMARKS)
    shown = one_line(text, _LONGEST)
    if subject is None:
        return None
    if relation == "best":
        size = spoken(verb.group())[-1]
        return _Claim(line, shown, relation, subject, (), known, size)
    others = tuple(dict.fromkeys(m for _, _, m, _ in judge.models.mentioned(after)))
    others = tuple(o for o in others if not o & subject)
    return _Claim(line, shown, relation, subject, others, known) if others else None


def _subject(text: str, models: Models) -> frozenset[str] | None:
    """The one model a sentence speaks of before its verb; the card's own where it says "it"."""
    named = [m for _, _, m, _ in models.mentioned(text)]
    if len(set(named)) == 1:
        return named[0]
    own = models.own.certain
    if named or not own:
        return None
    words = set(spoken(text))
    calls_itself = any(set(spoken(name)[:1]) & words for name in models.own_names)
    return own if _SELF.search(text) or calls_itself else None


# --- checking -----------------------------------------------------------------------------------


def _checked(claim: _Claim, judge: Judge) -> ClaimChecked:
    if claim.relation == "best":
        return _best(claim, judge)
    answers: list[Answer] = []
    reasons: list[str] = []
    for other in claim.others:
        answer, said = _against(claim, other, judge)
        answers.append(answer)
        reasons += said
    return ClaimChecked(claim.line, claim.text, _together(answers), tuple(dict.fromkeys(reasons)))


def _together(answers: Sequence[Answer]) -> Answer:
    worst: tuple[Answer, ...] = ("contradicted", "not supported", "no evidence")
    return next((answer for answer in worst if answer in answers), "supported")


def _against(claim: _Claim, other: frozenset[str], judge: Judge) -> tuple[Answer, list[str]]:
    by_samples = _by_samples(claim, other, judge)
    if by_samples is not None:
        return by_samples
    pairs = list(_pairs(claim, other, judge.matcher))
    if not pairs:
        return "no evidence", [f"nothing is known of both {_one(claim.subject)} and {_one(other)}"]
    said = [_figures(ours, theirs) for ours, theirs in pairs]
    reason = "only figures are known, without an interval, so it cannot be supported: "
    opposite = [_is_less(ours, theirs) for ours, theirs in pairs]
    is_false = claim.relation == "better" and claim.benches and all(opposite)
    return ("contradicted" if is_false else "not supported"), [f"{reason}{'; '.join(said)}"]


def _by_samples(
    claim: _Claim, other: frozenset[str], judge: Judge
) -> tuple[Answer, list[str]] | None:
    """By `compare.check_claim`, where runs have records of both; None where none has."""
    known = compare.names(judge.runs)
    first = next((n for n in known if n in claim.subject), None)
    second = next((n for n in known if n in other), None)
    if first is None or second is None:
        return None
    labelled = _labelled(claim.text, first, judge.runs)
    benches = [b for b in claim.benches if b not in labelled.values()]
    entries = [*labelled, *(e for b in benches for e in _entries(b, first, judge.runs))]
    place = f" on {' and '.join(dict.fromkeys(entries))}" if entries else ""
    if claim.benches and not entries:
        return None
    text = f"{first} {_WORDS[claim.relation]} {second}{place}"
    try:
        found = compare.check_claim(judge.runs, text, compare.Options())
    except EvalkitError as error:
        return "no evidence", [one_line(str(error))]
    return found.answer, [*found.reasons]


def _entries(bench: str, model: str, runs: Sequence[Run]) -> Iterator[str]:
    """Benchmark entries of the runs that are `bench`, or have it as a task."""
    for run in runs:
        for record in run.records:
            if record.model == model and record.task == bench:
                yield (
                    record.benchmark
                    if record.benchmark == bench
                    else (f"{record.benchmark}/{record.task}")
                )
                break


def _labelled(text: str, model: str, runs: Sequence[Run]) -> dict[str, str]:
    """Places that a sentence names by the labels of reports ("lm-eval: gsm8k"), with their task.

    The longest first: one label may begin another.
    """
    places: dict[str, tuple[str, str]] = {}
    for run in runs:
        for e in run.estimates:
            if e.model != model:
                continue
            label, plain = figure_label(e.benchmark, e.task, e.metric), f"{e.benchmark}/{e.task}"
            place = plain if label == task_label(e.benchmark, e.task) else f"{plain} {e.metric}"
            if label != benchmark_label(e.benchmark):
                places.setdefault(one_line(visible(label)), (place, e.task))
    found: dict[str, str] = {}
    for label in sorted(places, key=len, reverse=True):
        pattern = rf"(?<![\w-]){re.escape(label)}(?![\w-])"
        if re.search(pattern, text, re.IGNORECASE):
            place, task = places[label]
            found[place] = task
            text = re.sub(pattern, " ", text, flags=re.IGNORECASE)
    return found


def _pairs(claim: _Claim, other: frozenset[str], matcher: Matcher) -> Iterator[tuple[Fact, Fact]]:
    """Headline figures of one measure that both have."""
    seen: set[tuple[object, ...]] = set()
    for ours in matcher.facts(claim.subject):
        bench = BENCHMARKS.get(ours.bench)
        if bench is None or (claim.benches and ours.bench not in claim.benches):
            continue
        if ours.category is not None or ours.metric != (bench.board_metric or bench.metrics[0]):
            continue
        for theirs in matcher.facts(other):
            alike = (ours.measure, ours.category) == (theirs.measure, theirs.category)
            if alike and ours.shots == theirs.shots and ours.measure not in seen:
                seen.add(ours.measure)
                yield ours, theirs


def _best(claim: _Claim, judge: Judge) -> ClaimChecked:
    """Other models of that size; one that the card shows itself contradicts it.

    Others may be newer than the card.
    """
    better: list[tuple[bool, str]] = []
    for model in sorted(judge.models.of_size(claim.size) - claim.subject):
        for ours, theirs in _pairs(claim, frozenset({model}), judge.matcher):
            if _is_less(ours, theirs):
                better.append((model not in judge.shown, _figures(ours, theirs)))
    if better:
        better.sort()
        is_shown = bool(claim.benches) and not better[0][0]
        reasons = tuple(text for _, text in better[:3])
        answer: Answer = "contradicted" if is_shown else "not supported"
        return ClaimChecked(claim.line, claim.text, answer, reasons)
    if not any(judge.matcher.facts(claim.subject)):
        return ClaimChecked(claim.line, claim.text, "no evidence", ("nothing is known of it",))
    reason = "only the models of this evidence are known, so that none is better cannot be shown"
    return ClaimChecked(claim.line, claim.text, "not supported", (reason,))


def _is_less(ours: Fact, theirs: Fact) -> bool:
    room = tolerance(Printed(0.0, 2))
    return theirs.value - ours.value > room


def _figures(ours: Fact, theirs: Fact) -> str:
    label = task_label(ours.bench, ours.task)
    version = f" {ours.version}" if ours.version else ""
    return (
        f"{label}{version}, {metric_words(ours.metric)}: {ours.model} "
        f"{figure(ours.value, ours.unit)}, {theirs.model} {figure(theirs.value, theirs.unit)} "
        f"({theirs.source})"
    )


def _one(models: frozenset[str]) -> str:
    return sorted(models)[0]
