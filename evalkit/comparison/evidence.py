"""From a published figure to everything it rests on.

    cell ─ resolve ─▶ Found (a figure, or a contest) ─┬─ recompute ─▶ the same, or not
                                                      └─ chain ─▶ samples, judgments, models, runs

A cell is `SUBJECT/BENCHMARK[/TASK][/METRIC][/CATEGORY]`; SUBJECT is `MODEL`, `RUN:MODEL`, or `A-B`
for a difference.  Without METRIC the one that speaks for the task is meant, of a benchmark its
headline.  A chain's parts are plain JSON, so that `--json` is the chain itself; `chain_lines` sets
it out for a terminal.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from evalkit.comparison.cautions import cautions_of
from evalkit.comparison.contests import (
    Options,
    caution_json,
    contest_json,
    contests,
    stored,
)
from evalkit.comparison.recompute import Extra, Recomputed, Recomputing, cell
from evalkit.comparison.resolve import Names, Part, Place, name_in, run_names
from evalkit.comparison.resolve import find as find_side
from evalkit.core import Json, Judgment, Record
from evalkit.core.contests import Caution, Contest
from evalkit.core.figures import Comparison, Estimator, Figure, FigureKey, Measured
from evalkit.core.run import Run, tasks_below
from evalkit.draw import (
    MISSING,
    Cell,
    Column,
    Line,
    Table,
    Tone,
    bounds,
    caution_text,
    count,
    difference,
    figure,
    one_line,
    unit_words,
    visible,
)
from evalkit.errors import DataError
from evalkit.store.codec import encode
from evalkit.store.files import read_file
from evalkit.store.reading import figure_row, row_json

__all__ = [
    "Chain",
    "Found",
    "chain",
    "chain_lines",
    "every",
    "find",
    "recompute",
    "records_behind",
]


# --- the figure ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A figure or a difference, and where it stands."""

    run: Run
    """Of a difference between two runs the candidate's."""
    what: Figure | Contest
    is_stored: bool = True
    """It stands in the run's results.json; else it was computed from records just now."""

    @property
    def models(self) -> tuple[str, ...]:
        """The model, or candidate and baseline."""
        if isinstance(self.what, Figure):
            return (self.what.model,)
        return self.what.comparison.candidate, self.what.comparison.baseline

    @property
    def key(self) -> FigureKey:
        """Of the figure."""
        return self.what.key

    @property
    def row(self) -> Figure | Comparison:
        """As results.json has it."""
        return self.what if isinstance(self.what, Figure) else self.what.comparison

    @property
    def value(self) -> Measured:
        """Unrounded."""
        row = self.row
        return row.value if isinstance(row, Figure) else row.difference

    @property
    def cell(self) -> str:
        """What names this figure and no other of its run."""
        return cell(self.row)

    @property
    def printed(self) -> str:
        """As reports print it."""
        show = figure if isinstance(self.what, Figure) else difference
        return show(self.value.point, self.row.unit)

    @property
    def is_published(self) -> bool:
        """Someone else measured it."""
        return self.value.method.estimator is Estimator.PUBLISHED

    @property
    def is_recorded(self) -> bool:
        """It was read from result files without samples."""
        row = self.row
        return isinstance(row, Figure) and row.source is not None and not self.is_published

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """What speaks against it; nothing is known of what others published."""
        if isinstance(self.what, Contest):
            return self.what.cautions
        if self.is_published:
            return ()
        part = Part(self.run, self.what.model, self.key.benchmark)
        return cautions_of([part], self.what.unit)


def every(run: Run) -> Iterator[Found]:
    """Every figure and difference that stands in a run's results."""
    yield from (Found(run, f) for f in run.figures)
    yield from (Found(run, contest) for contest in stored(run))


def find(runs: Sequence[Run], text: str, options: Options) -> Found:
    """The figure that `text` names.

    Args:
        runs: Where to look.
        text: A cell.
        options: For differences that stand in no run and are computed now.

    Raises:
        DataError: no figure, or several are meant; names choices.
        ComparisonError: unknown names, or a difference of sides whose settings differ.
    """
    if not any(run.figures for run in runs):
        folders = ", ".join(str(run.folder) for run in runs)
        raise DataError(f"{folders}: no figures; a run has some once it is finished")
    subject, place = Names(runs).cell(text)
    known = [found for run in runs for found in _of_subject(run, subject)]
    if len(subject) == 2 and not _meant(known, place):
        known = _computed(runs, subject, options)
    return _one(text, subject, _meant(known, place), known)


