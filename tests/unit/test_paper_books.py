"Whatever is done at the paper broker, its books add up."

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from futures_algo.core.contracts import product
from futures_algo.core.types import MINUTE, Bar, DataClock
from futures_algo.sim.books import Books
from futures_algo.sim.faults import FaultPlan, Variants
from futures_algo.sim.fills import FillRules, PriceBook
from futures_algo.sim.ledger import TERMINAL, Refusal, Terms

BEGIN, ES = 29_383_260 * MINUTE, "ES 12-25"
STEPS = st.lists(st.integers(-8, 8), min_size=3, max_size=20)


def tape(steps: list[int]) -> list[Bar]:
    "A random walk of whole ticks as one-minute bars."
    bars, price = [], 5850.0
    for i, step in enumerate(steps):
        close = price + step * 0.25
        bars.append(
            Bar(
                "ES.c.0",
                "1min",
                BEGIN + i * MINUTE,
                BEGIN + (i + 1) * MINUTE,
                price,
                max(price, close) + 0.25,
                min(price, close) - 0.25,
                close,
                10 + 7 * i,
                "ESZ5",
            )
        )
        price = close
    return bars


class BooksMachine(RuleBasedStateMachine):
    "Orders, cancels, brackets, manual trades, time, restarts, in any order."

    @initialize(
        steps=STEPS,
        participation=st.sampled_from([None, 0.1]),
        partial=st.sampled_from(["whole", "half"]),
        limit=st.sampled_from(["touch", "through"]),
        instant=st.booleans(),
    )
    def open(self, steps, participation, partial, limit, instant):
        self.clock, self.prices, self.ended = DataClock(BEGIN), PriceBook(tape(steps)), {}
        self.parts = (
            FillRules(limit=limit, participation=participation, slippage_ticks=1),
            Terms(start_cash=1e7),
            Variants(partial=partial, instant=instant),
            FaultPlan(),
        )
        self.books = self.fresh()

    def fresh(self) -> Books:
        return Books(self.prices, self.clock, {"Sim101": "Sim101"}, *self.parts)

    @property
    def account(self):
        return self.books.accounts["Sim101"]

    @rule(
        action=st.sampled_from(["BUY", "SELL"]),
        kind=st.sampled_from(["MARKET", "LIMIT", "STOPMARKET", "STOPLIMIT"]),
        quantity=st.integers(1, 4),
        ticks=st.integers(-6, 6),
        oco=st.sampled_from(["", "a", "b"]),
        template=st.sampled_from(["", "", "Bracket"]),
    )
    def place(self, action, kind, quantity, ticks, oco, template):
        price = 5850.0 + ticks * 0.25
        fields = {
            "instrument": ES,
            "action": action,
            "quantity": quantity,
            "orderType": kind,
            "timeInForce": "DAY",
            "limitPrice": price,
            "stopPrice": price,
            "ocoId": oco,
            "strategy": template,
        }
        self.books.place(self.account, fields)

    @rule(quantity=st.integers(1, 9))
    def script_a_part(self, quantity):
        self.books.faults.add("partial", quantity=quantity)

    @rule(minutes=st.integers(0, 6))
    def pass_time(self, minutes):
        self.clock.advance(self.clock.now() + minutes * MINUTE + 1)
        self.books.settle()

    @rule(which=st.integers(0, 30))
    def cancel(self, which):
        orders = list(self.books.orders)
        try:
            self.books.cancel(orders[which % len(orders)] if orders else "nobody")
        except Refusal as refusal:
            assert "not found or already terminal" in refusal.body["error"]

    @rule(quantity=st.integers(1, 3), action=st.sampled_from(["BUY", "SELL"]))
    def trade_by_hand(self, quantity, action):
        self.books.trade(self.account, ES, action, quantity)

    @rule()
    def restart(self):
        kept, self.books = json.dumps(self.books.to_dict()), self.fresh()
        self.books.restore(json.loads(kept))
        assert json.dumps(self.books.to_dict()) == kept

    @invariant()
    def the_position_is_the_sum_of_the_fills(self):
        assert self.account.held(ES) == sum(row["sign"] * row["quantity"] for row in self.books.executions)

    @invariant()
    def cash_and_open_profit_are_what_the_fills_paid(self):
        paid = (
            sum(
                -row["sign"] * row["quantity"] * row["price"] - row["commission"] / product(ES).point_value
                for row in self.books.executions
            )
            * product(ES).point_value
        )
        held = self.account.holdings.get(ES)
        worth = held.quantity * held.average * product(ES).point_value if held else 0.0
        assert abs(self.account.start_cash + paid + worth - self.account.cash) < 1e-3

    @invariant()
    def orders_fill_no_more_than_asked_and_their_fills_are_recorded(self):
        for order in self.books.orders.values():
            assert (
                order.filled
                == sum(row["quantity"] for row in self.books.executions if row["order_id"] == order.order_id)
                <= order.quantity
            )
            assert (order.state == "Filled") == (order.filled == order.quantity)

    @invariant()
    def what_has_ended_stays_ended(self):
        for order in self.books.orders.values():
            now = order.state, order.filled, len(order.events)
            if order.state in TERMINAL:
                assert self.ended.setdefault(order.order_id, now) == now

    @invariant()
    def every_active_order_is_live(self):
        assert {order.order_id for order in self.books.orders.values() if order.is_active} <= set(self.books.live)


class TestBooks(BooksMachine.TestCase):
    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
