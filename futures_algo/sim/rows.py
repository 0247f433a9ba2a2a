"The JSON shapes of a paper broker: what CrossTrade's pages show, in every variant they leave open."

import datetime as dt
from typing import Any

from futures_algo.core.contracts import Contract, product
from futures_algo.core.types import SECOND
from futures_algo.sim.books import Books, side_of
from futures_algo.sim.faults import Variants
from futures_algo.sim.ledger import Holding, PaperAccount, PaperOrder

_KINDS = {"MARKET": "Market", "LIMIT": "Limit", "STOPMARKET": "StopMarket", "STOPLIMIT": "StopLimit"}
_ZEROS = (
    "dailyLossLimit",
    "dailyProfitTrigger",
    "excessMaintenanceMargin",
    "excessPositionMargin",
    "fee",
    "intradayMargin",
    "longOptionValue",
    "longStockValue",
    "lookAheadMaintenanceMargin",
    "maintenanceMargin",
    "positionMargin",
    "shortOptionValue",
    "shortStockValue",
    "sodCashValue",
    "sodLiquidatingValue",
    "trailingMaxDrawdown",
    "weeklyLossLimit",
    "weeklyProfitLoss",
    "weeklyProfitTrigger",
)


def moment(at: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at // SECOND, dt.UTC).replace(microsecond=at % SECOND // 1000)


def stamp(at: int) -> str:
    return moment(at).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def epoch(at: int, variants: Variants) -> Any:
    "Milliseconds, as a number or as text."
    return at / 1e6 if variants.epoch == "number" else str(at / 1e6)


def account_row(books: Books, account: PaperAccount) -> dict[str, Any]:
    "An account as `GET /accounts/{account}` shows it."
    unrealized = books.unrealized(account)
    margin = books.margin_of({name: held.quantity for name, held in account.open().items()})
    item = dict.fromkeys(_ZEROS, 0.0) | {
        "cashValue": account.cash,
        "totalCashBalance": account.cash,
        "netLiquidation": account.cash + unrealized,
        "netLiquidationByCurrency": account.cash + unrealized,
        "realizedProfitLoss": account.realized - account.commission,
        "grossRealizedProfitLoss": account.realized,
        "unrealizedProfitLoss": unrealized,
        "commission": account.commission,
        "initialMargin": margin,
        "excessIntradayMargin": account.cash + unrealized - margin,
        "excessInitialMargin": account.cash + unrealized - margin,
        "buyingPower": account.cash + unrealized - margin,
    }
    return {
        "id": list(books.accounts).index(account.name) + 1,
        "name": account.name,
        "displayName": account.display_name,
        "primaryUser": None,
        "provider": "Simulator",
        "denomination": "UsDollar",
        "status": "Enabled",
        "dailyLossLimit": 0.0,
        "minCashValue": 0.0,
        "maxOrderSize": 0,
        "maxPositionSize": 0,
        "connection": "NinjaTrader.Cbi.Connection",
        "connectionStatus": "Connected",
        "lastTransactionSum": 0.0,
        "item": item,
    }


def position_row(books: Books, account: PaperAccount, instrument: str, held: Holding) -> dict[str, Any]:
    "A position, its quantity unsigned."
    side = side_of(held.quantity).title()
    return {
        "type": "NinjaTrader.Cbi.Position",
        "account": account.name,
        "instrument": instrument,
        "instrumentType": "Future",
        "marketPosition": side,
        "quantity": abs(held.quantity),
        "averagePrice": held.average,
        "marketPrice": books.mark(instrument),
        "unrealizedProfitLoss": books.open_profit(instrument, held),
        "tag": None,
    }


def shown_id(order: PaperOrder, variants: Variants) -> str:
    "The id rows and answers carry."
    return order.given_id if order.given_id and order.echoed and variants.id_echo == "echo" else order.order_id


def order_row(order: PaperOrder, variants: Variants) -> dict[str, Any]:
    "An order, its id under the names the variant says."
    ours = order.given_id if order.echoed else ""
    data = f"<NinjaTrader><AutomatedTradingOrderId>{ours}</AutomatedTradingOrderId></NinjaTrader>" if ours else ""
    ids = {"id": order.order_id, "orderId": shown_id(order, variants)}
    if variants.order_ids != "both":
        ids = {variants.order_ids: shown_id(order, variants)}
    state = order.state.lower() if variants.lower_states else order.state
    return ids | {
        "account": order.account,
        "instrument": order.instrument,
        "instrumentType": "Future",
        "orderType": _KINDS[order.order_type],
        "orderState": state,
        "orderAction": order.action.capitalize(),
        "quantity": order.quantity,
        "averageFillPrice": order.average,
        "filled": order.filled,
        "fromEntrySignal": None,
        "gtd": "2099-12-01T00:00:00.0000000",
        "limitPrice": order.limit,
        "limitPriceChanged": 0.0,
        "stopPrice": order.stop,
        "stopPriceChanged": 0.0,
        "timeInForce": order.time_in_force.capitalize(),
        "ocoId": order.oco,
        "name": order.name,
        "time": stamp(order.placed),
        "epoch": epoch(order.placed, variants),
        "hasOverfill": False,
        "isBacktestOrder": False,
        "ownerStrategy": _owner(order),
        "userData": data,
    }


def _owner(order: PaperOrder) -> dict[str, str] | None:
    return (
        {"id": order.strategy_id, "name": order.template or "ATM", "displayName": order.template or "ATM"}
        if order.strategy_id
        else None
    )


def event_row(event: dict[str, Any], order_id: str, variants: Variants) -> dict[str, Any]:
    "One line of a lifecycle."
    row = {
        "timestamp": stamp(event["at"]),
        "epoch": epoch(event["at"], variants),
        "source": event["source"],
        "event": event["event"],
        "orderState": event["state"],
        "orderId": order_id,
        "filled": event["filled"],
        "averageFillPrice": event["average"],
    }
    return row | ({"detail": event["detail"]} if event.get("detail") else {})


def execution_row(execution: dict[str, Any], order: PaperOrder, variants: Variants) -> dict[str, Any]:
    "A fill; its `time` has no zone, as the add-on's has none."
    side = "Long" if execution["sign"] > 0 else "Short"
    return {
        "id": execution["id"],
        "type": "NinjaTrader.Cbi.Execution",
        "time": stamp(execution["at"])[:-1],
        "epoch": epoch(execution["at"], variants),
        "name": execution["name"],
        "orderId": shown_id(order, variants),
        "account": execution["account"],
        "serverName": "PAPER",
        "instrument": execution["instrument"],
        "instrumentType": "Future",
        "position": execution["position"],
        "marketPosition": side,
        "positionStrategy": 0,
        "price": execution["price"],
        "quantity": execution["quantity"],
        "commission": execution["commission"],
        "fee": 0.0,
    }


def quote_row(books: Books, instrument: str) -> dict[str, Any]:
    "The market now: last known price with a tick on either side."
    what, now = product(instrument), books.clock.now()
    last, contract = books.mark(instrument), Contract.parse(instrument)
    success = {"success": True} if books.variants.quote_success else {}
    return success | {
        "description": what.name,
        "type": "Future",
        "tickSize": what.tick_size,
        "pointValue": what.point_value,
        "tickValue": what.tick_value,
        "exchange": what.exchange,
        "expiration": f"{contract.year}-{contract.month:02d}-01",
        "tradingHours": "CME US Index Futures ETH",
        "instrument": instrument,
        "bid": None if last is None else last - what.tick_size,
        "ask": None if last is None else last + what.tick_size,
        "last": last,
        "volume": books.tape(instrument).volume_to(now),
        "quoteTimeUtc": moment(now).strftime("%Y-%m-%d %H:%M:%S"),
        "epoch": now // SECOND,
        "dataSource": {"status": "Live", "connectedFeeds": ["Live"]},
        "isMarketOpen": books.is_open(instrument),
    }


def info_row(books: Books, instrument: str) -> dict[str, Any]:
    "Market hours: until when the market is open, or closed."
    is_open, now = books.is_open(instrument), books.clock.now()
    until = books.next_change(instrument)
    left = (until - now) / SECOND if until else 0.0
    session = {
        "label": "Current Session" if is_open else "Next Session",
        "utcStart": stamp(now),
        "utcEnd": stamp(until or now),
        "countdown": f"{int(left) // 3600:02d}:{int(left) // 60 % 60:02d}:{int(left) % 60:02d}",
        "action": "Until Close" if is_open else "Until Open",
        "secondsRemaining": left,
    }
    return {
        "success": True,
        "timestamp": stamp(now),
        "instrument": instrument,
        "timeZone": "Central Standard Time",
        "status": {"isOpen": is_open, "state": "Open" if is_open else "Closed"},
        "session": session,
    }
