"""What a card states: each printed figure with its model, measure and place.

    Text ─ stated_in ─▶ Stated of tables, `model-index` and prose

A heading is read word by word (`catalogue.first_term`, the longest names first).  Words that are
not understood stay part of the measure: "MMLU (German)" is the same as "MMLU (German)" and not
MMLU.  What text on an axis is no measurement names a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, cast

from evalkit import catalogue
from evalkit.card.audit.reading import CardCell, CardTable, Row, Text
from evalkit.comparison.model_names import Key, model_key
from evalkit.core.requests import Json
from evalkit.draw import one_line, visible
from evalkit.draw.numbers import Printed, read_number

__all__ = [
    "CardColumn",
    "Grid",
    "Label",
    "Stated",
    "Vocabulary",
    "index_stated",
    "is_own",
    "merged",
    "read_grid",
]


# --- headings -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Label:
    """What a heading says of its numbers."""

    bench: str | None = None
    """Name in the catalogue, or a task of the evidence."""
    metric: str | None = None
    edition: str | None = None
    shots: int | None = None
    category: str | None = None
    average: bool = False
    percent: bool = False
    kind: str = ""
    """What a column holds that is no measurement: `model`, `task`, `size`, ..."""
    rest: tuple[str, ...] = ()
    """Words that are not understood."""

    @property
    def measures(self) -> bool:
        """Whether it says what was measured."""
        return bool(self.bench or self.metric or self.category or self.average)


_KINDS: Mapping[str, str] = {
    "model": "model|models|model name|name|system|llm|llms|checkpoint|variant|method model",
    "task": "task|tasks|benchmark|benchmarks|dataset|datasets|groups|group|evaluation|test|"
    "eval|evals|capability|domain|area|category|categories",
    "metric": "metric|metrics",
    "value": "value|values|result|results",
    "rank": "rank|#|place|position",
    "size": "size|params|parameters|model size|# params|#params|param|# param|num params|"
    "activated params|# activated params|# total params|total params",
    "shots": "n shot|shots|shot|num fewshot|few shot|fewshot|# shots|n shots",
    "error": "stderr|std err|std error|standard error|se|std|ci|95% ci|confidence interval|"
    "interval|±|error",
    "filter": "filter",
    "plain": "version|license|licence|alignment|type|date|link|links|source|context|notes|note|"
    "n|samples|organization|org|comment|released|release|release date|download|size gb|"
    "author|context length|open source|architecture|paper|access|demo",
    "text": "step|steps|epoch|epochs|seed|stage|iteration|iterations|temperature|bits|method|"
    "setting|settings|prompt|template|precision|quantization|quant|trial|run|revision|"
    "training tokens|tokens",
}
_KIND_OF = {tuple(w.split()): kind for kind, names in _KINDS.items() for w in names.split("|")}
_FILLERS = frozenset(
    catalogue.words(
        "% in the on of for by with to and a at using as is than from set open llm leaderboard "
        "higher better best benchmark dataset test validation val eval lm evaluation harness "
        "result results value judge annotator performance task metric percent percentage rate 10 "
        "100 mean out lower shot shots s score scores"
    )
)
"""Words that do not change what was measured."""
_AVERAGE = frozenset({"average", "avg", "mean", "overall", "avg.", "平均", "平均分"})
_SPELLED = {"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "eight": 8}
_SHOTS = re.compile(
    r"(?<![\w.])(\d{1,2}|zero|one|two|three|four|five|eight)[-\u2010-\u2015 ]?shots?\b|"
    r"[(\[](\d{1,2})-s[)\]]|(?<!pass)(?<!maj)@(\d{1,2})(?!\w)",
    re.IGNORECASE,
)
_CITED = re.compile(r"[(\[][^()\[\]]*\bet al\b[^()\[\]]*[)\]]|\[\d+\]")
_PLUS = re.compile(r"[A-Za-z\d]\+(?![\w+])")
"""HumanEval+ is another benchmark than HumanEval."""
_EDITION = re.compile(r"v?([12])(?:\.0)?")


_GROUPS = frozenset(
    catalogue.words(
        "chat academic reasoning knowledge english general alignment tasks benchmarks scores "
        "instruction following language open understanding overall results leaderboard llm"
    )
)
"""Words that only group headings."""


class Vocabulary:
    """The catalogue's names, and the tasks that evidence has."""

    def __init__(self, tasks: Sequence[str] = ()) -> None:
        self._tasks = {catalogue.words(task): task for task in tasks}
        self._known: dict[str, Label] = {}

    def read(self, text: str) -> Label:
        """What a heading says."""
        if text not in self._known:
            self._known[text] = self._read(text)
        return self._known[text]

    def _read(self, text: str) -> Label:
        plain = _CITED.sub(" ", text)
        words = catalogue.words(plain)
        kind = _KIND_OF.get(words, "")
        if kind:
            return Label(kind=kind, rest=words)
        match = _SHOTS.search(plain)
        label = Label(percent="%" in plain)
        if match is not None:
            said = (match[1] or match[2] or match[3]).lower()
            label = replace(label, shots=int(said) if said.isdigit() else _SPELLED[said])
            words = catalogue.words(plain[: match.start()] + " " + plain[match.end() :])
        rest: list[str] = ["plus"] if _PLUS.search(plain) else []
        while words:
            size, label = self._next(words, label, rest)
            words = words[size:]
        fillers = _FILLERS | {"mc"} if label.bench == "truthfulqa" else _FILLERS
        if label.bench in ("mt_bench", "alpaca_eval") and rest[-2:] == ["gpt", "4"]:
            rest = rest[:-2]  # its judge
        return replace(label, rest=tuple(w for w in rest if w not in fillers))

    def _next(self, words: tuple[str, ...], label: Label, rest: list[str]) -> tuple[int, Label]:
        for size in range(min(6, len(words)), 0, -1):
            if words[:size] in self._tasks and label.bench is None:
                return size, replace(label, bench=self._tasks[words[:size]])
        found = catalogue.first_term(words)
        if found is not None:
            known = _with_term(label, found[1])
            rest += words[: found[0]] if known is None else ()
            return found[0], known or label
        edition = _EDITION.fullmatch(words[0])
        if words[0] in _AVERAGE:
            return 1, replace(label, average=True)
        if edition is not None and label.bench == "alpaca_eval" and label.edition is None:
            return 1, replace(label, edition=edition[1])
        if label.bench in (None, "mt_bench") and words[0] in _CATEGORIES and not label.category:
            return 1, replace(label, category=words[0])
        rest.append(words[0])
        return 1, label


