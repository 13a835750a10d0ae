"""The lm_eval benchmark: loading, naming, describing, refusing, groups and passages."""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.benchmarks import _lm_eval_scores as scoring
from evalkit.benchmarks._lm_eval_scores import Aggregate
from evalkit.benchmarks._lm_eval_tasks import generation, guard_lm_eval, known_tasks
from evalkit.benchmarks.lm_eval import LmEval, LmEvalSpec, chat_prompt
from evalkit.comparison.figures import average_comparisons
from evalkit.core import Completion, Metric, Outcome, Record, Sample, Score
from evalkit.core.protocols import BenchmarkContext, DataPlaces
from evalkit.errors import BenchmarkError, DataError, SuiteError


def make(root: Path, **spec: Any) -> LmEval:
    context = BenchmarkContext(root=root, places=DataPlaces(), judge=None, seed=0)
    return LmEval(LmEvalSpec(**spec), context)


def finish(bench: LmEval, sample: Sample, completions: list[Completion]) -> Outcome:
    flow = bench.flow(sample, "m")
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.send(completions)
    outcome = end.value.value
    assert isinstance(outcome, Outcome)
    return outcome


# --- the quickstart's own tasks ----------------------------------------------------------------

QUICKSTART = tuple(f"quickstart/tasks/{n}.yaml" for n in ("facts", "sense", "arithmetic"))


@pytest.fixture(scope="module")
def quickstart(repository: Path) -> LmEval:
    bench = make(repository / "suites", tasks=QUICKSTART)
    bench.load()
    return bench


