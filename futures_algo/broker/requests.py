"""What an order asks for, checked before the wire."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from futures_algo.core.contracts import PRODUCTS, Contract
from futures_algo.core.types import InputError

ORDER_TYPES = ("MARKET", "LIMIT", "STOPMARKET", "STOPLIMIT")
_NEEDS = {
    "MARKET": (),
    "LIMIT": ("limit_price",),
    "STOPMARKET": ("stop_price",),
    "STOPLIMIT": ("limit_price", "stop_price"),
}


def dated_instrument(
    instrument: str | Contract,  # any spelling of a dated contract
) -> str:  # NinjaTrader's: "ES 12-25"
    "NinjaTrader's name of a dated contract; a root or a continuous symbol is refused."
    if isinstance(instrument, Contract):
        return instrument.ninjatrader
    try:
        return Contract.parse(instrument).ninjatrader
    except (InputError, AttributeError):
        raise InputError(
            "instrument",
            instrument,
            "must be a dated contract",
            "name the month the data came from, as 'ES 12-25' or 'ESZ5'",
        ) from None


def checked_quantity(quantity: Any) -> int:
    "A positive whole number of contracts."
    if (
        isinstance(quantity, bool)
        or not isinstance(quantity, (int, float))
        or not math.isfinite(quantity)
        or quantity != int(quantity)
        or quantity < 1
    ):
        raise InputError(
            "order quantity",
            quantity,
            "must be a whole number of contracts, at least 1",
            "size the order before sending it",
        )
    return int(quantity)


def checked_price(name: str, price: Any, instrument: Any) -> float:
    "A finite price on the product's tick grid; nothing is rounded silently."
    if isinstance(price, bool) or not isinstance(price, (int, float)) or not math.isfinite(price):
        raise InputError(name, price, "must be a finite number of points", "give the price in points")
    product = PRODUCTS.get(instrument.split(" ")[0])
    if product:
        product.to_ticks(price)
    return float(price)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    "An order to place, checked when it is made."

    instrument: str | Contract  # dated contract, any spelling; kept as NinjaTrader's
    action: str  # BUY, SELL
    quantity: int  # contracts
    order_type: str = "MARKET"  # one of `ORDER_TYPES`
    limit_price: float | None = None  # points, for LIMIT and STOPLIMIT
    stop_price: float | None = None  # points, for STOPMARKET and STOPLIMIT
    time_in_force: str = "DAY"  # DAY, GTC
    order_id: str | None = None  # ours; unique for ever, NinjaTrader burns used ids
    oco_id: str | None = None  # group of which one fill cancels the rest; unique for ever
    strategy: str | None = None  # ATM template that NinjaTrader attaches
    require_market_position: Iterable[str] = ()  # of flat, long, short; unmet: nothing is placed
    max_positions: int | None = None  # refuse when the account holds this many positions already

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("instrument", dated_instrument(self.instrument))
        put("quantity", checked_quantity(self.quantity))
        for name, known in (
            ("action", ("BUY", "SELL")),
            ("order_type", ORDER_TYPES),
            ("time_in_force", ("DAY", "GTC")),
        ):
            put(name, _one_of(name, getattr(self, name), known))
        wanted = self.require_market_position
        put("require_market_position", tuple(wanted.split(",")) if isinstance(wanted, str) else tuple(wanted))
        for side in self.require_market_position:
            _one_of("require_market_position", side, ("FLAT", "LONG", "SHORT"))
        for name in ("limit_price", "stop_price"):
            self._check_price(name)

    def _check_price(self, name: str) -> None:
        price, needed = getattr(self, name), name in _NEEDS[self.order_type]
        if needed and price is None:
            raise InputError(name, None, f"must be given for a {self.order_type} order", "name the price in points")
        if not needed and price is not None:
            raise InputError(
                name, price, f"must be absent from a {self.order_type} order", "change the order type or leave it out"
            )
        if needed:
            object.__setattr__(self, name, checked_price(name, price, str(self.instrument)))

    def body(self) -> dict[str, Any]:
        "The JSON that CrossTrade takes."
        names = {
            "order_type": "orderType",
            "limit_price": "limitPrice",
            "stop_price": "stopPrice",
            "time_in_force": "timeInForce",
            "order_id": "orderId",
            "oco_id": "ocoId",
            "max_positions": "maxPositions",
        }
        values = {
            names.get(name, name): getattr(self, name) for name in self.__slots__ if name != "require_market_position"
        }
        values["requireMarketPosition"] = ",".join(self.require_market_position).lower() or None
        return {name: value for name, value in values.items() if value is not None}


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value.strip().upper() not in known:
        raise InputError(name.replace("_", " "), value, f"must be one of {', '.join(known)}")
    return value.strip().upper()
