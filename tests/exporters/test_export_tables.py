"""csv, json and parquet hold what `Run.to_frame` holds, whatever the texts and numbers are.

Independent readers: pyarrow's CSV and Parquet readers, Python's json and csv.
"""

from __future__ import annotations

import csv
import io
import json
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

from evalkit import exporters
from evalkit.core import Message, Outcome, Record, Run, Score
from evalkit.core.columns import TABLES, Column
from evalkit.core.frames import frame
from evalkit.exporters._tables import TableName
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
    return dict(exporters.export([run], exporters.settings(kind, given_), kind).files)


@st.composite
def small_runs(draw: st.DrawFn) -> Run:
    """One model's records with any text anywhere, and any finite score."""
    base = build_run(Path("r"), Plan(samples=(1, 1, 1)))
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


def arrow_type(column: Column) -> pa.DataType:
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
def test_parquet_gives_the_frame_back(run: Run, what: str) -> None:
    content = exported(run, "parquet")[f"{what}.parquet"]
    found = pd.read_parquet(io.BytesIO(content))
    pd.testing.assert_frame_equal(found, run.to_frame(what), check_exact=True)


@pytest.mark.parametrize("what", TABLES)
def test_every_table_of_a_whole_run_is_the_frame(what: str) -> None:
    run = build_run(Path("r"), Plan(published=True))
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
    run = replace(build_run(Path("r"), Plan(samples=(1, 1, 1))), records=(record,))
    names, row = exported(run, "csv")["samples.csv"].decode().split("\r\n")[:2]
    cells = dict(zip(names.split(","), row.split(","), strict=True))
    assert cells["answer"] == '""'
    assert cells["prompt"] == cells["score"] == cells["category"] == ""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＠"])  # noqa: RUF001
def test_formulas_are_defused_where_a_spreadsheet_is_meant(start: str) -> None:
    outcome = Outcome("ok", answers=(f"{start}HYPERLINK(1)", "plain"))
    record = Record("m", "b", "t", "0", None, "", outcome)
    run = replace(build_run(Path("r"), Plan(samples=(1, 1, 1))), records=(record,))
    spec = exporters.settings("csv", {"tables": "samples", "spreadsheet": "true"})
    done = exporters.export([run], spec, "csv")
    (row,) = csv.DictReader(io.StringIO(done.files["samples.csv"].decode(), newline=""))
    assert row["answer"] == f"'{start}HYPERLINK(1)\nplain"
    assert not done.notes
    exact = exporters.export([run], exporters.settings("csv", {"tables": "samples"}), "csv")
    assert "1 cell begins like a formula" in exact.notes[0]


def test_negative_numbers_are_not_taken_for_formulas() -> None:
    run = build_run(Path("r"))
    spec = exporters.settings("csv", {"tables": ("comparisons",), "spreadsheet": True})
    table = exporters.export([run], spec, "csv").files["comparisons.csv"]
    found = read_csv(table, "comparisons")
    assert (found.low < 0).any()
    pd.testing.assert_frame_equal(found, run.to_frame("comparisons"), check_exact=True)


def test_only_the_wanted_tables_and_models() -> None:
    run = build_run(Path("r"))
    files = exported(run, "json", tables="estimates,comparisons", models=("smollm2",))
    assert set(files) == {"estimates.json", "comparisons.json", "datapackage.json"}
    assert {row["model"] for row in json.loads(files["estimates.json"])} == {"smollm2"}
    assert {row["baseline"] for row in json.loads(files["comparisons.json"])} == {"smollm2"}


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
@pytest.mark.parametrize("figures_only", [False, True])
def test_datapackage_describes_every_column_of_every_file(kind: str, figures_only: bool) -> None:
    run = build_run(Path("r"))
    files = exported(run, kind, figures_only=figures_only)
    package = json.loads(files["datapackage.json"])
    for resource in package["resources"]:
        assert resource["path"] in files
        wanted = frame([run], resource["name"], figures_only=figures_only)
        fields = resource["schema"]["fields"]
        assert [field["name"] for field in fields] == list(wanted.columns)
        assert all(field["description"] for field in fields)


def test_parquet_columns_carry_their_descriptions() -> None:
    content = exported(build_run(Path("r")), "parquet")["estimates.parquet"]
    field = pq.read_schema(io.BytesIO(content)).field("n_missing")
    assert field.metadata[b"description"] == b"Scores that should be there and are not."
