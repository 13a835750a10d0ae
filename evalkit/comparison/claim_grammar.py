"""What a sentence claims: one grammar for `evalkit claim` and for the sentences of model cards.

    sentence   [in|on PLACE,] CLAUSE [, and CLAUSE ...]          a later clause keeps the subject
    CLAUSE     A RELATION B [and C ...] [AMOUNT] [in|on|at PLACE [and PLACE ...]] [AMOUNT]
               A is AMOUNT better|worse|higher|lower than B ...
               A is [not] beaten|surpassed|outperformed|matched by B ...
               A does not beat|match|... B ...       A is (the) best [on PLACE ...]
               A gives longer|shorter answers than B ...
               A scores NUMBER on PLACE [, AMOUNT higher|lower than B]
    AMOUNT     by X points | by (no) more than X points | within X points

Nothing is looked up here: names of models and places stay as written, for `resolve`.  A sentence
is read as a whole or not at all.  Questions, wishes, conditions, hedges ("almost"), quantities
("two of three"), pronouns and classes of models ("other 7B models") are not understood, and what
is missing is said.  `is_model` and `is_place` say which words are known names, so that a name may
hold "and", "on" or a comma.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

__all__ = [
    "FORMS",
    "Amount",
    "Compared",
    "How",
    "Known",
    "NotUnderstood",
    "Relation",
    "Scored",
    "Statement",
    "read_claim",
]

Relation: TypeAlias = Literal["better", "worse", "equal", "not_worse", "best", "longer", "shorter"]
How: TypeAlias = Literal["by", "more_than", "within"]
"""`by`: this difference, as printed; `more_than`: at least so much; `within`: at most so much."""
Known: TypeAlias = Callable[[str], bool]
"""Whether some words are a name that is known."""

FORMS = (
    '"A beats B on alpaca_eval", "A beats B and C on all benchmarks", "A matches B within 3 '
    'points on mt_bench", "A is not worse than B by more than 3 points on alpaca_eval", "A is '
    'best on lm_eval/gsm8k"'
)


@dataclass(frozen=True)
class Amount:
    """A difference that a sentence names."""

    how: How
    value: float
    decimals: int
    """Digits after the point, as written: within them it is rounded."""
    percent: bool = False
    """Written with a percent sign or word; else points, characters or nothing."""


@dataclass(frozen=True)
class Compared:
    """One model against others."""

    subject: str
    """As written, like every name here."""
    relation: Relation
    others: tuple[str, ...]
    """Empty for `best`: all there are."""
    places: tuple[str, ...] = ()
    """Benchmarks, tasks, categories, metrics; empty: none is named."""
    amount: Amount | None = None
    everywhere: bool = False
    """It says "on all benchmarks"."""
    significant: bool = False
    """It says "significantly": published figures cannot show that."""


@dataclass(frozen=True)
class Scored:
    """A model's figure."""

    subject: str
    value: float
    decimals: int
    place: str
    percent: bool = False


Statement: TypeAlias = Compared | Scored


@dataclass(frozen=True)
class NotUnderstood:
    """Why a sentence is not read."""

    why: str
    """What is missing or in the way, without a full stop."""
    is_claim: bool
    """It compares models, so that a list of what was not checked should have it."""


def read_claim(
    text: str, is_model: Known | None = None, is_place: Known | None = None
) -> tuple[Statement, ...] | NotUnderstood:
    """The statements of a sentence, in its order; all of them must hold.

    Args:
        text: One sentence.
        is_model: Which words name a model; None: any list is cut at commas and "and".
        is_place: Which words name a benchmark, task, category or metric.
    """
    plain = " ".join(text.replace("\u2019", "'").split())
    try:
        return tuple(_sentence(plain, _Names(is_model, is_place)))
    except _Unread as unread:
        return NotUnderstood(str(unread), bool(_COMPARES.search(plain)))


class _Unread(Exception):
    """The sentence is not understood."""


