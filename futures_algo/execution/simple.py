"""Orders for signals: the executor of the engine, and a simple one for a script."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from futures_algo.broker.opening import BrokerSettings, open_broker
from futures_algo.core.logs import attach_log
from futures_algo.execution.executor import CrossTradeExecutor, execution_log
from futures_algo.execution.gate import Gate, Limits
from futures_algo.execution.open_order import Fill
from futures_algo.execution.verdicts import Decision


class SimpleExecutor:
    "One signal dictionary in, one decision out."

    def __init__(
        self,
        config_path: "str | Path" = "config/execution_config.json",
        *,
        journal: "str | Path" = "journal/simple.db",
        log: "str | Path" = "logs/executions.log",
        # laid over the file: crosstrade_url, crosstrade_api_key, nt8_account, dry_run, max_signal_age_s,
        # default_quantity, limits
        **changes: Any,
    ):
        from futures_algo.config.files import environment, merge, read_json, resolve_variables
        from futures_algo.journal.journal import Journal

        path = Path(config_path)
        settings = resolve_variables(merge(read_json(path), changes), environment(path.parent))
        self.account, self.default_quantity = settings["nt8_account"], settings.get("default_quantity", 1)
        self._handler = attach_log(execution_log, Path(log))
        broker = BrokerSettings(self.account, settings.get("crosstrade_api_key"), settings.get("crosstrade_url"))
        self.client = open_broker(settings.get("broker", "crosstrade"), broker)
        self.journal = Journal(journal)
        self.journal.hold()
        limits = {"max_signal_age_s": settings.get("max_signal_age_s", 90.0)} | settings.get("limits", {})
        self.executor = CrossTradeExecutor(
            self.client,
            self.journal,
            Gate(Limits.of(limits)),
            account=self.account,
            dry_run=settings.get("dry_run", True),
            inline=True,
        )
        self.executor.recover()

    def execute_signal(self, signal: Mapping[str, Any]) -> Decision:
        "Validate, judge, and send one signal; what happened is in the answer and in executions.log."
        checked = self.executor.translator.validate({"quantity": self.default_quantity, **signal})
        if not self.executor.books.reconciled:
            self.executor.reconcile()
        decision = self.executor.submit_signal(checked)
        execution_log.info(json.dumps({"signal": dict(signal), **decision._asdict()}, default=str))
        return decision

    def poll(self) -> list[Fill]:
        "Fills that came since: call it while orders are open."
        return self.executor.poll()

    def close(self) -> None:
        self.client.close()
        self.journal.close()
        execution_log.removeHandler(self._handler)
        self._handler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
