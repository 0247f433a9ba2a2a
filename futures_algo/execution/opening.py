"""What a script leaves out when it makes an order manager: its client, its journal, its account."""

from pathlib import Path
from typing import Any

from futures_algo.broker.opening import BrokerSettings, open_broker
from futures_algo.core.types import Clock, InputError, WallClock
from futures_algo.journal.journal import Journal


def opened(
    client: Any = None,  # CrossTradeClient; one with the key of the environment when omitted
    journal: "Journal | str | Path" = "journal/orders.db",  # a path opens it, and holds it
    clock: Clock | None = None,
    account: str | None = None,  # the client's, or its only one, when omitted
) -> tuple[Any, Journal, Clock, str]:
    "The four an order manager works with; a failure closes what was opened here."
    own = None
    if client is None:
        client = own = open_broker("crosstrade", BrokerSettings(account or ""))
    try:
        account = account or client.account or _only_account(client)
        if not isinstance(journal, Journal):
            journal = Journal(journal)
            journal.hold()
    except BaseException:
        if own is not None:
            own.close()
        raise
    return client, journal, clock or WallClock(), account


def _only_account(client: Any) -> str:
    names = [one if isinstance(one, str) else one.name for one in client.get_accounts()]
    if len(names) == 1:
        return names[0]
    raise InputError("account", names, "must be one", "name it: OrderManager(client, account='Sim101')")
