"""The straight pipeline.  Read `pipeline.py` first; `assemble.py` builds what it uses."""

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
