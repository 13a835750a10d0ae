"""How the figures came about: recorded files, judges, models, settings, cost, how to repeat it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from evalkit import draw
from evalkit.comparison import votes
from evalkit.comparison.bridge import relation_table, relations
from evalkit.comparison.health import JudgeHealth
from evalkit.comparison.votes import agreement_table, judge_agreements
from evalkit.core import Json, Suspicion
from evalkit.core.contests import JudgeFigure
from evalkit.core.figures import Finding
from evalkit.core.run import BenchmarkEntry, EvidenceEntry, ModelEntry
from evalkit.draw import Cell, Column, Group, Table
from evalkit.report.content import Block, Code, Details, Note, Report, Section, Text

__all__ = ["cost", "judges", "models", "recorded", "reproduce", "settings"]


# --- recorded evidence --------------------------------------------------------------------------


def recorded(report: Report) -> Section | None:
    """Results that were not made here: what is wrong with them, and every file with its hash."""
    entries = report.run.manifest.evidence
    blocks: list[Block] = [_finding(e, f) for e in entries for f in e.findings]
    if entries:
        blocks.append(_files(entries))
    return Section("Recorded evidence", tuple(blocks)) if blocks else None


def _finding(entry: EvidenceEntry, finding: Finding) -> Note:
    said = f"{entry.model}, {draw.benchmark_label(entry.entry)}: {finding.message}."
    return Note(said, "Damaged evidence.") if finding.damaged else Note(said, "Remark.", "remark")


def _files(entries: Sequence[EvidenceEntry]) -> Table:
    columns = (
        Column("File", header=True),
        Column("SHA-256"),
        Column("Kind"),
        Column("Records", "right"),
    )
    groups = []
    for entry in entries:
        n = entry.n_records
        size = Cell(n, draw.count(n)) if n else Cell.missing("figures only")
        rows = tuple(
            (
                Cell.text(str(file.get("file"))),
                Cell.text(str(file.get("sha256"))),
                Cell.text(entry.kind),
                size,
            )
            for file in entry.files
        )
        groups.append(Group(f"{entry.model}, {draw.benchmark_label(entry.entry)}", rows))
    note = (
        "Figures of these models on these benchmarks were computed from these files; no request "
        "was sent."
    )
    return Table("Files", columns, tuple(groups), note)


# --- judges -------------------------------------------------------------------------------------


def judges(report: Report) -> Section | None:
    """Who judged, and how reliably; None where nothing was judged."""
    return Section("Judges", tuple(_judge_blocks(report)), folded=True) if report.health else None


def _judge_blocks(report: Report) -> Iterator[Block]:
    rows = report.health
    names = list(dict.fromkeys(row.judge for row in rows))
    for judge in names:
        yield _about(report, judge)
    columns = (
        Column("Measure", header=True),
        Column("Found", "right"),
        Column("95% CI", "right"),
        Column("Required", "right"),
        Column("Answer"),
    )
    note = (
        "Position bias: mean preference for the answer shown first, less 50. Length bias: half of "
        "what a model's answers gain where they are longer than the reference instead of shorter. "
        "Votes: mean distance from 50 of votes that are probabilities. Self-agreement: repeated "
        "judgments with the same verdict; of ratings the intraclass correlation. "
        "Self-preference: how much more than the other judges it favours models of "
        "its own family. A judge is not fit where the whole interval is beyond what is required "
        "(`require` in the judge's entry); then no conclusion is drawn from its judgments. What "
        "was not measured fails nothing."
    )
    groups = tuple(
        Group(_judging(row), tuple(tuple(_measure(f)) for f in row.figures)) for row in rows
    )
    yield Table("What was measured of them", columns, groups, note)
    if related := tuple(relations(report.run)):
        yield relation_table(related)
    if between := judge_agreements(report.run.records, report.level):
        yield agreement_table(between)
    if report.suspicious:
        yield _suspicious(report)


def _judging(row: JudgeHealth) -> str:
    """Who on what, how many replies, and what is not in the table."""
    counted = ((row.unparsable, "unparsable"), (row.failed, "failed"))
    said = [f"{draw.count(row.parsed)} of {draw.count(row.asked)} replies usable"]
    said += [f"{draw.count(n)} {what}" for n, what in counted if n]
    found = {f.measure for f in row.figures}
    absent = [m.replace("_", " ") for m in draw.MEASURES if m not in found]
    said += [f"not measured: {', '.join(absent)}"] if absent else []
    where = f"{row.judge}, {draw.benchmark_label(row.benchmark)} ({row.protocol})"
    return f"{where}: {'; '.join(said)}"


def _measure(f: JudgeFigure) -> Iterator[Cell]:
    v, (words, unit) = f.value, draw.MEASURES[f.measure]
    yield Cell.text(f"{words.removesuffix(' in')}, {unit}")
    yield Cell(v.point, draw.percent(v.point), v.how)
    ends = draw.judge_interval(f)
    yield Cell(ends, ends, v.how) if v.has_width else Cell.missing(v.how)
    most = "at least" if f.at_least else "at most"
    limit = f"{most} {draw.percent(f.limit)}" if f.limit is not None else "nothing"
    yield Cell(f.limit, limit)
    if f.fails:
        yield Cell("not fit", "not fit", tone="warning")
    else:
        yield Cell.text("" if f.limit is None else "met" if f.holds else "not shown")


def people(report: Report) -> Section | None:
    """What people said of the judged answers; None where nobody voted."""
    found = votes.people(report.run, report.level)
    return Section("People", tuple(votes.people_tables(found))) if found else None


def _suspicious(report: Report) -> Table:
    """Answers that may be meant for their judge, by model and benchmark."""
    judged = [r for r in report.run.records if r.outcome.judgments]
    n_judged = Counter((r.model, r.benchmark) for r in judged)
    found: dict[tuple[str, str], Counter[str]] = {}
    for record in judged:
        if kinds := report.suspicious.get(record.key):
            lost = any(j.status == "unparsable" for j in record.outcome.judgments)
            told = (*kinds, "suspicious", *["unparsable"] * lost)
            found.setdefault((record.model, record.benchmark), Counter()).update(told)
    counted = ("suspicious", *get_args(Suspicion), "unparsable")
    heads = ("Model", "Benchmark", "Judged", *(name.capitalize() for name in counted))
    columns = (
        Column(heads[0], header=True),
        Column(heads[1]),
        *(Column(head, "right") for head in heads[2:]),
    )
    rows = [
        (*map(Cell.text, place), *(Cell(n, draw.count(n)) for n in (n_judged[place], *counts)))
        for place, told in found.items()
        if (counts := [told[name] for name in counted])
    ]
    note = (
        "Samples whose answers hold text that looks like a verdict, a judge prompt's delimiter, a "
        "chat template's control token, a role, or an instruction to the judge; they may hold it "
        "in good faith. Published judge prompts show it as it is, evalkit's own break control "
        "tokens. A verdict that also stands in the judged texts is not read: such a judgment is "
        "unparsable."
    )
    return Table.of("Answers that may be meant for the judge", columns, rows, note)


def _about(report: Report, judge: str) -> Note | Text:
    """Who the judge is and how its reply is read, in a sentence or two."""
    manifest = report.run.manifest
    entry = next((j for j in manifest.judges if j.name == judge), None)
    spec = manifest.suite.judges.get(judge)
    model = (spec and spec.model) or (entry and entry.engine.model) or ""
    who = f"{judge} is {model}" if model and model != judge else judge
    known = report.run.model(model)
    source = known.provenance.source if known else None
    # Its name mostly tells how small it is.
    if isinstance(source, Mapping) and (where := source.get("repo") or source.get("path")):
        who += f" ({where})"
    by_logits = entry is not None and "logprob" in (entry.protocol or "")
    how = "the log-probabilities of its first token" if by_logits else "its written reply"
    if entry is None or not entry.local:
        without = "; ".join(entry.changed) if entry else ""
        refused = f" Its server refuses settings of the protocol ({without})." if without else ""
        return Text(f"{who}; its verdict is read from {how}.{refused}")
    return Note(
        f"{who}, a model of this suite; its verdict is read from {how}. Small local models judge "
        "poorly: they favour a position, a length or themselves, and agree little with people. "
        "Use such a judge to check that everything works; do not publish its scores.",
        f"{draw.LOCAL_JUDGE.capitalize()}.",
    )


# --- models -------------------------------------------------------------------------------------

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


def models(report: Report) -> Section:
    """Where every model came from, the proof of its merge, its template and first prompts."""
    run = report.run
    parts = []
    without = [b.name for b in run.benchmarks if b.description.generation_config == "none"]
    for name in report.measured:
        entry = run.model(name)
        blocks = [] if entry is None else list(_model(entry, without))
        checks = run.manifest.checks.get(name)
        if isinstance(checks, Mapping) and checks:
            blocks.append(
                draw.facts_table(
                    "Checked when loaded", [(_words(k), v) for k, v in draw.flat(checks)]
                )
            )
        parts.append(Section(f"{name} ({run.role(name)})", tuple(blocks)))
    for name in report.published:
        parts.append(Section(f"{name} (published)", tuple(_published(report, name))))
    ran = "; ".join(run.manifest.consented)
    notes = (Note(f"It came with the suite, its tasks or models: {ran}.", "Code run by consent."),)
    return Section("Models", (*(notes if ran else ()), *parts), folded=True)


def _own_settings(entry: ModelEntry, without: Sequence[str]) -> str | None:
    """Of generation_config.json; `without`: benchmarks that do not apply them."""
    said = [", ".join(f"{k} {v}" for k, v in draw.flat(entry.generation))]
    if said[0] and without:
        said.append(f"not applied in {', '.join(without)}")
    if entry.generation_left_out:
        said.append(f"left out by its engine: {', '.join(entry.generation_left_out)}")
    return "; ".join(filter(None, said)) or None


def _model(entry: ModelEntry, without: Sequence[str]) -> Iterator[Block]:
    about = entry.provenance
    yield from (Note(warning, "Warning.") for warning in about.warnings)
    if entry.trust_remote_code:
        yield Note("Code that came with this model was run (trust_remote_code).", "Remote code.")
    shown = {k: v for k, v in about.all.items() if k not in ("merge_proof", "warnings")}
    yield draw.facts_table(
        "Origin",
        [
            ("fingerprint", entry.fingerprint),
            ("chat template from", entry.template_source),
            ("its own generation settings", _own_settings(entry, without)),
            *((k, v) for k, v in draw.flat(shown) if not k.startswith("adapter.config.")),
        ],
    )
    proof = about.merge_proof
    if proof:
        if unproved := proof.get("base_unproved"):
            yield Text(f"{unproved}.", "Base.")
        note = (
            "Measured on fixed probe prompts before the merged weights were used: the adapter "
            "must change the logits, and merging it must not."
        )
        known = [(k, proof[k]) for k in _PROOF if k in proof]
        rest = draw.flat({k: v for k, v in proof.items() if k not in (*_PROOF, "base_unproved")})
        rows = [(_words(k), v) for k, v in (*known, *rest)]
        yield draw.facts_table("Proof of the merge", rows, note)
    config = (about.adapter or {}).get("config")
    if isinstance(config, Mapping) and config:
        yield Details("Adapter configuration", (draw.facts_table("", draw.flat(config)),))
    if entry.engine.all:
        yield Details("Engine", (draw.facts_table("", draw.flat(entry.engine.all)),))
    for prompt in entry.first_prompts:
        title = f"First prompt of {prompt.benchmark}"
        if prompt.text is None:
            yield Text(prompt.error or "not rendered", f"{title}:")
            continue
        bos = str(prompt.bos)
        if bos in ("doubled", "missing"):
            yield Note(_BOS[bos], f"{title}.")
        tokens = "" if prompt.n_tokens is None else f"{draw.count(prompt.n_tokens)} tokens, "
        yield Details(f"{title}: {tokens}{_BOS.get(bos, bos)}", (Code(prompt.text),))
    if entry.chat_template:
        yield Details("Chat template", (Code(entry.chat_template),))


def _published(report: Report, model: str) -> Iterator[Block]:
    spec = report.run.manifest.suite.models.get(model)
    yield Text("Not measured here: figures as others published them, without a paired difference.")
    if spec is None:
        return
    if spec.leaderboard:
        yield Text("The sources of its leaderboard figures are given with each benchmark.")
    rows = []
    for f in spec.figures:
        given = (f.source, f.date, f.settings)
        rows.append(
            (
                Cell.text(" / ".join(text for text in (f.benchmark, f.task) if text)),
                Cell.text(f.metric),
                Cell(f.value, draw.figure(f.value, "points")),
                *(Cell.missing("not given") if v is None else Cell.text(str(v)) for v in given),
            )
        )
    columns = (
        Column("Benchmark", header=True),
        Column("Metric"),
        Column("Figure", "right"),
        Column("Source"),
        Column("Date"),
        Column("Settings"),
    )
    if rows:
        yield Table.of("Published figures", columns, rows)


def _words(key: str) -> str:
    words = key.replace("_", " ").replace("max abs", "largest")
    return words.replace("merged unmerged", "between merged and unmerged")


# --- settings -----------------------------------------------------------------------------------


def settings(report: Report) -> Section | None:
    """Versions, checksums and settings, as the benchmarks describe themselves."""
    parts = tuple(
        Section(draw.benchmark_label(entry.name), tuple(_settings(entry)))
        for entry in report.run.benchmarks
        if entry.description.all
    )
    return Section("Settings", parts, folded=True) if parts else None


def _settings(entry: BenchmarkEntry) -> Iterator[Block]:
    """Its own settings; those of many tasks are folded away."""
    about = entry.description.all
    own = draw.flat({k: v for k, v in about.items() if k != "tasks"})
    yield draw.facts_table("", [("entry", entry.name), ("samples", entry.n_samples or None), *own])
    tasks = list(draw.flat(entry.description.tasks))
    if tasks:
        yield Details("Settings of each task", (draw.facts_table("", tasks),))


# --- cost ---------------------------------------------------------------------------------------


def cost(report: Report) -> Section | None:
    """Time, tokens and money, as noted when the run was sealed; None where nothing was."""
    blocks = (*_usage(report), *_scoring(report))
    return Section("Cost", blocks, folded=True) if blocks else None


def _usage(report: Report) -> Iterator[Table]:
    usage = report.run.manifest.usage
    if usage is None:
        return
    said = usage.all
    rows: list[tuple[str, Json]] = [
        ("time", _duration(usage.seconds) if "seconds" in said else None),
        ("sessions", said.get("sessions")),
        ("requests answered by engines", said.get("asked")),
        ("requests answered from the cache", said.get("from_cache")),
        ("attempts that failed", said.get("failed")),
        ("prompt tokens", said.get("prompt_tokens")),
        ("of these reused from a shared prefix", said.get("reused_tokens")),
        ("generated tokens", said.get("completion_tokens")),
        ("cost, in US dollars", draw.figure(usage.cost_usd, "points") if usage.cost_usd else None),
    ]
    for name, spent in sorted(usage.spent.items()):
        requests = draw.count(int(spent.get("requests", 0)))
        money = draw.figure(spent.get("cost_usd"), "points")
        rows.append((f"{name}, of its cap", f"{requests} requests, {money} US dollars"))
    note = (
        "Time is the sum over sessions, on whatever machine; a session that was killed counts up "
        "to its last note, at most half a minute before."
    )
    yield draw.facts_table("All sessions", rows, note)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{draw.count(hours)} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _scoring(report: Report) -> Iterator[Table]:
    """One row per engine that planned."""
    found = {n: c for n, c in report.run.manifest.work.items() if c.get("computed")}
    if not found:
        return
    heads = ("Requests", "Tokens requested", "Computed", "Saved", "Bound")
    ratios = ("Computed / bound", "Computed / floor")
    columns = (Column("Engine", header=True), *(Column(h, "right") for h in (*heads, *ratios)))
    note = (
        "Tokens: of prompts, for log-likelihoods. Requested: every choice with its whole context, "
        "which is what computing them one by one costs. Computed: what went through the model. "
        "Bound: each distinct prefix once; no method needs less. Floor: the same where only whole "
        "cache blocks can be shared."
    )
    rows = tuple(_work_row(name, counts) for name, counts in found.items())
    yield Table("Cost of scoring", columns, (Group("", rows),), note)


def _work_row(name: str, counts: Mapping[str, int]) -> tuple[Cell, ...]:
    requests, naive, computed, bound, floor = (
        counts.get(name, 0) for name in ("requests", "naive", "computed", "trie", "floor")
    )
    saved = 100 * (1 - computed / naive) if naive else None
    ratios = (computed / of if of else None for of in (bound, floor))
    return (
        Cell.text(name),
        *(Cell(n, draw.count(n)) for n in (requests, naive, computed)),
        Cell(saved, draw.MISSING if saved is None else f"{draw.percent(saved)}%"),
        Cell(bound, draw.count(bound)),
        *(Cell(ratio, draw.figure(ratio, "raw")) for ratio in ratios),
    )


# --- how to get the same run again --------------------------------------------------------------


def reproduce(report: Report) -> Section:
    """Commands, versions, seed, commit."""
    m = report.run.manifest
    blocks: list[Block] = [Code("\n".join(m.commands), "Commands")] if m.commands else []
    about = [
        ("run", m.run_id),
        ("suite", m.suite_name),
        ("suite file", m.suite_file),
        ("git commit", m.git_commit),
        ("seed", m.seed),
        ("date in prompts", m.date),
        ("limit", m.limit),
        ("Python", m.python),
        ("platform", m.platform),
        *((f"{name} version", v) for name, v in draw.flat(m.versions)),
    ]
    blocks.append(draw.facts_table("This run", about))
    return Section("Reproduce", tuple(blocks), folded=True)
