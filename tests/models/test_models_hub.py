"""The hub, against a stand-in server on this machine that speaks the hub's API.

Source of the protocol: huggingface_hub 2.4 as a client (model info, tree, resolve with
`x-repo-commit` and `etag` headers).
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from evalkit import models
from evalkit.core import PreparedModel
from evalkit.core.specs import ModelSpec
from evalkit.errors import ModelError
from evalkit.models.sources import download

Make = Callable[..., Path]
COMMIT = "ab" * 20
REPO = "org/tiny"


class StandIn(ThreadingHTTPServer):
    """Serves one folder as the repository `org/tiny`, whose only commit is COMMIT."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        self.asked: list[str] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def log_message(self, *_args: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        if self.server.status != 200:
            self._send(self.server.status, b"{}", {})
        elif match := re.fullmatch(rf"/api/models/{REPO}(?:/revision/([^/]+))?", path):
            self._revision(match[1] or "main", self._info)
        elif match := re.fullmatch(rf"/api/models/{REPO}/tree/([^/]+)", path):
            self._revision(match[1], self._tree)
        elif match := re.fullmatch(rf"/{REPO}/resolve/([^/]+)/(.+)", path):
            name = match[2]
            self._revision(match[1], lambda: self._file(name))
        else:
            self._send(404, b"{}", {"x-error-code": "RepoNotFound"})

    def _revision(self, revision: str, then: Callable[[], None]) -> None:
        if revision in ("main", COMMIT):
            then()
        else:
            self._send(404, b"{}", {"x-error-code": "RevisionNotFound"})

    def _info(self) -> None:
        siblings = [{"rfilename": n} for n in self.server.files]
        self._json({"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings})

    def _tree(self) -> None:
        self._json(
            [
                {"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                for n, b in self.server.files.items()
            ]
        )

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"content-type": "application/json"})

    def _file(self, name: str) -> None:
        body = self.server.files.get(name)
        if body is None:
            self._send(404, b"{}", {"x-error-code": "EntryNotFound"})
        else:
            etag = f'"{hashlib.sha1(body).hexdigest()}"'
            self._send(200, body, {"etag": etag, "x-repo-commit": COMMIT})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub(make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    server = StandIn(make_model())
    server.files["modeling_tiny.py"] = b"raise SystemExit"
    server.files["optimizer.pt"] = b"state"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def prepare(root: Path, **spec: Any) -> PreparedModel:
    return models.prepare("m", ModelSpec(**spec), root, root, lambda _line: None)


def test_repository_at_a_pinned_revision(hub: StandIn, make_model: Make, tmp_path: Path) -> None:
    found = prepare(tmp_path, path=REPO, revision=COMMIT)
    local = prepare(tmp_path, path=str(make_model()))
    assert found.fingerprint == local.fingerprint
    assert found.provenance["source"] == {
        "kind": "hub",
        "path": REPO,
        "repo": REPO,
        "revision": COMMIT,
    }
    assert found.provenance["warnings"] == []
    assert found.path is not None
    assert not {"modeling_tiny.py", "optimizer.pt"} & {p.name for p in found.path.iterdir()}


def test_code_is_fetched_only_where_it_is_trusted(hub: StandIn, tmp_path: Path) -> None:
    found = download(REPO, COMMIT, code=True)
    assert (found.path / "modeling_tiny.py").is_file()


def test_unpinned_repository_warns_with_the_commit_to_write(hub: StandIn, tmp_path: Path) -> None:
    found = prepare(tmp_path, path=REPO)
    [warning] = found.provenance["warnings"]
    assert f"`revision: {COMMIT}`" in warning
    assert found.provenance["source"]["revision"] == COMMIT


def test_unknown_revision_and_repository(hub: StandIn, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no revision 'v9'"):
        prepare(tmp_path, path=REPO, revision="v9")
    with pytest.raises(ModelError, match=r"no such repository.*no folder"):
        prepare(tmp_path, path="org/nothing")


def test_broken_hub_is_one_clear_error(hub: StandIn, tmp_path: Path) -> None:
    hub.status = 403
    with pytest.raises(ModelError, match="cannot get 'org/tiny'"):
        prepare(tmp_path, path=REPO)


def test_cached_copy_serves_when_the_hub_is_away(
    hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ModelSpec(path=REPO, revision=COMMIT)
    assert models.missing(spec, tmp_path) == (REPO,)
    online = prepare(tmp_path, path=REPO, revision=COMMIT)
    n_asked = len(hub.asked)
    assert models.missing(spec, tmp_path) == ()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = prepare(tmp_path, path=REPO, revision=COMMIT)
    assert len(hub.asked) == n_asked
    assert offline.fingerprint == online.fingerprint
    assert any("HF_HUB_OFFLINE" in w for w in offline.provenance["warnings"])


def test_unreachable_hub_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelError, match=r"cannot be reached .* set HF_ENDPOINT to a mirror"):
        prepare(tmp_path, path=REPO)


def test_adapter_and_base_from_the_hub(
    hub: StandIn, make_model: Make, make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    adapter = make_adapter(make_model())
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"base_model_name_or_path": REPO}))
    found = prepare(tmp_path, base=REPO, base_revision=COMMIT, adapter=str(adapter))
    assert "this base's name" in found.provenance["merge_proof"]["base_check"]
    assert found.provenance["base"]["revision"] == COMMIT


def test_half_a_download_is_not_taken_for_a_cached_copy(
    hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    online = prepare(tmp_path, path=REPO, revision=COMMIT)
    assert online.path is not None
    (online.path / "model.safetensors").unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"not in the local cache|no weights"):
        prepare(tmp_path, path=REPO, revision=COMMIT)
