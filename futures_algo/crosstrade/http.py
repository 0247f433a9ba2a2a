"""A token nobody can print, one request after another, and what an answer on the wire means."""

import asyncio
import email.utils
import json
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import httpx

from futures_algo.broker.models import UnreadableAnswer
from futures_algo.broker.models import text as clean_text
from futures_algo.broker.outcomes import (
    AddOnDown,
    Ambiguous,
    Answered,
    NotFound,
    NotSent,
    Outcome,
    RateLimited,
    Refused,
    RefusedQuery,
    Unauthorized,
    Unreachable,
)
from futures_algo.core.types import BrokerError, ConfigError, InputError
from futures_algo.crosstrade.rate_limit import Priority, TokenBucket

TOKEN_VARIABLES = ("XTRADE_TOKEN", "CROSSTRADE_API_KEY")  # environment, first set wins


class Token:
    "A bearer token that prints as stars."

    __slots__ = ("_text",)

    def __init__(self, text: str):
        self._text = text

    def __repr__(self) -> str:
        return "Token(***)"

    def __reduce__(self):
        raise TypeError("a token is not pickled; read it from the environment where it is needed")

    def header(self) -> str:
        return f"Bearer {self._text}"

    def fingerprint(self) -> int:
        "Tells two tokens apart inside this process without showing either."
        return hash(self._text)

    def redact(self, text: str) -> str:
        "The text without the token, should a server echo it."
        return text.replace(self._text, "***").replace(self._text.replace("/", "\\/"), "***")

    @classmethod
    def of(
        cls,
        token: Any = None,  # the text, a pydantic SecretStr, a Token, or None for the environment
    ) -> "Token":
        "Read a token; unset, empty and unexpanded ones are refused here rather than sent."
        if isinstance(token, Token):
            return token
        if token is None:
            token = next((value for name in TOKEN_VARIABLES if (value := os.environ.get(name))), None)
        if hasattr(token, "get_secret_value"):
            token = token.get_secret_value()
        text = token.strip() if isinstance(token, str) else ""
        if not text or text.startswith("${") or not text.isascii() or any(c.isspace() for c in text):
            shown = text if not text or text.startswith("${") else "***"
            raise ConfigError(
                "CrossTrade token",
                None if token is None else shown,
                "must be set",
                f"put it in the environment as {' or '.join(TOKEN_VARIABLES)}",
                "execution.crosstrade_api_key",
            )
        return cls(text)


_T = TypeVar("_T")

_ALREADY_ENDED = "not found or already terminal"  # of a cancel; the vendor documents this text as stable
_NO_SUCH_COMMAND = "unknown api command"  # an add-on from before 1.13.2 keeps no lifecycles
_BACKOFF = 1.0  # seconds to wait on a 429 that does not say
_LONGEST_PAUSE = 60.0  # a longer Retry-After is not believed
_KEPT = 4000  # characters of an answer kept for the journal


class Reply(NamedTuple):
    "What came back, or why nothing did."

    status: int  # HTTP status, 0 without an answer
    payload: Any  # parsed JSON, None when there is none
    text: str  # body, token removed, cut
    failure: str  # "", "not_sent", "lost" or "unreadable"
    reason: str  # words for it
    retry_after: float | None
    sent_at: int  # ns UTC
    latency: int  # ns


def _seconds(value: Any, now: float) -> float | None:
    "A Retry-After in any form: seconds, possibly fractional, or an HTTP date."
    try:
        wait = float(value)
    except (TypeError, ValueError):
        try:
            wait = email.utils.parsedate_to_datetime(value).timestamp() - now
        except (TypeError, ValueError, IndexError):
            return None
    return min(max(wait, 0.0), _LONGEST_PAUSE) if math.isfinite(wait) else None


def retry_after(headers: Mapping[str, str], payload: Any, now: float) -> float:
    "Seconds to stay quiet after a 429: from the header, else from the body, else a second."
    body = payload if isinstance(payload, Mapping) else {}
    for value in (headers.get("retry-after"), body.get("retryAfter"), body.get("retry_after")):
        if value is not None and (wait := _seconds(value, now)) is not None:
            return wait
    return _BACKOFF


def read_reply(
    status: int, headers: Mapping[str, str], content: bytes, token: Token, sent_at: int, latency: int
) -> Reply:
    "An HTTP answer as a `Reply`; a body that is not JSON is marked unreadable."
    text, payload, failure, reason = token.redact(content.decode("utf-8", "replace")), None, "", ""
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):  # also a number of 5,000 digits, and brackets 100,000 deep
        failure, reason = "unreadable", f"the body is not JSON but {_looks_like(text)}: {text[:80]!r}"
    wait = retry_after(headers, payload, time.time()) if status == 429 else None
    return Reply(status, payload, text[:_KEPT], failure, reason, wait, sent_at, latency)


def _looks_like(text: str) -> str:
    "What a body that is not JSON seems to be."
    if "<" in text[:200]:
        return "HTML"
    return "text" if text.strip() else "empty"


