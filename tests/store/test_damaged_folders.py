"""Damaged run folders: whatever is in them, every command that reads runs says what is wrong.

2,000 folders, each a small run damaged at random by a seed: bytes flipped, files cut, lines
repeated, keys lost, values of other types, numbers no machine holds, text that is none, pipes,
sockets, folders and links in a file's place.  Nothing but an `EvalkitError` may come of it, nothing
takes longer than five seconds, and the index shows every run, the broken ones with their reason.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit import card, draw, formats, report, store
from evalkit.comparison import evidence, history
from evalkit.comparison.claim import claim
from evalkit.comparison.contests import Options, contests, uncompared
from evalkit.comparison.gate import gate, gate_json, pin, read_pinned
from evalkit.comparison.recompute import load, verify
from evalkit.comparison.resolve import pick
from evalkit.core.run import Run
from evalkit.errors import EvalkitError
from tests.support.runs import Plan, build_run, with_suite, write_run

SECONDS = 5.0
FILES = ("manifest.json", "records.jsonl", "results.json", "SHA256SUMS", "sessions.jsonl")
KEPT = Path(__file__).parent / "format_1" / "whole"

# --- damage -------------------------------------------------------------------------------------

ODD: tuple[str, ...] = (
    "null", "true", "false", "0", "-1", "1e999", "-1e999", "NaN", "1e308", "5e-324", "9" * 5000,
    "9" * 250, "[]", "{}", '""', '"x"', '"\\ud800"', '"\\u0000"', '"a/../b\\u001b[2J"',
    "[" * 3000 + "]" * 3000, "[" * 150 + "]" * 150, '{"a": {"b": [null]}}', "[null]", '[{"a": 1}]',
    '"' + "x" * 70_000 + '"', "{" + ",".join(f'"k{n}": 1' for n in range(3000)) + "}",
    "{" + ",".join('"k": 1' for _ in range(60_000)) + "}",
)  # fmt: skip
"""JSON values that stand where others are expected."""
_HERE = "an odd value stands here"


def flip(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 3, 40))):
        if found:
            found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def cut(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((data[:a], data[a:], data[:a] + data[b:], b""))


def repeat(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    n = rng.randrange(len(lines)) if lines else 0
    return b"".join([*lines[:n], *lines[n : n + 1] * rng.choice((2, 300)), *lines[n:]])


def insert(data: bytes, rng: random.Random) -> bytes:
    n = rng.randrange(len(data) + 1)
    odd = rng.choice((b"\xff\xfe", b"\xed\xa0\x80", b"\0", b"\r", b"\xef\xbb\xbf", b"{", b"\n"))
    return data[:n] + odd + data[n:]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*path, key))


def _alike(value: Any, rng: random.Random) -> Any:
    """Another value of its type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        numbers = (0, 1, -1, 7, 2**63, 10**200, 1e300, -1e300, 1e-300, 5e-324, 0.5, 1e17)
        return rng.choice((*numbers, value + 1, -value, value * 1.5, float(value), int(value)))
    if isinstance(value, str):
        texts = (
            "",
            " ",
            "x" * 70_000,
            "\ud800",
            "\0",
            "\x1b[2J",
            "../..",
            "a/b",
            "\u202e",
            "9" * 5000,
        )
        return rng.choice((*texts, value * 2, value[:-1], value + "\ud83d", value.upper()))
    if isinstance(value, list):
        return rng.choice(([], value * 2, value[::-1], value[1:]))
    if isinstance(value, dict):
        return rng.choice(
            ({}, dict(reversed(value.items())), {f"{k}x": v for k, v in value.items()})
        )
    return rng.choice((0, "", [], {}))


def retype(data: bytes, rng: random.Random) -> bytes:
    """A value of one JSON text (the file, or a line of it) is lost, or another in its place."""
    lines = data.split(b"\n") if data.count(b"\n{") else [data]
    n = rng.randrange(len(lines))
    try:
        value = json.loads(lines[n])
        places = list(_places(value))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return insert(data, rng)
    for _ in range(rng.choice((1, 1, 1, 4))):
        if not places:
            break
        *path, last = rng.choice(places)
        inner = value
        try:
            for key in path:
                inner = inner[key]
            if rng.random() < 0.3:
                del inner[last]
            elif rng.random() < 0.15:
                other = value
                for key in rng.choice(places):
                    other = other[key]
                inner[last] = other
            elif rng.random() < 0.7:
                inner[last] = _alike(inner[last], rng)
            else:
                inner[last] = _HERE
        except (KeyError, IndexError, TypeError):
            continue
    try:
        text = json.dumps(value)
    except ValueError:  # a part within itself
        return cut(data, rng)
    lines[n] = text.replace(f'"{_HERE}"', rng.choice(ODD)).encode()
    return b"\n".join(lines)


def misplace(path: Path, rng: random.Random) -> None:
    """Something that is no plain file stands in its place."""
    if path.is_dir():
        return
    path.unlink(missing_ok=True)
    kind = rng.choice(("gone", "folder", "pipe", "socket", "loop", "nowhere", "device"))
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server, _within(path.parent):
            server.bind(path.name)  # its path may be too long for one
    elif kind != "gone":
        target = {"loop": path.name, "nowhere": "no/such/file", "device": "/dev/zero"}[kind]
        path.symlink_to(target)


