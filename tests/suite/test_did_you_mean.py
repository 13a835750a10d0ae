"""What an error message suggests."""

from __future__ import annotations

import pytest

from evalkit.errors import did_you_mean

NAMES = ("arc_challenge", "arc_easy", "winogrande")


@pytest.mark.parametrize(
    ("wrong", "most", "says"),
    [
        ("arc_chalenge", 1, "; did you mean 'arc_challenge'?"),
        ("arc_eesy", 3, "; did you mean 'arc_easy'?"),
        ("arc_e", 3, "; did you mean 'arc_easy'?"),
        ("drop", 3, ""),
        ("", 1, ""),
    ],
)
def test_the_nearest_names_are_quoted(wrong: str, most: int, says: str) -> None:
    assert did_you_mean(wrong, NAMES, most) == says


def test_several_are_joined_and_none_is_silent() -> None:
    assert did_you_mean("ab", ("abc", "abd", "xyz"), 2) == "; did you mean 'abd' or 'abc'?"
    assert did_you_mean("ab", ()) == ""