def _with_term(label: Label, term: catalogue.Term) -> Label | None:
    """With a name of the catalogue taken in; None where the label has another already."""
    if isinstance(term, catalogue.BenchmarkInfo):
        if term.name == "lm_eval":
            return label
        return replace(label, bench=term.name) if label.bench in (None, term.name) else None
    if term.over_tasks:
        fits = label.bench is None and label.metric is None
        return replace(label, average=True) if fits else None
    return replace(label, metric=term.name) if label.metric in (None, term.name) else None


_CATEGORIES = frozenset(catalogue.BENCHMARKS["mt_bench"].categories)


def merged(ours: Label, theirs: Label) -> Label | None:
    """What two headings say together; None where they name two benchmarks or settings."""
    for name in ("bench", "metric", "edition", "shots", "category"):
        a, b = getattr(ours, name), getattr(theirs, name)
        if a is not None and b is not None and a != b:
            return None
        ours = replace(ours, **{name: a if a is not None else b})
    return replace(
        ours,
        average=ours.average or theirs.average,
        percent=ours.percent or theirs.percent,
        rest=(*ours.rest, *theirs.rest),
    )


# --- figures ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stated:
    """One printed figure, and what its place says of it."""

    place: str
    """`table 2`, `model-index`, `text`."""
    line: int
    model: str
    """As printed; empty: the card's own."""
    key: Key
    """Of the model's name; empty: the card's own."""
    variant: tuple[str, ...]
    """What else its row says: a method, a checkpoint, bits."""
    label: Label
    heading: str
    """As printed."""
    printed: Printed
    text: str
    row: int = 0
    column: int = 0
    bold: bool = False
    own: bool = False
    """Evalkit wrote it."""
    args: Mapping[str, Json] = field(default_factory=dict)
    """Of an entry of the index."""
    repository: str = ""
    """OWNER/NAME on the hub that the model's cell links to."""
    dated: bool = False
    """Of another time or make than the card's model: nothing contradicts it."""

    @property
    def where(self) -> str:
        """Its place in words."""
        return f"{self.place}, line {self.line}" if self.line else self.place

    @property
    def said(self) -> str:
        """Model and heading, as printed."""
        return f"{self.model or 'the own model'}, {self.heading}"


