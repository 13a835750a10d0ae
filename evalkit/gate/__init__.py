"""The regression gate: comparisons and a policy become pass, regression or inconclusive.

`decisions` decides, `pinned` keeps a baseline's scores small enough to commit, `table` sets the
result out, `junit` and `github` write what CI reads.
"""

from __future__ import annotations

from evalkit.gate.decisions import Decision, GateResult, Policy, decide
from evalkit.gate.github import comment, job_summary, workflow_commands
from evalkit.gate.junit import junit
from evalkit.gate.pinned import pin, read_pinned
from evalkit.gate.table import gate_lines, gate_markdown, gate_table

__all__ = [
    "Decision",
    "GateResult",
    "Policy",
    "comment",
    "decide",
    "gate_lines",
    "gate_markdown",
    "gate_table",
    "job_summary",
    "junit",
    "pin",
    "read_pinned",
    "workflow_commands",
]
