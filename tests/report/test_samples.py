"""What the page carries of every sample: all the run says, once, and nothing that could break out.

The oracle is the run itself; `tests/support/samples.py` unpacks a page without its script.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import report
from evalkit.comparison.figures import comparisons
from evalkit.core import (
    Exchange,
    Json,
    Judgment,
    Message,
    Outcome,
    Record,
    Score,
)
from evalkit.core.run import BenchmarkEntry, Run
from evalkit.draw import MISSING, difference, figure, visible
from evalkit.errors import StoreError
from evalkit.report.content import sample_link, samples_link
from evalkit.report.render import script
from tests.support.properties import examples
from tests.support.runs import METRICS, Plan, build_run, with_manifest
from tests.support.samples import Packed, blocks_of, judged_run, key_of, packed

MODELS = ("a", "b")
PAIR = ("quick-lora", "smollm2")
words = st.text(st.characters(), max_size=12) | st.sampled_from(
    ("</script>", "<!--", "⟨U+0000⟩", "\x00", "\ud800", "x" * 90, "y" * 500 + "\n\n" + "z" * 300)
)
statuses = st.sampled_from(("ok", "unparsable", "over_long", "excluded"))


@st.composite
def records(draw: st.DrawFn, model: str, sample: int, questions: list[str]) -> Record:
    """A judged conversation of one or two turns; the judge quotes all of it."""
    n = draw(st.integers(0, len(questions)))
    answers = [draw(words) for _ in range(n)]
    talk: list[Message] = []
    for i, question in enumerate(questions[: n + 1]):
        talk.append(Message("user", question))
        talk += [Message("assistant", f" {answers[i]}\n")] if i < n else []
    reference = (draw(words),) if draw(st.booleans()) else ()
    quoted = "\n\n".join(("Judge this.", *questions, *answers, *reference)) + draw(words)
    judgments, scores = [], []
    for part in ("turn_1", "turn_2")[:n]:
        value = draw(st.integers(1, 10))
        scores.append(Score("score", float(value), part))
        said = Exchange((Message("user", quoted),), draw(words))
        judgments.append(Judgment("judge", "rating", "ok", value, part, exchanges=(said,)))
    outcome = Outcome(
        draw(statuses),  # type: ignore[arg-type]  # one of Status
        tuple(talk) if draw(st.booleans()) else (),
        tuple(answers),
        reference,
        tuple(scores),
        tuple(judgments),
        truncated=draw(st.booleans()),
        error=draw(st.none() | words),
    )
    return Record(model, "mt_bench", "mt_bench", str(sample), draw(words), "", outcome)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Two models on a few samples; one may lack some."""
    found = []
    for sample in range(draw(st.integers(1, 4))):
        questions = [draw(words) for _ in range(draw(st.integers(1, 2)))]
        for model in MODELS:
            if model == "a" or draw(st.booleans()):
                found.append(draw(records(model, sample, questions)))
    found.sort(key=lambda r: r.model)
    base = build_run(Plan(models=MODELS))
    roles = {"a": "candidate", "b": "baseline"}
    compared = comparisons(found, [base.benchmark("mt_bench")], roles, 0.95)
    return replace(base, records=tuple(found), figures=(), comparisons=tuple(compared))


def spelled(messages: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(role, visible(text).strip()) for role, text in messages]


def messages_of(found: Packed, sample: Json, messages: Json) -> list[tuple[str, str]]:
    return [(role, found.text(sample, ref).strip()) for role, ref in messages]


