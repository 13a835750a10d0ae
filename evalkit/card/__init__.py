"""Model cards from evidence.

`figures` gathers what runs measured, `index` and `tables` set it out as a `model-index` and as
Markdown, `claims` adds the sentences that may be said, `render` places all of it; `checks` finds
offline what the hub would refuse or lose.  `updating` edits a real card in place, its YAML by
`splice` and its marked parts by `sections`; `push` sends it, `files` is what a run's folder gets.
"""

from __future__ import annotations

from evalkit.card.figures import Material, gather, unpublishable
from evalkit.card.files import files
from evalkit.card.headlines import shots
from evalkit.card.index import make_index
from evalkit.card.push import push
from evalkit.card.render import Card
from evalkit.card.sources import source_of
from evalkit.card.updating import Updated, update

__all__ = [
    "Card",
    "Material",
    "Updated",
    "files",
    "gather",
    "make_index",
    "push",
    "shots",
    "source_of",
    "unpublishable",
    "update",
]
