"""Decode steps of a chat evaluation, counted from real answer lengths; computes nothing else.

    .venv/bin/python -m benchmarks.schedule [--slots 256] [--tokenizer FOLDER]

A decode step yields one token for each of at most `slots` answers (vLLM's max_num_seqs), so what
an order of work costs can be counted without a model.  Lengths are those of published answers:
AlpacaEval outputs, MT-Bench answers (both turns) and, for GSM8K, the data set's own solutions,
each cut at its benchmark's limit.  Orders counted:

- three tools in sequence: FastChat answers one at a time (`gen_model_answer.py`), alpaca-eval
  calls vLLM with chunks of 64 and waits for each (`chunksize`), lm-eval calls it once;
- three good vLLM calls: AlpacaEval, MT-Bench's turns as two calls, GSM8K; no order within;
- one pool in which a second turn enters when its first has ended: as submitted, longest first
  by limit, by the lengths another model's answers had, and by those of the same model, which
  are what a repeated or resumed evaluation knows, also with an error of half of each;
- the bound: no order can be below all tokens divided by slots, or the longest conversation.
"""

from __future__ import annotations

import gzip
import heapq
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._common import Cell, Table, parser, public_data, publish, ratio
from evalkit.engines._order import cautious

__all__ = [
    "LIMITS",
    "Conversation",
    "bound",
    "conversations",
    "decode_steps",
    "four_characters",
    "main",
    "orders",
]

LIMITS = {"alpaca_eval": 2048, "mt_bench": 1024, "gsm8k": 256}
"""New tokens an answer may have, as evalkit's benchmarks ask for them."""
CHUNK = 64
"""alpaca-eval's `chunksize` for local decoders."""


@dataclass(frozen=True)
class Conversation:
    """What one sample makes a model write."""

    benchmark: str
    turns: tuple[int, ...]
    """Tokens of each answer."""

    @property
    def limits(self) -> tuple[int, ...]:
        """Tokens each answer may have."""
        return (LIMITS[self.benchmark],) * len(self.turns)


def decode_steps(
    samples: Sequence[Conversation],
    slots: int,
    guesses: Sequence[Sequence[int]] | None = None,
) -> int:
    """Steps until all answers are there; a free slot takes the next answer at once.

    Args:
        samples: What is asked, in order of submission.
        slots: Answers computed at the same time.
        guesses: Lengths the order goes by, one per turn of each sample: the longest rest of a
            conversation first, later turns before everything that has not begun.  None: in order
            of submission.
    """
    numbers = iter(range(10**9))
    waiting: list[tuple[bool, int, int, int, int]] = []

    def enqueue(sample: int, turn: int) -> None:
        rest = 0 if guesses is None else -sum(guesses[sample][turn:])
        first_wave = turn == 0 or guesses is None
        heapq.heappush(waiting, (first_wave, rest, next(numbers), sample, turn))

    for sample in range(len(samples)):
        enqueue(sample, 0)
    running: list[tuple[int, int, int]] = []
    step = 0
    while waiting or running:
        while waiting and len(running) < slots:
            *_, sample, turn = heapq.heappop(waiting)
            heapq.heappush(running, (step + samples[sample].turns[turn], sample, turn))
        step = running[0][0]
        while running and running[0][0] == step:
            _, sample, turn = heapq.heappop(running)
            if turn + 1 < len(samples[sample].turns):
                enqueue(sample, turn + 1)
    return step


