"""Whatever the card: no crash; a card made from evidence is right; a changed digit is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import assume, given
from hypothesis import strategies as st

from evalkit.card import audit
from evalkit.card.audit.agreement import agree
from evalkit.card.audit.evidence import Evidence
from evalkit.card.audit.models import Models
from evalkit.card.audit.shapes import Fact
from tests.support.properties import examples

HEADINGS = {
    ("1", "win_rate"): ("AlpacaEval 1.0 (win rate)", "AlpacaEval 1 win rate", "AlpacaEval v1"),
    ("2", "length_controlled_win_rate"): (
        "AlpacaEval 2.0 LC",
        "AlpacaEval 2 (length-controlled win rate)",
        "AlpacaEval 2 LC WR",
    ),
    ("2", "win_rate"): ("AlpacaEval 2.0 win rate", "AlpacaEval 2 (WR)"),
}
SOUP = (
    "|", "---", "\n", "\n\n", " ", "**", "`", "```", "<table>", "</table>", "<tr>", "<td>", "</td>",
    '<td rowspan="3" colspan="9">', "<th>", "<sup>1</sup>", "<!--", "-->", "<![x", "[^1]", "7.30",
    "91,42", "1,365", "±", "%", "#", "- ", "GPT-4", "claude-2", "AlpacaEval", "MT-Bench", "ARC",
    "Average", "model-index:", "results: []", "---\n", "surpasses", "sorted by", "0.64", "Model",
    "Rank", "best 7B", "](https://huggingface.co/a/b)", "$", "&mdash;", "β", "\\|", "\t", "\0",
    "~~",
)  # fmt: skip
pieces = st.lists(st.sampled_from(SOUP) | st.text(max_size=6), max_size=60)


@given(pieces.map("".join))
@examples(400)
def test_any_text_is_audited_without_a_crash(evidence: Evidence, text: str) -> None:
    found = audit.audit(audit.parse_card(text), evidence)
    audit.audit_lines(found, everything=True)
    audit.audit_markdown(found, everything=True)
    found.to_json()


@given(pieces.map("".join), pieces.map("".join))
@examples(200)
def test_any_front_matter_is_read_or_said_to_be_wrong(
    evidence: Evidence, front: str, text: str
) -> None:
    card = audit.parse_card(f"---\n{front}\n---\n{text}")
    audit.audit(card, evidence)
    assert not (card.front and card.front_error)


@dataclass(frozen=True)
class Made:
    """A card made from facts: the text, and the number of each row as printed."""

    facts: tuple[Fact, ...]
    heading: str
    decimals: int
    dressed: tuple[str, ...]
    """How each number is decorated; `{}` stands for it."""
    form: str

    def numbers(self) -> list[str]:
        share = 100 if self.form == "shares" else 1
        return [f"{fact.value / share:.{self.decimals}f}" for fact in self.facts]

    def text(self, numbers: Sequence[str]) -> str:
        shown = [d.format(n) for d, n in zip(self.dressed, numbers, strict=True)]
        names = [fact.model for fact in self.facts]
        rows = list(zip(names, shown, strict=True))
        if self.form == "html":
            body = "".join(f"<tr><td>{m}</td><td>{n}</td></tr>\n\n" for m, n in rows)
            return f"<table><tr><th>Model</th><th>{self.heading}</th></tr>{body}</table>"
        if self.form == "transposed":
            head = f"| Benchmark | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}\n"
            return f"# A card\n\n{head}| {self.heading} | {' | '.join(shown)} |\n"
        lines = "\n".join(f"| {m} | {n} |" for m, n in rows)
        return f"# A card\n\n| Model | {self.heading} |\n|---|---|\n{lines}\n"


@st.composite
def made_cards(draw: st.DrawFn, evidence: Evidence) -> Made:
    version, metric = draw(st.sampled_from(sorted(HEADINGS)))
    known = [
        fact
        for fact in evidence.facts
        if (fact.bench, fact.version, fact.metric) == ("alpaca_eval", version, metric)
        and fact.kind == "leaderboard"
        and "|" not in fact.model
        and "<" not in fact.model
    ]
    facts = draw(
        st.lists(st.sampled_from(known), min_size=3, max_size=7, unique_by=lambda f: f.model)
    )
    form = draw(st.sampled_from(("plain", "shares", "html", "transposed")))
    plain = ["{}", "**{}**", "{}*"]
    if form != "shares":
        # Beside a figure that was published without one an error tells that it was measured again.
        plain += ["{}%", "{}†", "{} ± 0.9" if metric == "win_rate" else "{} [1]"]
    return Made(
        tuple(facts),
        draw(st.sampled_from(HEADINGS[version, metric])),
        draw(st.integers(3, 5) if form == "shares" else st.integers(1, 3)),
        tuple(draw(st.sampled_from(plain)) for _ in facts),
        form,
    )


@given(st.data())
@examples(200)
def test_a_card_made_from_evidence_is_never_contradicted(
    evidence: Evidence, data: st.DataObject
) -> None:
    made = data.draw(made_cards(evidence))
    found = audit.audit(audit.parse_card(made.text(made.numbers())), evidence)
    assert [n.verdict for n in found.numbers] == ["confirmed"] * len(made.facts)
    assert not found.contradicted


@given(st.data())
@examples(200)
def test_one_changed_digit_is_found(evidence: Evidence, data: st.DataObject) -> None:
    made = data.draw(made_cards(evidence))
    numbers = made.numbers()
    place = data.draw(st.integers(0, len(numbers) - 1))
    digits = [i for i, c in enumerate(numbers[place]) if c.isdigit()]
    at = data.draw(st.sampled_from(digits))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != numbers[place][at]]))
    changed = numbers[place][:at] + other + numbers[place][at + 1 :]
    share = 100 if made.form == "shares" else 1
    unit = 10.0**-made.decimals
    right = made.facts[place].value / share
    # Within a unit it may be the same figure, cut off instead of rounded.
    assume(abs(float(changed) - right) > 1.01 * unit)
    assume(float(changed) * share <= 100)
    assume(share == 100 or float(changed) > 1)  # else it may be the same figure as a share
    found = audit.audit(
        audit.parse_card(made.text([*numbers[:place], changed, *numbers[place + 1 :]])), evidence
    )
    models = Models({f.model: f.names for f in evidence.facts})
    match = models.find(made.facts[place].model)
    assume(match.certain)
    checked = found.numbers[place]
    if checked.verdict == "confirmed":
        # Now it is another figure that may be meant: of a dated version, of an earlier table.
        assert checked.fact is not None
        assert checked.fact != made.facts[place]
        assert agree(checked.number.printed, checked.fact, checked.number.label) is not None
    else:
        assert checked.verdict == "contradicted"
    others = [n for i, n in enumerate(found.numbers) if i != place]
    assert all(n.verdict == "confirmed" for n in others)
