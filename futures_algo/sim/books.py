"The books of a paper broker: accounts, orders, positions, executions, and how fills change them. No network here."
import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from futures_algo.core import Clock, InputError
from futures_algo.sim.faults import Fault, FaultPlan, Variants
from futures_algo.sim.fills import FillRules, PriceBook, Print, Tape, instrument_name, limit_price, point_value, slipped, stop_price, tick_size

TERMINAL = ("Filled", "Cancelled", "Rejected")
ORDER_TYPES = ("MARKET", "LIMIT", "STOPMARKET", "STOPLIMIT")


class Refusal(Exception):
    "The broker's no: a status and a JSON body."

    def __init__(self, status: int, **body: Any):
        self.status, self.body = status, body
        super().__init__(f"{status} {body}")


def invalid(text: str) -> Refusal: return Refusal(400, error=text)


@dataclass
class PaperOrder:
    "One order and everything that happened to it."
    order_id: str                    # NinjaTrader's
    account: str
    instrument: str                  # "ES 12-25"
    action: str                      # BUY, SELL
    quantity: int
    order_type: str
    placed: int                      # ns UTC
    limit: float = 0.0
    stop: float = 0.0
    time_in_force: str = "DAY"
    given_id: str = ""               # the client's
    oco: str = ""
    template: str = ""               # ATM template
    strategy_id: str = ""            # ATM strategy this order belongs to
    name: str = ""
    state: str = "Initialized"
    filled: int = 0
    average: float = 0.0
    active_from: int = 0             # bars that start before this do not count
    triggered: bool = False          # a stop-limit whose stop was touched
    first_part: int = 0              # contracts of a scripted partial fill, 0 whole
    echoed: bool = True              # whether rows carry the client's id
    events: list[dict] = field(default_factory=list)

    @property
    def sign(self) -> int: return 1 if self.action == "BUY" else -1
    @property
    def remaining(self) -> int: return self.quantity - self.filled
    @property
    def is_active(self) -> bool: return self.state not in TERMINAL

    def log(self, at: int, source: str, event: str, state: str | None = None, **more: Any) -> None:
        "Append to the lifecycle, and take the state over."
        if state: self.state = state
        self.events.append(dict(at=at, source=source, event=event, state=state, filled=self.filled, average=self.average, **more))


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
    realized: float = 0.0            # USD, before commission
    commission: float = 0.0          # USD
    holdings: dict[str, Holding] = field(default_factory=dict)

    @property
    def cash(self) -> float: return self.start_cash + self.realized - self.commission
    def held(self, instrument: str) -> int: return self.holdings.get(instrument, Holding()).quantity
    def open(self) -> dict[str, Holding]: return {name: held for name, held in self.holdings.items() if held.quantity}

    def apply(self, instrument: str, signed: int, price: float) -> None:
        "Take a fill into the holding and the realised profit."
        held = self.holdings.setdefault(instrument, Holding())
        closing = min(abs(signed), abs(held.quantity)) if held.quantity * signed < 0 else 0
        side = math.copysign(1, held.quantity) if held.quantity else 0
        self.realized += closing * side * (price - held.average) * point_value(instrument)
        opening, before = abs(signed) - closing, abs(held.quantity) - closing
        if opening: held.average = (held.average * before + price * opening) / (before + opening)
        held.quantity += signed
        if not held.quantity: held.average = 0.0


@dataclass
class Terms:
    "What the account trades on."
    commission: float = 2.0                  # USD a contract and side
    margin: float = 0.05                     # initial margin as a share of the notional value
    start_cash: float = 100_000.0            # USD
    templates: dict[str, tuple[int, int]] = field(default_factory=lambda: {"Bracket": (8, 8)})   # ATM: target and stop in ticks


