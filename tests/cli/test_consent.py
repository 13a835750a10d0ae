"""Code of a suite's author: named, refused, run by consent, and said.

Every way in which a suite, its tasks or its models can bring code is tried with code that leaves a
file, EXECUTED.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.core.trust import Trust, trusting
from evalkit.errors import EvalkitError, SuiteError
from tests.support.cli import evalkit
from tests.support.runs import stored_run, with_suite, write_run

MARK = "from pathlib import Path\nPath({mark!r}).touch()\n"
FUNCTION = "def f(doc):\n    return doc['q']\n"
SUITE = """name: s
models:
  mine: {{role: candidate, path: m{model}}}
engine: {{type: {engine}}}
judges: {{one: {{type: {judge}}}}}
benchmarks:
  - {{type: {benchmark}, tasks: [{tasks}]{more}}}
"""
TASK = """task: own
dataset_path: json
dataset_kwargs: {data_files: {test: docs.jsonl}}
output_type: multiple_choice
test_split: test
num_fewshot: 0
doc_to_text: q
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def suite(folder: Path, **parts: str) -> Path:
    usual = {"model": "", "engine": "fake", "judge": "fake", "benchmark": "lm_eval", "more": ""}
    text = SUITE.format(**{**usual, "tasks": "own.yaml", **parts})
    (folder / "s.yaml").write_text(text)
    return folder / "s.yaml"


def stranger(folder: Path, task: str = TASK, **parts: str) -> Path:
    """A suite with files of its own, which all leave the mark when they are imported."""
    mark = MARK.format(mark=str(folder / "EXECUTED"))
    (folder / "m").mkdir()
    for name in ("own.py", "m/modeling.py"):
        (folder / name).write_text(mark + FUNCTION)
    (folder / "evil").mkdir()
    (folder / "evil" / "evil.py").write_text(mark)
    rows = [{"q": f"Question {n}?", "choices": ["yes", "no"], "answer": 0} for n in range(2)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "own.yaml").write_text(task)
    return suite(folder, **parts)


def task_with(*lines: str) -> dict[str, str]:
    """The task with these lines, in place of its own of the same fields."""
    fields = {line.partition(":")[0] for line in lines}
    kept = [line for line in TASK.splitlines() if line.partition(":")[0] not in fields]
    return {"task": "\n".join([*lines, *kept]) + "\n"}


def overriding(**fields: str) -> dict[str, str]:
    said = ", ".join(f"{name}: {value}" for name, value in fields.items())
    return {"more": f", overrides: {{own.yaml: {{{said}}}}}"}


