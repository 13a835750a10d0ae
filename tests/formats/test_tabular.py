"""`Run.to_frame`: columns as documented, figures that can be had from rows, missing is missing.

csv, json and parquet hold what it holds, whatever the texts and numbers are; the example notebook
runs on it.

Independent readers: pyarrow's CSV and Parquet readers, Python's json and csv.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import formats, store
from evalkit.core.frames import TABLES, FrameColumn, frame
from evalkit.core.requests import Message
from evalkit.core.run import Run
from evalkit.core.samples import Outcome, Record, Score
from evalkit.errors import ExportError
from evalkit.formats.tabular import TableName
from tests.support.runs import Plan, build_run

TEXT = st.text(st.characters(), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "=cmd",
        "-1",
        '"',
        '""',
        ",",
        "\r",
        "\n",
        "\r\n",
        "NULL",
        "NaN",
        "\ud800",
        "1",
        "true",
    ]
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def exported(run: Run, kind: str, **given_: Any) -> dict[str, bytes]:
    return dict(formats.export([run], formats.settings(kind, given_)).files)


@st.composite
def small_runs(draw: st.DrawFn) -> Run:
    """One model's records with any text anywhere, and any finite score."""
    base = build_run(Plan(samples=(1, 1, 1)))
    records = []
    for number in range(draw(st.integers(0, 4))):
        talk = tuple(Message("user", t) for t in draw(st.lists(TEXT, max_size=2)))
        outcome = Outcome(
            draw(st.sampled_from(["ok", "unparsable", "excluded"])),
            talk,
            answers=tuple(draw(st.lists(TEXT, max_size=2))),
            reference=tuple(draw(st.lists(TEXT, max_size=1))),
            scores=tuple(Score("acc", v) for v in draw(st.lists(FINITE, max_size=1))),
            error=draw(st.none() | TEXT),
        )
        category = draw(st.none() | TEXT)
        records.append(
            Record("m", "lm_eval", "opposites", str(number), category, draw(TEXT), outcome)
        )
    return replace(base, records=tuple(records))


def arrow_type(column: FrameColumn) -> pa.DataType:
    types = {"text": pa.string(), "number": pa.float64(), "whole": pa.int64(), "flag": pa.bool_()}
    return types[column.kind]


