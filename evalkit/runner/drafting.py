"""A first suite, from an adapter, from prompts or from results one has: `evalkit init`.

Which benchmark carries a file of own prompts:

    prompt and choices        lm_eval, a task of its own: log-probabilities, no judge
    prompt and short answer   lm_eval, a task of its own: exact match, no judge
    prompt and long answer    alpaca_eval with `data`: a judge compares with the reference
    prompt alone              alpaca_eval with `data` and `baseline`: with the other model's answer

Prompts are JSONL, JSON, CSV (with a heading) or text with one prompt a line.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit import data, formats, models, store
from evalkit import suite as suites
from evalkit.core import Json
from evalkit.core.evidence import Evidence, ImportOptions
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError, SuiteError
from evalkit.runner.assemble import Origin, mirrors

__all__ = ["Draft", "draft"]

_SHORT = 60
"""Characters of a reference answer that can be expected word for word."""
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt", "instruction", "question", "input", "text", "query", "user"),
    "answer": ("answer", "reference", "output", "target", "expected", "response", "completion"),
    "choices": ("choices", "options"),
}
"""What people call the columns of their prompts, in any case."""
_JUDGES = (
    ("OPENAI_API_KEY", "gpt-6.1-sol"),
    ("ANTHROPIC_API_KEY", "claude-opus-5"),
    ("GEMINI_API_KEY", "gemini-3.8-flash"),
)
"""By the key that is there: a model that judges, by its vendor's name for it."""


@dataclass
class Draft:
    """A suite's text, and the files that belong beside it."""

    name: str
    folder: Path
    """Where the suite will be; its paths are relative to it."""
    comment: str
    models: list[str] = field(default_factory=list)
    """Lines of the section."""
    judges: list[str] = field(default_factory=list)
    benchmarks: list[str] = field(default_factory=list)
    engine: str = ""
    files: dict[str, str] = field(default_factory=dict)
    """By name beside the suite."""
    baseline: str = ""

    @property
    def text(self) -> str:
        """The YAML file."""
        parts = [f"# {self.comment}\n#\n# Look:  evalkit check {self.file}\n"]
        parts[0] += f"# Plan:  evalkit plan {self.file}\n# Run:   evalkit run {self.file}\n"
        parts[0] += "# All fields: evalkit schema\n"
        parts.append(f"name: {_y(self.name)}\n")
        parts.append("models:\n" + _indented(self.models))
        if self.engine:
            parts.append(f"engine: {self.engine}\n")
        if self.judges:
            parts.append("judges:\n" + _indented(self.judges))
        parts.append("benchmarks:\n" + _indented(self.benchmarks))
        return "\n".join(parts)

    @property
    def file(self) -> str:
        """The suite, as one names it where one stands."""
        return os.path.relpath(self.folder / f"{self.name}.yaml")

    def path(self, named: Path) -> str:
        """A file or folder, relative to the suite where it is not far away."""
        relative = os.path.relpath(named.resolve(), self.folder.resolve())
        return str(named.resolve()) if relative.startswith("../..") else relative


def draft(
    out: Path,
    adapter: str | None = None,
    base: str | None = None,
    prompts: Path | None = None,
    results: Sequence[Path] = (),
) -> Draft:
    """A suite that runs here, as far as its parts are here.

    Args:
        out: The file that it will be; named after it.
        adapter: Folder or hub repository; None: a demonstration's, to be replaced.
        base: What the adapter was trained on; None: what its files name.
        prompts: A file of prompts.
        results: Files or folders of other tools' results, one model each; alone.

    Raises:
        ModelError: no adapter, or no base that its files name.
        DataError: prompts or results that cannot be read.
        SuiteError: options that do not go together.
    """
    name = suites.model_name(out.stem if out.stem not in ("", "-") else "my-suite")
    made = Draft(name, out.parent if str(out) != "-" else Path(), "")
    if results:
        if adapter or prompts:
            raise SuiteError(
                "--results makes a suite of its own; leave --adapter and --prompts out"
            )
        _results(made, results)
        return made
    _models(made, adapter, base)
    if prompts is not None:
        _prompts(made, prompts)
    else:
        made.comment = f"{name}: an adapter against its base."
        _usual(made)
    return made