_PLAIN: dict[Relation, tuple[str, ...]] = {
    "better": (
        "beat|surpass|outperform|exceed|overtake|outscore|improve on|improve upon|improve over",
        "beats|surpasses|outperforms|exceeds|overtakes|outscores|improves on|improves upon",
        "improves over|surpassed|outperformed|exceeded|overtook|outscored|improved on",
        "improved upon|improved over",
        "BE better than|BE superior to|BE ahead of|BE stronger than",
        "(?:performs?|does|do) better than|(?:performed|did) better than|scores? higher than",
        "scored higher than|ranks? above",
    ),
    "worse": (
        "lose to|loses to|lost to|underperforms?|underperformed|lags? behind|lagged behind",
        "falls? behind|fell behind|trails?|trailed|scores? lower than|scored lower than",
        "BE worse than|BE inferior to|BE behind|BE weaker than|performs? worse than",
        "performed worse than|ranks? below",
    ),
    "equal": (
        "match|matches|matched|equals?|equal(?:l)?ed|ties with|tied with",
        "BE on par with|BE on a par with|BE comparable (?:to|with)|BE equal to|BE as good as",
        "BE similar to|BE equivalent to|performs? (?:on par with|comparably (?:to|with))",
        "performed (?:on par with|comparably (?:to|with))",
    ),
    "not_worse": ("BE not worse than|BE no worse than|BE at least as good as",),
    "best": ("BE the best|BE best|performs? best|ranks? first",),
    "longer": ("BE longer than|GIVE longer ANSWERS than",),
    "shorter": ("BE shorter than|GIVE shorter ANSWERS than",),
}
_BE = r"(?:is|are|was|were)"
_DEGREE = (
    r"(?:slightly|clearly|significantly|statistically significantly|substantially|considerably|"
    r"narrowly|marginally|notably|easily|greatly|comfortably|strongly|even|also|much|far|"
    r"significant(?:ly)?)"
)
"""Adverbs that leave the relation what it is."""
_NUMBER = r"\d+(?:\.\d+)?"
_UNIT = r"(?:\s*(?:%|percentage points?\b|percent\b|points?\b|pp\b|characters?\b))"
_PASSIVE = "beaten|surpassed|outperformed|exceeded|overtaken|outscored|topped|matched|equal(?:l)?ed"


def _verbs(relation: Relation) -> str:
    words = "|".join(_PLAIN[relation]).replace("ANSWERS", "(?:answers|responses|outputs|replies)")
    words = words.replace("GIVE", "(?:gives?|writes?|produces?|generates?)")
    be = rf"{_BE}(?: {_DEGREE})*"
    return words.replace("BE not", rf"{_BE} not").replace("BE", be).replace(" ", r"\s+")


