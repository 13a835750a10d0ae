"""Hands out the index and the runs' own files, to this machine and nobody else.

What holds it together: it listens on 127.0.0.1, answers GET and HEAD, and only where the Host
header names it (else any web page could have its own name point here, "DNS rebinding").  A path
is looked up, never joined as it stands; links that lead out of a run are not followed.  A stored
index.html is sent only under the policy that this version's own pages have, so that no other
script in it can run; else the report is rendered anew from the records.
"""

from __future__ import annotations

import logging
import os
import re
import socketserver
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from html import unescape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from urllib.parse import unquote, urlsplit

from evalkit.comparison.recompute import load
from evalkit.draw.html import element, escaped, page_html, policy
from evalkit.errors import EvalkitError
from evalkit.report.index import Entry, entries, entry_of, index_page, index_policy
from evalkit.report.page import render
from evalkit.report.render import policies

__all__ = ["Library", "Server", "is_ours", "report_policy"]

_LOG = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_REPORT = "index.html"
_KEPT_RUNS = 4
"""Rendered reports that stay in memory."""
_MANY = 20_000
"""Records from which on a page reads its samples from files beside it, as they are needed."""
_AT_ONCE = 1 << 20
"""Bytes of a file in memory."""
_SILENT_S = 30
"""Seconds after which a connection that says nothing is closed."""
_PLAIN = {
    **dict.fromkeys((".md", ".txt", ".csv", ".yaml", ".yml", ".jsonl"), "text/plain"),
    ".json": "application/json",
    ".xml": "text/plain",
    ".svg": "text/plain",
}
"""Types of files that are shown; others are saved.  Nothing is served as what could run."""
_SAMPLES = re.compile(r"samples/[0-9a-f]+\.json\.gz")
"""Files beside a report that is rendered here and too big for one page."""
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_FILE = {"Content-Security-Policy": f"{_NOTHING}; sandbox"}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Library:
    """The runs in some places, looked for anew at every visit, so that new ones appear."""

    def __init__(self, places: Sequence[Path]) -> None:
        self.places = tuple(places)
        self._entry = lru_cache(maxsize=None)(lambda folder, _state: entry_of(folder))
        self._page = lru_cache(maxsize=_KEPT_RUNS)(lambda folder, _state: _rendered(folder))

    def entries(self) -> list[Entry]:
        """By place and name, each run once; read again where it was written since.

        Raises:
            DataError: a place is not there or holds no run.
        """
        return list(entries(self.places, lambda folder: self._entry(folder, _state(folder))))

    def page(self, entry: Entry) -> Mapping[str, bytes]:
        """A run's report by file names, rendered now; nothing is written.  Raises DataError."""
        return self._page(entry.folder, _state(entry.folder))


def _rendered(folder: Path) -> Mapping[str, bytes]:
    run = load(folder)
    suite = run.manifest.suite
    wanted = suite.report.model_copy(update={"formats": ("html",)})
    suite = suite.model_copy(update={"report": wanted})
    run = replace(run, manifest=run.manifest.model_copy(update={"suite": suite}))
    return render(run, split=len(run.records) > _MANY)


def _state(folder: Path) -> tuple[int, ...]:
    """Changes whenever the run was written."""
    found: list[int] = []
    for name in ("manifest.json", "results.json", "records.jsonl"):
        try:
            about = (folder / name).stat()
        except OSError:
            found += [0, 0]
        else:
            found += [about.st_mtime_ns, about.st_size]
    return tuple(found)


# --- which stored pages are ours ----------------------------------------------------------------

_META = re.compile(rb'<meta http-equiv="Content-Security-Policy" content="([^"]*)"/>')
_ONCE = tuple(re.compile(word, re.IGNORECASE) for word in (rb"http-equiv", rb"<link"))
"""What a page of ours has in its head and mostly nowhere else; a page that has is rendered anew."""
_HEAD = 4096
"""Bytes of a page in which its policy stands."""