def _error_words(reply: Reply) -> tuple[str, str]:
    "Reason and detail of a refusal."
    body = reply.payload if isinstance(reply.payload, Mapping) else {}
    reason = body.get("error") or reply.reason or f"HTTP {reply.status}"
    return _words(reason), _words(body.get("detail") or body.get("did_you_mean") or "")


def _words(value: Any) -> str:
    "A text of the broker's that can be written down, cut."
    return clean_text(value)[:_KEPT]


def _is_refusal(reply: Reply) -> bool:
    "Whether a 2xx says it was not done."
    return isinstance(reply.payload, Mapping) and (
        reply.payload.get("success") is False
        or (bool(reply.payload.get("error")) and reply.payload.get("success") is not True)
    )


def outcome_of(reply: Reply, method: str, path: str, parse: Callable[[Any], _T]) -> Outcome[_T]:
    "What a reply to a mutation means."
    base: dict[str, Any] = dict(
        method=method, path=path, status=reply.status, sent_at=reply.sent_at, latency=reply.latency, answer=reply.text
    )
    if reply.failure == "not_sent":
        return NotSent(reason=reply.reason, **base)
    if reply.status == 408 or reply.status >= 500 or reply.failure == "lost" or reply.status in range(300, 400):
        return Ambiguous(reason=reply.reason or _error_words(reply)[0], **base)
    if reply.status >= 400 or _is_refusal(reply):
        reason, detail = _error_words(reply)
        ended = _ALREADY_ENDED in f"{reason} {detail}"
        return Refused(reason=reason, detail=detail, retry_after=reply.retry_after, already_ended=ended, **base)
    if reply.failure:
        return Ambiguous(reason=reply.reason, **base)
    try:
        return Answered(value=parse(reply.payload), **base)
    except UnreadableAnswer as error:
        return Ambiguous(reason=str(error), **base)


def _is_unknown(reason: str, detail: str) -> bool:
    "Whether a refusal says that the broker does not know the thing asked for, or the question."
    text = f"{reason} {detail}".lower()
    return (
        re.search(r"not found|^no \w+ found", text) is not None
        or _NO_SUCH_COMMAND in text
        or reason.startswith("No position")
    )


def error_of(reply: Reply, where: str) -> BrokerError | None:
    "The error a reply to a query stands for, None when it is an answer."
    reason, detail = _error_words(reply)
    if reply.failure in ("not_sent", "lost"):
        return (Unreachable if reply.retry_after is None else RateLimited)(
            reply.reason, where, retry_after=reply.retry_after
        )
    kind = {401: Unauthorized, 403: Unauthorized, 404: NotFound, 408: AddOnDown, 429: RateLimited}.get(reply.status)
    if kind is None and reply.status >= 500:
        kind = Unreachable
    elif kind is None and (reply.status >= 300 or _is_refusal(reply)):
        kind = RefusedQuery
    if kind is RefusedQuery and _is_unknown(reason, detail):
        kind = NotFound
    if kind:
        return kind(reason, where, reply.status, detail, reply.retry_after)
    return UnreadableAnswer(f"{where}: {reply.reason}") if reply.failure else None


BASE_URL = "https://app.crosstrade.io/v1/api"
TIMEOUT = httpx.Timeout(
    connect=5.0, read=30.0, write=10.0, pool=5.0
)  # the broker itself waits 5 s in a reverse and has been seen to answer after 16 s
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.ProxyError,
)

LARGEST_ANSWER = 32 << 20  # bytes
LONGEST_ANSWER = 60.0  # seconds a whole answer may take: a read time-out alone lets one that drips go on for ever


class Answer(NamedTuple):
    "An HTTP answer, read to its end."

    status_code: int
    headers: Mapping[str, str]
    content: bytes


def _check(deadline: float, length: int) -> None:
    "An answer has an end, in time and in size."
    if time.monotonic() > deadline:
        raise httpx.ReadTimeout(f"the answer had not ended after {LONGEST_ANSWER:g} s")
    if length > LARGEST_ANSWER:
        raise httpx.ReadError(f"the answer was larger than {LARGEST_ANSWER >> 20} MB")


def _refuse_more(answer: httpx.Response) -> None:
    """Bytes behind the end of an answer are a second one, which would be taken for the next request's: which of the two
    is this request's nobody can say. What httpx has read ahead stands in the protocol state of the connection alone."""
    inside: Any = answer.stream
    for name in ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state"):
        inside = getattr(inside, name, None)
    if inside is not None and inside.trailing_data[0]:
        answer.extensions["network_stream"].close()
        raise httpx.RemoteProtocolError("more than one answer came to one request")


