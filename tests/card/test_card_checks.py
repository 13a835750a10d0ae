"""The offline checks, held against huggingface_hub itself: what passes survives its round trip."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub.repocard_data import (
    eval_results_to_model_index,
    model_index_to_eval_results,
)
from hypothesis import given
from hypothesis import strategies as st

from evalkit.card import checks
from evalkit.card.write import plain_yaml
from evalkit.core import Json
from evalkit.errors import CardError
from tests.support.cards import hub_reads

RESULT: Json = {
    "task": {"type": "text-generation", "name": "Text Generation"},
    "dataset": {
        "name": "ARC",
        "type": "allenai/ai2_arc",
        "config": "ARC-Challenge",
        "split": "test",
    },
    "metrics": [{"type": "acc", "value": 64.5, "name": "accuracy", "args": {"n": 1172}}],
    "source": {"name": "evalkit", "url": "https://example.org/run"},
}
OTHER: Json = {**RESULT, "dataset": {**RESULT["dataset"], "config": "ARC-Easy"}}


def index(*results: Json, name: Json = "a model") -> Json:
    return [{"name": name, "results": copy.deepcopy(list(results))}]


def changed(path: str, value: Json) -> Json:
    """RESULT with one field set, or taken out where `value` is ..."""
    result = copy.deepcopy(RESULT)
    *parents, last = path.split(".")
    place = result
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return result


def round_trip(found: Json) -> Json:
    """What is left of an index after the hub's client has read and written it."""
    name, results = model_index_to_eval_results(found)
    return eval_results_to_model_index(name, results)


def places(found: Json) -> list[str]:
    return [problem.where for problem in checks.check_index(found)]


def test_a_whole_index_passes_and_survives_the_client() -> None:
    found = index(RESULT, OTHER)
    assert places(found) == []
    assert round_trip(found) == found


LOST: dict[str, tuple[Json, str]] = {
    "two sources": (
        index(RESULT, changed("source.url", "https://example.org/other")),
        "model-index[0].results[1]",
    ),
    "other shots": (
        index(changed("dataset.args", {"num_few_shot": 5}), changed("dataset.args", {"n": 0})),
        "model-index[0].results[1]",
    ),
    "the same entry": (index(RESULT, RESULT), "model-index[0].results[1]"),
    "two models": ([*index(RESULT), *index(OTHER, name="another")], "model-index"),
    "unknown field": (index({**RESULT, "note": "x"}), "model-index[0].results[0].note"),
    "unknown field of a metric": (
        index(changed("metrics.0.unit", "percent")),
        "model-index[0].results[0].metrics[0].unit",
    ),
    "no value": (
        index(changed("metrics.0.value", None)),
        "model-index[0].results[0].metrics[0].value",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_what_the_client_loses_is_found(name: str) -> None:
    found, where = LOST[name]
    assert where in places(found)
    assert round_trip(copy.deepcopy(found)) != found


REFUSED: dict[str, tuple[Json, str]] = {
    "no source url": (index(changed("source.url", ...)), "model-index[0].results[0].source.url"),
    "no data set type": (
        index(changed("dataset.type", ...)),
        "model-index[0].results[0].dataset.type",
    ),
    "no data set name": (
        index(changed("dataset.name", ...)),
        "model-index[0].results[0].dataset.name",
    ),
    "no task": (index(changed("task", ...)), "model-index[0].results[0].task"),
    "no metric type": (
        index(changed("metrics.0.type", ...)),
        "model-index[0].results[0].metrics[0].type",
    ),
    "metrics by name": (
        index(changed("metrics", {"type": "acc", "value": 1.0})),
        "model-index[0].results[0].metrics",
    ),
    "results by name": ([{"name": "a", "results": RESULT}], "model-index[0].results"),
    "a model, not a list of them": (index(RESULT)[0], "model-index"),
    "no name": ([{"results": [RESULT]}], "model-index[0].name"),
    "nothing": ([], "model-index"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_client_cannot_read_is_found(name: str) -> None:
    found, where = REFUSED[name]
    assert where in places(found)
    with pytest.raises((KeyError, TypeError, ValueError)):
        round_trip(found)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metrics.0.value", float("nan")),
        ("metrics.0.value", float("inf")),
        ("metrics.0.args", {"standard_error": float("nan")}),
        ("metrics.0.value", np.float64(64.5)),
        ("metrics.0.args", {"n": np.int64(3)}),
        ("metrics.0.value", True),
        ("metrics.0.args", {3: "three"}),
        ("dataset.name", "\ud800"),
        ("dataset.name", "  "),
        ("dataset.args", {"shots": (1, 2)}),
    ],
)
def test_values_that_yaml_or_the_hub_cannot_carry(path: str, value: Json) -> None:
    where = "model-index[0].results[0]." + path.replace(".0.", "[0].")
    assert any(found.startswith(where) for found in places(index(changed(path, value))))


def test_numpy_scalars_would_break_the_card() -> None:
    """Why they are refused: PyYAML writes them as Python objects, which no one can load."""
    written = yaml.dump({"value": np.float64(64.5)})
    assert "!!python" in written
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(written)


def test_every_problem_is_named_at_once_with_what_to_do() -> None:
    found = index(changed("dataset.type", ""), changed("metrics.0.value", float("nan")))
    with pytest.raises(CardError) as refused:
        checks.require(checks.check_index(found), "the card")
    text = str(refused.value)
    assert "model-index[0].results[0].dataset.type: ''; expected text" in text
    assert "results[1].metrics[0].value: nan; expected a finite number" in text


def test_too_much_is_refused() -> None:
    found = checks.check_front_matter({"model-index": index(RESULT)}, checks.MOST_BYTES + 1)
    assert [p.where for p in found] == ["front matter"]


# --- what passes is safe --------------------------------------------------------------------------

texts = st.text(min_size=1, max_size=12)
names = st.sampled_from(["a", "b"]) | texts
numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.none()
args = st.none() | st.dictionaries(
    texts, numbers | texts | st.lists(numbers, max_size=2), max_size=2
)
sources = st.none() | st.fixed_dictionaries({"url": names}, optional={"name": names})


def without_none(found: dict[str, Any]) -> Any:
    return {key: value for key, value in found.items() if value is not None}


metrics = st.fixed_dictionaries({"type": names, "value": numbers, "args": args}).map(without_none)
results = st.fixed_dictionaries(
    {
        "task": st.just({"type": "text-generation"}),
        "dataset": st.fixed_dictionaries(
            {"type": names, "name": names, "config": st.none() | names, "args": args}
        ).map(without_none),
        "metrics": st.lists(metrics, max_size=2),
        "source": sources,
    }
).map(without_none)
models = st.fixed_dictionaries({"name": texts, "results": st.lists(results, max_size=3)})


def has_none(value: Any) -> bool:
    if isinstance(value, dict):
        return any(has_none(v) for v in value.values())
    return any(map(has_none, value)) if isinstance(value, list) else value is None


@given(st.lists(models, max_size=2))
def test_what_passes_survives_yaml_and_the_client(found: list[Any]) -> None:
    if checks.check_index(found) or has_none(found):
        return
    written = f"---\n{plain_yaml({'model-index': found})}---\nbody"
    assert yaml.safe_load(written.split("\n---\n", maxsplit=1)[0]) == {"model-index": found}
    read = hub_reads(written)
    assert read.body == "body"
    if found[0]["results"]:
        assert read.model_index == found
