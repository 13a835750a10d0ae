"""What readers share: which models and companions are meant, answers, several models together."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from evalkit import data
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.figures import Finding, Measured, Method
from evalkit.core.files import read_file, unpacked
from evalkit.core.requests import Completion, Json
from evalkit.core.samples import Record, Sample
from evalkit.core.specs import Name
from evalkit.errors import DataError, did_you_mean

__all__ = [
    "EDITIONS",
    "Answers",
    "Row",
    "cross_findings",
    "expanded",
    "few",
    "kind_of",
    "last_part",
    "mapping",
    "named_rows",
    "no_files",
    "normal_interval",
    "not_read",
    "pairs_of",
    "pick_models",
    "read_answers",
    "reader",
    "remark",
    "require_name",
    "sorted_out",
]

Row: TypeAlias = Mapping[str, Json]
EDITIONS = {"text_davinci_003": "1", "gpt4_1106_preview": "2", "gpt4_turbo": "2"}
"""AlpacaEval's version by the name of its reference model."""
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_ENOUGH = 5
"""Fewer equal judgments than this say nothing."""
_UNKNOWN = frozenset({"", "None", "unknown"})


def reader(kind: str) -> Callable[[Sequence[Path], ImportOptions], list[Evidence]]:
    """The reader of a format of this room, one of KINDS."""
    read: Callable[[Sequence[Path], ImportOptions], list[Evidence]]
    read = importlib.import_module(f"evalkit.formats.{kind}").read
    return read


# --- what a file is -----------------------------------------------------------------------------

_FIELDS = {
    "every_eval_ever": {"evaluation_results"},
    "lm_eval": {"results"},
    "alpaca_eval": {"instruction", "output_1", "output_2"},
    "mt_bench": {"question_id", "judgment"},
    "ifeval": {"follow_all_instructions", "prompt"},
    "inspect": {"eval", "status"},
}
"""What the JSON, or its first row, of each kind of file has."""


def kind_of(path: Path) -> str:
    """The format of a file of results, or of a folder of lm-eval's; one of KINDS.

    Raises DataError: there is no such file, or it is none of these.
    """
    if path.is_dir():
        return "lm_eval"
    if not path.exists():
        raise DataError(f"{str(path)!r} does not exist; expected a run, a result file, or a suite")
    if path.name.startswith("samples_"):
        return "lm_eval"
    if path.suffix == ".eval":
        return "inspect"
    found = _first(path)
    fields = set(found) if isinstance(found, Mapping) else set()
    for kind, wanted in _FIELDS.items():
        if wanted <= fields:
            return kind
    raise DataError(
        f"{str(path)!r} is no evidence that can be read; expected a run's folder, lm-eval's "
        f"results, alpaca_eval's annotations, FastChat's judgments, IFEval's verdicts, a log of "
        f"Inspect, a record of Every Eval Ever, or a suite (.yaml)"
    )


def _first(path: Path) -> Json:
    """A JSON file's object or first row, or the first line of JSONL; gzipped or not."""
    try:
        text = unpacked(read_file(path), path).decode("utf-8-sig")
        if path.name.removesuffix(".gz").endswith(".jsonl"):
            text = next((line for line in text.split("\n") if line.strip()), "{}")
        found = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{str(path)!r} cannot be read as JSON ({type(error).__name__}: {error}); name a file "
            f"that evalkit, lm-eval, alpaca_eval, FastChat or Every Eval Ever wrote"
        ) from error
    return found[0] if isinstance(found, list) and found else found


# --- which models -------------------------------------------------------------------------------


def pick_models(stored: Sequence[str], wanted: Sequence[str]) -> list[tuple[int, str]]:
    """(index into `stored`, name to give it) of the models that are meant.

    Without `wanted` all, as they are called; names of the files pick, in the order wanted, and
    NEW=OLD renames one of them; else as many names as there are models rename them in order.  Of
    names with a slash, a repository's or a path, the last part is taken.

    Raises:
        DataError: neither, or a name that cannot be a model's.
    """
    picked = [(index, last_part(name)) for index, name in _picked(list(stored), wanted)]
    for index, name in picked:
        require_name(name)
        same = next((i for i, other in picked if other == name and i != index), None)
        if same is not None:
            raise DataError(
                f"{stored[index]!r} and {stored[same]!r} would both be called {name!r}; give each "
                f"a name of its own with --model NEW=OLD"
            )
    return picked