_RELATION = re.compile(
    r"(?<!\S)(?:(?P<not>(?:do|does|did)\s+not|(?:do|does|did)n't|cannot|"
    rf"{_BE}\s+not(?=\s+(?:better|superior|ahead|stronger|behind|inferior|(?:{_PASSIVE})\s+by)\b)"
    rf")\s+)?(?:{_DEGREE}\s+)*(?:"
    + "|".join(f"(?P<{relation}>{_verbs(relation)})" for relation in _PLAIN)
    + rf"|(?:{_BE}\s+)?(?:{_DEGREE}\s+)*(?P<passive>"
    + _PASSIVE
    + r")\s+by|(?P<bare>(?:better|superior|stronger)\s+(?:than|to)|ahead\s+of|behind|"
    r"inferior\s+to)"
    rf"|(?:{_BE}\s+)?(?:(?:scores?|ranks?)\s+)?(?P<by>{_NUMBER}){_UNIT}?\s+"
    r"(?P<side>better|higher|ahead|worse|lower|longer|shorter|more|less|behind)(?:\s+(?:than|of))?"
    rf"|(?:scores?|scored|reach(?:es|ed)|achieve[sd]?|attain(?:s|ed)|obtain(?:s|ed)|gets|got)\s+"
    rf"(?:an?\s+(?:[\w-]+\s+){{0,3}}of\s+)?(?P<score>{_NUMBER})(?P<percent>\s*%|\s+percent\b)?"
    rf"(?:\s+points)?)(?=\s|[,;]|$)",
    re.IGNORECASE,
)
_SIDES: dict[str, Relation] = {
    "better": "better", "higher": "better", "ahead": "better", "more": "better",
    "worse": "worse", "lower": "worse", "behind": "worse", "less": "worse",
    "longer": "longer", "shorter": "shorter",
}  # fmt: skip
_AMOUNT = re.compile(
    r"(?:^|\s+)(?P<how>by (?:at least|(?:no )?more than|at most)|by|within)\s+"
    rf"(?P<value>{_NUMBER})(?P<unit>{_UNIT})?(?=[\s,]|$)",
    re.IGNORECASE,
)
_HOW: dict[str, How] = {
    "by": "by",
    "by more than": "more_than",
    "by at least": "more_than",
    "within": "within",
    "by no more than": "within",
    "by at most": "within",
}
_SEPARATOR = re.compile(r"\s*,\s*(?:and\s+|or\s+|as well as\s+)?|\s+(?:and|or|as well as)\s+", re.I)
_JOINT = re.compile(r"\s*(?:,\s*(?:and|but|while)?|;|\s(?:and|but))\s*$", re.IGNORECASE)
_AT = re.compile(r"(?<!\S)(?:on|in|at|across)\s+", re.IGNORECASE)
_ALL = re.compile(
    r"(?:all|every|each|both)(?: (?:of )?(?:the )?(?:tested |evaluated )?(?:benchmarks?|tasks?))?"
    r"|everything",
    re.IGNORECASE,
)
_AROUND = re.compile(r"^(?:both |the )+|\s+(?:benchmarks?|datasets?|leaderboards?)$", re.IGNORECASE)
_COMPARES = re.compile(
    r"\b(?:beats?|beaten|surpass\w*|outperform\w*|exceed\w*|overt[ao]\w*|outscor\w*|better than|"
    r"worse than|on par|comparable (?:to|with)|the best|state[- ]of[- ]the[- ]art|lags?|matche[sd]|"
    r"longer than|shorter than|superior to|inferior to|higher than|lower than)\b",
    re.IGNORECASE,
)
_STOPS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE), why)
    for why, words in {
        "{0!r} states no result; say what was measured": r"might|may|could|would|should|will|shall|"
        r"can|hopes?|aims?|expect\w*|believe\w*|likely|probabl\w+|perhaps|possibly|seems?|"
        r"appears?|potential\w*|wish\w*|try|tries|intended|designed|goal|doubt",
        "{0!r} adds a condition; say it without, or in two sentences": r"if|when|whenever|unless|"
        r"while|whereas|although|though|despite|except|because|after|before|until|without|"
        r"compared|depending|once",
        "{0!r} names no margin; say 'matches B within X points'": r"almost|nearly|roughly|"
        r"approximately|about|around|close to|virtually|up to",
        "{0!r} speaks of another time, of which there are no figures": r"no longer|not yet|still|"
        r"previously|formerly|so far|to date",
        "{0!r} names no benchmark; name each with 'on'": r"generally|usually|often|mostly|"
        r"sometimes|consistently|overall|in general|on average|in terms of",
        "{0!r} is a quantity; name each benchmark or model": r"most|several|many|some|few|any|"
        r"none|majority|half|(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten)\s+"
        r"(?:out\s+)?of",
    }.items()
)
"""Words that make a sentence something else than a plain comparison, and what to say of them."""
_NO_NAME = re.compile(
    r"(?:it|its|them|they|this|these|that|those|we|ours?|which|who|all|others?|itself|the model)|"
    r".*\b(?:models?|llms?|baselines?|competitors?|counterparts?|ones|sizes?|versions?|"
    r"alternatives?|state[- ]of[- ]the[- ]art|sota|predecessors?)",
    re.IGNORECASE,
)
"""Words that stand for models and name none."""


@dataclass(frozen=True)
class _Names:
    """What is known of names."""

    is_model: Known | None
    is_place: Known | None


def _sentence(text: str, names: _Names) -> Iterator[Statement]:
    text = re.sub(r"[.!;:]+$", "", text).strip()
    if text.endswith("?"):
        raise _Unread("a question states nothing")
    for pattern, why in _STOPS:
        stop = pattern.search(text)
        if stop is not None:
            raise _Unread(why.format(stop[0]))
    text, lead = _led(text, names)
    found = _relations(text, names)
    if not found:
        raise _Unread(f"no relation between models is named; expected one of {FORMS}")
    subject, said = text[: found[0].start()].strip(), list[Statement]()
    for n, match in enumerate(found):
        end = found[n + 1].start() if n + 1 < len(found) else len(text)
        rest, following = _until(text[match.end() : end], is_last=n + 1 == len(found))
        inherited = (said[-1].place,) if said and isinstance(said[-1], Scored) else lead
        said += _clause(_named(subject, "model"), match, rest, names, inherited)
        subject = following or subject
    yield from _everywhere_placed(said)


