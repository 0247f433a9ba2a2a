"""The CrossTrade client: accounts, positions, orders, executions, quotes and bars of NinjaTrader 8."""

import os
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx

from futures_algo.broker.models import (
    Account,
    AccountSnapshot,
    Execution,
    Lifecycle,
    MarketInfo,
    Order,
    Position,
    PriceBar,
    Quote,
    UnreadableAnswer,
    Watermarks,
)
from futures_algo.broker.outcomes import Outcome
from futures_algo.broker.requests import OrderRequest, checked_price, checked_quantity, dated_instrument
from futures_algo.core.contracts import Contract
from futures_algo.core.types import InputError
from futures_algo.crosstrade.http import (
    BASE_URL,
    TIMEOUT,
    Bearer,
    Blocking,
    Core,
    Suspending,
    Token,
    checked_base_url,
)
from futures_algo.crosstrade.parsing import (
    matching_account,
    read_accounts,
    read_bars,
    read_closed,
    read_executions,
    read_ids,
    read_names,
    read_order,
    read_order_id,
    read_orders,
    read_positions,
    read_quote,
    read_quotes,
    read_snapshot,
    read_state,
    read_strategy_id,
    read_templates,
    read_watermarks,
)
from futures_algo.crosstrade.rate_limit import Priority, TokenBucket, shared_bucket

if TYPE_CHECKING:
    from futures_algo.crosstrade.stream import MarketStream


_T = TypeVar("_T")


def _segment(text: str) -> str:
    """One path segment, URL-encoded; an empty or dotted one would turn `/orders/<id>/cancel` into `/orders/cancel`,
    which cancels everything."""
    if not str(text).strip(". "):
        raise InputError("account or id", text, "must not be empty or only dots", "pass the id the broker answered")
    return quote(str(text), safe="")


