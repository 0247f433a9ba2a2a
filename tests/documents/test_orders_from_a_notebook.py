"SimpleExecutor, OrderManager and SignalTranslator in one line each, as the documents show, against the paper broker."

import datetime as dt
import json

import pytest

import futures_algo as fa
from futures_algo.config.mistakes import ConfigErrors
from futures_algo.core.types import DataClock, FuturesAlgoError, InputError
from futures_algo.execution.executor import execution_log
from futures_algo.sim.broker import PaperBroker

AT = dt.datetime(2025, 1, 14, 16, 0, tzinfo=dt.UTC)
SIGNAL = {"signal_type": "LONG_ENTRY", "instrument": "ES 03-25", "price": 5850.0, "timestamp": AT.isoformat()}


@pytest.fixture
def broker():
    with PaperBroker({"ES 03-25": 5850.0}) as broker:
        yield broker


@pytest.fixture
def project(tmp_path, monkeypatch, broker):
    "A project's folder with the documents' execution_config.json; notebooks lie one below."
    (tmp_path / "config").mkdir()
    settings = {"crosstrade_url": broker.url, "nt8_account": "Sim101", "default_quantity": 1, "use_market_orders": True}
    (tmp_path / "config/execution_config.json").write_text(json.dumps(settings))
    (tmp_path / "nbs").mkdir()
    monkeypatch.setenv("CROSSTRADE_API_KEY", "paper-token")
    monkeypatch.setenv("CROSSTRADE_BASE_URL", broker.url)
    monkeypatch.chdir(tmp_path / "nbs")
    return tmp_path


def in_time(executor: fa.SimpleExecutor) -> fa.SimpleExecutor:
    executor.executor.context.set_clock(DataClock(int(AT.timestamp() + 1) * 10**9))
    return executor


def test_get_accounts_prints_the_account(project):
    with fa.CrossTradeClient() as client:
        assert "Sim101" in str(client.get_accounts())


def test_the_simple_executor_needs_no_argument_in_a_notebook(project):
    with fa.SimpleExecutor() as executor:
        assert executor.execute_signal(SIGNAL | {"timestamp": dt.datetime.now().isoformat()}).verdict == "dry_run"
    assert (project / "logs/executions.log").is_file() and (project / "journal/simple.db").is_file()


def test_a_signal_is_executed_and_logged(project):
    with fa.SimpleExecutor(dry_run=False) as executor:
        decision = in_time(executor).execute_signal(SIGNAL)
    assert (decision.verdict, decision.detail) == ("sent", "Filled")
    states = [json.loads(line).get("state") for line in (project / "logs/executions.log").read_text().splitlines()]
    assert "Filled" in states


def test_a_signal_row_and_its_dictionary_are_executed_alike(project):
    row = fa.Signal("x", "s", "ES.c.0", "ESH25", "LONG_ENTRY", int(AT.timestamp()) * 10**9, "1min", 5850.0, "h")
    with fa.SimpleExecutor(dry_run=False) as executor:
        assert in_time(executor).execute_signal(dict(row)).detail == "Filled"


def test_the_order_manager_is_one_line(project):
    orders = fa.OrderManager(client := fa.CrossTradeClient())
    order = orders.submit_market_order("ES 03-25", "BUY", 2)
    orders.poll()
    assert orders.get_order_status(order.order_id) == "Filled"
    translator = fa.SignalTranslator(client)
    assert translator.check_existing_position("ES 03-25") == 2
    assert orders.flatten_position("ES 03-25").ok and translator.check_existing_position("ES 03-25") == 0
    orders.journal.close()
    client.close()


def test_the_order_manager_makes_its_own_client(project):
    orders = fa.OrderManager()
    assert orders.account == "Sim101"
    orders.journal.close()
    orders.client.close()


def test_a_failed_construction_leaves_nothing_behind(project, monkeypatch):
    monkeypatch.delenv("CROSSTRADE_API_KEY")
    before = list(execution_log.handlers)
    for _ in range(2):
        with pytest.raises(FuturesAlgoError):
            fa.SimpleExecutor()
    with pytest.raises(FuturesAlgoError):
        fa.SimpleExecutor(crosstrade_api_key="paper-token", limits={"max_position": 1})
    assert execution_log.handlers == before
    monkeypatch.setenv("CROSSTRADE_API_KEY", "paper-token")
    with fa.SimpleExecutor(dry_run=False) as executor:
        in_time(executor).execute_signal(SIGNAL)
    lines = (project / "logs/executions.log").read_text().splitlines()
    assert len([line for line in lines if '"signal"' in line]) == 1
    assert execution_log.handlers == before


def test_without_market_orders_entries_are_limits_that_expire(project, broker):
    with fa.SimpleExecutor(dry_run=False, use_market_orders=False, limit_seconds=30) as executor:
        clock = in_time(executor).executor.clock
        decision = executor.execute_signal(SIGNAL | {"price": 5700.0})
        row = executor.journal.one("intents", "order_id", decision.order_id)
        assert (row["order_type"], row["limit_price"], decision.detail) == ("LIMIT", 5700.0, "Working")
        clock.advance(clock.now() + 29 * 10**9)
        executor.poll()
        assert executor.executor.orders.get_order_status(decision.order_id) == "Working"
        clock.advance(clock.now() + 2 * 10**9)
        executor.poll()
        executor.poll()
        assert executor.executor.orders.get_order_status(decision.order_id) == "Cancelled"
        assert executor.client.get_positions() == []
        with pytest.raises(InputError, match="must be given to enter with a limit"):
            executor.execute_signal({name: value for name, value in SIGNAL.items() if name != "price"})


def test_every_key_of_the_scripts_file_is_read_and_no_other_passes(project):
    with pytest.raises(ConfigErrors, match="did you mean 'dry_run'") as caught:
        fa.SimpleExecutor(dry_rum=False, max_position=1, use_market_orders="no")
    assert [error.path for error in caught.value.errors] == ["use_market_orders", "dry_rum", "max_position"]


@pytest.mark.parametrize("spelling", ["account", "nt8_account"])
def test_both_spellings_of_an_account_are_read_in_both_files(project, spelling):
    from futures_algo.config.loading import read_simple_config
    from futures_algo.config.model import ExecutionConfig

    (project / "c.json").write_text(json.dumps({spelling: "Sim102"}))
    assert read_simple_config(project / "c.json").nt8_account == "Sim102"
    assert ExecutionConfig.model_validate({spelling: "Sim102"}).account == "Sim102"
    with pytest.raises(ConfigErrors, match="must not stand beside"):
        read_simple_config(project / "c.json", {"account": "a", "nt8_account": "b"})
