"""The browser of samples in Chromium: lists and searches against Python's, keys, links, layouts."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest

import evalkit.report
from evalkit.core import Outcome, Record, Score
from evalkit.core.figures import Metric
from evalkit.core.run import BenchmarkEntry, Manifest, ModelEntry, Run, TaskEntry
from evalkit.draw import figure
from evalkit.report.content import sample_link, samples_link
from tests.support.browser import opened
from tests.support.pages import detail, go, listed, put, until
from tests.support.runs import METRICS
from tests.support.samples import judged_run, key_of, texts_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

PRIMARY = {
    task: next(m for m in metrics if m.primary)
    for tasks in METRICS.values()
    for task, metrics in tasks.items()
}
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"sort": "run"},
    {"sort": "best"},
    {"sort": "largest"},
    {"sort": "largest", "pair": "1"},
    {"verdict": "loss"},
    {"verdict": "win", "benchmark": "lm_eval"},
    {"verdict": "tie", "pair": "1"},
    {"verdict": "none", "pair": "1", "task": "opposites"},
    {"benchmark": "mt_bench", "category": "coding"},
    {"task": "sums", "sort": "run"},
    {"status": "failed"},
    {"status": "unparsable"},
    {"status": "ok", "verdict": "none"},
    {"flag": "truncated"},
    {"flag": "orders", "verdict": "win"},
    {"q": "mountain"},
    {"q": "MOUNTAIN  pasta", "sort": "run"},
    {"q": '"is that"'},
    {"q": '"m=0.5" alpaca_eval', "sort": "run"},
    {"q": "ü", "verdict": "loss"},
    {"q": "over_long"},
    {"q": "nowhere at all"},
)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(judged_run(), tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def shared(chromium: Browser, page_file: Path) -> Iterator[Page]:
    """One open page for tests that only change its address."""
    with opened(chromium, page_file) as watched:
        yield watched.page
        assert watched.console == []
        assert watched.foreign == []


# --- the oracle: what Python makes of the run ----------------------------------------------------


class Sample:
    """One sample's records, and how the two models of a pair did on it."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.first = records[0]

    def difference(self, pair: tuple[str, str]) -> float | None:
        metric = PRIMARY[self.first.task]
        a, b = (
            {
                s.part: s.value * metric.scale
                for r in self.records
                if r.model == name
                for s in r.outcome.scores
                if s.metric == metric.name
            }
            for name in pair
        )
        both = [a[part] - b[part] for part in a if part in b]
        return fmean(both) if both else None

    def fits(self, filters: dict[str, str], pair: tuple[str, str]) -> bool:
        outcomes = [r.outcome for r in self.records]
        wanted, statuses = filters.get("status"), {o.status for o in outcomes}
        has_status = bool(statuses - {"ok"}) if wanted == "failed" else wanted in (None, *statuses)
        flags = {
            None: True,
            "truncated": any(o.truncated for o in outcomes),
            "orders": any(
                len({vote > 0.5 for vote in j.votes if vote != 0.5}) == 2
                for o in outcomes
                for j in o.judgments
            ),
        }
        return (
            filters.get("benchmark", self.first.benchmark) == self.first.benchmark
            and filters.get("task", self.first.task) == self.first.task
            and filters.get("category", self.first.category) == self.first.category
            and filters.get("verdict", self.verdict(pair)) == self.verdict(pair)
            and has_status
            and flags[filters.get("flag")]
            and self.says(filters.get("q", ""))
        )

    def verdict(self, pair: tuple[str, str]) -> str:
        d = self.difference(pair)
        return "none" if d is None else "win" if d > 0 else "loss" if d < 0 else "tie"

    def says(self, query: str) -> bool:
        quoted = [part for i, part in enumerate(query.split('"')) if i % 2]
        words = [
            word for i, part in enumerate(query.split('"')) if i % 2 == 0 for word in part.split()
        ]
        text = texts_of(self.records)
        return all(" ".join(term.lower().split()) in text for term in (*quoted, *words))


