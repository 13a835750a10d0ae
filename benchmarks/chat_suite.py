"""The whole chat suite through `evalkit run` against the three tools in sequence.

    EVALKIT_DATA=FOLDER .venv/bin/python -m benchmarks.chat_suite [--limit N] [--judge-delay S]

AlpacaEval 1, MT-Bench and the Open LLM Leaderboard (version 1) of one model, asked and judged.
Everything counts, from the start of a process to its end: imports, loading, tokenising, judging,
scores, the report.  The judge is a server on this machine that answers every question after
`--judge-delay` seconds, which is little for GPT-4.  The tools run as their users run them, each in
a process of its own that loads the model:

- FastChat: `gen_model_answer`, then `gen_judgment`, one question after the other;
- alpaca-eval: its vLLM decoder in chunks of 64, then its `alpaca_eval_gpt4` annotator;
- lm-eval: `simple_evaluate` with its `vllm` model on the leaderboard's six tasks.

`--limit` counts documents of each task: each of MMLU's 57 subjects is a task.  With few documents
evalkit's fixed costs weigh most, so larger limits only make the ratio larger.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import _judge
from benchmarks import _upstream as upstream
from benchmarks._common import Cell, Table, parser, public_data, publish, ratio, say, smollm2

TOOLS = ("fastchat", "alpaca_eval", "lm_eval")
MODEL = "smollm2"
YAML = {
    "arc_challenge": "arc/arc_challenge.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "truthfulqa_mc2": "truthfulqa/truthfulqa_mc2.yaml",
    "winogrande": "winogrande/default.yaml",
    "gsm8k": "gsm8k/gsm8k.yaml",
}
"""Where lm-eval keeps its tasks; MMLU's are one a subject."""


@dataclass(frozen=True)
class Setting:
    """What both sides are given."""

    path: str
    """Folder of the model."""
    data: str
    judge: str
    """URL."""
    limit: int
    max_tokens: int
    """Of an answer to AlpacaEval or MT-Bench."""


@dataclass(frozen=True)
class Spent:
    """What a process took."""

    name: str
    wall_s: float
    cpu_s: float
    said: dict[str, Any]
    """The last line it printed: figures, and what it did."""


def main() -> None:
    """Measure and publish, or, as a child, be one of the tools."""
    made = parser(__doc__)
    made.add_argument("--limit", type=int, default=2)
    made.add_argument("--max-tokens", type=int, default=128)
    made.add_argument("--judge-delay", type=float, default=1.0, help="seconds a judgment takes")
    made.add_argument("--tool", choices=TOOLS, help="be that tool; used by the script itself")
    options = made.parse_args()
    if options.tool:
        setting = Setting(**json.load(sys.stdin))
        found = {"fastchat": fastchat, "alpaca_eval": alpaca_eval, "lm_eval": lm_eval}
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            print(json.dumps(found[options.tool](setting)))
        return
    with _judge.serve(options.judge_delay) as url:
        setting = Setting(
            str(smollm2().path), str(public_data()), url, options.limit, options.max_tokens
        )
        ours = evalkit(setting)
        tools = [_spent(name, _child(name), setting) for name in TOOLS]
    publish("chat_suite", [table(setting, options.judge_delay, ours, tools)], options)


# --- the two sides ---------------------------------------------------------------------------


def evalkit(setting: Setting) -> Spent:
    """`evalkit run` in an empty workspace."""
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite.yaml"
        suite.write_text(json.dumps(_suite(setting)), encoding="utf-8")
        command = [sys.executable, "-m", "evalkit", "run", str(suite)]
        command += ["--limit", str(setting.limit), "--out", f"{folder}/run"]
        spent = _spent("evalkit", command, setting, folder)
        results = json.loads((Path(folder) / "run/results.json").read_text("utf-8"))
    figures = {
        (e["task"] if e["benchmark"] == "open_llm_leaderboard" else e["benchmark"], e["metric"]): e[
            "point"
        ]
        for e in results["estimates"]
        if e["category"] is None
    }
    return Spent(spent.name, spent.wall_s, spent.cpu_s, {"figures": _by_name(figures)})


