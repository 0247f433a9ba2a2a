"NinjaTrader's order states as a table, and three of our own for what happens before its first."

from futures_algo.broker.models import ORDER_STATES, TERMINAL_STATES

JOURNALED, NOT_SENT, UNKNOWN = "Journaled", "NotSent", "Unknown"
ENDED = TERMINAL_STATES | {NOT_SENT}

_AT_WORK = ("PartFilled", "Filled", "Rejected", "Cancelled", "ChangePending", "CancelPending")
STEPS: dict[str, tuple[str, ...]] = {
    JOURNALED: ("Initialized", "Submitted", "Rejected", NOT_SENT, UNKNOWN),
    "Initialized": ("Submitted", "Rejected", "Cancelled", UNKNOWN),
    "Submitted": ("Accepted", *_AT_WORK, UNKNOWN),
    "Accepted": ("Working", "TriggerPending", *_AT_WORK, UNKNOWN),
    "TriggerPending": ("Working", *_AT_WORK, UNKNOWN),
    "Working": ("TriggerPending", *_AT_WORK, UNKNOWN),
    "ChangePending": ("ChangeSubmitted", "Accepted", "Working", *_AT_WORK, UNKNOWN),
    "ChangeSubmitted": ("Accepted", "Working", *_AT_WORK, UNKNOWN),
    "CancelPending": (
        "CancelSubmitted",
        "Working",
        "PartFilled",
        "Filled",
        "Cancelled",
        "Rejected",
        UNKNOWN,
    ),  # Working again: the exchange refused the cancel
    "CancelSubmitted": ("Working", "PartFilled", "Filled", "Cancelled", "Rejected", UNKNOWN),
    "PartFilled": (*_AT_WORK, UNKNOWN),
    UNKNOWN: (*(state for state in ORDER_STATES if state != UNKNOWN), NOT_SENT),
    NOT_SENT: (UNKNOWN,),  # it arrived after all
    "Filled": (),
    "Cancelled": (),
    "Rejected": (),
}
AT_REST = ("Accepted", "Working", "TriggerPending", "PartFilled")  # of an order that waits at its price
LONGEST_STAY_S = 30.0  # seconds in a state that ought to pass by itself, until it is an alarm


def _reach(state: str) -> frozenset[str]:
    "States that a chain of known steps leads to; a chain through doubt counts for nothing."
    found, todo = set(), [state]
    while todo:
        for after in STEPS[todo.pop()]:
            if after in found:
                continue
            found.add(after)
            if after != UNKNOWN:
                todo.append(after)
    return frozenset(found)


REACHABLE = {state: _reach(state) for state in STEPS}


def may_follow(before: str, after: str) -> bool:
    "Whether an order in one state can later be in the other."
    return after in REACHABLE[before]
