"""Every order is a journal row before it is a request, is sent once, and is followed until NinjaTrader says it ended."""

import datetime as dt
import secrets
import time
from collections.abc import Callable
from typing import Any

from futures_algo.broker.outcomes import Ambiguous, Answered, NotSent, Outcome, Refused
from futures_algo.broker.requests import OrderRequest
from futures_algo.core.contracts import Contract
from futures_algo.core.types import SECOND, BrokerError, InputError, Signal
from futures_algo.execution.opening import opened
from futures_algo.execution.tracking import ENDED, JOURNALED, NOT_SENT, UNKNOWN, Tracked, Tracker

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


class OrderManager(Tracker):
    """Submits orders once, and follows them to their end. In a dry run it follows what a live one left, and nothing
    leads to the broker."""

    dry_run: Callable[[], bool] = staticmethod(lambda: False)  # the executor sets it

    def __init__(
        self,
        client: Any = None,  # CrossTradeClient; one with the key of the environment when omitted
        journal: Any = "journal/orders.db",  # Journal, writable; a path is opened
        clock: Any = None,
        account: str | None = None,  # NT8 account Name; the client's, or its only one, when omitted
        grace_s: float = 10.0,
    ):
        super().__init__(*opened(client, journal, clock, account), grace_s)

    def _refuse_dry_run(self, what: str) -> None:
        if self.dry_run():
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
    ) -> Tracked:
        "Journal the intent; the same id again is refused."
        self._refuse_dry_run(f"{request.action} {request.quantity} {request.instrument}")
        if self.journal.has("intents", "order_id", request.order_id):
            raise InputError(
                "order id", request.order_id, "stands in the journal already", "an intent is acted on once"
            )
        now = self.clock.now()
        order = Tracked(
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
        )
        self.journal.add(
            "intents",
            order_id=order.order_id,
            signal_id=order.signal_id,
            at=now,
            account=self.account,
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

    def send(self, order: Tracked, request: OrderRequest) -> Tracked:
        "Send a prepared order, once, and journal what came back."
        began = time.perf_counter_ns()
        outcome = self.client.place_order(request, self.account, urgent=order.purpose != "entry")
        took = time.perf_counter_ns() - began
        with self.journal.together():
            self.journal.add(
                "requests",
                order_id=order.order_id,
                at=self.clock.now(),
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
            self._close(order)
        return order

    def submit(
        self, request: OrderRequest, signal: Signal | None = None, purpose: str = "entry", **about: Any
    ) -> Tracked:
        "Journal the order, send it once, and journal what came back."
        return self.send(self.prepare(request, signal, purpose, **about), request)

    def _take_outcome(self, order: Tracked, outcome: Outcome) -> None:
        "What the answer to a placement means for the order."
        match outcome:
            case Answered():
                order.acknowledged = True
                order.names |= {str(outcome.value or "")} - {""}
                if order.order_type == "MARKET":
                    order.reported = order.quantity
                self._set_state(order, "Submitted", "place")
            case Refused(retry_after=float()):
                self._set_state(
                    order, NOT_SENT, "place", outcome.reason
                )  # 429: it may be tried again, as another attempt
            case Refused():
                self._set_state(order, "Rejected", "place", f"{outcome.reason} {outcome.detail}".strip())
            case NotSent():
                self._set_state(order, NOT_SENT, "place", outcome.reason)
            case Ambiguous():
                self._doubt(order, outcome.reason)

    # --- the seeds' verbs

    def submit_market_order(self, instrument: str, action: str, quantity: int, **about: Any) -> Tracked:
        "Buy or sell at the market."
        return self.submit(OrderRequest(instrument, action, quantity, order_id=own_id()), **about)

    def submit_limit_order(
        self, instrument: str, action: str, quantity: int, limit_price: float, **about: Any
    ) -> Tracked:
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
    ) -> Tracked:
        "Buy or sell once a price (points) is touched: at the market, or at `limit_price` or better."
        kind = "STOPMARKET" if limit_price is None else "STOPLIMIT"
        return self.submit(
            OrderRequest(
                instrument, action, quantity, kind, limit_price=limit_price, stop_price=stop_price, order_id=own_id()
            ),
            **about,
        )

    def submit_atm_order(self, instrument: str, action: str, quantity: int, template: str, **about: Any) -> Tracked:
        "Enter at the market with an ATM template, whose target and stop NinjaTrader owns."
        return self.submit(OrderRequest(instrument, action, quantity, order_id=own_id(), strategy=template), **about)

    def submit_bracket_order(
        self, instrument: str, action: str, quantity: int, *, target: float, stop: float, **about: Any
    ) -> Tracked:
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
        **about: Any,
    ) -> list[Tracked]:
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
            order_id=leg_id(base, 90),
            oco_id=group,
            time_in_force="GTC",
        )
        limit = OrderRequest(
            instrument,
            action,
            quantity,
            "LIMIT",
            limit_price=limit_price,
            order_id=leg_id(base, 91),
            oco_id=group,
            time_in_force="GTC",
        )
        sent = [self.submit(stop, purpose="stop", **about)]
        if sent[0].state not in (UNKNOWN, *ENDED):
            sent.append(self.submit(limit, purpose="target", **about))
        return sent

    def protect(self, entry: Tracked) -> list[Tracked]:
        "Place the bracket of an entry that filled, once."
        if not entry.bracket or not entry.filled or self.journal.has("intents", "order_id", leg_id(entry.order_id, 90)):
            return []
        action = "SELL" if entry.sign > 0 else "BUY"
        return self.submit_oco_pair(
            entry.instrument,
            action,
            entry.filled,
            entry.bracket["target"],
            entry.bracket["stop"],
            entry_id=entry.order_id,
            strategy=entry.strategy,
        )

    def get_order_status(self, order_id: str) -> str:
        "The order's state, as the journal last knew it."
        row = self.journal.one("intents", "order_id", order_id)
        if row is None:
            raise BrokerError(f"Order {order_id!r} is not in the journal; use an id that submit returned")
        return row["state"]

    # --- changing and ending

    def cancel(self, order: Tracked) -> Outcome:
        "Ask for an order's end; it is over when the broker says so, not when it is asked."
        self._refuse_dry_run(f"cancel {order.order_id}")
        outcome = self.client.cancel_order(order.broker_id or order.order_id, self.account)
        self._journal_request(order, outcome)
        if outcome.ok:
            self._set_state(order, "CancelPending", "cancel")
        return outcome

    def change(self, order: Tracked, **changes: Any) -> Outcome:
        "Change quantity, `limit_price` or `stop_price` of a working order."
        self._refuse_dry_run(f"change {order.order_id}")
        outcome = self.client.change_order(order.broker_id or order.order_id, account=self.account, **changes)
        self._journal_request(order, outcome)
        if outcome.ok:
            order.quantity = changes.get("quantity", order.quantity)
            self.journal.update("intents", "order_id", order.order_id, updated=self.clock.now(), **changes)
            self._set_state(order, "ChangePending", "change")
        return outcome

    def _journal_request(self, order: Tracked, outcome: Outcome) -> None:
        self.journal.add(
            "requests",
            order_id=order.order_id,
            at=self.clock.now(),
            method=outcome.method,
            path=outcome.path,
            body={},
            status=outcome.status,
            answer=outcome.answer,
            latency_ns=outcome.latency,
            outcome=type(outcome).__name__,
        )

    def flatten_position(self, instrument: str) -> Outcome:
        """Close the whole position of the account in one contract and cancel its orders: every strategy's share of it,
        and what was traded by hand."""
        self._refuse_dry_run(f"flatten {instrument}")
        return self.client.flatten(instrument, self.account)

    def give_up(self, order: Tracked, who: str) -> None:
        "A person's word that an order of unknown outcome does not exist; reconciliation finds out if it does."
        self._set_state(order, NOT_SENT, "command", f"given up by {who}")
        self._close(order)