def _of_subject(run: Run, subject: Sequence[str]) -> Iterator[Found]:
    """What a run's results say of a model, or of a candidate and a baseline."""
    names = [name_in(run, name) for name in subject]
    if len(names) == 1:
        yield from (Found(run, f) for f in run.figures if f.model == names[0])
    elif any([c.candidate, c.baseline] == names for c in run.comparisons):
        for contest in stored(run):
            if [contest.comparison.candidate, contest.comparison.baseline] == names:
                yield Found(run, contest)


def _computed(runs: Sequence[Run], subject: Sequence[str], options: Options) -> list[Found]:
    candidate, baseline = subject
    parts = find_side(runs, candidate).parts
    return [
        Found(parts[contest.key.benchmark].run, contest, is_stored=False)
        for contest in contests(runs, candidate, [baseline], options)
    ]


def _meant(known: Sequence[Found], place: Place) -> list[Found]:
    """Those that a place means: what speaks for it where that is declared, else all in it."""
    speaking = [f for f in known if f.key in place.keys(f.run.benchmark(place.benchmark))]
    return speaking or [
        f
        for f in known
        if f.key.benchmark == place.benchmark
        if place.task in (None, f.key.task) and place.metric in (None, f.key.metric)
        if place.category == f.key.category
    ]


_CHOICES = 12
"""Cells listed where several are meant."""


def _one(
    text: str, subject: Sequence[str], meant: Sequence[Found], known: Sequence[Found]
) -> Found:
    if len(meant) == 1:
        return meant[0]
    choices = meant or known
    cells = [f.cell for f in choices]
    if len(set(cells)) < len(cells):
        cells = [f"{run_names(f.run)[0]}:{f.cell}" for f in choices]
    more = f" and {len(cells) - _CHOICES} more" if len(cells) > _CHOICES else ""
    listed = zip(cells[:_CHOICES], choices, strict=False)
    lines = "".join(f"\n  {cell}  ({f.printed})" for cell, f in listed)
    if meant:
        raise DataError(f"{text!r} may be any of {len(cells)} figures; name one:{lines}{more}")
    of = " minus ".join(subject)
    raise DataError(f"{text!r}: no such figure; of {of} there are {len(cells)}:{lines}{more}")


def recompute(found: Found, extra: Extra | None = None) -> Recomputed:
    """Compute a figure again.

    `differs` is a verdict against the stored figure: its records say something else.

    Args:
        found: From `find`.
        extra: See `Recomputing`.
    """
    if not found.is_stored:
        why = "it stands in no run: computed just now from the records of both sides"
        return Recomputed("same", found.row, (), why)
    return Recomputing(found.run, extra).of(found.row)


# --- the chain ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """From a figure to what it was made of."""

    found: Found
    recomputed: Recomputed
    parts: Mapping[str, Json]
    """figure, recomputed, published, samples, judgments, models, benchmark, evidence, runs,
    commands; what does not apply is absent."""

    @property
    def contradicted(self) -> bool:
        """Records and results say different things."""
        return self.recomputed.outcome == "differs"


def chain(found: Found, recomputed: Recomputed, runs: Sequence[Run]) -> Chain:
    """The chain of one figure.

    Args:
        found: From `find`.
        recomputed: From `recompute`.
        runs: All that were looked at, where the other side of a difference may be.
    """
    sides = _sides(found, runs)
    here = list({id(run): run for run, _ in sides}.values())
    parts: dict[str, Json] = {
        "figure": _figure_part(found),
        "recomputed": {
            "outcome": recomputed.outcome,
            "why": recomputed.why,
            "differences": list(recomputed.differences),
            "row": None if recomputed.row is None else row_json(recomputed.row),
        },
        "published": _published(found),
    }
    if not found.is_published:
        behind = records_behind(found, runs)
        parts |= {
            "samples": _samples(found, behind),
            "judgments": _judgments(found, behind),
            "models": [_model(run, model, found.key.benchmark) for run, model in sides],
            "benchmark": _benchmark(found),
            "evidence": [
                entry.model_dump(mode="json", exclude_unset=True)
                for run, model in sides
                for entry in run.manifest.evidence
                if (entry.model, entry.entry) == (model, found.key.benchmark)
            ],
        }
    parts["runs"] = [_run(run) for run in here]
    parts["commands"] = _commands(found, here)
    return Chain(found, recomputed, {k: v for k, v in parts.items() if v not in (None, [], {})})


