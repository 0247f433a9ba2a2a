"""The session's signals against its orders, orders against fills, fills against the model's, and the books against
both."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from futures_algo.core.contracts import product
from futures_algo.core.types import MINUTE, Bars, Signal
from futures_algo.execution.ledgers import Ledger
from futures_algo.execution.orders import split_slippage
from futures_algo.report.bars import MINUTE_BARS, difference
from futures_algo.report.causes import Cause, gate_cause
from futures_algo.report.facts import Facts
from futures_algo.report.signals import SignalCheck, signed
from futures_algo.strategies.checks import Difference

_ENDS = {
    "Rejected": Cause.BROKER_REJECT,
    "NotSent": Cause.NOT_SENT,
    "Cancelled": Cause.CANCELLED,
    "Unknown": Cause.OUTCOME_UNKNOWN,
    "Journaled": Cause.OUTCOME_UNKNOWN,
}


@dataclass
class OrderCheck:
    checked: int = 0
    duplicates: int = 0  # orders beyond one for a decision, or sent twice
    differences: list[Difference] = field(default_factory=list)
    causes: dict[str, Cause] = field(default_factory=dict)  # signal id -> why it has no fill, or fewer
    slippage: list[dict[str, Any]] = field(default_factory=list)  # a row a fill: points and dollars by part


@dataclass
class Desk:
    "Orders and fills of a session beside its signals."

    facts: Facts
    signals: SignalCheck
    tolerance_ticks: float  # how far outside the minutes' range a fill may lie
    check: OrderCheck = field(default_factory=OrderCheck)

    @cached_property
    def by_signal(self) -> dict[str, list[dict[str, Any]]]:
        found = defaultdict(list)
        for row in self.facts.tables["intents"]:
            if row["signal_id"]:
                found[row["signal_id"]].append(row)
        return found

    @cached_property
    def sent_later(self) -> set[str]:
        return {row["signal_id"] for row in self.facts.tables["later_intents"]}

    @cached_property
    def known_orders(self) -> set[str]:
        return {row["order_id"] for row in self.facts.tables["filled_intents"]}

    @cached_property
    def session_orders(self) -> set[str]:
        return {row["order_id"] for row in self.facts.tables["intents"]}

    @cached_property
    def fills(self) -> dict[str, list[dict[str, Any]]]:
        found = defaultdict(list)
        for row in self.facts.tables["order_fills"]:
            found[row["order_id"]].append(row)
        return found

    def run(self) -> OrderCheck:
        for row in self.facts.tables["signals"]:
            self._signal(row)
        for row in self.facts.tables["intents"]:
            self._intent(row)
        self._sent_twice()
        for row in self.facts.tables["fills"]:
            self._fill(row)
        for row in self.facts.tables["events"]:
            if row["kind"] == "resting":
                self._resting(row)
        self._ledgers()
        self._broker()
        return self.check

    def _note(self, kind: str, identity: str, at: int, cause: Cause, **detail: Any) -> None:
        self.check.differences.append(difference(kind, identity, at, cause, **detail))

    # --- signals against orders

    def _signal(self, row: dict[str, Any]) -> None:
        "A signal that was sent has its order; one that was not has its reason."
        self.check.checked += 1
        orders = [order for order in self.by_signal.get(row["id"], []) if order["purpose"] in ("entry", "exit")]
        if orders:
            return self._attempts(row, orders)
        if row["verdict"] == "resting":
            return  # its order was at the broker already; where that differed an event says why
        cause = Cause.UNEXPLAINED
        if row["verdict"] == "pending" or row["id"] in self.sent_later:
            cause = Cause.WAITING
        elif row["verdict"] in ("denied", "dry_run"):
            cause = gate_cause(row["denial"])
        self.check.causes[row["id"]] = cause
        self._note(
            "order",
            row["id"],
            row["bar_end"],
            cause,
            what="not sent",
            strategy=row["strategy"],
            action=row["action"],
            verdict=row["verdict"],
            why=row["detail"] or "",
        )

    def _resting(self, row: dict[str, Any]) -> None:
        "Where bars and broker differed in a resting order, with both prices."
        self.check.checked += 1
        told = json.loads(row["data"] or "{}")
        if cause := Cause.__members__.get(str(told.get("cause", "")).upper()):
            prices = {name: told.get(name) for name in ("order", "model", "broker")}
            self._note("fill", row["subject"], row["at"], cause, what=row["message"], **prices)

    def _attempts(self, row: dict[str, Any], orders: list[dict[str, Any]]) -> None:
        "One order a decision; another only when the one before it ended without its fills."
        if row["verdict"] not in ("sent", "pending"):
            self._note(
                "order",
                row["id"],
                row["bar_end"],
                Cause.UNEXPLAINED,
                what=f"sent although the verdict is {row['verdict']}",
            )
        for order in orders:
            side = "BUY" if signed(row["action"]) > 0 else "SELL"
            if order["action"] != side:
                self._note(
                    "order",
                    order["order_id"],
                    order["at"],
                    Cause.UNEXPLAINED,
                    what=f"{order['action']} for {row['action']}",
                )
        if (quantity := orders[0]["quantity"]) != row["quantity"]:
            self.check.causes[row["id"]] = cause = self._why_sized(row, orders[0])
            self._note(
                "order",
                orders[0]["order_id"],
                orders[0]["at"],
                cause,
                what="quantity",
                signal=row["quantity"],
                order=quantity,
            )
        for before, order in zip(orders, orders[1:]):
            cause = (
                Cause.RETRY
                if self._filled(before) < before["quantity"] and before["state"] in _ENDS
                else Cause.UNEXPLAINED
            )
            self.check.duplicates += cause is Cause.UNEXPLAINED
            self._note(
                "order",
                order["order_id"],
                order["at"],
                cause,
                what="another order for the signal",
                signal_id=row["id"],
                before=before["order_id"],
                state=before["state"],
            )

    def _why_sized(self, row: dict[str, Any], order: dict[str, Any]) -> Cause:
        "Why an order is not of its signal's size: an entry is sized by risk; an exit must close what the ledger holds."
        if row["action"].endswith("ENTRY"):
            entry = self.facts.config_at(row["bar_end"]).get("strategies", {}).get(row["strategy"], {})
            return Cause.SIZING if entry.get("risk_per_trade_usd") else Cause.UNEXPLAINED
        own = [
            fill
            for fill in self.facts.tables["all_fills"]
            if (fill["strategy"], fill["instrument"]) == (order["strategy"], order["instrument"])
            and fill["order_id"] != order["order_id"]
        ]
        before = [fill for fill in own if fill["at"] <= order["at"]]
        if abs(sum(fill["quantity"] * (1 if fill["side"] == "BUY" else -1) for fill in before)) != order["quantity"]:
            return Cause.UNEXPLAINED
        if any(not fill["order_id"] for fill in before):
            return Cause.MANUAL_TRADE
        short = [
            one
            for one in self.facts.tables["intents"]
            if one["strategy"] == row["strategy"]
            and one["at"] <= order["at"]
            and 0 < self._filled(one) < one["quantity"]
        ]
        return Cause.PARTIAL_FILL if short else Cause.LEDGER_HELD

    def _filled(self, order: dict[str, Any]) -> int:
        return sum(fill["quantity"] for fill in self.fills.get(order["order_id"], []))

    # --- orders against fills

    def _intent(self, row: dict[str, Any]) -> None:
        self.check.checked += 1
        if row["signal_id"] not in self.facts.signals or row["purpose"] in ("stop", "target"):
            cause = Cause.UNEXPLAINED if row["signal_id"] else Cause.BY_HAND
            if row["purpose"] in ("stop", "target"):
                cause = Cause.PROTECTIVE_LEG
            self._note(
                "order",
                row["order_id"],
                row["at"],
                cause,
                what="no signal",
                purpose=row["purpose"],
                strategy=row["strategy"],
            )
        filled, state = self._filled(row), row["state"]
        if filled == row["quantity"] and state == "Filled":
            return
        cause = self._why_short(filled, row)
        if row["purpose"] in ("stop", "target") and cause in (Cause.CANCELLED, Cause.WORKING):
            return  # a leg that was not needed
        if row["signal_id"]:
            self.check.causes[row["signal_id"]] = cause
        last = next(
            (
                event["detail"]
                for event in reversed(self.facts.tables["order_events"])
                if event["order_id"] == row["order_id"] and event["detail"]
            ),
            "",
        )
        self._note(
            "fill",
            row["order_id"],
            row["at"],
            cause,
            what=f"{filled} of {row['quantity']} filled",
            state=state,
            why=last,
        )

    def _why_short(self, filled: int, row: dict[str, Any]) -> Cause:
        "Why an order's fills are not its quantity."
        if filled > row["quantity"] or row["state"] == "Filled":
            return Cause.UNEXPLAINED
        if 0 < filled and row["state"] in _ENDS:
            return Cause.PARTIAL_FILL
        return _ENDS.get(row["state"], Cause.WORKING)

    def _sent_twice(self) -> None:
        placed = Counter(
            row["order_id"]
            for row in self.facts.tables["requests"]
            if row["method"] == "POST" and str(row["path"]).endswith("/place") and row["order_id"]
        )
        for identity, times in placed.items():
            if times < 2:
                continue
            self.check.duplicates += times - 1
            at = next(row["at"] for row in self.facts.tables["requests"] if row["order_id"] == identity)
            self._note("order", identity, at, Cause.UNEXPLAINED, what=f"sent {times} times")

    # --- fills against the model's

    def _fill(self, row: dict[str, Any]) -> None:
        "A fill is compared with what research takes the same decision to cost."
        self.check.checked += 1
        if row["order_id"] not in self.known_orders:
            cause = Cause.MANUAL_TRADE if str(row["execution_id"]).startswith("adopt-") else Cause.UNEXPLAINED
            return self._note(
                "fill",
                row["execution_id"],
                row["at"],
                cause,
                what="no order",
                strategy=row["strategy"],
                instrument=row["instrument"],
            )
        model = self.signals.model.get(row["signal_id"])
        if model is None:
            return  # the signal itself differs and is accounted for
        if not self._traded(model, row):
            return self._note(
                "fill",
                row["execution_id"],
                row["at"],
                Cause.UNEXPLAINED,
                what="the price did not trade then",
                price=row["price"],
            )
        price = model_price(model, self.signals.bars[model.id])
        if price is None:
            return self._note("fill", row["execution_id"], row["at"], Cause.NO_MODEL_PRICE, price=row["price"])
        self._slip(row, model, price)

    def _slip(self, row: dict[str, Any], model: Signal, price: float) -> None:
        "The parts of a fill's slippage against the model's price; they add up."
        sign, dollars = signed(model.action), product(model.symbol).point_value * row["quantity"]
        delay, execution = split_slippage(row)
        gap = ((row["reference_price"] or price) - price) * sign
        parts = {
            "gap": gap,
            "delay": delay or 0.0,
            "execution": (
                execution if execution is not None else (row["price"] - (row["reference_price"] or price)) * sign
            ),
        }
        total = (row["price"] - price) * sign
        told = {
            "strategy": row["strategy"],
            "symbol": model.symbol,
            "action": model.action,
            "at": row["at"],
            "model_price": price,
            "price": row["price"],
            "quantity": row["quantity"],
            **{f"{name}_points": round(points, 9) for name, points in parts.items()},
            "total_points": round(total, 9),
            "total_usd": round(total * dollars, 6),
        }
        self.check.slippage.append(told)
        if abs(total) > 1e-9:
            self._note(
                "fill",
                row["execution_id"],
                row["at"],
                Cause.SLIPPAGE,
                **{name: value for name, value in told.items() if name != "at"},
            )

    def _traded(self, model: Signal, row: dict[str, Any]) -> bool:
        "Whether the fill's price lies in the range of the minutes around it."
        bars = self.facts.bars[model.symbol][MINUTE_BARS]
        first, last = (
            np.searchsorted(bars.end, model.bar_end),
            np.searchsorted(bars.start, max(row["at"], model.bar_end) + MINUTE, "right"),
        )
        room = self.tolerance_ticks * product(model.symbol).tick_size
        if model.reason == "roll" and abs(row["price"] - model.price) <= room:
            return True  # the old contract's last close, perhaps of last week
        return (
            not last > first or bars.low[first:last].min() - room <= row["price"] <= bars.high[first:last].max() + room
        )

    # --- books

    def ledgers(self, until: int | None = None, later: bool = False) -> dict[tuple[str, str], Ledger]:
        "The ledgers that the journal's fills make; with `later` those after the close too."
        found: dict[tuple[str, str], Ledger] = {}
        known = {row["execution_id"] for row in self.facts.tables["all_fills"]}
        more = [row for row in self.facts.tables["order_fills"] if row["execution_id"] not in known] if later else []
        for row in [*self.facts.tables["all_fills"], *more]:
            if until is not None and row["at"] > until:
                continue
            ledger = found.setdefault((row["strategy"], row["instrument"]), Ledger(row["instrument"]))
            ledger.apply(row["quantity"] * (1 if row["side"] == "BUY" else -1), row["price"], row["commission"] or 0.0)
        return found

    def _ledgers(self) -> None:
        "What the engine wrote of a ledger last is what its fills make."
        made = self.ledgers()
        written = {
            (row["strategy"], row["instrument"]): row
            for row in self.facts.tables["positions"]
            if row["source"] == "ledger"
        }
        for key in sorted(
            {(row["strategy"], row["instrument"]) for row in self.facts.tables["fills"]} | written.keys()
        ):
            self.check.checked += 1
            ours, row = made.get(key, Ledger(key[1])), written.get(key)
            if (
                row
                and row["quantity"] == ours.quantity
                and abs((row["average_price"] or 0.0) - ours.average_price) < 1e-6
            ):
                continue
            self._note(
                "position",
                " ".join(key),
                row["at"] if row else self.facts.end,
                Cause.UNEXPLAINED,
                fills_make=ours.quantity,
                journal_says=row and row["quantity"],
            )

    def _broker(self) -> None:
        "The broker's last word on an instrument, when it came after our last fill."
        ours: Counter[str] = Counter()
        after: Counter[str] = Counter()  # at the close; and with what the session's orders filled after it
        for (_, instrument), ledger in self.ledgers().items():
            ours[instrument] += ledger.quantity
        for (_, instrument), ledger in self.ledgers(later=True).items():
            after[instrument] += ledger.quantity
        last = {row["instrument"]: row for row in self.facts.tables["positions"] if row["source"] == "ledger"}
        for name, row in {
            row["instrument"]: row for row in self.facts.tables["positions"] if row["source"] == "broker"
        }.items():
            if name in last and last[name]["seq"] > row["seq"]:
                continue
            self.check.checked += 1
            if row["quantity"] in (ours[name], after[name]):
                continue
            said = any(
                event["kind"] in ("reconcile", "lock", "foreign") and event["subject"] == name
                for event in self.facts.tables["events"]
            )
            self._note(
                "position",
                name,
                row["at"],
                Cause.BOOKS_DIFFER if said else Cause.UNEXPLAINED,
                ours=ours[name],
                broker=row["quantity"],
            )


def model_price(signal: Signal, base: Bars) -> float | None:
    """Where research fills a decision: the next base bar's open; at a roll the old contract's last close; None without
    a next bar."""
    if signal.reason == "roll":
        return signal.price
    row = int(np.searchsorted(base.end, signal.bar_end)) + 1
    if row >= len(base):
        return None
    return float(base.close[row - 1] if base.contract[row] != base.contract[row - 1] else base.open[row])
