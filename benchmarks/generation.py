"""Generation against raw vLLM and the three tools, on one mix of questions and one loaded model.

    .venv/bin/python -m benchmarks.generation [--short] [--save generation]

AlpacaEval instructions, two-turn MT-Bench questions and GSM8K with its five worked examples, all
greedy, with the same limit for every answer.  Compared, all with the model already loaded:

- evalkit: the flows through `drive`, on one vLLM engine;
- raw vLLM: `vllm.LLM.generate` on that very engine, all questions in one call and the second
  turns, whose prompts are given, in another;
- FastChat's loop (`gen_model_answer.py`), alpaca-eval's vLLM decoder, lm-eval's vLLM backend: each
  for its own benchmark, one after the other.

evalkit and raw vLLM take turns, and the quickest of each counts, because other work on the
machine only ever makes them slower.  Every answer is compared.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import _upstream as upstream
from benchmarks._common import Cell, Clock, Table, parser, public_data, publish, ratio, say, smollm2
from evalkit.core import Flow, Message, PreparedModel, Request
from evalkit.engines._drive import drive
from evalkit.engines.vllm import VllmEngine, VllmSpec

GREEDY = ("math", "reasoning", "coding", "extraction")
"""MT-Bench categories that FastChat answers at temperature 0."""


@dataclass
class Mix:
    """The requests."""

    alpaca: list[str]
    mt: list[dict[str, Any]]
    """FastChat's questions, two turns each."""
    gsm: list[Request]
    max_tokens: int

    @property
    def first_turns(self) -> list[Request]:
        """Every request that can be sent at once: AlpacaEval, MT-Bench, GSM8K."""
        chats = [*self.alpaca, *(q["turns"][0] for q in self.mt)]
        return [*(self.chat(Message("user", text)) for text in chats), *self.gsm]

    def chat(self, *messages: Message) -> Request:
        """A request with the mix's limit."""
        return Request("m", "generate", messages, max_tokens=self.max_tokens)

    def second(self, question: dict[str, Any], answer: str) -> Request:
        """The second turn after that answer to the first."""
        first, second = question["turns"]
        return self.chat(
            Message("user", first), Message("assistant", answer.strip()), Message("user", second)
        )


@dataclass
class Measured:
    """One way to do it."""

    name: str
    clock: Clock = field(default_factory=Clock)
    in_steps_s: float = 0.0
    """Wall seconds inside vLLM's own steps; 0 where vLLM is not used."""
    steps: int = 0
    """Calls of the model, prefills included."""
    tokens: int = 0
    """Tokens written."""
    answers: list[str] = field(default_factory=list)
    """AlpacaEval, MT-Bench's first turns, GSM8K, MT-Bench's second turns."""


class SharedEngine(VllmEngine):
    """evalkit's engine on a `vllm.LLM` that others use too; closing it leaves that open."""

    def __init__(self, spec: VllmSpec, model: PreparedModel, llms: list[Any]) -> None:
        """`llms`: the one that is loaded, or empty, and then `open` puts it there."""
        self._llms = llms
        super().__init__(spec, model)

    def _load(self) -> Any:
        from vllm import LLM

        if not self._llms:
            self._llms.append(LLM(**self._arguments()))
        return self._llms[0].llm_engine

    def close(self) -> None:
        """Forget what is queued."""
        self._engine = None
        super().close()


