"""Plans log-likelihoods for a model that can attend to any tree of tokens; pure, knows no model.

Pairs in, packs out; log-probabilities in, scores out.  Every pair (context, continuation) is a
path through the trie of tokens, and what is wanted of it are the log-probabilities of its last
edges.  The trie is walked depth-first and cut into packs of bounded size, wherever that cut
falls; the model keeps the keys and values of the path to the last token of a pack, which is all
that the next pack can build on.  So each token of the trie goes through the model once, whatever
the size of the packs, and equal pairs are scored once.

Depth-first order is the lexicographic order of prompts (a pair without its last token).  A
context is unfolded when the walk reaches it: a continuation wants an edge out of a token only if
its context is a prefix of the path there, and a prefix sorts before all it is a prefix of, so
what is wanted of a token is known when the token's turn comes.  Memory holds the waiting pairs
(four bytes a token, each context once) and one path.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from evalkit.engines._scoring import Cost, Pair
from evalkit.engines._token_keys import WIDTH, common, decode, encode, length, token_at

__all__ = ["Forest", "Pack", "Scored"]

_Waiting: TypeAlias = dict[bytes, dict[bytes, list[int]]]
"""Tickets by context and continuation."""


@dataclass(frozen=True, slots=True)
class Pack:
    """What goes through the model at once: tokens of the trie, each after its parent.

    The parent of token n is the last one before it that is one less deep, or, where the pack has
    none, the token of that depth on the path to the last token of the pack before.
    """

    tokens: array[int]
    depths: array[int]
    """Position of each token in its sequence, from 0; never more than one above its forerunner."""
    nodes: array[int]
    """For each wanted edge the number of the token it leaves; ascending."""
    labels: array[int]
    """For each wanted edge the token it leads to: its log-probability after the path is wanted."""
    branches: tuple[_Branch, ...]
    """For each wanted edge who wants it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A job that has all its log-probabilities."""

    ticket: int
    logprob: float
    is_greedy: bool
    tokens: int
    """Of its contexts and continuations."""
    computed: int
    """Tokens put through the model on its behalf; over all jobs, each of them once."""


class Forest:
    """Log-likelihood jobs on their way through a model."""

    def __init__(self, cost: Cost | None = None) -> None:
        """`cost`: go on counting there."""
        self.cost = Cost() if cost is None else cost
        self._waiting: _Waiting = {}
        self._jobs: dict[int, _Job] = {}
        self._walk: Iterator[_Run] = iter(())
        self._ahead: deque[_Run] = deque()
        self._path = array("i")
        self._held = 0
        self._unclaimed = 0
        self._failed = False

    def __len__(self) -> int:
        """Jobs that are neither scored nor failed."""
        return len(self._jobs)

    def add(self, ticket: int, pairs: Sequence[Pair]) -> None:
        """Take a job in: the sum over `pairs`, of which there is at least one.

        It is planned together with all that is added before the current walk ends.
        """
        size = sum(len(context) + len(continuation) for context, continuation in pairs)
        self._jobs[ticket] = _Job(missing=len(pairs), size=size)
        self.cost.requests += 1
        self.cost.naive += size
        for context, continuation in pairs:
            owners = self._waiting.setdefault(encode(context), {})
            owners.setdefault(encode(continuation), []).append(ticket)

    def next(self, limit: int, rows: int) -> Pack | None:
        """The next pack; None: nothing is left.

        Args:
            limit: Tokens of the pack at most.
            rows: Tokens of which something is wanted, at most.
        """
        pack = _Draft()
        while len(pack.tokens) < limit and pack.rows < rows:
            run = self._next_run()
            if run is None:
                break
            room = limit - len(pack.tokens)
            part, rest = run.tokens[:room], run.tokens[room:]
            del self._path[run.depth :]
            self._path.extend(part)
            self._held = len(self._path)
            pack.tokens.extend(part)
            pack.depths.extend(range(run.depth, self._held))
            if rest:
                self._ahead.appendleft(_Run(rest, self._held, run.wanted))
            else:
                pack.want(run.wanted)
        if not pack.tokens:
            return None
        self.cost.asks += 1
        return pack.finished()

    def receive(
        self, pack: Pack, logprobs: Sequence[float], greedy: Sequence[bool]
    ) -> list[Scored]:
        """Take a pack's answers, by wanted edge; returns the jobs they complete.

        Args:
            pack: The one `next` gave last.
            logprobs: Natural log-probabilities.
            greedy: Whether the label is the most likely token there.
        """
        self.cost.computed += len(pack.tokens)
        self._unclaimed += len(pack.tokens)
        finished: list[Scored] = []
        for branch, logprob, best in zip(pack.branches, logprobs, greedy, strict=True):
            done = branch.add(logprob, is_greedy=best)
            if done is not None:
                group = branch.group
                for ticket in group.owners[done]:
                    finished += self._add(ticket, group.logprobs[done], bool(group.greedy[done]))
        return finished

    def fail(self, pack: Pack) -> list[int]:
        """The pack `next` gave last cannot be answered: the jobs it was for, at least one.

        They leave the forest.  The path before counts as forgotten, and is computed again.
        """
        self.cost.redone += 1
        self.forget()
        behind = (branch for run in self._ahead for branch in run.branches())
        tickets = {ticket for branch in pack.branches or behind for ticket in branch.tickets()}
        lost = sorted(ticket for ticket in tickets if ticket in self._jobs)
        for ticket in lost:
            del self._jobs[ticket]
        self._failed = True
        ahead, self._ahead = self._ahead, deque()
        for run in ahead:
            if self._wanted(run):
                self._ahead.append(run)
            else:
                self._pass_by(run)
        return lost

    def forget(self) -> None:
        """The model no longer holds the path."""
        self._held = 0

    def _add(self, ticket: int, logprob: float, is_greedy: bool) -> Iterator[Scored]:
        job = self._jobs.get(ticket)
        if job is None:
            return
        job.logprob += logprob
        job.is_greedy = job.is_greedy and is_greedy
        job.missing -= 1
        if not job.missing:
            del self._jobs[ticket]
            # Who comes first pays: a later one has at least the tokens still unpaid.
            share = min(job.size, self._unclaimed)
            self._unclaimed -= share
            yield Scored(ticket, job.logprob, job.is_greedy, job.size, share)

    def _next_run(self) -> _Run | None:
        """The next tokens, after those of the path to them that the model does not hold."""
        while not self._ahead:
            run = next(self._walk, None) or self._first_run()
            if run is None:
                return None
            if self._failed and not self._wanted(run):
                self._pass_by(run)
            else:
                self._ahead.append(run)
        gap = self._path[self._held : self._ahead[0].depth]
        return _Run(gap, self._held, ()) if gap else self._ahead.popleft()

    def _first_run(self) -> _Run | None:
        """Begin the next walk."""
        waiting, self._waiting = self._waiting, {}
        del self._path[self._held :]
        self._walk = _walk(waiting, encode(self._path), self.cost)
        return next(self._walk, None)

    def _wanted(self, run: _Run) -> bool:
        """Whether a job that has not failed wants something of it."""
        return any(t in self._jobs for branch in run.branches() for t in branch.tickets())

    def _pass_by(self, run: _Run) -> None:
        """Walk over tokens without computing them; `_next_run` does that for whom it concerns."""
        del self._path[run.depth :]
        self._path.extend(run.tokens)
        self._held = min(self._held, run.depth)


# --- the walk ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Job:
    """What a job still waits for, and what it has."""

    missing: int
    size: int
    logprob: float = 0.0
    is_greedy: bool = True


class _Group:
    """A context with its continuations and what is known of them."""

    def __init__(self, context: bytes, owners: dict[bytes, list[int]]) -> None:
        self.context = context
        self.continuations = sorted(owners)
        self.owners = [owners[continuation] for continuation in self.continuations]
        self.logprobs = array("d", bytes(8 * len(owners)))
        self.greedy = bytearray(b"\1" * len(owners))

    @property
    def depth(self) -> int:
        """Position of the token that the continuations leave."""
        return length(self.context) - 1


@dataclass(frozen=True, slots=True)
class _Branch:
    """The continuations `low` to `high` of a group: those that begin with the same tokens."""

    group: _Group
    low: int
    high: int
    size: int
    """How many tokens that are."""

    def split(self) -> dict[int, _Branch]:
        """Branches one longer, by their last token."""
        continuations, at = self.group.continuations, self.low
        if at < self.high and length(continuations[at]) == self.size:
            at += 1
        found: dict[int, _Branch] = {}
        while at < self.high:
            token, low = token_at(continuations[at], self.size), at
            while at < self.high and token_at(continuations[at], self.size) == token:
                at += 1
            found[token] = _Branch(self.group, low, at, self.size + 1)
        return found

    def add(self, logprob: float, *, is_greedy: bool) -> int | None:
        """Add the last token's to all; returns the continuation that ends with it."""
        group = self.group
        for number in range(self.low, self.high):
            group.logprobs[number] += logprob
            group.greedy[number] &= is_greedy
        return self.low if length(group.continuations[self.low]) == self.size else None

    def tickets(self) -> Iterator[int]:
        """Who wants them."""
        for number in range(self.low, self.high):
            yield from self.group.owners[number]


