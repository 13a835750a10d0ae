"""The sample browser: every sample of every model, in the page itself or in files beside it.

The list has one row a sample, column by column, with everything that a filter or an order needs;
texts are read when a row is opened.  Both are packed into blocks of gzipped JSON: in one file,
base64 inside an inert element; split, a file named by its content, so that a host may keep it for
ever.  Same run, same bytes.  Texts are spelled out (`visible`) and numbers formatted here, so that
the page's script (`static/`, plain files put together in the order of their names) only places
them, and writes text, never markup.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from evalkit import draw
from evalkit.comparison.pairs import judged_pairs, model_pairs
from evalkit.core import Json, Judgment, Message, Record, Suspicion
from evalkit.core.figures import Metric
from evalkit.errors import StoreError
from evalkit.report.content import Pair, Report, gap, samples_link, scores
from evalkit.report.results import thoughts_at
from evalkit.store.codec import canonical_json

__all__ = ["Samples", "Way", "sample_files", "samples_of"]

_FOLDER = "samples"
"""Where the blocks of a split report lie, beside its page."""
_BLOCK = 400_000
"""Characters of JSON in a block of texts: some milliseconds to unpack."""
_LEVEL = 6
_NAME = re.compile(r"[0-9a-f]{20}\.json\.gz")


@dataclass(frozen=True)
class Way:
    """A link into the list: what a reader most likely wants to see, and how many samples it is."""

    shown: str
    count: str
    href: str


@dataclass(frozen=True)
class Samples:
    """What the browser of a page is made of."""

    n: int
    ways: tuple[Way, ...]
    blocks: tuple[bytes, ...]
    """The list, the pieces of texts that samples share, then the texts."""

    @property
    def files(self) -> Mapping[str, bytes]:
        """The blocks by the names they have beside a split page."""
        return {f"{_FOLDER}/{hashlib.sha256(b).hexdigest()[:20]}.json.gz": b for b in self.blocks}


def samples_of(report: Report) -> Samples | None:
    """The samples of a run; None where it has no records."""
    tasks = list(_tasks(report))
    rows = [row for place, task in enumerate(tasks) for row in _rows(report, place, task)]
    if not rows:
        return None
    models = _models(report, tasks)
    shared, samples = _details(tasks, rows, models)
    blocks, sizes = [], []
    for texts in _gathered(samples):
        blocks.append(_packed(f"[{','.join(texts)}]"))
        sizes.append(len(texts))
    contests = _contests(report, rows, models)
    head = {
        **_columns(report, tasks, rows, models),
        "sizes": sizes,
        "run_id": report.run.manifest.run_id,
        "contests": contests,
    }
    return Samples(
        n=len(rows),
        ways=_ways(report, rows, contests),
        blocks=(_packed(_json(head)), _packed(_json(list(shared))), *blocks),
    )


def sample_files(folder: Path) -> list[Path]:
    """Files in a report's folder that a split page left there, of this run or an earlier one.

    Raises StoreError: they would be another folder's.
    """
    if (folder / _FOLDER).is_symlink():
        raise StoreError(
            f"{folder / _FOLDER}: it is a link to another place; remove the link and run the same "
            f"command again, or name another folder with --out"
        )
    found = sorted((folder / _FOLDER).glob("*.json.gz"))
    return [path for path in found if _NAME.fullmatch(path.name)]


def _gathered(samples: Iterable[Json]) -> Iterator[list[str]]:
    texts: list[str] = []
    size = 0
    for sample in samples:
        text = _json(sample)
        texts.append(text)
        size += len(text)
        if size >= _BLOCK:
            yield texts
            texts, size = [], 0
    if texts:
        yield texts


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _packed(text: str) -> bytes:
    buffer = io.BytesIO()
    # Neither a time nor a file name in the header.
    with gzip.GzipFile("", "wb", _LEVEL, buffer, mtime=0) as file:
        # All but the names of `_contests` is spelled out.
        file.write(text.encode("utf-8", "replace"))
    return buffer.getvalue()


# --- samples, and how two models did on one -----------------------------------------------------
#
# Comparisons count parts, a row counts once.


@dataclass(frozen=True)
class _Task:
    """One task of one benchmark entry with its samples, in the order of the run."""

    benchmark: str
    task: str
    metrics: tuple[Metric, ...]
    """The primary metric first."""
    primary: Metric | None
    """What rows are ordered by; None where nothing says what was measured."""
    samples: Mapping[str, Mapping[str, Record]]
    """By sample id, then model."""


@dataclass(frozen=True)
class _Compared:
    """How candidate and baseline did on one sample."""

    verdict: str
    """`w`, `l`, `t` for the candidate; `n` where one of the two has no score."""
    shown: str
    """The difference, formatted."""
    size: float
    """Signed, positive where the candidate did better, as a share of the task's largest: what
    rows of different units are put in order by."""


@dataclass(frozen=True)
class _Row:
    """One sample, all models."""

    task: int
    """Place of its `_Task`."""
    id: str
    """Spelled out, unique within the task."""
    category: str
    about: str
    """How the question begins."""
    records: Mapping[str, Record]
    suspicious: Mapping[str, tuple[Suspicion, ...]]
    """By model."""
    pairs: tuple[_Compared, ...]


_ABOUT = 110
"""Characters of a question that a row shows."""
_NO_SCORE = _Compared("n", draw.MISSING, 0.0)


def _tasks(report: Report) -> Iterator[_Task]:
    """Every task that has records, in report order; those the manifest does not know last."""
    known = dict.fromkeys(
        (entry.name, key.task) for entry in report.run.benchmarks for key in report.keys(entry)
    )
    order = dict.fromkeys([*(place for place in known if place in report.samples), *report.samples])
    for name, task in order:
        entry = report.run.benchmark(name)
        keys = (key for key in report.keys(entry) if key.task == task)
        found = (entry.metric(task, key.metric) for key in keys)
        metrics = tuple(metric for metric in found if metric is not None)
        yield _Task(name, task, metrics, report.primary(name, task), report.samples[name, task])


def _models(report: Report, tasks: Sequence[_Task]) -> list[str]:
    """Models with records, and those compared though they have none, in report order."""
    found = {name for task in tasks for records in task.samples.values() for name in records}
    compared = dict.fromkeys(name for pair in report.pairs for name in pair)
    known = (m for m in report.run.models if m in found or m in compared)
    return list(dict.fromkeys([*known, *compared]))


def _rows(report: Report, place: int, task: _Task) -> Iterator[_Row]:
    compared = [_compared(task, pair) for pair in report.pairs]
    seen: set[str] = set()
    for n, (sample, records) in enumerate(task.samples.items()):
        first = next(iter(records.values()))
        # Ids that only differ in what cannot be seen must not share an address.
        name, again = draw.visible(sample), 1
        while name in seen:
            again += 1
            name = f"{draw.visible(sample)} ({again})"
        seen.add(name)
        yield _Row(
            task=place,
            id=name,
            category=draw.visible(first.category or ""),
            about=draw.one_line(draw.visible(_question(records)), _ABOUT),
            records=records,
            suspicious={
                name: kinds
                for name, record in records.items()
                if (kinds := report.suspicious.get(record.key))
            },
            pairs=tuple(pairs[n] for pairs in compared),
        )


def _compared(task: _Task, pair: Pair) -> list[_Compared]:
    metric = task.primary
    if metric is None:
        return [_NO_SCORE for _ in task.samples]
    gaps = [gap(records, pair, metric) for records in task.samples.values()]
    largest = max((abs(d) for d in gaps if d is not None), default=0.0) or 1.0
    sign = 1 if metric.higher_is_better else -1
    return [
        _NO_SCORE
        if d is None
        else _Compared(
            "w" if sign * d > 0 else "l" if sign * d < 0 else "t",
            draw.difference(d * metric.scale, metric.unit),
            sign * d / largest,
        )
        for d in gaps
    ]


def _orders_disagree(record: Record) -> bool:
    """A judge preferred different answers when they traded places; an even vote prefers none."""
    return any(
        j.status == "ok" and len(j.votes) == 2 and (j.votes[0] - 0.5) * (j.votes[1] - 0.5) < 0
        for j in record.outcome.judgments
    )


def _ways(report: Report, rows: Sequence[_Row], contests: Sequence[Json]) -> tuple[Way, ...]:
    """Those with something behind them."""
    found: list[tuple[str, int, str]] = []
    for i, (candidate, baseline) in enumerate(report.pairs):
        place = {"pair": str(i)} if i else {}
        against = f" against {baseline}" if len(report.pairs) > 1 else ""
        for letter, name, word in (
            ("l", "loss", "loses"),
            ("w", "win", "wins"),
            ("t", "tie", "ties"),
        ):
            n = sum(row.pairs[i].verdict == letter for row in rows)
            found.append((f"{candidate} {word}{against}", n, samples_link(**place, verdict=name)))

    def having(test: Callable[[Record], bool]) -> int:
        return sum(any(map(test, row.records.values())) for row in rows)

    failed = having(lambda r: r.outcome.status != "ok")
    truncated = having(lambda r: r.outcome.truncated)
    flipped = having(_orders_disagree)
    suspicious = sum(bool(row.suspicious) for row in rows)
    found += [
        ("A model failed", failed, samples_link(status="failed")),
        ("An answer was cut by its token limit", truncated, samples_link(flag="truncated")),
        ("The judge's verdict flips with order", flipped, samples_link(flag="orders")),
        ("Vote blind between two answers", sum(len(c["rows"]) for c in contests), "#vote"),
        ("An answer may be meant for the judge", suspicious, samples_link(flag="suspicious")),
    ]
    return tuple(Way(shown, draw.count(n), href) for shown, n, href in found if n)


# --- the list -----------------------------------------------------------------------------------


@dataclass
class _Column:
    """Texts that repeat: each once, and which one each row has."""

    texts: dict[str, int] = field(default_factory=dict)
    at: list[int] = field(default_factory=list)

    def add(self, text: str) -> None:
        """The next row's."""
        self.at.append(self.texts.setdefault(text, len(self.texts)))

    def json(self) -> Json:
        """As the page reads it."""
        return {"texts": list(self.texts), "at": self.at}


