"From a signal to a fill: translation, sizing, reversal, exits that always go, books, locks, and the simple face."

import json
from datetime import datetime

import pytest
from execution_desk import ES, START, desk  # noqa: F401

from futures_algo.core.contracts import product
from futures_algo.core.types import BrokerError, ConfigError, DataClock, InputError
from futures_algo.execution.simple import SimpleExecutor
from futures_algo.execution.translator import SignalTranslator, risk_size
from futures_algo.journal.journal import Journal, JournalError
from futures_algo.sim.broker import PaperBroker

SEED = {
    "signal_type": "LONG_ENTRY",
    "instrument": "ES 03-25",
    "price": 5850.0,
    "timestamp": "2025-01-14T10:00:00-06:00",
}

# the seed's example


@pytest.fixture
def simple(tmp_path):
    "A function that makes a SimpleExecutor on a paper broker."
    config = tmp_path / "execution_config.json"
    config.write_text(
        json.dumps(
            {
                "crosstrade_url": "http://localhost:8080",
                "nt8_account": "Sim101",
                "default_quantity": 1,
                "use_market_orders": True,
                "crosstrade_api_key": "paper-token",
            }
        )
    )
    made = []
    with PaperBroker({"ES 03-25": 5850.0}) as broker:

        def make(**changes):
            made.append(
                SimpleExecutor(
                    config,
                    journal=tmp_path / "simple.db",
                    log=tmp_path / "executions.log",
                    crosstrade_url=broker.url,
                    **{"dry_run": False} | changes,
                )
            )
            made[-1].broker, made[-1].log = broker, tmp_path / "executions.log"
            return made[-1]

        yield make
        for each in made:
            each.close()


def test_the_first_documents_example_with_its_old_timestamp_is_stale(simple):
    it = simple()
    decision = it.execute_signal(SEED | {"timestamp": "2025-11-13T09:30:00"})
    assert (decision.verdict, decision.denial) == ("denied", "STALE") and it.client.get_positions() == []
    assert json.loads(it.log.read_text().splitlines()[-1])["denial"] == "STALE"


def test_the_first_documents_example_in_time_is_filled_and_logged(simple):
    it = simple()
    it.executor.context.set_clock(DataClock(1_736_870_430 * 10**9))  # 30 s after its timestamp
    decision = it.execute_signal(SEED)
    assert (decision.verdict, decision.detail) == ("sent", "Filled") and it.client.get_positions()[0].signed == 1
    lines = [json.loads(line) for line in it.log.read_text().splitlines()]
    assert lines[-1]["signal"]["signal_type"] == "LONG_ENTRY" and any(
        line.get("state") == "Filled" and line["average_price"] == 5850.0 for line in lines
    )


def test_a_contract_past_its_last_trading_is_expired_for_a_fresh_signal(simple):
    assert simple().execute_signal(SEED | {"timestamp": datetime.now().isoformat()}).denial in (
        "EXPIRED",
        "MARKET_CLOSED",
    )  # the market may be closed now


def test_dry_run_is_the_default(simple, tmp_path):
    it = simple(dry_run=True, max_signal_age_s=None)
    assert it.execute_signal(SEED).verdict == "dry_run" and not it.broker.books.orders
    assert "dry_run" not in json.loads((tmp_path / "execution_config.json").read_text())


def test_a_second_executor_on_the_same_journal_is_refused(simple):
    simple()
    with pytest.raises(JournalError, match="Another engine"):
        simple()


def test_the_token_may_come_from_the_environment_and_must_come_from_somewhere(simple, tmp_path, monkeypatch):
    monkeypatch.delenv("XTRADE_TOKEN", raising=False)
    monkeypatch.delenv("CROSSTRADE_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="must be set"):
        simple(crosstrade_api_key=None)


# translation


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"signal_type": "LONG_ENTER"}, "LONG_ENTRY"),
        ({"instrument": None}, "dated contract"),
        ({"instrument": "ES"}, "month"),
        ({"timestamp": "yesterday"}, "ISO date"),
        ({"timestamp": None}, "when the signal was decided"),
        ({"price": float("nan")}, "finite"),
        ({"price": True}, "finite"),
        ({"quantity": 0}, "at least 1"),
        ({"quantity": 1.5}, "whole number"),
    ],
)
def test_a_bad_signal_is_named(changes, words):
    with pytest.raises(InputError, match=words):
        SignalTranslator().validate(SEED | changes)


def test_equal_signals_have_equal_ids():
    one, two = (
        SignalTranslator().validate(SEED | {"timestamp": text})
        for text in ("2025-01-14T10:00:00-06:00", "2025-01-14T16:00:00Z")
    )
    assert one.id == two.id != SignalTranslator().validate(SEED | {"price": 5851.0}).id