def records_behind(found: Found, runs: Sequence[Run]) -> list[Record]:
    """Records of the figure's tasks and category, of its model or of both sides.

    Those without a score are among them: they are what is missing.
    """
    key, behind = found.key, list[Record]()
    for run, model in _sides(found, runs):
        entry = run.benchmark(key.benchmark)
        average, every = entry.average(key), {r.task for r in run.records_of(model, entry.name)}
        tasks = {key.task} & every or every
        if average is not None:
            tasks = set(tasks_below(average, entry.averages))
        behind += (
            record
            for record in run.records_of(model, key.benchmark)
            if record.task in tasks and key.category in (None, record.category)
        )
    return behind


def _sides(found: Found, runs: Sequence[Run]) -> list[tuple[Run, str]]:
    """(run, name in it) of the model, or of candidate and baseline."""
    if found.is_stored:
        return [(found.run, model) for model in found.models]
    parts = [find_side(runs, model).parts[found.key.benchmark] for model in found.models]
    return [(part.run, part.model) for part in parts]


def _figure_part(found: Found) -> dict[str, Json]:
    value, what = found.value, found.what
    signed = isinstance(what, Contest)
    row = contest_json(what) if isinstance(what, Contest) else figure_row(what)
    return {
        "cell": found.cell,
        "printed": found.printed,
        "printed_interval": bounds(value, found.row.unit, signed=signed),
        "headline": found.key in found.run.headlines,
        **row,
        "cautions": [caution_json(caution) for caution in found.cautions],
    }


def _published(found: Found) -> dict[str, Json] | None:
    row = found.row
    if not isinstance(row, Figure) or row.source is None:
        return None
    spec = found.run.manifest.suite.models.get(row.model)
    stated = [
        f.model_dump(mode="json", exclude_unset=True)
        for f in (spec.figures if spec is not None and found.is_published else ())
        if (f.benchmark, f.metric) == (row.key.benchmark, row.key.metric)
        and f.task in (None, row.key.task)
    ]
    here = "nothing was computed here" if found.is_published else "read from result files"
    return {
        "source": row.source.text,
        "how": here,
        "stated_in_suite": stated[0] if stated else None,
    }


def _samples(found: Found, behind: Sequence[Record]) -> dict[str, Json] | None:
    if not behind or found.is_recorded:
        return None
    metric = found.key.metric
    of_metric = any(s.metric == metric for r in behind for s in r.outcome.scores)
    scored: list[Record] = []
    rest: list[Record] = []
    for record in behind:
        # A score of any metric counts where the figure is no mean of its own.
        names = [s.metric for s in record.outcome.scores if record.outcome.status != "excluded"]
        (scored if (metric in names if of_metric else names) else rest).append(record)
    ids = Counter((r.task, r.sample) for r in scored)
    sides = len(found.models)
    wanted = [place for place, n in ids.items() if n >= sides]
    several = len({task for task, _ in wanted}) > 1
    return {
        "n": len(wanted),
        "ids": [f"{task}/{sample}" if several else sample for task, sample in wanted],
        "without_score": [
            {
                "model": r.model,
                "task": r.task,
                "sample": r.sample,
                "status": r.outcome.status,
                "error": r.outcome.error,
            }
            for r in rest
        ],
        "truncated": sum(r.outcome.truncated for r in behind),
        "first": _first(scored[0], metric) if scored else None,
    }


def _first(record: Record, metric: str) -> dict[str, Json]:
    scores = [s for s in record.outcome.scores if s.metric == metric]
    return {
        "model": record.model,
        "sample": record.sample,
        "conversation": [encode(m) for m in record.outcome.conversation],
        "answers": list(record.outcome.answers),
        "reference": list(record.outcome.reference),
        "scores": [encode(s) for s in scores or record.outcome.scores],
    }


def _judgments(found: Found, behind: Sequence[Record]) -> dict[str, Json] | None:
    every = [(r, j) for r in behind for j in r.outcome.judgments]
    if not every:
        return None
    counts: dict[tuple[str, str], Counter[str]] = {}
    for _, j in every:
        counts.setdefault((j.judge, j.protocol), Counter())[j.status] += 1
    run, benchmark = found.run, found.key.benchmark
    model = name_in(run, found.models[0]) or found.models[0]
    return {
        "by": [
            {"judge": judge, "protocol": protocol, "status": dict(sorted(n.items()))}
            for (judge, protocol), n in counts.items()
        ],
        "described": run.description(model, benchmark).judge
        or run.benchmark(benchmark).description.judge,
        "judges": [
            entry.model_dump(
                mode="json", exclude_unset=True, include={"name", "engine", "protocol", "local"}
            )
            for entry in run.manifest.judges
            if entry.name in {judge for judge, _ in counts}
        ],
        "prompt": _prompt(every),
    }


