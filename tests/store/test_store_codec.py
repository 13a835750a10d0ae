"""Domain types survive JSON exactly; what does not fit is refused with its path."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.core import (
    Comparison,
    Completion,
    Figure,
    FigureKey,
    Judgment,
    Measured,
    Outcome,
    Record,
    Score,
    Source,
)
from evalkit.core.figures import Method
from evalkit.store import canonical_json, decode, encode, run_id
from evalkit.store.codec import CodecError, json_bytes, parse_json, read
from tests.support.properties import examples

TEXT = st.text(st.characters(), max_size=12)  # with lone surrogates and control characters
HALVES = st.text(st.characters(categories=["Cs"]), max_size=3)


def spelled(text: str) -> str:
    """Two surrogate halves in a row are the character they spell; single ones stay."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
        max_leaves=8,
    )
)
def test_json_comes_back_exactly(value: Any) -> None:
    text = canonical_json(value)
    text.decode("utf-8")
    assert b"\n" not in text
    assert repr(parse_json(text)) == repr(json.loads(json.dumps(value, sort_keys=True)))


@given(TEXT, HALVES)
def test_half_a_surrogate_pair_survives(text: str, halves: str) -> None:
    assert parse_json(canonical_json(text + halves)) == spelled(text + halves)


def test_canonical_form_is_what_it_says() -> None:
    value = {"b": [1, 1.5, None, True], "a": "é\u2028\ud800\\ud800"}
    expected = b'{"a":"\xc3\xa9\xe2\x80\xa8\\ud800\\\\ud800","b":[1,1.5,null,true]}'
    assert canonical_json(value) == expected
    assert parse_json(expected) == value


def test_run_id_is_the_start_of_a_sha256_that_ignores_key_order() -> None:
    expected = hashlib.sha256(b'{"a":1,"b":[0.1]}').hexdigest()[:12]
    assert run_id({"b": [0.1], "a": 1}) == run_id({"a": 1, "b": [0.1]}) == expected
    assert run_id({"a": 2, "b": [0.1]}) != expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, [-math.inf], {"x": {1}}, b"bytes"])
def test_what_json_cannot_say_is_refused(bad: Any) -> None:
    with pytest.raises(CodecError, match=r"as JSON|expected a finite number"):
        canonical_json(bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"NaN", "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not"),
        (b'{"a":1,"a":2}', "key 'a' appears twice"),
        (b'{"a":', "not JSON"),
        (b'"\xff"', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_json_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        parse_json(text)


FINITE = st.floats(-1e60, 1e60)


def built(cls: type[Any], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any `cls` without NaN and infinity."""
    known = {float: FINITE, float | None: st.none() | FINITE, str: TEXT}
    hints = get_type_hints(cls).items()
    return st.builds(cls, **{n: known[h] for n, h in hints if h in known and n not in more}, **more)


def several(one: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(one, max_size=3).map(tuple)


OUTCOMES = built(
    Outcome,
    scores=several(built(Score)),
    judgments=several(built(Judgment, votes=several(FINITE))),
    data=st.dictionaries(TEXT, FINITE | TEXT, max_size=2),
)
KEYS = built(FigureKey)
MEASURED = built(Measured, method=built(Method), level=st.floats(0.01, 0.99))
ROWS = built(Figure, key=KEYS, value=MEASURED, source=st.none() | built(Source)) | built(
    Comparison, key=KEYS, difference=MEASURED
)


@examples(150)
@given(
    built(Record, outcome=OUTCOMES)
    | built(Completion, top_logprobs=several(st.tuples(TEXT, FINITE)))
    | ROWS
)
def test_domain_types_come_back_equal(value: Any) -> None:
    text = json_bytes(encode(value))
    again = decode(type(value), parse_json(text))
    assert json_bytes(encode(again)) == text
    if b"\\ud" not in text:  # halves of surrogate pairs have a test of their own
        assert again == value


OUTCOME = Outcome("ok", scores=(Score("acc", 1.0), Score("acc", 0.5, "turn_2")))
RECORD = Record("m", "b", "t", "1", None, "", OUTCOME)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(extra=1), "unknown field 'extra' of Record"),
        (lambda d: d.pop("cluster"), "field 'cluster' of Record is missing"),
        (lambda d: d.update(model=3), "model: 3; expected a valid string"),
        (
            lambda d: d["outcome"].update(status="fine"),
            "outcome.status: 'fine'; expected 'ok'",
        ),
        (
            lambda d: d["outcome"]["scores"][1].update(value="1"),
            r"scores\[1\].value: '1'; expected a valid number",
        ),
        (lambda d: d["outcome"]["scores"][1].update(value=True), r"scores\[1\].value: True"),
        (lambda d: d["outcome"].update(scores={}), "outcome.scores: {}; expected a valid array"),
        (lambda d: d["outcome"].update(truncated=1), "truncated: 1; expected a valid boolean"),
        (lambda d: d.update(outcome=None), "outcome: None; expected an object"),
    ],
)
def test_reading_is_strict_and_names_the_path(change: Any, message: str) -> None:
    data = json.loads(json.dumps(encode(RECORD)))
    change(data)
    with pytest.raises(CodecError, match=message):
        decode(Record, data)


def test_fields_with_a_default_may_be_absent() -> None:
    data = {"metric": "acc", "value": 1}
    assert decode(Score, data) == Score("acc", 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "1"])
def test_writing_is_strict(bad: Any) -> None:
    broken = replace(OUTCOME, scores=(Score("acc", bad),))
    with pytest.raises(CodecError, match=r"outcome\.scores\[0\]\.value"):
        encode(replace(RECORD, outcome=broken))


def test_numpy_numbers_become_plain_ones() -> None:
    score = Score(np.str_("acc"), np.float32(0.5))  # type: ignore[arg-type]
    assert [type(v) for v in encode(score).values()] == [str, float, str]
    judgment = Judgment("j", "p", "ok", 1, votes=(np.float64(0.25), 1))
    assert json_bytes(encode(judgment)["votes"]) == b"[0.25,1.0]"


def test_values_without_a_type_are_checked_as_well() -> None:
    data = {"f1": (np.float64(0.5), np.int64(2)), "ok": {"a": [None, True, "x"]}}
    plain = {"f1": [0.5, 2], "ok": {"a": [None, True, "x"]}}
    assert encode(replace(OUTCOME, data=data))["data"] == plain
    for bad, message in (({"a": [0.0, math.nan]}, r"data\.a\[1\]: nan"), ({"a": {2}}, "as JSON")):
        with pytest.raises(CodecError, match=message):
            encode(replace(OUTCOME, data=bad))
    with pytest.raises(CodecError, match="NaN is not a JSON number"):
        read(Outcome, b'{"status":"ok","data":{"a":NaN}}')
