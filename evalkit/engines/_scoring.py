"""Plans log-likelihoods so that shared prefixes are computed once; pure, knows no engine.

Items in, asks out; answers in, scores out.  An item is what one request wants: one
(context, continuation) pair, or the windows of a rolling log-likelihood.  For each distinct
pair the plan asks for up to three prompts:

    label  context                       log-probabilities of given next tokens; the choices of
                                         a question that are one token share this one ask
    tail   context + continuation[:-1]   the last token as a label, the middle ones as prompt rows
    warm   context up to a block border  nothing; leaves the shared context in the prefix cache
                                         without computing its rows

Row p of a prompt is the log-probability of its token p + 1.  All asks are in lexicographic
token order, which is the depth-first order of the prefix trie: neighbours share cache blocks,
and a block may be evicted only when its subtree is done.

Trap: an engine with a prefix cache computes no rows for cached positions.  A context that
fills its last block would hide row len(context) - 1 of every tail, so its first continuation
token is taken from a label ask; `rows_hidden` finds what is still hidden (a continuation
shared beyond the context), and such an ask is repeated without reading the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Answer", "Ask", "Pair", "Score", "Scoring", "rolling_windows", "rows_hidden"]

Ids: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[Ids, Ids]
"""(context, continuation), neither of them empty."""

MAX_LABELS = 128
"""Most labels of one ask; vLLM's limit on `logprob_token_ids`."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt for the engine."""

    prompt: Ids
    labels: Ids = ()
    """Tokens whose log-probability after the prompt is wanted."""
    first_row: int | None = None
    """Rows from this one to the last but one are wanted; None: none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine says to one ask."""

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


@dataclass(frozen=True, slots=True)
class Score:
    """The log-likelihood of one item."""

    item: int
    logprob: float
    is_greedy: bool
    computed: int
    """Tokens that went through the model on this item's behalf."""


def rows_hidden(ask: Ask, cached: int) -> bool:
    """Whether the prefix cache hid rows that are wanted: `cached` positions have none."""
    return ask.first_row is not None and cached > ask.first_row


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
class _Wanted:
    """What is wanted of one prompt, while the plan is made."""

    labels: set[int] = field(default_factory=set)
    first_row: int | None = None
    pairs: list[Pair] = field(default_factory=list)

    def row(self, first: int) -> None:
        self.first_row = first if self.first_row is None else min(self.first_row, first)