METRIC = "[{metric: ./evil, aggregation: mean, higher_is_better: true}]"
IN_SUITE = {
    "engine": ({"engine": "evil_module.part"}, "s.yaml:4: engine.type"),
    "judge": ({"judge": "evil_module.part"}, "s.yaml:5: judges.one.type"),
    "benchmark": ({"benchmark": "evil_module.part"}, "s.yaml:7: benchmarks.0.type"),
    "model": (
        {"engine": "transformers", "model": ", trust_remote_code: true"},
        "s.yaml:3: models.mine.trust_remote_code",
    ),
}
"""By name: the suite, and what its refusal names."""
IN_TASKS: dict[str, tuple[dict[str, str], str]] = {
    "text": (task_with("doc_to_text: !function own.f"), "own.yaml:1"),
    "documents": (task_with("process_docs: !function own.f"), "own.yaml:1"),
    "data set": (task_with("custom_dataset: !function own.f"), "own.yaml:1"),
    "results": (task_with("process_results: !function own.f"), "own.yaml:1"),
    "metric": (
        task_with("metric_list: [{metric: !function own.f, aggregation: mean}]"),
        "own.yaml:1",
    ),
    "aggregation": (
        task_with("metric_list: [{metric: acc, aggregation: !function own.f}]"),
        "own.yaml:1",
    ),
    "filter": (
        task_with(
            "filter_list: [{name: x, filter: [{function: custom, filter_fn: !function own.f}]}]"
        ),
        "own.yaml:1",
    ),
    "examples": (task_with("fewshot_config: {samples: !function own.f}"), "own.yaml:1"),
    "class": ({"task": "task: own\nclass: !function own.f\n"}, "own.yaml:2"),
    "group": (
        {"task": "group: g\ntask:\n  - {task: own, doc_to_text: !function own.f}\n"},
        "own.yaml:3",
    ),
    "of Python's own": (task_with("doc_to_text: !function os.system"), "own.yaml:1"),
    "merge key": (
        {"task": "x: &x\n  include: more.yaml\n<<: *x\ntask: own\n"},
        "more.yaml:1",
    ),
    "overwritten in an include": (
        {"task": f"include: more.yaml\n{TASK}"},
        "more.yaml:1",
    ),
    "script of a metric": (task_with(f"metric_list: {METRIC}"), "own.yaml:1"),
    "script of a metric, overridden": (overriding(metric_list=METRIC), "s.yaml:7"),
    "script of a metric, in a group": (
        {"task": f"group: g\ntask:\n  - {{task: own, metric_list: {METRIC}}}\n"},
        "own.yaml:3",
    ),
    "script of a data set": (overriding(dataset_path="evil/evil.py"), "s.yaml:7"),
    "pickled table": (overriding(dataset_path="pandas"), "s.yaml:7"),
    "remote code of a data set": (
        overriding(dataset_kwargs="{trust_remote_code: true}"),
        "s.yaml",
    ),
    "tokenizer of a data set": (
        {
            "tasks": "niah_single_1",
            "more": ", overrides: {niah_single_1: {metadata: {tokenizer: ./evil}}}",
        },
        "s.yaml:7",
    ),
}


def bench_of(folder: Path) -> LmEval:
    """The suite's benchmark, past what loading the suite looks at."""
    from ruamel.yaml import YAML

    spec = YAML(typ="safe").load((folder / "s.yaml").read_text())["benchmarks"][0]
    return LmEval(LmEvalSpec(**spec), BenchmarkContext(folder, DataPlaces(), None, 0))


