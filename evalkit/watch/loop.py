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
from evalkit.watch.folders import Folder, Settling, find_folders, training_ended
from evalkit.watch.ledger import Failure, Ledger, Look
from evalkit.watch.training import Training

__all__ = ["Listener", "Options", "Standing", "changed_text", "watch"]


_TRIES = 3
"""How often a checkpoint that fails is tried in one process; another start tries it again."""


@dataclass(frozen=True)
class Options:
    """How to watch."""

    poll_s: float = 15.0
    """Seconds between two looks at the folder; also how long files must be at rest."""
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

    def decided(self, look: Look, result: gate.GateResult) -> None:
        """A checkpoint has its verdict."""
        ...


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
    for look in ledger.open_looks:
        listener.decided(look, decide(look, training, ledger))
    return _Watch(training, ledger, options, listener).follow()


class _Watch:
    def __init__(
        self, training: Training, ledger: Ledger, options: Options, listener: Listener
    ) -> None:
        self.training, self.ledger = training, ledger
        self.options, self.listener = options, listener
        self.settling = Settling(adapter=training.template.adapter)
        self.tried: Counter[str] = Counter()
        """How often a checkpoint has failed in this process."""
        self.resting: set[str] = set()
        """Failed since the last verdict, which showed that others could be measured."""
        self.lacked: Mapping[str, str] = {}
        """What the folders that were not whole lacked a poll ago."""
        self.said: set[str] = set()

    def follow(self) -> Standing:
        """Poll until nothing more is to come."""
        polls = 0
        while True:
            found = find_folders(self.training.place)
            polls += 1
            self._say_changed(found)
            polled = self.settling.poll([f for f in found if self._is_new(f)])
            self._say_lacking(polled.lacking)
            untried = [f for f in polled.ready if self._may_be_tried(f)]
            ended = self._measure(untried)
            if not ended and not untried and not polled.settling:
                ended = self._nothing_to_come(found)
            if not ended and self.options.once and (polls > 1 or not polled.settling):
                ended = "what is there was evaluated"
            if ended:
                return self._standing(ended)
            time.sleep(self.options.poll_s)

    def _nothing_to_come(self, found: Sequence[Folder]) -> str:
        return "training has reached its last step" if training_ended(found) else ""

    def _is_new(self, folder: Folder) -> bool:
        return self.ledger.look_at(folder.name) is None

    def _may_be_tried(self, folder: Folder) -> bool:
        return folder.name not in self.resting and self.tried[folder.name] < _TRIES

    def _measure(self, ready: Sequence[Folder]) -> str:
        """Each in turn; why the watch ends, if it does."""
        for folder in ready:
            if ended := self._over():
                return ended
            self._one(folder)
        return self._over()

    def _over(self) -> str:
        regressed = any(v.verdict == "regression" for v in self.ledger.verdicts.values())
        if self.options.stop_on_regression and regressed:
            return "a checkpoint regressed"
        return "all planned looks are used" if self.ledger.used_up else ""

    def _one(self, folder: Folder) -> None:
        self.listener.note(f"evaluating {folder.name}")
        found = evaluate(folder, self.training, self.ledger, self.listener.progress())
        if isinstance(found, Failure):
            self.tried[folder.name] += 1
            self.resting.add(folder.name)
            self.listener.note(f"{folder.name} failed and spends nothing: {found.reason}")
            return
        self.listener.decided(found, decide(found, self.training, self.ledger))
        self.resting.clear()

    def _standing(self, ended: str) -> Standing:
        found = find_folders(self.training.place)
        polled = self.settling.poll([f for f in found if self._is_new(f)])
        return Standing(
            present=frozenset(f.name for f in found),
            lacking=polled.lacking,
            changed=tuple(f.name for f in found if self._changed(f)),
            beyond=tuple(f.name for f in polled.ready) if self.ledger.used_up else (),
            ended=ended,
        )

    def _say_lacking(self, lacking: Mapping[str, str]) -> None:
        """Once, and not of what is just being written."""
        for name, lack in lacking.items():
            if self.lacked.get(name) == lack and lack not in self.said:
                self.said.add(lack)
                self.listener.note(f"not whole yet: {lack}")
        self.lacked = lacking

    def _say_changed(self, found: Sequence[Folder]) -> None:
        for folder in found:
            if folder.name not in self.said and self._changed(folder):
                self.said.add(folder.name)
                self.listener.note(changed_text(folder.name))

    def _changed(self, folder: Folder) -> bool:
        """Whether a checkpoint is whole and other than what its look was at."""
        look, is_adapter = self.ledger.look_at(folder.name), self.training.template.adapter
        if look is None or models.unfinished(folder.path, adapter=is_adapter):
            return False
        return fingerprint(contents(folder, self.training)) != look.fingerprint


def changed_text(name: str) -> str:
    """What it means that a checkpoint is not what it was."""
    return (
        f"{name} is not what it was when it was evaluated: its verdict is not of what is there "
        f"now, which has none; give new checkpoints a folder of their own"
    )
