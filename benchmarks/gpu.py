"""What only a CUDA device shows, on models of real shapes with random weights.

    EVALKIT_DATA=FOLDER python -m benchmarks.gpu --tokenizer FOLDER [--parts ...] [--save gpu]

Parts, each of which may be run alone:

- suite: `evalkit run` from the command line, an adapter merged into a 1B base and that base, which
  also judges, on AlpacaEval, MT-Bench and two leaderboard tasks, with vLLM in bfloat16;
- agreement: the vllm and transformers engines against plain forward passes, float32 and bfloat16;
- scoring: a 7B model against lm-eval's vllm backend, both on one loaded vLLM;
- generation: the same against raw vLLM.

`--tokenizer` names a folder with the tokenizer and chat template that the models get.  Seconds
are of the device that the first line names.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _questions, _random_model, _upstream, generation, scoring
from benchmarks._common import (
    Cell,
    Clock,
    Table,
    markdown,
    parser,
    public_data,
    publish,
    quiet,
    say,
)
from evalkit.core import Completion, Request

__all__ = ["agreement", "generate", "main", "score", "suite"]

TASKS = {
    "mmlu_astronomy": 100,
    "arc_challenge": 60,
    "hellaswag": 60,
    "truthfulqa": 60,
    "winogrande": 100,
}
"""Documents of each lm-eval task that are scored."""
SUITE = """\
name: gpu
models:
  tuned: {{role: candidate, base: {base}, adapter: {adapter}}}
  base: {{role: baseline, path: {base}}}
engine: {{type: vllm, max_model_len: 4096, enforce_eager: {eager}}}
judges:
  base-judge: {{type: engine, model: base}}
benchmarks:
  - {{type: alpaca_eval, version: 1, max_tokens: 128, judge: base-judge}}
  - {{type: mt_bench, max_tokens: 128, judge: base-judge}}
  - {{type: lm_eval, name: arc, tasks: [arc_challenge], shots: 25}}
  - {{type: lm_eval, name: winogrande, tasks: [winogrande], shots: 5}}