def check_record(found: Packed, sample: Json, record: Record) -> None:
    """Everything of a record can be read in the page."""
    place = [m["name"] for m in found.head["models"]].index(visible(record.model))
    mine, outcome = sample["models"][place], record.outcome
    answers = [found.text(sample, ref) for turn in mine["answers"] for ref in turn]
    assert answers == [visible(text) for text in outcome.answers]
    talk: list[tuple[str, str]] = []
    for turn, given_answers in enumerate(mine["answers"]):
        asked = mine["sent"].get(str(turn), sample["sent"][turn])
        talk += messages_of(found, sample, asked)
        talk += [("assistant", found.text(sample, ref).strip()) for ref in given_answers]
    said = spelled([(m.role, m.content) for m in outcome.conversation])
    apart = [("assistant", visible(text).strip()) for text in outcome.answers]
    if outcome.conversation:
        assert talk in (said, said + apart)
    if outcome.reference:
        cited = sample["reference"] if mine["reference"] is None else mine["reference"]
        one = len(sample["sent"]) == 1
        given = ["\n".join(outcome.reference)] if one else [t for t in outcome.reference if t]
        assert [found.text(sample, r) for r in cited if r is not None] == [*map(visible, given)]
    assert mine["error"] is None or found.text(sample, mine["error"]) == visible(
        outcome.error or ""
    )
    assert (mine["error"] is None) == (outcome.error is None)
    for shown, judgment in zip(mine["judgments"], outcome.judgments, strict=True):
        assert (shown["judge"], shown["status"]) == (judgment.judge, judgment.status)
        assert len(shown["exchanges"]) == len(judgment.exchanges)
        for (prompt, reply), exchange in zip(shown["exchanges"], judgment.exchanges, strict=True):
            wanted = [(m.role, visible(m.content)) for m in exchange.prompt]
            assert [(role, found.text(sample, ref)) for role, ref in prompt] == wanted
            assert found.text(sample, reply) == visible(exchange.reply)
    assert len(mine["scores"]) == len(outcome.scores)


def check(run: Run) -> Packed:
    found = packed(run)
    by_sample: dict[tuple[str, str, str], list[Record]] = {}
    for r in run.records:
        by_sample.setdefault((r.benchmark, r.task, r.sample), []).append(r)
    assert len(found.samples) == len(by_sample) == len(found.head["id"])
    for row, sample in enumerate(found.samples):
        task = found.head["tasks"][found.head["task"][row]]
        benchmark = found.head["benchmarks"][task["benchmark"]]["name"]
        (key,) = [
            k
            for k in by_sample
            if tuple(map(visible, k)) == (benchmark, task["name"], found.head["id"][row])
        ]
        assert sum(m is not None for m in sample["models"]) == len(by_sample[key])
        for record in by_sample[key]:
            check_record(found, sample, record)
    return found


def test_a_text_over_the_stated_length_is_cut_and_says_so() -> None:
    base = judged_run()
    first, *others = base.records
    prompt = (Message("user", "b" * 250_000),)
    outcome = replace(first.outcome, conversation=prompt, answers=("a" * 250_000,))
    long = replace(first, outcome=outcome)
    found = packed(replace(base, records=(long, *others)))
    texts = [text for sample in found.samples for text in sample["texts"]]
    for letter in "ab":
        shown = [text for text in texts if text.startswith(4 * letter)]
        said = "\n[150,000 more characters are in the run's records]"
        assert shown == [letter * 100_000 + said]


@examples(40)
@given(runs())
def test_everything_a_run_says_can_be_read_in_its_page(run: Run) -> None:
    check(run)


def test_everything_of_a_run_of_many_kinds() -> None:
    check(judged_run())


def test_scores_and_differences_are_formatted_as_tables_are() -> None:
    run = judged_run()
    found = packed(run)
    head = found.head
    for p, (a, b) in enumerate(head["pairs"]):
        for row in range(len(head["id"])):
            by_name = {r.model: r for r in run.records if key_of(r) == row_key(head, row)}
            task = by_name[next(iter(by_name))].task
            (metric,) = [m for tasks in METRICS.values() for m in tasks.get(task, ()) if m.primary]
            values = []
            for model in (a, b):
                record = by_name.get(head["models"][model]["name"])
                scores = [] if record is None else record.outcome.scores
                values.append(
                    {s.part: s.value * metric.scale for s in scores if s.metric == metric.name}
                )
                column = head["by_model"][model]["score"]
                shown = column["texts"][column["at"][row]]
                mine = values[-1].values()
                assert shown == figure(fmean(mine) if mine else None, metric.unit)
            both = [
                values[0][part] - values[1][part] for part in values[0].keys() & values[1].keys()
            ]
            pair = head["by_pair"][p]
            wanted = "n" if not both else "w" if fmean(both) > 0 else "l" if fmean(both) else "t"
            assert pair["verdict"][row] == wanted
            if both:
                assert pair["shown"]["texts"][pair["shown"]["at"][row]] == difference(
                    fmean(both), metric.unit
                )


def row_key(head: Json, row: int) -> str:
    task = head["tasks"][head["task"][row]]
    benchmark = head["benchmarks"][task["benchmark"]]["name"]
    return key_of(Record("", benchmark, task["name"], head["id"][row], None, "", Outcome("ok")))


