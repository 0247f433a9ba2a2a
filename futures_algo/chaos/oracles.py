"What must hold in an episode, told by the independent broker's truth log and the journal alone."

from collections import Counter
from typing import Any, NamedTuple

from futures_algo.chaos.broker import ChaosBroker


class Violation(NamedTuple):
    "Something that must never happen, and did."

    kind: str
    detail: str


def reversals(broker: ChaosBroker, account: str) -> list[Violation]:
    """No order of the product takes the account through flat to a side nobody asked for: strategies here are long.
    Where     a person trades between an order's sending and its fill, nobody could have made it smaller."""
    found, before = [], Counter()
    sent = {
        event.data["json"].get("orderId"): event.moment_ns for event in broker.history("request") if event.data["json"]
    }
    hands = [event.moment_ns for event in broker.history("hand") if event.data["what"] == "trade"]
    origins = {order.id: order for order in broker.orders(account)}
    for event in broker.history("fill"):
        data = event.data
        held, name = data["position"], data["instrument"]
        order = origins.get(data["order"])
        if order is not None and order.client_id and order.sign < 0 and held < min(before[name], 0):
            excused = any(sent.get(order.client_id, 0) <= moment <= event.moment_ns for moment in hands)
            if order.filled <= order.quantity and not excused:  # beyond its quantity the broker fills too much
                found.append(
                    Violation("reversal", f"{order.client_id} took {name} from {before[name]:+d} to {held:+d}")
                )
        before[name] = held
    return found


def doubled(broker: ChaosBroker, account: str, quantities: dict[str, int]) -> list[Violation]:
    "No signal is executed for more than its size, however many orders it took."
    filled: Counter = Counter()
    for order in broker.orders(account):
        if order.client_id and order.client_id[-2:] < "90":
            filled[order.client_id[:-2]] += min(order.filled, order.quantity)
    return [
        Violation("doubled execution", f"signal of {name}: {count} of {quantities[name]}")
        for name, count in filled.items()
        if name in quantities and count > quantities[name]
    ]


def sent_twice(broker: ChaosBroker) -> list[Violation]:
    "No order id reaches the broker twice."
    return [
        Violation("order id sent twice", name)
        for name, orders in broker.orders_by_client_id().items()
        if len(orders) > 1
    ]


def unexplained(executor: Any, broker: ChaosBroker, account: str) -> list[Violation]:
    "When everything has settled, what the account holds is the ledgers', or the instrument is locked and says why."
    found, held = [], Counter()
    for (_, name), ledger in executor.ledgers.items():
        held[name] += ledger.quantity
    names = {*held, *(name for of, name in broker.positions() if of == account)}
    for name in names:
        theirs = broker.position(account, name)
        if theirs != held[name] and name not in executor.books.locked:
            found.append(Violation("unexplained position", f"{name}: ledgers {held[name]:+d}, account {theirs:+d}"))
    return found


def unmanaged(executor: Any) -> list[Violation]:
    "An exit that still waits, or an order without an end, is behind a lock that says so; no ledger stands short."
    locked, found = executor.books.locked, []
    for strategy, name in executor.waiting.keys():
        if name not in locked:
            found.append(Violation("silent wait", f"an exit of {strategy} in {name} waits, and nothing says so"))
    for order in executor.orders.open.values():
        if not order.is_resting and order.instrument not in locked:
            found.append(Violation("silent order", f"{order.order_id} is {order.state}, and nothing says so"))
    for (strategy, name), ledger in executor.ledgers.items():
        if ledger.quantity < 0 and strategy != "manual" and name not in locked:
            found.append(Violation("phantom short", f"{strategy} {ledger.quantity:+d} {name}"))
    return found
