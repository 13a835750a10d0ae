"""Whose lm-eval files are whose, where a folder holds those of several models.

lm-eval writes each model's files into a folder of the model's own name below one `--output_path`,
and so does `evalkit export --format lm_eval`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.errors import DataError
from evalkit.importers._common import few, remark
from evalkit.importers._lm_eval_files import Files, ResultFile

__all__ = ["by_model", "model_name"]

_MODEL_KEYS = ("pretrained", "model", "path")
_ODD = re.compile(r"[^0-9a-z]+")


def model_name(file: ResultFile) -> str:
    """The last part of the name or path that a result file gives its model; empty: none."""
    for part in file.model.split(","):
        key, _, value = part.partition("=")
        if key.strip() in _MODEL_KEYS and value:
            return value.strip().rstrip("/").rsplit("/", 1)[-1]
    return file.model.rstrip("/").rsplit("/", 1)[-1]


def by_model(found: Files, asked: Sequence[str]) -> list[tuple[str, Files]]:
    """The files of each model that is asked for; an empty name is what the files say.

    Files that say nothing of their model, or all the same, belong to the one model that is asked
    for, whatever that is called there.

    Raises:
        DataError: files of several models, and which are meant cannot be told.
    """
    said = dict.fromkeys(name for file in found.results if (name := model_name(file)))
    if len(asked) <= 1 and len(said) <= 1:
        return [(asked[0] if asked else next(iter(said), ""), found)]
    if not asked:
        raise DataError(
            f"results of several models ({_places(found)}); name those to import with --model, "
            f"the candidate first, or one model's folder"
        )
    picked = {name: [file for file in found.results if _is_of(file, name)] for name in asked}
    absent = [name for name, files in picked.items() if not files]
    if absent:
        raise DataError(
            f"no results of {few(absent)} in these lm-eval files: they are of {_places(found)}; "
            f"name models as the files or their folders do, or import each one's by themselves"
        )
    nobodys = [file for file in found.results if not any(file in mine for mine in picked.values())]
    return [(name, _of(found, files, nobodys)) for name, files in picked.items()]


def _is_of(file: ResultFile, name: str) -> bool:
    """By the file's own words, else by its folder's name, both as far as paths can spell names."""
    wanted = _plain(name)
    return wanted in (_plain(model_name(file)), _plain(file.path.parent.name))


def _plain(name: str) -> str:
    return _ODD.sub("_", name.casefold())


def _of(found: Files, mine: Sequence[ResultFile], nobodys: Sequence[ResultFile]) -> Files:
    """One model's results, and the samples in folders that hold only its results."""
    others = [file for file in found.results if file not in mine]
    folders = {f.path.parent for f in mine} - {f.path.parent for f in others}
    samples = [file for file in found.samples if file.path.parent in folders]
    findings = list(found.findings)
    if nobodys:
        left = _places(replace(found, results=list(nobodys)))
        findings.append(remark("other_models", f"results of other models are left out: {left}"))
    return Files(list(mine), samples, findings)


def _places(found: Files) -> str:
    """Each model with its folder."""
    seen: dict[tuple[str, Path], None] = {}
    for file in found.results:
        seen[model_name(file) or "unnamed", file.path.parent] = None
    return few([f"{name} in {folder}" for name, folder in seen])
