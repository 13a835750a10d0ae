"""Where the documents of lm-eval's tasks come from: a pulled copy, a mirror's files, or the hub.

A mirror may hold them in two ways: as `evalkit data pull` wrote them (`hub/OWNER/NAME@REVISION/`,
loaded as the hub's own), or as converted JSON Lines files of the catalogue.  Converted ones may
lack splits; `TaskData.remarks` says what that changes, and manifests and reports show it.

Revisions: the hub's main branch of each data set, as pinned by public repositories in 2026; None
where no pin is known: then the revision found is recorded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalkit import catalogue
from evalkit.core import Json
from evalkit.core.protocols import DataPlaces
from evalkit.data import public
from evalkit.data.public import Found, entry, local, require_available
from evalkit.errors import DataError

__all__ = [
    "TaskData",
    "copy_local",
    "is_available",
    "nltk_folder",
    "pull",
    "pulled",
    "revision",
    "split_name",
    "task_data",
]

_REVISIONS: dict[str, str] = {
    "allenai/ai2_arc": "210d026faf9955653af8916fad021475a3f00453",
    "Rowan/hellaswag": "218ec52e09a7e7462a5400043bb9a69a41d06b76",
    "cais/mmlu": "c30699e8356da336a370243923dbaf21066bb9fe",
    "truthfulqa/truthful_qa": "741b8276f2d1982aa3d5b832d3ee81ed3b896490",
    "allenai/winogrande": "01e74176c63542e6b0bcb004dcdea22d94fb67b5",
    "openai/gsm8k": "740312add88f781978c0658806c59bc2815b9866",
    "TIGER-Lab/MMLU-Pro": "b189ec765aa7ed75c8acfea42df31fdae71f97be",
    "TAUR-Lab/MuSR": "7c365b439a222150f317764d4f16ae6c96d7d94a",
    "Idavidrein/gpqa": "633f5ee89ab8ad4522a9f850766b73f62147ffdd",
}
_TODAY = {
    **{name: s.id for s in catalogue.HUB_SETS.values() for name in s.former},
    "google/IFEval": "wis-k/instruction-following-eval",  # the copy that lm-eval's leaderboard has
}
"""By other ids of a data set in tasks, the id used here."""


@dataclass(frozen=True)
class _LocalFiles:
    """Catalogue names that stand for a data set of the hub."""

    splits: Mapping[str, str]
    """Catalogue name by split."""
    config: Mapping[str, Json] = field(default_factory=dict)
    """Changes to a task's config because of missing splits."""
    remarks: tuple[str, ...] = ()
    """How this differs from the official data set."""


@dataclass(frozen=True)
class TaskData:
    """Where an lm-eval task's documents come from."""

    config: Mapping[str, Json]
    """Entries to set in the task's config: dataset_path, dataset_name, dataset_kwargs, splits."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Local files by the label that is shown for them."""
    remarks: tuple[str, ...] = ()
    revision: str | None = None
    """Commit of the hub's data set, where it is loaded."""


def _canonical(path: str) -> str:
    """Today's name of a data set."""
    return _TODAY.get(path, path)


def revision(path: str) -> str | None:
    """The pinned commit of a data set of the hub; None: not pinned."""
    return _REVISIONS.get(_canonical(path))


def _local_files(path: str, config: str | None) -> _LocalFiles | None:
    """The converted files of a data set in a mirror; None: there are none."""
    name = _canonical(path)
    if name == "cais/mmlu" and config is not None:
        where = "leaderboard_v1/mmlu"
        return _LocalFiles({"dev": f"{where}/dev/{config}", "test": f"{where}/test/{config}"})
    if name == "SaylorTwift/bbh" and config is not None:
        return _LocalFiles({"test": f"leaderboard_v2/bbh/{config}"})
    return _LOCAL.get((name, config)) or _LOCAL.get((name, None))


_LOCAL: dict[tuple[str, str | None], _LocalFiles] = {
    ("allenai/ai2_arc", "ARC-Challenge"): _LocalFiles(
        {
            "train": "leaderboard_v1/arc_challenge/train",
            "validation": "leaderboard_v1/arc_challenge/validation",
            "test": "leaderboard_v1/arc_challenge/test",
        },
        remarks=("63 of the 1,119 training questions are reconstructed: same text, other ids",),
    ),
    ("Rowan/hellaswag", None): _LocalFiles(
        {"validation": "leaderboard_v1/hellaswag/validation_reconstructed"},
        {"training_split": None, "fewshot_split": "validation"},
        (
            "worked examples come from the validation split, the training split is not there",
            "contexts are rebuilt from a text dump: where they are divided is a guess",
        ),
    ),
    ("truthfulqa/truthful_qa", "multiple_choice"): _LocalFiles(
        {"validation": "leaderboard_v1/truthfulqa/multiple_choice_validation"}
    ),
    ("allenai/winogrande", "winogrande_xl"): _LocalFiles(
        {
            "train": "leaderboard_v1/winogrande/train_m",
            "validation": "leaderboard_v1/winogrande/validation",
        },
        remarks=("worked examples come from the training set train_m, not from winogrande_xl's",),
    ),
    ("openai/gsm8k", "main"): _LocalFiles(
        {"train": "leaderboard_v1/gsm8k/train", "test": "leaderboard_v1/gsm8k/test"}
    ),
    ("EleutherAI/drop", None): _LocalFiles(
        {"validation": "leaderboard_v1/drop/validation_reconstructed"},
        {"training_split": None, "fewshot_split": "validation"},
        (
            "worked examples come from the validation split, the training split is not there",
            "answer types are guessed from the answers' text, and the order is not the original",
        ),
    ),
    ("wis-k/instruction-following-eval", None): _LocalFiles(
        {"train": "leaderboard_v2/ifeval/input_data"}
    ),
    ("TIGER-Lab/MMLU-Pro", None): _LocalFiles(
        {
            "test": "leaderboard_v2/mmlu_pro/test",
            "validation": "leaderboard_v2/mmlu_pro/validation_standin_70",
        },
        remarks=(
            "worked examples are 70 test questions: the validation split is not there",
            "options are those of an earlier revision",
        ),
    ),
    ("TAUR-Lab/MuSR", None): _LocalFiles(
        {
            "murder_mysteries": "leaderboard_v2/musr/murder_mysteries",
            "object_placements": "leaderboard_v2/musr/object_placements",
            "team_allocation": "leaderboard_v2/musr/team_allocation",
        },
        remarks=("samples only: 5, 20 and 5 of 250, 256 and 250 documents",),
    ),
}


