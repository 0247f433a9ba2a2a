"What NinjaTrader has heard of the truth: fills whose event is still on its way are left out."

from collections.abc import Callable, Iterable

from futures_algo.chaos.instruments import Instruments
from futures_algo.chaos.records import TERMINAL, Execution, Order, Position
from futures_algo.chaos.settings import Settings


class Hearing:
    "The views of a book; the book holds the state."

    now: Callable[[], int]
    settings: Settings
    instruments: Instruments
    executions: list[Execution]
    positions: dict[tuple[str, str], Position]
    _late: list[Execution]  # with an event on its way

    def heard(self, execution: Execution) -> bool:
        return execution.shown_ns is None or execution.shown_ns <= self.now()

    def unheard(self) -> list[Execution]:
        self._late = [execution for execution in self._late if not self.heard(execution)]
        return self._late

    def shown_position(self, account: str, instrument: str) -> Position:
        "Without the fills whose event is still on its way."
        true = self.positions.get((account, instrument), Position(account, instrument))
        if not any(one.order.account == account and one.order.instrument == instrument for one in self.unheard()):
            return true
        return self._replayed(account, instrument, filter(self.heard, self.executions))

    def _replayed(self, account: str, instrument: str, executions: Iterable[Execution]) -> Position:
        position = Position(account, instrument)
        value = self.instruments.product(instrument).point_value
        for one in executions:
            if one.order.account == account and one.order.instrument == instrument:
                position.apply(one.order.sign * one.quantity, one.price, value)
        return position

    def shown_fill(self, order: Order) -> tuple[str, int, float]:
        "(state, filled, average) of the order as heard so far."
        missing = [one for one in self.unheard() if one.order is order]
        filled = order.filled - sum(one.quantity for one in missing)
        if not missing:
            return order.state, order.filled, order.average_fill
        spent = order.average_fill * order.filled - sum(one.price * one.quantity for one in missing)
        average = spent / filled if filled else 0.0
        if order.state not in ("Filled", "PartFilled"):
            return order.state, filled, average
        return ("PartFilled" if filled else self.rests_as(order)), filled, average

    def shown_ended(self, order: Order) -> bool:
        return self.shown_fill(order)[0] in TERMINAL

    def rests_as(self, order: Order) -> str:
        if order.type in ("StopMarket", "StopLimit") and not order.triggered:
            return self.settings.stop_rests_as
        return "Accepted" if order.type == "Market" else "Working"
