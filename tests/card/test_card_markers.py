"""Markers of a real card: what is one, what is prose, and cards that are mangled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evalkit import card
from evalkit.errors import CardError
from tests.support.properties import examples
from tests.support.runs import Plan, build_run

FRONT = "---\nlicense: mit\n---\n"
PAIR = "<!-- evalkit:results -->\n<!-- /evalkit:results -->\n"


def a_card() -> card.Card:
    run = build_run(Plan(samples=(8, 6, 8), seed=1, published=True))
    return card.Card(card.gather([replace(run, records=())], only=("mt_bench",)), "my-adapter")


MADE = a_card()


@pytest.mark.parametrize(
    "text",
    [
        "<!-- made by evalkit -->",
        "<!-- evalkit: see the docs of the results -->",
        "Put `<!-- evalkit:results -->` where tables belong.",
        "```\n<!-- evalkit:chat -->\n```",
        "<!-- an evaluation kit: results -->",
        "evalkit:results",
    ],
)
def test_prose_on_markers_is_prose(text: str) -> None:
    updated = card.update(f"{FRONT}# A model\n\n{text}\n", MADE)
    assert f"\n{text}\n" in updated.new
    assert "\n## Evaluation\n\n<!-- evalkit:results -->\n" in updated.new


def test_blanks_inside_of_markers_count_for_nothing() -> None:
    updated = card.update(f"{FRONT}<!--evalkit:chat-->\nold\n<!--  / evalkit:chat  -->\n", MADE)
    assert "\nold\n" not in updated.new
    assert "<!--evalkit:chat-->\n\n**Chat benchmarks**\n" in updated.new
    assert not card.update(updated.new, MADE).is_stale


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<!-- evalkit:chat -->\nx\n", r"line 4: <!-- evalkit:chat --> has no end"),
        (
            "x\n<!-- /evalkit:chat -->\n",
            r"line 5: '<!-- /evalkit:chat -->' ends what did not begin",
        ),
        (
            "<!-- evalkit:chat -->\n<!-- evalkit:all -->\n",
            r"line 5: .* begins inside of evalkit:chat",
        ),
        ("<!-- /evalkit:result -->\n", r"line 4: '<!-- /evalkit:result -->': no such part"),
    ],
)
def test_markers_that_do_not_fit_are_named_by_their_line(body: str, said: str) -> None:
    with pytest.raises(CardError, match=said):
        card.update(f"{FRONT}{body}", MADE)


# --- mangled cards --------------------------------------------------------------------------------

WHOLE = """\
---
license: mit   # kept
model-index:
- name: my-adapter
  results:
  - task: {type: text-generation}
    dataset: {name: ARC, type: ai2_arc}
    metrics:
    - {type: acc_norm, value: 64.59}
tags: [a]
---
# my-adapter

<!-- evalkit:chat -->
old
<!-- /evalkit:chat -->

```
<!-- evalkit:all -->
```

## Results

<!-- a
comment -->
"""
PIECES = (
    "<!--", "-->", " -->", "evalkit", "evalkit:", "evalkit:chat", "/", "results", "---", "\n---\n",
    "```", "~~~", "\n", "\r\n", "\r", "\t", "  ", "- ", "[]", "{", "}", ":", "#", "'", '"', "*a",
    "&a ", "model-index:", "name: my-adapter", "\u2028", "\ufeff", "\0", "🤗", "\\",
    *PAIR.splitlines(),
)  # fmt: skip


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """A card after a few edits: cut, said twice, put in, put elsewhere; by lines or characters."""
    text = draw(st.sampled_from([WHOLE, card.update(WHOLE, MADE).new]))
    for _ in range(draw(st.integers(1, 4))):
        a, b = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        if draw(st.booleans()):
            a, b = text.rfind("\n", 0, a) + 1, text.find("\n", b) + 1
        cut = text[a:b] if b - a < 200 else text[a : a + 20]
        piece = draw(st.sampled_from(["", cut, cut + cut, *PIECES]))
        text = text[:a] + piece + text[a + len(cut) :]
        if draw(st.booleans()):
            at = draw(st.integers(0, len(text)))
            text = text[:at] + cut + text[at:]
    return text


@given(mangled())
@example("---\n\u2028tags: [a]\n---\n# a\n\n## Results\n")
@examples(40)
def test_a_mangled_card_is_refused_or_updated_once_and_for_all(text: str) -> None:
    try:
        new = card.update(text, MADE).new
    except CardError:
        return
    again = card.update(new, MADE)
    assert not again.is_stale, again.diff("README.md")
