"""Twenty correct cards of different habits: none is accused, and planted errors are found.

Each card is made of the same true figures in the way its author writes; one error of each kind is
planted in each: a wrong average, a figure of a second table, of the index and of a sentence that
differs from the first table's, and a sentence that says the opposite of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from evalkit.card import audit
from evalkit.card.audit import Audit, Evidence

OWN, ZEPHYR, MISTRAL = "My-Model-7B-v0.2", "zephyr-7b-beta", "mistralai/Mistral-7B-v0.1"
BENCHES = ("ARC", "HellaSwag", "MMLU", "TruthfulQA", "Winogrande", "GSM8K")
SHOTS = {"ARC": 25, "HellaSwag": 10, "MMLU": 5, "TruthfulQA": 0, "Winogrande": 5, "GSM8K": 5}
TASKS = {
    "ARC": ("arc_challenge", "acc_norm"), "HellaSwag": ("hellaswag", "acc_norm"),
    "MMLU": ("mmlu", "acc"), "TruthfulQA": ("truthfulqa_mc2", "acc"),
    "Winogrande": ("winogrande", "acc"), "GSM8K": ("gsm8k", "exact_match"),
}  # fmt: skip
FIGURES = {
    OWN: (63.48, 84.62, 62.81, 55.37, 78.93, 41.85),
    ZEPHYR: (62.03, 84.36, 61.07, 57.45, 77.74, 12.74),
    MISTRAL: (59.98, 83.31, 64.16, 42.15, 78.37, 37.83),
}
MT = {OWN: 7.41, ZEPHYR: 7.34, MISTRAL: 6.84}


@dataclass(frozen=True)
class Card:
    """What a card prints, place by place."""

    main: Mapping[tuple[str, str], float]
    second: Mapping[str, float]
    index: Mapping[str, float]
    prose: float
    claim: tuple[str, str]


def true_card() -> Card:
    main = {(m, b): v for m, row in FIGURES.items() for b, v in zip(BENCHES, row, strict=True)}
    main |= {(m, "Average"): round(sum(row) / 6, 2) for m, row in FIGURES.items()}
    main |= {(m, "MT-Bench"): v for m, v in MT.items()}
    own = dict(zip(BENCHES, FIGURES[OWN], strict=True))
    return Card(main, own, own, MT[OWN], (OWN, ZEPHYR))


PLANTED: dict[str, Callable[[Card], Card]] = {
    "average": lambda c: replace(c, main={**c.main, (OWN, "Average"): c.main[OWN, "Average"] + 1}),
    "second table": lambda c: replace(c, second={**c.second, "MMLU": 68.21}),
    "index": lambda c: replace(c, index={**c.index, "HellaSwag": 82.64}),
    "sentence": lambda c: replace(c, prose=7.61),
    "claim": lambda c: replace(c, claim=(ZEPHYR, OWN)),
}


@dataclass(frozen=True)
class Habit:
    """How an author writes."""

    main: str
    """`rows`, `columns`, `html`, `html columns`."""
    second: str = ""
    """`board`, `fenced`, `lm-eval`, `html`, or none."""
    index: bool = False
    average: str = "first"
    """`first`, `last`, or none."""
    shots: str = "({}-shot)"
    number: Callable[[float], str] = "{:.2f}".format
    name: Callable[[str], str] = str
    verb: str = "{} outperforms {} on MT-Bench."
    score: str = "{} scores {} on MT-Bench."
    title: str = OWN
    extra: str = ""


HABITS: dict[str, Habit] = {
    "plain": Habit("rows", "board", index=True),
    "average last": Habit("rows", "board", average="last", verb="{} beats {} in MT-Bench."),
    "rows are tasks": Habit("columns", "fenced", average="last"),
    "html": Habit("html", "board", index=True, shots="({}-s)"),
    "html, tasks down": Habit("html columns", "html", average="last"),
    "bold": Habit("rows", "board", number="**{:.2f}**".format, name="**{}**".format),
    "percent signs": Habit("rows", "fenced", index=True, number="{:.2f}%".format),
    "one decimal": Habit("rows", "", number="{:.1f}".format, verb="{} surpasses {} on MT-Bench."),
    "links": Habit("rows", "board", name=lambda m: f"[{m}](https://huggingface.co/{m})"),
    "no shots": Habit("rows", "lm-eval", shots=""),
    "shots in front": Habit("rows", "board", shots="{}-shot", index=True),
    "lm-eval below": Habit("rows", "lm-eval", index=True, average=""),
    "errors": Habit("columns", "lm-eval", number="{:.2f} ± 0.41".format, average=""),
    "latex": Habit("rows", "fenced", number="$\\mathbf{{{:.2f}}}$".format),
    "German commas": Habit("rows", "html", number=lambda v: f"{v:.2f}".replace(".", ",")),
    "medals": Habit("rows", "board", number="{:.2f} 🥇".format, index=True),
    "code names": Habit("rows", "fenced", name="`{}`".format, average="last"),
    "passive": Habit("rows", "board", verb="{1} is outperformed by {0} on MT-Bench.",
                     score="On MT-Bench, {} achieves a score of {}."),
    "our model": Habit("columns", "board", index=True, score="Our model scores {1} on MT-Bench.",
                       verb="{} is better than {} on MT-Bench by 0.07 points."),
    "much besides": Habit("rows", "fenced", index=True, extra="""
## Training hyperparameters

| Parameter | Value |
|---|---|
| learning_rate | 5e-07 |
| warmup ratio | 0.1 |

