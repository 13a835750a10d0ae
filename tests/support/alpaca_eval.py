"""Real GPT-4 preferences on AlpacaEval 1, for tests that need real paired scores."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

__all__ = ["preferences"]


def preferences(public_data: Path, model: str) -> dict[str, float]:
    """By instruction, 0 to 1, those of the 805 that were judged (a draw is one half).

    Args:
        public_data: the folder that EVALKIT_DATA names.
        model: `notus-7b-v1`, `zephyr-7b-beta`, `claude-2`, ...: a file of annotations.
    """
    folder = public_data / "alpaca_eval" / "annotations" / "alpaca_eval_gpt4"
    rows = json.loads(gzip.decompress((folder / f"{model}.json.gz").read_bytes()))
    found = {row["instruction"]: row["preference"] for row in rows}
    return {
        key: 0.5 if value in (0, 1.5) else value - 1
        for key, value in found.items()
        if value is not None
    }
