"""Pushing a card, against a stand-in for the hub: the file's bytes, and no one's edits lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from evalkit import card
from evalkit.cli import card as cli
from evalkit.errors import CardError
from tests.support.hub_server import COMMIT, HubServer
from tests.support.runs import Plan, build_run, stored_run

pytestmark = pytest.mark.slow

TOKEN = "hf_" + "secret" * 5
CARD = "---\nlicense: mit # kept\n---\n# A model\n"


class WritableHub(HubServer):
    """The stand-in, which also takes commits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens: set[str | None] = set()
        self.commits: list[dict[str, Any]] = []
        self.refusal = ""
        super().__init__({"me/model": folder}, {})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server, base = self, super()._handler()

        class Handler(base):  # type: ignore[misc, valid-type]
            def _answer(self, body: bytes = b"") -> None:
                server.tokens.add(self.headers.get("authorization"))
                super()._answer(body)

        return Handler

    def reply(self, path: str, whole: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        answer: dict[str, Any] | None = None
        if path == "/api/validate-yaml":
            if self.refusal:
                found = {"errors": [{"message": self.refusal}], "warnings": []}
                return 400, json.dumps(found).encode(), {"content-type": "application/json"}
            answer = {"errors": [], "warnings": []}
        elif "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            answer = {
                "files": [
                    {"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names
                ]
            }
        elif "/commit/" in path:
            header, *files = [json.loads(line) for line in body.splitlines()]
            self.commits.append(header["value"])
            for file in files:
                content = base64.b64decode(file["value"]["content"])
                (self.folder / file["value"]["path"]).write_bytes(content)
            answer = {"commitUrl": f"{self.url}/me/model/commit/{COMMIT}", "commitOid": COMMIT}
        if answer is None:
            return super().reply(path, whole, body)
        return 200, json.dumps(answer).encode(), {"content-type": "application/json"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "README.md").write_bytes(CARD.encode())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with WritableHub(folder) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture(scope="module")
def made() -> card.Card:
    run = replace(build_run(Plan(samples=(6, 4, 6))), records=())
    return card.Card(card.gather([run]), "A model")


def push(made: card.Card, text: str, repository: str = "me/model") -> str:
    return card.push(text, repository, lambda there: card.update(there, made).new)


def test_the_files_bytes_are_committed_with_the_token(hub: WritableHub, made: card.Card) -> None:
    text = card.update(CARD.replace("\n", "\r\n"), made).new
    (hub.folder / "README.md").write_bytes(CARD.replace("\n", "\r\n").encode())
    address = push(made, text)
    assert (hub.folder / "README.md").read_bytes() == text.encode()
    assert "license: mit # kept\r\n" in text
    assert address.endswith(f"/commit/{COMMIT}")
    assert hub.commits == [
        {"summary": "Update evaluation results", "description": "", "parentCommit": COMMIT}
    ]
    assert f"Bearer {TOKEN}" in hub.tokens
    assert push(made, text) == address


def test_edits_on_the_hub_are_not_overwritten(hub: WritableHub, made: card.Card) -> None:
    (hub.folder / "README.md").write_text(f"{CARD}Someone's new line.\n")
    with pytest.raises(CardError, match="differ in more than the figures"):
        push(made, card.update(CARD, made).new)
    assert hub.commits == []


def test_a_repository_without_a_card_gets_one(hub: WritableHub, made: card.Card) -> None:
    hub.files["models", "me/model"] = {}
    push(made, card.update(CARD, made).new)
    assert len(hub.commits) == 1


def test_what_the_hub_says_is_passed_on_without_the_token(
    hub: WritableHub, made: card.Card
) -> None:
    hub.refusal = f'"license" must be one of [...] ({TOKEN})'
    with pytest.raises(CardError, match='"license" must be one of') as refused:
        push(made, card.update(CARD, made).new)
    assert TOKEN not in str(refused.value)
    assert refused.value.__cause__ is None
    with pytest.raises(CardError, match="did not take the card"):
        push(made, CARD, "me/nothing")


def test_a_hub_that_does_not_answer_is_said(
    hub: WritableHub, made: card.Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CardError, match="nothing was written"):
        push(made, CARD)


def test_without_a_token_nothing_is_sent(
    hub: WritableHub, made: card.Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nonexistent/token")
    with pytest.raises(CardError, match="set HF_TOKEN"):
        push(made, CARD)
    assert hub.asked == []


def test_the_command_writes_the_file_only_when_the_hub_took_it(
    hub: WritableHub, tmp_path: Path
) -> None:
    run, file = stored_run(tmp_path / "run", Plan(samples=(6, 4, 6))), tmp_path / "README.md"
    file.write_text(CARD)
    arguments = [str(file), str(run.folder), "--push", "me/model"]
    hub.refusal = "no"
    refused = CliRunner().invoke(cli.update, arguments)
    assert isinstance(refused.exception, CardError)
    assert file.read_text() == CARD
    hub.refusal = ""
    done = CliRunner().invoke(cli.update, arguments, catch_exceptions=False)
    assert f"pushed: {hub.url}/me/model/commit/{COMMIT}\n" in done.output
    assert TOKEN not in done.output
    assert file.read_bytes() == (hub.folder / "README.md").read_bytes() != CARD.encode()
