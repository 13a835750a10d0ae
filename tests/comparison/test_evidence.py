"""From a printed figure to what it rests on: found or refused, computed again, set out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.comparison import evidence
from evalkit.comparison.contests import Options
from evalkit.comparison.evidence import (
    Chain,
    Found,
    find,
    recompute,
    records_behind,
    where_made,
)
from evalkit.comparison.recompute import Recomputed
from evalkit.core.contests import Limited, LocalJudge
from evalkit.core.figures import Estimator, Figure, FigureKey, Interval, Method, Source
from evalkit.core.run import Run, tasks_below
from evalkit.errors import ComparisonError, DataError
from tests.support.leaderboards import board_run
from tests.support.runs import Plan, build_run, stored_run
from tests.support.terminal import screen

RUN = build_run(Plan(published=True), Path("reports/q/run1"))
OTHER = build_run(Plan(models=("tuned", "smollm2"), seed=2), Path("reports/q/run2"))
WIN_RATE = FigureKey("alpaca_eval", "alpaca_eval", "win_rate")


def named(text: str, runs: Sequence[Run] = (RUN,)) -> Found:
    return find(runs, text, Options())


def made(text: str, runs: Sequence[Run]) -> Chain:
    found = named(text, runs)
    return evidence.chain(found, recompute(found), runs)


# --- what a cell names --------------------------------------------------------------------------


def test_every_figure_is_found_by_its_own_cell() -> None:
    figures = list(evidence.every(RUN))
    assert len(figures) > 30
    for wanted in figures:
        found = named(wanted.cell)
        assert found.row is wanted.row, wanted.cell
        assert found.is_stored


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("quick-lora/alpaca_eval", "quick-lora/alpaca_eval/alpaca_eval/win_rate"),
        ("Quick-LoRA/AlpacaEval", "quick-lora/alpaca_eval/alpaca_eval/win_rate"),
        ("quick-lora/mt_bench score_turn_1", "quick-lora/mt_bench/mt_bench/score_turn_1"),
        ("smollm2/lm_eval/sums", "smollm2/lm_eval/sums/exact_match,strict-match"),
        ("smollm2/mt_bench/score/math", "smollm2/mt_bench/mt_bench/score/math"),
        ("quick-lora-smollm2/MT-Bench/math", "quick-lora-smollm2/mt_bench/mt_bench/score/math"),
        ("run1:smollm2/lm_eval/sums", "smollm2/lm_eval/sums/exact_match,strict-match"),
        ("3f2a9c1b7d04:smollm2/alpaca_eval", "smollm2/alpaca_eval/alpaca_eval/win_rate"),
        ("claude-2/alpaca_eval", "claude-2/alpaca_eval/alpaca_eval/win_rate"),
        ("quick-lora minus smollm2/lm_eval/opposites", "quick-lora-smollm2/lm_eval/opposites/acc"),
        ("quick-lora \N{MINUS SIGN} smollm2/lm_eval/opposites/acc",
         "quick-lora-smollm2/lm_eval/opposites/acc"),
    ],
)  # fmt: skip
def test_ways_of_writing(text: str, cell: str) -> None:
    assert named(text).cell == cell


def test_of_a_group_the_average_is_the_headline(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.62, "b": 0.5})
    average = FigureKey("open_llm_leaderboard", "open_llm_leaderboard", "average")
    assert run.benchmark(average.benchmark).whole == average
    value = replace(RUN.figures[0].value, point=50.0)
    figures = tuple(Figure("a", key, "percent", value) for key in (*run.headlines,))
    found = named("a/open_llm_leaderboard", [replace(run, figures=figures)])
    assert found.key == average


def test_an_average_rests_on_the_samples_of_its_own_tasks(tmp_path: Path) -> None:
    run = board_run(tmp_path, {"a": 0.62, "b": 0.5})
    (entry,) = run.benchmarks
    for average in entry.averages:
        key = FigureKey(entry.name, average.task, average.metric.name)
        value = replace(RUN.figures[0].value, point=50.0)
        found = Found(run, Figure("a", key, "percent", value))
        tasks = set(tasks_below(average, entry.averages))
        behind = records_behind(found, [run])
        assert behind == [r for r in run.records_of("a", entry.name) if r.task in tasks]


def test_differences_that_stand_in_no_run_are_computed_now() -> None:
    turned, stored = (
        named("smollm2-quick-lora/alpaca_eval"),
        named("quick-lora-smollm2/alpaca_eval"),
    )
    assert (turned.is_stored, stored.is_stored) == (False, True)
    assert turned.value.point == pytest.approx(-(stored.value.point or 0))
    over_two = named("quick-lora-tuned/alpaca_eval", [RUN, OTHER])
    assert (over_two.models, over_two.run) == (("quick-lora", "tuned"), RUN)
    parts = made("quick-lora-tuned/alpaca_eval", [RUN, OTHER]).parts
    assert [r["folder"] for r in parts["runs"]] == [str(RUN.folder), str(OTHER.folder)]
    assert "computed just now" in parts["recomputed"]["why"]
    entry, *others = OTHER.manifest.benchmarks
    changed = entry.model_copy(
        update={"description": entry.description.model_copy(update={"max_tokens": 9})}
    )
    manifest = OTHER.manifest.model_copy(update={"benchmarks": (changed, *others)})
    with pytest.raises(ComparisonError, match="max_tokens"):
        named("quick-lora-tuned/alpaca_eval", [RUN, replace(OTHER, manifest=manifest)])


def test_what_is_ambiguous_is_refused_with_cells_that_are_not() -> None:
    with pytest.raises(DataError, match="any of 2 figures") as caught:
        named("smollm2/alpaca_eval", [RUN, OTHER])
    choices = [line.strip().split("  ")[0] for line in str(caught.value).split("\n")[1:]]
    assert [named(choice, [RUN, OTHER]).run for choice in choices] == [RUN, OTHER]
    with pytest.raises(DataError, match="any of 2 figures") as caught:
        named("smollm2/lm_eval")
    assert "smollm2/lm_eval/opposites/acc" in str(caught.value)
    assert "smollm2/lm_eval/sums/exact_match,strict-match" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody/alpaca_eval", "models: one of: quick-lora, smollm2"),
        ("smollm2/alpaca", "the nearest: AlpacaEval, alpaca_eval"),
        ("smollm2/alpaca_eval/nope", "expected one of"),
        ("claude-2/mt_bench", "no such figure; of claude-2 there are 1"),
        ("91.38", "names no figure"),
        ("", "names no figure"),
    ],
)
def test_refusals_say_what_there_is(text: str, message: str) -> None:
    with pytest.raises((DataError, ComparisonError)) as caught:
        named(text)
    assert message in str(caught.value)
    with pytest.raises(DataError, match="no figures"):
        named("smollm2/alpaca_eval", [replace(RUN, figures=(), comparisons=())])


def test_names_with_slashes_blanks_and_dashes() -> None:
    names = ("org/model-7b", "org/model", "a b", "org/model-org")
    run = build_run(Plan(models=names, samples=(6, 0, 4)))
    for wanted in evidence.every(run):
        assert named(wanted.cell, [run]).row is wanted.row, wanted.cell


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@given(st.lists(TEXTS.map(lambda t: " ".join(t.split())).filter(bool), min_size=2, max_size=3))
def test_any_names_find_their_own_or_are_refused(names: list[str]) -> None:
    if len({name.casefold() for name in names}) < len(names):
        return
    run = build_run(Plan(models=tuple(names), samples=(3, 0, 2)))
    for wanted in evidence.every(run):
        try:
            found = named(wanted.cell, [run])
        except (DataError, ComparisonError):
            continue
        assert found.key == wanted.key


# --- computing it again -------------------------------------------------------------------------


def of(run: Run, cell: str) -> Recomputed:
    return recompute(named(cell, [run]))


def test_every_figure_of_a_run_is_the_same() -> None:
    figures = [f for f in evidence.every(RUN) if not f.is_published]
    assert {recompute(f).outcome for f in figures} == {"same"}
    found = of(RUN, "claude-2/alpaca_eval")
    assert (found.outcome, found.row) == ("nothing computed", None)
    assert "the source says so" in found.why


@pytest.mark.parametrize("cell", ["quick-lora/alpaca_eval", "quick-lora-smollm2/alpaca_eval"])
def test_a_changed_score_is_seen(cell: str) -> None:
    first, *others = RUN.records
    scores = (replace(first.outcome.scores[0], value=0.0), *first.outcome.scores[1:])
    changed = replace(first, outcome=replace(first.outcome, scores=scores))
    found = of(replace(RUN, records=(changed, *others)), cell)
    assert found.outcome == "differs"
    assert any(d.startswith(("point: ", "difference: ")) for d in found.differences)


@pytest.mark.parametrize(("factor", "outcome"), [(1.01, "differs"), (1 + 1e-13, "same")])
def test_a_changed_result_is_seen_and_another_machines_last_bit_is_none(
    factor: float, outcome: str
) -> None:
    first, *others = RUN.figures
    point = first.value.point
    assert point is not None
    moved = replace(first, value=replace(first.value, point=factor * point))
    found = of(replace(RUN, figures=(moved, *others)), "quick-lora/alpaca_eval")
    assert found.outcome == outcome
    if outcome == "differs":
        assert found.differences == (
            f"point: results.json has {factor * point:.6g}, the records give {point:.6g}",
        )


def test_lost_records_are_a_difference() -> None:
    found = of(replace(RUN, records=RUN.records[1:]), "quick-lora/alpaca_eval")
    assert any(d.startswith("n: ") for d in found.differences)
    kept = tuple(r for r in RUN.records if (r.model, r.task) != ("smollm2", "sums"))
    for cell in ("smollm2/lm_eval/sums", "quick-lora-smollm2/lm_eval/sums"):
        found = of(replace(RUN, records=kept), cell)
        assert found.outcome == "differs"
        assert "the records do not" in found.differences[0]


def test_figures_that_are_no_means_are_their_benchmarks_affair() -> None:
    key = replace(WIN_RATE, metric="length_controlled")
    own = replace(RUN.figures[0], key=key)
    run = replace(RUN, figures=(*RUN.figures, own))
    answers: dict[str, Callable[[], Sequence[Figure]]] = {
        "same": lambda: [own],
        "differs": lambda: [replace(own, value=replace(own.value, point=41.0))],
        "not recomputed": list,
    }
    found = named("quick-lora/alpaca_eval/length_controlled", [run])
    for outcome, answer in answers.items():

        def extra(
            run: Run,
            model: str,
            benchmark: str,
            answer: Callable[[], Sequence[Figure]] = answer,
        ) -> Sequence[Figure]:
            assert (model, benchmark) == ("quick-lora", "alpaca_eval")
            return answer()

        assert recompute(found, extra).outcome == outcome

    def absent(run: Run, model: str, benchmark: str) -> Sequence[Figure]:
        raise DataError("df_gamed.csv is not here; set EVALKIT_DATA")

    assert "df_gamed.csv is not here" in recompute(found, absent).why
    assert recompute(found).outcome == "not recomputed"


def test_figures_read_from_result_files_are_not_computed() -> None:
    method = Method(Estimator.RECORDED, Interval.STATED, detail="recorded")
    first = RUN.figures[0]
    row = Figure(
        first.model,
        replace(first.key, metric="acc"),
        "percent",
        replace(first.value, method=method),
        Source("arc.json", settings="25 shots"),
    )
    found = of(replace(RUN, figures=(row,)), "quick-lora/alpaca_eval/acc")
    assert found.outcome == "nothing computed"
    assert "not the samples" in found.why


# --- the chain ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("evidence") / "run"
    return stored_run(folder, Plan(published=True))


def test_a_models_figure(run: Run) -> None:
    parts = made("quick-lora/alpaca_eval", [run]).parts
    mine = run.records_of("quick-lora", "alpaca_eval")
    scored = [r.sample for r in mine if r.outcome.scores]
    assert parts["samples"]["ids"] == scored
    assert parts["samples"]["n"] == len(scored) == parts["figure"]["n"]
    lost = parts["samples"]["without_score"]
    assert [row["sample"] for row in lost] == [r.sample for r in mine if not r.outcome.scores]
    assert {row["status"] for row in lost} == {"over_long"}
    prompt = parts["judgments"]["prompt"]
    first = next(r for r in mine if r.outcome.judgments)
    sent = first.outcome.judgments[0].exchanges[0]
    assert prompt["text"] == f"[user]\n{sent.prompt[0].content}"
    assert prompt["sha256"] == hashlib.sha256(prompt["text"].encode()).hexdigest()
    assert prompt["reply"] == sent.reply
    (model,) = parts["models"]
    assert model["fingerprint"] == run.manifest.models[0].fingerprint
    assert model["provenance"]["merge_proof"]["argmax_agreement"] == 1.0
    assert model["first_prompt"]["benchmark"] == "alpaca_eval"
    assert parts["benchmark"]["description"]["data"]["sha256"] == "ab" * 32
    (about,) = parts["runs"]
    assert about["versions"]["evalkit"] == "0.1.0"
    assert about["git_commit"] == run.manifest.git_commit
    data = (run.folder / "records.jsonl").read_bytes()
    assert about["files"]["records.jsonl"] == hashlib.sha256(data).hexdigest()
    assert parts["commands"]["made_the_run"] == ["evalkit run suites/quickstart.yaml"]
    assert parts["commands"]["recompute"][0].startswith("evalkit evidence ")
    assert "published" not in parts


def test_a_difference_has_both_sides_and_a_category_its_own_samples(run: Run) -> None:
    parts = made("quick-lora-smollm2/mt_bench", [run]).parts
    assert [m["name"] for m in parts["models"]] == ["quick-lora", "smollm2"]
    assert {"evalkit evidence", "evalkit compare"} <= {
        " ".join(command.split()[:2]) for command in parts["commands"]["recompute"]
    }
    behind = evidence.records_behind(named("quick-lora-smollm2/mt_bench", [run]), [run])
    assert {r.model for r in behind} == {"quick-lora", "smollm2"}
    behind = evidence.records_behind(named("smollm2/mt_bench/math", [run]), [run])
    assert {r.category for r in behind} == {"math"}
    assert made("smollm2/mt_bench/math", [run]).parts["samples"]["n"] == len(behind) > 0


def test_a_published_figure_has_a_source_and_nothing_computed(run: Run) -> None:
    found = made("claude-2/alpaca_eval", [run])
    assert set(found.parts) == {"figure", "recomputed", "published", "runs", "commands"}
    assert found.parts["published"]["source"] == "https://leaderboard.example, 2023-08-01"
    assert not found.contradicted
    text = "\n".join(screen(evidence.chain_lines(found)))
    assert "nothing was computed: the source says so" in text


def test_it_is_json_and_hostile_text_stays_text() -> None:
    payloads = cycle(("\x1b[31mred", "\u202eback", "a\nb", "\x00", "|<script>", "\x9b"))
    names = ("\x1b]0;x\x07name", "other")
    run = build_run(Plan(models=names, say=lambda s: s + next(payloads)))
    for found in list(evidence.every(run))[:20]:
        made = evidence.chain(found, recompute(found), [run])
        assert json.loads(json.dumps(made.parts)) == made.parts
        for line in screen(evidence.chain_lines(made)):
            assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)


def test_what_speaks_against_a_figure_is_said_with_it(run: Run) -> None:
    for subject in ("quick-lora", "quick-lora-smollm2"):
        for place in ("alpaca_eval/alpaca_eval/win_rate", "mt_bench"):
            found = named(f"{subject}/{place}", [run])
            assert found.cautions[:1] == (LocalJudge("base-judge"),)
            lines = screen(evidence.chain_lines(made(f"{subject}/{place}", [run])))
            assert any("Judged by base-judge: local judge" in line for line in lines)
        for place in ("lm_eval/sums", "alpaca_eval/alpaca_eval/avg_length"):
            assert named(f"{subject}/{place}", [run]).cautions == ()
    assert named("claude-2/alpaca_eval", [run]).cautions == (), "others judged those"
    limited = replace(run, manifest=run.manifest.model_copy(update={"limit": 9}))
    assert Limited(9) in named("quick-lora-smollm2/mt_bench", [limited]).cautions


# --- where an import finds its files ------------------------------------------------------------

UNKNOWN = "a folder that is not known: file names are relative to it"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with result files, beside the present one."""
    for folder in ("there/data", "here"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "there/data/a.json").touch()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "there"


