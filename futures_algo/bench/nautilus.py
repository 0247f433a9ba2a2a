"""nautilus_trader's backtest of the strategy that `bench engine` measures. Imported only where nautilus_trader is
installed (Python 3.12 and later)."""

import time
from decimal import Decimal

from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.indicators import ExponentialMovingAverage
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from futures_algo.core.types import Bars

VENUE = "GLBX"


class CrossConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg]  # msgspec's
    "What `Cross` needs."

    bar_type: BarType
    fast: int = 20
    slow: int = 200


class Cross(Strategy):
    "Long while the fast average is above the slow one, as `futures_algo.bench.engine.Cross`."

    def __init__(self, config: CrossConfig):
        super().__init__(config)
        self.quick, self.calm, self.is_long = (
            ExponentialMovingAverage(config.fast),
            ExponentialMovingAverage(config.slow),
            False,
        )

    def on_start(self) -> None:
        for indicator in (self.quick, self.calm):
            self.register_indicator_for_bars(self.config.bar_type, indicator)
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar) -> None:
        if not self.calm.initialized:
            return
        wanted = self.quick.value > self.calm.value
        if wanted == self.is_long:
            return
        self.is_long = wanted
        self.submit_order(
            self.order_factory.market(
                self.config.bar_type.instrument_id, OrderSide.BUY if wanted else OrderSide.SELL, Quantity.from_int(1)
            )
        )


def backtest(bars: Bars) -> tuple[float, int]:
    "Bars a second, and orders."
    instrument = TestInstrumentProvider.es_future(expiry_year=2030, expiry_month=12)
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue(str(instrument.id.venue)),
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(10_000_000, USD)],
        base_currency=USD,
        default_leverage=Decimal(1),
    )
    engine.add_instrument(instrument)
    kind = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    price, columns = (
        instrument.make_price,
        zip(*(getattr(bars, name).tolist() for name in ("open", "high", "low", "close", "volume", "end"))),
    )
    engine.add_data(
        [
            Bar(kind, price(o), price(h), price(low), price(c), Quantity.from_int(volume), end, end)
            for o, h, low, c, volume, end in columns
        ]
    )
    engine.add_strategy(Cross(CrossConfig(bar_type=kind)))
    began = time.perf_counter()
    engine.run()
    seconds = time.perf_counter() - began
    orders = len(engine.cache.orders())
    engine.dispose()
    return len(bars) / seconds, orders
