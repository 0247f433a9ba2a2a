"Faults a paper broker can be told to have, and the forms its undocumented answers may take."

from dataclasses import asdict, dataclass, field
from typing import Any

from futures_algo.core.named import did_you_mean
from futures_algo.core.types import InputError

BEFORE = ("addon_down", "lost_before", "late", "rate_limited", "unauthorized", "slow_before", "server_error", "refuse")
AFTER = (
    "lost_after",
    "addon_timeout",
    "slow",
    "throttle",
    "server_error_after",
    "html",
    "cut_json",
    "empty",
    "no_success",
)
PLACEMENT = ("reject_after_success", "partial", "id_not_echoed", "market_closed")
KINDS = BEFORE + AFTER + PLACEMENT
RATE_LIMIT_FORMS = ("header", "float", "http_date", "body", "neither", "old")


@dataclass
class Fault:
    """One scripted fault.

    Before the request is acted on: addon_down (408), lost_before (connection cut), late (connection cut, acted on
    `seconds` later: absence right after a time-out proves nothing), rate_limited (429), unauthorized (401),
    slow_before, server_error (502 HTML), refuse.
    After it was acted on: lost_after (connection cut), addon_timeout (408), slow, throttle (each answer later than
    the one before), server_error_after, html, cut_json, empty, no_success.
    To an order placed: reject_after_success, partial, id_not_echoed, market_closed.
    """

    kind: str
    times: int = 1  # how often; -1 for ever
    skip: int = 0  # matching requests to let pass first
    method: str = ""  # "POST"; empty matches every method
    path: str = ""  # part of the path; empty matches every path
    seconds: float = 0.0  # delay, or Retry-After
    form: str = "header"  # of a 429: one of `RATE_LIMIT_FORMS`
    quantity: int = 1  # contracts of the first part of a partial fill
    status: int = 400  # of a refusal
    body: Any = None  # of a refusal

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InputError("fault", self.kind, "must be a known kind", did_you_mean(self.kind, KINDS))
        if self.form not in RATE_LIMIT_FORMS:
            raise InputError("429 form", self.form, "must be a known form", did_you_mean(self.form, RATE_LIMIT_FORMS))

    def matches(self, method: str, path: str) -> bool:
        return self.times != 0 and self.method in ("", method) and self.path in path


@dataclass
class FaultPlan:
    "Faults in the order they were scripted, and a count of those that happened."

    faults: list[Fault] = field(default_factory=list)
    happened: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, **options: Any) -> Fault:
        "Script a fault: `plan.add('lost_after', path='/place')`."
        self.faults.append(fault := Fault(kind, **options))
        return fault

    def clear(self) -> None:
        self.faults.clear()

    def take(self, kinds: tuple[str, ...], method: str, path: str) -> Fault | None:
        "The first fault of these kinds that this request meets; it is used up by it."
        for fault in self.faults:
            if fault.kind not in kinds or not fault.matches(method, path):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= fault.times > 0
            self.happened[fault.kind] = self.happened.get(fault.kind, 0) + 1
            return fault
        return None


_CHOICES = {
    "order_ids": ("both", "id", "orderId"),
    "id_echo": ("echo", "nt8", "lost"),
    "single_order": ("flat", "wrapped"),
    "not_found": (400, 404),
    "duplicate_id": ("accept", "refuse"),
    "oco_reuse": ("reject", "refuse", "accept"),
    "accounts": ("object", "list", "names"),
    "flat_position": ("refuse", "flat"),
    "margin_breach": ("reject", "refuse"),
    "hours": ("always", "calendar", "closed"),
    "partial": ("whole", "half"),
    "quote_success": (True, False),
    "epoch": ("number", "text"),
    "lower_states": (True, False),
    "instant": (True, False),
}


@dataclass
class Variants:
    """The parts of CrossTrade's answers that its pages leave open; every value is a form somebody has seen or that
    cannot be ruled out."""

    order_ids: str = "both"  # both | id | orderId: under which name a row carries its id
    id_echo: str = (
        "echo"  # echo: rows carry the id given; nt8: NinjaTrader's, ours in userData; lost: ours only in the lifecycle
    )
    single_order: str = "flat"  # flat | wrapped
    not_found: int = 400  # 400 | 404
    duplicate_id: str = "accept"  # accept (worst case) | refuse
    oco_reuse: str = "reject"  # reject (a state) | refuse (400) | accept
    accounts: str = "object"  # object | list | names
    flat_position: str = "refuse"  # GET position without one: refuse (400) | flat row
    margin_breach: str = "reject"  # reject (a state) | refuse (400)
    hours: str = "always"  # always | calendar | closed: when orders are taken
    partial: str = "whole"  # whole | half: every order of two or more fills in two parts
    quote_success: bool = False  # whether quotes carry success: true
    epoch: str = "number"  # number | text
    lower_states: bool = False  # states in lower case
    instant: bool = True  # a market order whose next bar is in the data fills in the same request
    bracket_names: tuple[str, str] = ("takeProfit", "stopLoss")

    def change(self, **values: Any) -> None:
        "Switch some; unknown names and values are refused."
        for name, value in values.items():
            if name not in asdict(self):
                raise InputError("variant", name, "must be a known one", did_you_mean(name, asdict(self)))
            if name in _CHOICES and value not in _CHOICES[name]:
                raise InputError(f"variant {name}", value, f"must be one of {_CHOICES[name]}")
            setattr(self, name, tuple(value) if name == "bracket_names" else value)
