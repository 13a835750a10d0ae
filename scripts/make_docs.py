"""Builds the documentation: `python scripts/make_docs.py [FOLDER]`, by default build/docs.

Pages are docs/*.md; the reference is written here, from the schema of suites, the commands and the
docstrings, so that it cannot differ from the code.  Zensical builds FOLDER/site and fails at a
link or an anchor that does not exist.  Needs the development dependencies, no network.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import griffe

import evalkit
from evalkit import errors
from evalkit.cli import command_groups

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = {
    "Functions": {"evalkit.api": evalkit.__all__},
    "A stored run": {"evalkit.core.run": ["Run"]},
    "Figures": {"evalkit.core.figures": ["FigureKey", "Figure", "Measured", "Comparison"]},
    "Contests": {"evalkit.core.contests": ["Contest", "GateTest", "GateResult"]},
    "Extensions": {
        "evalkit.core.protocols": [
            "Benchmark",
            "Engine",
            "PairwiseJudge",
            "RatingJudge",
            "Exporter",
        ]
    },
    "What they speak": {
        "evalkit.core.requests": ["Request", "Completion", "Message"],
        "evalkit.core.samples": ["Sample", "Outcome", "Score", "Judgment", "Record"],
    },
    "Errors": {"evalkit.errors": [name for name in errors.__all__ if name.endswith("Error")]},
}
"""Sections of the Python reference: names by module."""


def escaped(text: str) -> str:
    """Text for a cell of a table, in one line."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


# --- suites -----------------------------------------------------------------------------------


def suite_page() -> str:
    """Every field that a suite may have, from its JSON Schema."""
    schema = json.loads((REPOSITORY / "suites/schema.json").read_text(encoding="utf-8"))
    titles = {name: name.removesuffix("Spec") for name in schema["$defs"]}
    for room, places in {
        "Benchmark": schema["properties"]["benchmarks"]["items"],
        "Engine": schema["properties"]["engine"],
        "Judge": schema["properties"]["judges"]["additionalProperties"],
    }.items():
        for place in places["oneOf"]:
            name = place["$ref"].rpartition("/")[2]
            if not name.startswith("_"):
                titles[name] = f"{room} {schema['$defs'][name]['properties']['type']['default']}"
    parts = [
        "# Suite reference",
        "Every field of a suite. `evalkit schema` prints the same for editors, which read it by",
        "`# yaml-language-server: $schema=schema.json` in a suite's first line.",
        "## Suite",
        *fields(schema, titles),
    ]
    for name, title in sorted(titles.items(), key=lambda one: one[1]):
        spec = schema["$defs"][name]
        if not name.startswith("_"):
            parts += [f"## {title}", escaped(spec.get("description", "")), *fields(spec, titles)]
    return "\n\n".join(parts) + "\n"


