"""Every order is a journal row before it is a request, is sent once, and is followed until NinjaTrader says it
ended."""

import datetime as dt
import secrets
import time
from typing import Any

from futures_algo.broker.models import Position
from futures_algo.broker.outcomes import Ambiguous, Answered, NotSent, Outcome, Refused
from futures_algo.broker.protocol import Broker
from futures_algo.broker.requests import OrderRequest
from futures_algo.core.contracts import Contract
from futures_algo.core.types import SECOND, BrokerError, Clock, InputError, Signal
from futures_algo.execution.context import Context
from futures_algo.execution.gate import RiskState
from futures_algo.execution.open_order import Fill, OpenOrder
from futures_algo.execution.opening import opened
from futures_algo.execution.order_states import ENDED, JOURNALED, NOT_SENT, UNKNOWN
from futures_algo.execution.tracking import GRACE_S, OrderTracker
from futures_algo.journal.journal import Journal

OURS = "fa"  # how every id we give begins


def order_id(
    signal_id: str,  # `Signal.id`
    # 0..89: a further try of a decision whose former one ended without its fills; 90..: protective legs
    attempt: int = 0,
) -> str:
    "The id an order carries at the broker."
    return f"{OURS}{signal_id[:24]}{attempt:02d}"


def leg_id(
    entry_id: str,  # the order the leg protects
    leg: int,  # 90 stop, 91 target
) -> str:
    return f"{entry_id[:-2]}{leg:02d}"


def own_id() -> str:
    "An id for an order a person asked for: there is no signal to derive one from."
    return f"{OURS}{secrets.token_hex(12)}00"


