"""Log-likelihoods for an engine with a prefix cache: each shared prefix computed once.

Items in, prompts out; answers in, scores out; independent of any engine.  An item belongs to one
request: one (context, continuation) pair, or the windows of a rolling log-likelihood.  Equal pairs
are scored once, and all continuations of one context together, across benchmarks.  Prompts are sent
in lexicographic token order, which is the depth-first order of the prefix trie: neighbours share
cache blocks, and a block is not needed any more when its subtree is done.  A cache smaller than a
subtree costs time but changes no number.

The plan of one context (`ContextPlan`).  Its continuations form a trie.  Each edge of it, one
token after one prefix, is computed once, however many continuations run through it, in one of two
ways:

    label  send the prefix; the log-probability of the next token comes with the answer.
           All one-token continuations of a context share this one request.
    row    send any prompt that runs through the edge; the engine gives the log-probability
           of the prompt's own tokens.  Row p of a prompt is that of its token p + 1.

So the prompts are the parents of the trie's leaves, in depth-first order; every edge above a
leaf is a row of the first prompt that runs through it.  A last request warms the cache with the
context, without rows, where that saves computing them for all of it.

Trap: an engine with a prefix cache computes no rows for positions it reads from the cache.
Prompts that diverge at a whole number of blocks would hide the row at which they diverge, so there
the common part is sent first, and its labels give the edges that leave it: it is computed anyway,
so this costs a request and no tokens.

Planning is lazy (`Scoring`): a context is planned when its turn comes and forgotten when its
answers are in, so that memory holds the items (four bytes per token, each context once) and the
requests in flight.  `ScoringQueue` turns scores into replies.
"""

from __future__ import annotations

import heapq
import sys
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import TypeAlias

from evalkit.core import Completion, Reply
from evalkit.errors import RequestFailed

MAX_LABELS = 128
"""Most labels of one ask; vLLM's limit on `logprob_token_ids`."""

# --- Keys: token sequences as byte strings that sort as the sequences do ---------------------
#
# Four bytes a token, the most significant first: comparing keys compares sequences, a prefix of
# a key is the key of a prefix, and a million tokens take four megabytes (a tuple takes eight,
# and its integers more).

WIDTH = 4
"""Bytes of one token."""


def encode(ids: Iterable[int]) -> bytes:
    """Key of a sequence of ids, none negative.  Raises OverflowError from 2**31 on."""
    found = array("i", ids)
    if sys.byteorder == "little":
        found.byteswap()
    return found.tobytes()


def decode(key: bytes) -> list[int]:
    """The sequence of a key."""
    found = array("i", key)
    if sys.byteorder == "little":
        found.byteswap()
    return found.tolist()


def length(key: bytes) -> int:
    """Tokens in a key."""
    return len(key) // WIDTH


def token_at(key: bytes, place: int) -> int:
    """The token at a place, counted from 0; negative places count from the end."""
    start = place * WIDTH if place >= 0 else len(key) + place * WIDTH
    return int.from_bytes(key[start : start + WIDTH], "big")


def common(a: bytes, b: bytes) -> int:
    """Tokens at the beginning that both have; by halving, since slices are compared in C."""
    same, end = 0, min(len(a), len(b))
    if a[:end] == b[:end]:
        return end // WIDTH
    while same < end:
        middle = (same + end + 1) // 2
        if a[same:middle] == b[same:middle]:
            same = middle
        else:
            end = middle - 1
    return same // WIDTH


# --- One context ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt for the engine."""

    key: bytes
    """Of the prompt; see `encode`."""
    labels: tuple[int, ...] = ()
    """Tokens whose log-probability after the prompt is wanted."""
    first_row: int | None = None
    """Rows from this one to the last but one are wanted; None: none."""

    @property
    def prompt(self) -> list[int]:
        """Token ids."""
        return decode(self.key)

    @property
    def rows(self) -> int:
        """How many rows are wanted."""
        return 0 if self.first_row is None else length(self.key) - 1 - self.first_row