@pytest.mark.parametrize(
    ("command", "folder", "said"),
    [
        ("evalkit import alpaca_eval data/a.json --out out/x", "out/x", "../there"),
        ("evalkit import alpaca_eval data/a.json --out=out/x", "out/x", "../there"),
        ("evalkit import lm_eval data --model m", "reports/import/1a", "../there"),
        ("evalkit import mt_bench data/a.json --answers data/a.json", "reports/i/1a", "../there"),
        ("evalkit import alpaca_eval --outputs=data/a.json data/a.json", "reports/i/1", "../there"),
        ("evalkit import alpaca_eval data/a.json --out out/x", "moved/y", UNKNOWN),
        ("evalkit import alpaca_eval data/gone.json --out out/x", "out/x", UNKNOWN),
        ("evalkit import alpaca_eval data/a.json --outputs data/gone.json", "reports/i/1", UNKNOWN),
        ("evalkit import alpaca_eval /data/a.json", "reports/import/1a", ""),
        ("evalkit run suites/chat.yaml", "reports/chat/1a", ""),
    ],
)
def test_the_folder_in_which_an_import_finds_its_files(
    there: Path, command: str, folder: str, said: str
) -> None:
    assert where_made(replace(RUN, folder=there / folder), command) == said


def test_the_present_folder_is_said_too(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(there)
    command = "evalkit import alpaca_eval data/a.json --out out/x"
    assert where_made(replace(RUN, folder=Path("out/x")), command) == "."
    assert where_made(replace(RUN, folder=Path("elsewhere")), command) == "."
