"""What is read when a row is opened: prompts, answers, references, judgments, every score.

A sample's texts are written once each and referred to by place, since a question, an answer and
a reference come back in other models' conversations and in every judge's prompt.  Long prompts are
cut into pieces; pieces that several samples have (few-shot examples, a judge's instructions) go to
one list for the whole run, referred to by negative numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.core import Json, Judgment, Message, Record
from evalkit.draw import figure, share, significant, visible
from evalkit.report.browser.rows import Row
from evalkit.report.browser.samples import Task
from evalkit.report.browser.talk import Turn, at_turn, turns_of
from evalkit.store.codec import canonical_json

__all__ = ["Shared", "details"]

_WORTH = 40
"""Characters that a piece must have to be written once for all."""
_LONG = 400
"""Characters of a prompt above which it is cut into pieces."""


@dataclass
class Shared:
    """Pieces that several samples have, in order of their second appearance."""

    places: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: Iterator[frozenset[str]]) -> Shared:
        """Pieces that more than one of `samples` has."""
        counted = Counter(piece for pieces in samples for piece in sorted(pieces))
        return cls({piece: i for i, piece in enumerate(p for p, n in counted.items() if n > 1)})

    def json(self) -> Json:
        """As the page reads it."""
        return list(self.places)


class _Texts:
    """Texts of one sample and the pieces of its prompts."""

    def __init__(self, shared: Shared | None) -> None:
        self.places: dict[str, int] = {}
        self.pieces: set[str] = set()
        self._shared = shared

    def one(self, text: str) -> Json:
        """Where `text` stands."""
        text = visible(text)
        return self.places.setdefault(text, len(self.places))

    def cut(self, text: str) -> Json:
        """Where `text`, or each of its pieces, stands."""
        text = visible(text)
        if len(text) < _LONG or text in self.places:
            return self.one(text)
        refs: list[int] = []
        rest = ""
        for piece in self._pieces(text):
            place = self._place(piece)
            if place is None:
                rest += piece
                continue
            if rest:
                refs.append(self.one(rest))
                rest = ""
            refs.append(place)
        if rest:
            refs.append(self.one(rest))
        return refs[0] if len(refs) == 1 else refs

    def _place(self, piece: str) -> int | None:
        if piece in self.places:
            return self.places[piece]
        if len(piece) < _WORTH:
            return None
        self.pieces.add(piece)
        known = None if self._shared is None else self._shared.places.get(piece)
        return None if known is None else -1 - known

    def _pieces(self, text: str) -> list[str]:
        """`text` cut at the texts it quotes, and what is left at blank lines."""
        quoted = [t for t in self.places if len(t) >= _WORTH]
        pieces = [text]
        for quote in sorted(quoted, key=len, reverse=True):
            pieces = [part for piece in pieces for part in _around(piece, quote)]
        known = set(quoted)
        return [part for p in pieces for part in ([p] if p in known else _paragraphs(p))]


def _around(text: str, quote: str) -> list[str]:
    if text == quote or quote not in text:
        return [text]
    before, _, after = text.partition(quote)
    return [part for part in (before, quote, *_around(after, quote)) if part]


def _paragraphs(text: str) -> list[str]:
    parts = text.split("\n\n")
    return [*(part + "\n\n" for part in parts[:-1]), *([parts[-1]] if parts[-1] else ())]


def details(
    tasks: Sequence[Task], rows: Sequence[Row], models: Sequence[str]
) -> tuple[Shared, Iterator[Json]]:
    """The shared pieces, and one object a row as the page reads it."""

    def pieces(row: Row) -> frozenset[str]:
        texts = _Texts(None)
        _sample(tasks[row.task], row, models, texts)
        return frozenset(texts.pieces)

    shared = Shared.of(pieces(row) for row in rows)
    return shared, (_sample(tasks[row.task], row, models, _Texts(shared)) for row in rows)


def _sample(task: Task, row: Row, models: Sequence[str], texts: _Texts) -> Json:
    talks = {name: turns_of(record) for name, record in row.records.items()}
    # A model that failed in its first turn was never asked the second.
    turns = max(len(talk) for talk in talks.values())
    asked = [_asked(talks.values(), i) for i in range(turns)]
    reference = next((r.outcome.reference for r in row.records.values() if r.outcome.reference), ())
    sample: dict[str, Json] = {
        "asked": [_messages(prompt, texts) for prompt in asked],
        "reference": _references(reference, turns, texts),
    }
    found = {
        name: _answer(task, row.records[name], talk, asked, texts) for name, talk in talks.items()
    }
    for name, answer in found.items():
        own = row.records[name].outcome.reference
        if own not in ((), reference):
            found[name] = {**answer, "reference": _references(own, turns, texts)}
    # Judges' prompts quote all of the above, so they come last.
    for name, answer in found.items():
        said = [_judgment(task, j, turns, texts) for j in row.records[name].outcome.judgments]
        found[name] = {**answer, "judgments": said}
    return {
        **sample,
        "models": [found.get(name) for name in models],
        "texts": list(texts.places),
    }


def _asked(talks: Iterable[Sequence[Turn]], turn: int) -> tuple[Message, ...]:
    """What most likely all were asked: the first prompt there is of a turn."""
    return next((t[turn].prompt for t in talks if len(t) > turn and t[turn].prompt), ())


def _messages(prompt: Sequence[Message], texts: _Texts) -> Json:
    return [[m.role, texts.cut(m.content)] for m in prompt]


def _references(reference: Sequence[str], turns: int, texts: _Texts) -> Json:
    """One for each turn; None where it has none."""
    if turns == 1:
        return [texts.one("\n".join(reference)) if reference else None]
    given = [*reference[:turns], *[""] * (turns - len(reference))]
    return [texts.one(text) if text else None for text in given]


def _answer(
    task: Task,
    record: Record,
    talk: Sequence[Turn],
    asked: Sequence[Sequence[Message]],
    texts: _Texts,
) -> Mapping[str, Json]:
    outcome = record.outcome
    data = canonical_json(outcome.data).decode("utf-8") if outcome.data else None
    return {
        "answers": [[texts.one(text) for text in turn.answers] for turn in talk],
        "asked": {
            str(i): _messages(turn.prompt, texts)
            for i, turn in enumerate(talk)
            if turn.prompt and tuple(turn.prompt) != tuple(asked[i])
        },
        "reference": None,
        "scores": _scores(task, record),
        "error": None if outcome.error is None else texts.one(outcome.error),
        "data": None if data is None else texts.one(data),
    }


def _scores(task: Task, record: Record) -> Json:
    """Place of the metric (its name where the manifest does not know it), part, figure."""
    places = {m.metric.name: i for i, m in enumerate(task.measures)}
    found: list[Json] = []
    for score in record.outcome.scores:
        place = places.get(score.metric)
        if place is None:
            found.append([visible(score.metric), visible(score.part), significant(score.value, 4)])
        else:
            metric = task.measures[place].metric
            shown = figure(score.value * metric.scale, metric.unit)
            found.append([place, visible(score.part), shown])
    return found


def _judgment(task: Task, judgment: Judgment, turns: int, texts: _Texts) -> Json:
    metric = task.primary
    rating = metric is not None and metric.unit == "points"
    return {
        "judge": visible(judgment.judge),
        "protocol": visible(judgment.protocol),
        "status": judgment.status,
        "turn": at_turn(judgment.part, turns),
        "part": visible(judgment.part),
        "value": _value(judgment.value, rating),
        "is_rating": rating,
        "votes": [_value(vote, rating) for vote in judgment.votes],
        "exchanges": [
            [_messages(exchange.prompt, texts), texts.one(exchange.reply)]
            for exchange in judgment.exchanges
        ],
        "error": None if judgment.error is None else texts.one(judgment.error),
    }


def _value(value: float | None, rating: bool) -> str:
    return figure(value, "points") if rating else share(value)
