"""Tries every importer on every result file below a folder: what is read, and what is not.

    python scripts/import_everything.py FOLDER

One line a file: the format that reads it, models, samples, figures, and the codes of findings
(`!` marks damage); then how many files no importer knows.  Ends with 1 where an importer raised
anything but its own refusal.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from evalkit.core.evidence import KINDS, Evidence, ImportOptions
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError
from evalkit.formats import reader

_NAMES = re.compile(r"\.(jsonl?|eval)(\.gz)?$")


def main(folder: Path) -> int:
    """Exit code: 1 where something broke."""
    places = DataPlaces((folder,))
    counts: Counter[str] = Counter()
    broken = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and _NAMES.search(p.name)):
        line = "-"
        for kind in KINDS:
            models = ("model",) if kind == "ifeval" else ()
            try:
                found = reader(kind)([path], ImportOptions(models, None, (), places, 0.95))
            except DataError:
                continue
            except Exception as error:  # noqa: BLE001 - the script looks for these
                broken += 1
                print(f"{kind} {path.relative_to(folder)}: {type(error).__name__}: {error}")
                continue
            line = f"{kind:16}{_summary(found)}"
            counts[kind] += 1
            break
        counts["-"] += line == "-"
        if line != "-":
            print(f"{line}  {path.relative_to(folder)}")
    print(", ".join(f"{kind}: {n}" for kind, n in counts.items()), f"broken: {broken}")
    return 1 if broken else 0


def _summary(found: list[Evidence]) -> str:
    codes = {f"{'!' if f.damaged else ''}{f.code}" for e in found for f in e.findings}
    samples, figures = sum(len(e.records) for e in found), sum(len(e.figures) for e in found)
    said = f" ({', '.join(sorted(codes))})" if codes else ""
    return f"{len(found)} models, {samples} samples, {figures} figures{said}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
