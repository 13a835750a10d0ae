"""The straight pipeline.  Read `pipeline.py` first; `assemble.py` builds what it uses.

    assemble, known     what is run, and what need not be (recorded, published, `replay`)
    importing           results that someone already has, as an ordinary run
    manifest, usage     what a run is, what a session cost and may cost
    plan, power         before a run: requests, data, what can be resolved
    watch               new checkpoints of a training run, one by one

Nothing here draws or prints; the command line does.
"""

from evalkit.runner.assemble import Job, Origin, Selection, assemble, extra_figures
from evalkit.runner.importing import Source, import_run
from evalkit.runner.pipeline import Progress, Result, Silent, render, run, run_suite
from evalkit.runner.plan import Plan, data_needs, plan, planned, pull
from evalkit.runner.powering import power

__all__ = [
    "Job",
    "Origin",
    "Plan",
    "Progress",
    "Result",
    "Selection",
    "Silent",
    "Source",
    "assemble",
    "data_needs",
    "extra_figures",
    "import_run",
    "plan",
    "planned",
    "power",
    "pull",
    "render",
    "run",
    "run_suite",
]
