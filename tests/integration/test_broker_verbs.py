"""`futures-algo broker ...` against the paper broker: what NinjaTrader holds, and the way out by hand, dry unless told
otherwise."""

import json

import pytest

from futures_algo.broker.requests import OrderRequest
from futures_algo.cli import main
from futures_algo.crosstrade.client import CrossTradeClient
from futures_algo.journal.journal import Journal
from futures_algo.sim.broker import PaperBroker


@pytest.fixture
def held(tmp_path, monkeypatch):
    "A broker with one ES and two short NQ, and a config that points at it."
    monkeypatch.setenv("CROSSTRADE_API_KEY", "paper-token")
    with PaperBroker({"ES 12-27": 5850.0, "NQ 12-27": 20_000.0}) as broker:
        config = {
            "databento": {"symbols": ["ES.c.0"]},
            "engine": {"journal": str(tmp_path / "live.db")},
            "execution": {"crosstrade_base_url": broker.url, "account": "Sim101"},
            "strategies": {"one": {"class": "futures_algo.strategies.SimpleBullishCCIStrategy"}},
        }
        (tmp_path / "live.json").write_text(json.dumps(config))
        with CrossTradeClient("paper-token", broker.url, "Sim101") as client:
            assert (
                client.place_order(OrderRequest("ES 12-27", "BUY", 1, "MARKET")).ok
                and client.place_order(OrderRequest("NQ 12-27", "SELL", 2, "MARKET")).ok
            )
            yield client, tmp_path / "live.json"


def verb(capsys, config, *args: str) -> tuple[int, dict]:
    "Exit code and JSON of a broker verb."
    code = 0
    try:
        main(["broker", *args, "--config", str(config), "--json"])
    except SystemExit as end:
        code = end.code or 0
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_lists_show_what_the_broker_holds(held, capsys):
    _, config = held
    assert [row["name"] for row in verb(capsys, config, "accounts")[1]["accounts"]] == ["Sim101"]
    assert {
        row["instrument"]: (row["market_position"], row["quantity"])
        for row in verb(capsys, config, "positions")[1]["positions"]
    } == {"ES 12-27": ("Long", 1), "NQ 12-27": ("Short", 2)}
    assert (
        verb(capsys, config, "orders")[1]["orders"] == []
        and len(verb(capsys, config, "orders", "--all")[1]["orders"]) == 2
    )
    assert sum(row["quantity"] for row in verb(capsys, config, "fills")[1]["fills"]) == 3


def test_flatten_is_dry_unless_live(held, capsys):
    client, config = held
    code, plan = verb(capsys, config, "flatten", "--scope", "account")
    assert (
        code == 0
        and not plan["sent"]
        and {row["instrument"] for row in plan["would_close"]} == {"ES 12-27", "NQ 12-27"}
    )
    assert len(client.get_positions()) == 2


@pytest.mark.parametrize("name", ["ESZ27", "ES 12-27"])
def test_flatten_live_closes_the_instrument_and_nothing_else(held, capsys, name):
    client, config = held
    assert verb(capsys, config, "flatten", "--scope", "instrument", "--name", name, "--live", "--yes")[0] == 0
    assert [(p.instrument, p.quantity) for p in client.get_positions() if p.quantity] == [("NQ 12-27", 2)]


def test_flatten_live_asks_and_takes_no_for_an_answer(held, capsys, monkeypatch):
    client, config = held
    monkeypatch.setattr("typer.confirm", lambda question, **options: "account Sim101" not in question)
    assert verb(capsys, config, "flatten", "--scope", "account", "--live") == (
        2,
        {"error": "Nothing was sent", "kind": "FuturesAlgoError"},
    )
    assert len(client.get_positions()) == 2


def test_a_strategy_is_flattened_by_the_engine_that_knows_what_it_holds(held, capsys):
    _, config = held
    code, answer = verb(capsys, config, "flatten", "--scope", "strategy", "--name", "one", "--live", "--yes")
    assert code == 2 and "only a running engine knows" in answer["error"]
    with Journal(json.loads(config.read_text())["engine"]["journal"]) as journal:
        journal.hold()
        assert Journal.is_held(journal.path)
        assert verb(capsys, config, "flatten", "--scope", "strategy", "--name", "one")[1]["would_close"] == []


@pytest.mark.parametrize(
    "args, words",
    [
        (["--scope", "everything"], "must be strategy, instrument or account"),
        (["--scope", "instrument"], "must say which instrument"),
        (["--scope", "instrument", "--name", "ES"], "ES"),
    ],
)
def test_an_unclear_scope_is_refused(held, capsys, args, words):
    code, answer = verb(capsys, held[1], "flatten", *args)
    assert code == 2 and words in answer["error"]
