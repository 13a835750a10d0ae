"""Model cards from evidence.

`figures` gathers what runs measured, `index` and `tables` set it out as a `model-index` and as
Markdown, `claims` adds the sentences that may be said, `render` places all of it; `checks` finds
offline what the hub would refuse or lose.
"""

from __future__ import annotations

from evalkit.card.figures import Material, gather, unpublishable
from evalkit.card.render import Card

__all__ = ["Card", "Material", "gather", "unpublishable"]