def _everywhere_placed(said: list[Statement]) -> Iterator[Statement]:
    """Of "A beats B and matches C on X", both on X; a place does not reach forward."""
    placed = [isinstance(s, Scored) or bool(s.places) or s.everywhere for s in said]
    for n, one in enumerate(said):
        if placed[n] or not any(placed) or isinstance(one, Scored):
            yield one
            continue
        if any(placed[:n]):
            raise _Unread("a part of the sentence names no benchmark; name one in each")
        later = said[placed.index(True, n)]
        if isinstance(later, Scored):
            raise _Unread("a part of the sentence names no benchmark; name one in each")
        yield replace(one, places=later.places, everywhere=later.everywhere)


def _led(text: str, names: _Names) -> tuple[str, tuple[str, ...]]:
    """The sentence without a leading "On PLACE,", and the places it names."""
    found = re.match(r"(?:on|in|at|across)\s+(?P<places>[^,]+),\s+(?=\S)", text, re.IGNORECASE)
    if found is None:
        return text, ()
    listed = _listed(found["places"], names.is_place)
    return text[found.end() :], tuple(_place(p, names.is_place) for p in listed)


def _relations(text: str, names: _Names) -> list[re.Match[str]]:
    """Every relation, from the first whose subject is known where names are."""
    found = [m for m in _RELATION.finditer(text) if m.start() > 0]
    if names.is_model is not None:
        for n, match in enumerate(found):
            if names.is_model(text[: match.start()].strip()):
                return found[n:]
    return found


def _until(text: str, *, is_last: bool) -> tuple[str, str]:
    """(what belongs to a clause, the subject of the next; empty: the same)."""
    if is_last:
        return text.strip(), ""
    joint = _JOINT.search(text)
    if joint is not None:
        return text[: joint.start()].strip(), ""
    cuts = list(_SEPARATOR.finditer(text))
    if not cuts:
        raise _Unread(f"{text.strip()!r} stands between two relations; say them in two sentences")
    return text[: cuts[-1].start()].strip(), text[cuts[-1].end() :].strip()


def _clause(
    subject: str, match: re.Match[str], rest: str, names: _Names, places: tuple[str, ...]
) -> Iterator[Statement]:
    """What one relation and the words after it state."""
    if match["score"] is not None:
        yield _scored(subject, match, rest, names, places)
        return
    amount, rest = _amount(match, rest)
    others, here, everywhere = _split(rest, names)
    relation = _relation(match)
    one = Compared(
        subject, relation, tuple(others), tuple(here) or (() if everywhere else places), amount,
        everywhere, significant="significant" in match[0].lower(),
    )  # fmt: skip
    if relation == "best":
        if others or match["not"]:
            raise _Unread(f"'is best' is said against all models; unexpected {rest!r}")
        yield one
        return
    if not others:
        raise _Unread("the claim names no model to compare with; name each")
    yield from _turned(one, match)


def _turned(one: Compared, match: re.Match[str]) -> Iterator[Statement]:
    """Passives and negations as plain relations."""
    swap = match["passive"] is not None and one.relation == "better"
    negated = match["not"] is not None
    if not swap and not negated:
        yield one
        return
    if negated and (one.relation not in ("better", "worse") or one.amount is not None):
        raise _Unread(f"{match[0]!r} with 'not' leaves open what holds; say it without 'not'")
    if negated and len(one.others) > 1:
        raise _Unread(f"{match[0]!r} with 'not' and several models may mean any of them; name one")
    if negated and (swap or one.relation == "worse"):
        yield replace(one, relation="not_worse")
    else:
        relation: Relation = "not_worse" if negated else "better"
        for other in one.others:
            yield replace(one, subject=other, relation=relation, others=(one.subject,))


def _relation(match: re.Match[str]) -> Relation:
    for relation in _PLAIN:
        if match[relation] is not None:
            return relation
    if match["side"] is not None:
        return _SIDES[match["side"].lower()]
    if match["passive"] is not None:
        return "equal" if match["passive"].lower().startswith(("match", "equal")) else "better"
    return "worse" if match["bare"].lower().startswith(("behind", "inferior")) else "better"


