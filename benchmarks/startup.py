"""How long command lines take to answer: CPU time of `evalkit` against the tools it takes over.

    .venv/bin/python -m benchmarks.startup [--repeats N]

Each command runs in a process of its own; the fastest of the repeats counts, since nothing makes
a process need less than it needs.  CPU time of all its threads and children, as multiples of an
interpreter that does nothing.  The plans read suite and data and count what would be sent: of the
chat suite, 111,080 few-shot requests a model where EVALKIT_DATA has the leaderboard's data.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks._common import ROOT, Cell, Table, parser, publish, ratio, say

__all__ = ["COLUMNS", "COMMANDS", "Spent", "main", "spent"]

BARE = "python -c pass"
HELP = "evalkit --help"
COMMANDS: dict[str, tuple[str, ...]] = {
    BARE: ("-c", "pass"),
    "evalkit --version": ("-m", "evalkit", "--version"),
    HELP: ("-m", "evalkit", "--help"),
    "evalkit check suites/quickstart.yaml": ("-m", "evalkit", "check", "suites/quickstart.yaml"),
    "evalkit plan suites/quickstart.yaml": ("-m", "evalkit", "plan", "suites/quickstart.yaml"),
    "evalkit plan suites/chat.yaml": ("-m", "evalkit", "plan", "suites/chat.yaml"),
    "lm_eval --help": ("-m", "lm_eval", "--help"),
    "alpaca_eval --help": ("-m", "alpaca_eval.main", "--help"),
    "gen_model_answer --help": ("-m", "fastchat.llm_judge.gen_model_answer", "--help"),
}
"""What the interpreter gets, by the name that is shown."""
COLUMNS = ("command", "CPU / python", f"CPU / {HELP}", "wall / python")


@dataclass(frozen=True)
class Spent:
    """What one process took."""

    cpu_s: float
    """Its threads and children included."""
    wall_s: float


def spent(arguments: Sequence[str]) -> Spent:
    """Run the interpreter with `arguments` once.

    Raises SystemExit with the end of what it said where it failed.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    # What is compiled stays compiled for a user; only the first start pays for it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        code = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
        wall_s = time.perf_counter() - begun
        said.seek(0)
        if code:
            end = said.read().decode("utf-8", "replace")[-800:]
            raise SystemExit(f"{' '.join(arguments)!r} ended with {code}: {end}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s)


def main() -> None:
    """Measure and publish."""
    options = _options()
    fastest: dict[str, Spent] = {}
    for name in options.commands:
        spent(COMMANDS[name])  # compiles, and reads files into the system's cache
        runs = [spent(COMMANDS[name]) for _ in range(options.repeats)]
        fastest[name] = Spent(min(r.cpu_s for r in runs), min(r.wall_s for r in runs))
        say(f"{name}: CPU {fastest[name].cpu_s:.2f} s, {fastest[name].wall_s:.2f} s")
    bare = fastest.get(BARE) or spent(COMMANDS[BARE])
    rows: list[tuple[Cell, ...]] = []
    for name, found in fastest.items():
        helped = ratio(found.cpu_s, fastest[HELP].cpu_s) if HELP in fastest else None
        wall = ratio(found.wall_s, bare.wall_s)
        rows.append((name, ratio(found.cpu_s, bare.cpu_s), helped, wall))
    publish("startup", [Table("Start-up", COLUMNS, rows)], options)


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--repeats", type=int, default=3, help="of each command, after a first one")
    made.add_argument(
        *("--commands",), nargs="+", default=list(COMMANDS), choices=COMMANDS, metavar="COMMAND"
    )
    return made.parse_args()


if __name__ == "__main__":
    main()
