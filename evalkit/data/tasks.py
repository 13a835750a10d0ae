"""Where an lm-eval task's documents come from: a pulled copy, a mirror's files, or the hub."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from evalkit.core import Json
from evalkit.core.protocols import DataPlaces
from evalkit.data import hubsets
from evalkit.data.catalogue import entry
from evalkit.data.hubsets import TaskData
from evalkit.data.resolve import Found, local, require_available
from evalkit.errors import DataError

__all__ = ["copy_local", "nltk_folder", "pulled", "task_data"]


def task_data(path: str, config: str | None, places: DataPlaces) -> TaskData | None:
    """How a task that names the hub's data set `path` with `config` is to be loaded.

    A pulled copy comes before converted files: it is the official data set.

    Returns:
        What to change in the task's config; with only `revision` where the hub is to be asked for
        a pinned commit; None where nothing is known of this data set.

    Raises:
        DataError: a local file is not what its name says.
    """
    folder = hubsets.folder_of(path, places)
    pin = hubsets.revision(path)
    if folder is not None:
        pulled: dict[str, Json] = {"dataset_path": str(folder), "dataset_name": config}
        return TaskData(pulled, {}, (), pin)
    files = hubsets.local_files(path, config)
    found = None if files is None else _all_of(files.splits, places)
    if files is not None and found is not None:
        kept = {split: str(one.path) for split, one in found.items()}
        changed: dict[str, Json] = {
            **files.config,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": kept},
        }
        return TaskData(changed, {one.name: one.path for one in found.values()}, files.remarks)
    return None if pin is None else TaskData({"dataset_kwargs": {"revision": pin}}, revision=pin)


def _all_of(splits: Mapping[str, str], places: DataPlaces) -> dict[str, Found] | None:
    """Every split's file from a mirror; None where one is not there."""
    mirrored = DataPlaces(places.mirrors)
    found = {split: local(entry(name), mirrored) for split, name in splits.items()}
    whole = {split: one for split, one in found.items() if one is not None}
    return whole if len(whole) == len(found) else None


def pulled(named: str, folder: Path) -> Path | None:
    """The pulled copy of `hub:PATH[:CONFIG]` in `folder`, if it has that config's files."""
    path, config = hubsets.split_name(named)
    copy = hubsets.folder_of(path, DataPlaces((folder,)))
    if copy is None or config is None or (copy / config).is_dir():
        return copy
    return copy if not any(p.is_dir() and p.name != ".cache" for p in copy.iterdir()) else None


def copy_local(named: str, places: DataPlaces, folder: Path) -> list[Path]:
    """Copy a mirror's converted files of `hub:PATH[:CONFIG]` into another mirror.

    Raises:
        DataError: no mirror has all of them.
    """
    path, config = hubsets.split_name(named)
    files = hubsets.local_files(path, config)
    found = None if files is None else _all_of(files.splits, places)
    if found is None:
        require_available([named], DataPlaces(places.mirrors))
        raise DataError(f"{named}: no mirror has its files; fetch it where the hub answers")
    copied = []
    for one in found.values():
        target = folder / entry(one.name).mirror
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one.path, target)
        copied.append(target)
    return copied


_PUNKT = "nltk_data/tokenizers/punkt_tab/english"
_PUNKT_FILES = ("abbrev_types", "collocations", "ortho_context", "sent_starters")


def nltk_folder(places: DataPlaces) -> str | None:
    """Folder for `nltk.data.path` with the verified punkt_tab files; None where there is none.

    Raises:
        DataError: a file is not what its name says.
    """
    mirrored = [
        local(entry(f"{_PUNKT}/{name}"), DataPlaces(places.mirrors)) for name in _PUNKT_FILES
    ]
    whole = [one for one in mirrored if one is not None]
    if len(whole) != len(mirrored):
        return None
    return str(whole[0].path.parents[3])
