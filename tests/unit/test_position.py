"The position model: each rule by itself, an independent reading of all rules on random bars, and restarts."

import json
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_algo.core.types import MINUTE, Bars
from futures_algo.strategies.position import (
    CONTRACT,
    ENTRY,
    ENTRY_SIDE,
    EXIT_CONTRACT,
    EXIT_REASON,
    EXIT_SIDE,
    REASONS,
    ExitRules,
    model_fills,
    new_state,
    position_loop,
    position_step,
)

CLOSE = 10 * MINUTE  # the session's close in these tests


class Row(NamedTuple):
    "One base bar and the conditions on it."

    open: float = 100.0
    high: float = 101.0
    low: float = 99.0
    close: float = 100.0
    buy: bool = False
    sell: bool = False  # leave long
    short: bool = False
    cover: bool = False  # leave short
    contract: int = 0
    atr: float = np.nan


def run(
    rows: list[Row], session_close: int = 2**62, tick_size: float = 1.0, state=None, **exits
) -> list[tuple[str, int]]:
    "(exit reason, entered side) of every row."
    return [
        (REASONS[d[EXIT_REASON]], int(d[ENTRY_SIDE])) for d in decide(rows, session_close, tick_size, state, **exits)
    ]


def decide(rows, session_close=2**62, tick_size=1.0, state=None, **exits) -> np.ndarray:
    column = lambda name, dtype=np.float64: np.array([getattr(row, name) for row in rows], dtype)
    out = np.zeros((len(rows), 4), np.int64)
    ends = (np.arange(len(rows)) + 1) * MINUTE
    position_loop(
        *(state or new_state()),
        np.array(ExitRules.of(**exits, tick_size=tick_size), np.float64),
        *(column(n, bool) for n in ("buy", "sell", "short", "cover")),
        *(column(n) for n in ("open", "high", "low", "close")),
        ends,
        np.full(len(rows), session_close),
        column("contract", np.int64),
        column("atr"),
        out,
    )
    return out


BUY, SHORT, QUIET = Row(buy=True), Row(short=True), Row()


def test_nothing_adds_to_a_position():
    assert run([BUY, BUY, BUY]) == [("", 1), ("", 0), ("", 0)]


def test_an_exit_while_flat_is_no_decision():
    assert run([Row(sell=True, cover=True)]) == [("", 0)]


def test_an_exit_condition_on_the_entry_bar_already_counts():
    assert run([BUY, Row(sell=True), QUIET]) == [("", 1), ("rule", 0), ("", 0)]


def test_an_opposite_entry_reverses_in_two_actions_on_one_bar():
    assert run([BUY, SHORT, Row(buy=True)]) == [("", 1), ("reverse", -1), ("reverse", 1)]
    assert run([BUY, Row(short=True, sell=True)]) == [("", 1), ("rule", -1)]


def test_the_same_side_is_not_entered_again_on_the_bar_of_its_exit():
    assert run([BUY, Row(buy=True, sell=True), BUY]) == [("", 1), ("rule", 0), ("", 1)]


def test_bars_held_counts_from_the_entry_bar():
    assert run([BUY, QUIET, QUIET, QUIET], bars_held=2) == [("", 1), ("", 0), ("bars_held", 0), ("", 0)]


@pytest.mark.parametrize("low, reason", [(96.25, ""), (96.0, "stop")])
def test_a_long_stop_is_touched_at_its_price(low, reason):
    assert run([BUY, Row(low=low)], stop_ticks=16, tick_size=0.25)[1] == (reason, 0)


def test_a_short_stop_lies_above_the_entry():
    assert run([SHORT, Row(high=104.0)], stop_ticks=4)[1] == ("stop", 0)


def test_a_bar_that_touches_stop_and_target_counts_as_stopped():
    assert run([BUY, Row(high=110, low=90)], stop_ticks=5, target_ticks=5)[1] == ("stop", 0)
    assert run([BUY, Row(high=110)], stop_ticks=5, target_ticks=5)[1] == ("target", 0)