def report_policy(data: bytes) -> str:
    """The policy that stands in the head of a report's page; empty where there is none."""
    match = _META.search(data[:_HEAD])
    return unescape(match[1].decode("ascii", "replace")) if match else ""


def is_ours(data: bytes) -> bool:
    """Whether a stored page may be sent: under a policy of this version no other script runs in it.

    And what no policy forbids is not in it: a refresh that leads elsewhere, a link that has hosts
    looked up before anything is clicked, or a byte order mark, which would make other text of it.
    """
    once = all(len(word.findall(data)) == 1 for word in _ONCE)
    return once and data.startswith(b"<!doctype html>") and report_policy(data) in policies()


# --- the server ---------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves a library until it is shut down."""

    daemon_threads = True

    def __init__(self, library: Library, port: int = 0) -> None:
        """Listen on `port`; 0: any that is free.  Raises OSError."""
        self.library = library
        super().__init__((_HOST, port), _Handler)

    def server_bind(self) -> None:
        """Without asking the resolver for this machine's name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = _HOST, int(self.server_address[1])

    @property
    def hosts(self) -> frozenset[str]:
        """What a Host header may say."""
        names = (_HOST, "localhost")
        plain = names if self.server_port == 80 else ()
        return frozenset((*plain, *(f"{name}:{self.server_port}" for name in names)))

    @property
    def address(self) -> str:
        """Of the index."""
        return f"http://{_HOST}:{self.server_port}/"

    def address_of(self, entry: Entry) -> str:
        """Of a run's report."""
        return self.address + _link(entry)


def _link(entry: Entry) -> str:
    return f"runs/{entry.slug}/{_REPORT}"