def _y(value: Json) -> str:
    """A value as YAML has it within brackets, in one line."""
    import yaml

    style = None if isinstance(value, str) and value.isprintable() else '"'
    text: str = yaml.safe_dump(
        [value],
        default_style=style,
        default_flow_style=True,
        width=float("inf"),
        allow_unicode=True,
        sort_keys=False,
    )
    return text.strip()[1:-1]


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"  {line}".rstrip() + "\n" for line in lines)


# --- models and judge ---------------------------------------------------------------------------


def _models(made: Draft, adapter: str | None, base: str | None) -> None:
    if adapter is None:
        adapter = str(_bundled("adapter"))
        made.models.append("# A demonstration, small enough for a CPU: name your models instead.")
    base = base or models.base_of(adapter, Path.cwd())
    candidate, made.baseline = suites.model_name(adapter), suites.model_name(base)
    if candidate == made.baseline:
        candidate = f"{candidate}-adapted"
    made.models += [
        f"{_y(candidate)}:",
        "  role: candidate",
        f"  base: {_y(_reference(made, base))}  # what it was trained on",
        f"  adapter: {_y(_reference(made, adapter))}  # merged into it, and proved, before use",
        f"{_y(made.baseline)}:",
        "  role: baseline  # what the candidate is compared with",
        f"  path: {_y(_reference(made, base))}",
    ]
    has_vllm = importlib.util.find_spec("vllm") is not None
    made.engine = "{type: vllm}" if has_vllm else "{type: transformers}  # vllm is much faster"


def _bundled(name: str) -> Path:
    """A folder of the quickstart's."""
    return suites.bundled()["quickstart"].parent / "quickstart" / name


def _reference(made: Draft, name: str) -> str:
    """A hub repository stays; what is here is relative to the suite."""
    return made.path(Path(name).expanduser()) if Path(name).expanduser().exists() else name


def _judge(made: Draft) -> str:
    """Add a judge: of a vendor whose key is there, else the baseline; returns its name."""
    model = next((model for key, model in _JUDGES if os.environ.get(key, "").strip()), None)
    if model is None:
        made.judges += [
            "# Not validated against people: a model behind an API judges better. With",
            "# OPENAI_API_KEY set:  {type: openai, model: gpt-6.1-sol, max_cost_usd: 10}",
            f"judge: {{type: engine, model: {_y(made.baseline)}}}",
        ]
        return "judge"
    kind = (suites.api_judge(model) or {})["type"]
    made.judges.append(
        f"{_y(model)}: {{type: {kind}, model: {_y(model)}, max_cost_usd: 10}}  # spends no more"
    )
    return model


def _usual(made: Draft) -> None:
    """lm-eval's tasks that chat models are compared on, as far as their data is to be had."""
    places = mirrors(None, Origin("", made.folder, store.find_workspace(), ()))
    wanted = (
        ("arc_challenge", "hub:allenai/ai2_arc:ARC-Challenge", "shots: 25"),
        ("gsm8k", "hub:openai/gsm8k:main", "shots: 5"),
        ("hellaswag", "hub:Rowan/hellaswag", "shots: 10"),
    )
    gone = data.missing([name for _, name, _ in wanted], places)
    for task, name, shots in wanted:
        entry = f"- {{type: lm_eval, name: {task}, tasks: [{task}], {shots}}}"
        made.benchmarks.append(f"# its data is not here: {entry}" if name in gone else entry)
    if len(gone) == len(wanted):
        made.benchmarks += [
            "# Small tasks that come with evalkit and need no data from elsewhere.",
            "- type: lm_eval",
            "  name: everyday",
            "  tasks: [quickstart_facts, quickstart_sense, quickstart_arithmetic]",
            f"  include: {_y(made.path(_bundled('tasks')))}",
        ]
    made.benchmarks += [
        "# `evalkit list tasks WORD` searches lm-eval's tasks.  What only a judge can score:",
        "# - {type: alpaca_eval, version: 2, judge: NAME}  # of a judge above",
        "# - {type: mt_bench, judge: NAME}",
    ]


# --- prompts ------------------------------------------------------------------------------------


