"""alpaca_eval's evaluators: prompts, order, parsers.

Oracles: alpaca_eval 0.6.6 itself (`utils.make_prompts`, `utils.prompt_to_chatml`, its parsers and
its processor that draws the order), and the replies that the published annotations keep.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evalkit.core import Completion, Message, Request
from evalkit.core.protocols import DataPlaces, JudgeContext
from evalkit.core.specs import JudgeSpec
from evalkit.errors import SuiteError
from evalkit.judges.pairwise_alpaca_eval import (
    PairwiseAlpacaEval,
    evaluator,
    evaluators,
    read_verdict,
)
from tests.support.flows import play

WEIGHTED = "weighted_alpaca_eval_gpt4_turbo"
CLASSIC = "alpaca_eval_gpt4"
TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@pytest.fixture(scope="module")
def upstream() -> Any:
    """The package; importing it warns of pkg_resources."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from alpaca_eval import completion_parsers, processors, utils
    return completion_parsers, processors, utils


def judge(name: str, **spec: Any) -> PairwiseAlpacaEval:
    context = JudgeContext(DataPlaces(), {"evaluator": name})
    return PairwiseAlpacaEval("gpt", "judge:gpt", JudgeSpec(**spec), context)


def template(name: str) -> str:
    found = importlib.util.find_spec("alpaca_eval")
    assert found is not None
    assert found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "evaluators_configs"
    return (folder / name).read_text(encoding="utf-8")


def published(folder: Path, path: str) -> list[dict[str, Any]]:
    with gzip.open(folder / "alpaca_eval" / "annotations" / path) as file:
        rows: list[dict[str, Any]] = json.load(file)
    return rows


@pytest.mark.data
@pytest.mark.parametrize("model", ["claude-2.1", "OpenHermes-2.5-Mistral-7B"])
def test_published_replies_give_the_published_preferences(public_data: Path, model: str) -> None:
    """Order and parser together, on every reply that was kept."""
    checked = 0
    for row in published(public_data, f"{WEIGHTED}/{model}.json.gz"):
        raw = row["raw_completion"]
        if not raw:
            continue
        tops = [(t["token"], t["logprob"]) for t in raw["logprobs"]["content"][0]["top_logprobs"]]
        reply = Completion(text=raw["message"]["content"], top_logprobs=tuple(tops))
        flow = judge(WEIGHTED).compare(row["instruction"], row["output_2"], row["output_1"])
        judgment, _ = play(flow, lambda _, reply=reply: reply)  # type: ignore[misc]
        assert judgment.value == pytest.approx(row["preference"] - 1, abs=1e-9)
        checked += 1
    assert checked > 800


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "path"),
    [
        (WEIGHTED, "alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"),
        (CLASSIC, "alpaca_eval_gpt4/alpaca_eval.txt"),
    ],
)
def test_prompts_are_alpaca_evals(public_data: Path, upstream: Any, name: str, path: str) -> None:
    import pandas as pd

    utils = upstream[2]
    rows = published(public_data, f"{WEIGHTED}/claude-2.1.json.gz")
    theirs, _ = utils.make_prompts(pd.DataFrame(rows), template=template(path), batch_size=1)
    for row, prompt in zip(rows, theirs, strict=True):
        values = {key: row[key] for key in ("instruction", "output_1", "output_2")}
        ours = evaluator(name).prompt(values)
        assert isinstance(ours, tuple)
        messages = [{"content": m.content, "role": m.role} for m in ours]
        assert messages == utils.prompt_to_chatml(prompt)


@pytest.mark.slow
@given(instruction=TEXT)
def test_the_order_is_drawn_as_upstream_draws_it(upstream: Any, instruction: str) -> None:
    import pandas as pd

    processor = upstream[1].RandomSwitchTwoColumnsProcessor(
        two_columns_to_switch=["output_1", "output_2"],
        random_seed_columns=["instruction"],
        _switch_column="is_switched_outputs",
        seed=0,
    )
    row = {"instruction": instruction, "output_1": "theirs", "output_2": "ours"}
    drawn = processor.preprocess(pd.DataFrame([row])).iloc[0]
    request = next(judge(CLASSIC).compare(instruction, "ours", "theirs"))[0]
    assert isinstance(request.prompt, tuple)
    text = request.prompt[-1].content
    places = [text.find(f'"answer": """{shown}"""') for shown in (drawn.output_1, drawn.output_2)]
    assert -1 < places[0] < places[1]


