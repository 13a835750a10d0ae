"""Whatever the card: no crash, a line for each row; a card made from evidence is never accused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evalkit.card import audit
from evalkit.card.audit import Evidence
from tests.support.properties import examples
from tests.support.terminal import screen

SOUP = (
    "|", "---", "\n", "\n\n", " ", "**", "`", "```", "<table>", "</table>", "<tr>", "<td>", "</td>",
    '<td rowspan="3" colspan="9">', "<th>", "<sup>1</sup>", "<!--", "-->", "<![x", "[^1]", "7.30",
    "91,42", "1,365", "±", "%", "#", "- ", "GPT-4", "claude-2", "AlpacaEval", "MT-Bench", "ARC",
    "Average", "model-index:", "results: []", "---\n", "surpasses", "beats", " on ", "0.64",
    "Model", "best 7B", "](https://huggingface.co/a/b)", "$", "&mdash;", "β", "\\|", "\t", "\0",
    "~~", "| a | b |\n|---|---|\n", "Average: 7", " by 3 points", " and ",
)  # fmt: skip
pieces = st.lists(st.sampled_from(SOUP) | st.text(max_size=6), max_size=60)


@given(pieces.map("".join))
@examples(60)
def test_any_text_is_audited_without_a_crash(evidence: Evidence, text: str) -> None:
    found = audit.audit(audit.parse_card(text), evidence)
    screen(audit.audit_lines(found, everything=True))
    audit.audit_markdown(found, everything=True)
    found.to_json()


@given(pieces.map("".join), pieces.map("".join))
@examples(40)
def test_any_front_matter_is_read_or_said_to_be_wrong(
    evidence: Evidence, front: str, text: str
) -> None:
    card = audit.parse_card(f"---\n{front}\n---\n{text}")
    audit.audit(card, evidence)
    assert not (card.front and card.front_error)


HEADINGS = {
    ("1", "win_rate"): ("AlpacaEval 1.0 (win rate)", "AlpacaEval 1 win rate", "AlpacaEval v1"),
    ("2", "length_controlled_win_rate"): ("AlpacaEval 2.0 LC", "AlpacaEval 2 LC WR"),
}


@given(st.data())
@examples(40)
def test_a_card_made_from_the_leaderboard_is_confirmed(
    evidence: Evidence, data: st.DataObject
) -> None:
    edition, metric = data.draw(st.sampled_from(sorted(HEADINGS)))
    known = [
        f for f in evidence.facts
        if (f.edition, f.metric, f.leaderboard) == (edition, metric, True)
        and "alpaca_eval 0" in f.source and not set(f.model) & set("|<_*~")
    ]  # fmt: skip
    facts = data.draw(
        st.lists(st.sampled_from(known), min_size=3, max_size=6, unique_by=lambda f: f.model)
    )
    heading = data.draw(st.sampled_from(HEADINGS[edition, metric]))
    dress = data.draw(st.sampled_from(["{:.2f}", "**{:.1f}**", "{:.2f}%", "{:.3f}*"]))
    rows = "\n".join(f"| {f.model} | {dress.format(f.value)} |" for f in facts)
    found = audit.audit(
        audit.parse_card(f"# A card\n\n| Model | {heading} |\n|---|---|\n{rows}\n"), evidence
    )
    assert [n.verdict for n in found.numbers] == ["confirmed"] * len(facts)
    assert [n.stated.line for n in found.numbers] == list(range(5, 5 + len(facts)))


def test_comments_struck_text_and_layout_tables_are_not_read() -> None:
    text = (
        "# m\n\n<!--\n| Model | MT-Bench |\n|---|---|\n| a | 1.00 |\n-->\n\n"
        "<table><tr><td>\n<table>\n<tr><th>Model</th><th>MT-Bench</th></tr>\n"
        "<tr><td>a</td><td>~~x~~ 7.30<sup>1</sup></td></tr>\n</table></td></tr></table>\n"
    )
    found = audit.audit(audit.parse_card(text), Evidence())
    assert [(n.stated.line, n.stated.printed.value) for n in found.numbers] in ([(12, 7.3)], [])
    assert found.tables >= 1