def _prompts(made: Draft, file: Path) -> None:
    rows = [_row(row, f"{file}, prompt {n}") for n, row in enumerate(_rows(file), 1)]
    if not rows:
        raise DataError(f"{file}: no prompts in it; expected one a line, or a row each")
    has = {name: [name in row for row in rows] for name in _FIELDS}
    for name in ("answer", "choices"):
        if any(has[name]) and not all(has[name]):
            n = has[name].index(False) + 1
            raise DataError(
                f"{file}: prompt {n} has no {name}, and others have; give all of them one, or none"
            )
    made.comment = f"{made.name}: the prompts of {file.name!a}."
    if all(has["choices"]):
        _task(made, rows, _CHOICE)
    elif all(has["answer"]) and all(len(row["answer"]) <= _SHORT for row in rows):
        _task(made, rows, _EXACT)
    else:
        _judged(made, rows, answers=all(has["answer"]))


def _rows(file: Path) -> Sequence[Mapping[str, Json]]:
    kind = file.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind in ("jsonl", "json"):
        return data.read_jsonl(file).records
    if kind not in ("csv", "txt"):
        raise DataError(f"{str(file)!r}: expected prompts as .jsonl, .json, .csv or .txt")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{str(file)!r} cannot be read: {error}; expected UTF-8") from error
    if kind == "txt":
        return [{"prompt": line.strip()} for line in text.split("\n") if line.strip()]
    found = csv.DictReader(io.StringIO(text, newline=""))
    return [{k: v for k, v in row.items() if k is not None and v} for row in found]


def _row(row: Mapping[str, Json], where: str) -> dict[str, Json]:
    """`prompt`, and `answer` and `choices` where there are some."""
    named = {name.strip().casefold(): v for name, v in row.items() if v not in (None, "")}
    if isinstance(named.get("messages"), list):
        named |= _conversation(named["messages"], where)
    found = {
        field: named[name]
        for field, names in _FIELDS.items()
        for name in reversed(names)
        if name in named
    }
    if not isinstance(found.get("prompt"), str):
        raise DataError(
            f"{where}: no prompt; it has {', '.join(row) or 'nothing'}, expected one of "
            f"{', '.join(_FIELDS['prompt'])}, or messages"
        )
    if "choices" in found:
        found["answer"] = _place(found.get("answer"), found["choices"], where)
    elif "answer" in found:
        found["answer"] = str(found["answer"])
    return found


def _conversation(messages: Sequence[Json], where: str) -> dict[str, Json]:
    said = [(m.get("role"), m.get("content")) for m in messages if isinstance(m, dict)]
    users = [text for role, text in said if role == "user"]
    if len(users) != 1:
        raise DataError(f"{where}: {len(users)} messages of the user; expected one")
    answers = [text for role, text in said if role == "assistant"]
    return {"prompt": users[0], **({"answer": answers[0]} if answers else {})}


def _place(answer: Json, choices: Json, where: str) -> int:
    """Of the right choice; the answer is its position from 0, its letter, or its text."""
    if not isinstance(choices, list) or not all(isinstance(c, str) for c in choices):
        raise DataError(f"{where}: choices {choices!r}; expected a list of texts")
    letter = ord(answer.upper()) - ord("A") if isinstance(answer, str) and len(answer) == 1 else -1
    if answer in choices:
        return choices.index(answer)
    place = answer if isinstance(answer, int) else letter
    if not 0 <= place < len(choices):
        raise DataError(
            f"{where}: answer {answer!r} is no choice; expected its position, letter or text"
        )
    return place


