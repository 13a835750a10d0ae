"""Tokens that scoring sends through the model, counted on full data sets; no model is loaded.

    EVALKIT_DATA=FOLDER .venv/bin/python -m benchmarks.tokens [--limit N] [--calibrate N]

For each task (SmolLM2's tokenizer) and all of them together as one run:

- lm-eval + vLLM: context and continuation of every request, as lm-eval's `vllm` model sends them;
  its requests ask for prompt log-probabilities, which do not read vLLM's prefix cache;
- trie: each distinct prefix that must pass through the model, once.  No plan can be below it;
- floor: the same where only whole blocks of vLLM's cache can be shared;
- evalkit: what evalkit's plan sends, with a cache that forgets nothing.

The second table is what the host does for it, as a part of what the plan's tokens cost on vLLM:
CPU time of all threads on both sides.  `--calibrate N` measures that cost on N documents of each.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from benchmarks import _questions
from benchmarks._common import (
    Cell,
    Clock,
    Table,
    parser,
    peak_rss_gb,
    public_data,
    publish,
    quiet,
    ratio,
    say,
    smollm2,
)
from evalkit.core import PreparedModel, Request
from evalkit.engines._local import Renderer, Tokens, request_key
from evalkit.engines._scoring import Answer, Ask, Cost, Pair, ScoringQueue

__all__ = ["PHASES", "Host", "cost", "cost_rows", "main"]

PHASES = ("load tasks", "build requests", "tokenise", "cache keys", "plan and assemble")


@dataclass
class Host:
    """What is sent, and the clocks of what the host does for it."""

    clocks: dict[str, Clock] = field(default_factory=lambda: {name: Clock() for name in PHASES})
    sent: dict[str, list[Request]] = field(default_factory=dict)
    """By task."""
    tokens: list[Tokens] = field(default_factory=list)
    """Of all requests, in order."""

    def pairs(self) -> Iterator[tuple[str, list[Pair]]]:
        """Task by task, what can be sent."""
        at = 0
        for name, sent in self.sent.items():
            tokens = self.tokens[at : at + len(sent)]
            at += len(sent)
            yield name, [(t.prompt, t.continuation) for t in tokens if t.failure is None]


def prepare(model: PreparedModel, tasks: Sequence[str], limit: int | None) -> Host:
    """Everything up to the plan, as a run does it: all requests are there before the first ask."""
    from evalkit.engines.vllm import VllmEngine, VllmSpec

    host, data = Host(), public_data()
    for name in tasks:
        with host.clocks["load tasks"]:
            benchmark = _questions.load(name, data)
        with host.clocks["build requests"]:
            host.sent[name] = _questions.requests(benchmark, limit)
        say(f"{name}: {len(host.sent[name]):,} requests")
    flat = [request for sent in host.sent.values() for request in sent]
    renderer = Renderer(model, None)
    with host.clocks["tokenise"]:
        host.tokens = renderer.tokens(flat)
    identity = VllmEngine(VllmSpec(), model).identity
    with host.clocks["cache keys"]:
        for request, tokens in zip(flat, host.tokens, strict=True):
            request_key(identity, request, tokens, 0)
    return host


def cost(pairs: Sequence[Pair], block: int) -> Mapping[str, int]:
    """Fields of `Cost` for a plan of these pairs, which is carried out with made-up answers.

    Args:
        pairs: (context, continuation) of each request.
        block: Tokens per block of the prefix cache.
    """
    queue = ScoringQueue()
    queue.add(((n, [pair]) for n, pair in enumerate(pairs)), block)
    finished = 0
    while (part := queue.next()) is not None:
        finished += len(queue.finish(part, _answer(part.ask)))
    if finished != len(pairs):
        raise RuntimeError(f"{finished} of {len(pairs)} requests were answered, expected all")
    return queue.work() if pairs else dict.fromkeys(Cost.__slots__, 0)


def _answer(ask: Ask) -> Answer:
    return Answer(0, 0, dict.fromkeys(ask.labels, -1.0), [-1.0] * ask.rows, [True] * ask.rows)


def cost_rows(host: Host, blocks: Sequence[int]) -> list[tuple[Cell, ...]]:
    """A row for each task and block size, and one for all tasks as one run."""
    rows: list[tuple[Cell, ...]] = []
    by_task = dict(host.pairs())
    everything = [pair for pairs in by_task.values() for pair in pairs]
    for block in blocks:
        rows += [_row(name, block, cost(pairs, block)) for name, pairs in by_task.items()]
        with host.clocks["plan and assemble"] if block == blocks[-1] else Clock():
            whole = cost(everything, block)
        if len(by_task) > 1:
            rows.append(_row("all", block, whole))
    return rows


def _row(name: str, block: int, found: Mapping[str, int]) -> tuple[Cell, ...]:
    naive, trie, floor, planned = (found[k] for k in ("naive", "trie", "floor", "planned"))
    counts = (found["requests"], naive, trie, floor, planned)
    ratios = (ratio(naive, planned), ratio(planned, trie), ratio(planned, floor))
    return (name, block, *counts, *ratios)


COLUMNS = (
    *("task", "block size", "requests", "lm-eval + vLLM", "trie", "floor", "evalkit"),
    *("lm-eval / evalkit", "evalkit / trie", "evalkit / floor"),
)


def _model_cpu_s(
    model: PreparedModel, host: Host, rows: Sequence[tuple[Cell, ...]], n: int
) -> float:
    """CPU seconds vLLM would need for the plans of all tasks, from `n` documents of each."""
    from benchmarks.scoring import evalkit_side

    data, total = public_data(), 0.0
    planned = {row[0]: row[COLUMNS.index("evalkit")] for row in rows}
    with evalkit_side(model) as side:
        for name in host.sent:
            sent = islice(_questions.documents(_questions.load(name, data), None), n)
            done = side([request for document in sent for request in document])
            tokens = planned[name]
            assert isinstance(tokens, int)
            total += done.clock.cpu_s * tokens / done.tokens["computed"]
            speed = done.tokens["computed"] / done.clock.cpu_s
            say(f"{name}: vLLM {speed:,.0f} tokens per CPU second, {tokens:,} planned")
    return total


def main() -> None:
    """Count and publish."""
    options = _options()
    quiet()
    model = smollm2()
    host = prepare(model, options.tasks, options.limit)
    rows = cost_rows(host, options.blocks)
    peak = peak_rss_gb()
    for name, clock in host.clocks.items():
        say(f"{name}: {clock}")
    limited = "" if options.limit is None else f", first {options.limit} documents of each task"
    tables = [Table(f"Tokens through the model{limited}", COLUMNS, rows)]
    if options.calibrate:
        tables.append(_host_table(host, _model_cpu_s(model, host, rows, options.calibrate), peak))
    else:
        say(f"peak memory {peak:.2f} GB")
    publish("tokens", tables, options)


def _host_table(host: Host, model_s: float, peak: float) -> Table:
    parts = [(name, clock.cpu_s) for name, clock in host.clocks.items()]
    parts.append(("together", sum(seconds for _, seconds in parts)))
    say(f"vLLM would need {model_s:,.0f} CPU seconds for the plan")
    return Table(
        "The host's CPU time, in percent of the model's",
        ("phase", "percent"),
        [(name, 100 * seconds / model_s) for name, seconds in parts],
        (f"Peak memory of the process before the model is loaded: {peak:.1f} GB.",),
    )


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--tasks", nargs="+", default=list(_questions.TASKS), metavar="TASK")
    made.add_argument("--limit", type=int, help="first documents of each lm-eval task")
    made.add_argument("--blocks", type=int, nargs="+", default=[16, 32], metavar="TOKENS")
    made.add_argument("--calibrate", type=int, default=0, metavar="N")
    return made.parse_args()


if __name__ == "__main__":
    main()
