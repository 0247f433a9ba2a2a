"""`broker accounts | positions | orders | fills | flatten`: NinjaTrader as CrossTrade shows it, and the way out by
hand."""

from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish

Config = typer.Option(
    Path("config/live_trading_config.json"), "--config", help="The live config: its token, URL and account are used."
)
Account = typer.Option(None, "--account", help="Another account than the config's.")

group = typer.Typer(
    help="Ask NinjaTrader through CrossTrade, and flatten by hand.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(group, name="broker")


@contextmanager
def _client(path: Path, account: str | None):
    "A client of the config's broker, and the config; the feed's key is not needed for it."
    from futures_algo.broker.outcomes import QueryError
    from futures_algo.config.loading import load_config
    from futures_algo.core.types import BrokerError
    from futures_algo.crosstrade.client import CrossTradeClient

    config = load_config(path, {"databento": {"api_key": "not needed"}})
    execution = config.execution
    with CrossTradeClient(
        execution.crosstrade_api_key, execution.crosstrade_base_url, account or execution.account
    ) as client:
        try:
            yield client, config
        except QueryError as error:
            raise BrokerError(f"{error}; {_remedy(error, execution.crosstrade_base_url)}") from error


def _remedy(error: Exception, url: str) -> str:
    "What to do about a question that went unanswered."
    from futures_algo.broker.outcomes import AddOnDown, Unauthorized, Unreachable

    if isinstance(error, AddOnDown):
        return "start NinjaTrader 8 and connect the CrossTrade add-on"
    if isinstance(error, Unreachable):
        return f"does {url} answer? it is execution.crosstrade_base_url of the config"
    if isinstance(error, Unauthorized):
        return "check CROSSTRADE_API_KEY, and that the CrossTrade plan includes its API"
    return "check the account and the name asked for"


def _list(name: str, rows: Iterable, as_json: bool, columns: tuple[str, ...], account: str) -> None:
    "Rows as JSON or as a table."
    found = [{key: value for key, value in asdict(row).items() if key != "extra"} for row in rows]

    def show(document: dict) -> None:
        from futures_algo.commands.show import grid

        grid(f"{name} of {account}", columns, [[row[column] for column in columns] for row in found])

    finish({"account": account, name: found}, as_json, show)


@group.command()
def accounts(config: Path = Config, json: bool = Json) -> None:
    "Every account, with the name orders must use."
    with _client(config, None) as (client, _):
        _list(
            "accounts",
            client.accounts(),
            json,
            ("name", "display_name", "connection", "cash", "realized", "unrealized"),
            "NinjaTrader",
        )


@group.command()
def positions(config: Path = Config, account: str | None = Account, json: bool = Json) -> None:
    "Open positions."
    with _client(config, account) as (client, _):
        _list(
            "positions",
            client.get_positions(),
            json,
            ("instrument", "market_position", "quantity", "average_price", "unrealized"),
            client.account,
        )


@group.command()
def orders(
    config: Path = Config,
    account: str | None = Account,
    everything: bool = typer.Option(False, "--all", help="Ended ones too."),
    json: bool = Json,
) -> None:
    "Working orders."
    with _client(config, account) as (client, _):
        _list(
            "orders",
            client.get_orders(active_only=not everything),
            json,
            ("order_id", "instrument", "state", "action", "order_type", "quantity", "filled"),
            client.account,
        )


@group.command()
def fills(
    config: Path = Config,
    account: str | None = Account,
    lookback: int = typer.Option(900, help="Seconds; CrossTrade keeps 900."),
    json: bool = Json,
) -> None:
    "Executions of the last minutes."
    with _client(config, account) as (client, _):
        _list(
            "fills",
            client.get_executions(lookback=lookback),
            json,
            ("execution_id", "instrument", "market_position", "quantity", "price", "commission"),
            client.account,
        )


@group.command()
def flatten(
    scope: str = typer.Option(..., help="strategy, instrument or account"),
    name: str = typer.Option("", help="The strategy, or the contract in any spelling."),
    live: bool = typer.Option(False, "--live", help="Do it; without it nothing is sent."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    config: Path = Config,
    json: bool = Json,
) -> None:
    """Close positions and cancel their orders; a dry run unless --live. A running engine is asked to do it, so that its
    books stay right."""
    from futures_algo.commands.live import send
    from futures_algo.core.types import FuturesAlgoError
    from futures_algo.journal.journal import Journal

    with _client(config, None) as (client, settings):
        held = Journal.is_held(settings.engine.journal)
        if scope == "strategy" and not held:
            raise FuturesAlgoError(
                "scope was 'strategy'; only a running engine knows what a strategy holds: start it, or flatten the"
                " instrument or the account"
            )
        instrument = _checked(scope, name)
        if not live:
            return finish(
                {"sent": False, "account": client.account, "would_close": _meant(client, scope, instrument)},
                json,
                lambda plan: _show_plan(plan, held),
            )
        _confirm(client.account, scope, name, yes)
        if held:
            return send(settings.engine.journal, json, "flatten", scope=scope, name=name)
        _finish_flatten(client.flatten(instrument), json)


def _checked(scope: str, name: str) -> str | None:
    "NinjaTrader's name of the instrument, None for the other scopes."
    import time

    from futures_algo.core.types import InputError
    from futures_algo.execution.orders import instrument_of

    if scope not in ("strategy", "instrument", "account"):
        raise InputError("scope", scope, "must be strategy, instrument or account")
    if scope != "account" and not name:
        raise InputError("name", name, f"must say which {scope}", "add --name")
    return instrument_of(name, time.time_ns()) if scope == "instrument" else None


def _meant(client, scope: str, instrument: str | None) -> list[dict]:
    "The broker's positions a scope would close; those of a strategy are the engine's to tell."
    if scope == "strategy":
        return []
    found = [
        position
        for position in client.get_positions()
        if position.quantity and instrument in (None, position.instrument)
    ]
    return [{"instrument": p.instrument, "market_position": p.market_position, "quantity": p.quantity} for p in found]


def _show_plan(document: dict, held: bool) -> None:
    lines = [f"{row['market_position']} {row['quantity']} {row['instrument']}" for row in document["would_close"]] or [
        "nothing that the broker shows"
    ]
    typer.echo(
        f"dry run on {document['account']}: would close"
        f" {', '.join(lines)}{', through the running engine' if held else ''}; --live does it"
    )


def _confirm(account: str, scope: str, name: str, yes: bool) -> None:
    "Echo what will be done, and let a person say no."
    from futures_algo.core.types import FuturesAlgoError

    question = f"Flatten {scope} {name}".rstrip() + f" on account {account}?"
    if not yes and not typer.confirm(question, err=True):
        raise FuturesAlgoError("Nothing was sent")
    if yes:
        typer.echo(question.removesuffix("?"), err=True)


def _finish_flatten(outcome, as_json: bool) -> None:
    "The broker's answer; an unclear one is a finding and says what to do."
    from futures_algo.broker.outcomes import Ambiguous

    answer = "closed" if outcome.ok else getattr(outcome, "reason", "")
    if isinstance(outcome, Ambiguous):
        answer += "; it may have been done: look at the positions before anything else"
    closed = [position.instrument for position in outcome.value] if outcome.ok else []
    finish(
        {"sent": True, "answer": answer, "closed": closed},
        as_json,
        lambda document: typer.echo(f"{answer} {', '.join(closed)}".rstrip()),
        finding=not outcome.ok,
    )
