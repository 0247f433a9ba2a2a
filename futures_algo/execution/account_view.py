"What the account holds now: read row by row, in one spelling, or not known at all."

from collections.abc import Iterable

from futures_algo.broker.models import Position, UnreadableAnswer
from futures_algo.broker.requests import dated_instrument
from futures_algo.core.types import InputError
from futures_algo.execution.context import Context

MOST_CONTRACTS = 100_000  # of one row; more is no size


def one_spelling(instrument: str) -> str:
    "NinjaTrader's name of a contract in any spelling; what is none stays as it came."
    try:
        return dated_instrument(instrument)
    except InputError:
        return instrument


class AccountView:
    "Positions of one account."

    def __init__(self, context: Context):
        self._context = context
        self._last: dict[str, int] = {}

    def read(self, mine: Iterable[str] = ()) -> dict[str, int]:  # instrument -> signed contracts
        """Ask the broker and journal the answer. A row that cannot be read is set aside and said, unless it may be of
        an instrument of ours (`mine`): then nothing is known, which is not flat."""
        rows = self._context.broker.get_positions(self._context.account)
        self._refuse_doubt(rows, set(mine))
        found = self._by_instrument(rows)
        self._journal(found)
        self._last = {name: row.signed for name, row in found.items()}
        return dict(self._last)

    def _refuse_doubt(self, rows: list[Position], mine: set[str]) -> None:
        for aside in getattr(rows, "aside", ()):
            if aside.account and not self._context.is_ours(aside.account):
                continue
            if not aside.instrument or one_spelling(aside.instrument) in mine:
                raise UnreadableAnswer(f"a position row that may be ours cannot be read: {aside.reason}")
            self._context.say_once(
                ("position", aside.instrument), "warning", "foreign", aside.instrument, f"set aside: {aside.reason}"
            )

    def _by_instrument(self, rows: Iterable[Position]) -> dict[str, Position]:
        found: dict[str, Position] = {}
        for row in rows:
            name = one_spelling(row.instrument)
            if not self._context.is_ours(row.account):
                continue
            if name in found and found[name].signed != row.signed:
                raise UnreadableAnswer(f"{name} is listed with {found[name].signed:+d} and with {row.signed:+d}")
            found[name] = row
        return found

    def _journal(self, found: dict[str, Position]) -> None:
        context, at = self._context, self._context.now()
        for name in {*found, *(name for name, quantity in self._last.items() if quantity)}:
            row = found.get(name)
            context.journal.add(
                "positions",
                at=at,
                source="broker",
                account=context.account,
                instrument=name,
                strategy="",
                quantity=row.signed if row else 0,
                average_price=row.average_price if row else 0.0,
                mark=row.market_price if row else None,
            )