_CHOICE = """\
# Scored by log-probability: acc takes the choice of the highest, acc_norm divides by its length.
task: {task}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""
_EXACT = """\
# Right where the model's answer is the reference, but for case and punctuation.
task: {task}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}\\nReply with the answer alone."
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], do_sample: false, max_gen_toks: 64}}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    ignore_punctuation: true
metadata: {{version: 1.0}}
"""


def _task(made: Draft, rows: Sequence[Mapping[str, Json]], template: str) -> None:
    task = made.name.replace("-", "_").replace(".", "_")
    folder = f"{made.name}-prompts"
    made.files[f"{folder}/{task}.jsonl"] = _lines(rows)
    made.files[f"{folder}/{task}.yaml"] = template.format(task=_y(task), file=f"{task}.jsonl")
    made.benchmarks += [
        f"# {folder}/{task}.yaml has the prompt and the metric, in lm-eval's format.",
        "- type: lm_eval",
        f"  name: {_y(made.name)}",
        f"  tasks: [{_y(task)}]",
        f"  include: {_y(folder)}",
        "  apply_chat_template: " + ("true" if template is _EXACT else "false"),
    ]


def _judged(made: Draft, rows: Sequence[Mapping[str, Json]], *, answers: bool) -> None:
    fields = {"instruction": "prompt", "output": "answer"} if answers else {"instruction": "prompt"}
    file = f"{made.name}-prompts.jsonl"
    made.files[file] = _lines([{n: row[of] for n, of in fields.items()} for row in rows])
    said = "the reference answers" if answers else "the baseline's answers"
    made.benchmarks += [
        f"# A judge compares every answer with {said}.",
        "- type: alpaca_eval",
        f"  name: {_y(made.name)}",
        f"  data: {_y(file)}",
        f"  judge: {_y(_judge(made))}",
        "  max_tokens: 512",
    ]
    if not answers:
        made.benchmarks.append(f"  baseline: {_y(made.baseline)}")


def _lines(rows: Sequence[Mapping[str, Json]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


# --- results ------------------------------------------------------------------------------------


def _results(made: Draft, paths: Sequence[Path]) -> None:
    """Each path's models, the first the candidate, on engines that read their results."""
    made.comment = f"{made.name}: results that other tools wrote; nothing is generated."
    made.engine = "{type: recorded}"
    options = ImportOptions((), None, (), DataPlaces(), 0.95)
    found: dict[str, list[tuple[str, str, Evidence]]] = {}
    for path in paths:
        if (path / "manifest.json").is_file():
            raise SuiteError(
                f"{str(path)!r} is a run already; compare it as it is: evalkit compare {path}"
            )
        kind = formats.kind_of(path)
        for one in formats.reader(kind)([path], options):
            found.setdefault(one.model, []).append((kind, made.path(path), one))
    kinds = dict.fromkeys(kind for rows in found.values() for kind, _, _ in rows)
    for n, (model, rows) in enumerate(found.items()):
        made.models += [f"{_y(model)}:", f"  role: {'baseline' if n else 'candidate'}"]
        results = {k: [p for kind, p, _ in rows if kind == k] for k in kinds if k not in _BY_JUDGE}
        results = {k: list(dict.fromkeys(p)) for k, p in results.items() if p}
        if results:
            made.models.append(f"  engine: {{type: recorded, results: {_y(results)}}}")
    for kind in kinds:
        of = [(m, path, one) for m, rows in found.items() for k, path, one in rows if k == kind]
        _BENCHMARKS.get(kind, _other)(made, kind, of)


_Of = Sequence[tuple[str, str, Evidence]]
"""Model, path and evidence of one kind."""


def _lm_eval(made: Draft, kind: str, of: _Of) -> None:
    tasks = dict.fromkeys(task for _, _, one in of for task in one.metrics)
    tasks |= dict.fromkeys(figure.key.task for _, _, one in of for figure in one.figures)
    made.benchmarks.append(f"- {{type: lm_eval, name: {kind}, tasks: {_y(list(tasks))}}}")


def _by_judge(made: Draft, kind: str, of: _Of) -> None:
    judge = next((one.description.judging.who for _, _, one in of), "") or f"{kind} judge"
    files = _y({kind: {model: path for model, path, _ in of}})
    made.judges.append(f"{_y(judge)}: {{type: recorded, model: {_y(judge)}, judgments: {files}}}")
    version = next((str(one.description.version)[:1] for _, _, one in of), "")
    said = f"version: {version}, " if kind == "alpaca_eval" and version in ("1", "2") else ""
    made.benchmarks.append(f"- {{type: {kind}, {said}judge: {_y(judge)}}}")


def _other(made: Draft, kind: str, of: _Of) -> None:
    made.benchmarks.append(f"- {{type: recorded, name: {kind}, format: {kind}}}")


_BY_JUDGE = ("alpaca_eval", "mt_bench")
_BENCHMARKS: Mapping[str, Callable[[Draft, str, _Of], None]] = {
    "lm_eval": _lm_eval,
    **dict.fromkeys(_BY_JUDGE, _by_judge),
}
