"""What a watch has planned, spent and decided: a file of JSON lines that only grows.

    {"entry": "plan", ...}      once, first: what must stay as it is while alpha is spent
    {"entry": "look", ...}      alpha is spent: this checkpoint, measured by this run, at this level
    {"entry": "verdict", ...}   what the gate said at that look
    {"entry": "failure", ...}   a checkpoint that could not be measured; nothing is spent

A look is written after its run is complete and before its scores are compared.  Its verdict depends
on the run and the level alone, so a watch that is killed at any moment comes to the same verdict at
the same look.  No line has a time, so an interrupted watch leaves the same bytes as another one.

A look is one checkpoint's gate.  Look k of N planned ones tests at the level of alpha spending
(`stats.decisions.alpha_spending`): the alpha spent there, so that the levels of all looks add up to
at most the policy's alpha.  By the union bound (a weighted Bonferroni split), under any dependence
between checkpoints, which answer the same questions:

- the probability that any test of any checkpoint is called a regression although that
  checkpoint is not worse there is at most alpha over the whole training run.  Within a look
  Holm's correction keeps it at the look's level (Holm 1979);
- the probability that any checkpoint passes although it is worse by its margin or more on some
  required test is at most alpha as well.  Within a look passing every test needs no correction
  (intersection-union; Berger 1982, "Multiparameter hypothesis testing and acceptance sampling").

Each of the two is kept at alpha; the probability of either error is at most twice that.  Both
hold if watching stops early, and whichever checkpoints fail to load, since a look's level depends
on its number alone.  They do not hold where the verdicts steer the training: a model that is chosen
by its answers to the test questions overfits them (Dwork et al. 2015, "The reusable holdout").  Nor
may the plan change after the first look; the ledger keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from evalkit.core import Json
from evalkit.errors import DataError, SuiteError
from evalkit.stats.decisions import Spending, alpha_spending
from evalkit.store import decode, encode
from evalkit.store.codec import CodecError, json_bytes, parse_json
from evalkit.store.files import Closing, FolderLock, LineFile, writing

__all__ = ["LEAST_LEVEL", "LEDGER_NAME", "Failure", "Ledger", "Look", "Plan", "Verdict", "level_of"]

# --- what a look may spend -------------------------------------------------------------------

LEAST_LEVEL = 1e-9
"""A look that may spend less cannot decide: its bounds would be infinite."""


def level_of(look: int, planned: int, alpha: float, spending: Spending) -> tuple[float, float]:
    """Level that a look tests at, and what is spent up to and with it.

    Args:
        look: Its number, from 1 to `planned`.
        planned: Looks in all; fraction 1 of the information.
        alpha: One-sided, over all looks.
        spending: How alpha is spread; see `stats.decisions.spent`.
    """
    fractions = [k / planned for k in range(1, look + 1)]
    found = alpha_spending(fractions, alpha, spending)
    return found.levels[-1], found.spent[-1]


# --- the file --------------------------------------------------------------------------------

LEDGER_NAME = "ledger.jsonl"
FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first look."""

    checkpoints: str
    """Their folder, as the suite would name it."""
    candidate: str
    baseline: str
    looks: int
    """Planned in all."""
    spending: Spending
    policy: Mapping[str, Json]
    """The suite's gate section."""
    suite: Mapping[str, str]
    """Digest of each section of the suite that decides answers and scores."""
    format: int = FORMAT

    @property
    def alpha(self) -> float:
        """One-sided, over all looks."""
        return float(self.policy["alpha"])


@dataclass(frozen=True)
class Look:
    """A checkpoint at the gate: its alpha is spent."""

    look: int
    """From 1."""
    checkpoint: str
    """Name of its folder."""
    fingerprint: str
    """Of its contents."""
    model: str
    """Its name in its run."""
    run: str
    """Run id."""
    level: float
    """One-sided level of this look's tests."""
    spent: float
    """Alpha spent up to and with it."""


@dataclass(frozen=True)
class Verdict:
    """What the gate said."""

    look: int
    verdict: Literal["pass", "regression", "incomplete", "inconclusive"]
    exit_code: int
    reasons: tuple[str, ...]
    gate: Mapping[str, Json]
    """The whole result, as `evalkit gate --json` prints it."""


@dataclass(frozen=True)
class Failure:
    """A checkpoint that could not be measured."""

    checkpoint: str
    fingerprint: str
    reason: str
    unanswered: int = 0
    """Samples that lack an answer in an otherwise good run; 0: there is no run."""


_Entry: TypeAlias = Plan | Look | Verdict | Failure
_ENTRIES: Mapping[str, type[Any]] = {
    "plan": Plan,
    "look": Look,
    "verdict": Verdict,
    "failure": Failure,
}
_NAMES = {cls: name for name, cls in _ENTRIES.items()}


