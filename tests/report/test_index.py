"""The index of runs and its server: what it shows, to whom, and against those who mean harm.

Requests are written byte by byte, as no client library would; folders are as an attacker who got
one into `reports/` would leave them.
"""

from __future__ import annotations

import copy
import http.client
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from evalkit import report, store
from evalkit.cli.read import report as command
from evalkit.comparison.contests import Options, contests
from evalkit.draw import contest_sentence
from evalkit.report.serve import Library, Server
from tests.report.conftest import rows_of
from tests.report.test_report_hostile import PAYLOADS
from tests.support.properties import examples
from tests.support.runs import Plan, stored_run

SMALL = Plan(samples=(3, 2, 2))
DASH = "\N{EN DASH}"


@contextmanager
def serving(library: Library) -> Iterator[Server]:
    """A server that answers in the background until the block ends."""
    with Server(library) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """reports/quick/first and /second: other candidates, the same samples; the second is newer."""
    folder = tmp_path_factory.mktemp("index") / "reports"
    for i, name in enumerate(("first", "second"), 1):
        plan = Plan(
            models=(f"tuned-{i}", "base"), samples=(12, 8, 10), seed=i, limit=12 if i == 1 else None
        )
        stored_run(folder / "quick" / name, plan, run_id="ab"[i - 1] * 12)
        line = json.dumps({"started": 1_700_000_000 + 90_000 * i, "ended": "finished"})
        (folder / "quick" / name / "sessions.jsonl").write_text(line + "\n", encoding="utf-8")
    return folder


# --- the page -----------------------------------------------------------------------------------


def index_rows(html: str) -> list[list[str]]:
    page = BeautifulSoup(html, "html.parser")
    return list(rows_of(page.select("table")[0]))


def test_every_run_has_its_headline_rows_the_newest_first(reports: Path) -> None:
    found = list(report.entries([reports]))
    html = report.index_page(found, lambda entry: f"x/{entry.run_id}", [reports])
    rows = index_rows(html)
    assert [row[0] for row in rows] == ["b" * 12] * 4 + ["a" * 12] * 4
    run = store.load(reports / "quick" / "second")
    first = rows[0]
    key = run.headlines[0]
    figure = run.figure("tuned-2", key)
    c = next(c for c in run.comparisons if c.key == key)
    assert figure is not None
    assert c.difference.point is not None
    assert first[1:3] == ["quickstart", "2023-11-17 00:13"]
    assert first[4:8] == ["tuned-2", "AlpacaEval", f"{figure.value.point:.2f}", "base"]
    gap = f"{c.difference.point:+.1f}".replace("-", "\N{MINUS SIGN}")
    assert first[8] == gap
    assert "limited to 12 samples per task" in rows[4][3]
    assert rows[0][3] == ""
    assert 'href="x/bbbbbbbbbbbb"' in html
    assert html == report.index_page(found, lambda entry: f"x/{entry.run_id}", [reports])


def test_a_run_without_a_pair_or_without_figures_has_a_row_too(tmp_path: Path) -> None:
    stored_run(tmp_path / "alone", Plan(models=("only",), samples=(3, 2, 2), published=True))
    stored_run(tmp_path / "begun", SMALL, run_id="cccccccccccc")
    manifest = json.loads((tmp_path / "begun" / "manifest.json").read_text())
    del manifest["sealed"]
    (tmp_path / "begun" / "manifest.json").write_text(json.dumps(manifest))
    rows = index_rows(report.index_page(list(report.entries([tmp_path])), lambda _: "", [tmp_path]))
    begun = [row for row in rows if row[0] == "cccccccccccc"]
    assert len(begun) == 1
    assert begun[0][3].startswith("not finished")
    assert begun[0][5:] == ["", DASH, "", DASH, DASH, DASH]
    alone = [row for row in rows if row[4] == "only"]
    assert [row[5] for row in alone][:2] == ["AlpacaEval", "MT-Bench"]
    assert {row[8] for row in alone} == {DASH}


def test_the_command_writes_an_index_that_links_to_reports(reports: Path, tmp_path: Path) -> None:
    place = tmp_path / "my #1 runs"
    stored_run(place / "a b" / "run%1", SMALL)
    stored_run(place / "bare", SMALL)
    run = place / "a b" / "run%1"
    assert CliRunner().invoke(command, [str(run)]).exit_code == 0
    done = CliRunner().invoke(command, [str(place), "--index"])
    assert done.exit_code == 0, done.output
    assert "1 run has no report to link to" in done.stderr
    html = (place / "index.html").read_text(encoding="utf-8")
    links = {a["href"] for a in BeautifulSoup(html, "html.parser").select("td a, th a")}
    assert links == {"a%20b/run%251/index.html"}
    wrong = CliRunner().invoke(command, [str(run), "--index"])
    assert "is not a folder of runs" in str(wrong.exception)


