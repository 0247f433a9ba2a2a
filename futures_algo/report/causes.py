"""Why a session was not what research expected: a closed list. What none of these explains is `unexplained`, and that
is a finding."""

from enum import Enum

from futures_algo.execution.gate import Denial

_CODES = {
    # bars
    "bar_missing": "a bar of the recording is not in the journal",
    "bar_late": "a bar came later than the report allows",
    "bar_changed": "a bar in the journal differs from the recording's, or from what its one-minute bars make",
    "bar_extra": "a bar in the journal is not in the recording",
    "bar_duplicate": "a bar stands in the journal twice",
    "stale_feed": "the feed was connecting, stale or down",
    "engine_down": "no engine was running",
    # strategies
    "warm_up": "the engine had seen less history than the recording holds",
    "restart": "the engine was started anew and its strategies did not go on where the last one stood",
    "config_change": "the config was changed",
    "reload": "the strategy ran with other code, which was loaded anew since",
    "code_change": "the strategy's code or its defaults are not those it ran with",
    "cooldown": "an equal action came within engine.signal_cooldown_s",
    # orders
    "waiting": "the signal still waited for an order under way when the session ended",
    "sizing": "the size came from risk_per_trade_usd",
    "ledger_held": "an exit closes what the ledger holds, which was not what the strategy counted",
    "reversal": "the entry was against the position, which was closed first",
    "flatten": "a person, or the engine at its end, closed what was held",
    "on_start": "engine.on_start acted when the stream reached the present",
    "by_hand": "a person sent the order through the engine",
    "protective_leg": "a stop or target at the broker that protects a position",
    "retry": "the order before it ended without its fills",
    "manual_trade": "a trade that was not the engine's was taken into the books",
    "broker_reject": "the broker refused the order",
    "not_sent": "the order never reached the broker",
    "cancelled": "the order was cancelled",
    "outcome_unknown": "what became of the order is not known",
    "working": "the order had not ended when the report was made",
    "carried_position": "a position from before the session was held in one of the two books only",
    # exits that rest at the broker
    "tick_path": "the broker filled a resting order that the bars did not reach",
    "touched_not_filled": "the bars reached a stop that the broker did not fill in its grace time: left at market",
    "queue": "the bars reached a target that the broker did not fill: it went on resting",
    "unprotected": "no stop was acknowledged in time after an entry's fill: the position was closed",
    "stop_at_market": "the stop moved to where the market was: left at market",
    "entry_fill": "the pair hung on the broker's fill of the entry, which was not the bar's open",
    # fills and books
    "partial_fill": "fewer contracts were filled than asked for",
    "slippage": "the fill's price is not the model's: the market's gap, the delay, and the broker's execution",
    "no_model_price": "the journal has no bar after the decision to price the model's fill with",
    "books_differ": "the broker's position was not ours; the instrument was locked",
    "unexplained": "nothing in the journal explains it",
}
_CODES |= {f"gate_{denial.name.lower()}": f"denied: {denial.value}" for denial in Denial}


class _Cause(Enum):
    "A cause of a difference; its value is what it means."

    @property
    def code(self) -> str:
        return self.name.lower()

    @classmethod
    def table(cls) -> list[tuple[str, str]]:
        "Code and meaning of each, for the documentation."
        return [(cause.code, cause.value) for cause in cls]


Cause = _Cause("Cause", {code.upper(): meaning for code, meaning in _CODES.items()}, module=__name__)


def gate_cause(denial: str) -> Cause:
    "The cause of a denial's name; a name the gate does not know explains nothing."
    return Cause.__members__.get(f"GATE_{denial}", Cause.UNEXPLAINED)