def _suite(setting: Setting) -> dict[str, Any]:
    """YAML reads JSON."""
    short = {"judge": "gpt-4", "max_tokens": setting.max_tokens}
    return {
        "name": "chat-suite",
        "models": {MODEL: {"role": "candidate", "path": setting.path}},
        "engine": {"type": "vllm", "dtype": "float32"},
        "judges": {"gpt-4": {"type": "openai", "model": "gpt-4-0613", "base_url": setting.judge}},
        "benchmarks": [
            {"type": "alpaca_eval", "version": 1, **short},
            {"type": "mt_bench", **short},
            {"type": "open_llm_leaderboard", "version": 1},
        ],
    }


def fastchat(setting: Setting) -> dict[str, Any]:
    """Answers, then judgments."""
    data = Path(setting.data)
    lines = (data / "mt_bench/question.jsonl").read_text("utf-8").splitlines()
    questions = [json.loads(line) for line in lines[: setting.limit]]
    loaded = upstream.fastchat_model(setting.path)
    answers = upstream.fastchat_answers(
        questions, Path("answers/mine.jsonl"), setting.max_tokens, loaded
    )
    upstream.fastchat_judgments(data, answers, Path("judgments/gpt-4.jsonl"), setting.judge)
    rows = Path("judgments/gpt-4.jsonl").read_text("utf-8").splitlines()
    scores = [json.loads(row)["score"] for row in rows]
    return {"figures": {"mt_bench score": sum(scores) / len(scores)}}


def alpaca_eval(setting: Setting) -> dict[str, Any]:
    """Outputs, then annotations."""
    upstream.prepare()
    reference = Path(setting.data) / "alpaca_eval/reference_text_davinci_003.jsonl"
    rows = [json.loads(line) for line in reference.read_text("utf-8").splitlines()]
    rows = rows[: setting.limit]
    instructions = [row["instruction"] for row in rows]
    outputs = upstream.alpaca_eval_outputs(setting.path, instructions, setting.max_tokens)
    mine = [{**r, "output": o, "generator": "mine"} for r, o in zip(rows, outputs, strict=True)]
    os.environ |= {"OPENAI_API_KEY": "not a key", "OPENAI_BASE_URL": setting.judge}
    with contextlib.redirect_stdout(sys.stderr):
        from alpaca_eval.annotators import PairwiseAnnotator

        annotator = PairwiseAnnotator(annotators_config="alpaca_eval_gpt4", caching_path=None)
        judged = annotator.annotate_head2head(outputs_1=rows, outputs_2=mine)
    preferences = [row["preference"] for row in judged]
    rate = 100 * sum(p - 1 for p in preferences) / len(preferences)
    return {"figures": {"alpaca_eval win_rate": rate}}


def lm_eval(setting: Setting) -> dict[str, Any]:
    """The leaderboard's tasks with lm-eval's own YAML files, their data from the mirror."""
    upstream.prepare()
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    names = _write_tasks(Path(), Path(setting.data))
    manager = TaskManager(include_path=str(Path().resolve()), include_defaults=False)
    with contextlib.redirect_stdout(sys.stderr), upstream.lm_eval_on_vllm(setting.path) as lm:
        found = simple_evaluate(model=lm, tasks=names, task_manager=manager, limit=setting.limit)
    figures = {
        (task, metric.removesuffix(",none")): 100 * value
        for task, metrics in found["results"].items()
        for metric, value in metrics.items()
        if isinstance(value, float) and "stderr" not in metric
    }
    return {"figures": _by_name(figures)}


