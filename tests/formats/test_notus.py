"""Exports of the Notus suite, recomputed from public evidence, against figures that were published.

Oracles: AlpacaEval's leaderboard (`notus-7b-v1` 91.4179, `zephyr-7b-beta` 90.5978, n 804 and 803)
and the averages argilla printed for lm-eval (GSM8K 39.50).
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import evalkit
from evalkit import formats
from evalkit.core.evidence import ImportOptions
from evalkit.core.protocols import DataPlaces
from evalkit.core.run import Run
from evalkit.formats import lm_eval

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(public_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    assert public_data.is_dir()
    folder = tmp_path_factory.mktemp("notus")
    with contextlib.chdir(folder):
        return evalkit.run("notus", out=folder / "run")


def files(run: Run, kind: str, **settings: Any) -> dict[str, bytes]:
    return dict(formats.export([run], formats.settings(kind, settings)).files)


def test_win_rates_are_means_of_the_samples(run: Run) -> None:
    samples = pd.read_parquet(io.BytesIO(files(run, "parquet")["samples.parquet"]))
    by_model = samples.groupby("model").score
    assert by_model.mean().round(4).to_dict() == {
        "notus-7b-v1": 91.4179,
        "zephyr-7b-beta": 90.5978,
    }
    assert by_model.count().to_dict() == {"notus-7b-v1": 804, "zephyr-7b-beta": 803}
    assert by_model.sem().round(4).to_dict() == {"notus-7b-v1": 0.9884, "zephyr-7b-beta": 1.0287}


def test_the_difference_is_the_mean_of_the_pairs(run: Run) -> None:
    scores = run.to_frame("scores").query("primary")
    wide = scores.pivot_table(index="sample", columns="model", values="score").dropna()
    pairs = wide["notus-7b-v1"] - wide["zephyr-7b-beta"]
    (row,) = run.to_frame("comparisons").query("primary").itertuples()
    assert (len(pairs), (pairs > 0).sum(), (pairs < 0).sum()) == (802, 39, 31)
    assert (row.n, row.wins, row.losses) == (802, 39, 31)
    assert pairs.mean() == pytest.approx(row.difference)
    assert pairs.sem() == pytest.approx(row.standard_error)


def test_every_answer_is_beside_its_reference_for_review(run: Run) -> None:
    rows = json.loads(files(run, "argilla")["records.json"])
    assert len(rows) == 1610
    assert sum(not row["suggestions"] for row in rows) == 3, "not judged"
    assert {row["metadata"]["compared_with"] for row in rows} == {"text_davinci_003"}


def test_recorded_lm_eval_figures_come_back(run: Run, tmp_path: Path) -> None:
    (written,) = files(run, "lm_eval").items()
    path = tmp_path / "results.json"
    path.write_bytes(written[1])
    (back,) = lm_eval.read([path], ImportOptions((), None, (), DataPlaces(), 0.95))
    assert back.model == "notus-7b-v1"
    found = {(f.key.task, f.key.metric): f.value for f in back.figures}
    own = [f for f in run.figures if f.key.benchmark == "notus-lm-eval"]
    for f in (f for f in own if f.key.task != "open_llm_leaderboard"):
        again = found[f.key.task, f.key.metric]
        assert again.point == pytest.approx(f.value.point)
        assert again.n == f.value.n
    assert round(found["gsm8k", "exact_match,get-answer"].point or 0, 2) == 39.50


def test_gsm8k_is_what_the_hub_has_a_leaderboard_for(run: Run) -> None:
    ((name, content),) = files(run, "eval_results").items()
    assert name == ".eval_results/gsm8k.yaml"
    (entry,) = yaml.safe_load(content)
    assert entry["dataset"] == {"id": "openai/gsm8k", "task_id": "gsm8k"}
    assert round(entry["value"], 2) == 15.16, "the leaderboard's, which comes first in the suite"
    assert entry["source"]["name"] == "Open LLM Leaderboard"
    assert "results_2023-11-29" in entry["source"]["url"]
    assert entry["date"] == "2023-11-29"
    assert "published by others, not measured here" in entry["notes"]
    ((_, content),) = files(run, "eval_results", only="notus-lm-eval").items()
    (entry,) = yaml.safe_load(content)
    assert round(entry["value"], 2) == 39.50
    assert "source" not in entry
    assert "n = 1,319" in entry["notes"]
