"Prices and what they fill: a caller's callable, a set price, or a touched range."

from collections.abc import Callable

from futures_algo.chaos.book import Book
from futures_algo.chaos.clock import SECOND
from futures_algo.chaos.records import Order

PriceOf = Callable[[str], float | None]  # dated instrument -> points, None where there is no price


class Market:
    "Market orders fill at the current price; limits and stops rest and fill when touched, stops before limits."

    def __init__(self, book: Book, price: PriceOf | None) -> None:
        self.book = book
        self._callable = price
        self.last: dict[str, float] = {}
        self.ranges: dict[str, tuple[float, float]] = {}  # high, low seen
        self._passed: dict[str, float] = {}  # the last price resting orders were tried at
        book.on_rest = self.look
        book.price_later = self._later

    def price(self, instrument: str) -> float | None:
        "The current price in points."
        if self._callable and (price := self._callable(instrument)) is not None:
            self.last[instrument] = price
            self.book.instruments.learn(instrument)
        return self.last.get(instrument)

    def set_price(self, instrument: str, price: float) -> None:
        "A trade at `price`, however far from the last: a stop passed over fills here, not at its price."
        self._pass(instrument, price, price, price)

    def touch(self, instrument: str, high: float, low: float, last: float | None = None) -> None:
        "Prices ran through all of [low, high]; `last` ends it (default: the old price, drawn into the range)."
        if low > high:
            raise ValueError(f"touch {instrument}: low {low} is above high {high}")
        old = self.last.get(instrument, (high + low) / 2)
        self._pass(instrument, high, low, min(max(old, low), high) if last is None else last)

    def poll(self) -> None:
        "Asks the caller's callable for every instrument with live orders."
        if self._callable is None:
            return
        for instrument in [name for name, orders in self.book.live.items() if orders]:
            price = self.price(instrument)
            if price is not None and price != self._passed.get(instrument):
                self._pass(instrument, price, price, price)

    def _pass(self, instrument: str, high: float, low: float, last: float) -> None:
        self.book.instruments.learn(instrument)
        self.last[instrument] = self._passed[instrument] = last
        old = self.ranges.get(instrument, (high, low))
        self.ranges[instrument] = (max(old[0], high), min(old[1], low))
        self.book.log.note("price", instrument=instrument, high=high, low=low, last=last)
        for order in sorted(self.book.live[instrument].values(), key=lambda one: (one.type in ("Limit",), one.number)):
            self._try(order, high, low)

    def look(self, order: Order) -> None:
        "What has just come to rest against the current price."
        price = self.price(order.instrument)
        if order.type == "Market":
            order.due_ns = self.book.now() + round(self.book.settings.fill_seconds * SECOND)
            return self.book.later(self.book.settings.fill_seconds, lambda: self._at_market(order))
        if price is None:
            return
        if self._wrong_side(order, price) and self.book.settings.wrong_side_stop == "reject":
            return self.book.reject(order, "Stop price is on the wrong side of the market")
        self._try(order, price, price)

    def _later(self, order: Order, price: float) -> float:
        "A fill put off happens at the price of its moment, a limit's at its own."
        now = self.price(order.instrument)
        return price if now is None or order.type in ("Limit", "StopLimit") else self._slipped(order, now)

    def _at_market(self, order: Order) -> None:
        price = self.price(order.instrument)
        if price is not None:
            self._try(order, price, price)

    def _wrong_side(self, order: Order, price: float) -> bool:
        return (
            order.type in ("StopMarket", "StopLimit")
            and not order.triggered
            and order.sign * (price - order.stop_price) >= 0
        )

    def _try(self, order: Order, high: float, low: float) -> None:
        if order.terminal or order.inert or not self._may_fill(order):
            return
        price = self._fill_price(order, high, low)
        if price is not None:
            self.book.execute(order, price)

    def _may_fill(self, order: Order) -> bool:
        if not self.book.market_open or self.book.now() < order.due_ns:
            return False
        return order.state not in ("Initialized", "Submitted") or "stuck_submitted" in order.quirks

    def _fill_price(self, order: Order, high: float, low: float) -> float | None:
        if order.type == "Market":
            return self._slipped(order, self.last[order.instrument])
        if order.type == "Limit" or order.triggered:
            return self._limit(order, high, low)
        reached = high >= order.stop_price if order.sign > 0 else low <= order.stop_price
        if not reached:
            return None
        price = max(order.stop_price, low) if order.sign > 0 else min(order.stop_price, high)
        return self._slipped(order, price) if order.type == "StopMarket" else self._triggered(order, price)

    def _limit(self, order: Order, high: float, low: float) -> float | None:
        limit = order.limit_price
        beyond = (limit - low) if order.sign > 0 else (high - limit)
        if beyond < 0 or (beyond == 0 and self.book.settings.limit_through):
            return None
        return min(limit, high) if order.sign > 0 else max(limit, low)

    def _triggered(self, order: Order, price: float) -> float | None:
        order.triggered = True
        self.book.to(order, self.book.resting_state(order))
        return price if order.sign * (order.limit_price - price) >= 0 else None

    def _slipped(self, order: Order, price: float) -> float:
        tick = self.book.instruments.product(order.instrument).tick
        return price + order.sign * self.book.settings.slip_ticks * tick