def _columns(
    report: Report, tasks: Sequence[_Task], rows: Sequence[_Row], models: Sequence[str]
) -> dict[str, Json]:
    """The list as the page reads it."""
    benchmarks = list(dict.fromkeys(task.benchmark for task in tasks))
    statuses, categories = _Column(), _Column()
    for row in rows:
        categories.add(row.category)
    by_model = [_of_model(name, tasks, rows, statuses) for name in models]
    return {
        "models": [
            {"name": draw.visible(name), "role": draw.visible(report.run.role(name))}
            for name in models
        ],
        "pairs": [[models.index(name) for name in pair] for pair in report.pairs],
        "benchmarks": [
            {"name": draw.visible(name), "label": draw.visible(draw.benchmark_label(name))}
            for name in benchmarks
        ],
        "tasks": [_task(task, benchmarks.index(task.benchmark)) for task in tasks],
        "task": [row.task for row in rows],
        "id": [row.id for row in rows],
        "category": categories.json(),
        "about": [row.about for row in rows],
        "statuses": list(statuses.texts),
        "by_model": by_model,
        "by_pair": [_of_pair([row.pairs[i] for row in rows]) for i in range(len(report.pairs))],
    }


def _task(task: _Task, benchmark: int) -> Json:
    metric = task.primary
    return {
        "benchmark": benchmark,
        "name": draw.visible(task.task),
        "metric": draw.visible(draw.metric_label(metric.name)) if metric else "",
        "unit": draw.unit_words(metric.unit, of_difference=True) if metric else "",
        "primary": None if metric is None else task.metrics.index(metric),
        "metrics": [draw.visible(draw.metric_label(m.name)) for m in task.metrics],
    }


