"""Plans log-likelihoods so that shared prefixes are computed once; pure, knows no engine.

Items in, asks out; answers in, scores out.  An item is what one request wants: one
(context, continuation) pair, or the windows of a rolling log-likelihood.  Equal pairs are
scored once, all continuations of one context together (`_context_plan`), whatever benchmark
they come from.  Asks come in lexicographic token order, which is the depth-first order of the
prefix trie: neighbours share cache blocks, and a block is needed no more when its subtree is
done, so that a cache smaller than a subtree costs time but changes no number.

The plan is made as it is asked for: a context is planned when its turn comes and forgotten when
its answers are in, so that memory holds the items (four bytes a token, each context once) and
what is in flight.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from evalkit.engines._context_plan import MAX_LABELS, Answer, Ask, ContextPlan, rows_hidden
from evalkit.engines._token_keys import WIDTH, common, encode, length

__all__ = ["Cost", "Pair", "Score", "Scoring", "rolling_windows"]

Pair: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""(context, continuation), neither of them empty."""


@dataclass(frozen=True, slots=True)
class Score:
    """The log-likelihood of one item."""

    item: int
    logprob: float
    is_greedy: bool
    computed: int
    """Tokens that went through the model on this item's behalf."""


@dataclass(slots=True)
class Cost:
    """Prompt tokens of a plan, counted while it is asked."""

    requests: int = 0
    """Items planned."""
    asks: int = 0
    naive: int = 0
    """Context and continuation of every request, as a harness sends that shares nothing."""
    trie: int = 0
    """The bound: each distinct prefix that must pass through the model, once."""
    floor: int = 0
    """The same where only whole blocks can be shared: what perfect reuse of them costs."""
    planned: int = 0
    """What this plan costs with a cache that forgets nothing."""
    computed: int = 0
    """What went through the model, by the engine's own account."""
    redone: int = 0
    """Asks repeated because the cache hid rows."""


def rolling_windows(ids: Sequence[int], prefix: int, size: int) -> list[Pair]:
    """Disjoint windows that score each of `ids` once, as lm-eval's rolling log-likelihood.

    The first window is conditioned on `prefix`, each later one on as much of the text before
    it as fits: context and continuation have `size` + 1 tokens together (at least that many
    in a full window, which conditions on one token).  Source: `get_rolling_token_windows`
    with `context_len=1` and `make_disjoint_window` in lm_eval.utils 0.4.13.
    """
    first = tuple(ids[:size])
    windows: list[Pair] = [((prefix,), first)] if first else []
    done = len(first)
    while done < len(ids):
        end = min(done + size, len(ids))
        start = max(end - size - 1, 0)
        windows.append((tuple(ids[start:done]), tuple(ids[done:end])))
        done = end
    return windows


@dataclass(slots=True)
class _Open:
    """A context whose answers are coming in."""

    plan: ContextPlan
    owners: dict[bytes, list[int]]
    """Items by continuation."""
    computed: int = 0
    failed: bool = False


@dataclass(slots=True)
class _Shared:
    """An ask in flight, and the asks of single contexts that it answers."""

    ask: Ask
    parts: list[tuple[_Open, Ask]]


@dataclass(slots=True)
class _Item:
    """What an item still waits for, and what it has."""

    missing: int
    logprob: float = 0.0
    is_greedy: bool = True
    computed: int = 0
    failed: bool = False


