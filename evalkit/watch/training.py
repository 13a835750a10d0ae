"""What is watched: a folder of checkpoints, and the suite that each of them is measured by."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit import plugins, runner, store
from evalkit import suite as suites
from evalkit.core.specs import GateSpec, Suite
from evalkit.errors import SuiteError
from evalkit.stats.sequential import Spending
from evalkit.watch.folders import Folder, find_folders, trainer_state
from evalkit.watch.ledger import Plan

__all__ = ["Training", "training"]

_DECISIVE = ("models", "engine", "judges", "benchmarks", "seed")
"""Sections of a suite that decide answers and scores; `gate` is compared field by field."""


@dataclass(frozen=True)
class Training:
    """A training run and its suite."""

    place: Path
    """Folder that checkpoints appear in."""
    reference: str
    """The same as the suite would name it: as the user wrote it, relative to the suite's folder."""
    template: suites.Template
    origin: runner.Origin

    @property
    def gate(self) -> GateSpec:
        """The suite's policy."""
        assert self.template.suite.gate is not None, "a suite without a gate section is refused"
        return self.template.suite.gate

    @property
    def reports(self) -> Path:
        """Folder of the suite's runs."""
        return self.origin.workspace / "reports" / self.template.suite.name

    @property
    def ledger_folder(self) -> Path:
        """One for each folder of checkpoints and candidate."""
        key = store.run_id([self.reference, self.template.candidate])[:8]
        return self.reports / f"watch-{Path(self.place).resolve().name}-{key}"

    def model(self, folder: Folder) -> str:
        """What a checkpoint is called in its run: it tells the step."""
        plain = "".join("-" if c in ":/\\," or not c.isprintable() else c for c in folder.name)
        return f"{self.template.candidate}-{plain}"

    def suite(self, folder: Folder) -> Suite:
        """The suite of one checkpoint."""
        weights = f"{self.reference.rstrip('/')}/{folder.name}"
        return self.template.filled(self.model(folder), weights)

    def run_origin(self) -> runner.Origin:
        """For the manifests of its runs."""
        return replace(self.origin, command=("evalkit", "watch", self.reference, self.origin.label))

    def plan(self, looks: int, spending: Spending) -> Plan:
        """What the first look fixes."""
        fixed = self.template.filled(self.template.candidate, "CHECKPOINT").decisive()
        return Plan(
            checkpoints=self.reference,
            candidate=self.template.candidate,
            baseline=self.gate.baseline,
            looks=looks,
            spending=spending,
            policy=self.gate.model_dump(mode="json"),
            suite={name: store.run_id(fixed[name]) for name in _DECISIVE},
        )

    def suggested_looks(self) -> int | None:
        """How many checkpoints the trainer's own state lets expect; None where it says nothing."""
        for folder in find_folders(self.place):
            state = trainer_state(folder.path)
            last, every = state.get("max_steps"), state.get("save_steps")
            if isinstance(last, int) and isinstance(every, int) and 0 < every <= last:
                return last // every
        return None


def training(
    place: Path, suite: str, changes: tuple[str, ...] = (), candidate: str | None = None
) -> Training:
    """Read the suite that `place` is watched by.

    Args:
        place: Folder that checkpoints appear in.
        suite: A YAML file, or the name of a bundled suite.
        changes: `a.b=c` overrides.
        candidate: Model of the suite that the checkpoints are of; None: its only candidate.

    Raises:
        DataError: there is no such folder.
        SuiteError: everything wrong with the suite, or it has no gate section.
    """
    find_folders(place)
    file = suites.locate(suite)
    reference = _reference(place, file.parent)
    template = suites.load_template(file, changes, plugins, reference, candidate)
    if template.suite.gate is None:
        raise SuiteError(
            f"{suite}: has no gate section; write one, such as gate: {{baseline: MODEL, margins: "
            f"{{default: 2.0}}}}"
        )
    origin = runner.Origin(suite, file.parent, suites.find_workspace(suite), ("evalkit", "watch"))
    return Training(place, reference, template, origin)


def _reference(place: Path, root: Path) -> str:
    """`place` as a suite in `root` names it; never to be taken for a hub repository."""
    if place.is_absolute():
        return str(place)
    found = Path(os.path.relpath(place.resolve(), root.resolve())).as_posix()
    return found if found.startswith("..") else f"./{found}"