def _of_model(name: str, tasks: Sequence[_Task], rows: Sequence[_Row], statuses: _Column) -> Json:
    column = _Column()
    status, truncated, disagree = [], [], []
    for row in rows:
        record = row.records.get(name)
        metric = tasks[row.task].primary
        found = scores(record, metric)
        mean = fmean(found.values()) * metric.scale if metric and found else None
        column.add(draw.MISSING if metric is None else draw.figure(mean, metric.unit))
        if record is None:
            status.append(-1)
        else:
            status.append(statuses.texts.setdefault(record.outcome.status, len(statuses.texts)))
        truncated.append("1" if record and record.outcome.truncated else "0")
        disagree.append("1" if record and _orders_disagree(record) else "0")
    return {
        "score": column.json(),
        "status": status,
        "truncated": "".join(truncated),
        "orders": "".join(disagree),
        "suspicious": "".join("1" if name in row.suspicious else "0" for row in rows),
    }


def _of_pair(pairs: Sequence[_Compared]) -> Json:
    shown = _Column()
    for pair in pairs:
        shown.add(pair.shown)
    sizes = sorted({0.0, *(abs(pair.size) for pair in pairs)})
    ranks = {size: rank for rank, size in enumerate(sizes)}
    return {
        "verdict": "".join(pair.verdict for pair in pairs),
        "shown": shown.json(),
        "rank": [ranks[abs(p.size)] if p.size > 0 else -ranks[abs(p.size)] for p in pairs],
    }


