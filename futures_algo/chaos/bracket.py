"Pairs of target and stop: cancel_and_bracket, and what an ATM template places after a fill."

from collections.abc import Callable
from typing import Any

from futures_algo.chaos import orderform as form
from futures_algo.chaos.book import NO_HITS, Book
from futures_algo.chaos.desk import Body, Desk, Wait
from futures_algo.chaos.faults import Hits
from futures_algo.chaos.records import Order, Refusal


class Brackets:
    "`templates` maps an ATM template's name to (target, stop) in ticks from the fill."

    def __init__(self, book: Book, desk: Desk) -> None:
        self.book = book
        self.desk = desk
        self.templates: dict[str, tuple[int, int]] = {}
        book.on_fill = self._atm

    def cancel_and_bracket(self, account: str, body: Body, hits: Hits) -> Wait:
        "Cancels the instrument's orders, waits the delay, places the pair clamped to the size then held."
        name, instrument = self.book.account(account).name, form.instrument(body, self.desk.dated)
        action, size = form.choice(body, "action", form.ACTIONS), form.quantity(body)
        prices = self._prices(body)
        held = self.desk.position(name, instrument).quantity
        if held and (held > 0) != (action == "Buy"):
            raise Refusal(f"Action {action} opposes the open position")
        for order in self.book.working(name, instrument):
            self.book.cancel(order, hits)
        return Wait(
            lambda: False, self._delay(body), self._placer(name, instrument, action, size, prices, bool(held), hits)
        )

    def _prices(self, body: Body) -> tuple[float | None, float | None]:
        keys = self.book.settings.bracket_fields[:2]
        target, stop = (form.price(body, key) if body.get(key) is not None else None for key in keys)
        if target is None and stop is None:
            raise Refusal(f"Invalid request: {keys[0]} or {keys[1]} required")
        return target, stop

    def _delay(self, body: Body) -> float:
        "Seconds of the clock, at most 30; the reference knows neither the field's name nor its unit."
        given = body.get(self.book.settings.bracket_fields[2])
        return self.book.settings.bracket_delay if given is None else min(30.0, max(0.0, form.price({"d": given}, "d")))

    def _placer(
        self,
        account: str,
        instrument: str,
        action: str,
        size: int,
        prices: tuple[float | None, float | None],
        held: bool,
        hits: Hits,
    ) -> Callable[[], Body]:
        def place() -> Body:
            now = abs(self.desk.position(account, instrument).quantity)
            if held and not now:
                raise Refusal("Position went flat, bracket aborted")
            legs = self._legs(account, instrument, action, min(size, now) if held else size, prices, hits)
            return self._answer(legs)

        return place

    def _legs(
        self,
        account: str,
        instrument: str,
        action: str,
        size: int,
        prices: tuple[float | None, float | None],
        hits: Hits,
    ) -> list[Order]:
        "The exits of a position in `action`'s direction, sharing one OCO group."
        exit_action, group = "Sell" if action == "Buy" else "Buy", self.book.new_id()
        common: dict[str, Any] = {"tif": "Gtc", "oco_id": group, "origin": "oco"}
        target, stop = prices
        legs = []
        if target is not None:
            legs.append(
                Order(0, "", None, account, instrument, exit_action, "Limit", size, target, name="Target1", **common)
            )
        if stop is not None:
            legs.append(
                Order(
                    0, "", None, account, instrument, exit_action, "StopMarket", size, 0.0, stop, name="Stop1", **common
                )
            )
        kept = self._kept(legs, hits)
        for leg in legs:
            if leg in kept:
                self.book.submit(leg, hits)
            else:
                leg.id = self.book.new_id()  # answered, never placed
        return legs

    def _kept(self, legs: list[Order], hits: Hits) -> list[Order]:
        if hits.take("bracket_dropped") is not None:
            return []
        if len(legs) == 2 and (half := hits.take("bracket_half")) is not None:
            return legs[:1] if half["keep"] == "target" else legs[1:]
        return legs

    def _answer(self, legs: list[Order]) -> Body:
        how = self.book.settings.bracket_answer
        if how == "bare":
            return {"success": True}
        if how == "ids":
            return {"orderIds": [leg.id for leg in legs], "success": True}
        named: dict[str, Any] = {"Limit": "takeProfitOrderId", "StopMarket": "stopLossOrderId"}
        return {named[leg.type]: leg.id for leg in legs} | {"success": True}

    def _atm(self, order: Order) -> None:
        if order.strategy not in self.templates or order.remaining:
            return
        target, stop = self.templates[order.strategy]
        tick = self.book.instruments.product(order.instrument).tick * order.sign
        prices = (order.average_fill + target * tick, order.average_fill - stop * tick)
        self._legs(order.account, order.instrument, order.action, order.filled, prices, NO_HITS)
