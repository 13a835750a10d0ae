"""What must be known before a figure is quoted, and what the figures rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from evalkit.compare.old_cautions import damage_text
from evalkit.draw import count, percent, share
from evalkit.report.blocks import Note, Text
from evalkit.report.health import health_rows, is_local
from evalkit.report.view import Measure, View
from evalkit.report.words import UNFINISHED, benchmark_label, measure_label

__all__ = ["basis", "judge_line", "missing", "warnings"]

_NAMED = 6
_TOLD = 3
"""Findings that are told where no section tells them."""


def warnings(view: View, *, alone: bool = False) -> Iterator[Note]:
    """What makes a figure unfit to be quoted, the worst first; `alone`: no report is around it."""
    if view.limit is not None:
        yield Note(
            f"At most {count(view.limit)} samples per task were asked. "
            "Good for trying things out; not publishable.",
            "Limited run.",
        )
    elif not view.manifest.get("publishable", True):
        yield Note("The run's manifest marks it so.", "Not publishable.")
    if not view.sealed:
        yield Note(UNFINISHED, "No figures yet.")
    if view.damages:
        yield Note(_damaged(view, alone=alone), "Damaged evidence.")
    yield from _weak_judges(view)
    yield from _models(view)


def missing(view: View, *, alone: bool = False) -> Iterator[Note]:
    """How many samples lack a score; `alone`: no report is around it."""
    failed = Counter(r.model for r in view.run.records if r.outcome.status != "ok")
    if failed:
        parts = ", ".join(f"{model} {count(n)}" for model, n in failed.items())
        where = (
            "The run's report has the reasons." if alone else "Reasons stand with each benchmark."
        )
        yield Note(
            f"{count(failed.total())} of {count(len(view.run.records))} lack a score, which is "
            f"left out and never taken for zero ({parts}). {where}",
            "Missing samples.",
            "remark",
        )


def basis(view: View) -> Iterator[Text]:
    """Which benchmarks the answer rests on, and which it says nothing of."""
    sizes = {pair: _sizes(view, pair) for pair in view.pairs}
    sizes = {pair: found for pair, found in sizes.items() if found}
    alike = len({tuple(found) for found in sizes.values()}) == 1
    if len(sizes) > 1 and alike:
        # What holds of every pair is said once.
        measures = next(iter(sizes.values()))
        every = {m: [found[m] for found in sizes.values()] for m in measures}
        yield _rests_on(view, every, "both models of a pair", "Evidence.")
        return
    for pair, found in sizes.items():
        lead = "Evidence." if len(view.pairs) == 1 else f"Evidence, {pair[0]} and {pair[1]}."
        yield _rests_on(view, {m: [n] for m, n in found.items()}, "both models", lead)


def _sizes(view: View, pair: tuple[str, str]) -> dict[Measure, int]:
    return {measure: row.comparison.n_clusters for measure, row in view.contest(pair)}


def _rests_on(view: View, sizes: Mapping[Measure, list[int]], who: str, lead: str) -> Text:
    """Samples by measure; of several pairs the fewest and the most."""
    shown = [f"{measure_label(m)} {_range(found)}" for m, found in sizes.items()]
    used = {m.benchmark for m in sizes}
    rest = [benchmark_label(b.name) for b in view.benchmarks if b.measures and b.name not in used]
    text = f"Samples that {who} have a score for: {_listed(shown)}."
    if rest:
        text += f" No difference, for want of such samples: {_listed(rest)}."
    return Text(text, lead, small=True)


def _range(found: list[int]) -> str:
    low, high = count(min(found)), count(max(found))
    return low if low == high else f"{low} to {high}"


def judge_line(view: View) -> Text | None:
    """How far the judges can be trusted, in a line; None where nothing was judged."""
    said = []
    for row in health_rows(view):
        parts = [f"{count(row.parsed)} of {count(row.asked)} replies usable"]
        if row.position_bias is not None:
            size = percent(abs(row.position_bias))
            side = "first" if row.position_bias > 0 else "second"
            parts.append(f"leaning {size} points of 50 to the answer shown {side}")
        if row.order_disagreement is not None:
            parts.append(f"{share(row.order_disagreement)} of pairs turned with their order")
        if row.vote_margin is not None and is_local(view, row.judge):
            size = percent(row.vote_margin)
            parts.append(f"votes {size} points of 50 from a coin toss")
        said.append(f"{row.judge} on {benchmark_label(row.benchmark)}, {', '.join(parts)}")
    if not said:
        return None
    more = f"; {len(said) - _NAMED} more below" if len(said) > _NAMED else ""
    return Text(f"{'; '.join(said[:_NAMED])}{more}.", "Judge.", small=True)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _damaged(view: View, *, alone: bool) -> str:
    """Where each is named; without a report around it, the first few and how many are left."""
    found = len(view.damages)
    what = "1 finding makes" if found == 1 else f"{count(found)} findings make"
    said = f"{what} recorded figures doubtful"
    if not alone:
        return f"{said}; “Recorded evidence” below names each."
    named = "; ".join(damage_text(d).rstrip(".") for d in view.damages[:_TOLD])
    left = found - _TOLD
    more = f"; and {count(left)} more, which the run's report names" if left > 0 else ""
    return f"{said}: {named}{more}."


def _weak_judges(view: View) -> Iterator[Note]:
    rows = health_rows(view)
    for name in sorted({row.judge for row in rows if is_local(view, row.judge)}):
        yield Note(
            "Judged scores say what this local model prefers, not what people would. Do not "
            "publish them.",
            f"Weak judge: {name}.",
        )


def _models(view: View) -> Iterator[Note]:
    for model in view.measured:
        if model.entry.get("trust_remote_code"):
            yield Note("Code that came with the model was run.", f"{model.name}: remote code.")
        for warning in model.provenance.get("warnings", ()):
            yield Note(str(warning), f"{model.name}:")
        prompts = model.entry.get("first_prompts") or ()
        for bos in sorted({str(p.get("bos")) for p in prompts} & {"doubled", "missing"}):
            yield Note(f"Prompts begin with a {bos} BOS token.", f"{model.name}: BOS {bos}.")
