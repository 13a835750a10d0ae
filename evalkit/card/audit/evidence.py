"""What a card is held against: runs, result files of other tools, suites, published.

Only a run, or a result file of that very model, with settings that both sides state and that are
equal, contradicts a number; and a leaderboard, where a row's figure stands in another row of the
card's table.  Every other published figure that differs is a note: many cards print figures of
their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from evalkit import catalogue
from evalkit.card.audit.checks import Own, same_metric
from evalkit.card.audit.findings import Answer, Checked, Fact, Remark
from evalkit.card.audit.stated import Label, Stated
from evalkit.comparison.claim import claim as checked_claim
from evalkit.comparison.claim_grammar import Compared, Scored, Statement
from evalkit.comparison.contests import Options
from evalkit.comparison.figures import figures
from evalkit.comparison.model_names import ModelNames, model_key
from evalkit.comparison.recompute import load
from evalkit.core.evidence import Evidence as Imported
from evalkit.core.evidence import ImportOptions
from evalkit.core.figures import Estimator, Figure
from evalkit.core.protocols import DataPlaces
from evalkit.core.run import (
    BenchmarkEntry,
    Description,
    EvidenceEntry,
    Manifest,
    ModelEntry,
    Run,
    TaskEntry,
)
from evalkit.core.specs import Suite
from evalkit.draw.numbers import Printed, agreement, figure
from evalkit.errors import ComparisonError, DataError
from evalkit.formats import kind_of, reader

__all__ = ["Evidence", "Held", "gather", "model_remark"]

_LEVEL = 0.95
_EVALUATORS = {
    edition.evaluator: version
    for version, edition in catalogue.BENCHMARKS["alpaca_eval"].editions.items()
}
_SHOTS = re.compile(r"(?<!\d)(\d{1,2})[ -]shots?\b")
_PRETTY = re.compile(r"^\s+pretty_name:\s*(?P<name>.+?)\s*(?:\s#.*)?$", re.MULTILINE)
_LINK = re.compile(r"^\s+link:\s*[\"']?https?://huggingface\.co/(?P<name>[\w.-]+/[\w.-]+)", re.M)
_EARLIER: Mapping[str, float] = {
    "alpaca-7b-neft": 61.92259675405742,
    "claude": 88.38509317,
    "falcon-7b-instruct": 23.60248447,
    "llama-2-chat-7b-evol70k-neft": 82.08955223880598,
    "minichat-3b": 76.9375,
    "notus-7b-v1": 91.4179104477612,
    "ultralm-13b-v2.0": 83.60248447,
    "ultralm-13b-v2.0-best-of-16": 92.29813665,
}
"""AlpacaEval 1 win rates that had another value in November 2023: cards quote what was there
(argilla-io/notus, commit 5cd4912, `v1/eval/alpaca_eval/leaderboard.csv`)."""


@dataclass
class Evidence:
    """Everything that is known."""

    facts: list[Fact] = field(default_factory=list)
    names: dict[str, set[str]] = field(default_factory=dict)
    """Other names by model."""
    runs: list[Run] = field(default_factory=list)
    """With records: what a claim can be tested on."""
    sources: list[str] = field(default_factory=list)

    @property
    def measured(self) -> list[str]:
        """Models of runs and result files, in order."""
        return list(dict.fromkeys(f.model for f in self.facts if f.measured))

    @property
    def tasks(self) -> list[str]:
        """Tasks that the catalogue does not know."""
        return list(dict.fromkeys(f.bench for f in self.facts if f.bench == f.task))

    def add(self, run: Run, *, kind: str = "run", source: str = "") -> None:
        """The figures of a run but for those of damaged evidence."""
        damaged = {
            (e.model, e.entry): f.message
            for e in run.manifest.evidence for f in e.findings if f.damaged
        }  # fmt: skip
        for (model, entry), why in damaged.items():
            self.sources.append(f"damaged evidence of {model} on {entry} left out: {why}")
        for model in run.models:
            prepared = run.model(model)
            places = () if prepared is None else (
                prepared.provenance.source, prepared.provenance.adapter)  # fmt: skip
            named = [place.get("repo") for place in places if isinstance(place, Mapping)]
            self.names.setdefault(model, set()).update(n for n in named if isinstance(n, str))
        for f in run.figures:
            # What others published of a model is not of its damaged files.
            if f.value.point is not None and (
                f.published or (f.model, f.key.benchmark) not in damaged
            ):
                self.facts.append(_fact(run, f, source or f"{kind} {run.folder.name}"))


def gather(
    paths: Sequence[Path],
    places: DataPlaces | None = None,
    load_suite: Callable[[str], Suite] | None = None,
) -> Evidence:
    """Read every piece of evidence, and the leaderboards after it.

    Args:
        paths: Run folders (or their files), result files of lm-eval, alpaca_eval, FastChat or
            Every Eval Ever, folders of lm-eval's, suites.
        places: Where public data may lie; None: nowhere.
        load_suite: A suite by its file or name, with its plug-ins; None: suites are no evidence.

    Raises:
        DataError: something is missing, damaged, or none of these.
        SuiteError: a suite is wrong.
    """
    found = Evidence()
    loose: list[Path] = []
    for path in paths:
        kind = _kind(path)
        if kind == "run":
            _add_run(found, path)
        elif kind == "suite":
            if load_suite is None:
                raise DataError(f"{str(path)!r}: a suite is no evidence here; name a run")
            _add_suite(found, path, load_suite(str(path)))
        elif kind == "lm_eval":
            loose.append(path)
        else:
            _add_imported(found, kind, [path], places or DataPlaces())
    if loose:
        _add_imported(found, "lm_eval", loose, places or DataPlaces())
    _add_leaderboards(found)
    return found


def _fact(run: Run, f: Figure, source: str) -> Fact:
    said = run.description(f.model, f.key.benchmark)
    info = catalogue.by_task(f.key.task)
    shots = said.task(f.key.task).n_shots
    where = f.source.where if f.source is not None else ""
    settings = f"{where} {f.source.settings or ''}" if f.source is not None else ""
    if shots is None and (match := _SHOTS.search(settings)):
        shots = int(match[1])
    judge = said.judging.evaluator or said.judging.model
    edition = None
    if info is not None and info.editions:
        version = str(said.version or "").partition(".")[0]
        written = re.split(r"[^\w]+|_leaderboard", where)
        named = (v for e, v in _EVALUATORS.items() if e in written)
        edition = next(named, _EVALUATORS.get(judge or "", version if version in "12" else None))
    return Fact(
        model=f.model,
        bench=info.name if info is not None and f.key.task in (
            info.name, *(t.name for t in info.tasks)) else f.key.task,
        task=f.key.task,
        metric=catalogue.said_metric(f.key.task, f.key.metric),
        category=f.key.category,
        unit=f.unit,
        value=float(f.value.point or 0.0),
        source=where or source,
        measured=f.source is None or f.value.method.estimator is not Estimator.PUBLISHED,
        leaderboard=where.startswith("alpaca_eval "),
        edition=edition or None,
        shots=shots,
        judge=judge,
        entry=f.key.benchmark,
        run_id=run.manifest.run_id,
    )  # fmt: skip


# --- what a path is -----------------------------------------------------------------------------


def _kind(path: Path) -> str:
    place = path.parent if path.is_file() else path
    if (place / "manifest.json").is_file() and (path.is_dir() or path.name != "README.md"):
        return "run"
    if path.is_dir():
        return "lm_eval"
    if path.suffix in (".yaml", ".yml") or (not path.exists() and not path.suffix):
        return "suite"
    return kind_of(path)


# --- reading it ---------------------------------------------------------------------------------


def _add_run(found: Evidence, path: Path) -> None:
    run = load(path)
    if not run.manifest.sealed:
        raise DataError(
            f"{str(path)!r}: the run is not finished, so it has no figures; run its suite again"
        )
    if run.manifest.limit is not None:
        raise DataError(
            f"{str(path)!r}: a run with --limit {run.manifest.limit} measured only a part of each "
            f"benchmark, which is no evidence for a card; run the suite without it"
        )
    found.add(run)
    found.runs.append(run)
    found.sources.append(f"run {path}")


def _add_suite(found: Evidence, path: Path, suite: Suite) -> None:
    from evalkit.formats import published

    stated: list[Figure] = []
    for name, model in suite.models.items():
        stated += published.suite_figures(name, model, suite.benchmarks, _LEVEL)
        if model.leaderboard:
            row = model.leaderboard if isinstance(model.leaderboard, str) else name
            stated += published.row_figures(name, row, suite.benchmarks, _LEVEL)
    entries = [
        BenchmarkEntry(
            name=s.entry, description=Description(type=s.type, version=getattr(s, "version", None))
        )
        for s in suite.benchmarks
    ]
    found.add(_as_run(path, entries, stated), kind="suite")
    found.sources.append(f"suite {path}")


def _add_imported(found: Evidence, kind: str, paths: Sequence[Path], places: DataPlaces) -> None:
    read = reader(kind)
    groups: dict[str, list[Path]] = {}
    for path in paths:
        for one in read([path], ImportOptions((), None, (), places, _LEVEL)):
            groups.setdefault(one.model, []).append(path)
    for model, files in groups.items():
        for one in read(files, ImportOptions((model,), None, (), places, _LEVEL)):
            entry = BenchmarkEntry(
                name=one.entry,
                description=one.description,
                tasks={t: TaskEntry(n_samples=0, metrics=ms) for t, ms in one.metrics.items()},
            )
            computed = figures(one.records, [entry], _LEVEL) if one.records else []
            run = _as_run(paths[0], [entry], (*computed, *one.figures), one)
            found.add(run, source=", ".join(file.name for file in files[:3]))
            if one.records:
                found.runs.append(run)
    found.sources.append(f"{kind} {', '.join(map(str, paths))}")


def _as_run(
    path: Path, entries: Sequence[BenchmarkEntry], found: Sequence[Figure],
    imported: Imported | None = None,
) -> Run:  # fmt: skip
    """Figures of others in the shape of a run, as far as the audit and claims need it."""
    manifest = Manifest(run_id=path.name, sealed=True, benchmarks=tuple(entries))
    if imported is None:
        return Run(path, manifest, (), tuple(found), ())
    one = EvidenceEntry(
        model=imported.model, entry=imported.entry, kind=imported.kind,
        description=imported.description, findings=imported.findings,
    )  # fmt: skip
    model = ModelEntry(name=imported.model, role="baseline")
    manifest = manifest.model_copy(update={"evidence": (one,), "models": (model,)})
    return Run(path, manifest, imported.records, tuple(found), ())


def _add_leaderboards(found: Evidence) -> None:
    """Every row of both leaderboards of AlpacaEval; raises DataError without alpaca_eval."""
    from evalkit.formats import published

    for edition in ("1", "2"):
        about = Description(type="alpaca_eval", version=edition)
        entry = BenchmarkEntry(name="alpaca_eval", description=about)
        rows = published.board_figures(edition, _LEVEL)
        found.add(_as_run(Path("leaderboard"), [entry], rows))
    for row, value in _EARLIER.items():
        found.names.setdefault(row, set())
        found.facts.append(
            Fact(row, "alpaca_eval", "alpaca_eval", "win_rate", None, "percent", value,
                 f"AlpacaEval's leaderboard of November 2023, row {row!r}", measured=False,
                 leaderboard=True, edition="1")
        )  # fmt: skip
    names: dict[str, set[str]] = {}
    spec = find_spec("alpaca_eval")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder, "models_configs").glob("*/configs.yaml")):
            text = file.read_text(encoding="utf-8", errors="replace")
            pretty, link = _PRETTY.search(text), _LINK.search(text)
            said = [pretty["name"].strip("\"' ")] if pretty else []
            names[file.parent.name] = {*said, *([link["name"]] if link else [])}
    # Some rows link to the model they were made from: such a name is nobody's.
    counted = Counter(name for own in names.values() for name in own)
    for row in found.names:
        found.names[row] |= {n for n in names.get(row, ()) if counted[n] == 1}
    found.sources.append("leaderboards of alpaca_eval")


# --- holding a card against it ------------------------------------------------------------------


class Held:
    """A card's numbers and sentences held against evidence."""

    def __init__(self, evidence: Evidence, own: Own, same: Mapping[str, str]) -> None:
        """Index the evidence.

        Args:
            evidence: What is known.
            own: What the card calls its own model.
            same: Model of the evidence by a name of the card that is said to mean it; by "" for
                the card's own.
        """
        self._evidence = evidence
        names: dict[str, set[str]] = {m: set(o) for m, o in evidence.names.items()}
        for name, model in same.items():
            names.setdefault(model, set()).update(own.names if not name else (name,))
        self._names = ModelNames(names)
        self._own = own
        self._by_model: dict[str, list[Fact]] = {}
        for fact in evidence.facts:
            self._by_model.setdefault(fact.model, []).append(fact)

    def model(self, name: str) -> str | None:
        """The evidence's model for a name of the card; "" is the card's own."""
        for one in (name,) if name else self._own.names:
            found = self._names.find(one)
            if found is not None:
                return found
        return None

    def numbers(self, stated: Sequence[Stated]) -> list[Checked]:
        """Every number with what the evidence says of it."""
        first = [self._check(s) for s in stated]
        editions = _editions(first)
        checked = [
            c if c.verdict == "confirmed" else self._check(c.stated, editions.get(_column(c)))
            for c in first
        ]
        return _swapped(checked, self)

    def _check(self, s: Stated, edition: str | None = None) -> Checked:
        model = self.model(s.model)
        if model is None and s.repository and set(s.key) <= set(model_key(s.repository)):
            model = self.model(s.repository)
        if model is None:
            name = s.model or next(iter(self._own.names), "")
            why = f"no evidence of a model called {name!r}" if name else "its model is not named"
            return Checked(s, "no evidence", why)
        label = replace(s.label, edition=s.label.edition or edition)
        facts = self.facts(model, label)
        if s.own and label.average and not (label.bench or label.rest):
            facts = [f for f in self._by_model.get(model, ()) if f.metric == "average"]
        if not facts:
            return Checked(s, "no evidence", f"no figure of {model} for it")
        agreeing = [
            f for f in facts
            if agreement(s.printed, f.value, f.unit, slack=f.slack) is not None
        ]  # fmt: skip
        if agreeing:
            fact = agreeing[0]
            return Checked(s, "confirmed", f"{model}: {_shown(fact)}", fact)
        named = [f for f in facts if f.metric == label.metric]
        facts = facts if label.metric is None else named
        if not facts or s.printed.approximate or s.dated or s.variant:
            return Checked(s, "no evidence", "its row or heading may change what was measured")
        sure = [f for f in facts if f.measured and _is_stated(s, label, f)]
        info = catalogue.BENCHMARKS.get(label.bench or "")
        sure = [f for f in sure if info and f.metric == info.headline] or sure
        if sure and len({round(f.value, 6) for f in sure}) == 1:
            return Checked(s, "contradicted", f"{model}: {_shown(sure[0])}", sure[0])
        if label.bench == "alpaca_eval" and label.edition is None:
            return Checked(s, "no evidence", "which version of AlpacaEval it is of is not known")
        if s.printed.has_error:
            return Checked(s, "no evidence", "it has an error of its own: another measurement")
        return Checked(s, "differs", f"{model}: {_shown(facts[0])}", facts[0])

    def facts(self, model: str, label: Label) -> list[Fact]:
        """A model's figures that a heading may mean."""
        if label.rest or label.average or not label.bench:
            return []
        return [f for f in self._by_model.get(model, ()) if _may_be(label, f)]

    def outside(self, one: Statement, label: Label) -> tuple[Answer, str] | None:
        """What the evidence says to a statement on one benchmark; None: it has nothing."""
        if isinstance(one, Scored):
            model = self.model(one.subject if not self._is_own(one.subject) else "")
            facts = self.facts(model, label) if model else []
            if not facts:
                return None
            said = Printed(one.value, one.decimals, percent=one.percent)
            fits = [f for f in facts if agreement(said, f.value, f.unit, slack=f.slack)]
            shown = f"{model}: {_shown((fits or facts)[0])}"
            return ("consistent", shown) if fits else ("not supported", f"differs from {shown}")
        tested = self._tested(one, label)
        return tested if tested is not None else self._published(one, label)

    def _is_own(self, name: str) -> bool:
        return model_key(name) in self._own.keys

    def _tested(self, one: Compared, label: Label) -> tuple[Answer, str] | None:
        """What samples say: `evalkit claim` on the runs that have them of all sides."""
        names = [self.model("" if self._is_own(n) else n) for n in (one.subject, *one.others)]
        words = {"better": "beats", "worse": "is worse than", "equal": "matches",
                 "not_worse": "is not worse than", "longer": "is longer than",
                 "shorter": "is shorter than"}  # fmt: skip
        if None in names or one.relation == "best" or one.amount is not None:
            return None
        for run in self._evidence.runs:
            entries = {
                f.entry for f in self._evidence.facts
                if f.run_id == run.manifest.run_id and _may_be(label, f) and f.measured
            }  # fmt: skip
            present = {(r.model, r.benchmark) for r in run.records}
            usable = [e for e in entries if all((n, e) in present for n in names)]
            if len(usable) != 1 or label.metric or label.category:
                continue
            claim = f"{names[0]} {words[one.relation]} {' and '.join(map(str, names[1:]))}"
            try:
                text = f"{claim} on {usable[0]}"
                said = checked_claim([run], text, Options())
            except ComparisonError:
                continue
            return said.answer, "; ".join(said.reasons)
        return None

    def _published(self, one: Compared, label: Label) -> tuple[Answer, str] | None:
        if one.relation not in ("better", "worse", "not_worse") or one.amount or one.significant:
            return None
        held: list[bool] = []
        shown: list[str] = []
        for other in one.others:
            ours, theirs = (self.model("" if self._is_own(n) else n) for n in (one.subject, other))
            pairs = [
                (a, b)
                for a in self.facts(ours or "", label) for b in self.facts(theirs or "", label)
                if (a.metric, a.edition, a.category, a.leaderboard) == (
                    b.metric, b.edition, b.category, b.leaderboard) and a.metric != "avg_length"
            ]  # fmt: skip
            if not pairs or (label.bench == "alpaca_eval" and label.edition is None):
                return None
            for a, b in pairs:
                gap = (a.value - b.value) * (-1 if one.relation == "worse" else 1)
                held.append(gap >= 0 if one.relation == "not_worse" else gap > 0)
                shown.append(f"{a.model} {_shown(a)}; {b.model} {_shown(b)}")
        if all(held):
            return "consistent", shown[0]
        if not any(held):
            return "not supported", f"published figures say otherwise: {shown[0]}"
        return "not checked", "published figures disagree"


