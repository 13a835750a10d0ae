"""What the judged benchmarks share: seeds, and what one or several judges make of an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import TypeAlias, TypeVar

from evalkit.core import Flow, Judgment, Reply, Request, Status
from evalkit.core.protocols import BenchmarkContext, PairwiseJudge, RatingJudge
from evalkit.core.specs import RepeatSpec
from evalkit.errors import BenchmarkError, RequestFailed

T = TypeVar("T")
Judge: TypeAlias = PairwiseJudge | RatingJudge


def sampling_seed(seed: int, *what: str) -> int:
    """Seed of one sampled answer: 31 bits of a hash of the suite's seed and the answer's names.

    Does not depend on the order or number of samples, so `--limit` changes no answer.
    """
    digest = hashlib.sha256("\0".join((str(seed), *what)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@dataclass(frozen=True)
class Verdict:
    """What the judges make of one answer."""

    judgments: tuple[Judgment, ...]
    """One of each judge, in the suite's order."""
    value: float | None
    """Mean of the valid judgments' values; None where there are fewer than the minimum."""

    @property
    def status(self) -> Status:
        """`ok` with a value, else that of the first judgment that failed."""
        return "ok" if self.value is not None else self._failed.status

    @property
    def error(self) -> str | None:
        """Why there is no value; None with one."""
        return None if self.value is not None else self._failed.error

    @property
    def _failed(self) -> Judgment:
        return next(j for j in self.judgments if j.status != "ok")


Begin: TypeAlias = Callable[[], Flow[Judgment]]
"""Begins a judgment."""


@dataclass(frozen=True)
class Asked:
    """A judge, and how it comes to a judgment of an answer."""

    judge: Judge
    begin: Begin
    swapped: Begin | None = None
    """Of a pair in the order that `begin` does not show, as a preference for the other answer;
    None: it shows both, or there is no order."""
    shown_first: bool = False
    """With `swapped`: `begin` shows the judged answer first."""


def judged(
    asked: Sequence[Asked], context: BenchmarkContext, sample: str, part: str = ""
) -> Flow[Verdict]:
    """Every judge's judgment of one answer; requests to several go out together.

    A failed request gives its own judge's judgment that status and no value.  On a share of the
    samples (`RepeatSpec`) a judge judges again, and in the order not shown, beside the first time:
    that is kept with its judgment and enters no value.

    Args:
        asked: Each judge: one, or the members of a panel.
        context: The minimum of valid judgments, repeats, the seed that draws them.
        sample: Its id.
        part: Names the judgment of a failed request.
    """
    flows: list[Flow[Judgment | None]] = []
    again: list[int] = []
    for one in asked:
        name, spec = one.judge.name, context.repeats.get(one.judge.name, RepeatSpec(times=0))
        drawn = sampling_seed(context.seed, "repeat", name, sample, part) < spec.share * 2**31
        again.append(spec.times if drawn else 0)
        flows.append(guarded(one.begin(), one.judge, part))
        flows += [_beside(one.begin(), trial) for trial in range(1, again[-1] + 1)]
        flows += [_beside(one.swapped())] if again[-1] and one.swapped else []
    made = iter((yield from _together(flows)))
    judgments = []
    for one, times in zip(asked, again, strict=True):
        judgment = next(made)
        assert judgment is not None, "the first is never None"
        found = [next(made) for _ in range(times)]
        turned = next(made) if times and one.swapped else None
        judgments.append(_with_repeats(judgment, found, turned, first=one.shown_first))
    values = [j.value for j in judgments if j.status == "ok" and j.value is not None]
    enough = len(values) >= context.judge_minimum
    return Verdict(tuple(judgments), fmean(values) if enough else None)


def _with_repeats(
    judgment: Judgment, found: Sequence[Judgment | None], turned: Judgment | None, *, first: bool
) -> Judgment:
    """The judgment with what the repeats gave; what could not be read in them is left out."""
    repeats = tuple(j.votes or (j.value,) for j in found if j is not None and j.value is not None)
    votes = judgment.votes
    if turned is not None and turned.value is not None and judgment.value is not None:
        other = 1 - turned.value
        votes = (judgment.value, other) if first else (other, judgment.value)
    return replace(judgment, repeats=repeats, votes=votes)


def _beside(flow: Flow[Judgment], trial: int = 0) -> Flow[Judgment | None]:
    """A judgment besides the one that counts; None: it failed, or there is nothing to ask again.

    Probabilities of given words are the same each time, and so are judgments without a request.
    """
    try:
        requests = next(flow)
        while all(request.kind == "generate" for request in requests):
            replies = yield [replace(r, trial=r.trial + trial) for r in requests]
            requests = flow.send(replies)
    except StopIteration as ended:
        judgment: Judgment = ended.value
        return judgment if judgment.exchanges else None
    except RequestFailed:
        return None
    return None


def worst(verdicts: Sequence[Verdict]) -> tuple[Status, str | None]:
    """Status and error of the first answer that has no value, else `ok`."""
    found = next((v for v in verdicts if v.value is None), None)
    return ("ok", None) if found is None else (found.status, found.error)


def guarded(flow: Flow[Judgment], judge: Judge, part: str) -> Flow[Judgment]:
    """`flow`, where a failed request gives a judgment with its status and no value."""
    try:
        return (yield from flow)
    except RequestFailed as failure:
        return Judgment(
            judge=judge.name,
            protocol=judge.protocol,
            status=failure.status,
            value=None,
            part=part,
            error=str(failure),
        )


def _together(flows: Sequence[Flow[T]]) -> Flow[list[T]]:
    """The values of `flows`, run side by side: a batch holds what each of them sends next.

    A failed request is thrown into its own flow, and the others get their replies; where the
    replies are not known (`RequestFailed.replies`), into all that are waiting.
    """
    values: dict[int, T] = {}
    waiting: dict[int, Sequence[Request]] = {}

    def resume(n: int, step: Callable[[], Sequence[Request]]) -> None:
        waiting.pop(n, None)
        try:
            waiting[n] = step()
        except StopIteration as ended:
            values[n] = ended.value

    for n, flow in enumerate(flows):
        resume(n, partial(next, flow))
    while waiting:
        batch = [request for requests in waiting.values() for request in requests]
        replies: Sequence[Reply]
        try:
            replies = (yield batch) if batch else ()
        except RequestFailed as failure:
            replies = failure.replies or [failure] * len(batch)
        left = iter(replies)
        for n, requests in list(waiting.items()):
            mine = [next(left) for _ in requests]
            failures = [r for r in mine if isinstance(r, RequestFailed)]
            answers = [r for r in mine if not isinstance(r, RequestFailed)]
            if failures:
                resume(n, partial(flows[n].throw, failures[0]))
            else:
                resume(n, partial(flows[n].send, answers))
    return [values[n] for n in range(len(flows))]


def no_judge(benchmark: str, kind: str) -> BenchmarkError:
    """The error of a judged benchmark that was given no judge of its kind."""
    return BenchmarkError(
        f"benchmark {benchmark!r} has no {kind} judge; name one under `judges` and write "
        f"`judge: NAME` in the benchmark's entry"
    )
