"""The regression gate: pass, regression, incomplete or inconclusive, by comparisons and a policy.

`asking` finds whose scores and which policy, `decisions` decides, `pinned` keeps a baseline's
scores small enough to commit, `table` sets the result out, `junit` and `github` write what CI
reads.
"""

from __future__ import annotations

from evalkit.gate.asking import Baseline, gate_run, policy_of, read_baseline
from evalkit.gate.decisions import Decision, GateResult, Policy, decide
from evalkit.gate.github import comment, job_summary, workflow_commands
from evalkit.gate.junit import junit
from evalkit.gate.pinned import pin, read_pinned
from evalkit.gate.table import gate_lines, gate_markdown, gate_table

__all__ = [
    "Baseline",
    "Decision",
    "GateResult",
    "Policy",
    "comment",
    "decide",
    "gate_lines",
    "gate_markdown",
    "gate_run",
    "gate_table",
    "job_summary",
    "junit",
    "pin",
    "policy_of",
    "read_baseline",
    "read_pinned",
    "workflow_commands",
]
