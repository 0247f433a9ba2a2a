"What each strategy holds, on which side it may stand, and what the day brought."

from dataclasses import asdict
from typing import Any

from futures_algo.execution.context import Context
from futures_algo.execution.ledgers import DayResult, Ledger, trading_day
from futures_algo.execution.open_order import Fill

_STOPS = ("stop", "trail", "stop_order")
Key = tuple[str, str]  # strategy, instrument


class LedgerBook:
    "Ledgers moved by fills and by nothing else."

    def __init__(self, context: Context):
        self._context = context
        self.ledgers: dict[Key, Ledger] = {}
        self.sides: dict[Key, int] = {}  # the side each strategy last asked for: +1, -1
        self.day = DayResult()

    def ledger(self, key: Key) -> Ledger:
        if key not in self.ledgers:
            self.ledgers[key] = Ledger(key[1])
        return self.ledgers[key]

    def held(self, key: Key) -> int:
        "Signed contracts."
        return self.ledgers[key].quantity if key in self.ledgers else 0

    def net(self, instrument: str) -> int:
        "Signed contracts of all ledgers together."
        return sum(ledger.quantity for (_, name), ledger in list(self.ledgers.items()) if name == instrument)

    def against(self, key: Key, side: int) -> int:
        "Contracts that other ledgers of the instrument hold on the other side."
        others = (held.quantity for other, held in list(self.ledgers.items()) if other[1] == key[1] and other != key)
        return sum(abs(quantity) for quantity in others if quantity * side < 0)

    def is_wrong_side(self, key: Key) -> bool:
        "Whether a ledger stands where its strategy never asked it to: exits closed more than it held."
        return key[0] != "manual" and self.held(key) * self.sides.get(key, 0) < 0

    def apply(self, fill: Fill) -> Ledger:
        "Book a fill: its strategy's ledger, the day, and the gate's protections."
        key = fill.strategy, fill.instrument
        ledger = self.ledger(key)
        gained = ledger.apply(fill.quantity, fill.price, fill.commission)
        if ledger.quantity and (fill.purpose == "entry" or not fill.order_id):
            sign = 1 if ledger.quantity > 0 else -1
            asked = 1 if fill.quantity > 0 else -1
            self.sides[key] = asked if fill.order_id else sign
        self._context.marks[fill.instrument] = fill.price
        self.update_day(fill.at)
        if gained or not ledger.quantity:
            self._note_exit(fill, gained - fill.commission)
        return ledger

    def _note_exit(self, fill: Fill, gained: float) -> None:
        "Losses and stops in a row, for the gate's protections."
        risk = self._context.risk
        if gained < 0:
            risk.last_loss[fill.strategy] = fill.at
        if self.held((fill.strategy, fill.instrument)):
            return
        stopped = fill.reason in _STOPS and gained < 0
        risk.stop_streak[fill.strategy] = risk.stop_streak.get(fill.strategy, 0) + 1 if stopped else 0

    def mark(self, instrument: str, price: float, at: int) -> None:
        "The market's last price (points) of a contract, for open profit and the delay part of slippage."
        self._context.marks[instrument] = price
        holds = any(ledger.quantity for (_, name), ledger in list(self.ledgers.items()) if name == instrument)
        if trading_day(at) > self.day.day or holds:
            self.update_day(at)

    def pnl_usd(self) -> float:
        "Realised and open profit of all ledgers after commission, since the journal began."
        price = self._context.marks.get
        return sum(
            ledger.realized_usd
            - ledger.commission_usd
            + ledger.open_usd(price(ledger.instrument, ledger.average_price))
            for ledger in list(self.ledgers.values())
        )

    def update_day(self, at: int) -> None:
        risk = self._context.risk
        if self.day.update(at, self.pnl_usd()):
            risk.stop_streak.clear()
        risk.day_pnl_usd, risk.day_best_usd = self.day.now_usd, self.day.best_usd

    def day_document(self) -> dict[str, Any]:
        "The day's result, and the prices what is open was valued at: what fills alone do not tell the next engine."
        marks = self._context.marks
        held = {
            name: marks[name] for (_, name), ledger in list(self.ledgers.items()) if ledger.quantity and name in marks
        }
        return asdict(self.day) | {"marks": held}

    # --- from the journal

    def recover(self) -> None:
        "Ledgers from the journal's fills, and the day where the engine before this one left it."
        journal = self._context.journal
        self.ledgers.clear()
        self.sides.clear()
        reasons = {r["id"]: r["reason"] for r in journal.rows("signals", "verdict = 'sent' AND action LIKE '%EXIT'")}
        purposes = {row["order_id"]: row["purpose"] for row in journal.rows("intents")}
        for row in journal.rows("fills", order="at, rowid"):
            self.apply(_fill(row, reasons, purposes))
        self._resume_day()

    def _resume_day(self) -> None:
        saved = self._context.journal.status().get("day")
        if not saved or saved["day"] < self.day.day:
            return
        self._context.marks |= saved["marks"]
        self.day, now = DayResult(saved["day"], saved["start_usd"]), self.pnl_usd() - saved["start_usd"]
        self.day.now_usd, self.day.best_usd = now, max(saved["best_usd"], now)
        self._context.risk.day_pnl_usd, self._context.risk.day_best_usd = self.day.now_usd, self.day.best_usd


def _fill(row: dict[str, Any], reasons: dict[str, str], purposes: dict[str, str]) -> Fill:
    "A row of the journal's `fills`."
    sign = 1 if row["side"] == "BUY" else -1
    reason, purpose = reasons.get(row["signal_id"], ""), purposes.get(row["order_id"], "entry")
    moved = (row["quantity"] * sign, row["price"], row["commission"] or 0.0, row["at"])
    return Fill(row["execution_id"], row["order_id"], row["strategy"], row["instrument"], *moved, reason, purpose)