class Ledger(Closing):
    """One watch's ledger; one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Open what is there, or begin an empty one.

        Raises:
            StoreError: another process watches, or the folder cannot be written.
            DataError: the file is damaged.
        """
        self.path = folder / LEDGER_NAME
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.plan: Plan | None = None
        self.looks: list[Look] = []
        self.verdicts: dict[int, Verdict] = {}
        self._failures: dict[str, Failure] = {}
        self._lock = FolderLock(folder)
        try:
            self._file = LineFile(self.path)
        except BaseException:
            self._lock.release()
            raise
        try:
            for number, line in enumerate(self.path.read_bytes().split(b"\n")[:-1], 1):
                self._take(self._read(line, number))
        except BaseException:
            self.close()
            raise

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The latest of each checkpoint that has not been looked at since."""
        return tuple(self._failures.values())

    @property
    def open_looks(self) -> list[Look]:
        """Those without a verdict: a killed watch left them."""
        return [look for look in self.looks if look.look not in self.verdicts]

    @property
    def used_up(self) -> bool:
        """All planned looks have been."""
        return self.plan is not None and len(self.looks) >= self.plan.looks

    def look_at(self, checkpoint: str) -> Look | None:
        """The look that was given to a checkpoint of that name."""
        return next((look for look in self.looks if look.checkpoint == checkpoint), None)

    def begin(self, plan: Plan) -> None:
        """Write the plan, or check that it is the same as before.

        Raises:
            SuiteError: another plan; names what differs.
        """
        if self.plan is None:
            self._append(plan)
            return
        before, now = _shown(self.plan), _shown(plan)
        changed = [name for name in before if before[name] != now.get(name)]
        changed += [name for name in now if name not in before]
        if changed:
            listed = "; ".join(f"{n}: {before.get(n)!r}, now {now.get(n)!r}" for n in changed)
            raise SuiteError(
                f"{self.path} was begun with another plan ({listed}). It fixed what may be spent: "
                f"change that back, or move the ledger away to begin a new one, whose verdicts do "
                f"not share the old one's error rate"
            )

    def open_look(self, checkpoint: str, fingerprint: str, model: str, run: str) -> Look:
        """Spend the next look's alpha on a checkpoint; the same look if it has one already."""
        known = self.look_at(checkpoint)
        if known is not None:
            return known
        plan = self.plan
        assert plan is not None, "a plan is made before the first look"
        assert not self.used_up, "no look is left"
        number = len(self.looks) + 1
        level, spent = level_of(number, plan.looks, plan.alpha, plan.spending)
        look = Look(number, checkpoint, fingerprint, model, run, level, spent)
        self._append(look)
        return look

    def decide(self, verdict: Verdict) -> None:
        """Write what the gate said at a look."""
        self._append(verdict)

    def fail(self, failure: Failure) -> None:
        """Note that a checkpoint could not be measured; the same failure again adds nothing."""
        if self._failures.get(failure.checkpoint) != failure:
            self._append(failure)

    def close(self) -> None:
        """Let the next process in; idempotent."""
        self._file.close()
        self._lock.release()

    def _append(self, entry: _Entry) -> None:
        self._file.append(json_bytes({"entry": _NAMES[type(entry)], **encode(entry)}))
        self._take(entry)

    def _read(self, line: bytes, number: int) -> _Entry:
        try:
            entry = _entry(line)
            self._check(entry)
        except CodecError as error:
            raise DataError(
                f"{self.path}:{number}: {error}; restore the file from a copy, since a ledger "
                f"that lost lines would spend alpha twice, or move it away to begin a new one"
            ) from error
        return entry

    def _check(self, entry: _Entry) -> None:
        if isinstance(entry, Plan) != (self.plan is None):
            raise CodecError("the plan is the first line, and the only one")
        if isinstance(entry, Plan) and entry.format != FORMAT:
            raise CodecError(f"format {entry.format!r}; this evalkit reads {FORMAT}")
        if isinstance(entry, Look) and (entry.look != len(self.looks) + 1 or self.open_looks):
            raise CodecError(
                f"look {entry.look} does not follow on look {len(self.looks)} and its verdict"
            )
        if isinstance(entry, Verdict) and entry.look not in {
            open_.look for open_ in self.open_looks
        }:
            raise CodecError(f"a verdict of look {entry.look}, which is not open")

    def _take(self, entry: _Entry) -> None:
        match entry:
            case Plan():
                self.plan = entry
            case Look():
                self.looks.append(entry)
                self._failures.pop(entry.checkpoint, None)
            case Verdict():
                self.verdicts[entry.look] = entry
            case Failure():
                self._failures[entry.checkpoint] = entry


def _entry(line: bytes) -> _Entry:
    found = parse_json(line)
    kind = found.pop("entry", None) if isinstance(found, dict) else None
    if not isinstance(kind, str) or kind not in _ENTRIES:
        raise CodecError(f"entry {kind!r}; expected one of {', '.join(_ENTRIES)}")
    entry: _Entry = decode(_ENTRIES[kind], found)
    return entry


def _shown(plan: Plan) -> dict[str, Json]:
    """A plan's fields by the names that users know, one level deep."""
    found = asdict(plan)
    policy, suite = found.pop("policy"), found.pop("suite")
    return (
        found
        | {f"gate.{name}": value for name, value in policy.items()}
        | {f"suite section {name!r}": value for name, value in suite.items()}
    )
