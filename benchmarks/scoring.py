"""Log-likelihoods of the same real documents: evalkit against lm-eval's own backends.

    EVALKIT_DATA=FOLDER .venv/bin/python -m benchmarks.scoring [--limit N] [--tasks ...] [--hf]

Each side gets the same (context, continuation) texts and loads its engine once, in float32;
loading and the compilation of vLLM's sampler are before the clock starts, tokenising and the
assembly of results are inside.  Both vLLM engines have the same settings, those evalkit chooses
on a CPU.  `--limit` counts documents of each lm-eval task, from the first.

- lm-eval + vLLM sends context and continuation of every request, and its requests do not read
  the prefix cache, so its tokens are the sum of both;
- lm-eval + hf sends a context with its one-token continuations once; its tokens are counted at
  the model's embedding, padding included;
- trie and floor: see `benchmarks.tokens`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import _questions, _upstream
from benchmarks._common import (
    Cell,
    Clock,
    Table,
    joined,
    parser,
    public_data,
    publish,
    quiet,
    ratio,
    say,
    smollm2,
)
from evalkit.core import Completion, PreparedModel, Request
from evalkit.engines.vllm import VllmEngine, VllmSpec

__all__ = [
    "COLUMNS",
    "Measured",
    "Side",
    "compared",
    "evalkit_side",
    "main",
    "run_on_engine",
    "run_on_lm_eval",
]

DEFAULT = ("arc_challenge", "truthfulqa", "winogrande", "mmlu_astronomy", "hellaswag")
GOALS = {"arc": 4.0, "hellaswag": 4.0, "mmlu": 15.0, "truthfulqa": 7.0, "winogrande": 1.8}
"""Wall ratios against lm-eval with vLLM that the project set itself."""


@dataclass(frozen=True)
class Measured:
    """One task on one side."""

    clock: Clock
    scores: tuple[tuple[float, bool], ...]
    """(log-likelihood, is_greedy) of each request."""
    tokens: Mapping[str, int]
    """`computed` at least: prompt tokens that went through the model."""


Side: TypeAlias = Callable[[Sequence[Request]], Measured]


@contextmanager
def evalkit_side(model: PreparedModel) -> Iterator[Side]:
    """Evalkit's vllm engine, loaded and warm."""
    settings = _upstream.VLLM_SETTINGS
    spec = VllmSpec(
        dtype="float32",
        max_num_seqs=settings["max_num_seqs"],
        block_size=settings["block_size"],
        kv_cache_gib=settings["kv_cache_memory_bytes"] / 2**30,
        enforce_eager=settings["enforce_eager"],
    )
    engine = VllmEngine(spec, model)

    def score(requests: Sequence[Request]) -> Measured:
        return run_on_engine(engine, requests)

    with Clock() as loading:
        engine.open()
    try:
        yield _warm(score, "evalkit", loading)
    finally:
        engine.close()


@contextmanager
def vllm_side(model: PreparedModel) -> Iterator[Side]:
    """lm-eval's `vllm` model, loaded and warm."""
    from evalkit.engines.vllm import _clean_up

    _upstream.prepare()
    with ExitStack() as stack:
        with Clock() as loading:
            lm = stack.enter_context(_upstream.lm_eval_on_vllm(str(model.path)))

        def score(requests: Sequence[Request]) -> Measured:
            return run_on_lm_eval(lm, requests)

        try:
            yield _warm(score, "lm-eval + vLLM", loading)
        finally:
            lm.model.llm_engine.engine_core.shutdown()
            del lm.model
            _clean_up()


@contextmanager
def hf_side(model: PreparedModel, batch: int) -> Iterator[Side]:
    """lm-eval's `hf` model, loaded and warm; `batch`: requests in one pass."""
    from lm_eval.models.huggingface import HFLM

    with Clock() as loading:
        lm = HFLM(str(model.path), device="cpu", dtype="float32", batch_size=batch)
    passed: list[int] = []
    lm.model.get_input_embeddings().register_forward_pre_hook(
        lambda _, inputs: passed.append(inputs[0].numel())
    )

    def score(requests: Sequence[Request]) -> Measured:
        passed.clear()
        done = run_on_lm_eval(lm, requests)
        return Measured(done.clock, done.scores, {"computed": sum(passed)})

    yield _warm(score, "lm-eval + hf", loading)


def run_on_engine(engine: VllmEngine, requests: Sequence[Request]) -> Measured:
    """Through evalkit's engine, which is open."""
    before = engine.work()
    found: dict[int, Any] = {}
    with Clock() as clock:
        engine.submit(list(enumerate(requests)))
        while engine.pending:
            found.update(engine.poll(1.0))
    work = {name: n - before.get(name, 0) for name, n in engine.work().items()}
    return Measured(clock, tuple(_score(found[n]) for n in range(len(requests))), work)


