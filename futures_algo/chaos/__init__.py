"An independent CrossTrade and NinjaTrader 8 broker that misbehaves on request, written from the wire alone."

from futures_algo.chaos.broker import ChaosBroker
from futures_algo.chaos.catalogue import CATALOGUE
from futures_algo.chaos.clock import SECOND, HandClock, ScaledClock
from futures_algo.chaos.faults import Faults, Rule
from futures_algo.chaos.instruments import Product
from futures_algo.chaos.records import Execution, Order
from futures_algo.chaos.settings import Settings
from futures_algo.chaos.truth import Event

__all__ = [
    "CATALOGUE",
    "SECOND",
    "ChaosBroker",
    "Event",
    "Execution",
    "Faults",
    "HandClock",
    "Order",
    "Product",
    "Rule",
    "ScaledClock",
    "Settings",
]
