"An order that has not ended, as we know it; and a fill."

from dataclasses import dataclass, field
from typing import NamedTuple

from futures_algo.core.named import ByName, answers_by_name
from futures_algo.execution.order_states import AT_REST, ENDED, JOURNALED, UNKNOWN

PROTECTIVE = ("stop", "target")


@answers_by_name()
class Fill(NamedTuple):
    "Contracts that changed hands."

    execution_id: str
    order_id: str  # empty: a person's decision
    strategy: str
    instrument: str
    quantity: int  # signed: bought positive
    price: float  # points
    commission: float  # USD
    at: int  # ns UTC
    reason: str = ""  # of the signal behind it, where it is known
    purpose: str = "entry"  # of its order


@dataclass
class OpenOrder(ByName):
    "An order that has not ended, as we know it."

    order_id: str  # ours
    signal_id: str
    strategy: str
    instrument: str  # NinjaTrader's name
    action: str  # BUY, SELL
    quantity: int  # contracts
    purpose: str  # entry, exit, target, stop
    reference_price: float = 0.0  # the signal's, points; 0 when there is none
    arrival_price: float = 0.0  # last price known when it was sent, points
    order_type: str = "MARKET"
    oco_id: str = ""
    state: str = JOURNALED
    names: set[str] = field(default_factory=set)  # every id the broker knows it by
    filled: int = 0  # contracts booked
    value: float = 0.0  # sum of price times contracts booked
    reported: int = 0  # contracts the broker says have filled
    average: float = 0.0  # points, as the broker says
    acknowledged: bool = False  # the broker answered that it took the order
    doubt_since: int = 0  # steady ns since when its outcome is unknown
    since: int = 0  # steady ns since when it is in its state
    looks: int = 0  # how often it was looked at since it ended without all its fills
    executions: set[str] = field(default_factory=set)  # ids booked
    reason: str = ""  # of its signal
    words: str = ""  # what the broker last said about it
    bracket: dict[str, float] | None = None  # target and stop to place once it filled

    @property
    def key(self) -> tuple[str, str]:
        "Its ledger: strategy and instrument."
        return self.strategy, self.instrument

    @property
    def sign(self) -> int:
        return 1 if self.action == "BUY" else -1

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def expected(self) -> int:
        "Contracts the broker says have filled."
        return self.quantity if self.state == "Filled" else self.reported

    @property
    def may_have_filled(self) -> bool:
        "Whether executions may be there that are not booked: a market order that was taken fills at once."
        likely = self.order_type == "MARKET" and self.acknowledged and not self.has_ended
        return self.filled < (self.quantity if likely else self.expected)

    @property
    def left(self) -> int:
        "Contracts that may still fill."
        return max(self.quantity - self.filled, 0)

    @property
    def is_resting(self) -> bool:
        "Whether it waits at its price, filled in part or not, with nothing to be told about it."
        return self.order_type != "MARKET" and self.state in AT_REST and self.filled >= self.reported

    @property
    def is_protective(self) -> bool:
        return self.purpose in PROTECTIVE

    @property
    def is_passing(self) -> bool:
        "Whether it is in a state that ought to end by itself."
        return not (self.has_ended or self.is_resting or self.state == UNKNOWN)

    @property
    def broker_id(self) -> str:
        return next((name for name in sorted(self.names) if name != self.order_id), "")
