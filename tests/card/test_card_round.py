"""From one run: write, update, audit and export say the same of every figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalkit import card, catalogue, formats, store
from evalkit.card import audit, checks
from evalkit.core import FigureKey, Run
from tests.support.cli import Command
from tests.support.exports import exportable
from tests.support.properties import examples
from tests.support.runs import Plan, build_run, stored_run, with_manifest

PLANS = {
    "plain": Plan(),
    "judged": Plan(seed=5, published=True, local_judge=False),
    "three models": Plan(models=("a-1", "b", "c"), seed=7, local_judge=False),
    "small": Plan(samples=(6, 5, 9), seed=12, published=True),
}


def made(run: Run) -> card.Card:
    material = card.gather([run])
    return card.Card(material, material.candidate)


def values(text: str) -> dict[str, float]:
    """Every value of a card's index, by data set and metric."""
    (model,) = checks.load(checks.split(text).yaml)["model-index"]
    return {
        f"{r['dataset']['type']} {m['type']}": m["value"]
        for r in model["results"]
        for m in r["metrics"]
    }


def exported(run: Run) -> dict[str, float]:
    """Every value of `.eval_results`, by data set."""
    done = formats.export([run], formats.settings("eval_results", {}))
    entries = [e for content in done.files.values() for e in yaml.safe_load(content)]
    return {e["dataset"]["id"]: e["value"] for e in entries}


def audited(text: str, run: Run) -> audit.Audit:
    evidence = audit.Evidence()
    evidence.add(run)
    evidence.runs.append(run)
    return audit.audit(audit.parse_card(text), evidence)


def agree(run: Run) -> None:
    written = made(run)
    text = written.text()
    updated = card.update(text, written)
    assert updated.new == text
    held = audited(text, run)
    assert {n.verdict for n in held.numbers} <= {"confirmed", "no evidence"}
    assert [p for p in held.remarks if p.wrong] == []
    found = values(text)
    for data, value in exported(run).items():
        assert [v for name, v in found.items() if name.startswith(f"{data} ")] == [value]
    in_index = {n.partition(" ")[0] for n in found}
    places = {dataset for dataset, _ in catalogue.on_hub().values()}
    assert in_index & places == set(exported(run))


@pytest.mark.parametrize("name", PLANS)
def test_write_update_audit_and_export_agree(name: str) -> None:
    agree(exportable(PLANS[name]))