def _prompt(every: Sequence[tuple[Record, Judgment]]) -> dict[str, Json] | None:
    """The first that is stored, as it was sent, with its hash and the reply."""
    for record, judgment in every:
        for exchange in judgment.exchanges:
            text = "\n\n".join(f"[{m.role}]\n{m.content}" for m in exchange.prompt)
            return {
                "model": record.model,
                "sample": record.sample,
                "part": judgment.part,
                "sha256": _sha256(text.encode("utf-8", "surrogatepass")),
                "text": text,
                "reply": exchange.reply,
                "value": judgment.value,
            }
    return None


def _model(run: Run, model: str, benchmark: str) -> dict[str, Json]:
    entry = run.model(model)
    if entry is None:
        return {"name": model, "role": run.role(model) or "unknown"}
    wanted = {"name", "role", "fingerprint", "template_source", "trust_remote_code"}
    wanted |= {"provenance", "engine"}
    prompts = [p for p in entry.first_prompts if p.benchmark == benchmark]
    return {
        **entry.model_dump(mode="json", exclude_unset=True, include=wanted),
        "first_prompt": prompts[0].model_dump(mode="json") if prompts else None,
    }


def _benchmark(found: Found) -> dict[str, Json] | None:
    run, key = found.run, found.key
    entry = run.benchmark(key.benchmark)
    if entry not in run.manifest.benchmarks:
        return None
    model = name_in(run, found.models[0]) or found.models[0]
    description = dict(run.description(model, key.benchmark).all)
    if isinstance(description.get("tasks"), Mapping):
        description["tasks"] = {key.task: description["tasks"].get(key.task, {})}
    task = entry.tasks.get(key.task)
    return {
        "name": entry.name,
        "description": description,
        "n_samples": entry.n_samples,
        "task": None if task is None else task.model_dump(mode="json"),
    }


def _run(run: Run) -> dict[str, Json]:
    kept = {"run_id", "suite_name", "suite_file", "limit", "publishable", "seed", "git_commit"}
    kept |= {"python", "platform", "versions"}
    names = ("manifest.json", "records.jsonl", "results.json")
    return {
        "folder": str(run.folder),
        **run.manifest.model_dump(mode="json", include=kept),
        "files": {
            name: _sha256(read_file(run.folder / name))
            for name in names
            if (run.folder / name).is_file()
        },
    }


