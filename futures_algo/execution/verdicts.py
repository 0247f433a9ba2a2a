"What became of each signal, in the journal; and which were seen."

from typing import Any, NamedTuple

from futures_algo.core.types import Signal
from futures_algo.execution.context import Context
from futures_algo.execution.gate import Denial


class Decision(NamedTuple):
    "What became of a signal."

    verdict: str  # sent, denied, dry_run, duplicate, pending; closed: contracts no ledger owned
    denial: str = ""  # a `Denial`'s name
    detail: str = ""
    order_id: str = ""


class Verdicts:
    "The verdict of a signal is its row's; one that waited changes its row."

    def __init__(self, context: Context):
        self._context = context
        self._exits: dict[str, Signal] = {}  # of this run: an exit is tried again from memory too
        self._seen = {row["id"] for row in context.journal.rows("signals")}

    def __len__(self) -> int:
        return len(self._seen)

    def knows(self, signal: Signal) -> bool:
        return signal.id in self._seen

    def is_new(self, signal: Signal) -> bool:
        "Whether this decision was never taken; it counts as taken from now on."
        fresh = signal.id not in self._seen
        if not signal.is_entry:
            self._exits[signal.id] = signal
        self._seen.add(signal.id)
        return fresh

    def signal(self, identity: str) -> Signal | None:
        "A signal by its id."
        if identity in self._exits:
            return self._exits[identity]
        row = self._context.journal.one("signals", "id", identity)
        return as_signal(row) if row else None

    def note(self, signal: Signal, verdict: str, denial: str = "", detail: str = "") -> None:
        journal = self._context.journal
        if journal.has("signals", "id", signal.id):
            journal.update("signals", "id", signal.id, verdict=verdict, denial=denial, detail=detail)
        else:
            journal.add_signal(signal, self._context.now(), verdict, denial, detail)

    def pending(self, signal: Signal, detail: str = "waits for the order under way") -> Decision:
        self.note(signal, "pending", detail=detail)
        return Decision("pending", detail=detail)

    def refuse(self, signal: Signal, denial: Denial, detail: str) -> Decision:
        verdict = "dry_run" if denial is Denial.DRY_RUN else "denied"
        self.note(signal, verdict, denial.name, detail)
        if denial is Denial.CHECK_FAILED:
            self._context.say("alarm", "halt", signal.strategy, detail)
        return Decision(verdict, denial.name, detail)

    def outcome(self, signal: Signal) -> Decision:
        "What became meanwhile of a signal that was sent or had to wait."
        journal = self._context.journal
        row: dict[str, Any] = journal.one("signals", "id", signal.id) or {}
        sent = journal.rows("intents", "signal_id = ?", signal.id, order="rowid DESC", limit=1)
        order = next(iter(sent), {})
        detail = order.get("state") or row.get("detail", "")
        return Decision(row.get("verdict", ""), row.get("denial", ""), detail, order.get("order_id", ""))


def as_signal(row: dict[str, Any]) -> Signal:
    "The signal of a journal row."
    return Signal(**{name: row[name] for name in Signal._fields})
