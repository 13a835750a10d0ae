"""Commands killed at random instants end as if nothing had happened: run, report, gate, watch.

    .venv/bin/python -m benchmarks.reliability.commands [--kills N] [--samples N] [--seed K]

Each command is run once undisturbed and its files are kept.  Then, in an empty folder at the same
place, it is started and killed (SIGKILL, SIGTERM, SIGTERM twice) at random instants of its life,
and at last runs to its end.  Its files must be the same byte for byte, with the same exit code;
what tells of sessions (sessions.jsonl, the log of watch) differs by nature and is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._common import ROOT, Table, parser, publish

__all__ = ["COLUMNS", "COMMANDS", "Found", "main", "survive"]

COLUMNS = ("command", "kills", "files", "files that differ", "exit code", "undisturbed")
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "run": ("run", "kills.yaml", "--out", "run"),
    "report": ("report", "run"),
    "gate": ("gate", "run", "--write-baseline", "b.json", "--junit", "j.xml", "--comment", "c.md"),
    "watch": ("watch", "out", "kills.yaml", "--once", "--looks", "3"),
}
_SUITE = {
    "name": "kills",
    "models": {
        "tuned": {"role": "candidate", "path": "tuned", "revision": "a"},
        "plain": {"role": "baseline", "path": "plain"},
    },
    "engine": {"type": "fake"},
    "judges": {"local": {"type": "engine", "model": "plain", "protocol": "text"}},
    "benchmarks": [{"type": "alpaca_eval", "judge": "local", "data": "alpaca.jsonl"}],
    "gate": {"baseline": "plain", "margins": {"default": 60}},
}
_SESSIONS = {"sessions.jsonl", ".lock"}


@dataclass(frozen=True)
class Found:
    """What kills did to one command."""

    command: str
    kills: int
    files: int
    differing: tuple[str, ...]
    exit_code: int
    undisturbed: int
    """Its exit code without kills."""

    @property
    def holds(self) -> bool:
        """Nothing differs."""
        return not self.differing and self.exit_code == self.undisturbed

    @property
    def row(self) -> tuple[str, ...]:
        """As COLUMNS."""
        numbers = (self.kills, self.files, len(self.differing), self.exit_code, self.undisturbed)
        return (self.command, *map(str, numbers))


def survive(folder: Path, command: str, samples: int, kills: int, seed: int) -> Found:
    """Run a command undisturbed, then again with kills; `folder` is emptied."""
    _furnish(folder, command, samples)
    began = time.monotonic()
    undisturbed = _start(folder, command).wait()
    life = time.monotonic() - began
    wanted = _files(folder)
    _furnish(folder, command, samples)
    dice, done = random.Random(seed), 0
    while done < kills:
        process = _start(folder, command)
        try:
            # A little past its end, since a later start has less to do.
            process.wait(dice.uniform(0.2, 1.0) * life)
        except subprocess.TimeoutExpired:
            kind = dice.choice(["kill", "term", "twice"])
            process.send_signal(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
            if kind == "twice":
                time.sleep(dice.uniform(0, 0.2))
                process.send_signal(signal.SIGTERM)
            process.wait()
        done += 1
    code = _start(folder, command).wait()
    found = _files(folder)
    differing = [name for name in wanted | found if wanted.get(name) != found.get(name)]
    return Found(command, done, len(wanted), tuple(differing), code, undisturbed)


def _furnish(folder: Path, command: str, samples: int) -> None:
    """Everything that the command needs, and nothing that it makes."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / ".evalkit").mkdir(parents=True)
    rows = [
        {"instruction": f"Name {n} rivers.", "output": f"River {n}.", "generator": "reference"}
        for n in range(samples)
    ]
    (folder / "alpaca.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "kills.yaml").write_text(json.dumps(_SUITE))
    for step in (10, 20, 30) if command == "watch" else ():
        _checkpoint(folder / "out" / f"checkpoint-{step}", step)
    if command in ("report", "gate"):
        _start(folder, "run").wait()


def _checkpoint(folder: Path, step: int) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    save_file({"w": np.full(4, step, dtype=np.float32)}, str(folder / "model.safetensors"))
    written = {
        "config.json": {"model_type": "llama", "vocab_size": 8},
        "tokenizer.json": {"version": "1.0"},
        "tokenizer_config.json": {"model_max_length": 8},
        "trainer_state.json": {"global_step": step, "max_steps": 30, "save_steps": 10},
    }
    for name, value in written.items():
        (folder / name).write_text(json.dumps(value))


def _start(folder: Path, command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "evalkit", *COMMANDS[command]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _files(folder: Path) -> dict[str, bytes]:
    """What a command leaves, without the cache."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in _SESSIONS
        and path.relative_to(folder).parts[0] != ".evalkit"
        and "watch" not in path.name
    }


def main(arguments: Sequence[str] | None = None) -> list[Found]:
    """Every command."""
    options = _options(arguments)
    found = []
    for command in COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, "work")
            found.append(survive(place, command, options.samples, options.kills, options.seed))
            print(*found[-1].row, *found[-1].differing, sep="  ", flush=True)
    table = Table("Commands killed at random", COLUMNS, [one.row for one in found])
    publish("commands", [table], options)
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--samples", type=int, default=400)
    options.add_argument("--seed", type=int, default=0)
    return options.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(not all(one.holds for one in main()))
