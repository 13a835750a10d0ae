"""What the server hands out, and to whom: its own pages and the runs' files, to this machine."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.report import render
from evalkit.store import read_run
from evalkit.viewer import Library, Server, serving
from tests.support.properties import examples
from tests.support.stored import stored_run
from tests.viewer.conftest import Ask, Reply, asker

STRICT = ("x-content-type-options", "x-frame-options", "referrer-policy", "cache-control")


def slug_of(server: Server, name: str) -> str:
    return next(e.slug for e in server.library.entries() if e.folder.name == name)


def checked(reply: Reply) -> Reply:
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert all(name in reply.headers for name in STRICT)
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["server"].strip() == "evalkit"
    return reply


def test_the_index_and_every_report(ask: Ask, server: Server) -> None:
    index = checked(ask("/"))
    assert index.status == 200
    links = re.findall(r'href="(/runs/[0-9a-f]{12}/index\.html)"', index.text)
    assert len(links) == 2
    for link in links:
        page = checked(ask(link))
        assert page.status == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<h1>tuned-" in page.text


def test_a_run_without_a_report_is_rendered_and_nothing_is_written(
    ask: Ask, server: Server, reports: Path
) -> None:
    folder = reports / "quick" / "first"
    before = sorted(p.name for p in folder.iterdir())
    reply = ask(f"/runs/{slug_of(server, 'first')}/index.html")
    assert reply.body == render(read_run(folder))["index.html"]
    assert sorted(p.name for p in folder.iterdir()) == before


def test_a_stored_report_of_this_version_is_sent_as_it_is(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run")
    page = render(run)["index.html"].replace(b"</h1>", b" (as stored)</h1>", 1)
    (tmp_path / "run" / "index.html").write_bytes(page)
    with serving(Library([tmp_path / "run"])) as server:
        (entry,) = server.library.entries()
        reply = checked(asker(server)(f"/runs/{entry.slug}/index.html"))
        assert reply.body == page
        # The page's own policy, as a header too: no script but the one of this version.
        meta = re.search(rb'Policy" content="([^"]*)"', page)
        assert meta is not None
        sent = reply.headers["content-security-policy"]
        assert sent.startswith(meta[1].decode().replace("&#39;", "'"))


@pytest.mark.parametrize(
    "page",
    [
        b"<script>fetch('/')</script>",
        b'<meta http-equiv="Content-Security-Policy" content="script-src *"><script>1</script>',
    ],
)
def test_a_page_of_others_is_never_sent(tmp_path: Path, page: bytes) -> None:
    run = stored_run(tmp_path / "run")
    (tmp_path / "run" / "index.html").write_bytes(page)
    with serving(Library([tmp_path])) as server:
        (entry,) = server.library.entries()
        reply = checked(asker(server)(f"/runs/{entry.slug}/index.html"))
        assert reply.body == render(run)["index.html"]


def test_files_of_a_run_are_sent_as_what_cannot_run(
    ask: Ask, server: Server, reports: Path
) -> None:
    slug = slug_of(server, "first")
    found = checked(ask(f"/runs/{slug}/results.json"))
    assert found.headers["content-type"] == "application/json"
    assert found.headers["content-security-policy"].endswith("; sandbox")
    stored = (reports / "quick" / "first" / "results.json").read_bytes()
    assert found.body == stored
    assert json.loads(found.body)["run_id"] == "aaaaaaaaaaaa"
    lines = checked(ask(f"/runs/{slug}/records.jsonl"))
    assert lines.headers["content-type"] == "text/plain; charset=utf-8"


def test_head_has_the_headers_and_no_body(ask: Ask, server: Server) -> None:
    for path in ("/", f"/runs/{slug_of(server, 'first')}/results.json", "/nowhere"):
        got, head = ask(path), checked(ask(path, "HEAD"))
        assert head.status == got.status
        assert head.headers["content-length"] == got.headers["content-length"]
        assert head.body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"])
def test_other_methods_are_refused(ask: Ask, method: str) -> None:
    reply = checked(ask("/", method))
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "evil.example:{port}", "", "[::1]:{port}"]
)
def test_other_names_for_this_machine_are_refused(ask: Ask, server: Server, host: str) -> None:
    reply = checked(ask("/", host=host.format(port=server.server_port)))
    assert reply.status == 421
    assert "aaaaaaaaaaaa" not in reply.text


def test_localhost_is_this_machine(ask: Ask, server: Server) -> None:
    assert ask("/", host=f"localhost:{server.server_port}").status == 200


def test_other_sites_pages_may_link_but_not_embed(ask: Ask) -> None:
    assert ask("/", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status == 200
    for mode in ("no-cors", "cors", ""):
        assert ask("/", sec_fetch_site="cross-site", sec_fetch_mode=mode).status == 403
    assert checked(ask("/")).headers["cross-origin-resource-policy"] == "same-origin"


def test_only_this_machine_can_connect(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"


ESCAPES = (
    "../second/results.json",
    "..%2fsecond%2fresults.json",
    "%2e%2e/second/results.json",
    "..\\second\\results.json",
    "..%5csecond%5cresults.json",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "results.json/",
    "results.json/.",
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


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with links that lead out of it, a hidden file and a folder."""
    home = tmp_path_factory.mktemp("trap")
    (home / "secret.txt").write_text("secret")
    folder = home / "runs" / "run"
    stored_run(folder)
    stored_run(home / "runs" / "second")
    (folder / "link-out").symlink_to(home / "secret.txt")
    (folder / "folder-link").symlink_to("/etc")
    (folder / ".hidden").write_text("secret")
    (folder / "sub").mkdir()
    (folder / "sub" / "more.txt").write_text("inside")
    (folder / "report.html").write_text("<script>1</script>")
    (folder / "inside-link").symlink_to(folder / "results.json")
    return home / "runs"


