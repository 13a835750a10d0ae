"""The words for how a sample ended agree wherever they are written down."""

from __future__ import annotations

from typing import get_args

from evalkit.core import UNANSWERED, Status
from evalkit.errors import FailureStatus


def test_failures_are_all_statuses_but_ok() -> None:
    assert {*get_args(FailureStatus), "ok"} == set(get_args(Status))


def test_what_another_try_can_mend_is_what_never_got_an_answer() -> None:
    assert set(get_args(Status)) > UNANSWERED
    assert {"engine_error", "transport_error"} == UNANSWERED
