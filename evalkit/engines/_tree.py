"""Log-likelihoods for a transformers model: each token of the trie through the model once.

Every pair (context, continuation) is a path through the trie of tokens, and what is wanted of it
are the log-probabilities of its last edges.  Three parts, in this order:

The plan (`Forest`; pure, knows no model).  Pairs in, packs out; log-probabilities in, scores
out.  The trie is walked depth-first and cut into packs of bounded size, at any place; the model
keeps the keys and values of the path to the last token of a pack, and the next pack builds on
them.  So each token of the trie goes through the model once, whatever the size of the packs, and
equal pairs are scored once.  Depth-first order is the lexicographic order of prompts (a pair
without its last token).  A context is unfolded when the walk reaches it: a continuation wants an
edge out of a token only if its context is a prefix of the path there, and a prefix sorts before
everything it is a prefix of, so all wanted edges of a token are known when its turn comes.  Memory
holds the waiting pairs (four bytes per token, each context once) and one path.

The pass (`TreePass`).  One pass computes a pack on top of the keys and values of one path.  A
four-dimensional attention mask lets each token see its ancestors only, and explicit positions give
its place in its own sequence, so that every token gets the logits of a pass of its own, up to
rounding.  That holds for models that use such a mask unchanged, compute positions from
`position_ids` alone and keep plain keys and values; sliding windows become part of the mask.
`sharing` knows the obstacles that configurations state, and compares with plain passes to find
others.

The reference (`score_items`): plain passes over padded batches, each pair in a row of its own.
"""

from __future__ import annotations

import heapq
import itertools
import math
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from evalkit.engines._scoring import (
    WIDTH,
    Cost,
    Pair,
    common,
    decode,
    encode,
    length,
    token_at,
)

_Waiting: TypeAlias = dict[bytes, dict[bytes, list[int]]]
"""Tickets by context and continuation."""


@dataclass(frozen=True, slots=True)
class Pack:
    """The tokens of one forward pass, each after its parent in the trie.

    The parent of token n is the last one before it with a depth of one less or, where the pack has
    none, the token of that depth on the path to the last token of the previous pack.
    """

    tokens: array[int]
    depths: array[int]
    """Position of each token in its sequence, from 0; at most one above the token before."""
    nodes: array[int]
    """For each wanted edge, the number of the token it leaves; ascending."""
    labels: array[int]
    """For each wanted edge, the token it leads to, whose log-probability is wanted."""
    branches: tuple[_Branch, ...]
    """For each wanted edge, the continuations that need it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A finished job."""

    ticket: int
    logprob: float
    is_greedy: bool
    tokens: int
    """Of its contexts and continuations."""
    computed: int
    """Tokens computed for it; over all jobs, each token counts once."""


class Forest:
    """Log-likelihood jobs on their way through a model."""

    def __init__(self, cost: Cost | None = None) -> None:
        """`cost`: counts from before, to be continued."""
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
        """Add a job: the sum over `pairs`, at least one.

        It is planned together with all jobs that are added before the current walk ends.
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
            limit: Most tokens of the pack.
            rows: Most tokens with wanted edges.
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
        """Take a pack's results, by wanted edge; returns the jobs they complete.

        Args:
            pack: The one that `next` returned last.
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
        """The pack that `next` returned last failed; returns its jobs, at least one.

        They leave the forest.  The path counts as forgotten, and is computed again.
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
            # The first to finish is charged: a later job has at least the tokens still unclaimed.
            share = min(job.size, self._unclaimed)
            self._unclaimed -= share
            yield Scored(ticket, job.logprob, job.is_greedy, job.size, share)

    def _next_run(self) -> _Run | None:
        """The next tokens, preceded by those of their path that the model does not hold."""
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
        """Start the next walk."""
        waiting, self._waiting = self._waiting, {}
        del self._path[self._held :]
        self._walk = _walk(waiting, encode(self._path), self.cost)
        return next(self._walk, None)

    def _wanted(self, run: _Run) -> bool:
        """Whether a job that has not failed needs it."""
        return any(t in self._jobs for branch in run.branches() for t in branch.tickets())

    def _pass_by(self, run: _Run) -> None:
        """Walk over tokens without computing them; `_next_run` computes them where needed."""
        del self._path[run.depth :]
        self._path.extend(run.tokens)
        self._held = min(self._held, run.depth)


# --- the walk ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Job:
    """A job's sums so far, and the number of pairs still missing."""

    missing: int
    size: int
    logprob: float = 0.0
    is_greedy: bool = True


