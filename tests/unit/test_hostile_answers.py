"The broker's answers are hostile input: nothing it says invents a fill, spoils another order, or ends the executor."

import sqlite3

import pytest
from chaos_desk import ES, NQ, A, chaos_desk  # noqa: F401
from execution_desk import desk  # noqa: F401

from futures_algo.broker.models import Execution, Order, Position, Rows, UnreadableAnswer, epoch_nanos
from futures_algo.broker.outcomes import Ambiguous
from futures_algo.broker.requests import OrderRequest
from futures_algo.chaos.catalogue import CATALOGUE
from futures_algo.core.types import InputError
from futures_algo.crosstrade.parsing import read_executions, read_positions
from futures_algo.journal.journal import Journal

ROW = {
    "id": "e1",
    "orderId": "o1",
    "account": A,
    "instrument": ES,
    "marketPosition": "Long",
    "price": 5850.0,
    "quantity": 1,
    "epoch": 1_763_046_000_000,
}


# rows


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": 1e20},
        {"quantity": 0.25},
        {"price": 1e300},
        {"price": "NaN"},
        {"id": {"a": 1}},
        {"id": "\ud83d"},
        {"marketPosition": "Sideways"},
    ],
)
def test_a_row_that_cannot_be_is_set_aside_and_the_others_are_read(change):
    rows = read_executions({"executions": [ROW | change, ROW], "success": True})
    assert [row.execution_id for row in rows] == ["e1"] and len(rows.aside) == 1 and rows.aside[0].reason


@pytest.mark.parametrize("epoch", [1_763_046_000_000_000, 1_763_046_000_000_000_000, -1e12, 0, 9.99e14, "soon", None])
def test_a_time_of_another_unit_or_century_is_no_time(epoch):
    (row,) = read_executions({"executions": [ROW | {"epoch": epoch}], "success": True})
    assert row.at is None


@pytest.mark.parametrize("given", [1_763_046_000, 1_763_046_000_000, "1763046000000"])
def test_seconds_and_milliseconds_are_told_apart(given):
    assert epoch_nanos(given) == 1_763_046_000 * 10**9


@pytest.mark.parametrize("name", ["unrealizedProfitLoss", "marketPrice", "averagePrice"])
@pytest.mark.parametrize("value", ["NaN", float("nan"), float("inf"), [], {}])
def test_a_figure_nothing_is_decided_by_may_be_unreadable(name, value):
    row = {"instrument": ES, "marketPosition": "Long", "quantity": 1, name: value}
    assert Position.parse(row).signed == 1


@pytest.mark.parametrize("model, name", [(Position, "quantity"), (Order, "filled"), (Execution, "price")])
def test_a_figure_something_is_decided_by_may_not(model, name):
    row = ROW | {"orderState": "Working", "filled": 0} | {name: "many"}
    with pytest.raises(UnreadableAnswer):
        model.parse(row)


def test_an_unreadable_position_of_ours_is_unknown_and_one_of_others_is_said(chaos_desk, monkeypatch):  # noqa: F811
    it = chaos_desk()
    it.submit()
    it.wait()
    good = {"instrument": ES, "marketPosition": "Long", "quantity": 1, "account": A}
    for odd, known in (
        ({"instrument": ES, "quantity": 1e20}, False),
        ({"instrument": "BTCUSD", "quantity": 0.25}, True),
    ):
        rows = read_positions({"positions": [good, good | odd], "success": True})
        monkeypatch.setattr(it.client, "get_positions", lambda *_, rows=rows: rows)
        assert it.executor.reconcile() == {} and it.executor.books.reconciled is known
    (said,) = it.journal.rows("events", "kind = 'foreign'")
    assert said["subject"] == "BTCUSD"


# executions


