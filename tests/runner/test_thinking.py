"""Models that think: figures with thoughts are those without, digit for digit."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import evalkit

THOUGHT = "Let me see.\nQuestion: is it [[1]]?\n\nMaybe 7, maybe 8."
FORMS = {
    "plain": "{answer}",
    "marked": "<think>\n{thought}\n</think>\n\n{answer}",
    "opened": "{thought}\n</think>\n\n{answer}",
    "twice": "<think>a</think>\n\nA draft: 7.\n<think>\n{thought}\n</think>\n\n{answer}",
    "field": "{answer}",
}
"""By name of the served model: how it writes an answer."""


def answer_to(messages: list[dict[str, str]]) -> str:
    """Depends on all that was said, so that a thought that comes back would change it."""
    digest = hashlib.sha256(json.dumps(messages).encode()).hexdigest()
    return f"\nIt is {int(digest[:4], 16) % 9}, or so." + f" And {digest}." * (
        int(digest[4], 16) % 5
    )


def reply(asked: dict[str, Any]) -> dict[str, Any]:
    model = asked["model"]
    text = FORMS[model].format(answer=answer_to(asked["messages"]), thought=THOUGHT)
    finish = "stop"
    if model == "marked" and asked["messages"][-1]["content"].startswith("Name 3 "):
        text, finish = text[:20], "length"
    for stop in asked.get("stop") or ():  # as servers do it: within a thought, too
        text = text.partition(stop)[0]
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if model == "field":
        message["reasoning_content"] = THOUGHT
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return {
        "id": "x", "object": "chat.completion", "created": 1, "model": model,
        "usage": usage, "choices": [choice],
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        raw = json.dumps(reply(asked)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_address[1]}/v1"
        finally:
            made.shutdown()
            thread.join()


TASK = """\
task: sum
dataset_path: json
dataset_kwargs: {data_files: {test: sum.jsonl}}
output_type: generate_until
test_split: test
doc_to_text: "{{q}} Answer with a number."
doc_to_target: "{{a}}"
generation_kwargs: {until: ["\\n\\n", "Question:", " or"], do_sample: false, max_gen_toks: 64}
filter_list:
  - name: number
    filter:
      - {function: regex, regex_pattern: "(-?[0-9]+)"}
      - {function: take_first}
metric_list: [{metric: exact_match}]
metadata: {version: 1.0}
"""


def furnish(folder: Path, url: str, models: list[str], benchmarks: str) -> None:
    (folder / ".evalkit").mkdir()
    declared = {"opened": "thinking: {start: <think>, end: </think>}, "}
    served = "".join(
        f"  {name}: {{role: candidate, {declared.get(name, '')}"
        f"engine: {{type: openai, model: {name}, base_url: '{url}', max_retries: 0}}}}\n"
        for name in models
    )
    (folder / "suite.yaml").write_text(
        f"name: thinks\nmodels:\n{served}  judging: {{role: baseline, path: x}}\n"
        f"engine: {{type: fake}}\n"
        f"judges:\n  local: {{type: engine, model: judging, protocol: text}}\n"
        f"benchmarks:\n{benchmarks}"
    )
    rows = [{"instruction": f"Name {n} rivers.", "output": f"River {n}."} for n in range(12)]
    write_lines(folder / "alpaca.jsonl", rows)
    (folder / "mt").mkdir()
    write_lines(
        folder / "mt" / "question.jsonl",
        [
            {"question_id": n, "category": "writing", "turns": [f"Write {n}.", "Again, shorter."]}
            for n in range(8)
        ],
    )
    (folder / "tasks").mkdir()
    (folder / "tasks" / "sum.yaml").write_text(TASK)
    write_lines(
        folder / "tasks" / "sum.jsonl", [{"q": f"{n} + 1?", "a": f"{n % 9}"} for n in range(40)]
    )


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


JUDGED = (
    "  - {type: alpaca_eval, judge: local, data: alpaca.jsonl}\n"
    "  - {type: mt_bench, judge: local, data: mt}\n"
)
SUM = "  - {type: lm_eval, tasks: [sum], include: tasks, apply_chat_template: true}\n"


def figures(folder: Path) -> dict[str, dict[tuple[str, ...], Any]]:
    """By model and figure: what results.json has."""
    (path,) = folder.glob("reports/thinks/*/results.json")
    found: dict[str, dict[tuple[str, ...], Any]] = {}
    for row in json.loads(path.read_text())["estimates"]:
        key = (row["benchmark"], row["task"], row["metric"], row.get("category") or "")
        numbers = {k: v for k, v in row.items() if k != "model"}
        found.setdefault(row["model"], {})[key] = numbers
    return found


@pytest.mark.slow
def test_figures_with_thoughts_equal_those_without(tmp_path: Path) -> None:
    """Win rates, lengths, both turns of MT-Bench, a task with stop strings within the thought."""
    names = ["plain", "opened", "twice", "field"]
    with server() as url:
        furnish(tmp_path, url, names, JUDGED + SUM)
        done = evalkit(tmp_path, "run", "suite.yaml")
    assert done.code == 0, done.err
    found = figures(tmp_path)
    assert {key[0] for key in found["plain"]} == {"alpaca_eval", "mt_bench", "lm_eval"}
    for name in names[1:]:
        assert found[name] == found["plain"], name
    assert 0 < found["plain"]["lm_eval", "sum", "exact_match,number", ""]["point"] < 100
    (page,) = tmp_path.glob("reports/thinks/*/report.md")
    assert "Thoughts" in page.read_text()
    (stored,) = tmp_path.glob("reports/thinks/*/records.jsonl")
    records = [json.loads(line) for line in stored.read_text().splitlines()]
    assert all(
        r["outcome"]["thoughts"] if r["model"] in names[1:] else not r["outcome"].get("thoughts")
        for r in records
    )
    sent = [e["prompt"] for r in records for j in r["outcome"]["judgments"] for e in j["exchanges"]]
    assert sent
    assert "Let me see" not in json.dumps(sent)


@pytest.mark.slow
def test_an_unfinished_thought_has_no_verdict(tmp_path: Path) -> None:
    """One of twelve is 8%: more than a comparison may lose."""
    with server() as url:
        furnish(tmp_path, url, ["marked"], JUDGED)
        done = evalkit(tmp_path, "run", "suite.yaml")
    assert done.code == 0, done.err
    assert "1 samples have no score and would have none again" in done.err
    assert "thought did not end" in done.err
    assert "of its thoughts on AlpacaEval did not end" in done.out
    (stored,) = tmp_path.glob("reports/thinks/*/records.jsonl")
    records = [json.loads(line)["outcome"] for line in stored.read_text().splitlines()]
    (lost,) = [r for r in records if r["status"] == "unfinished"]
    assert not lost["scores"]
    (page,) = tmp_path.glob("reports/thinks/*/report.md")
    assert "8.3% (1)" in page.read_text()
