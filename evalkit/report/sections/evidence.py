"""Results that were not made here: which files, with their hashes, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evalkit.compare.agreement import disagreements
from evalkit.core import Json
from evalkit.draw import Cell, Column, Group, Table, count
from evalkit.report.blocks import Block, Note, Section
from evalkit.report.view import View, mapping, sequence
from evalkit.report.words import benchmark_label

__all__ = ["build"]


def build(view: View) -> Section | None:
    """Findings first, then every file."""
    entries = [mapping(e) for e in sequence(view.manifest.get("evidence"))]
    blocks: list[Block] = [note for entry in entries for note in _findings(entry)]
    blocks += [_note(model, name, said) for model, name, said in disagreements(view.run)]
    if entries:
        blocks.append(_files(entries))
    return Section("Recorded evidence", tuple(blocks)) if blocks else None


def _note(model: str, entry: str, said: str) -> Note:
    return Note(f"{model}, {benchmark_label(entry)}: {said}.", "Damaged evidence.")


def _findings(entry: Mapping[str, Json]) -> Iterator[Note]:
    where = f"{entry.get('model')}, {benchmark_label(str(entry.get('entry')))}"
    for finding in sequence(entry.get("findings")):
        about = mapping(finding)
        word = "Damaged evidence." if about.get("damaged") else "Remark."
        yield Note(f"{where}: {about.get('message')}.", word)


def _files(entries: list[Mapping[str, Json]]) -> Table:
    columns = (
        Column("File", header=True),
        Column("SHA-256"),
        Column("Kind"),
        Column("Records", "right"),
    )
    groups = []
    for entry in entries:
        n = entry.get("n_records")
        rows = tuple(
            (
                Cell.text(str(mapping(file).get("file"))),
                Cell.text(str(mapping(file).get("sha256"))),
                Cell.text(str(entry.get("kind"))),
                Cell(n, count(n)) if isinstance(n, int) and n else Cell.missing("figures only"),
            )
            for file in sequence(entry.get("files"))
        )
        label = f"{entry.get('model')}, {benchmark_label(str(entry.get('entry')))}"
        groups.append(Group(label, rows))
    note = (
        "Figures of these models and benchmarks were computed from these files; nothing was asked."
    )
    return Table("Files", columns, tuple(groups), note)