def last_part(name: str) -> str:
    """`model` of `org/model` and `/folder/model/`."""
    return name.rstrip("/").rsplit("/", 1)[-1]


def require_name(name: str) -> None:
    """Raises DataError where a suite could not call a model `name`."""
    if not name:
        raise DataError("the evidence does not say which model it is of; name it with --model NAME")
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise DataError(
            f"a model cannot be called {name!r}: expected up to 120 characters without : / \\ and "
            f"comma, and no space or dot in front; give another name with --model NAME"
        ) from error


def _picked(stored: list[str], wanted: Sequence[str]) -> list[tuple[int, str]]:
    twice = next((name for name in wanted if list(wanted).count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"--model {twice!r} is given twice: two models under one name would be mixed; give "
            f"each a name of its own"
        )
    if not wanted:
        repeated = {name for name in stored if stored.count(name) > 1}
        if repeated:
            raise DataError(
                f"several files hold a model called {sorted(repeated)[0]!r}; give each a name of "
                f"its own with --model, in the order of the files"
            )
        return list(enumerate(stored))
    found = [_meant(name, stored) for name in wanted]
    if all(stored.count(old) == 1 for _, old in found):
        return [(stored.index(old), new) for new, old in found]
    if len(wanted) == len(stored):
        return list(enumerate(wanted))
    unknown = next((name for name in wanted if name not in stored), wanted[0])
    raise DataError(
        f"no model {unknown!r} in the evidence, which has {', '.join(map(repr, stored))}"
        f"{did_you_mean(unknown, stored)}  Pick by these names, or rename all by giving as many "
        f"names as there are models ({len(stored)}), or one with NEW=OLD"
    )


def _meant(wanted: str, stored: list[str]) -> tuple[str, str]:
    """New and old name of NEW=OLD where OLD is a model of the files, else twice the whole text."""
    places = [place for place, character in enumerate(wanted) if character == "="]
    split = [(wanted[:place], wanted[place + 1 :]) for place in places]
    whole = (wanted, wanted)
    return whole if wanted in stored else next((s for s in split if s[1] in stored), whole)


def pairs_of(
    stored: Sequence[str], named: Sequence[Path], beside: Sequence[Path], name_field: str
) -> list[data.Dataset | None]:
    """The companion file of each model: the one that names it, else by position if as many.

    Args:
        stored: the models' names in their files.
        named: companions that the user named.
        beside: those of a folder, which count where they name one of the models.
        name_field: of a companion's records.

    Raises:
        DataError: a named companion belongs to none of the models.
    """
    left = [data.read_jsonl(path) for path in named]
    for companion in map(data.read_jsonl, beside):
        if any(str(row.get(name_field)) in stored for row in companion.records[:1]):
            left.append(companion)
    found: list[data.Dataset | None] = [None] * len(stored)
    for index, name in enumerate(stored):
        for companion in left:
            if any(str(row.get(name_field)) == name for row in companion.records[:1]):
                found[index] = companion
                left.remove(companion)
                break
    open_places = [i for i, one in enumerate(found) if one is None]
    if left and len(left) != len(open_places):
        raise DataError(
            f"{left[0].path}: holds answers of none of {', '.join(map(repr, stored))}; "
            f"give one file for each model, in their order"
        )
    for index, companion in zip(open_places, left, strict=False):
        found[index] = companion
    return found


# --- files ----------------------------------------------------------------------------------------


def expanded(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Each file, and whether it was named itself; a folder stands for all files in it."""
    for path in paths:
        if path.is_dir():
            yield from ((file, False) for file in sorted(path.rglob("*")) if file.is_file())
        else:
            yield path, True


def sorted_out(
    paths: Sequence[Path], kinds: Mapping[str, frozenset[str]]
) -> tuple[dict[str, list[Path]], list[Path]]:
    """Files by kind, and those of none.

    Files that were named are of the first kind; those of a folder go by the fields of their first
    record.
    """
    found: dict[str, list[Path]] = {kind: [] for kind in kinds}
    others: list[Path] = []
    for path, named in expanded(paths):
        kind: str | None = next(iter(kinds)) if named else None
        if not named and re.search(r"\.jsonl?(\.gz)?$", path.name):
            with contextlib.suppress(DataError):
                first = next(iter(data.read_jsonl(path).records), {})
                kind = next((k for k, fields in kinds.items() if fields <= first.keys()), None)
        (others if kind is None else found[kind]).append(path)
    return found, others


def not_read(files: Sequence[Path], why: str) -> Finding:
    """The remark on files of a folder that were left out."""
    return remark("not_read", f"not read, {why}: {few([path.name for path in files], 5)}")


def no_files(paths: Sequence[Path], others: Sequence[Path], of: str) -> DataError:
    """The error of paths that hold nothing of this format."""
    seen = f"; found {few([path.name for path in others], 5)}" if others else ""
    return DataError(f"{', '.join(map(str, paths))}: no {of} there{seen}")


# --- words and numbers --------------------------------------------------------------------------


def few(values: Sequence[object], n: int = 3) -> str:
    """The first few, in words."""
    shown = ", ".join(str(v) for v in values[:n])
    return shown if len(values) <= n else f"{shown} and {len(values) - n} more"


def named_rows(n: int) -> str:
    """`1 row`, `2 rows`."""
    return "1 row" if n == 1 else f"{n} rows"


def mapping(value: Json) -> Mapping[str, Json]:
    """A JSON object; of anything else an empty one."""
    return value if isinstance(value, Mapping) else {}


def remark(code: str, message: str) -> Finding:
    """Something worth knowing that does not damage the figures."""
    return Finding(code, message, damaged=False)


def normal_interval(
    point: float | None, error: float | None, *, n: int, level: float, method: Method
) -> Measured:
    """A number that someone states, with a normal interval where its standard error is known.

    `n`: scores in it; 0 where that is not known.
    """
    low = high = None
    if point is not None and error is not None:
        half = NormalDist().inv_cdf((1 + level) / 2) * error
        low, high = point - half, point + half
    return Measured(point, error, low, high, level, n, n, 0, method)


# --- recorded answers ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Answers:
    """The recorded answers of one model to one benchmark."""

    by_key: Mapping[str, tuple[Completion, ...]]
    key: Callable[[Sample], str]
    """Which recorded answers belong to a sample."""
    sha256: str
    """Of the file."""

    def of(self, sample: Sample) -> tuple[Completion, ...]:
        """In the order of their requests; empty where nothing is recorded."""
        return self.by_key.get(self.key(sample), ())


def read_answers(path: Path) -> Answers:
    """Read one file of answers: what a model said, as other tools write it down, by sample.

    Formats, recognised by their fields:

        alpaca_eval outputs      {"instruction": "...", "output": "...", "generator": "..."}
        alpaca_eval annotations  {"instruction": "...", "output_2": "...", "generator_2": "..."}
        FastChat model answers   {"question_id": 81, "choices": [{"turns": ["...", "..."]}]}
        IFEval responses         {"prompt": "...", "response": "..."}

    An answer of FastChat's is found by question_id, the others by their prompt.

    Raises:
        DataError: unreadable, of none of the formats, or two different answers to one question.
    """
    dataset = data.read_jsonl(path)
    if not dataset.records:
        raise DataError(f"{path}: no answers in it; expected one record per answered question")
    find, read, key = _format(path, dataset.records[0])
    found: dict[str, tuple[Completion, ...]] = {}
    for place, row in zip(dataset.places, dataset.records, strict=True):
        try:
            name, answers = find(row), _completions(read(row))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(
                f"{place}: not like the file's first record ({type(error).__name__}: {error}); "
                f"this record has {', '.join(map(str, row))}: correct or remove it"
            ) from error
        if found.setdefault(name, answers) != answers:
            raise DataError(
                f"{place}: a second, different answer to {name[:60]!r}; keep the one to be judged"
            )
    return Answers(found, key, dataset.sha256)


def _completions(texts: Sequence[Json]) -> tuple[Completion, ...]:
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("an answer is not a text")
    return tuple(Completion(text=text) for text in texts)


_Format: TypeAlias = tuple[
    Callable[[Row], str], Callable[[Row], Sequence[Json]], Callable[[Sample], str]
]
"""Of a row what it answers and the answers; and what of a sample names them."""


def _format(path: Path, row: Row) -> _Format:
    field = next((name for name in ("output", "output_2") if name in row), None)
    if "instruction" in row and field is not None:
        return (lambda r: str(r["instruction"])), (lambda r: [r[field]]), (lambda s: s.turns[0])
    if "question_id" in row and "choices" in row:
        return (
            (lambda r: str(r["question_id"])),
            (lambda r: list(r["choices"][0]["turns"])),
            (lambda s: s.id),
        )
    if "prompt" in row and "response" in row:
        return (lambda r: str(r["prompt"])), (lambda r: [r["response"]]), (lambda s: s.turns[0])
    raise DataError(
        f"{path}: its records have {', '.join(map(str, row))}; expected alpaca_eval outputs "
        f"(instruction, output), FastChat answers (question_id, choices) or IFEval responses "
        f"(prompt, response)"
    )


# --- several models side by side ----------------------------------------------------------------


def cross_findings(found: Sequence[Evidence]) -> dict[str, list[Finding]]:
    """Findings by model, for evidence of one benchmark entry.

    The same answers with the same judgments under two names are one model's results twice, or a
    file under a wrong name: a comparison of the two would be of a model with itself.  Win rates
    against two references, or by two judges, are on two scales.
    """
    seen: dict[tuple[str, tuple[Hashable, ...]], str] = {}
    findings: dict[str, list[Finding]] = {}
    for evidence in found:
        judged = tuple(_judged(record) for record in evidence.records if record.outcome.judgments)
        if len(judged) < _ENOUGH:
            continue
        first = seen.setdefault((evidence.entry, judged), evidence.model)
        if first != evidence.model:
            for model, other in ((first, evidence.model), (evidence.model, first)):
                findings.setdefault(model, []).append(_identical(model, other, len(judged)))
    for evidence in found:
        first_of = next(e for e in found if e.entry == evidence.entry)
        for finding in _other_scale(evidence, first_of):
            findings.setdefault(evidence.model, []).append(finding)
    return findings


def _other_scale(evidence: Evidence, first: Evidence) -> Iterator[Finding]:
    for what, said in (("judged against", _reference), ("judged by", _judge)):
        mine, theirs = said(evidence), said(first)
        if _UNKNOWN & {mine, theirs}:
            continue
        if EDITIONS.get(mine, mine) != EDITIONS.get(theirs, theirs):
            yield Finding(
                "other_scale",
                f"{evidence.model} was {what} {mine}, {first.model} {what} {theirs}: a difference "
                f"of the two says nothing",
            )


def _reference(evidence: Evidence) -> str:
    return str(evidence.description.reference or "")


def _judge(evidence: Evidence) -> str:
    return evidence.description.judging.who


def _judged(record: Record) -> Hashable:
    outcome = record.outcome
    votes = tuple((j.part, j.value, tuple(e.reply for e in j.exchanges)) for j in outcome.judgments)
    return (record.sample, outcome.answers, votes)


def _identical(model: str, other: str, n: int) -> Finding:
    return Finding(
        "identical_judgments",
        f"all {n} answers and judgments of {model} are, letter for letter, those of {other}: "
        f"one of the two names is wrong, and a comparison of the two says nothing",
    )