_OWN = frozenset(
    {"ours", "our model", "this model", "this", "our", "this work", "the model", "our work",
     "our method", "proposed", ""}
)  # fmt: skip


def is_own(text: str) -> bool:
    """Whether a cell means the model that the card is of."""
    return " ".join(text.casefold().strip(" *()[]").split()) in _OWN


# --- tables -------------------------------------------------------------------------------------


_Role: TypeAlias = Literal["measure", "named", "value", "skip", "text", "model", "task", "metric",
                           "shots", "filter", "size", "error", "rank", "plain"]  # fmt: skip


@dataclass(frozen=True)
class CardColumn:
    """One column of a table."""

    role: _Role
    """`measure`: numbers below a heading that says what; `named`: numbers below a model's name;
    `value`: numbers whose row says what; `text`: words that may change what was measured."""
    heading: str
    label: Label


@dataclass(frozen=True)
class Grid:
    """A table, understood."""

    table: CardTable
    columns: tuple[CardColumn, ...]
    stated: tuple[Stated, ...]
    context: Label
    why: str = ""
    """Why it was not read, though it has numbers; empty where it was, or has none."""
    by_row: bool = True
    """A row is a model; else a column is."""


_NAMES_MODEL = re.compile(r"\b(?:\d+x)?\d+(?:\.\d+)?b\b|\bbase(?:line)?\b|\bteacher\b|"
                          r"\boriginal\b|\bbefore\b|\bvs\b|\bcheckpoints?\b|\bablations?\b",
                          re.I)  # fmt: skip


def read_grid(table: CardTable, words: Vocabulary, own: Key = ()) -> Grid:
    """Find the figures of a table.

    Args:
        table: Of the card.
        words: Names of benchmarks and metrics.
        own: Key of the card's own model.
    """
    context = _context(table, words)
    heads = [_heading(table, j) for j in range(len(table.rows[0].cells))]
    columns = _columns(table, heads, words)
    numbers = sum(read_number(c.text) is not None for row in table.rows for c in row.cells)
    task_at = next((j for j, c in enumerate(columns) if c.role == "task"), None)
    benches = {c.label.bench for c in columns if c.role == "measure"} - {None}
    if task_at is not None:
        benches |= {words.read(row.cells[task_at].text).bench for row in table.rows} - {None}
    if not benches and context.bench is None and not table.own:
        why = "no benchmark that evalkit knows is named in it" if numbers > 1 else ""
        return Grid(table, columns, (), context, why)
    infos = [catalogue.BENCHMARKS.get(b) for b in benches if b is not None]
    if len(infos) == 1 and infos[0] is not None and infos[0].is_common_word:
        return Grid(table, columns, (), context, "its one benchmark's name is a common word")
    found = tuple(_figures(_Sheet(table, columns, context, own), words))
    why = "" if found or numbers < 2 else "its rows and columns do not say what its numbers are of"
    return Grid(table, columns, found, context, why, by_row=task_at is None)


