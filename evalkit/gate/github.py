"""The gate's result for GitHub: job summary, annotations, a comment on a pull request.

Limits: a job summary holds 1 MiB per step, a step shows 10 annotations of each kind, a comment
holds 65,536 characters (docs.github.com, workflow commands and REST API).
"""

from __future__ import annotations

from evalkit.draw import one_line, visible
from evalkit.gate.decisions import GateResult
from evalkit.gate.table import gate_headline, gate_markdown, gate_warnings

__all__ = ["MARKER", "comment", "job_summary", "workflow_commands"]

MARKER = "<!-- evalkit gate -->"
"""First line of a comment, by which the next one finds it."""
_SUMMARY_BYTES = 2**20
_COMMENT_CHARACTERS = 65_536
_ANNOTATIONS = 10
_CUT = "\n\n(cut: the rest does not fit here)\n"


def job_summary(result: GateResult, used: int = 0) -> str:
    """Markdown for $GITHUB_STEP_SUMMARY, of which `used` bytes are taken."""
    text = f"## evalkit gate\n\n{gate_markdown(result)}\n"
    room = _SUMMARY_BYTES - used
    raw = text.encode()
    if len(raw) <= room:
        return text
    kept = raw[: max(0, room - len(_CUT.encode()))].decode(errors="ignore")
    return _whole_lines(kept) + _CUT if kept else ""


def comment(result: GateResult) -> str:
    """Markdown for a comment, with a marker so that it can be updated in place."""
    text = f"{MARKER}\n### evalkit gate\n\n{gate_markdown(result)}"
    if len(text) <= _COMMENT_CHARACTERS:
        return text
    return _whole_lines(text[: _COMMENT_CHARACTERS - len(_CUT)]) + _CUT


def _whole_lines(text: str) -> str:
    """Without a last line that was cut in its middle."""
    return text[: text.rfind("\n")] if "\n" in text else text


def workflow_commands(result: GateResult) -> list[str]:
    """Annotations as GitHub reads them from a step's output, at most ten of a kind.

    Where there are more, the last stands for those left out.
    """
    errors: list[str] = []
    warnings: list[str] = []
    if result.exit_code:
        errors = [gate_headline(result), *result.reasons]
    else:
        warnings = list(result.reasons)
    warnings += gate_warnings(result)
    return [*_commands("error", errors), *_commands("warning", warnings)]


def _commands(kind: str, messages: list[str]) -> list[str]:
    if len(messages) > _ANNOTATIONS:
        left = len(messages) - _ANNOTATIONS + 1
        messages = [*messages[: _ANNOTATIONS - 1], f"and {left} more: see the job summary"]
    return [f"::{kind} title=evalkit gate::{_escaped(message)}" for message in messages]


def _escaped(message: str) -> str:
    """As GitHub's toolkit escapes a command's data."""
    text = one_line(visible(message))
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
