"""Plans the log-likelihoods of one context: which prompts to ask, how their answers add up.

The continuations of a context form a trie.  Each edge of it, one token after one prefix, is
wanted once, however many continuations run through it, and there are two ways to learn it:

    label  ask for the prefix; the log-probability of the next token comes with the answer.
           All one-token continuations of a context share this one ask.
    row    ask for any prompt that runs through the edge; the engine gives the log-probability
           of the prompt's own tokens.  Row p of a prompt is that of its token p + 1.

So the prompts are the parents of the trie's leaves, in depth-first order; every edge above a
leaf is a row of the first prompt that runs through it.  A last ask warms the cache with the
context, without rows, where that saves computing them for all of it.

Trap: an engine with a prefix cache computes no rows for positions it reads from the cache.
Prompts that part at a whole number of blocks would hide the row at which they part, so there
the common part is asked too, before both, and its labels give the edges that leave it: it is
computed anyway, so this costs a request and no tokens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from evalkit.engines._token_keys import WIDTH, common, decode, length, token_at

__all__ = ["MAX_LABELS", "Answer", "Ask", "ContextPlan", "rows_hidden"]

MAX_LABELS = 128
"""Most labels of one ask; vLLM's limit on `logprob_token_ids`."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt for the engine."""

    key: bytes
    """Of the prompt; see `_token_keys`."""
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


def rows_hidden(ask: Ask, cached: int) -> bool:
    """Whether the prefix cache hid rows that are wanted: `cached` positions have none."""
    return ask.first_row is not None and cached > ask.first_row


@dataclass(slots=True)
class _Node:
    """A prompt, while the plan is made and its answers come in."""

    key: bytes
    start: int
    """Tokens whose edges are known from the nodes before: the rest is learnt here."""
    first_row: int | None = None
    labels: set[int] = field(default_factory=set)
    ends: list[tuple[bytes, bool]] = field(default_factory=list)
    """Continuations added up here, and whether their last token is a label."""
    answer: Answer | None = None


class ContextPlan:
    """The asks of one context, and the scores their answers give."""

    asks: list[Ask]
    """In depth-first order."""

    def __init__(
        self, context: bytes, continuations: Iterable[bytes], block_size: int, *, rows: bool
    ) -> None:
        """`continuations`: distinct, none empty.  Without `rows` every edge is a label."""
        self.context = context
        self._width = len(context)
        self._block = block_size
        ordered = sorted(continuations)
        nodes = self._row_nodes(ordered) if rows else self._label_nodes(ordered)
        self._nodes = {node.key: node for node in nodes}
        self._wire(rows)
        self._attach(ordered)
        self.asks = [ask for node in self._nodes.values() for ask in _split(node)]
        self._open = len(self.asks)

    def warm(self, tokens: int) -> None:
        """Compute the first `tokens` of the context before anything that wants rows."""
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

    # --- plan --------------------------------------------------------------------------------

    def _row_nodes(self, ordered: Sequence[bytes]) -> list[_Node]:
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
        return self._in_order(sorted(partings.union(prompts)))

    def _label_nodes(self, ordered: Sequence[bytes]) -> list[_Node]:
        """Every prefix that a continuation passes."""
        ends = {(k, n) for k in ordered for n in range(0, len(k), WIDTH)}
        return self._in_order(sorted({self.context + k[:n] for k, n in ends}))

    def _in_order(self, keys: Sequence[bytes]) -> list[_Node]:
        nodes, before = [], b""
        for key in keys:
            nodes.append(_Node(key, max(common(before, key), self._width // WIDTH)))
            before = key
        return nodes

    def _wire(self, rows: bool) -> None:
        """Decide for each edge whether it is a row or a label."""
        for node in self._nodes.values():
            end = length(node.key)
            hidden = 1 if node.start % self._block == 0 else 0
            by_label = node.start + hidden if rows else end
            for place in range(node.start, min(by_label, end)):
                self._nodes[node.key[: place * WIDTH]].labels.add(token_at(node.key, place))
            if by_label < end:
                node.first_row = by_label - 1

    def _attach(self, ordered: Sequence[bytes]) -> None:
        """Hand each continuation to the prompt that knows its last edge."""
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

    # --- assembly ----------------------------------------------------------------------------

    def _edges(self, node: _Node) -> list[tuple[float, bool]]:
        """What `node` adds to the path: its edges from `start` on."""
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
    """Two answers about one prompt."""
    rows = old if old.rows else new
    return Answer(
        old.computed + new.computed,
        new.greedy,
        {**old.labels, **new.labels},
        rows.rows,
        rows.rows_greedy,
    )
