"""What `card write` makes of runs: index, tables, sentences; and what it refuses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from evalkit import card
from evalkit.card import Material
from evalkit.core import FigureKey, Json, Measured, Run
from evalkit.core.figures import Estimator, Interval, Method
from evalkit.draw import MISSING
from evalkit.errors import CardError
from evalkit.formats.model_index import identity, is_ours
from tests.support.cards import hub_reads
from tests.support.compared import changed
from tests.support.runs import Plan, build_run, with_manifest, with_suite


def made(run: Run) -> card.Card:
    material = card.gather([run])
    return card.Card(material, material.candidate)


@pytest.fixture(scope="module")
def run() -> Run:
    return build_run(Plan(published=True, local_judge=False))


@pytest.fixture(scope="module")
def weak() -> Run:
    """The same, judged by a model of the suite."""
    return build_run(Plan(published=True))


def win_rate(run: Run) -> Measured:
    key = FigureKey("alpaca_eval", "alpaca_eval", "win_rate")
    return next(f.value for f in run.figures if (f.model, f.key) == ("quick-lora", key))


def cells(markdown: str) -> Iterator[list[str]]:
    """Rows of the tables in a text, as an independent reader sees them."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    row: list[str] = []
    for before, token in itertools.pairwise(tokens):
        if token.type == "tr_open":
            row = []
        elif token.type == "inline" and before.type in ("td_open", "th_open"):
            row.append(token.content)
        elif token.type == "tr_close":
            yield row


def test_the_index_survives_the_hubs_own_reader(run: Run) -> None:
    written = made(run)
    written.require_valid()
    read = hub_reads(written.text())
    assert read.data.model_name == "quick-lora"
    assert read.model_index == written.model_index


def test_figures_are_the_runs_unrounded_with_their_uncertainty(run: Run) -> None:
    wanted = win_rate(run)
    (result,) = [r for r in made(run).index.results if r["dataset"]["name"] == "AlpacaEval"]
    (metric,) = result["metrics"]
    assert type(metric["value"]) is float
    assert metric["value"] == wanted.point
    assert metric["args"]["standard_error"] == wanted.standard_error
    assert metric["args"]["interval"] == [wanted.low, wanted.high]
    assert (metric["args"]["n"], metric["args"]["n_missing"]) == (wanted.n, wanted.n_missing)
    assert result["dataset"]["type"] == "tatsu-lab/alpaca_eval"
    assert result["dataset"]["config"] == "alpaca_eval"
    assert is_ours(result)
    assert "source" not in result


def test_a_source_must_be_an_address(run: Run) -> None:
    with pytest.raises(CardError, match="source 'my page': expected an address"):
        card.Card(card.gather([run]), "X", "my page")


def test_every_entry_is_the_only_one_of_its_data_set(run: Run) -> None:
    found = [identity(r) for r in made(run).index.results]
    assert len(found) == len(set(found)) == 4


def test_a_url_becomes_the_source_of_what_was_computed_here(run: Run) -> None:
    material = card.gather([run])
    named = card.Card(material, "X", "https://example.org/run").model_index
    assert {r["source"]["url"] for r in named[0]["results"]} == {"https://example.org/run"}
    assert named[0]["name"] == "X"


def test_the_chat_table_is_sorted_and_marks_what_was_published(run: Run) -> None:
    text = made(run).part("chat")
    head, *rows = cells(text)
    assert head[:4] == [
        "Model",
        "MT-Bench (1 to 10)",
        "AlpacaEval 1 win rate (%)",
        "n",
    ]
    values = [float(row[2].split()[0].split("<")[0]) for row in rows]
    assert values == sorted(values, reverse=True)
    by_name = {row[0]: row for row in rows}
    assert set(by_name) == {"**quick-lora**", "smollm2", "claude-2"}
    assert by_name["claude-2"][2] == "91.38<sup>a</sup>"
    assert "± " in by_name["smollm2"][2]
    assert "<sup>a</sup> Published, not measured here; the sources are listed below" in text
    assert "- Source <https://leaderboard.example>" in made(run).part("results")
    assert "neighbouring rows need not differ significantly" in text
    assert "a model of the same suite" not in text