@pytest.mark.data
@pytest.mark.slow
def test_of_the_notus_run_too(public_data: Path, tmp_path: Path, command: Command) -> None:
    done = command("run", "notus", "--set", f"data.mirror={public_data}", "--out", "run")
    assert done.code == 0, done.err
    run = store.load(tmp_path / "run")
    agree(run)
    assert round(exported(run)["openai/gsm8k"], 2) == 15.16, "the leaderboard's, as in the index"


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Synthetic runs of any size, judge and names."""
    names = st.sampled_from(
        ["a", "my-adapter", "M 7B (β)", "<!-- x -->", "a|b", "---", "'q\"", "🤗"]
    )
    plan = Plan(
        models=tuple(draw(st.lists(names, min_size=1, max_size=3, unique=True))),
        samples=(draw(st.integers(2, 9)), draw(st.integers(2, 9)), draw(st.integers(2, 9))),
        seed=draw(st.integers(0, 99)),
        published=draw(st.booleans()),
        local_judge=draw(st.booleans()),
    )
    return build_run(plan)


@given(runs())
@examples(25)
def test_a_card_that_was_just_written_is_up_to_date(run: Run) -> None:
    written = made(run)
    text = written.text()
    assert card.update(text, written).new == text


@given(runs(), st.integers(100, 120))
@examples(10)
def test_a_later_run_leaves_nothing_of_the_earlier_one(run: Run, seed: int) -> None:
    plan = Plan(tuple(m.name for m in run.manifest.models), (4, 4, 4), seed, local_judge=False)
    later = made(build_run(plan, Path("later")))
    if later.name == made(run).name:
        new = [checks.split(card.update(made(run).text(), later).new), checks.split(later.text())]
        assert new[0].body == new[1].body
        assert checks.load(new[0].yaml) == checks.load(new[1].yaml)


def test_the_command_writes_what_update_finds(tmp_path: Path, command: Command) -> None:
    stored_run(tmp_path / "run", Plan(samples=(4, 4, 4)))
    assert command("card", "write", "run", "--out", "card.md").code == 0
    before = (tmp_path / "card.md").read_bytes()
    checked = command("card", "update", "card.md", "run", "--check")
    assert (checked.code, checked.out) == (0, "card.md: up to date\n")
    assert command("card", "update", "card.md", "run").code == 0
    assert (tmp_path / "card.md").read_bytes() == before
    assert "judged by base-judge, a model of the same suite" in checked.err


def test_one_of_two_figures_of_the_same_data_is_chosen_for_card_and_export_alike() -> None:
    run = exportable(Plan(seed=3, local_judge=False))
    benchmarks = run.manifest.benchmarks
    again = benchmarks[-1].model_copy(update={"name": "again"})
    halves = [
        replace(f, key=replace(f.key, benchmark="again"), value=replace(f.value, point=half))
        for f in run.figures
        if f.key.benchmark == "lm_eval"
        for half in [f.value.point and f.value.point / 2]
    ]
    both = with_manifest(run, benchmarks=[*benchmarks, again])
    both = replace(both, figures=(*run.figures, *halves))
    key = FigureKey("lm_eval", "gsm8k", "exact_match,strict-match")
    first = next(f.value.point for f in run.figures if (f.model, f.key) == ("quick-lora", key))
    assert values(made(both).text())["openai/gsm8k exact_match"] == first
    done = formats.export([both], formats.settings("eval_results", {}))
    assert exported(both) == {"openai/gsm8k": first}
    assert any("gsm8k exact_match,strict-match" in n and "again" in n for n in done.notes)
    assert any("gsm8k exact_match" in s and "again" in s for s in made(both).index.left_out)
    settings = formats.settings("eval_results", {"only": "again"})
    (content,) = formats.export([both], settings).files.values()
    only = card.gather([both], only=["again"])
    assert first is not None
    assert yaml.safe_load(content)[0]["value"] == first / 2
    assert values(card.Card(only, "x").text())["openai/gsm8k exact_match"] == first / 2


@pytest.mark.parametrize("markers", [True, False])
def test_a_template_without_markers_is_told_of(
    tmp_path: Path, markers: bool, command: Command
) -> None:
    stored_run(tmp_path / "run", Plan(samples=(4, 4, 4)))
    part = "<!-- evalkit:results -->\n\n{{ results }}\n\n<!-- /evalkit:results -->\n"
    body = part if markers else "{{ results }}\n"
    (tmp_path / "t.md").write_text(f"---\n{{{{ front_matter }}}}\n---\n# A\n\n{body}")
    done = command("card", "write", "run", "--template", "t.md", "--out", "card.md")
    assert done.code == 0, done.err
    assert ("the template has no markers" in done.err) == (not markers)
    checked = command("card", "update", "card.md", "run", "--check")
    assert checked.code == (0 if markers else 1)


@pytest.mark.parametrize(
    ("said", "is_named"),
    [
        ("MT-Bench: judged by base-judge, a model of the same suite.", True),
        ("Judged by `my-judge`.", True),
        ("Answers are graded by Prometheus-eval.", True),
        ("Answers are judged by a strong model.", False),
        ("Answers are judged by the judge.", False),
        ("Answers are judged.", False),
    ],
)
def test_a_judge_of_any_name_below_a_table_says_who_judged(said: str, is_named: bool) -> None:
    text = f"# M\n\n| Model | MT-Bench |\n|---|---|\n| M | 7.30 |\n\n<sup>a</sup> {said}\n"
    found = audit.audit(audit.parse_card(text), audit.Evidence())
    remarks = "\n".join(p.message for p in found.remarks)
    assert ("who judged" in remarks) != is_named


def test_evalkits_own_card_is_not_said_to_hide_its_judge() -> None:
    run = build_run()
    held = audited(made(run).text(), run)
    assert not [p for p in held.remarks if "who judged" in p.message]
