"""One policy for every API: retries, rates, deadlines, what a server refuses, keys, money.

A vendor's engine (`openai`, `anthropic`, `google`) is a subclass of `RemoteEngine` that says only
how its API is spoken:

    connect(http, key)        the vendor's own client, its retries off, on our HTTP client
    parameters(request, n)    a request, of n new tokens at most, as the API's fields
    send(parameters)          one call; the reply's body as JSON
    read(body, request)       a reply's body as `Parsed`; raises where it departs from the API

`prepare(request)` and `reply(parsed, prepared)` put what was learned of the server around them, so
that a batch is the same requests sent another way: `prepare`, then `read` and `reply`.

Event                                            reaction
------------------------------------------------------------------------------------------------
429, 503, 529, no connection                     all wait: as long as the server asks, else 0.5, 1,
                                                 2, ... 60 s
408, 409, 425, other 5xx, broken connection      this request waits and is sent again
  the server answers others                      given up after max_retries
  it answers none                                given up after max_retries and wait_s
no answer within timeout_s, reply of an unknown  sent again, at most twice
form or too long
400, 422 that names a setting                    learned: left out, renamed, or (where the request
                                                 is nothing without it) `excluded`
400 that names the context length                `over_long`
400, 403 that names a content filter             `refused`
401, 402, no credit left                         `engine_error`, to correct; the rest fails so at
                                                 once
302, 403, 404, unknown model                     the same; once the server has answered others,
                                                 only this request (403: `refused`)
any other 4xx                                    `engine_error` with the server's message
BREAKER requests in a row given up               the rest fails at once

The first request of each form (set of fields) goes alone, so that one request pays for what is
learned, and one for a key or a model that is wrong.

UTF-8 cannot encode half a surrogate pair: U+FFFD is sent in its place.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.core import Completion, Job, Json, PreparedModel, Rendered, Reply, Request
from evalkit.core.protocols import Ledger
from evalkit.core.secrets import masked, masked_url, secret_parts
from evalkit.core.thoughts import Separated, marks_in
from evalkit.engines._background import Background
from evalkit.engines._budget import Budget
from evalkit.engines._errors import (
    BAD_KEY,
    FILTERED,
    NO_CREDIT,
    NO_MODEL,
    NO_SYSTEM,
    OVER_LONG,
    Learned,
    Said,
    Trouble,
)
from evalkit.engines._exchange import (
    Dialect,
    Parsed,
    Prepared,
    folded,
    has_system,
    most_prompt_tokens,
)
from evalkit.engines._judge_models import retirement
from evalkit.engines._keys import cut, request_digest, sayable
from evalkit.engines._pace import Pace, retry_after
from evalkit.engines._settings import RemoteSpec
from evalkit.engines._thinking import Thinking, divided
from evalkit.errors import FailureStatus, RequestFailed, SuiteError

if TYPE_CHECKING:
    import httpx2

    from evalkit.engines._wire import Seen

_log = logging.getLogger(__name__)

BREAKER = 5
"""Requests in a row that were given up."""
FEW_RETRIES = 2
"""Of what the server may have been paid for."""
MOST_ATTEMPTS = 100
MOST_LESSONS = 40
LONGEST_PAUSE_S = 60.0
MOST_BYTES = 16 * 2**20
"""Of one reply; a longer one is cut off.  The longest honest replies, log-probabilities of
thousands of tokens, have a few million."""

_UNPRINTED = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")
_READ = 20_000
"""Of an error's text."""
_AGAIN = frozenset({408, 409, 425, 429})
_BUSY = frozenset({429, 503, 529})
_MAYBE_BILLED = frozenset({408, 502, 504, 524})
"""A gateway gave up; the server behind it may have done the work."""


