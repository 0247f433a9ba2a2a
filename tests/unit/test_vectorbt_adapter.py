"Which package is used, what it is given, and that its records are read by either package's names."

from types import SimpleNamespace

import numpy as np
import pytest
from scripted import BUY, COVER, SELL, SHORT, Scripted, same_trades, scripted_bars

from futures_algo import Costs, backtest
from futures_algo.core.types import FuturesAlgoError, InputError
from futures_algo.research.trades import trades_of
from futures_algo.research.vectorbt_adapter import Found, fills_of, find_vectorbt, signal_columns, simulate
from futures_algo.strategies import decisions


def installed(**modules):
    "An importer that knows these modules only."

    def load(name: str):
        if name in modules:
            return SimpleNamespace(__version__=modules[name])
        raise ModuleNotFoundError(name, name=name)

    return load


def test_vectorbtpro_comes_first_and_says_so():
    assert str(find_vectorbt(installed(vectorbtpro="2026.1.0", vectorbt="1.2.0"))) == "vectorbtpro 2026.1.0"
    assert str(find_vectorbt(installed(vectorbt="1.2.0"))) == "vectorbt 1.2.0"


def test_an_old_vectorbt_and_none_at_all_are_refused_with_the_remedy():
    with pytest.raises(InputError, match="0.28.1.*1.2 or newer.*pip install"):
        find_vectorbt(installed(vectorbt="0.28.1"))
    with pytest.raises(InputError, match="neither is installed.*pip install.*engine='model'"):
        find_vectorbt(installed())


def test_a_package_that_breaks_while_loading_is_not_taken_for_absent():
    def load(name: str):
        raise ModuleNotFoundError("no numba", name="numba")

    with pytest.raises(ModuleNotFoundError):
        find_vectorbt(load)


@pytest.fixture
def traded():
    "Bars with a reversal, a roll and a position left open; decisions and our trades."
    said = [BUY, 0, SHORT, 0, COVER, BUY, 0, 0, SHORT, 0]
    contracts = ["ESU25"] * 7 + ["ESZ25"] * 3
    opens = np.array([100, 101, 103, 104, 102, 101, 105, 145, 146, 147.0])
    bars = scripted_bars("ES.c.0", opens, opens + 0.5, said, contracts)
    decided = decisions(Scripted(), bars)
    return bars, decided, trades_of(bars, decided, Costs(2.25, 1), 3)


def test_every_fill_has_a_row_of_its_own_with_one_signal(traded):
    bars, decided, _ = traded
    fills = fills_of(bars, decided, 3)
    columns = signal_columns(fills, Costs())
    signals = columns[["entries", "exits", "short_entries", "short_exits"]].sum(axis=1)
    assert len(columns) == len(bars) + len(fills.made) and signals.max() == 1 and signals.sum() == len(fills.made)
    assert columns.index.is_unique and columns.index.is_monotonic_increasing


class ProRecords:
    "vectorbt's records under vectorbtpro's column names."

    def __init__(self, records):
        self._records = records

    @property
    def records_readable(self):
        return self._records.records_readable.rename(
            columns={"Entry Timestamp": "Entry Index", "Exit Timestamp": "Exit Index", "Timestamp": "Fill Index"}
        )


class ProPortfolio:
    "A portfolio as vectorbtpro shows it: values are properties."

    def __init__(self, portfolio):
        self.orders, self.trades, self.value = (
            ProRecords(portfolio.orders),
            ProRecords(portfolio.trades),
            portfolio.value(),
        )

    @classmethod
    def from_signals(cls, **arguments):
        import vectorbt

        return cls(vectorbt.Portfolio.from_signals(**arguments))


def test_either_packages_names_give_our_trades(traded):
    bars, decided, ours = traded
    free, pro = (
        simulate([fills_of(bars, decided, 3)], Costs(2.25, 1)),
        simulate(
            [fills_of(bars, decided, 3)],
            Costs(2.25, 1),
            Found("vectorbtpro", "2026", SimpleNamespace(Portfolio=ProPortfolio)),
        ),
    )
    same_trades(ours, free.trades["ES.c.0"])
    same_trades(ours, pro.trades["ES.c.0"])
    assert pro.engine == "vectorbtpro 2026" and free.engine.startswith("vectorbt 1.")
    np.testing.assert_array_equal(free.equity["ES.c.0"], pro.equity["ES.c.0"])


def test_only_arguments_both_packages_document_are_used(traded):
    bars, decided, _ = traded
    seen = {}

    class Spy(ProPortfolio):
        @classmethod
        def from_signals(cls, **arguments):
            seen.update(arguments)
            return super().from_signals(**arguments)

    simulate([fills_of(bars, decided)], Costs(), Found("vectorbtpro", "2026", SimpleNamespace(Portfolio=Spy)))
    assert set(seen) <= {
        "close",
        "entries",
        "exits",
        "short_entries",
        "short_exits",
        "size",
        "price",
        "fees",
        "fixed_fees",
        "slippage",
        "init_cash",
        "freq",
    }


def test_an_order_the_package_drops_or_shrinks_is_an_error(traded):
    bars, decided, _ = traded

    class Poor(ProPortfolio):
        @classmethod
        def from_signals(cls, **arguments):
            return super().from_signals(**(arguments | {"init_cash": 1000.0}))

    with pytest.raises(FuturesAlgoError, match="asked were"):
        simulate([fills_of(bars, decided)], Costs(), Found("vectorbtpro", "2026", SimpleNamespace(Portfolio=Poor)))


def test_costs_that_eat_any_capital_are_paid_all_the_same():
    rows = 400
    bars = scripted_bars("ES.c.0", [100] * rows, [100] * rows, [BUY, SHORT] * (rows // 2))
    result = backtest(Scripted(), bars, Costs(2_000, 0), engine="vectorbt")
    assert len(result.trades) == rows - 2 and result.trades.pnl_usd == pytest.approx(-4_000)


def test_negative_prices_are_refused_by_vectorbt_and_traded_by_the_model():
    "CL on 20 April 2020."
    bars = scripted_bars("CL.c.0", [1.0, 0.5, -20.0, -37.63], [1.0, 0.2, -30.0, -37.63], [SHORT, 0, COVER, 0])
    assert backtest(Scripted(), bars, Costs(0, 0)).trades.pnl_usd == pytest.approx([38_130.0])
    with pytest.raises(FuturesAlgoError, match="-37.63.*above zero.*engine='model'"):
        backtest(Scripted(), bars, Costs(0, 0), engine="vectorbt")


def test_an_entry_of_no_contracts_is_no_order():
    bars = scripted_bars("ES.c.0", [100, 101, 102, 103, 104, 105], [100] * 6, [BUY, SELL, BUY, SELL, 0, 0])
    sizes = np.array([0, 0, 2, 0, 0, 0])
    done = simulate([fills_of(bars, decisions(Scripted(), bars), sizes)], Costs())
    same_trades(trades_of(bars, decisions(Scripted(), bars), Costs(), sizes), done.trades["ES.c.0"])
    assert done.trades["ES.c.0"].quantity.tolist() == [2]


def test_no_decision_at_all_is_no_trade():
    result = backtest(Scripted(), scripted_bars("ES.c.0", [100, 101], [100, 101], [0, 0]), engine="vectorbt")
    assert len(result.trades) == 0 and result.equity.tolist() == [0, 0]
