"""How a request to a broker ended.

A mutation (place, cancel, change, flatten) returns an `Outcome`; a question returns a model or raises a `QueryError`.
A time-out is `Ambiguous`, never a reject; an answer nobody understands is one too.
"""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from futures_algo.core.types import BrokerError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[_T]):
    "How a mutation ended."

    method: str
    path: str
    status: int = 0  # HTTP status, 0 without an answer
    sent_at: int = 0  # ns UTC, 0 when never sent
    latency: int = 0  # ns from sending to the answer or the failure
    answer: str = field(default="", repr=False)  # the body as it came, cut, for the journal

    @property
    def ok(self) -> bool:
        return isinstance(self, Answered)

    @property
    def why(self) -> str:
        "Why it was not done, or may not have been; empty when it was."
        return str(getattr(self, "reason", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Outcome[_T]):
    "The add-on took it. For an order that means handed to NinjaTrader, not accepted by the exchange and not filled."

    value: _T


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Outcome[Any]):
    """It was understood and not done; nothing changed at the broker.

    Of a request that does two things (`reverse_position`, `flat_place`, `replace_order`, `cancel_and_bracket`) the
    first may have been done."""

    reason: str  # the broker's code or sentence
    detail: str = ""
    retry_after: float | None = None  # seconds, for 429
    already_ended: bool = False  # of a cancel or change: the order had ended before


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous(Outcome[Any]):
    "It may or may not have been done: look it up before anything else is sent."

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent(Outcome[Any]):
    "Not one byte of it left this machine, so it may be tried again."

    reason: str


class QueryError(BrokerError):
    "A question to the broker went unanswered."

    def __init__(self, reason: str, where: str, status: int = 0, detail: str = "", retry_after: float | None = None):
        self.reason, self.where, self.status, self.detail, self.retry_after = reason, where, status, detail, retry_after
        super().__init__(
            f"{where}: {reason}" + (f" ({detail})" if detail else "") + (f" [HTTP {status}]" if status else "")
        )


class Unreachable(QueryError):
    "No answer: refused connection, time-out, broken connection, or a server error."


class AddOnDown(Unreachable):
    "CrossTrade answers, but NinjaTrader or its add-on is not connected (408)."


class Unauthorized(QueryError):
    "The token is wrong, or its plan has no API access (401, 403)."


class RefusedQuery(QueryError):
    "The broker refused the question (400, or success: false)."


class NotFound(RefusedQuery):
    "The broker does not know that account, order, position or route."


class RateLimited(QueryError):
    "Too many requests, here or at the broker; `retry_after` has the seconds to wait."


def why_not(outcome: Outcome[Any]) -> str:
    "Why it was not done, or is not known to be; empty of one that was answered."
    return outcome.reason if isinstance(outcome, (Refused, Ambiguous, NotSent)) else ""


def is_already_ended(outcome: Outcome[Any]) -> bool:
    "Whether a cancel was refused only because the order had ended."
    return isinstance(outcome, Refused) and outcome.already_ended