# --- pairs of answers to vote on ----------------------------------------------------------------


def _contests(report: Report, rows: Sequence[_Row], models: Sequence[str]) -> list[Json]:
    """What people may vote on: where two models, or a model and the reference, were judged.

    One for each two of them on a task: their names as they are, in the order of `votes.drawn`, the
    places of the models (-1: the reference), and by row which of the two the judge prefers: `0`,
    `1`, `t` (none), `n` (no verdict).  `ids` are those that the page spells otherwise.
    """
    at = {next(iter(row.records.values())).key[1:]: place for place, row in enumerate(rows)}
    judged = {r.benchmark for r in report.run.records if r.outcome.judgments}
    found: dict[tuple[str, ...], dict[int, str]] = {}
    for pair in (*judged_pairs(report.run), *model_pairs(report.run)):
        record = pair.record
        if not pair.has_texts or record.benchmark not in judged:
            continue
        names = sorted((record.model, pair.other))
        verdict = "n"
        if pair.preference is not None:
            better = record.model if pair.preference > 0.5 else pair.other
            verdict = "t" if pair.preference == 0.5 else str(names.index(better))
        key = (record.benchmark, record.task, pair.part, *names)
        found.setdefault(key, {}).setdefault(at[record.key[1:]], verdict)
    ids = {place: key[2] for key, place in at.items() if key[2] != rows[place].id}
    return [
        {
            "place": [benchmark, task, part, *names],
            "shown": [draw.visible(name) for name in names],
            "models": [models.index(name) if name in models else -1 for name in names],
            "rows": list(verdicts),
            "ids": {str(place): ids[place] for place in verdicts if place in ids},
            "verdicts": "".join(verdicts.values()),
        }
        for (benchmark, task, part, *names), verdicts in found.items()
    ]


# --- conversations, turn by turn ----------------------------------------------------------------

_LONG_PROMPT = 600
"""Characters of a prompt above which its last paragraph is taken for the question."""


@dataclass(frozen=True)
class _Turn:
    """What a model was sent since its last answer, and what it said."""

    prompt: tuple[Message, ...]
    answers: tuple[str, ...]


def _turns(record: Record) -> tuple[_Turn, ...]:
    """At least one turn; a turn without answer where the model failed in it.

    Answers that are not part of the conversation (the choices of a log-likelihood item) stand in
    its only turn.
    """
    talk, answers = record.outcome.conversation, record.outcome.answers
    places = _answered(talk, answers)
    if places is None:
        return (_Turn(talk, answers),)
    turns, begin = [], 0
    for place, answer in zip(places, answers, strict=True):
        turns.append(_Turn(talk[begin:place], (answer,)))
        begin = place + 1
    if begin < len(talk) or not turns:
        turns.append(_Turn(talk[begin:], ()))
    return tuple(turns)


