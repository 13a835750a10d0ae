"""A suite as a template: its candidate's weights are put in later, for one checkpoint each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.core import Json
from evalkit.core.specs import LocalJudgeSpec, ModelSpec, Suite
from evalkit.errors import SuiteError
from evalkit.suite import loading, overrides, reading, validation
from evalkit.suite.wording import choices_hint

__all__ = ["Template", "load_template"]


@dataclass(frozen=True)
class Template:
    """A checked suite and which of its models is filled in."""

    suite: Suite
    candidate: str
    """Name of the model in the suite."""
    adapter: bool
    """Its weights are an adapter; its base is the suite's."""

    def filled(self, name: str, weights: str) -> Suite:
        """The suite of one checkpoint: the candidate is called `name` and loaded from `weights`.

        Raises SuiteError where another model of the suite has that name.
        """
        update = {"adapter" if self.adapter else "path": weights}
        models: dict[str, ModelSpec] = {}
        for known, spec in self.suite.models.items():
            if known == self.candidate:
                models[name] = spec.model_copy(update=update)
            elif known == name:
                raise SuiteError(
                    f"models: {known!r} is what the checkpoint would be called; rename that model"
                )
            else:
                models[known] = spec
        return self.suite.model_copy(update={"models": models})


def load_template(
    path: Path,
    changes: Sequence[str],
    resolve: validation.Resolver,
    weights: str,
    candidate: str | None = None,
) -> Template:
    """The suite of a file, as `load` reads it, with the candidate's weights left open.

    What the file gives as the candidate's `path` (or `adapter`, where it has a `base`) need not
    be there.

    Args:
        path: The YAML file.
        changes: `a.b=c` overrides.
        resolve: Knows the types of engines, benchmarks and judges.
        weights: Stands for the weights while the suite is checked: a folder, relative to the
            suite, that exists.
        candidate: Which model; None: the suite's only candidate.

    Raises:
        SuiteError: everything wrong with the suite, or no such candidate, or one that the suite
            needs for more than to be measured.
    """
    source = reading.read(path)
    overrides.apply(source, changes)
    models = source.tree.get("models")
    known = models if isinstance(models, dict) else {}
    name = _candidate(known, candidate, str(path))
    is_adapter = False
    if name is not None:
        is_adapter = _fill(known[name], weights)
    suite = loading.checked(source, (), resolve, path.parent).suite
    assert name is not None, "a suite without a candidate is refused"
    _check_alone(suite, name, path)
    return Template(suite, name, is_adapter)


def _candidate(models: dict[str, Json], wanted: str | None, origin: str) -> str | None:
    """The model to fill in; None where the suite has none, which its check will say."""
    found = [
        name
        for name, spec in models.items()
        if isinstance(spec, dict) and spec.get("role", "candidate") == "candidate"
    ]
    if wanted is not None:
        if wanted not in found:
            raise SuiteError(f"{origin}: no candidate {wanted!r}{choices_hint(wanted, found)}")
        return wanted
    if len(found) > 1:
        raise SuiteError(
            f"{origin}: {len(found)} candidates ({', '.join(found)}); say with --candidate which "
            f"one the checkpoints are of"
        )
    return found[0] if found else None


def _fill(spec: dict[str, Json], weights: str) -> bool:
    """Put `weights` into the model; whether they are an adapter's."""
    is_adapter = spec.get("base") is not None or spec.get("adapter") is not None
    field, revision = ("adapter", "adapter_revision") if is_adapter else ("path", "revision")
    spec[field] = weights
    spec.pop(revision, None)
    return is_adapter


def _check_alone(suite: Suite, name: str, path: Path) -> None:
    """A judge or an opponent that changed with every checkpoint would leave nothing to compare.

    Nor are there recorded answers of a checkpoint that is yet to come.
    """
    if (suite.models[name].engine or suite.engine).type == "recorded":
        raise SuiteError(
            f"{path}: the answers of {name!r} are recorded, which no new checkpoint's are; give it "
            f"an engine that answers"
        )
    judging = [j for j, s in suite.judges.items() if isinstance(s, LocalJudgeSpec)]
    judging = [j for j in judging if getattr(suite.judges[j], "model", None) == name]
    asking = [b.entry for b in suite.benchmarks if name in b.asks]
    if judging or asking:
        what = f"judge {judging[0]!r}" if judging else f"baseline of benchmark {asking[0]!r}"
        raise SuiteError(
            f"{path}: {name!r} is also {what}, which would change with every checkpoint; name a "
            f"model that stays"
        )