def instrument_of(contract: str, at: int) -> str:
    "NinjaTrader's name of a dated contract that traded at `at` (ns UTC)."
    return Contract.parse(contract, dt.datetime.fromtimestamp(at // SECOND, dt.UTC).date()).ninjatrader


def split_slippage(
    fill: dict[str, Any],  # a row of the journal's `fills`
) -> tuple[float | None, float | None]:  # points against the order: delay, execution; None where a price is not known
    "Delay and execution, which add up to the whole slippage."
    sign, reference, arrival = (1 if fill["side"] == "BUY" else -1), fill["reference_price"], fill["arrival_price"]
    delay = (arrival - reference) * sign if reference and arrival else None
    return delay, (fill["price"] - arrival) * sign if arrival else None


def _is_doubtful(words: str) -> bool:
    "Whether a refusal says itself that it does not know what became of the order."
    return any(doubt in words for doubt in ("timed out", "timeout", "status unknown"))


class OrderManager:
    """Submits orders once, changes and cancels them; its `tracker` follows them to their end. In a dry run nothing
    leads to the broker."""

    def __init__(
        self,
        client: Any = None,  # CrossTradeClient; one with the key of the environment when omitted
        journal: Any = "journal/orders.db",  # Journal, writable; a path is opened
        clock: Clock | None = None,
        account: str | None = None,  # NT8 account Name; the client's, or its only one, when omitted
        grace_s: float = GRACE_S,  # how long an order may stay invisible before it counts as lost
        *,
        tracker: OrderTracker | None = None,  # an executor's, with all it knows; the others are not looked at then
    ):
        self.tracker = tracker or self._own_tracker(client, journal, clock, account, grace_s)
        self.context = self.tracker.context

    def _own_tracker(
        self, client: Any, journal: Any, clock: Clock | None, account: str | None, grace_s: float
    ) -> OrderTracker:
        "Of a manager that works by itself: a person sends its orders, so no gate and no dry run stand before them."
        broker, opened_journal, its_clock, name = opened(client, journal, clock, account)
        tracker = OrderTracker(Context(broker, opened_journal, name, its_clock, RiskState(dry_run=False)), grace_s)
        tracker.is_lost = self.cancel_lost
        return tracker

    @property
    def client(self) -> Broker:
        return self.context.broker

    @property
    def journal(self) -> Journal:
        return self.context.journal

    @property
    def account(self) -> str:
        return self.context.account

    @property
    def open(self) -> dict[str, OpenOrder]:
        "Orders that have not ended, by our id."
        return self.tracker.open

    def poll(self) -> list[Fill]:
        "Look at every open order; the fills that are new."
        return self.tracker.poll()

    def of(self, key: tuple[str, str]) -> list[OpenOrder]:
        "Those of one ledger."
        return [order for order in self.open.values() if order.key == key]

    def _refuse_dry_run(self, what: str) -> None:
        if self.context.risk.dry_run:
            raise InputError("order", what, "must not be sent in a dry run", "start the engine with --live")

    # --- one order

    def prepare(
        self,
        request: OrderRequest,  # with `order_id` set
        signal: Signal | None = None,
        purpose: str = "entry",  # entry, exit, target, stop
        *,
        strategy: str = "manual",  # owner of the fills when there is no signal
        arrival_price: float = 0.0,  # last price known, points
        bracket: dict[str, float] | None = None,  # {"target": points, "stop": points} to place once it filled
    ) -> OpenOrder:
        "Journal the intent; the same id again is refused."
        self._refuse_dry_run(f"{request.action} {request.quantity} {request.instrument}")
        if self.context.journal.has("intents", "order_id", request.order_id):
            raise InputError(
                "order id", request.order_id, "stands in the journal already", "an intent is acted on once"
            )
        now = self.context.now()
        order = OpenOrder(
            request.order_id,
            signal.id if signal else "",
            signal.strategy if signal else strategy,
            request.instrument,
            request.action,
            request.quantity,
            purpose,
            signal.price if signal else 0.0,
            arrival_price,
            request.order_type,
            request.oco_id or "",
            reason=signal.reason if signal else "",
            bracket=bracket,
            since=self.context.steady(),
        )
        self.context.journal.add(
            "intents",
            order_id=order.order_id,
            signal_id=order.signal_id,
            at=now,
            account=self.context.account,
            instrument=order.instrument,
            strategy=order.strategy,
            action=order.action,
            quantity=order.quantity,
            order_type=request.order_type,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            oco_id=request.oco_id,
            purpose=purpose,
            state=JOURNALED,
            updated=now,
            reference_price=order.reference_price,
            arrival_price=arrival_price,
            bracket=bracket,
        )
        self.open[order.order_id] = order
        return order

    def send(self, order: OpenOrder, request: OrderRequest) -> OpenOrder:
        "Send a prepared order, once, and journal what came back. An entry whose row is not on the disk is not sent."
        if self.context.journal.trouble and order.purpose == "entry":
            self.tracker.set_state(order, NOT_SENT, "journal", self.context.journal.trouble)
            self.tracker.close(order)
            return order
        began = time.perf_counter_ns()
        outcome = self.context.broker.place_order(request, self.context.account, urgent=order.purpose != "entry")
        took = time.perf_counter_ns() - began
        with self.context.journal.together():
            self.context.journal.add(
                "requests",
                order_id=order.order_id,
                at=self.context.now(),
                method=outcome.method,
                path=outcome.path,
                body=request.body(),
                status=outcome.status,
                answer=outcome.answer,
                latency_ns=took,
                outcome=type(outcome).__name__,
            )
            self._take_outcome(order, outcome)
        if order.has_ended:
            self.tracker.close(order)
        return order

    def submit(
        self, request: OrderRequest, signal: Signal | None = None, purpose: str = "entry", **about: Any
    ) -> OpenOrder:
        "Journal the order, send it once, and journal what came back."
        return self.send(self.prepare(request, signal, purpose, **about), request)

    def _take_outcome(self, order: OpenOrder, outcome: Outcome) -> None:
        "What the answer to a placement means for the order."
        match outcome:
            case Answered():
                if not self.tracker.claim(order, str(outcome.value or "")):
                    why = f"the answer names {outcome.value}, which is another order of ours"
                    return self.tracker.doubt(order, why)
                order.acknowledged = True
                self.tracker.set_state(order, "Submitted", "place")
            case Refused(retry_after=float()):
                self.tracker.set_state(
                    order, NOT_SENT, "place", outcome.reason
                )  # 429: it may be tried again, as another attempt
            case Refused() if _is_doubtful(f"{outcome.reason} {outcome.detail}".lower()):
                self.tracker.doubt(order, outcome.reason)  # it says itself that it does not know
            case Refused():
                self.tracker.set_state(order, "Rejected", "place", f"{outcome.reason} {outcome.detail}".strip())
            case NotSent():
                self.tracker.set_state(order, NOT_SENT, "place", outcome.reason)
            case Ambiguous():
                self.tracker.doubt(order, outcome.reason)

    # --- the seeds' verbs

    def submit_market_order(self, instrument: str, action: str, quantity: int, **about: Any) -> OpenOrder:
        "Buy or sell at the market."
        return self.submit(OrderRequest(instrument, action, quantity, order_id=own_id()), **about)

    def submit_limit_order(
        self, instrument: str, action: str, quantity: int, limit_price: float, **about: Any
    ) -> OpenOrder:
        "Buy or sell at a price or better (points)."
        return self.submit(
            OrderRequest(instrument, action, quantity, "LIMIT", limit_price=limit_price, order_id=own_id()), **about
        )

    def submit_stop_order(
        self,
        instrument: str,
        action: str,
        quantity: int,
        stop_price: float,
        limit_price: float | None = None,
        **about: Any,
    ) -> OpenOrder:
        "Buy or sell once a price (points) is touched: at the market, or at `limit_price` or better."
        kind = "STOPMARKET" if limit_price is None else "STOPLIMIT"
        return self.submit(
            OrderRequest(
                instrument, action, quantity, kind, limit_price=limit_price, stop_price=stop_price, order_id=own_id()
            ),
            **about,
        )

    def submit_atm_order(self, instrument: str, action: str, quantity: int, template: str, **about: Any) -> OpenOrder:
        "Enter at the market with an ATM template, whose target and stop NinjaTrader owns."
        return self.submit(OrderRequest(instrument, action, quantity, order_id=own_id(), strategy=template), **about)

    def submit_bracket_order(
        self, instrument: str, action: str, quantity: int, *, target: float, stop: float, **about: Any
    ) -> OpenOrder:
        "Enter at the market; when it has filled, `protect` places target and stop (points) as an OCO pair."
        sign = 1 if action.upper() == "BUY" else -1
        if (target - stop) * sign <= 0:
            raise InputError(
                "bracket",
                (target, stop),
                f"must have its target {'above' if sign > 0 else 'below'} its stop",
                "swap the two prices",
            )
        return self.submit(
            OrderRequest(instrument, action, quantity, order_id=own_id()),
            bracket={"target": target, "stop": stop},
            **about,
        )

    def submit_oco_pair(
        self,
        instrument: str,
        action: str,
        quantity: int,
        limit_price: float,
        stop_price: float,
        *,
        entry_id: str = "",
        leg: int = 90,  # of the stop; the limit's is the next
        **about: Any,
    ) -> list[OpenOrder]:
        """A stop and a limit of which one fill cancels the other; the stop goes first, and the limit only when the
        stop's outcome is known."""
        base = entry_id or own_id()
        group = f"oco-{base}-{secrets.token_hex(3)}"  # NinjaTrader burns a group's id with its group
        stop = OrderRequest(
            instrument,
            action,
            quantity,
            "STOPMARKET",
            stop_price=stop_price,
            order_id=leg_id(base, leg),
            oco_id=group,
            time_in_force="GTC",
        )
        limit = OrderRequest(
            instrument,
            action,
            quantity,
            "LIMIT",
            limit_price=limit_price,
            order_id=leg_id(base, leg + 1),
            oco_id=group,
            time_in_force="GTC",
        )
        sent = [self.submit(stop, purpose="stop", **about)]
        if sent[0].state not in (UNKNOWN, *ENDED):
            sent.append(self.submit(limit, purpose="target", **about))
        return sent

    def protect(
        self,
        entry: OpenOrder,
        quantity: int | None = None,  # contracts to protect, at most what the account holds; None: all that filled
    ) -> list[OpenOrder]:
        "Place the bracket of an entry that filled, once."
        quantity = entry.filled if quantity is None else min(quantity, entry.filled)
        placed = self.context.journal.has("intents", "order_id", leg_id(entry.order_id, 90))
        if not entry.bracket or quantity < 1 or placed:
            return []
        action = "SELL" if entry.sign > 0 else "BUY"
        return self.submit_oco_pair(
            entry.instrument,
            action,
            quantity,
            entry.bracket["target"],
            entry.bracket["stop"],
            entry_id=entry.order_id,
            strategy=entry.strategy,
        )

    def get_order_status(self, order_id: str) -> str:
        "The order's state, as the journal last knew it."
        row = self.context.journal.one("intents", "order_id", order_id)
        if row is None:
            raise BrokerError(f"Order {order_id!r} is not in the journal; use an id that submit returned")
        return row["state"]

    # --- changing and ending

    def cancel(self, order: OpenOrder) -> Outcome:
        "Ask for an order's end; it is over when the broker says so, not when it is asked."
        outcome = self._ask_to_cancel(order)
        if outcome.ok:
            self.tracker.set_state(order, "CancelPending", "cancel")
        return outcome

    def cancel_lost(self, order: OpenOrder) -> bool:
        """Before an order counts as lost its cancel is asked for, so that one that is only late does nothing any more;
        True when the broker answered that it has none to cancel."""
        if self.context.risk.dry_run:
            return True
        outcome = self._ask_to_cancel(order)
        if outcome.ok:  # it is there after all
            self.tracker.set_state(order, "CancelPending", "cancel")
        return isinstance(outcome, Refused) and outcome.retry_after is None

    def _ask_to_cancel(self, order: OpenOrder) -> Outcome:
        self._refuse_dry_run(f"cancel {order.order_id}")
        outcome = self.context.broker.cancel_order(order.broker_id or order.order_id, self.context.account)
        self.journal_request(outcome, order.order_id)
        return outcome

    def change(self, order: OpenOrder, **changes: Any) -> Outcome:
        "Change quantity, `limit_price` or `stop_price` of a working order."
        self._refuse_dry_run(f"change {order.order_id}")
        name = order.broker_id or order.order_id
        outcome = self.context.broker.change_order(name, account=self.context.account, **changes)
        self.journal_request(outcome, order.order_id)
        if outcome.ok:
            order.quantity = changes.get("quantity", order.quantity)
            self.context.journal.update("intents", "order_id", order.order_id, updated=self.context.now(), **changes)
            self.tracker.set_state(order, "ChangePending", "change")
        return outcome

    def journal_request(self, outcome: Outcome, order_id: str = "", **body: Any) -> None:
        "What was asked of the broker beside a placement, and what came back."
        self.context.journal.add(
            "requests",
            order_id=order_id,
            at=self.context.now(),
            method=outcome.method,
            path=outcome.path,
            body=body,
            status=outcome.status,
            answer=outcome.answer,
            latency_ns=outcome.latency,
            outcome=type(outcome).__name__,
        )

    def close_unowned(self, instrument: str, quantity: int) -> Outcome[list[Position]]:
        "Close contracts at the market that no ledger owns; NinjaTrader caps it at what is open."
        self._refuse_dry_run(f"close {quantity} {instrument}")
        outcome = self.context.broker.close_position(instrument, quantity, account=self.context.account)
        self.journal_request(outcome, instrument=instrument, quantity=quantity)
        return outcome

    def flatten_position(self, instrument: str) -> Outcome:
        """Close the whole position of the account in one contract and cancel its orders: every strategy's share of it,
        and what was traded by hand."""
        self._refuse_dry_run(f"flatten {instrument}")
        return self.context.broker.flatten(instrument, self.context.account)

    def give_up(self, order: OpenOrder, who: str) -> None:
        """A person's word that an order of unknown outcome does not exist. It books nothing; reconciliation finds out
        if it does."""
        order.reported = order.filled
        self.tracker.set_state(order, NOT_SENT, "command", f"given up by {who}")
        words = f"{who} says that {order.purpose} {order.order_id} of {order.strategy} never arrived; nothing is booked"
        self.context.say("warning", "give_up", order.instrument, words)
        self.tracker.close(order)
