"""What CrossTrade sends and takes, as typed, frozen objects that read tolerantly and never guess."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any, NamedTuple, Self, cast

from futures_algo.core.contracts import Contract
from futures_algo.core.named import ByName
from futures_algo.core.types import BrokerError

HIGHEST_PRICE, MOST_PAID = 1e7, 1e5  # points; USD for one fill
EPOCHS = (946_684_800, 4_102_444_800)  # seconds: the years 2000 to 2099


class UnreadableAnswer(BrokerError):
    "The broker answered something that cannot be read: HTML, cut JSON, a required field missing or of the wrong kind."


def text(value: Any) -> str:
    "A text that can be written down anywhere: half a surrogate pair, as a cut answer gives, becomes a question mark."
    return str(value).encode("utf-8", "replace").decode()


def identity(value: Any) -> str:
    "An id: a text or a whole number, of sane length; an object, or half a character, is none."
    if isinstance(value, bool) or not isinstance(value, (str, int)) or len(str(value)) > 200:
        raise ValueError("not an id")
    if (name := text(value)) != str(value):
        raise ValueError("not an id: it holds half a character")
    return name


def wire(
    *names: str,  # names on the wire, first found wins; "item.cashValue" reaches inside
    cast: Callable[[Any], Any] | None = None,  # reads the JSON value; a text when None
    default: Any = MISSING,  # value when absent or null; without one the field is required
    default_factory: Any = MISSING,
    lenient: bool = False,  # a value that cannot be read is as good as none: figures nothing is decided by
) -> Any:
    "A dataclass field that knows its names on the wire."
    metadata = {"names": names, "cast": cast or text, "lenient": lenient}
    return field(default=default, default_factory=default_factory, metadata=metadata)


def look(row: Any, path: str) -> Any:
    "The value at a dotted path, None where it breaks off."
    for part in path.split("."):
        row = row.get(part) if isinstance(row, dict) else None  # whatever JSON calls an object is a dict
    return row


def number(value: Any) -> float:
    "A finite float; a text such as '12.5' is read, true and NaN are not."
    if isinstance(value, bool) or not math.isfinite(result := float(value)):
        raise ValueError("not a finite number")
    return result


def whole(value: Any) -> int:
    "An integer; 2.0 is read, 2.5 is not."
    if (result := number(value)) != int(result):
        raise ValueError("not a whole number")
    return int(result)


def price(value: Any) -> float:
    "Points; a spread's and crude oil's may be negative."
    if abs(result := number(value)) > HIGHEST_PRICE:
        raise ValueError(f"beyond {HIGHEST_PRICE:,.0f} points")
    return result


def paid(value: Any) -> float:
    "Commission or fee, USD."
    if abs(result := number(value)) > MOST_PAID:
        raise ValueError(f"beyond ${MOST_PAID:,.0f}")
    return result


MOST_CONTRACTS = 100_000  # of one row; more is no size


def contracts(value: Any) -> int:
    "A number of contracts."
    if abs(result := whole(value)) > MOST_CONTRACTS:
        raise ValueError(f"more than {MOST_CONTRACTS:,} contracts")
    return result


def flag(value: Any) -> bool:
    "A boolean, also spelled as text."
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise ValueError("not true or false")


def epoch_nanos(value: Any) -> int:
    """An epoch as ns UTC: the API gives seconds for quotes and milliseconds elsewhere, both possibly fractional. Other
    units, and other centuries, are refused rather than guessed."""
    given = number(value)
    millis = given * (1 if abs(given) > 1e11 else 1000)
    if not EPOCHS[0] * 1000 <= millis <= EPOCHS[1] * 1000:
        raise ValueError("not a time in seconds or milliseconds of this century")
    return int(millis) * 1_000_000 + round((millis - int(millis)) * 1e6)


def word(value: Any) -> str:
    "A name in NinjaTrader's spelling: 'FILLED' and 'filled' read as 'Filled', 'PartFilled' stays."
    name = text(value)
    return name.capitalize() if name.isupper() or name.islower() else name


@cache
def _wire_fields(model: Any) -> tuple[list[Field[Any]], frozenset[str]]:
    "The fields a model reads, and every name on the wire it knows."
    wanted = [item for item in fields(model) if "names" in item.metadata]
    return wanted, frozenset({"success", *(name.split(".")[0] for item in wanted for name in item.metadata["names"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(ByName):
    "Base of everything the broker sends; `extra` keeps the fields this version does not know."

    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, row: Any) -> Self:
        "Read one JSON object."
        if not isinstance(row, Mapping):
            raise UnreadableAnswer(
                f"{cls.__name__} was {type(row).__name__} {text(row)[:80]!r}; a JSON object was expected"
            )
        wanted, known = _wire_fields(cast(Any, cls))
        values = {item.name: value for item in wanted if (value := cls._read(item, row)) is not MISSING}
        return cls(extra={key: value for key, value in row.items() if key not in known}, **values)

    @classmethod
    def _read(cls, item: Any, row: Mapping[str, Any]) -> Any:
        "The field's value, or MISSING when its default applies."
        for name in item.metadata["names"]:
            if (value := look(row, name)) is None:
                continue
            try:
                return item.metadata["cast"](value)
            except (TypeError, ValueError, OverflowError) as error:
                if item.metadata["lenient"]:
                    return MISSING
                raise UnreadableAnswer(f"{cls.__name__}.{name} was {text(value)[:60]!r}: {error}") from None
        if item.default is MISSING and item.default_factory is MISSING:
            raise UnreadableAnswer(
                f"{cls.__name__} came without {' or '.join(item.metadata['names'])}; fields:"
                f" {', '.join(map(text, row))[:120]}"
            )
        return MISSING


class Aside(NamedTuple):
    "A row that could not be read."

    reason: str
    account: str  # as far as it says
    instrument: str
    raw: str  # cut

    @classmethod
    def of(cls, row: Any, reason: str) -> "Aside":
        account, instrument = (_word(look(row, name)) for name in ("account", "instrument"))
        return cls(reason, account, instrument, text(row)[:2000])

    def may_be(
        self,
        instrument: str,  # NinjaTrader's name
        order_id: str,
    ) -> bool:
        "Whether it may be the row of that order: it names it, or its contract, or no contract."
        return order_id in self.raw or self.instrument in ("", instrument)


def _word(value: Any) -> str:
    return text(value) if isinstance(value, (str, int)) else ""


class Rows(list[Any]):
    "Rows that could be read; `aside` holds those that could not."

    def __init__(self, rows: Iterable[Any] = (), aside: Iterable[Aside] = ()):
        super().__init__(rows)
        self.aside: list[Aside] = list(aside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Model):
    "A trading account; there is no `balance`: cash and net liquidation are what NinjaTrader keeps."

    name: str = wire("name", "account")  # what every path and order must use
    display_name: str = wire("displayName", default="")  # what the screen shows; the API refuses it
    provider: str = wire("provider", default="")
    status: str = wire("status", default="")
    connection: str = wire("connectionStatus", default="")  # "Connected" or the broker link is down
    cash: float | None = wire("item.cashValue", "cashValue", cast=number, default=None, lenient=True)  # USD
    net_liquidation: float | None = wire(
        "item.netLiquidation", "netLiquidation", cast=number, default=None, lenient=True
    )
    realized: float | None = wire(
        "item.realizedProfitLoss", "realizedProfitLoss", cast=number, default=None, lenient=True
    )
    unrealized: float | None = wire(
        "item.unrealizedProfitLoss", "unrealizedProfitLoss", cast=number, default=None, lenient=True
    )
    commission: float | None = wire("item.commission", cast=number, default=None, lenient=True)
    initial_margin: float | None = wire("item.initialMargin", cast=number, default=None, lenient=True)
    buying_power: float | None = wire("item.buyingPower", cast=number, default=None, lenient=True)
    daily_loss_limit: float = wire("dailyLossLimit", cast=number, default=0.0, lenient=True)

    @property
    def is_connected(self) -> bool:
        "Whether NinjaTrader is connected to the broker of this account."
        return self.connection == "Connected"


def market_side(value: Any) -> str:
    "Long, Short or Flat; anything else is unreadable, because a guess would be a phantom position."
    if (side := word(value)) not in ("Long", "Short", "Flat"):
        raise ValueError("not Long, Short or Flat")
    return side


@dataclass(frozen=True, slots=True, kw_only=True)
class Position(Model):
    "An open position in one dated contract."

    instrument: str = wire("instrument")  # "ES 12-25"
    market_position: str = wire("marketPosition", cast=market_side)  # Long, Short, Flat
    quantity: int = wire("quantity", cast=contracts)  # contracts, unsigned
    account: str = wire("account", default="")
    average_price: float = wire("averagePrice", cast=number, default=0.0, lenient=True)  # points
    market_price: float | None = wire("marketPrice", cast=number, default=None, lenient=True)
    unrealized: float | None = wire("unrealizedProfitLoss", cast=number, default=None, lenient=True)  # USD
    tag: str | None = wire("tag", default=None)  # owner under Strategy Lock

    @property
    def signed(self) -> int:
        "Contracts with sign: long positive, short negative."
        return abs(self.quantity) * {"Long": 1, "Short": -1, "Flat": 0}[self.market_position]

    @property
    def contract(self) -> Contract:
        return Contract.parse(self.instrument)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    "One account of the snapshot with its positions."

    account: Account
    positions: tuple[Position, ...]
    is_flat: bool | None  # as NinjaTrader says it


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermarks(Model):
    "Highest profit and net liquidation of the day, kept by CrossTrade's server; empty without a monitor."

    account: str = wire("account", default="")
    watermarks: Mapping[str, float] = wire("watermarks", cast=dict, default_factory=dict)
    stats: Mapping[str, float] = wire("stats", cast=dict, default_factory=dict)


ORDER_STATES = (
    "Initialized",
    "Submitted",
    "Accepted",
    "TriggerPending",
    "Working",
    "ChangePending",
    "ChangeSubmitted",
    "CancelPending",
    "CancelSubmitted",
    "PartFilled",
    "Filled",
    "Cancelled",
    "Rejected",
    "Unknown",
)


TERMINAL_STATES = frozenset({"Filled", "Cancelled", "Rejected"})


_STATE_WORDS = {state.lower(): state for state in ORDER_STATES} | {
    "canceled": "Cancelled",
    "partiallyfilled": "PartFilled",
}


def order_state(value: Any) -> str:
    "NinjaTrader's spelling of a state; one it does not have is 'Unknown', which is not terminal."
    return _STATE_WORDS.get(str(value).replace("_", "").replace(" ", "").lower(), "Unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Model):
    "An order as NinjaTrader reports it."

    order_id: str = wire("orderId", "id", cast=identity)
    instrument: str = wire("instrument")
    state: str = wire("orderState", "state", "status", cast=order_state)
    quantity: int = wire("quantity", cast=contracts)  # contracts
    filled: int = wire("filled", cast=contracts, default=0)  # contracts
    average_price: float = wire(
        "averageFillPrice", "avgFillPrice", cast=price, default=0.0, lenient=True
    )  # points; 0 before a fill
    action: str = wire("orderAction", "action", cast=lambda value: text(value).upper(), default="")  # BUY, SELL
    order_type: str = wire("orderType", cast=lambda value: text(value).upper(), default="")
    limit_price: float = wire("limitPrice", cast=number, default=0.0, lenient=True)
    stop_price: float = wire("stopPrice", cast=number, default=0.0, lenient=True)
    time_in_force: str = wire("timeInForce", cast=lambda value: text(value).upper(), default="")
    account: str = wire("account", default="")
    oco_id: str = wire("ocoId", "oco", default="")
    name: str = wire("name", default="")
    at: int | None = wire("epoch", cast=epoch_nanos, default=None, lenient=True)  # ns UTC
    original_id: str = wire(
        "originalOrderId", cast=identity, default="", lenient=True
    )  # the id given at placement, where echoed
    ninjatrader_id: str = wire("id", cast=identity, default="", lenient=True)
    automated_id: str = wire("automatedTradingOrderId", cast=identity, default="", lenient=True)
    user_data: str = wire("userData", default="")  # XML

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL_STATES

    @property
    def remaining(self) -> int:
        return max(self.quantity - self.filled, 0)

    @property
    def sign(self) -> int:
        return 1 if self.action.startswith("BUY") else -1

    def answers_to(self, order_id: str, oco_id: str = "") -> bool:  # as given at placement, or NinjaTrader's
        "Whether this is that order: NinjaTrader may not echo the id it was given, so every place it has is looked at."
        ids = {self.order_id, self.original_id, self.ninjatrader_id, self.automated_id, self.name}
        tagged = f"<AutomatedTradingOrderId>{order_id}</AutomatedTradingOrderId>" in self.user_data
        return order_id in ids or tagged or bool(oco_id and oco_id == self.oco_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleEvent(Model):
    "One line of an order's life."

    at: int | None = wire("epoch", cast=epoch_nanos, default=None, lenient=True)  # ns UTC
    source: str = wire("source", default="")  # "api_received", an order update, a fill
    event: str = wire("event", default="")
    state: str | None = wire("orderState", cast=order_state, default=None)
    order_id: str = wire("orderId", default="")
    filled: int | None = wire("filled", cast=contracts, default=None)
    average_price: float | None = wire("averageFillPrice", cast=price, default=None, lenient=True)
    detail: str = wire("detail", "error", default="")


def _readable_events(rows: Any) -> "tuple[LifecycleEvent, ...]":
    "The lines that can be read; one that cannot spoils itself only."
    found = []
    for row in rows:
        try:
            found.append(LifecycleEvent.parse(row))
        except UnreadableAnswer:
            continue
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle(Model):
    "Everything the add-on recorded about an order; `api_received` proves that a placement arrived."

    order_id: str = wire("orderId", cast=identity, default="", lenient=True)  # NinjaTrader's
    original_id: str = wire("originalOrderId", cast=identity, default="", lenient=True)  # ours
    account: str = wire("account", default="")
    events: tuple[LifecycleEvent, ...] = wire("events", cast=_readable_events)

    @property
    def state(self) -> str | None:
        "The last state recorded, or None when the order only arrived."
        return next((event.state for event in reversed(self.events) if event.state), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution(Model):
    "A fill."

    execution_id: str = wire("id", "executionId", cast=identity)
    order_id: str = wire("orderId", cast=identity, default="", lenient=True)
    instrument: str = wire("instrument")
    price: float = wire("price", cast=price)  # points
    quantity: int = wire("quantity", cast=contracts)  # contracts, unsigned
    market_position: str = wire("marketPosition", cast=market_side)  # Long: bought, Short: sold
    at: int | None = wire(
        "epoch", cast=epoch_nanos, default=None, lenient=True
    )  # ns UTC; the `time` text has no zone and is not used
    account: str = wire("account", default="")
    name: str = wire("name", default="")
    commission: float | None = wire(
        "commission", cast=paid, default=None, lenient=True
    )  # USD; whether it is sent is not documented
    fee: float | None = wire("fee", cast=paid, default=None, lenient=True)

    @property
    def sign(self) -> int:
        return 1 if self.market_position == "Long" else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote(Model):
    "The market now, as NinjaTrader's data feed has it."

    instrument: str = wire("instrument")
    bid: float | None = wire("bid", cast=number, default=None)
    ask: float | None = wire("ask", cast=number, default=None)
    last: float | None = wire("last", cast=number, default=None)
    volume: int | None = wire("volume", cast=whole, default=None)
    tick_size: float | None = wire("tickSize", cast=number, default=None)
    point_value: float | None = wire("pointValue", cast=number, default=None)
    expiration: str = wire("expiration", default="")
    at: int | None = wire("epoch", cast=epoch_nanos, default=None, lenient=True)  # ns UTC
    is_open: bool | None = wire("isMarketOpen", cast=flag, default=None)
    feed_status: str = wire("dataSource.status", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBar(Model):
    "A bar of NinjaTrader's history; its `at` is NinjaTrader's stamp, which for intraday bars is the bar's end."

    at: int = wire("epoch", cast=epoch_nanos)  # ns UTC
    open: float = wire("open", cast=number)
    high: float = wire("high", cast=number)
    low: float = wire("low", cast=number)
    close: float = wire("close", cast=number)
    volume: int = wire("volume", cast=whole, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketInfo(Model):
    "Whether the market of an instrument is open, and until when."

    instrument: str = wire("instrument", default="")
    is_open: bool = wire("status.isOpen", cast=flag)
    state: str = wire("status.state", default="")
    session: str = wire("session.label", default="")
    session_start: str = wire("session.utcStart", default="")
    session_end: str = wire("session.utcEnd", default="")
    seconds_remaining: float | None = wire("session.secondsRemaining", cast=number, default=None)
