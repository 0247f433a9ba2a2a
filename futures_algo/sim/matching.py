"How orders meet prices in a paper broker: the rules of `sim.fills` applied to the books, bar by bar."

import bisect
from operator import itemgetter
from typing import TYPE_CHECKING

from futures_algo.core.types import Clock
from futures_algo.sim.faults import Variants
from futures_algo.sim.fills import FillRules, PriceBook, Print, Tape, limit_price, slipped, stop_price, tick_size
from futures_algo.sim.ledger import PaperAccount, PaperOrder, Terms

AT = itemgetter("at")  # when an execution happened, ns UTC


class Matching:
    "Settling orders against the tape; the books inherit it."

    prices: PriceBook
    clock: Clock
    rules: FillRules
    terms: Terms
    variants: Variants
    accounts: dict[str, PaperAccount]
    live: dict[str, PaperOrder]
    executions: list[dict]
    burned: set[str]

    if TYPE_CHECKING:  # the books' own

        def tape(self, instrument: str) -> Tape: ...
        def new_id(self) -> str: ...
        def enter(self, account: PaperAccount, order: PaperOrder) -> None: ...
        def end(self, order: PaperOrder, at: int, why: str = "") -> None: ...

    def settle(self) -> None:
        "Bring every working order up to the clock."
        active = [order for order in self.live.values() if order.is_active]
        self.live = {order.order_id: order for order in active}
        for order in active:
            if order.order_type == "MARKET":
                self.work(order)
        for name in dict.fromkeys(order.instrument for order in active):
            self.settle_instrument(name)

    def settle_instrument(self, name: str) -> None:
        "Run the bars that ended since over the resting orders, oldest first."
        tape, now = self.tape(name), self.clock.now()
        resting = self.resting(name)
        if not resting:
            return
        if not tape.prints and tape.price is not None:
            return self.pass_bar(name, Print(now, now, tape.price, tape.price, tape.price, tape.price, 1_000_000_000))
        first = tape.index_after(min(order.active_from for order in resting))
        for bar in tape.prints[first:]:
            if bar.end > now:
                break
            self.pass_bar(name, bar)

    def resting(self, name: str) -> list[PaperOrder]:
        "Active orders at a price, stops first."
        found = [
            order
            for order in self.live.values()
            if order.is_active and order.instrument == name and order.order_type != "MARKET"
        ]
        return sorted(found, key=lambda order: not order.order_type.startswith("STOP"))

    def pass_bar(self, name: str, bar: Print) -> None:
        for order in self.resting(name):
            if order.is_active and bar.start >= order.active_from:
                self.meet(order, bar)

    def meet(self, order: PaperOrder, bar: Print) -> None:
        "One resting order meets one bar."
        if order.order_type == "STOPLIMIT" and not order.triggered:
            if stop_price(bar, order.sign, order.stop) is not None:
                order.triggered, order.active_from = True, bar.end
                order.log(bar.end, "order_update", "Triggered", "Working")
            return
        if order.order_type == "STOPMARKET":
            price = stop_price(bar, order.sign, order.stop)
            if price is not None:
                self.fill(order, slipped(price, order.sign, self.rules, order.instrument), bar)
        elif (price := limit_price(bar, order.sign, order.limit, self.rules.limit)) is not None:
            self.fill(order, price, bar)

    def work(self, order: PaperOrder) -> None:
        "Fill a market order as far as the rules allow; resting orders wait for a bar."
        if order.order_type != "MARKET":
            return
        tape, now = self.tape(order.instrument), self.clock.now()
        bar = tape.next_open(order.active_from)
        if bar and (bar.start <= now or (self.variants.instant and not order.filled)):
            price = bar.open
        elif bar is None and (last := tape.last(now)) is not None and now >= order.active_from:
            price = last
            bar = Print(now, now, price, price, price, price, 0)
        else:
            return
        self.fill(order, slipped(price, order.sign, self.rules, order.instrument), bar)
        if order.is_active and order.active_from <= now:
            self.work(order)

    def part_of(self, order: PaperOrder, bar: Print) -> int:
        "How many contracts of an order one bar takes."
        share = self.rules.participation
        room = order.remaining if share is None or not bar.volume else max(1, int(bar.volume * share))
        part = order.first_part if order.first_part and not order.filled else order.remaining
        return min(part, room, order.remaining)

    def fill(self, order: PaperOrder, price: float, bar: Print) -> None:
        "Execute an order, or a part of it, at a price."
        at, part = max(bar.start, order.placed), self.part_of(order, bar)
        order.average = (order.average * order.filled + price * part) / (order.filled + part)
        order.filled, order.active_from = order.filled + part, max(bar.end, at + 1)
        account = self.accounts[order.account]
        account.apply(order.instrument, order.sign * part, price)
        account.commission += self.terms.commission * part
        self.record(order, account, part, price, at)
        order.log(at, "order_update", "OrderUpdate", "Filled" if not order.remaining else "PartFilled")
        if order.oco:
            self.resolve_oco(order, at)
        if order.template:
            self.attach(order, part, at)

    def record(self, order: PaperOrder, account: PaperAccount, part: int, price: float, at: int) -> None:
        execution = {
            "id": self.new_id(),
            "at": at,
            "order_id": order.order_id,
            "account": account.name,
            "instrument": order.instrument,
            "sign": order.sign,
            "quantity": part,
            "price": price,
            "commission": self.terms.commission * part,
            "position": account.held(order.instrument),
            "name": order.name,
        }
        bisect.insort(self.executions, execution, key=AT)  # in order of time, whatever instrument was settled first

    def resolve_oco(self, order: PaperOrder, at: int) -> None:
        "One of a group filled: the rest is cancelled and the id is burned."
        self.burned.add(order.oco)
        for other in list(self.live.values()):
            if other.is_active and other.oco == order.oco and other is not order and other.account == order.account:
                self.end(other, at, "OCO")

    def attach(self, entry: PaperOrder, part: int, at: int) -> None:
        "An ATM template places its target and stop as the entry fills."
        target, stop = self.terms.templates[entry.template]
        entry.strategy_id = entry.strategy_id or self.new_id()
        self.bracket(
            entry,
            part,
            at,
            entry.average + entry.sign * target * tick_size(entry.instrument),
            entry.average - entry.sign * stop * tick_size(entry.instrument),
        )

    def bracket(
        self, entry: PaperOrder, quantity: int, at: int, target: float | None, stop: float | None
    ) -> list[PaperOrder]:
        "Target and stop as an OCO pair against `entry`'s side."
        action, group = ("SELL" if entry.sign > 0 else "BUY"), self.new_id()
        tick, made = tick_size(entry.instrument), []
        for kind, price, label in (("LIMIT", target, "Target1"), ("STOPMARKET", stop, "Stop1")):
            if price is None:
                continue
            price = round(price / tick) * tick
            made.append(
                PaperOrder(
                    self.new_id(),
                    entry.account,
                    entry.instrument,
                    action,
                    quantity,
                    kind,
                    at,
                    price if kind == "LIMIT" else 0.0,
                    price if kind != "LIMIT" else 0.0,
                    "GTC",
                    oco=group,
                    strategy_id=entry.strategy_id,
                    name=label,
                    active_from=at,
                )
            )
        for order in made:
            self.enter(self.accounts[order.account], order)
        return made
