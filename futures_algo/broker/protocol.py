"""What a broker is to this package: the seam behind which CrossTrade stands, or anybody's own.

A broker answers questions and carries out requests. The written contract, which `broker.kit` tries on any
implementation:

- **A question** returns a model, or raises a `QueryError`: `NotFound` when the broker does not know the thing,
  `RefusedQuery` when it will not say, `Unreachable` when nobody answered. A question changes nothing and may be asked
  again. No answer is *unknown*: it never means flat, and never means that an order does not exist.
- **A request** is sent once and returns an `Outcome`, it does not raise: `Answered` (taken, not yet filled), `Refused`
  (understood, nothing changed), `NotSent` (not one byte left, may be tried again), `Ambiguous` (may or may not have
  happened: look it up before anything else is sent). A time-out is `Ambiguous`.
- **An order id is ours**, given at placement, unique for ever. The same id twice places nothing the second time, and
  `get_order`, `get_orders` or `get_order_lifecycle` find the order by it, after a restart of either side too.
- **Executions are the truth**: each is listed once with an id of its own, and names its order.
- A cancel of an order that has ended is `Refused` with `already_ended`.

```python
broker = open_broker("crosstrade", BrokerSettings(account="Sim101", key=key))
outcome = broker.place_order(OrderRequest("ES 12-25", "BUY", 1, order_id="fa0001"))
if isinstance(outcome, Ambiguous):
    order = broker.get_order("fa0001")   # NotFound raises: the lifecycle says whether it ever arrived
```
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from futures_algo.broker.models import Account, Execution, Lifecycle, Order, Position
from futures_algo.broker.outcomes import Outcome
from futures_algo.broker.requests import OrderRequest


@runtime_checkable
class Broker(Protocol):
    "Everything the engine asks of a broker; `account` is the account's name, None takes the one it was opened for."

    # questions: may be asked again

    def check_account(self, account: str | None = None) -> str:
        "The account's name as the broker writes it; an unknown one is an `InputError` with what was meant."
        ...

    def get_account(self, account: str | None = None) -> Account:
        "Cash, margin and profit, USD."
        ...

    def get_positions(self, account: str | None = None) -> list[Position]:
        "What the account holds, one row a contract."
        ...

    def get_orders(self, account: str | None = None, *, active_only: bool | None = None) -> list[Order]:
        "Orders; `active_only=False` includes those that ended, as far back as the broker keeps them."
        ...

    def get_order(self, order_id: str, account: str | None = None) -> Order:
        "One order by our id or the broker's; `NotFound` when it has none."
        ...

    def get_order_lifecycle(self, order_id: str, account: str | None = None) -> Lifecycle:
        "Whether an order ever arrived and what became of it; `NotFound` also from a broker that keeps no lifecycles."
        ...

    def get_executions(self, account: str | None = None) -> list[Execution]:
        "Fills, as far back as the broker keeps them."
        ...

    # requests: sent once, never raise for what the network does

    def place_order(self, order: OrderRequest, account: str | None = None, *, urgent: bool = False) -> Outcome[str]:
        "Place an order; `urgent` ones (exits) go before everything that waits. The value is the broker's id."
        ...

    def change_order(
        self,
        order_id: str,
        *,
        quantity: int | None = None,  # contracts
        limit_price: float | None = None,  # points
        stop_price: float | None = None,  # points
        account: str | None = None,
    ) -> Outcome[str]:
        "Change a working order in place."
        ...

    def cancel_order(self, order_id: str, account: str | None = None) -> Outcome[str]:
        "Ask for an order's end."
        ...

    def close_position(
        self,
        instrument: str,
        quantity: int | None = None,  # contracts, capped at what is open; None closes all of it
        *,
        account: str | None = None,
    ) -> Outcome[list[Position]]:
        "Close a position, or part of it, at the market; it can never reverse it."
        ...

    def flatten(self, instrument: str | None = None, account: str | None = None) -> Outcome[list[Position]]:
        "Close positions and cancel their orders: of one contract, or of the whole account."
        ...

    # the engine's own needs

    def before_request(self, call: Callable[[], None]) -> None:
        "Have this called before each request: a sign of life from who may have to wait for the answer."
        ...

    def set_stop_timeout(self, seconds: float) -> None:
        "Wait at most so long for each answer from now on: who stops must not hang on a broker that does."
        ...

    def close(self) -> None:
        "Release connections; the broker is done."
        ...