class CrossTradeClient:
    "NinjaTrader 8 through CrossTrade. Queries return models or raise; mutations are sent once and return an `Outcome`."

    _transport: Any = Blocking

    def __init__(
        self,
        token: Any = None,  # text or SecretStr; None reads XTRADE_TOKEN or CROSSTRADE_API_KEY
        base_url: str | None = None,  # None: CROSSTRADE_BASE_URL, else https://app.crosstrade.io/v1/api
        account: str | None = None,  # NT8 account Name, for calls that name none
        *,
        headers: "Mapping[str, str] | Callable[[], Mapping[str, str]] | None" = None,  # added to each request
        rate: float = 3.0,  # requests a second, the broker's limit; math.inf towards a paper broker
        burst: int = 20,  # requests at once
        bucket: TokenBucket | None = None,  # instead of this process's bucket for the token
        patience: float = 5.0,  # seconds an entry may wait for the rate limit; exits and reads wait up to 60
        attempts: int = 3,  # how often a query is asked
        timeout: "httpx.Timeout | float" = TIMEOUT,
        transport: Any = None,  # an httpx transport, the seam for tests
    ):
        token = Token.of(token)
        url = checked_base_url(base_url or os.environ.get("CROSSTRADE_BASE_URL") or BASE_URL)
        self.account, self.patience, self.attempts = account, patience, attempts
        secure = url.startswith(
            "https"
        )  # plain http is this machine only: no proxy from the environment, no certificates to load
        http = self._transport(
            auth=Bearer(token),
            timeout=timeout,
            transport=transport,
            trust_env=secure and transport is None,
            verify=secure,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            limits=httpx.Limits(keepalive_expiry=30.0),
        )
        self._core = Core(http, token, url, bucket or shared_bucket((token.fingerprint(), url), rate, burst), headers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r}, account={self.account!r})"

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        return self._core.base_url

    def close(self) -> None:
        "Close the connections; the client is done."
        return self._drive(self._core.transport.close())

    def before_request(self, call: Callable[[], None]) -> None:
        "Have this called before each request: a sign of life from who may have to wait for the answer."
        self._core.before = call

    def set_stop_timeout(self, seconds: float) -> None:
        "Wait at most so long for each answer from now on: who stops must not hang on a broker that does."
        self._core.transport.set_stop_timeout(seconds)

    def _drive(self, work: Coroutine[Any, Any, _T]) -> _T:
        "Run the core to its end in this thread."
        try:
            work.send(None)
        except StopIteration as done:
            return done.value
        raise RuntimeError("the blocking transport suspended")

    def _path(self, account: str | None, rest: str = "", **parts: str) -> str:
        "A path under an account, its parts URL-encoded."
        name = account or self.account
        if not name:
            raise InputError("account", account, "must be named", "pass account=... or give the client one")
        return f"/accounts/{_segment(name)}{rest.format(**{key: _segment(value) for key, value in parts.items()})}"

    def _ask(self, path: str, parse: Callable[[Any], _T], **params: Any) -> _T:
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in params.items() if value is not None)
        return self._drive(
            self._core.query("GET", f"{path}?{query}" if query else path, None, parse, self.attempts, 60.0)
        )

    def _do(
        self,
        path: str,
        parse: Callable[[Any], _T],
        body: Mapping | None = None,
        urgent: bool = True,
        method: str = "POST",
    ) -> Outcome[_T]:
        body = {name: value for name, value in (body or {}).items() if value is not None}
        priority, patience = (Priority.EXIT, 60.0) if urgent else (Priority.ENTRY, self.patience)
        return self._drive(self._core.mutate(method, path, body, parse, priority, patience))

    # accounts

    def accounts(self) -> list[Account]:
        "Every account NinjaTrader knows."
        return self._ask("/accounts", read_accounts)

    def get_accounts(self) -> list[str]:
        "The names of the accounts: ['Sim101']."
        return self._ask("/accounts", read_names)

    def get_account(self, account: str | None = None) -> Account:
        "One account with its cash, margin and profit."
        return self._ask(self._path(account), Account.parse)

    def check_account(self, account: str | None = None) -> str:
        "The account's Name as NinjaTrader writes it; a display name or an unknown name is refused with what was meant."
        wanted = account or self.account or ""
        return self._ask("/accounts", lambda payload: matching_account(read_accounts(payload), wanted))

    def get_snapshot(self) -> list[AccountSnapshot]:
        "Every account with its positions, in one request."
        return self._ask("/accounts/snapshot", read_snapshot)

    def get_watermarks(self, account: str | None = None) -> Watermarks:
        "The day's high-water marks; answered even when NinjaTrader is down."
        return self._ask(self._path(account, "/watermarks"), read_watermarks)

    # positions

    def get_positions(self, account: str | None = None) -> list[Position]:
        "Open positions of an account; of all accounts when neither the call nor the client names one."
        if not (account or self.account):
            return self._ask("/positions", read_positions)
        return self._ask(self._path(account, "/positions"), read_positions)

    def get_position(self, instrument: "str | Contract", account: str | None = None) -> Position:
        "The position in one contract; `NotFound` when the broker says there is none."
        return self._ask(self._path(account, "/position"), Position.parse, instrument=dated_instrument(instrument))

    def close_position(
        self,
        instrument: "str | Contract",
        quantity: int | None = None,  # contracts; the whole position when neither is given
        percent: float | None = None,  # 0..1, rounded up by the broker
        account: str | None = None,
    ) -> Outcome[list[Position]]:
        """Close a position at the market, or part of it; a partial close leaves working stops and targets at their old
        size."""
        if percent is not None and not 0 < percent <= 1:
            raise InputError("percent", percent, "must be above 0 and at most 1", "0.5 closes half")
        quantity = None if quantity is None else checked_quantity(quantity)
        return self._do(
            self._path(account, "/positions/close"),
            read_closed,
            {"instrument": dated_instrument(instrument), "quantity": quantity, "percent": percent},
        )

    def flatten(
        self, instrument: "str | Contract | None" = None, account: str | None = None
    ) -> Outcome[list[Position]]:
        "Close positions and cancel their orders: of one contract, or of the whole account."
        instrument = None if instrument is None else dated_instrument(instrument)
        return self._do(self._path(account, "/positions/flatten"), read_closed, {"instrument": instrument})

    def flatten_everything(self, *, every_account: bool) -> Outcome[list[Position]]:
        "Close every position and order of every account; `every_account=True` says that this is meant."
        if every_account is not True:
            raise InputError("every_account", every_account, "must be True", "flatten(...) closes one account")
        return self._do("/positions/flatten", read_closed)

    def reverse(self, instrument: "str | Contract", account: str | None = None) -> Outcome[str]:
        "Turn a position round at the market; the value is the order id."
        return self._do(
            self._path(account, "/positions/reverse"), read_order_id, {"instrument": dated_instrument(instrument)}
        )

    def reverse_position(self, order: OrderRequest, account: str | None = None) -> Outcome[str]:
        "Flatten, wait at most 5 s for it, then place the order *whether or not* the position is gone."
        return self._do(self._path(account, "/positions/reverseposition"), read_order_id, order.body())

    # orders

    def get_orders(self, account: str | None = None, *, active_only: bool | None = None) -> list[Order]:
        "Orders of an account; `active_only=False` includes the ended ones."
        active = None if active_only is None else str(active_only).lower()
        return self._ask(self._path(account, "/orders"), read_orders, activeOnly=active)

    def get_all_orders(self) -> list[Order]:
        "Orders of every account."
        return self._ask("/orders", read_orders)

    def get_atm_templates(self) -> list[str]:
        "Names of the ATM templates that an order's `strategy` may name."
        return self._ask("/atm-templates", read_templates)

    def get_order(self, order_id: str, account: str | None = None) -> Order:
        "One order, by NinjaTrader's id or ours."
        return self._ask(self._path(account, "/orders/{id}", id=order_id), read_order)

    def get_order_status(self, order_id: str, account: str | None = None) -> str:
        "One of `ORDER_STATES`."
        return self._ask(self._path(account, "/orders/{id}/status", id=order_id), read_state)

    def get_order_lifecycle(
        self, order_id: str, account: str | None = None, *, fills: bool = True, limit: int = 200
    ) -> Lifecycle:
        "What the add-on recorded about an order; it keeps this for 90 days."
        return self._ask(
            self._path(account, "/orders/{id}/lifecycle", id=order_id),
            Lifecycle.parse,
            includeFills=str(fills).lower(),
            limit=limit,
        )

    def place_order(
        self,
        order: OrderRequest,
        account: str | None = None,
        *,
        urgent: bool = False,  # an exit: goes before everything that waits
    ) -> Outcome[str]:
        "Place an order; the value is the id the broker answered, which need not be the one given."
        return self._do(self._path(account, "/orders/place"), read_order_id, order.body(), urgent)

    def flat_place(self, order: OrderRequest, account: str | None = None) -> Outcome[str]:
        "Flatten the instrument, then place the order."
        return self._do(self._path(account, "/orders/flatplace"), read_order_id, order.body())

    def replace_order(self, order_id: str, order: OrderRequest, account: str | None = None) -> Outcome[str]:
        "Cancel an order and place another; the value is the new id."
        return self._do(self._path(account, "/orders/{id}/replace", id=order_id), read_order_id, order.body())

    def change_order(
        self,
        order_id: str,
        *,
        quantity: int | None = None,  # contracts
        limit_price: float | None = None,  # points
        stop_price: float | None = None,  # points
        strategy_id: str | None = None,  # ATM strategy the order belongs to
        account: str | None = None,
    ) -> Outcome[str]:
        "Change a working order in place."
        changes = {
            "quantity": None if quantity is None else checked_quantity(quantity),
            "limitPrice": limit_price,
            "stopPrice": stop_price,
            "strategyId": strategy_id,
        }
        if not any(value is not None for value in changes.values()):
            raise InputError("change", {}, "must change something", "give a quantity or a price")
        for name in ("limitPrice", "stopPrice"):
            if changes[name] is not None:
                checked_price(name, changes[name], "")
        return self._do(self._path(account, "/orders/{id}/change", id=order_id), read_order_id, changes, method="PUT")

    def cancel_order(self, order_id: str, account: str | None = None) -> Outcome[str]:
        "Cancel one order; `is_already_ended` tells a late cancel from a failed one."
        return self._do(self._path(account, "/orders/{id}/cancel", id=order_id), read_order_id)

    def cancel_orders(self, instrument: "str | Contract | None", account: str | None = None) -> Outcome[list[str]]:
        "Cancel the orders of one contract, or with `None` every order of the account, protective ones included."
        instrument = None if instrument is None else dated_instrument(instrument)
        return self._do(self._path(account, "/orders/cancel"), read_ids, {"instrument": instrument})

    def cancel_all_orders(self) -> Outcome[list[str]]:
        "Cancel every order of every account."
        return self._do("/orders/cancelall", read_ids)

    def cancel_and_bracket(
        self,
        instrument: "str | Contract",
        action: str,  # BUY when the position to protect is long
        quantity: int,  # contracts; the add-on clamps it to the position
        *,
        take_profit: float | None = None,  # points
        stop_loss: float | None = None,  # points
        account: str | None = None,
        names: tuple[str, str] = ("takeProfit", "stopLoss"),  # the vendor's page does not show the field names
    ) -> Outcome[list[str]]:
        """Cancel what works on the instrument, then place target and stop as an OCO pair; without a position the pair
        becomes an *entry*."""
        if take_profit is None and stop_loss is None:
            raise InputError("bracket", None, "must have a take_profit or a stop_loss", "give at least one price")
        body: dict[str, Any] = {
            "instrument": dated_instrument(instrument),
            "action": action.upper(),
            "quantity": checked_quantity(quantity),
        }
        for name, price in zip(names, (take_profit, stop_loss)):
            if price is not None:
                body[name] = checked_price(name, price, body["instrument"])
        return self._do(self._path(account, "/orders/cancel_and_bracket"), read_ids, body)

    def close_strategy(self, strategy_id: str, account: str | None = None) -> Outcome[str]:
        "Close an ATM strategy with its position and orders."
        return self._do(self._path(account, "/strategies/{id}/close", id=strategy_id), read_strategy_id)

    # executions and market data

    def get_executions(self, account: str | None = None, *, lookback: int = 900) -> list[Execution]:
        "Fills of the last `lookback` seconds; the broker's longest is 900, older ones are only in the lifecycle."
        if not 1 <= lookback <= 900:
            raise InputError(
                "lookback", lookback, "must be 1 to 900 seconds", "older fills are in the order's lifecycle"
            )
        return self._ask(self._path(account, "/executions"), read_executions, lookbackTime=lookback)

    def get_execution(self, execution_id: str, account: str | None = None) -> Execution:
        "One fill."
        return self._ask(self._path(account, "/executions/{id}", id=execution_id), Execution.parse)

    def get_quote(self, instrument: "str | Contract") -> Quote:
        "Bid, ask and last of one instrument; a root such as 'ES' is allowed here and answers with the front month."
        return self._ask("/market/quote", read_quote, instrument=_any_instrument(instrument))

    def get_quotes(self, instruments: "Iterable[str | Contract]") -> list[Quote]:
        "Several quotes in one request."
        return self._ask("/market/quote", read_quotes, instrument=",".join(map(_any_instrument, instruments)))

    def get_bars(
        self,
        instrument: "str | Contract",
        period_type: str = "minute",  # minute, day, week, month, year
        period: int = 1,
        *,
        days_back: int = 1,
        limit: int = 5000,  # newest bars
    ) -> list[PriceBar]:
        "NinjaTrader's own history; may have gaps."
        body = {
            "instrument": _any_instrument(instrument),
            "periodType": period_type,
            "period": period,
            "daysBack": days_back,
            "limit": limit,
        }
        return self._drive(self._core.query("POST", "/market/bars", body, read_bars, self.attempts, 60.0))

    def get_market_info(self, instrument: "str | Contract") -> MarketInfo:
        "Whether the market is open, and until when."
        return self._ask("/market/info", MarketInfo.parse, instrument=_any_instrument(instrument))


