"""Task names, YAML files and overrides become lm-eval's task objects.

Each selection has a task manager of its own, so lm-eval's global registries do not change.
lm-eval 0.4.13 reads a dict that holds only overrides as a whole new config; overrides are
therefore merged into the full config just before lm-eval builds the task, which also reaches tasks
inside groups and tags.

Relative `data_files` of a task's YAML are taken from the folder of that YAML (upstream takes
them from the working directory), those of an override from the suite's folder.  Local files are
read into memory through a cache folder that is removed at once, so nothing of them stays in the
`datasets` cache.

Some tasks shuffle with Python's global generator while they load.  lm-eval seeds it once per
run; here it is seeded before each task and restored afterwards, so that a task's documents do
not depend on which tasks were loaded before it.

Generation options, after `lm_eval.models.utils.normalize_gen_kwargs` and `HFLM` of
0.4.13: the limit is the first of max_gen_toks, max_new_tokens, max_tokens and
max_completion_tokens that is given, else 256; `do_sample: false`, or neither sampling nor a
temperature, is greedy; sampling without a temperature has temperature 1 (lm-eval's vllm backend
samples at 1 when a task gives neither; its hf backend is followed here).  The end-of-text token,
which upstream adds to the stop strings, ends generation in every engine anyway.  Options no
engine has (top_k, beams) are an error, not ignored.

Three traps in tasks' own code.  IFEval's checkers call langdetect, whose detector draws from an
unseeded global generator: scores moved by one or two prompts from run to run.  They also need
NLTK's punkt_tab, which they would download while lm-eval imports them.  Jinja templates are
compiled for each use, which takes nine tenths of the time to build prompts.

A task file of the suite's may name code (`!function`), and so may settings that lm-eval or its
tasks resolve to a script (`_scripts`).  Such code runs with consent only (`core.trust`), which is
asked before anything is imported.  What lm-eval itself brings needs none, unless a file of the
suite's includes it.

What identifies a task is the same on every machine: no absolute paths, no addresses of functions;
a function of a task's config is identified by its source text.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import inspect
import json
import logging
import os
import random
import re
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial, wraps
from importlib import metadata, resources
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

from evalkit import data
from evalkit.benchmarks import _lm_eval_scores as scores
from evalkit.core import Json, trust
from evalkit.core.protocols import DataPlaces
from evalkit.core.trust import Code
from evalkit.errors import (
    BenchmarkError,
    DataError,
    EvalkitError,
    Problem,
    SuiteError,
    did_you_mean,
)

_LOCAL_READERS = frozenset({"json", "csv", "parquet", "text", "arrow", "xml"})
_RANDOM_SEED, _NUMPY_SEED = 0, 1234
"""What lm-eval's `simple_evaluate` seeds the global generators with."""


@dataclass(frozen=True)
class Selection:
    """The tasks to load, and changes to their configs."""

    root: Path
    """Folder of the suite; relative paths start here."""
    tasks: tuple[str, ...]
    """Names of tasks, groups or tags, or paths of task YAML files."""
    include: str | None = None
    """Folder with more task YAML files, by name."""
    overrides: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    """Config entries by name: of a task, or of an entry of `tasks`."""
    shots: int | None = None
    fewshot_seed: int = 1234
    places: DataPlaces = DataPlaces()  # noqa: RUF009 - frozen
    """Where local copies of the tasks' public data sets may lie."""
    say: Callable[[str], None] = lambda _: None
    """Told which task is being built."""


@dataclass(frozen=True)
class TaskSource:
    """Where a task's documents come from."""

    path: str
    """`dataset_path` as the task's own config has it."""
    config: str | None
    """`dataset_name`."""
    revision: str | None = None
    """Pinned commit of the hub's data set."""
    remarks: tuple[str, ...] = ()
    """How local files differ from the official data set."""


@dataclass(frozen=True)
class LoadedTask:
    """A task with its documents."""

    name: str
    task: Any
    """lm-eval's Task."""
    docs: tuple[Any, ...]
    """Its documents, in order; the index is the document's id."""
    files: Mapping[str, Path]
    """Local data files by the label that is shown for them."""
    source: TaskSource | None = None
    """None: the task's own code provides the documents."""