def _write_tasks(folder: Path, data: Path) -> list[str]:
    import lm_eval.tasks
    import yaml
    from lm_eval.tasks.mmlu._generate_configs import SUBJECTS

    from evalkit.catalogue import columns

    shots = {column.task: column.shots for column in columns(1)}
    from evalkit.core.protocols import DataPlaces
    from evalkit.data import task_data

    builtin = Path(lm_eval.tasks.__file__).parent
    files = YAML | {f"mmlu_{s}": f"mmlu/default/mmlu_{s}.yaml" for s in SUBJECTS}
    for name, file in files.items():
        path, config = _data_set(builtin / file)
        found = task_data(path, config, DataPlaces((data,)))
        if found is None:
            raise SystemExit(f"{name}: no data in {data}")
        own = {
            "task": name,
            "num_fewshot": shots[name.partition("_")[0] if "mmlu" in name else name],
        }
        whole = {"include": str(builtin / file), **found.config, **own}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    return list(files)


def _data_set(file: Path) -> tuple[str, str | None]:
    """What a task's YAML file, or one it includes, names as its data set."""
    import yaml

    class Plain(yaml.SafeLoader):
        """Reads functions as their names."""

    Plain.add_constructor("!function", lambda _, node: str(node.value))
    read: dict[str, Any] = {}
    at: Path | None = file
    while at is not None:
        content = yaml.load(at.read_text("utf-8"), Loader=Plain)
        read = {**content, **read}
        included = content.get("include")
        at = None if included is None else at.parent / included
    return read["dataset_path"], read.get("dataset_name")


# --- running and comparing -------------------------------------------------------------------


def _child(name: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.chat_suite", "--tool", name]


def _spent(name: str, command: list[str], setting: Setting, cwd: str | None = None) -> Spent:
    """Run it to its end; stops where it fails."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "EVALKIT_DATA": setting.data,
        "OPENAI_API_KEY": "not a key",
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        input=json.dumps(asdict(setting)),
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    say(f"{name}: {wall:.1f} s, CPU {cpu:.1f} s")
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}: {done.stderr[-3000:]}")
    last = done.stdout.strip().splitlines()[-1] if name in TOOLS else "{}"
    return Spent(name, wall, cpu, json.loads(last))


def _by_name(figures: Mapping[tuple[str, str], float | None]) -> dict[str, float | None]:
    return {f"{task} {metric}": point for (task, metric), point in figures.items()}


def table(setting: Setting, delay_s: float, ours: Spent, tools: list[Spent]) -> Table:
    """Ratios of time; how many figures both sides have, and how many of them differ."""
    rows: list[tuple[Cell, ...]] = []
    mine = ours.said["figures"]
    same = different = 0
    for spent in (ours, *tools):
        theirs = spent.said["figures"]
        both = [name for name in theirs if name in mine] if spent is not ours else []
        apart = [name for name in both if abs(mine[name] - theirs[name]) > 1e-6]
        for name in apart:
            say(f"{name}: evalkit {mine[name]}, {spent.name} {theirs[name]}")
        same, different = same + len(both), different + len(apart)
        rows.append(
            (
                spent.name,
                ratio(spent.wall_s, ours.wall_s),
                ratio(spent.cpu_s, ours.cpu_s),
                len(both) if both else None,
                len(apart) if both else None,
            )
        )
    wall, cpu = sum(t.wall_s for t in tools), sum(t.cpu_s for t in tools)
    rows.append(
        (
            "the three tools in sequence",
            ratio(wall, ours.wall_s),
            ratio(cpu, ours.cpu_s),
            same,
            different,
        )
    )
    return Table(
        f"The chat suite, {setting.limit} documents of each task, answers of up to "
        f"{setting.max_tokens} tokens, a judge that takes {delay_s:g} s",
        ("who", "wall", "CPU", "figures in common", "of these different"),
        rows,
        ("Times from the start of a process to its end, as multiples of evalkit's.",),
    )


if __name__ == "__main__":
    main()
