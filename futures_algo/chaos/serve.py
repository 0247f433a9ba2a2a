"From a request to its answer: key, budget, faults instead of acting, the act, faults in the answer."

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from futures_algo.chaos.clock import SECOND
from futures_algo.chaos.desk import Wait
from futures_algo.chaos.endpoints import SERVER_SIDE, unknown
from futures_algo.chaos.faults import Faults, Hits, Rule
from futures_algo.chaos.httpbytes import dumped, page
from futures_algo.chaos.mutate import CHANGES, Scene
from futures_algo.chaos.records import Answer, Refusal, Request
from futures_algo.chaos.routes import Routes
from futures_algo.chaos.spoil import Cut, Line, disconnected

Until = Callable[[Callable[[], bool], float], Awaitable[None]]  # ready or seconds of the clock


class Bucket:
    "The token bucket of the whole user, on the broker's clock."

    def __init__(self, routes: Routes) -> None:
        self._settings = routes.settings
        self._now = routes.book.now
        self._tokens = float(self._settings.bucket)
        self._at = self._now()

    def take(self) -> float:
        "0 when a token was had, else the seconds until there is one."
        now = self._now()
        gained = (now - self._at) / SECOND * self._settings.per_second
        self._tokens, self._at = min(self._settings.bucket, self._tokens + gained), now
        if self._tokens < 1:
            return (1 - self._tokens) / self._settings.per_second
        self._tokens -= 1
        return 0.0


class Service:
    "Answers one request at a time a connection; acts hold the book's lock."

    def __init__(self, routes: Routes, faults: Faults, token: str, until: Until) -> None:
        self.routes = routes
        self.settings = routes.settings
        self.faults = faults
        self.token = token
        self.until = until
        self.bucket = Bucket(routes)
        self.addon_connected = True
        self.instead: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "refused_key": lambda s: keyless(s["status"], s["error"]),
            "rate_limited": lambda s: self._limited(s["retry_after"]),
            "addon_down": lambda s: disconnected(),
            "html_page": lambda s: page(s["status"]),
            "error_before": lambda s: Answer(s["status"], {"success": False, "error": "internal_error"}),
            "refused": lambda s: self._refusal(Refusal(s["error"], s["status"])),
        }

    async def answer(self, request: Request, hits: Hits, line: Line) -> Answer:
        "Raises Cut where no answer goes out."
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {self.token}".encode()):
            return keyless(401)
        if not request.rpc:
            return Answer(404, unknown(request))
        for rule in hits.of("before"):
            return await self._instead(rule, hits, line)
        if (limited := await self._budget()) is not None:
            return limited
        return await self._acted(request, hits)

    async def _instead(self, rule: Rule, hits: Hits, line: Line) -> Answer:
        settings = hits.strike(rule)
        if rule.name == "hang":
            await self.until(line.reader.at_eof, settings["seconds"])
        if rule.name in ("hang", "lost_before"):
            raise Cut
        return self.instead[rule.name](settings)

    async def _budget(self) -> Answer | None:
        while self.settings.limited and (seconds := self.bucket.take()):
            if self.settings.throttle == "429":
                return self._limited(seconds)
            await self.until(lambda: False, seconds)
        return None

    def _limited(self, seconds: float) -> Answer:
        new = {"success": False, "error": "rate_limited", "retryAfter": round(seconds, 3)}
        body = new if self.settings.limited_body == "new" else {"error": "Rate limit exceeded"}
        return Answer(429, body, {"Retry-After": f"{seconds:.3f}"} if self.settings.limited_header else {})

    async def _acted(self, request: Request, hits: Hits) -> Answer:
        if (late := hits.take("late_act")) is not None:
            await self.until(lambda: False, late["seconds"])
        if not self.addon_connected and request.rpc not in SERVER_SIDE:
            return disconnected()
        if not isinstance(request.json, dict):
            return self._refusal(Refusal("Invalid request"))
        try:
            body = await self._run(request, hits)
        except Refusal as refusal:
            return self._refusal(refusal)
        return self._odd(body, request, hits)

    async def _run(self, request: Request, hits: Hits) -> Any:
        book = self.routes.book
        with book.lock:
            book.run_due()
            done = self.routes.run(request, hits)
        while isinstance(done, Wait):
            await self.until(self._ready(done), done.seconds)
            with book.lock:
                book.run_due()
                done = done.then()
        return done

    def _ready(self, wait: Wait) -> Callable[[], bool]:
        def ready() -> bool:
            with self.routes.book.lock:
                return wait.ready()

        return ready

    def _refusal(self, refusal: Refusal) -> Answer:
        body: dict[str, Any] = {"error": refusal.error}
        if refusal.detail is not None or self.settings.error_flag:
            body = {"success": False} | body
        return Answer(refusal.status, body if refusal.detail is None else body | {"detail": refusal.detail})

    def _odd(self, body: Any, request: Request, hits: Hits) -> Answer:
        raw = False
        for rule in hits.of("answer"):
            with self.routes.book.lock:
                changed = CHANGES[rule.name](body, Scene(rule, request, self.routes.book))
            if changed is not None:
                body = changed
                raw = hits.strike(rule).get("raw", False) or raw
        if not raw:
            return Answer(200, body)
        return Answer(200, raw=dumped(body).replace(b"\\ud800", b"\xed\xa0\x80").replace(b"\\udfff", b"\xed\xbf\xbf"))


def keyless(status: int, error: str = "unauthorized") -> Answer:
    "A missing, wrong or refused key; the exact body is not in the reference."
    return Answer(status, {"success": False, "error": error})
