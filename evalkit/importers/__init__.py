"""Results that other tools wrote, as evidence of ordinary runs.

One file per foreign format, each with `read(files, options) -> list[Evidence]`; `answers.py` reads
answers alone, `leaderboards.py` published figures, `names.py` finds names of these that there are
not, `_together.py` looks at models side by side.
"""

from __future__ import annotations

from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.importers._together import cross_findings

__all__ = ["Evidence", "ImportOptions", "cross_findings"]
