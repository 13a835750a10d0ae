"""What is merged into what, with which tokenizer, and the files that go beside the weights."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import ModelError
from evalkit.models.adapter import Adapter
from evalkit.models.base_check import Base
from evalkit.models.checkpoint import code_files, tokenizer_files
from evalkit.models.template import own_template

__all__ = ["MergeJob", "MergedTokenizer", "choose_tokenizer", "copy_beside", "first_line"]


@dataclass(frozen=True)
class MergeJob:
    """What is merged into what."""

    base: Base
    adapter: Adapter
    dtype: str
    """Type of the saved weights: float32, bfloat16 or float16."""
    code: bool
    """Run code that comes with the base."""


@dataclass(frozen=True)
class MergedTokenizer:
    """The tokenizer that goes with the merged weights."""

    tokenizer: Any
    folder: Path
    origin: str
    """`adapter` or `base`."""
    added: tuple[int, ...]
    """Ids the base's tokenizer does not have."""


def choose_tokenizer(job: MergeJob) -> MergedTokenizer:
    """The adapter's own tokenizer where it brings one, else the base's.  Raises ModelError."""
    from transformers import AutoTokenizer

    def load(folder: Path) -> Any:
        try:
            return AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=job.code
            )
        except Exception as error:
            raise ModelError(
                f"transformers cannot load the tokenizer in {str(folder)!r}: "
                f"{first_line(error)}; save it again with `save_pretrained`"
            ) from error

    base = load(job.base.folder)
    if not _has_vocabulary(job.adapter.path):
        return MergedTokenizer(base, job.base.folder, "base", ())
    own = load(job.adapter.path)
    added = sorted(set(own.get_vocab().values()) - set(base.get_vocab().values()))
    return MergedTokenizer(own, job.adapter.path, "adapter", tuple(added))


def _has_vocabulary(folder: Path) -> bool:
    names = {p.name for p in tokenizer_files(folder)}
    return bool(names & {"tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json"})


def copy_beside(job: MergeJob, chosen: MergedTokenizer, out: Path) -> None:
    """Tokenizer files as they are (saving them anew can change them), template, code."""
    files: Sequence[Path] = tokenizer_files(chosen.folder)
    if job.code:
        files = (*files, *code_files(job.base.folder))
    for file in files:
        shutil.copyfile(file, out / file.name)
    template = own_template(chosen.folder) or own_template(job.base.folder)
    if template is not None and own_template(out) is None:
        (out / "chat_template.jinja").write_text(template, encoding="utf-8")


def first_line(error: Exception) -> str:
    """The beginning of what an exception says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:2]) or type(error).__name__
