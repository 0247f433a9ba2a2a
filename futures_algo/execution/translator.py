"""A signal becomes an order request: checked, sized, its contract dated, its id derived."""

import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Any

from futures_algo.broker.requests import OrderRequest, checked_quantity
from futures_algo.core.contracts import Contract, product
from futures_algo.core.named import did_you_mean
from futures_algo.core.types import ACTIONS, SECOND, InputError, Signal, content_hash, signal_id, to_nanos
from futures_algo.execution.orders import instrument_of, order_id


def risk_size(
    budget_usd: float,  # what one trade may lose
    stop_points: float,  # distance of the stop
    symbol: str,  # any spelling; its own point value counts, so a micro gets ten times the contracts
) -> int:  # contracts
    "Contracts whose loss at the stop stays within the budget."
    if not (math.isfinite(stop_points) and stop_points > 0):
        raise InputError(
            "stop distance", stop_points, "must be above 0 to size by risk", "declare stop_ticks, or size by contracts"
        )
    if not budget_usd > 0:
        return 0
    return math.floor(budget_usd / (stop_points * product(symbol).point_value) * (1 + 1e-12))


SIDES = {"LONG_ENTRY": "BUY", "LONG_EXIT": "SELL", "SHORT_ENTRY": "SELL", "SHORT_EXIT": "BUY"}
assert set(SIDES) == set(ACTIONS)


