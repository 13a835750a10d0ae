"""Blind voting in Chromium: driven by keys, exported, read again.

Oracles: the run's records for what stands where, `core.votes.drawn` (another implementation of the
page's draw) for the order, pydantic for the file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import TypeAdapter

from evalkit import store
from evalkit.comparison.pairs import judged_pairs, model_pairs
from evalkit.comparison.votes import people
from evalkit.core.run import Run
from evalkit.core.votes import VoteFile, drawn
from tests.report.test_report_hostile import planted
from tests.support.browser import Watched, opened
from tests.support.cli import evalkit
from tests.support.pages import put, until
from tests.support.runs import Plan, build_run, write_run
from tests.support.samples import packed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHOICES = {"1": "first", "2": "second", "3": "tie", "0": "skip"}
ANSWERS = "document.querySelectorAll('.v-answers .side').length"


@pytest.fixture(scope="module")
def judged() -> Run:
    return build_run(Plan(samples=(60, 12, 4)))


@pytest.fixture(scope="module")
def page_file(judged: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(judged, tmp_path_factory.mktemp("page"))


@pytest.fixture
def voting(chromium: Browser, page_file: Path) -> Iterator[Watched]:
    with opened(chromium, page_file, fragment="vote") as watched:
        until(watched.page, ANSWERS)
        yield watched
        assert watched.console == []
        assert watched.foreign == []


def progress(page: Page) -> str:
    return str(page.text_content(".v-progress"))


def shown(page: Page) -> list[str]:
    """All text of the two answers, turn by turn."""
    sides = page.query_selector_all(".v-answers .side")
    return [str(side.text_content()) for side in sides]


def press(page: Page, key: str) -> None:
    """A vote, and the next pair."""
    before = page.evaluate("document.querySelector('.v-answers').firstElementChild")
    assert before is not None
    page.evaluate("document.querySelector('.v-answers').firstElementChild.id = 'old'")
    page.keyboard.press(key)
    until(page, "!document.getElementById('old')")


def exported(page: Page, to: Path | None = None) -> VoteFile:
    """The file the page gives, kept in `to`."""
    with page.expect_download() as download:
        page.keyboard.press("e")
    text = Path(download.value.path()).read_bytes()
    if to is not None:
        to.write_bytes(text)
    return TypeAdapter(VoteFile).validate_json(text, strict=True)


def answers(run: Run, sample: str) -> dict[str, str]:
    """By whose it is, an AlpacaEval answer."""
    records = [r for r in run.records if (r.benchmark, r.sample) == ("alpaca_eval", sample)]
    found = {r.model: r.outcome.answers[0] for r in records}
    return {**found, "reference": records[0].outcome.reference[0]}


@pytest.mark.browser
def test_twenty_votes_are_exported_and_imported(
    voting: Watched, judged: Run, tmp_path: Path
) -> None:
    page = voting.page
    page.fill("[name=voter]", "a1")
    page.keyboard.press("Tab")
    cast: list[tuple[str, list[str]]] = []
    for key in "12301" * 5:
        cast.append((CHOICES[key], shown(page)))
        press(page, key)
    assert progress(page).startswith("20 of ")
    assert "5 skipped" in progress(page)
    file = exported(page, tmp_path / "votes.json")
    assert file.run_id == judged.manifest.run_id
    assert len(file.votes) == 25
    for vote, (choice, texts) in zip(file.votes, cast, strict=True):
        assert (vote.choice, vote.voter, vote.benchmark) == (choice, "a1", "alpaca_eval")
        said = answers(judged, vote.sample)
        assert texts == [f"Answer {i}{said[n]}" for i, n in enumerate((vote.first, vote.second), 1)]
        names = sorted((vote.first, vote.second))
        assert vote.first == names[drawn(file.seed, vote) % 2]
    numbers = [drawn(file.seed, vote) for vote in file.votes]
    assert numbers == sorted(numbers)
    assert len(Counter(vote.first for vote in file.votes)) == 2
    folder = write_run(judged, tmp_path / "run").folder
    assert evalkit(tmp_path, "import", "votes", "votes.json", "run").code == 0
    assert store.load(folder).votes == file.votes
    (row,) = people(replace(judged, votes=file.votes))
    assert (row.n_votes, row.n_pairs, row.n_voters) == (20, 20, 1)


@pytest.mark.browser
def test_it_resumes_in_the_same_browser(voting: Watched) -> None:
    page = voting.page
    for key in "123":
        press(page, key)
    before, place = exported(page), shown(page)
    page.reload()
    until(page, ANSWERS)
    assert progress(page).startswith("3 of ")
    assert shown(page) == place
    assert exported(page) == before


@pytest.mark.browser
def test_the_judges_verdict_and_the_names_are_hidden_until_one_voted(
    voting: Watched, judged: Run
) -> None:
    page = voting.page
    names = ("quick-lora", "smollm2", "reference", "judge")
    for _ in range(6):
        text = str(page.text_content(".v-answers")).lower()
        assert not any(name in text for name in names)
        press(page, "1")
    press(page, "b")
    said = str(page.text_content(".v-answers .note"))
    assert said.startswith("You chose Answer 1. The judge ")
    assert not any(name in said for name in names[:3])
    vote = exported(page).votes[-1]
    (pair,) = (
        p
        for p in judged_pairs(judged)
        if p.place == vote.place and p.preference is not None and p.preference != 0.5
    )
    first = (
        (pair.preference or 0) > 0.5
        if vote.first == pair.record.model
        else (pair.preference or 0) < 0.5
    )
    assert said.endswith(f"The judge chose Answer {1 if first else 2}.")
    press(page, "2")
    assert exported(page).votes[-1].choice == "second"


@pytest.mark.browser
def test_the_last_pair_ends_it_and_back_leads_there(voting: Watched) -> None:
    page = voting.page
    page.select_option("[name=contest]", label="quick-lora and smollm2 (mt_bench)")
    until(page, f"{ANSWERS} === 4")
    page.focus(".v-answers")
    n = int(progress(page).split()[2])
    for _ in range(n):
        press(page, "3")
    assert progress(page) == f"{n} of {n} pairs voted on."
    assert "That was the last pair." in str(page.text_content(".v-answers"))
    assert page.is_disabled("[name=tie]")
    press(page, "b")
    assert "You chose a tie." in str(page.text_content(".v-answers"))
    assert Counter(v.choice for v in exported(page).votes) == {"tie": n}


@pytest.mark.browser
def test_two_turns_of_two_models(voting: Watched, judged: Run) -> None:
    page = voting.page
    label = "quick-lora and smollm2 (mt_bench)"
    page.select_option("[name=contest]", label=label)
    until(page, f"{ANSWERS} === 4")
    texts = shown(page)
    page.focus(".v-answers")
    press(page, "2")
    vote = exported(page).votes[-1]
    records = {
        r.model: r for r in judged.records if r.sample == vote.sample and r.task == "mt_bench"
    }
    said = [records[name].outcome.answers for name in (vote.first, vote.second)]
    assert texts == [f"Answer {i + 1}{said[i][turn]}" for turn in (0, 1) for i in (0, 1)]


@pytest.mark.browser
def test_without_storage_it_says_so_and_works(chromium: Browser, page_file: Path) -> None:
    with opened(chromium, page_file) as watched:
        page = watched.page
        page.add_init_script(
            "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }})"
        )
        page.goto(f"{watched.file}#vote")
        page.reload()
        until(page, ANSWERS)
        press(page, "1")
        assert "remembers nothing" in progress(page)
        assert len(exported(page).votes) == 1
        assert watched.console == []


@pytest.mark.browser
@pytest.mark.parametrize(
    "stored", ["{", "null", '{"seed": 1}', '{"seed":"s","voter":"","votes":[1]}']
)
def test_a_damaged_memory_starts_anew(chromium: Browser, page_file: Path, stored: str) -> None:
    with opened(chromium, page_file) as watched:
        page = watched.page
        page.evaluate("(s) => localStorage.setItem('evalkit votes 3f2a9c1b7d04', s)", stored)
        page.goto(f"{watched.file}#vote")
        until(page, ANSWERS)
        assert progress(page).startswith("0 of ")
        press(page, "1")
        assert len(exported(page).votes) == 1
        assert watched.console == []


@pytest.mark.browser
def test_hostile_answers_are_text(chromium: Browser, tmp_path: Path) -> None:
    with opened(chromium, put(planted(), tmp_path), fragment="vote") as watched:
        page = watched.page
        until(page, ANSWERS)
        for key in "12312":
            press(page, key)
        tags = page.evaluate(
            "[...new Set([...document.querySelectorAll('#vote *')].map(e => e.localName))]"
        )
        assert not {"script", "img", "iframe", "svg", "style", "object"} & set(tags)
        assert len(exported(page).votes) == 5
        assert watched.console == []
        assert watched.foreign == []


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (320, "light")])
def test_axe_finds_nothing_serious(
    chromium: Browser, page_file: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    with opened(chromium, page_file, width=width, fragment="vote", color_scheme=scheme) as watched:
        page = watched.page
        until(page, ANSWERS)
        press(page, "1")
        press(page, "b")
        found = axe.Axe().run(page).response["violations"]
        grave = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in grave] == []
        assert page.evaluate("document.getElementById('vote').scrollWidth") <= width


@pytest.mark.browser
def test_it_is_reached_and_left_by_keys(chromium: Browser, page_file: Path) -> None:
    with opened(chromium, page_file) as watched:
        page = watched.page
        page.focus('.ways a[href="#vote"]')
        page.keyboard.press("Enter")
        until(page, ANSWERS)
        assert page.is_hidden("#main")
        page.keyboard.press("Escape")
        until(page, "document.getElementById('vote').hidden")
        assert page.is_visible("#main")
        assert page.is_hidden("#browser")
        assert watched.console == []


# --- what the page carries ----------------------------------------------------------------------


def test_pairs_are_those_of_compare(judged: Run) -> None:
    page = packed(judged)
    found = {}
    for contest in page.head["contests"]:
        benchmark, task, part, *names = contest["place"]
        for row, verdict in zip(contest["rows"], contest["verdicts"], strict=True):
            place = (benchmark, task, page.head["id"][row], part, frozenset(names))
            found[place] = {"t": 0.5, "n": None}.get(verdict, verdict == "0"), names
    wanted = [*judged_pairs(judged), *model_pairs(judged)]
    wanted = [p for p in wanted if p.has_texts and p.record.benchmark != "lm_eval"]
    assert set(found) == {pair.place for pair in wanted}
    for pair in wanted:
        value, names = found[pair.place]
        if pair.preference in (None, 0.5):
            assert value == pair.preference
        else:
            prefers_model = (pair.preference or 0) > 0.5
            assert value == (prefers_model == (names[0] == pair.record.model))


def test_no_text_is_carried_twice(judged: Run) -> None:
    """The pairs are places: a hundredth of what the samples weigh."""
    head = packed(judged).head
    weight = len(json.dumps(head["contests"]))
    assert weight < sum(len(a) for r in judged.records for a in r.outcome.answers) / 10


def test_a_run_without_judgments_has_nothing_to_vote_on(judged: Run) -> None:
    bare = replace(judged, records=tuple(r for r in judged.records if r.benchmark == "lm_eval"))
    assert packed(bare).head["contests"] == []
