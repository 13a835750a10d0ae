"""What a report of many samples costs: rendering, size, and the browser in a real Chromium.

    .venv/bin/python -m benchmarks.report_page [--samples 16000 50000] [--models 3] [--keep FOLDER]

A synthetic run: instructions judged in both orders with written replies, two-turn questions, and
multiple-choice items with few-shot prompts, which are the most by number.  Rendered to one file,
opened from `file://`, and measured by the page's own clocks: first paint, the list, all texts
searchable, then filters and searches, the slowest of which counts.  Milliseconds go to the
terminal; the table has sizes and whether the bars are met (that of rendering is for 16,000).
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks._common import Cell, Clock, Table, parser, peak_rss_gb, publish, say
from evalkit import report
from evalkit.comparison.figures import comparisons, figures
from evalkit.core import (
    Exchange,
    Judgment,
    Manifest,
    Message,
    Metric,
    Outcome,
    Record,
    Run,
    Score,
)

__all__ = ["main", "synthetic"]

COLUMNS = (
    *("samples", "models", "MB of records", "MB of page", "render CPU < 10 s"),
    *("first paint < 2 s", "filter < 0.5 s", "rows in the document"),
)
METRICS = {
    "alpaca_eval": {"alpaca_eval": [Metric("win_rate", "percent", 100, primary=True)]},
    "mt_bench": {
        "mt_bench": [Metric("score", "points", primary=True, parts=("turn_1", "turn_2"))],
    },
    "open_llm_leaderboard": {
        task: [Metric("acc", "percent", 100, primary=True)]
        for task in ("arc_challenge", "hellaswag", "mmlu", "winogrande")
    },
}
JUDGE = (
    "Here is an instruction and two answers. Say which a careful reader prefers, and why; end "
    "with [[A]] or [[B]].\n\n"
)
SEARCHES = ("mono", "zzzz nothing", '"ka ri"', "é")


# --- a run -------------------------------------------------------------------------------------


def synthetic(samples: int, models: int) -> Run:
    """A run of so many samples of each of so many models; the same every time."""
    rng = random.Random(7)
    names = [f"model-{chr(97 + i)}" for i in range(models)]
    words = [
        "".join(rng.choice("aeiouéstrnlkmp") for _ in range(rng.randint(2, 9))) for _ in range(9000)
    ]
    say_words = _Speaker(rng, words)
    records = [r for name in names for r in _records(say_words, rng, name, samples)]
    roles = {name: "baseline" if i else "candidate" for i, name in enumerate(names)}
    found = {
        "run_id": "0" * 12,
        "suite_name": "synthetic",
        "sealed": True,
        "suite": {"models": {n: {"role": r} for n, r in roles.items()}, "report": {"examples": 6}},
        "models": [{"name": n, "role": r} for n, r in roles.items()],
        "benchmarks": [
            {
                "name": name,
                "description": {"type": name},
                "tasks": {t: {"metrics": metrics} for t, metrics in tasks.items()},
            }
            for name, tasks in METRICS.items()
        ],
    }
    manifest = Manifest.model_validate(found)
    return Run(
        Path("run"),
        manifest,
        tuple(records),
        tuple(figures(records, manifest.benchmarks, 0.95)),
        tuple(comparisons(records, manifest.benchmarks, roles, 0.95)),
    )


class _Speaker:
    """Texts of about so many words; few words are frequent, as in languages."""

    def __init__(self, rng: random.Random, words: list[str]) -> None:
        self._rng = rng
        self._words = words
        self._weights = [sum(1 / (i + 1) for i in range(n)) for n in range(1, len(words) + 1)]

    def __call__(self, n: int) -> str:
        said = self._rng.choices(self._words, cum_weights=self._weights, k=n)
        return " ".join(said).capitalize() + "."


def _records(speak: _Speaker, rng: random.Random, name: str, samples: int) -> Iterator[Record]:
    questions = random.Random(11)
    asked = _Speaker(questions, [f"q{i}" for i in range(4000)])
    shots = [f"{asked(40)}\nAnswer: {asked(3)}\n\n" for _ in range(5)]
    for i in range(samples):
        if i < samples // 20:
            outcome = _judged(asked(45), speak(220), speak(200), rng, speak(60))
            yield Record(
                name, "alpaca_eval", "alpaca_eval", f"{i:05}", f"part {i % 5}", "", outcome
            )
        elif i < samples // 18:
            outcome = _talk(asked(30), asked(20), speak, rng)
            yield Record(name, "mt_bench", "mt_bench", f"{i}", f"part {i % 8}", f"{i}", outcome)
        else:
            task = list(METRICS["open_llm_leaderboard"])[i % 4]
            prompt = "".join(shots) + asked(45) + "\nAnswer:"
            outcome = _choice(prompt, [asked(4) for _ in range(4)], rng)
            yield Record(name, "open_llm_leaderboard", task, f"{i}", None, "", outcome)


def _judged(question: str, answer: str, reference: str, rng: random.Random, why: str) -> Outcome:
    votes = (rng.choice((0.0, 1.0)), rng.choice((0.0, 1.0)))
    orders = ((answer, reference), (reference, answer))
    exchanges = tuple(
        Exchange((Message("user", f"{JUDGE}{question}\n\n[A]\n{a}\n\n[B]\n{b}"),), f"{why} [[A]]")
        for a, b in orders
    )
    value = statistics.fmean(votes)
    judgment = Judgment("judge", "pairwise_text", "ok", value, votes=votes, exchanges=exchanges)
    return Outcome(
        "ok",
        (Message("user", question), Message("assistant", answer)),
        (answer,),
        (reference,),
        (Score("win_rate", value),),
        (judgment,),
        truncated=rng.random() < 0.05,
    )


def _talk(first: str, second: str, speak: _Speaker, rng: random.Random) -> Outcome:
    answers = (speak(200), speak(180))
    talk = (
        *(Message("user", first), Message("assistant", answers[0])),
        *(Message("user", second), Message("assistant", answers[1])),
    )
    scores, judgments = [], []
    for part in ("turn_1", "turn_2"):
        value = float(rng.randint(1, 10))
        scores.append(Score("score", value, part))
        said = (Exchange((Message("user", first),), speak(80)),)
        judgments.append(Judgment("judge", "rating_text", "ok", value, part, exchanges=said))
    return Outcome("ok", talk, answers, (), tuple(scores), tuple(judgments))


def _choice(prompt: str, choices: list[str], rng: random.Random) -> Outcome:
    if rng.random() < 0.002:
        return Outcome("engine_error", (Message("user", prompt),), error="out of memory")
    answers = tuple(f"{choice} = {-9 * rng.random():.4f}" for choice in choices)
    right = (Score("acc", float(rng.random() < 0.6)),)
    return Outcome("ok", (Message("user", prompt),), answers, (choices[0],), right)


# --- a page ------------------------------------------------------------------------------------


def measured(browser: Any, file: Path) -> dict[str, float]:
    """Milliseconds of a page's life, by the page's own clocks."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(file.as_uri(), wait_until="commit")
    found = {"first paint": _mark(page, "first-contentful-paint")}
    page.wait_for_load_state("load")
    found["loaded"] = page.evaluate(
        "performance.timing.loadEventEnd - performance.timing.fetchStart"
    )
    begun = page.evaluate("(location.hash = '#samples', performance.now())")
    for mark in ("evalkit-list", "evalkit-texts"):
        found[mark.removeprefix("evalkit-")] = _mark(page, mark) - begun
    page.evaluate("performance.clearMeasures()")
    _filter_all(page)
    found["filter"] = page.evaluate(
        "Math.max(...performance.getEntriesByName('evalkit-filter').map((e) => e.duration))"
    )
    found["rows"] = page.evaluate("document.querySelectorAll('.b-row').length")
    page.close()
    return found