def test_quickstart_tasks_load_from_any_working_directory(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bench = make(repository / "suites", tasks=QUICKSTART)
    counts = {name: task["documents"] for name, task in bench.describe()["tasks"].items()}
    assert counts == {
        "quickstart_facts": 40,
        "quickstart_sense": 40,
        "quickstart_arithmetic": 30,
    }
    sent = {task: sum(each) for task, each in bench.request_counts().items()}
    assert sent == {
        "quickstart_facts": 40 * 4,
        "quickstart_sense": 40 * 2,
        "quickstart_arithmetic": 30,
    }


def test_quickstart_items_are_well_formed(quickstart: LmEval) -> None:
    samples = quickstart.samples()
    assert len({(s.task, s.turns) for s in samples}) == len(samples)
    assert len({(s.task, s.id) for s in samples}) == len(samples)
    for sample in samples:
        if sample.task == "quickstart_arithmetic":
            assert sample.reference[0].isdigit()
        else:
            choices = sample.data.get("choices") or sample.data["endings"]
            assert sample.reference[0] in choices
            assert len(set(choices)) == len(choices)
    gold = [s.data["label"] for s in samples if s.task == "quickstart_sense"]
    assert sum(gold) == len(gold) / 2
    gold = [s.data["answer"] for s in samples if s.task == "quickstart_facts"]
    assert {gold.count(i) for i in range(4)} == {10}


@pytest.mark.parametrize(
    ("text", "score"), [(" 7", 1.0), (" It is 7 balls, not 3.", 1.0), (" 70", 0.0), (" none", 0.0)]
)
def test_quickstart_arithmetic_reads_the_first_number(
    quickstart: LmEval, text: str, score: float
) -> None:
    (sample,) = [s for s in quickstart.samples() if "hen laid" in s.turns[0]]
    assert sample.reference == ("7",)
    outcome = finish(quickstart, sample, [Completion(text=text, truncated=True)])
    assert [(s.metric, s.value) for s in outcome.scores] == [("exact_match,first-number", score)]
    assert outcome.answers == (text,)
    assert outcome.truncated
    assert [m.role for m in outcome.conversation] == ["user", "assistant"]
    assert outcome.conversation[0].content.count("Question:") == 3


def test_choices_show_their_log_probabilities(quickstart: LmEval) -> None:
    sample = quickstart.samples()[0]
    replies = [Completion(logprob=-float(i), is_greedy=False) for i in (1, 2, 3, 4)]
    outcome = finish(quickstart, sample, replies)
    assert outcome.answers[:2] == ("honey = -1.0000", "paper = -2.0000")
    assert outcome.reference == ("honey",)
    assert {s.metric: s.value for s in outcome.scores} == {"acc": 1.0, "acc_norm": 1.0}


def test_the_primary_metric_is_the_one_leaderboards_print(quickstart: LmEval) -> None:
    found = {t: quickstart.metrics(t) for t in quickstart.describe()["tasks"]}
    assert [m.name for m in found["quickstart_facts"]] == ["acc_norm", "acc"]
    assert [m.name for m in found["quickstart_arithmetic"]] == ["exact_match,first-number"]
    for metrics in found.values():
        assert [m.primary for m in metrics] == [True] + [False] * (len(metrics) - 1)
        assert {(m.unit, m.scale) for m in metrics} == {("percent", 100.0)}


# --- loading -----------------------------------------------------------------------------------


def test_lm_evals_tasks_are_known_without_it() -> None:
    found = known_tasks()
    assert (found["mmlu"].kind, found["hellaswag"].data) == ("GROUP", "Rowan/hellaswag")
    assert found["ai2_arc"].tags == "arc_challenge|arc_easy"
    assert "reasoning" in found["ai2_arc"].about


@pytest.mark.slow
def test_the_index_of_tasks_is_lm_evals_own() -> None:
    """Otherwise: python scripts/make_task_index.py."""
    import lm_eval.tasks
    from lm_eval.tasks._index import TaskIndex

    root = Path(lm_eval.tasks.__file__).parent
    ours = {
        name: (known.kind, root / known.path if known.path else None, known.tags)
        for name, known in known_tasks().items()
    }
    theirs = {
        name: (entry.kind.name, entry.yaml_path, "|".join(sorted(entry.tags)))
        for name, entry in TaskIndex.build([root]).items()
    }
    assert list(ours.items()) == list(theirs.items())


def test_importing_the_benchmark_does_not_import_lm_eval() -> None:
    import subprocess

    code = "import evalkit.benchmarks.lm_eval, sys; sys.exit('lm_eval' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_documents_do_not_depend_on_the_global_generator(task_folder: Path) -> None:
    random.seed(3)
    state = random.getstate()
    first = make(task_folder, tasks=("tiny_sums.yaml",)).describe()
    assert random.getstate() == state
    random.seed(4)
    assert make(task_folder, tasks=("tiny_sums.yaml",)).describe() == first


def test_overrides_are_merged_into_the_tasks_config(task_folder: Path) -> None:
    over = {"tiny_sums": {"generation_kwargs": {"max_gen_toks": 7}, "num_fewshot": 1}}
    bench = make(task_folder, tasks=("tiny_sums",), include=".", overrides=over, shots=3)
    sample = bench.samples()[0]
    (request,) = next(bench.flow(sample, "m"))
    assert (request.max_tokens, request.stop) == (7, ("\n\n", "Q:"))
    assert str(request.prompt).count("Q:") == 2
    plain = make(task_folder, tasks=("tiny_sums",), include=".")
    mine, theirs = (b.describe()["tasks"]["tiny_sums"] for b in (bench, plain))
    assert mine["documents_sha256"] == theirs["documents_sha256"]
    assert mine["config_sha256"] != theirs["config_sha256"]


def test_overrides_reach_tasks_inside_a_group(task_folder: Path) -> None:
    over = {"tiny_group": {"num_fewshot": 1}, "tiny_yes_no": {"num_fewshot": 0}}
    bench = make(task_folder, tasks=("tiny_group",), include=".", overrides=over)
    shots = {name: d["shots"] for name, d in bench.describe()["tasks"].items()}
    assert shots == {"tiny_choice": 1, "tiny_yes_no": 0}
    assert bench.describe()["groups"]["tiny_group"]["tasks"] == ["tiny_choice", "tiny_yes_no"]


def test_local_data_in_an_override_is_relative_to_the_suite(
    task_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.jsonl").write_text(
        '{"question": "only one", "choices": ["a", "b"], "gold": 1}\n'
    )
    over = {
        "tiny_choice": {"dataset_kwargs": {"data_files": {"test": "mine.jsonl"}}, "num_fewshot": 0}
    }
    bench = make(tmp_path, tasks=("tiny_choice",), include=str(task_folder), overrides=over)
    described = bench.describe()["tasks"]["tiny_choice"]
    assert described["documents"] == 1
    assert "mine.jsonl" in described["dataset"]["files"]
    assert bench.samples()[0].reference == ("b",)


def test_nothing_is_left_in_the_datasets_cache(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    make(repository / "suites", tasks=QUICKSTART[:1]).load()
    assert not (tmp_path / "cache").exists()
    assert not datasets.are_progress_bars_disabled()


# --- mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ({"tasks": ("missing.yaml",)}, SuiteError, ["'missing.yaml'", "relative to the suite"]),
        pytest.param(
            {"tasks": ("tiny_sum",), "include": "."},
            SuiteError,
            ["'tiny_sum'", "'tiny_sums'"],
            marks=pytest.mark.slow,  # reads all of lm-eval's own tasks
        ),
        ({"tasks": ("x",), "include": "nowhere"}, SuiteError, ["'nowhere'", "folder"]),
        (
            {"tasks": ("tiny_sums.yaml",), "overrides": {"tiny_sum": {}}},
            SuiteError,
            ["'tiny_sum'", "tiny_sums"],
        ),
        (
            {
                "tasks": ("tiny_sums.yaml",),
                "overrides": {"tiny_sums": {"generation_kwargs": {"top_k": 5}}},
            },
            BenchmarkError,
            ["top_k", "5", "overrides"],
        ),
        (
            {
                "tasks": ("tiny_sums.yaml",),
                "overrides": {
                    "tiny_sums": {"dataset_kwargs": {"data_files": {"test": "no.jsonl"}}}
                },
            },
            DataError,
            ["'no.jsonl'", "tiny_sums"],
        ),
        (
            {"tasks": ("tiny_sums.yaml",), "overrides": {"tiny_sums": {"unsafe_code": True}}},
            SuiteError,
            ["tiny_sums", "code the model wrote"],
        ),
    ],
)
def test_a_mistake_is_one_message_that_names_it(
    task_folder: Path, spec: dict[str, Any], error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        make(task_folder, **spec).load()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        {"tasks": ()},
        {"tasks": ("a",), "data": "x"},
        {"tasks": ("a",), "fewshot_as_multiturn": True},
        {"tasks": ("a",), "shots": -1},
        {"tasks": ("a",), "limit": 3},
    ],
)
def test_the_spec_refuses(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        LmEvalSpec(**spec)


def test_a_prompt_that_a_task_cannot_make_names_task_and_document(task_folder: Path) -> None:
    whole = make(task_folder, tasks=("tiny_sums.yaml",), shots=0)
    second = whole.samples()[1].turns[0].removeprefix("Q: ").removesuffix("\nA:")
    broken = {"tiny_sums": {"doc_to_text": f"{{{{ 1 // (question != {second!r}) }}}}"}}
    bench = make(task_folder, tasks=("tiny_sums.yaml",), shots=0, overrides=broken)
    with pytest.raises(DataError, match=r"task 'tiny_sums', document 1: .*ZeroDivisionError"):
        finish(bench, bench.samples()[1], [])


def test_an_answer_the_task_cannot_score_is_unparsable(task_folder: Path) -> None:
    broken = {"tiny_sums": {"metric_list": [{"metric": "exact_match", "regexes_to_ignore": ["("]}]}}
    bench = make(task_folder, tasks=("tiny_sums.yaml",), overrides=broken)
    outcome = finish(bench, bench.samples()[0], [Completion(text="4")])
    assert (outcome.status, outcome.scores) == ("unparsable", ())
    assert outcome.answers == ("4",)
    assert "lm-eval could not score" in str(outcome.error)


def test_a_log_probability_that_is_no_number_is_not_scored(task_folder: Path) -> None:
    bench = make(task_folder, tasks=("tiny_choice.yaml",))
    sample = bench.samples()[0]
    outcome = finish(bench, sample, [Completion(logprob=math.nan, is_greedy=False)] * 3)
    assert (outcome.status, outcome.scores) == ("engine_error", ())


def test_an_engine_that_cannot_score_text_is_named(task_folder: Path) -> None:
    bench = make(task_folder, tasks=("tiny_choice.yaml",))
    flow = bench.flow(bench.samples()[0], "m")
    next(flow)
    with pytest.raises(BenchmarkError, match="log-probability"):
        flow.send([Completion(text="a")] * 3)


# --- small parts -------------------------------------------------------------------------------

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "until": st.sampled_from(["\n", ["\n\n", "Q:"], [], None]),
        "do_sample": st.booleans(),
        "temperature": st.sampled_from([0.0, 0.3, 1.0]),
        "max_gen_toks": st.integers(1, 2048),
        "max_new_tokens": st.integers(1, 2048),
        "max_tokens": st.integers(1, 2048),
    },
)


