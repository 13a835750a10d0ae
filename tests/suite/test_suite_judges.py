"""What `evalkit check` knows of judges behind APIs: retirement, price, log-probabilities.

Dates: the vendors' deprecation pages, as `engines/_judge_models.py` names them.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from evalkit import plugins, store, suite
from evalkit.engines._judge_models import AS_OF, PAGES, RETIREMENTS, price, retirement
from evalkit.errors import SuiteError

SUITE = """\
name: s
models:
  a: {{role: candidate, path: a, engine: {{type: fake}}}}
judges:
  j: {{type: openai, {judge}}}
benchmarks:
  - {{type: {benchmark}, judge: j}}
"""


@pytest.fixture(autouse=True)
def _at_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def check(folder: Path, judge: str, benchmark: str = "alpaca_eval, version: 1") -> list[str]:
    """Warnings; or, where the suite is wrong, its problems."""
    path = folder / "s.yaml"
    path.write_text(SUITE.format(judge=judge, benchmark=benchmark))
    try:
        found = suite.check(path, (), plugins).warnings
    except SuiteError as error:
        found = tuple(error.problems)
    return [str(one).removeprefix(f"{path}:") for one in found]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("gpt-4-0613", "retired on 2026-10-23 (OpenAI, as of 2026-11-30); use gpt-5.6-sol"),
        ("gpt-4o-2024-08-06", "retires on 2027-01-14 (OpenAI, as of 2026-11-30); use gpt-6-luna"),
        ("gpt-5.1", f"retires on 2027-04-01 (OpenAI, as of 2026-11-30); see {PAGES['openai']}"),
    ],
)
def test_a_judge_that_retires_is_named_with_its_replacement(
    tmp_path: Path, model: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the table's own day: a later one may have passed a date."""
    retired = retirement("openai", model)
    assert retired is not None
    assert said in retired.text(model, AS_OF)
    (found,) = check(tmp_path, f"model: {model}")
    assert found.startswith("5: judges.j.model: ")
    assert f"{retired.on} (OpenAI, as of {AS_OF})" in found
    assert check(tmp_path, f"model: {model}, base_url: 'http://127.0.0.1:1/v1'") == []


def test_the_judges_of_the_bundled_suites_are_there_to_stay() -> None:
    """To 2027-01-14, when the last models before GPT-5 go, and beyond."""
    for path in suite.bundled().values():
        made = suite.check(path, (), plugins).suite
        for judge in made.judges.values():
            vendor, model = judge.model_dump().get("type"), judge.model_dump().get("model", "")
            assert vendor != "openai" or retirement("openai", model) is None


def test_no_replacement_has_retired_when_it_is_needed() -> None:
    for row in RETIREMENTS:
        later = retirement(row.vendor, row.instead)
        assert later is None or later.on > max(row.on, AS_OF)
        if row.instead:
            assert price(row.vendor, row.instead, 1000, 1000) is not None, "genai_prices knows it"
    assert len({(row.vendor, m) for row in RETIREMENTS for m in row.models}) == sum(
        len(row.models) for row in RETIREMENTS
    )
    assert date(2026, 10, 23) in {row.on for row in RETIREMENTS}


def test_an_unknown_price_is_said_and_how_to_give_one(tmp_path: Path) -> None:
    (found,) = check(tmp_path, "model: gpt-77")
    assert "the price of 'gpt-77' is unknown" in found
    assert "write usd_per_million_input_tokens and usd_per_million_output_tokens" in found
    given = "usd_per_million_input_tokens: 1, usd_per_million_output_tokens: 1"
    assert check(tmp_path, f"model: gpt-77, {given}") == []
    (capped,) = check(tmp_path, "model: gpt-77, max_cost_usd: 1")
    assert capped.startswith("5: judges.j.max_cost_usd: needs the price of 'gpt-77'")


@pytest.mark.parametrize(
    ("judge", "benchmark", "write"),
    [
        ("model: gpt-6.1-sol", "alpaca_eval", "`evaluator: alpaca_eval_gpt4`"),
        ("model: gpt-6.1-sol, protocol: logprob", "mt_bench", "`protocol: text`"),
        ("model: gpt-6.1-sol", "alpaca_eval, version: 1", None),
        ("model: gpt-6.1-sol, protocol: text", "alpaca_eval", None),
        ("model: gpt-6.1-sol", "mt_bench", None),
        ("model: gpt-5.2, reasoning_effort: none", "alpaca_eval", None),
        ("model: m, base_url: 'http://127.0.0.1:1/v1'", "alpaca_eval", None),
    ],
)
def test_log_probabilities_that_a_model_does_not_give(
    tmp_path: Path, judge: str, benchmark: str, write: str | None
) -> None:
    found = check(tmp_path, judge, benchmark)
    if write is None:
        assert found == []
    else:
        (said,) = found
        assert said.startswith("7: benchmarks.0.judge: gpt-6.1-sol gives no log-probabilities")
        assert write in said


def test_fields_that_came_later_change_no_runs_name(tmp_path: Path) -> None:
    """Frozen: the suite's part of a run's id, before panels and thoughts."""
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: s\n"
        "models: {a: {role: candidate, path: org/x, engine: {type: fake}}}\n"
        "judges:\n"
        "  j: {type: engine, model: a}\n"
        "  k: {type: openai, model: gpt-4-0613, max_cost_usd: 40}\n"
        "benchmarks: [{type: alpaca_eval, judge: j}, {type: mt_bench, judge: k}]\n"
    )
    assert store.run_id(suite.load(path, (), plugins).decisive()) == "c6b09c9429f0"
