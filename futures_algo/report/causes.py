"""Why a session was not what research expected: a closed list. What none of these explains is `unexplained`, and that
is a finding."""

from enum import Enum

from futures_algo.execution.gate import Denial


class Cause(Enum):
    "A cause of a difference; its value is what it means."

    # bars
    BAR_MISSING = "a bar of the recording is not in the journal"
    BAR_LATE = "a bar came later than the report allows"
    BAR_CHANGED = "a bar in the journal differs from the recording's, or from what its one-minute bars make"
    BAR_EXTRA = "a bar in the journal is not in the recording"
    BAR_DUPLICATE = "a bar stands in the journal twice"
    STALE_FEED = "the feed was connecting, stale or down"
    ENGINE_DOWN = "no engine was running"
    # strategies
    WARM_UP = "the engine had seen less history than the recording holds"
    RESTART = "the engine was started anew and its strategies did not go on where the last one stood"
    CONFIG_CHANGE = "the config was changed"
    RELOAD = "the strategy ran with other code, which was loaded anew since"
    CODE_CHANGE = "the strategy's code or its defaults are not those it ran with"
    COOLDOWN = "an equal action came within engine.signal_cooldown_s"
    # orders
    WAITING = "the signal still waited for an order under way when the session ended"
    SIZING = "the size came from risk_per_trade_usd"
    LEDGER_HELD = "an exit closes what the ledger holds, which was not what the strategy counted"
    REVERSAL = "the entry was against the position, which was closed first"
    FLATTEN = "a person, or the engine at its end, closed what was held"
    ON_START = "engine.on_start acted when the stream reached the present"
    BY_HAND = "a person sent the order through the engine"
    PROTECTIVE_LEG = "a stop or target at the broker that protects a position"
    RETRY = "the order before it ended without its fills"
    MANUAL_TRADE = "a trade that was not the engine's was taken into the books"
    BROKER_REJECT = "the broker refused the order"
    NOT_SENT = "the order never reached the broker"
    CANCELLED = "the order was cancelled"
    OUTCOME_UNKNOWN = "what became of the order is not known"
    WORKING = "the order had not ended when the report was made"
    CARRIED_POSITION = "a position from before the session was held in one of the two books only"
    # exits that rest at the broker
    TICK_PATH = "the broker filled a resting order that the bars did not reach"
    TOUCHED_NOT_FILLED = "the bars reached a stop that the broker did not fill in its grace time: left at market"
    QUEUE = "the bars reached a target that the broker did not fill: it went on resting"
    UNPROTECTED = "no stop was acknowledged in time after an entry's fill: the position was closed"
    STOP_AT_MARKET = "the stop moved to where the market was: left at market"
    ENTRY_FILL = "the pair hung on the broker's fill of the entry, which was not the bar's open"
    # fills and books
    PARTIAL_FILL = "fewer contracts were filled than asked for"
    SLIPPAGE = "the fill's price is not the model's: the market's gap, the delay, and the broker's execution"
    NO_MODEL_PRICE = "the journal has no bar after the decision to price the model's fill with"
    BOOKS_DIFFER = "the broker's position was not ours; the instrument was locked"
    UNEXPLAINED = "nothing in the journal explains it"
    # orders that the gate refused: one cause for each of its denials
    locals().update({f"GATE_{denial.name}": f"denied: {denial.value}" for denial in Denial})

    @property
    def code(self) -> str:
        return self.name.lower()

    @classmethod
    def table(cls) -> list[tuple[str, str]]:
        "Code and meaning of each, for the documentation."
        return [(cause.code, cause.value) for cause in cls]


def gate_cause(denial: str) -> Cause:
    "The cause of a denial's name; a name the gate does not know explains nothing."
    return Cause.__members__.get(f"GATE_{denial}", Cause.UNEXPLAINED)