class Bench:
    """The loaded model and what counts its steps."""

    def __init__(self, mix: Mix, model: PreparedModel, spec: VllmSpec) -> None:
        self.mix = mix
        self.spec = spec
        self.model = model
        self.llms: list[Any] = []
        self.engine = SharedEngine(self.spec, model, self.llms)
        self.engine.open()
        (self.llm,) = self.llms
        self.steps = self.tokens = 0
        self.in_steps_s = 0.0
        step = self.llm.llm_engine.step

        def counted() -> Any:
            began = time.perf_counter()
            outputs = step()
            self.in_steps_s += time.perf_counter() - began
            self.steps += 1
            self.tokens += sum(len(o.outputs[0].token_ids) for o in outputs if o.finished)
            return outputs

        self.llm.llm_engine.step = counted
        # The first request compiles the sampler.
        self.raw([mix.chat(Message("user", "Hello"))])

    @contextmanager
    def measured(self, name: str) -> Iterator[Measured]:
        """Time and steps of what is done within."""
        self.llm.reset_prefix_cache()
        found = Measured(name)
        self.steps = self.tokens = 0
        self.in_steps_s = 0.0
        with found.clock:
            yield found
        found.steps, found.tokens = self.steps, self.tokens
        found.in_steps_s = self.in_steps_s

    def raw(self, requests: Sequence[Request]) -> list[str]:
        """`vllm.LLM.generate` on the requests' prompts as text, as its users call it."""
        from vllm import SamplingParams

        prompts = [self.engine.render(r).text for r in requests]
        settings = [
            SamplingParams(temperature=0.0, max_tokens=r.max_tokens, stop=list(r.stop))
            for r in requests
        ]
        return [o.outputs[0].text for o in self.llm.generate(prompts, settings, use_tqdm=False)]

    def evalkit(self) -> Measured:
        """All flows through `drive`."""
        engine = SharedEngine(self.spec, self.model, self.llms)
        mix = self.mix

        def one(request: Request) -> Flow[list[str]]:
            (reply,) = yield [request]
            return [reply.text]

        def two(question: dict[str, Any]) -> Flow[list[str]]:
            (first,) = yield [mix.chat(Message("user", question["turns"][0]))]
            (second,) = yield [mix.second(question, first.text)]
            return [first.text, second.text]

        with self.measured("evalkit") as found:
            flows: list[Flow[list[str]]] = [
                *(one(mix.chat(Message("user", text))) for text in mix.alpaca),
                *(two(question) for question in mix.mt),
                *(one(request) for request in mix.gsm),
            ]
            ends = dict(drive(enumerate(flows), {"m": engine}))
            texts = [_texts(ends[n]) for n in range(len(flows))]
            found.answers = [t[0] for t in texts] + [t[1] for t in texts if len(t) == 2]
        return found

    def raw_vllm(self) -> Measured:
        """Two calls of `generate`."""
        mix = self.mix
        with self.measured("raw vLLM") as found:
            firsts = self.raw(mix.first_turns)
            chats = firsts[len(mix.alpaca) :][: len(mix.mt)]
            seconds = [mix.second(q, a) for q, a in zip(mix.mt, chats, strict=True)]
            found.answers = firsts + self.raw(seconds)
        return found

    def tools(self) -> list[Measured]:
        """The three tools, each with its own benchmark."""
        return [self._fastchat(), self._alpaca_eval(), self._lm_eval()]

    def _fastchat(self) -> Measured:
        loaded = upstream.fastchat_model(str(self.model.path))
        with tempfile.TemporaryDirectory() as folder, self.measured("FastChat") as found:
            answers = upstream.fastchat_answers(
                self.mix.mt, Path(folder) / "answers.jsonl", self.mix.max_tokens, loaded
            )
            turns = [a["choices"][0]["turns"] for a in answers]
        found.answers = [t[0] for t in turns] + [t[1] for t in turns]
        ids = loaded[1](found.answers)["input_ids"]
        # An answer below the limit ended with one more token.
        found.tokens = sum(min(len(i) + 1, self.mix.max_tokens) for i in ids)
        found.steps = found.tokens
        return found

    def _alpaca_eval(self) -> Measured:
        with self.measured("alpaca-eval") as found:
            found.answers = upstream.alpaca_eval_outputs(
                str(self.model.path), self.mix.alpaca, self.mix.max_tokens, self.llm
            )
        return found

    def _lm_eval(self) -> Measured:
        from lm_eval.api.instance import Instance

        with upstream.lm_eval_on_vllm(str(self.model.path), self.llm) as lm:
            instances = [
                Instance(
                    "generate_until",
                    {},
                    (r.prompt, {"until": list(r.stop), "max_gen_toks": r.max_tokens}),
                    n,
                )
                for n, r in enumerate(self.mix.gsm)
            ]
            with self.measured("lm-eval") as found:
                found.answers = lm.generate_until(instances, disable_tqdm=True)
        return found


def _texts(value: object) -> list[str]:
    if isinstance(value, list):
        return value
    raise SystemExit(f"a request failed: {value}")


