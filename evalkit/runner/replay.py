"""A benchmark's flow with recorded answers in place of the model's; a judge is still asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.core import Completion, Flow, Outcome, Request
from evalkit.errors import RequestFailed

__all__ = ["replay"]


def replay(flow: Flow[Outcome], model: str, answers: Sequence[Completion]) -> Flow[Outcome]:
    """Drive `flow`, answering its requests to `model` from `answers`, in order.

    Requests to other engines (judges) are passed on.  A request beyond the last recorded answer
    fails as `excluded`.
    """
    left = iter(answers)
    failure: RequestFailed | None = None
    replies: Sequence[Completion] | None = None
    while True:
        try:
            if failure is not None:
                requests = flow.throw(failure)
            else:
                requests = next(flow) if replies is None else flow.send(replies)
        except StopIteration as ended:
            outcome: Outcome = ended.value
            return outcome
        failure = None
        try:
            others = yield from _pass_on(requests, model)
            replies = [
                _recorded(left) if request.engine == model else next(others) for request in requests
            ]
        except RequestFailed as error:
            failure = error


def _pass_on(requests: Sequence[Request], model: str) -> Flow[Iterator[Completion]]:
    asked = [request for request in requests if request.engine != model]
    return iter((yield asked) if asked else ())


def _recorded(left: Iterator[Completion]) -> Completion:
    for completion in left:
        return completion
    raise RequestFailed("excluded", "there is no recorded answer to this question")