def run_on_lm_eval(lm: Any, requests: Sequence[Request]) -> Measured:
    """Through the interface of one of lm-eval's models."""
    from lm_eval.api.instance import Instance

    instances = [
        Instance("loglikelihood", {}, (str(r.prompt), r.continuation), n)
        for n, r in enumerate(requests)
    ]
    with Clock() as clock:
        found = lm.loglikelihood(instances, disable_tqdm=True)
    return Measured(clock, tuple((float(value), bool(best)) for value, best in found), {})


def _score(reply: Any) -> tuple[float, bool]:
    if not isinstance(reply, Completion) or reply.logprob is None:
        raise RuntimeError(f"a request was not answered: {reply!r}")
    return reply.logprob, bool(reply.is_greedy)


def _warm(score: Side, name: str, loading: Clock) -> Side:
    """Ask for each kind of answer once, so that nothing is compiled under the clock."""
    text = "Numbers in a row: " + " ".join(str(n) for n in range(100))
    with Clock() as warming:
        score([
            Request("model", "loglikelihood", prompt=text + more, continuation=answer)
            for more in ("", " and", " or")
            for answer in (" A", " B", " one hundred and more", " one hundred and less")
        ])  # fmt: skip
    say(f"{name}: load {loading}; warm up {warming}")
    return score


# --- comparison ------------------------------------------------------------------------------

COLUMNS = (
    *("task", "requests", "upstream tokens", "evalkit tokens", "trie", "floor", "wall ratio"),
    *("CPU ratio", "largest difference", "is_greedy differences"),
)


def compared(name: str, theirs: Measured, ours: Measured) -> tuple[Cell, ...]:
    """A row of the table."""
    pairs = list(zip(theirs.scores, ours.scores, strict=True))
    return (
        name,
        len(ours.scores),
        theirs.tokens.get("computed", ours.tokens["naive"]),
        ours.tokens["computed"],
        ours.tokens["trie"],
        ours.tokens["floor"],
        ratio(theirs.clock.wall_s, ours.clock.wall_s),
        ratio(theirs.clock.cpu_s, ours.clock.cpu_s),
        max((abs(a - b) for (a, _), (b, _) in pairs), default=None),
        sum(a != b for (_, a), (_, b) in pairs),
    )


def main() -> None:
    """Measure and publish."""
    options = _options()
    quiet()
    if options.join:
        publish("scoring", joined(options.join), options)
        return
    model, data = smollm2(), public_data()
    asked = {
        name: _questions.requests(_questions.load(name, data), options.limit)
        for name in options.tasks
    }
    with evalkit_side(model) as side:
        ours = _all(side, "evalkit", asked)
    tables = []
    if not options.no_vllm:
        with vllm_side(model) as side:
            theirs = _all(side, "lm-eval + vLLM", asked)
        tables.append(_table("lm-eval's vllm backend", theirs, ours, options.limit))
    if options.hf:
        with hf_side(model, options.hf_batch) as side:
            theirs = _all(side, "lm-eval + hf", asked)
        tables.append(_table("lm-eval's hf backend", theirs, ours, options.limit))
    publish("scoring", tables, options)


def _all(side: Side, name: str, asked: Mapping[str, Sequence[Request]]) -> dict[str, Measured]:
    found = {}
    for task, requests in asked.items():
        found[task] = side(requests)
        say(f"{name}, {task}: {len(requests):,} requests, {found[task].clock}")
    return found


def _table(
    other: str, theirs: Mapping[str, Measured], ours: Mapping[str, Measured], limit: int | None
) -> Table:
    rows = [compared(name, theirs[name], ours[name]) for name in ours]
    for name, row in zip(ours, rows, strict=True):
        goal = GOALS.get(name.partition("_")[0])
        say(f"{name}: {row[COLUMNS.index('wall ratio')]:.2f} times faster (goal {goal})")
    documents = "all documents" if limit is None else f"first {limit} documents of each task"
    return Table(f"evalkit against {other}, {documents}", COLUMNS, rows)


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--tasks", nargs="+", default=list(DEFAULT), metavar="TASK")
    made.add_argument("--limit", type=int, default=10, help="first documents of each lm-eval task")
    made.add_argument("--hf", action="store_true", help="against lm-eval's hf backend as well")
    made.add_argument("--hf-batch", type=int, default=4, metavar="N")
    made.add_argument("--no-vllm", action="store_true", help="not against lm-eval's vllm backend")
    made.add_argument(
        "--join", nargs="+", type=Path, metavar="FILE", help="show what runs with --json printed"
    )
    return made.parse_args()


if __name__ == "__main__":
    main()