@dataclass(frozen=True)
class Loaded:
    """Everything a selection names."""

    tasks: Mapping[str, LoadedTask]
    groups: Mapping[str, Any]
    """lm-eval's Group by name."""


def load(selection: Selection) -> Loaded:
    """Build the tasks of `selection`.

    Raises:
        SuiteError: a name or an override matches nothing, or a task cannot be run here.
        DataError: a task's data cannot be found or read.
    """
    with quiet(), seeded(), tempfile.TemporaryDirectory(prefix="evalkit-datasets-") as scratch:
        configs = _Configs(selection, Path(scratch))
        built = [_build(configs, name) for name in selection.tasks]
        configs.check_all_used()
        flat = [item for made in built for item in (made if isinstance(made, list) else [made])]
        try:
            found = configs.manager.load(flat)
        except ValueError as error:
            raise SuiteError(
                f"the tasks {', '.join(map(repr, selection.tasks))} overlap: {error}; "
                f"put them into two lm_eval entries"
            ) from error
        tasks = {
            name: _finish(name, task, configs, selection) for name, task in found["tasks"].items()
        }
    return Loaded(tasks, found.get("groups", {}))


@dataclass(frozen=True)
class Survey:
    """What a selection needs, as far as its files say; nothing is downloaded or imported."""

    data: tuple[str, ...]
    """Data sets of the hub, as `hub:PATH[:CONFIG]`."""
    code: tuple[Code, ...]
    """What the suite brings that tasks run."""
    error: EvalkitError | None
    """SuiteError: a name matches nothing; DataError: a task's config cannot be read."""


def survey(selection: Selection) -> Survey:
    """Look through the selected tasks.  Raises SuiteError where `include` is no folder."""
    with quiet(), tempfile.TemporaryDirectory(prefix="evalkit-datasets-") as scratch:
        configs, error = _Configs(selection, Path(scratch), build=False), None
        for name in selection.tasks:
            try:
                _build(configs, name)
            except EvalkitError as wrong:
                error = error or wrong
    named = (
        f"hub:{source.path}" + (f":{source.config}" if source.config else "")
        for source in configs.sources.values()
    )
    return Survey(tuple(dict.fromkeys(named)), tuple(dict.fromkeys(configs.code)), error)