def test_no_path_leads_out_of_a_run(trap: Path) -> None:
    with serving(Library([trap])) as server:
        ask, slug = asker(server), slug_of(server, "run")
        for escape in ESCAPES:
            reply = checked(ask(f"/runs/{slug}/{escape}"))
            assert reply.status == 404, escape
            assert b"secret" not in reply.body
        assert ask(f"/runs/{slug}/sub/more.txt").body == b"inside"
        page = checked(ask(f"/runs/{slug}/report.html"))
        assert page.headers["content-type"] == "application/octet-stream"
        assert page.headers["content-disposition"] == "attachment"


@examples(100)
@given(path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_any_path_is_answered_with_a_page_of_ours(server: Server, path: str) -> None:
    reply = asker(server)("/" + path)
    assert reply.status in (200, 400, 404)
    checked(reply)


def test_no_folder_is_listed(ask: Ask, server: Server) -> None:
    for path in ("/runs", "/runs/", f"/runs/{slug_of(server, 'first')}", "/static/"):
        assert ask(path).status == 404


def test_unknown_and_broken_runs_say_so(tmp_path: Path) -> None:
    stored_run(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_text('{"format": 99}')
    with serving(Library([tmp_path])) as server:
        ask = asker(server)
        assert ask("/runs/ffffffffffff/index.html").status == 404
        index = ask("/")
        assert "unreadable" in index.text
        assert "upgrade evalkit" in index.text
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


def test_new_runs_appear_and_changed_ones_change(tmp_path: Path) -> None:
    stored_run(tmp_path / "one", run_id="111111111111")
    with serving(Library([tmp_path])) as server:
        ask = asker(server)
        assert ask("/").text.count("/index.html") == 1
        stored_run(tmp_path / "two", run_id="222222222222")
        assert ask("/").text.count("/index.html") == 2
        manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
        text = json.dumps({**manifest, "suite_name": "renamed"})
        (tmp_path / "one" / "manifest.json").write_text(text)
        assert "renamed" in ask("/").text


def test_a_taken_port_is_an_error_of_the_system(server: Server) -> None:
    with pytest.raises(OSError, match=re.escape(os.strerror(98))):
        Server(server.library, server.server_port)
