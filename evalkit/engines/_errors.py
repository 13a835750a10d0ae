"""What an API says when it refuses a request, in the words of many servers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from evalkit.errors import FailureStatus

OVER_LONG = re.compile(
    r"context.?length|context.?window|maximum model length|max_model_len|too many (input )?tokens"
    r"|prompt is too long|request too large|max_tokens.{0,40}(too large|>)"
    r"|maximum .{0,20}number of output tokens|exceed\w* .{0,40}(context|maximum number of tokens)",
    re.IGNORECASE,
)
FILTERED = re.compile(
    r"content.?filter|content.?(management )?policy|responsible.?ai|flagged|moderation",
    re.IGNORECASE,
)
NO_CREDIT = re.compile(
    r"insufficient.?(quota|balance|credit|funds)|credit balance|billing_not_active", re.IGNORECASE
)
BAD_KEY = re.compile(
    r"api.?key.{0,20}(not valid|invalid|expired)|(invalid|incorrect|wrong).{0,20}api.?key",
    re.IGNORECASE,
)
NO_MODEL = re.compile(
    r"model_not_found|\bmodel\b.{0,100}(not (exist|found|available)|unknown)"
    r"|(unknown|invalid|no such) model",
    re.IGNORECASE,
)
NO_SYSTEM = re.compile(
    r"\bsystem\b.{0,40}(role|message|prompt|instruction)|role.{0,40}\bsystem\b"
    r"|developer instruction|roles must alternate",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Said:
    """An error reply; servers differ in how they wrap them."""

    message: str
    code: str = ""
    param: str = ""
    """The field it is about, where the server says so."""
    body: str = ""

    @classmethod
    def read(cls, text: str) -> Said:
        try:
            return cls.of(json.loads(text), text)
        except (ValueError, RecursionError):
            return cls(_plain(text), body=text)

    @classmethod
    def of(cls, body: Any, text: str = "") -> Said:
        """Of OpenAI, Anthropic, Google (at times in a list), FastAPI (`detail`), and plain ones."""
        if isinstance(body, list) and len(body) == 1:
            body = body[0]
        error = body.get("error", body) if isinstance(body, dict) else body
        if not isinstance(error, dict):
            return cls(str(error), body=text)
        details = error.get("detail")
        if isinstance(details, list) and details and isinstance(details[0], dict):
            where = [part for part in details[0].get("loc") or () if isinstance(part, str)]
            message = f"{details[0].get('msg')} ({'.'.join(where)})"
            return cls(message, str(details[0].get("type")), where[-1] if where else "", text)
        codes = " ".join(str(error[k]) for k in ("code", "type", "status") if error.get(k))
        param = error.get("param")
        message = str(error.get("message") or error)
        return cls(message, codes, param if isinstance(param, str) else "", text)

    @property
    def all(self) -> str:
        """Code and message."""
        return f"{self.code} {self.message}"

    def mentions(self, name: str) -> bool:
        """Whether the message is about this field, as `top_p`, `topP` or `Top_P`."""
        plain = name.replace("_", "")
        text = self.message.replace("_", "")
        return re.search(rf"(?<!\w){re.escape(plain)}(?!\w)", text, re.IGNORECASE) is not None


def _plain(page: str) -> str:
    """The words of an HTML error page."""
    if "<html" not in page[:1000].lower():
        return page
    return re.sub(
        r"<(script|style)\b.{0,5000}?</\1>|<[^<>]{0,1000}>", " ", page[:20_000], flags=re.S
    )


# --- What follows from a failed attempt -----------------------------------------------------------


class Learned(Exception):
    """The request may be sent at once, in another form."""

    def __init__(self, room: int | None = None, *, is_new: bool = True) -> None:
        super().__init__()
        self.room = room
        """For the thought of this request; None: as for all."""
        self.is_new = is_new
        """By this request, not while it waited for another."""


class Trouble(Exception):
    """One attempt failed and another may succeed."""

    def __init__(
        self,
        message: str,
        *,
        billed: bool,
        most: int | None = None,
        busy: bool = False,
        limited: bool = False,
        unsent: bool = False,
        wait_s: float | None = None,
        status: FailureStatus = "transport_error",
    ) -> None:
        super().__init__(message)
        self.billed = billed
        """The server may have done the work."""
        self.unsent = unsent
        """The server cannot have seen it."""
        self.most = most
        """New attempts at most, however long the server is waited for; None: as the suite says."""
        self.busy = busy or limited
        """No request would be answered now."""
        self.limited = limited
        """Because a limit a minute is reached."""
        self.wait_s = wait_s
        """As the server asks."""
        self.status: FailureStatus = status
        """The request's status where no attempt succeeds."""
