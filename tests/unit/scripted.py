"""Bars whose volume says what a strategy does, so that a test writes decisions down and every engine runs them the
ordinary way."""

import numpy as np

from futures_algo.core.types import MINUTE, Bars, to_nanos
from futures_algo.strategies import BaseStrategy

BUY, SELL, SHORT, COVER = 1, 2, 4, 8
START = to_nanos("2025-09-15T14:00:00Z")  # a Monday morning in Chicago


class Scripted(BaseStrategy):
    "Bits of the volume: enter long 1, leave it 2, enter short 4, leave it 8."

    def indicators(self):
        return {"1min": []}

    def entry(self, x):
        return self._said(x, BUY)

    def exit(self, x):
        return self._said(x, SELL)

    def short_entry(self, x):
        return self._said(x, SHORT)

    def short_exit(self, x):
        return self._said(x, COVER)

    @staticmethod
    def _said(x, bit: int):
        return np.nan_to_num(x.volume).astype(np.int64) & bit > 0


def scripted_bars(symbol: str, opens, closes, said, contracts=None, start: int = START) -> Bars:
    "One-minute bars; `contracts` names each bar's contract."
    opens, closes, rows = np.asarray(opens, float), np.asarray(closes, float), np.arange(len(opens))
    names = list(contracts or ["ESU25"] * len(opens))
    known = tuple(dict.fromkeys(names))
    starts = start + rows * MINUTE
    return Bars(
        symbol,
        "1min",
        starts,
        starts + MINUTE,
        opens,
        np.maximum(opens, closes),
        np.minimum(opens, closes),
        closes,
        np.asarray(said, np.int64) + 16,
        np.array([known.index(name) for name in names], np.int32),
        known,
    )


def same_trades(ours, theirs) -> None:
    "Equal entry, exit, side, size, reason and contract, prices and dollars to a thousandth of a cent."
    for a, b in ((ours, theirs), (ours.open_trade, theirs.open_trade)):
        assert (a is None) == (b is None)
        if a is None:
            continue
        for name in ("entry_row", "exit_row", "entry_time", "exit_time", "side", "quantity", "reason", "contract"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
        for name in ("entry_price", "exit_price", "commission_usd", "pnl_usd"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=0, atol=1e-5, err_msg=name)
