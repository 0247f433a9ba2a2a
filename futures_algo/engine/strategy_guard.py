"""The boundary to the user's code while it trades: a strategy that raises is switched off and told, and the others go
on."""

from collections.abc import Callable

from futures_algo.core.types import Bar, Signal
from futures_algo.strategies.live import StrategyRunner


class Guarded:
    "A runner that is asked no more once it has raised."

    def __init__(
        self,
        runner: StrategyRunner,
        failed: Callable[[StrategyRunner, Exception], None],  # told once
    ) -> None:
        self.runner, self.name, self.symbol, self.timeframes = runner, runner.name, runner.symbol, runner.timeframes
        self.is_broken, self._failed = False, failed

    def on_bars(self, completed: list[Bar]) -> list[Signal]:
        "The runner's signals; none when it raises, or has."
        if self.is_broken:
            return []
        try:
            return self.runner.on_bars(completed)
        except (
            Exception
        ) as error:  # the code is the user's and may raise anything; other strategies' positions must stay looked after
            self.fail(error)
            return []

    def fail(self, error: Exception) -> None:
        self.is_broken = True
        self._failed(self.runner, error)
