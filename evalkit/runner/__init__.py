"""The straight pipeline.  Read `pipeline.py` first; `assemble.py` builds what it uses.

    from_suite, importing    what starts it: a suite, or results that someone already has
    selection, known         which part is asked, and what need not be asked (`replay`)
    manifest, usage          what a run is, what a session cost and may cost
    plan, powering, pulling  before a run: requests, what can be resolved, its data
    files, recomputing       after it: rendered again, figures computed again
    progress                 what the pipeline tells whoever watches

Nothing here draws or prints; the command line does.
"""

from evalkit.runner.assemble import Job, Origin, assemble
from evalkit.runner.from_suite import run_suite
from evalkit.runner.importing import Source, import_run
from evalkit.runner.pipeline import Result, run
from evalkit.runner.plan import Plan, plan, planned
from evalkit.runner.powering import PowerRow, power
from evalkit.runner.progress import Progress, Silent
from evalkit.runner.pulling import data_needs, pull
from evalkit.runner.selection import Selection

__all__ = [
    "Job",
    "Origin",
    "Plan",
    "PowerRow",
    "Progress",
    "Result",
    "Selection",
    "Silent",
    "Source",
    "assemble",
    "data_needs",
    "import_run",
    "plan",
    "planned",
    "power",
    "pull",
    "run",
    "run_suite",
]