def _commands(found: Found, here: Sequence[Run]) -> dict[str, Json]:
    """What made the runs, and what computes the figure again from them."""
    folders = [shlex.quote(str(run.folder)) for run in here]
    again = [" ".join(["evalkit evidence", *folders, shlex.quote(found.cell)])]
    if isinstance(found.what, Contest):
        ours, theirs = (shlex.quote(model) for model in found.models)
        sides = ["--candidate", ours, "--baseline", theirs]
        again.append(" ".join(["evalkit compare", *folders, *sides]))
    made = [
        (command, where_made(run, command)) for run in here for command in run.manifest.commands
    ]
    return {
        "made_the_run": list(dict.fromkeys(command for command, _ in made)),
        "made_in": list(dict.fromkeys(where for _, where in made if where)),
        "recompute": again,
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- where a command was given ------------------------------------------------------------------

_WITH_VALUE = ("--model", "--out")
"""Options of `import` whose values are no files that are read."""


def where_made(run: Run, command: str) -> str:
    """The folder in which an import's command finds its files; empty where it names none.

    A run does not keep that folder, which is of someone's machine; it follows from where the run
    lies and from the files that are there.  Relative to the present folder.
    """
    words = command.split()
    files: list[str] = []
    out = ""
    option = ""
    for word in words[3:] if words[:2] == ["evalkit", "import"] else ():
        name, equals, value = word.partition("=")
        if word.startswith("--") and not equals:
            option = name
            continue
        given, option = (name, "") if word.startswith("--") else (option, "")
        value = value if word.startswith("--") else word
        if given == "--out":
            out = value
        elif given not in _WITH_VALUE and not value.startswith("-"):
            files.append(value)
    if not files or all(Path(name).is_absolute() for name in files):
        return ""
    folder = run.folder.absolute()
    parts = Path(os.path.normpath(out)).parts if out else ()
    places = [Path.cwd()]
    if not out:
        # reports/SUITE/RUN in the workspace.
        places = [*folder.parents[2:3], *places]
    elif not Path(out).is_absolute() and folder.parts[-len(parts) :] == parts:
        places = [Path(*folder.parts[: -len(parts)]), *places]
    for place in places:
        if all((place / name).exists() for name in files):
            return os.path.relpath(place)
    return "a folder that is not known: file names are relative to it"


# --- for a terminal -----------------------------------------------------------------------------
#
# All of it may be hostile: what is no text is spelled out.

_Line: TypeAlias = tuple[str, str]
"""A name and what is said of it; without a name, the line before goes on."""
_TITLES = {
    "published": "Published",
    "samples": "Samples",
    "judgments": "Judgments",
    "models": "Model {name}",
    "benchmark": "Benchmark",
    "evidence": "Recorded evidence of {model}",
    "runs": "Run {run_id}",
    "commands": "Commands",
}
_LISTED = 8
"""Items of a list that are shown; `--json` and `--samples` have all."""
_LONGEST, _LONGEST_NAME = 300, 40
_NOTHING: tuple[Json, ...] = (None, "", [], {})
_TEXT_LINES = 12
"""Lines of a prompt that are shown."""
_OUTCOMES = {
    "same": "the same",
    "differs": "DIFFERENT",
    "not recomputed": "not recomputed",
    "nothing computed": "nothing was computed",
}


def chain_lines(made: Chain) -> list[Line]:
    """Headings with lines under them, most telling first."""
    sections = [("Figure", list(_figure_lines(made)))]
    for name, title in _TITLES.items():
        found = made.parts.get(name)
        for part in found if isinstance(found, list) else [found] if found else []:
            sections.append((title.format_map(part), list(_lines(part))))
    columns = (Column("Field", header=True), Column("Value"))
    shown: list[Line] = [f"{made.found.printed}  {made.found.cell}"]
    for title, lines in sections:
        rows = [
            (Cell.text(one_line(name, _LONGEST_NAME)), Cell.text(text, tone=_tone(text)))
            for name, text in lines
        ]
        shown += ["", Table.of(title, columns, rows)]
    return shown


def _tone(text: str) -> Tone:
    return "worse" if text.startswith(_OUTCOMES["differs"]) else ""


def _figure_lines(made: Chain) -> Iterator[_Line]:
    found, value, row = made.found, made.found.value, made.found.row
    unit = unit_words(row.unit, of_difference=isinstance(row, Comparison))
    yield "unrounded", MISSING if value.point is None else f"{value.point!r} ({unit})"
    printed = made.parts["figure"]
    yield _fact("printed", f"{printed['printed']}, interval {printed['printed_interval']}")
    if value.low is not None:
        yield "interval", f"{value.low!r} to {value.high!r}, level {value.level!r}"
    yield _fact("method", value.how)
    size = f"{count(value.n)} scores in {count(value.n_units)} units of resampling"
    if isinstance(row, Comparison):
        size += (
            f"; {count(row.wins)} wins, {count(row.ties)} ties, {count(row.losses)} losses; "
            f"missing {count(row.n_missing_candidate)} of the candidate, "
            f"{count(row.n_missing_baseline)} of the baseline"
        )
    elif value.n:
        size += f", {count(value.n_missing)} missing"
    yield "n", size if value.n or isinstance(row, Comparison) else "not stated"
    for caution in found.cautions:
        yield _fact("caution", caution_text(caution))
    again = made.recomputed
    yield _fact("recomputed", f"{_OUTCOMES[again.outcome]}: {again.why}")
    for line in again.differences:
        yield _fact("", line)


def _lines(part: Mapping[str, Json], prefix: str = "") -> Iterator[_Line]:
    """Every field: nested ones as `outer.inner`, lists cut, texts of several lines as they are."""
    for key, value in part.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _lines(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            for item in value[:_LISTED]:
                said = (f"{k} {_plain(v)}" for k, v in item.items() if v not in _NOTHING)
                yield _fact(name, ", ".join(said))
            if len(value) > _LISTED:
                yield name, f"and {count(len(value) - _LISTED)} more"
        elif isinstance(value, list) and value:
            more = f" and {count(len(value) - _LISTED)} more" if len(value) > _LISTED else ""
            yield _fact(name, ", ".join(map(_plain, value[:_LISTED])) + more)
        elif isinstance(value, str) and "\n" in value:
            lines = visible(value).split("\n")
            yield name, ""
            yield from (("", f"| {one_line(line, _LONGEST)}") for line in lines[:_TEXT_LINES])
            if len(lines) > _TEXT_LINES:
                yield "", f"({count(len(lines) - _TEXT_LINES)} more lines: see --json)"
        elif value not in _NOTHING:
            yield _fact(name, _plain(value))
        elif name == "prompt":
            yield name, "not stored: these judgments were recorded without their prompts"


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _fact(name: str, text: str) -> _Line:
    return name, one_line(visible(text), _LONGEST)