class Books:
    "Everything a broker remembers."

    def __init__(self, prices: PriceBook, clock: Clock, accounts: Mapping[str, str], rules: FillRules, terms: Terms, variants: Variants, faults: FaultPlan):
        self.prices, self.clock, self.rules, self.terms, self.variants, self.faults = prices, clock, rules, terms, variants, faults
        self.accounts = {name: PaperAccount(name, display, terms.start_cash) for name, display in accounts.items()}
        self.orders: dict[str, PaperOrder] = {}
        self.executions: list[dict] = []
        self.attempts: dict[str, list[dict]] = {}    # api_received of placements that were refused, by the client's id
        self.burned: set[str] = set()                # OCO ids whose group is over
        self.counter = 0

    # looking up

    def account(self, name: str) -> PaperAccount:
        "An account by its Name, in any case; a display name is not a name."
        for known, account in self.accounts.items():
            if known.lower() == name.lower(): return account
        raise Refusal(self.variants.not_found, success=False, error="invalid_account", detail=f"Account {name} not found")

    def instrument(self, text: Any) -> str:
        "NinjaTrader's name of whatever the client wrote."
        if not isinstance(text, str) or not text.strip(): raise invalid("Invalid request")
        root = text.removesuffix("1!")
        try: return instrument_name(text, self.clock.now() or None)
        except InputError:
            try: return self.prices.front(root, self.clock.now())
            except InputError: raise invalid(f"Instrument '{text}' not found") from None

    def find(self, order_id: str, in_lifecycle: bool = False) -> PaperOrder | None:
        "The newest order with that id, NinjaTrader's or, where it is kept, the client's."
        if found := self.orders.get(order_id): return found
        named = [order for order in self.orders.values() if order.given_id == order_id and (order.echoed or in_lifecycle)]
        return named[-1] if named else None

    def tape(self, instrument: str) -> Tape: return self.prices.get(instrument) or Tape()

    def new_id(self) -> str:
        self.counter += 1
        return hashlib.blake2b(str(self.counter).encode(), digest_size=16).hexdigest()

    # placing

    def place(self, account: PaperAccount, fields: Mapping[str, Any], api: str = "PlaceOrder") -> PaperOrder:
        "Take an order from the client, or refuse it."
        given, now = str(fields.get("orderId") or ""), self.clock.now()
        self.attempts.setdefault(given, []).append(dict(at=now, source="api_received", event=api, state=None, filled=None, average=None))
        order = self.read_order(account, fields, now)
        self.check(account, order, fields)
        order.events = self.attempts.pop(given) if given else [self.attempts.pop("")[-1]]
        self.enter(account, order)
        return order

    def read_order(self, account: PaperAccount, fields: Mapping[str, Any], now: int) -> PaperOrder:
        "The order a body asks for; a body that makes no sense is refused."
        action, kind = str(fields.get("action", "")).upper(), str(fields.get("orderType", "")).upper()
        tif, quantity = str(fields.get("timeInForce", "")).upper(), fields.get("quantity")
        sound = action in ("BUY", "SELL") and kind in ORDER_TYPES and tif in ("DAY", "GTC") and isinstance(quantity, int) and quantity > 0
        limit, stop = fields.get("limitPrice"), fields.get("stopPrice")
        if not sound or ("LIMIT" in kind and not limit) or (kind.startswith("STOP") and not stop): raise invalid("Invalid request")
        return PaperOrder(self.new_id(), account.name, self.instrument(fields.get("instrument")), action, quantity, kind, now, limit or 0.0, stop or 0.0, tif,
                          str(fields.get("orderId") or ""), str(fields.get("ocoId") or ""), str(fields.get("strategy") or ""), active_from=now)

    def check(self, account: PaperAccount, order: PaperOrder, fields: Mapping[str, Any]) -> None:
        "The add-on's own checks, each a 400 before anything is placed."
        wanted = [side.strip().lower() for side in str(fields.get("requireMarketPosition") or "").split(",") if side.strip()]
        held = account.held(order.instrument)
        side = "long" if held > 0 else "short" if held < 0 else "flat"
        if wanted and side not in wanted: raise invalid(f"Order blocked: market position is {side}, required {','.join(wanted)}")
        limit = fields.get("maxPositions")
        if limit is not None and not held and len(account.open()) >= limit: raise invalid(f"Order blocked: account already has {len(account.open())} open positions (max {limit})")
        if order.template and order.template not in self.terms.templates: raise invalid(f"ATM strategy template '{order.template}' not found")
        if self.variants.duplicate_id == "refuse" and order.given_id and self.find(order.given_id, in_lifecycle=True): raise invalid(f"Order id '{order.given_id}' already used")
        if self.variants.oco_reuse == "refuse" and order.oco in self.burned: raise invalid(f"OCO id '{order.oco}' cannot be reused")
        if self.variants.margin_breach == "refuse" and self.lacks_margin(account, order): raise invalid("Insufficient margin")
        if not self.is_open(order.instrument): raise invalid(f"Market closed for '{order.instrument}'")

    def is_open(self, instrument: str) -> bool:
        "Whether orders are taken now, by the variant chosen."
        if self.variants.hours == "calendar":
            from futures_algo.sessions import SessionCalendar
            return SessionCalendar.of(instrument.split(" ")[0]).is_open(self.clock.now())
        return self.variants.hours == "always"

    def next_change(self, instrument: str) -> int | None:
        "When the market closes, or opens when it is closed; None without a calendar."
        if self.variants.hours != "calendar": return None
        from futures_algo.sessions import SessionCalendar
        calendar, now = SessionCalendar.of(instrument.split(" ")[0]), self.clock.now()
        return calendar.next_close(now) if calendar.is_open(now) else calendar.next_open(now)

    def enter(self, account: PaperAccount, order: PaperOrder) -> None:
        "Hand an order to the exchange: from here on it has states."
        self.orders[order.order_id] = order
        self.script(order)
        order.log(order.placed, "order_update", "Submitted", "Submitted")
        if reason := self.rejection(account, order): return order.log(order.placed, "order_update", "Rejected", "Rejected", detail=reason)
        order.log(order.placed, "order_update", "Accepted", "Accepted")
        order.log(order.placed, "order_update", "Working", "Working")
        self.work(order)

    def script(self, order: PaperOrder) -> None:
        "Meet the faults that concern placements."
        order.echoed = self.variants.id_echo != "lost"
        if self.meets("id_not_echoed", order): order.echoed = False
        if fault := self.meets("partial", order): order.first_part = fault.quantity
        if self.variants.partial == "half": order.first_part = order.quantity // 2

    def meets(self, kind: str, order: PaperOrder) -> Fault | None:
        "The scripted fault of a kind that this order runs into, matched by the client's id."
        return self.faults.take((kind,), "POST", f"/orders/place/{order.given_id}")

    def rejection(self, account: PaperAccount, order: PaperOrder) -> str:
        "Why the exchange side rejects an order the add-on took, or nothing."
        if self.meets("reject_after_success", order): return "Rejected by the exchange"
        if self.variants.oco_reuse == "reject" and order.oco in self.burned: return f"OCO id '{order.oco}' cannot be reused"
        return "Insufficient margin" if self.lacks_margin(account, order) else ""

    def lacks_margin(self, account: PaperAccount, order: PaperOrder) -> bool:
        "Whether an order would take the account beyond its cash; a reduction never does."
        held = account.held(order.instrument)
        after = held + order.sign * order.quantity
        if abs(after) <= abs(held): return False
        others = {name: holding.quantity for name, holding in account.open().items() if name != order.instrument}
        return self.margin_of(others | {order.instrument: after}) > account.cash + self.unrealized(account)

    def margin_of(self, quantities: Mapping[str, int]) -> float:
        "Initial margin of holdings, USD."
        return sum(abs(n) * (self.mark(name) or 0.0) * point_value(name) * self.terms.margin for name, n in quantities.items())

    def mark(self, instrument: str) -> float | None: return self.tape(instrument).last(self.clock.now())

    def unrealized(self, account: PaperAccount) -> float:
        "USD, at the last known prices."
        return sum(self.open_profit(name, held) for name, held in account.open().items())

    def open_profit(self, instrument: str, held: Holding) -> float:
        mark = self.mark(instrument)
        return 0.0 if mark is None else (mark - held.average) * held.quantity * point_value(instrument)

    # filling

    def settle(self) -> None:
        "Bring every working order up to the clock."
        active = [order for order in self.orders.values() if order.is_active]
        for order in active:
            if order.order_type == "MARKET": self.work(order)
        for name in dict.fromkeys(order.instrument for order in active): self.settle_instrument(name)

    def settle_instrument(self, name: str) -> None:
        "Run the bars that ended since over the resting orders, oldest first."
        tape, now = self.tape(name), self.clock.now()
        resting = self.resting(name)
        if not resting: return
        if not tape.prints and tape.price is not None: return self.pass_bar(name, Print(now, now, *[tape.price] * 4, 1_000_000_000))
        first = tape.index_after(min(order.active_from for order in resting))
        for bar in tape.prints[first:]:
            if bar.end > now: break
            self.pass_bar(name, bar)

    def resting(self, name: str) -> list[PaperOrder]:
        "Active orders at a price, stops first."
        found = [order for order in self.orders.values() if order.is_active and order.instrument == name and order.order_type != "MARKET"]
        return sorted(found, key=lambda order: not order.order_type.startswith("STOP"))

    def pass_bar(self, name: str, bar: Print) -> None:
        for order in self.resting(name):
            if order.is_active and bar.start >= order.active_from: self.meet(order, bar)

    def meet(self, order: PaperOrder, bar: Print) -> None:
        "One resting order meets one bar."
        if order.order_type == "STOPLIMIT" and not order.triggered:
            if stop_price(bar, order.sign, order.stop) is not None:
                order.triggered, order.active_from = True, bar.end
                order.log(bar.end, "order_update", "Triggered", "Working")
            return
        if order.order_type == "STOPMARKET":
            price = stop_price(bar, order.sign, order.stop)
            if price is not None: self.fill(order, slipped(price, order.sign, self.rules, order.instrument), bar)
        elif (price := limit_price(bar, order.sign, order.limit, self.rules.limit)) is not None: self.fill(order, price, bar)

    def work(self, order: PaperOrder) -> None:
        "Fill a market order as far as the rules allow; resting orders wait for a bar."
        if order.order_type != "MARKET": return
        tape, now = self.tape(order.instrument), self.clock.now()
        bar = tape.next_open(order.active_from)
        if bar and (bar.start <= now or (self.variants.instant and not order.filled)): price = bar.open
        elif bar is None and (price := tape.last(now)) is not None and now >= order.active_from: bar = Print(now, now, price, price, price, price, 0)
        else: return
        self.fill(order, slipped(price, order.sign, self.rules, order.instrument), bar)
        if order.is_active and order.active_from <= now: self.work(order)

    def part_of(self, order: PaperOrder, bar: Print) -> int:
        "How many contracts of an order one bar takes."
        share = self.rules.participation
        room = order.remaining if share is None or not bar.volume else max(1, int(bar.volume * share))
        part = order.first_part if order.first_part and not order.filled else order.remaining
        return min(part, room, order.remaining)

    def fill(self, order: PaperOrder, price: float, bar: Print) -> None:
        "Execute an order, or a part of it, at a price."
        at, part = max(bar.start, order.placed), self.part_of(order, bar)
        order.average = (order.average * order.filled + price * part) / (order.filled + part)
        order.filled, order.active_from = order.filled + part, max(bar.end, at + 1)
        account = self.accounts[order.account]
        account.apply(order.instrument, order.sign * part, price)
        account.commission += self.terms.commission * part
        self.record(order, account, part, price, at)
        order.log(at, "order_update", "OrderUpdate", "Filled" if not order.remaining else "PartFilled")
        if order.oco: self.resolve_oco(order, at)
        if order.template: self.attach(order, part, at)

    def record(self, order: PaperOrder, account: PaperAccount, part: int, price: float, at: int) -> None:
        execution = dict(id=self.new_id(), at=at, order_id=order.order_id, account=account.name, instrument=order.instrument, sign=order.sign, quantity=part,
                         price=price, commission=self.terms.commission * part, position=account.held(order.instrument), name=order.name)
        self.executions.append(execution)

    def resolve_oco(self, order: PaperOrder, at: int) -> None:
        "One of a group filled: the rest is cancelled and the id is burned."
        self.burned.add(order.oco)
        for other in list(self.orders.values()):
            if other.is_active and other.oco == order.oco and other is not order and other.account == order.account: self.end(other, at, "OCO")

    def attach(self, entry: PaperOrder, part: int, at: int) -> None:
        "An ATM template places its target and stop as the entry fills."
        target, stop = self.terms.templates[entry.template]
        entry.strategy_id = entry.strategy_id or self.new_id()
        self.bracket(entry, part, at, entry.average + entry.sign * target * tick_size(entry.instrument), entry.average - entry.sign * stop * tick_size(entry.instrument))

    def bracket(self, entry: PaperOrder, quantity: int, at: int, target: float | None, stop: float | None) -> list[PaperOrder]:
        "Target and stop as an OCO pair against `entry`'s side."
        action, group = ("SELL" if entry.sign > 0 else "BUY"), self.new_id()
        tick, made = tick_size(entry.instrument), []
        for kind, price, label in (("LIMIT", target, "Target1"), ("STOPMARKET", stop, "Stop1")):
            if price is None: continue
            price = round(price / tick) * tick
            made.append(PaperOrder(self.new_id(), entry.account, entry.instrument, action, quantity, kind, at, price if kind == "LIMIT" else 0.0,
                                   price if kind != "LIMIT" else 0.0, "GTC", oco=group, strategy_id=entry.strategy_id, name=label, active_from=at))
        for order in made: self.enter(self.accounts[order.account], order)
        return made

    # ending and changing

    def end(self, order: PaperOrder, at: int, why: str = "") -> None:
        "Cancel an order."
        order.log(at, "order_update", "CancelPending", "CancelPending")
        order.log(at, "order_update", "Cancelled", "Cancelled", detail=why)
        if order.oco: self.burned.add(order.oco)

    def cancel(self, order_id: str) -> PaperOrder:
        "Cancel one order; the text of the refusal is documented as stable."
        order = self.find(order_id)
        if order is None or not order.is_active: raise Refusal(400, error=f"Order linked to '{order_id}' not found or already terminal.")
        self.end(order, self.clock.now())
        return order

    def active(self, account: PaperAccount | None = None, instrument: str | None = None) -> list[PaperOrder]:
        "Orders not ended, of an account and instrument where given."
        return [order for order in self.orders.values() if order.is_active
                and (account is None or order.account == account.name) and instrument in (None, order.instrument)]

    def cancel_many(self, account: PaperAccount | None, instrument: str | None) -> list[PaperOrder]:
        ended = self.active(account, instrument)
        for order in ended: self.end(order, self.clock.now())
        return ended

    def trade(self, account: PaperAccount, instrument: str, action: str, quantity: int, name: str = "") -> PaperOrder:
        "A market order that did not come from the client: the user at the screen, or a close."
        now = self.clock.now()
        order = PaperOrder(self.new_id(), account.name, self.instrument(instrument), action.upper(), quantity, "MARKET", now, name=name, active_from=now)
        self.enter(account, order)
        return order

    def close(self, account: PaperAccount, instrument: str, quantity: int) -> None:
        "Close so many contracts of a holding at the market."
        self.trade(account, instrument, "SELL" if account.held(instrument) > 0 else "BUY", quantity, "Close")

    # remembering

    def to_dict(self) -> dict[str, Any]:
        "Everything, as JSON-like content."
        return dict(accounts=[asdict(account) for account in self.accounts.values()], orders=[asdict(order) for order in self.orders.values()],
                    executions=self.executions, attempts=self.attempts, burned=sorted(self.burned), counter=self.counter)

    def restore(self, content: Mapping[str, Any]) -> None:
        "Take up what `to_dict` wrote."
        self.accounts = {row["name"]: PaperAccount(**row | {"holdings": {name: Holding(**held) for name, held in row["holdings"].items()}}) for row in content["accounts"]}
        self.orders = {row["order_id"]: PaperOrder(**row) for row in content["orders"]}
        self.executions, self.attempts = list(content["executions"]), dict(content["attempts"])
        self.burned, self.counter = set(content["burned"]), content["counter"]
