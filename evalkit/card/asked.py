"""What a run's manifest says of how a figure was asked and judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.card.figures import Figure
from evalkit.core import Json

__all__ = ["Judge", "harness_of", "judge_of", "named", "own_data", "remarks_of"]


@dataclass(frozen=True)
class Judge:
    """Who judged, and by whose prompts."""

    who: str
    protocol: str
    prompt_sha256: str
    is_local: bool
    """A model of the same suite: weak, and not independent."""


def own_data(figure: Figure) -> str | None:
    """The suite's own data in place of the benchmark's public set; None: the public set."""
    data = figure.suite_entry.get("data")
    return str(data) if data and not figure.is_published else None


def judge_of(figure: Figure) -> Judge | None:
    """The judge of a measured figure; None where none is known."""
    about = figure.description.get("judge")
    said: Mapping[str, Json] = about if isinstance(about, Mapping) else {}
    name = figure.suite_entry.get("judge")
    entry = named(figure.run.manifest.get("judges"), name)
    engine = entry.get("engine")
    served = engine.get("model") if isinstance(engine, Mapping) else None
    evaluator = [str(said["evaluator"])] if said.get("evaluator") else []
    models = (said.get("model"), entry.get("model"), served, name)
    # An import that does not know who judged calls the judge by what it is.
    model = [str(m) for m in models if m and m not in ("recorded", *evaluator)][:1]
    who = [*evaluator, *model]
    if not said and not entry:
        return None
    return Judge(
        ", ".join(who) or "not stated",
        str(said.get("protocol") or entry.get("protocol") or ""),
        str(said.get("prompt_sha256") or ""),
        bool(entry.get("local")),
    )


def harness_of(figure: Figure) -> str | None:
    """The tool whose rules made the score, where the description says its version."""
    about = figure.description
    if about.get("lm_eval"):
        return f"lm_eval {about['lm_eval']}"
    judge = about.get("judge")
    version = judge.get("alpaca_eval") if isinstance(judge, Mapping) else None
    return f"alpaca_eval {version}" if version else None


def remarks_of(figure: Figure) -> list[str]:
    """How a task's data depart from the official ones."""
    data = figure.of_task.get("dataset")
    found = data.get("remarks") if isinstance(data, Mapping) else None
    return [str(remark) for remark in found] if isinstance(found, list) else []


def named(entries: Json, name: Json) -> Mapping[str, Json]:
    """The entry of a manifest's list that has a name; empty where none has."""
    for entry in entries or ():
        if entry.get("name") == name:
            found: Mapping[str, Json] = entry
            return found
    return {}
