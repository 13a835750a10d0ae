"""What the benchmark scripts share: tables, clocks, sections of RESULTS.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks._common import (
    Clock,
    Table,
    machine,
    markdown,
    parser,
    publish,
    ratio,
    replace_section,
)

TABLE = Table("Tokens", ("task", "tokens", "ratio"), [("a|b", 1_234_567, 1.0254), ("c", 2, None)])

texts = st.text(alphabet=st.characters(exclude_characters="<>", exclude_categories=["Cs"]))
names = st.from_regex(r"[a-z][a-z0-9 -]{0,9}[a-z0-9]", fullmatch=True)


def test_a_table_in_markdown() -> None:
    assert markdown(TABLE).splitlines() == [
        "**Tokens**",
        "",
        "| task | tokens | ratio |",
        "| --- | ---: | ---: |",
        r"| a\|b | 1,234,567 | 1.025 |",
        "| c | 2 | - |",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (6.5e-6, "6.5e-06"), (1.95789, "1.958"), (24.26, "24.3"), (321.4, "321")],
)
def test_floats_have_the_digits_that_count(value: float, shown: str) -> None:
    assert markdown(Table("t", ("x",), [(value,)])).splitlines()[-1] == f"| {shown} |"


@given(texts, names, texts, texts)
def test_a_section_is_replaced_and_the_rest_left(
    before: str, name: str, first: str, second: str
) -> None:
    once = replace_section(before, name, first)
    twice = replace_section(once, name, second)
    assert twice.startswith(before.rstrip("\n") if before.strip() else "")
    assert second.strip() in twice
    assert replace_section(twice, name, first) == once
    assert twice.count(f"<!-- begin {name} -->") == 1


@given(st.lists(names, min_size=2, max_size=4, unique=True))
def test_sections_do_not_touch_each_other(sections: list[str]) -> None:
    text = ""
    for name in sections:
        text = replace_section(text, name, f"body of [{name}]")
    changed = replace_section(text, sections[0], "new")
    for name in sections[1:]:
        assert f"body of [{name}]\n<!-- end {name} -->" in changed


def test_half_a_section_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected one pair or none"):
        replace_section("<!-- begin x -->\n", "x", "body")


def test_publish_saves_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "RESULTS.md"
    publish("tokens", [TABLE], parser("").parse_args(["--save", "tokens"]), results)
    assert capsys.readouterr().out.strip() in results.read_text(encoding="utf-8")
    publish("tokens", [TABLE], parser("").parse_args(["--json"]), results)
    printed = json.loads(capsys.readouterr().out)
    assert printed["tables"][0]["rows"] == [["a|b", 1234567, 1.0254], ["c", 2, None]]
    assert printed["machine"]["python"] == machine()["python"]


def test_clocks_add_up() -> None:
    clock = Clock()
    for _ in range(2):
        before = clock.wall_s
        with clock:
            sum(range(10_000))
        assert clock.wall_s > before
    assert clock.cpu_s >= 0


def test_a_ratio_without_denominator_is_unknown() -> None:
    assert (ratio(3, 2), ratio(1, 0)) == (1.5, None)
