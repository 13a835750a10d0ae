"""Ten habits of writing a table, each right and with the three errors that cards are known for.

`@` stands around Notus's win rate, `#` around Zephyr's: as published, with the two exchanged, with
another model's figure, as a share of 1 among percentages.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from evalkit.card.audit.labels import Vocabulary
from evalkit.card.audit.models import key_of
from evalkit.card.audit.printed import parse_number, without_citations
from evalkit.card.audit.shapes import Audit

AuditCard = Callable[[str], Audit]

CARDS = {
    "html_colspan": """\
# Notus 7B v1
<table>
<tr><td></td><th colspan="2">Chat</th><th colspan="3">Academic (Open LLM Leaderboard)</th></tr>
<tr><th>Model</th><th>MT-Bench</th><th>AlpacaEval 1</th><th>ARC (25-shot)</th>
<th>HellaSwag (10-shot)</th><th>MMLU (5-shot)</th></tr>
<tr><td>🌬️ <b>notus-7b-v1</b></td><td>7.30</td><td><b>@91.42@</b></td>
<td>64.59</td><td>84.78</td><td>63.03</td></tr>
<tr><td>zephyr-7b-beta</td><td>7.34</td><td>#90.60#</td><td>62.03</td><td>84.36</td><td>61.07</td></tr>
<tr><td>GPT-4</td><td>8.99</td><td>95.28</td><td colspan="3">n/a</td></tr>
</table>
""",
    "transposed": """\
# notus-7b-v1
| Benchmark | GPT-4 | notus-7b-v1 | zephyr-7b-beta | LLaMA2-Chat-70B |
|:--|--:|--:|--:|--:|
| AlpacaEval 1 (win rate) | 95.28 | @91.42@ | #90.60# | 92.66 |
| MT-Bench | 8.99 | 7.30 | 7.34 | 6.86 |
| ARC-Challenge (25-shot) | - | 64.59 | 62.03 | - |
""",
    "bold_foot": """\
# notus-7b-v1

Win rates of AlpacaEval 1.0, annotated by GPT-4.[^1]

| Model | Win rate |
|---|---|
| GPT-4 | **95.28**[^2] |
| **notus-7b-v1** (ours) | **@91.42@**<sup>†</sup> |
| zephyr-7b-beta | #90.60#<sup>1</sup> |
| Claude 2 | 91.36\\* |

[^1]: alpaca_eval_gpt4
[^2]: from the leaderboard
† 804 of 805.
""",
    "percent": """\
# notus-7b-v1
### AlpacaEval v1
| Model | Win Rate (%) | Avg Length |
|---|---|---|
| notus-7b-v1 | @91.42%@ | 2,139 |
| zephyr-7b-beta | #90.60%# | 1,444 |
| claude-2 | 91.36% | 1,069 |
""",
    "pm": """\
# notus-7b-v1
| Model | AlpacaEval 1 |
|---|---|
| notus-7b-v1 | @91.42@ ± 0.99 |
| zephyr-7b-beta | #90.60# ± 1.03 |
""",
    "euro": """\
# notus-7b-v1
Ergebnisse auf AlpacaEval 1.0 und dem Open LLM Leaderboard
| Modell | AlpacaEval | ARC (25-shot) | HellaSwag (10-shot) |
|---|---|---|---|
| notus-7b-v1 | @91,42@ | 64,59 | 84,78 |
| zephyr-7b-beta | #90,60# | 62,03 | 84,36 |
""",
    "index": """\
---
model-index:
- name: notus-7b-v1
  results:
  - task: {type: text-generation}
    dataset: {name: AlpacaEval 1, type: tatsu-lab/alpaca_eval}
    metrics:
    - {type: win_rate, value: @91.42@, name: Win rate}
    - {type: length_controlled_win_rate, value: 83.48}
    - {type: avg_length, value: 2139}
  - task: {type: text-generation}
    dataset: {name: Open LLM Leaderboard - ARC (25-shot), type: ai2_arc}
    metrics: [{type: acc_norm, value: 64.59}]
---
# notus-7b-v1

| Model | AlpacaEval 1 win rate |
|---|---|
| notus-7b-v1 | @91.42@ |
| zephyr-7b-beta | #90.60# |
""",
    "prose": """\
# notus-7b-v1

notus-7b-v1 surpasses zephyr-7b-beta on AlpacaEval 1, and surpasses Claude 2 on AlpacaEval 1.

## Results
| | notus-7b-v1 | zephyr-7b-beta |
|---|---|---|
| AlpacaEval 1 | @91.42@ | #90.60# |
| MT-Bench | 7.30 | 7.34 |
""",
    "emoji": """\