class _within:  # noqa: N801 - a context manager
    def __init__(self, folder: Path) -> None:
        self.folder, self.before = folder, Path.cwd()

    def __enter__(self) -> None:
        os.chdir(self.folder)

    def __exit__(self, *_: object) -> None:
        os.chdir(self.before)


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip, cut, repeat, insert, *(retype,) * 12
)  # fmt: skip


def damage(folder: Path, rng: random.Random) -> None:
    """One to three things go wrong in `folder`; half the time no digest tells of it."""
    if rng.random() < 0.5:
        (folder / "SHA256SUMS").unlink(missing_ok=True)
    for _ in range(rng.choice((1, 1, 2, 3))):
        path = folder / rng.choice((*FILES[:3] * 5, *FILES, "votes.jsonl", "ledger.jsonl"))
        if rng.random() < 0.06:
            misplace(path, rng)
        elif path.is_file() and not path.is_symlink():
            path.write_bytes(rng.choice(BYTES)(path.read_bytes(), rng))
        elif not path.exists() and not path.is_symlink():
            path.write_bytes(rng.choice(ODD).encode() + b"\n")


# --- what reads it ------------------------------------------------------------------------------


def _compare(run: Run, _: Path) -> None:
    ours, theirs = pick([run], None, ())
    found = contests([run], ours, theirs, Options())
    draw.table_to_markdown(draw.contest_table(found))
    [draw.contest_sentence(one) for one in found]
    uncompared([run], ours, theirs, Options())


def _gate(run: Run, folder: Path) -> None:
    result = gate(run)
    json.dumps(gate_json(result))
    draw.gate_comment(result)
    path = folder / "baseline.json"
    path.write_bytes(pin(run, result.candidate))
    path.write_bytes(flip(path.read_bytes(), random.Random(len(run.records))))
    read_pinned(path)


def _evidence(run: Run, _: Path) -> None:
    for found in list(evidence.every(run))[:3]:
        made = evidence.chain(found, evidence.recompute(found), [run])
        evidence.chain_lines(made)


def _verify(run: Run, _: Path) -> None:
    verify(run)


def _history(_: Run, folder: Path) -> None:
    runs, _notes = history.find_runs([folder.parent])
    for series in history.history(history.checkpoints(runs).checkpoints):
        history.series_lines(series)


def _report(run: Run, _: Path) -> None:
    report.render(run)
    report.comment(run)
    report.summary_lines(run)


def _card(run: Run, _: Path) -> None:
    card.files(run)
    card.Card(card.gather([run], allow_unpublishable=True), "m").text()


def _export(run: Run, _: Path) -> None:
    formats.export([run], formats.settings("json", {}))


def _claim(run: Run, _: Path) -> None:
    claim([run], "quick-lora beats smollm2 on lm_eval/sums", Options())


READERS: tuple[Callable[[Run, Path], None], ...] = (
    _report, _compare, _gate, _evidence, _verify, _history, _card, _export, _claim
)  # fmt: skip


def read(folder: Path, sound: Path) -> Iterator[str]:
    """What went wrong otherwise than as an `EvalkitError`, or took too long."""
    run: Run | None = None

    def timed(name: str, step: Callable[[], object]) -> Iterator[str]:
        start = time.process_time()
        try:
            step()
        except EvalkitError as error:
            if not str(error).strip():
                yield f"{name}: says nothing"
        except Exception as error:  # noqa: BLE001 - what is looked for
            yield f"{name}: {type(error).__name__}: {str(error)[:300]}"
        if time.process_time() - start > SECONDS:
            yield f"{name}: {time.process_time() - start:.1f} s"

    def loaded() -> None:
        nonlocal run
        run = load(folder)

    yield from timed("load", loaded)
    yield from timed("index", lambda: _index(folder, sound))
    yield from timed("latest", lambda: store.find_run(folder.parent))
    for step in READERS if run is not None else ():
        found = run
        yield from timed(step.__name__, lambda s=step, r=found: s(r, folder))  # type: ignore[misc]


def _index(folder: Path, sound: Path) -> None:
    found = list(report.entries([folder.parent, sound]))
    report.index_page(found, lambda _: "", [folder.parent])
    assert [e.error for e in found if e.folder == sound] == [""], "the others are shown"
    for entry in found:
        assert "damaged (" not in entry.error, entry.error
    there = {e.folder for e in found}
    assert folder in there or not os.path.lexists(folder / "manifest.json")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from evalkit.core.specs import GateSpec

    plan = Plan(samples=(4, 3, 4), published=True)
    spec = GateSpec(baseline="smollm2", margins={"default": {"percent": 9.0, "points": 1.0}})
    folder = tmp_path_factory.mktemp("sound") / "run"
    write_run(with_suite(build_run(plan), gate=spec), folder, started=1.7e9)
    return folder


def _wrong(sound: Path, place: Path, seeds: range) -> list[str]:
    found = []
    for seed in seeds:
        rng = random.Random(seed)
        folder = place / str(seed) / "run"
        shutil.copytree(KEPT if seed % 7 == 0 else sound, folder)
        damage(folder, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of numbers beyond all
            found += [f"seed {seed}: {wrong}" for wrong in read(folder, sound)]
        shutil.rmtree(folder.parent)
    return found


def test_damaged_folders_are_errors(sound: Path, tmp_path: Path) -> None:
    assert not _wrong(sound, tmp_path, range(6))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_two_thousand_damaged_folders_are_errors(sound: Path, tmp_path: Path, part: int) -> None:
    wrong = _wrong(sound, tmp_path, range(100 * part, 100 * (part + 1)))
    assert not wrong, "\n".join(wrong)