@given(OPTIONS)
def test_generation_options_mean_what_lm_eval_says(options: dict[str, Any]) -> None:
    """Oracle: `normalize_gen_kwargs` and `handle_stop_sequences` of lm-eval."""
    from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

    theirs = normalize_gen_kwargs({k: v for k, v in options.items() if v is not None})
    mine = generation(options, "t")
    assert mine["max_tokens"] == theirs["max_gen_toks"]
    assert list(mine["stop"]) == handle_stop_sequences(theirs["until"], eos=None)
    greedy = not theirs["do_sample"] or theirs.get("temperature") == 0.0
    assert (mine["temperature"] == 0) == greedy
    if not greedy:
        assert mine["temperature"] == theirs.get("temperature", 1.0)


@pytest.mark.parametrize(
    ("metric", "percent"),
    [
        ("acc", True),
        ("acc_norm", True),
        ("exact_match,strict-match", True),
        ("inst_level_strict_acc", True),
        ("f1", True),
        ("acc (mean of tasks)", True),
        ("bleu_acc", False),
        ("bleu", False),
        ("word_perplexity", False),
        ("brier_score", False),
        ("account", False),
    ],
)
def test_which_metrics_are_percentages(metric: str, percent: bool) -> None:
    assert scoring.percent(metric) is percent


