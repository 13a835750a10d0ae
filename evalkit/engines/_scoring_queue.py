"""Log-likelihood jobs on their way through an engine: plans in turn, replies by ticket."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from evalkit.core import Completion, Reply
from evalkit.engines._context_plan import Answer, Ask
from evalkit.engines._scoring import Cost, Pair, Scoring
from evalkit.errors import RequestFailed

__all__ = ["Part", "ScoringQueue"]


@dataclass(frozen=True, slots=True)
class Part:
    """One ask of one plan."""

    batch: _Batch
    number: int
    ask: Ask
    uncached: bool = False
    """Asked again without reading the prefix cache."""


@dataclass(slots=True)
class _Batch:
    scoring: Scoring
    tickets: list[int]
    lengths: list[int]
    """Tokens of each job's pairs."""


class ScoringQueue:
    """Feeds an engine the asks of its log-likelihood jobs, and makes replies of the answers."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self._costs: list[Cost] = []

    def add(
        self, jobs: Iterable[tuple[int, Sequence[Pair]]], block_size: int, *, rows: bool
    ) -> None:
        """Plan jobs (ticket, pairs) together, after what is queued; see `Scoring`."""
        tickets: list[int] = []
        lengths: list[int] = []

        def pairs() -> Iterable[Sequence[Pair]]:
            for ticket, found in jobs:
                tickets.append(ticket)
                lengths.append(sum(len(c) + len(k) for c, k in found))
                yield found

        batch = _Batch(Scoring(pairs(), block_size, rows=rows), tickets, lengths)
        self._batches.append(batch)
        self._costs.append(batch.scoring.cost)

    def next(self) -> Part | None:
        """The next ask; None: none is left."""
        while self._batches:
            found = self._batches[0].scoring.next()
            if found is not None:
                return Part(self._batches[0], *found)
            self._batches.popleft()
        return None

    @staticmethod
    def again(part: Part, cached: int) -> Part | None:
        """The part to ask instead, where `cached` positions hid rows it needs; None: all is there.

        Raises RequestFailed where it was already asked without the cache.
        """
        if not part.batch.scoring.hidden(part.number, cached):
            return None
        if part.uncached:
            raise RequestFailed(
                "engine_error",
                f"the engine read {cached} prompt tokens from its cache though it was told not "
                f"to, and gave no log-probabilities for them",
            )
        return Part(part.batch, part.number, part.ask, uncached=True)

    @staticmethod
    def finish(part: Part, answer: Answer) -> list[tuple[int, Reply]]:
        """Take an answer; returns the replies it completes."""
        batch = part.batch
        return [
            (
                batch.tickets[score.item],
                Completion(
                    logprob=score.logprob,
                    is_greedy=score.is_greedy,
                    prompt_tokens=batch.lengths[score.item],
                    reused_tokens=max(0, batch.lengths[score.item] - score.computed),
                ),
            )
            for score in batch.scoring.receive(part.number, answer)
        ]

    @staticmethod
    def fail(part: Part, failure: RequestFailed) -> list[tuple[int, Reply]]:
        """Give an ask up; returns the failures of all that needed it."""
        return [(part.batch.tickets[n], failure) for n in part.batch.scoring.fail(part.number)]

    def work(self) -> dict[str, int]:
        """What has been planned and done so far: the sums of `Cost`, by its field names."""
        total: dict[str, int] = {}
        for cost in self._costs:
            for name, value in asdict(cost).items():
                total[name] = total.get(name, 0) + value
        return total

    def clear(self) -> None:
        """Forget what is queued; what was done stays counted."""
        self._batches.clear()