def test_figures_of_a_weak_judge_are_marked_and_not_in_the_index(weak: Run) -> None:
    written = made(weak)
    assert {r["dataset"]["name"] for r in written.index.results} == {"opposites", "sums"}
    point = f"{win_rate(weak).point:.2f}"
    why = "judged by base-judge, a model of the same suite: figures of such a judge are not publi"
    (said,) = [s for s in written.index.left_out if s.startswith("AlpacaEval 1: ")]
    assert said.startswith(f"AlpacaEval 1: alpaca_eval win_rate {point}: {why}")
    assert any(
        s.startswith("MT-Bench: mt_bench score ") and why in s for s in written.index.left_out
    )
    text = written.part("chat")
    rows = {row[0]: row for row in cells(text)}
    for model in ("**quick-lora**", "smollm2"):
        assert "<sup>b</sup>" in rows[model][1]
        assert "<sup>b</sup>" in rows[model][2]
    assert "<sup>b</sup>" not in rows["claude-2"][2], "someone else's figure"
    assert (
        "</sup> Judged by a model of the same suite, which is not validated against people: "
        "not for publication."
    ) in text


def test_a_judge_is_known_by_the_suite_where_records_are_gone(weak: Run) -> None:
    told = judged(replace(weak, records=()), "mt_bench")
    names = {r["dataset"]["name"] for r in made(told).index.results}
    assert "MT-Bench" not in names
    assert "AlpacaEval" in names, "who judged is not known"


def test_undefined_figures_are_left_out_and_said(run: Run) -> None:
    undefined = Method(Estimator.MEAN, Interval.NONE, detail="no score")
    rows = tuple(
        replace(f, value=Measured(None, None, None, None, 0.95, 0, 0, 8, undefined))
        if (f.model, f.key.task) == ("quick-lora", "sums")
        else f
        for f in run.figures
    )
    written = made(replace(run, figures=rows))
    assert "sums" not in {r["dataset"]["name"] for r in written.index.results}
    assert any(said.startswith("sums ") and "no score" in said for said in written.index.left_out)
    row = next(row for row in cells(written.part("academic")) if row[0] == "**quick-lora**")
    assert row[-1] == MISSING


def test_statements_are_those_of_the_headline_contests_and_a_local_judge_prefers(
    weak: Run,
) -> None:
    said = [str(s).replace("\\", "") for s in made(weak).statements[0]]
    assert len(said) == 4
    judged = [s for s in said if "AlpacaEval" in s or "MT-Bench" in s]
    assert len(judged) == 2
    assert all("local judge, not validated against people" in s for s in judged)
    assert not any("is better than" in s for s in judged)


def test_models_of_several_imports_are_compared_with_each_other(run: Run) -> None:
    both = [m.model_copy(update={"role": "candidate"}) for m in run.manifest.models]
    models = {name: {"role": "candidate"} for name in ("quick-lora", "smollm2")}
    imported = with_suite(with_manifest(run, models=both), models=models)
    said, _ = card.Card(card.gather([imported], "smollm2"), "X").statements
    assert len(said) == 4
    assert all("quick-lora" in sentence for sentence in said)


def test_commands_are_shown_without_this_machines_folders(run: Run) -> None:
    command = "evalkit import lm_eval /home/me/results/a.json '/my data/b' --out=/tmp/x/y ./c/d"
    text = linked_text(made(with_manifest(run, commands=[command])))
    assert "to reproduce: evalkit import lm_eval a.json '/my data/b' --out=y ./c/d (where" in text


def test_columns_of_another_unit_name_it(run: Run) -> None:
    rows = tuple(replace(f, unit="raw") if f.key.task == "sums" else f for f in run.figures)
    head = next(cells(made(replace(run, figures=rows)).part("academic")))
    assert head == ["Model", "opposites, %", "sums"]
    assert "In percent." not in made(replace(run, figures=rows)).part("academic")
    assert "In percent." in made(run).part("academic")