def _mark(page: Any, name: str) -> float:
    """When the page noted something; waits for it (the page's policy forbids Playwright's way)."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        at = page.evaluate(f"performance.getEntriesByName('{name}')[0]?.startTime ?? null")
        if at is not None:
            return float(at)
        time.sleep(0.02)
    raise SystemExit(f"the page did not come to {name!r} within two minutes")


def _filter_all(page: Any) -> None:
    """Every kind of filter once, then searches: what `evalkit-filter` measures."""
    options = page.evaluate(
        "[...document.querySelectorAll('.b-filters select')].filter((s) => s.options.length > 1)"
        ".map((s) => [s.name, s.options[1].value])"
    )
    for name, value in options:
        page.evaluate(f"location.hash = '#samples&{name}=' + encodeURIComponent({value!r})")
        page.wait_for_timeout(50)
    page.evaluate("location.hash = '#samples'")
    for text in SEARCHES:
        page.fill(".b-search", text)
        page.wait_for_timeout(400)


def main() -> None:
    """Measure and publish."""
    options = _options()
    from playwright.sync_api import sync_playwright

    rows: list[tuple[Cell, ...]] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        for samples in options.samples:
            rows.append(_row(browser, samples, options))
        browser.close()
    publish("report_page", [Table("A page with every sample", COLUMNS, rows)], options)


def _row(browser: Any, samples: int, options: argparse.Namespace) -> tuple[Cell, ...]:
    run = synthetic(samples, options.models)
    with Clock() as clock:
        files = report.render(run)
    records = sum(len(repr(r)) for r in run.records[:: max(1, len(run.records) // 500)])
    records *= max(1, len(run.records) // 500)
    say(
        f"{samples:,} samples, {options.models} models: rendered in {clock}, {peak_rss_gb():.1f} GB"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = (options.keep or Path(folder)) / f"{samples}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(files["index.html"])
        found = measured(browser, file)
    say(", ".join(f"{name} {value:,.0f}" for name, value in found.items()) + " (ms; rows)")
    return (
        samples,
        options.models,
        round(records / 1e6),
        round(len(files["index.html"]) / 1e6, 1),
        _met(clock.cpu_s < 10) if samples <= 16_000 else None,
        _met(found["first paint"] < 2000),
        _met(found["filter"] < 500),
        int(found["rows"]),
    )


def _met(bar: bool) -> str:
    return "yes" if bar else "NO"


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--samples", type=int, nargs="+", default=[16_000, 50_000])
    made.add_argument("--models", type=int, default=3)
    made.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's program")
    made.add_argument("--keep", type=Path, help="a folder that gets the pages")
    return made.parse_args()


if __name__ == "__main__":
    main()
