"""What the judged benchmarks share: seeds, judgments of failed requests, statuses."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from evalkit.core import Flow, Judgment, Status
from evalkit.core.protocols import PairwiseJudge, RatingJudge
from evalkit.errors import BenchmarkError, RequestFailed


def sampling_seed(seed: int, *what: str) -> int:
    """Seed of one sampled answer: 31 bits of a hash of the suite's seed and the answer's names.

    Does not depend on the order or number of samples, so `--limit` changes no answer.
    """
    digest = hashlib.sha256("\0".join((str(seed), *what)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def judged(
    flow: Flow[Judgment], judge: PairwiseJudge | RatingJudge, part: str = ""
) -> Flow[Judgment]:
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
