"""What a stop costs, looked at when a bar has closed and resting at the broker: the shipped strategies with a stop of
so many dollars over recorded bars.

    python -m futures_algo.bench.stops ES_5m.parquet --symbol ES.v.0 --usd 250

A trade is stopped when its stop filled; it lost more when its loss before commission is above the stop's dollars and
the slippage of two fills. A gap is a stop that filled at the open of its bar because the bar began beyond it.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from futures_algo.core.contracts import product
from futures_algo.core.types import Bars
from futures_algo.research.backtest import BacktestResult, backtest
from futures_algo.research.trades import Costs
from futures_algo.strategies.base import BaseStrategy
from futures_algo.strategies.position import REASONS

COSTS = Costs(commission_usd=2.25, slippage_ticks=1.0)
STOPS = frozenset(REASONS.index(name) for name in ("stop", "stop_order"))


class Row(NamedTuple):
    "One strategy in one form."

    strategy: str
    exits: str  # at bar close, or resting
    trades: int
    stopped: int
    lost_more: int  # than the stop and slippage
    gaps: int  # of those: the bar opened beyond the stop
    worst_usd: float  # largest loss of a stopped trade
    worst_inside_usd: float  # the same without gaps
    net_usd: float


def row_of(name: str, exits: str, found: BacktestResult, usd: float) -> Row:
    "What the stops of a run cost."
    trades, kind = found.trades, product(found.symbol)
    stopped = np.isin(trades.reason, list(STOPS))
    loss = -(trades.pnl_usd + trades.commission_usd)[stopped]
    slip = 2 * COSTS.slippage_ticks * kind.tick_size
    more = loss > usd + slip * kind.point_value + 1e-6
    at = np.minimum(trades.exit_row[stopped], len(found.base) - 1)
    side = trades.side[stopped]
    fill = trades.exit_price[stopped] + side * COSTS.slippage_ticks * kind.tick_size
    gaps = np.isclose(fill, found.base.open[at]) if exits == "resting" else np.zeros(len(loss), bool)
    worst = lambda losses: float(losses.max(initial=0.0))
    return Row(
        name,
        exits,
        len(trades),
        int(stopped.sum()),
        int(more.sum()),
        int((more & gaps).sum()),
        worst(loss),
        worst(loss[~gaps]),
        float(found.stats["net_profit_usd"]),
    )


def _run(strategy: BaseStrategy, bars: Bars) -> BacktestResult:
    return cast(BacktestResult, backtest(strategy, bars, COSTS))


def study(bars: Bars, usd: float, strategies: dict[str, tuple[type[BaseStrategy], dict[str, Any]]]) -> list[Row]:
    "Both forms of each strategy."
    kind = product(bars.symbol)
    ticks = usd / (kind.tick_size * kind.point_value)
    return [
        row_of(name, exits, _run(strategy(**given, stop_ticks=ticks, resting=rests), bars), usd)
        for name, (strategy, given) in strategies.items()
        for exits, rests in (("at bar close", False), ("resting", True))
    ]


def table(rows: list[Row]) -> str:
    "As Markdown."
    head = "| " + " | ".join(field.replace("_", " ") for field in Row._fields) + " |"
    text = lambda value: f"{value:,.0f}" if isinstance(value, float) else str(value)
    lines = ["| " + " | ".join(map(text, row)) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(Row._fields), *lines])


def shipped() -> dict[str, tuple[type[BaseStrategy], dict[str, Any]]]:
    "The shipped strategies on five-minute bars or longer, which any recording of that length can run."
    from futures_algo.strategies import library

    return {
        "RSI": (library.RSIStrategy, {}),
        "CCI": (library.SimpleBullishCCIStrategy, {}),
        "VWAP reversion": (library.VWAPReversion, {"trail_atr": 0.0}),
    }


def main() -> None:
    from futures_algo.history import read_csv, read_parquet

    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("file", type=Path, help="bars as Parquet or CSV")
    arguments.add_argument("--symbol", required=True, help="feed symbol, ES.v.0")
    arguments.add_argument("--tz", default="UTC", help="zone of the file's times")
    arguments.add_argument("--usd", type=float, default=250.0, help="what one contract may lose at its stop")
    given = arguments.parse_args()
    read = read_parquet if given.file.suffix == ".parquet" else read_csv
    print(table(study(read(given.file, given.symbol, tz=given.tz), given.usd, shipped())))


if __name__ == "__main__":
    main()
