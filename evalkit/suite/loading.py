"""From a file or a mapping to a Suite, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from evalkit.core.specs import BenchmarkSpec, ModelSpec, Suite
from evalkit.errors import Problem, SuiteError
from evalkit.suite import crosschecks, files, overrides, reading, validation

__all__ = ["CheckResult", "Names", "check", "check_mapping", "checked", "load", "load_mapping"]

Names: TypeAlias = Callable[
    [Mapping[str, ModelSpec], Sequence[BenchmarkSpec | None]],
    Iterable[tuple[reading.FieldPath, str]],
]
"""Looks for names that only rooms above this one know (metrics, rows of leaderboards): from the
models that are right by themselves and the benchmarks (None: one that is not) to what is wrong,
each with the path of its field.  `importers.names.unknown_names` is one."""


@dataclass(frozen=True)
class CheckResult:
    """A suite that would run, and what is unwise about it."""

    suite: Suite
    warnings: tuple[Problem, ...]


def check(
    path: Path,
    changes: Sequence[str],
    resolve: validation.Resolver,
    names: Names | None = None,
) -> CheckResult:
    """Read and check a suite file.

    Args:
        path: the YAML file.
        changes: `a.b=c` overrides, in order; values are typed as in YAML.
        resolve: knows the types of engines, benchmarks and judges (`evalkit.plugins`).
        names: knows further names; None: those are left to the run.

    Raises:
        SuiteError: with every problem at once.
    """
    return checked(reading.read(path), changes, resolve, path.parent, names)


def check_mapping(
    mapping: Mapping[str, Any], origin: str, changes: Sequence[str], resolve: validation.Resolver
) -> CheckResult:
    """As `check`, for values from elsewhere; `origin` stands for the file in messages."""
    return checked(reading.from_mapping(mapping, origin), changes, resolve, Path())


def load(
    path: Path,
    changes: Sequence[str],
    resolve: validation.Resolver,
    names: Names | None = None,
) -> Suite:
    """The suite of `check`, without its warnings.  Raises SuiteError."""
    return check(path, changes, resolve, names).suite


def load_mapping(
    mapping: Mapping[str, Any], origin: str, changes: Sequence[str], resolve: validation.Resolver
) -> Suite:
    """The suite of `check_mapping`, without its warnings.  Raises SuiteError."""
    return check_mapping(mapping, origin, changes, resolve).suite


def checked(
    source: reading.Source,
    changes: Sequence[str],
    resolve: validation.Resolver,
    root: Path,
    names: Names | None = None,
) -> CheckResult:
    """As `check`, for what has been read; relative paths start at `root`.  Raises SuiteError."""
    types = validation.Types(resolve)
    overrides.apply(source, changes)
    parts = validation.validate(source, types)
    crosschecks.name_entries(parts)
    crosschecks.check(source, parts, types)
    files.check(source, parts, types, root)
    if names is not None:
        models = {name: m for name, m in parts.models.items() if m is not None}
        for field, message in names(models, parts.benchmarks):
            source.report(field, message)
    if source.problems:
        raise SuiteError(source.problems)
    suite = validation.assemble(source, parts)
    return CheckResult(suite, crosschecks.warnings(source, parts, types, root))