@dataclass(frozen=True, slots=True)
class Answer:
    """The engine's result for one ask."""

    computed: int
    """Prompt tokens that went through the model, not read from the prefix cache."""
    greedy: int | None = None
    """Most likely token after the prompt."""
    labels: Mapping[int, float] = field(default_factory=dict)
    """Natural log-probability by token."""
    rows: Sequence[float] = ()
    """Log-probabilities of the prompt's tokens from `first_row` + 1 on."""
    rows_greedy: Sequence[bool] = ()
    """Whether each of them was the most likely one."""


@dataclass(slots=True)
class _Node:
    """A prompt, while the plan is made and its answers come in."""

    key: bytes
    start: int
    """Tokens whose edges earlier nodes give; this node gives the others."""
    first_row: int | None = None
    labels: set[int] = field(default_factory=set)
    ends: list[tuple[bytes, bool]] = field(default_factory=list)
    """Continuations that end here, and whether their last token is a label."""
    answer: Answer | None = None


class ContextPlan:
    """The asks of one context, and the scores their answers give."""

    asks: list[Ask]
    """In depth-first order."""

    def __init__(self, context: bytes, continuations: Iterable[bytes], block_size: int) -> None:
        """`continuations`: distinct, none empty."""
        self.context = context
        self._width = len(context)
        self._block = block_size
        ordered = sorted(continuations)
        self._nodes = {node.key: node for node in self._prompts(ordered)}
        self._wire()
        self._attach(ordered)
        self.asks = [ask for node in self._nodes.values() for ask in _split(node)]
        self._open = len(self.asks)

    def warm(self, tokens: int) -> None:
        """Compute the first `tokens` of the context before any ask with rows."""
        first = self.asks[0]
        if first.first_row is not None:
            node = _Node(self.context[: tokens * WIDTH], self._width // WIDTH)
            self._nodes = {node.key: node, **self._nodes}
            self.asks.insert(0, Ask(node.key))
            self._open += 1

    def receive(self, ask: Ask, answer: Answer) -> bool:
        """Take the answer to one of `asks`; True when it was the last."""
        node = self._nodes[ask.key]
        node.answer = answer if node.answer is None else _joined(node.answer, answer)
        self._open -= 1
        return self._open == 0

    def scores(self) -> Iterator[tuple[bytes, float, bool]]:
        """(continuation, log-likelihood, is_greedy) of each, once all answers are in."""
        path: list[tuple[float, bool]] = []
        for node in self._nodes.values():
            del path[node.start - self._width // WIDTH :]
            path += self._edges(node)
            for continuation, by_label in node.ends:
                inner = length(continuation) - (1 if by_label else 0)
                known = path[:inner]
                if by_label:
                    known.append(self._label(node, token_at(continuation, -1)))
                yield continuation, sum(v for v, _ in known), all(g for _, g in known)

    def _prompts(self, ordered: Sequence[bytes]) -> list[_Node]:
        """Parents of the leaves, and what they have in common where blocks end."""
        following = [*ordered[1:], b""]
        leaves = [k for k, n in zip(ordered, following, strict=True) if not n.startswith(k)]
        prompts = sorted({self.context + leaf[:-WIDTH] for leaf in leaves})
        partings = {
            prompt[: shared * WIDTH]
            for before, prompt in pairwise(prompts)
            if (shared := common(before, prompt)) % self._block == 0
        }
        partings = {p for p in partings if len(p) > self._width}
        if length(self.context) % self._block == 0:
            partings.add(self.context)
        nodes, before = [], b""
        for key in sorted(partings.union(prompts)):
            nodes.append(_Node(key, max(common(before, key), self._width // WIDTH)))
            before = key
        return nodes

    def _wire(self) -> None:
        """Decide for each edge whether it is a row or a label."""
        for node in self._nodes.values():
            end = length(node.key)
            hidden = 1 if node.start % self._block == 0 else 0
            by_label = node.start + hidden
            for place in range(node.start, min(by_label, end)):
                self._nodes[node.key[: place * WIDTH]].labels.add(token_at(node.key, place))
            if by_label < end:
                node.first_row = by_label - 1

    def _attach(self, ordered: Sequence[bytes]) -> None:
        """Assign each continuation to the prompt that gives its last edge."""
        keys = list(self._nodes)
        for continuation in ordered:
            whole = self.context + continuation
            at = bisect_left(keys, whole)
            if at < len(keys) and keys[at].startswith(whole):
                self._nodes[keys[at]].ends.append((continuation, False))
            else:
                parent = self._nodes[whole[:-WIDTH]]
                parent.labels.add(token_at(continuation, -1))
                parent.ends.append((continuation, True))

    def _edges(self, node: _Node) -> list[tuple[float, bool]]:
        """The edges that `node` adds to the path: those from `start` on."""
        end = length(node.key)
        first = end if node.first_row is None else node.first_row + 1
        found = [
            self._label(self._nodes[node.key[: place * WIDTH]], token_at(node.key, place))
            for place in range(node.start, min(first, end))
        ]
        if node.first_row is not None:
            assert node.answer is not None
            found += zip(node.answer.rows, node.answer.rows_greedy, strict=True)
        return found

    @staticmethod
    def _label(node: _Node, token: int) -> tuple[float, bool]:
        assert node.answer is not None
        return node.answer.labels[token], node.answer.greedy == token


def _split(node: _Node) -> Iterator[Ask]:
    labels = sorted(node.labels)
    yield Ask(node.key, tuple(labels[:MAX_LABELS]), node.first_row)
    for at in range(MAX_LABELS, len(labels), MAX_LABELS):
        yield Ask(node.key, tuple(labels[at : at + MAX_LABELS]))


def _joined(old: Answer, new: Answer) -> Answer:
    """Two answers to one prompt."""
    rows = old if old.rows else new
    return Answer(
        old.computed + new.computed,
        new.greedy,
        {**old.labels, **new.labels},
        rows.rows,
        rows.rows_greedy,
    )


# --- All contexts --------------------------------------------------------------------------


Pair: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""(context, continuation), neither of them empty."""


@dataclass(frozen=True, slots=True)
class Score:
    """The log-likelihood of one item."""

    item: int
    logprob: float
    is_greedy: bool
    computed: int
    """Tokens computed for this item."""


@dataclass(slots=True)
class Cost:
    """Prompt tokens of a plan, counted while it is sent."""

    requests: int = 0
    """Items planned."""
    asks: int = 0
    naive: int = 0
    """Context and continuation of every request, as sent without any sharing."""
    trie: int = 0
    """The bound: each distinct prefix that must pass through the model, once."""
    floor: int = 0
    """The same where only whole blocks can be shared: the cost with perfect reuse."""
    planned: int = 0
    """Cost of this plan with a cache that evicts nothing."""
    computed: int = 0
    """Tokens that went through the model, as the engine counts."""
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
    """A context with asks in flight."""

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
    """An item's sums so far, and the number of pairs still missing."""

    missing: int
    logprob: float = 0.0
    is_greedy: bool = True
    computed: int = 0
    failed: bool = False


class Scoring:
    """One batch of items on its way through an engine."""

    def __init__(self, items: Iterable[Sequence[Pair]], block_size: int) -> None:
        """Register the items; each context is planned when its turn comes.

        Args:
            items: (context, continuation) pairs whose sum each item is; numbered from 0.
            block_size: Tokens per block of the engine's prefix cache.
        """
        self.cost = Cost()
        self._block = block_size
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
        """The next ask and its number, in depth-first order; None: no more."""
        return next(self._stream, None)

    def hidden(self, number: int, cached: int) -> bool:
        """Whether an ask must be sent again, because `cached` positions have no rows.

        Counts the wasted tokens.
        """
        ask = self._open[number].ask
        if ask.first_row is None or cached <= ask.first_row:
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
        """The items that a context's answers complete."""
        for continuation, logprob, is_greedy in group.plan.scores():
            tokens = length(group.plan.context) + length(continuation)
            for item in group.owners[continuation]:
                share = min(tokens, group.computed)
                group.computed -= share
                yield from self._add(item, logprob, is_greedy=is_greedy, computed=share)

    def fail(self, number: int) -> list[int]:
        """An ask failed: the items that fail with it, each once."""
        groups = [group for group, _ in self._open.pop(number).parts]
        for group in groups:
            group.failed = True
        lost = []
        for item in {n for g in groups for owners in g.owners.values() for n in owners}:
            if not self._items[item].failed:
                self._items[item].failed = True
                lost.append(item)
        return sorted(lost)

    def _add(self, item: int, logprob: float, *, is_greedy: bool, computed: int) -> Iterator[Score]:
        state = self._items[item]
        state.logprob += logprob
        state.is_greedy = state.is_greedy and is_greedy
        state.computed += computed
        state.missing -= 1
        if not state.missing and not state.failed:
            yield Score(item, state.logprob, state.is_greedy, state.computed)

    def _numbered(self) -> Iterator[tuple[int, Ask]]:
        counter = _Counter(self.cost, self._block)
        for number, shared in enumerate(_shared(self._ordered())):
            self._open[number] = shared
            counter.add(shared.ask.key)
            yield number, shared.ask
        counter.end()

    def _ordered(self) -> Iterator[tuple[_Open, Ask]]:
        """Asks of all contexts in order; one context's may be among those of a longer one."""
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
        """Plan a context; the prompt `before` has computed some of its blocks."""
        owners = self._waiting.pop(context)
        plan = ContextPlan(context, owners, self._block)
        border = (length(context) - 1) // self._block * self._block
        if border > common(before, context):
            plan.warm(border)
        return _Open(plan, owners)


def _shared(asks: Iterable[tuple[_Open, Ask]]) -> Iterator[_Shared]:
    """Asks of several contexts with one prompt as one; in this order they are adjacent."""
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


def _part(answer: Answer, sent: Ask, wanted: Ask) -> Answer:
    """One context's part of an answer; further labels do no harm."""
    if sent.first_row == wanted.first_row:
        return answer
    if wanted.first_row is None or sent.first_row is None:
        return replace(answer, rows=(), rows_greedy=())
    skip = wanted.first_row - sent.first_row
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


# --- Replies -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """One ask of one plan."""

    batch: _Batch
    number: int
    ask: Ask
    uncached: bool = False
    """Sent again without reading the prefix cache."""


@dataclass(slots=True)
class _Batch:
    scoring: Scoring
    tickets: list[int]
    lengths: list[int]
    """Tokens of each job's pairs."""


class ScoringQueue:
    """The asks of an engine's log-likelihood jobs, and replies from their answers."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self._costs: list[Cost] = []

    def add(self, jobs: Iterable[tuple[int, Sequence[Pair]]], block_size: int) -> None:
        """Plan jobs (ticket, pairs) together, after what is queued; see `Scoring`."""
        tickets: list[int] = []
        lengths: list[int] = []

        def pairs() -> Iterable[Sequence[Pair]]:
            for ticket, found in jobs:
                tickets.append(ticket)
                lengths.append(sum(len(c) + len(k) for c, k in found))
                yield found

        batch = _Batch(Scoring(pairs(), block_size), tickets, lengths)
        self._batches.append(batch)
        self._costs.append(batch.scoring.cost)

    def next(self) -> Part | None:
        """The next ask; None: no more."""
        while self._batches:
            found = self._batches[0].scoring.next()
            if found is not None:
                return Part(self._batches[0], *found)
            self._batches.popleft()
        return None

    @staticmethod
    def again(part: Part, cached: int) -> Part | None:
        """The part to send instead, where `cached` positions hid rows; None: all rows are there.

        Raises RequestFailed where it was already sent without the cache.
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
        """Give up an ask; returns the failures of all jobs that needed it."""
        return [(part.batch.tickets[n], failure) for n in part.batch.scoring.fail(part.number)]

    def work(self) -> dict[str, int]:
        """Tokens planned and computed so far: the sums of `Cost`, by its field names."""
        total: dict[str, int] = {}
        for cost in self._costs:
            for name, value in asdict(cost).items():
                total[name] = total.get(name, 0) + value
        return total

    def clear(self) -> None:
        """Forget the queue; the counts stay."""
        self._batches.clear()