def test_a_trailing_stop_follows_the_best_price_of_earlier_bars():
    rows = [BUY, Row(high=108, low=100), Row(high=106, low=103)]
    assert run(rows, trail_ticks=5)[1:] == [
        ("", 0),
        ("trail", 0),
    ]  # 108 - 5 = 103; on the bar of the high itself the order inside is unknown


def test_a_trailing_stop_in_atr_waits_for_its_atr():
    rows = [BUY, Row(low=90), Row(low=90, atr=5.0)]
    assert run(rows, trail_atr=1)[1:] == [("", 0), ("trail", 0)]


@pytest.mark.parametrize("minutes, last", [(0, 10), (1, 9), (3, 7)])
def test_the_session_exit_is_decided_on_the_last_bar_due_by_then(minutes, last):
    decided = run([BUY, *[QUIET] * 11], session_close=CLOSE, exit_before_close=minutes)
    assert [i + 1 for i, (reason, _) in enumerate(decided) if reason] == [last]
    assert decided[last - 1] == ("end_of_session", 0)


def test_five_minute_bars_leave_while_the_next_open_is_in_the_session():
    rules = ExitRules.of(exit_before_close=1, tick_size=1.0, timeframe=5)
    assert next(end for end in range(5, 65, 5) if end * MINUTE >= 60 * MINUTE - rules.before_close) == 55


def test_nothing_is_opened_from_the_exit_bar_on():
    assert run([QUIET] * 8 + [BUY, BUY], session_close=CLOSE, exit_before_close=1)[8:] == [("", 0), ("", 0)]
    assert run([BUY] + [QUIET] * 7 + [SHORT], session_close=CLOSE, exit_before_close=1)[8] == ("end_of_session", 0)


def test_a_roll_settles_in_the_old_contract_and_opens_nothing():
    decided = decide([BUY, QUIET, Row(buy=True, contract=1), Row(buy=True, contract=1)])
    assert [REASONS[d[EXIT_REASON]] for d in decided] == ["", "", "roll", ""]
    assert (decided[2][EXIT_SIDE], decided[2][EXIT_CONTRACT], decided[2][ENTRY_SIDE], decided[3][ENTRY_SIDE]) == (
        1,
        0,
        0,
        1,
    )


def test_a_roll_while_flat_changes_nothing():
    assert run([QUIET, Row(buy=True, contract=1)]) == [("", 0), ("", 1)]


def test_an_entry_pending_at_a_roll_is_settled_at_the_old_close_and_rolled_out():
    state = new_state()
    decided = decide([Row(buy=True, close=100.5), Row(open=130.0, contract=1)], state=state)
    assert REASONS[decided[1][EXIT_REASON]] == "roll" and state[1][ENTRY] == 100.5 and state[0][CONTRACT] == 1


def test_fills_are_the_next_open_and_a_roll_is_the_last_close():
    rows = [
        BUY,
        Row(open=101),
        Row(sell=True),
        Row(open=103, buy=True),
        Row(open=104, close=105),
        Row(open=140, contract=1),
    ]
    ends = (np.arange(len(rows)) + 1) * MINUTE
    column = lambda name: np.array([getattr(row, name) for row in rows])
    bars = Bars(
        "ES.c.0",
        "1min",
        ends - MINUTE,
        ends,
        *(column(n) for n in ("open", "high", "low", "close")),
        np.ones(len(rows), np.int64),
        column("contract").astype(np.int32),
        ("ESZ5", "ESH6"),
    )
    fills = model_fills(bars, decide(rows))
    assert [(f.price, f.side, f.reason) for f in fills] == [
        (101, 1, ""),
        (103, -1, "rule"),
        (104, 1, ""),
        (105, -1, "roll"),
    ]
    assert [f.at for f in fills] == [ends[0], ends[2], ends[3], ends[4]]


# --- an independent reading of the rules, against random bars