def _answered(talk: Sequence[Message], answers: Sequence[str]) -> list[int] | None:
    """Where the answers stand in the conversation; None where they are not all in it."""
    places: list[int] = []
    end = len(talk)
    for answer in reversed(answers):
        said = (i for i in range(end - 1, -1, -1) if talk[i].role == "assistant")
        place = next((i for i in said if talk[i].content.strip() == answer.strip()), None)
        if place is None:
            return None
        places.insert(0, place)
        end = place
    return places


def _at_turn(part: str, turns: int) -> int | None:
    """The turn that a score or judgment of `part` (`turn_2`) is about; None: all of them."""
    name, _, number = part.partition("#")[0].rpartition("_")
    if name == "turn" and number.isdecimal() and 1 <= int(number) <= turns:
        return int(number) - 1
    return 0 if turns == 1 else None


def _question(records: Mapping[str, Record]) -> str:
    """What the sample asks, in short: of a long prompt (few-shot examples) its end."""
    for record in records.values():
        prompt = _turns(record)[0].prompt
        if prompt:
            text = prompt[-1].content
            return text if len(text) <= _LONG_PROMPT else text.rstrip().rpartition("\n\n")[2]
    return ""


# --- texts --------------------------------------------------------------------------------------
#
# A sample's texts are written once each and referred to by place, since a question, an answer and
# a reference come back in other models' conversations and in every judge's prompt.  Long prompts
# are cut into pieces; pieces that several samples have (few-shot examples, a judge's instructions)
# go to one list for the whole run, referred to by negative numbers.

_WORTH = 40
"""Characters that a piece must have to be written once for all."""
_LONG = 400
"""Characters of a prompt above which it is cut into pieces."""


class _Texts:
    """Texts of one sample and the pieces of its prompts."""

    def __init__(self, shared: Mapping[str, int]) -> None:
        self.places: dict[str, int] = {}
        self.pieces: set[str] = set()
        self._shared = shared

    def one(self, text: str) -> int:
        """Where `text` stands."""
        return self._put(draw.visible(draw.shortened(text)))

    def _put(self, shown: str) -> int:
        return self.places.setdefault(shown, len(self.places))

    def cut(self, text: str) -> Json:
        """Where `text`, or each of its pieces, stands."""
        text = draw.visible(draw.shortened(text))
        if len(text) < _LONG or text in self.places:
            return self._put(text)
        refs: list[int] = []
        rest = ""
        for piece in self._pieces(text):
            place = self._place(piece)
            if place is None:
                rest += piece
                continue
            if rest:
                refs.append(self._put(rest))
                rest = ""
            refs.append(place)
        if rest:
            refs.append(self._put(rest))
        return refs[0] if len(refs) == 1 else refs

    def _place(self, piece: str) -> int | None:
        if piece in self.places:
            return self.places[piece]
        if len(piece) < _WORTH:
            return None
        self.pieces.add(piece)
        return -1 - self._shared[piece] if piece in self._shared else None

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


def _details(
    tasks: Sequence[_Task], rows: Sequence[_Row], models: Sequence[str]
) -> tuple[Mapping[str, int], Iterator[Json]]:
    """Pieces that several samples have, by their place, and one object a row for the page."""
    counted: Counter[str] = Counter()
    for row in rows:
        texts = _Texts({})
        _sample(tasks[row.task], row, models, texts)
        counted.update(sorted(texts.pieces))
    shared = {piece: i for i, piece in enumerate(p for p, n in counted.items() if n > 1)}
    return shared, (_sample(tasks[row.task], row, models, _Texts(shared)) for row in rows)


