"""An adapter merged into its base against the same one served beside it (`serve: lora`).

    .venv/bin/python -m benchmarks.serve_lora [--short]

SmolLM2 and the quickstart's adapter in float32, each asked the same work three times over: new
prompts (prefill), answers (decode), and log-likelihoods.  Merged, each of the two is a model of
its own and is loaded; with `serve: lora` the second finds the weights of the first.  The first
request after a load compiles vLLM's sampler: it belongs to the load.  With `serve: lora` so does
the comparison with the merged weights, which is made after every load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks._common import (
    GGUF,
    ROOT,
    Cell,
    Clock,
    Table,
    parser,
    publish,
    quiet,
    ratio,
    say,
    smollm2,
)
from evalkit.core import Completion, PreparedModel, Request

__all__ = ["Way", "break_even", "main", "speeds"]

ADAPTER = ROOT / "suites" / "quickstart" / "adapter"
WORDS = tuple(
    f"{first}{second}"
    for first in ("river", "stone", "winter", "garden", "silver")
    for second in ("side", "ward", "less", "work", "gate")
)


@dataclass
class Way:
    """One way of serving both models: seconds and tokens of each part."""

    loads: int = 0
    load: Clock = field(default_factory=Clock)
    parts: dict[tuple[str, str], tuple[Clock, int]] = field(default_factory=dict)
    """By model and kind of work; the integer counts tokens."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and publish."""
    described = parser(__doc__)
    described.add_argument("--short", action="store_true", help="a quarter of the work")
    options = described.parse_args(arguments)
    quiet()
    work = _work(4 if options.short else 16)
    ways = {
        serve: _measure(serve, {"adapter": _adapter(serve), "base": smollm2()}, work)
        for serve in ("merged", "lora")
    }
    publish("serve_lora", [speeds(ways), break_even(ways)], options)


def _adapter(serve: str) -> PreparedModel:
    from evalkit import models
    from evalkit.core.specs import ModelSpec

    spec = ModelSpec(base=GGUF, adapter=str(ADAPTER), dtype="float32")
    return models.prepare("adapter", spec, ROOT, ROOT, say, unmerged=serve == "lora")


def _work(size: int) -> dict[str, list[Request]]:
    """Requests by kind; no two prompts share a block, and raw stories run to the limit."""

    def text(seed: int, words: int) -> str:
        return " ".join(
            WORDS[(seed * 7 + n * (seed + 3) + n // 5) % len(WORDS)] for n in range(words)
        )

    long = [f"Story {n}: {text(n, 300)}" for n in range(size)]
    short = [f"Number {n}. {text(n, 8)}. Once upon a time" for n in range(size)]
    choices = (" yes", " no", " It was never said, but everybody knew.", " Nobody knew it then.")
    return {
        "prefill": [Request("m", "generate", prompt, max_tokens=1) for prompt in long],
        "decode": [Request("m", "generate", prompt, max_tokens=96) for prompt in short],
        "log-likelihood": [
            Request("m", "loglikelihood", f"{n} {text(n, 60)}", continuation=choice)
            for n in range(2 * size)
            for choice in choices
        ],
    }


def _measure(
    serve: str, models: Mapping[str, PreparedModel], work: Mapping[str, list[Request]]
) -> Way:
    """The adapter first, then the base, as a run asks them."""
    from evalkit.engines.vllm import VllmEngine, VllmSpec

    way = Way()
    spec = VllmSpec.model_validate({"serve": serve, "dtype": "float32", "max_model_len": 1024})
    engines = {name: VllmEngine(spec, model) for name, model in models.items()}
    warm_up = Request("m", "generate", "Hello there", max_tokens=2)
    for engine in engines.values():
        # Work that waits is what keeps the weights for the next one.
        engine.submit([(0, warm_up)])
    for name, engine in engines.items():
        with way.load, _counted(way):
            engine.open()
            _answers(engine, [], pending=1)
        for kind, requests in work.items():
            clock = Clock()
            with clock:
                found = _answers(engine, requests)
            way.parts[name, kind] = (clock, _tokens(kind, found))
            say(f"{serve} {name} {kind}: {clock}")
        engine.close()
    say(f"{serve}: {way.loads} loads, {way.load}")
    return way


@contextmanager
def _counted(way: Way) -> Iterator[None]:
    """Count the engines that vLLM makes meanwhile."""
    from vllm.v1.engine.llm_engine import LLMEngine

    make = LLMEngine.from_engine_args

    def counting(*arguments: Any, **settings: Any) -> Any:
        way.loads += 1
        return make(*arguments, **settings)

    LLMEngine.from_engine_args = counting
    try:
        yield
    finally:
        LLMEngine.from_engine_args = make


def _answers(engine: object, requests: Sequence[Request], pending: int = 0) -> list[Completion]:
    from evalkit.engines.vllm import VllmEngine

    assert isinstance(engine, VllmEngine)
    engine.submit(list(enumerate(requests)))
    found: list[Completion] = []
    while engine.pending:
        for _, reply in engine.poll(1.0):
            assert isinstance(reply, Completion), reply
            found.append(reply)
    assert len(found) == len(requests) + pending
    return found


def _tokens(kind: str, found: Sequence[Completion]) -> int:
    if kind == "decode":
        return sum(c.completion_tokens for c in found)
    return sum(c.prompt_tokens for c in found)


# --- tables ----------------------------------------------------------------------------------


def speeds(ways: Mapping[str, Way]) -> Table:
    """Tokens per second with `serve: lora` as a part of those merged, and loads."""
    rows: list[tuple[Cell, ...]] = []
    for (name, kind), (clock, tokens) in ways["merged"].parts.items():
        other, other_tokens = ways["lora"].parts[name, kind]
        speed = ratio(other_tokens * clock.wall_s, tokens * other.wall_s)
        rows.append((name, kind, tokens, other_tokens, speed))
    merged, lora = ways["merged"], ways["lora"]
    loading = ratio(lora.load.wall_s, merged.load.wall_s) or 0.0
    note = (
        f"Weights were loaded {merged.loads} times merged and {lora.loads} times with serve: "
        f"lora; loading took {loading:.2f} of the time, the comparison with the merged weights "
        f"included."
    )
    return Table(
        "Tokens per second, serve: lora as a part of serve: merged",
        ("model", "work", "tokens merged", "tokens lora", "lora / merged"),
        rows,
        (note,),
    )


def break_even(ways: Mapping[str, Way]) -> Table:
    """From how much work on, per model, loading both is the faster way."""
    saved = ways["merged"].load.wall_s - ways["lora"].load.wall_s
    kinds = dict.fromkeys(kind for _, kind in ways["merged"].parts)
    rows: list[tuple[Cell, ...]] = []
    for kind in kinds:
        lost = 0.0
        for name in ("adapter", "base"):
            for way, sign in (("lora", 1), ("merged", -1)):
                clock, tokens = ways[way].parts[name, kind]
                lost += sign * clock.wall_s / tokens
        rows.append((kind, int(saved / lost) if lost > 0 and saved > 0 else None))
    return Table(
        "Tokens of adapter and base each, after which merged is faster, loading included",
        ("work", "tokens"),
        rows,
        ("A dash: there is no such point, one of the ways is always the faster one.",),
    )


if __name__ == "__main__":
    main()
