"""People's votes on a run's answers, from three kinds of file.

- .json: what the report's voting page exports, {"kind": "evalkit votes", ...} (`VoteFile`);
- .csv: a row a vote, with sample, first, second, choice, and where there are such columns
  benchmark, task, part, voter, time; choice is first, second, tie, skip, or the better one's name;
- .json, .jsonl: alpaca_eval's cross-annotations, with instruction, output_1, output_2, preference
  (1, 2; 0 or 1.5 for a draw; null for none), annotator or annotator_index.

Annotations name no sample: a row is about the pair of answers whose texts it has.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from evalkit import data
from evalkit.comparison.pairs import Pair
from evalkit.core.files import read_file
from evalkit.core.requests import Json
from evalkit.core.run import Run
from evalkit.core.votes import Vote, VoteFile
from evalkit.errors import DataError

__all__ = ["read_votes"]

_COLUMNS = ("sample", "first", "second", "choice")
_OPTIONAL = ("benchmark", "task", "part", "voter", "time")
_CHOICES = {1.0: "first", 2.0: "second", 0.0: "tie", 1.5: "tie"}


def read_votes(path: Path, run: Run, pairs: Sequence[Pair]) -> list[Vote]:
    """The votes of a file; those of an unknown pair of answers are left in for the caller to count.

    Args:
        path: The file.
        run: The run voted on.
        pairs: Its pairs of answers.

    Raises:
        DataError: it is no such file, is of another run, or a row has no meaning.
    """
    if path.suffix == ".csv":
        return list(_table(path, pairs))
    try:
        found = json.loads(read_file(path)) if path.suffix == ".json" else None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error
    if isinstance(found, dict):
        return list(_page(path, found, run))
    return list(_annotations(data.read_jsonl(path), pairs))


def _page(path: Path, found: Mapping[str, Json], run: Run) -> Sequence[Vote]:
    try:
        made = TypeAdapter(VoteFile).validate_json(json.dumps(found), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{path}: {place}: {first['msg']}; expected the file that the voting page of a report "
            f"exports, a .csv of votes, or alpaca_eval's annotations"
        ) from error
    if made.run_id != run.manifest.run_id:
        raise DataError(
            f"{path}: these votes are on answers of run {made.run_id!r}, and {run.folder} is run "
            f"{run.manifest.run_id!r}; name the run whose report was voted in"
        )
    return made.votes


def _table(path: Path, pairs: Sequence[Pair]) -> Iterator[Vote]:
    try:
        rows = list(csv.DictReader(io.StringIO(read_file(path).decode("utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error})") from error
    places = {(p.record.benchmark, p.record.task) for p in pairs}
    for line, row in enumerate(rows, 2):
        lacking = [name for name in _COLUMNS if not row.get(name)]
        if lacking:
            raise DataError(
                f"{path}:{line}: no {lacking[0]}; expected columns {', '.join(_COLUMNS)}, and as "
                f"needed {', '.join(_OPTIONAL)}"
            )
        given = {name: row[name] for name in (*_COLUMNS, *_OPTIONAL) if row.get(name)}
        of = [p for p in places if given.get("benchmark", p[0]) == p[0]]
        if "task" not in given and len(of) != 1:
            known = ", ".join(sorted("/".join(place) for place in places)) or "none"
            raise DataError(
                f"{path}:{line}: which benchmark and task is it about?  Add columns benchmark and "
                f"task; the run has answers to vote on of {known}"
            )
        (benchmark, task), *_ = of or [("", "")]
        choice = given["choice"]
        if choice in (given["first"], given["second"]):
            choice = "first" if choice == given["first"] else "second"
        said = {"benchmark": benchmark, "task": task, "voter": f"{path.name}:{line}", **given}
        yield _vote(said | {"choice": choice}, f"{path}:{line}")


def _annotations(found: data.Dataset, pairs: Sequence[Pair]) -> Iterator[Vote]:
    data.require(found, {"instruction": str, "output_1": str, "output_2": str})
    by_texts: dict[tuple[str, str, str], Vote] = {}
    for pair in pairs:
        r = pair.record
        names, texts = (r.model, pair.other), (pair.answer, pair.other_answer)
        for (a, b), (first, second) in ((texts, names), (texts[::-1], names[::-1])):
            vote = Vote(r.benchmark, r.task, r.sample, first, second, "skip", part=pair.part)
            by_texts[pair.question.strip(), a, b] = vote
    unknown = Vote("", "", "", "", "", "skip")
    for place, row in zip(found.places, found.records, strict=True):
        key = (row["instruction"].strip(), row["output_1"], row["output_2"])
        preference = row.get("preference")
        said = {
            **asdict(by_texts.get(key, unknown)),
            "choice": "skip" if preference is None else _CHOICES.get(preference, str(preference)),
            "voter": str(row.get("annotator", row.get("annotator_index", place))),
        }
        yield _vote(said, place)


def _vote(said: Mapping[str, Json], place: str) -> Vote:
    try:
        return TypeAdapter(Vote).validate_python(dict(said))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DataError(
            f"{place}: {'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}"
        ) from error
