"What the broker remembers: orders, executions, positions, requests, answers."

from dataclasses import dataclass, field
from typing import Any

TERMINAL = frozenset({"Filled", "Cancelled", "Rejected"})


@dataclass
class Order:
    "One order as it truly is; the wire may show it otherwise. Times are ns since 1970 on the broker's clock."

    number: int  # in order of arrival, from 1
    id: str  # NinjaTrader's, 32 hex digits
    client_id: str | None  # the caller's own `orderId`
    account: str
    instrument: str  # dated form
    action: str  # Buy or Sell
    type: str  # Market, Limit, StopMarket, StopLimit
    quantity: int  # contracts
    limit_price: float = 0.0  # points; 0 where the type has none
    stop_price: float = 0.0
    tif: str = "Day"
    oco_id: str = ""
    name: str = ""
    strategy: str | None = None  # ATM template
    state: str = "Initialized"
    filled: int = 0
    average_fill: float = 0.0
    reason: str | None = None  # why it was rejected
    placed_ns: int = 0
    changed_ns: int = 0
    due_ns: int = 0  # a market order does not fill before
    origin: str = "api"  # api, hand, oco, atm
    inert: bool = False  # never fills: stuck on its way or lost
    shown: bool = True  # orders, order by id and cancel know it
    lost: bool = False  # acknowledged, then nowhere
    forgotten: bool = False  # a restart lost the caller's id
    triggered: bool = False  # a stop-limit whose stop was touched
    cancel_stuck: bool = False
    quirks: dict[str, dict[str, Any]] = field(default_factory=dict)  # faults that act when it fills
    states: list[tuple[int, str]] = field(default_factory=list)  # (ns, state), all of them

    @property
    def sign(self) -> int:
        return 1 if self.action == "Buy" else -1

    @property
    def remaining(self) -> int:
        return max(0, self.quantity - self.filled)

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL


@dataclass
class Execution:
    "One true fill. `position` is the signed size after it, contracts; `fee` dollars for all its contracts."

    id: str
    order: Order
    price: float
    quantity: int
    moment_ns: int
    position: int
    fee: float
    shown_ns: int | None = None  # when the wire learns of it; None is at once
    listed: bool = True  # in executions and lifecycle


@dataclass
class Position:
    "Netted contracts of one account and instrument: signed `quantity`, `average` in points, `realized` in dollars."

    account: str
    instrument: str
    quantity: int = 0
    average: float = 0.0
    realized: float = 0.0

    def apply(self, signed: int, price: float, point_value: float) -> None:
        "Adds `signed` contracts at `price`; what closes realizes its profit."
        closing = min(abs(signed), abs(self.quantity)) if signed * self.quantity < 0 else 0
        side = 1 if self.quantity > 0 else -1
        self.realized += closing * side * (price - self.average) * point_value
        after = self.quantity + signed
        if not closing:
            self.average = (self.average * abs(self.quantity) + price * abs(signed)) / abs(after)
        elif after * self.quantity < 0:
            self.average = price
        self.quantity = after
        if after == 0:
            self.average = 0.0


@dataclass
class Account:
    "One account by NinjaTrader's name; `cash` in dollars before trading."

    name: str
    cash: float = 100_000.0
    connection: str = "Connected"
    number: int = 1


@dataclass
class Request:
    "One request as it came: `path` decoded and without the query, `rpc` the endpoint's name or '' if there is none."

    number: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    rpc: str = ""
    parts: dict[str, str] = field(default_factory=dict)  # what the path holds: account, order, execution
    json: Any = None


@dataclass
class Answer:
    "What goes back: `body` is made JSON unless `raw` bytes are given."

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


class Refusal(Exception):
    "The broker says no: HTTP `status` and a sentence or code for `error`."

    def __init__(self, error: str, status: int = 400, detail: str | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.detail = detail