def _any_instrument(instrument: "str | Contract") -> str:
    return instrument.ninjatrader if isinstance(instrument, Contract) else instrument


class AsyncCrossTradeClient(CrossTradeClient):
    "The same client with every call awaitable."

    _transport = Suspending

    def _drive(self, work: Coroutine[Any, Any, _T]) -> Any:
        return work

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error) -> None:
        await self.close()  # type: ignore[func-returns-value, misc]  # awaitable here, as every call is


class MarketDataManager:
    """Current quotes from NinjaTrader: pushed ones while they are fresh, polled ones otherwise, and no more polls than
    needed."""

    def __init__(
        self,
        client: CrossTradeClient,
        stream: "MarketStream | None" = None,
        *,
        max_age: float = 1.0,  # seconds a quote may be old before it is asked for again
    ):
        self.client, self.stream, self.max_age = client, stream, max_age
        self._polled: dict[str, tuple[Quote, float]] = {}

    def get_quote(self, instrument: "str | Contract") -> Quote:
        "Bid, ask and last; a root such as 'ES' answers with the front month."
        name = instrument.ninjatrader if isinstance(instrument, Contract) else instrument
        pushed = self.stream.quote(name, self.max_age) if self.stream and " " in name else None
        return pushed or self._poll(name)

    def _poll(self, name: str) -> Quote:
        quote, asked = self._polled.get(name, (None, 0.0))
        if quote is None or time.monotonic() - asked > self.max_age:
            quote = self.client.get_quote(name)
            self._polled[name] = quote, time.monotonic()
        return quote

    def get_quotes(self, instruments: "Iterable[str | Contract]") -> dict[str, Quote]:
        "Several quotes in one request, by the name the broker gives the contract."
        return {quote.instrument: quote for quote in self.client.get_quotes(instruments)}

    def get_last_price(self, instrument: "str | Contract") -> float:
        "The last traded price, points."
        quote = self.get_quote(instrument)
        if quote.last is None:
            raise UnreadableAnswer(f"the quote of {quote.instrument} has no last price")
        return quote.last

    def get_front_contract(self, root: str) -> Contract:
        "The dated contract NinjaTrader means by a root now; pin it while a position is open."
        return Contract.parse(self.client.get_quote(root).instrument)

    def get_bars(self, instrument: "str | Contract", minutes: int = 1, days_back: int = 1) -> list[PriceBar]:
        "NinjaTrader's minute bars; Databento's are what strategies run on."
        return self.client.get_bars(instrument, "minute", minutes, days_back=days_back)

    def get_market_info(self, instrument: "str | Contract") -> MarketInfo:
        "Whether the market is open, and until when."
        return self.client.get_market_info(instrument)

    def is_market_open(self, instrument: "str | Contract") -> bool:
        return self.get_market_info(instrument).is_open
