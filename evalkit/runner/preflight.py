"""What will stop a run, before anything is loaded, sent or spent: `evalkit check`.

`suite` finds what is wrong with a file by itself.  Here is what depends on this machine: keys,
data, weights, engines, the installed lm-eval.  No weights are read and nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

from evalkit import data, models, plugins
from evalkit.benchmarks._lm_eval_tasks import is_path, known_tasks
from evalkit.benchmarks.lm_eval import LmEvalSpec
from evalkit.core.protocols import Benchmark, Keyed
from evalkit.core.specs import BenchmarkSpec, EngineSpec, LocalJudgeSpec, Suite
from evalkit.engines._judge_models import retirement
from evalkit.engines._settings import RemoteSpec
from evalkit.errors import EvalkitError, did_you_mean
from evalkit.runner.assemble import Origin, build_benchmarks, compared_models, data_places
from evalkit.runner.known import is_run

__all__ = ["Finding", "preflight"]


@dataclass(frozen=True)
class Finding:
    """One thing that will stop a run, or may."""

    path: tuple[str | int, ...]
    """Field of the suite."""
    message: str
    stops: bool = True


def preflight(suite: Suite, origin: Origin) -> Iterator[Finding]:
    """Everything found, in the order of the suite's sections.  Raises SuiteError."""
    answering = compared_models(suite)
    if not os.access(origin.workspace, os.W_OK):
        yield Finding(
            (),
            f"the workspace {origin.workspace} cannot be written; stand in another folder, or name "
            f"one with EVALKIT_WORKSPACE",
        )
    judges = dict.fromkeys(name for spec in suite.benchmarks for name in spec.judges)
    local = [j.model for n in judges if isinstance(j := suite.judges[n], LocalJudgeSpec)]
    for name in dict.fromkeys((*answering, *local)):
        yield from _model(name, suite, origin)
    for name in judges:
        judge = suite.judges[name]
        if isinstance(judge, EngineSpec):
            yield from _served(("judges", name), judge)
    for n, benchmark in enumerate(build_benchmarks(suite, origin)):
        spec = suite.benchmarks[n]
        unknown = [
            Finding(("benchmarks", n, *at), text) for at, text in _unknown(spec, origin.root)
        ]
        yield from unknown
        if not unknown and any(is_run(suite, model, spec) for model in answering):
            yield from (
                Finding(("benchmarks", n), text) for text in _data(benchmark, suite, origin)
            )


def _served(at: tuple[str, ...], spec: EngineSpec) -> Iterator[Finding]:
    """A key that is missing, a model that its vendor has retired."""
    if isinstance(spec, RemoteSpec) and spec.url == spec.home:
        ends = retirement(spec.vendor, spec.model)
        if ends is not None and ends.on <= date.today():
            yield Finding((*at, "model"), ends.text(spec.model, date.today()))
    variable = spec.missing_key() if isinstance(spec, Keyed) else None
    if variable is not None:
        yield Finding(
            at,
            f"needs a key, and {variable} is not set; set it in the environment (export "
            f"{variable}=...), or name another"
            + (" judge (--judge), or run --without-judge" if at[0] == "judges" else " engine"),
        )


# --- models -------------------------------------------------------------------------------------

_PACKAGES = {"vllm": ("pip install '.[cpu]' (or '.[gpu]')"), "transformers": "pip install ."}
"""Engines of a package, and how it is installed from a checkout."""


def _model(name: str, suite: Suite, origin: Origin) -> Iterator[Finding]:
    spec, at = suite.models[name], ("models", name)
    engine = spec.engine or suite.engine
    yield from _served((*at, "engine") if spec.engine else ("engine",), engine)
    if not plugins.find("engines", engine.type).cls.needs_weights:
        return
    if engine.type in _PACKAGES and importlib.util.find_spec(engine.type) is None:
        yield Finding(
            ("engine",),
            f"{engine.type} is not installed; {_PACKAGES[engine.type]} in the checkout, or write "
            f"`engine: {{type: transformers}}`; `evalkit doctor` looks at the whole machine",
        )
    chats = _is_sent_chats(name, suite)
    for field, message in models.outlook(spec, origin.root, chats=chats):
        yield Finding((*at, field), message)
    absent = models.missing(spec, origin.root)
    if absent and data.is_offline():
        yield Finding(
            at,
            f"{', '.join(absent)} is not on this machine, and HF_HUB_OFFLINE is set; unset it, or "
            f"name a folder that has it",
        )
    if spec.adapter is not None and (lacking := _space(origin.workspace, spec.base, origin.root)):
        yield Finding((*at, "adapter"), lacking)


def _is_sent_chats(name: str, suite: Suite) -> bool:
    """Judged benchmarks hold conversations, and lm-eval's tasks where the suite says so."""
    is_judge = any(isinstance(j, LocalJudgeSpec) and j.model == name for j in suite.judges.values())
    return is_judge or any(
        plugins.find("benchmarks", spec.type).cls.judge_kind is not None
        or (isinstance(spec, LmEvalSpec) and spec.apply_chat_template)
        for spec in suite.benchmarks
    )


def _space(workspace: Path, base: str | None, root: Path) -> str:
    """What is said where a merged copy of `base` does not fit on the disk."""
    place = root / (base or "")
    files = [place] if place.is_file() else [*place.glob("*.safetensors")] if base else []
    needed, free = sum(file.stat().st_size for file in files), shutil.disk_usage(workspace).free
    if needed <= free:
        return ""
    return (
        f"merging writes {needed / 1e9:,.0f} GB below {workspace}, and {free / 1e9:,.0f} GB are "
        f"free; free the disk, or name another folder with EVALKIT_WORKSPACE"
    )


# --- benchmarks ---------------------------------------------------------------------------------


def _unknown(spec: BenchmarkSpec, root: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Names in `tasks` that are neither lm-eval's, nor in a file of `include`, nor a file."""
    if not isinstance(spec, LmEvalSpec):
        return
    own = _own_words(root / spec.include) if spec.include is not None else set[str]()
    for n, name in enumerate(spec.tasks):
        if is_path(name):
            if not (root / name).is_file():
                yield ("tasks", n), f"{name!r}: there is no file {str(root / name)!r}"
        elif name not in known_tasks() and name not in own:
            hint = did_you_mean(name, [*known_tasks(), *own], 3) or ";"
            message = (
                f"lm-eval {metadata.version('lm_eval')} has no task, group or tag {name!r}{hint} "
                f"`evalkit list tasks WORD` searches them; a task of your own is named by the path "
                f"of its .yaml file, or found in `include`"
            )
            yield ("tasks", n), message


def _own_words(folder: Path) -> set[str]:
    """Words in the task files of a folder, names of tasks among them."""
    found: set[str] = set()
    for file in folder.rglob("*.yaml"):
        text = file.read_text(encoding="utf-8", errors="replace")
        for line in re.findall(r"(?m)^\s*(?:-\s*)?(?:task|group|tag)\s*:(.*)$|^\s*-(.*)$", text):
            found.update(re.findall(r"[\w.-]+", " ".join(line)))
    return found


def _data(benchmark: Benchmark, suite: Suite, origin: Origin) -> Iterator[str]:
    """Public data that is not to be had, and what is wrong with the suite's own."""
    spec = next(s for s in suite.benchmarks if s.entry == benchmark.name)
    try:
        data.require_available(benchmark.data_needs(), data_places(suite, origin))
        if spec.data is not None:
            benchmark.load()
    except EvalkitError as error:
        yield str(error)