def test_runs_side_by_side_are_one_page(reports: Path) -> None:
    runs = [store.load(reports / "quick" / name) for name in ("first", "second")]
    found = contests(runs, "second:tuned-2", ["first:tuned-1"], Options())
    figures = [f for run in runs for f in run.figures if f.key in run.headlines]
    html = report.comparison_page(found, figures=figures, notes=["Not this <one>."])
    page = BeautifulSoup(html, "html.parser")
    assert page.h1 is not None
    assert page.h1.get_text() == "second:tuned-2 against first:tuned-1"
    headline = [c for c in found if c.family == "headline"]
    said = [li.get_text().partition(" ")[2] for li in page.select("ul.statements li")]
    assert said == [contest_sentence(c) for c in headline]
    assert page.select("svg.difference")
    assert "Not this <one>." in page.get_text()
    assert not page.find_all(["script", "one"])


# --- requests -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


Ask = Callable[..., Reply]


@pytest.fixture(scope="session")
def server(reports: Path) -> Iterator[Server]:
    with serving(Library([reports])) as found:
        yield found


def asker(server: Server) -> Ask:
    def ask(path: str, method: str = "GET", **headers: str) -> Reply:
        """`headers` with underscores for dashes; `host` replaces the right one."""
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        sent.setdefault("host", f"127.0.0.1:{server.server_port}")
        for name, value in sent.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders()
        found = connection.getresponse()
        body = found.read()
        connection.close()
        return Reply(found.status, {k.lower(): v for k, v in found.getheaders()}, body)

    return ask


@pytest.fixture
def ask(server: Server) -> Ask:
    """Sends one request, as it stands."""
    return asker(server)


def slug_of(server: Server, name: str) -> str:
    return next(e.slug for e in server.library.entries() if e.folder.name == name)


def checked(reply: Reply) -> Reply:
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    for name in ("x-frame-options", "referrer-policy", "cache-control"):
        assert name in reply.headers
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["server"].strip() == "evalkit"
    return reply


def test_the_index_and_every_report_and_nothing_is_written(
    ask: Ask, server: Server, reports: Path
) -> None:
    before = sorted(reports.rglob("*"))
    index = checked(ask("/"))
    assert index.status == 200
    links = set(re.findall(r'href="(runs/[0-9a-f]{12}/index\.html)"', index.text))
    assert len(links) == 2
    for link in links:
        page = checked(ask("/" + link))
        assert page.status == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<h1>tuned-" in page.text
    run = store.load(reports / "quick" / "first")
    own = ask(f"/runs/{slug_of(server, 'first')}/index.html").body
    assert own == report.render(run)["index.html"]
    assert sorted(reports.rglob("*")) == before


def test_a_stored_report_of_this_version_is_sent_as_it_is(tmp_path: Path) -> None:
    stored_run(tmp_path / "run", SMALL)
    page = report.render(store.load(tmp_path / "run"))["index.html"]
    page = page.replace(b"</h1>", b" (as stored)</h1>", 1)
    (tmp_path / "run" / "index.html").write_bytes(page)
    with serving(Library([tmp_path / "run"])) as server:
        reply = checked(asker(server)(f"/runs/{slug_of(server, 'run')}/index.html"))
        assert reply.body == page
        # The page's own policy, as a header too: no script but the one of this version.
        meta = re.search(rb'Policy" content="([^"]*)"', page)
        assert meta is not None
        own = meta[1].decode().replace("&#39;", "'")
        assert reply.headers["content-security-policy"].startswith(own)


META = re.compile(rb'<meta http-equiv="Content-Security-Policy" content="[^"]*"/>')


def disguised(page: bytes) -> Iterator[bytes]:
    """Pages of others, and pages under a policy of ours that do what no policy forbids."""
    policy = META.search(page)
    assert policy is not None
    refresh = b'<meta HTTP-equiv=refresh content="0;url=//evil.example">'
    yield page.replace(b"</title>", b"</title>" + refresh, 1)
    yield page.replace(b"</body>", b'<LINK rel=preconnect href="//evil.example"></body>')
    yield page.replace(policy[0], b"") + policy[0]
    # A byte order mark wins over the charset of the header: what looks like a policy is noise.
    noise = refresh.decode().encode("utf-16-be")
    yield b"\xfe\xff<!doctype html>\n" + policy[0] + b'<link rel="x">' + noise
    yield b"<p>" + policy[0] + b'<link rel="x">'
    yield b"<script>fetch('//evil.example')</script>"
    yield policy[0].replace(b"default-src &#39;none&#39;", b"script-src *") + b"evil.example"