def fields(spec: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[str]:
    """A table of a schema's fields."""
    required = spec.get("required", ())
    rows = ["| field | meaning | type | default |", "|---|---|---|---|"]
    for name, about in spec.get("properties", {}).items():
        default = "required" if name in required else f"`{json.dumps(about.get('default'))}`"
        said = escaped(about.get("description", ""))
        rows.append(f"| `{name}` | {said} | {kind(about, titles)} | {escaped(default)} |")
    yield "\n".join(rows)


def kind(about: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """A schema's type in a few words, with links to specs."""
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        title = titles[name]
        link = f"[{title}](#{title.lower().replace(' ', '-')})"
        return "a dotted path" if name.startswith("_") else link
    if "const" in about:
        return f"`{about['const']}`"
    if "enum" in about:
        return ", ".join(f"`{choice}`" for choice in about["enum"])
    for several in ("anyOf", "oneOf"):
        if several in about:
            return " or ".join(dict.fromkeys(kind(one, titles) for one in about[several]))
    if about.get("type") == "array":
        return f"list of {kind(about.get('items', {}), titles)}"
    if isinstance(more := about.get("additionalProperties"), Mapping):
        return f"{kind(more, titles)}, by name"
    return str(about.get("type", "any"))


# --- commands ---------------------------------------------------------------------------------


def commands_page() -> str:
    """What `--help` says of every command."""
    asked = [sys.executable, "-m", "evalkit", "--help"]
    whole = subprocess.run(asked, capture_output=True, text=True, check=True).stdout  # noqa: S603
    parts = [
        "# Commands",
        "What `evalkit COMMAND --help` says; see also [exit codes](files.md#exit-codes).",
        "## Before or behind every command",
        f"```text\n{whole.partition('Options:')[2].partition('Evaluate:')[0].strip()}\n```",
    ]
    for title, found in command_groups().items():
        parts.append(f"## {title}")
        for command in found:
            parts += command_text(command, ("evalkit",))
    return "\n\n".join(parts) + "\n"


def command_text(command: click.Command, above: tuple[str, ...]) -> Iterator[str]:
    """A command's help as it is printed; of a group, those of its commands."""
    path = (*above, command.name or "")
    if isinstance(command, click.Group):
        for name in command.commands:
            yield from command_text(command.commands[name], path)
        return
    context = click.Context(command, info_name=" ".join(path), max_content_width=88)
    yield f"### {' '.join(path[1:])}"
    yield f"```text\n{command.get_help(context)}\n```"


# --- Python -----------------------------------------------------------------------------------


def python_page() -> str:
    """Functions and types, from their docstrings."""
    parts = ["# Python reference", "What is not on this page is not public, and may change."]
    for title, modules in MODULES.items():
        parts.append(f"## {title}")
        for path, names in modules.items():
            module = griffe.load(path, docstring_parser="google")
            for name in names:
                parts += object_text(module[name], "evalkit" if path == "evalkit.api" else path)
    return "\n\n".join(parts) + "\n"


def object_text(found: Any, home: str) -> Iterator[str]:
    """Of a class or function."""
    found = found.final_target if found.is_alias else found
    yield f"### {found.name}"
    if found.is_function:
        yield f"```python\n{home}.{signature(found)}\n```"
        yield docstring(found)
        return
    yield f"`{home}.{found.name}`"
    yield docstring(found)
    rows = [
        f"| `{name}` | {escaped(member.docstring.value if member.docstring else '')} |"
        for name, member in found.members.items()
        if member.is_attribute and not name.startswith("_")
    ]
    if rows:
        yield "\n".join(["| field | |", "|---|---|", *rows])
    for name, member in found.members.items():
        if member.is_function and not name.startswith("_") and member.docstring:
            yield f"```python\n{signature(member)}\n```"
            yield docstring(member)


def signature(function: Any) -> str:
    """As it is called."""
    parameters = [p for p in function.parameters if p.name not in ("self", "cls")]
    shown = []
    for p in parameters:
        star = {"variadic positional": "*", "variadic keyword": "**"}.get(str(p.kind.value), "")
        if p.kind is griffe.ParameterKind.keyword_only and "*" not in "".join(shown):
            shown.append("*")
        typed = f": {p.annotation}" if p.annotation else ""
        default = "" if star or p.default is None else f" = {p.default}"
        shown.append(f"{star}{p.name}{typed}{default}")
    returns = f" -> {function.returns}" if function.returns else ""
    line = f"{function.name}({', '.join(shown)}){returns}"
    if len(line) > 80:
        line = f"{function.name}(\n" + "".join(f"    {s},\n" for s in shown) + f"){returns}"
    return line


def docstring(found: Any) -> str:
    """Its sections as Markdown."""
    if not found.docstring:
        return ""
    parts = []
    for section in found.docstring.parse("google", warnings=False):
        name = section.kind.value
        if name == "text":
            parts.append(re.sub(r"(?m)^(?: {4}.*\n?)+", fenced, section.value))
        elif name in ("parameters", "attributes"):
            rows = [f"- `{one.name}`: {one.description}" for one in section.value]
            parts.append("\n".join(rows))
        elif name == "returns":
            parts.append("Returns: " + " ".join(one.description for one in section.value))
        elif name == "raises":
            rows = [f"- raises `{one.annotation}`: {one.description}" for one in section.value]
            parts.append("\n".join(rows))
    return "\n\n".join(parts)


def fenced(block: re.Match[str]) -> str:
    """An indented block as text that is shown as it stands."""
    return f"\n```text\n{block[0].rstrip()}\n```\n\n"


# --- the site ---------------------------------------------------------------------------------


def make(folder: Path) -> int:
    """Write sources and site into `folder`; the exit code of the build."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(REPOSITORY / "docs", folder / "docs")
    shutil.copy(REPOSITORY / "zensical.toml", folder)
    pages = {"suite": suite_page, "commands": commands_page, "python": python_page}
    for name, page in pages.items():
        (folder / f"docs/reference/{name}.md").write_text(page(), encoding="utf-8")
    build = [sys.executable, "-m", "zensical", "build", "--strict"]
    return subprocess.run(build, cwd=folder, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(make(Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "build/docs")))
