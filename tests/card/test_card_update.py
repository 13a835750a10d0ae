"""Updating real cards in place: what is not evalkit's stays byte for byte, and twice is once."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalkit import card
from evalkit.card import checks
from evalkit.core import Json, Run
from evalkit.draw import one_line, visible
from evalkit.errors import CardError
from evalkit.formats.model_index import is_ours
from tests.support.cards import hub_reads
from tests.support.github_markdown import rendered
from tests.support.properties import examples
from tests.support.runs import Plan, build_run, with_manifest

ADAPTER = """\
---
# kept
license: mit
library_name: peft
base_model: alignment-handbook/zephyr-7b-sft-full
tags:
  - trl   # by hand
  - 'dpo'
model-index:
- name: my-adapter
  results: []
datasets: [argilla/ultrafeedback-binarized-preferences]
---

# my-adapter

```
## Results
```

## Results

More Information Needed
"""
FOREIGN = """\
- task:
    type: text-generation   # theirs
    name: "Text Generation"
  dataset: {name: ARC, type: ai2_arc, config: 'ARC-Challenge', split: test}
  metrics:
    - {type: acc_norm, value: 64.59, name: normalized accuracy}
  source:
    name: Open LLM Leaderboard
    url: >-
      https://huggingface.co/spaces/HuggingFaceH4/open_llm_leaderboard?query=my/adapter
