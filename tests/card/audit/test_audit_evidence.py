"""What a card may be held against, and that each kind is what its content says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit import card as cards
from evalkit.card import audit
from evalkit.card.audit.evidence import Evidence
from evalkit.card.audit.facts import run_facts
from evalkit.core import Run
from evalkit.core.protocols import DataPlaces
from evalkit.errors import DataError, SuiteError
from evalkit.store import results_json
from tests.support.runs import Plan, build_run


def held(text: str, evidence: Evidence) -> list[tuple[str, str]]:
    found = audit.audit(audit.parse_card(text), evidence)
    return [(n.number.text, n.verdict) for n in found.numbers]


def test_lm_evals_results_given_as_a_file(tmp_path: Path) -> None:
    results = {
        "results": {
            "arc_challenge": {"acc,none": 0.6075, "acc_norm,none": 0.6425, "alias": "arc_challenge"}
        },
        "configs": {"arc_challenge": {"num_fewshot": 25}},
        "config": {"model_args": "pretrained=org/mine,dtype=bfloat16"},
    }
    file = tmp_path / "results_2024-01-01.json"
    file.write_text(json.dumps(results))
    evidence = audit.gather([file])
    table = (
        "| Task | n-shot | Metric | Value |\n|---|---|---|---|\n| arc_challenge | {} | {} | {} |\n"
    )
    title = "# mine\n\n"
    assert held(title + table.format(25, "acc_norm", "64.25"), evidence) == [("64.25", "confirmed")]
    assert held(title + table.format(25, "acc_norm", "64.35"), evidence) == [
        ("64.35", "contradicted")
    ]
    assert held(title + table.format(0, "acc_norm", "64.35"), evidence) == [
        ("64.35", "no evidence")
    ]
    assert held(title + table.format(25, "acc", "60.75"), evidence) == [("60.75", "confirmed")]


def test_results_json_without_its_run(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", Plan())
    file = tmp_path / "results.json"
    found = results_json(run.estimates, run.comparisons, "3f2a9c1b7d04")
    file.write_text(json.dumps(found))
    evidence = audit.gather([file])
    point = next(e.point for e in run.estimates if e.metric == "score" and e.category is None)
    text = f"| Model | MT-Bench |\n|---|---|\n| quick-lora | {point:.2f} |\n"
    assert [verdict for _, verdict in held(text, evidence)] == ["confirmed"]


@pytest.mark.parametrize("content", ['{"a": 1}', "[]", "[1, 2]", "not json", '[{"x": 1}]'])
def test_a_file_that_is_no_evidence_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "odd.json"
    file.write_text(content)
    with pytest.raises(DataError, match=r"odd\.json"):
        audit.gather([file])


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        audit.gather([tmp_path / "none.json"])
    with pytest.raises(SuiteError, match="no suite"):
        audit.gather([Path("no-such-suite")])


def test_a_bundled_suite_may_be_named() -> None:
    evidence = audit.gather([Path("notus")])
    head = "| Model | MT-Bench |\n|---|---|\n"
    text = f"{head}| Starling-7B | 8.09 |\n| GPT-4 | 9.89 |\n"
    assert held(text, evidence) == [("8.09", "confirmed"), ("9.89", "no evidence")]
    quoting = f"{text}| Claude-2 | 8.06 |\n"
    assert held(quoting, evidence)[1] == ("9.89", "contradicted")


def test_damaged_evidence_says_nothing() -> None:
    run = build_run(Path("run"), Plan())
    entry = {
        "model": "quick-lora",
        "entry": "mt_bench",
        "findings": [{"code": "x", "message": "judged twice", "damaged": True}],
    }
    damaged = replace(run, manifest={**run.manifest, "evidence": [entry]})
    known = {(f.model, f.bench) for f in run_facts(damaged)}
    assert ("quick-lora", "mt_bench") not in known
    assert ("smollm2", "mt_bench") in known


@pytest.fixture(scope="module")
def run() -> Run:
    return build_run(Path("run"), Plan(samples=(60, 40, 80), published=True))


def test_a_card_that_evalkit_writes_is_confirmed(run: Run) -> None:
    """The round trip: every figure of a written card, index and tables, is the run's."""
    material = cards.gather([run])
    text = cards.Card(material, material.candidate).text()
    evidence = Evidence([*run_facts(run)], [run], ["run"])
    found = audit.audit(audit.parse_card(text), evidence)
    assert len(found.numbers) > 8
    assert [(n.number.where, n.why) for n in found.numbers if n.verdict != "confirmed"] == []
    assert not [p for p in found.problems if p.wrong]
    assert all(c.answer == "supported" for c in found.claims)


@pytest.mark.data
@pytest.mark.slow
def test_the_judgments_behind_a_published_card(public_data: Path) -> None:
    """Notus against Zephyr: the difference of 0.9 points that its card calls surpassing."""
    folder = public_data / "alpaca_eval" / "annotations" / "alpaca_eval_gpt4"
    files = [folder / f"{name}.json.gz" for name in ("notus-7b-v1", "zephyr-7b-beta")]
    evidence = audit.gather(
        [*files, public_data / "notus" / "lm_eval_harness"], DataPlaces((public_data,))
    )
    text = (
        "# Notus 7B v1\n\nIt surpasses zephyr-7b-beta on AlpacaEval.\n\n"
        "| Model | AlpacaEval 1 | Winogrande (5-shot) |\n|---|---|---|\n"
        "| notus-7b-v1 | 91.42 | 0.745 |\n| zephyr-7b-beta | 90.60 | - |\n"
    )
    found = audit.audit(audit.parse_card(text), evidence)
    assert [n.verdict for n in found.numbers] == ["confirmed"] * 3
    (claim,) = found.claims
    assert claim.answer == "not supported"
    assert "cannot be told apart on AlpacaEval: +0.9 percentage points" in claim.reasons[0]
