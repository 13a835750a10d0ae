"""Every exception evalkit raises, its exit code, and how messages suggest what was meant.

    EvalkitError                 4
    ├── SuiteError               2  the suite file, or an option that overrides it, is wrong
    ├── ModelError               2  a model, adapter or chat template cannot be used as requested
    │   └── MergeError           2  an adapter does not belong to its base, or has no effect
    ├── DataError                2  a data file is missing, unreadable or not what was pinned
    ├── EngineError              4  an engine cannot start, or died
    ├── BenchmarkError           4  a benchmark cannot turn completions into scores
    ├── JudgeError               3  a judge cannot be used at all
    ├── StoreError               4  a run or the cache cannot be read or written
    ├── ComparisonError          2  two scores may not be compared
    ├── CardError                2  a model card cannot be written, read or updated
    ├── ExportError              2  a run cannot be exported to this format
    └── RequestFailed            -  one request was not answered; thrown into its own flow

Exit codes: 0 done; 1 a negative verdict; 2 your input; 3 incomplete or inconclusive;
4 environment or internal error; 130 interrupted.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

__all__ = [
    "BenchmarkError",
    "CardError",
    "ComparisonError",
    "DataError",
    "EngineError",
    "EvalkitError",
    "ExportError",
    "FailureStatus",
    "JudgeError",
    "MergeError",
    "ModelError",
    "Problem",
    "RequestFailed",
    "StoreError",
    "SuiteError",
    "did_you_mean",
    "did_you_mean_beside",
]

FailureStatus = Literal[
    "engine_error",
    "transport_error",
    "unparsable",
    "refused",
    "over_long",
    "unfinished",
    "excluded",
]


class EvalkitError(Exception):
    """The base of all errors evalkit raises; its message is shown to the user unchanged."""

    exit_code: ClassVar[int] = 4


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a suite file."""

    where: str
    """`file:line: field.path`, as an editor understands it."""
    message: str
    """Quotes the value, says what was expected and the nearest valid name."""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class SuiteError(EvalkitError):
    """The suite is wrong; holds every problem of the file at once."""

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems = (
            (Problem("suite", problems),) if isinstance(problems, str) else tuple(problems)
        )
        lines = [problems] if isinstance(problems, str) else [str(p) for p in self.problems]
        super().__init__("\n".join(lines))


class ModelError(EvalkitError):
    """A model, adapter or chat template cannot be used as requested."""

    exit_code: ClassVar[int] = 2


class MergeError(ModelError):
    """An adapter does not belong to its base, or merging it could not be proved."""


class DataError(EvalkitError):
    """A data file is missing, unreadable or not what was pinned."""

    exit_code: ClassVar[int] = 2


class EngineError(EvalkitError):
    """An engine cannot start, or died while answering."""


class BenchmarkError(EvalkitError):
    """A benchmark cannot turn completions into scores."""


class JudgeError(EvalkitError):
    """A judge cannot be used at all."""

    exit_code: ClassVar[int] = 3


class StoreError(EvalkitError):
    """A run folder or the cache cannot be read or written."""


class ComparisonError(EvalkitError):
    """Two scores may not be compared; names every setting that differs."""

    exit_code: ClassVar[int] = 2


class CardError(EvalkitError):
    """A model card cannot be written, read or updated correctly."""

    exit_code: ClassVar[int] = 2


class ExportError(EvalkitError):
    """A run cannot be exported to this format: nothing to write, or it must not be published."""

    exit_code: ClassVar[int] = 2


class RequestFailed(EvalkitError):
    """One request was not answered.  Thrown into the flow that sent it; never ends a run.

    The status says whether the same request would fail again.  `engine_error` and
    `transport_error` may pass, so their samples are incomplete and sent again.  A failure that
    would repeat has the status that names it (`refused`, `over_long`, `unfinished`, ...) or, where
    none does (a template or a server that refuses the request), `excluded`: it is counted with its
    reason, and not sent again.
    """

    def __init__(self, status: FailureStatus, message: str, *, input_error: bool = False) -> None:
        """`input_error`: the user has to correct a key or a model's name first.

        With status `engine_error`, since the request is then sent again; the run's exit code is 2.
        """
        super().__init__(message)
        self.status: FailureStatus = status
        self.input_error = input_error
        self.replies: Sequence[Any] = ()
        """Replies to the whole batch it was part of, in its order, where `drive` threw it: a flow
        that sent several flows' requests together gives each its own."""

    @property
    def final(self) -> bool:
        """Whether the same request would fail the same way, so that it is not sent again."""
        return self.status not in ("engine_error", "transport_error")


def did_you_mean(wrong: str, choices: Collection[str], most: int = 1, cutoff: float = 0.6) -> str:
    """`; did you mean 'a' or 'b'?` with the nearest choices in any case; empty where none is.

    `most`: so many at the most; `cutoff`: least similarity of a choice, 0 to 1, as difflib's.
    """
    by_fold = {choice.casefold(): choice for choice in reversed(list(choices))}
    near = difflib.get_close_matches(wrong.casefold(), by_fold, most, cutoff)
    named = (repr(by_fold[folded]) for folded in near)
    return f"; did you mean {' or '.join(named)}?" if near else ""


def did_you_mean_beside(missing: Path) -> str:
    """The same for a file or folder that is not there, of the names beside it; no hidden ones."""
    try:
        names = sorted(p.name for p in missing.parent.iterdir() if not p.name.startswith("."))
    except (OSError, ValueError):
        return ""
    return did_you_mean(missing.name, names, cutoff=0.5)
