"""The loop: poll the folder, measure what is new and whole, stop when there is nothing to come.

All that must outlast the process is in the ledger and in the runs; what this file remembers (how
folders looked a poll ago, what failed in this process) may be lost at any moment.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from evalkit import gate, models, runner
from evalkit.watch.evaluating import contents, decide, evaluate, fingerprint
from evalkit.watch.folders import (
    Folder,
    Polled,
    Settling,
    State,
    find_folders,
    state_of,
    training_ended,
)
from evalkit.watch.ledger import Failure, Ledger, Look, Plan
from evalkit.watch.training import Training

__all__ = ["Listener", "Options", "Silent", "Standing", "changed_text", "watch"]


_TRIES = 3
"""How often a checkpoint that fails is tried in one process; another start tries it again."""


@dataclass(frozen=True)
class Options:
    """How to watch."""

    poll_s: float = 15.0
    """Seconds between two looks at the folder, and for which files must be at rest."""
    once: bool = False
    """Measure what is there, and end."""
    stop_on_regression: bool = False


class Listener(Protocol):
    """Told what happens, as it happens."""

    def progress(self) -> runner.Progress:
        """For one checkpoint's run."""
        ...

    def note(self, text: str) -> None:
        """Something to know."""
        ...

    def decided(self, plan: Plan, look: Look, result: gate.GateResult) -> None:
        """A checkpoint has its verdict."""
        ...


class Silent:
    """Listens and says nothing."""

    def progress(self) -> runner.Progress:
        """One that says nothing either."""
        return runner.Silent()

    def note(self, text: str) -> None:
        """Nothing."""

    def decided(self, plan: Plan, look: Look, result: gate.GateResult) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Standing:
    """The folder when the watch ended."""

    present: frozenset[str] = frozenset()
    """Checkpoints that are there."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """Those that are not whole yet, and what each lacks."""
    changed: tuple[str, ...] = ()
    """Those that are not any more what their look was at."""
    beyond: tuple[str, ...] = ()
    """Whole ones for which the plan has no look left."""
    ended: str = ""
    """Why there is nothing more to wait for."""


def watch(training: Training, ledger: Ledger, options: Options, listener: Listener) -> Standing:
    """Follow a training run; the ledger has its plan.

    Returns when nothing more is to come: all planned looks were used, training reached its last
    step, the first regression where that ends it, or, with `once`, what is there was measured.

    Raises:
        EvalkitError: What is nobody's but the user's to mend; the same call goes on from there.
    """
    watching = _Watch(training, ledger, options, listener)
    for look in ledger.open_looks:
        watching.decide(look)
    return watching.follow()


class _Watch:
    def __init__(
        self, training: Training, ledger: Ledger, options: Options, listener: Listener
    ) -> None:
        self.training, self.ledger = training, ledger
        self.options, self.listener = options, listener
        self.adapter = training.template.adapter
        self.settling = Settling(options.poll_s, adapter=self.adapter)
        self.tried: Counter[str] = Counter()
        """How often a checkpoint has failed in this process."""
        self.resting: set[str] = set()
        """Failed since the last verdict, which showed that others could be measured."""
        self.unchanged: dict[str, State] = {}
        """Files of a checkpoint when they were last what its look was at."""
        self.said: set[str] = set()

    def follow(self) -> Standing:
        """Poll until nothing more is to come."""
        waited = False
        while True:
            found = find_folders(self.training.place)
            polled = self._poll(found)
            self._say(found, polled)
            ready = [f for f in polled.ready if self._may_be_tried(f)]
            ended = self._over()
            if not ended and ready:
                # One, then look again: what is there may change while it is measured.
                self._measure(ready[0])
                continue
            if not ended and not polled.settling:
                ended = self._nothing_to_come(found)
            if not ended and self.options.once and (waited or not polled.settling):
                ended = "what is there was evaluated"
            if ended:
                return self._standing(ended)
            time.sleep(self.options.poll_s)
            waited = True

    def _poll(self, found: Sequence[Folder]) -> Polled:
        return self.settling.poll([f for f in found if self._is_new(f)], time.monotonic())

    def _nothing_to_come(self, found: Sequence[Folder]) -> str:
        return "training has reached its last step" if training_ended(found) else ""

    def _is_new(self, folder: Folder) -> bool:
        return self.ledger.look_at(folder.name) is None

    def _may_be_tried(self, folder: Folder) -> bool:
        return folder.name not in self.resting and self.tried[folder.name] < _TRIES

    def _over(self) -> str:
        regressed = any(v.verdict == "regression" for v in self.ledger.verdicts.values())
        if self.options.stop_on_regression and regressed:
            return "a checkpoint regressed"
        return "all planned looks are used" if self.ledger.used_up else ""

    def _measure(self, folder: Folder) -> None:
        self.listener.note(f"evaluating {folder.name}")
        found = evaluate(folder, self.training, self.ledger, self.listener.progress())
        if isinstance(found, Failure):
            self.tried[folder.name] += 1
            self.resting.add(folder.name)
            self.listener.note(f"{folder.name} failed and spends nothing: {found.reason}")
            return
        self.decide(found)
        self.resting.clear()

    def decide(self, look: Look) -> None:
        """Open a look's gate."""
        assert self.ledger.plan is not None, "a plan is made before the first look"
        result = decide(look, self.training, self.ledger)
        self.listener.decided(self.ledger.plan, look, result)

    def _standing(self, ended: str) -> Standing:
        found = find_folders(self.training.place)
        polled = self._poll(found)
        return Standing(
            present=frozenset(f.name for f in found),
            lacking=polled.lacking,
            changed=tuple(f.name for f in found if self._changed(f)),
            beyond=tuple(f.name for f in polled.ready) if self.ledger.used_up else (),
            ended=ended,
        )

    def _say(self, found: Sequence[Folder], polled: Polled) -> None:
        """What a user should see to, once."""
        notes = {name: f"not whole: {polled.lacking[name]}" for name in polled.stuck}
        notes |= {f.name: changed_text(f.name) for f in found if self._changed(f)}
        for note in notes.values():
            if note not in self.said:
                self.said.add(note)
                self.listener.note(note)

    def _changed(self, folder: Folder) -> bool:
        """Whether a checkpoint is whole and other than what its look was at."""
        look = self.ledger.look_at(folder.name)
        if look is None:
            return False
        state = state_of(folder, adapter=self.adapter)
        if self.unchanged.get(folder.name) == state:
            return False
        if models.unfinished(folder.path, adapter=self.adapter):
            return False
        if fingerprint(contents(folder, self.training)) == look.fingerprint:
            self.unchanged[folder.name] = state
            return False
        return True


def changed_text(name: str) -> str:
    """What it means that a checkpoint is not what it was."""
    return (
        f"{name} is not what it was when it was evaluated: its verdict is not of what is there "
        f"now, which has none; give new checkpoints a folder of their own"
    )