def _sample(task: _Task, row: _Row, models: Sequence[str], texts: _Texts) -> Json:
    talks = {name: _turns(record) for name, record in row.records.items()}
    # A model that failed in its first turn has no second.
    turns = max(len(talk) for talk in talks.values())
    # What most likely all were sent: the first prompt there is of a turn.
    sent = [
        next((t[i].prompt for t in talks.values() if len(t) > i and t[i].prompt), ())
        for i in range(turns)
    ]
    reference = next((r.outcome.reference for r in row.records.values() if r.outcome.reference), ())
    sample: dict[str, Json] = {
        "sent": [_messages(prompt, texts) for prompt in sent],
        "reference": _references(reference, turns, texts),
    }
    found = {
        name: _answer(task, row.records[name], talk, sent, texts) for name, talk in talks.items()
    }
    for name, kinds in row.suspicious.items():
        found[name]["suspicious"] = list(kinds)
    for name, answer in found.items():
        own = row.records[name].outcome.reference
        if own not in ((), reference):
            answer["reference"] = _references(own, turns, texts)
    # Judges' prompts quote all of the above, so they come last.
    for name, answer in found.items():
        judgments = row.records[name].outcome.judgments
        answer["judgments"] = [_judgment(task, j, turns, texts) for j in judgments]
    return {
        **sample,
        "models": [found.get(name) for name in models],
        "texts": list(texts.places),
    }


def _messages(prompt: Sequence[Message], texts: _Texts) -> Json:
    return [[m.role, texts.cut(m.content)] for m in prompt]


def _references(reference: Sequence[str], turns: int, texts: _Texts) -> Json:
    """One for each turn; None where it has none."""
    if turns == 1:
        return [texts.one("\n".join(reference)) if reference else None]
    given = [*reference[:turns], *[""] * (turns - len(reference))]
    return [texts.one(text) if text else None for text in given]


def _answer(
    task: _Task,
    record: Record,
    talk: Sequence[_Turn],
    sent: Sequence[Sequence[Message]],
    texts: _Texts,
) -> dict[str, Json]:
    outcome = record.outcome
    data = canonical_json(outcome.data).decode("utf-8") if outcome.data else None
    thoughts = [
        [texts.one(text) for text in thoughts_at(outcome, turn, len(talk))]
        for turn in range(len(talk))
    ]
    return {
        **({"thoughts": thoughts} if outcome.thoughts else {}),
        "answers": [[texts.one(text) for text in turn.answers] for turn in talk],
        "sent": {
            str(i): _messages(turn.prompt, texts)
            for i, turn in enumerate(talk)
            if turn.prompt and tuple(turn.prompt) != tuple(sent[i])
        },
        "reference": None,
        "scores": _shown_scores(task, record),
        "error": None if outcome.error is None else texts.one(outcome.error),
        "data": None if data is None else texts.one(data),
    }


def _shown_scores(task: _Task, record: Record) -> Json:
    """Place of the metric (its name where the manifest does not know it), part, figure."""
    places = {m.name: i for i, m in enumerate(task.metrics)}
    found: list[Json] = []
    for score in record.outcome.scores:
        place = places.get(score.metric)
        if place is None:
            found.append(
                [
                    draw.visible(score.metric),
                    draw.visible(score.part),
                    draw.significant(score.value, 4),
                ]
            )
        else:
            metric = task.metrics[place]
            shown = draw.figure(score.value * metric.scale, metric.unit)
            found.append([place, draw.visible(score.part), shown])
    return found


def _judgment(task: _Task, judgment: Judgment, turns: int, texts: _Texts) -> Json:
    rating = task.primary is not None and task.primary.unit == "points"

    def shown(value: float | None) -> str:
        return draw.figure(value, "points") if rating else draw.share(value)

    return {
        "judge": draw.visible(judgment.judge),
        "protocol": draw.visible(judgment.protocol),
        "status": judgment.status,
        "turn": _at_turn(judgment.part, turns),
        "part": draw.visible(judgment.part),
        "value": shown(judgment.value),
        "is_rating": rating,
        "votes": [shown(vote) for vote in judgment.votes],
        "exchanges": [
            [
                _messages(exchange.prompt, texts),
                texts.one(exchange.reply),
                *([texts.one(exchange.thought)] if exchange.thought else []),
            ]
            for exchange in judgment.exchanges
        ],
        "error": None if judgment.error is None else texts.one(judgment.error),
    }
