"""What the claim grammar reads in sentences as model cards write them, and what it refuses."""

from __future__ import annotations

import pytest

from evalkit.comparison.claim_grammar import (
    Amount,
    Compared,
    NotUnderstood,
    Scored,
    Statement,
    read_claim,
)

A, B, C, GPT4 = "notus-7b-v1", "zephyr-7b-beta", "claude-2", "GPT-4"
AE, MT = ("AlpacaEval",), ("MT-Bench",)


def by(value: float, decimals: int) -> Amount:
    return Amount("by", value, decimals)


READ: dict[str, tuple[Statement, ...]] = {
    "notus-7b-v1 surpasses Zephyr-7B-beta and Claude 2 on AlpacaEval.": (
        Compared(A, "better", ("Zephyr-7B-beta", "Claude 2"), AE),
    ),
    "notus-7b-v1 outperforms Claude-2 in MT-Bench": (Compared(A, "better", ("Claude-2",), MT),),
    "notus-7b-v1 slightly outperforms zephyr-7b-beta on the AlpacaEval benchmark": (
        Compared(A, "better", (B,), AE),
    ),
    "notus-7b-v1 is comparable with zephyr-7b-beta at AlpacaEval": (
        Compared(A, "equal", (B,), AE),
    ),
    "notus-7b-v1 is comparable to zephyr-7b-beta on MT-Bench, and surpasses Claude-2 on "
    "AlpacaEval.": (Compared(A, "equal", (B,), MT), Compared(A, "better", ("Claude-2",), AE)),
    "notus-7b-v1 clearly beats zephyr-7b-beta, claude-2 and GPT-4 on AlpacaEval win rate.": (
        Compared(A, "better", (B, C, GPT4), ("AlpacaEval win rate",)),
    ),
    "zephyr-7b-beta is outperformed by notus-7b-v1 on AlpacaEval": (
        Compared(A, "better", (B,), AE),
    ),
    "notus-7b-v1 was not beaten by zephyr-7b-beta on AlpacaEval": (
        Compared(A, "not_worse", (B,), AE),
    ),
    "notus-7b-v1 improves on zephyr-7b-beta by 3.2 points on AlpacaEval": (
        Compared(A, "better", (B,), AE, by(3.2, 1)),
    ),
    "notus-7b-v1 is 2.5 points better than zephyr-7b-beta on ARC": (
        Compared(A, "better", (B,), ("ARC",), by(2.5, 1)),
    ),
    "notus-7b-v1 does not outperform zephyr-7b-beta on MT-Bench": (
        Compared(B, "not_worse", (A,), MT),
    ),
    "notus-7b-v1 beats zephyr-7b-beta on AlpacaEval by 0.8 points": (
        Compared(A, "better", (B,), AE, by(0.8, 1)),
    ),
    "notus-7b-v1 beats zephyr-7b-beta on MT-Bench reasoning": (
        Compared(A, "better", (B,), ("MT-Bench reasoning",)),
    ),
    "notus-7b-v1 significantly outperforms zephyr-7b-beta on length-controlled AlpacaEval.": (
        Compared(A, "better", (B,), ("length-controlled AlpacaEval",), significant=True),
    ),
    "notus-7b-v1 outperforms zephyr-7b-beta on AlpacaEval 2": (
        Compared(A, "better", (B,), ("AlpacaEval 2",)),
    ),
    # Which benchmark's coding and math is for the resolver to refuse.
    "notus-7b-v1 outperforms zephyr-7b-beta in coding and math.": (
        Compared(A, "better", (B,), ("coding", "math")),
    ),
    "notus-7b-v1 is best on AlpacaEval": (Compared(A, "best", (), AE),),
    "notus-7b-v1 scores 91.42 on AlpacaEval, 0.8 higher than zephyr-7b-beta.": (
        Scored(A, 91.42, 2, "AlpacaEval"),
        Compared(A, "better", (B,), AE, by(0.8, 1)),
    ),
    "notus-7b-v1 gives longer answers than zephyr-7b-beta.": (Compared(A, "longer", (B,)),),
    "notus-7b-v1 matches claude-2 on AlpacaEval within 1 point": (
        Compared(A, "equal", (C,), AE, Amount("within", 1.0, 0)),
    ),
    "notus-7b-v1 is on par with claude-2 on AlpacaEval": (Compared(A, "equal", (C,), AE),),
    # More of the same kinds.
    "Claude 2 is beaten by GPT-4 on AlpacaEval 1.": (
        Compared(GPT4, "better", ("Claude 2",), ("AlpacaEval 1",)),
    ),
    "On AlpacaEval, notus-7b-v1 beats zephyr-7b-beta and matches GPT-4": (
        Compared(A, "better", (B,), AE),
        Compared(A, "equal", (GPT4,), AE),
    ),
    "notus-7b-v1 beats zephyr-7b-beta and matches GPT-4 on AlpacaEval": (
        Compared(A, "better", (B,), AE),
        Compared(A, "equal", (GPT4,), AE),
    ),
    "notus-7b-v1 beats GPT-4 on all benchmarks": (Compared(A, "better", (GPT4,), everywhere=True),),
    "GPT-4 does not lag behind claude-2 on MT-Bench": (Compared(GPT4, "not_worse", (C,), MT),),
    "a is not worse than b by more than 3 points on mt_bench": (
        Compared("a", "not_worse", ("b",), ("mt_bench",), Amount("more_than", 3.0, 0)),
    ),
    "A beats B on X and C is worse than D on Y": (
        Compared("A", "better", ("B",), ("X",)),
        Compared("C", "worse", ("D",), ("Y",)),
    ),
}
REFUSED: dict[str, str] = {
    "notus-7b-v1 no longer lags behind zephyr-7b-beta on AlpacaEval": "'no longer'",
    "notus-7b-v1 almost reaches GPT-4 on AlpacaEval": "'almost' names no margin",
    "notus-7b-v1 outperforms zephyr-7b-beta on all tasks and claude-2 on two of three.": (
        "name each benchmark"
    ),
    "notus-7b-v1 is the best 7B model to date.": "another time",
    "notus-7b-v1 ist besser als zephyr-7b-beta": "no relation between models",
    "Does Claude 2 beat GPT-4 on AlpacaEval 1?": "question",
    "With more data, Claude 2 might surpass GPT-4 on AlpacaEval 1.": "'might'",
    "Some-model-7b is cheaper than GPT-4 and outperforms it in speed.": "'it' names no model",
    "Claude 2 outperforms GPT-4 on AlpacaEval 2 when length is controlled.": "condition",
    "A is the best 7B model on AlpacaEval": "'7B model' names no model",
    "A beats other 7B models on AlpacaEval": "names no model",
    "A does not beat B and C on X": "name one",
    "A does not match B on X": "leaves open",
    "A beats B within 3 points on X": "expected 'by X points' or 'by more than X points'",
    "A matches B by 3 points on X": "expected 'within X points'",
    "A beats B on X by 3 points by more than 2": "two amounts",
    "A beats B on X and matches C": "names no benchmark",
    "A scores 7.3 on X and 8.1 on Y": "one benchmark",
    "A beats": "no model to compare with",
    "": "no relation",
}


@pytest.mark.parametrize("text", READ)
def test_a_sentence_is_read_as_a_person_reads_it(text: str) -> None:
    assert read_claim(text) == READ[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_understood_says_what_is_missing(text: str) -> None:
    found = read_claim(text)
    assert isinstance(found, NotUnderstood)
    assert REFUSED[text] in found.why


def test_known_names_may_hold_what_joins_and_cuts_a_list() -> None:
    models, places = (
        {"a", "salt and pepper", "b on c"},
        {"x, all tasks", "lm-eval: sums (accuracy)"},
    )
    text = "a beats salt and pepper and b on c on x, all tasks and lm-eval: sums (accuracy)"
    assert read_claim(text, models.__contains__, places.__contains__) == (
        Compared(
            "a",
            "better",
            ("salt and pepper", "b on c"),
            ("x, all tasks", "lm-eval: sums (accuracy)"),
        ),
    )