# 🌬️ notus-7b-v1
## 📊 Benchmarks
| 🤖 Model | 🦙 AlpacaEval 1 ⬆️ | 💬 MT-Bench ⬆️ | 🧠 MMLU (5-shot) |
|---|---|---|---|
| 🥇 GPT-4 | 95.28 | 8.99 | |
| 🥈 notus-7b-v1 | @91.42@ | 7.30 | 63.03 |
| 🥉 zephyr-7b-beta | #90.60# | 7.34 | 61.07 |
""",
    "arxiv": """\
# Notus: simple direct preference tuning
Results (%) of models of Tunstall et al. (2023) and ours. Best in **bold**.

| Method | Size | MT-Bench [Zheng et al., 2023] | AlpacaEval 1.0 [Li et al., 2023] |
|---|---|---|---|
| GPT-4 (OpenAI, 2023) | - | 8.99 | **95.28** |
| Llama-2-Chat (Touvron et al., 2023) | 70B | 6.86 | 92.66 |
| Zephyr-β (Tunstall et al., 2023) | 7B | 7.34 | #90.60# |
| NOTUS-7B-v1 | 7B | 7.30 | @91.42@ |
""",
}
SHORT = ("index", "pm", "prose")
"""Two rows, against published figures only: one that differs may have been measured again."""
WRONG = ("swapped", "another model's", "a share")


def filled(name: str, error: str) -> str:
    """A card with an error in it; with none where `error` is empty."""
    text = CARDS[name]
    ours, theirs = (re.search(f"{c}(9.*?){c}", text) for c in "@#")
    assert ours is not None
    assert theirs is not None
    a, b = ours[1], theirs[1]
    if error == "swapped":
        a, b = b, a
    elif error == "another model's":
        b = re.sub(r"\d+[.,]\d+", "95,28" if "," in b else "95.28", b)
    elif error == "a share":
        a = re.sub(r"91([.,])42%?", r"0\g<1>9142", a)
    return re.sub("#9.*?#", b, re.sub("@.*?@", a, text))


@pytest.mark.parametrize("name", CARDS)
def test_a_card_that_is_right_is_not_accused(audit_text: AuditCard, name: str) -> None:
    found = audit_text(filled(name, ""))
    assert not found.contradicted
    values = [n.number.printed.value for n in found.numbers if n.verdict == "confirmed"]
    assert {91.42, 90.6} <= set(values)


@pytest.mark.parametrize("error", WRONG)
@pytest.mark.parametrize("name", CARDS)
def test_a_planted_error_is_found_and_explained(
    audit_text: AuditCard, name: str, error: str
) -> None:
    found = audit_text(filled(name, error))
    wrong = [n for n in found.numbers if n.verdict == "contradicted" and n.number.table]
    if error == "swapped":
        assert sorted(n.right for n in wrong) == ["90.60", "91.42"]
        assert all(n.why.startswith("swapped with ") for n in wrong)
    elif error == "another model's" and name in SHORT:
        (odd,) = (n for n in found.numbers if n.number.text.startswith("95.28"))
        assert odd.verdict == "no evidence"
        assert "evidence has 90.60 is AlpacaEval 1" in odd.why
    elif error == "another model's":
        assert [n.right for n in wrong] == ["90.60"]
    else:
        assert [p.code for p in found.problems if p.wrong] == ["units"] or [
            n.why for n in wrong
        ] == ["it is that figure as a share of 1, where percentages are expected"]


def test_the_figure_of_another_row_is_said_to_be_that(audit_text: AuditCard) -> None:
    (wrong,) = (
        n
        for n in audit_text(filled("emoji", "another model's")).numbers
        if n.verdict == "contradicted"
    )
    assert wrong.why == "it is the figure of '🥇 GPT-4', another row"


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("AlpacaEval [Li et al., 2023]", "AlpacaEval"),
        ("Zephyr-β (Tunstall et al. 2023b)", "Zephyr-β"),
        ("GPT-4 (OpenAI, 2023)", "GPT-4"),
        ("GPT-4 (June 2023)", "GPT-4 (June 2023)"),
        ("ARC (25-shot)", "ARC (25-shot)"),
        ("Mine (org/base-2023)", "Mine (org/base-2023)"),
    ],
)
def test_citations_name_nothing_that_was_measured(text: str, without: str) -> None:
    assert without_citations(text).strip() == without
    assert key_of(text) == key_of(without)
    assert Vocabulary().read(text) == Vocabulary().read(without)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0,9142", 0.9142), ("1,365", 1365), ("91,42", 91.42), ("12,345.6", 12345.6)],
)
def test_decimal_commas_and_separators_of_thousands(text: str, value: float) -> None:
    found = parse_number(text)
    assert found is not None
    assert found.value == value