class _Group:
    """A context with its continuations and their scores so far."""

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
    """Number of these tokens."""

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
        """Add the last token's log-probability to all; returns the one that ends with it."""
        group = self.group
        for number in range(self.low, self.high):
            group.logprobs[number] += logprob
            group.greedy[number] &= is_greedy
        return self.low if length(group.continuations[self.low]) == self.size else None

    def tickets(self) -> Iterator[int]:
        """The jobs of these continuations."""
        for number in range(self.low, self.high):
            yield from self.group.owners[number]


_Wanted: TypeAlias = Sequence[dict[int, _Branch]]
"""Wanted edges after a token: branches by the next token, from each context there."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive tokens of which only the last has wanted edges."""

    tokens: array[int]
    depth: int
    """Of the first."""
    wanted: _Wanted

    def branches(self) -> Iterator[_Branch]:
        """The branches of its wanted edges."""
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
    """The trie of `waiting` depth-first, without the part it shares with the path `before`."""
    wanted: list[_Wanted] = [()] * length(before)
    shared = 0
    for prompt, groups in _prompts(waiting):
        roots = {group.depth: group for group in groups}
        # A context's last token must be computed again where the path is from an earlier walk.
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


# --- The pass --------------------------------------------------------------------------------

TOLERANCE = {"float32": 1e-4, "float16": 1e-1, "bfloat16": 1.0}
"""Largest difference of a log-likelihood of up to five tokens from the plain pass's, by dtype.

A few times what rounding does (SmolLM2: 2e-5, 3e-2 and 3e-1 nats); a wrong mask or wrong
positions move them by several nats.
"""

_CHECK_TOKENS = 5
"""Tokens that the tolerance is for; longer continuations may differ by more, in proportion."""
_SHORT = 64
"""Tokens of a sequence that the tolerance is for; it is ten times as much for longer ones."""
_CHECK_LIMITS = (64, 5)
"""Tokens of a pack, when packs are compared with plain passes: everything in one, and many."""

_MOST_LOGITS = 2**26
"""Logits of a pass at most: 256 MiB of float32, a few times over."""

Windows: TypeAlias = Mapping[str, int | None]
"""How far back a layer looks, by layer type; None: to the beginning."""