def test_wins_and_losses_are_the_comparisons_where_samples_have_one_score() -> None:
    run = judged_run()
    head = packed(run).head
    for row in run.comparisons:
        if row.key.metric not in ("win_rate", "acc", "exact_match,strict-match"):
            continue
        names = [m["name"] for m in head["models"]]
        pair = head["pairs"].index([names.index(row.candidate), names.index(row.baseline)])
        place = [t["name"] for t in head["tasks"]].index(row.key.task)
        verdicts = [
            v
            for v, t in zip(head["by_pair"][pair]["verdict"], head["task"], strict=True)
            if t == place
        ]
        counted = tuple(verdicts.count(letter) for letter in "wlt")
        assert counted == (row.wins, row.losses, row.ties)


@pytest.mark.parametrize("silent", ["quick-lora", "smollm2"])
def test_a_side_without_records_is_shown_without_answers(silent: str) -> None:
    run = build_run()
    run = replace(run, records=tuple(r for r in run.records if r.model != silent))
    head = packed(run).head
    names = [model["name"] for model in head["models"]]
    assert [[names[place] for place in pair] for pair in head["pairs"]] == [list(PAIR)]
    assert set(head["by_model"][names.index(silent)]["status"]) == {-1}
    assert set(head["by_pair"][0]["verdict"]) == {"n"}


def test_a_lower_score_wins_where_lower_is_better() -> None:
    run = build_run(Plan(samples=(12, 0, 0)))
    (entry, *_) = run.manifest.benchmarks
    about = entry.tasks["alpaca_eval"]
    metrics = tuple(replace(m, higher_is_better=False) for m in about.metrics)
    tasks = {"alpaca_eval": about.model_copy(update={"metrics": metrics})}
    turned = with_manifest(run, benchmarks=(BenchmarkEntry(name=entry.name, tasks=tasks),))
    swap = str.maketrans("wl", "lw")
    one, other = (packed(r).head["by_pair"][0] for r in (run, turned))
    assert other["verdict"] == one["verdict"].translate(swap)
    assert other["rank"] == [-rank for rank in one["rank"]]
    assert other["shown"] == one["shown"]


def test_same_bytes_whatever_the_folder() -> None:
    run = judged_run()
    first = report.render(run, split=True)
    assert first == report.render(replace(run, folder=Path("elsewhere")), split=True)
    for block in blocks_of(report.render(run)["index.html"]):
        # No time and no file name: bytes 3 to 8 of a gzip header.
        assert block[3:8] == bytes(5)


def test_texts_are_written_once() -> None:
    """A question, its answer and the reference come back in two judge prompts and both models."""
    secret = "".join(chr(97 + i * 7 % 26) for i in range(400))
    run = build_run(Plan(samples=(6, 0, 0)))
    quoted = tuple(
        replace(r, outcome=_quoting(r.outcome, f"{secret} {r.sample}")) for r in run.records
    )
    found = packed(replace(run, records=quoted))
    for sample in found.samples:
        assert sum(text.count(secret) for text in sample["texts"]) == 1
    assert any("You are a judge" in piece for piece in found.shared)
    check(replace(run, records=quoted))


def _quoting(outcome: Outcome, question: str) -> Outcome:
    rules = "You are a judge. " + "Be fair and say why, whoever wrote it, and be brief. " * 9
    prompt = (Message("user", f"{rules}\n\n{question}\n\n{''.join(outcome.answers)}"),)
    judgments = tuple(
        replace(j, exchanges=tuple(Exchange(prompt, e.reply) for e in j.exchanges))
        for j in outcome.judgments
    )
    talk = (Message("user", question), *outcome.conversation[1:])
    return replace(outcome, conversation=talk, judgments=judgments)


def test_few_shot_examples_are_written_once_for_all_samples() -> None:
    shots = "".join(f"Question {i}: {'why ' * 40}?\nAnswer: because.\n\n" for i in range(5))
    run = build_run(Plan(samples=(0, 0, 30)))
    longer = tuple(
        replace(
            r,
            outcome=replace(
                r.outcome, conversation=(Message("user", f"{shots}Question {r.sample}?"),)
            ),
        )
        for r in run.records
    )
    found = packed(replace(run, records=longer))
    assert sum("Question 3:" in piece for piece in found.shared) == 1
    assert not [t for s in found.samples for t in s["texts"] if "Question 3:" in t]
    assert found.head["about"][0] == "Question 0?"
    check(replace(run, records=longer))