def _may_be(label: Label, f: Fact) -> bool:
    info = catalogue.BENCHMARKS.get(f.bench)
    is_family = info is not None and info.family and info.family == label.bench
    if label.bench not in (f.bench, f.task) and not is_family:
        return False
    if label.category != f.category:
        return False
    if label.edition is not None and f.edition is not None and label.edition != f.edition:
        return False
    if label.shots is not None and f.shots is not None and label.shots != f.shots:
        return False
    if label.metric is None and info is not None:
        return f.metric in info.metrics
    return label.metric is None or same_metric(label, replace(label, metric=f.metric))


def _is_stated(s: Stated, label: Label, f: Fact) -> bool:
    """Whether both sides state what decides the figure, and it is the same."""
    if s.own:
        return True
    info = catalogue.BENCHMARKS.get(f.bench)
    if info is None or (label.metric is None and len(info.metrics) > 1 and not info.editions):
        return False
    if label.metric is not None and label.metric != f.metric:
        return False
    if info.editions:
        return s.label.edition is not None and s.label.edition == f.edition
    return label.shots is not None and label.shots == f.shots


def _column(c: Checked) -> tuple[str, int]:
    return c.stated.place, c.stated.column


def _editions(checked: Sequence[Checked]) -> dict[tuple[str, int], str]:
    """By column the version of AlpacaEval that most of its confirmed numbers are of."""
    found: dict[tuple[str, int], Counter[str]] = {}
    for c in checked:
        if c.fact is not None and c.verdict == "confirmed" and c.fact.edition:
            found.setdefault(_column(c), Counter())[c.fact.edition] += 1
    return {
        column: counted.most_common(1)[0][0]
        for column, counted in found.items()
        if counted.most_common(1)[0][1] >= 2 and len(counted) == 1
    }


