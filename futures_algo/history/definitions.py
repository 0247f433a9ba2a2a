"""What the exchange's definition records say of a product; they win over the shipped table."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from futures_algo.core.contracts import PRODUCTS, Product, add_product
from futures_algo.core.dbn import PRICE_SCALE
from futures_algo.core.types import DataError

_UNDEFINED = 2**63 - 1


def product_of_definition(record: Any) -> Product | None:
    """The product of a future's definition, where it says tick and point value and the table knows the root's calendar.
    Records say the point value in two places and not always in one unit; it is taken when the two agree, and left
    as the
    table has it when one of them confirms the table."""
    known, tick = PRODUCTS.get(str(record.asset)), record.min_price_increment
    if known is None or getattr(record.instrument_class, "value", record.instrument_class) != "F":
        return None
    if not 0 < tick < _UNDEFINED:
        return None
    found = known._replace(tick_size=tick / PRICE_SCALE, currency=str(record.currency) or known.currency)
    values = _point_values(record)
    if any(_same(known.point_value, value) for value in values) or len(values) < 2 or not _same(*values[:2]):
        return found
    return found._replace(point_value=values[0])


def _point_values(record: Any) -> list[float]:
    "What a point may be worth: by the value of a tick, by the units of a contract, and by those in hundredths."
    tick, amount, units = record.min_price_increment, record.min_price_increment_amount, record.unit_of_measure_qty
    by_tick = [amount / tick] if 0 < amount < _UNDEFINED else []
    by_units = [units / PRICE_SCALE, units / PRICE_SCALE / 100] if 0 < units < _UNDEFINED else []
    return by_tick + by_units


def learn(records: Iterable[Any]) -> list[str]:
    "Take definition records over the table; what they changed, in words."
    said = []
    for record in records:
        product = product_of_definition(record)
        if product is not None and (text := difference(PRODUCTS[product.root], product)):
            add_product(product)
            said.append(text)
    return said


def difference(known: Product, defined: Product) -> str:
    "How a definition differs from the table, or nothing."
    pairs = [
        (name, getattr(known, name), getattr(defined, name))
        for name in ("tick_size", "point_value", "currency")
        if not _same(getattr(known, name), getattr(defined, name))
    ]
    told = ", ".join(f"{name} {theirs!r} instead of {ours!r}" for name, ours, theirs in pairs)
    return f"{known.root}: the exchange's definition has {told}; it holds from here on" if told else ""


def _same(ours: Any, theirs: Any) -> bool:
    return abs(ours - theirs) <= 1e-9 * abs(ours) if isinstance(ours, float) else ours == theirs


def learn_file(path: "Path | str") -> list[str]:
    "The definitions of a DBN file over the table; what they changed, in words."
    import databento

    store = databento.DBNStore.from_file(path)
    if str(store.schema) != "definition":
        raise DataError("schema", str(store.schema), "must be definition", "fetch the definition schema", str(path))
    return learn(store)