"""


def a_run(seed: int = 1) -> Run:
    plan = Plan(samples=(8, 6, 8), seed=seed, published=True)
    return replace(build_run(plan, run_id=f"run-{seed}"), records=())


def a_card(seed: int = 1, name: str = "my-adapter", only: tuple[str, ...] = ()) -> card.Card:
    return card.Card(card.gather([a_run(seed)], only=only), name)


FIRST, SECOND = a_card(1), a_card(2)


def indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}" for line in text.splitlines(keepends=True))


def results_of(text: str) -> list[Json]:
    (model,) = checks.load(checks.split(text).yaml)["model-index"]
    found: list[Json] = model["results"]
    return found


def test_an_adapters_empty_index_is_filled_and_read_by_the_hubs_client() -> None:
    updated = card.update(ADAPTER, FIRST)
    read = hub_reads(updated.new)
    assert read.data.model_name == "my-adapter"
    assert read.model_index == [{"name": "my-adapter", "results": list(FIRST.index.results)}]
    assert read.data.base_model == "alignment-handbook/zephyr-7b-sft-full"
    assert "**quick-lora**" in read.body
    again = card.update(updated.new, FIRST)
    assert not again.is_stale
    assert again.diff("README.md") == ""


def test_everything_else_stays_as_it_was() -> None:
    new = card.update(ADAPTER, FIRST).new
    head, tail = ADAPTER.split("  results: []\n")
    assert new.startswith(f"{head}  results:\n  - task:\n")
    front, body = tail.split("## Results\n\nMore")
    middle = new.split("datasets: ", 1)[1]
    assert f"datasets: {middle}".startswith(f"{front}## Results\n\n<!-- evalkit:results -->\n")
    assert new.endswith(f"<!-- /evalkit:results -->\n\nMore{body}")


def test_the_diff_shows_what_would_change() -> None:
    diff = card.update(ADAPTER, FIRST).diff("README.md")
    assert diff.startswith("--- a/README.md\n+++ b/README.md\n")
    assert "-  results: []\n+  results:\n+  - task:\n" in diff


def with_foreign(by: int = 2) -> str:
    return ADAPTER.replace("  results: []\n", "  results:\n" + indented(FOREIGN, by))


@pytest.mark.parametrize("by", [2, 4, 7])
def test_entries_of_others_stay_with_their_comments_and_evalkits_follow(by: int) -> None:
    text = with_foreign(by)
    new = card.update(text, FIRST).new
    assert "# theirs" in new
    kept, *ours = results_of(new)
    assert kept == results_of(text)[0]
    assert ours == list(FIRST.index.results)
    assert card.update(new, FIRST).new == new
    assert results_of(card.update(new, SECOND).new) == results_of(card.update(text, SECOND).new)


def test_an_entry_of_others_for_the_same_data_set_wins_and_that_is_said() -> None:
    entry = FIRST.index.results[0]
    theirs = {**entry, "metrics": [{"type": "win_rate", "value": 1.5}]}
    index = {"model-index": [{"name": "my-adapter", "results": [theirs]}]}
    text = f"---\n{yaml.safe_dump(index)}---\n"
    updated = card.update(text, FIRST)
    assert results_of(updated.new)[0] == theirs
    assert entry not in results_of(updated.new)
    assert any(
        note.startswith("not in the index: AlpacaEval: the card has an entry of that data set")
        for note in updated.notes
    )


THEIRS = "{task: {type: x}, dataset: {name: d, type: d}, metrics: [{type: acc, value: 1}]}"
FLOWS = [
    "model-index: [{name: my-adapter, results: []}]\n",
    f"model-index: [{{name: my-adapter, results: [{THEIRS}]}}]   # braces\n",
    'model-index: [{"name":"my-adapter","results":[]}]\n',
    "model-index: [{name: my-adapter}]\n",
    "model-index:\n- {name: my-adapter, results: []}\n",
    f"model-index:\n- name: my-adapter\n  results: [{THEIRS}]\nlicense: mit\n",
]


@pytest.mark.parametrize("front", FLOWS)
def test_braces_are_answered_with_braces(front: str) -> None:
    text = f"---\n{front}---\nbody\n"
    new = card.update(text, FIRST).new
    assert [r for r in results_of(new) if is_ours(r)] == list(FIRST.index.results)
    assert card.update(new, FIRST).new == new
    assert results_of(card.update(new, SECOND).new) == results_of(card.update(text, SECOND).new)


def test_a_card_without_front_matter_gets_one() -> None:
    new = card.update("# A model\n\nText.", FIRST).new
    assert new.startswith("---\nlibrary_name: peft\npipeline_tag: text-generation\nmodel-index:\n")
    assert "\n---\n# A model\n\nText.\n\n## Evaluation\n\n<!-- evalkit:results -->\n" in new
    assert card.update(new, FIRST).new == new


def test_marked_parts_are_filled_where_they_are() -> None:
    text = (
        "one\n<!-- evalkit:chat -->\nold\n<!-- /evalkit:chat -->\ntwo\n"
        "<!-- evalkit:academic --><!-- not a marker -->\n"
        "  <!-- evalkit:academic -->  \n<!-- /evalkit:academic -->\nthree"
    )
    new = checks.split(card.update(text, FIRST).new).body
    assert new.startswith("one\n<!-- evalkit:chat -->\n\n**Chat benchmarks**\n")
    assert "\n\n<!-- /evalkit:chat -->\ntwo\n<!-- evalkit:academic --><!-- not" in new
    assert "  <!-- evalkit:academic -->  \n\n**lm-eval**\n" in new
    assert new.endswith("\n<!-- /evalkit:academic -->\nthree")
    assert "\nold\n" not in new


@pytest.mark.parametrize(
    ("body", "heading"),
    [
        ("# M\n## 🏆 Evaluation\n### Results\n## Benchmarks\n", "### Results"),
        ("# M\n## Benchmarks:\n## **Evaluation** ##\n", "## **Evaluation** ##"),
        ("# M\n## 🏆 Evaluation\n", "## 🏆 Evaluation"),
        ("# M\n## Training and evaluation data\n### Training results\n", "## Evaluation"),
        ("# M\n## Evaluation data\n", "## Evaluation"),
        ("", "## Evaluation"),
    ],
)
def test_the_first_time_tables_go_below_the_best_heading(body: str, heading: str) -> None:
    new = checks.split(card.update(body, FIRST).new).body
    assert f"{heading}\n\n<!-- evalkit:results -->\n" in new


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<!-- evalkit:chat -->\n", "has no end"),
        ("<!-- /evalkit:chat -->\n", "ends what did not begin"),
        ("<!-- evalkit:chat -->\n<!-- /evalkit:all -->\n", "ends what did not begin"),
        ("<!-- evalkit:chat -->\n<!-- evalkit:all -->\n", "begins inside of evalkit:chat"),
        ("<!-- evalkit:charts -->\n", "expected one of all, chat, academic, results"),
        ("```\nnot closed\n", "ends in a code block"),
    ],
)
def test_markers_that_do_not_fit_are_refused(body: str, said: str) -> None:
    with pytest.raises(CardError, match=said):
        card.update(body, FIRST)


def test_a_card_of_another_model_is_written_into_only_where_that_is_said() -> None:
    other = card.Card(FIRST.material, "quick-lora")
    for text in (ADAPTER, with_foreign()):
        with pytest.raises(CardError, match=r"of 'my-adapter'.* of 'quick-lora'.*--model 'quick-l"):
            card.update(text, other)
        assert "name: my-adapter" in card.update(text, other, other_model=True).new
    alike = ADAPTER.replace("my-adapter", "org/Quick_LoRA")
    assert "name: org/Quick_LoRA" in card.update(alike, other).new
    title = "# smollm2\n\nText.\n"
    with pytest.raises(CardError, match="of 'smollm2', which is another model of the runs"):
        card.update(title, other)
    assert "quick-lora" in card.update(title, other, other_model=True).new


def test_a_card_that_evalkit_wrote_takes_no_figures_of_another_model() -> None:
    run = a_run()
    ours = card.Card(card.gather([run], "smollm2", ["lm_eval"]), "final")
    theirs = card.Card(card.gather([run], only=["lm_eval"]), "quick-lora")
    text = ours.text()
    assert card.update(text, ours).new == text
    with pytest.raises(CardError, match="there are of 'smollm2', the figures of 'quick-lora'"):
        card.update(text, theirs, other_model=True)
    named = card.Card(theirs.material, "final")
    assert "model: quick-lora" in card.update(text, named, named=True).new


def test_other_models_of_an_index_stay() -> None:
    more = "- name: another\n  results:\n" + indented(FOREIGN, 2)
    text = ADAPTER.replace("model-index:\n", f"model-index:\n{more}")
    updated = card.update(text, FIRST)
    models = checks.load(checks.split(updated.new).yaml)["model-index"]
    assert [len(m["results"]) for m in models] == [1, len(FIRST.index.results)]
    assert any("was there before: model-index: 2 models" in note for note in updated.notes)


def test_what_others_wrote_wrong_is_said_and_left() -> None:
    text = with_foreign().replace("value: 64.59", "value: .nan")
    updated = card.update(text, FIRST)
    assert "value: .nan" in updated.new
    assert any(re.search(r"was there before: .*value: nan", note) for note in updated.notes)


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("a: [1\n", "not YAML that the hub reads"),
        ("- a\n", "expected fields by name"),
        ("model-index: 3\n", "expected a list with one model"),
        ("model-index: []\nmodel-index: []\n", "duplicate key"),
        ("value: !!python/object:numpy.float64 1\n", "not YAML that the hub reads"),
    ],
)
def test_front_matter_that_cannot_be_changed_is_refused(front: str, said: str) -> None:
    with pytest.raises(CardError, match=said):
        card.update(f"---\n{front}---\n", FIRST)


# --- any card -------------------------------------------------------------------------------------

fields = st.sampled_from(
    [
        "license: mit",
        "# a comment",
        "",
        "tags:\n- a\n-   'b'   # c",
        'title: "quoted: \\u00e9"',
        "text: |\n  a\n   b\n\n  c",
        "folded: >-\n  one\n  two\n",
        "kept: |+\n  x\n\n",
        "? odd\n: key",
        "date: 2024-01-01",
        "nested:\n    deep:\n        - {a: 1}\n# end",
        "emoji: 🤗 ✓",
    ]
)
CASES = [
    "",
    "model-index:",
    "model-index: null  # none yet",
    "model-index: []",
    "model-index:\n- name: my-adapter\n  results: []   # empty",
    "model-index:\n- name: my-adapter\n  results:",
    "model-index:\n- name: my-adapter",
    "model-index:\n  # above\n  - name: my-adapter # model\n    # inside\n    results:\n"
    + indented(FOREIGN, 4)
    + "    # after\n"
    + indented(FOREIGN.replace("ARC-Challenge", "ARC-Easy"), 4)
    + "# below",
    "model-index:\n-\n  results:\n" + indented(FOREIGN, 2) + "  name: my-adapter",
    "model-index:\n- name: 'my-adapter'\n  results:\n  -\n"
    + indented(f"  {FOREIGN[2:]}", 2).rstrip(),
    "model-index: [{name: my-adapter, results: []}]  # flow",
]


@st.composite
def fronts(draw: st.DrawFn) -> str:
    index = draw(st.sampled_from(CASES))
    before, after = (draw(st.lists(fields, max_size=3, unique=True)) for _ in range(2))
    taken = {line.partition(":")[0] for line in before if ":" in line}
    after = [line for line in after if line.partition(":")[0] not in taken]
    return "\n".join([*before, *([index] if index else []), *after])


lines = st.sampled_from(
    [
        "text",
        "",
        "# My model",
        "## Results",
        "### Evaluation results ###",
        "    code",
        "| a | b |",
        "---",
        "<!-- a comment -->",
        "<!-- a long\n# Results\ncomment -->",
        "```yaml\n## Results\n<!-- evalkit:chat -->\n```",
        "~~~\n```\n~~~",
        "<!-- evalkit:chat -->\nold\n<!-- /evalkit:chat -->",
        "<!-- evalkit:results -->\n<!-- /evalkit:results -->",
        "🤗 \u2028 line",
    ]
)
bodies = st.lists(lines, max_size=6).map("\n".join)


@st.composite
def cards(draw: st.DrawFn) -> str:
    front = draw(st.none() | fronts())
    body = draw(bodies)
    text = f"# Title\n{body}" if front is None else f"---\n{front}\n---\n{body}"
    text += draw(st.sampled_from(["", "\n", "\n\n"]))
    text = draw(st.sampled_from(["", "\ufeff"])) + text
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


def outside(text: str) -> str:
    """A card without evalkit's parts and entries, and without what may stand for no entries."""
    return re.sub(
        r"(<!-- evalkit:(\w+) -->\r?\n)(?:(?!```).)*?(<!-- /evalkit:\2 -->)",
        r"\1\3",
        text,
        flags=re.DOTALL,
    )