def plain_model(rows: list[Row], stop: float, target: float, trail: float, held: int) -> list[tuple[str, int]]:
    "The rules again, as one would explain them: a position is a dictionary, a pending order is a side."
    position, leave, enter, before, answers = None, False, 0, None, []
    for row in rows:
        rolled = before is not None and before.contract != row.contract
        price = before.close if rolled else row.open
        if leave:
            position = None
        if enter:
            position = {"side": enter, "entry": price, "best": price, "bars": 0}
        leave, enter, reason = False, 0, ""
        if rolled and position:
            reason, position = "roll", None
        elif position:
            side, position["bars"] = position["side"], position["bars"] + 1
            against, favour = (row.low, row.high) if side == 1 else (row.high, row.low)
            move = lambda a, b, side=side: (a - b) * side
            if stop and move(against, position["entry"]) <= -stop:
                reason = "stop"
            elif target and move(favour, position["entry"]) >= target:
                reason = "target"
            elif trail and move(against, position["best"]) <= -trail:
                reason = "trail"
            elif row.sell if side == 1 else row.cover:
                reason = "rule"
            elif held and position["bars"] >= held:
                reason = "bars_held"
            turn = row.short if side == 1 else row.buy
            if turn:
                reason, enter = reason or "reverse", -side
            if move(favour, position["best"]) > 0:
                position["best"] = favour
            leave = bool(reason)
        elif row.buy:
            enter = 1
        elif row.short:
            enter = -1
        before = row
        answers.append((reason, enter))
    return answers


@st.composite
def random_rows(draw, most: int = 40) -> list[Row]:
    "A walk in whole points with random conditions and at most one roll."
    length = draw(st.integers(1, most))
    roll, price, rows = draw(st.one_of(st.none(), st.integers(0, most))), 100, []
    for i in range(length):
        opens = price + draw(st.integers(-2, 2))
        price = opens + draw(st.integers(-4, 4))
        up, down = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        asks = [draw(st.integers(0, 4)) == 0 for _ in range(4)]
        rows.append(
            Row(
                float(opens),
                float(max(opens, price) + up),
                float(min(opens, price) - down),
                float(price),
                *asks,
                contract=int(roll is not None and i >= roll),
            )
        )
    return rows


_rules = st.tuples(*(st.sampled_from([0, 3, 6]) for _ in range(3)), st.sampled_from([0, 1, 4]))


@settings(max_examples=200, deadline=None)
@given(random_rows(), _rules)
def test_the_compiled_step_follows_the_rules_as_explained(rows, rules):
    stop, target, trail, held = rules
    assert run(rows, stop_ticks=stop, target_ticks=target, trail_ticks=trail, bars_held=held) == plain_model(
        rows, *rules
    )


@settings(max_examples=100, deadline=None)
@given(random_rows(), _rules, st.integers(0, 40))
def test_a_restart_from_saved_state_changes_nothing(rows, rules, cut):
    exits = dict(zip(("stop_ticks", "target_ticks", "trail_ticks", "bars_held"), rules))
    first = new_state()
    done = run(rows[:cut], state=first, **exits)
    integers, floats = json.loads(json.dumps([part.tolist() for part in first]))
    resumed = np.array(integers, np.int64), np.array(floats, np.float64)
    assert done + run(rows[cut:], state=resumed, **exits) == run(rows, **exits)


@settings(max_examples=100, deadline=None)
@given(random_rows(), _rules)
def test_bar_by_bar_equals_the_loop(rows, rules):
    exits = dict(zip(("stop_ticks", "target_ticks", "trail_ticks", "bars_held"), rules))
    state, out, rule_row = (
        new_state(),
        np.zeros(4, np.int64),
        np.array(ExitRules.of(**exits, tick_size=1.0), np.float64),
    )
    stepped = []
    for i, row in enumerate(rows):
        position_step(
            *state,
            rule_row,
            row.buy,
            row.sell,
            row.short,
            row.cover,
            row.open,
            row.high,
            row.low,
            row.close,
            (i + 1) * MINUTE,
            2**62,
            row.contract,
            row.atr,
            out,
        )
        stepped.append(out.tolist())
    assert stepped == decide(rows, **exits).tolist()