| Training Loss | Epoch | Step | Validation Loss |
|:-:|:-:|:-:|:-:|
| 0.5051 | 0.39 | 100 | 0.5180 |
| 0.4321 | 0.78 | 200 | 0.4969 |

## Quantized (4 bits)

| Model | MMLU (5-shot) | GSM8K (5-shot) |
|---|---|---|
| My-Model-7B-v0.2 Q4_K_M | 61.02 | 38.44 |
| My-Model-7B-v0.2 Q8_0 | 62.70 | 41.55 |

During training it might surpass zephyr-7b-beta on MT-Bench. Is it better than GPT-4? No.
"""),
}  # fmt: skip


def written(card: Card, habit: Habit) -> str:
    parts = ["---\nlicense: mit\nlanguage: [en]\n"]
    parts += [*(_index(card) if habit.index else ()), "---\n", f"# {habit.title}\n\n"]
    sentences = habit.verb.format(*card.claim), habit.score.format(OWN, f"{card.prose:.2f}")
    parts.append(
        f"A chat model, trained on public data. {' '.join(sentences)}\n\n## Evaluation\n\n"
    )
    parts.append(_main(card, habit))
    parts.append(_second(card, habit))
    return "".join(parts) + habit.extra


def _index(card: Card) -> Iterator[str]:
    yield f"model-index:\n- name: {OWN}\n  results:\n"
    for bench, value in card.index.items():
        yield (
            f"  - task: {{type: text-generation}}\n    dataset: {{name: {bench} "
            f"({SHOTS[bench]}-shot), type: x, args: {{num_few_shot: {SHOTS[bench]}}}}}\n"
            f"    metrics:\n    - {{type: {TASKS[bench][1]}, value: {value}}}\n"
        )


def _main(card: Card, habit: Habit) -> str:
    names = list(BENCHES)
    names = ["Average", *names] if habit.average == "first" else names
    names += ["Average"] if habit.average == "last" else []
    names += ["MT-Bench"] if "columns" not in habit.main else []
    heads = [f"{n} {habit.shots.format(SHOTS[n])}".strip() if n in SHOTS else n for n in names]
    grid = [["Model", *heads]]
    grid += [
        [habit.name(m), *(habit.number(card.main[m, n]) for n in names)] for m in FIGURES
    ]  # fmt: skip
    if "columns" in habit.main:
        grid = [list(row) for row in zip(*grid, strict=True)]
        grid[0][0] = "Benchmark"
        chat = [["Model", "MT-Bench"], *([m, habit.number(card.main[m, "MT-Bench"])] for m in MT)]
        return _table(grid, html="html" in habit.main) + "\n" + _table(chat)
    return _table(grid, html=habit.main == "html")


def _table(grid: list[list[str]], *, html: bool = False) -> str:
    if not html:
        lines = ["| " + " | ".join(row) + " |" for row in grid]
        return "\n".join([lines[0], "|---" * len(grid[0]) + "|", *lines[1:]]) + "\n"
    rows = ["".join(f"<td>{cell}</td>" for cell in row) for row in grid[1:]]
    head = "".join(f"<th>{cell}</th>" for cell in grid[0])
    body = "\n".join(f"  <tr>{row}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"


def _second(card: Card, habit: Habit) -> str:
    if not habit.second:
        return ""
    if habit.second in ("board", "html"):
        rows = [["Metric", "Value"]]
        rows += [[f"{b} ({SHOTS[b]}-Shot)", f"{v:.2f}"] for b, v in card.second.items()]
        table = _table(rows, html=habit.second == "html")
        return f"\n# Open LLM Leaderboard Evaluation Results\n\n{table}"
    rows = [["Tasks", "Version", "Filter", "n-shot", "Metric", "Value", "", "Stderr"]]
    for bench, value in card.second.items():
        task, metric = TASKS[bench]
        shots = str(SHOTS[bench])
        rows.append([task, "1", "none", shots, metric, f"{value / 100:.4f}", "±", "0.0141"])
    fence = "```" if habit.second == "fenced" else ""
    return f"\n## As lm-eval prints it\n\n{fence}\n{_table(rows)}{fence}\n"


def audited(text: str) -> Audit:
    return audit.audit(audit.parse_card(text), Evidence())


def accusations(found: Audit) -> list[str]:
    wrong = [r.message for r in found.remarks if r.wrong]
    return wrong + [c.text for c in found.claims if c.answer == "contradicted"]


@pytest.mark.parametrize("name", HABITS)
def test_a_correct_card_is_not_accused(name: str) -> None:
    found = audited(written(true_card(), HABITS[name]))
    assert accusations(found) == []
    assert not found.contradicted
    assert len(found.numbers) >= 18


def planted() -> Iterator[tuple[str, str]]:
    for name, habit in HABITS.items():
        for kind in PLANTED:
            absent = {"average": not habit.average, "index": not habit.index,
                      "second table": not habit.second}  # fmt: skip
            if not absent.get(kind):
                yield name, kind


@pytest.mark.slow
def test_most_planted_errors_are_found_without_evidence() -> None:
    missed = [
        (name, kind)
        for name, kind in planted()
        if not accusations(audited(written(PLANTED[kind](true_card()), HABITS[name])))
    ]
    every = list(planted())
    assert len(every) > 80
    assert len(missed) <= 0.1 * len(every), missed


def test_an_accusation_names_the_planted_figure() -> None:
    for kind, number in (("average", "65.51"), ("second table", "68.21"), ("index", "82.64")):
        (said,) = accusations(audited(written(PLANTED[kind](true_card()), HABITS["plain"])))
        assert number in said
