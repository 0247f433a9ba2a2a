"Rows as the reference shows them, from what NinjaTrader has heard."

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

from futures_algo.chaos.book import Book
from futures_algo.chaos.clock import SECOND
from futures_algo.chaos.market import Market
from futures_algo.chaos.records import Account, Execution, Order, Position

Row = dict[str, Any]
ITEM = (
    "buyingPower",
    "cashValue",
    "commission",
    "dailyLossLimit",
    "dailyProfitTrigger",
    "excessInitialMargin",
    "excessIntradayMargin",
    "excessMaintenanceMargin",
    "excessPositionMargin",
    "fee",
    "grossRealizedProfitLoss",
    "initialMargin",
    "intradayMargin",
    "longOptionValue",
    "longStockValue",
    "lookAheadMaintenanceMargin",
    "maintenanceMargin",
    "netLiquidation",
    "netLiquidationByCurrency",
    "positionMargin",
    "realizedProfitLoss",
    "shortOptionValue",
    "shortStockValue",
    "sodCashValue",
    "sodLiquidatingValue",
    "totalCashBalance",
    "trailingMaxDrawdown",
    "unrealizedProfitLoss",
    "weeklyLossLimit",
    "weeklyProfitLoss",
    "weeklyProfitTrigger",
)


class Shapes:
    "Makes JSON rows; changes nothing."

    def __init__(self, book: Book, market: Market) -> None:
        self.book = book
        self.market = market
        self.settings = book.settings

    def local(self, ns: int) -> str:
        "The PC's local time, seven digits, no zone."
        moment = datetime.fromtimestamp(ns // SECOND, UTC) + timedelta(hours=self.settings.pc_hours)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % SECOND // 100:07d}"

    def utc(self, ns: int) -> str:
        return f"{datetime.fromtimestamp(ns // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.{ns % SECOND // 1_000_000:03d}Z"

    def position(self, position: Position) -> Row:
        price = self.market.price(position.instrument)
        price = position.average if price is None else price
        side = ("Flat", "Long", "Short")[(position.quantity > 0) - (position.quantity < 0)]
        return {
            "type": "NinjaTrader.Cbi.Position",
            "account": position.account,
            "instrument": position.instrument,
            "instrumentType": "Future",
            "marketPosition": side,
            "quantity": abs(position.quantity),
            "averagePrice": position.average,
            "marketPrice": price,
            "unrealizedProfitLoss": self.unrealized(position, price),
            "tag": None,
        }

    def unrealized(self, position: Position, price: float) -> float:
        return (
            (price - position.average)
            * position.quantity
            * self.book.instruments.product(position.instrument).point_value
        )

    def order(self, order: Order) -> Row:
        state, filled, average = self.book.shown_fill(order)
        row = (
            {"account": order.account}
            | self._ids(order)
            | {
                "instrument": order.instrument,
                "instrumentType": "Future",
                "orderType": order.type,
                "orderState": state,
                "orderAction": order.action,
                "quantity": order.quantity,
                "averageFillPrice": average,
                "filled": filled,
                "fromEntrySignal": None,
                "gtd": "2099-12-01T00:00:00.0000000",
                "hasOverfill": filled > order.quantity,
                "isBacktestOrder": False,
                "limitPrice": order.limit_price,
                "limitPriceChanged": 0.0,
                "stopPrice": order.stop_price,
                "stopPriceChanged": 0.0,
                "ocoId": order.oco_id,
                "timeInForce": order.tif,
                "time": self.local(order.changed_ns),
                "epoch": order.changed_ns // 1_000_000,
                "ownerStrategy": None,
            }
        )
        return row

    def _ids(self, order: Order) -> Row:
        mine = None if order.forgotten else order.client_id
        echo = self.settings.row_echo
        row: Row = {"name": mine if mine and "name" in echo else order.name}
        if self.settings.row_id in ("id", "both"):
            row["id"] = order.id
        if self.settings.row_id in ("orderId", "both"):
            row["orderId"] = order.id
        if mine and "orderId" in echo:
            row |= {"id": order.id, "orderId": mine}
        if "automatedTradingOrderId" in echo:
            row["automatedTradingOrderId"] = mine or f"auto-{order.id[:12]}"
        shown = mine if mine and "userData" in echo else f"auto-{order.id[:12]}"
        row["userData"] = (
            f"<NinjaTrader><AutomatedTradingOrderId>{escape(shown)}</AutomatedTradingOrderId></NinjaTrader>"
        )
        return row

    def execution(self, execution: Execution) -> Row:
        order = execution.order
        entry = execution.position * order.sign > 0
        return {
            "id": execution.id,
            "type": "NinjaTrader.Cbi.Execution",
            "time": self.local(execution.moment_ns),
            "epoch": execution.moment_ns // 1_000_000,
            "name": order.name or ("Entry" if entry else "Exit"),
            "orderId": order.id,
            "account": order.account,
            "serverName": "DESKTOP-CHAOS",
            "instrument": order.instrument,
            "instrumentType": "Future",
            "position": execution.position,
            "marketPosition": "Long" if order.sign > 0 else "Short",
            "positionStrategy": 0,
            "price": execution.price,
            "quantity": execution.quantity,
            "commission": execution.fee,
            "fee": 0.0,
        }

    def account(self, account: Account) -> Row:
        return {
            "id": account.number,
            "name": account.name,
            "displayName": account.name,
            "primaryUser": None,
            "provider": "Simulator",
            "denomination": "UsDollar",
            "status": "Enabled",
            "dailyLossLimit": 0.0,
            "minCashValue": 0.0,
            "maxOrderSize": 0,
            "maxPositionSize": 0,
            "connection": "NinjaTrader.Cbi.Connection",
            "connectionStatus": account.connection,
            "lastTransactionSum": 0.0,
            "item": self._item(account),
        }

    def _item(self, account: Account) -> Row:
        held = [self.book.shown_position(*key) for key in self.book.positions if key[0] == account.name]
        paid = sum(
            one.fee for one in self.book.executions if one.order.account == account.name and self.book.heard(one)
        )
        gross = sum(position.realized for position in held)
        open_profit = sum(self.unrealized(p, self.market.price(p.instrument) or p.average) for p in held if p.quantity)
        cash = account.cash + gross - paid
        return dict.fromkeys(ITEM, 0.0) | {
            "cashValue": cash,
            "totalCashBalance": cash,
            "buyingPower": cash,
            "netLiquidation": cash + open_profit,
            "netLiquidationByCurrency": cash + open_profit,
            "realizedProfitLoss": gross - paid,
            "grossRealizedProfitLoss": gross,
            "unrealizedProfitLoss": open_profit,
            "commission": paid,
            "sodCashValue": account.cash,
            "sodLiquidatingValue": account.cash,
        }

    def quote(self, instrument: str) -> Row:
        product, price, now = self.book.instruments.product(instrument), self.market.price(instrument), self.book.now()
        half = self.settings.spread_ticks * product.tick
        high, low = self.market.ranges.get(instrument, (price, price))
        utc = datetime.fromtimestamp(now // SECOND, UTC)
        month, year = instrument.split(" ")[1].split("-")
        row = {
            "description": product.description,
            "type": "Future",
            "tickSize": product.tick,
            "pointValue": product.point_value,
            "tickValue": product.tick * product.point_value,
            "exchange": "Globex",
            "expiration": f"20{year}-{month}-01",
            "tradingHours": "CME US Index Futures ETH",
            "instrument": instrument,
            "bid": None if price is None else price - half,
            "ask": price,
            "last": price,
            "open": price,
            "high": high,
            "low": low,
            "close": price,
            "volume": len(self.book.executions),
            "quoteTime": f"{utc + timedelta(hours=self.settings.pc_hours):%m/%d/%Y %I:%M:%S %p}",
            "quoteTimeUtc": f"{utc:%Y-%m-%d %H:%M:%S}",
            "epoch": now // SECOND,
            "dataSource": {"status": "Live", "connectedFeeds": ["Live"]},
            "isMarketOpen": self.book.market_open,
        }
        return row | ({"success": True} if self.settings.quote_success else {})

    def info(self, instrument: str) -> Row:
        now, is_open = self.book.now(), self.book.market_open
        left = 3600.0
        until = self.utc(now + round(left * SECOND))
        return {
            "success": True,
            "timestamp": self.utc(now),
            "instrument": instrument,
            "timeZone": "Central Standard Time",
            "status": {"isOpen": is_open, "state": "Open" if is_open else "Closed"},
            "session": {
                "label": "Current Session" if is_open else "Next Session",
                "utcStart": self.utc(now - 3600 * SECOND),
                "utcEnd": until,
                "localStart": self.local(now - 3600 * SECOND)[:19].replace("T", " "),
                "localEnd": self.local(now + 3600 * SECOND)[:19].replace("T", " "),
                "countdown": "01:00:00",
                "action": "Until Close" if is_open else "Until Open",
                "secondsRemaining": left,
            },
            "upcoming": {"utcStart": until, "utcEnd": self.utc(now + 86400 * SECOND)},
        }
