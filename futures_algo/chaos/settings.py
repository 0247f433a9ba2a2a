"What the reference leaves open, as switches: one version of the bridge is one `Settings`."

import random
from dataclasses import dataclass


@dataclass
class Settings:
    "Defaults follow the reference's newest pages, and the harder reading where it knows none. Seconds are the clock's."

    # ids
    answer_id: str = "nt8"  # orderId answered to a placement with a custom one: nt8, custom
    row_id: str = "both"  # key of an order row's id: id, orderId, both
    row_echo: tuple[str, ...] = ("userData",)  # the custom id in rows: userData, name, automatedTradingOrderId, orderId
    duplicate_id: str = "accept"  # a used custom id: accept, refuse (400), reject (a rejected order)
    oco_reuse: str = "reject"  # an oco id whose group resolved: reject, refuse, accept
    # shapes
    single_wrapped: bool = False  # order by id as {"order": {...}}
    not_found_status: int = 400  # order, execution or position not there: 400, 404
    error_flag: bool = False  # success:false beside the sentence of a 400 or 404
    quote_success: bool = False
    limited_body: str = "new"  # 429: new {"success","error","retryAfter"}, old {"error"}
    limited_header: bool = True  # Retry-After
    flat_position: str = "refuse"  # GET position of a flat instrument: refuse, row
    bracket_answer: str = "ids"  # ids {"orderIds"}, named {"takeProfitOrderId",...}, bare {"success"}
    bracket_fields: tuple[str, str, str] = ("takeProfit", "stopLoss", "delay")
    pc_hours: float = -6.0  # the PC's zone: strings without one are UTC plus this
    accounts_bare: bool = False  # GET /accounts as a bare list
    # rules
    honour_require_position: bool = True  # requireMarketPosition; older versions ignore it
    honour_max_positions: bool = True
    decide_on_shown: bool = True  # close, flatten, ... go by what NinjaTrader knows, not by what has filled
    flatten_all_orders: bool = False  # account flatten also cancels orders without a position
    full_close_cancels: bool = False  # close without quantity cancels the instrument's orders
    oco_cancel_cascades: bool = False  # cancelling or rejecting one leg cancels the other
    oco_on_partial: str = "cancel"  # a leg part filled: cancel, reduce, keep the others
    wrong_side_stop: str = "fill"  # a stop already passed: fill, reject
    closed_market: str = "reject"  # an order while the market is closed: reject, rest
    limit_through: bool = False  # a limit fills only when traded through
    stop_rests_as: str = "Accepted"  # NinjaTrader's state of a resting stop: Accepted, Working, TriggerPending
    # pace
    ack_seconds: float = 0.0  # Submitted to Accepted
    fill_seconds: float = 0.0  # Accepted to the fill of a market order
    cancel_seconds: float = 0.0
    change_seconds: float = 0.0
    oco_seconds: float = 0.0  # a fill to the sibling's cancel
    bracket_delay: float = 0.0  # cancel_and_bracket without a delay field
    flat_wait: float = 5.0  # reverseposition and flatplace wait this long, then place anyway
    spread_ticks: int = 1
    slip_ticks: int = 0  # market and stop fills, against the order
    fee: float = 2.25  # dollars a contract and side
    # budget
    limited: bool = True  # token bucket of the reference
    bucket: int = 20
    per_second: float = 3.0
    throttle: str = "429"  # over budget: 429, latency (the answer waits for its token)

    @classmethod
    def drawn(cls, seed: int | str) -> "Settings":
        "A version of the bridge from a seed: every switch the reference leaves open is drawn."
        dice = random.Random(f"settings:{seed}")
        return cls(**{name: dice.choice(choices) for name, choices in OPEN.items()})


OPEN: dict[str, tuple] = {
    "answer_id": ("nt8", "custom"),
    "row_id": ("id", "orderId", "both"),
    "row_echo": (("userData",), ("name",), ("automatedTradingOrderId",), ("orderId",), ()),
    "duplicate_id": ("accept", "refuse", "reject"),
    "oco_reuse": ("reject", "refuse"),
    "single_wrapped": (False, True),
    "not_found_status": (400, 404),
    "quote_success": (False, True),
    "error_flag": (False, True),
    "limited_body": ("new", "old"),
    "limited_header": (True, False),
    "flat_position": ("refuse", "row"),
    "bracket_answer": ("ids", "named", "bare"),
    "accounts_bare": (False, True),
    "honour_require_position": (True, True, False),
    "flatten_all_orders": (False, True),
    "full_close_cancels": (False, True),
    "oco_cancel_cascades": (False, True),
    "oco_on_partial": ("cancel", "reduce", "keep"),
    "wrong_side_stop": ("fill", "reject"),
    "stop_rests_as": ("Accepted", "Working", "TriggerPending"),
    "ack_seconds": (0.0, 0.0, 0.2),
    "fill_seconds": (0.0, 0.1, 1.0),
    "cancel_seconds": (0.0, 0.0, 0.5),
    "change_seconds": (0.0, 0.3),
    "oco_seconds": (0.0, 0.0, 0.3),
    "throttle": ("429", "429", "latency"),
}
