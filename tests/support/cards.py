"""Model cards as the hub's own client reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard_data import eval_results_to_model_index

from evalkit.core import Json

__all__ = ["HubCard", "hub_reads"]


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
