"""The boundary to the user's code while it trades: a strategy that raises is switched off and told, and the others go
on."""

from collections.abc import Callable

from futures_algo.core.types import Bar, FuturesAlgoError, Signal
from futures_algo.engine.user_code import CALL_SECONDS, FIRST_SECONDS, user_code
from futures_algo.strategies.live import StrategyRunner


class Guarded:
    "A runner that is asked no more once it has raised."

    def __init__(
        self,
        runner: StrategyRunner,
        failed: Callable[[StrategyRunner, Exception], None],  # told once
    ) -> None:
        self.runner, self.name, self.symbol, self.timeframes = runner, runner.name, runner.symbol, runner.timeframes
        self.is_broken, self._failed, self._was_asked = False, failed, False
        self.silent_through = 0  # ns UTC: what it finds on bars that end by then is the past's and goes nowhere

    def on_bars(self, completed: list[Bar]) -> list[Signal]:
        "The runner's signals; none when it raises, or has."
        if self.is_broken:
            return []
        seconds, self._was_asked = CALL_SECONDS if self._was_asked else FIRST_SECONDS, True
        try:
            with user_code(self.name, seconds):
                found = self.runner.on_bars(completed)
        except FuturesAlgoError as error:
            self.fail(error)
            return []
        return [signal for signal in found if signal.bar_end > self.silent_through] if found else found

    def fail(self, error: Exception) -> None:
        self.is_broken = True
        self._failed(self.runner, error)