def questions(data: Path, sizes: tuple[int, int, int], max_tokens: int) -> Mix:
    """The first AlpacaEval instructions, greedy MT-Bench questions and GSM8K documents."""
    from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
    from evalkit.core.protocols import BenchmarkContext, DataPlaces

    n_alpaca, n_mt, n_gsm = sizes
    alpaca = _lines(data / "alpaca_eval/instructions.jsonl")[:n_alpaca]
    chats = [q for q in _lines(data / "mt_bench/question.jsonl") if q["category"] in GREEDY]
    context = BenchmarkContext(Path(), DataPlaces((data,)), judge=None, seed=0)
    task = LmEval(LmEvalSpec(tasks=("gsm8k",), shots=5), context)
    gsm = []
    if n_gsm:
        task.load()
        gsm = [next(task.flow(sample, "m"))[0] for sample in task.samples()[:n_gsm]]
    return Mix(
        [row["instruction"] for row in alpaca],
        # One of each category in turn.
        sorted(chats, key=lambda q: q["question_id"] % 10)[:n_mt],
        [replace(request, max_tokens=max_tokens) for request in gsm],
        max_tokens,
    )


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _different(mix: Mix, ours: Measured, others: Sequence[Measured]) -> dict[str, int]:
    """How many answers differ from ours, by way; tools strip theirs."""
    n_alpaca, n_mt, n_gsm = len(mix.alpaca), len(mix.mt), len(mix.gsm)
    chats = ours.answers[n_alpaca : n_alpaca + n_mt] + ours.answers[n_alpaca + n_mt + n_gsm :]
    mine = {
        "raw vLLM": ours.answers,
        "FastChat": chats,
        "alpaca-eval": ours.answers[:n_alpaca],
        "lm-eval": ours.answers[n_alpaca + n_mt : n_alpaca + n_mt + n_gsm],
    }
    return {
        other.name: sum(
            a.strip() != b.strip() for a, b in zip(mine[other.name], other.answers, strict=True)
        )
        for other in others
    }


def main() -> None:
    """Measure and publish."""
    made = parser(__doc__)
    made.add_argument(
        "--sizes",
        type=int,
        nargs=3,
        default=(12, 6, 6),
        metavar="N",
        help="AlpacaEval instructions, MT-Bench questions, GSM8K documents",
    )
    made.add_argument("--max-tokens", type=int, default=96)
    made.add_argument("--repeats", type=int, default=4)
    made.add_argument("--short", action="store_true", help="a third of it, without the tools")
    options = made.parse_args()
    upstream.prepare()
    sizes = (4, 2, 2) if options.short else tuple(options.sizes)
    mix = questions(public_data(), sizes, options.max_tokens)
    bench = Bench(mix, smollm2(), VllmSpec(dtype="float32", max_model_len=8192))
    ours, raw = by_turns([bench.evalkit, bench.raw_vllm], options.repeats)
    tools = [] if options.short else bench.tools()
    publish("generation", tables(mix, ours, raw, tools), options)


def by_turns(ways: Sequence[Callable[[], Measured]], repeats: int) -> list[Measured]:
    """The quickest of each way's runs, which take turns."""
    runs = [[way() for way in ways] for _ in range(repeats)]
    for found in zip(*runs, strict=True):
        say(f"{found[0].name}: {', '.join(str(f.clock) for f in found)}")
    best = [min(found, key=lambda f: f.clock.wall_s) for found in zip(*runs, strict=True)]
    for found, chosen in zip(zip(*runs, strict=True), best, strict=True):
        chosen.clock.cpu_s = min(f.clock.cpu_s for f in found)
    return best


def tables(mix: Mix, ours: Measured, raw: Measured, tools: Sequence[Measured]) -> list[Table]:
    """Ratios of time to ours, steps and tokens; the tools' sum stands last."""
    different = _different(mix, ours, [raw, *tools])
    rows: list[tuple[Cell, ...]] = []
    for found in (ours, raw, *tools):
        say(f"{found.name}: {found.clock}, {found.in_steps_s:.2f} s of it in vLLM's steps")
        rows.append(
            (
                found.name,
                ratio(found.clock.wall_s, ours.clock.wall_s),
                ratio(found.clock.cpu_s, ours.clock.cpu_s),
                found.steps,
                found.tokens,
                different.get(found.name),
            )
        )
    if tools:
        rows.append(
            (
                "the three tools",
                ratio(sum(t.clock.wall_s for t in tools), ours.clock.wall_s),
                ratio(sum(t.clock.cpu_s for t in tools), ours.clock.cpu_s),
                sum(t.steps for t in tools),
                sum(t.tokens for t in tools),
                sum(different[t.name] for t in tools),
            )
        )
    title = (
        f"Generation: {len(mix.alpaca)} AlpacaEval, {len(mix.mt)} x 2 MT-Bench, {len(mix.gsm)} "
        f"GSM8K, {mix.max_tokens} new tokens at most, the model loaded before"
    )
    columns = ("way", "wall", "CPU", "model calls", "tokens written", "answers that differ")
    shares = [100 * m.in_steps_s / m.clock.wall_s for m in (ours, raw)]
    timed = "Wall and CPU time as multiples of evalkit's, the quickest of several runs in turn"
    inside = "Of evalkit's time {:.1f} % is spent in vLLM's own steps, of raw vLLM's {:.1f} %."
    notes = (
        f"{timed} (the tools ran once); each tool does its own benchmark only.",
        inside.format(*shares),
    )
    return [Table(title, columns, rows, notes)]


if __name__ == "__main__":
    main()