class Scoring:
    """One batch of items on its way through an engine."""

    def __init__(self, items: Iterable[Sequence[Pair]], block_size: int, *, rows: bool = True):
        """Take the items in.

        Args:
            items: (context, continuation) pairs whose sum each item is; numbered from 0.
            block_size: Tokens per block of the engine's prefix cache.
            rows: The engine can give rows; without, every token is asked for as a label.
        """
        self.cost = Cost()
        self._block = block_size
        self._rows = rows
        self._waiting: dict[bytes, dict[bytes, list[int]]] = {}
        self._items: list[_Item] = []
        for number, pairs in enumerate(items):
            self._items.append(_Item(missing=len(pairs)))
            for context, continuation in pairs:
                owners = self._waiting.setdefault(encode(context), {})
                owners.setdefault(encode(continuation), []).append(number)
                self.cost.naive += len(context) + len(continuation)
        self.cost.requests = len(self._items)
        self._open: dict[int, _Shared] = {}
        self._stream = self._numbered()

    def next(self) -> tuple[int, Ask] | None:
        """The next ask and its number, in depth-first order; None: that was all."""
        return next(self._stream, None)

    def hidden(self, number: int, cached: int) -> bool:
        """Whether an answer must be asked for again: `cached` positions have no rows.

        Counts what went through the model in vain.
        """
        ask = self._open[number].ask
        if not rows_hidden(ask, cached):
            return False
        self.cost.redone += 1
        self.cost.computed += length(ask.key) - cached
        return True

    def receive(self, number: int, answer: Answer) -> list[Score]:
        """Take the answer to an ask; returns the items it completes."""
        shared = self._open.pop(number)
        shared.parts[0][0].computed += answer.computed
        self.cost.computed += answer.computed
        finished: list[Score] = []
        for group, ask in shared.parts:
            if group.plan.receive(ask, _part(answer, shared.ask, ask)) and not group.failed:
                finished += self._finished(group)
        return finished

    def _finished(self, group: _Open) -> Iterator[Score]:
        """Items that a context's answers complete."""
        for continuation, logprob, is_greedy in group.plan.scores():
            tokens = length(group.plan.context) + length(continuation)
            for item in group.owners[continuation]:
                share = min(tokens, group.computed)
                group.computed -= share
                yield from self._add(item, (logprob, is_greedy, share))

    def fail(self, number: int) -> list[int]:
        """An ask cannot be answered: the items that fail with it, each named once."""
        groups = [group for group, _ in self._open.pop(number).parts]
        for group in groups:
            group.failed = True
        lost = []
        for item in {n for g in groups for owners in g.owners.values() for n in owners}:
            if not self._items[item].failed:
                self._items[item].failed = True
                lost.append(item)
        return sorted(lost)

    def _add(self, item: int, found: tuple[float, bool, int]) -> Iterator[Score]:
        state = self._items[item]
        logprob, is_greedy, computed = found
        state.logprob += logprob
        state.is_greedy = state.is_greedy and is_greedy
        state.computed += computed
        state.missing -= 1
        if not state.missing and not state.failed:
            yield Score(item, state.logprob, state.is_greedy, state.computed)

    # --- the stream of asks ------------------------------------------------------------------

    def _numbered(self) -> Iterator[tuple[int, Ask]]:
        counter = _Counter(self.cost, self._block)
        for number, shared in enumerate(_shared(self._ordered())):
            self._open[number] = shared
            counter.add(shared.ask.key)
            yield number, shared.ask
        counter.end()

    def _ordered(self) -> Iterator[tuple[_Open, Ask]]:
        """Asks of all contexts in order; one context's may lie among those of a longer one."""
        ready: list[tuple[bytes, int, _Open, Ask]] = []
        arrival, before = 0, b""
        for context in sorted(self._waiting):
            while ready and ready[0][0] < context:
                before, _, group, ask = heapq.heappop(ready)
                yield group, ask
            group = self._begin(context, before)
            for ask in group.plan.asks:
                heapq.heappush(ready, (ask.key, arrival, group, ask))
                arrival += 1
        while ready:
            _, _, group, ask = heapq.heappop(ready)
            yield group, ask

    def _begin(self, context: bytes, before: bytes) -> _Open:
        """Plan a context, of whose blocks the prompt `before` has computed some."""
        owners = self._waiting.pop(context)
        plan = ContextPlan(context, owners, self._block, rows=self._rows)
        border = (length(context) - 1) // self._block * self._block
        if border > common(before, context):
            plan.warm(border)
        return _Open(plan, owners)


def _shared(asks: Iterable[tuple[_Open, Ask]]) -> Iterator[_Shared]:
    """Asks of one prompt by several contexts as one; in order they follow each other."""
    waiting: list[_Shared] = []
    for group, ask in asks:
        if waiting and waiting[0].ask.key != ask.key:
            yield from waiting
            waiting = []
        part = (group, ask)
        for known in waiting:
            if (merged := _merged(known.ask, ask)) is not None:
                known.ask = merged
                known.parts.append(part)
                break
        else:
            waiting.append(_Shared(ask, [part]))
    yield from waiting


def _merged(a: Ask, b: Ask) -> Ask | None:
    """One ask that answers two of the same prompt; None: its labels would be too many."""
    labels = tuple(sorted({*a.labels, *b.labels}))
    if len(labels) > MAX_LABELS:
        return None
    rows = [ask.first_row for ask in (a, b) if ask.first_row is not None]
    return Ask(a.key, labels, min(rows, default=None))


def _part(answer: Answer, asked: Ask, wanted: Ask) -> Answer:
    """What one context reads of an answer; labels it did not ask for do no harm."""
    if asked.first_row == wanted.first_row:
        return answer
    if wanted.first_row is None or asked.first_row is None:
        return replace(answer, rows=(), rows_greedy=())
    skip = wanted.first_row - asked.first_row
    return replace(answer, rows=answer.rows[skip:], rows_greedy=answer.rows_greedy[skip:])


@dataclass(slots=True)
class _Counter:
    """Counts the tokens of prompts that come in lexicographic order."""

    cost: Cost
    block: int
    before: bytes = b""
    longest: bytes = field(default=b"")
    """The last prompt that is no prefix of the one after it."""

    def add(self, key: bytes) -> None:
        tokens, shared = length(key), common(self.before, key)
        self.cost.asks += 1
        self.cost.trie += tokens - shared
        self.cost.planned += tokens - min(shared, tokens - 1) // self.block * self.block
        if shared * WIDTH < len(self.before):
            self._leaf()
        self.before = key

    def end(self) -> None:
        """The last prompt has no successor, so it is a leaf."""
        if self.before:
            self._leaf()

    def _leaf(self) -> None:
        shared = common(self.longest, self.before)
        self.cost.floor += length(self.before) - shared // self.block * self.block
        self.longest = self.before