def _folder_of(path: str, places: DataPlaces) -> Path | None:
    """The pulled copy of a data set of the hub; None where there is none."""
    name = _canonical(path)
    for root in public.folders(places):
        pinned = root / "hub" / f"{name}@{revision(name) or 'main'}"
        if pinned.is_dir():
            return pinned
    return None


def split_name(named: str) -> tuple[str, str | None]:
    """(path, config) of `hub:PATH[:CONFIG]`."""
    path, _, config = named.removeprefix("hub:").partition(":")
    return path, config or None


def is_available(named: str, places: DataPlaces) -> bool:
    """Whether `hub:PATH[:CONFIG]` is in a mirror, was downloaded, or can be."""
    path, config = split_name(named)
    if _folder_of(path, places) is not None:
        return True
    files = _local_files(path, config)
    if files is not None and not public.missing(
        list(files.splits.values()), DataPlaces(places.mirrors)
    ):
        return True
    if _in_datasets_cache(path):
        return True
    return not public.is_offline() and public.answers(public.hub_endpoint())


def _in_datasets_cache(path: str) -> bool:
    """Whether the `datasets` library or the hub's client have a copy of any revision."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    kept = Path(os.environ.get("HF_DATASETS_CACHE", home / "datasets"))
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    flat = path.replace("/", "___")
    return (kept / flat).is_dir() or (hub / f"datasets--{path.replace('/', '--')}").is_dir()


def pull(named: str, folder: Path) -> Path:
    """Copy the data set `hub:PATH[:CONFIG]` below `folder`, as `task_data` finds it.

    Raises:
        DataError: the hub does not answer or has no such data set.
    """
    from huggingface_hub import HfApi

    path, config = split_name(named)
    name = _canonical(path)
    target = folder / "hub" / f"{name}@{revision(name) or 'main'}"
    api = HfApi(endpoint=public.hub_endpoint())
    try:
        listed = api.list_repo_files(name, repo_type="dataset", revision=revision(name))
        api.snapshot_download(
            name,
            repo_type="dataset",
            revision=revision(name),
            local_dir=target,
            allow_patterns=_patterns(listed, config),
        )
    except Exception as error:  # the hub's client raises errors of several libraries
        raise DataError(
            f"the hub's data set {name!r} cannot be fetched ({type(error).__name__}: {error}); "
            f"check the network, and for a gated one `hf auth login`"
        ) from error
    return target


def _patterns(files: list[str], config: str | None) -> list[str] | None:
    """The files of one config's folder where the data set has one; None: everything."""
    if config is None or not any(file.startswith(f"{config}/") for file in files):
        return None
    return [f"{config}/*", "README.md", "*.json", "*.yaml"]


# --- what a task is loaded from -------------------------------------------------------------------


def task_data(path: str, config: str | None, places: DataPlaces) -> TaskData | None:
    """How a task that names the hub's data set `path` with `config` is to be loaded.

    A pulled copy comes before converted files: it is the official data set.

    Returns:
        Changes to the task's config; only `revision` where a pinned commit of the hub is to be
        loaded; None: unknown data set.

    Raises:
        DataError: a local file is not what its name says.
    """
    folder = _folder_of(path, places)
    pin = revision(path)
    if folder is not None:
        pulled: dict[str, Json] = {"dataset_path": str(folder), "dataset_name": config}
        return TaskData(pulled, {}, (), pin)
    files = _local_files(path, config)
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
    path, config = split_name(named)
    copy = _folder_of(path, DataPlaces((folder,)))
    if copy is None or config is None or (copy / config).is_dir():
        return copy
    return copy if not any(p.is_dir() and p.name != ".cache" for p in copy.iterdir()) else None


def copy_local(named: str, places: DataPlaces, folder: Path) -> list[Path]:
    """Copy a mirror's converted files of `hub:PATH[:CONFIG]` into another mirror.

    Raises:
        DataError: no mirror has all of them.
    """
    path, config = split_name(named)
    files = _local_files(path, config)
    found = None if files is None else _all_of(files.splits, places)
    if found is None:
        require_available([named], DataPlaces(places.mirrors))
        raise DataError(f"{named}: no mirror has its files; fetch it where the hub can be reached")
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
    found = _all_of({name: f"{_PUNKT}/{name}" for name in _PUNKT_FILES}, places)
    return None if found is None else str(found[_PUNKT_FILES[0]].path.parents[3])