def _swapped(checked: Sequence[Checked], held: Held) -> list[Checked]:
    """Rows whose leaderboard figures stand in each other's places."""
    found: list[Checked] = []
    for c in checked:
        if c.verdict == "differs" and c.fact is not None and c.fact.leaderboard:
            others = [
                o for o in checked
                if _column(o) == _column(c) and o.verdict == "differs" and o.fact is not None
                and o.fact.leaderboard and o.stated is not c.stated
            ]  # fmt: skip
            here = [o for o in others if o.fact and _states(c.stated, o.fact)]
            there = [o for o in others if _states(o.stated, c.fact)]
            if here and there and c.stated.printed.significant_digits >= 3:
                why = f"{c.how}; it stands in the row of {there[0].stated.model!r}"
                found.append(replace(c, verdict="contradicted", how=why))
                continue
        found.append(c)
    return found


def _states(s: Stated, f: Fact) -> bool:
    return agreement(s.printed, f.value, f.unit, slack=f.slack) is not None


def _shown(f: Fact) -> str:
    return f"{figure(f.value, f.unit)} ({f.source})"


def model_remark(
    held: Held, evidence: Evidence, own: Own, stated: Sequence[Stated]
) -> Remark | None:
    """A note where the card's own model is none of the evidence that was given."""
    mine = [s for s in stated if not s.model or own.of(s.key) == ()]
    given = evidence.measured
    if not mine or not given or held.model("") is not None:
        return None
    named = f"{own.names[0]!r}, the card's own model," if own.names else "the card's own model"
    return Remark(
        "model", False, 1,
        f"{named} is not in the evidence by that name, so its figures were held against nothing; "
        f"if it is one of {', '.join(given[:8])}, say so: --model {given[0]}",
    )  # fmt: skip
