"""What `protocols.Engine` promises, for every engine module there is.

Engines that need weights are only looked at (their own tests run them); the others are run, an
HTTP one against a real server on this machine.  A new engine is found by itself; one that needs
settings to be constructed gets them in SETTINGS.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from evalkit import plugins
from evalkit.core import Completion, Message, PreparedModel, Request
from evalkit.core.protocols import Engine
from evalkit.core.specs import EngineSpec
from evalkit.engines._cached import CachedEngine
from evalkit.engines.fake import FakeEngine, FakeSpec
from evalkit.errors import RequestFailed
from tests.support.dialects import SERVERS
from tests.support.fault_server import FaultServer

SETTINGS: dict[str, dict[str, Any]] = {kind: {"model": "m"} for kind in SERVERS}
HEAVY = (
    "torch",
    "transformers",
    "vllm",
    "httpx",
    "httpx2",
    "openai",
    "anthropic",
    "pandas",
    "scipy",
)
ENGINES = plugins.names("engines")
RUNNABLE = [n for n in ENGINES if not plugins.find("engines", n).cls.needs_weights]


def prepared(path: Path | None = None) -> PreparedModel:
    return PreparedModel(
        name="m",
        role="candidate",
        path=path,
        fingerprint="f00d",
        chat_template=None,
        template_source="none",
    )


def build(name: str, tmp_path: Path, **settings: Any) -> Engine:
    extension = plugins.find("engines", name)
    assert extension.spec is not None
    spec = extension.spec.model_validate(SETTINGS.get(name, {}) | settings)
    # Engines with weights may read a checkpoint's config while they are constructed.
    config = {"model_type": "llama", "max_position_embeddings": 512, "torch_dtype": "float32"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    engine: Engine = extension.cls(spec, prepared(tmp_path))
    return engine


class NoCache:
    def get_many(self, keys: object) -> dict[str, Completion]:
        return {}

    def put_many(self, items: object, lengths: object = None) -> None:
        pass

    def lengths(self, names: object) -> dict[str, int]:
        return {}


@pytest.fixture(params=["cached", *RUNNABLE])
def runnable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine that can answer on this machine without weights."""
    name = str(request.param)
    with ExitStack() as stack:
        if name == "cached":
            engine: Engine = CachedEngine(FakeEngine(FakeSpec(), prepared()), NoCache())
        elif name in SERVERS:
            serve = next(iter(SERVERS[name].values()))
            server = stack.enter_context(FaultServer(default=serve))
            url = server.url if name == "openai" else server.url.removesuffix("/v1")
            engine = build(name, tmp_path, base_url=url)
        else:
            engine = build(name, tmp_path)
        stack.callback(engine.close)
        yield engine


def requests() -> list[Request]:
    chat = (Message("system", "Be short."), Message("user", "Say something."))
    return [
        Request(engine="m", kind="generate", prompt=chat, max_tokens=20),
        Request(engine="m", kind="generate", prompt="Once upon a time", max_tokens=5, trial=1),
        Request(engine="m", kind="generate", prompt=chat, max_tokens=20, temperature=0.5, seed=1),
        Request(engine="m", kind="loglikelihood", prompt="The sky is", continuation=" blue"),
    ]


@pytest.mark.parametrize("name", ENGINES)
def test_offers_one_class_and_a_spec_that_names_its_type(name: str) -> None:
    extension = plugins.find("engines", name)
    assert isinstance(extension.cls.needs_weights, bool)
    assert extension.spec is not None
    assert issubclass(extension.spec, EngineSpec)
    assert extension.spec.model_fields["type"].default == name
    undocumented = [n for n, f in extension.spec.model_fields.items() if not f.description]
    assert undocumented == []
    assert plugins.judge_spec(name).model_fields["type"].default == name


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_constructing_is_cheap_and_says_what_decides_answers(name: str, tmp_path: Path) -> None:
    start = time.monotonic()
    engine = build(name, tmp_path)
    assert time.monotonic() - start < 1
    assert isinstance(engine.exclusive, bool)
    assert engine.pending == 0
    assert engine.identity["type"] == name
    assert json.loads(json.dumps(dict(engine.identity))) == dict(engine.identity)
    engine.close()
    engine.close()


def test_finding_and_naming_engines_imports_nothing_heavy() -> None:
    code = (
        "import sys; from evalkit import plugins; plugins.names('engines'); "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_keys_are_stable_and_differ_where_answers_may(runnable: Engine) -> None:
    keys = runnable.keys(requests())
    assert keys == runnable.keys(requests())
    assert len(set(keys)) == len(keys)
    assert all(set(key) <= set("0123456789abcdef") and len(key) >= 32 for key in keys)
    renamed = Request(engine="other", kind="generate", prompt=requests()[0].prompt, max_tokens=20)
    assert runnable.keys([renamed]) == keys[:1]


def test_sizes_before_open(runnable: Engine) -> None:
    tokens = runnable.prompt_tokens(requests())
    assert len(tokens) == len(requests())
    assert all(n is None or n > 0 for n in tokens)
    rendered = runnable.render(requests()[0])
    assert rendered is None or "Say something." in rendered.text


def test_jobs_wait_for_open_and_each_ticket_comes_back_once(runnable: Engine) -> None:
    jobs = list(enumerate(requests() * 3, start=100))
    runnable.submit(jobs[:5])
    assert runnable.pending == 5
    assert list(runnable.poll(0)) == []
    runnable.open()
    runnable.submit(jobs[5:])
    assert runnable.pending == len(jobs)
    got: list[int] = []
    deadline = time.monotonic() + 30
    while runnable.pending and time.monotonic() < deadline:
        before = runnable.pending
        replies = runnable.poll(0.5)
        assert runnable.pending == before - len(replies)
        got += [ticket for ticket, _ in replies]
        assert all(isinstance(r, Completion | RequestFailed) for _, r in replies)
    assert sorted(got) == [ticket for ticket, _ in jobs]
    assert list(runnable.poll(0)) == []


def _is_recorded(engine: Engine) -> bool:
    """It has no answers of its own and says so for each request."""
    return bool(engine.identity["type"] == "recorded")


def test_close_is_idempotent_and_the_engine_opens_again(runnable: Engine) -> None:
    for _ in range(2):
        runnable.open()
        runnable.submit([(1, requests()[0])])
        while runnable.pending:
            ((ticket, reply),) = runnable.poll(10) or ((None, None),)
            assert ticket in (1, None)
            assert reply is None or isinstance(reply, Completion) or _is_recorded(runnable)
        runnable.close()
        runnable.close()
        assert runnable.pending == 0
