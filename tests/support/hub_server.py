"""A stand-in for the Hugging Face hub: model and data set repositories, served from folders.

Speaks what huggingface_hub 2.4 and datasets 5.2 ask as clients: repository info, trees, path infos
and `resolve`, at one commit per repository whatever revision is asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

__all__ = ["HubServer"]

COMMIT = "cd" * 20
_API = re.compile(
    r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+))?(/.*)?"
)
_FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class HubServer:
    """Serves `models` and `datasets`: folders by repository name."""

    def __init__(self, models: Mapping[str, Path], datasets: Mapping[str, Path]) -> None:
        self.asked: list[str] = []
        kinds = {"models": models, "datasets": datasets}
        self.files = {
            (kind, name): _files(folder)
            for kind, found in kinds.items()
            for name, folder in found.items()
        }
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        """For HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer()

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                self._answer(self.rfile.read(length))

            def _answer(self, body: bytes = b"") -> None:
                path = unquote(self.path.partition("?")[0])
                server.asked.append(path)
                status, content, headers = server.reply(path, self.path, body)
                self.send_response(status)
                for name, value in {"content-length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        return Handler

    def reply(self, path: str, whole: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Status, content and headers."""
        if found := _API.fullmatch(path):
            kind, name, what, _, below = found.groups()
            files = self.files.get((kind, name))
            if files is None:
                return 404, b"{}", {"x-error-code": "RepoNotFound"}
            if what == "tree":
                return _json(_tree(files, (below or "").strip("/"), deep="recursive=" in whole))
            if what == "paths-info":
                return _json(_paths(files, _wanted(body)))
            return _json(_info(name, files))
        if found := _FILE.fullmatch(path):
            kind = "datasets" if found.group(1) else "models"
            file = self.files.get((kind, found.group(2)), {}).get(found.group(4))
            if file is not None:
                content = file.read_bytes()
                tag = f'"{hashlib.sha1(content).hexdigest()}"'
                return 200, content, {"etag": tag, "x-repo-commit": COMMIT}
            return 404, b"{}", {"x-error-code": "EntryNotFound"}
        return (200, b"{}", {}) if path == "/" else (404, b"{}", {"x-error-code": "RepoNotFound"})


Files = Mapping[str, Path]


def _files(folder: Path) -> Files:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _json(value: Any) -> tuple[int, bytes, dict[str, str]]:
    return 200, json.dumps(value).encode(), {"content-type": "application/json"}


def _info(name: str, files: Files) -> dict[str, Any]:
    return {
        "id": name,
        "sha": COMMIT,
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": [{"rfilename": file} for file in files],
    }


def _entry(file: str, path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": file, "size": len(content), "oid": oid}


def _folders(files: Files) -> set[str]:
    return {str(parent) for file in files for parent in Path(file).parents if str(parent) != "."}


def _tree(files: Files, below: str, *, deep: bool) -> list[dict[str, Any]]:
    def inside(path: str) -> bool:
        start = f"{below}/" if below else ""
        rest = path.removeprefix(start)
        return path.startswith(start) and (deep or "/" not in rest)

    folders: list[dict[str, Any]] = [
        {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40}
        for folder in sorted(_folders(files))
    ]
    found = [*folders, *(_entry(file, path) for file, path in files.items())]
    return [entry for entry in found if inside(entry["path"])]


def _wanted(body: bytes) -> list[str]:
    try:
        paths = json.loads(body).get("paths", [])
    except ValueError:
        from urllib.parse import parse_qs

        paths = parse_qs(body.decode()).get("paths", [])
    return [paths] if isinstance(paths, str) else list(paths)


def _paths(files: Files, wanted: list[str]) -> list[dict[str, Any]]:
    known = [_entry(p, files[p]) for p in wanted if p in files]
    folders = [p for p in wanted if p in _folders(files)]
    return [*known, *({"type": "directory", "path": p, "oid": "0" * 40} for p in folders)]
