"""Our books against the broker's: at start, after a crash, and on a timer, all by the same code. A difference locks
the instrument and says what to do."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from futures_algo.broker.models import Order
from futures_algo.core.types import MINUTE, BrokerError, Clock, InputError, WallClock
from futures_algo.execution.gate import Books
from futures_algo.execution.ledgers import DayResult, Difference, Ledger, compare, trading_day
from futures_algo.execution.orders import OURS, OrderManager, instrument_of
from futures_algo.execution.tracking import ENDED, UNKNOWN, Fill
from futures_algo.journal.journal import Journal

_STOPS = ("stop", "trail", "stop_order")


class Bookkeeper:
    "Ledgers, locks and reconciliation of one account."

    def __init__(
        self,
        client: Any,  # CrossTradeClient
        journal: Journal,  # Journal, writable
        *,
        account: str,  # NT8 account Name
        clock: Clock | None = None,
        dry_run: bool = True,
        grace_s: float = 10.0,  # how long a lost order may stay invisible before it counts as never arrived
    ):
        self.client, self.journal, self.account, self.clock = client, journal, account, clock or WallClock()
        self.orders = OrderManager(client, journal, self.clock, account, grace_s)
        self.orders.on_fill = self._on_fill
        self.books = Books(dry_run=dry_run)
        self.orders.dry_run = lambda: self.books.dry_run
        self.ledgers: dict[tuple[str, str], Ledger] = {}  # (strategy, instrument)
        self.marks: dict[str, float] = {}  # instrument -> last price known
        self.day = DayResult()
        self.broker_state = ("unknown", "")  # unknown, connected or down; and why
        self.account_value: float | None = None  # net liquidation, USD, as of the last reconciliation
        self._locks: dict[tuple[str, str], str] = {}  # (instrument, kind) -> reason
        self._at_broker: dict[str, int] = {}
        self._reported: set[str] = set()  # foreign orders told about

    # --- fills

    def _ledger(self, key: tuple[str, str]) -> Ledger:
        if key not in self.ledgers:
            self.ledgers[key] = Ledger(key[1])
        return self.ledgers[key]

    def _apply(self, fill: Fill) -> Ledger:
        "A fill moves its strategy's ledger and nothing else."
        ledger = self._ledger((fill.strategy, fill.instrument))
        gained = ledger.apply(fill.quantity, fill.price, fill.commission)
        self.marks[fill.instrument] = fill.price
        self._update_day(fill.at)
        if gained or not ledger.quantity:
            self._note_exit(fill, gained - fill.commission)
        return ledger

    def _note_exit(self, fill: Fill, gained: float) -> None:
        "Losses and stops in a row, for the gate's protections."
        if gained < 0:
            self.books.last_loss[fill.strategy] = fill.at
        if self.ledgers[fill.strategy, fill.instrument].quantity:
            return
        stopped = fill.reason in _STOPS and gained < 0
        self.books.stop_streak[fill.strategy] = self.books.stop_streak.get(fill.strategy, 0) + 1 if stopped else 0

    def _on_fill(self, fill: Fill) -> None:
        ledger = self._apply(fill)
        self.journal.add(
            "positions",
            at=fill.at,
            source="ledger",
            account=self.account,
            instrument=fill.instrument,
            strategy=fill.strategy,
            quantity=ledger.quantity,
            average_price=ledger.average_price,
            mark=fill.price,
        )

    def mark(self, instrument: str, price: float, at: int) -> None:
        "The market's last price (points) of a contract, for open profit and the delay part of slippage."
        self.marks[instrument] = price
        if trading_day(at) > self.day.day or any(
            ledger.quantity for (_, name), ledger in self.ledgers.items() if name == instrument
        ):
            self._update_day(at)

    def pnl_usd(self) -> float:
        "Realised and open profit of all ledgers after commission, since the journal began."
        return sum(
            ledger.realized_usd
            - ledger.commission_usd
            + ledger.open_usd(self.marks.get(ledger.instrument, ledger.average_price))
            for ledger in self.ledgers.values()
        )

    def _update_day(self, at: int) -> None:
        if self.day.update(at, self.pnl_usd()):
            self.books.stop_streak.clear()
        self.books.day_pnl_usd, self.books.day_best_usd = self.day.now_usd, self.day.best_usd

    def day_document(self) -> dict[str, Any]:
        "The day's result, and the prices what is open was valued at: what fills alone do not tell the next engine."
        return asdict(self.day) | {
            "marks": {
                name: self.marks[name]
                for (_, name), ledger in self.ledgers.items()
                if ledger.quantity and name in self.marks
            }
        }

    def _resume_day(self) -> None:
        "Take up the day where the engine before this one left it."
        saved = self.journal.status().get("day")
        if not saved or saved["day"] < self.day.day:
            return
        self.marks |= saved["marks"]
        self.day, now = DayResult(saved["day"], saved["start_usd"]), self.pnl_usd() - saved["start_usd"]
        self.day.now_usd, self.day.best_usd = now, max(saved["best_usd"], now)
        self.books.day_pnl_usd, self.books.day_best_usd = self.day.now_usd, self.day.best_usd

    # --- locks

    def _lock(self, instrument: str, kind: str, reason: str) -> None:
        if self._locks.get((instrument, kind)) == reason:
            return
        self._locks[instrument, kind] = reason
        self._show_locks(instrument)
        self.journal.add_event(self.clock.now(), "alarm", "lock", instrument, reason)

    def _unlock(self, instrument: str, kind: str) -> None:
        if not (reason := self._locks.pop((instrument, kind), None)):
            return
        self._show_locks(instrument)
        self.journal.add_event(self.clock.now(), "info", "unlock", instrument, f"settled: {reason}")

    def _show_locks(self, instrument: str) -> None:
        "The gate sees all reasons at once."
        reasons = [why for (name, _), why in self._locks.items() if name == instrument]
        if reasons:
            self.books.locked[instrument] = "; ".join(reasons)
        else:
            del self.books.locked[instrument]

    def _locked(self, kind: str) -> list[str]:
        return [name for name, of in self._locks if of == kind]

    def _lock_unknown(self) -> bool:
        "Lock what has an order of unknown outcome and open what has none any more; True when one was opened."
        doubtful = {order.instrument: order.order_id for order in self.orders.open.values() if order.state == UNKNOWN}
        for name, order_id in doubtful.items():
            self._lock(name, "unknown", f"the outcome of order {order_id} is unknown; it is being looked up")
        settled = [name for name in self._locked("unknown") if name not in doubtful]
        for name in settled:
            self._unlock(name, "unknown")
        return bool(settled)

    # --- reconciliation

    def reconcile(self) -> dict[str, tuple[int, int]]:
        """Compare the books; returns what differs, {instrument: (ours, theirs)}. A question that fails leaves the gate
        shut."""
        try:
            differ = self._compare_twice()
        except BrokerError as error:
            return self._unread(error)
        self.broker_state, self.books.reconciled = ("connected", ""), True
        self._lock_unknown()
        for difference in differ:
            self._lock(difference.instrument, "books", str(difference))
        still = {difference.instrument for difference in differ} | self.unsettled()
        for name in self._locked("books"):
            if name not in still:
                self._unlock(name, "books")
        return {difference.instrument: (difference.ours, difference.theirs) for difference in differ}

    def _unread(self, error: BrokerError) -> dict[str, Any]:
        if self.broker_state[0] != "down" or self.books.reconciled:
            self.journal.add_event(
                self.clock.now(), "alarm", "reconcile", self.account, f"the broker's books could not be read: {error}"
            )
        self.books.reconciled, self.broker_state = False, ("down", str(error))
        return {}

    def _compare_twice(self) -> list[Difference]:
        "A difference counts when it stands after another look at every order: a fill may fall between two questions."
        self.orders.poll()
        self._adopt_orders(self.client.get_orders(self.account, active_only=True))
        differ = compare(self.ledgers, self._positions(), self.unsettled())
        if not differ:
            return differ
        self._adopt_orders(self.client.get_orders(self.account, active_only=False))
        self.orders.poll()
        return compare(self.ledgers, self._positions(), self.unsettled())

    def unsettled(self) -> set[str]:
        "Instruments with an order whose fills are not all known."
        return {order.instrument for order in self.orders.open.values() if not order.is_resting}

    def _positions(self) -> dict[str, int]:
        "What the broker holds, journaled."
        rows, now = {p.instrument: p for p in self.client.get_positions(self.account)}, self.clock.now()
        held = {name: row.signed for name, row in rows.items()}
        for name in {*held, *(name for name, quantity in self._at_broker.items() if quantity)}:
            row = rows.get(name)
            self.journal.add(
                "positions",
                at=now,
                source="broker",
                account=self.account,
                instrument=name,
                strategy="",
                quantity=held.get(name, 0),
                average_price=row.average_price if row else 0.0,
                mark=row.market_price if row else None,
            )
        self._at_broker = held
        return held

    def read_account(self) -> float | None:
        "The account's net liquidation, USD, for sizing; None when the broker does not say."
        try:
            self.account_value = self.client.get_account(self.account).net_liquidation
        except BrokerError:
            self.account_value = None
        return self.account_value

    # --- orders nobody follows

    def _adopt_orders(self, rows: Iterable[Order]) -> None:
        "Ours that we gave up on too early are taken up again; those of others are reported."
        followed = {name for order in self.orders.open.values() for name in (order.order_id, *order.names)}
        for row in rows:
            if followed & _names(row):
                continue
            intent = next((found for name in sorted(_names(row)) if (found := self._intent(name))), None)
            if intent:
                self._adopt_order(intent, row)
            elif not row.is_terminal:
                self._report_foreign(row)

    def _intent(self, name: str) -> dict[str, Any] | None:
        return (
            self.journal.one("intents", "order_id", name)
            if name.startswith(OURS)
            else self.journal.one("intents", "broker_id", name)
        )

    def _adopt_order(self, intent: dict[str, Any], row: Order) -> None:
        booked = sum(fill["quantity"] for fill in self.journal.rows("fills", "order_id = ?", intent["order_id"]))
        if intent["order_id"] in self.orders.open or (
            row.is_terminal and row.filled <= booked and intent["state"] in ENDED
        ):
            return
        self.journal.add_event(
            self.clock.now(),
            "warning",
            "adopt",
            row.instrument,
            f"order {intent['order_id']} was {intent['state']} for us and is {row.state} at the broker",
        )
        order = self.orders.take_up(intent)
        order.names |= {row.order_id, row.ninjatrader_id} - {""}
        order.reported, order.average = max(row.filled, order.filled), row.average_price

    def _report_foreign(self, row: Order) -> None:
        "An order of somebody else: told once, never touched."
        if row.order_id in self._reported:
            return
        self._reported.add(row.order_id)
        self.journal.add_event(
            self.clock.now(),
            "warning",
            "foreign",
            row.instrument,
            f"working order {row.order_id} is not ours: {row.action} {row.quantity} {row.order_type} {row.state}",
        )

    # --- start-up

    def recover(self) -> dict[str, tuple[int, int]]:
        """Start-up, which is the same as crash recovery: ledgers from the journal's fills, open orders looked up, books
        compared."""
        self.ledgers.clear()
        reasons = {
            row["id"]: row["reason"] for row in self.journal.rows("signals", "verdict = 'sent' AND action LIKE '%EXIT'")
        }
        for row in self.journal.rows("fills", order="at, rowid"):
            sign = 1 if row["side"] == "BUY" else -1
            self._apply(
                Fill(
                    row["execution_id"],
                    row["order_id"],
                    row["strategy"],
                    row["instrument"],
                    row["quantity"] * sign,
                    row["price"],
                    row["commission"] or 0.0,
                    row["at"],
                    reasons.get(row["signal_id"], ""),
                )
            )
        self._resume_day()
        self.books.entries.clear()
        self.books.entries.extend(
            row["at"]
            for row in self.journal.rows(
                "intents", "purpose = 'entry' AND at > ?", self.clock.now() - MINUTE, order="at"
            )
        )
        self.orders.resume()
        return self.reconcile()

    # --- what a person may do about a lock

    def adopt(
        self,
        instrument: str,  # in any spelling
        who: str = "command",
        strategy: str = "manual",  # whose ledger takes it
        side: int = 0,  # +1 long, -1 short: take it only when it lies on this side; 0 takes either
    ) -> int:  # signed contracts taken
        "Take the broker's position into our books: the difference becomes a fill of a ledger."
        name = instrument_of(instrument, self.clock.now())
        difference = next((d for d in self._compare_twice() if d.instrument == name), None)
        if difference is None:
            raise InputError(
                "adoption",
                instrument,
                "must name an instrument whose books differ",
                f"locked: {', '.join(self._locked('books')) or 'none'}",
            )
        excess, now = difference.theirs - difference.ours, self.clock.now()
        if excess * side < 0:
            raise InputError(
                "adoption",
                f"{excess:+d}",
                "must lie on the strategy's side",
                "close it in NinjaTrader, or adopt it by hand",
            )
        owners = [
            f"{owner} holds {held:+d}" for owner, held in difference.shares if owner != "manual" and held * excess < 0
        ]
        if (
            strategy == "manual" and owners
        ):  # booked beside it, that strategy's exit would open a position the other way
            raise InputError(
                "adoption",
                f"{excess:+d}",
                f"must say whose contracts these were: {', '.join(owners)}",
                "name the strategy",
            )
        row = next((p for p in self.client.get_positions(self.account) if p.instrument == name), None)
        price = (row.market_price or row.average_price) if row else self.marks.get(name, 0.0)
        self._book_adopted(Fill(f"adopt-{name}-{now}", "", strategy, name, excess, price, 0.0, now), who)
        self.reconcile()
        return excess

    def _book_adopted(self, fill: Fill, who: str) -> None:
        self.journal.add(
            "fills",
            execution_id=fill.execution_id,
            order_id="",
            signal_id="",
            strategy=fill.strategy,
            account=self.account,
            instrument=fill.instrument,
            side="BUY" if fill.quantity > 0 else "SELL",
            quantity=abs(fill.quantity),
            price=fill.price,
            commission=0.0,
            at=fill.at,
        )
        self._on_fill(fill)
        self.journal.add_event(
            fill.at,
            "warning",
            "adopt",
            fill.instrument,
            f"{who} took {fill.quantity:+d} into the books as {fill.strategy}",
        )

    def unlock(self, instrument: str) -> None:
        "Open an instrument by command; refused while its books differ or an outcome is unknown."
        name = instrument_of(instrument, self.clock.now())
        self._unlock(name, "exit")
        self.reconcile()
        if name in self.books.locked:
            raise InputError("lock", name, f"stays: {self.books.locked[name]}")


def _names(row: Order) -> set[str]:
    "Every id an order may be known by, ours inside an OCO id included."
    return {
        row.order_id,
        row.original_id,
        row.ninjatrader_id,
        row.automated_id,
        row.name,
        row.oco_id.removeprefix("oco-"),
    } - {""}