def _context(table: CardTable, words: Vocabulary) -> Label:
    """The one benchmark, version and number of shots that the nearest text above names."""
    found = Label()
    for text in (*table.before.split("\n"), *reversed(table.headings)):
        labels = [words.read(part) for part in re.split(r"[.,;:()&]|\band\b|\s\+\s", text)]
        benches = {label.bench for label in labels if label.bench}
        shots = {label.shots for label in labels if label.shots is not None}
        if benches and found.bench is None:
            if len(benches) > 1:
                break
            editions = {label.edition for label in labels if label.edition}
            edition = next(iter(editions)) if len(editions) == 1 else None
            found = replace(found, bench=benches.pop(), edition=edition)
        if len(shots) == 1 and found.shots is None:
            found = replace(found, shots=shots.pop())
    return found


_OWN_WORDS = re.compile(
    r" ?\((?:own questions[^)]*|1 to 10|mean, characters)\)|, %$|, lower is better$"
)
"""What evalkit's own headings say besides names and shots."""


def _heading(table: CardTable, column: int) -> str:
    """The heading of a column, of several rows of headings in one; a gap goes on to the left."""
    parts: list[str] = []
    for row in table.head:
        text = row.cells[column].text
        if not text and len(table.head) > 1 and row is table.head[0]:
            text = next((row.cells[j].text for j in range(column, 0, -1) if row.cells[j].text), "")
            below = table.head[1].cells[column].text
            text = text if below and column else ""
        is_group = row is not table.head[-1] and set(catalogue.words(text)) <= _GROUPS
        if text and text not in parts and not is_group:
            parts.append(text)
    found = " ".join(parts)
    return _OWN_WORDS.sub("", found) if table.own else found


def _columns(table: CardTable, heads: Sequence[str], words: Vocabulary) -> tuple[CardColumn, ...]:
    """What each column holds."""
    labels = [words.read(head) for head in heads]
    cells = [[row.cells[j].text for row in table.rows] for j in range(len(heads))]
    filled = [[t for t in column if t.strip("-\u2013\u2014 ")] for column in cells]
    numeric = [
        2 * sum(read_number(t) is not None for t in column) >= len(column) > 0 for column in filled
    ]
    measures = [
        n for n, (label, is_number) in enumerate(zip(labels, numeric, strict=True))
        if label.measures and is_number
    ]  # fmt: skip
    is_long = any(label.kind == "value" for label in labels)
    task_at = _task_column(filled, labels, numeric, words, is_across=bool(measures))
    columns: list[CardColumn] = []
    for j, (head, label) in enumerate(zip(heads, labels, strict=True)):
        role: str = label.kind
        if j == task_at:
            role = "task"
        elif role in ("task", "model") and (numeric[j] or role == "task"):
            role = "plain"
        elif not role and numeric[j]:
            role = "measure" if task_at is None or label.bench else "named"
            role = "value" if task_at is not None and (is_long or label.measures) else role
            role = "measure" if task_at is not None and label.average else role
            role = "skip" if not head else role
        elif not role:
            role = "text" if filled[j] and head else "plain"
        columns.append(CardColumn(cast("_Role", role), head, label))
    if task_at is None and not any(c.role == "model" for c in columns):
        for j, column in enumerate(columns):
            if column.role in ("text", "plain") and filled[j] and not numeric[j]:
                columns[j] = replace(column, role="model")
                break
    return tuple(columns)


def _task_column(
    filled: Sequence[Sequence[str]], labels: Sequence[Label], numeric: Sequence[bool],
    words: Vocabulary, *, is_across: bool,
) -> int | None:  # fmt: skip
    """The column that names what its row was measured on; None: the headings say so."""
    named = {
        j: sum(words.read(text).bench is not None for text in column)
        for j, column in enumerate(filled) if not numeric[j]
    }  # fmt: skip
    best = max(named, key=lambda j: named[j], default=None)
    if best is None:
        return None
    is_headed = labels[best].kind in ("task", "metric")
    if named[best] and (is_headed or not is_across or 2 * named[best] > len(filled[best])):
        return best
    tasks = (j for j, label in enumerate(labels) if label.kind == "task" and filled[j])
    return None if is_across else next(tasks, None)


