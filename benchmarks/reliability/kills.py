"""Runs that are killed at random instants: is anything paid for twice, and do caps hold?

    .venv/bin/python -m benchmarks.reliability.kills [--kills 20] [--samples 800] [--seed 0]

A suite whose judge is a server on this machine that counts and bills, live and with
`mode: batch`.  `evalkit run` is started and killed (SIGKILL, SIGTERM, SIGTERM twice) at random
instants, then runs to its end.  The server's replies name their request, so that the cache says at
each kill which requests were finished; none of those may be answered again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._common import ROOT, Table, parser, publish
from benchmarks.reliability.batch_server import BatchServer

__all__ = ["COLUMNS", "Found", "furnish", "main", "survive"]

COLUMNS = (
    *(
        "mode",
        "cap",
        "kills",
        "requests needed",
        "answered by the server",
        "finished and sent again",
    ),
    *("most lost at a kill", "billed, USD", "counted, USD", "max_cost_usd", "exit code"),
)
PRICE = 100.0
"""USD per million tokens of prompt and of reply."""
CONCURRENCY = 16


@dataclass(frozen=True)
class Found:
    """What one loop of kills did."""

    mode: str
    kills: int
    needed: int
    """Distinct requests that the server answered."""
    answered: int
    again: int
    """Answered again although they were finished."""
    most_lost: int
    """Replies of one session that were sent and never stored."""
    billed_usd: float
    counted_usd: float
    """By the run's ledger."""
    cap_usd: float
    exit_code: int

    @property
    def row(self) -> tuple[str, ...]:
        """As COLUMNS."""
        holds = "holds" if self.billed_usd <= self.cap_usd else "PASSED"
        return (
            *(self.mode, holds, str(self.kills), str(self.needed), str(self.answered)),
            *(str(self.again), str(self.most_lost), f"{self.billed_usd:.3f}"),
            *(f"{self.counted_usd:.3f}", f"{self.cap_usd:.2f}", str(self.exit_code)),
        )


def mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def furnish(folder: Path, url: str, samples: int, mode: str, cap_usd: float) -> Path:
    """A suite of a fake model, whose answers are judged by the server, in a folder of its own."""
    rows = [
        {"instruction": f"Name {n} rivers.", "output": f"River {n}.", "generator": "reference"}
        for n in range(samples)
    ]
    (folder / "alpaca.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = {
        "name": "kills",
        "models": {"tuned": {"path": "tuned"}},
        "engine": {"type": "fake"},
        "judges": {
            "judge": {
                "type": "openai",
                "model": "judge",
                "base_url": url,
                "protocol": "text",
                "mode": mode,
                "judge_max_tokens": 100,
                "thought_tokens": 0,
                "repeats": {"times": 0},  # equal texts would be one request to the count
                "retry_pause_s": 0.02,
                "concurrency": CONCURRENCY,
                "max_cost_usd": cap_usd,
                "usd_per_million_input_tokens": PRICE,
                "usd_per_million_output_tokens": PRICE,
            }
        },
        "benchmarks": [{"type": "alpaca_eval", "judge": "judge", "data": "alpaca.jsonl"}],
    }
    path = folder / "suite.yaml"
    path.write_text(json.dumps(suite))
    return path


def survive(folder: Path, mode: str, samples: int, kills: int, cap_usd: float, seed: int) -> Found:
    """Kill the run `kills` times, then let it end."""
    dice = random.Random(seed)
    marks: dict[str, str] = {}

    def reply(last: str) -> str:
        marks[last] = mark(last)
        return f"#{marks[last]}# [[A]]"

    (folder / ".evalkit").mkdir()
    finished: dict[str, int] = {}
    """Marks of stored replies, and how often each had been answered when that was first seen."""
    most_lost = done = 0
    with BatchServer(reply, batch_s=1.5 * kills, live_s=0.05) as server:
        suite = furnish(folder, server.url, samples, mode, cap_usd)
        while done < kills:
            before, stored = (server.live + server.batched).total(), len(finished)
            process = _start(suite)
            ended = _kill_soon(process, server, dice)
            _settle(server)
            answered = {marks[k]: n for k, n in (server.live + server.batched).items()}
            for name in _stored(folder):
                finished.setdefault(name, answered.get(name, 0))
            sent = (server.live + server.batched).total() - before
            if mode == "live":
                most_lost = max(most_lost, sent - (len(finished) - stored))
            if ended:
                break
            done += 1
        process = _start(suite)
        process.communicate()
        answered = {marks[k]: n for k, n in (server.live + server.batched).items()}
        again = sum(answered.get(name, 0) - n for name, n in finished.items())
        sessions = next(folder.glob("reports/kills/*/sessions.jsonl")).read_text().splitlines()
        spent = json.loads(sessions[-1])["spent"]["judge:judge"]["cost_usd"]
        return Found(
            mode,
            done,
            len(answered),
            sum(answered.values()),
            again,
            most_lost,
            server.usd(PRICE, PRICE),
            spent,
            cap_usd,
            process.returncode,
        )


def _start(suite: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none"}
    return subprocess.Popen(
        [sys.executable, "-m", "evalkit", "run", suite.name],
        cwd=suite.parent,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _kill_soon(process: subprocess.Popen[bytes], server: BatchServer, dice: random.Random) -> bool:
    """Kill it at a random instant after its first request; whether it had ended before."""
    before = len(server.calls)
    while process.poll() is None and len(server.calls) == before:
        time.sleep(0.01)
    try:
        process.wait(dice.uniform(0, 0.6) if dice.random() < 0.7 else dice.uniform(0, 3))
    except subprocess.TimeoutExpired:
        kind = dice.choice(["kill", "term", "twice"])
        process.send_signal(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
        if kind == "twice":
            time.sleep(dice.uniform(0, 0.2))
            process.send_signal(signal.SIGTERM)
        process.wait()
        return False
    return True


def _settle(server: BatchServer) -> None:
    """Wait until the server has done what it was sent before the kill."""
    calls = -1
    while server.at_once or calls != len(server.calls):
        calls = len(server.calls)
        time.sleep(0.5)


def _stored(folder: Path) -> set[str]:
    """Marks of the replies in the cache."""
    path = folder / ".evalkit" / "cache.sqlite"
    if not path.exists():
        return set()
    connection = sqlite3.connect(path, timeout=60)
    try:
        values = [value for (value,) in connection.execute("SELECT value FROM completions")]
    except sqlite3.OperationalError:
        values = []  # killed before there was a table
    finally:
        connection.close()
    return {found[1] for value in values if (found := re.search(r"#([0-9a-f]{16})#", value))}


def main(arguments: Sequence[str] | None = None) -> list[Found]:
    """Both modes, with a cap that is enough and one that is not."""
    options = _options(arguments)
    one = 110 * PRICE / 1e6
    found = []
    for mode, price in (("live", one), ("batch", one / 2)):
        for share in (20.0, 0.5):
            with tempfile.TemporaryDirectory() as folder:
                cap = 2 * options.samples * price * share
                run = survive(Path(folder), mode, options.samples, options.kills, cap, options.seed)
                found.append(run)
                print(*run.row, sep="  ", flush=True)
    publish("kills", [Table("Killed at random", COLUMNS, [run.row for run in found])], options)
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--samples", type=int, default=800, help="Judged twice each.")
    options.add_argument("--seed", type=int, default=0)
    return options.parse_args(arguments)


if __name__ == "__main__":
    runs = main()
    wrong = [run for run in runs if run.again or run.billed_usd > run.cap_usd]
    sys.exit(bool(wrong))
