"""How to get the same run again: commands, versions, seed, commit."""

from __future__ import annotations

from evalkit.report.blocks import Block, Code, Section
from evalkit.report.facts import facts, flat
from evalkit.report.view import View, mapping, sequence

__all__ = ["build"]


def build(view: View) -> Section:
    """Commands first, then what they ran on."""
    m = view.manifest
    commands = [str(c) for c in sequence(m.get("commands"))]
    blocks: list[Block] = [Code("\n".join(commands), "Commands")] if commands else []
    about = [
        ("run", m.get("run_id")),
        ("suite", m.get("suite_name")),
        ("suite file", m.get("suite_file")),
        ("git commit", m.get("git_commit")),
        ("seed", m.get("seed")),
        ("limit", m.get("limit")),
        ("Python", m.get("python")),
        ("platform", m.get("platform")),
        *((f"{name} version", v) for name, v in flat(mapping(m.get("versions")))),
    ]
    blocks.append(facts("This run", about))
    return Section("Reproduce", tuple(blocks))