def test_limited_runs_are_refused_or_marked() -> None:
    limited = build_run(Plan(limit=5))
    with pytest.raises(CardError, match=r"(?s)limited to 5 samples.*--allow-unpublishable"):
        card.gather([limited])
    material = card.gather([limited], allow_unpublishable=True)
    written = card.Card(material, "X")
    assert (
        "> **Not for publication: quickstart, run 3f2a9c1b7d04: limited to 5 samples per task.**"
        in written.text()
    )
    assert "Not for publication" in written.part("chat")
    for result in written.index.results:
        assert all(metric["args"]["publishable"] is False for metric in result["metrics"])


def damaged(run: Run) -> Run:
    finding = {"code": "x", "message": "two models share judgments", "damaged": True}
    entry = {"model": "quick-lora", "entry": "alpaca_eval", "kind": "alpaca_eval", "files": [],
             "findings": [finding]}  # fmt: skip
    return with_manifest(run, evidence=[entry], publishable=False)


def test_damaged_evidence_is_refused_with_the_finding(run: Run) -> None:
    with pytest.raises(CardError, match="two models share judgments"):
        card.gather([damaged(run)])


def test_an_unfinished_run_has_no_card(run: Run) -> None:
    open_run = with_manifest(run, sealed=False)
    with pytest.raises(CardError, match="not finished"):
        card.gather([open_run], allow_unpublishable=True)


def only(run: Run, entry: str, folder: str) -> Run:
    """A run of one benchmark, as an import makes it."""
    benchmarks = [b for b in run.manifest.benchmarks if b.name == entry]
    return replace(
        with_manifest(run, benchmarks=benchmarks, run_id=folder),
        folder=Path(folder),
        records=tuple(r for r in run.records if r.benchmark == entry),
        figures=tuple(f for f in run.figures if f.key.benchmark == entry),
        comparisons=tuple(c for c in run.comparisons if c.key.benchmark == entry),
    )


def test_several_runs_make_one_card(run: Run) -> None:
    parts = [only(run, entry, entry) for entry in ("alpaca_eval", "mt_bench", "lm_eval")]
    one, several = card.gather([run]), card.gather(parts)
    tables = [card.Card(material, "X") for material in (one, several)]
    assert tables[0].part("all") == tables[1].part("all")
    assert tables[0].statements == tables[1].statements
    values = [[r["metrics"][0]["value"] for r in t.index.results] for t in tables]
    assert values[0] == values[1]


def test_a_figure_twice_is_refused_unless_it_is_the_same(run: Run) -> None:
    other = build_run(Plan(seed=2), Path("other"), run_id="other")
    with pytest.raises(CardError, match=r"'quick-lora' has .* twice: .* in run, .* in other"):
        card.gather([run, other])
    copied = replace(with_manifest(run, run_id="copy"), folder=Path("copy"))
    assert blocks(card.gather([run, copied])) == blocks(card.gather([run]))


def test_figures_that_were_made_differently_stand_apart(run: Run) -> None:
    other = build_run(Plan(seed=2), Path("other"), run_id="other")
    material = card.gather([run, changed(other, "", max_tokens=512)])
    apart = [b for b in material.blocks if b.entry == "alpaca_eval"]
    assert [b.apart for b in apart] == ["", "max_tokens: 512 against 256"]
    head = next(cells(card.Card(material, "X").part("chat")))
    assert "n of AlpacaEval 1" in head
    assert "AlpacaEval 1 (max\\_tokens: 512 against 256) win rate (%)" in head


def blocks(material: Material) -> list[tuple[str, int]]:
    return [(b.entry, len(b.items)) for b in material.blocks]


def test_a_template_sees_what_is_documented_and_escapes_the_rest(run: Run, tmp_path: Path) -> None:
    template = tmp_path / "card.md"
    template.write_text(
        "{{ model }}|{{ '<b>|' }}|{{ statements|length }}\n{{ chat }}\n{% for s in settings %}"
        "{{ s }}\n{% endfor %}{{ index[0].name }} {{ results }} {{ refused }}",
        encoding="utf-8",
    )
    text = made(run).text(template)
    assert text.startswith("quick-lora|&lt;b&gt;\\||4\n**Chat benchmarks**")


