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
    ):
        self.runner, self.name, self.symbol, self.timeframes = runner, runner.name, runner.symbol, runner.timeframes
        self.is_broken, self._failed, self._was_asked = False, failed, False

    def on_bars(self, completed: list[Bar]) -> list[Signal]:
        "The runner's signals; none when it raises, or has."
        if self.is_broken:
            return []
        seconds, self._was_asked = CALL_SECONDS if self._was_asked else FIRST_SECONDS, True
        try:
            with user_code(self.name, seconds):
                return self.runner.on_bars(completed)
        except FuturesAlgoError as error:
            self.fail(error)
            return []

    def fail(self, error: Exception) -> None:
        self.is_broken = True
        self._failed(self.runner, error)
