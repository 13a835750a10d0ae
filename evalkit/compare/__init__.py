"""Which scores compare, and the comparisons.

`scores` gathers per-sample scores and knows what is missing, `estimates` makes figures of one
model, `comparisons` sets candidates against baselines within one run, `averages` does over tasks,
`headline` says which figures are a benchmark's own, `health` measures the judges.  Over several
runs: `sides` finds the models, `guard` says whether their scores were made alike, `rows` adds what
may be said (`words`), `uncompared` names what has no row, `table` sets it out.
"""

from __future__ import annotations

from evalkit.compare.comparisons import comparisons
from evalkit.compare.doubts import Damage, damages, doubts, weak_judges
from evalkit.compare.estimates import estimates
from evalkit.compare.headline import averages_of_entry, headline_of_entry, headlines
from evalkit.compare.health import JudgeHealth, judge_health
from evalkit.compare.old_guard import allowed_fields
from evalkit.compare.repeats import unvaried
from evalkit.compare.rows import Options, Row, compare, compare_sides, stated
from evalkit.compare.sides import Side, by_role, find, names, pick
from evalkit.compare.table import corrected_text, notes, rows_table, weak_notes
from evalkit.compare.uncompared import Uncompared, uncompared
from evalkit.store import results_json

__all__ = [
    "Damage",
    "JudgeHealth",
    "Options",
    "Row",
    "Side",
    "Uncompared",
    "allowed_fields",
    "averages_of_entry",
    "by_role",
    "compare",
    "compare_sides",
    "comparisons",
    "corrected_text",
    "damages",
    "doubts",
    "estimates",
    "find",
    "headline_of_entry",
    "headlines",
    "judge_health",
    "names",
    "notes",
    "pick",
    "results_json",
    "rows_table",
    "stated",
    "uncompared",
    "unvaried",
    "weak_judges",
    "weak_notes",
]
