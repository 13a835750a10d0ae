"""`evalkit import`, `evalkit data` and the Notus suite, as a user runs them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from evalkit import store
from tests.support.cli import evalkit as run


def evalkit(folder: Path, *arguments: str, mirror: Path | None) -> subprocess.CompletedProcess[str]:
    given = {"EVALKIT_DATA": str(mirror)} if mirror else {}
    done = run(folder, *arguments, EVALKIT_OFFLINE="1", **given)
    return subprocess.CompletedProcess(arguments, done.code, done.out, done.err)


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "instruction": f"Do {n}.",
            "output_1": "reference",
            "generator_1": "text_davinci_003",
            "output_2": f"answer {n}",
            "generator_2": "mine",
            "annotator": "alpaca_eval_gpt4",
            "preference": 1.0 + n % 2,
        }
        for n in range(count)
    ]


def test_an_import_is_an_ordinary_run(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(rows(10)))
    done = evalkit(
        tmp_path, "import", "alpaca_eval", "a.json", "--model", "m", "--out", "run", mirror=None
    )
    assert done.returncode == 0, done.stderr
    assert "damaged: m: 10 instructions were judged" in done.stderr
    run = store.load(tmp_path / "run")
    assert run.manifest.sealed
    assert not run.manifest.publishable
    (rate,) = (f for f in run.figures if f.key.metric == "win_rate")
    assert (rate.model, rate.value.point, rate.value.n) == ("m", 50.0, 10)
    page = (tmp_path / "run" / "report.md").read_text()
    assert "Damaged evidence." in page
    assert "below names each" in page.split("\n## ")[1]
    again = evalkit(tmp_path, "report", "run", mirror=None)
    assert again.returncode == 0
    assert (tmp_path / "run" / "report.md").read_text() == page


def test_two_models_are_compared_and_strict_ends_with_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(rows(12)))
    same = [{**r, "generator_2": "yours"} for r in rows(12)]
    (tmp_path / "b.json").write_text(json.dumps(same))
    done = evalkit(
        tmp_path, "import", "alpaca_eval", "a.json", "b.json", "--strict", "--out", "run",
        mirror=None,
    )  # fmt: skip
    assert done.returncode == 1
    assert "letter for letter" in done.stderr
    run = store.load(tmp_path / "run")
    (pair,) = (c for c in run.comparisons if c.key.metric == "win_rate")
    assert (pair.candidate, pair.baseline, pair.ties) == ("mine", "yours", 12)
    assert pair.difference.point == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mt_bench", "a.json", "--outputs", "a.json"), "--outputs belongs to 'alpaca_eval'"),
        (("alpaca_eval", "gone.json"), "gone.json does not exist"),
        (("lm_eval", "a.json"), "neither results of lm-eval"),
    ],
)
def test_what_cannot_be_imported(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(rows(3)))
    done = evalkit(tmp_path, "import", *arguments, mirror=None)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.data
def test_the_notus_card_is_recomputed(public_data: Path, tmp_path: Path) -> None:
    """The card's own figures (argilla/notus-7b-v1) are the oracle, its swap of two rows aside."""
    done = evalkit(tmp_path, "run", "notus", "--out", "run", mirror=public_data)
    assert done.returncode == 0, done.stderr
    run = store.load(tmp_path / "run")
    found = {(f.model, f.key.benchmark, f.key.metric): f.value for f in run.figures}
    rates = {
        "notus-7b-v1": 91.42,
        "zephyr-7b-beta": 90.60,
        "GPT-4-turbo": 97.70,
        "XwinLM-70B-v0.1": 95.57,
        "GPT-4": 95.28,
        "Tulu-2-DPO-70B": 95.03,
        "LLaMA2-Chat-70B": 92.66,
        "Starling-7B": 91.99,
        "Claude-2": 91.36,
        "Cohere-Command": 90.62,
        "GPT-3.5-turbo": 89.37,
    }
    for model, rate in rates.items():
        assert round(found[model, "alpaca_eval", "win_rate"].point or 0, 2) == rate, model
    averages = {"notus-7b-v1": 52.89, "zephyr-7b-beta": 52.15}
    for model, average in averages.items():
        made = found[model, "open_llm_leaderboard", "average"].point
        assert round(made or 0, 2) == average
    (pair,) = (c for c in run.comparisons if c.key.metric == "win_rate")
    assert round(pair.difference.point or 0, 2) == 0.94
    assert (pair.difference.n, pair.wins, pair.losses) == (802, 39, 31)
    page = (tmp_path / "run" / "report.md").read_text()
    assert "No significant difference on AlpacaEval" in page
    assert "alpaca\\_eval\\_gpt4\\_leaderboard.csv, row 'claude-2'" in page