def expected(run: Run, filters: dict[str, str]) -> list[str]:
    """Keys of the rows that fit, in order."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for r in run.records:
        groups.setdefault((r.benchmark, r.task, r.sample), []).append(r)
    tasks = list(PRIMARY)
    samples = sorted((Sample(g) for g in groups.values()), key=lambda s: tasks.index(s.first.task))
    pair = (("new", "old"), ("new", "older"))[int(filters.get("pair", "0"))]
    largest: dict[str, float] = {}
    for s in samples:
        largest[s.first.task] = max(largest.get(s.first.task, 0), abs(s.difference(pair) or 0))

    def rank(sample: Sample) -> tuple[bool, float]:
        d = sample.difference(pair)
        if filters.get("sort") == "run":
            return (False, 0)
        size = (d or 0) / largest[sample.first.task]
        value = {"best": -size, "largest": -abs(size)}.get(filters.get("sort", ""), size)
        return (d is None, 0 if d is None else value)

    return [key_of(s.first) for s in sorted(samples, key=rank) if s.fits(filters, pair)]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_the_list_is_what_python_finds(shared: Page, filters: dict[str, str]) -> None:
    wanted = expected(judged_run(), filters)
    assert bool(wanted) == (filters.get("q") != "nowhere at all")
    go(shared, samples_link(**filters))
    assert listed(shared) == wanted
    total = len(expected(judged_run(), {}))
    said = shared.text_content(".b-count")
    assert said == (
        f"{total} samples" if len(wanted) == total else f"{len(wanted)} of {total} samples"
    )


def test_controls_and_address_are_one_state(shared: Page) -> None:
    go(shared, "#samples")
    shared.select_option("[name=verdict]", "loss")
    shared.select_option("[name=benchmark]", "mt_bench")
    shared.fill(".b-search", "water")
    until(shared, "location.hash === '#samples&benchmark=mt_bench&verdict=loss&q=water'")
    wanted = {"benchmark": "mt_bench", "verdict": "loss", "q": "water"}
    assert listed(shared) == expected(judged_run(), wanted)
    go(shared, "#samples&category=coding")
    assert shared.input_value("[name=verdict]") == ""
    assert shared.input_value("[name=category]") == "coding"
    shared.click("text=Clear")
    assert shared.evaluate("location.hash") == "#samples"
    assert listed(shared) == expected(judged_run(), {})


# --- one sample ------------------------------------------------------------------------------


def records(task: str, sample: str) -> list[Record]:
    return [r for r in judged_run().records if (r.task, r.sample) == (task, sample)]


@pytest.mark.parametrize(
    ("task", "sample"),
    [("alpaca_eval", "0003"), ("alpaca_eval", "0007"), ("mt_bench", "86"), ("sums", "4/ü")],
)
def test_a_sample_shows_all_that_is_known(shared: Page, task: str, sample: str) -> None:
    found = records(task, sample)
    assert len(found) == 3
    go(shared, sample_link(found[0].benchmark, task, sample))
    text = detail(shared, sample)
    for r in found:
        outcome = r.outcome
        wanted = [r.model, *(m.content for m in outcome.conversation), *outcome.answers]
        wanted += [*outcome.reference, outcome.error or ""]
        for judgment in outcome.judgments:
            wanted += [judgment.judge, judgment.error or ""]
            for exchange in judgment.exchanges:
                wanted += [exchange.reply, *(m.content for m in exchange.prompt)]
        for score in outcome.scores:
            (metric,) = [
                m for t in METRICS.values() for m in t.get(task, ()) if m.name == score.metric
            ]
            wanted.append(figure(score.value * metric.scale, metric.unit))
        assert [part for part in wanted if part not in text] == []
        assert outcome.status == "ok" or outcome.status in text
    assert ("Cut by the token limit." in text) == any(r.outcome.truncated for r in found)


def test_words_that_differ_are_marked(shared: Page) -> None:
    go(shared, sample_link("mt_bench", "mt_bench", "90"))
    detail(shared, "90")
    shared.click(".b-mark")
    until(shared, "document.querySelectorAll('.side mark').length")
    (new, old, _) = records("mt_bench", "90")
    for side, record in ((0, new), (1, old)):
        shown = shared.evaluate(
            "(n) => [...document.querySelectorAll('.b-turn')[0].querySelectorAll('.side')[n]"
            ".querySelectorAll('.side > .words')].map((e) => e.textContent)",
            side,
        )
        assert shown == [record.outcome.answers[0]]
    shared.click(".b-mark")
    until(shared, "document.querySelectorAll('.side mark').length === 0")


def test_words_that_were_searched_are_painted(shared: Page) -> None:
    go(shared, f"{sample_link('mt_bench', 'mt_bench', '90')}&q=what%20%22TURN%202%22")
    detail(shared, "90")
    ranges = "[...(CSS.highlights.get('evalkit-found') ?? [])].map(String)"
    assert {text.lower() for text in until(shared, ranges)} == {"what", "turn 2"}
    assert (shared.title() or "").startswith("Sample 90 · ")
    go(shared, sample_link("mt_bench", "mt_bench", "90"))
    until(shared, f"{ranges}.length === 0")


# --- links -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fragment",
    [
        "sample=lm_eval/sums/4%2F%C3%BC",
        "sample=lm_eval/sums/4%2f%c3%bc",
        "sample=lm_eval/sums/4%2Fü",
        "sample=lm_eval/sums/4%2F%C3%BC&verdict=loss&sort=run",
    ],
)
def test_a_link_opens_its_sample(chromium: Browser, page_file: Path, fragment: str) -> None:
    with opened(chromium, page_file, fragment=fragment) as watched:
        text = detail(watched.page, "4/ü")
        assert "lm-eval" in text
        selected = watched.page.evaluate(
            "document.querySelector('[aria-selected=true]')?.dataset.key"
        )
        fits = "lm_eval/sums/4%2F%C3%BC" in expected(judged_run(), {"verdict": "loss"})
        assert selected == ("lm_eval/sums/4%2F%C3%BC" if "loss" not in fragment or fits else None)
        href = watched.page.get_attribute(".b-link", "href")
        assert href == "#sample=lm_eval/sums/4%2F%C3%BC" == sample_link("lm_eval", "sums", "4/ü")
        assert watched.console == []
        assert watched.foreign == []


def test_back_goes_to_the_list_and_to_the_report(chromium: Browser, page_file: Path) -> None:
    with opened(chromium, page_file) as watched:
        page = watched.page
        page.click("nav >> text=All samples")
        until(page, "document.querySelectorAll('.b-row').length")
        page.click(".b-row >> nth=2")
        until(page, "document.querySelector('.b-detail h3')")
        page.keyboard.press("j")
        page.go_back()
        until(page, "location.hash === '#samples'")
        until(page, "document.querySelector('.b-detail').textContent === 'Choose a sample.'")
        page.go_back()
        until(page, "document.querySelector('#browser').hidden")
        assert page.is_visible("h1")
        assert watched.console == []


def test_an_address_of_nothing_says_so(shared: Page) -> None:
    go(shared, "#sample=no/such/thing")
    said = "document.querySelector('.b-detail').textContent"
    until(shared, f"{said} === 'This run has no sample of that address.'")
    go(shared, "#samples&verdict=__proto__&sort=constructor&nonsense=1&flag=toString&pair=-1")
    assert listed(shared) == expected(judged_run(), {})


# --- keys ------------------------------------------------------------------------------------


def test_keys_alone_do_everything(chromium: Browser, page_file: Path) -> None:
    with opened(chromium, page_file, fragment="samples") as watched:
        page, keys = watched.page, watched.page.keyboard
        until(page, "document.querySelectorAll('.b-row').length")
        order = expected(judged_run(), {})
        chosen = "document.querySelector('[aria-selected=true]')?.dataset.key"
        steps = [("j", 0), ("j", 1), ("ArrowDown", 2), ("k", 1), ("End", len(order) - 1)]
        steps += [("k", len(order) - 2), ("Home", 0), ("ArrowUp", 0)]
        for key, place in steps:
            keys.press(key)
            assert page.evaluate(chosen) == order[place], key
            active = page.get_attribute(".b-list", "aria-activedescendant")
            assert page.get_attribute(f"#{active}", "aria-posinset") == str(place + 1)
        keys.press("Enter")
        assert _focus(page) == "b-detail"
        keys.press("d")
        until(page, "document.querySelectorAll('.side mark').length")
        keys.press("Escape")
        assert _focus(page) == "b-list"
        keys.press("/")
        assert _focus(page) == "b-search"
        keys.type("ü j")
        until(page, "location.hash.endsWith('q=%C3%BC%20j')")
        assert page.evaluate("document.querySelectorAll('.b-row').length") >= 0
        keys.press("Escape")
        until(page, "!location.hash.includes('q=')")
        keys.press("Escape")
        assert _focus(page) == "b-list"
        keys.press("?")
        assert page.is_visible(".b-help")
        keys.press("Escape")
        assert not page.is_visible(".b-help")
        keys.press("Escape")
        until(page, "document.querySelector('#browser').hidden")
        assert watched.console == []


def _focus(page: Page) -> str:
    return str(page.evaluate("document.activeElement.className"))


# --- many rows, small windows, paper, no script ------------------------------------------------


@pytest.mark.slow
def test_few_of_fifty_thousand_rows_are_in_the_document(chromium: Browser, tmp_path: Path) -> None:
    metric = Metric("acc", "percent", 100, primary=True)
    found = [
        Record(
            "m",
            "many",
            "many",
            str(i),
            None,
            "",
            Outcome("ok", scores=(Score("acc", float(i % 2)),)),
        )
        for i in range(50_000)
    ]
    entry = BenchmarkEntry(name="many", tasks={"many": TaskEntry(metrics=(metric,))})
    models = (ModelEntry(name="m", role="candidate"),)
    manifest = Manifest(run_id="0", models=models, benchmarks=(entry,))
    run = Run(tmp_path, manifest, tuple(found), (), ())
    with opened(chromium, put(run, tmp_path), fragment="samples") as watched:
        page = watched.page
        until(page, "document.querySelectorAll('.b-row').length")
        assert page.text_content(".b-count") == "50,000 samples"
        for key in ("Home", "PageDown", "End"):
            page.keyboard.press(key)
            page.wait_for_timeout(50)
            assert page.evaluate("document.querySelectorAll('.b-row').length") < 40
        assert (
            page.evaluate("document.querySelector('[aria-selected=true]').dataset.key")
            == "many/many/49999"
        )
        assert watched.console == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_list_then_the_sample(
    chromium: Browser, page_file: Path, scheme: str
) -> None:
    with opened(
        chromium, page_file, width=390, fragment="samples", color_scheme=scheme, has_touch=True
    ) as watched:
        page = watched.page
        until(page, "document.querySelectorAll('.b-row').length")
        assert not page.is_visible(".b-detail")
        _fits(page)
        page.tap(".b-row >> nth=1")
        until(page, "document.querySelector('.b-detail h3')")
        assert page.is_visible(".b-detail")
        assert not page.is_visible(".b-list")
        _fits(page)
        page.click(".b-mark")
        _fits(page)
        page.tap(".b-back")
        assert page.is_visible(".b-list")
        page.tap(".b-back")
        until(page, "document.querySelector('#browser').hidden")
        _fits(page)
        assert watched.console == []


def _fits(page: Page) -> None:
    wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window
    inner = page.evaluate(
        "[...document.querySelectorAll('.b-detail, .b-list')]"
        ".map((e) => e.scrollWidth - e.clientWidth)"
    )
    assert max(inner) <= 0


def test_paper_shows_the_report_and_says_why_there_is_no_more(shared: Page) -> None:
    go(shared, "#samples")
    shared.emulate_media(media="print")
    assert not shared.is_visible("#browser")
    assert shared.is_visible("h1")
    assert shared.is_visible("text=The samples are not part of the printed page")
    shared.emulate_media(media="screen")
    assert shared.is_visible("#browser")


def test_without_script_the_page_says_so_and_stays_whole(
    chromium: Browser, page_file: Path
) -> None:
    with opened(chromium, page_file, fragment="samples", java_script_enabled=False) as watched:
        assert watched.page.locator("noscript p").is_visible()
        assert watched.page.is_visible("text=Largest changes >> nth=0")
        assert not watched.page.is_visible("#browser")
        assert watched.foreign == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_in_list_and_sample(
    chromium: Browser, page_file: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    for fragment in (
        "samples",
        "sample=mt_bench/mt_bench/86",
        "sample=alpaca_eval/alpaca_eval/0003",
    ):
        with opened(
            chromium, page_file, width=width, fragment=fragment, color_scheme=scheme
        ) as watched:
            until(watched.page, "document.querySelectorAll('.b-row').length")
            if fragment != "samples":
                until(watched.page, "document.querySelector('.b-detail h3')")
                watched.page.keyboard.press("d")
                until(watched.page, "document.querySelector('.b-detail mark')")
            found = axe.Axe().run(watched.page).response["violations"]
            grave = [v for v in found if v["impact"] in ("serious", "critical")]
            where = [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in grave]
            assert where == []


# --- the words that only one of two answers has; oracle: the longest common subsequence ---------

SOURCE = Path(evalkit.report.__file__).parent / "static" / "45_diff.js"
TOKEN = re.compile(r"\s*(?:\w+|[^\s])|\s+$")
EDGES = [
    ("", ""),
    ("", "a"),
    ("a", ""),
    ("same words", "same words"),
    ("a  b", "a b"),
    ("one two three", "three two one"),
    ("line\n\nline", "line\nother"),
    ("don't", "do not"),
    ("漢字かな", "漢字カナ"),
    (" lead", "lead "),
]


def common(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for x in a:
        last = 0
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], last + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def words(text: str) -> list[str]:
    return [token.strip() for token in TOKEN.findall(text)]


def pairs() -> list[tuple[str, str]]:
    rng = random.Random(5)
    found = list(EDGES)
    for _ in range(150):
        alphabet = ["a", "b", "ç", "d,", "e.\n", "ff"][: rng.randint(1, 6)]
        texts = [
            "".join(
                rng.choice(alphabet) + rng.choice((" ", "  ", "\n"))
                for _ in range(rng.randint(0, 14))
            )
            for _ in range(2)
        ]
        found.append((texts[0], texts[1]))
    return found


def compared(chromium: Browser, tmp_path: Path, given: list[tuple[str, str]]) -> list[Any]:
    (tmp_path / "blank.html").write_text("<!doctype html>")
    with opened(chromium, tmp_path / "blank.html") as watched:
        code = (
            f"(pairs) => {{ {SOURCE.read_text()}\nreturn pairs.map(([a, b]) => wordDiff(a, b)); }}"
        )
        found: list[Any] = watched.page.evaluate(code, [list(pair) for pair in given])
        return found


def test_marks_are_the_shortest_edit_script(chromium: Browser, tmp_path: Path) -> None:
    given = pairs()
    for (a, b), found in zip(given, compared(chromium, tmp_path, given), strict=True):
        for text, runs in zip((a, b), found, strict=True):
            assert "".join(run for run, _ in runs) == text
        kept = [words("".join(run for run, only in runs if not only)) for runs in found]
        shared = common(words(a), words(b))
        for text, runs in zip((a, b), found, strict=True):
            marked = sum(len(words(run)) for run, only in runs if only)
            assert marked == len(words(text)) - shared, (a, b)
        assert len(kept[0]) == len(kept[1])


def test_texts_without_a_word_in_common_are_not_forced(chromium: Browser, tmp_path: Path) -> None:
    a = " ".join(f"a{i}" for i in range(4000))
    b = " ".join(f"b{i}" for i in range(4000))
    assert compared(chromium, tmp_path, [(a, b)]) == [None]


# --- split for a web server: what it loads and when, and what it says where it cannot -------------


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a log."""

    def log_message(self, *args: Any) -> None:
        """Nothing."""