def test_an_execution_belongs_to_one_order_account_contract_and_side(chaos_desk, monkeypatch):  # noqa: F811
    it = chaos_desk()
    it.submit(quantity=2)
    (order,) = it.executor.orders.open.values()
    mine = {"orderId": order.order_id, "quantity": 1}
    odd = [
        {"account": "Other7"},
        {"instrument": NQ},
        {"marketPosition": "Short"},
        {"quantity": 3},
        {"quantity": -1},
        {"quantity": 0},
    ]
    rows = Rows(Execution.parse(ROW | mine | change | {"id": f"e{n}"}) for n, change in enumerate(odd))
    monkeypatch.setattr(it.client, "get_executions", lambda *_: rows)
    it.executor.tracker.book()
    assert it.held() == 0 and len([text for text in it.alarms() if "is not booked" in text]) == len(odd)
    monkeypatch.undo()
    it.wait(looks=2)
    assert it.held() == it.at_broker() == 2


@pytest.mark.parametrize("times", [1, 2, 5])
def test_executions_beyond_an_orders_quantity_are_not_booked(chaos_desk, monkeypatch, times):  # noqa: F811
    it = chaos_desk()
    ask = it.client.get_executions

    def doubled(account=None, **more):
        rows = ask(account, **more)
        copies = [
            Execution.parse(ROW | _wire(row) | {"id": f"{row.execution_id}-{n}"}) for row in rows for n in range(times)
        ]
        return Rows([*rows, *copies])

    monkeypatch.setattr(it.client, "get_executions", doubled)
    it.submit()
    it.wait(looks=3)
    assert it.held() == 1 and it.alarms()
    it.submit("LONG_EXIT")
    it.wait(looks=6)
    assert it.held() == it.at_broker() == 0


def _wire(row):
    return {"orderId": row.order_id, "name": row.name, "marketPosition": row.market_position, "price": row.price}


@pytest.mark.parametrize("contract, instrument", [("ESZ5", ES), ("NQZ5", NQ)])
def test_an_answer_with_another_orders_id_is_looked_up_by_ours(chaos_desk, contract, instrument):  # noqa: F811
    it = chaos_desk()
    it.submit(strategy="A")
    it.wait(looks=2)
    other = it.broker.orders(A)[0].id
    it.broker.faults.add("foreign_order_id", path="PlaceOrder", id=other)
    assert it.submit(strategy="B", contract=contract).detail == "Unknown"
    it.wait(looks=3)
    assert it.held("B", instrument) == 1 and it.held("A") == 1 and not it.locked
    it.kill()
    it.wait(looks=3, compares=True)
    assert it.held("B", instrument) == 1 and not it.locked


# answers


@pytest.mark.parametrize("when", ["now", "next"])
def test_a_doubled_answer_is_not_the_next_requests(chaos_desk, when):  # noqa: F811
    it = chaos_desk()
    it.broker.faults.add("doubled", path="ListPositions", when=when)
    it.client.get_accounts()
    it.executor.reconcile()
    outcome = it.client.place_order(OrderRequest(ES, "BUY", 1, order_id="fa0123456789abcdef0123456700"))
    asked = it.client.get_orders(A, active_only=False) if not isinstance(outcome, Ambiguous) else []
    assert isinstance(outcome, Ambiguous) or outcome.value in {row.order_id for row in asked} or when == "next"
    it.executor.reconcile()
    assert it.executor.reconcile() == {ES: (0, 1)}


QUIET = sorted(set(CATALOGUE) - {"hang", "drip", "late_answer", "swapped"})


@pytest.mark.parametrize("name", QUIET)
def test_no_fault_ends_the_executor_or_leaves_books_that_differ_unsaid(chaos_desk, name):  # noqa: F811
    it = chaos_desk()
    it.submit(quantity=2)
    it.wait(looks=2)
    it.broker.faults.add(name, times=3)
    it.submit("LONG_EXIT")
    it.wait(5, looks=8, compares=True)
    it.kill()
    it.broker.faults.clear()
    it.wait(5, looks=40, compares=True)
    assert it.held() == it.at_broker() or it.locked, it.alarms()
    assert it.at_broker() >= 0 or name == "overfill"  # where the broker itself sells more than it was asked to
    assert it.held() == 0 or it.locked


# states that do not pass