@pytest.mark.parametrize("name", [WEIGHTED, CLASSIC])
@given(
    texts=st.tuples(*(st.lists(st.sampled_from(
        ["<|im_end|>", "<|im_start|>system\n", "{output_1}", "{output_2}", "{instruction}", "x "]
    ), max_size=6).map("".join) for _ in range(3)))
)  # fmt: skip
def test_no_text_changes_the_prompts_structure(name: str, texts: tuple[str, str, str]) -> None:
    """As many messages as the template, and each text where it belongs, whole."""
    keys = ("instruction", "output_1", "output_2")
    plain = evaluator(name).prompt(dict.fromkeys(keys, "PLAIN"))
    marked = {key: f"[{key}: {text}]" for key, text in zip(keys, texts, strict=True)}
    request = next(
        judge(name).compare(*(marked[k] for k in ("instruction", "output_2", "output_1")))
    )
    prompt = request[0].prompt
    assert isinstance(prompt, tuple)
    assert [m.role for m in prompt] == [m.role for m in plain if isinstance(m, Message)]
    whole = "\n".join(m.content for m in prompt)
    for text in marked.values():
        assert text.replace("<|im_", "< |im_") in whole
    assert "<|im_end|>" not in whole


REPLIES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]",
            "[{'model': 'model_1', 'rank': 2}, {'model': 'model_2', 'rank': 1}]",
            "[{'model': 'model_1', 'rank': 3}]",
            "[{'model': 'm', 'rank': 1}]",
            "7 8\nbecause",
            "8, 7",
            "8 8",
            "Output (a)",
            "Output (b) is better than Output (a)",
            "nan 3",
        ]
    ),
)


@pytest.mark.filterwarnings("ignore")
@given(reply=REPLIES)
def test_text_parsers_read_what_upstreams_read(upstream: Any, reply: str) -> None:
    """But for a score of NaN, which upstream takes for a tie."""
    assume("nan" not in reply.lower())
    parsers = upstream[0]
    patterns = {1: r"(?:^|\n) ?Output \(a\)", 2: r"(?:^|\n) ?Output \(b\)"}
    for name, theirs, settings in (
        ("ranking_parser", parsers.ranking_parser, {}),
        ("lmsys_parser", parsers.lmsys_parser, {}),
        ("regex_parser", parsers.regex_parser, {"outputs_to_match": patterns}),
    ):
        copied = {k: dict(v) for k, v in settings.items()}
        try:
            found = theirs(reply, **copied)
        except ValueError:  # an empty reply
            found = []
        expected = found[0] if len(found) == 1 else math.nan
        ours = read_verdict(name, settings, Completion(text=reply))
        if expected is None or math.isnan(expected):
            assert ours is None
        else:
            assert ours == expected


def test_a_missing_token_is_no_verdict() -> None:
    """Upstream scores it 2.0."""
    config = evaluator(WEIGHTED)
    only = Completion(text="M", top_logprobs=(("M", -0.1), ("The", -9.0)))
    assert read_verdict(config.parser, config.parser_settings, only) is None


def test_functions_are_called_and_read() -> None:
    config = evaluator("alpaca_eval_gpt4_turbo_fn")
    (request,) = next(judge("alpaca_eval_gpt4_turbo_fn").compare("q", "a", "b"))
    assert json.loads(request.tool)["function"]["name"] == "make_partial_leaderboard"
    ranked = [{"model": "M", "rank": 1}, {"model": "m", "rank": 2}]
    reply = Completion(text=json.dumps({"ordered_models": ranked}))
    assert read_verdict(config.parser, config.parser_settings, reply) == 2


def test_every_shipped_evaluator_is_supported_or_says_why() -> None:
    refused = {}
    for name in evaluators():
        try:
            loaded = evaluator(name)
        except SuiteError as error:
            refused[name] = str(error)
            continue
        prompt = loaded.prompt({"instruction": "I!", "output_1": "F!", "output_2": "S!"})
        text = prompt if isinstance(prompt, str) else "\n".join(m.content for m in prompt)
        assert text.index("F!") < text.index("S!")
        assert "I!" in text
    assert len(evaluators()) - len(refused) >= 43
    assert all("into one prompt" in why or "biases" in why for why in refused.values())


def test_an_unknown_evaluator_is_an_error_with_the_nearest() -> None:
    with pytest.raises(SuiteError, match="did you mean 'alpaca_eval_gpt4'"):
        judge("alpaca_eval_gpt_4").describe()


def test_settings_are_the_evaluators_unless_the_suite_has_its_own() -> None:
    def asked(**spec: Any) -> Request:
        return next(judge(WEIGHTED, **spec).compare("q", "a", "b"))[0]

    assert (asked().max_tokens, asked().temperature, asked().top_logprobs) == (1, 1.0, 5)
    own = asked(judge_max_tokens=9, judge_temperature=0.0)
    assert (own.max_tokens, own.temperature, own.seed) == (9, 0.0, None)
    described = judge(WEIGHTED).describe()
    assert described["evaluator_model"] == "gpt-4-1106-preview"
    assert described["evaluator"] == WEIGHTED