@pytest.mark.data
def test_the_checked_in_copy_is_what_the_suite_gives(
    public_data: Path, tmp_path: Path, repository: Path
) -> None:
    """Figures only: no question or answer of a data set that may not be passed on."""
    assert evalkit(tmp_path, "run", "notus", "--out", "run", mirror=public_data).returncode == 0
    done = evalkit(tmp_path, "report", "run", "--figures-only", "--out", "copy", mirror=None)
    assert done.returncode == 0, done.stderr
    made = (tmp_path / "copy" / "report.md").read_text()
    kept = (repository / "reports" / "notus-7b-v1" / "report.md").read_text()
    assert _figures(made) == _figures(kept)
    run = store.load(tmp_path / "run")
    texts = [m.content for r in run.records for m in r.outcome.conversation if len(m.content) > 40]
    assert len(texts) > 1000
    assert not [text for text in texts if text[:200] in kept]


def _figures(page: str) -> str:
    """Without what names the machine and its versions."""
    return page.split("## Reproduce", 1)[0]


def test_without_evidence_cells_stay_empty_and_say_so(tmp_path: Path) -> None:
    done = evalkit(tmp_path, "run", "notus", "--out", "run", mirror=None)
    assert done.returncode == 0, done.stderr
    run = store.load(tmp_path / "run")
    assert run.records == ()
    assert not [
        f for f in run.figures if (f.model, f.key.benchmark) == ("notus-7b-v1", "alpaca_eval")
    ]
    page = (tmp_path / "run" / "report.md").read_text()
    assert "cannot be had where this ran" in page
    dash = "\N{EN DASH}"
    assert f"| notus-7b-v1 | {dash} | {dash} |" in page


@pytest.mark.data
def test_pull_makes_a_mirror_that_works_alone(public_data: Path, tmp_path: Path) -> None:
    done = evalkit(tmp_path, "data", "pull", "notus", "--to", "mirror", mirror=public_data)
    assert done.returncode == 0, done.stderr
    alone = evalkit(tmp_path, "run", "notus", "--out", "run", mirror=tmp_path / "mirror")
    assert alone.returncode == 0, alone.stderr
    assert len(store.load(tmp_path / "run").records) == 1610
    again = evalkit(tmp_path, "data", "pull", "notus", "--to", "mirror", "--json", mirror=None)
    assert again.returncode == 0, again.stderr
    assert {row["from"] for row in json.loads(again.stdout)} == {"mirror"}


def test_pull_where_nothing_can_be_had_names_it(tmp_path: Path) -> None:
    done = evalkit(tmp_path, "data", "pull", "notus", "--to", "mirror", mirror=None)
    assert done.returncode == 2
    assert "alpaca_eval/model_outputs/notus-7b-v1" in done.stderr


def test_list_shows_every_data_set(tmp_path: Path) -> None:
    done = evalkit(tmp_path, "data", "list", "--json", mirror=None)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert {row["state"] for row in listed} == {"absent"}
    by_name = {row["name"]: row for row in listed}
    assert by_name["mt_bench/question"]["licence"].startswith("Apache-2.0")
    assert len(listed) > 190
