"""The index sorts, runs stand side by side or say why not, and hostile names stay text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from evalkit.compare import Options, compare
from evalkit.core import Estimate
from evalkit.draw import difference
from evalkit.errors import DataError
from evalkit.store import read_run
from evalkit.viewer import Library, Server, serving
from evalkit.viewer.comparing import choose, side_by_side
from evalkit.viewer.found import headline_metrics
from evalkit.viewer.index import index_page
from evalkit.viewer.pages import index_html
from tests.report.test_report_hostile import PAYLOADS
from tests.support.runs import Plan, build_run
from tests.support.stored import seal, stored_run
from tests.viewer.conftest import Ask, asker, session


def models(library: Library, sort: str = "") -> list[str]:
    return [line.model for line in index_page(library.entries(), sort).lines]


@pytest.fixture
def library(reports: Path) -> Library:
    return Library([reports])


def test_newest_first_unless_told(library: Library) -> None:
    assert models(library) == ["tuned-2", "tuned-1"]
    assert models(library, "date") == ["tuned-1", "tuned-2"]
    assert models(library, "model") == ["tuned-1", "tuned-2"]
    assert models(library, "-model") == ["tuned-2", "tuned-1"]
    assert models(library, "no such column") == ["tuned-2", "tuned-1"]


def test_figures_sort_by_value(library: Library) -> None:
    entries = library.entries()
    for i, measure in enumerate(headline_metrics(entries)):
        points = {m: _point(e.figure(m, measure)) for e in entries for m in e.models}
        assert [points[m] for m in models(library, str(i))] == sorted(points.values())
        assert [points[m] for m in models(library, f"-{i}")] == sorted(points.values())[::-1]


def _point(e: Estimate | None) -> float:
    assert e is not None
    assert e.point is not None
    return e.point


def test_what_has_no_figure_comes_last_either_way(library: Library, tmp_path: Path) -> None:
    bare = build_run(Path("x"), Plan(models=("bare",), samples=(12, 0, 4)))
    seal(replace(bare, estimates=(), comparisons=()), tmp_path / "bare")
    both = Library([*library.places, tmp_path / "bare"])
    for sort in ("0", "-0", "date", "-date"):
        assert models(both, sort)[-1] == "bare"


def test_headings_turn_the_order_round(library: Library) -> None:
    page = index_page(library.entries(), "-0")
    chosen = [h for h in page.headings if h.order]
    assert [(h.link, h.order) for h in chosen] == [("0", "descending")]
    assert 'aria-sort="descending"' in index_html(page, library.places)


def test_marks_say_what_must_be_known(tmp_path: Path) -> None:
    def marks(name: str, **manifest: Any) -> tuple[str, ...]:
        stored_run(tmp_path / name, **manifest)
        (entry,) = Library([tmp_path / name]).entries()
        return entry.marks

    assert marks("whole") == ()
    assert marks("limited", limit=5) == ("limited to 5 a task",)
    assert marks("unfit", publishable=False) == ("not publishable",)
    finding = {"code": "x", "message": "y", "damaged": True}
    assert marks("damaged", evidence=[{"findings": [finding]}]) == ("damaged evidence",)
    file = tmp_path / "whole" / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sealed": False}))
    (entry,) = Library([tmp_path / "whole"]).entries()
    assert entry.marks == ("not finished",)


def altered(folder: Path, name: str) -> Path:
    """A sealed run whose results.json somebody edited: one figure of AlpacaEval, 5 points up."""
    run = stored_run(folder / name, Plan(models=(f"tuned-{name}", "base"), samples=(12, 8, 10)))
    file = run.folder / "results.json"
    stored = json.loads(file.read_text(encoding="utf-8"))
    (row,) = (
        e
        for e in stored["estimates"]
        if (e["model"], e["metric"], e["category"]) == (f"tuned-{name}", "win_rate", None)
    )
    row["point"] += 5
    file.write_text(json.dumps(stored), encoding="utf-8")
    return run.folder


def remarks(library: Library) -> dict[str, list[str]]:
    return {m.model: [c.remark for c in m.cells] for m in index_page(library.entries()).lines}


def test_records_that_deny_results_are_damage(tmp_path: Path) -> None:
    """In the index as where an import found it, beside the figures, and side by side."""
    altered(tmp_path, "1")
    stored_run(tmp_path / "2", Plan(models=("tuned-2", "base"), samples=(12, 8, 10), seed=2))
    library = Library([tmp_path])
    entries = library.entries()
    assert [e.marks for e in entries] == [("damaged evidence",), ()]
    first = [m[0] for m in headline_metrics(entries)].index("alpaca_eval")
    found = remarks(library)
    assert [i for i, r in enumerate(found["tuned-1"]) if "damaged evidence" in r] == [first]
    assert not any("damaged" in r for r in found["tuned-2"])
    page = side_by_side(library, choose(entries, [e.slug for e in entries]))
    row = page.figures.rows[first]
    assert "damaged evidence" in row[1].shown
    assert "damaged evidence" not in row[2].shown
    (contest,) = page.contests
    assert any("amaged evidence: tuned-1, alpaca_eval: " in said for said in contest.sentences)
    assert not any("amaged" in cell.shown for r in page.figures.rows[1:] for cell in r)


def test_a_run_that_is_mended_loses_its_mark(tmp_path: Path) -> None:
    folder = altered(tmp_path, "1")
    library = Library([tmp_path])
    assert library.entries()[0].marks == ("damaged evidence",)
    stored_run(folder, Plan(models=("tuned-1", "base"), samples=(12, 8, 10)))
    assert library.entries()[0].marks == ()


def test_records_that_cannot_be_read_are_marked_and_stop_no_index(tmp_path: Path) -> None:
    stored_run(tmp_path / "run")
    (tmp_path / "run" / "records.jsonl").write_text("no record\n", encoding="utf-8")
    (entry,) = Library([tmp_path]).entries()
    assert entry.error == ""
    assert entry.marks == ("unreadable records",)


@pytest.mark.parametrize("local", [True, False])
def test_figures_of_a_weak_judge_are_marked(tmp_path: Path, local: bool) -> None:
    for seed in (1, 2):
        plan = Plan(models=(f"m{seed}", "base"), seed=seed, local_judge=local, published=True)
        stored_run(tmp_path / str(seed), plan)
    library = Library([tmp_path])
    entries = library.entries()
    judged = [m[0] in ("alpaca_eval", "mt_bench") for m in headline_metrics(entries)]
    assert set(judged) == {True, False}
    for found in remarks(library).values():
        assert [r == "weak judge" for r in found] == [local and yes for yes in judged]
    page = side_by_side(library, choose(entries, [e.slug for e in entries]))
    for yes, row in zip(judged, page.figures.rows, strict=True):
        assert all(c.shown.endswith(", weak judge") == (local and yes) for c in row[1:])


def test_a_run_named_twice_is_one(reports: Path) -> None:
    first = reports / "quick" / "first"
    found = Library([reports, first, first / "manifest.json"]).entries()
    assert len(found) == 2


def test_two_runs_side_by_side(library: Library, reports: Path) -> None:
    entries = library.entries()
    sides = choose(entries, [f"{e.slug}:{e.models[0]}" for e in entries])
    page = side_by_side(library, sides)
    (contest,) = page.contests
    assert (contest.candidate, contest.baseline) == ("tuned-2", "tuned-1")
    assert contest.refusals == ()
    runs = [read_run(reports / "quick" / name) for name in ("first", "second")]
    expected = [row for row in compare(runs, "tuned-2", ["tuned-1"], Options()) if row.headline]
    assert contest.table is not None
    shown = [row[2].shown for row in contest.table.rows]
    assert shown == [difference(r.comparison.difference, r.comparison.unit) for r in expected]
    assert list(contest.sentences) == [row.sentence for row in expected]


def test_a_weak_judges_word_is_marked(library: Library, reports: Path, tmp_path: Path) -> None:
    entries = library.entries()
    (contest,) = side_by_side(library, choose(entries, [e.slug for e in entries])).contests
    assert contest.caveat.startswith("AlpacaEval, MT-Bench: judged by a model of the suite.")
    judged = Library([tmp_path])
    for name in ("first", "second"):
        run = read_run(reports / "quick" / name)
        judges = [{**j, "local": False} for j in run.manifest["judges"]]
        seal(run, tmp_path / name, judges=judges)
    entries = judged.entries()
    (contest,) = side_by_side(judged, choose(entries, [e.slug for e in entries])).contests
    assert contest.caveat == ""


def test_the_same_model_of_two_runs_is_told_apart(library: Library) -> None:
    entries = library.entries()
    sides = choose(entries, [f"{e.slug}:base" for e in entries])
    assert [side.label for side in sides] == ["aaaaaaaa:base", "bbbbbbbb:base"]
    (contest,) = side_by_side(library, sides).contests
    assert contest.table is not None


def test_one_benchmark_that_differs_stops_none_of_the_others(
    library: Library, reports: Path, tmp_path: Path
) -> None:
    run = read_run(reports / "quick" / "second")
    entries = [dict(e) for e in run.manifest["benchmarks"]]
    entries[1]["description"] = {**entries[1]["description"], "max_tokens": 9}
    seal(run, tmp_path / "other", run_id="cccccccccccc", benchmarks=entries)
    both = Library([reports / "quick" / "first", tmp_path / "other"])
    found = both.entries()
    page = side_by_side(both, choose(found, [e.slug for e in found]))
    (contest,) = page.contests
    assert contest.table is not None
    assert not any("MT-Bench" in row[0].shown for row in contest.table.rows)
    (refusal,) = contest.refusals
    assert "mt_bench: max_tokens: 9 against 256" in refusal
    assert "--allow-different" not in refusal
    with serving(both) as server:
        text = asker(server)(f"/compare?run={found[0].slug}&run={found[1].slug}").text
        assert "Not comparable." in text


def test_intervals_have_the_level_of_the_baselines_suite(reports: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        run = read_run(reports / "quick" / name)
        report = {**run.manifest["suite"]["report"], "level": 0.8}
        seal(run, tmp_path / name, suite={**run.manifest["suite"], "report": report})
    library = Library([tmp_path])
    entries = library.entries()
    (contest,) = side_by_side(library, choose(entries, [e.slug for e in entries])).contests
    assert contest.table is not None
    assert contest.table.columns[3].label == "80% interval"
    rows = compare(
        [read_run(e.folder) for e in entries], "tuned-2", ["tuned-1"], Options(level=0.8)
    )
    assert contest.table.rows[0][3].value == rows[0].comparison.low


def test_runs_without_a_common_benchmark_say_so(library: Library, tmp_path: Path) -> None:
    run = build_run(Path("x"), Plan(models=("other",), samples=(4, 0, 0)))
    renamed = [{**e, "name": f"my-{e['name']}"} for e in run.manifest["benchmarks"]]
    records = tuple(replace(r, benchmark=f"my-{r.benchmark}") for r in run.records)
    rows = tuple(replace(e, benchmark=f"my-{e.benchmark}") for e in run.estimates)
    changed = replace(run, records=records, estimates=rows, comparisons=())
    seal(changed, tmp_path / "other", benchmarks=renamed)
    both = Library([*library.places, tmp_path / "other"])
    found = both.entries()
    page = side_by_side(both, choose(found, [found[0].slug, found[2].slug]))
    (contest,) = page.contests
    assert contest.table is None
    assert "no benchmark is common" in contest.refusals[0]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([], "0 runs chosen"),
        (["0"], "1 runs chosen"),
        (["0", "0"], "1 runs chosen"),
        (["0", "1", "0:base", "1:base"], "4 runs chosen"),
        (["0", "ffff"], "run 'ffff' is not there"),
        (["0", "1:nobody"], "no model 'nobody'; expected one of: tuned-2, base"),
        (["0", "0:tuned-1"], "are the same"),
    ],
)
def test_choices_that_make_no_comparison(
    library: Library, choices: list[str], message: str
) -> None:
    entries = library.entries()
    slugs = {str(i): e.slug for i, e in enumerate(entries)}
    given = [":".join([slugs.get(c.split(":")[0], c), *c.split(":")[1:]]) for c in choices]
    with pytest.raises(DataError) as caught:
        choose(entries, given)
    assert message in str(caught.value)


def test_the_address_of_a_comparison(ask: Ask, server: Server) -> None:
    first, second = (f"{e.slug}:{e.models[0]}" for e in server.library.entries())
    reply = ask(f"/compare?run={quote(first)}&run={quote(second)}")
    assert reply.status == 200
    assert "tuned-2</bdi> against <bdi>tuned-1" in reply.text
    # Each other side can be made the baseline, by a plain link.
    (link,) = re.findall(r'href="(/compare\?[^"]*)"', reply.text)
    turned = ask(link.replace("&amp;", "&"))
    assert "tuned-1</bdi> against <bdi>tuned-2" in turned.text
    assert ask("/compare").status == 400
    assert "choose two or three" in ask("/compare").text


def test_pages_have_no_script_and_only_their_own_links(ask: Ask, server: Server) -> None:
    first, second = (e.slug for e in server.library.entries())
    for path in ("/", f"/compare?run={first}&run={second}", "/nowhere"):
        text = ask(path).text
        assert "<script" not in text
        assert not re.search(r"\son\w+=", text)
        seen = Seen()
        seen.feed(text)
        assert all(t.startswith(("/runs/", "/?", "/compare")) for t in seen.targets - OURS)


TAGS = {
    *("html", "head", "meta", "title", "link", "style", "body", "header", "main", "footer"),
    *("section", "form", "div", "h1", "h2", "h3", "p", "a", "span", "strong", "code", "bdi"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "input", "button"),
}
OURS = {"/", "data:,", "#main"}
ATTRIBUTES = {
    *("action", "aria-hidden", "aria-label", "aria-labelledby", "aria-sort", "charset", "class"),
    *("colspan", "content", "href", "id", "lang", "method", "name", "rel", "role", "scope"),
    *("tabindex", "title", "type", "value"),
}


class Seen(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.targets: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.targets |= {value or "" for name, value in attrs if name in ("href", "action")}

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    turn = cycle(PAYLOADS[:-1])
    for i, name in enumerate(("a<b>", 'b"&c')):
        plan = Plan(
            models=(PAYLOADS[i], PAYLOADS[i + 2]),
            samples=(6, 4, 4),
            seed=i,
            say=lambda _: next(turn),
        )
        stored_run(tmp_path / name, plan, run_id=PAYLOADS[i + 3])
        session(tmp_path / name, 1_700_000_000 + i)
    with serving(Library([tmp_path])) as server:
        ask = asker(server)
        entries = server.library.entries()
        choices = "&".join(f"run={e.slug}%3A{quote(e.models[0])}" for e in entries)
        for path in ("/", "/?sort=%22%3E%3Cscript%3E", f"/compare?{choices}", "/%3Cscript%3E"):
            text = ask(path).text
            assert "\u202e" not in text
            found = Seen()
            found.feed(text)
            assert found.tags <= TAGS, found.tags - TAGS
            assert found.attributes <= ATTRIBUTES, found.attributes - ATTRIBUTES
            assert all(t.startswith(("/runs/", "/?", "/compare")) for t in found.targets - OURS)
