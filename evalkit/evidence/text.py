"""A chain as lines for a terminal.  All of it may be hostile: what is no text is spelled out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from evalkit.compare.words import unit_text
from evalkit.core import Json
from evalkit.draw import MISSING, count, one_line, visible
from evalkit.evidence.chain import Chain

__all__ = ["chain_lines"]

_Row: TypeAlias = tuple[str, str]
"""A name and what is said of it; without a name, the line goes on."""

_IDS = 8
"""Sample ids shown; `--json` and `--samples` have all."""
_LINE = 300
_NAME = 40
_TEXT_LINES = 12
"""Lines of a prompt that are shown."""
_SAID_ELSEWHERE = ("files", "judge", "model_in_file")
_WORDS = {
    "same": "the same",
    "differs": "DIFFERENT",
    "not recomputed": "not recomputed",
    "nothing computed": "nothing was computed",
}


def chain_lines(chain: Chain) -> list[str]:
    """Headings with lines under them, most telling first."""
    figure, parts = chain.figure, chain.parts
    lines = [f"{figure.shown}  {one_line(visible(figure.cell))}"]
    for title, rows in (
        ("Figure", _figure(parts["figure"], parts["recomputed"])),
        ("Published", _published(parts.get("published"))),
        ("Samples", _samples(parts.get("samples"))),
        ("Judgments", _judgments(parts.get("judgments"))),
        *((f"Model {m.get('name')}", _model(m)) for m in parts.get("models", ())),
        ("Benchmark", _benchmark(parts.get("benchmark"))),
        *((f"Recorded evidence of {e.get('model')}", _evidence(e)) for e in _evidences(parts)),
        *((f"Run {run.get('run_id')}", _run(run)) for run in parts.get("runs", ())),
        ("Commands", _commands(parts.get("commands"))),
    ):
        found = list(rows)
        if found:
            lines += ["", one_line(visible(title)), *_aligned(found)]
    return lines


def _aligned(rows: Sequence[_Row]) -> Iterator[str]:
    names = [one_line(visible(name), _NAME) for name, _ in rows]
    width = max(len(name) for name in names)
    for name, (_, text) in zip(names, rows, strict=True):
        yield f"  {name:<{width}}  {text}".rstrip()


def _fact(name: str, value: Json) -> _Row:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return name, one_line(visible(shown), _LINE)


def _facts(value: Json, prefix: str = "") -> Iterator[_Row]:
    """Nested objects as `outer.inner`; what is null is left out."""
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if isinstance(inner, Mapping) and inner:
            yield from _facts(inner, f"{prefix}{key}.")
        elif inner not in (None, [], {}):
            yield _fact(f"{prefix}{key}", inner)


def _verbatim(title: str, text: str) -> Iterator[_Row]:
    lines = visible(text).split("\n")
    yield title, ""
    yield from (("", f"| {one_line(line, _LINE)}") for line in lines[:_TEXT_LINES])
    if len(lines) > _TEXT_LINES:
        yield "", f"({count(len(lines) - _TEXT_LINES)} more lines: see --json)"


def _figure(row: Json, found: Json) -> Iterator[_Row]:
    value = row.get("point", row.get("difference"))
    unit = unit_text(row["unit"], of_difference="difference" in row)
    yield _fact("unrounded", MISSING if value is None else f"{value!r} ({unit})")
    yield _fact("printed", f"{row['printed']}, interval {row['printed_interval']}")
    if row["low"] is not None:
        yield _fact("interval", f"{row['low']!r} to {row['high']!r}, level {row['level']!r}")
    yield _fact("method", row["method"])
    yield _fact("n", _size(row))
    for flag in row["flags"]:
        yield _fact("flag", flag)
    yield _fact("recomputed", f"{_WORDS[found['outcome']]}: {found['why']}")
    for difference in found["differences"]:
        yield _fact("", difference)


def _size(row: Json) -> str:
    if row.get("point") is not None and not row["n"]:
        return "not stated"
    text = f"{count(row['n'])} scores in {count(row['n_clusters'])} units of resampling"
    if "n_missing" in row:
        return f"{text}, {count(row['n_missing'])} missing"
    return (
        f"{text}; {count(row['wins'])} wins, {count(row['ties'])} ties, {count(row['losses'])} "
        f"losses; missing {count(row['n_missing_candidate'])} of the candidate, "
        f"{count(row['n_missing_baseline'])} of the baseline"
    )


def _published(part: Json) -> Iterator[_Row]:
    if part:
        yield _fact("source", part["source"])
        yield _fact("here", part["how"])
        yield from _facts(part["stated_in_suite"], "suite.")


def _samples(part: Json) -> Iterator[_Row]:
    if not part:
        return
    ids = part["ids"]
    more = f" and {count(len(ids) - _IDS)} more" if len(ids) > _IDS else ""
    yield _fact("scored", f"{count(part['n'])}: {', '.join(ids[:_IDS])}{more}")
    lost = part["without_score"]
    for row in lost[:_IDS]:
        why = f": {row['error']}" if row["error"] else ""
        yield _fact("no score", f"{row['model']} {row['sample']}, {row['status']}{why}")
    if len(lost) > _IDS:
        yield _fact("no score", f"and {count(len(lost) - _IDS)} more")
    if part["truncated"]:
        yield _fact("truncated", f"{count(part['truncated'])} answers, scored all the same")
    if part["first"]:
        yield from _first(part["first"])


def _first(sample: Json) -> Iterator[_Row]:
    scores = ", ".join(
        f"{s['metric']}{' ' + s['part'] if s['part'] else ''} {s['value']!r}"
        for s in sample["scores"]
    )
    yield _fact("first", f"{sample['model']}, sample {sample['sample']}: {scores}")
    for message in sample["conversation"]:
        yield _fact(f"  {message['role']}", message["content"])
    for answer in () if sample["conversation"] else sample["answers"]:
        yield _fact("  answer", answer)
    for reference in sample["reference"]:
        yield _fact("  reference", reference)


def _judgments(part: Json) -> Iterator[_Row]:
    if not part:
        return
    for row in part["by"]:
        counts = ", ".join(f"{count(n)} {status}" for status, n in row["status"].items())
        yield _fact("judge", f"{row['judge']}, protocol {row['protocol']}: {counts}")
    for judge in part["judges"]:
        yield from _facts(judge["engine"], "judge.")
    yield from _facts(part["described"], "")
    prompt = part["prompt"]
    if prompt is None:
        yield _fact("prompt", "not stored: these judgments were recorded without their prompts")
        return
    where = f"{prompt['model']}, sample {prompt['sample']} {prompt['part']}".rstrip()
    yield _fact("prompt of", where)
    yield _fact("its sha256", prompt["sha256"])
    yield from _verbatim("its text", prompt["text"])
    yield _fact("its reply", prompt["reply"])


def _model(part: Json) -> Iterator[_Row]:
    kept = ("role", "fingerprint", "template_source", "provenance", "engine")
    yield from _facts({k: part[k] for k in kept if k in part})
    if part.get("trust_remote_code"):
        yield _fact("remote code", "was run")
    prompt = part.get("first_prompt")
    if prompt and prompt.get("text") is not None:
        size = f"{count(prompt.get('n_tokens'))} tokens, BOS {prompt.get('bos')}"
        yield _fact("first prompt", size)
        yield from _verbatim("", prompt["text"])


def _benchmark(part: Json) -> Iterator[_Row]:
    if part:
        yield _fact("entry", str(part["name"]))
        said = {k: v for k, v in part["description"].items() if k not in _SAID_ELSEWHERE}
        yield from _facts(said)


def _evidences(parts: Mapping[str, Json]) -> Sequence[Json]:
    found: Sequence[Json] = parts.get("evidence", ())
    return found


def _evidence(part: Json) -> Iterator[_Row]:
    yield _fact("read by", str(part.get("kind")))
    for file in part.get("files", ()):
        yield _fact("file", f"{file.get('file')} sha256 {file.get('sha256')}")
    for finding in part.get("findings", ()):
        word = "damaged" if finding.get("damaged") else "remark"
        yield _fact(word, str(finding.get("message")))


def _run(part: Json) -> Iterator[_Row]:
    yield from _facts({k: v for k, v in part.items() if k not in ("run_id", "versions", "files")})
    yield from (_fact("sha256", f"{name} {digest}") for name, digest in part["files"].items())
    versions = part.get("versions") or {}
    yield _fact("versions", ", ".join(f"{k} {v}" for k, v in sorted(versions.items())))


def _commands(part: Json) -> Iterator[_Row]:
    if part:
        yield from (_fact("made by", command) for command in part["made_the_run"])
        yield from (_fact("given in", folder) for folder in part["made_in"])
        yield from (_fact("recompute", command) for command in part["recompute"])
