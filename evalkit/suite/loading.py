"""From a file or a mapping to a Suite, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import Problem, SuiteError
from evalkit.specs import Suite
from evalkit.suite import crosschecks, files, overrides, reading, validation

__all__ = ["CheckResult", "check", "check_mapping", "checked", "load", "load_mapping"]


@dataclass(frozen=True)
class CheckResult:
    """A suite that would run, and what is unwise about it."""

    suite: Suite
    warnings: tuple[Problem, ...]


def check(path: Path, changes: Sequence[str], resolve: validation.Resolver) -> CheckResult:
    """Read and check a suite file.

    Args:
        path: the YAML file.
        changes: `a.b=c` overrides, in order; values are typed as in YAML.
        resolve: knows the types of engines, benchmarks and judges (`evalkit.extensions`).

    Raises:
        SuiteError: with every problem at once.
    """
    return checked(reading.read(path), changes, resolve, path.parent)


def check_mapping(
    mapping: Mapping[str, Any], origin: str, changes: Sequence[str], resolve: validation.Resolver
) -> CheckResult:
    """As `check`, for values from elsewhere; `origin` stands for the file in messages."""
    return checked(reading.from_mapping(mapping, origin), changes, resolve, Path())


def load(path: Path, changes: Sequence[str], resolve: validation.Resolver) -> Suite:
    """The suite of `check`, without its warnings.  Raises SuiteError."""
    return check(path, changes, resolve).suite


def load_mapping(
    mapping: Mapping[str, Any], origin: str, changes: Sequence[str], resolve: validation.Resolver
) -> Suite:
    """The suite of `check_mapping`, without its warnings.  Raises SuiteError."""
    return check_mapping(mapping, origin, changes, resolve).suite


def checked(
    source: reading.Source, changes: Sequence[str], resolve: validation.Resolver, root: Path
) -> CheckResult:
    """As `check`, for what has been read; relative paths start at `root`."""
    types = validation.Types(resolve)
    overrides.apply(source, changes)
    parts = validation.validate(source, types)
    crosschecks.name_entries(parts)
    crosschecks.check(source, parts, types)
    if source.problems:
        raise SuiteError(source.problems)
    files.check(source, parts, types, root)
    if source.problems:
        raise SuiteError(source.problems)
    suite = validation.assemble(source, parts)
    return CheckResult(suite, crosschecks.warnings(source, parts, types, root))