def read_csv(content: bytes, what: str) -> pd.DataFrame:
    table = pacsv.read_csv(
        io.BytesIO(content),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types={name: arrow_type(c) for name, c in TABLES[what].items()},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return typed(table.to_pandas(), what)


def typed(found: pd.DataFrame, what: str) -> pd.DataFrame:
    kinds = {"text": "str", "number": "float64", "whole": "int64", "flag": "bool"}
    return found.astype({name: kinds[c.kind] for name, c in TABLES[what].items()})


@given(small_runs(), st.sampled_from(["samples", "scores"]))
def test_csv_gives_the_frame_back(run: Run, what: str) -> None:
    pd.testing.assert_frame_equal(
        read_csv(exported(run, "csv")[f"{what}.csv"], what), run.to_frame(what), check_exact=True
    )


@given(small_runs(), st.sampled_from(["samples", "scores"]))
def test_json_gives_the_frame_back(run: Run, what: str) -> None:
    rows = json.loads(exported(run, "json")[f"{what}.json"])
    found = pd.DataFrame(
        {name: [row[name] for row in rows] for name in TABLES[what]}, columns=list(TABLES[what])
    )
    pd.testing.assert_frame_equal(typed(found, what), run.to_frame(what), check_exact=True)


@given(small_runs(), st.sampled_from(["samples", "scores"]))
@pytest.mark.slow
def test_parquet_gives_the_frame_back(run: Run, what: str) -> None:
    content = exported(run, "parquet")[f"{what}.parquet"]
    found = pd.read_parquet(io.BytesIO(content))
    pd.testing.assert_frame_equal(found, run.to_frame(what), check_exact=True)


@pytest.mark.parametrize("what", TABLES)
def test_every_table_of_a_whole_run_is_the_frame(what: str) -> None:
    run = build_run(Plan(published=True))
    wanted = run.to_frame(what)
    pd.testing.assert_frame_equal(
        read_csv(exported(run, "csv")[f"{what}.csv"], what), wanted, check_exact=True
    )
    content = exported(run, "parquet")[f"{what}.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(content)), wanted, check_exact=True)
    rows = json.loads(exported(run, "json")[f"{what}.json"])
    assert len(rows) == len(wanted)
    assert all(list(row) == list(TABLES[what]) for row in rows)


def test_the_setting_offers_every_table() -> None:
    assert get_args(TableName) == tuple(TABLES)


def test_missing_is_an_empty_cell_and_empty_text_is_quoted() -> None:
    outcome = Outcome("ok", answers=("",))
    record = Record("m", "b", "t", "0", None, "", outcome)
    run = replace(build_run(Plan(samples=(1, 1, 1))), records=(record,))
    names, row = exported(run, "csv")["samples.csv"].decode().split("\r\n")[:2]
    cells = dict(zip(names.split(","), row.split(","), strict=True))
    assert cells["answer"] == '""'
    assert cells["prompt"] == cells["score"] == cells["category"] == ""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＠"])  # noqa: RUF001
def test_formulas_are_defused_where_a_spreadsheet_is_meant(start: str) -> None:
    outcome = Outcome("ok", answers=(f"{start}HYPERLINK(1)", "plain"))
    record = Record("m", "b", "t", "0", None, "", outcome)
    run = replace(build_run(Plan(samples=(1, 1, 1))), records=(record,))
    spec = formats.settings("csv", {"tables": "samples", "spreadsheet": "true"})
    done = formats.export([run], spec)
    (row,) = csv.DictReader(io.StringIO(done.files["samples.csv"].decode(), newline=""))
    assert row["answer"] == f"'{start}HYPERLINK(1)\nplain"
    assert not done.notes
    exact = formats.export([run], formats.settings("csv", {"tables": "samples"}))
    assert "1 cell begins like a formula" in exact.notes[0]


def test_negative_numbers_are_not_taken_for_formulas() -> None:
    run = build_run()
    spec = formats.settings("csv", {"tables": ("comparisons",), "spreadsheet": True})
    table = formats.export([run], spec).files["comparisons.csv"]
    found = read_csv(table, "comparisons")
    assert (found.low < 0).any()
    pd.testing.assert_frame_equal(found, run.to_frame("comparisons"), check_exact=True)


def test_only_csv_is_for_spreadsheets() -> None:
    with pytest.raises(
        ExportError, match="json: spreadsheet belongs to csv, not to json; settings"
    ):
        formats.settings("json", {"spreadsheet": "true"})


def test_only_the_wanted_tables_and_models() -> None:
    run = build_run()
    files = exported(run, "json", tables="estimates,comparisons", models=("smollm2",))
    assert set(files) == {"estimates.json", "comparisons.json", "datapackage.json"}
    assert {row["model"] for row in json.loads(files["estimates.json"])} == {"smollm2"}
    assert {row["baseline"] for row in json.loads(files["comparisons.json"])} == {"smollm2"}


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
@pytest.mark.parametrize("figures_only", [False, True])
def test_datapackage_describes_every_column_of_every_file(kind: str, figures_only: bool) -> None:
    run = build_run()
    files = exported(run, kind, figures_only=figures_only)
    package = json.loads(files["datapackage.json"])
    for resource in package["resources"]:
        assert resource["path"] in files
        wanted = frame([run], resource["name"], figures_only=figures_only)
        fields = resource["schema"]["fields"]
        assert [field["name"] for field in fields] == list(wanted.columns)
        assert all(field["description"] for field in fields)


def test_parquet_columns_carry_their_descriptions() -> None:
    content = exported(build_run(), "parquet")["estimates.parquet"]
    field = pq.read_schema(io.BytesIO(content)).field("n_missing")
    assert field.metadata[b"description"] == b"Scores that should be there and are not."


# --- the frames themselves ----------------------------------------------------------------------


KINDS = {"text": "str", "number": "float64", "whole": "int64", "flag": "bool"}


@pytest.fixture(scope="module")
def run() -> Run:
    return build_run(Plan(published=True))


@pytest.mark.parametrize("what", TABLES)
def test_columns_and_types_are_the_documented_ones(what: str, run: Run) -> None:
    found = run.to_frame(what)
    assert list(found.columns) == list(TABLES[what])
    assert {n: str(t) for n, t in found.dtypes.items()} == {
        name: KINDS[column.kind] for name, column in TABLES[what].items()
    }
    assert len(found) > 0


@pytest.mark.parametrize("what", TABLES)
def test_an_empty_run_has_the_same_columns_and_types(what: str, run: Run) -> None:
    empty = replace(run, records=(), figures=(), comparisons=())
    assert len(empty.to_frame(what)) == 0
    assert empty.to_frame(what).dtypes.equals(run.to_frame(what).dtypes)


@pytest.mark.parametrize("what", TABLES)
def test_every_column_is_described_in_a_sentence(what: str) -> None:
    for name, column in TABLES[what].items():
        assert column.description.endswith("."), name


def test_another_table_lists_those_there_are(run: Run) -> None:
    with pytest.raises(ExportError, match=r"'answers'.*samples, scores, judgments"):
        run.to_frame("answers")


def test_a_row_per_record_score_and_judgment(run: Run) -> None:
    records = run.records
    assert len(run.to_frame()) == len(records)
    assert len(run.to_frame("scores")) == sum(len(r.outcome.scores) for r in records)
    assert len(run.to_frame("judgments")) == sum(len(r.outcome.judgments) for r in records)
    assert len(run.to_frame("estimates")) == len(run.figures)
    assert len(run.to_frame("comparisons")) == len(run.comparisons)


def test_estimates_can_be_had_from_scores(run: Run) -> None:
    """The mean over `scores` is the estimate's point, and so is the weighted one over `samples`."""
    scores, samples = run.to_frame("scores"), run.to_frame()
    figures = run.to_frame("estimates")
    checked = 0
    for row in figures[figures.primary & figures.category.isna() & (figures.n > 0)].itertuples():
        mine = scores[
            (scores.model == row.model) & (scores.task == row.task) & (scores.metric == row.metric)
        ]
        assert mine.score.mean() == pytest.approx(row.point)
        assert len(mine) == row.n
        whole = samples[(samples.model == row.model) & (samples.task == row.task)]
        assert (whole.score * whole.n_scores).sum() / whole.n_scores.sum() == pytest.approx(
            row.point
        )
        assert (whole.n_scores.sum(), whole.n_missing.sum()) == (row.n, row.n_missing)
        checked += 1
    assert checked == 8


def test_what_failed_has_no_score_and_is_never_zero(run: Run) -> None:
    samples = run.to_frame()
    failed = samples[(samples.status != "ok") & (samples.benchmark != "mt_bench")]
    assert len(failed) > 0
    assert failed.score.isna().all()
    assert (failed.n_missing == 1).all()
    assert failed.answer.isna().all()
    assert failed.error.notna().all()
    half = samples[(samples.status == "unparsable") & (samples.benchmark == "mt_bench")]
    assert list(half.n_scores) == [1, 1]
    assert list(half.n_missing) == [1, 1]


def test_an_excluded_sample_enters_no_score(run: Run) -> None:
    first = run.records[0]
    outcome = replace(first.outcome, status="excluded")
    excluded = replace(run, records=(replace(first, outcome=outcome),))
    row = excluded.to_frame().iloc[0]
    assert math.isnan(row.score)
    assert (row.n_scores, row.n_missing) == (0, 1)


def test_undefined_figures_are_nan(run: Run) -> None:
    published = run.to_frame("estimates").query("model == 'claude-2'").iloc[0]
    assert published.point == 91.38
    assert math.isnan(published.standard_error)
    assert math.isnan(published.low)
    assert published.source == "https://leaderboard.example, 2023-08-01"


def test_turns_are_set_apart_and_choices_stand_on_lines(run: Run) -> None:
    samples = run.to_frame()
    turns = samples[samples.benchmark == "mt_bench"].iloc[0]
    assert turns.prompt == "Question 0, turn 1: what follows?\n\nQuestion 0, turn 2: what follows?"
    choices = samples[samples.task == "opposites"].iloc[0]
    assert choices.answer == "cold (-1.20)\nwarm (-3.45)"


def test_votes_are_by_the_order_they_were_given_in(run: Run) -> None:
    pairs = run.to_frame("judgments").query("benchmark == 'alpaca_eval'")
    assert (pairs.vote_first >= pairs.vote_second).all()
    assert ((pairs.vote_first + pairs.vote_second) / 2).tolist() == pytest.approx(
        pairs.value.tolist()
    )
    ratings = run.to_frame("judgments").query("benchmark == 'mt_bench'")
    assert ratings.vote_first.isna().all()
    assert ratings.value.isna().sum() == 2


def test_half_a_surrogate_pair_is_spelled_out(run: Run) -> None:
    first = run.records[0]
    outcome = Outcome("ok", answers=("a\ud800b\udfff😀",))
    broken = replace(run, records=(replace(first, outcome=outcome),))
    assert broken.to_frame().answer[0] == "a⟨U+D800⟩b⟨U+DFFF⟩😀"


def test_figures_only_leaves_out_what_the_columns_say(run: Run) -> None:
    kept = frame([run], "samples", figures_only=True)
    assert set(run.to_frame().columns) - set(kept.columns) == {
        "prompt",
        "answer",
        "reference",
        "error",
    }


def test_several_runs_stand_below_each_other(run: Run) -> None:
    other = replace(run, manifest=run.manifest.model_copy(update={"run_id": "000000000000"}))
    both = frame([run, other], "estimates")
    assert both.run_id.value_counts().to_dict() == {
        "3f2a9c1b7d04": len(run.figures),
        "000000000000": len(run.figures),
    }


# --- the notebook -------------------------------------------------------------------------------


def stored(run: Run, folder: Path) -> None:
    with store.RunStore.open(folder, run.manifest) as written:
        for record in run.records:
            written.append(record)
        results = store.results(run.figures, run.comparisons, "3f2a9c1b7d04")
        written.seal([r.key for r in run.records], run.manifest, results, {})


def cells(repository: Path) -> list[dict[str, Any]]:
    path = repository / "examples" / "notebooks" / "frames.ipynb"
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def shown(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr), "each cell shows something"
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_it_carries_no_output(repository: Path) -> None:
    for cell in cells(repository):
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
    assert len({cell["id"] for cell in cells(repository)}) == len(cells(repository))


@pytest.mark.parametrize("models", [("quick-lora", "smollm2"), ("a", "b", "c"), ("alone",)])
def test_it_runs_on_a_run(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: tuple[str, ...]
) -> None:
    run = build_run(Plan(models=models, published=True), tmp_path)
    stored(run, tmp_path / "reports" / "quickstart" / "3f2a9c1b7d04")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    values = {
        cell["id"]: shown("".join(cell["source"]), names)
        for cell in cells(repository)
        if cell["cell_type"] == "code"
    }
    assert values["load"].folder.name == "3f2a9c1b7d04"
    assert set(values["estimates"].columns) >= set(models)
    assert len(values["comparison"]) == 4 * (len(models) - 1)
    assert all(models[0] in sentence for sentence in values["comparison"])
    assert values["status"].loc[("alpaca_eval", models[0]), "over_long"] == 2
    assert values["judges"].between(0, 1).all()
    for value in values.values():
        assert repr(value)
    if len(models) > 1:
        assert values["samples"].iloc[0] < 0
        assert set(values["worst"].model) == set(models)
