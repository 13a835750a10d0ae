"""What evalkit itself costs: whole runs on the fake engine, which answers at once.

    .venv/bin/python -m benchmarks.overhead [--requests 10000 100000] [--calibrate TASK]

Each case is a suite of its own with made-up lm-eval tasks, run as `evalkit run` runs it, in a
process of its own:

- choice: questions with four answers and five worked examples, so four log-likelihoods each;
- generation: one answer of 5 to 60 words a question.

Building the requests, scheduling, the completion cache, records, estimates and the report are all
in it, and so is the fake engine.  Tokenising and planning are not: `benchmarks.tokens` has them;
nor is what a process imports: `benchmarks.startup`.
`replay` runs the same suite into another folder, where the cache has every answer.

Growth is CPU time per request against the smallest number of requests: 1 is linear.  With
`--calibrate TASK` that task is scored by vLLM, SmolLM2 in float32, and the last column says what
part evalkit's CPU time is of vLLM's for as many requests of that task.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._common import (
    ROOT,
    Cell,
    Clock,
    Table,
    parser,
    peak_rss_gb,
    public_data,
    publish,
    ratio,
    say,
    smollm2,
)

__all__ = ["CASES", "COLUMNS", "Measured", "furnish", "main", "measure", "rows"]

CASES = {"choice": 4, "generation": 1}
"""Requests per document."""
STAGES = ("assemble", "ask", "seal", "replay")
COLUMNS = (
    *("case", "requests", "growth of CPU time", "growth of replay", "peak memory, GB"),
    *("peak memory, bytes per request", "percent of vLLM's CPU time"),
)
WORDS = tuple(
    first + last
    for first in ("ba", "co", "di", "fu", "ga", "le", "mi", "no", "pa", "re", "si", "tu")
    for last in ("", "l", "n", "r", "st", "ding", "ker", "low", "mer", "nth", "son", "ty")
)
SUITE = """\
name: overhead
models: {{fake: {{role: candidate, path: fake}}}}
engine: {{type: fake, exclusive: true}}
benchmarks: [{{type: lm_eval, tasks: [{case}.yaml]}}]
"""
TASKS: Mapping[str, str] = {
    "choice": """\
output_type: multiple_choice
num_fewshot: 5
fewshot_split: train
doc_to_text: "Question: {{question.strip()}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true},
              {metric: acc_norm, aggregation: mean, higher_is_better: true}]
""",
    "generation": """\
output_type: generate_until
num_fewshot: 0
doc_to_text: "Question: {{question.strip()}}\\nAnswer:"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["\\n\\n"], do_sample: false, max_gen_toks: 64}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
""",
}


@dataclass(frozen=True)
class Measured:
    """One case of one size."""

    case: str
    requests: int
    """As many as the engine really answered."""
    cpu_s: Mapping[str, float]
    """By stage; `replay` is not part of the run."""
    peak_gb: float

    @property
    def run_cpu_s(self) -> float:
        """Of the run itself."""
        return sum(seconds for stage, seconds in self.cpu_s.items() if stage != "replay")


# --- one case ----------------------------------------------------------------------------------


def furnish(folder: Path, case: str, requests: int) -> Path:
    """Write suite, task and documents into `folder`, which is made; returns the suite's path."""
    draw = random.Random(0)
    folder.mkdir()
    documents = -(-requests // CASES[case])
    for split, count in (("train", 20), ("test", documents)):
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as lines:
            for number in range(count):
                lines.write(json.dumps(_document(f"{split} {number}", draw)) + "\n")
    head = (
        f"task: overhead_{case}\ndataset_path: json\ntraining_split: train\ntest_split: test\n"
        f"dataset_kwargs: {{data_files: {{train: train.jsonl, test: test.jsonl}}}}\n"
    )
    (folder / f"{case}.yaml").write_text(head + TASKS[case], encoding="utf-8")
    (folder / ".evalkit").mkdir()
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(case=case), encoding="utf-8")
    return suite


def _document(name: str, draw: random.Random) -> dict[str, object]:
    return {
        "question": f"In {name}, {' '.join(draw.choices(WORDS, k=draw.randrange(20, 60)))}?",
        "choices": [
            f"{' '.join(draw.choices(WORDS, k=draw.randrange(1, 8)))} {n}" for n in range(4)
        ],
        "answer": draw.randrange(4),
    }


