"""How large an exit may be: what its ledger holds, and never more than the account holds in that direction now.

Where strategies stand on both sides of one contract the account shows their difference, so what the others hold
against it counts as held. Exits of others that are under way will take their share, and entries against it may have
taken theirs already."""

from typing import NamedTuple

from futures_algo.core.types import BrokerError
from futures_algo.execution.context import Context
from futures_algo.execution.ledger_book import Key, LedgerBook
from futures_algo.execution.open_order import OpenOrder
from futures_algo.execution.orders import OrderManager
from futures_algo.execution.reconcile import Reconciler


class ExitSize(NamedTuple):
    "How much may be closed."

    quantity: int  # contracts that may go now
    wanted: int  # contracts the ledger holds
    net: int  # signed contracts of the account
    is_blind: bool = False  # the account did not answer: this is what was known of it
    is_waiting: bool = False  # an exit of another ledger takes what there is: look again when it has ended


class ExitSizer:
    "Asks the account before every exit."

    def __init__(self, context: Context, orders: OrderManager, book: LedgerBook, reconciler: Reconciler):
        self._context, self._orders, self._book, self._reconciler = context, orders, book, reconciler

    def size(self, key: Key) -> ExitSize:
        held, (net, is_blind) = self._book.held(key), self._net(key[1])
        side, wanted = (1 if held > 0 else -1), abs(held)
        there = net * side + self._book.against(key, side) + self._taken(key, side)
        under_way = self._leaving(key, side)
        quantity = max(min(wanted, there - under_way), 0)
        return ExitSize(
            quantity, wanted, net, is_blind, quantity < min(wanted, there) and under_way > 0 and not quantity
        )

    def positions(self) -> dict[str, int]:
        "What the account holds now, signed contracts by instrument."
        return self._reconciler.positions()

    def _net(self, instrument: str) -> tuple[int, bool]:
        "Of the account, now; what is known of it where the broker does not answer."
        try:
            return self.positions().get(instrument, 0), False
        except BrokerError as error:
            self._context.say("warning", "exit", instrument, f"the account could not be looked at: {error}")
            return self._reconciler.presumed(instrument), True

    def _others(self, key: Key) -> list[OpenOrder]:
        return [
            order
            for order in self._orders.open.values()
            if order.instrument == key[1] and order.key != key and not order.is_resting
        ]

    def _leaving(self, key: Key, side: int) -> int:
        "Contracts that exits of other ledgers of this side may still take."
        return sum(o.left for o in self._others(key) if o.purpose == "exit" and o.sign == -side)

    def _taken(self, key: Key, side: int) -> int:
        "Contracts by which entries of others against this side may have made the account smaller already."
        return sum(o.left for o in self._others(key) if o.purpose == "entry" and o.sign == -side)