_SIZED = re.compile(r"\d[bB](?![a-zA-Z])")
_HUB = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/"
    r"(?!datasets/|spaces/|papers?/|docs/|blog/|collections/)(?P<name>[\w.-]+/[\w.-]+)/?$"
)


@dataclass(frozen=True)
class _Sheet:
    table: CardTable
    columns: tuple[CardColumn, ...]
    context: Label
    own: Key


def _figures(sheet: _Sheet, words: Vocabulary) -> Iterator[Stated]:
    above: dict[int, CardCell] = {}
    headings = sheet.table.headings
    near = sheet.table.before.split("\n")[-1]
    named = [word for word in near.split() if _SIZED.search(word)]
    titles = [*headings[1:], *named]
    is_dated = any(_NAMES_MODEL.search(h) and model_key(h) != sheet.own for h in titles)
    for index, row in enumerate(sheet.table.rows):
        cells = list(row.cells)
        for j, column in enumerate(sheet.columns):
            if column.role in ("task", "filter", "shots"):
                if cells[j].text:
                    above[j] = cells[j]
                elif column.role == "task":
                    cells[j] = above.get(j, cells[j])
        yield from _row(sheet, words, Row(row.line, tuple(cells)), index, is_dated)


def _row(
    sheet: _Sheet, words: Vocabulary, row: Row, index: int, is_dated: bool
) -> Iterator[Stated]:
    label = _row_label(sheet, words, row)
    if label is None:
        return
    named = next((c for c, k in zip(row.cells, sheet.columns, strict=True) if k.role == "model"),
                 CardCell())  # fmt: skip
    name = named.text
    linked = next((m["name"] for link in named.links if (m := _HUB.match(link))), "")
    has_models = any(k.role == "model" for k in sheet.columns)
    if has_models and not name:
        return
    variant = tuple(
        c.text for c, k in zip(row.cells, sheet.columns, strict=True) if k.role == "text" and c.text
    )
    for j, (cell, column) in enumerate(zip(row.cells, sheet.columns, strict=True)):
        if column.role not in ("measure", "named", "value") or cell.copy:
            continue
        printed = read_number(cell.text)
        if printed is None:
            continue
        whole = label if column.role != "measure" else merged(label, column.label)
        whole = _in_context(whole, sheet.context)
        if whole is None or not (whole.measures or whole.rest):
            continue
        model = column.heading if column.role == "named" and not has_models else name
        heading = column.heading if column.role == "measure" else _task_of(sheet, row)
        yield Stated(
            place=f"table {sheet.table.number}",
            line=row.line,
            model="" if is_own(model) else model,
            key=() if is_own(model) else model_key(model),
            variant=variant,
            label=whole,
            heading=heading,
            printed=printed,
            text=cell.text,
            row=index,
            column=j,
            bold=cell.bold,
            own=sheet.table.own,
            repository=linked,
            dated=is_dated and not model,
        )


def _task_of(sheet: _Sheet, row: Row) -> str:
    said = [
        c.text for c, k in zip(row.cells, sheet.columns, strict=True)
        if k.role in ("task", "metric") and c.text
    ]  # fmt: skip
    return ", ".join(dict.fromkeys(said)) or "value"