def _amount(match: re.Match[str], rest: str) -> tuple[Amount | None, str]:
    """The amount of a clause, and the clause without it."""
    found = list(_AMOUNT.finditer(rest))
    if len(found) + (match["by"] is not None) > 1:
        raise _Unread(f"{rest!r} names two amounts; name one")
    if match["by"] is not None:
        percent = bool(re.search(r"%|\bpercent\b", match[0]))
        return Amount("by", float(match["by"]), _decimals(match["by"]), percent), rest
    if not found:
        return None, rest
    how = _HOW[" ".join(found[0]["how"].lower().split())]
    relation = _relation(match)
    fits: tuple[How, ...] = ("by", "more_than")
    if relation == "equal":
        fits = ("within",)
    elif relation == "not_worse" or (match["not"] and relation == "worse"):
        fits = ("more_than", "within")
    elif relation == "best":
        fits = ()
    if how not in fits:
        words = {"by": "by", "more_than": "by more than", "within": "within"}
        wanted = " or ".join(f"'{words[f]} X points'" for f in fits) or "no amount"
        raise _Unread(f"{found[0][0].strip()!r} does not go with this relation; expected {wanted}")
    value, unit = found[0]["value"], found[0]["unit"] or ""
    amount = Amount(how, float(value), _decimals(value), "%" in unit or "percent" in unit.lower())
    return amount, (rest[: found[0].start()] + " " + rest[found[0].end() :]).strip()


def _scored(
    subject: str, match: re.Match[str], rest: str, names: _Names, places: tuple[str, ...]
) -> Scored:
    others, here, everywhere = _split(rest, names)
    here = here or list(places)
    if others or everywhere or len(here) != 1:
        raise _Unread("a figure needs one benchmark: 'A scores 91.42 on alpaca_eval'")
    percent = match["percent"] is not None
    return Scored(subject, float(match["score"]), _decimals(match["score"]), here[0], percent)


def _split(text: str, names: _Names) -> tuple[list[str], list[str], bool]:
    """(models, places, whether it says everywhere) around the preposition that cuts them."""
    text = text.strip(" ,")
    cuts = list(_AT.finditer(text))
    if names.is_model is not None:
        if text and all(map(names.is_model, _listed(text, names.is_model))):
            return _listed(text, names.is_model), [], False
        whole = [c for c in cuts if _all(text[: c.start()].strip(" ,"), names.is_model)]
        cuts = whole or cuts
    if not cuts:
        return [_named(n, "model") for n in _listed(text, names.is_model)], [], False
    before, after = text[: cuts[0].start()].strip(" ,"), text[cuts[0].end() :].strip(" ,")
    others = [_named(n, "model") for n in _listed(before, names.is_model)]
    if _ALL.fullmatch(after):
        return others, [], True
    return others, [_place(p, names.is_place) for p in _listed(after, names.is_place)], False


def _all(text: str, known: Known) -> bool:
    return bool(text) and all(map(known, _listed(text, known)))


def _listed(text: str, known: Known | None) -> list[str]:
    """Names joined by commas and "and", the longest known first, since a name may hold them."""
    if not text:
        return []
    text = re.sub(r"^both\s+", "", text, flags=re.IGNORECASE)
    if known is not None:
        for cut in [None, *reversed(list(_SEPARATOR.finditer(text)))]:
            head = text if cut is None else text[: cut.start()]
            if known(head) or known(_AROUND.sub("", head)):
                return [head, *([] if cut is None else _listed(text[cut.end() :], known))]
    first = _SEPARATOR.search(text)
    if first is None:
        return [text]
    return [text[: first.start()], *_listed(text[first.end() :], known)]


def _named(text: str, kind: str) -> str:
    """A name of one model; refuses words that stand for models and name none."""
    if not text:
        raise _Unread(f"the claim names no {kind}; name it")
    if _NO_NAME.fullmatch(text):
        raise _Unread(f"{text!r} names no {kind}; write its name")
    return text


def _place(text: str, known: Known | None) -> str:
    if known is not None and known(text):
        return text
    found = _AROUND.sub("", text.strip())
    if not found or _ALL.fullmatch(found):
        raise _Unread(f"{text!r} names no benchmark; name it")
    return found


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])
