"""The checkpoints of a training run on disk: which there are, and which are whole.

A checkpoint is a folder whose name tells a training step (`checkpoint-500`, `global_step1200`).
It is taken when it is whole (`models.unfinished`) and its files have stayed as they are for a
while, by this process's clock: what clock a file's times are of does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from evalkit import models
from evalkit.errors import DataError
from evalkit.history import Step, natural_key, step_of

__all__ = [
    "Folder",
    "Polled",
    "Settling",
    "State",
    "find_folders",
    "state_of",
    "trainer_state",
    "training_ended",
]

_UNFINISHED_NAMES = ("tmp-", ".")
"""How trainers begin the name of a folder that they will rename when it is whole."""
State: TypeAlias = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of each file."""


@dataclass(frozen=True)
class Folder:
    """A checkpoint on disk, whole or not."""

    path: Path
    step: Step

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name


def find_folders(place: Path) -> list[Folder]:
    """Checkpoints in `place`, in the order of training: by step, whenever they were written.

    Raises:
        DataError: there is no such folder.
    """
    try:
        inside = [path for path in place.iterdir() if path.is_dir()]
    except OSError as error:
        raise DataError(
            f"{str(place)!r} cannot be read ({error.strerror}); expected the folder into which a "
            f"training run writes checkpoint-500 and the like: make it, or name another"
        ) from error
    found = []
    for path in inside:
        step = step_of([path.name])
        if step is not None and not path.name.startswith(_UNFINISHED_NAMES):
            found.append(Folder(path, step))
    return sorted(found, key=lambda f: (f.step.kind, f.step.value, natural_key(f.name)))


@dataclass(frozen=True)
class Polled:
    """What one look at the folder found of the checkpoints it was asked about."""

    ready: tuple[Folder, ...] = ()
    """Whole and at rest."""
    settling: tuple[str, ...] = ()
    """Whole, and not at rest for long enough."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """What each of the others lacks."""
    stuck: tuple[str, ...] = ()
    """Those of the others at which nobody seems to write any more."""


@dataclass(frozen=True)
class _Known:
    """A folder as it was found."""

    state: State
    since: float
    lack: str


class Settling:
    """Remembers what folders looked like, and since when."""

    def __init__(self, rest_s: float, *, adapter: bool) -> None:
        """`rest_s`: how long files stay as they are before they are taken for written.

        `adapter`: checkpoints are adapters, not whole models.
        """
        self._rest_s, self._adapter = rest_s, adapter
        self._known: dict[str, _Known] = {}

    def poll(self, found: Sequence[Folder], now: float) -> Polled:
        """Look at these folders; `now`: seconds of a clock that never goes back."""
        self._known = {folder.name: self._look(folder, now) for folder in found}
        resting = {n for n, known in self._known.items() if now - known.since >= self._rest_s}
        lacking = {n: known.lack for n, known in self._known.items() if known.lack}
        whole = [folder for folder in found if folder.name not in lacking]
        return Polled(
            ready=tuple(folder for folder in whole if folder.name in resting),
            settling=tuple(folder.name for folder in whole if folder.name not in resting),
            lacking=lacking,
            stuck=tuple(name for name in lacking if name in resting),
        )

    def _look(self, folder: Folder, now: float) -> _Known:
        state, before = state_of(folder, adapter=self._adapter), self._known.get(folder.name)
        if before is not None and before.state == state:
            return before
        # What it lacks follows from its files, so it need not be read anew at every poll.
        return _Known(state, now, models.unfinished(folder.path, adapter=self._adapter))


def state_of(folder: Folder, *, adapter: bool) -> State:
    """Name, size and modification time of each file that the model needs."""
    try:
        files = models.model_files(folder.path, adapter=adapter)
        stats = [(path.name, path.stat()) for path in files]
    except OSError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def training_ended(found: Sequence[Folder]) -> bool:
    """Whether the last checkpoint says that training has reached its last step.

    As the transformers Trainer writes it: `global_step` and `max_steps` of trainer_state.json.
    """
    if not found:
        return False
    state = trainer_state(found[-1].path)
    step, last = state.get("global_step"), state.get("max_steps")
    return isinstance(step, int) and isinstance(last, int) and 0 < last <= step


def trainer_state(folder: Path) -> Mapping[str, object]:
    """trainer_state.json of a checkpoint; empty where there is none, or it is half written."""
    try:
        found = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
