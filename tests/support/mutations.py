"""Files as accidents and enemies leave them: seeded mutations of texts, of JSON and of bytes."""

from __future__ import annotations

import gzip
import json
import random
import re
import time
from collections.abc import Callable
from typing import Any

from evalkit.draw.text import is_unseen
from tests.support.cli import Outcome

__all__ = ["HOSTILE", "LONGEST_S", "alters", "bytes_of", "harmless", "json_of", "yaml_of"]

LONGEST_S = 5.0
"""CPU seconds that one file may take."""
HOSTILE = (
    "\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\u202egnp.exe", "\u2066x\u2069", "\x00", "\x08\x7f",
    "\r\n::error::x", "\ufeff", "\u2028", "\x85", "\ue000", "\U000e0041", "e\u0301\u0301\u0301",
    "\U0001d41a", "\ufdfa" * 40,
)  # fmt: skip
"""What a terminal would obey or hide."""
_TEXTS = (
    *HOSTILE, "", " ", "~", "null", "x" * 100_000, "=1+1", "<script>", "../../etc/passwd", "a/b:c",
    "-", "--json", "%s%n", "{{7*7}}", "${HOME}", "file:///etc/passwd", "sk-" + "a1" * 24,
)  # fmt: skip
_NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2**31, 2**63, 10**40, -(10**40), 0.5, 1e308, -0.0, float("nan"), float("inf"), True,
    False, None,
)  # fmt: skip


# --- JSON ---------------------------------------------------------------------------------------


def json_of(value: Any, dice: random.Random) -> str:
    """`value` with one to three of its parts replaced, removed, repeated or renamed, as JSON."""
    value = json.loads(json.dumps(value))
    for _ in range(dice.randint(1, 3)):
        value = _altered(value, dice)
    text: str = json.dumps(value)
    return text.replace('"!deep"', "[" * 10_000 + "]" * 10_000).replace('"!huge"', "9" * 5_000)


def _altered(value: Any, dice: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or dice.random() < 0.03:
        return _anything(dice)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = dice.choice(keys)
    way = dice.random()
    if way < 0.55:
        value[key] = _altered(value[key], dice)
    elif way < 0.75:
        value[key] = _anything(dice)
    elif way < 0.9:
        del value[key]
    elif isinstance(value, dict):
        value[dice.choice(_TEXTS)] = value.pop(key)
    else:
        value += [value[key]] * dice.choice([1, 3])
    return value


def _anything(dice: random.Random) -> Any:
    made: list[Callable[[], Any]] = [
        lambda: dice.choice(_TEXTS),
        lambda: dice.choice(_NUMBERS),
        lambda: dice.choice(["!deep", "!huge", [], {}, [[]], {"": {}}]),
        lambda: {dice.choice(_TEXTS): dice.choice(_NUMBERS)},
        lambda: [dice.choice(_TEXTS)] * dice.choice([1, 2, 50]),
    ]
    return dice.choice(made)()


# --- YAML and other texts -----------------------------------------------------------------------

_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(8)
)
_NODES = (
    "[" * 5_000, "{a: " * 2_000, "[[[[]]]]", "&a [*a]", "*nowhere", "!!python/object:os.system x",
    "!!binary aGk=", "!!set {a, b}", "!custom {x: 1}", "0o777", "0x" + "f" * 5_000, "9" * 5_000,
    "1e999", ".nan", "-.inf", "2001-01-01", "99999-99-99", "1:2:3:4", "|\n  text", ">-\n",
    "? a\n: b", "<<: *a", "{<<: [1, 2]}",
    "'", '"\\ud800"', '"\\x00"', "%TAG ! x", "---", "...", "\t", "@", "`",
)  # fmt: skip


def yaml_of(text: str, dice: random.Random) -> bytes:
    """A YAML text with one to four of its lines or scalars altered."""
    for _ in range(dice.randint(1, 4)):
        text = dice.choice([_line, _scalar, _scalar, _inserted])(text, dice)
    raw = text.encode("utf-8", "surrogatepass")
    return bytes_of(raw, dice) if dice.random() < 0.1 else raw


def _line(text: str, dice: random.Random) -> str:
    lines = text.split("\n")
    n = dice.randrange(len(lines))
    way = dice.randrange(6)
    if way == 0:
        del lines[n]
    elif way == 1:
        lines.insert(n, lines[n])
    elif way == 2:
        m = dice.randrange(len(lines))
        lines[n], lines[m] = lines[m], lines[n]
    elif way == 3:
        lines[n] = " " * dice.choice([1, 2, 3, 60]) + lines[n]
    elif way == 4:
        lines[n] = lines[n].lstrip()
    else:
        lines.insert(n, dice.choice([_BOMB, *_NODES]))
    return "\n".join(lines)


def _scalar(text: str, dice: random.Random) -> str:
    found = list(re.finditer(r"[^\s:,\[\]{}#]+", text))
    if not found:
        return text
    spot = dice.choice(found)
    quoted = json.dumps(dice.choice(_TEXTS), ensure_ascii=dice.random() < 0.5)
    new: str = dice.choice([dice.choice(_NODES), str(dice.choice(_NUMBERS)), quoted, ""])
    return text[: spot.start()] + new + text[spot.end() :]


def _inserted(text: str, dice: random.Random) -> str:
    n = dice.randrange(len(text) + 1)
    new: str = dice.choice([*_TEXTS, *_NODES, *":,[]{}#&*!|>'\"%@`-?"])
    return text[:n] + new + text[n:]


# --- bytes --------------------------------------------------------------------------------------


def bytes_of(raw: bytes, dice: random.Random) -> bytes:
    """Bytes cut, flipped, repeated or in another encoding."""
    way = dice.randrange(6)
    if way == 0:
        return raw[: dice.randrange(len(raw) + 1)]
    if way == 1:
        altered = bytearray(raw)
        for _ in range(dice.randint(1, 8)):
            altered[dice.randrange(len(raw))] = dice.randrange(256)
        return bytes(altered)
    if way == 2:
        return raw + raw
    if way == 3:
        return raw.decode(errors="replace").encode(dice.choice(["utf-16", "utf-32", "utf-7"]))
    if way == 4:
        return gzip.compress(raw)
    n = dice.randrange(len(raw) + 1)
    return raw[:n] + dice.randbytes(dice.choice([1, 16, 4_096])) + raw[n:]


# --- what must hold -----------------------------------------------------------------------------


def alters(run: Callable[[], Outcome], what: str) -> Outcome:
    """What a command says of an altered file; fails where it is a bug's trace, slow, or raw."""
    began = time.process_time()
    done = run()
    took = time.process_time() - began
    assert "this is a bug" not in done.err, f"{what}: {done.err[-2_000:]}"
    assert "Traceback" not in done.err, f"{what}: {done.err[-2_000:]}"
    assert took < LONGEST_S, f"{what}: {took:.1f} s"
    harmless(done.out + done.err, what)
    return done


def harmless(text: str, what: str = "") -> None:
    """Fails where a terminal would obey part of the text, or show it as something else."""
    raw = sorted({c for c in text if c not in "\n\t" and is_unseen(c)})
    assert not raw, f"{what}: {raw}"
