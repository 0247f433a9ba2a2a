"""The written contract of `broker.protocol`, tried on any implementation.

What each answer means, which calls may be repeated, and what a restart may ask.

```python
def test_my_broker_keeps_the_contract():
    broken = check_broker(MyBroker(...), Market("ES 12-25", move=lambda price: ...))
    assert not broken, "\\n".join(broken)
```
"""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from futures_algo.broker.models import Order
from futures_algo.broker.outcomes import Answered, NotFound, Outcome, QueryError, Refused
from futures_algo.broker.protocol import Broker
from futures_algo.broker.requests import OrderRequest
from futures_algo.core.types import InputError

PATIENCE = 5.0  # seconds a change may take to show


@dataclass(frozen=True)
class Market:
    "A market the kit may move; its account must be flat and nobody else's."

    instrument: str  # "ES 12-25"
    move: Callable[[float], None]  # trade at a price, points: resting orders that it touches fill
    price: float = 5000.0  # points, where it starts
    tick: float = 0.25  # points


class _Kit:
    "One run over one broker; a broken rule is a sentence."

    def __init__(self, broker: Broker, market: Market):
        self.broker, self.market = broker, market

    def id(self) -> str:
        return f"kit{secrets.token_hex(12)}"

    def held(self) -> int:
        rows = self.broker.get_positions()
        return sum(row.signed for row in rows if row.instrument == self.market.instrument)

    def order(self, order_id: str) -> Order | None:
        return next((row for row in self.broker.get_orders(active_only=False) if row.answers_to(order_id)), None)

    def state(self, order_id: str) -> str:
        row = self.order(order_id)
        return row.state if row else "not listed"

    def place(self, action: str, **more: object) -> tuple[str, Outcome[str]]:
        order_id = self.id()
        request = OrderRequest(self.market.instrument, action, 1, order_id=order_id, **more)  # type: ignore[arg-type]
        return order_id, self.broker.place_order(request)

    def executions(self, order_id: str) -> int:
        row = self.order(order_id)
        names = {order_id} | ({row.order_id, row.ninjatrader_id} if row else set())
        return len({one.execution_id for one in self.broker.get_executions() if {one.order_id, one.name} & names})

    # --- the rules; each yields what is broken

    def account(self) -> Iterator[str]:
        try:
            self.broker.check_account("no such account at all")
            yield "check_account took an unknown account; it must raise InputError or a QueryError"
        except (InputError, QueryError):
            pass
        if not self.broker.check_account():
            yield "check_account() must answer the account's name"

    def market_order(self) -> Iterator[str]:
        self.market.move(self.market.price)
        order_id, outcome = self.place("BUY")
        if not isinstance(outcome, Answered):
            yield f"a market order was {type(outcome).__name__}; it must be Answered"
            return
        if not _eventually(lambda: self.held() == 1):
            yield f"after buying one the position is {self.held():+d}; it must be +1"
        if self.state(order_id) != "Filled":
            yield f"the order is {self.state(order_id)} in get_orders by our id; it must be Filled"
        if self.executions(order_id) != 1:
            yield f"{self.executions(order_id)} executions name the order; it must be one"

    def closing(self) -> Iterator[str]:
        outcome = self.broker.close_position(self.market.instrument, 5)
        if not outcome.ok or not _eventually(lambda: self.held() == 0):
            word = type(outcome).__name__
            yield f"closing five of one ({word}) left {self.held():+d}; it must end flat, not reversed"
        outcome = self.broker.close_position(self.market.instrument)
        if isinstance(outcome, Answered) and self.held() != 0:
            yield "closing a flat position opened one"

    def resting(self) -> Iterator[str]:
        far = self.market.price - 40 * self.market.tick
        order_id, outcome = self.place("BUY", order_type="LIMIT", limit_price=far)
        if not outcome.ok or not _eventually(lambda: self.state(order_id) in ("Working", "Accepted")):
            yield f"a limit far away is {self.state(order_id)}; it must rest"
            return
        changed = self.broker.change_order(order_id, limit_price=far - self.market.tick)
        if not changed.ok or not _eventually(lambda: self._limit(order_id) == far - self.market.tick):
            yield f"change_order ({type(changed).__name__}) left the price at {self._limit(order_id)}"
        if not self.broker.cancel_order(order_id).ok or not _eventually(lambda: self.state(order_id) == "Cancelled"):
            yield f"a cancelled order is {self.state(order_id)}"
        late = self.broker.cancel_order(order_id)
        if not (isinstance(late, Refused) and late.already_ended):
            yield f"cancelling an ended order was {type(late).__name__}; it must be Refused with already_ended"

    def _limit(self, order_id: str) -> float:
        row = self.order(order_id)
        return row.limit_price if row else 0.0

    def one_cancels_the_other(self) -> Iterator[str]:
        group, price, tick = f"oco-{self.id()}", self.market.price, self.market.tick
        self.place("BUY")
        _eventually(lambda: self.held() == 1)
        stop, _ = self.place("SELL", order_type="STOPMARKET", stop_price=price - 8 * tick, oco_id=group)
        target, _ = self.place("SELL", order_type="LIMIT", limit_price=price + 8 * tick, oco_id=group)
        self.market.move(price + 10 * tick)
        if not _eventually(lambda: self.held() == 0 and self.state(stop) == "Cancelled"):
            states = f"the target is {self.state(target)}, the stop {self.state(stop)}"
            yield f"of an OCO pair {states}, {self.held():+d} held"
        self.market.move(price)

    def unknown(self) -> Iterator[str]:
        for name, ask in (("get_order", self.broker.get_order), ("lifecycle", self.broker.get_order_lifecycle)):
            try:
                ask(self.id())
                yield f"{name} of an id nobody gave answered; it must raise NotFound"
            except NotFound:
                pass

    def repeated(self) -> Iterator[str]:
        first = (self.held(), len(self.broker.get_executions()), len(self.broker.get_orders(active_only=False)))
        self.broker.get_account()
        if (self.held(), len(self.broker.get_executions()), len(self.broker.get_orders(active_only=False))) != first:
            yield "asking twice changed something"

    def flattening(self) -> Iterator[str]:
        self.place("SELL")
        _eventually(lambda: self.held() == -1)
        rests, _ = self.place("BUY", order_type="LIMIT", limit_price=self.market.price - 40 * self.market.tick)
        outcome = self.broker.flatten(self.market.instrument)
        if not outcome.ok or not _eventually(lambda: self.held() == 0 and self.state(rests) == "Cancelled"):
            yield f"flatten left {self.held():+d} and an order {self.state(rests)}"


_RULES = ("account", "market_order", "closing", "resting", "one_cancels_the_other", "unknown", "repeated", "flattening")


def check_broker(broker: Broker, market: Market) -> list[str]:
    "Every rule that is broken, as a sentence; none when the contract is kept. The account ends flat."
    kit = _Kit(broker, market)
    return [f"{rule}: {sentence}" for rule in _RULES for sentence in getattr(kit, rule)()]


def _eventually(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (done := check()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return done