@contextmanager
def quiet() -> Iterator[None]:
    """Make lm-eval and datasets report errors only, without progress bars."""
    import datasets

    loggers = [logging.getLogger(n) for n in ("lm_eval", "datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    bars = not datasets.are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            datasets.enable_progress_bars()


@contextmanager
def seeded() -> Iterator[None]:
    """Seed the global generators as lm-eval does; restore them afterwards."""
    import numpy as np

    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(_RANDOM_SEED)
    np.random.seed(_NUMPY_SEED)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002


@dataclass(frozen=True)
class KnownTask:
    """A task, group or tag that comes with lm-eval."""

    name: str
    kind: str
    """`TASK`, `PY_TASK`, `GROUP` or `TAG`."""
    path: str
    """Of its YAML below `lm_eval/tasks`; empty for tags."""
    tags: str
    """Of a task; of a tag, its tasks; joined by `|`."""
    data: str
    """Data set, with its configuration; empty where the task's own code has it."""
    output: str
    """lm-eval's `output_type`."""
    about: str
    """One line on the family of tasks, from lm-eval's documentation."""


@lru_cache(maxsize=1)
def known_tasks() -> Mapping[str, KnownTask]:
    """All that lm-eval brings, by name, without importing it; of the version in the lock file.

    From `lm_eval_tasks.csv.gz`, since lm-eval finds out by reading 14,000 YAML files (6 s of CPU).
    """
    return {row[0]: KnownTask(*row) for row in _index_rows()[1:]}


@lru_cache(maxsize=1)
def _index_rows() -> list[list[str]]:
    packed = resources.files("evalkit.benchmarks").joinpath("lm_eval_tasks.csv.gz").read_bytes()
    return list(csv.reader(gzip.decompress(packed).decode().splitlines()))


class _Configs:
    """A task manager whose factory merges overrides into every config it builds from."""

    def __init__(self, selection: Selection, scratch: Path, *, build: bool = True) -> None:
        self.selection = selection
        self.build = build
        """Whether tasks are built; else only their configs are read."""
        self.sources: dict[str, TaskSource] = {}
        self.files: dict[str, dict[str, Path]] = {}
        self.spec = ""
        """The entry of `tasks` being built; its overrides reach all tasks below it."""
        self.spec_of: dict[str, str] = {}
        """The entry of `tasks` each task was built for."""
        self.code: list[Code] = []
        """Code that was met and not asked for, where nothing is built."""
        self._scratch = scratch
        self._used: set[str] = set()
        self.manager = self._make_manager()

    def _make_manager(self) -> Any:
        from lm_eval.tasks import TaskManager

        guard_lm_eval()
        folder = self.selection.include
        if folder is not None and not (self.selection.root / folder).is_dir():
            raise SuiteError(
                f"include: {folder!r} is not a folder below {str(self.selection.root)!r}; "
                f"expected a folder with task YAML files"
            )
        include = None if folder is None else str(self.selection.root / folder)
        indexed = _index_rows()[0] == [metadata.version("lm_eval")]
        manager = TaskManager(include_path=include, include_defaults=not indexed)
        if indexed:
            manager._index = {**_own_entries(), **manager._index}  # noqa: SLF001 - as it would be
        manager._factory = _factory(self)  # noqa: SLF001 - the only seam before a task is built
        return manager

    def entry(self, manager: Any, name: str) -> Any:
        """lm-eval's index entry of a name or path; None: unknown to lm-eval."""
        from lm_eval.tasks._index import TaskIndex

        if not is_path(name):
            return manager.task_index.get(name)
        path = self.selection.root / name
        if not path.is_file():
            raise SuiteError(
                f"task file {name!r} does not exist below {str(self.selection.root)!r}; "
                f"expected the path of a task YAML, relative to the suite"
            )
        try:
            return TaskIndex.entry_from_path(path)
        except Exception as error:
            raise SuiteError(f"task file {name!r} cannot be read: {error}") from error

    def read(self, entry: Any) -> Any:
        """A copy of an index entry with its file's config.

        Its functions are imported by consent; where nothing is built, they stay names.
        """
        from lm_eval.tasks._yaml_loader import load_yaml

        if entry.yaml_path is None:
            return entry
        token = _MET.set(self.meet if _is_own(entry) else None)
        try:
            config = load_yaml(entry.yaml_path, resolve_func=self.build)
        finally:
            _MET.reset(token)
        return replace(entry, yaml_path=None, cfg=config)

    def check(self, config: Mapping[str, Any], entry: Any, before: Mapping[str, Any]) -> None:
        """Refuse what the suite may not make of a task, or ask for consent.

        `config`: complete; `before`: as the task's file has it.  Raises SuiteError.
        """
        if before.get("unsafe_code"):
            raise _left_out(entry.name, _UNSAFE)  # whatever the suite says instead
        own = _is_own(entry)
        files = [entry.yaml_path] if own else []
        files += trust.current().suites_in(self.selection.root)
        for text, runs in _scripts(config, {} if own else before):
            self.meet(Code(runs, _line_of(text, files), tuple(files[:1])))
        if name := next(_python_names(config), None):
            raise SuiteError([Problem(_line_of(name, files), _NO_PYTHON.format(entry.name, name))])

    def meet(self, code: Code) -> None:
        """Ask for consent to `code` of the suite's author, or note it where nothing is built."""
        code = replace(code, root=self.selection.root)
        if self.build:
            trust.current().ask(code)
        else:
            self.code.append(code)

    def finish(self, config: dict[str, Any], entry: Any) -> dict[str, Any]:
        """Merge overrides into a task's config and make its data files absolute."""
        name = str(config.get("task", entry.name))
        folder = None if entry.yaml_path is None else Path(entry.yaml_path).parent
        files: dict[str, Path] = {}
        config = with_files(config, folder, name, files)
        if not self._names_data(name):
            config = self._from_data_room(config, name, files)
        for key in dict.fromkeys((self.spec, name)):
            if key in self.selection.overrides:
                self._used.add(key)
                change = dict(self.selection.overrides[key])
                if "dataset_kwargs" in change:
                    files.clear()
                config = merge(config, with_files(change, self.selection.root, name, files))
        if isinstance(config.get("process_docs"), FunctionType):
            config["process_docs"] = _once(config["process_docs"])
        if files and config.get("dataset_path") in _LOCAL_READERS:
            kept = {"cache_dir": str(self._scratch), "keep_in_memory": True}
            config["dataset_kwargs"] = {**config["dataset_kwargs"], **kept}
        self.files[name] = files
        self.spec_of[name] = self.spec
        return config

    def _names_data(self, name: str) -> bool:
        """Whether the suite itself says where the task's data comes from."""
        changes = (self.selection.overrides.get(key, {}) for key in (self.spec, name))
        return any("dataset_path" in change or "dataset_kwargs" in change for change in changes)

    def _from_data_room(
        self, config: dict[str, Any], name: str, files: dict[str, Path]
    ) -> dict[str, Any]:
        """The config with local copies of its public data set, or its pinned revision."""
        path, part = config.get("dataset_path"), config.get("dataset_name")
        if not isinstance(path, str) or path in _LOCAL_READERS:
            return config
        found = data.task_data(path, part, self.selection.places)
        self.sources[name] = TaskSource(path, part)
        if found is None:
            return config
        self.sources[name] = TaskSource(path, part, found.revision, found.remarks)
        files.update(found.files)
        return merge(config, found.config)

    def check_all_used(self) -> None:
        """Raises SuiteError for overrides of tasks that were not loaded."""
        unused = sorted(set(self.selection.overrides) - self._used)
        if unused:
            known = sorted({*self.files, *self.selection.tasks})
            raise SuiteError(
                f"overrides: {unused[0]!r} is no task of this entry; expected one of "
                f"{', '.join(known)}"
            )


@lru_cache(maxsize=1)
def _own_entries() -> dict[str, Any]:
    """lm-eval's index of its own tasks."""
    import lm_eval.tasks
    from lm_eval.tasks._index import Entry, Kind

    root = Path(lm_eval.tasks.__file__).parent
    return {
        name: Entry(
            name,
            Kind[known.kind],
            root / known.path if known.path else None,
            tags=set(known.tags.split("|") if known.tags else ()),
        )
        for name, known in known_tasks().items()
    }


def _once(process: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A task's `process_docs`, called once a split; lm-eval calls it four times.

    Unless it draws from a global generator: the next call would then give something else.
    """
    import datasets
    import numpy as np

    made: dict[int, tuple[Any, Any]] = {}

    def drawn() -> Any:
        kind, keys, *rest = np.random.get_state()  # noqa: NPY002
        return random.getstate(), kind, np.asarray(keys).tobytes(), rest

    @wraps(process)  # whose source is the task's identity
    def once(docs: Any) -> Any:
        if id(docs) in made:
            return made[id(docs)][1]
        before = drawn()
        found = process(docs)
        if isinstance(found, datasets.Dataset) and drawn() == before:
            made[id(docs)] = (docs, found)
        return found

    return once


def is_path(name: str) -> bool:
    """Whether an entry of `tasks` is the path of a YAML file."""
    return name.endswith((".yaml", ".yml"))


def _factory(configs: _Configs) -> Any:
    from lm_eval.tasks._factory import TaskFactory
    from lm_eval.tasks._index import Kind

    class Factory(TaskFactory):  # type: ignore[misc]
        def _load_full_config(self, entry: Any, overrides: Any = None) -> Any:
            known = configs.read(entry)
            config = super()._load_full_config(known, overrides)
            if entry.kind is not Kind.GROUP:
                config = configs.finish(config, entry)
            configs.check(config, entry, known.cfg or {})
            return config

        def _build_group_members(
            self, members: list[Any], group: str, overrides: Any, registry: Any
        ) -> Any:
            if not configs.build:  # tasks that are written out here would be built
                names = [m.get("task") if isinstance(m, dict) else m for m in members]
                groups = [isinstance(m, dict) and "group" in m for m in members]
                members = [
                    m for m, n, g in zip(members, names, groups, strict=True) if g or n in registry
                ]
            return super()._build_group_members(members, group, overrides, registry)

        def _build_task(self, entry: Any, overrides: Any) -> Any:
            if not configs.build:
                name = str(self._load_full_config(entry, overrides).get("task", entry.name))
                return SimpleNamespace(task_name=name, config=SimpleNamespace(task=name))
            configs.selection.say(entry.name)
            with seeded():
                return super()._build_task(entry, overrides)

    return Factory()


def _build(configs: _Configs, name: str) -> Any:
    """A Task, a Group, or the tasks of a tag."""
    manager = configs.manager
    entry = configs.entry(manager, name)
    if entry is None:
        nearest = did_you_mean(name, manager.task_index, 3)
        raise SuiteError(
            f"lm-eval has no task, group or tag {name!r}{nearest} "
            f"(a task of your own is named by the path of its .yaml file, or found in `include`)"
        )
    configs.spec = name
    try:
        return manager._factory.build(  # noqa: SLF001 - see _make_manager
            entry, overrides=None, registry=manager.task_index
        )
    except EvalkitError:
        raise
    except Exception as error:
        raise DataError(_why(name, error)) from error


def _why(name: str, error: Exception) -> str:
    text = f"lm-eval cannot load task {name!r}: {type(error).__name__}: {error}"
    if isinstance(error, ConnectionError):
        return (
            f"{text}; its data set is not on this machine and the hub cannot be reached: "
            f"copy it with `evalkit data pull SUITE --to DIR` where it can be and set "
            f"EVALKIT_DATA=DIR, or name local files in overrides: "
            f"{{{name}: {{dataset_path: json, dataset_kwargs: {{data_files: ...}}}}}}"
        )
    return f"{text}; check the task's config and its data"


def _finish(name: str, task: Any, configs: _Configs, selection: Selection) -> LoadedTask:
    for flag, what in (("UNSAFE_CODE", _UNSAFE), ("MULTIMODAL", "needs images")):
        if getattr(task, flag, False):
            raise _left_out(name, what)
    _set_shots(name, task, configs, selection)
    task.set_fewshot_seed(seed=selection.fewshot_seed)
    try:
        with seeded():
            docs = tuple(task.eval_docs)
    except Exception as error:
        raise DataError(_why(name, error)) from error
    return LoadedTask(name, task, docs, configs.files.get(name, {}), configs.sources.get(name))


_UNSAFE = "runs code the model wrote"


def _left_out(task: str, what: str) -> SuiteError:
    return SuiteError(f"task {task!r} {what}, which evalkit does not do; leave it out")


def _set_shots(name: str, task: Any, configs: _Configs, selection: Selection) -> None:
    """As `simple_evaluate`: a task that says 0 itself keeps it; one that says nothing gets 0."""
    own = task.get_config("num_fewshot")
    over = selection.overrides
    fixed = any(
        "num_fewshot" in over.get(key, {}) for key in (name, configs.spec_of.get(name, name))
    )
    if selection.shots is not None and own != 0 and not fixed:
        task.set_config(key="num_fewshot", value=selection.shots)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)


def with_files(
    config: Mapping[str, Any], folder: Path | None, name: str, files: dict[str, Path]
) -> dict[str, Any]:
    """`config` with absolute local data files, which are added to `files`.

    Args:
        config: a task's, or a change to it.
        folder: relative files start there; None: there are none.
        name: of the task, for messages.
        files: gets each file by the label that is shown for it.

    Raises:
        DataError: a file is not there.
    """
    kwargs = config.get("dataset_kwargs")
    if folder is None or not isinstance(kwargs, Mapping) or "data_files" not in kwargs:
        return dict(config)
    made = _absolute(kwargs["data_files"], folder, name, files)
    return {**config, "dataset_kwargs": {**kwargs, "data_files": made}}


def _absolute(value: Any, folder: Path, name: str, files: dict[str, Path]) -> Any:
    if isinstance(value, Mapping):
        return {k: _absolute(v, folder, name, files) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(v, folder, name, files) for v in value]
    if "://" in value:
        return value
    path = folder / value
    found = sorted(folder.glob(value)) if "*" in value else [path]
    if not found or not all(p.is_file() for p in found):
        raise DataError(
            f"task {name!r}: data file {value!r} does not exist in {str(folder)!r}; "
            f"data_files are relative to the folder of the task's YAML (in overrides: of the suite)"
        )
    files.update({str(value) if len(found) == 1 else p.name: p for p in found})
    return str(path)


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`change` over `base`; mappings are merged, and a None inside one removes its key."""
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            inner = merge(merged[key], value)
            merged[key] = {k: v for k, v in inner.items() if v is not None}
        else:
            merged[key] = value
    return merged


_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_DEFAULT_LIMIT = 256
_NEUTRAL = {"num_beams": 1, "num_return_sequences": 1, "top_k": 0, "repetition_penalty": 1.0}
"""Options that change nothing at this value."""


def generation(options: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Request fields for lm-eval's generation_kwargs.

    Raises BenchmarkError for an option no engine has.
    """
    known = {"until", "do_sample", "temperature", "top_p", *_LIMITS}
    for key in options.keys() - known:
        if key not in _NEUTRAL or options[key] not in (None, _NEUTRAL[key]):
            raise BenchmarkError(
                f"task {task!r} sets generation_kwargs.{key} to {options[key]!r}; expected only "
                f"{', '.join(sorted(known))}; remove it with "
                f"overrides: {{{task}: {{generation_kwargs: {{{key}: null}}}}}}"
            )
    until = options.get("until") or []
    stops = [until] if isinstance(until, str) else until
    limits = [options[key] for key in _LIMITS if options.get(key) is not None]
    return {
        "max_tokens": int(limits[0]) if limits else _DEFAULT_LIMIT,
        "temperature": _temperature(options),
        "top_p": float(options.get("top_p") or 1.0),
        "stop": tuple(str(s) for s in stops if s),
    }


def _temperature(options: Mapping[str, Any]) -> float:
    sample, temperature = options.get("do_sample"), options.get("temperature")
    if sample is False:
        return 0.0
    if temperature is None:
        return 1.0 if sample else 0.0
    return float(temperature)


# --- what tasks' own code uses --------------------------------------------------------------------

_SEED = 0


@contextmanager
def langdetect_seeded() -> Iterator[None]:
    """Seed langdetect where it is loaded; restore its seed afterwards."""
    module = sys.modules.get("langdetect")
    if module is None:
        yield
        return
    factory = module.DetectorFactory
    before = factory.seed
    factory.seed = _SEED
    try:
        yield
    finally:
        factory.seed = before


# --- code of a suite's author ---------------------------------------------------------------------

_MET: ContextVar[Callable[[Code], None] | None] = ContextVar("met", default=None)
"""Told each function that a file of the suite's names, its includes too; None: no such file."""


def guard_lm_eval() -> None:
    """Make lm-eval ask before it imports what a task file names, and sandbox its templates.

    A task, or an override in a stranger's suite, is data: its templates reach no Python internals.
    Each template is compiled once; it holds no state.
    """
    import yaml
    from jinja2 import BaseLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment
    from lm_eval import utils
    from lm_eval.tasks import _yaml_loader

    class Sandbox(SandboxedEnvironment):
        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            # A document's image or array has methods that write files.
            plain = type(obj).__module__.partition(".")[0] in ("builtins", "datetime", "jinja2")
            return plain and super().is_safe_attribute(obj, attr, value)

    _guard_metrics()
    if isinstance(utils.env, SandboxedEnvironment):
        return
    made: Any = Sandbox(loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True)
    made.filters |= utils.env.filters
    made.from_string = lru_cache(maxsize=4096)(made.from_string)
    constructor = _yaml_loader._mk_function_ctor  # noqa: SLF001 - as `_factory`

    def asking(folder: Path, resolve: bool) -> Any:
        construct = constructor(folder, resolve)

        def made_of(loader: Any, node: Any) -> Any:
            meet = _MET.get()
            if meet is not None:
                meet(_function_code(node, folder))
            elif resolve and not _is_installed(folder):
                trust.current().ask(_function_code(node, folder))
            made = construct(loader, node)
            return made if resolve else _Name(made)

        return made_of

    _yaml_loader._mk_function_ctor = asking  # noqa: SLF001
    # Without libyaml, lm-eval would take a loader that also finds objects by name.
    _yaml_loader._Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # noqa: SLF001
    utils.env = made


class _Name(str):
    """A function that was not imported."""

    __slots__ = ()


def _guard_metrics() -> None:
    """Make `evaluate` ask before it runs a script of the current folder.

    It prefers `bleu/bleu.py` there to the metric of that name that lm-eval's own tasks load.
    """
    if "evaluate" not in sys.modules and not any(map(_is_script, os.listdir())):  # noqa: PTH208
        return  # importing it takes seconds
    import evaluate  # type: ignore[import-untyped]

    load = evaluate.load
    if load.__module__ == __name__:
        return

    def asking(path: str, *args: Any, **options: Any) -> Any:
        if _is_script(path):
            trust.current().ask(Code(f"the metric's script in {path!r}", places=(Path(path),)))
        return load(path, *args, **options)

    evaluate.load = asking


def _is_script(name: str) -> bool:
    """Whether `evaluate` would run a script of this machine for a metric of that name."""
    path = Path(name)
    return (path if path.suffix == ".py" else path / f"{path.name}.py").is_file()


@lru_cache
def _is_installed(path: Path) -> bool:
    """Whether a file or folder is part of lm-eval, or of another installed package."""
    import lm_eval

    homes = (lm_eval.__path__[0], *map(sysconfig.get_path, ("purelib", "platlib")))
    return any(path.resolve().is_relative_to(Path(home).resolve()) for home in homes)


def _is_own(entry: Any) -> bool:
    """Whether lm-eval's index entry is of a file that the suite brings."""
    return entry.yaml_path is not None and not _is_installed(Path(entry.yaml_path).parent)


def _function_code(node: Any, folder: Path) -> Code:
    """What a `!function` in a YAML file of `folder` imports, as lm-eval looks for it."""
    module, _, function = str(node.value).rpartition(".")
    file = folder / f"{module.replace('.', '/')}.py"
    mark, of = node.start_mark, str(file) if file.is_file() else f"the module {module!r}"
    runs = f"the function {function!r} of {of}"
    return Code(runs, f"{mark.name}:{mark.line + 1}", (Path(mark.name), file))


def _scripts(config: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings that name a script: how it is written, and what would run.

    `before`: the same config as lm-eval brings it; empty where the suite brings it.
    """
    from lm_eval.api.registry import metric_registry

    for metric in map(_mapping, _list(config.get("metric_list"))):
        name = metric.get("metric")
        known = isinstance(name, str) and name in metric_registry and not metric.get("hf_evaluate")
        if type(name) is str and not known and ("/" in name or _is_script(name)):
            yield name, f"the script of the metric {name!r}, from a folder or the hub"
    path, kwargs = str(config.get("dataset_path")), _mapping(config.get("dataset_kwargs"))
    trusted = _mapping(before.get("dataset_kwargs")).get("trust_remote_code")
    if path == "pandas":
        yield path, "what pickled tables hold"
    if path.endswith(".py") or (kwargs.get("trust_remote_code") and not trusted):
        asks = path if path.endswith(".py") else "trust_remote_code"
        yield asks, f"the loading script of the data set {path!r}"
    for given in (_mapping(config.get("metadata")), kwargs) if config.get("custom_dataset") else ():
        # RULER and BABILong load it with trust_remote_code.
        for key in given.keys() & {"tokenizer", "pretrained", "model"}:
            yield str(given[key]), f"Python files that come with the tokenizer {given[key]!r}"
    if config.get("recipe") != before.get("recipe"):
        yield str(config.get("recipe")), "a recipe of unitxt, which may evaluate expressions"
    for member in map(_mapping, _list(config.get("task"))):
        yield from _scripts(member, {})


_NO_PYTHON = (
    "a template of task {!r} reaches for {!r}; expected a template that uses the document's own "
    "fields: it is rendered in a sandbox"
)


def _python_names(value: Any) -> Iterator[str]:
    """Names like `__class__` that templates in a config reach for."""
    from jinja2 import TemplateSyntaxError, nodes
    from lm_eval import utils

    if isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _python_names(item)
    elif isinstance(value, str) and "__" in value:
        try:
            found = utils.env.parse(value).find_all((nodes.Getattr, nodes.Const))
        except TemplateSyntaxError:
            return  # an error of its own, when it is rendered
        names = (str(n.attr if isinstance(n, nodes.Getattr) else n.value) for n in found)
        yield from (name for name in names if re.fullmatch(r"__\w+__", name))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _line_of(text: str, files: Iterable[Path]) -> str:
    """`file:line` of the first line that holds `text`, else the first file; empty: no file."""
    first = ""
    for file in files:
        first = first or str(file)
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        found = next((n for n, line in enumerate(lines, 1) if text in line), None)
        if found is not None:
            return f"{file}:{found}"
    return first


def use_nltk(folder: str) -> None:
    """Look for NLTK's data in `folder` first, so that nothing is downloaded."""
    nltk = sys.modules.get("nltk")
    if nltk is None:  # which reads this when a task that needs it imports it
        known = os.environ.get("NLTK_DATA", "").split(os.pathsep)
        os.environ["NLTK_DATA"] = os.pathsep.join(dict.fromkeys([folder, *filter(None, known)]))
    elif folder not in nltk.data.path:
        nltk.data.path.insert(0, folder)


# --- a task's identity: for the manifest, the run id and the comparability guard ------------------

_NOT_IDENTITY = ("metadata", "dataset_kwargs", "dataset_path", "dataset_name", "task_alias", "tag")
"""Config entries that are described separately, or decide no score."""


def digest(items: Iterable[Any]) -> str:
    """Hex sha256 over items in order, each as canonical JSON."""
    found = hashlib.sha256()
    for item in items:
        text = json.dumps(canonical(item), sort_keys=True, ensure_ascii=False)
        found.update(text.encode("utf-8", "surrogatepass") + b"\n")
    return found.hexdigest()


def canonical(value: Any) -> Json:
    """`value` as JSON that is equal on every machine."""
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(v) for v in value]
    if callable(value):
        return _function(value)
    return scores.jsonable(value)


def _function(value: Any) -> Json:
    if isinstance(value, partial):
        return {"function": _function(value.func), "with": canonical([value.args, value.keywords])}
    name = getattr(value, "__qualname__", type(value).__qualname__)
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        return {"function": name}
    return {"function": name, "sha256": hashlib.sha256(source.encode()).hexdigest()}


def describe_task(loaded: LoadedTask) -> dict[str, Json]:
    """Version, data, shots, stops, filters and metrics of one task."""
    task = loaded.task
    config = task.config
    shots = int(config.num_fewshot or 0)
    kwargs, source = config.dataset_kwargs or {}, loaded.source
    fields = {k: v for k, v in vars(config).items() if k not in _NOT_IDENTITY and v is not None}
    return {
        "version": canonical(task.VERSION),
        "output_type": task.OUTPUT_TYPE,
        "dataset": {
            "path": config.dataset_path if source is None else source.path,
            "name": config.dataset_name if source is None else source.config,
            "revision": kwargs.get("revision") if source is None else source.revision,
            "remarks": [] if source is None else list(source.remarks),
            "files": {label: _sha256(path) for label, path in sorted(loaded.files.items())},
        },
        "documents": len(loaded.docs),
        "documents_sha256": digest(loaded.docs),
        "shots": shots,
        "shots_sha256": digest(_pool(task)) if shots else None,
        "repeats": config.repeats,
        "generation": _generation(task, loaded.name),
        "filters": scores.filters(task),
        "metrics": [scores.display(m, f) for m, f in scores.declared(task)],
        "config_sha256": digest([{k: _plain(v) for k, v in fields.items()}]),
    }


def _plain(value: Any) -> Any:
    """Dataclasses of lm-eval (FewshotConfig) as mappings."""
    return vars(value) if hasattr(value, "__dataclass_fields__") else value


def _pool(task: Any) -> list[Any]:
    sampler = getattr(task, "sampler", None)
    return list(sampler.df) if sampler is not None else []


def _generation(task: Any, name: str) -> Json:
    if task.OUTPUT_TYPE != "generate_until":
        return None
    return canonical(generation(task.config.generation_kwargs or {}, name))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_group(group: Any) -> dict[str, Json]:
    """Version, members and aggregation of one group."""
    wanted = [
        {"metric": a.metric, "filters": a.filter_list, "weight_by_size": a.weight_by_size}
        for a in group.aggregate_metric_list or ()
    ]
    tasks = [t.task_name for t in group.get_all_tasks()]
    return {"version": group.version, "tasks": tasks, "aggregate": wanted}
