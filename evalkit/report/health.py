"""What the run's own judgments say about its judges, and how to put it."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.compare import JudgeHealth
from evalkit.core import Json
from evalkit.report.view import View, mapping, sequence

__all__ = [
    "JudgeHealth",
    "describe_judge",
    "health_rows",
    "is_local",
    "judge_entry",
    "weakly_judged",
]


def health_rows(view: View) -> tuple[JudgeHealth, ...]:
    """One row per judge and benchmark."""
    return view.health


def judge_entry(view: View, judge: str) -> Mapping[str, Json]:
    """The judge's entry in the manifest; empty where it has none."""
    for entry in sequence(view.manifest.get("judges")):
        if mapping(entry).get("name") == judge:
            return mapping(entry)
    return {}


def is_local(view: View, judge: str) -> bool:
    """The judge is a model of the suite."""
    return bool(judge_entry(view, judge).get("local", False))


def weakly_judged(view: View) -> set[str]:
    """Benchmarks whose scores come from a model of the suite."""
    return set(view.weak)


def describe_judge(view: View, judge: str) -> str:
    """Who the judge is and how it is read, in a sentence or two."""
    entry = judge_entry(view, judge)
    spec = mapping(mapping(view.suite.get("judges")).get(judge))
    protocol = str(entry.get("protocol", ""))
    model = spec.get("model") or mapping(entry.get("engine")).get("model")
    who = f"{judge} is {model}" if model and str(model) != judge else judge
    who += _origin(view, str(model))
    how = (
        "read through the log-probabilities of its first token"
        if "logprob" in protocol
        else "read through its written reply"
    )
    if not is_local(view, judge):
        return f"{who}, {how}."
    return (
        f"{who}, a model of this suite on this machine, {how}. Small local models judge poorly: "
        "they favour a position, a length or themselves, and agree little with people. "
        "Use such a judge to see that everything works; do not publish what it says."
    )


def _origin(view: View, model: str) -> str:
    """Where the judge's weights came from: their name mostly tells how small it is."""
    for m in view.measured:
        source = mapping(m.provenance.get("source"))
        where = source.get("repo") or source.get("path")
        if m.name == model and where:
            return f" ({where})"
    return ""
