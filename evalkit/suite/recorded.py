"""What must hold where a suite names recorded evidence instead of an engine or a judge.

Only names are checked; which files there are is the data room's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evalkit.core.specs import EngineSpec, ModelSpec, RecordedJudgeSpec
from evalkit.suite.reading import FieldPath, Source
from evalkit.suite.validation import Parts
from evalkit.suite.wording import choices_hint

__all__ = ["check", "is_recorded"]


def is_recorded(model: ModelSpec, parts: Parts) -> bool:
    """Whether the model's answers or figures are read from files."""
    engine = model.engine or parts.engine
    return engine is not None and engine.type == "recorded"


def check(source: Source, parts: Parts, entries: Sequence[str]) -> None:
    """Report every name that is not in the suite; `entries`: names of its benchmarks."""
    found: list[tuple[FieldPath, str]] = []
    for name, model in parts.models.items():
        if model is not None and model.engine is not None and model.engine.type == "recorded":
            found += _engine(("models", name, "engine"), model.engine, entries)
    if parts.engine is not None and parts.engine.type == "recorded":
        found += _engine(("engine",), parts.engine, entries)
    for name, judge in parts.judges.items():
        if isinstance(judge, RecordedJudgeSpec):
            found += _judge(("judges", name, "judgments"), judge, parts, entries)
    for path, message in found:
        source.report(path, message)


def _engine(
    path: FieldPath, engine: EngineSpec, entries: Sequence[str]
) -> Iterator[tuple[FieldPath, str]]:
    for field in ("answers", "results"):
        named: Mapping[str, object] = getattr(engine, field, {})
        for entry in named:
            if entry not in entries:
                yield (*path, field, entry), f"no benchmark {entry!r}{choices_hint(entry, entries)}"


def _judge(
    path: FieldPath, judge: RecordedJudgeSpec, parts: Parts, entries: Sequence[str]
) -> Iterator[tuple[FieldPath, str]]:
    models = [n for n, m in parts.models.items() if m is None or m.role != "published"]
    for entry, files in judge.judgments.items():
        if entry not in entries:
            yield (*path, entry), f"no benchmark {entry!r}{choices_hint(entry, entries)}"
        for model in files:
            if model not in models:
                reason = f"no model {model!r} to be judged{choices_hint(model, models)}"
                yield (*path, entry, model), reason