SMALL, OTHER = a_card(1, only=("mt_bench",)), a_card(2, only=("mt_bench",))


@given(cards())
@examples(30)
def test_twice_is_once(text: str) -> None:
    new = card.update(text, SMALL).new
    assert card.update(new, SMALL).new == new


def kept_lines(text: str) -> list[str]:
    """Lines of a card that an update must keep, line ends included: all but its index."""
    body = outside(text.removeprefix("\ufeff"))
    index = re.compile(r"^model-index:.*?(?=^[^\s#-]|^---)", re.DOTALL | re.MULTILINE)
    found = re.findall(r"[^\n]*\n|[^\n]+\Z", index.sub("", body, count=1))
    return [line for line in found if line.strip()]


@given(cards())
@examples(30)
def test_every_line_of_others_stays_in_its_place(text: str) -> None:
    new = iter(kept_lines(card.update(text, SMALL).new))
    *lines, last = [*kept_lines(text), ""]
    *lines, last = lines or [""]
    for line in lines:
        assert line in new, line
    assert any(line.startswith(last) for line in new) or not last


@given(cards())
@examples(30)
def test_data_of_others_stays_as_the_hub_reads_it(text: str) -> None:
    old = checks.load(checks.split(text).yaml)
    new = checks.load(checks.split(card.update(text, SMALL).new).yaml)
    old.pop("model-index", None)
    index = new.pop("model-index")
    assert new == old or not old
    assert [r for r in index[0]["results"] if is_ours(r)] == list(SMALL.index.results)
    assert ("\r\n" in text) == ("\r\n" in card.update(text, SMALL).new) or "\n" not in text


