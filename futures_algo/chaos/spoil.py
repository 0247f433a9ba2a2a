"Faults of the wire: what happens to an answer that has been earned, on its way back."

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from futures_algo.chaos.faults import Hits
from futures_algo.chaos.httpbytes import head_of, page, written
from futures_algo.chaos.records import Answer, Request

MOST_REMEMBERED = 512  # earlier answers kept for `stale` and `swapped`
Sleep = Callable[[float], Awaitable[None]]  # seconds of the broker's clock


class Cut(Exception):
    "The connection ends here without another byte."


@dataclass
class Line:
    "One kept-alive connection: `owed` bytes go out before its next answer."

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    owed: bytes = b""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


class Spoiler:
    "Strikes the wire faults of a request: first the content, then the moment, then the delivery."

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self._before: OrderedDict[str, Answer] = OrderedDict()  # last answer by target
        self._carried: dict[str, Answer] = {}  # answers owed to the next request of an endpoint
        self._partners: list[tuple[asyncio.Future[Answer], Answer]] = []

    async def deliver(self, answer: Answer, request: Request, hits: Hits, line: Line) -> None:
        "Raises Cut where the connection must end."
        answer = self._content(answer, request, hits)
        answer = await self._swap(answer, request, hits)
        if (late := hits.take("late_answer")) is not None:
            await self._sleep(late["seconds"])
        if hits.take("lost_after") is not None:
            raise Cut
        head, body = written(answer)
        owed, line.owed = line.owed, b""
        await self._send(owed + head, body, hits, line)

    # content
    def _content(self, answer: Answer, request: Request, hits: Hits) -> Answer:
        before = self._remember(answer, request)
        if before is not None and hits.take("stale") is not None:
            return before
        if (error := hits.take("error_after")) is not None:
            return Answer(error["status"], {"success": False, "error": "internal_error"})
        if hits.take("addon_lost_answer") is not None:
            return disconnected()
        if (error := hits.take("html_after")) is not None:
            return page(error["status"])
        return self._unreadable(answer, hits)

    def _unreadable(self, answer: Answer, hits: Hits) -> Answer:
        if hits.take("malformed_json") is not None:
            return Answer(answer.status, raw=written(answer)[1][:-1] + b",,]")
        if hits.take("empty_body") is not None:
            return Answer(answer.status, raw=b"")
        if (deep := hits.take("deep_json")) is not None:
            return Answer(
                answer.status, raw=b'{"success":true,"orders":' + b"[" * deep["depth"] + b"]" * deep["depth"] + b"}"
            )
        return answer

    def _remember(self, answer: Answer, request: Request) -> Answer | None:
        target = f"{request.method} {request.path} {sorted(request.query.items())}"
        before = self._before.pop(target, None)
        self._before[target] = answer
        if len(self._before) > MOST_REMEMBERED:
            self._before.popitem(last=False)
        return before

    # two answers for each other
    async def _swap(self, answer: Answer, request: Request, hits: Hits) -> Answer:
        if request.rpc in self._carried:
            return self._carried.pop(request.rpc)
        if self._partners:
            future, theirs = self._partners.pop(0)
            if not future.done():
                future.set_result(answer)
                return theirs
        rule = next((rule for rule in hits.of("wire") if rule.name == "swapped"), None)
        if rule is None:
            return answer
        if rule.settings["mode"] == "carry":
            return self._carry(answer, request, hits)
        return await self._wait_partner(answer, rule.settings["wait"], hits)

    def _carry(self, answer: Answer, request: Request, hits: Hits) -> Answer:
        "The endpoint's answer before this one; this one goes to the next request of the endpoint."
        mark = f"last {request.rpc}"
        before = next(
            (one for key, one in reversed(self._before.items()) if one is not answer and self._same(key, request)), None
        )
        if before is None or hits.take("swapped", mark=mark) is None:
            return answer
        self._carried[request.rpc] = answer
        return before

    def _same(self, target: str, request: Request) -> bool:
        "Same method and last word of the path: another order, account or query of one endpoint."
        method, path = target.split(" ", 1)
        return method == request.method and request.path.rsplit("/", 1)[-1] in path

    async def _wait_partner(self, answer: Answer, seconds: float, hits: Hits) -> Answer:
        "Wall seconds for another request to come by; alone, the answer is its own and nothing was struck."
        entry = (asyncio.get_running_loop().create_future(), answer)
        self._partners.append(entry)
        done, _ = await asyncio.wait([entry[0]], timeout=seconds)
        if not done:
            self._partners = [one for one in self._partners if one is not entry]
            entry[0].cancel()
            return answer
        hits.take("swapped", mark="concurrent")
        return entry[0].result()

    # delivery
    async def _send(self, head: bytes, body: bytes, hits: Hits, line: Line) -> None:
        cut, drip = hits.take("cut_body"), hits.take("drip")
        doubled = hits.take("doubled") if cut is None and drip is None else None
        hits.give_back()  # before the client can know: what was not struck is free for its next request
        if cut is not None:
            await line.send(head + body[: max(0, min(len(body) - 1, int(len(body) * cut["share"])))])
            raise Cut
        if drip is not None:
            return await self._drip(head + body, drip["seconds"], drip["pieces"], line)
        if doubled is not None and doubled["when"] == "next":
            line.owed = head + body
        await line.send((head + body) * (2 if doubled is not None and doubled["when"] == "now" else 1))

    async def _drip(self, data: bytes, seconds: float, pieces: int, line: Line) -> None:
        size = -(-len(data) // pieces)
        for start in range(0, len(data), size):
            await self._sleep(seconds / pieces)
            await line.send(data[start : start + size])


def disconnected() -> Answer:
    "The add-on cannot be reached."
    body = {"success": False, "error": "addon_disconnected", "detail": "NinjaTrader add-on is not connected"}
    return Answer(408, body)


def refused_bytes(status: int) -> bytes:
    "For a connection that ends: an error without a body."
    return head_of(Answer(status, headers={"Connection": "close"}), 0)
