"""What the judged benchmarks share: seeds, judgments of failed requests, statuses, matches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from evalkit.core import Flow, Judgment, Message, Status
from evalkit.core.protocols import PairwiseJudge, RatingJudge
from evalkit.errors import BenchmarkError, RequestFailed

__all__ = ["MatchJudge", "judged", "load_judge", "no_judge", "sampling_seed", "worst"]


@runtime_checkable
class MatchJudge(Protocol):
    """What a rating judge may do besides: prefer one of two conversations' last answers."""

    def match(
        self,
        conversation: Sequence[Message],
        other: Sequence[Message],
        reference: Sequence[str],
        part: str,
    ) -> Flow[Judgment]:
        """Both orders; `value` is the preference for `conversation`, 0 to 1.

        `reference` and `part` as for `core.RatingJudge.rate`.  Lets `RequestFailed` through.
        """
        ...


def sampling_seed(seed: int, *what: str) -> int:
    """Seed of one sampled answer: 31 bits of a hash of the suite's seed and what is asked.

    Does not depend on the order or number of samples, so `--limit` changes no answer.
    """
    digest = hashlib.sha256("\0".join((str(seed), *what)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def judged(
    flow: Flow[Judgment], judge: PairwiseJudge | RatingJudge, part: str = ""
) -> Flow[Judgment]:
    """`flow`, with a failed request made into a judgment that has its status and no value."""
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


def load_judge(judge: PairwiseJudge | RatingJudge | None) -> None:
    """Read the prompts of a judge that keeps them in files.  Raises DataError, JudgeError."""
    load = getattr(judge, "load", None)
    if load is not None:
        load()


def worst(judgments: Sequence[Judgment]) -> tuple[Status, str | None]:
    """Status and error of the first judgment that is not ok, else `ok`."""
    for judgment in judgments:
        if judgment.status != "ok":
            return judgment.status, judgment.error
    return "ok", None


def no_judge(benchmark: str, kind: str) -> BenchmarkError:
    """The error of a judged benchmark that was given no judge of its kind."""
    return BenchmarkError(
        f"benchmark {benchmark!r} has no {kind} judge; name one under `judges` and write "
        f"`judge: NAME` in the benchmark's entry"
    )