@pytest.mark.parametrize(
    "budget, points, symbol, contracts",
    [
        (500, 8.0, "ES.c.0", 1),
        (500, 8.0, "MES.c.0", 12),
        (399.99, 8.0, "ES.c.0", 0),
        (400, 8.0, "ES", 1),
        (0, 8.0, "ES", 0),
        (500, 30.0, "MNQ 12-25", 8),
        (float("nan"), 8.0, "ES", 0),
    ],
)
def test_risk_is_rounded_down_and_micros_have_their_own_point_value(budget, points, symbol, contracts):
    assert risk_size(budget, points, symbol) == contracts
    if contracts:
        assert contracts * points * product(symbol).point_value <= budget


@pytest.mark.parametrize("points", [0, -1, float("nan"), float("inf")])
def test_a_stop_without_a_distance_sizes_nothing(points):
    with pytest.raises(InputError, match="above 0"):
        risk_size(500, points, "ES")


def test_size_from_the_accounts_value(desk):  # noqa: F811
    it = desk(translator=SignalTranslator(risk_percent={"trend": 1.0}, stop_points={("trend", "ES.c.0"): 8.0}))
    translator = it.executor.translator
    translator.account_value = lambda: it.executor.account_value
    it.executor.reconcile()
    assert it.executor.account_value == 100_000.0 and translator.size(it.signal()) == 2
    it.submit()
    it.wait()
    assert it.held() == 2
    it.broker.faults.add("addon_down", path="/accounts/Sim101")
    assert it.executor.read_account() is None and translator.size(it.signal()) == 0


def test_a_budget_one_contract_breaks_is_denied_with_quantity(desk):  # noqa: F811
    it = desk(translator=SignalTranslator({"trend": 300.0}, {("trend", "ES.c.0"): 8.0}))
    assert it.submit().denial == "QUANTITY"
    decision = it.submit(contract="NQZ5")
    assert decision.denial == "QUANTITY" and "stop distance" in decision.detail and not it.orders()


def test_what_the_broker_holds_and_a_question_that_fails(desk):  # noqa: F811
    it = desk()
    it.broker.trade(ES, "SELL", 2)
    check = it.executor.translator.check_existing_position
    assert (check("ESZ25", it.client), check("NQ 12-25", it.client)) == (-2, 0)
    it.broker.faults.add("addon_down")
    with pytest.raises(BrokerError):
        check("ESZ25", it.client)


# signals


def test_the_order_names_the_dated_contract_and_the_row_comes_first(desk):  # noqa: F811
    it = desk()
    decision = it.submit()
    row = it.journal.one("intents", "order_id", decision.order_id)
    assert it.orders()[0].instrument == ES == row["instrument"] and row["at"] <= it.journal.rows("requests")[0]["at"]
    assert it.journal.rows("signals")[0]["verdict"] == "sent"


def test_a_decision_is_acted_on_once_even_over_a_restart(desk):  # noqa: F811
    it = desk()
    signal = it.signal()
    assert it.executor.submit_signal(signal).verdict == "sent"
    assert it.executor.submit_signal(signal).denial == "DUPLICATE"
    it.wait()
    it.restart()
    assert it.executor.submit_signal(signal).denial == "DUPLICATE" and len(it.orders()) == 1 and it.held() == 1


def test_in_a_dry_run_nothing_is_sent(desk):  # noqa: F811
    it = desk(dry_run=True)
    assert it.submit().verdict == it.submit("LONG_EXIT").verdict == "dry_run" and it.orders() == []


def test_a_contract_that_cannot_be_told_is_denied(desk):  # noqa: F811
    it = desk()
    assert [it.executor.submit_signal(it.signal()._replace(id=name, contract=name)).denial for name in ("", "ES")] == [
        "CONTRACT",
        "CONTRACT",
    ]


def test_an_exit_waits_for_the_entry_and_closes_what_filled(desk):  # noqa: F811
    it = desk()
    it.broker.faults.add("lost_after", path="/place")
    it.submit(quantity=3)
    decision = it.submit("LONG_EXIT")
    assert decision.verdict == "pending" and len(it.orders()) == 1
    it.wait(looks=4)
    assert [order.quantity for order in it.orders()] == [3, 3] and it.held() == it.at_broker() == 0
    assert {row["verdict"] for row in it.journal.rows("signals")} == {"sent"}


def test_an_exit_whose_entry_never_came_is_denied_by_name(desk):  # noqa: F811
    it = desk()
    it.broker.faults.add("reject_after_success", path="/place")
    it.submit()
    it.submit("LONG_EXIT")
    it.wait(looks=2)
    assert it.journal.rows("signals")[1]["denial"] == "NOTHING_TO_EXIT" and len(it.orders()) == 1


