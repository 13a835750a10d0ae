"""Which entries of an index are of one measurement, however they name it.

Cards call a data set by its short name (`gsm8k`), its full one on the hub (`openai/gsm8k`) or by no
identifier at all (MT-Bench); a metric by its type or its name; and write shares of 1 or percent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.core import Json

__all__ = ["Likeness", "Measurement", "likeness", "measurements", "same_data", "same_measure"]

Likeness: TypeAlias = Literal["equal", "unit"]
"""How two values agree: as they are printed, or as a share and its percentage."""

_IDS: Mapping[str, tuple[str, ...]] = {
    "HuggingFaceH4/mt_bench_prompts": ("mt_bench", "mt-bench", "lmsys/mt_bench", "lmsys/mt-bench"),
    "Idavidrein/gpqa": ("gpqa",),
    "Rowan/hellaswag": ("hellaswag",),
    "TAUR-Lab/MuSR": ("musr",),
    "TIGER-Lab/MMLU-Pro": ("mmlu_pro", "mmlu-pro"),
    "allenai/ai2_arc": ("ai2_arc", "arc", "arc_challenge"),
    "allenai/winogrande": ("winogrande",),
    "cais/mmlu": ("mmlu", "hendrycks_test", "hendrycksTest", "lukaemon/mmlu"),
    "google/IFEval": ("ifeval", "HuggingFaceH4/ifeval", "wis-k/instruction-following-eval"),
    "openai/gsm8k": ("gsm8k",),
    "tatsu-lab/alpaca_eval": ("alpaca_eval", "alpacaeval"),
    "truthfulqa/truthful_qa": ("truthful_qa", "truthfulqa", "EleutherAI/truthful_qa_mc"),
    "ucinlp/drop": ("drop",),
}
"""Data sets of the hub, and what else they were and are called there."""
_NAMES: Mapping[str, str] = {
    "ai2reasoningchallenge": "allenai/ai2_arc",
    "alpacaeval": "tatsu-lab/alpaca_eval",
    "arc": "allenai/ai2_arc",
    "arcchallenge": "allenai/ai2_arc",
    "drop": "ucinlp/drop",
    "gsm8k": "openai/gsm8k",
    "hellaswag": "Rowan/hellaswag",
    "mmlu": "cais/mmlu",
    "mtbench": "HuggingFaceH4/mt_bench_prompts",
    "truthfulqa": "truthfulqa/truthful_qa",
    "winogrande": "allenai/winogrande",
}
"""Data sets by their names for people, where an entry has no identifier."""
_METRICS: Mapping[str, str] = {
    "accuracy": "acc",
    "normalizedaccuracy": "accnorm",
    "em": "exactmatch",
    "f1score": "f1",
    "lcwinrate": "lengthcontrolledwinrate",
    "mtbenchscore": "score",
    "rating": "score",
}
_KNOWN = frozenset(
    {*_METRICS.values(), "mc1", "mc2", "winrate", "normalizedscore", "discretewinrate"}
)
_LOOSE = {("openai/gsm8k", "acc"): "exactmatch"}
"""What the Open LLM Leaderboard called the metric of a data set."""
_SHOTS = re.compile(r"\(?\b(\d+)[- ]?shots?\b\)?", re.IGNORECASE)
_ASIDE = re.compile(r"\((?P<variant>[^)]*)\)")
_TELLING = 4
"""Digits at which two equal values are no chance."""
_FLOAT = 1e-9


@dataclass(frozen=True)
class Measurement:
    """One metric of an index, read."""

    data: str
    """The data set by today's identifier, or what there is of a name."""
    is_known: bool
    """One of those above."""
    place: tuple[str | None, str | None, str | None]
    """Config, split and revision."""
    name: str
    """The data set's name for people, without its shots, letters and digits alone."""
    shots: int | None
    metric: str
    variant: str
    value: float
    decimals: int
    said: str
    """Data set, metric and value as the card has them."""


def measurements(result: Json) -> list[Measurement]:
    """Every figure of an entry; none where it is no entry that the hub would read."""
    if not isinstance(result, Mapping):
        return []
    data, metrics = result.get("dataset"), result.get("metrics")
    if not isinstance(data, Mapping) or not isinstance(metrics, list):
        return []
    found = (_measurement(data, m) for m in metrics if isinstance(m, Mapping))
    return [one for one in found if one is not None]