class Blocking:
    "Sends in the calling thread; its coroutines never suspend."

    def __init__(self, **options):
        self._http = httpx.Client(**options)

    async def send(self, *request, **options) -> Answer:
        deadline, parts = time.monotonic() + LONGEST_ANSWER, []
        with self._http.stream(*request, **options) as answer:
            for part in answer.iter_bytes():
                parts.append(part)
                _check(deadline, sum(map(len, parts)))
            _refuse_more(answer)
        return Answer(answer.status_code, answer.headers, b"".join(parts))

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - blocks on purpose: there is no loop

    def set_stop_timeout(self, seconds: float) -> None:
        self._http.timeout = seconds

    async def close(self) -> None:
        self._http.close()


class Suspending:
    "Sends on the running event loop."

    def __init__(self, **options):
        self._http = httpx.AsyncClient(**options)

    async def send(self, *request, **options) -> Answer:
        deadline, parts = time.monotonic() + LONGEST_ANSWER, []
        async with self._http.stream(*request, **options) as answer:
            async for part in answer.aiter_bytes():
                parts.append(part)
                _check(deadline, sum(map(len, parts)))
        return Answer(answer.status_code, answer.headers, b"".join(parts))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def set_stop_timeout(self, seconds: float) -> None:
        self._http.timeout = seconds

    async def close(self) -> None:
        await self._http.aclose()


class Bearer(httpx.Auth):
    "Puts the token on a request at the last moment, where no local variable of ours holds it."

    def __init__(self, token: Token):
        self._token = token

    def auth_flow(self, request):
        request.headers["Authorization"] = self._token.header()
        yield request


def checked_base_url(url: str) -> str:
    "The base URL without its last slash; the token travels in the clear only to this machine."
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InputError(
            "CrossTrade base URL",
            parts.hostname or url,
            "must be an http(s) URL without credentials",
            f"use {BASE_URL}",
        )
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise InputError(
            "CrossTrade base URL",
            url,
            "must be https, because the token travels with every request",
            "only a broker on localhost may use http",
        )
    return url.rstrip("/")


class Core:
    "Paces, sends once, and says what came back; every face and endpoint goes through here."

    def __init__(
        self,
        transport,
        token: Token,
        base_url: str,
        bucket: TokenBucket,
        headers: "Mapping | Callable[[], Mapping] | None",
    ):
        self.transport, self.token, self.base_url, self.bucket, self.headers = (
            transport,
            token,
            base_url,
            bucket,
            headers,
        )
        self.before: Callable[[], None] = lambda: None  # called before each request, which may take long

    async def wait(self, priority: Priority, patience: float) -> float:
        "Wait for a token; returns 0.0, or the seconds that were still missing when patience ran out."
        ticket, deadline = self.bucket.ticket(priority), time.monotonic() + patience
        try:
            while seconds := self.bucket.try_take(ticket):
                if time.monotonic() + seconds > deadline:
                    return seconds
                await self.transport.sleep(seconds)
            return 0.0
        finally:
            self.bucket.leave(ticket)

    async def exchange(self, method: str, path: str, body: Any, priority: Priority, patience: float) -> Reply:
        "One request, one reply; never raises for what the network does."
        self.before()
        if missing := await self.wait(priority, patience):
            return Reply(
                0, None, "", "not_sent", f"held back by the rate limit for another {missing:.1f} s", missing, 0, 0
            )
        extra = self.headers() if callable(self.headers) else self.headers
        content = None if body is None else json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        sent_at, started = time.time_ns(), time.perf_counter_ns()
        failure: tuple[str, str] | None = None
        try:
            answer = await self.transport.send(method, self.base_url + path, content=content, headers=extra)
        except httpx.HTTPError as error:
            failure = (
                "not_sent" if isinstance(error, _NEVER_SENT) else "lost",
                f"{type(error).__name__}: {error}".rstrip(": "),
            )
        latency = time.perf_counter_ns() - started
        if failure:
            return Reply(
                0, None, "", failure[0], self.token.redact(failure[1]), None, sent_at * (failure[0] == "lost"), latency
            )
        return self._heard(read_reply(answer.status_code, answer.headers, answer.content, self.token, sent_at, latency))

    def _heard(self, reply: Reply) -> Reply:
        if reply.status == 429:
            self.bucket.pause(cast(float, reply.retry_after))  # a 429 always has it
        return reply

    async def query(
        self, method: str, path: str, body: Any, parse: Callable[[Any], _T], attempts: int, patience: float
    ) -> _T:
        "A question: asked again after a lost connection or a 429, raised as an error after that."
        for left in reversed(range(attempts)):
            reply = await self.exchange(method, path, body, Priority.READ, patience)
            if not left or not (reply.status == 429 or (reply.failure == "lost" and "Timeout" not in reply.reason)):
                break
        if error := error_of(reply, f"{method} {path}"):
            raise error
        return parse(reply.payload)

    async def mutate(
        self, method: str, path: str, body: Any, parse: Callable[[Any], _T], priority: Priority, patience: float
    ) -> Outcome[_T]:
        "A change: sent once or not at all, whatever happens."
        return outcome_of(await self.exchange(method, path, body or {}, priority, patience), method, path, parse)
