"""The cards that lie in a run's folder, where its suite asks for them (`formats: [card]`)."""

from __future__ import annotations

import re

from evalkit.card.figures import gather, unpublishable
from evalkit.card.render import Card
from evalkit.core import Run
from evalkit.errors import CardError

__all__ = ["files"]


def files(run: Run) -> dict[str, bytes]:
    """A card for each candidate, by file name: `card.md`, or `card-NAME.md` where there are more.

    A run that must not be published gets cards that say so at their top and in every entry.  What
    the hub would refuse stands in the file in place of the card: a run is not lost to it.
    """
    if not run.manifest.get("sealed", True):
        return {}
    models = [m["name"] for m in run.manifest.get("models", ()) if m.get("role") == "candidate"]
    made: dict[str, bytes] = {}
    for model in models:
        name = (
            "card.md" if len(models) == 1 else f"card-{re.sub(r'[^A-Za-z0-9._-]', '-', model)}.md"
        )
        while name in made:
            name = f"{name.removesuffix('.md')}-.md"
        made[name] = _text(run, model).encode("utf-8")
    return made


def _text(run: Run, model: str) -> str:
    marked = bool(unpublishable(run))
    try:
        card = Card(gather([run], model, allow_unpublishable=marked), model)
        card.require_valid()
        return card.text()
    except CardError as error:
        return f"No card: {error}\n"