def _row_label(sheet: _Sheet, words: Vocabulary, row: Row) -> Label | None:
    """What a row says of its numbers; None where it says two things."""
    found: Label | None = Label()
    sieve = ""
    for cell, column in zip(row.cells, sheet.columns, strict=True):
        own = Label()
        if column.role in ("task", "metric"):
            own = replace(words.read(cell.text), kind="")
        elif column.role == "shots":
            digits = re.match(r"\d{1,2}(?![\d.])", cell.text)
            own = Label(shots=int(digits[0]) if digits else None)
        elif column.role == "filter" and cell.text not in ("none", ""):
            sieve = cell.text
        if found is not None and found.metric in ("mc1", "mc2") and own.metric == "acc":
            own = replace(own, metric=None)  # lm-eval's tasks of TruthfulQA are its metrics
        found = None if found is None else merged(found, own)
    if found is not None and sieve:
        metric = f"{found.metric},{sieve}"
        known = metric in catalogue.METRICS
        found = replace(found, metric=metric if known else found.metric,
                        rest=found.rest if known else (*found.rest, sieve))  # fmt: skip
    return found


def _in_context(label: Label | None, context: Label) -> Label | None:
    """With the benchmark and shots that the text above names, where the table names none."""
    if label is None:
        return None
    if label.bench is None and context.bench is not None and not label.rest:
        if label.metric or label.category or (label.average and context.bench == "mt_bench"):
            label = replace(
                label, bench=context.bench, edition=label.edition or context.edition,
                average=label.average and context.bench != "mt_bench",
            )  # fmt: skip
    elif label.bench == context.bench and label.edition is None:
        label = replace(label, edition=context.edition)
    if label.bench and label.shots is None:
        label = replace(label, shots=context.shots)
    return label


# --- the index ----------------------------------------------------------------------------------


def index_stated(text: Text, words: Vocabulary) -> Iterator[Stated]:
    """Every figure of the `model-index`."""
    lines = iter(text.index_lines)
    for entry in _mappings(text.front.get("model-index")):
        model = one_line(visible(str(entry.get("name") or "")))
        for result in _mappings(entry.get("results")):
            given = result.get("dataset")
            data = given if isinstance(given, Mapping) else {}
            for metric in _mappings(result.get("metrics")):
                line = next(lines, 0) if "value" in metric else 0
                found = _entry(model, data, metric, words)
                if found is not None:
                    yield replace(found, line=line)


def _entry(
    model: str, data: Mapping[str, Json], metric: Mapping[str, Json], words: Vocabulary
) -> Stated | None:
    value = metric.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = one_line(visible(repr(value) if isinstance(value, float) else str(value)), 60)
    printed = read_number(text)
    if printed is None:
        return None
    name, kind = (str(data.get(key) or "") for key in ("name", "type"))
    label = words.read(name)
    if label.bench is None and words.read(kind.rpartition("/")[2]).bench is not None:
        label = replace(words.read(kind.rpartition("/")[2]), shots=label.shots)
    if label.bench is None:
        known = catalogue.hub_data_set(kind)
        same = [
            b.name for b in catalogue.BENCHMARKS.values() if known and b.data
            and (b.data.type, b.data.config) == (known.id, data.get("config"))
        ]  # fmt: skip
        if len(same) == 1:
            label = Label(bench=same[0], shots=label.shots)
    args = data.get("args")
    shots = args.get("num_few_shot") if isinstance(args, Mapping) else None
    if isinstance(shots, int) and not isinstance(shots, bool):
        label = replace(label, shots=shots)
    said = words.read(str(metric.get("type") or metric.get("name") or ""))
    whole = merged(replace(label, kind=""), replace(said, kind="", shots=None))
    given = metric.get("args")
    about = given if isinstance(given, Mapping) else {}
    return Stated(
        place="model-index",
        line=0,
        model=model,
        key=model_key(model),
        variant=(),
        label=whole or Label(rest=(name, str(metric.get("type")))),
        heading=f"{one_line(visible(name or kind))} {one_line(visible(str(metric.get('type'))))}",
        printed=printed,
        text=text,
        own="evalkit" in about,
        args=about,
    )


def _mappings(value: Json) -> list[Mapping[str, Json]]:
    return [e for e in value if isinstance(e, Mapping)] if isinstance(value, list) else []
