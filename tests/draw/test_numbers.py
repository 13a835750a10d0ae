"""Rounding: known answers by hand, and what must hold for every number."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evalkit.draw import (
    MISSING,
    Printed,
    agreement,
    count,
    difference,
    figure,
    interval,
    p_value,
    percent,
    read_number,
    share,
    significant,
)

UNITS = st.sampled_from(["percent", "points", "characters", "raw"])
NUMBERS = st.floats(-1e6, 1e6)


def number(shown: str) -> float:
    """What a reader takes a shown number for."""
    return float(shown.replace("\N{MINUS SIGN}", "-").replace(",", "").replace("+", ""))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(91.4179104), "91.4"),
        (percent(100.0), "100.0"),
        (figure(6.4949, "points"), "6.49"),
        (figure(2139, "characters"), "2,139"),
        (figure(0.12345, "raw"), "0.123"),
        (percent(None), MISSING),
        (percent(-0.0), "0.0"),
        (percent(-0.04), "0.0"),
        (share(0.25), "25.0%"),
        (share(None), MISSING),
        (difference(1.2, "percent"), "+1.2"),
        (difference(-3.04, "percent"), "\N{MINUS SIGN}3.0"),
        (difference(0.0, "percent"), "0.0"),
        (difference(-0.0, "points"), "0.00"),
        (difference(-0.04, "percent"), "\N{MINUS SIGN}0.04"),
        (difference(None, "percent"), MISSING),
        (interval(-1.10, 2.97, "percent", signed=True), "\N{MINUS SIGN}1.1 to +3.0"),
        (interval(0.02, 5.44, "percent", signed=True), "+0.02 to +5.44"),
        (interval(89.5, 93.3, "percent"), "89.50 to 93.30"),
        (interval(None, 1.0, "percent"), MISSING),
        (p_value(0.368), "0.368"),
        (p_value(0.00099), "<0.001"),
        (p_value(0.0), "<0.001"),
        (p_value(0.99999), ">0.999"),
        (p_value(1.0), "1.000"),
        (p_value(None), MISSING),
        (count(12345), "12,345"),
        (count(None), MISSING),
        (significant(0.00012345), "0.00012"),
        (significant(0.0), "0"),
    ],
)
def test_known(shown: str, expected: str) -> None:
    assert shown == expected


@given(NUMBERS, UNITS)
def test_rounded_as_decimal_rounds(value: float, unit: str) -> None:
    digits = {"percent": 2, "points": 2, "characters": 0, "raw": 3}[unit]
    exact = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    assert number(figure(value, unit)) == float(exact)


@given(NUMBERS, UNITS)
def test_zero_has_no_sign_and_a_difference_has_one(value: float, unit: str) -> None:
    plain, signed = figure(value, unit), difference(value, unit)
    assert "-" not in plain + signed
    for shown in (plain, signed):
        if number(shown) == 0:
            assert shown[0].isdigit()
    if number(signed) != 0:
        assert signed[0] == ("+" if value > 0 else "\N{MINUS SIGN}")


@given(NUMBERS, NUMBERS, UNITS)
def test_an_interval_shows_on_which_side_of_zero_it_ends(a: float, b: float, unit: str) -> None:
    low, high = sorted((a, b))
    assume(all(v == 0 or abs(v) > 1e-3 for v in (low, high)))
    shown = [number(part) for part in interval(low, high, unit, signed=True).split(" to ")]
    assert [math.copysign(1, v) if v else 0 for v in shown] == [
        math.copysign(1, v) if v else 0 for v in (low, high)
    ]


@given(st.floats(0, 1))
def test_p_is_between_its_bounds(p: float) -> None:
    shown = p_value(p)
    if shown[0] == "<":
        assert p < number(shown[1:])
    elif shown[0] == ">":
        assert number(shown[1:]) < p < 1
    else:
        assert abs(number(shown) - p) <= 0.0005 + 1e-12
        assert re.fullmatch(r"[01]\.\d{3}", shown)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_missing(bad: float) -> None:
    shown = [figure(bad, "percent"), difference(bad, "raw"), p_value(bad), significant(bad)]
    assert [*shown, share(bad), interval(bad, 1, "raw")] == [MISSING] * 6


# --- printed numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "decimals"),
    [
        ("91.42", 91.42, 2),
        ("**91.42%**", 91.42, 2),
        ("91.42 ± 0.99", 91.42, 2),
        ("1,365", 1365, 0),
        ("91,42", 91.42, 2),
        (".914", 0.914, 3),
        ("~91", 91, 0),
    ],
)
def test_a_printed_number_is_read(text: str, value: float, decimals: int) -> None:
    found = read_number(text)
    assert found is not None
    assert (found.value, found.decimals) == (value, decimals)
    assert found.percent == ("%" in text)
    assert found.has_error == ("±" in text)
    assert found.approximate == text.startswith("~")


@pytest.mark.parametrize("text", ["", "7,300", "1 to 3", "+0.4", "gpt-4", "12 / 13", "9" * 70])
def test_what_is_no_single_number_is_not_read(text: str) -> None:
    assert read_number(text) is None


@given(st.floats(0, 100), st.integers(0, 4))
def test_a_number_states_the_figure_it_was_rounded_or_cut_from(value: float, digits: int) -> None:
    rounded = read_number(f"{value:.{digits}f}")
    assert rounded is not None
    assert agreement(rounded, value, "percent") is not None
    cut = Printed(math.floor(value * 10**digits) / 10**digits, digits)
    assert agreement(cut, value, "percent") is not None
    far = Printed(value + 2.1 * 10.0**-digits, digits)
    assert agreement(far, value, "percent", may_be_share=False) is None


def test_how_a_number_states_a_figure() -> None:
    assert str(agreement(Printed(91.4, 1), 91.4179, "percent")) == "rounded to 1 decimal"
    assert str(agreement(Printed(91.41, 2), 91.4179, "percent")) == "cut off at 2 decimals"
    said = "a share of 1 (percent / 100), rounded to 3 decimals"
    assert str(agreement(Printed(0.914, 3), 91.4179, "percent")) == said
    assert agreement(Printed(0.914, 3), 91.4179, "percent", may_be_share=False) is None
    assert agreement(Printed(0.914, 3), 91.4179, "points") is None
    assert agreement(Printed(91.423, 3), 91.42, "percent") is None
    assert agreement(Printed(91.423, 3), 91.42, "percent", slack=0.005) is not None
    assert Printed(0.05, 2).significant_digits == 1