class RemoteEngine(ABC):
    """Sends requests to an API, `concurrency` at a time at most, from a thread of its own.

    `open` never fails: requests to an unreachable server fail as `transport_error`, so a run keeps
    its answers.
    """

    needs_weights: ClassVar[bool] = False
    droppable: ClassVar[tuple[str, ...]]
    """Fields a request can do without; of several that an error names, the first goes."""
    needed: ClassVar[tuple[str, ...]] = ()
    """Fields, like those of `extra_body`, that a request is nothing without."""
    thinking_names: ClassVar[Mapping[str, str]] = {}
    """Fields that models which think want under another name."""

    def __init__(self, spec: RemoteSpec, model: PreparedModel) -> None:
        for name, message in spec.problems():
            raise SuiteError(f"{name} {message}")
        self.spec = spec
        self.url = spec.url
        identity: dict[str, Json] = {
            "type": spec.type,
            "base_url": self._shown_url,
            "model": spec.model,
            "extra_body": dict(spec.extra_body),
        }
        if spec.reasoning_effort is not None:
            identity["reasoning_effort"] = spec.reasoning_effort
        if spec.thought_tokens != type(spec).model_fields["thought_tokens"].default:
            identity["thought_tokens"] = spec.thought_tokens
        thinking = model.thinking
        if thinking is not None:
            identity["thinking"] = thinking.model_dump(exclude_none=True)
        self.identity: Mapping[str, Json] = identity
        self.exclusive = False
        self._marks = thinking.marks if thinking else None
        self.dialect = Dialect(
            thinks=spec.reasoning_effort is not None or thinking is not None,
            room=(thinking and thinking.budget) or spec.thought_tokens,
            aloud=self._marks is not None,
        )
        self.on_reply: Callable[[int, Reply], None] | None = None
        self.before_sending: Callable[[int], Completion | bool] | None = None
        self.workers = spec.concurrency
        """Requests that wait for a reply at a time, however many of them are in flight."""
        self.most_bytes = MOST_BYTES
        """Of one reply."""
        self._budget = Budget(spec.max_requests, spec.max_cost_usd)
        self._early: list[Job] = []
        self._pending = 0
        self._background: Background | None = None
        self._key: str | None = None
        self._no_key: RequestFailed | None = None
        self._random = random.SystemRandom()
        self._restart()

    def _restart(self) -> None:
        self._budget.restart()
        self._pace = Pace(self.spec.concurrency)
        self._proven: set[frozenset[str]] = set()
        self._first: dict[frozenset[str], asyncio.Lock] = {}
        self._stopped: RequestFailed | None = None
        self._answered = 0
        self._has_logprobs = False
        self._given_up = self._refused_in_a_row = 0
        self._silent_since: float | None = None
        self._holds = 0

    # What a vendor's file defines.

    @abstractmethod
    def connect(self, http: httpx2.AsyncClient, key: str) -> None:
        """Make the vendor's client.  `key` is not empty; without one `http` sends none."""

    @abstractmethod
    def parameters(self, request: Request, max_tokens: int) -> dict[str, Json]:
        """The API's fields; None for a setting of the request that it does not have.

        Raises RequestFailed where it cannot answer such a request.
        """

    @abstractmethod
    async def send(self, parameters: Mapping[str, Json]) -> Json:
        """One call; the body of a reply that reports no error, as JSON."""

    @abstractmethod
    def read(self, body: Any, request: Request) -> Parsed:
        """A reply; anything it raises means that the reply does not conform to the API."""

    # The contract of an engine.

    @property
    def pending(self) -> int:
        """Jobs not yet returned."""
        return self._pending

    @property
    def capped(self) -> bool:
        """Whether the suite sets a cap on requests or cost."""
        return self.spec.max_requests is not None or self.spec.max_cost_usd is not None

    @property
    def spent_usd(self) -> float:
        """What was spent, from the server's own token counts where it gave them, or may be."""
        return self._budget.spent_usd + self._budget.reserved_usd

    @property
    def spent_requests(self) -> int:
        """Requests that were sent, retries among them."""
        return self._budget.spent_requests + self._budget.reserved_requests

    @property
    def reached(self) -> str | None:
        """The cap that refused a request."""
        return self._budget.reached

    def use(self, ledger: Ledger) -> None:
        """Keep the account in `ledger`."""
        self._budget.use(ledger)

    @property
    def batched(self) -> bool | None:
        """Whether requests are sent in batches."""
        return None

    @property
    def tokens_per_piece(self) -> float:
        """Of SmolLM2's and Anthropic's published tokenizer, in the middle."""
        return 1.03

    def most_tokens(self, request: Request) -> tuple[int, int]:
        """As many prompt tokens as bytes; a thought unless the model is known to have none."""
        room = self.spec.thought_tokens if self.spec.may_think else 0
        return most_prompt_tokens(request), request.max_tokens + room

    def price(
        self,
        prompt_tokens: int,
        new_tokens: int,
        *,
        reused: int = 0,
        kept: int = 0,
        batched: bool = False,
    ) -> float | None:
        """USD; None: unknown."""
        found = self.spec.price(prompt_tokens, new_tokens, reused=reused, kept=kept)
        return None if found is None else found * (0.5 if batched else 1.0)

    def _cost(self, parsed: Parsed, prepared: Prepared, *, batched: bool = False) -> float:
        """USD; the most it can be where the server counts no tokens, 0 where no price is known."""
        if parsed.usage is None:
            return self._most_cost(prepared, batched=batched)
        tokens_in, tokens_out = parsed.usage
        reused, kept = min(parsed.reused_tokens, tokens_in), parsed.kept_tokens
        return self.price(tokens_in, tokens_out, reused=reused, kept=kept, batched=batched) or 0.0

    def _most_cost(self, prepared: Prepared, *, batched: bool = False) -> float:
        """USD; a prompt that is written to the vendor's cache costs most."""
        prompt_tokens, new_tokens = prepared.most_tokens
        return self.price(prompt_tokens, new_tokens, kept=prompt_tokens, batched=batched) or 0.0

    def keys(self, requests: Sequence[Request]) -> list[str]:
        """Hash of messages and settings, server and served model."""
        return [request_digest(self.identity, request) for request in requests]

    def prompt_tokens(self, requests: Sequence[Request]) -> list[int | None]:
        """Unknown: the server tokenises."""
        return [None for _ in requests]

    def render(self, request: Request) -> Rendered | None:
        """Unknown: the server applies the chat template."""
        return None

    def open(self) -> None:
        """Start the thread.  Sends nothing and never fails."""
        if self._background is not None:
            return
        from evalkit.engines._wire import http_client

        self._key = self._read_key()
        self._restart()
        http = http_client(has_key=self._key is not None, most_bytes=self.most_bytes)
        self.connect(http, self._key or "none")
        self._background = Background(
            self._answer,
            self._budget.drain,
            lambda: self._finish(http),
            self.workers,
            self.on_reply,
            self.before_sending,
        )
        self._background.start()
        early, self._early = self._early, []
        self._background.submit(early)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Accept jobs; they are sent once the engine is open.

        Equal beginnings come together, for the vendor's prompt cache.
        """
        self._pending += len(jobs)
        jobs = sorted(jobs, key=lambda job: _texts(job[1]))
        if self._background is None:
            self._early.extend(jobs)
        else:
            self._background.submit(jobs)

    def poll(self, timeout: float) -> Sequence[tuple[int, Reply]]:
        """Replies since the last call.  Raises EngineError if the thread died."""
        if self._background is None or self._pending == 0:
            return []
        replies = self._background.poll(timeout)
        self._pending -= len(replies)
        return replies

    def close(self) -> None:
        """Drop what is unanswered, close connections, end the thread."""
        background, self._background = self._background, None
        if background is not None:
            background.stop()
        self._early.clear()
        self._pending = 0

    async def _finish(self, http: httpx2.AsyncClient) -> None:
        """The last that is done on the loop."""
        await http.aclose()

    def _read_key(self) -> str | None:
        """The key; where it is missing or unusable, the reason goes to `_no_key`."""
        name = self.spec.api_key_env
        key = os.environ.get(name, "").strip()
        reason = None
        if self.spec.missing_key() is not None:
            reason = f"no API key: environment variable {name!r} is not set; set it to the key"
        elif not (key.isascii() and key.isprintable()):
            reason = f"environment variable {name!r} holds no usable key; set it to the key"
        self._no_key = (
            None if reason is None else RequestFailed("engine_error", reason, input_error=True)
        )
        return None if reason else key or None

    # Before and after a request.

    def prepare(self, request: Request, room: int | None = None) -> Prepared:
        """`request` in the form this server is known to take.

        `room`: new tokens for the thought; None: as for all.

        Raises:
            RequestFailed: The API, or this server, cannot answer such a request.
        """
        dialect, changed = self.dialect, []
        if dialect.folds_system and has_system(request):
            request = folded(request)
            changed.append("system message: sent at the head of the first user message")
        if room is None:
            room = dialect.room if dialect.thinks else 0
        limit = request.max_tokens + room
        sent = replace(request, stop=()) if dialect.aloud else request
        parameters: dict[str, Json] = {}
        for name, value in self.parameters(sent, limit).items():
            if name in dialect.needed:
                raise dialect.needed[name]
            if name in dialect.left_out or value is None:
                changed.append(f"{name}: left out")
                continue
            renamed = dialect.renamed.get(name, name)
            if renamed != name:
                changed.append(f"{name}: sent as {renamed}")
            parameters[renamed] = value
        # A round trip, so that every client can encode it in UTF-8.
        encoded = sayable(json.dumps(parameters, ensure_ascii=False, allow_nan=False))
        most = (most_prompt_tokens(request), limit)
        return Prepared(request, json.loads(encoded), tuple(changed), room, most)

    def reply(self, parsed: Parsed, prepared: Prepared) -> Completion:
        """The completion of a reply.

        Raises:
            RequestFailed: The server refused, or the reply lacks what the request is for.
        """
        request = prepared.request
        if parsed.refused is not None:
            raise RequestFailed("refused", f"the server refused: {parsed.refused}"[:300])
        if request.top_logprobs and not request.tool and parsed.text and not parsed.top_logprobs:
            if self._has_logprobs:
                raise RequestFailed("engine_error", "a reply without its log-probabilities")
            failed = self.without("logprobs", "its reply has none")
            self.dialect.needed["logprobs"] = failed
            raise failed
        self._has_logprobs |= bool(parsed.top_logprobs)
        marks = None if parsed.thought else self._marks or marks_in(parsed.text)
        if marks is not None:
            # Marks that the suite gives: a cut text without any began within the thought.
            opened = self._marks is not None and parsed.cut
            found = divided(parsed.text, request.stop, Thinking(marks), opened=opened)
            whole = divided(parsed.text, (), Thinking(marks), opened=opened).answer
        else:
            found = Separated(parsed.thought, cut(parsed.text, request.stop))
            whole = parsed.text
        # Cut without a word: all went into a thought that the server keeps to itself.
        wordless = not (found.answer or parsed.top_logprobs or isinstance(request.prompt, str))
        unfinished = found.unfinished or (parsed.cut and wordless)
        tokens_in, tokens_out = parsed.usage or (0, 0)
        return Completion(
            text=found.answer,
            truncated=unfinished or (parsed.cut and found.answer == whole),
            top_logprobs=parsed.top_logprobs,
            prompt_tokens=tokens_in,
            completion_tokens=tokens_out,
            reused_tokens=min(parsed.reused_tokens, tokens_in),
            cost_usd=self._cost(parsed, prepared),
            thought=found.thought,
            thought_tokens=min(parsed.thought_tokens, tokens_out),
            unfinished=unfinished,
            changed=prepared.changed,
        )

    def without(self, what: str, why: str) -> RequestFailed:
        """The failure of requests that are nothing without what this server does not give."""
        mends = ""
        if what in ("reasoning_effort", "output_config", "thinking_config"):
            mends = "; remove reasoning_effort, or write what the server takes"
        elif what in self.spec.extra_body:
            mends = "; remove it from extra_body"
        advice = mends
        if "logprob" in what:
            advice = (
                "; use a judge that reads the written reply (protocol: text, or an evaluator "
                "without log-probabilities), or a model that gives them"
            )
        status: FailureStatus = "engine_error" if mends else "excluded"
        return RequestFailed(
            status,
            f"{self.spec.model} at {self._shown_url} gives no {what} ({why}){advice}",
            input_error=bool(mends),
        )

    # Sending.

    async def _answer(self, request: Request) -> Reply:
        """The reply, after retries where needed.  Raises RequestFailed."""
        if self._no_key is not None:
            raise self._no_key
        attempts = failures = lessons = 0
        room: int | None = None
        answered = self._answered
        while True:
            if self._stopped is not None:
                because = self._stopped
                raise RequestFailed(
                    because.status, f"not sent: {because}", input_error=because.input_error
                )
            try:
                return await self._turn(request, room)
            except Learned as learned:
                room, lessons = learned.room, lessons + learned.is_new
                if lessons > MOST_LESSONS:
                    raise RequestFailed("excluded", "the server refuses every form of it") from None
            except Trouble as trouble:
                attempts += 1
                failures += not trouble.limited or self.spec.wait_s == 0
                if self._is_hopeless(trouble, attempts, failures, self._answered > answered):
                    raise self._gave_up(trouble, attempts) from None
                if failures == min(2, self.spec.max_retries):
                    # What was in flight at the first failure does not show that others fare better.
                    answered = self._answered
                if not trouble.busy:
                    await asyncio.sleep(self._pause(failures, trouble))

    def _is_hopeless(
        self, trouble: Trouble, attempts: int, failures: int, others_answered: bool
    ) -> bool:
        most, wait_s = self.spec.max_retries, self.spec.wait_s
        if attempts >= MOST_ATTEMPTS or self._asks_too_long(trouble):
            return True
        if trouble.most is not None:
            return failures > min(most, trouble.most)
        if failures > most and (others_answered or wait_s == 0):
            return True
        return self._silent_for() >= wait_s > 0

    def _asks_too_long(self, trouble: Trouble) -> bool:
        return (trouble.wait_s or 0.0) > max(self.spec.wait_s, LONGEST_PAUSE_S)

    def _silent_for(self) -> float:
        """Seconds since the first failure that no answer followed."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    def _pause(self, failures: int, trouble: Trouble) -> float:
        """Seconds: what the server asks for, else 1, 2, 4, ... times the pause, with jitter."""
        grown = self.spec.retry_pause_s * 2.0 ** min(max(failures - 1, 0), 30)
        pause: float = min(grown, LONGEST_PAUSE_S) * self._random.uniform(0.5, 1.0)
        return pause if trouble.wait_s is None else trouble.wait_s + pause / 8

    def _gave_up(self, trouble: Trouble, attempts: int) -> RequestFailed:
        self._given_up += 1
        tries = "once" if attempts == 1 else f"{attempts} times"
        what = "did not answer" if trouble.status == "transport_error" else "sent no usable reply"
        silent = self._silent_for()
        if trouble.busy and (silent >= self.spec.wait_s > 0 or self._asks_too_long(trouble)):
            advice = "its limit is reached" if trouble.limited else "check that the server runs"
            self._stop(
                trouble.status,
                f"has answered no request for {silent:.0f} s, the last with: {trouble}; {advice}; "
                f"raise wait_s ({self.spec.wait_s:g}) to wait longer, or run again later: answered "
                f"requests are kept",
            )
        elif self._given_up >= BREAKER:
            self._stop(
                trouble.status,
                f"failed {self._given_up} requests in a row, the last with: {trouble}; check that "
                f"the server runs and run again: answered requests are kept",
            )
        return RequestFailed(trouble.status, f"{self._shown_url} {what} (tried {tries}): {trouble}")

    async def _turn(self, request: Request, room: int | None) -> Reply:
        """Send once; alone where the server has not yet accepted requests of this form."""
        prepared = self.prepare(request, room)
        if prepared.form in self._proven:
            return await self._paced(prepared)
        async with self._first.setdefault(prepared.form, asyncio.Lock()):
            # What was learned while this request waited may have changed its form.
            again = self.prepare(request, room)
            if {again.form} - self._proven == {prepared.form}:
                return await self._paced(again)
        raise Learned(room, is_new=False)

    async def _paced(self, prepared: Prepared) -> Reply:
        entered_at = await self._pace.enter(prepared.tokens)
        try:
            if self._stopped is not None:
                raise Learned(prepared.room, is_new=False)
            return await self._attempt(prepared)
        except Trouble as trouble:
            if self._silent_since is None:
                self._silent_since = time.monotonic()
            if trouble.busy:
                self._hold(trouble, entered_at)
            raise
        finally:
            self._pace.leave(prepared.tokens)

    def _hold(self, trouble: Trouble, entered_at: float) -> None:
        """Let all requests wait for a busy server, once for all that it turned away together."""
        if not self._pace.slow_down(entered_at, to_one=not trouble.limited):
            self._pace.hold(trouble.wait_s or 0.0)
            return
        self._holds += 1
        left = max(self.spec.wait_s - self._silent_for(), self.spec.retry_pause_s)
        pause = min(self._pause(self._holds, trouble), left)
        self._pace.hold(pause)
        if pause >= 1:
            _log.info(
                f"waiting {pause:.0f} s for {self.spec.model} at {self._shown_url}, silent for "
                f"{self._silent_for():.0f} s of {self.spec.wait_s:g} (wait_s): {trouble}"
            )

    async def _attempt(self, prepared: Prepared) -> Completion:
        """One call, within the caps.  Raises Trouble, Learned, RequestFailed."""
        from evalkit.engines._wire import watching

        worst = self._most_cost(prepared)
        reservation = await self._budget.reserve(worst)
        # Without a word from the server (cancelled, timed out, cut off) it may have done all the
        # work.
        cost: float | None = worst
        try:
            with watching() as seen:
                try:
                    async with asyncio.timeout(self.spec.timeout_s):
                        body = await self.send(prepared.parameters)
                    self._refuse_error(body, prepared)
                    parsed = self.read(body, prepared.request)
                except (Learned, Trouble, RequestFailed):
                    cost = 0.0
                    raise
                except Exception as error:  # noqa: BLE001 - a server may send anything
                    meant = self._meaning(error, seen, prepared)
                    cost = 0.0
                    if isinstance(meant, Trouble):
                        cost = None if meant.unsent else worst if meant.billed else 0.0
                    raise meant from None
                finally:
                    if seen.response is not None:
                        self._pace.note(seen.response.headers)
            cost = self._cost(parsed, prepared)
            self._heard(prepared)
            completion = self.reply(parsed, prepared)
            self._learn_thought(completion, prepared)
            return completion
        finally:
            self._budget.settle(reservation, cost)

    def _heard(self, prepared: Prepared) -> None:
        """The server has answered."""
        self._answered += 1
        self._proven.add(prepared.form)
        self._pace.answered()
        self._alive()
        if prepared.room and prepared.room < self.dialect.room:
            self.dialect.room = prepared.room
            _log.info(
                f"{self.spec.model} at {self._shown_url}: {prepared.room} tokens for its thought, "
                f"no more fit its context"
            )

    def _alive(self) -> None:
        self._silent_since = None
        self._holds = self._given_up = 0

    # What is learned.

    def _learn_thought(self, completion: Completion, prepared: Prepared) -> None:
        """Note that the model thinks; raises Learned where the thought took the answer's room."""
        if not (completion.thought or completion.thought_tokens or completion.unfinished):
            return
        self.dialect.aloud |= prepared.request.stop != () and bool(completion.thought)
        if not self.dialect.thinks:
            self.dialect.thinks = True
            _log.info(
                f"{self.spec.model} at {self._shown_url} thinks: {self.dialect.room} tokens more "
                f"for each reply (thought_tokens)"
            )
        again = self.prepare(prepared.request)
        # A stop string in the thought, or in the blanks behind it, leaves no answer either.
        lost = completion.truncated or not completion.text
        if lost and again.parameters != prepared.parameters:
            raise Learned

    def _lesson(self, said: Said, prepared: Prepared) -> Exception | None:
        """What the refusal of a request teaches; None: nothing."""
        sent = prepared.parameters
        for name, wanted in self.thinking_names.items():
            if name in sent and said.mentions(wanted):
                self.dialect.renamed[name] = wanted
                self.dialect.thinks = True
                return self._learned(f"{name} is sent as {wanted}")
        named = [n for n in sent if n == said.param] or [n for n in sent if said.mentions(n)]
        if has_system(prepared.request) and NO_SYSTEM.search(said.message):
            self.dialect.folds_system = True
            return self._learned("the system message is sent in the first user message")
        for name in self.droppable:
            if name in named:
                self.dialect.left_out.add(name)
                return self._learned(f"{name} is left out")
        for name in (*self.needed, *self.spec.extra_body):
            if name in named:
                failed = self.without(name, self._tidy(said.message))
                self.dialect.needed[name] = failed
                return failed
        return None

    def _learned(self, what: str) -> Learned:
        _log.info(f"{self.spec.model} at {self._shown_url}: {what}, as it refuses it")
        return Learned()

    # What failures mean.

    def _refuse_error(self, body: Any, prepared: Prepared) -> None:
        """Some servers report an error with status 200."""
        error = body.get("error") if isinstance(body, dict) else None
        if not error or body.get("choices"):
            return
        said = Said.of(body)
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 400
        meant = self._refusal(status, said, {}, prepared)
        if (
            isinstance(meant, RequestFailed)
            and meant.status == "engine_error"
            and not meant.input_error
        ):
            meant = Trouble(str(meant), billed=False, most=FEW_RETRIES, status="engine_error")
        raise meant

    def _meaning(self, error: Exception, seen: Seen, prepared: Prepared) -> Exception:
        """What an error of the vendor's client means."""
        from evalkit.engines._wire import TooLongError, broken, never_sent

        if isinstance(error, TimeoutError):
            what = f"no answer within timeout_s {self.spec.timeout_s:g}"
            return Trouble(what, billed=True, most=FEW_RETRIES)
        cause = broken(error)
        if isinstance(cause, TooLongError):
            return Trouble(str(cause), billed=True, most=FEW_RETRIES, status="engine_error")
        if cause is not None:
            unsent = never_sent(cause)
            if unsent and "SSL" in str(cause):
                why = f"cannot be reached ({self._named(cause)}); check base_url and certificates"
                return self._stop("engine_error", why, input_error=True)
            return Trouble(self._named(cause), billed=not unsent, busy=unsent, unsent=unsent)
        response = seen.response
        if response is None:
            return error
        text = seen.content[:_READ].decode("utf-8", "replace")
        if response.status_code == 200:
            return Trouble(
                f"a reply of unknown form ({self._named(error)}): {self._tidy(text)}; check that "
                f"base_url names an API of type {self.spec.type}",
                billed=True,
                most=FEW_RETRIES,
                status="engine_error",
            )
        return self._refusal(response.status_code, Said.read(text), response.headers, prepared)

    def _refusal(
        self, status: int, said: Said, headers: Mapping[str, str], prepared: Prepared
    ) -> Exception:
        """What an error reply means (see the table above)."""
        text = f"HTTP {status}: {self._tidy(said.message)}"
        if advice := self._users_to_mend(status, said.all, headers):
            return self._stop("engine_error", f"answered {text}; {advice}", input_error=True)
        over_long = status == 413 or (status < 500 and OVER_LONG.search(said.all))
        if not over_long and (status in _AGAIN or status >= 500):
            wait_s = retry_after(headers, said.body)
            limited = status in (429, 529)
            busy, billed = status in _BUSY, status in _MAYBE_BILLED
            return Trouble(text, billed=billed, busy=busy, limited=limited, wait_s=wait_s)
        self._alive()
        if over_long:
            # The reply's own limit may still fit.
            fits = RequestFailed("over_long", text)
            less = prepared.room // 4
            return Learned(less if less >= 512 else 0) if prepared.room else fits
        if FILTERED.search(said.all):
            return RequestFailed("refused", text)
        lesson = self._lesson(said, prepared) if status in (400, 422) else None
        return lesson or self._not_answered(status, said, text)

    def _not_answered(self, status: int, said: Said, text: str) -> RequestFailed:
        """Where only this request, or none at all, will be answered."""
        no_model = status == 404 or NO_MODEL.search(said.all) is not None
        ends = retirement(self.spec.vendor, self.spec.model) if no_model else None
        gone = "" if ends is None else f"; {ends.text(self.spec.model, date.today())}"
        if self._answered:
            repeats: dict[int, FailureStatus] = {403: "refused", 404: "engine_error"}
            return RequestFailed(repeats.get(status, "excluded"), text + gone)
        if status < 400 or status == 403 or no_model:
            return self._stop(
                "engine_error",
                f"answered {text}{gone}; check base_url, model {self.spec.model!r} and the key in "
                f"{self.spec.api_key_env}",
                input_error=True,
            )
        self._refused_in_a_row += 1
        if self._refused_in_a_row >= BREAKER:
            why = f"answered {text}, {BREAKER} times and nothing else"
            return self._stop("engine_error", why, input_error=True)
        return RequestFailed("engine_error", text)

    def _users_to_mend(self, status: int, text: str, headers: Mapping[str, str]) -> str:
        """What the user must do before any request can be answered; empty: nothing."""
        if status == 402 or NO_CREDIT.search(text):
            return "no credit is left: add some and run again, answered requests are kept"
        if status == 401 or (status < 500 and BAD_KEY.search(text)):
            return f"check the key in {self.spec.api_key_env}"
        if 300 <= status < 400:
            to = self._tidy(headers.get("location", "").partition("?")[0]) or "another address"
            return f"it redirects to {to}: write the API's own address in base_url"
        return ""

    def _stop(self, status: FailureStatus, why: str, *, input_error: bool = False) -> RequestFailed:
        """The failure of this request, and of all after it."""
        self._stopped = RequestFailed(status, f"{self._shown_url} {why}", input_error=input_error)
        self._pace.release()
        return self._stopped

    @property
    def _shown_url(self) -> str:
        return masked_url(self.url)

    def _named(self, error: Exception) -> str:
        return self._tidy(f"{type(error).__name__}: {error}")

    def _tidy(self, text: str) -> str:
        """One line, not too long, without the key."""
        plain = sayable(text[:_READ]).replace(self.url, self._shown_url)
        keys = [self._key] if self._key else []
        plain = masked(plain, [*keys, *secret_parts(self.url)])
        return _UNPRINTED.sub(" ", plain)[:500].strip()


def _texts(request: Request) -> tuple[str, ...]:
    """The raw prompt, or its messages' texts."""
    if isinstance(request.prompt, str):
        return (request.prompt,)
    return tuple(message.content for message in request.prompt)