def module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `evil_module.part` importable."""
    (folder / "evil_module").mkdir()
    for name in ("__init__", "part"):
        (folder / "evil_module" / f"{name}.py").write_text((folder / "own.py").read_text())
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize("way", IN_SUITE)
@pytest.mark.parametrize("command", ["check", "run", "run --dry-run", "data pull --to d"])
def test_what_a_suite_names_is_refused_by_its_line(
    way: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, where = IN_SUITE[way]
    stranger(tmp_path, **parts)
    module(tmp_path, monkeypatch)
    words = command.split()
    done = evalkit(tmp_path, *words, "s.yaml")
    assert done.code == 2
    assert f"{where}: would run" in done.err
    assert "--trust-suite" in done.err
    assert "EVALKIT_TRUST=" in done.err
    assert not (tmp_path / "EXECUTED").exists()


@pytest.mark.parametrize("way", IN_TASKS)
def test_what_a_task_names_is_refused_by_its_line(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, where = IN_TASKS[way]
    stranger(tmp_path, **parts)
    (tmp_path / "more.yaml").write_text("doc_to_text: !function own.f\n")
    monkeypatch.chdir(tmp_path)
    bench = bench_of(Path())
    with trusting(Trust()) as nobody:
        nobody.read(Path("s.yaml"))
        (code,) = bench.code()
        assert where in code.where
        assert nobody.refusal(code)
    with contextlib.suppress(EvalkitError):
        bench.data_needs()
    # RULER's own code, which is not installed everywhere, is imported before its settings are read.
    with pytest.raises(EvalkitError, match=r"would run|wonderwords"):
        bench.load()
    assert not (tmp_path / "EXECUTED").exists()


@pytest.mark.parametrize("tag", ["!!python/name:os.system", "!!python/object/apply:os.system [x]"])
def test_tags_that_make_objects_are_refused(tag: str, tmp_path: Path) -> None:
    stranger(tmp_path, **task_with(f"doc_to_text: {tag}"))
    with pytest.raises(SuiteError, match="cannot be read"):
        bench_of(tmp_path).load()


def test_a_metric_of_lm_evals_own_is_not_looked_for_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalkit.benchmarks._lm_eval_tasks import _guard_metrics

    stranger(tmp_path)
    monkeypatch.chdir(tmp_path)
    _guard_metrics()
    import evaluate  # type: ignore[import-untyped]

    with pytest.raises(SuiteError, match="would run the metric's script in 'evil'"):
        evaluate.load("evil")
    assert not (tmp_path / "EXECUTED").exists()


def test_a_suite_does_not_lift_the_ban_on_running_what_a_model_wrote(tmp_path: Path) -> None:
    stranger(
        tmp_path,
        tasks="cruxeval_input",
        more=", overrides: {cruxeval_input: {unsafe_code: false}}",
    )
    with trusting(Trust(True)), pytest.raises(SuiteError, match="runs code the model wrote"):
        bench_of(tmp_path).load()


TRUSTED: dict[str, Callable[[Path], tuple[bool, str]]] = {
    "the switch": lambda _: (True, ""),
    "the suite": lambda folder: (False, f"/nowhere:{folder / 's.yaml'}"),
    "its folder": lambda folder: (False, str(folder)),
    "the task": lambda folder: (False, str(folder / "own.yaml")),
    "the module": lambda folder: (False, str(folder / "own.py")),
}
"""By name: whether the switch is given, and EVALKIT_TRUST."""


@pytest.mark.parametrize("consent", TRUSTED)
def test_consent_runs_it(consent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, named = TRUSTED[consent](tmp_path)
    file = stranger(tmp_path, **task_with("doc_to_text: !function own.f"))
    monkeypatch.setenv("EVALKIT_TRUST", named)
    with trusting(Trust(given)) as trust:
        trust.read(file)
        bench_of(tmp_path).load()
    assert (tmp_path / "EXECUTED").exists()
    assert trust.used == (f"{tmp_path / 'own.yaml'}:1: the function 'f' of {tmp_path / 'own.py'}",)


@pytest.mark.parametrize("named", ["", ":", "/nowhere", "{folder}/s", "{folder}/own"])
def test_no_other_name_is_consent(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stranger(tmp_path, **task_with("doc_to_text: !function own.f"))
    monkeypatch.setenv("EVALKIT_TRUST", named.format(folder=tmp_path))
    with trusting(Trust()) as trust:
        trust.read(file)
        with pytest.raises(SuiteError):
            bench_of(tmp_path).load()
    assert not (tmp_path / "EXECUTED").exists()


def test_what_lm_eval_brings_needs_no_consent(tmp_path: Path) -> None:
    import lm_eval

    folder = Path(lm_eval.__path__[0]) / "tasks" / "hellaswag"
    stranger(tmp_path, tasks="hellaswag")
    bench_of(tmp_path).data_needs()
    assert not bench_of(tmp_path).code()
    (tmp_path / "own.yaml").write_text(f"task: own\ninclude: {folder / 'hellaswag.yaml'}\n")
    suite(tmp_path)
    (code,) = bench_of(tmp_path).code()
    assert "'process_docs' of" in code.runs, "a file of the suite's decides what it is given"


def test_check_names_everything_and_imports_nothing(tmp_path: Path) -> None:
    stranger(
        tmp_path,
        **task_with("doc_to_text: !function own.f", "process_docs: !function own.g"),
        engine="transformers",
        model=", trust_remote_code: true",
    )
    done = evalkit(tmp_path, "check", "s.yaml", "--json")
    found = [p["message"] for p in json.loads(done.out)["problems"]]
    for said in ("modeling.py", "function 'f'", "function 'g'"):
        assert any(said in message for message in found), said
    trusted = evalkit(tmp_path, "check", "s.yaml", "--json", "--trust-suite")
    warned = json.loads(trusted.out)["warnings"]
    assert sum("by your consent" in warning for warning in warned) == 3
    assert not (tmp_path / "EXECUTED").exists()


@pytest.mark.slow
def test_consent_is_said_and_names_no_run_anew(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    stranger(tmp_path / "one", **task_with("doc_to_text: !function own.f"))
    done = evalkit(tmp_path / "one", "--trust-suite", "run", "s.yaml", "--out", "run")
    assert done.code == 0, done.err
    manifest = json.loads((tmp_path / "one" / "run" / "manifest.json").read_text())
    (said,) = manifest["consented"]
    assert "own.yaml:1: the function 'f'" in said
    page = (tmp_path / "one" / "run" / "report.md").read_text()
    assert "Code run by consent." in page
    # The stored run is read without the code, and judged or gated by nobody who did not consent.
    (tmp_path / "one" / "EXECUTED").unlink()
    for command in ("report run", "verify run", "evidence run mine/lm_eval/own/acc"):
        evalkit(tmp_path / "one", "--trust-suite", *command.split())
    assert not (tmp_path / "one" / "EXECUTED").exists()
    (tmp_path / "two").mkdir()
    stranger(tmp_path / "two")
    runs = []
    for switch in ([], ["--trust-suite"]):
        out = f"run{len(switch)}"
        done = evalkit(tmp_path / "two", "run", "s.yaml", "--out", out, *switch)
        assert done.code == 0, done.err
        runs.append((tmp_path / "two" / out / "manifest.json").read_bytes())
    assert b"consented" not in runs[0]
    assert json.loads(runs[0])["run_id"] == json.loads(runs[1])["run_id"]


def test_no_command_imports_what_a_stored_run_or_a_policy_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored_run(tmp_path / "run")
    engine = {"type": "evil_module.part"}
    write_run(with_suite(run, engine=engine), tmp_path / "run")
    stranger(tmp_path, engine="evil_module.part")
    module(tmp_path, monkeypatch)
    reading = ("evidence", "verify", "report", "compare", "gate", "export --format json --out e")
    for command in (*reading, "history", "card write", "judge --judge base-judge"):
        evalkit(tmp_path, *command.split(), "run")
    (tmp_path / "checkpoints").mkdir()
    given = ("gate run --policy", "plan", "power", "data list", "watch checkpoints --once")
    for command in (*given, "judge run --judge one --suite"):
        done = evalkit(tmp_path, *command.split(), "s.yaml")
        assert done.code == 2, command
        assert "would run the module 'evil_module.part'" in done.err, command
    assert not (tmp_path / "EXECUTED").exists()


@pytest.mark.parametrize(
    "template",
    [
        "{{ cycler.__init__.__globals__.os.popen('touch EXECUTED').read() }}",
        "{{ q | attr('__class__') }}",
        "{{ ''['__class__'] }}",
    ],
)
def test_a_template_is_an_error_by_its_line(template: str, tmp_path: Path) -> None:
    text = template.replace("'", "''")
    stranger(tmp_path, **overriding(doc_to_text=f"'{text}'"))
    done = evalkit(tmp_path, "check", "s.yaml")
    assert done.code == 2
    assert "s.yaml:7" in done.err
    assert "__" in done.err
    with pytest.raises(SuiteError, match="__"):
        bench_of(tmp_path).load()
    assert not (tmp_path / "EXECUTED").exists()


def test_a_template_calls_no_method_of_what_is_not_plain_data(tmp_path: Path) -> None:
    import numpy as np
    from jinja2.exceptions import SecurityError
    from lm_eval.utils import apply_template

    from evalkit.benchmarks._lm_eval_tasks import guard_lm_eval

    guard_lm_eval()
    file = tmp_path / "EXECUTED"
    with pytest.raises(SecurityError):
        apply_template("{{ a.tofile(file) }}", {"a": np.zeros(1), "file": str(file)})
    assert not file.exists()
    plain = apply_template("{{ a.b.strip() }}{{ l.index(2) }}", {"a": {"b": " x "}, "l": [1, 2]})
    assert plain == "x1"


def test_where_one_stands_nothing_is_imported_from(tmp_path: Path) -> None:
    from tests.support.cli import in_process

    for name in ("rich", "pydantic", "sqlite3"):
        (tmp_path / f"{name}.py").write_text(MARK.format(mark=str(tmp_path / "EXECUTED")))
    done = in_process(tmp_path, "list")
    assert done.code == 0, done.err
    assert not (tmp_path / "EXECUTED").exists()