def bound(samples: Iterable[Conversation], slots: int) -> int:
    """No order of work takes fewer decode steps."""
    lengths = [sum(sample.turns) for sample in samples]
    return max(-(-sum(lengths) // slots), max(lengths, default=0))


def orders(
    samples: Sequence[Conversation], others: Sequence[Conversation], slots: int
) -> dict[str, int]:
    """Decode steps by name of the order; `others`: the same samples answered by another model."""
    by = {name: [s for s in samples if s.benchmark == name] for name in LIMITS}
    chat = [turn for s in by["mt_bench"] for turn in s.turns]
    outputs = [s.turns[0] for s in by["alpaca_eval"]]
    turns = [
        [Conversation("mt_bench", s.turns[n : n + 1]) for s in by["mt_bench"]] for n in range(2)
    ]
    chunks = [outputs[at : at + CHUNK] for at in range(0, len(outputs), CHUNK)]
    fastchat = sum(chat)
    alpaca = sum(
        decode_steps([Conversation("alpaca_eval", (n,)) for n in chunk], slots) for chunk in chunks
    )
    lm_eval = decode_steps(by["gsm8k"], slots)
    calls = [by["alpaca_eval"], *turns, by["gsm8k"]]
    return {
        "FastChat, one at a time": fastchat,
        "alpaca-eval, chunks of 64": alpaca,
        "lm-eval, one call": lm_eval,
        "three tools in sequence": fastchat + alpaca + lm_eval,
        "three good vLLM calls": sum(decode_steps(call, slots) for call in calls),
        "one pool, as submitted": decode_steps(samples, slots),
        "longest first by limit": decode_steps(samples, slots, _by_limit(samples)),
        "by another model's lengths": decode_steps(samples, slots, _expected(others)),
        "by the same model's lengths": decode_steps(samples, slots, _expected(samples)),
        "the same, half wrong": decode_steps(samples, slots, _expected(samples, noise=0.5)),
        "another model's, without caution": decode_steps(samples, slots, [s.turns for s in others]),
        "bound": bound(samples, slots),
    }


def _by_limit(samples: Sequence[Conversation]) -> list[tuple[int, ...]]:
    """Limits; of equal conversations that with more turns goes first, as in the product."""
    return [tuple(n + (len(s.turns) > 1) for n in s.limits) for s in samples]


def _expected(samples: Sequence[Conversation], noise: float = 0.0) -> list[list[int]]:
    """What evalkit would expect of each turn (`engines/_order.py`) if these were known lengths.

    Args:
        samples: The answers known.
        noise: Each length is off by at most this part of it, evenly.
    """
    factor = random.Random(0)
    return [
        [
            cautious(round(n * factor.uniform(1 - noise, 1 + noise)), most)
            for n, most in zip(s.turns, s.limits, strict=True)
        ]
        for s in samples
    ]


def conversations(
    data: Path, alpaca_eval: str, mt_bench: str, count: Callable[[list[str]], list[int]]
) -> list[Conversation]:
    """Answers as published: two models' names in the data, and what counts tokens of texts."""
    outputs = _rows(data / f"alpaca_eval/model_outputs/{alpaca_eval}.json.gz")
    answers = _rows(data / f"mt_bench/model_answer/{mt_bench}.jsonl")
    solved = _rows(data / "leaderboard_v1/gsm8k/test.jsonl")
    turns = [count([row["choices"][0]["turns"][n] for row in answers]) for n in range(2)]
    found = [
        ("alpaca_eval", [(n,) for n in count([row["output"] for row in outputs])]),
        ("mt_bench", list(zip(*turns, strict=True))),
        ("gsm8k", [(n,) for n in count([row["answer"] for row in solved])]),
    ]
    # One more token ends an answer.
    return [
        Conversation(name, tuple(min(n + 1, LIMITS[name]) for n in sample))
        for name, samples in found
        for sample in samples
    ]


def _rows(path: Path) -> list[Any]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = raw.decode("utf-8")
    if ".jsonl" in path.name:
        return [json.loads(line) for line in text.splitlines() if line]
    return list(json.loads(text))


def four_characters(texts: list[str]) -> list[int]:
    """About as many as a tokenizer of English counts, without one."""
    return [-(-len(text) // 4) for text in texts]


def main() -> None:
    """Count and publish."""
    made = parser(__doc__)
    made.add_argument("--slots", type=int, nargs="+", default=[64, 256])
    made.add_argument("--tokenizer", help="folder of a tokenizer; default: 4 characters a token")
    options = made.parse_args()
    count = four_characters if options.tokenizer is None else _tokenizer(options.tokenizer)
    data = public_data()
    mixes = {
        "Zephyr-7B-beta": conversations(data, "zephyr-7b-beta", "zephyr-7b-beta", count),
        "Notus, Mistral-ORPO": conversations(data, "notus-7b-v1", "mistral-orpo-capybara", count),
    }
    names = list(mixes)
    tables = []
    for name, other in zip(names, reversed(names), strict=True):
        counted = [orders(mixes[name], mixes[other], slots) for slots in options.slots]
        rows = [(order, *_cells(order, counted)) for order in counted[0]]
        columns = ["order"]
        for slots in options.slots:
            columns += [f"{slots} at a time", "of the bound"]
        title = f"Decode steps for {len(mixes[name]):,} samples answered as by {name}"
        tables.append(Table(title, tuple(columns), rows))
    publish("schedule", tables, options)


def _cells(order: str, counted: Sequence[dict[str, int]]) -> list[Cell]:
    """Steps and their multiple of the bound, for each number of slots."""
    return [cell for c in counted for cell in (c[order], ratio(c[order], c["bound"]))]


def _tokenizer(folder: str) -> Callable[[list[str]], list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda texts: [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]


if __name__ == "__main__":
    main()