class TreePass:
    """A model, and the keys and values of the path that its last pack ended with.

    `most_rows`: most tokens of a pack with wanted edges, so that the logits fit in memory.
    """

    def __init__(self, lm: Any, device: str, windows: Windows) -> None:
        self._lm = lm
        self._device = device
        self._windows = windows
        self._cache: Any = None
        self._slots: list[int] = []
        vocabulary = int(lm.config.get_text_config(decoder=True).vocab_size)
        self.most_rows = max(1, _MOST_LOGITS // vocabulary)

    def run(self, pack: Pack) -> tuple[list[float], list[bool]]:
        """Log-probability and is-most-likely of each edge the pack wants.

        Raises RuntimeError where the model's output has another shape, and whatever the model
        raises; call `forget` before the next pack then.
        """
        import torch

        base = pack.depths[0]
        rows = [node for node, _ in itertools.groupby(pack.nodes)]
        with torch.inference_mode():
            self._keep(base)
            output = self._lm(
                input_ids=_tensor(pack.tokens, self._device)[None],
                attention_mask=self._masks(pack.depths),
                position_ids=_tensor(pack.depths, self._device)[None],
                past_key_values=self._cache,
                use_cache=True,
                # Without any row, one is computed: not every head takes an empty tensor.
                logits_to_keep=torch.tensor(rows or [len(pack.tokens) - 1], device=self._device),
            )
            if output.logits.shape[1] != max(1, len(rows)):
                raise RuntimeError(f"{len(rows)} rows were wanted, {output.logits.shape} came")
            self._slots = path_slots(pack.depths)
            return _read_rows(output.logits[0], pack) if rows else ([], [])

    def forget(self) -> None:
        """Drop keys and values."""
        self._cache, self._slots = None, []

    def _keep(self, base: int) -> None:
        """Leave in the cache the first `base` tokens of the path."""
        import torch
        from transformers import DynamicCache

        if base > len(self._slots):
            raise RuntimeError(f"the path has {len(self._slots)} tokens, and {base} are needed")
        if not base:
            # Without the model's config every layer keeps all it has seen.
            self._cache = DynamicCache()
            return
        slots = self._slots[:base]
        kept: Any = slice(0, base)
        if slots[-1] != base - 1:
            kept = torch.tensor(slots, device=self._device)
        for layer in self._cache.layers:
            layer.keys = layer.keys[..., kept, :]
            layer.values = layer.values[..., kept, :]

    def _masks(self, depths: array[int]) -> Any:
        """Additive masks [1, 1, pack, path + pack]: one, or one for each layer type."""
        import torch

        depth = _tensor(depths, self._device)
        number = torch.arange(len(depths), device=self._device)
        end = torch.tensor(ends(depths), device=self._device)
        past = torch.arange(depths[0], device=self._device)
        # A subtree is contiguous; of the path, a token sees what lies above its first ancestor.
        within = (number[:, None] >= number) & (number[:, None] < end)
        above = past < depth.cummin(0).values[:, None]
        visible = torch.cat([above, within], dim=1)
        back = depth[:, None] - torch.cat([past, depth])
        found = {
            kind: self._additive(visible if width is None else visible & (back < width))
            for kind, width in self._windows.items()
        }
        return found if len(found) > 1 else next(iter(found.values()))

    def _additive(self, visible: Any) -> Any:
        import torch

        dtype = self._lm.dtype
        mask = torch.zeros(visible.shape, dtype=dtype, device=self._device)
        return mask.masked_fill_(~visible, torch.finfo(dtype).min)[None, None]


def _tensor(numbers: array[int], device: str) -> Any:
    import torch

    return torch.tensor(numbers, dtype=torch.long, device=device)


def _read_rows(logits: Any, pack: Pack) -> tuple[list[float], list[bool]]:
    """`logits`: [rows, vocabulary], a row for each distinct node of the pack's edges."""
    import torch

    logprobs = torch.log_softmax(logits.float(), dim=-1)
    numbers = [n for n, (_, edges) in enumerate(itertools.groupby(pack.nodes)) for _ in edges]
    rows = torch.tensor(numbers, device=logits.device)
    labels = _tensor(pack.labels, logits.device)
    best = logprobs.argmax(dim=-1)[rows] == labels
    return logprobs[rows, labels].tolist(), best.tolist()


def ends(depths: Sequence[int]) -> list[int]:
    """For each token of a pack, the number after its last descendant's (or its own)."""
    found = [len(depths)] * len(depths)
    open_: list[int] = []
    for at, depth in enumerate(depths):
        while open_ and depths[open_[-1]] >= depth:
            found[open_.pop()] = at
        open_.append(at)
    return found


def path_slots(depths: Sequence[int]) -> list[int]:
    """Where the path to the last token lies: in the path before, followed by the pack."""
    base = depths[0]
    slots = list(range(base))
    for at, depth in enumerate(depths):
        del slots[depth:]
        slots.append(base + at)
    return slots


# --- Which models ----------------------------------------------------------------------------


def sharing(lm: Any, device: str, length: int) -> tuple[TreePass | None, str]:
    """How to put packs through a model, or None and the reason why they cannot be trusted.

    Args:
        lm: A causal language model of transformers.
        device: Where it is.
        length: Tokens of the longest sequence that will come.

    Compares packs with plain passes on a few fixed sequences, a branch of a branch and tokens
    past a branch among them, in one pack and in many.  Never raises: what fails is a reason.
    """
    try:
        windows = _windows(lm, length)
        if isinstance(windows, str):
            return None, windows
        return _compared(TreePass(lm, device, windows), lm, device)
    except Exception as error:  # noqa: BLE001 - whatever it is, the plain pass needs none of it
        return None, f"{type(error).__name__}: {error}"


def difference(
    lm: Any, device: str, pairs: Sequence[Pair], logprobs: Sequence[float]
) -> tuple[bool, str]:
    """Whether log-likelihoods are those of plain passes up to rounding, and a line that says so.

    `logprobs`: what is to be compared, by pair.
    """
    plain = score_pairs(lm, pairs, device)
    found = [abs(ours - theirs) for ours, (theirs, _) in zip(logprobs, plain, strict=True)]
    longest = max(len(context) + len(continuation) for context, continuation in pairs)
    scales = [max(1.0, len(continuation) / _CHECK_TOKENS) for _, continuation in pairs]
    # Attention over a thousand tokens rounds more often than over fifteen.
    slack = 1.0 if longest <= _SHORT else 10.0
    tolerance = slack * TOLERANCE.get(str(lm.dtype).removeprefix("torch."), 0.0)
    # Written so that NaN fails.
    alike = all(d <= tolerance * scale for d, scale in zip(found, scales, strict=True))
    worst = max(found, key=lambda d: (math.isnan(d), d))
    return alike, (
        f"largest difference from plain passes {worst:.1e} in sequences of up to {longest} "
        f"tokens; tolerance {tolerance:.0e}"
    )


def _compared(passes: TreePass, lm: Any, device: str) -> tuple[TreePass | None, str]:
    pairs = _check_pairs(int(lm.config.get_text_config(decoder=True).vocab_size))
    packed = [logprob for limit in _CHECK_LIMITS for logprob in _packed(passes, pairs, limit)]
    alike, told = difference(lm, device, pairs * len(_CHECK_LIMITS), packed)
    return (passes if alike else None), told


def _check_pairs(vocabulary: int) -> list[Pair]:
    """Branches, branches of branches, equal beginnings and one-token contexts."""
    ids = [7919 * n % vocabulary for n in range(3, 30)]
    stem, (a, b, c, d, e), other = ids[:8], ids[8:13], ids[13:]
    return [
        (stem, [a]),
        (stem, [b]),
        (stem, [a, c, d, e]),
        (stem, [a, c, e, b]),
        (stem, [b, d, c, a, e]),
        ([*stem, a], [d, b]),
        ([*stem[:5], *other[:3]], [a]),
        ([*stem[:5], *other[:2]], [a, b, c]),
        (stem[:1], [a, b]),
        (other[:1], [d]),
    ]


def _packed(passes: TreePass, pairs: Sequence[Pair], limit: int) -> list[float]:
    forest = Forest()
    for ticket, pair in enumerate(pairs):
        forest.add(ticket, [pair])
    found: dict[int, float] = {}
    while (pack := forest.next(limit, limit)) is not None:
        found |= {score.ticket: score.logprob for score in forest.receive(pack, *passes.run(pack))}
    passes.forget()
    return [found[ticket] for ticket in range(len(pairs))]


def _length_dependent(rope: Any) -> bool:
    """Whether rotary frequencies change with the longest position of a pass."""
    if not isinstance(rope, Mapping):
        return False
    types = (rope.get("rope_type"), rope.get("type"))
    return any(t in ("dynamic", "longrope") for t in types) or any(
        _length_dependent(inner) for inner in rope.values()
    )


def _windows(lm: Any, length: int) -> Windows | str:
    """How far each type of layer looks back in sequences of up to `length` tokens.

    A reason instead, where the model's configuration says that packs would not give the numbers
    of plain passes.
    """
    from transformers import DynamicCache, cache_utils

    config = lm.config.get_text_config(decoder=True)
    if getattr(config, "num_kv_shared_layers", None):
        return "its layers share keys and values"
    if _length_dependent(getattr(config, "rope_parameters", None)):
        return "its rotary frequencies depend on the longest sequence of a pass"
    kinds = getattr(config, "layer_types", None)
    layers = DynamicCache(config=config).layers
    found: dict[str, int | None] = {}
    for kind, layer in zip(kinds or itertools.repeat("attention"), layers, strict=False):
        width = None
        if type(layer) is cache_utils.DynamicSlidingWindowLayer and "chunked" not in kind:
            width = int(layer.sliding_window)
        elif type(layer) is not cache_utils.DynamicLayer:
            return f"its cache has a {type(layer).__name__} ({kind})"
        width = None if width is None or width >= length else width
        if found.setdefault(kind, width) != width:
            return f"its layers of type {kind} look back by different lengths"
    if len(set(found.values())) == 1:
        return {"attention": next(iter(found.values()))}
    return found


# --- The reference: padded batches -----------------------------------------------------------


def score_items(lm: Any, items: Sequence[Sequence[Pair]], device: str, size: int) -> list[Scored]:
    """Scores of items, each the sum over its pairs, numbered from 0; `size` pairs in one pass."""
    found = [Scored(number, 0.0, True, 0, 0) for number in range(len(items))]
    owned = [(number, pair) for number, pairs in enumerate(items) for pair in pairs]
    for at in range(0, len(owned), size):
        part = owned[at : at + size]
        scores = score_pairs(lm, [pair for _, pair in part], device)
        for (number, (context, continuation)), (logprob, is_greedy) in zip(
            part, scores, strict=True
        ):
            old, tokens = found[number], len(context) + len(continuation)
            found[number] = Scored(
                number,
                old.logprob + logprob,
                old.is_greedy and is_greedy,
                old.tokens + tokens,
                # The last token is looked up, not put through the model.
                old.computed + tokens - 1,
            )
    return found


def padded(sequences: Sequence[Sequence[int]], device: str) -> tuple[Any, Any, Any]:
    """Ids, attention mask and positions, padded on the left; each [batch, longest]."""
    import torch

    longest = max(len(s) for s in sequences)
    ids = [[0] * (longest - len(s)) + list(s) for s in sequences]
    mask = torch.tensor([[0] * (longest - len(s)) + [1] * len(s) for s in sequences])
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return torch.tensor(ids, device=device), mask.to(device), positions.to(device)


def score_pairs(lm: Any, pairs: Sequence[Pair], device: str) -> list[tuple[float, bool]]:
    """Log-likelihood and is_greedy of each pair, from one pass over all of them.

    Log-probabilities are a float32 log-softmax of the model's logits, added up in float64.
    """
    import torch

    inputs = [[*context, *continuation[:-1]] for context, continuation in pairs]
    rows = max(len(continuation) for _, continuation in pairs)
    with torch.inference_mode():
        ids, mask, positions = padded(inputs, device)
        # The last `rows` logits are all that is read; the rest would not fit in memory.
        output = lm(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=rows,
        )
        logprobs = torch.log_softmax(output.logits[:, -rows:].float(), dim=-1)
    return [_read(logprobs[n], continuation) for n, (_, continuation) in enumerate(pairs)]


def _read(logprobs: Any, continuation: Sequence[int]) -> tuple[float, bool]:
    """Sum over the continuation, and whether each token was the most likely one.

    `logprobs`: [rows, vocabulary]; the last row predicts the continuation's last token.
    """
    import torch

    rows = logprobs[-len(continuation) :]
    wanted = torch.tensor(list(continuation), device=rows.device)
    picked = rows.gather(1, wanted[:, None])[:, 0]
    return float(picked.double().sum()), bool((rows.argmax(dim=-1) == wanted).all())
