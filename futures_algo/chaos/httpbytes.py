"HTTP/1.1 by hand: bounded reading of requests, bytes of answers."

import asyncio
import itertools
import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from futures_algo.chaos.records import Answer, Request

MOST_HEAD = 32 * 1024  # bytes
MOST_BODY = 1024 * 1024  # bytes
READ_SECONDS = 10.0  # wall seconds for one request once it has begun
IDLE_SECONDS = 75.0  # wall seconds between requests
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_numbers = itertools.count(1)


class Unreadable(Exception):
    "A request that cannot be read: answered with `status`, then the connection closes."

    def __init__(self, status: int) -> None:
        super().__init__(f"unreadable request, {status}")
        self.status = status


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    "The next request, None at the connection's end; raises Unreadable, TimeoutError."
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IDLE_SECONDS)
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise Unreadable(413) from error
    return await asyncio.wait_for(_whole(reader, head), READ_SECONDS)


async def _whole(reader: asyncio.StreamReader, head: bytes) -> Request:
    try:
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
    except ValueError as error:
        raise Unreadable(400) from error
    if "transfer-encoding" in headers or length < 0:
        raise Unreadable(400)
    if length > MOST_BODY:
        raise Unreadable(413)
    return _made(method.upper(), target, headers, await reader.readexactly(length))


def _made(method: str, target: str, headers: dict[str, str], body: bytes) -> Request:
    parts = urlsplit(target)
    request = Request(next(_numbers), method, unquote(parts.path), dict(parse_qsl(parts.query)), headers, body)
    try:
        request.json = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        request.json = None
    return request


def dumped(body: Any) -> bytes:
    "JSON as a careless server writes it: NaN, Infinity and lone surrogates pass."
    return json.dumps(body).encode()


def head_of(answer: Answer, length: int, kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Status')}", f"Content-Length: {length}"]
    headers = {"Content-Type": kind, "Connection": "keep-alive"} | answer.headers
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def written(answer: Answer) -> tuple[bytes, bytes]:
    "Head and body of the answer."
    body = answer.raw if answer.raw is not None else dumped(answer.body)
    return head_of(answer, len(body)), body


def page(status: int) -> Answer:
    "An edge server's error page."
    text = f"<!DOCTYPE html><html><head><title>{status}</title></head><body><h1>Error {status}</h1></body></html>"
    return Answer(status, raw=text.encode(), headers={"Content-Type": "text/html; charset=UTF-8"})