def same_data(a: Measurement, b: Measurement) -> bool:
    """Whether two figures are of the same data, so far as both say which."""
    if a.data != b.data:
        return False
    if not a.is_known:
        return a.place == b.place and a.name == b.name
    return all(x == y or x is None or y is None for x, y in zip(a.place, b.place, strict=True))


def same_measure(a: Measurement, b: Measurement) -> bool:
    """Whether two figures are of the same data by the same metric, so far as both say which."""
    are_alike = a.metric == b.metric and (not (a.variant and b.variant) or a.variant == b.variant)
    if not are_alike:
        return same_data(a, b) and likeness(a, b) is not None and _digits(a) and _digits(b)
    return same_data(a, b) and (a.shots is None or b.shots is None or a.shots == b.shots)


def likeness(a: Measurement, b: Measurement) -> Likeness | None:
    """How two values agree within what their last digits leave open; None: they do not."""
    room = {m: 0.5 * 10.0**-m.decimals for m in (a, b)}
    if abs(a.value - b.value) <= room[a] + room[b] + _FLOAT:
        return "equal"
    share, percent = sorted((a, b), key=lambda m: abs(m.value))
    is_share = 0 < abs(share.value) <= 1
    apart = abs(100 * share.value - percent.value)
    fits = apart <= 100 * room[share] + room[percent] + _FLOAT
    return "unit" if is_share and fits and share.decimals >= 2 else None


def _digits(m: Measurement) -> bool:
    return len(f"{abs(m.value):.{m.decimals}f}".replace(".", "").lstrip("0")) >= _TELLING


# --- reading ------------------------------------------------------------------------------------


def _measurement(data: Mapping[str, Json], metric: Mapping[str, Json]) -> Measurement | None:
    number = _number(metric.get("value"))
    if number is None:
        return None
    kind, name = str(data.get("type") or ""), str(data.get("name") or "")
    plain = _plain(_SHOTS.sub("", name))
    known = _by_id(kind) or (_NAMES.get(plain) if kind in ("", "unknown") else None)
    place = tuple(_text(data.get(key)) for key in ("config", "split", "revision"))
    found, variant = _metric(metric)
    shown = f"{kind if kind not in ('', 'unknown') else name} {metric.get('type')}"
    return Measurement(
        data=known or (plain if kind in ("", "unknown") else kind),
        is_known=known is not None,
        place=(place[0], place[1], place[2]),
        name=plain,
        shots=_shots(data),
        metric=_LOOSE.get((known or "", found), found),
        variant=variant,
        value=number[0],
        decimals=number[1],
        said=f"{shown} {metric.get('value')}",
    )


def _by_id(kind: str) -> str | None:
    for known, others in _IDS.items():
        if kind.casefold() in (known.casefold(), *(other.casefold() for other in others)):
            return known
    return None


def _metric(metric: Mapping[str, Json]) -> tuple[str, str]:
    """(what it is, which variant of it)."""
    words = list(_words(metric))
    known = [word for word in words if word in _KNOWN]
    aside = _ASIDE.search(str(metric.get("name") or ""))
    return (known or words or [""])[0], _plain(aside["variant"]) if aside is not None else ""


def _words(metric: Mapping[str, Json]) -> Iterator[str]:
    for key in ("type", "name"):
        word = _plain(_ASIDE.sub("", str(metric.get(key) or "")))
        if word and word != "unknown":
            yield _METRICS.get(word, word)


def _shots(data: Mapping[str, Json]) -> int | None:
    args = data.get("args")
    said = args.get("num_few_shot") if isinstance(args, Mapping) else None
    if isinstance(said, int) and not isinstance(said, bool):
        return said
    match = _SHOTS.search(str(data.get("name") or ""))
    return int(match[1]) if match is not None and len(match[1]) < 4 else None


def _number(value: Json) -> tuple[float, int] | None:
    """(value, decimals)."""
    text = str(value).strip().removesuffix("%").strip()
    if isinstance(value, bool) or not re.fullmatch(r"[+-]?\d{1,15}(?:\.\d{1,20})?", text):
        return None
    number = float(text)
    return (number, len(text.partition(".")[2])) if math.isfinite(number) else None


def _plain(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _text(value: Json) -> str | None:
    return None if value is None else str(value)
