"""Exits that rest at the broker, on the executor's side: placed from the entry's fill on, moved as the model's stop moves,
cancelled with the position.

The engine says what each strategy's model wants (`Wish`); what is done about it is done here, where orders and ledgers
are touched by nobody else, behind every look at the broker. What bars and broker differ in goes back as news. A pair
has the size its ledger holds, never more than the account does, ids derived from the entry's, and is good till
cancelled; orders that an engine before this one left are found in the journal and taken on.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from futures_algo.broker.requests import OrderRequest
from futures_algo.core.contracts import Contract, product
from futures_algo.core.types import SECOND, Signal
from futures_algo.execution.executor import CrossTradeExecutor
from futures_algo.execution.ledger_book import Key
from futures_algo.execution.ledgers import Ledger
from futures_algo.execution.open_order import Fill, OpenOrder
from futures_algo.execution.orders import leg_id, own_id
from futures_algo.strategies.orders import SLACK, on_tick

CAUSES = {
    "tick_path": "the broker filled an order that the bars did not reach",
    "touched_not_filled": "the bars reached a stop that the broker did not fill: left at market",
    "queue": "the bars reached a target that the broker did not fill: it goes on resting",
}
_LEGS = range(90, 100, 2)  # numbers of an entry's stops; a target's is the next
_SETTLED = ("Accepted", "Working", "TriggerPending", "PartFilled")  # states in which an order may be changed
_TRACKED = ("order_id", "signal_id", "strategy", "instrument", "action", "quantity", "purpose")


class Protection(NamedTuple):
    "How positions are protected, `engine` in the config."

    protect_within_s: float = 5.0  # a position without an acknowledged stop for longer is closed
    emergency_stop_ticks: float = 0.0  # from the entry, for positions whose strategy has no stop; 0 for none
    grace_s: float = 5.0  # a touched stop not filled after this is left at market


class Touch(NamedTuple):
    "A stop the bars reached and the broker has not filled yet."

    signal: Signal
    deadline: int  # ns UTC


class Wish(NamedTuple):
    "What one strategy's model wants to rest for one symbol, as of the engine's last bar."

    strategy: str
    root: str  # of the symbol
    pair: dict[str, Any]  # side, stop, target and the stop's kind of the open position; {} without one
    seen: int  # end of the last bar that met the pair, ns UTC
    entering: int  # side of the entry decided last; 0 for none
    hang: Callable[[float], dict[str, Any]]  # the pair of that entry, by the average price of its fill
    tick: float  # points
    per_point: float  # ticks
    is_past: bool  # the stream is replaying: nothing is moved at the broker by it
    is_flat: bool  # the model holds nothing and enters nothing


class Rest(NamedTuple):
    "What a ledger holds, and whether a target rests for it, as of the last look."

    held: int  # signed contracts
    has_target: bool


class Hung(NamedTuple):
    "News: the entry filled at this average price (points)."

    wish: Wish
    price: float


class Left(NamedTuple):
    "News: an order of the pair filled which the bars did not reach."

    wish: Wish
    key: Key
    kind: str
    price: float  # points


News = Hung | Left


class PairDesk:
    "The pairs of an account's strategies; everything here runs where the executor does."

    def __init__(self, executor: CrossTradeExecutor, settings: Protection, tell: Callable[[News], None]):
        self.executor, self.settings, self._tell = executor, settings, tell
        self.wishes: list[Wish] = []  # replaced as a whole, by the engine
        self.rests: dict[Key, Rest] = {}  # replaced as a whole, for the engine to read
        self.touched: dict[Key, Touch] = {}
        self._naked: dict[Key, int] = {}  # since when a position has no acknowledged stop, steady ns
        self._known: dict[Key, list[OpenOrder]] = {}  # the pair's orders, ended ones too, until the next pair
        self._resumed: set[Key] = set()  # ledgers whose earlier pair was looked up in the journal
        self._prices: dict[str, float] = {}  # of each order, as last asked for
        executor.on_fill = self._note_fill

    # --- what happens

    def _note_fill(self, fill: Fill) -> None:
        "From an entry's fill on its position is without a stop."
        if fill.purpose == "entry" and self._held(key := (fill.strategy, fill.instrument)):
            self._naked.setdefault(key, self.executor.context.steady())

    def reach(self, signal: Signal, key: Key, deadline: int) -> None:
        "The bars say that an order of the pair filled."
        self.executor.poll()
        self.executor.note(signal, "resting", "its order rests at the broker")
        if self._held(key) * (1 if signal.is_long else -1) > 0:
            self.touched[key] = Touch(signal, deadline)
        elif leg := self._filled(key):
            self.say("info", key, "", signal.reason, signal.price, leg.value / leg.filled)

    def follow(self) -> None:
        "Bring what rests at the broker to what the model, or an emergency, wants."
        if self.executor.books.dry_run:
            return
        for wish in self.wishes:
            for key, ledger in self._ledgers(wish):
                self._follow_one(wish, key, ledger)
        self.show()

    def show(self) -> None:
        "Put out what the engine may know of the ledgers."
        targets = {order.key for order in self.executor.orders.open.values() if order.purpose == "target"}
        self.rests = {key: Rest(held.quantity, key in targets) for key, held in list(self.executor.ledgers.items())}

    def _follow_one(self, wish: Wish, key: Key, ledger: Ledger) -> None:
        legs = self._open(key)
        if not ledger.quantity:
            self._naked.pop(key, None)
            self.touched.pop(key, None)
            self._withdraw(legs)
            return self._went(wish, key)
        if self.executor.is_leaving(key):
            return
        if touch := self.touched.get(key):
            return self._not_filled(key, touch)
        if wish.is_past:
            return  # what rests at the broker goes on resting
        side = 1 if ledger.quantity > 0 else -1
        if self._known.get(key) and wish.is_flat and self._filled_late(key):
            return self._close(key, "the strategy is flat, and an entry or a part of it filled after all")
        want = self._wanted(wish, ledger, side)
        if want["stop"] is None and want["target"] is None:
            self._naked.pop(key, None)
            return
        self._arrange(key, abs(ledger.quantity), side, legs, want)
        self._bound(key, want["stop"])

    def _wanted(self, wish: Wish, ledger: Ledger, side: int) -> dict[str, float | None]:
        "Prices of the pair of a position; None for an order that shall not rest."
        pair = wish.pair
        if pair.get("side") != side:
            pair = self._hung(wish, ledger.average_price) if wish.entering == side else {}
        stop, target = pair.get("stop"), pair.get("target")
        if stop is None and self.settings.emergency_stop_ticks:
            far = ledger.average_price - side * self.settings.emergency_stop_ticks * wish.tick
            stop = on_tick(far, wish.tick, wish.per_point, side < 0)
        return {"stop": stop, "target": target}

    def _hung(self, wish: Wish, price: float) -> dict[str, Any]:
        self._tell(Hung(wish, price))
        return wish.hang(price)

    def _arrange(self, key: Key, size: int, side: int, legs: list[OpenOrder], want: dict[str, float | None]) -> None:
        "Cancel what is not wanted, change what rests, place what is missing."
        wrong = [leg for leg in legs if leg.sign == side]
        mine = {purpose: [leg for leg in legs if leg.purpose == purpose and leg.sign != side] for purpose in want}
        for purpose, found in mine.items():
            wrong += found if want[purpose] is None else found[1:]
        lonely = want["stop"] is not None and not mine["stop"] and mine["target"]
        self._withdraw([*wrong, *(mine["target"] if lonely else ())])
        if wrong or lonely:
            return  # placed anew when these have ended: two pairs would turn the position round
        if not mine["stop"] and not mine["target"]:
            return self._place(key, size, side, want)
        for purpose, found in mine.items():
            price = want[purpose]
            if found and price is not None:
                self._adjust(key, found[0], size, side, price)

    def _adjust(self, key: Key, leg: OpenOrder, size: int, side: int, price: float) -> None:
        "Change an order's size or price."
        tick = product(Contract.parse(key[1]).root).tick_size
        changes: dict[str, Any] = {}
        if key[1] in self.executor.books.locked:
            size = min(size, leg.left)  # the books disagree: what was made smaller stays so
        if leg.left != size:
            changes["quantity"] = size + leg.filled
        if abs(self._price(leg) - price) > tick * SLACK:
            changes["stop_price" if leg.purpose == "stop" else "limit_price"] = price
        if not changes or leg.state not in _SETTLED:
            return
        mark = self.executor.marks.get(key[1], 0.0)
        if leg.purpose == "stop" and mark and (price - mark) * side >= -tick * SLACK:
            self.executor.close(key, "stop_at_market")  # the broker would refuse it there, and the model leaves
        elif self.executor.orders.change(leg, **changes).ok:
            self._prices[leg.order_id] = price

    def _place(self, key: Key, size: int, side: int, want: dict[str, float | None]) -> None:
        "The pair of an entry, or the one order it has; another try has other ids, and after the last it is closed."
        journal, orders = self.executor.journal, self.executor.orders
        base = self._entry_id(key)
        free = (leg for leg in _LEGS if not journal.has("intents", "order_id", leg_id(base, leg)))
        leg = next(free, None)
        if leg is None:
            return self._close(key, "its stop was refused again and again")
        size = min(size, self.executor.exits.size(key).quantity)
        if not size:
            return  # the account holds nothing of it: sent anyway it would open the other side
        action, about = ("SELL" if side > 0 else "BUY"), {"strategy": key[0]}
        stop, target = want["stop"], want["target"]
        if stop is not None and target is not None:
            placed = orders.submit_oco_pair(key[1], action, size, target, stop, entry_id=base, leg=leg, **about)
        else:
            kind, prices = ("LIMIT", {"limit_price": target}) if stop is None else ("STOPMARKET", {"stop_price": stop})
            identity = leg_id(base, leg + (stop is None))
            request = OrderRequest(key[1], action, size, kind, order_id=identity, time_in_force="GTC", **prices)
            placed = [orders.submit(request, purpose="target" if stop is None else "stop", **about)]
        for one in placed:
            one.reason = "target_order" if one.purpose == "target" else "stop_order"
        self._prices |= {one.order_id: (stop if one.purpose == "stop" else target) or 0.0 for one in placed}
        self._known[key] = placed

    def _bound(self, key: Key, stop: float | None) -> None:
        "From the fill to the acknowledged stop there is a bound."
        stops = [leg for leg in self._open(key) if leg.purpose == "stop"]
        if stop is None or any(leg.acknowledged for leg in stops):
            self._naked.pop(key, None)
            return
        now = self.executor.context.steady()
        if now - self._naked.setdefault(key, now) > self.settings.protect_within_s * SECOND:
            self._naked.pop(key)
            self._close(key, f"no stop was acknowledged within {self.settings.protect_within_s:g} s")

    def _close(self, key: Key, why: str) -> None:
        self._event("alarm", key, f"{why}: the position is closed", cause="unprotected")
        self.executor.close(key, "unprotected")

    # --- where bars and broker differ

    def _not_filled(self, key: Key, touch: Touch) -> None:
        "A touched stop: looked up when its grace is over, then left by an order that can only reduce."
        if self.executor.clock.now() < touch.deadline:
            return
        self.executor.poll()
        self.touched.pop(key, None)
        if not self._held(key):
            return
        self.say("alarm", key, "touched_not_filled", touch.signal.reason, touch.signal.price, None)
        self.executor.close(key, "touched_not_filled")

    def _filled_late(self, key: Key) -> bool:
        "Whether the last fill is an entry's, though the model is flat; what a person handed over is his to close."
        where = "strategy = ? AND instrument = ?"
        rows = self.executor.journal.rows("fills", where, *key, order="rowid DESC", limit=1)
        return bool(rows) and not str(rows[0]["execution_id"]).startswith("adopt-")

    def _went(self, wish: Wish, key: Key) -> None:
        "The ledger is flat. Where an order of the pair did that and the model still holds, the model goes flat too."
        pair, leg = wish.pair, self._filled(key)
        if not pair or leg is None or leg.sign == pair["side"] or wish.seen <= self._filled_at(leg):
            return  # the bar in which it filled may still say the same
        kind = "target_order" if leg.purpose == "target" else pair["kind"]
        self._known.pop(key, None)
        self._tell(Left(wish, key, kind, leg.value / leg.filled))

    def _filled(self, key: Key) -> OpenOrder | None:
        "The order of the last pair that filled."
        if key not in self._resumed:
            self._resumed.add(key)
            self._known.setdefault(key, []).extend(self._filled_before(key))
        return next((leg for leg in self._known.get(key, ()) if leg.state == "Filled" and leg.filled), None)

    def _filled_before(self, key: Key) -> list[OpenOrder]:
        "The orders of the newest entry's pair that an engine before this one placed and that filled."
        rows = self.executor.journal.rows(
            "intents", "strategy = ? AND instrument = ?", *key, order="rowid DESC", limit=12
        )
        found = []
        for row in rows:
            if row["purpose"] == "entry":
                break
            if row["purpose"] in ("stop", "target") and row["state"] == "Filled":
                fills = self.executor.journal.rows("fills", "order_id = ?", row["order_id"])
                leg = OpenOrder(**{name: row[name] for name in _TRACKED}, state="Filled")
                leg.filled = sum(fill["quantity"] for fill in fills)
                leg.value = sum(fill["quantity"] * fill["price"] for fill in fills)
                found.append(leg)
        return found

    def _filled_at(self, leg: OpenOrder) -> int:
        return max(int(fill["at"]) for fill in self.executor.journal.rows("fills", "order_id = ?", leg.order_id))

    # --- looking things up

    def _held(self, key: Key) -> int:
        ledger = self.executor.ledgers.get(key)
        return ledger.quantity if ledger else 0

    def _ledgers(self, wish: Wish) -> list[tuple[Key, Ledger]]:
        return [
            (key, ledger)
            for key, ledger in list(self.executor.ledgers.items())
            if key[0] == wish.strategy and Contract.parse(key[1]).root == wish.root
        ]

    def _open(self, key: Key) -> list[OpenOrder]:
        "The strategy's stops and targets that have not ended, whoever placed them; remembered as the pair."
        found = [
            order
            for order in list(self.executor.orders.open.values())
            if order.key == key and order.purpose in ("stop", "target")
        ]
        known = self._known.setdefault(key, [])
        known += [order for order in found if order not in known]
        return [order for order in found if not order.has_ended]

    def _withdraw(self, legs: list[OpenOrder]) -> None:
        for leg in legs:
            if leg.state in _SETTLED:
                self.executor.orders.cancel(leg)

    def _price(self, leg: OpenOrder) -> float:
        "What was last asked for; of an order an engine before this one placed, what its journal row says."
        if leg.order_id not in self._prices:
            row = self.executor.journal.one("intents", "order_id", leg.order_id) or {}
            self._prices[leg.order_id] = row.get("stop_price" if leg.purpose == "stop" else "limit_price") or 0.0
        return self._prices[leg.order_id]

    def _entry_id(self, key: Key) -> str:
        "Of the newest entry of a ledger; a position without one has an id of its own."
        rows = self.executor.journal.rows(
            "intents", "strategy = ? AND instrument = ? AND purpose = 'entry'", *key, order="rowid DESC", limit=1
        )
        if rows:
            return str(rows[0]["order_id"])
        return own_id()

    # --- saying things

    def say(self, level: str, key: Key, cause: str, kind: str, model: float | None, broker: float | None) -> None:
        "Both prices and the cause, in the journal."
        text = CAUSES.get(cause, "filled at the broker, as the bars say")
        self._event(level, key, f"{kind}: {text}", cause=cause, order=kind, model=model, broker=broker)

    def _event(self, level: str, key: Key, message: str, **data: Any) -> None:
        self.executor.journal.add_event(
            self.executor.clock.now(), level, "resting", f"{key[0]} {key[1]}", message, **data
        )