class _NoPage(Exception):
    """What was requested is not to be had."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    server_version = "evalkit"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = _SILENT_S
    _begun = False
    """An answer was begun, so that no other can be given."""

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it
        """Say nothing: addresses hold names of runs."""

    def _refuse_method(self) -> None:
        self.close_connection = True
        status = HTTPStatus.METHOD_NOT_ALLOWED
        self._error(status, f"{self.command!r}: only GET and HEAD are.", {"Allow": "GET, HEAD"})

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What cannot even be read as a request."""
        self.close_connection = True
        # Its version may be what is wrong with it; an answer to 0.9 would have no headers.
        self.request_version = self.protocol_version
        self._error(HTTPStatus(code), message or "no request that can be answered")

    def _answer(self) -> None:
        self._begun = False
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            # A body is never read, and must not be taken for the next request.
            self.close_connection = True
        try:
            self._check_sender()
            self._route()
        except _NoPage as error:
            self._error(error.status, str(error))
        except EvalkitError as error:
            self._error(HTTPStatus.BAD_REQUEST, str(error))
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:  # noqa: BLE001 - a bug must not end as an empty answer
            _LOG.exception("a bug in evalkit's server of reports, at %r", self.path)
            self.close_connection = True
            if not self._begun:
                self._error(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a bug in evalkit")

    def _check_sender(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            text = f"{hosts!r} is not this server; open {self.server.address}"
            raise _NoPage(HTTPStatus.MISDIRECTED_REQUEST, text)
        foreign = self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        if foreign and self.headers.get("Sec-Fetch-Mode") != "navigate":
            raise _NoPage(HTTPStatus.FORBIDDEN, "requested by another site's page")

    def _route(self) -> None:
        if not self.path.startswith("/"):
            # The form for proxies names a host of its own, beside the one that was checked.
            raise _NoPage(HTTPStatus.BAD_REQUEST, f"{self.path!r} is no path on this server")
        try:
            path = urlsplit(self.path).path
        except ValueError as error:
            raise _NoPage(HTTPStatus.BAD_REQUEST, f"no address: {error}") from error
        names = [unquote(name, errors="surrogateescape") for name in path.split("/")[1:]]
        library = self.server.library
        match names:
            case [""]:
                page = index_page(library.entries(), _link, library.places)
                self._page(HTTPStatus.OK, page, index_policy())
            case ["runs", slug, *inside] if inside and inside != [""]:
                entry = next((e for e in library.entries() if e.slug == slug and not e.error), None)
                if entry is None:
                    raise _NoPage(HTTPStatus.NOT_FOUND, f"no run is called {slug!r}")
                self._file(entry, inside)
            case _:
                raise _NoPage(HTTPStatus.NOT_FOUND, f"no page is called {path!r}")

    # --- files of a run -------------------------------------------------------------------------

    def _file(self, entry: Entry, names: list[str]) -> None:
        path, name = _inside(entry.folder, names), "/".join(names)
        if names == [_REPORT]:
            self._report(entry, path)
            return
        if path is None and _SAMPLES.fullmatch(name):
            rendered = self.server.library.page(entry).get(name)
            if rendered is not None:
                self._send(HTTPStatus.OK, "application/octet-stream", rendered, _FILE)
                return
        if path is None:
            raise _NoPage(HTTPStatus.NOT_FOUND, f"the run has no file {name!r}")
        kind = _PLAIN.get(path.suffix.lower())
        headers = _FILE if kind else {**_FILE, "Content-Disposition": "attachment"}
        try:
            file = path.open("rb")
        except OSError as error:
            raise _NoPage(HTTPStatus.NOT_FOUND, f"{name!r} cannot be read") from error
        with file:
            size = os.fstat(file.fileno()).st_size
            self._head(HTTPStatus.OK, kind or "application/octet-stream", size, headers)
            if self.command != "HEAD":
                self._copy(file, size)

    def _copy(self, file: BinaryIO, size: int) -> None:
        """Exactly `size` bytes: a run that goes on writes more, which would be the next answer."""
        while size > 0:
            data = file.read(min(size, _AT_ONCE))
            if not data:
                self.close_connection = True
                return
            self.wfile.write(data)
            size -= len(data)

    def _report(self, entry: Entry, stored: Path | None) -> None:
        """The stored page where it is of this version, else rendered now."""
        data = b"" if stored is None else stored.read_bytes()
        if not is_ours(data):
            data = self.server.library.page(entry)[_REPORT]
        self._page(HTTPStatus.OK, data.decode("utf-8"), report_policy(data))

    # --- answers --------------------------------------------------------------------------------

    def _error(
        self, status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None
    ) -> None:
        inner = [
            element("p", {"class": "note warning"}, [escaped(text)]),
            element("p", {}, [element("a", {"href": "/"}, [escaped("Back to all runs")])]),
        ]
        html = page_html(f"{status.value} {status.phrase}", element("section", {}, inner))
        self._page(status, html, policy(), headers)

    def _page(
        self, status: HTTPStatus, html: str, rules: str, headers: Mapping[str, str] | None = None
    ) -> None:
        said = {"Content-Security-Policy": f"{rules}; frame-ancestors 'none'", **(headers or {})}
        self._send(status, "text/html", html.encode("utf-8"), said)

    def _send(self, status: HTTPStatus, kind: str, data: bytes, headers: Mapping[str, str]) -> None:
        self._head(status, kind, len(data), headers)
        if self.command != "HEAD":
            self.wfile.write(data)

    def _head(self, status: HTTPStatus, kind: str, size: int, headers: Mapping[str, str]) -> None:
        self._begun = True
        self.send_response(status)
        charset = "; charset=utf-8" if kind.startswith("text/") else ""
        self.send_header("Content-Type", f"{kind}{charset}")
        self.send_header("Content-Length", str(size))
        for name, value in {**_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def _inside(folder: Path, names: list[str]) -> Path | None:
    """A plain file of the run; None for whatever else a path may lead to."""
    for name in names:
        if not name or name.startswith(".") or any(c in name for c in "/\\\0:"):
            return None
    try:
        path = folder.joinpath(*names).resolve(strict=True)
        if path.is_file() and path.is_relative_to(folder.resolve()):
            return path
    except (OSError, ValueError):
        pass
    return None
