"""The viewer against those who mean harm: bytes that are no request, folders that lie.

Requests are written byte by byte, as no client library would; folders are as an attacker who got
one into `reports/` would leave them.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.report import render
from evalkit.viewer import Library, Server, serving
from tests.report.test_report_hostile import PAYLOADS
from tests.support.properties import examples
from tests.support.runs import Plan
from tests.support.stored import stored_run
from tests.viewer.conftest import Reply, asker

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
    assert b"frame-ancestors 'none'" in head
    for header in (b"X-Content-Type-Options: nosniff", b"Cache-Control: no-store"):
        assert header in head
    assert b"bug in evalkit" not in body
    return answer


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET http://evil.example/ HTTP/1.1", 400),
        (b"GET http://[ HTTP/1.1", 400),
        (b"GET evil.example:80 HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET /?" + b"a=1&" * 30 + b" HTTP/1.1", 400),
        (b"GET /compare?" + b"run=a&" * 30 + b" HTTP/1.1", 400),
        (b"GET //[ HTTP/1.1", 404),
        (b"GET //evil.example/runs HTTP/1.1", 404),
        (b"GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1", 404),
        (b"GET /compare?run=%ff%fe&run=%ed%a0%80 HTTP/1.1", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/x", 400),
        (b"GET / extra HTTP/1.1", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1", 414),
    ],
)
def test_what_is_no_request_for_a_page_is_said_to_be_none(
    server: Server, line: bytes, status: int
) -> None:
    answer = raw(server, line + b"\r\n" + host(server) + b"Connection: close\r\n\r\n")
    assert statuses(safe(answer)) == [status]
    assert b"Set-Cookie" not in answer.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Long: " + b"a" * 70_000 + b"\r\n",
        b"".join(b"X-%d: 1\r\n" % i for i in range(200)),
    ],
)
def test_headers_without_end_are_refused(server: Server, headers: bytes) -> None:
    assert statuses(safe(raw(server, b"GET / HTTP/1.1\r\n" + headers + b"\r\n"))) == [431]


@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        b"Host: evil.example\r\n",
        b"Host: evil.example\r\nHost: 127.0.0.1:%d\r\n",
        b"Host: 127.0.0.1:%d\r\nHost: evil.example\r\n",
        b"Host: 127.0.0.1:%d.evil.example\r\n",
        b"Host: 127.0.0.1:%d@evil.example\r\n",
        b"Host: 2130706433:%d\r\n",
        b"Host: localhost.evil.example:%d\r\n",
        b"Host: 127.0.0.1:%d,evil.example\r\n",
    ],
)
def test_a_name_that_was_made_to_point_here_gets_nothing(server: Server, hosts: bytes) -> None:
    """DNS rebinding: the browser says the name it was led by, whatever address it has now."""
    hosts = hosts.replace(b"%d", str(server.server_port).encode())
    answer = raw(server, b"GET / HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
    assert statuses(safe(answer)) == [421]
    assert b"aaaaaaaaaaaa" not in answer


@pytest.mark.parametrize(
    "length",
    [b"Content-Length: 60\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: x\r\n"],
)
def test_a_body_is_not_taken_for_the_next_request(server: Server, length: bytes) -> None:
    inner = b"GET /nowhere HTTP/1.1\r\n" + host(server) + b"\r\n"
    answer = raw(server, b"GET / HTTP/1.1\r\n" + host(server) + length + b"\r\n" + inner)
    assert statuses(safe(answer)) == [200]


def test_requests_one_after_another_are_all_answered(server: Server) -> None:
    """Without bodies, a connection is used again: it is no accident that the one above closes."""
    one = b"GET /nowhere HTTP/1.1\r\n" + host(server) + b"\r\n"
    assert statuses(raw(server, one * 3)) == [404] * 3


@examples(100)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_answered_or_left(server: Server, data: bytes) -> None:
    answer = raw(server, data + b"\r\n\r\n")
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert not set(statuses(answer)) & {200, 500}


def test_a_file_that_grows_while_it_is_sent_is_cut_where_it_ended(tmp_path: Path) -> None:
    """What a run appends meanwhile would be read as the beginning of another answer."""
    folder = tmp_path / "run"
    stored_run(folder)
    grown = folder / "log.txt"
    size = 64 << 20
    """More than a connection holds on its way."""
    with grown.open("wb") as file:
        file.truncate(size)
    with (
        serving(Library([folder])) as server,
        socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection,
    ):
        (entry,) = server.library.entries()
        line = f"GET /runs/{entry.slug}/log.txt HTTP/1.1\r\n".encode()
        connection.sendall(line + host(server) + b"Connection: close\r\n\r\n")
        found = connection.recv(1 << 10)
        with grown.open("ab") as file:
            file.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
        while part := connection.recv(1 << 20):
            found += part
    head, _, body = found.partition(b"\r\n\r\n")
    assert f"Content-Length: {size}".encode() in head
    assert len(body) == size


# --- folders of others --------------------------------------------------------------------------


META = re.compile(rb'<meta http-equiv="Content-Security-Policy" content="[^"]*">')


def disguised(page: bytes) -> Iterator[bytes]:
    """Pages under a policy of ours that do what no policy forbids."""
    policy = META.search(page)
    assert policy is not None
    yield page.replace(
        b"</title>", b'</title><meta HTTP-equiv=refresh content="0;url=//evil.example">', 1
    )
    yield page.replace(b"</body>", b'<LINK rel=preconnect href="//evil.example"></body>')
    yield page.replace(policy[0], b"") + policy[0]
    # A byte order mark wins over the charset of the header: what looks like a policy is noise.
    evil = '<meta http-equiv="refresh" content="0;url=//evil.example">'
    yield (b"\xfe\xff<!doctype html>\n" + policy[0] + b'<link rel="x">' + evil.encode("utf-16-be"))
    yield b"<p>" + policy[0] + b'<link rel="x">'


def test_pages_in_disguise_are_rendered_anew(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run")
    page = render(run)["index.html"]
    with serving(Library([tmp_path])) as server:
        (entry,) = server.library.entries()
        for stored in disguised(page):
            (tmp_path / "run" / "index.html").write_bytes(stored)
            reply = asker(server)(f"/runs/{entry.slug}/index.html")
            assert reply.body == page
            assert b"evil.example" not in reply.body


def test_a_sample_that_speaks_of_such_things_is_no_disguise(tmp_path: Path) -> None:
    """The page is rendered under its own policy, though its text has the words."""
    said = Plan(say=lambda text: f'{text} <meta http-equiv="refresh"> <link rel="x">')
    stored_run(tmp_path / "run", said)
    with serving(Library([tmp_path])) as server:
        (entry,) = server.library.entries()
        reply = asker(server)(f"/runs/{entry.slug}/index.html")
        assert reply.status == 200
        assert "script-src 'sha256-" in reply.headers["content-security-policy"]


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
        assert "<script" not in index.text
        assert "\u202e" not in index.text
        links = re.findall(r'href="(/runs/[0-9a-f]{12}/index\.html)"', index.text)
        assert len(set(links)) == len(NAMES)
        for link in links:
            assert ask(link).status == 200


def test_links_among_the_runs_lead_nowhere(tmp_path: Path) -> None:
    """A link to a folder is not searched; a manifest or page that is a link out is not read out."""
    secret = tmp_path / "secret"
    stored_run(secret / "private", run_id="dddddddddddd")
    (secret / "page.html").write_bytes(b"secret words")
    places = tmp_path / "reports"
    stored_run(places / "own")
    (places / "elsewhere").symlink_to(secret)
    (places / "loop").symlink_to(places)
    (places / "own" / "index.html").symlink_to(secret / "page.html")
    (places / "own" / "notes.txt").symlink_to(secret / "page.html")
    with serving(Library([places])) as server:
        ask = asker(server)
        (entry,) = server.library.entries()
        assert "dddddddddddd" not in ask("/").text
        for name in ("index.html", "notes.txt"):
            assert b"secret words" not in ask(f"/runs/{entry.slug}/{name}").body


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_not_there(tmp_path: Path) -> None:
    stored_run(tmp_path / "run")
    (tmp_path / "run" / "closed.txt").write_text("secret")
    (tmp_path / "run" / "closed.txt").chmod(0)
    with serving(Library([tmp_path])) as server:
        (entry,) = server.library.entries()
        assert asker(server)(f"/runs/{entry.slug}/closed.txt").status == 404