_Wanted: TypeAlias = Sequence[dict[int, _Branch]]
"""What is wanted after a token: branches by the next token, from each context there."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Tokens that follow each other; something is wanted of the last one alone."""

    tokens: array[int]
    depth: int
    """Of the first."""
    wanted: _Wanted

    def branches(self) -> Iterator[_Branch]:
        """Who wants it."""
        for split in self.wanted:
            yield from split.values()


class _Draft:
    """A pack that is being filled."""

    def __init__(self) -> None:
        self.tokens = array("i")
        self.depths = array("i")
        self.rows = 0
        self._nodes = array("i")
        self._labels = array("i")
        self._branches: list[_Branch] = []

    def want(self, wanted: _Wanted) -> None:
        """Read the last token's row."""
        self.rows += bool(wanted)
        for split in wanted:
            self._nodes.extend([len(self.tokens) - 1] * len(split))
            self._labels.extend(split)
            self._branches += split.values()

    def finished(self) -> Pack:
        return Pack(self.tokens, self.depths, self._nodes, self._labels, tuple(self._branches))


def _walk(waiting: _Waiting, before: bytes, cost: Cost) -> Iterator[_Run]:
    """The trie of `waiting` depth-first, but for what it shares with the path `before`."""
    wanted: list[_Wanted] = [()] * length(before)
    shared = 0
    for prompt, groups in _prompts(waiting):
        roots = {group.depth: group for group in groups}
        # Of a path from an earlier walk, a context's last token is wanted anew.
        first = min([common(before, prompt), *roots])
        before = prompt
        del wanted[first:]
        tokens = array("i", decode(prompt[first * WIDTH :]))
        start = 0
        for at, token in enumerate(tokens):
            branches = [split[token] for split in (wanted[-1] if wanted else ()) if token in split]
            if first + at in roots:
                group = roots[first + at]
                branches.append(_Branch(group, 0, len(group.owners), 0))
            wanted.append([split for branch in branches if (split := branch.split())])
            if wanted[-1]:
                yield _Run(tokens[start : at + 1], first + start, wanted[-1])
                start = at + 1
        bound = length(prompt) - (first if shared else 0)
        shared = 1
        cost.trie += bound
        cost.floor += bound
        cost.planned += bound


def _prompts(waiting: _Waiting) -> Iterator[tuple[bytes, list[_Group]]]:
    """Prompts in order, each with the contexts it is the first to run through."""
    contexts = sorted(waiting, reverse=True)
    heap: list[tuple[bytes, int, _Group, int]] = []
    while contexts or heap:
        groups: list[_Group] = []
        while contexts and (not heap or contexts[-1] <= heap[0][0]):
            context = contexts.pop()
            groups.append(_Group(context, waiting.pop(context)))
            _push(heap, groups[-1], 0, len(contexts))
        prompt, serial, group, at = heapq.heappop(heap)
        _push(heap, group, at + 1, serial)
        yield prompt, groups


def _push(
    heap: list[tuple[bytes, int, _Group, int]], group: _Group, start: int, serial: int
) -> None:
    """Queue the first prompt of a group, from `start` on, that is no prefix of the one before."""
    before = group.continuations[start - 1][:-WIDTH] if start else None
    for at in range(start, len(group.continuations)):
        inner = group.continuations[at][:-WIDTH]
        if before is None or not before.startswith(inner):
            heapq.heappush(heap, (group.context + inner, serial, group, at))
            return