def test_pages_of_others_are_rendered_anew(tmp_path: Path) -> None:
    stored_run(tmp_path / "run", SMALL)
    page = report.render(store.load(tmp_path / "run"))["index.html"]
    with serving(Library([tmp_path])) as server:
        for stored in disguised(page):
            (tmp_path / "run" / "index.html").write_bytes(stored)
            reply = checked(asker(server)(f"/runs/{slug_of(server, 'run')}/index.html"))
            assert reply.body == page
            assert b"evil.example" not in reply.body


def test_files_of_a_run_are_sent_as_what_cannot_run(
    ask: Ask, server: Server, reports: Path
) -> None:
    slug = slug_of(server, "first")
    found = checked(ask(f"/runs/{slug}/results.json"))
    assert found.headers["content-type"] == "application/json"
    assert found.headers["content-security-policy"].endswith("; sandbox")
    assert found.body == (reports / "quick" / "first" / "results.json").read_bytes()
    lines = checked(ask(f"/runs/{slug}/records.jsonl"))
    assert lines.headers["content-type"] == "text/plain; charset=utf-8"
    for path in ("/", f"/runs/{slug}/results.json", "/nowhere"):
        got, head = ask(path), checked(ask(path, "HEAD"))
        assert (head.status, head.body) == (got.status, b"")
        assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "TRACE", "X"])
def test_other_methods_are_refused(ask: Ask, method: str) -> None:
    reply = checked(ask("/", method))
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, HEAD"


