"""What must hold between the sections of a suite; and what is allowed but unwise.

Each check looks only at sections that are right by themselves and reports every breach, so
that one reading of the file finds all there is to mend.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from evalkit.core.specs import BenchmarkSpec, GateSpec, LocalJudgeSpec, ModelSpec
from evalkit.errors import Problem
from evalkit.suite import recorded
from evalkit.suite.reading import FieldPath, Source
from evalkit.suite.validation import Parts, Types
from evalkit.suite.wording import choices_hint

__all__ = ["check", "name_entries", "served_elsewhere", "warnings"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHTS = ("path", "base", "adapter")
_REVISIONS = {"revision": "path", "base_revision": "base", "adapter_revision": "adapter"}


def check(source: Source, parts: Parts, types: Types) -> None:
    """Report every breach as a problem of `source`."""
    for name, model in parts.models.items():
        if model is not None and parts.knows("models", name, "role"):
            for field, message in _model(name, model, parts, types):
                source.report(_at("models", name, field), message)
            for path, message in _figures(model, parts):
                source.report(("models", name, *path), message)
    _candidate(source, parts)
    _judges(source, parts)
    for n, spec in enumerate(parts.benchmarks):
        if spec is not None and parts.knows("benchmarks", n, "judge"):
            _benchmark_judge(source, parts, types, (n, spec))
        if spec is not None and parts.knows("benchmarks", n, "baseline"):
            _opponents(source, parts, (n, spec))
    _unique(source, parts)
    if _all_named(parts):
        recorded.check(source, parts, [s.entry for s in parts.benchmarks if s is not None])
    if parts.gate is not None:
        _gate(source, parts, parts.gate)


def _candidate(source: Source, parts: Parts) -> None:
    roles = [
        m.role if m is not None and parts.knows("models", name, "role") else "candidate"
        for name, m in parts.models.items()
    ]
    if roles and "candidate" not in roles:
        source.report(("models",), "has no model with `role: candidate`; expected one or more")


def _at(section: str, name: str, field: str) -> FieldPath:
    return (section, name, field) if field else (section, name)


def served_elsewhere(name: str, model: ModelSpec, parts: Parts, types: Types) -> bool | None:
    """Whether its engine needs no weights; None where its engine is not known."""
    if not parts.knows("models", name, "engine"):
        return None
    engine = model.engine or parts.engine
    return None if engine is None else not types.needs_weights(engine.type)


def _model(name: str, model: ModelSpec, parts: Parts, types: Types) -> Iterator[tuple[str, str]]:
    """(field, message) per breach within one model."""
    if model.role == "published":
        yield from _published(model)
        if not model.leaderboard and not model.figures and parts.knows("models", name, "figures"):
            yield "", "is published but has no figures; write `leaderboard: true` or list `figures`"
        return
    if all(parts.knows("models", name, field) for field in _WEIGHTS):
        yield from _weights(model, served=served_elsewhere(name, model, parts, types))
        for revision, of in _REVISIONS.items():
            if getattr(model, revision) is not None and getattr(model, of) is None:
                yield revision, f"is given without `{of}`"
        if model.allow_different_base is not None and model.adapter is None:
            yield "allow_different_base", "is given without `adapter`"
    for field in ("leaderboard", "figures"):
        if getattr(model, field) and not recorded.is_recorded(model, parts):
            reason = "figures of a model that is asked are computed"
            yield field, f"is only for published and recorded models, not {model.role!r}: {reason}"


def _weights(model: ModelSpec, *, served: bool | None) -> Iterator[tuple[str, str]]:
    given = [f for f in _WEIGHTS if getattr(model, f) is not None]
    if "path" in given and len(given) > 1:
        yield given[1], "stands beside `path`; give either `path`, or `base` with `adapter`"
    elif given == ["base"]:
        yield "base", "has no `adapter`; for a model without an adapter write `path` instead"
    elif given == ["adapter"]:
        yield "adapter", f"{model.adapter!r} has no `base`; name the model it was trained on"
    elif not given and served is False:
        yield "", "has no weights; expected `path`, or `base` with `adapter`"


def _published(model: ModelSpec) -> Iterator[tuple[str, str]]:
    misplaced = (*_WEIGHTS, *_REVISIONS, "allow_different_base", "chat_template", "engine")
    for field in misplaced:
        if getattr(model, field) is not None:
            yield field, "is not for `role: published`, which is known by its figures only"


def _figures(model: ModelSpec, parts: Parts) -> Iterator[tuple[FieldPath, str]]:
    if not _all_named(parts):
        return
    known = list(dict.fromkeys(n for s in parts.benchmarks if s for n in (s.entry, s.type)))
    seen: dict[tuple[str, str | None, str], int] = {}
    for n, figure in enumerate(model.figures):
        first = seen.setdefault((figure.benchmark, figure.task, figure.metric), n)
        if first != n:
            what = f"{figure.metric!r} of {figure.benchmark!r}"
            reason = f"gives {what} a second time (figures.{first}); keep the one to be shown"
            yield ("figures", n), reason
        if figure.benchmark not in known:
            yield (
                ("figures", n, "benchmark"),
                f"no benchmark {figure.benchmark!r}{choices_hint(figure.benchmark, known)}",
            )


def _named(parts: Parts, n: int) -> bool:
    """Whether the entry's name is what was written."""
    known = all(parts.knows("benchmarks", n, field) for field in ("name", "version"))
    return parts.benchmarks[n] is not None and known


def _all_named(parts: Parts) -> bool:
    return all(_named(parts, n) for n in range(len(parts.benchmarks)))