def test_a_reversal_flattens_waits_for_the_fill_and_enters(desk):  # noqa: F811
    it = desk(inline=True)
    it.submit(quantity=2)
    it.wait()
    assert it.submit("SHORT_ENTRY").verdict == "sent"
    assert [(order.action, order.quantity) for order in it.orders()] == [
        ("BUY", 2),
        ("SELL", 2),
        ("SELL", 1),
    ] and it.held() == it.at_broker() == -1
    assert [row["reason"] for row in it.journal.rows("signals")] == ["rule", "reversal", "rule"]


def test_a_reversal_that_the_gate_denies_leaves_the_position(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.executor.books.trading = "REDUCING"
    assert it.submit("SHORT_ENTRY").denial == "REDUCING" and it.held() == 1


def test_reversals_can_be_switched_off(desk):  # noqa: F811
    it = desk(reverse=False)
    it.submit()
    it.wait()
    assert it.submit("SHORT_ENTRY").denial == "POSITION_OPEN"


def test_exit_and_entry_of_one_instant_go_one_after_the_other(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.submit("LONG_EXIT")
    assert it.submit("SHORT_ENTRY").verdict == "pending"
    it.wait(looks=3)
    assert it.held() == it.at_broker() == -1


def test_an_entry_that_waited_too_long_is_judged_again(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.broker.faults.add("lost_before", path="/place")
    it.submit("LONG_EXIT")
    it.submit("SHORT_ENTRY")
    it.wait(100, looks=6)
    assert it.journal.rows("signals")[-1]["denial"] == "STALE" and it.held() == it.at_broker() == 0


@pytest.mark.parametrize("kind", ["rate_limited", "market_closed", "refuse", "lost_before", "reject_after_success"])
def test_an_exit_that_fails_is_tried_again_until_it_is_through(desk, kind):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.broker.faults.add(kind, path="/place", times=2, form="float", seconds=0.01)
    it.submit("LONG_EXIT")
    it.wait(20, looks=15)
    assert it.held() == it.at_broker() == 0 and not it.executor.waiting


def test_an_exit_that_goes_on_failing_is_an_alarm_and_locks_and_goes_on(desk):  # noqa: F811
    it = desk()
    it.fail_to_leave()
    it.wait(5, looks=6)
    assert "failed 3 times" in it.executor.books.locked[ES] and it.events("lock")
    assert it.submit(strategy="fade").denial == "LOCKED"
    it.broker.faults.clear()
    it.wait(60, looks=3)
    assert it.held() == it.at_broker() == 0 and not it.executor.books.locked


def test_an_exit_under_way_survives_a_restart(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.broker.faults.add("refuse", path="/place")
    it.submit("LONG_EXIT")
    it.restart()
    it.wait(5, looks=3)
    assert it.held() == it.at_broker() == 0


def test_two_strategies_keep_their_own_ledgers(desk):  # noqa: F811
    it = desk()
    it.submit(strategy="trend", quantity=2)
    it.submit("SHORT_ENTRY", strategy="fade")
    it.wait()
    assert (it.held("trend"), it.held("fade"), it.at_broker()) == (2, -1, 1) and it.executor.reconcile() == {}
    it.submit("LONG_EXIT", strategy="trend")
    it.wait()
    assert (it.held("trend"), it.held("fade"), it.at_broker()) == (0, -1, -1)


def test_slippage_is_against_the_reference_and_the_price_at_sending(desk):  # noqa: F811
    it = desk()
    it.executor.mark(ES, 5849.5, START)
    it.submit(price=5849.0)
    it.wait()
    (fill,) = it.journal.rows("fills")
    assert (fill["reference_price"], fill["arrival_price"], fill["price"], fill["slippage"]) == (
        5849.0,
        5849.5,
        5850.0,
        1.0,
    )


# flatten


@pytest.mark.parametrize(
    "scope, name, left",
    [("strategy", "trend", {"fade": 1}), ("instrument", "ESZ5", {"trend-nq": 1}), ("account", "", {})],
)
def test_flatten_names_its_scope_and_passes_while_halted(desk, scope, name, left):  # noqa: F811
    it = desk()
    it.submit()
    it.submit(strategy="fade")
    it.submit(strategy="trend-nq", contract="NQZ5")
    it.wait()
    it.executor.books.trading = "HALTED"
    it.executor.flatten(scope, name)
    it.wait(looks=2)
    assert {strategy: ledger.quantity for (strategy, _), ledger in it.executor.ledgers.items() if ledger.quantity} == (
        {"fade": 1, "trend-nq": 1} if scope == "strategy" else left
    )
    assert it.executor.reconcile() == {}


def test_an_unknown_scope_is_refused(desk):  # noqa: F811
    with pytest.raises(InputError, match="strategy, instrument or account"):
        desk().executor.flatten("everything")


# books


def test_a_manual_trade_locks_shows_both_books_and_opens_when_they_agree(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.broker.trade(ES, "BUY", 1)
    assert it.executor.reconcile() == {ES: (1, 2)}
    assert (
        "ours +1 (trend +1), broker +2; sell 1 by hand" in it.executor.books.locked[ES]
        and it.submit(strategy="fade").denial == "LOCKED"
    )
    with pytest.raises(InputError, match="stays"):
        it.executor.unlock(ES)
    it.broker.trade(ES, "SELL", 1)
    assert it.executor.reconcile() == {} and not it.executor.books.locked


def test_exits_go_by_the_ledger_while_locked(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.broker.trade(ES, "BUY", 1)
    it.executor.reconcile()
    assert it.submit("LONG_EXIT").verdict == "sent"
    it.wait()
    assert (it.held(), it.at_broker()) == (0, 1)


def test_a_difference_can_be_adopted(desk):  # noqa: F811
    it = desk()
    it.broker.trade(ES, "SELL", 2)
    it.executor.reconcile()
    assert it.executor.adopt("ESZ5", "ann") == -2
    assert it.held("manual") == -2 and not it.executor.books.locked
    it.restart()
    assert it.held("manual") == -2 and it.executor.reconcile() == {}
    with pytest.raises(InputError, match="whose books differ"):
        it.executor.adopt("ESZ5")


def test_a_failed_position_query_is_unknown_and_never_flat(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.broker.faults.add("addon_down", path="/positions", times=-1)
    assert it.executor.reconcile() == {} and not it.executor.books.reconciled and it.executor.broker_state[0] == "down"
    assert it.submit(strategy="fade").denial == "NOT_RECONCILED" and it.held() == 1
    it.broker.faults.clear()
    it.executor.reconcile()
    assert it.executor.books.reconciled and it.executor.broker_state == ("connected", "")


def test_a_working_order_of_somebody_else_is_reported_once_and_left_alone(desk):  # noqa: F811
    it = desk()
    it.broker._on_loop(
        lambda: it.broker.books.place(
            it.broker.books.accounts["Sim101"],
            {
                "instrument": ES,
                "action": "BUY",
                "quantity": 1,
                "orderType": "LIMIT",
                "limitPrice": 5800.0,
                "timeInForce": "DAY",
            },
        )
    )
    it.executor.reconcile()
    it.executor.reconcile()
    assert len(it.events("foreign")) == 1 and it.broker.books.active() and not it.executor.books.locked


def test_a_fill_while_nobody_looked_is_booked_at_the_restart(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.restart()
    assert it.held() == it.at_broker() == 1 and not it.executor.orders.open


def test_the_day_counts_losses_stops_and_starts_again(desk):  # noqa: F811
    it = desk(limits={"max_stop_streak": 1, "max_daily_loss_usd": 400})
    it.submit()
    it.wait()
    it.broker.prices.set_price(ES, 5842.0)
    it.submit("LONG_EXIT", reason="stop")
    it.wait()
    assert it.executor.books.day_pnl_usd == -404.0 == it.executor.pnl_usd() and it.executor.books.stop_streak == {
        "trend": 1
    }
    assert it.submit().denial == "DAILY_LOSS"
    it.restart()
    assert it.executor.books.day_pnl_usd == -404.0 and it.executor.books.stop_streak == {"trend": 1}
    it.executor.book.update_day(START + 86_400 * 10**9)
    assert it.executor.books.day_pnl_usd == 0.0 and it.executor.books.stop_streak == {}


def test_open_profit_counts_for_the_day(desk):  # noqa: F811
    it = desk()
    it.submit()
    it.wait()
    it.executor.mark(ES, 5851.0, it.clock.now())
    assert it.executor.books.day_pnl_usd == 48.0


def test_every_ledger_row_can_be_derived_from_fills(desk):  # noqa: F811
    it = desk(variants={"partial": "half"})
    it.submit(quantity=4)
    it.wait(looks=2)
    rows = [row for row in it.journal.rows("positions") if row["source"] == "ledger"]
    fills = it.journal.rows("fills")
    assert [row["quantity"] for row in rows] == [
        sum(fill["quantity"] for fill in fills[: n + 1]) for n in range(len(fills))
    ]


def test_the_journal_is_held_by_one_and_read_by_many(desk):  # noqa: F811
    it = desk()
    it.submit()
    with Journal(it.path, readonly=True) as reader:
        assert reader.count("intents") == 1