class SignalTranslator:
    "Signals to order requests."

    def __init__(
        self,
        # strategy -> dollars one trade may lose; a client standing here is taken as `client`
        risk_usd: Any = None,
        stop_points: (
            Mapping[tuple[str, str], float] | None
        ) = None,  # (strategy, symbol) -> distance of its stop, points
        *,
        risk_percent: (
            Mapping[str, float] | None
        ) = None,  # strategy -> percent of the account's value one trade may lose
        account_value: Callable[[], float | None] = lambda: (
            None
        ),  # net liquidation, USD; None while the broker has not said
        client: Any = None,  # CrossTradeClient, for `check_existing_position`
        limit_entries: bool = False,  # enter with limits at the signal's price; exits stay market orders
    ):
        if hasattr(risk_usd, "get_positions"):
            risk_usd, client = None, risk_usd
        self.client, self.limit_entries = client, limit_entries
        self.risk_usd, self.risk_percent, self.account_value = risk_usd or {}, risk_percent or {}, account_value
        self.stop_points = stop_points or {}

    def validate(self, signal: "Signal | Mapping[str, Any]") -> Signal:
        "A `Signal` from either form; what is missing or wrong is named."
        if isinstance(signal, Signal):
            return self._priced(signal)
        action = signal.get("signal_type", signal.get("action"))
        instrument = signal.get("instrument") or signal.get("contract")
        if action not in SIDES:
            raise InputError("signal_type", action, "must be an action", did_you_mean(str(action), SIDES))
        if not instrument:
            raise InputError("instrument", instrument, "must name the dated contract", "add it, as 'ES 12-25'")
        when, price = _moment(signal.get("timestamp", signal.get("bar_end"))), _price(signal.get("price"))
        contract = Contract.parse(instrument, near=dt.datetime.fromtimestamp(when // SECOND, dt.UTC).date())
        name, quantity = str(signal.get("strategy", "manual")), checked_quantity(signal.get("quantity", 1))
        identity = signal_id(name, content_hash({"price": price}), contract.code, when, action)
        symbol, code = f"{contract.root}.c.0", contract.long_code
        return self._priced(Signal(identity, name, symbol, code, action, when, "", price, "", "manual", quantity))

    def _priced(self, signal: Signal) -> Signal:
        "The signal, if it can be ordered as it should: a limit needs a price on the product's grid."
        if self.limit_entries and signal.is_entry:
            if not signal.price > 0:
                remedy = "give the price, or set use_market_orders to true"
                raise InputError("price", signal.price, "must be given to enter with a limit", remedy)
            product(signal.symbol).to_ticks(signal.price)
        return signal

    def budget(self, strategy: str) -> float | None:
        """Dollars one trade of a strategy may lose; None when it trades a fixed number of contracts, 0 while the
        account's value is not known."""
        if strategy in self.risk_usd:
            return float(self.risk_usd[strategy])
        if strategy not in self.risk_percent:
            return None
        return (self.account_value() or 0.0) * self.risk_percent[strategy] / 100

    def size(self, signal: Signal) -> int:
        "Contracts of an entry."
        budget = self.budget(signal.strategy)
        if budget is None:
            return checked_quantity(signal.quantity)
        key = signal.strategy, signal.symbol
        if key not in self.stop_points:
            raise InputError(
                "stop distance",
                None,
                f"must be declared for {signal.strategy} on {signal.symbol} to size by risk",
                "declare stop_ticks, or size by contracts",
            )
        return risk_size(budget, self.stop_points[key], signal.symbol)

    def request(
        self,
        signal: Signal,
        quantity: int,  # contracts
        attempt: int = 0,  # of an exit
        net: int = 0,  # signed contracts all strategies hold together; an exit of their side must find it so
    ) -> OrderRequest:
        """The order of a signal: at the market, or an entry's limit at its price. Its OCO id is a second mark by which
        a lost order is recognised. An exit asks the broker to refuse it once the position is gone, so that one that was
        lost and arrives late cannot open a position."""
        identity, closes = order_id(signal.id, attempt), not signal.is_entry and net * (1 if signal.is_long else -1) > 0
        limit = self.limit_entries and signal.is_entry
        held = "long" if signal.is_long else "short"
        return OrderRequest(
            instrument_of(signal.contract, signal.bar_end),
            SIDES[signal.action],
            quantity,
            "LIMIT" if limit else "MARKET",
            limit_price=signal.price if limit else None,
            order_id=identity,
            oco_id=f"oco-{identity}",
            require_market_position=(held,) if closes else (),
        )

    def exit_of(
        self,
        signal: Signal,  # an entry against what is held
        reason: str = "reversal",
    ) -> Signal:
        "The exit that must come before an entry to the other side."
        action = "SHORT_EXIT" if signal.is_long else "LONG_EXIT"
        identity = signal_id(
            signal.strategy, signal.config_hash or signal.id, signal.contract, signal.bar_end, action, signal.leg
        )
        return signal._replace(id=identity, action=action, reason=reason)

    def check_existing_position(
        self,
        instrument: str,  # dated contract, any spelling
        client: Any = None,  # CrossTradeClient; the translator's own when omitted
        account: str | None = None,
    ) -> int:  # signed contracts; 0 is flat
        "What the broker holds. A question that fails raises: unknown is not flat."
        broker, wanted = client or self.client, Contract.parse(instrument).ninjatrader
        if broker is None:
            raise InputError(
                "client",
                None,
                "must be there to ask the broker",
                "make SignalTranslator(client=CrossTradeClient()), or give the client here",
            )
        return sum(p.signed for p in broker.get_positions(account) if p.instrument == wanted)


def _moment(timestamp: Any) -> int:
    "ns UTC; a text without a zone is this computer's local time, which is what `datetime.now().isoformat()` means."
    if isinstance(timestamp, str):
        try:
            timestamp = dt.datetime.fromisoformat(timestamp)
        except ValueError:
            raise InputError(
                "timestamp", timestamp, "must be an ISO date and time", "write it as 2025-11-13T09:30:00-06:00"
            ) from None
    if isinstance(timestamp, dt.datetime) and timestamp.tzinfo is None:
        timestamp = timestamp.astimezone()
    if timestamp is None:
        raise InputError("timestamp", None, "must say when the signal was decided", "add datetime.now().isoformat()")
    return to_nanos(timestamp)


def _price(price: Any) -> float:
    "The reference price, 0 when none is given."
    if price is None:
        return 0.0
    if isinstance(price, bool) or not isinstance(price, (int, float)) or not math.isfinite(price):
        raise InputError("price", price, "must be a finite number of points", "give the price in points")
    return float(price)