# --- any name -------------------------------------------------------------------------------------

hostile = st.sampled_from(
    [
        "a | b",
        "---",
        "\n---\n",
        "`code`",
        "<!-- /evalkit:results -->",
        "<!-- evalkit:chat -->\nx",
        "**bold**",
        "'\"",
        "yes",
        "1e5",
        "0x1f",
        "2024-01-01",
        "null",
        "# a",
        "a: b",
        "🤗👩‍💻",
        "{{ model }}",
        "- x",
        "&a *a !t",
        "\u2028\x85\ufeff",
        "%YAML 1.2",
    ]
)
plain = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda s: s.strip())


def renamed(run: Run, names: dict[str, str]) -> Run:
    """`run` with its models called otherwise."""
    models = [m.model_copy(update={"name": names[m.name]}) for m in run.manifest.models]
    figures = tuple(replace(f, model=names.get(f.model, f.model)) for f in run.figures)
    return replace(with_manifest(run, models=models), figures=figures)


@given(hostile | plain, hostile | plain)
@examples(20)
def test_any_model_name_is_written_read_and_updated(mine: str, other: str) -> None:
    if mine in (other, "claude-2") or other == "claude-2":
        return
    run = renamed(a_run(), {"quick-lora": mine, "smollm2": other})
    material = card.gather([run], only=["mt_bench", "lm_eval"])
    made = card.Card(material, material.candidate)
    made.require_valid()
    text = made.text()
    read = hub_reads(text)
    assert read.data.model_name == mine
    assert read.model_index == made.model_index
    shown = rendered(read.body)
    assert len(shown.cells) == 2 * 2 + 2 * 3  # two models: MT-Bench; the two tasks
    names = {one_line(shown.cells[i]).replace("\N{WORD JOINER}", "") for i in (0, 2, 4, 7)}
    assert names == {one_line(visible(name)) for name in (mine, other)}
    assert [c.strip() for c in shown.comments] == ["evalkit:results", "/evalkit:results"]
    assert shown.tags <= {"h1", "h2", "p", "strong", "br", "sup", "ul", "li", "table", "thead"} | {
        "tbody", "tr", "th", "td", "details", "summary", "pre", "code"
    }  # fmt: skip
    updated = card.update(ADAPTER.replace("my-adapter", "x", 1), made, other_model=True).new
    assert hub_reads(updated).data.model_name == "x"
    assert card.update(updated, made).new == updated
    assert (
        card.update("Text.\n", made).new == card.update(card.update("Text.\n", made).new, made).new
    )