class Scoring:
    """One batch of items on its way through an engine."""

    asks: tuple[Ask, ...]
    """In the order they should be asked."""

    def __init__(self, items: Sequence[Sequence[Pair]], block_size: int) -> None:
        self._items = [list(pairs) for pairs in items]
        self._labelled: dict[Pair, bool] = {}
        self._owners: dict[Pair, list[int]] = {}
        for number, pairs in enumerate(self._items):
            for pair in pairs:
                self._owners.setdefault(pair, []).append(number)
        wanted = self._plan(block_size)
        asks: list[Ask] = []
        self._pairs_of: list[list[Pair]] = []
        self._open: dict[Pair, int] = dict.fromkeys(self._owners, 0)
        for prompt in sorted(wanted):
            for ask in _asks(prompt, wanted[prompt]):
                asks.append(ask)
                self._pairs_of.append(wanted[prompt].pairs)
                for pair in wanted[prompt].pairs:
                    self._open[pair] += 1
        self.asks = tuple(asks)
        self._answers: dict[Ids, Answer] = {}
        self._computed = [0] * len(self._items)
        self._scores: dict[Pair, tuple[float, bool]] = {}
        self._missing = [len(set(pairs)) for pairs in self._items]

    def receive(self, index: int, answer: Answer) -> list[Score]:
        """Take the answer to `asks[index]`; returns the items it completes."""
        prompt = self.asks[index].prompt
        self._answers[prompt] = _joined(self._answers.get(prompt), answer)
        pairs = self._pairs_of[index]
        self._computed[self._owners[pairs[0]][0]] += answer.computed
        finished: list[Score] = []
        for pair in pairs:
            self._open[pair] -= 1
            if not self._open[pair]:
                self._scores[pair] = self._score(pair)
                finished += self._completed(pair)
        return finished

    def items_of(self, index: int) -> list[int]:
        """Items that need `asks[index]`: what fails with it."""
        return sorted({n for pair in self._pairs_of[index] for n in self._owners[pair]})

    # --- plan --------------------------------------------------------------------------------

    def _plan(self, block_size: int) -> dict[Ids, _Wanted]:
        groups: dict[Ids, list[Pair]] = {}
        for pair in self._owners:
            groups.setdefault(pair[0], []).append(pair)
        wanted: dict[Ids, _Wanted] = {}
        for context, pairs in groups.items():
            labelled = len(context) % block_size == 0 or any(len(c) == 1 for _, c in pairs)
            for pair in pairs:
                self._labelled[pair] = labelled
                _want(wanted, pair, labelled)
        for context in _to_warm(groups, block_size):
            border = (len(context) - 1) // block_size * block_size
            if context not in wanted:
                wanted.setdefault(context[:border], _Wanted()).pairs.append(groups[context][0])
        return wanted

    # --- assembly ----------------------------------------------------------------------------

    def _score(self, pair: Pair) -> tuple[float, bool]:
        context, continuation = pair
        logprob, is_greedy = 0.0, True
        middle = len(continuation) - 1
        if self._labelled[pair]:
            answer = self._answers[context]
            logprob += answer.labels[continuation[0]]
            is_greedy = answer.greedy == continuation[0]
            middle -= 1
        if len(continuation) > 1:
            answer = self._answers[context + continuation[:-1]]
            if middle > 0:
                logprob += float(sum(answer.rows[-middle:]))
                is_greedy = is_greedy and all(answer.rows_greedy[-middle:])
            logprob += answer.labels[continuation[-1]]
            is_greedy = is_greedy and answer.greedy == continuation[-1]
        return logprob, is_greedy

    def _completed(self, pair: Pair) -> Iterator[Score]:
        for number in dict.fromkeys(self._owners[pair]):
            self._missing[number] -= 1
            if not self._missing[number]:
                scores = [self._scores[p] for p in self._items[number]]
                yield Score(
                    number,
                    float(sum(logprob for logprob, _ in scores)),
                    all(greedy for _, greedy in scores),
                    self._computed[number],
                )


def _want(wanted: dict[Ids, _Wanted], pair: Pair, labelled: bool) -> None:
    context, continuation = pair
    if labelled:
        label = wanted.setdefault(context, _Wanted())
        label.labels.add(continuation[0])
        label.pairs.append(pair)
    if len(continuation) > 1:
        prompt = context + continuation[:-1]
        tail = wanted.setdefault(prompt, _Wanted())
        tail.labels.add(continuation[-1])
        tail.pairs.append(pair)
        first = len(context) - (0 if labelled else 1)
        if first < len(prompt) - 1:
            tail.row(first)


def _to_warm(contexts: Mapping[Ids, object], block_size: int) -> Iterator[Ids]:
    """Contexts that have full blocks their predecessor in trie order has not."""
    previous: Ids = ()
    for context in sorted(contexts):
        border = (len(context) - 1) // block_size * block_size
        if border > _common(previous, context) // block_size * block_size:
            yield context
        previous = context


def _common(a: Ids, b: Ids) -> int:
    shorter = min(len(a), len(b))
    return next((i for i in range(shorter) if a[i] != b[i]), shorter)


def _asks(prompt: Ids, wanted: _Wanted) -> list[Ask]:
    labels = tuple(sorted(wanted.labels))
    parts = [labels[i : i + MAX_LABELS] for i in range(0, len(labels), MAX_LABELS)] or [()]
    return [Ask(prompt, p, None if i else wanted.first_row) for i, p in enumerate(parts)]


def _joined(old: Answer | None, new: Answer) -> Answer:
    if old is None:
        return new
    rows = old if old.rows else new
    return Answer(
        new.computed, new.greedy, {**old.labels, **new.labels}, rows.rows, rows.rows_greedy
    )
