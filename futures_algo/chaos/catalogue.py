"Every fault by name: where it strikes, on which endpoints, its settings and what a draw may set them to."

from dataclasses import dataclass, field
from typing import Any

PLACING = frozenset({"PlaceOrder", "FlatPlace", "CancelReplace"})
CLOSING = frozenset({"ClosePosition", "Flatten", "FlattenEverything", "Reverse", "ReversePosition"})
ORDERING = PLACING | CLOSING | {"CancelAndBracket"}
CANCELLING = frozenset({"Cancel", "CancelOrders", "CancelAllOrders", "CancelReplace"})
CHANGING = frozenset({"Change"})
ACTING = ORDERING | CANCELLING | CHANGING
ORDER_LISTS = frozenset({"ListOrders", "GetAllOrders"})
POSITION_LISTS = frozenset({"ListPositions", "GetAllPositions"})
EXECUTIONS = frozenset({"ListExecutions"})
LISTS = ORDER_LISTS | POSITION_LISTS | EXECUTIONS
ONE_ROW = frozenset({"GetOrder", "GetPosition", "GetExecution", "GetOrderStatus", "GetOrderLifecycle"})
READS = LISTS | ONE_ROW | {"GetAccount", "ListAccounts", "GetAccountSummary", "GetQuote", "MarketInfo"}
ROWS = LISTS | ONE_ROW


@dataclass(frozen=True)
class Kind:
    """`phase`: before (instead of acting), state (in the act), answer (its JSON), wire (its bytes and moment).

    `rpcs` None is any request. `draw` holds (low, high) for numbers and a list for choices."""

    phase: str
    rpcs: frozenset[str] | None
    settings: dict[str, Any] = field(default_factory=dict)
    draw: dict[str, Any] = field(default_factory=dict)


LATE = {"seconds": (2.0, 60.0)}
CATALOGUE: dict[str, Kind] = {
    # before: nothing is done
    "lost_before": Kind("before", None),
    "refused_key": Kind(
        "before",
        None,
        {"status": 401, "error": "unauthorized"},
        {"status": [401, 403], "error": ["unauthorized", "api_requires_pro"]},
    ),
    "rate_limited": Kind("before", None, {"retry_after": 1.0}, {"retry_after": (0.2, 5.0)}),
    "addon_down": Kind("before", None, {"after_acting": False}),
    "html_page": Kind("before", None, {"status": 502}, {"status": [502, 503, 520, 200]}),
    "error_before": Kind("before", None, {"status": 500}, {"status": [500, 502, 503, 504]}),
    "hang": Kind("before", READS, {"seconds": 600.0}),
    "refused": Kind("before", ACTING, {"error": "Invalid request", "status": 400}),
    # wire: acted on, the answer suffers
    "lost_after": Kind("wire", None),
    "late_answer": Kind("wire", None, {"seconds": 5.0}, LATE),
    "late_act": Kind("wire", ACTING, {"seconds": 5.0}, LATE),
    "cut_body": Kind("wire", None, {"share": 0.5}, {"share": (0.0, 0.95)}),
    "doubled": Kind("wire", None, {"when": "now"}, {"when": ["now", "next"]}),
    "swapped": Kind("wire", None, {"wait": 1.0, "mode": "concurrent"}, {"mode": ["concurrent", "carry"]}),
    "malformed_json": Kind("wire", None),
    "empty_body": Kind("wire", None),
    "deep_json": Kind("wire", None, {"depth": 100_000}),
    "error_after": Kind("wire", ACTING, {"status": 500}, {"status": [500, 502, 503, 504, 408]}),
    "addon_lost_answer": Kind("wire", ACTING),
    "html_after": Kind("wire", ACTING, {"status": 502}),
    "drip": Kind("wire", None, {"seconds": 5.0, "pieces": 10}, {"seconds": (1.0, 20.0)}),
    "stale": Kind("wire", READS),
    # answer: JSON that reads, but says otherwise
    "lone_surrogate": Kind("answer", None, {"raw": False}, {"raw": [False, True]}),
    "odd_numbers": Kind("answer", ROWS, {"value": "nan"}, {"value": ["nan", "inf", "-inf", 1e20, -3, 10**400]}),
    "wrong_types": Kind("answer", None, {"how": "text"}, {"how": ["text", "null", "list", "bool", "top", "rows"]}),
    "foreign_order_id": Kind("answer", ACTING | {"GetOrder", "GetOrderStatus", "GetOrderLifecycle"}, {"id": None}),
    "foreign_rows": Kind("answer", LISTS, {"account": "Foreign9", "quantity": 7}),
    "unreadable_row": Kind(
        "answer", LISTS, {"how": "null"}, {"how": ["null", "number", "text", "list", "empty", "bad"]}
    ),
    "executions_twice": Kind("answer", EXECUTIONS),
    "executions_beyond": Kind("answer", EXECUTIONS, {"quantity": 1}, {"quantity": [1, 2, 5]}),
    "odd_times": Kind("answer", ROWS, {"unit": "us"}, {"unit": ["us", "ns", "s", "past", "text", "future"]}),
    "empty_list": Kind("answer", LISTS),
    "missing_row": Kind("answer", LISTS, {"which": -1}),
    "no_success": Kind("answer", None, {"value": None}, {"value": [None, False, "true", 0]}),
    # state: the order itself
    "rejected": Kind(
        "state",
        ORDERING,
        {"reason": "Order rejected by exchange", "seconds": 0.0},
        {"reason": [None, "", "Insufficient margin"], "seconds": [0.0, 0.5, 3.0]},
    ),
    "stuck_submitted": Kind("state", ORDERING, {"fills": False}, {"fills": [False, True]}),
    "stuck_cancel": Kind("state", CANCELLING, {"fills": True}, {"fills": [False, True]}),
    "stuck_change": Kind("state", CHANGING, {"applies": False}, {"applies": [False, True]}),
    "cancel_ignored": Kind("state", CANCELLING),
    "change_ignored": Kind("state", CHANGING),
    "slow_cancel": Kind("state", CANCELLING, {"seconds": 3.0}, {"seconds": (0.5, 20.0)}),
    "vanished": Kind("state", ORDERING, {"fills": False}, {"fills": [False, False, True]}),
    "fill_unlisted": Kind("state", ORDERING),
    "fill_late": Kind("state", ORDERING, {"seconds": 5.0}, LATE),
    "slow_fill": Kind("state", ORDERING, {"seconds": 5.0}, LATE),
    "partial_fill": Kind("state", ORDERING, {"first": 1, "seconds": None}, {"seconds": [None, 1.0, 10.0]}),
    "overfill": Kind("state", ORDERING, {"extra": 1}),
    "oco_broken": Kind("state", PLACING | {"CancelAndBracket"}),
    "bracket_dropped": Kind("state", PLACING | {"CancelAndBracket"}),
    "bracket_half": Kind("state", frozenset({"CancelAndBracket"}), {"keep": "target"}, {"keep": ["target", "stop"]}),
}
