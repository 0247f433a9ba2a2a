"What a paper broker writes down: an order with its life, a holding, an account, and the broker's no."

from dataclasses import dataclass, field
from typing import Any

from futures_algo.broker.netting import net
from futures_algo.sim.fills import point_value

TERMINAL = ("Filled", "Cancelled", "Rejected")
ORDER_TYPES = ("MARKET", "LIMIT", "STOPMARKET", "STOPLIMIT")


class Refusal(Exception):
    "The broker's no: a status and a JSON body."

    def __init__(self, status: int, **body: Any):
        self.status, self.body = status, body
        super().__init__(f"{status} {body}")


def invalid(text: str) -> Refusal:
    return Refusal(400, error=text)


@dataclass
class PaperOrder:
    "One order and everything that happened to it."

    order_id: str  # NinjaTrader's
    account: str
    instrument: str  # "ES 12-25"
    action: str  # BUY, SELL
    quantity: int
    order_type: str
    placed: int  # ns UTC
    limit: float = 0.0
    stop: float = 0.0
    time_in_force: str = "DAY"
    given_id: str = ""  # the client's
    oco: str = ""
    template: str = ""  # ATM template
    strategy_id: str = ""  # ATM strategy this order belongs to
    name: str = ""
    state: str = "Initialized"
    filled: int = 0
    average: float = 0.0
    active_from: int = 0  # bars that start before this do not count
    triggered: bool = False  # a stop-limit whose stop was touched
    first_part: int = 0  # contracts of a scripted partial fill, 0 whole
    echoed: bool = True  # whether rows carry the client's id
    events: list[dict] = field(default_factory=list)

    @property
    def sign(self) -> int:
        return 1 if self.action == "BUY" else -1

    @property
    def remaining(self) -> int:
        return self.quantity - self.filled

    @property
    def is_active(self) -> bool:
        return self.state not in TERMINAL

    def log(self, at: int, source: str, event: str, state: str | None = None, **more: Any) -> None:
        "Append to the lifecycle, and take the state over."
        if state:
            self.state = state
        self.events.append(
            dict(at=at, source=source, event=event, state=state, filled=self.filled, average=self.average, **more)
        )


@dataclass
class Holding:
    "Signed contracts of one instrument at an average price."

    quantity: int = 0
    average: float = 0.0


@dataclass
class PaperAccount:
    "Cash and holdings."

    name: str
    display_name: str
    start_cash: float
    realized: float = 0.0  # USD, before commission
    commission: float = 0.0  # USD
    holdings: dict[str, Holding] = field(default_factory=dict)

    @property
    def cash(self) -> float:
        return self.start_cash + self.realized - self.commission

    def held(self, instrument: str) -> int:
        return self.holdings.get(instrument, Holding()).quantity

    def open(self) -> dict[str, Holding]:
        return {name: held for name, held in self.holdings.items() if held.quantity}

    def apply(self, instrument: str, signed: int, price: float) -> None:
        "Take a fill into the holding and the realised profit."
        held = self.holdings.setdefault(instrument, Holding())
        after = net(held.quantity, held.average, signed, price)
        self.realized += after.realized * point_value(instrument)
        held.quantity, held.average = after.quantity, after.average


@dataclass
class Terms:
    "What the account trades on."

    commission: float = 2.0  # USD a contract and side
    margin: float = 0.05  # initial margin as a share of the notional value
    start_cash: float = 100_000.0  # USD
    templates: dict[str, tuple[int, int]] = field(
        default_factory=lambda: {"Bracket": (8, 8)}
    )  # ATM: target and stop in ticks
