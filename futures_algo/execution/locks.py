"""Why an instrument takes no entries: each reason has a kind of its own and opens on its own.

Kinds: `unknown` (an outcome is being looked up), `doubt` (for long), `books` (ledgers and account differ), and of one
ledger `exit:STRATEGY` (its exit does not come through), `side:STRATEGY` (it stands on a side its strategy never asked
for), of one order `stuck:ID`.
"""

from futures_algo.execution.context import Context


class Locks:
    "The reasons by instrument and kind; the gate sees them joined."

    def __init__(self, context: Context):
        self._context = context
        self._reasons: dict[tuple[str, str], str] = {}

    def set(self, instrument: str, kind: str, reason: str) -> None:
        "Lock, with one alarm as long as the kind stays locked."
        known = (instrument, kind) in self._reasons
        self._reasons[instrument, kind] = reason
        self._show(instrument)
        if not known:
            self._context.say("alarm", "lock", instrument, reason)

    def open(self, instrument: str, kind: str) -> None:
        if not (reason := self._reasons.pop((instrument, kind), None)):
            return
        self._show(instrument)
        self._context.say("info", "unlock", instrument, f"settled: {reason}")

    def open_like(self, instrument: str, prefix: str) -> None:
        "Every kind of an instrument that begins so."
        for name, kind in list(self._reasons):
            if name == instrument and kind.startswith(prefix):
                self.open(name, kind)

    def of_kind(self, prefix: str) -> list[tuple[str, str]]:
        "Instrument and kind of the locks whose kind begins so."
        return [key for key in self._reasons if key[1].startswith(prefix)]

    def _show(self, instrument: str) -> None:
        reasons = [why for (name, _), why in self._reasons.items() if name == instrument]
        if reasons:
            self._context.risk.locked[instrument] = "; ".join(reasons)
        else:
            self._context.risk.locked.pop(instrument, None)
