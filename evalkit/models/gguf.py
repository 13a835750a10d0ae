"""GGUF files as transformers checkpoints, converted once and kept in the workspace.

A GGUF file holds quantised weights, the tokenizer and its chat template.  transformers reads
all three; without `GgufConfig(dequantize=True)` its version 5 keeps the weights packed and
cannot save them.  The checkpoint has the dequantised weights, rounded to the wanted type (bfloat16
unless the suite says otherwise, half the size of float32).
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from importlib.metadata import version
from pathlib import Path

from evalkit.core import Json
from evalkit.errors import EvalkitError, ModelError
from evalkit.models.cache import Progress, build_once, cache_folder, write_stamp
from evalkit.models.checkpoint import FileHashes, digest
from evalkit.models.sources import WeightsSource

__all__ = ["convert", "gguf_digest", "gguf_fingerprint", "quiet_transformers"]

STAMP = "evalkit_gguf.json"
CONVERTER = 1
"""Incremented when the same file would convert to other weights."""


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide progress bars and warnings of transformers and PEFT; restored afterwards.

    What they warn about is checked by evalkit: it is an error, or part of the provenance.
    """
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _no_bar_in_a_pipe() -> Iterator[None]:
    """Hide the progress bar of unpacking, unless stderr is a terminal.

    That bar is tqdm's own and ignores transformers' settings.
    """
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):
        yield


def gguf_digest(source: WeightsSource, hashes: FileHashes) -> str:
    """`gguf:` and the hex digest of the file."""
    return "gguf:" + hashes.sha256(source.path)


def _made_by() -> dict[str, Json]:
    return {"converter": CONVERTER, "transformers": version("transformers")}


def gguf_fingerprint(source: WeightsSource, dtype: str, hashes: FileHashes) -> str:
    """Hex digest of the file's own hash, the converter's versions, and the target type."""
    return digest([gguf_digest(source, hashes), _made_by(), _wanted(dtype)])


def _wanted(dtype: str) -> str:
    return "bfloat16" if dtype == "auto" else dtype


def convert(
    source: WeightsSource, dtype: str, workspace: Path, hashes: FileHashes, progress: Progress
) -> Path:
    """The checkpoint folder of a GGUF file, which is converted once.

    `dtype`: auto, float32, bfloat16 or float16.  Raises ModelError when transformers cannot
    read the file, StoreError when the workspace cannot be written.
    """
    key = gguf_fingerprint(source, dtype, hashes)

    def build(out: Path) -> None:
        size = source.path.stat().st_size / 1e6
        progress(f"converting {source.path.name} ({size:.0f} MB) to a checkpoint, once")
        _convert(source, _wanted(dtype), out)
        stamp = {"key": key, "source": source.describe(), "dtype": _wanted(dtype), **_made_by()}
        write_stamp(out, STAMP, stamp, hashes)
        progress(f"converted {source.path.name}")

    folder = cache_folder(workspace, "gguf", source.path.stem, key)
    return build_once(folder, STAMP, key, build, hashes)


def _convert(source: WeightsSource, dtype: str, out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder, name = str(source.path.parent), source.path.name
    with quiet_transformers(), _no_bar_in_a_pipe():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                gguf_file=name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=getattr(torch, dtype),
            )
        except EvalkitError:
            raise
        except Exception as error:
            raise ModelError(
                f"transformers cannot convert the GGUF file {source.reference!r}: {error}; "
                "expected a causal language model of an architecture it knows"
            ) from error
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
