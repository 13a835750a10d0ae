"""What a card may be held against, what contradicts it, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit import plugins, store, suite
from evalkit.card import audit
from evalkit.card.audit import Evidence
from evalkit.core.figures import Source
from evalkit.core.protocols import DataPlaces
from evalkit.core.specs import Suite
from evalkit.errors import DataError, SuiteError
from tests.support.cli import Command
from tests.support.runs import Plan, stored_run

HERE = Path(__file__).parent


def _load(name: str) -> Suite:
    return suite.load(suite.locate(name), (), plugins)


def held(text: str, evidence: Evidence) -> list[tuple[str, str]]:
    found = audit.audit(audit.parse_card(text), evidence)
    return [(n.stated.text, n.verdict) for n in found.numbers]


ROW = "| Task | n-shot | Metric | Value |\n|---|---|---|---|\n| arc_challenge | {} | {} | {} |\n"


@pytest.mark.parametrize(
    ("title", "shots", "metric", "number", "verdict"),
    [
        ("mine", 25, "acc_norm", "64.25", "confirmed"),
        ("mine", 25, "acc_norm", "0.6425", "confirmed"),
        ("mine", 25, "acc_norm", "64.35", "contradicted"),
        ("org/mine", 25, "acc", "61.75", "contradicted"),
        ("mine", 0, "acc_norm", "64.35", "no evidence"),
        ("mine", "", "acc_norm", "64.35", "differs"),
        ("mine-v2", 25, "acc_norm", "64.35", "no evidence"),
    ],
)
def test_a_result_file_of_that_very_model_with_the_same_settings_contradicts(
    tmp_path: Path, title: str, shots: object, metric: str, number: str, verdict: str
) -> None:
    results = {
        "results": {"arc_challenge": {"acc,none": 0.6075, "acc_norm,none": 0.6425}},
        "configs": {"arc_challenge": {"num_fewshot": 25}},
        "config": {"model_args": "pretrained=org/mine,dtype=bfloat16"},
    }
    file = tmp_path / "results_2024-01-01.json"
    file.write_text(json.dumps(results))
    text = f"# {title}\n\n{ROW.format(shots, metric, number)}"
    assert held(text, audit.gather([file])) == [(number, verdict)]


def test_a_record_of_every_eval_ever_is_evidence(tmp_path: Path) -> None:
    result = {
        "evaluation_name": "arc_challenge",
        "metric_config": {
            "metric_id": "arc_challenge.acc_norm", "metric_name": "acc_norm",
            "metric_parameters": {"num_fewshot": 25}, "min_score": 0, "max_score": 1,
            "lower_is_better": False, "score_type": "continuous",
        },
        "score_details": {"score": 0.6425},
    }  # fmt: skip
    record = {"schema_version": "0.3.0", "model_info": {"name": "mine", "id": "org/mine"},
              "evaluation_results": [result]}  # fmt: skip
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record))
    evidence = audit.gather([file])
    assert held(f"# mine\n\n{ROW.format(25, 'acc_norm', '64.25')}", evidence)[0][1] == "confirmed"
    assert (
        held(f"# mine\n\n{ROW.format(25, 'acc_norm', '65.25')}", evidence)[0][1] == "contradicted"
    )


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
        audit.gather([Path("no-such-suite")], load_suite=_load)


def test_a_suites_published_figures_never_contradict() -> None:
    evidence = audit.gather([Path("notus")], load_suite=_load)
    text = "| Model | MT-Bench |\n|---|---|\n| Starling-7B | 8.09 |\n| GPT-4 | 9.89 |\n"
    assert held(text, evidence) == [("8.09", "confirmed"), ("9.89", "differs")]


def test_damaged_evidence_says_nothing(tmp_path: Path) -> None:
    finding = {"code": "x", "message": "judged twice", "damaged": True}
    entry = {"model": "quick-lora", "entry": "mt_bench", "kind": "mt_bench", "findings": [finding]}
    stored_run(tmp_path / "run", evidence=[entry])
    evidence = audit.gather([tmp_path / "run"])
    known = {(f.model, f.bench) for f in evidence.facts if f.measured}
    assert ("quick-lora", "mt_bench") not in known
    assert ("smollm2", "mt_bench") in known
    assert any("judged twice" in source for source in evidence.sources)
    run = store.load(tmp_path / "run")  # as result files state figures: each with its source
    read = tuple(replace(f, source=Source("results.json")) for f in run.figures)
    evidence = audit.Evidence()
    evidence.add(replace(run, figures=read))
    assert known == {(f.model, f.bench) for f in evidence.facts if f.measured}


def test_samples_decide_claims_and_names_may_be_told(tmp_path: Path) -> None:
    stored_run(tmp_path / "run", Plan(samples=(60, 40, 80), advantage=0.5, local_judge=False))
    evidence = audit.gather([tmp_path / "run"])
    text = audit.parse_card(
        "# Fast 7B\n\nFast 7B beats smollm2 on sums. smollm2 beats Fast 7B on sums."
    )
    assert {c.answer for c in audit.audit(text, evidence).claims} <= {"not checked"}
    said = audit.by_user(["quick-lora"], evidence)
    assert said == {"": "quick-lora"}
    with pytest.raises(DataError, match="no such model"):
        audit.by_user(["nobody"], evidence)
    with pytest.raises(DataError, match="the card has no figures of a model 'else'"):
        audit.audit(text, evidence, {"else": "quick-lora"})


@pytest.mark.data
@pytest.mark.slow
def test_the_judgments_behind_a_published_card(public_data: Path) -> None:
    """Notus against Zephyr: the difference of 0.9 points that its card calls surpassing."""
    folder = public_data / "alpaca_eval" / "annotations" / "alpaca_eval_gpt4"
    files = [folder / f"{name}.json.gz" for name in ("notus-7b-v1", "zephyr-7b-beta")]
    evidence = audit.gather(files, DataPlaces((public_data,)))
    text = (
        "# Notus 7B v1\n\nOur model surpasses zephyr-7b-beta on AlpacaEval 1.\n\n"
        "| Model | AlpacaEval 1 |\n|---|---|\n| notus-7b-v1 | 91.42 |\n| zephyr-7b-beta | 90.60 |\n"
    )
    found = audit.audit(audit.parse_card(text), evidence)
    assert [n.verdict for n in found.numbers] == ["confirmed"] * 2
    (claim,) = found.claims
    assert claim.answer == "consistent"


# --- the command ----------------------------------------------------------------------------------


def test_exit_codes_and_forms(tmp_path: Path, command: Command) -> None:
    figures = ("--evidence", str(HERE / "evidence.yaml"))
    swapped, right = (str(HERE / "cards" / f"{n}.md") for n in ("swapped", "swapped_right"))
    wrong = command("card", "audit", swapped, *figures)
    assert wrong.code == 1
    assert "18 numbers: 10 confirmed, 2 contradicted, 1 differ from published" in wrong.out
    assert command("card", "audit", right, *figures, "--all").code == 0
    data = json.loads(command("card", "audit", swapped, "--json").out)
    assert data["contradicted"]
    shown = command("card", "audit", swapped, *figures, "--markdown").out
    assert shown.count("| contradicted |") == 2
    missing = command("card", "audit", "nowhere.md")
    assert missing.code == 2
    assert "'nowhere.md' does not exist" in missing.err
    (tmp_path / "latin.md").write_bytes("# Modèle".encode("latin-1"))
    assert command("card", "audit", str(tmp_path / "latin.md")).code == 2
