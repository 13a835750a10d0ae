"""Model cards as the hub's own client reads them, and runs to write them from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard_data import eval_results_to_model_index

from evalkit import card, store
from evalkit.core import Json, Run
from evalkit.store import RunStore, results_json
from tests.support.runs import Plan, build_run

__all__ = ["HubCard", "gathered", "hub_reads", "stored"]


@dataclass(frozen=True)
class HubCard:
    """What the client makes of a card's text."""

    data: ModelCardData
    body: str

    @property
    def model_index(self) -> Json:
        """The index as the client would write it again."""
        results: list[EvalResult] = self.data.eval_results or []
        return eval_results_to_model_index(str(self.data.model_name), results)


def hub_reads(text: str) -> HubCard:
    """Read a card without the network."""
    card = ModelCard(text)
    return HubCard(cast("ModelCardData", card.data), card.text)


def stored(folder: Path, plan: Plan | None = None) -> Run:
    """A finished run on disk."""
    run = build_run(folder, plan or Plan())
    manifest = {**run.manifest, "run_id": folder.name}
    with RunStore.open(folder, {**manifest, "sealed": False}) as written:
        for record in run.records:
            written.append(record)
        results = results_json(run.estimates, run.comparisons, folder.name)
        written.seal([r.key for r in run.records], manifest, results, {})
    return run


def gathered(
    runs: Sequence[Run], model: str | None = None, only: Sequence[str] = (), *, marked: bool = False
) -> card.Material:
    """What a card is made from."""
    return card.gather([store.typed(r) for r in runs], model, only, allow_unpublishable=marked)
