"The chaos broker: CrossTrade's wire over a NinjaTrader that fills, fails and is traded by hand."

import dataclasses
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from futures_algo.chaos.book import NO_HITS, Book
from futures_algo.chaos.bracket import Brackets
from futures_algo.chaos.clock import SECOND, Clock, nanoseconds
from futures_algo.chaos.desk import Desk
from futures_algo.chaos.endpoints import BASE
from futures_algo.chaos.faults import Faults
from futures_algo.chaos.instruments import Instruments, Product
from futures_algo.chaos.market import Market, PriceOf
from futures_algo.chaos.records import Account, Execution, Order
from futures_algo.chaos.routes import Routes
from futures_algo.chaos.serve import Service
from futures_algo.chaos.settings import Settings
from futures_algo.chaos.shapes import Shapes
from futures_algo.chaos.truth import Event, TruthLog
from futures_algo.chaos.wire import Wire


class ChaosBroker:
    """A loopback broker as context manager: `with ChaosBroker(accounts=["Sim101"]) as broker: broker.url`.

    `clock` answers s or ns since 1970 (`clock_unit`: auto, s, ns); every delay, budget and moment goes by it.
    `price(instrument)` gives points for the dated form; or drive it by `set_price` and `touch`. Any thread may call."""

    def __init__(
        self,
        accounts: Iterable[str] = ("Sim101",),
        *,
        token: str = "chaos-token",
        clock: Clock = time.time_ns,
        clock_unit: str = "auto",
        price: PriceOf | None = None,
        settings: Settings | None = None,
        seed: int | str = 0,
        cash: float = 100_000.0,
    ) -> None:
        self.settings = settings or Settings()
        self.token = token
        self.clock, self._unit = clock, clock_unit
        self.log = TruthLog(self.now)
        self.faults = Faults(self.log.note)
        self.instruments = Instruments(datetime.fromtimestamp(self.now() // SECOND, UTC).year)
        self.book = Book(self.now, self.settings, self.log, self.instruments, seed)
        self.market = Market(self.book, price)
        for number, name in enumerate(accounts, 1):
            self.book.accounts[name.lower()] = Account(name, cash, number=number)
        shapes = Shapes(self.book, self.market)
        desk = Desk(self.book, shapes)
        self.brackets = Brackets(self.book, desk)
        self.wire = Wire(self.now, self.log, self._tick)
        self.service = Service(Routes(self.book, desk, self.brackets, shapes), self.faults, token, self.wire.until)
        self.wire.service = self.service

    # life
    def start(self, port: int = 0) -> "ChaosBroker":
        self.wire.start(port)
        return self

    def stop(self) -> None:
        "Raises RuntimeError if the broker itself (not a fault) went wrong."
        self.wire.stop()

    def __enter__(self) -> "ChaosBroker":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def host(self) -> str:
        "Without /v1/api, as the reference's base address."
        return f"http://127.0.0.1:{self.wire.port}"

    @property
    def url(self) -> str:
        return self.host + BASE

    def now(self) -> int:
        "ns since 1970 on the broker's clock."
        return nanoseconds(self.clock(), self._unit)

    def _tick(self) -> None:
        with self.book.lock:
            self.book.run_due()
            self.market.poll()

    # prices and the world
    def set_price(self, instrument: str, price: float) -> None:
        "A trade at `price` points; stops passed over fill at it."
        with self.book.lock:
            self.book.run_due()
            self.market.set_price(self.instruments.dated(instrument), price)

    def touch(self, instrument: str, high: float, low: float, last: float | None = None) -> None:
        "All of [low, high] traded, ending at `last`: stops at their price, before limits."
        with self.book.lock:
            self.book.run_due()
            self.market.touch(self.instruments.dated(instrument), high, low, last)

    def add_product(self, product: Product) -> None:
        self.instruments.products[product.root] = product

    def set_front(self, root: str, instrument: str) -> None:
        "The month a bare root (`ES`, `ES1!`) means from now on."
        self.instruments.front[root] = self.instruments.dated(instrument)

    def add_atm(self, name: str, target_ticks: int, stop_ticks: int) -> None:
        "An ATM template that `strategy` of a placement may name."
        self.brackets.templates[name] = (target_ticks, stop_ticks)

    def set_market_open(self, is_open: bool) -> None:
        "Orders that rest are looked at again when it opens."
        with self.book.lock:
            self.book.market_open = is_open
            for order in [one for orders in self.book.live.values() for one in orders.values()] if is_open else []:
                self.market.look(order)

    def set_addon(self, connected: bool) -> None:
        "Off: 408 everywhere; what rests goes on filling."
        self.log.note("hand", what="addon", connected=connected)
        self.service.addon_connected = connected

    def set_connection(self, account: str, status: str) -> None:
        "`connectionStatus` of the account: Connected, Disconnected, ConnectionLost, ..."
        self.log.note("hand", what="connection", account=account, status=status)
        self.book.accounts[account.lower()].connection = status

    def end_session(self) -> list[Order]:
        "The exchange cancels what rests as DAY; the orders."
        return self._drop([order for order in self._live() if order.tif == "Day"], "end_session")

    # hands
    def trade_by_hand(
        self, account: str, instrument: str, side: str, quantity: int, price: float | None = None
    ) -> Execution:
        "Someone trades in NinjaTrader: `side` Buy or Sell, filled at once at `price` or the current one."
        name = self.instruments.dated(instrument)
        if quantity < 1:
            raise ValueError(f"quantity {quantity}: at least one contract")
        with self.book.lock:
            at = self.market.price(name) if price is None else price
            if at is None:
                raise ValueError(f"no price for {name}: set one or give `price`")
            action = {"buy": "Buy", "sell": "Sell"}[side.lower()]
            order = Order(
                0,
                "",
                None,
                self.book.accounts[account.lower()].name,
                name,
                action,
                "Limit",
                quantity,
                at,
                origin="hand",
            )
            self.log.note(
                "hand", what="trade", account=order.account, instrument=name, side=action, quantity=quantity, price=at
            )
            order.inert = True
            self.book.submit(order, NO_HITS)
            return self.book.fill(order, quantity, at)

    def cancel_by_hand(self, order: Order | str) -> list[Order]:
        "By the order or either id; at once, through any stuck state. The orders cancelled."
        ref = order if isinstance(order, str) else order.id
        return self._drop([one for one in self._live() if ref in (one.id, one.client_id)], "cancel")

    def restart(self, memory: str = "kept", seconds: float = 0.0) -> None:
        "NinjaTrader is off for `seconds`; `memory` lost: ended orders and executions unlisted, callers' ids forgotten."
        if memory not in ("kept", "lost"):
            raise ValueError(f"memory {memory!r}: kept or lost")
        self.log.note("hand", what="restart", memory=memory, seconds=seconds)
        with self.book.lock:
            if memory == "lost":
                self._forget()
            self.service.addon_connected = False
            self.book.later(seconds, lambda: self.set_addon(True))

    def _forget(self) -> None:
        for order in self.book.orders:
            order.forgotten, order.shown = True, order.shown and not order.terminal
        for execution in self.book.executions:
            execution.listed = False

    def _live(self) -> list[Order]:
        with self.book.lock:
            return [order for orders in self.book.live.values() for order in orders.values()]

    def _drop(self, orders: list[Order], what: str) -> list[Order]:
        with self.book.lock:
            for order in orders:
                self.log.note("hand", what=what, order=order.id, client_id=order.client_id)
                self.book.drop(order)
        return orders

    # the judge's views: the truth, whatever the wire shows
    def position(self, account: str, instrument: str) -> int:
        "Signed contracts."
        with self.book.lock:
            self.book.run_due()
            held = self.book.positions.get(
                (self.book.accounts[account.lower()].name, self.instruments.dated(instrument))
            )
            return held.quantity if held else 0

    def positions(self) -> dict[tuple[str, str], int]:
        "(account, instrument) -> signed contracts, flat ones left out."
        with self.book.lock:
            self.book.run_due()
            return {key: held.quantity for key, held in self.book.positions.items() if held.quantity}

    def executions(self, account: str | None = None) -> tuple[Execution, ...]:
        "Every true fill, oldest first."
        with self.book.lock:
            self.book.run_due()
            return tuple(one for one in self.book.executions if account in (None, one.order.account))

    def orders(self, account: str | None = None, live: bool = False) -> tuple[Order, ...]:
        "Copies of every order ever taken in, lost ones included, oldest first; `live` ones can still fill or rest."
        with self.book.lock:
            self.book.run_due()
            seen = [
                one
                for one in self.book.orders
                if account in (None, one.account) and not (live and (one.terminal or one.lost))
            ]
            return tuple(dataclasses.replace(one, states=list(one.states), quirks=dict(one.quirks)) for one in seen)

    def orders_by_client_id(self) -> dict[str, list[Order]]:
        "The caller's id -> its orders; more than one is a duplicate."
        found: dict[str, list[Order]] = defaultdict(list)
        for order in self.orders():
            if order.client_id is not None:
                found[order.client_id].append(order)
        return dict(found)

    def history(self, *kinds: str) -> tuple[Event, ...]:
        "The truth log: request, answer, state, fill, price, fault, hand, note; oldest first."
        return self.log.events(*kinds)

    def requests(self, rpc: str | None = None) -> list[dict[str, Any]]:
        "Every request received (number, method, path, rpc, query, body, json), or one endpoint's."
        return [event.data for event in self.log.events("request") if rpc in (None, event.data["rpc"])]

    def position_path(self, account: str, instrument: str) -> list[tuple[int, int]]:
        "(ns, signed contracts) after each fill: a change of sign is a reversal."
        name = self.instruments.dated(instrument)
        fills = [event for event in self.log.events("fill") if event.data["instrument"] == name]
        return [
            (event.moment_ns, event.data["position"])
            for event in fills
            if event.data["account"].lower() == account.lower()
        ]