class _Stages:
    """Watches a run and has a clock for each of its stages."""

    def __init__(self) -> None:
        self.clocks = {name: Clock() for name in STAGES}
        self._running: Clock | None = None

    def to(self, stage: str | None) -> None:
        """From now on the time is that of `stage`; None: of none."""
        if self._running is not None:
            self._running.__exit__(None, None, None)
        self._running = None if stage is None else self.clocks[stage].__enter__()

    def step(self, text: str) -> None:
        """Nothing."""

    def start(self, totals: object, done: int) -> None:
        """Asking begins."""
        self.to("ask")

    def reply(self, key: object, request: object, reply: object) -> None:
        """Nothing."""

    def record(self, record: object) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Asking is over."""
        self.to("seal")


def measure(case: str, requests: int, profile: Path | None = None) -> Measured:
    """Run one case in this process, whose peak memory is then the case's if it did nothing else.

    Args:
        case: A key of CASES.
        requests: How many to send, rounded up to whole documents.
        profile: Where the profile of the run (without replay) is to be written, for `pstats`.
    """
    from evalkit import runner

    stages = _Stages()
    with tempfile.TemporaryDirectory(prefix="evalkit-overhead-") as name:
        tiny = furnish(Path(name) / "tiny", case, 8)
        _run(tiny, tiny.parent / "run", runner.Silent())  # imports
        suite = furnish(Path(name) / "suite", case, requests)
        profiler = cProfile.Profile() if profile is not None else None
        stages.to("assemble")
        asked = _profiled(profiler, lambda: _run(suite, suite.parent / "first", stages))
        stages.to(None)
        peak = peak_rss_gb()
        if profiler is not None:
            profiler.dump_stats(str(profile))
        stages.to("replay")
        again = _run(suite, suite.parent / "second", runner.Silent())
        stages.to(None)
    if asked < requests or again:
        raise RuntimeError(f"{asked} answers, {again} in the replay; expected {requests} and 0")
    cpu_s = {stage: clock.cpu_s for stage, clock in stages.clocks.items()}
    return Measured(case, asked, cpu_s, peak)


def _profiled(profiler: cProfile.Profile | None, call: Callable[[], int]) -> int:
    return call() if profiler is None else profiler.runcall(call)


def _run(suite: Path, out: Path, watch: object) -> int:
    """As `evalkit run SUITE --out OUT`; how many requests the engine answered."""
    from evalkit import api, runner
    from evalkit.store.completions import CompletionStore

    origin = runner.Origin("suite.yaml", suite.parent, suite.parent, ("evalkit", "run"))
    with CompletionStore(origin.state / "cache.sqlite") as cache:
        job = runner.assemble(api.load_suite(suite), origin, runner.Selection(), cache)
        done = runner.run(job, out, retry_failed=True, progress=watch)  # type: ignore[arg-type]
    return done.usage.asked


# --- all cases ---------------------------------------------------------------------------------


def main() -> None:
    """Measure and publish."""
    options = _options()
    if options.one is not None:
        print(json.dumps(asdict(measure(options.one, options.requests[0], options.profile))))
        return
    found = [
        _in_own_process(case, requests, options.profile)
        for case in options.cases
        for requests in sorted(options.requests)
    ]
    per_request = None if options.calibrate is None else _vllm_cpu_s(options.calibrate)
    notes: tuple[str, ...] = ()
    if per_request is not None:
        notes = (f"vLLM's CPU time is that of {options.calibrate}, float32, per request.",)
    table = Table("Harness overhead", COLUMNS, rows(found, per_request), notes)
    publish("overhead", [table], options)


def rows(found: Sequence[Measured], vllm_cpu_s: float | None) -> list[tuple[Cell, ...]]:
    """Rows of the table; `vllm_cpu_s`: CPU seconds vLLM takes for one request, None: unknown."""
    first: dict[str, Measured] = {}
    made: list[tuple[Cell, ...]] = []
    for one in found:
        base = first.setdefault(one.case, one)
        scale = base.requests / one.requests
        made.append((
            one.case,
            one.requests,
            ratio(one.run_cpu_s * scale, base.run_cpu_s),
            ratio(one.cpu_s["replay"] * scale, base.cpu_s["replay"]),
            one.peak_gb,
            round(one.peak_gb * 1e9 / one.requests),
            None if vllm_cpu_s is None else 100 * one.run_cpu_s / one.requests / vllm_cpu_s,
        ))  # fmt: skip
    return made


def _in_own_process(case: str, requests: int, profile: Path | None) -> Measured:
    command = [sys.executable, "-m", "benchmarks.overhead", "--one", case]
    command += ["--requests", str(requests)]
    if profile is not None:
        command += ["--profile", str(profile.with_suffix(f".{case}.{requests}"))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found = Measured(**json.loads(done.stdout.splitlines()[-1]))
    parts = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in found.cpu_s.items())
    each = 1e3 * found.run_cpu_s / found.requests
    say(f"{case}, {found.requests:,} requests: {each:.3f} ms each; CPU: {parts}")
    return found


def _vllm_cpu_s(task: str) -> float:
    """CPU seconds that evalkit's vllm engine takes for one request of a task, all documents."""
    from benchmarks import _questions
    from benchmarks.scoring import evalkit_side

    asked = _questions.requests(_questions.load(task, public_data()), None)
    with evalkit_side(smollm2()) as side:
        done = side(asked)
    say(f"vLLM, {task}: {1e3 * done.clock.cpu_s / len(asked):.2f} ms CPU a request")
    return done.clock.cpu_s / len(asked)


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--requests", type=int, nargs="+", default=[10_000, 100_000], metavar="N")
    made.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES, metavar="CASE")
    made.add_argument("--calibrate", metavar="TASK", help="lm-eval task to score with vLLM")
    made.add_argument("--profile", type=Path, help="write cProfile's results to FILE.CASE.N")
    made.add_argument("--one", choices=CASES, help=argparse.SUPPRESS)
    return made.parse_args()


if __name__ == "__main__":
    main()
