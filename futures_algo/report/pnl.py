"""Where the session's money went: from what the model would have made to what the account made, every dollar with its
cause."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from futures_algo.core.contracts import Contract, product
from futures_algo.execution.orders import instrument_of
from futures_algo.report.bars import MINUTE_BARS
from futures_algo.report.causes import Cause, gate_cause
from futures_algo.report.facts import Facts
from futures_algo.report.orders import Desk, model_price
from futures_algo.report.signals import SignalCheck, signed


def marks(facts: Facts, at: int) -> dict[str, float]:
    "The last close of every contract known at a moment, by NinjaTrader's name and by its code."
    found: dict[str, float] = {}
    for bars in (frames[MINUTE_BARS] for frames in facts.bars.values() if MINUTE_BARS in frames):
        for code, contract in enumerate(bars.contracts):
            rows = np.flatnonzero((bars.contract == code) & (bars.end <= at))
            if not len(rows) or not contract:
                continue
            found[contract] = found[instrument_of(contract, int(bars.end[rows[-1]]))] = float(bars.close[rows[-1]])
    return found


def pnl_table(facts: Facts, signals: SignalCheck, desk: Desk) -> list[dict[str, Any]]:
    "A row a strategy and product: the model's dollars, what each cause took from them, and the account's."
    before, after = marks(facts, facts.start), marks(facts, facts.end)
    lines: dict[tuple[str, str], Line] = {}
    line = lambda strategy, root: lines.setdefault((strategy, root), Line(strategy, root))
    filled: Counter[str] = Counter()
    for row in facts.tables["fills"]:
        line(row["strategy"], Contract.parse(row["instrument"]).root).add_fill(row, signals, desk, after)
        filled[row["signal_id"]] += row["quantity"]
    for signal in sorted(signals.model.values(), key=lambda signal: (signal.bar_end, signal.is_entry)):
        line(signal.strategy, product(signal.symbol).root).add_model(signal, signals, desk, after, filled[signal.id])
    for (strategy, contract), held in signals.held.items():
        line(strategy, Contract.parse(contract).root).carry("model_usd", contract, held, before, after)
    for (strategy, instrument), ledger in desk.ledgers(facts.start - 1).items():
        if ledger.quantity:
            line(strategy, Contract.parse(instrument).root).carry(
                "account_usd", instrument, ledger.quantity, before, after
            )
    return [made.as_row() for _, made in sorted(lines.items())]


class Line:
    "Dollars of one strategy in one product."

    def __init__(self, strategy: str, root: str):
        self.strategy, self.root, self.point_value = strategy, root, product(root).point_value
        self.usd: defaultdict[str, float] = defaultdict(float)  # model_usd, account_usd, commission_usd
        self.causes: defaultdict[str, float] = defaultdict(float)  # cause code -> dollars between model and account
        self.missed: Cause | None = (
            Cause.CARRIED_POSITION
        )  # why the latest entry was not filled; an exit without one in the session closes what was carried
        self.closed_by: Cause | None = None  # why there was a fill the model does not have

    def carry(self, what: str, contract: str, held: int, before: dict[str, float], after: dict[str, float]) -> None:
        """What a position from before the session made in it; only one of the two books holding it is a cause of its
        own."""
        made = held * (after.get(contract, 0.0) - before.get(contract, after.get(contract, 0.0))) * self.point_value
        self.usd[what] += made
        self.causes["carried_position"] += made if what == "account_usd" else -made

    def add_fill(self, row: dict[str, Any], signals: SignalCheck, desk: Desk, after: dict[str, float]) -> None:
        "A fill's dollars to the session's last price, and how they differ from the model's."
        sign, quantity = (1 if row["side"] == "BUY" else -1), row["quantity"]
        worth = sign * quantity * (after.get(row["instrument"], row["price"]) - row["price"]) * self.point_value
        self.usd["account_usd"] += worth
        self.usd["commission_usd"] += row["commission"] or 0.0
        model = signals.model.get(row["signal_id"])
        price = model and model_price(model, signals.bars[model.id])
        if price is None:
            self.closed_by = (
                Cause.CARRIED_POSITION
                if row["order_id"] and row["order_id"] not in desk.session_orders
                else self._why_extra(row, signals)
            )
            self.causes[self.closed_by.code] += worth
        else:
            self.causes[Cause.SLIPPAGE.code] -= sign * quantity * (row["price"] - price) * self.point_value

    def _why_extra(self, row: dict[str, Any], signals: SignalCheck) -> Cause:
        if row["signal_id"] in signals.model:
            return Cause.NO_MODEL_PRICE
        if row["signal_id"] in signals.causes:
            return signals.causes[row["signal_id"]]
        if not row["order_id"]:
            return Cause.MANUAL_TRADE
        return Cause.UNEXPLAINED if row["signal_id"] else Cause.PROTECTIVE_LEG

    def add_model(self, signal: Any, signals: SignalCheck, desk: Desk, after: dict[str, float], filled: int) -> None:
        "A decision's dollars to the session's last price; what was not filled of it has its cause."
        price = model_price(signal, signals.bars[signal.id])
        if price is None:
            return
        one = signed(signal.action) * (after.get(signal.contract, price) - price) * self.point_value
        self.usd["model_usd"] += one * signal.quantity
        cause = signals.causes.get(signal.id) or desk.check.causes.get(signal.id) or Cause.UNEXPLAINED
        if signal.is_entry:
            self.missed = cause if filled != signal.quantity else None
        elif cause is gate_cause("NOTHING_TO_EXIT"):
            cause = self.missed or self.closed_by or cause  # one trade, one cause
        if filled != signal.quantity:
            self.causes[cause.code] -= one * (signal.quantity - filled)

    def as_row(self) -> dict[str, Any]:
        causes = {code: round(dollars, 2) for code, dollars in self.causes.items() if abs(dollars) > 0.005}
        left = self.usd["account_usd"] - self.usd["model_usd"] - sum(self.causes.values())
        return {
            "strategy": self.strategy,
            "product": self.root,
            "model_usd": round(self.usd["model_usd"], 2),
            "account_usd": round(self.usd["account_usd"], 2),
            "commission_usd": round(self.usd["commission_usd"], 2),
            "net_usd": round(self.usd["account_usd"] - self.usd["commission_usd"], 2),
            "difference_usd": round(self.usd["account_usd"] - self.usd["model_usd"], 2),
            "causes": causes,
            "left_usd": round(left, 2),
        }


# --- over the session's minutes


def equity(facts: Facts, signals: SignalCheck, desk: Desk) -> dict[str, list]:
    """Dollars made since the session's open, a value a minute: the model's, the account's, and the account's after
    commission."""
    before = marks(facts, facts.start)
    minutes = np.unique(
        np.concatenate([frames[MINUTE_BARS].end for frames in facts.bars.values() if MINUTE_BARS in frames])
    )
    minutes = minutes[minutes > facts.start]
    prices = _prices(facts, minutes, before)
    fills = [
        (row["at"], row["instrument"], row["quantity"] * (1 if row["side"] == "BUY" else -1), row["price"])
        for row in facts.tables["fills"]
    ]
    model = [
        (signal.bar_end + 1, signal.contract, signed(signal.action) * signal.quantity, price)
        for signal in signals.model.values()
        if (price := model_price(signal, signals.bars[signal.id])) is not None
    ]
    held = [
        (facts.start, contract, quantity, before.get(contract, 0.0))
        for (_, contract), quantity in signals.held.items()
        if contract in before
    ]
    kept = [
        (facts.start, instrument, ledger.quantity, before[instrument])
        for (_, instrument), ledger in desk.ledgers(facts.start - 1).items()
        if ledger.quantity and instrument in before
    ]
    account = _worth(minutes, kept + fills, prices)
    paid = np.array([row["commission"] or 0.0 for row in facts.tables["fills"]])[
        np.argsort([row["at"] for row in facts.tables["fills"]], kind="stable")
    ]
    spent = np.concatenate([[0.0], np.cumsum(paid)])[
        np.searchsorted(np.sort([row["at"] for row in facts.tables["fills"]]), minutes, "right")
    ]
    return {
        "time": minutes.tolist(),
        "model_usd": _worth(minutes, held + model, prices).round(2).tolist(),
        "account_usd": account.round(2).tolist(),
        "net_usd": (account - spent).round(2).tolist(),
    }


def _prices(facts: Facts, minutes: np.ndarray, before: dict[str, float]) -> dict[str, np.ndarray]:
    "The last close of each contract at every minute, under both its names."
    found: dict[str, np.ndarray] = {}
    for bars in (frames[MINUTE_BARS] for frames in facts.bars.values() if MINUTE_BARS in frames):
        for code, contract in enumerate(bars.contracts):
            own = bars[bars.contract == code]
            if not contract or not len(own):
                continue
            rows = np.searchsorted(own.end, minutes, "right") - 1
            found[contract] = found[instrument_of(contract, int(own.end[-1]))] = np.where(
                rows >= 0, own.close[rows], own.open[0]
            )
    return found


def _worth(minutes: np.ndarray, trades: list[tuple[int, str, int, float]], prices: dict[str, np.ndarray]) -> np.ndarray:
    "What trades (time, contract, signed quantity, price) are worth at every minute."
    total = np.zeros(len(minutes))
    for at, contract, quantity, price in trades:
        if contract not in prices:
            continue
        row = int(np.searchsorted(minutes, at))
        total[row:] += quantity * (prices[contract][row:] - price) * product(Contract.parse(contract).root).point_value
    return total
