"""Result files as accidents and enemies leave them: an import says what is wrong, or reads them."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from evalkit import formats
from tests.support.cli import evalkit
from tests.support.exports import NEEDED, exportable
from tests.support.mutations import HOSTILE, alters, bytes_of, json_of
from tests.support.runs import Plan, stored_run

_PLAN = Plan(models=("a", "b"), samples=(3, 2, 6))


@cache
def files() -> Mapping[str, Mapping[str, bytes]]:
    """Small files of every kind, by their names."""
    run = exportable(_PLAN)
    made: dict[str, dict[str, bytes]] = {}
    for kind in ("lm_eval", "every_eval_ever", "inspect"):
        spec = formats.settings(kind, {**NEEDED.get(kind, {}), "models": ("a",)})
        made[kind] = dict(formats.export([run], spec).files)
    pairs = [
        {"instruction": f"q{n}", "output_1": "r", "output_2": f"x{n}", "generator_1": "r",
         "generator_2": "a", "preference": 1 + n % 2, "annotator": "weighted_alpaca_eval",
         "raw_completion": {"choices": [{"message": {"content": "m"}}]}}
        for n in range(4)
    ]  # fmt: skip
    rated = [
        {"question_id": 81 + n, "model": "a", "judge": ["gpt-4", "single-v1"], "user_prompt": "p",
         "judgment": "Rating: [[8]]", "score": 8, "turn": t, "tstamp": 1.0}
        for n in range(2) for t in (1, 2)
    ]  # fmt: skip
    followed = [
        {"follow_all_instructions": True, "follow_instruction_list": [True], "prompt": f"p{n}",
         "instruction_id_list": ["punctuation:no_comma"], "response": "x"}
        for n in range(3)
    ]  # fmt: skip
    made["alpaca_eval"] = {"annotations.json": json.dumps(pairs).encode()}
    made["mt_bench"] = {"gpt-4_single.jsonl": _lines(rated)}
    made["ifeval"] = {"eval_results_strict.jsonl": _lines(followed)}
    return made


def _lines(rows: Sequence[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _altered(name: str, raw: bytes, dice: random.Random) -> bytes:
    if dice.random() < 0.25:
        return bytes_of(raw, dice)
    if name.endswith(".eval"):
        return _archive(raw, dice)
    if name.endswith(".jsonl"):
        lines = raw.decode().splitlines()
        n = dice.randrange(len(lines))
        lines[n] = json_of(json.loads(lines[n]), dice)
        return "\n".join(lines).encode("utf-8", "surrogatepass")
    return json_of(json.loads(raw), dice).encode("utf-8", "surrogatepass")


def _archive(raw: bytes, dice: random.Random) -> bytes:
    altered = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive, zipfile.ZipFile(altered, "w") as out:
        victim = dice.choice(archive.namelist())
        for name in archive.namelist():
            content = archive.read(name)
            if name == victim:
                content = json_of(json.loads(content), dice).encode("utf-8", "surrogatepass")
            out.writestr(dice.choice(["../x", "\x1b"]) if dice.random() < 0.02 else name, content)
    return altered.getvalue()


def _fuzz(folder: Path, seeds: range) -> None:
    for seed in seeds:
        dice = random.Random(seed)
        kind = dice.choice(sorted(files()))
        given = dict(files()[kind])
        victim = dice.choice(sorted(given))
        given[victim] = _altered(victim, given[victim], dice)
        place = folder / str(seed)
        for name, raw in given.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(raw)
        what = f"seed {seed}: {kind} {victim}: {given[victim][:1_500]!r}"
        command = ("import", kind, str(place), "--out", f"{place}/run")
        named = ("--model", "a") if kind == "ifeval" else ()
        done = alters(lambda: evalkit(folder, *command, *named), what)  # noqa: B023
        assert done.code in (0, 2, 3), f"{what}: {done}"
        shutil.rmtree(place)


def test_the_files_that_are_altered_are_read(tmp_path: Path) -> None:
    for kind, given in files().items():
        for name, raw in given.items():
            (tmp_path / kind / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / kind / name).write_bytes(raw)
        named = ("--model", "a") if kind == "ifeval" else ()
        done = evalkit(tmp_path, "import", kind, kind, "--out", f"run-{kind}", *named)
        assert done.code == 0, done.err


def test_a_few_altered_files(tmp_path: Path) -> None:
    _fuzz(tmp_path, range(6))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(4))
def test_two_thousand_altered_files(part: int, tmp_path: Path) -> None:
    _fuzz(tmp_path, range(1_000 + part * 500, 1_500 + part * 500))


_BOMB = gzip.compress(b"[" + b" " * 300_000_000 + b"]", 9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["lm_eval", "every_eval_ever", "inspect", "alpaca_eval", "mt_bench"]
)
def test_what_is_no_file_and_what_expands(kind: str, tmp_path: Path) -> None:
    """A pipe that nobody writes to, a loop of links, a bomb, a folder."""
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "loop.json").symlink_to("loop.json")
    (tmp_path / "bomb.json.gz").write_bytes(_BOMB)
    (tmp_path / "folder.json").mkdir()
    with zipfile.ZipFile(tmp_path / "bomb.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", b"{" + b" " * 300_000_000 + b"}")
    (tmp_path / f"{HOSTILE[0]}{HOSTILE[3]}.json").write_text("{")
    for path in [*sorted(tmp_path.iterdir()), tmp_path / "gone.json"]:
        done = alters(lambda: evalkit(tmp_path, "import", kind, str(path)), f"{kind} {path}")  # noqa: B023
        assert done.code == 2, f"{path}: {done}"


def test_votes_that_are_damaged(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run", _PLAN)
    sample = next(r.sample for r in run.records)
    good = f"sample,first,second,choice,voter\n{sample},a,b,first,me\n".encode()
    for seed in range(20):
        (tmp_path / "votes.csv").write_bytes(bytes_of(good, random.Random(seed)))
        done = alters(lambda: evalkit(tmp_path, "import", "votes", "votes.csv", "run"), str(seed))
        assert done.code in (0, 2), done