@pytest.mark.parametrize("name, path", [("stuck_submitted", "PlaceOrder"), ("stuck_cancel", "Cancel")])
def test_a_state_that_does_not_pass_is_one_alarm_and_a_lock(chaos_desk, name, path):  # noqa: F811
    it = chaos_desk()
    it.executor.orders.submit_bracket_order(ES, "BUY", 1, target=5900.0, stop=5800.0, strategy="A")
    it.wait(looks=3)
    it.broker.faults.add(name, path=path, times=None)
    if name == "stuck_submitted":
        it.broker.faults.add("oco_broken", path="PlaceOrder")
    it.submit("LONG_EXIT")
    it.wait(30, looks=10)
    assert "has been" in it.locked and len([text for text in it.alarms() if "has been" in text]) <= 2


def test_a_doubt_that_lasts_is_two_alarms_and_not_two_a_second(chaos_desk):  # noqa: F811
    it = chaos_desk()
    it.broker.faults.add("stuck_submitted", path="PlaceOrder")
    it.submit()
    it.broker.faults.add("missing_row", path="ListOrders", times=None)
    it.broker.faults.add("refused_key", path="GetOrder", times=None, status=404, error="order not found")
    it.broker.trade_by_hand(A, ES, "Buy", 1)
    it.wait(1, looks=200, compares=True)
    assert it.locked and len(it.alarms()) <= 5, it.alarms()


def test_a_rejected_entry_leaves_an_event_with_the_reason(chaos_desk):  # noqa: F811
    it = chaos_desk()
    it.broker.faults.add("refused", path="PlaceOrder", error="Insufficient margin")
    it.submit()
    (row,) = it.journal.rows("events", "kind = 'order'")
    assert "Insufficient margin" in row["message"] and row["level"] == "warning"


# two engines


@pytest.mark.parametrize("ended", [False, True])
def test_another_engines_orders_are_found_before_the_first_order(chaos_desk, tmp_path, ended):  # noqa: F811
    it = chaos_desk(row_echo=("name",))
    kind = {"order_type": "MARKET"} if ended else {"order_type": "LIMIT", "limit_price": 5800.0}
    it.client.place_order(OrderRequest(ES, "BUY", 1, order_id="fa" + "0123456789abcdef01234567" + "00", **kind))
    it.kill()
    assert it.executor.books.trading == "REDUCING" and "another engine" in it.executor.books.trading_reason
    assert it.submit(contract="NQZ5").denial == "REDUCING" and len(it.placed()) == 1


# the journal's own input


@pytest.mark.parametrize("args", ["not json", '"x"', "[1]", '{"a":' * 5000, None, "9" * 5000])
def test_a_malformed_command_is_refused_and_ends_nothing(tmp_path, args):
    with Journal(tmp_path / "j.db") as journal:
        other = sqlite3.connect(journal.path)
        other.execute(
            "INSERT INTO commands (id, at, who, verb, args, state) VALUES ('x', 1, 'me', 'halt', ?, 'new')", (args,)
        )
        other.commit()
        other.close()
        (command,) = journal.new_commands()
        assert not isinstance(command["args"], dict)


@pytest.mark.parametrize("value", ["half \ud83d", 2**70, {"a": "\ud83d"}])
def test_what_a_column_cannot_hold_is_written_as_near_as_it_can_be(tmp_path, value):
    with Journal(tmp_path / "j.db") as journal:
        journal.add("events", at=1, level="info", kind="a", subject="s", message="m", data=value)
        journal.add("events", at=2, level="info", kind="b", subject="s", message="m", data={})
        assert [row["kind"] for row in journal.rows("events")] == ["a", "b"]


def test_give_up_is_a_persons_decision_and_books_nothing(chaos_desk):  # noqa: F811
    it = chaos_desk()
    it.broker.faults.add("vanished", path="PlaceOrder", fills=False)
    it.submit()
    it.wait(5, looks=2)
    (order,) = it.executor.orders.open.values()
    it.executor.give_up(order, "ann")
    it.wait(5, looks=20, compares=True)
    assert it.held() == 0 and it.journal.rows("fills") == [] and not it.locked
    assert it.submit("LONG_EXIT").denial == "NOTHING_TO_EXIT"
    with pytest.raises(InputError):
        it.executor.adopt(ES, "ann")