def _judges(source: Source, parts: Parts) -> None:
    asked = [n for n, m in parts.models.items() if m is None or m.role != "published"]
    for name, judge in parts.judges.items():
        if isinstance(judge, LocalJudgeSpec) and judge.model not in asked:
            reason = "is published and has no weights" if judge.model in parts.models else ""
            source.report(
                ("judges", name, "model"),
                (f"{judge.model!r} {reason}" if reason else f"no model {judge.model!r}")
                + choices_hint(judge.model, asked),
            )


def _benchmark_judge(
    source: Source, parts: Parts, types: Types, entry: tuple[int, BenchmarkSpec]
) -> None:
    n, spec = entry
    path = ("benchmarks", n, "judge")
    judged, names = types.judged(spec.type), list(parts.judges)
    if judged and spec.judge is None:
        listed = ", ".join(map(repr, names)) or "nothing yet: add one under `judges`"
        source.report(path, f"missing; {spec.type} answers are judged; expected one of {listed}")
    elif not judged and spec.judge is not None:
        source.report(path, f"{spec.judge!r} is not needed: {spec.type} has no judge; remove it")
    elif spec.judge is not None and spec.judge not in names:
        source.report(path, f"no judge {spec.judge!r}{choices_hint(spec.judge, names)}")


def _opponents(source: Source, parts: Parts, entry: tuple[int, BenchmarkSpec]) -> None:
    """Models that a benchmark compares with must be there to be asked."""
    n, spec = entry
    asked = [name for name, m in parts.models.items() if m is None or m.role != "published"]
    for name in spec.asks:
        if name not in asked:
            hint = choices_hint(name, asked)
            source.report(("benchmarks", n, "baseline"), f"no model {name!r} to ask{hint}")


def name_entries(parts: Parts) -> None:
    """Name unnamed entries of one type by their version, where that tells them apart."""
    unnamed = [s for s in parts.benchmarks if s is not None and s.name is None]
    often = {kind for kind, count in Counter(s.type for s in unnamed).items() if count > 1}
    for n, spec in enumerate(parts.benchmarks):
        if spec is not None and spec.name is None and spec.type in often:
            version = getattr(spec, "version", None)
            if version is not None:
                parts.benchmarks[n] = spec.model_copy(update={"name": f"{spec.type}-v{version}"})


def _unique(source: Source, parts: Parts) -> None:
    first: dict[str, int] = {}
    for n, spec in enumerate(parts.benchmarks):
        if spec is None or not _named(parts, n):
            continue
        if spec.entry in first:
            other = source.where(("benchmarks", first[spec.entry]))
            source.report(
                ("benchmarks", n),
                f"a second benchmark {spec.entry!r} (the first: {other}); "
                f"give each a `name` of its own",
            )
        first.setdefault(spec.entry, n)


def _gate(source: Source, parts: Parts, gate: GateSpec) -> None:
    models = parts.models
    compared = [n for n, m in models.items() if m is None or m.role == "baseline"]
    if gate.baseline not in compared:
        known = models.get(gate.baseline)
        what = f"no model {gate.baseline!r}"
        if known is not None:
            what = f"{gate.baseline!r} has the role {known.role!r}"
        hint = "; expected a model with `role: baseline`, and there is none"
        if compared:
            hint = choices_hint(gate.baseline, compared)
        source.report(("gate", "baseline"), f"{what}{hint}")
    if not _all_named(parts):
        return
    entries = [spec.entry for spec in parts.benchmarks if spec is not None]
    places = [("margins", name) for name in gate.margins if name != "default"]
    places += [("required", name) for name in gate.required]
    places += [("warn_only", name) for name in gate.warn_only]
    for field, name in places:
        if name.partition("/")[0] not in entries:
            choices = [*entries, "default"] if field == "margins" else entries
            path = ("gate", field, name) if field == "margins" else ("gate", field)
            source.report(path, f"no benchmark {name!r}{choices_hint(name, choices)}")


def warnings(source: Source, parts: Parts, types: Types, root: Path) -> tuple[Problem, ...]:
    """What is allowed but makes a run hard to repeat or a section useless."""
    found: list[Problem] = []

    def warn(path: FieldPath, message: str) -> None:
        found.append(Problem(source.where(path), message))

    for name, model in parts.models.items():
        if model is not None and not served_elsewhere(name, model, parts, types):
            for field, message in _unpinned(model, root):
                warn(("models", name, field), message)
    used = {spec.judge for spec in parts.benchmarks if spec is not None}
    for name in parts.judges:
        if name not in used:
            warn(("judges", name), "is used by no benchmark")
    for name in _without_margin(parts):
        warn(("gate", "margins"), f"has neither {name!r} nor 'default': a margin of 0 applies")
    return tuple(found)


def _unpinned(model: ModelSpec, root: Path) -> Iterator[tuple[str, str]]:
    for revision, of in _REVISIONS.items():
        value, commit = getattr(model, of), getattr(model, revision)
        if value is None or not _HUB.fullmatch(value) or _exists(root, value):
            continue
        if commit is None:
            yield of, f"{value!r} is not pinned; add `{revision}` with a full commit hash"
        elif not _COMMIT.fullmatch(commit):
            yield (
                revision,
                f"{commit!r} can move; expected a full commit hash (40 hexadecimal digits)",
            )


def _exists(root: Path, value: str) -> bool:
    try:
        return (root / value).exists()
    except (OSError, ValueError):
        return False


def _without_margin(parts: Parts) -> list[str]:
    margins: Mapping[str, float] = parts.gate.margins if parts.gate else {"default": 0.0}
    if "default" in margins:
        return []
    return [s.entry for s in parts.benchmarks if s is not None and s.entry not in margins]
