"""Where every model came from, the proof of its merge, its template and its first prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evalkit.core import Json
from evalkit.draw import Cell, Column, Table, count, figure
from evalkit.report.blocks import Block, Code, Details, Note, Section, Text
from evalkit.report.facts import facts, flat
from evalkit.report.view import ModelView, View, mapping, sequence

__all__ = ["build"]

_BOS = {
    "one": "one BOS token, as it should be",
    "none": "this tokenizer uses no BOS token",
    "doubled": "DOUBLED BOS token: the template and the tokenizer both add one",
    "missing": "MISSING BOS token",
}

_PROOF = (
    "max_abs_logit_change_by_adapter",
    "max_abs_difference_merged_unmerged",
    "tolerance",
    "argmax_agreement",
    "adapter_keys_used",
    "probe_prompts",
    "base_check",
)


def build(view: View) -> Section:
    """One subsection per model."""
    checks = mapping(view.manifest.get("checks"))
    parts = [
        Section(f"{m.name} ({m.role})", (*_measured(m), *_checked(mapping(checks.get(m.name)))))
        for m in view.measured
    ]
    parts += [Section(f"{m.name} (published)", tuple(_published(m))) for m in view.published]
    return Section("Models", tuple(parts))


def _measured(model: ModelView) -> Iterator[Block]:
    about = model.provenance
    for warning in sequence(about.get("warnings")):
        yield Note(str(warning), "Warning.")
    if model.entry.get("trust_remote_code"):
        yield Note("Code that came with this model was run (trust_remote_code).", "Remote code.")
    shown = {k: v for k, v in about.items() if k not in ("merge_proof", "warnings")}
    yield facts(
        "Origin",
        [
            ("fingerprint", model.entry.get("fingerprint")),
            ("chat template from", model.entry.get("template_source")),
            *((k, v) for k, v in flat(shown) if not k.startswith("adapter.config.")),
        ],
    )
    proof = mapping(about.get("merge_proof"))
    if proof:
        note = (
            "Measured on fixed probe prompts before the merged weights were used: the adapter "
            "must change the logits, and merging it must not."
        )
        known = [(k, proof[k]) for k in _PROOF if k in proof]
        rest = flat({k: v for k, v in proof.items() if k not in _PROOF})
        rows = [(_words(k), v) for k, v in (*known, *rest)]
        yield facts("Proof of the merge", rows, note)
    config = mapping(mapping(about.get("adapter")).get("config"))
    if config:
        yield Details("Adapter configuration", (facts("", flat(config)),))
    engine = mapping(model.entry.get("engine"))
    if engine:
        yield Details("Engine", (facts("", flat(engine)),))
    yield from _prompts(model)
    template = model.entry.get("chat_template")
    if template:
        yield Details("Chat template", (Code(str(template)),))


def _checked(found: Mapping[str, Json]) -> Iterator[Block]:
    """What its engine verified of itself before it answered."""
    if not found:
        return
    note = ""
    if "mixed_batches_right" in dict(flat(found)):
        note = (
            "Served unmerged: the adapter beside its base must answer as its merged weights do, "
            "and leave the base as it was. Base and adapter are never asked in one batch."
        )
    yield facts("Checked when loaded", [(_words(k), v) for k, v in flat(found)], note)


def _prompts(model: ModelView) -> Iterator[Block]:
    for entry in sequence(model.entry.get("first_prompts")):
        prompt = mapping(entry)
        title = f"First prompt of {prompt.get('benchmark')}"
        if prompt.get("text") is None:
            yield Text(str(prompt.get("error", "not rendered")), f"{title}:")
            continue
        bos = str(prompt.get("bos"))
        size = prompt.get("n_tokens")
        tokens = f"{count(size)} tokens, " if isinstance(size, int) else ""
        if bos in ("doubled", "missing"):
            yield Note(_BOS[bos], f"{title}.")
        summary = f"{title}: {tokens}{_BOS.get(bos, bos)}"
        yield Details(summary, (Code(str(prompt["text"])),))


def _published(model: ModelView) -> Iterator[Block]:
    yield Text("Not measured here: figures as others published them, without a paired difference.")
    rows = [_figure(mapping(entry)) for entry in sequence(model.spec.get("figures"))]
    columns = (
        Column("Benchmark", header=True),
        Column("Metric"),
        Column("Figure", "right"),
        Column("Source"),
        Column("Date"),
        Column("Settings"),
    )
    if model.spec.get("leaderboard"):
        yield Text("Where its figures of leaderboards come from stands with each benchmark.")
    if rows:
        yield Table.of("Published figures", columns, rows)


def _figure(row: Mapping[str, Json]) -> tuple[Cell, ...]:
    value = row.get("value")
    where = " / ".join(str(row[k]) for k in ("benchmark", "task") if row.get(k))
    rest = [row.get(k) for k in ("source", "date", "settings")]
    return (
        Cell.text(where),
        Cell.text(str(row.get("metric", ""))),
        Cell(value, figure(value, "points")),
        *(Cell.missing("not given") if v is None else Cell.text(str(v)) for v in rest),
    )


def _words(key: str) -> str:
    words = key.replace("_", " ").replace("max abs", "largest")
    return words.replace("merged unmerged", "between merged and unmerged")
