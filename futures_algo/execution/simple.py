"""Orders for signals: the executor of the engine, and a simple one for a script."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from futures_algo.broker.opening import BrokerSettings, open_broker
from futures_algo.core.logs import attach_log
from futures_algo.core.paths import found_upward
from futures_algo.core.types import SECOND
from futures_algo.execution.executor import CrossTradeExecutor, execution_log
from futures_algo.execution.gate import Gate, Limits
from futures_algo.execution.open_order import Fill
from futures_algo.execution.translator import SignalTranslator
from futures_algo.execution.verdicts import Decision


class SimpleExecutor:
    "One signal dictionary in, one decision out."

    def __init__(
        self,
        config_path: "str | Path" = "config/execution_config.json",  # looked for here and in the folders above
        *,
        journal: "str | Path | None" = None,  # journal/simple.db beside the config's folder when omitted
        log: "str | Path | None" = None,  # logs/executions.log beside the config's folder when omitted
        **changes: Any,  # laid over the file: any setting of `SimpleConfig`, such as dry_run=False
    ):
        from futures_algo.config.loading import read_simple_config
        from futures_algo.journal.journal import Journal

        path = found_upward(config_path)
        home = path.parent.parent if path != Path(config_path) else Path()  # found above: the project's folder
        self.settings = read_simple_config(path, changes)
        self.account, self.default_quantity = self.settings.nt8_account, self.settings.default_quantity
        limits = Limits.of({"max_signal_age_s": self.settings.max_signal_age_s} | self.settings.limits, "limits")
        with ExitStack() as opened:  # a failure on the way leaves nothing behind
            self.client = self._open_broker()
            opened.callback(self.client.close)
            self.journal = opened.enter_context(Journal(journal or home / "journal/simple.db"))
            self.journal.hold()
            self._handler = attach_log(execution_log, Path(log or home / "logs/executions.log"))
            opened.callback(self._detach)
            self.executor = CrossTradeExecutor(
                self.client,
                self.journal,
                Gate(limits),
                account=self.account,
                dry_run=self.settings.dry_run,
                translator=SignalTranslator(client=self.client, limit_entries=not self.settings.use_market_orders),
                inline=True,
            )
            self.executor.recover()
            self._opened = opened.pop_all()

    def _open_broker(self) -> Any:
        key, url = self.settings.crosstrade_api_key, self.settings.crosstrade_url
        return open_broker(self.settings.broker, BrokerSettings(self.account, key, url))

    def _detach(self) -> None:
        execution_log.removeHandler(self._handler)
        self._handler.close()

    def execute_signal(self, signal: Mapping[str, Any]) -> Decision:
        "Validate, judge, and send one signal; what happened is in the answer and in executions.log."
        checked = self.executor.translator.validate({"quantity": self.default_quantity, **dict(signal)})
        self._cancel_old_limits()
        if not self.executor.books.reconciled:
            self.executor.reconcile()
        decision = self.executor.submit_signal(checked)
        execution_log.info(json.dumps({"signal": dict(signal), **decision._asdict()}, default=str))
        return decision

    def poll(self) -> list[Fill]:
        "Fills that came since, limits too old cancelled: call it while orders are open."
        self._cancel_old_limits()
        return self.executor.poll()

    def _cancel_old_limits(self) -> None:
        "Ask for the end of entries that rest longer than `limit_seconds`."
        last = self.executor.clock.now() - int(self.settings.limit_seconds * SECOND)
        for order in list(self.executor.orders.open.values()):
            row = self.journal.one("intents", "order_id", order.order_id)
            rests = order.purpose == "entry" and order.order_type == "LIMIT" and order.is_resting
            if rests and row and row["at"] <= last:
                self.executor.orders.cancel(order)

    def close(self) -> None:
        "End the connection, the journal and the log. Resting limits stay at the broker until the day's end."
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