@pytest.mark.parametrize("split", [False, True])
def test_no_markup_of_a_text_is_in_the_page(split: bool) -> None:
    evil = "</script><script>window.pwned=1</script><!--"
    run = build_run(Plan(models=(evil, f"{evil}2"), say=lambda text: evil + text))
    files = report.render(run, split=split)
    html = files["index.html"].decode()
    own = script()
    assert "</script" not in own
    assert "<!--" not in own
    assert (
        html.count("</script")
        == html.count("<script")
        == (1 if split else 1 + len(blocks_of(files["index.html"])))
    )
    assert "pwned=1</script>" not in html


def test_no_text_where_the_suite_or_the_user_wants_none() -> None:
    for run, only in ((build_run(Plan(examples=0)), False), (judged_run(), True)):
        for split in (False, True):
            files = report.render(run, figures_only=only, split=split)
            assert set(files) == {"index.html", "report.md"}
            assert b"b-block" not in files["index.html"]
            assert b"<script" not in files["index.html"]


def test_a_split_page_names_its_files_by_their_content() -> None:
    run = judged_run()
    files = report.render(run, split=True)
    html = unescape(files.pop("index.html").decode())
    del files["report.md"]
    assert re.findall(r"samples/[0-9a-f]{20}\.json\.gz", html) == list(files)
    assert "b-block" not in html.split("<script>")[0]
    assert "connect-src 'self'" in html
    assert b"connect-src" not in report.render(run)["index.html"]
    assert list(files.values()) == blocks_of(report.render(run)["index.html"])
    assert all(gzip.decompress(block) for block in files.values())


def test_ids_that_look_the_same_have_addresses_of_their_own() -> None:
    run = build_run(Plan(samples=(2, 0, 0)))
    names = {"0000": "a\r", "0001": "a\n"}
    odd = tuple(replace(r, sample=names.get(r.sample, r.sample)) for r in run.records)
    assert packed(replace(run, records=odd)).head["id"] == ["a\n", "a\n (2)"]


def test_a_model_that_failed_is_no_tie() -> None:
    run = build_run(Plan(samples=(12, 0, 0)))
    head = packed(run).head
    failed = head["statuses"].index("over_long")
    row = head["by_model"][0]["status"].index(failed)
    assert head["by_pair"][0]["verdict"][row] == "n"
    score = head["by_model"][0]["score"]
    assert score["texts"][score["at"][row]] == MISSING


def test_links_to_samples_and_lists() -> None:
    assert sample_link("b", "t/1", "ü &") == "#sample=b/t%2F1/%C3%BC%20%26"
    assert samples_link(verdict="loss", q="a&b") == "#samples&verdict=loss&q=a%26b"
    assert sample_link("b", "t", "\ud800") == sample_link("b", "t", "⟨U+D800⟩")


def test_the_ways_in_count_samples() -> None:
    run = judged_run()
    html = report.render(run)["index.html"].decode()
    head = packed(run).head
    for i, _ in enumerate(head["pairs"]):
        n = head["by_pair"][i]["verdict"].count("l")
        pair = f"&amp;pair={i}" if i else ""
        assert f'<a href="#samples{pair}&amp;verdict=loss"><b>{n}</b>' in html


def test_the_script_makes_no_markup_of_text() -> None:
    """Trusted Types hold it to that in Chromium; this is for every other browser."""
    text = script()
    forbidden = (
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("),
        *('setAttribute("style"', 'setAttribute("on', "cssText", "srcdoc", "import(", "XMLHttp"),
        *("createContextualFragment", "DOMParser", 'setTimeout("', "http:", "https:", "WebSocket"),
    )
    assert [word for word in forbidden if word in text] == []
    # Addresses are its own (`writeAddress`), never a text of the run.
    addresses = ["anchor.href = link;", "link.href = URL.createObjectURL(text);"]
    assert sorted(re.findall(r"\w+\.href = .*", text)) == addresses
    assert re.findall(r"\.src\b", text) == []


def test_a_linked_folder_of_samples_is_no_place_for_texts(tmp_path: Path) -> None:
    (tmp_path / "samples").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="remove the link"):
        report.sample_files(tmp_path)