"""


def suite(options: argparse.Namespace) -> Table:
    """A run from the command line: tokens, proof, seconds."""
    base = _random_model.make_model(options.small, options.tokenizer, options.work / "base")
    adapter = _random_model.make_adapter(base, options.work / "adapter")
    file, out = options.work / "suite.yaml", options.work / "out"
    eager = str(options.eager).lower()
    file.write_text(SUITE.format(base=base, adapter=adapter, eager=eager), "utf-8")
    command = [sys.executable, "-m", "evalkit", "run", str(file), "--limit", str(options.limit)]
    with Clock() as clock:
        done = subprocess.run(
            [*command, "--out", str(out)], cwd=options.work, env=_environment(), check=False
        )
    say(f"evalkit run: exit {done.returncode}, {clock}")
    columns = (
        *("exit", "requests", "failed", "prompt tokens", "reused", "written"),
        *("generation, s", "whole run, s"),
    )
    title = f"evalkit run, {options.small} adapter and base, vLLM in bfloat16"
    return Table(title, columns, [_run_row(done.returncode, clock, out)])


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def _run_row(code: int, clock: Clock, out: Path) -> tuple[Cell, ...]:
    for path in sorted(out.glob("**/manifest.json")):
        manifest = json.loads(path.read_text("utf-8"))
        for model in manifest["models"]:
            proof = model.get("provenance", {}).get("merge_proof")
            say(f"{model['name']}: {json.dumps(proof)} {json.dumps(model.get('checks'))}")
        if code or "usage" not in manifest:
            continue
        used = manifest["usage"]
        names = ("asked", "failed", "prompt_tokens", "reused_tokens", "completion_tokens")
        return (code, *(used[name] for name in names), used["seconds"], clock.wall_s)
    return (code, *[None] * 6, clock.wall_s)


# --- agreement -------------------------------------------------------------------------------


def agreement(options: argparse.Namespace) -> Table:
    """Log-likelihoods and greedy text of both engines against padded float32 passes."""
    folder = _random_model.make_model(options.small, options.tokenizer, options.work / "base")
    model = _random_model.prepared(folder)
    requests = [
        request
        for task in ("arc_challenge", "winogrande")
        for request in _questions.requests(_questions.load(task, public_data()), 10)
    ]
    mix = generation.questions(public_data(), (12, 0, 4), 48)
    sent = [*requests, *mix.first_turns]
    plain = {"type": "transformers", "shared_prefixes": False}
    reference = _answers(plain | {"dtype": "float32"}, model, sent)
    rows: list[tuple[Cell, ...]] = []
    for kind in ("transformers", "vllm"):
        for dtype in ("float32", "bfloat16"):
            spec: dict[str, Any] = {"type": kind, "dtype": dtype}
            if kind == "vllm":
                spec |= {"max_model_len": 4096, "enforce_eager": True}
                spec |= {"gpu_memory_utilization": 0.6} if _cuda() else {}
            try:
                found = _answers(spec, model, sent)
            except Exception as error:  # noqa: BLE001 - one engine's failure is a finding
                say(f"{kind} {dtype}: {error}")
                continue
            rows.append((kind, dtype, *_differences(reference, found, len(requests))))
    columns = (
        *("engine", "dtype", "log-likelihoods", "largest difference", "mean difference"),
        *("is_greedy differences", "texts", "texts that differ"),
    )
    return Table(f"Against plain float32 passes, {options.small} model", columns, rows)


def _answers(spec: dict[str, Any], model: Any, sent: Sequence[Request]) -> list[Completion]:
    from evalkit.engines.transformers import TransformersEngine, TransformersSpec
    from evalkit.engines.vllm import VllmEngine, VllmSpec

    engine: Any
    if spec["type"] == "vllm":
        engine = VllmEngine(VllmSpec.model_validate(spec), model)
    else:
        engine = TransformersEngine(TransformersSpec.model_validate(spec), model)
    found: dict[int, Any] = {}
    with Clock() as loading:
        engine.open()
    try:
        with Clock() as clock:
            engine.submit(list(enumerate(sent)))
            while engine.pending:
                found.update(engine.poll(1.0))
    finally:
        engine.close()
    say(f"{spec}: load {loading}; {len(sent)} requests {clock}; {_free()}; {engine.checks()}")
    failed = [reply for reply in found.values() if not isinstance(reply, Completion)]
    if failed:
        raise RuntimeError(f"{len(failed)} requests failed, the first: {failed[0]!r}")
    return [found[n] for n in range(len(sent))]


def _differences(
    reference: Sequence[Completion], found: Sequence[Completion], scored: int
) -> tuple[Cell, ...]:
    pairs = list(zip(reference[:scored], found[:scored], strict=True))
    gaps = [abs((a.logprob or 0.0) - (b.logprob or 0.0)) for a, b in pairs]
    texts = list(zip(reference[scored:], found[scored:], strict=True))
    return (
        *(len(pairs), max(gaps), sum(gaps) / len(gaps)),
        sum(a.is_greedy != b.is_greedy for a, b in pairs),
        *(len(texts), sum(a.text != b.text for a, b in texts)),
    )


# --- a large model on one vLLM ---------------------------------------------------------------


class Loaded:
    """A vLLM of the large model that evalkit, lm-eval and raw vLLM share."""

    def __init__(self, options: argparse.Namespace) -> None:
        from evalkit.engines.vllm import VllmSpec

        folder = _random_model.make_model(options.large, options.tokenizer, options.work / "large")
        self.model = _random_model.prepared(folder)
        self.mix = generation.questions(public_data(), tuple(options.sizes), options.max_tokens)
        spec = VllmSpec(max_model_len=8192)
        with Clock() as clock:
            self.bench = generation.Bench(self.mix, self.model, spec)
        say(f"{options.large} loaded: {clock}; {_free()}")


def score(options: argparse.Namespace, loaded: Loaded) -> Table:
    """Each task on lm-eval's backend and on evalkit's engine, the cache emptied before each."""
    rows = []
    bench = loaded.bench
    engine = generation.SharedEngine(bench.spec, loaded.model, bench.llms)
    engine.open()
    with _upstream.lm_eval_on_vllm(str(loaded.model.path), bench.llm) as lm:
        for name, limit in TASKS.items():
            sent = _questions.requests(
                _questions.load(name, public_data()), max(1, limit // options.divide)
            )
            bench.llm.reset_prefix_cache()
            ours = scoring.run_on_engine(engine, sent)
            bench.llm.reset_prefix_cache()
            theirs = scoring.run_on_lm_eval(lm, sent)
            say(f"{name}: evalkit {ours.clock}; lm-eval {theirs.clock}")
            rows.append((*scoring.compared(name, theirs, ours), ours.clock.wall_s))
    title = f"evalkit against lm-eval's vllm backend, {options.large} model in bfloat16"
    return Table(title, (*scoring.COLUMNS, "evalkit wall s"), rows)


def generate(options: argparse.Namespace, loaded: Loaded) -> list[Table]:
    """AlpacaEval, MT-Bench and GSM8K: the flows against two calls of `generate`."""
    bench = loaded.bench
    ours, raw = generation.by_turns([bench.evalkit, bench.raw_vllm], options.repeats)
    for way in (ours, raw):
        say(f"{way.name}: {way.tokens / way.clock.wall_s:.0f} tokens/s")
    return generation.tables(loaded.mix, ours, raw, [])


def main() -> None:
    """Measure and publish."""
    made = parser(__doc__)
    made.add_argument("--tokenizer", type=Path, required=True)
    made.add_argument("--work", type=Path, default=Path("/dev/shm/evalkit-gpu"))
    made.add_argument("--parts", nargs="+", default=["suite", "agreement", "scoring", "generation"])
    made.add_argument("--small", choices=_random_model.SHAPES, default="1b")
    made.add_argument("--large", choices=_random_model.SHAPES, default="7b")
    made.add_argument("--sizes", type=int, nargs=3, default=(200, 40, 40), metavar="N")
    made.add_argument("--max-tokens", type=int, default=192)
    made.add_argument("--repeats", type=int, default=2)
    made.add_argument("--limit", type=int, default=40, help="samples per task of the suite")
    made.add_argument("--eager", action="store_true", help="suite: without CUDA graphs")
    made.add_argument("--divide", type=int, default=1, help="documents of each task, divided")
    options = made.parse_args()
    quiet()
    if _cuda():
        # As evalkit runs it: the model in a process of its own.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    _upstream.prepare()
    options.work.mkdir(parents=True, exist_ok=True)
    tables: list[Table] = []
    loaded: list[Loaded] = []

    def large() -> Loaded:
        loaded.extend([] if loaded else [Loaded(options)])
        return loaded[0]

    parts: dict[str, Callable[[], list[Table]]] = {
        "suite": lambda: [suite(options)],
        "agreement": lambda: [agreement(options)],
        "scoring": lambda: [score(options, large())],
        "generation": lambda: generate(options, large()),
    }
    for name in options.parts:
        found = parts[name]()
        for table in found:
            # A later part may end the process.
            say(markdown(table))
        tables += found
    publish("gpu", tables, options)


def _cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _free() -> str:
    import torch

    if not torch.cuda.is_available():
        return "no CUDA device"
    free, total = torch.cuda.mem_get_info()
    return f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"


if __name__ == "__main__":
    main()