def test_a_conversation_must_end_as_lm_eval_says() -> None:
    user, model = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    assert chat_prompt([user]).messages[-1].role == "user"
    assert chat_prompt([user, model], add_generation_prompt=False).messages[-1].content == "b"
    with pytest.raises(BenchmarkError):
        chat_prompt([user, model])


# --- lm-eval's tools: what is changed about them changes no result --------------------------------


TEMPLATE = "{% if n %}{{ n }}{% else %}none{% endif %}: {{ text|regex_replace('a', 'b') }}\n"


@given(st.text(), st.integers(0, 3))
def test_sandboxed_templates_render_as_lm_evals_own(text: str, n: int) -> None:
    """Oracle: Jinja's plain environment, with the options and the filter of lm-eval's own."""
    from jinja2 import Environment, StrictUndefined
    from lm_eval.utils import apply_template, regex_replace

    guard_lm_eval()
    plain = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    plain.filters["regex_replace"] = regex_replace
    fresh = plain.from_string(TEMPLATE).render(n=n, text=text)
    assert apply_template(TEMPLATE, {"n": n, "text": text}) == fresh


@pytest.mark.parametrize(
    "template",
    [
        "{{ cycler.__init__.__globals__.os.popen('touch EXECUTED').read() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
        "{{ lipsum.__globals__['os'].system('touch EXECUTED') }}",
    ],
)
def test_a_template_reaches_no_python(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jinja2.exceptions import SecurityError
    from lm_eval.utils import apply_template

    monkeypatch.chdir(tmp_path)
    guard_lm_eval()
    with pytest.raises(SecurityError):
        apply_template(template, {"q": "x"})
    assert not (tmp_path / "EXECUTED").exists()


# --- groups and passages --------------------------------------------------------------------------


ACC = Metric("acc", "percent", 100.0, primary=True)
NORM = Metric("acc_norm", "percent", 100.0)


def group(*tasks: str, by_size: bool = True) -> Any:
    """As much of lm-eval's Group as evalkit reads."""
    wanted = SimpleNamespace(metric="acc", filter_list=None, weight_by_size=by_size)
    leaves = [SimpleNamespace(task_name=task) for task in tasks]
    return SimpleNamespace(get_all_tasks=lambda: leaves, aggregate_metric_list=[wanted])


def test_groups_are_declared_as_they_are_computed() -> None:
    sizes, groups = {"x": 10, "y": 30}, {"g": group("x", "y")}
    declared = scoring.group_averages(groups, dict.fromkeys(sizes, (ACC, NORM)))
    assert [(a.metric.name, a.by_size) for a in declared] == [
        ("acc", True),
        ("acc (mean of tasks)", False),
    ]
    records = [
        Record(m, "b", task, str(i), None, "", Outcome("ok", scores=(Score("acc", value),)))
        for m, shift in (("new", 1), ("old", 0))
        for task, n in sizes.items()
        for i in range(n)
        for value in [float((i + shift) % 3 == 0)]
    ]
    rows = average_comparisons(records, declared, "new", "old", 0.95)
    for row in rows:
        points = []
        for model in ("new", "old"):
            by_task = {task: [_figure(records, model, task)] for task in sizes}
            found = scoring.group_figures(groups["g"], by_task)
            points += [f.point for f in found if f.metric == row.key.metric and f.point is not None]
        new, old = points
        assert row.difference.point == pytest.approx(100 * (new - old), abs=1e-9)


def _figure(records: list[Record], model: str, task: str) -> Aggregate:
    values = [r.outcome.scores[0].value for r in records if (r.model, r.task) == (model, task)]
    return Aggregate("acc", sum(values) / len(values), 0.1, len(values), 0, "", corpus=False)


def test_only_outermost_groups_are_headlines() -> None:
    groups = {
        "all": group("x", "y", "z"),
        "some": group("x", "y"),
        "mean": group("w", by_size=False),
    }
    declared = scoring.group_averages(groups, dict.fromkeys("xyzw", (ACC,)))
    assert {a.task for a in declared if a.metric.primary} == {"all", "mean"}


def test_documents_about_one_passage_are_one_unit() -> None:
    one, other = ({"passage": "In 1815 ...", "question": q} for q in ("Who?", "When?"))
    assert scoring.passage_cluster("drop", one) == scoring.passage_cluster("drop", other) != ""
    assert scoring.passage_cluster("drop", {**one, "passage": "In 1816 ..."}) != (
        scoring.passage_cluster("drop", one)
    )
    assert scoring.passage_cluster("squad", one) != scoring.passage_cluster("drop", one)
    for doc in ({"question": "Who?"}, {"passage": "  "}, {"passage": None}, "text", None):
        assert scoring.passage_cluster("t", doc) == ""