class Unpacking(Quiet):
    """A host that says of `.gz` files that they are packed, so that browsers unpack them."""

    def end_headers(self) -> None:
        if self.path.endswith(".gz"):
            self.send_header("Content-Encoding", "gzip")
        super().end_headers()


@contextmanager
def served(folder: Path, handler: type[Quiet] = Quiet) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def visited(browser: Browser, address: str) -> Iterator[tuple[Page, list[str], list[str]]]:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.on("console", lambda m: said.append(m.text))
    page.on("pageerror", lambda e: said.append(str(e)))
    try:
        page.goto(address)
        yield page, asked, said
    finally:
        context.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put(judged_run(), tmp_path, split=True).parent


@pytest.mark.parametrize("handler", [Quiet, Unpacking])
def test_files_are_loaded_when_they_are_wanted(
    chromium: Browser, folder: Path, handler: type[Quiet]
) -> None:
    with served(folder, handler) as root, visited(chromium, root) as (page, asked, said):
        page.wait_for_timeout(200)
        own = [url for url in asked if not url.startswith("data:")]
        assert own == [root]
        page.click("nav >> text=All samples")
        until(page, "document.querySelectorAll('.b-row').length")
        assert len([url for url in asked if "/samples/" in url]) == 1
        page.evaluate(f"location.hash = {sample_link('mt_bench', 'mt_bench', '86')!r}")
        assert "rates it" in detail(page, "86")
        n = len([url for url in asked if "/samples/" in url])
        assert n == 3
        go(page, "#samples&q=mountain")
        assert 0 < len(listed(page)) < 124
        files = {f"{root}{path.relative_to(folder)}" for path in folder.glob("samples/*")}
        assert {url for url in asked if "/samples/" in url} == files
        assert {url.startswith((root, "data:")) for url in asked} == {True}
        assert said == []


def test_from_a_disk_the_page_says_what_to_do(chromium: Browser, folder: Path) -> None:
    with opened(chromium, folder / "index.html", fragment="samples") as watched:
        until(watched.page, "document.querySelector('.browser').classList.contains('b-broken')")
        said = watched.page.text_content(".b-count") or ""
        assert "python -m http.server --bind 127.0.0.1" in said
        assert "without --split" in said
        watched.page.keyboard.press("Escape")
        assert watched.page.is_visible("h1")
        assert watched.console == []
        assert watched.foreign == []


def test_a_folder_that_was_not_copied_whole_says_which_file_lacks(
    chromium: Browser, folder: Path
) -> None:
    for path in folder.glob("samples/*"):
        path.unlink()
    with served(folder) as root, visited(chromium, f"{root}#samples") as (page, _, _):
        until(page, "document.querySelector('.browser').classList.contains('b-broken')")
        said = page.text_content(".b-count") or ""
        assert "could not be loaded (status 404)" in said
        assert "samples/" in said
