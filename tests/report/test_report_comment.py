"""The short form for pull requests: complete in itself, hostile text inert, never too long."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Run
from evalkit.report import comment, render
from evalkit.report.summary import COMMENT_LIMIT, COMMENT_MARKER
from tests.support.github_markdown import Rendered, rendered
from tests.support.properties import examples
from tests.support.runs import Plan, build_run

ALLOWED = {
    *("h3", "p", "strong", "blockquote", "ul", "li", "br"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


def shown(text: str) -> Rendered:
    assert len(text) <= COMMENT_LIMIT
    found = rendered(text)
    assert found.tags <= ALLOWED
    assert found.attributes <= {"align"}
    assert found.comments == [COMMENT_MARKER.removeprefix("<!--").removesuffix("-->")]
    return found


def test_it_says_the_verdict_the_warnings_and_the_table() -> None:
    text = comment(build_run(Path("run"), Plan(limit=24)))
    lines = text.split("\n")
    assert lines[0] == COMMENT_MARKER
    assert lines[2] == "### evalkit: quickstart"
    assert lines[4].startswith("**quick-lora ")
    assert "Limited run." in text
    assert "Weak judge" in text
    found = shown(text)
    assert found.cells[0] == "quick-lora against smollm2"
    assert len(found.cells) == 9 * (1 + 4)
    assert "Left out" not in text


def test_figures_are_those_of_the_run() -> None:
    run = build_run(Path("run"), Plan())
    c = next(c for c in run.comparisons if (c.benchmark, c.metric) == ("alpaca_eval", "win_rate"))
    cells = shown(comment(run)).cells
    row = cells[cells.index("AlpacaEval") :][:9]
    assert c.difference is not None
    assert float(row[3].replace("\N{MINUS SIGN}", "-")) == pytest.approx(c.difference, abs=0.05)
    assert row[6] == str(c.n)
    assert row[7] == f"{c.n_missing_candidate}, {c.n_missing_baseline}"


@pytest.mark.parametrize(("n", "said"), [(1, "1 finding makes"), (5, "5 findings make")])
def test_damage_is_named_in_the_comment_itself(n: int, said: str) -> None:
    """Where the page refers to a section, which a comment has not."""
    findings = [{"message": f"file {i} is cut", "damaged": True} for i in range(n)]
    evidence = [{"model": "quick-lora", "entry": "mt_bench", "findings": findings}]
    run = build_run(Path("run"), Plan())
    text = comment(replace(run, manifest={**run.manifest, "evidence": evidence}))
    printed = " ".join(shown(text).texts)
    assert f"Damaged evidence. {said} recorded figures doubtful: " in printed
    assert "quick-lora, mt_bench: file 0 is cut" in printed
    assert ("and 2 more, which the run's report names." in printed) == (n == 5)
    assert not re.search(r"\bbelow\b|stand with each", printed)


def test_without_a_pair_there_are_the_figures() -> None:
    run = replace(build_run(Path("run"), Plan(models=("a",), published=True)), comparisons=())
    text = comment(run)
    assert "No candidate is compared with a baseline" in text
    assert {"a", "claude-2", "91.38"} <= set(shown(text).cells)


def test_an_unfinished_run_says_so() -> None:
    run = build_run(Path("run"), Plan())
    bare = replace(run, manifest={**run.manifest, "sealed": False}, estimates=(), comparisons=())
    assert "This run is not finished" in comment(bare)


def many(run: Run, times: int) -> Run:
    """The same pair on very many tasks."""
    rows = [
        replace(c, task=f"{c.task} {i}", metric=c.metric)
        for i in range(times)
        for c in run.comparisons
        if c.benchmark == "lm_eval"
    ]
    entries = list(run.manifest["benchmarks"])
    tasks = {
        f"{task} {i}": about for i in range(times) for task, about in entries[2]["tasks"].items()
    }
    entries[2] = {**entries[2], "tasks": tasks}
    return replace(run, manifest={**run.manifest, "benchmarks": entries}, comparisons=tuple(rows))


def test_what_does_not_fit_is_left_out_whole_and_counted() -> None:
    run = many(build_run(Path("run"), Plan()), 600)
    found = shown(comment(run))
    rows = len(found.cells) // 9 - 1
    (said,) = re.findall(r"holds no more: ([\d,]+) rows", "".join(found.texts))
    assert rows + int(said.replace(",", "")) == 1200
    # As many as fit: one more row would be too many.
    longest = max(len(line) for line in comment(run).split("\n") if line.startswith("| lm"))
    assert len(comment(run)) > COMMENT_LIMIT - longest - 10


def test_names_of_any_length_fit() -> None:
    names = ("a&<|" * 30_000, "b")
    text = comment(build_run(Path("run"), Plan(models=names)))
    assert "cannot" in text or "is " in text
    shown(text)


@given(st.text(st.characters(), max_size=40), st.sampled_from(["|", "`", "<b>", "\n", "@x", "*"]))
@examples(30)
def test_hostile_names_stay_text(name: str, mark: str) -> None:
    hostile = f"{name}{mark}"
    plan = Plan(models=(hostile, f"{hostile} 2"), samples=(3, 2, 3), say=lambda s: s + hostile)
    shown(comment(build_run(Path("run"), plan)))


def test_the_long_form_holds_nothing_foreign_on_github() -> None:
    payloads = (
        "<script>x</script>", "a|b\\", "https://e.vil www.e.vil @u #1", "![x](y) [x](y)",
        "```\n~~~\n", "<!-- x", "- a\n- b\n\n# c", "$$x$$ `y` *z*",
    )  # fmt: skip
    turn = iter(range(10**9))
    plan = Plan(
        models=payloads[:4],
        samples=(6, 4, 4),
        published=True,
        say=lambda s: payloads[next(turn) % len(payloads)],
    )
    found = rendered(render(build_run(Path("run"), plan))["report.md"].decode("utf-8"))
    assert found.comments == []
    assert found.tags <= ALLOWED | {"h1", "h2", "h4", "h5", "h6", "hr", "pre", "code", "input"}
