"""Where suites come from: a file, a bundled name, a mapping, a stored run, a template."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from evalkit.core.specs import BenchmarkSpec, LocalJudgeSpec, ModelSpec, Suite
from evalkit.errors import Problem, SuiteError
from evalkit.suite import checks, reading
from evalkit.suite.options import NONE, Options, choose, put
from evalkit.suite.reading import FieldPath, SuiteText, choices_hint
from evalkit.suite.validation import Resolver, Types, validate, without_struck

__all__ = [
    "CheckResult",
    "Names",
    "Template",
    "bundled",
    "check",
    "check_mapping",
    "checked",
    "load",
    "load_mapping",
    "load_stored",
    "load_template",
    "locate",
]

Names: TypeAlias = Callable[
    [Mapping[str, ModelSpec], Sequence[BenchmarkSpec | None]], Iterable[tuple[FieldPath, str]]
]
"""Checks names that only rooms above this one know (metrics, rows of leaderboards): from the valid
models and the benchmarks (None: an invalid one) to the problems, each with the path of its field.
"""


@dataclass(frozen=True)
class CheckResult:
    """A valid suite, with warnings."""

    suite: Suite
    warnings: tuple[Problem, ...]
    where: Callable[[FieldPath], str]
    """Where a field stands, as messages say it."""


def check(
    path: Path,
    changes: Sequence[str],
    resolve: Resolver,
    names: Names | None = None,
    options: Options = NONE,
) -> CheckResult:
    """Read and check a suite file.

    Args:
        path: The YAML file.
        changes: `a.b=c` overrides, in order; values are typed as in YAML.
        resolve: Knows the types of engines, benchmarks and judges (`evalkit.plugins`).
        names: Checks further names; None: left to the run.
        options: Changes that have names of their own.

    Raises:
        SuiteError: with every problem at once.
    """
    source = reading.read(path)
    return checked(source, resolve, path.parent, names, changes, options)


def load(
    path: Path, changes: Sequence[str], resolve: Resolver, names: Names | None = None
) -> Suite:
    """The suite of `check`, without its warnings.  Raises SuiteError."""
    return check(path, changes, resolve, names).suite


def check_mapping(
    mapping: Mapping[str, Any],
    origin: str,
    changes: Sequence[str],
    resolve: Resolver,
    names: Names | None = None,
    options: Options = NONE,
) -> CheckResult:
    """As `check`, for values from elsewhere; `origin` stands for the file in messages."""
    source = reading.from_mapping(mapping, origin)
    return checked(source, resolve, Path(), names, changes, options)


def load_mapping(
    mapping: Mapping[str, Any], origin: str, changes: Sequence[str], resolve: Resolver
) -> Suite:
    """The suite of `check_mapping`, without its warnings.  Raises SuiteError."""
    return check_mapping(mapping, origin, changes, resolve).suite


def load_stored(mapping: Mapping[str, Any], origin: str, resolve: Resolver) -> Suite:
    """The suite of a stored run.  Removed values are accepted; its files may be gone.

    Raises:
        SuiteError: it cannot be read (a module of the suite's author that is not installed).
    """
    source = reading.from_mapping(mapping, origin)
    without_struck(source, stored=True)
    suite = validate(source, Types(resolve)).suite
    if suite is None:
        raise SuiteError(source.problems)
    return suite


def checked(
    source: SuiteText,
    resolve: Resolver,
    root: Path,
    names: Names | None = None,
    changes: Sequence[str] = (),
    options: Options = NONE,
) -> CheckResult:
    """As `check`, for what has been read; relative paths start at `root`.  Raises SuiteError."""
    types = Types(resolve, root)
    added = put(source, options, types)
    reading.apply_overrides(source, changes, root)
    chosen = choose(source, options, types, added)
    reading.refuse_secrets(source)
    without_struck(source, stored=False)
    parts = validate(source, types)
    for path, message in checks.problems(source, parts, types, root):
        source.report(path, message)
    if names is not None:
        models = {name: m for name, m in parts.models.items() if m is not None}
        for path, message in names(models, parts.benchmarks):
            source.report(path, message)
    if source.problems or parts.suite is None:
        raise SuiteError(source.problems)
    found = [Problem(source.where(p), m) for p, m in checks.warnings(parts, types, root)]
    return CheckResult(chosen.of(parts.suite), (*chosen.left_out, *found), source.where)


# Places


def bundled() -> dict[str, Path]:
    """Suites that come with evalkit, by name: in a wheel, or beside a source checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "bundled", package.parent / "suites"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def locate(name_or_path: str) -> Path:
    """A suite's file, given as a path or by the name of a bundled suite.

    Raises:
        SuiteError: neither is there.
    """
    path, known = Path(name_or_path), bundled()
    try:
        is_file, exists = path.is_file(), path.exists()
    except (OSError, ValueError):
        is_file = exists = False
    if not is_file and name_or_path in known:
        return known[name_or_path]
    if exists:
        return path
    hint = choices_hint(name_or_path, list(known))
    raise SuiteError(f"no suite {name_or_path!r}: no such file, nor a bundled suite{hint}")


# Templates


@dataclass(frozen=True)
class Template:
    """A checked suite with the model that each checkpoint replaces."""

    suite: Suite
    candidate: str
    """Name of the model in the suite."""
    adapter: bool
    """Its weights are an adapter; its base is the suite's."""

    def filled(self, name: str, weights: str) -> Suite:
        """The suite of one checkpoint: the candidate is called `name` and loaded from `weights`.

        Raises SuiteError where another model of the suite has that name.
        """
        if name != self.candidate and name in self.suite.models:
            raise SuiteError(f"models: {name!r} is also the checkpoint's name; rename that model")
        models = dict(self.suite.models)
        update = {"adapter" if self.adapter else "path": weights}
        models[self.candidate] = models[self.candidate].model_copy(update=update)
        renamed = {name if known == self.candidate else known: m for known, m in models.items()}
        return self.suite.model_copy(update={"models": renamed})


def load_template(
    path: Path,
    changes: Sequence[str],
    resolve: Resolver,
    weights: str,
    candidate: str | None = None,
) -> Template:
    """The suite of a file, as `load` reads it, with the candidate's weights left open.

    The candidate's own `path` (or `adapter`, where it has a `base`) need not exist.

    Args:
        path: The YAML file.
        changes: `a.b=c` overrides.
        resolve: Knows the types of engines, benchmarks and judges.
        weights: Stands for the weights while the suite is checked: a folder, relative to the
            suite, that exists.
        candidate: Which model; None: the suite's only candidate.

    Raises:
        SuiteError: everything wrong with the suite, no such candidate, or one that is also a judge
            or an opponent.
    """
    source = reading.read(path)
    reading.apply_overrides(source, changes, path.parent)
    models = source.tree.get("models")
    models = models if isinstance(models, dict) else {}
    found = [
        name
        for name, spec in models.items()
        if isinstance(spec, dict) and spec.get("role", "candidate") == "candidate"
    ]
    if candidate is not None and candidate not in found:
        raise SuiteError(f"{path}: no candidate {candidate!r}{choices_hint(candidate, found)}")
    if candidate is None and len(found) > 1:
        raise SuiteError(
            f"{path}: {len(found)} candidates ({', '.join(found)}); name the one that the "
            f"checkpoints replace with --candidate"
        )
    name = candidate or next(iter(found), "")
    spec = models.get(name, {})
    adapter = spec.get("base") is not None or spec.get("adapter") is not None
    spec["adapter" if adapter else "path"] = weights
    spec.pop("adapter_revision" if adapter else "revision", None)
    suite = checked(source, resolve, path.parent).suite  # refused where there is no candidate
    _check_alone(suite, name, path)
    return Template(suite, name, adapter)


def _check_alone(suite: Suite, name: str, path: Path) -> None:
    """Refuse a candidate that is also judge or opponent, or whose answers are recorded.

    With a judge or an opponent that changes, checkpoints could not be compared, and a future
    checkpoint has no recorded answers.
    """
    if (suite.models[name].engine or suite.engine).type == "recorded":
        raise SuiteError(
            f"{path}: the answers of {name!r} are recorded, and a new checkpoint has none; give it "
            f"an engine that answers"
        )
    also = [
        f"judge {judge!r}"
        for judge, spec in suite.judges.items()
        if isinstance(spec, LocalJudgeSpec) and spec.model == name
    ]
    also += [f"baseline of benchmark {b.entry!r}" for b in suite.benchmarks if name in b.opponents]
    if also:
        raise SuiteError(
            f"{path}: {name!r} is also {also[0]}, which would change with every checkpoint; name "
            f"another model there"
        )
