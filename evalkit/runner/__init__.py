"""The straight pipeline.  Read `pipeline.py` first; `assemble.py` builds what it uses.

    assemble, known     what is run, and what is known without (recorded, published, `replay`)
    importing           results that someone already has, as an ordinary run
    manifest, usage     what a run is, what a session cost and may cost
    plan, powering      before a run: requests, data, the effect it can detect
    watch               new checkpoints of a training run, one by one

The package offers what every run needs; the rest is imported from its module.  Nothing here draws
or prints; the command line does.
"""

from evalkit.runner.assemble import (
    DEFAULT_SUITE,
    Job,
    Opened,
    Origin,
    Selection,
    assemble,
    extra_figures,
    names,
    opened,
)
from evalkit.runner.pipeline import Progress, Result, Silent, render, run, run_suite

__all__ = [
    "DEFAULT_SUITE",
    "Job",
    "Opened",
    "Origin",
    "Progress",
    "Result",
    "Selection",
    "Silent",
    "assemble",
    "extra_figures",
    "names",
    "opened",
    "render",
    "run",
    "run_suite",
]