def test_other_sites_pages_may_link_but_not_embed(ask: Ask, server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert ask("/", host=f"localhost:{server.server_port}").status == 200
    assert ask("/", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status == 200
    for mode in ("no-cors", "cors", ""):
        assert ask("/", sec_fetch_site="cross-site", sec_fetch_mode=mode).status == 403


# --- bytes that are no request ------------------------------------------------------------------

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z -]+\r\n")


def raw(server: Server, data: bytes) -> bytes:
    """All that is answered to `data` until the server closes."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while True:
            try:
                part = connection.recv(1 << 16)
            except ConnectionResetError:  # it closed with some of a long request unread
                break
            if not part:
                break
            parts.append(part)
        return b"".join(parts)


def host(server: Server) -> bytes:
    return b"Host: 127.0.0.1:%d\r\n" % server.server_port


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in STATUS.findall(answer)]


def safe(answer: bytes) -> bytes:
    """One whole answer, under a policy, that names no bug of ours."""
    assert answer.startswith(b"HTTP/1.1 ")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Security-Policy: default-src 'none'" in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert b"bug in evalkit" not in body
    return answer


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET http://evil.example/ HTTP/1.1", 400),
        (b"GET http://[ HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET //[ HTTP/1.1", 404),
        (b"GET //evil.example/runs HTTP/1.1", 404),
        (b"GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1", 404),
        (b"GET / HTTP/2.0", 505),
        (b"GET / extra HTTP/1.1", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1", 414),
        (b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 70_000, 431),
    ],
)
def test_what_is_no_request_for_a_page_is_said_to_be_none(
    server: Server, line: bytes, status: int
) -> None:
    answer = raw(server, line + b"\r\n" + host(server) + b"Connection: close\r\n\r\n")
    assert statuses(safe(answer)) == [status]
    assert b"Set-Cookie" not in answer.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        b"Host: evil.example\r\n",
        b"Host: evil.example\r\nHost: 127.0.0.1:%d\r\n",
        b"Host: 127.0.0.1:%d.evil.example\r\n",
        b"Host: 127.0.0.1:%d@evil.example\r\n",
        b"Host: 127.0.0.1:1\r\n",
        b"Host: [::1]:%d\r\n",
    ],
)
def test_a_name_that_was_made_to_point_here_gets_nothing(server: Server, hosts: bytes) -> None:
    """DNS rebinding: the browser says the name it was led by, whatever address it has now."""
    hosts = hosts.replace(b"%d", str(server.server_port).encode())
    answer = raw(server, b"GET / HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
    assert statuses(safe(answer)) == [421]
    assert b"aaaaaaaaaaaa" not in answer


@pytest.mark.parametrize("length", [b"Content-Length: 60\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_is_not_taken_for_the_next_request(server: Server, length: bytes) -> None:
    inner = b"GET /nowhere HTTP/1.1\r\n" + host(server) + b"\r\n"
    answer = raw(server, b"GET / HTTP/1.1\r\n" + host(server) + length + b"\r\n" + inner)
    assert statuses(safe(answer)) == [200]
    # Without bodies, a connection is used again: it is no accident that this one closes.
    assert statuses(raw(server, inner * 3)) == [404] * 3


@examples(100)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_answered_or_left(server: Server, data: bytes) -> None:
    answer = raw(server, data + b"\r\n\r\n")
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert not set(statuses(answer)) & {200, 500}


@examples(100)
@given(path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_any_path_is_answered_with_a_page_of_ours(server: Server, path: str) -> None:
    reply = asker(server)("/" + path)
    assert reply.status in (200, 400, 404)
    checked(reply)


def test_a_file_that_grows_while_it_is_sent_is_cut_where_it_ended(tmp_path: Path) -> None:
    """What a run appends meanwhile would be read as the beginning of another answer."""
    stored_run(tmp_path / "run", SMALL)
    grown, size = tmp_path / "run" / "log.txt", 64 << 20  # more than a connection holds
    with grown.open("wb") as file:
        file.truncate(size)
    with (
        serving(Library([tmp_path])) as server,
        socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection,
    ):
        line = f"GET /runs/{slug_of(server, 'run')}/log.txt HTTP/1.1\r\n".encode()
        connection.sendall(line + host(server) + b"Connection: close\r\n\r\n")
        found = connection.recv(1 << 10)
        with grown.open("ab") as file:
            file.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
        while part := connection.recv(1 << 20):
            found += part
    head, _, body = found.partition(b"\r\n\r\n")
    assert f"Content-Length: {size}".encode() in head
    assert len(body) == size


# --- folders that lie ---------------------------------------------------------------------------

ESCAPES = (
    "../second/results.json",
    "..%2fsecond%2fresults.json",
    "%2e%2e/second/results.json",
    "..\\second\\results.json",
    "..%5csecond%5cresults.json",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "results.json/",
    "./results.json",
    "",
    ".",
    "%00",
    "results.json%00.html",
    ".hidden",
    "link-out",
    "folder-link/passwd",
    "sub",
    "C:%5cx",
    "results.json:stream",
    "%ff",
)


def test_no_path_leads_out_of_a_run(tmp_path: Path) -> None:
    """Nor does a link: to a folder, to a manifest or page outside, or to all of it again."""
    secret = tmp_path / "secret"
    stored_run(secret / "private", SMALL, run_id="dddddddddddd")
    (secret / "page.html").write_bytes(b"secret words")
    places = tmp_path / "reports"
    folder = places / "run"
    stored_run(folder, SMALL)
    stored_run(places / "second", SMALL)
    (places / "elsewhere").symlink_to(secret)
    (places / "loop").symlink_to(places)
    (folder / "link-out").symlink_to(secret / "page.html")
    (folder / "index.html").symlink_to(secret / "page.html")
    (folder / "folder-link").symlink_to("/etc")
    (folder / ".hidden").write_text("secret words")
    (folder / "sub").mkdir()
    (folder / "sub" / "more.txt").write_text("inside")
    (folder / "report.html").write_text("<script>1</script>")
    with serving(Library([places])) as server:
        ask, slug = asker(server), slug_of(server, "run")
        for escape in ESCAPES:
            reply = checked(ask(f"/runs/{slug}/{escape}"))
            assert reply.status == 404, escape
            assert b"secret words" not in reply.body
        for path in ("/runs", "/runs/", f"/runs/{slug}", "/static/"):
            assert ask(path).status == 404
        assert ask(f"/runs/{slug}/sub/more.txt").body == b"inside"
        assert b"secret words" not in ask(f"/runs/{slug}/index.html").body
        assert "dddddddddddd" not in ask("/").text
        page = checked(ask(f"/runs/{slug}/report.html"))
        assert page.headers["content-type"] == "application/octet-stream"
        assert page.headers["content-disposition"] == "attachment"


NAMES = (
    b"bad\xffname",
    b"new\nline",
    b"quote\"'><script>pwned=1</script>",
    b"%2e%2e",
    b"\xe2\x80\xae\xe2\x80\x8brtl",
    b"-rf",
    b"a" * 250,
)


def test_folders_of_any_name_are_listed_and_opened(tmp_path: Path) -> None:
    for i, name in enumerate(NAMES):
        folder = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))  # noqa: PTH118
        stored_run(folder, Plan(models=(PAYLOADS[i], "base"), samples=(3, 2, 2)))
    with serving(Library([tmp_path])) as server:
        ask = asker(server)
        index: Reply = ask("/")
        assert index.status == 200
        assert index.text.count("<script") == 1, "its own"
        assert "\u202e" not in index.text
        links = set(re.findall(r'href="(runs/[0-9a-f]{12}/index\.html)"', index.text))
        assert len(links) == len(NAMES)
        for link in links:
            assert ask("/" + link).status == 200
    found = list(report.entries([tmp_path]))
    written = report.index_page(found, report.relative_link(tmp_path), [tmp_path])
    assert written.count("<script") == 1


def test_new_runs_appear_and_changed_ones_change(tmp_path: Path) -> None:
    stored_run(tmp_path / "one", SMALL, run_id="111111111111")
    with serving(Library([tmp_path])) as server:
        ask = asker(server)
        assert "222222222222" not in ask("/").text
        stored_run(tmp_path / "two", SMALL, run_id="222222222222")
        assert "222222222222" in ask("/").text
        manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
        text = json.dumps({**manifest, "suite_name": "renamed"})
        (tmp_path / "one" / "manifest.json").write_text(text)
        assert "renamed" in ask("/").text


# --- damaged runs -------------------------------------------------------------------------------

ITEMS: tuple[Any, ...] = ([], {}, "x", 5, None, [5], {"a": 1}, [{}], -1.5, True, [[]], {"": None})
Place = tuple[str | int, ...]


def places_of(value: Any, above: Place = ()) -> Iterator[Place]:
    """Every place of a JSON value, of lists the first two items."""
    inner: dict[Any, Any] = {}
    if isinstance(value, dict):
        inner = value
    elif isinstance(value, list):
        inner = dict(enumerate(value[:2]))
    for key, item in inner.items():
        yield (*above, key)
        yield from places_of(item, (*above, key))


def put(value: Any, place: Place, item: Any) -> Any:
    changed = copy.deepcopy(value)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = item
    return changed


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    stored_run(folder / "whole", SMALL, run_id="aaaaaaaaaaaa")
    stored_run(folder / "hurt", SMALL, run_id="bbbbbbbbbbbb")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.json", "results.json"])
@examples(150)
@given(data=st.data())
def test_whatever_stands_where_something_else_should(
    home: Path, name: str, data: st.DataObject
) -> None:
    """One damaged run stops none of the others."""
    file = home / "hurt" / name
    text = file.read_text(encoding="utf-8")
    place = data.draw(st.sampled_from(list(places_of(json.loads(text)))))
    item = data.draw(st.sampled_from(ITEMS))
    try:
        file.write_text(json.dumps(put(json.loads(text), place, item)), encoding="utf-8")
        html = report.index_page(list(report.entries([home])), lambda _: "", [home])
        assert "aaaaaaaaaaaa" in html
        assert "hurt" in html or "bbbbbbbbbbbb" in html
    finally:
        file.write_text(text, encoding="utf-8")


def test_a_run_that_cannot_be_read_is_listed_with_the_reason(home: Path, tmp_path: Path) -> None:
    manifest = json.loads((home / "whole" / "manifest.json").read_text())
    wrong = {
        "benchmarks": put(manifest, ("benchmarks", 0), "x"),
        "models": put(manifest, ("models", 1, "name"), None),
        "upgrade evalkit": {"format": 99},
    }
    stored_run(tmp_path / "good", SMALL)
    for said, text in wrong.items():
        (tmp_path / said).mkdir()
        (tmp_path / said / "manifest.json").write_text(json.dumps(text))
    with serving(Library([tmp_path])) as server:
        ask = asker(server)
        html = ask("/").text
        assert html.count("unreadable: ") == len(wrong)
        for said in wrong:
            assert said in html
        assert ask("/runs/ffffffffffff/index.html").status == 404
        bad = next(e for e in server.library.entries() if e.error)
        assert ask(f"/runs/{bad.slug}/manifest.json").status == 404


def test_a_bug_is_no_empty_answer(tmp_path: Path) -> None:
    class Broken(Library):
        def entries(self) -> list[object]:  # type: ignore[override]
            raise RuntimeError("made up")

    with serving(Broken([tmp_path])) as server:
        reply = checked(asker(server)("/"))
        assert reply.status == 500
        assert "bug in evalkit" in reply.text
        assert "made up" not in reply.text


def test_a_taken_port_is_an_error_of_the_system(server: Server) -> None:
    with pytest.raises(OSError, match=re.escape(os.strerror(98))):
        Server(server.library, server.server_port)
