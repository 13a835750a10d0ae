"""Two stored runs that can be compared, and a server on a port of its own."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from evalkit.viewer import Library, Server, serving
from tests.support.runs import Plan
from tests.support.stored import stored_run


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


Ask = Callable[..., Reply]


def session(folder: Path, started: float) -> None:
    line = json.dumps({"started": started, "ended": "finished"})
    (folder / "sessions.jsonl").write_text(line + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """reports/quick/first and /second: other candidates, the same samples."""
    folder = tmp_path_factory.mktemp("viewer") / "reports"
    first = Plan(models=("tuned-1", "base"), samples=(12, 8, 10), limit=12)
    second = Plan(models=("tuned-2", "base"), samples=(12, 8, 10), seed=2)
    stored_run(folder / "quick" / "first", first, run_id="aaaaaaaaaaaa")
    stored_run(folder / "quick" / "second", second, run_id="bbbbbbbbbbbb")
    session(folder / "quick" / "first", 1_700_000_000)
    session(folder / "quick" / "second", 1_700_090_000)
    return folder


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
