"""Model cards from evidence: written, updated in place, audited.

`write` sets out what runs measured as a card that can be published, `update` brings a real card up
to date and touches nothing else, `checks` finds offline what the hub would refuse or lose, `push`
sends it; `audit` holds any card against itself and against evidence.  What runs publish of a model,
and its `model-index`, is `formats.model_index`.
"""

from __future__ import annotations

import re

from evalkit.card.push import push
from evalkit.card.update import Updated, update
from evalkit.card.write import Card, Part
from evalkit.core.run import Run
from evalkit.errors import CardError
from evalkit.formats.model_index import Material, gather, unpublishable

__all__ = ["Card", "Material", "Part", "Updated", "files", "gather", "push", "update"]


def files(run: Run) -> dict[str, bytes]:
    """A card for each candidate, by file name: `card.md`, or `card-NAME.md` where there are more.

    For a run's folder, where its suite wants them (`formats: [card]`).  A run that must not be
    published gets cards that say so at their top and in every entry.  What the hub would refuse
    stands in the file in place of the card: a run is not lost to it.
    """
    if not run.manifest.sealed:
        return {}
    models = [m.name for m in run.manifest.models if m.role == "candidate"]
    made: dict[str, bytes] = {}
    for model in models:
        plain = re.sub(r"[^A-Za-z0-9._-]", "-", model)
        name = "card.md" if len(models) == 1 else f"card-{plain}.md"
        while name in made:
            name = f"{name.removesuffix('.md')}-.md"
        marked = bool(unpublishable(run))
        try:
            card = Card(gather([run], model, allow_unpublishable=marked), model)
            card.require_valid()
            text = card.text()
        except CardError as error:
            text = f"No card: {error}\n"
        made[name] = text.encode("utf-8")
    return made