@pytest.mark.parametrize(
    "source",
    [
        "{{ nope }}",
        "{% if %}",
        "{{ model.__class__.__mro__[1] }}",
        "{{ 1 / 0 }}",
        "{% include 'nothing' %}",
        "{% include '../secret' %}",
        "{{ model + 1 }}",
    ],
)
def test_a_wrong_template_is_said(run: Run, tmp_path: Path, source: str) -> None:
    template = tmp_path / "card.md"
    template.write_text(source, encoding="utf-8")
    with pytest.raises(CardError, match=r"card\.md.*it may use model"):
        made(run).text(template)


def test_a_template_may_include_its_neighbours_and_is_checked(run: Run, tmp_path: Path) -> None:
    (tmp_path / "part.md").write_text("part of {{ model }}", encoding="utf-8")
    template = tmp_path / "card.md"
    template.write_text("---\nlicense: mit\n{{ front_matter }}\n---\n{% include 'part.md' %}")
    text = made(run).text(template)
    assert text.endswith("---\npart of quick-lora")
    assert hub_reads(text).model_index == made(run).model_index
    template.write_text("---\n{{ front_matter }}\n- name: another\n  results: []\n---\n")
    with pytest.raises(CardError, match=r"what the template makes .*\n .*2 models"):
        made(run).text(template)


def test_who_and_what_must_be_known(run: Run) -> None:
    with pytest.raises(CardError, match=r"'nobody' has no figures.*quick-lora, smollm2"):
        card.gather([run], "nobody")
    with pytest.raises(CardError, match=r"--only 'x'.*alpaca_eval, mt_bench, lm_eval"):
        card.gather([run], only=["x"])
    with pytest.raises(CardError, match="of tasks with right answers, only of mt_bench"):
        made(only(run, "mt_bench", "m")).part("academic")


def judged(run: Run, entry: str, **spec: Json) -> Run:
    """The run of a suite that says who judges a benchmark, and more of it."""
    benchmarks = [
        b.model_copy(update={"judge": "base-judge"}) if b.name == entry else b
        for b in run.manifest.benchmarks
    ]
    suite = [{"type": entry, "judge": "base-judge", **spec}]
    return with_suite(with_manifest(run, benchmarks=benchmarks), benchmarks=suite)


def test_own_questions_are_not_called_the_benchmarks(run: Run) -> None:
    own = judged(run, "alpaca_eval", data="mine.jsonl")
    written = made(own)
    found = {r["dataset"]["name"]: r["dataset"] for r in written.index.results}
    assert found["AlpacaEval, own questions"] == {
        "name": "AlpacaEval, own questions",
        "type": "unknown",
        "config": "alpaca_eval",
    }
    assert "AlpacaEval 1 (own questions) win rate (%)" in written.part("chat")
    assert "own questions (mine.jsonl), not the public ones" in linked_text(written)


def test_the_judge_is_named_and_a_weak_one_called_so(run: Run, weak: Run) -> None:
    written = made(judged(run, "alpaca_eval"))
    args = next(
        r["metrics"][0]["args"]
        for r in written.index.results
        if r["dataset"]["name"] == "AlpacaEval"
    )
    assert (args["judge"], args["judge_protocol"]) == ("base-judge", "logprob")
    assert "not validated" not in linked_text(written)
    assert (
        "judge base-judge; a model of the same suite, not validated against people"
        in linked_text(made(judged(weak, "alpaca_eval")))
    )


def test_departures_of_the_data_are_said(run: Run) -> None:
    tasks = {"sums": {"shots": 5, "dataset": {"remarks": ["options are older"]}}}
    written = made(changed(run, "", lm_eval="0.4.13", tasks=tasks))
    result = next(r for r in written.index.results if r["dataset"]["name"].startswith("sums"))
    assert result["dataset"]["name"] == "sums (5-shot)"
    assert result["dataset"]["args"] == {"num_few_shot": 5}
    assert result["metrics"][0]["args"]["data_remarks"] == ["options are older"]
    assert result["metrics"][0]["args"]["harness"] == "lm_eval 0.4.13"
    assert "sums: options are older" in linked_text(written)
    assert "sums (5-shot)" in written.part("academic")


def linked_text(written: card.Card) -> str:
    """The card's words, without Markdown's backslashes."""
    return written.part("results").replace("\\", "")
