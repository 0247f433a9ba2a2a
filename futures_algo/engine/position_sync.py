"""Positions at the two ends of a run.

When the stream reaches the present: what each strategy would hold, what its ledger holds, and what is done about a
difference. `on_start` decides for a strategy that would hold a position and does not: `flat` waits for its next entry,
`adopt` takes over a position the account
holds and nobody owns, `align` enters now. A ledger that holds what its strategy would not is closed in every case: no
exit of the strategy would come.

At the end `on_stop` decides what becomes of open positions: `leave` them, `flatten` them, or `protect` each with a stop
at the broker.
"""

import time
from typing import Any

from futures_algo.broker.requests import OrderRequest
from futures_algo.core.contracts import Contract, product, root_of
from futures_algo.core.types import FuturesAlgoError, InputError, Signal, signal_id
from futures_algo.execution.orders import own_id

LEAVE_SECONDS = 10.0  # that closing at the end may take, and for each ledger that holds something
SECONDS_A_LEDGER = 100.0  # an exit that was lost is looked for as long before it is sent again
_SIGNS = {"FLAT": 0, "LONG": 1, "SHORT": -1}


def settle(engine: Any, policy: str) -> None:
    "Compare, say and act, once for every strategy and symbol; then name ledgers whose strategy is not in the config."
    _withdraw_protection(engine)
    for runner in engine.runners:
        _settle_one(engine, runner, policy)
    known = {(runner.name, root_of(runner.symbol)) for runner in engine.runners}
    for (strategy, instrument), ledger in list(engine.executor.ledgers.items()):
        if ledger.quantity and strategy != "manual" and (strategy, Contract.parse(instrument).root) not in known:
            _say(
                engine,
                "alarm",
                strategy,
                f"holds {ledger.quantity:+d} {instrument} and is not in the config: put it back, or flatten it",
            )


def _settle_one(engine: Any, runner: Any, policy: str) -> None:
    if engine.is_broken(runner):
        return
    model, held = _SIGNS[runner.position], _held(engine, runner)
    name, total = f"{runner.name}:{runner.symbol}", sum(held.values())
    if model == (total > 0) - (total < 0):
        return _say(engine, "info", name, f"would hold {runner.position}, and holds {total:+d}")
    for instrument, quantity in held.items():
        _say(engine, "alarm", name, f"holds {quantity:+d} {instrument} and would hold {runner.position}: closing it")
        engine.executor.close((runner.name, instrument), "on_start")
    if model:
        _enter(engine, runner, name, policy if not held else "flat")


def _held(engine: Any, runner: Any) -> dict[str, int]:
    "Contracts by instrument in this strategy's ledgers of the symbol's product."
    return {
        instrument: ledger.quantity
        for (strategy, instrument), ledger in list(engine.executor.ledgers.items())
        if strategy == runner.name and ledger.quantity and Contract.parse(instrument).root == root_of(runner.symbol)
    }


def entering(engine: Any, runner: Any) -> set[str]:
    "Instruments of this strategy and symbol with an entry under way, which may fill yet."
    return {
        order.instrument
        for order in list(engine.executor.orders.open.values())
        if order.purpose == "entry"
        and order.strategy == runner.name
        and Contract.parse(order.instrument).root == root_of(runner.symbol)
    }


def _enter(engine: Any, runner: Any, name: str, policy: str) -> None:
    "A strategy that would hold a position and holds none."
    if policy == "align":
        decision = engine.executor.submit_signal(_alignment(engine, runner))
        return _say(
            engine,
            "warning",
            name,
            f"would hold {runner.position} and holds nothing: entering now (align): {decision.verdict}"
            f" {decision.denial}".rstrip(),
        )
    if policy == "adopt" and (taken := _adopted(engine, runner)):
        return _say(
            engine, "warning", name, f"would hold {runner.position}: took over {taken:+d} that the account held (adopt)"
        )
    _say(engine, "info", name, f"would hold {runner.position} and holds nothing: waiting for its next entry ({policy})")


def _alignment(engine: Any, runner: Any) -> Signal:
    "An entry of its own, decided now: the strategy's entry is too old to be sent."
    now, (contract, price) = engine.clock.now(), engine.latest(runner.symbol)
    action, config_hash = f"{runner.position}_ENTRY", runner.strategy.config_hash()
    identity = signal_id(runner.name, config_hash, contract, now, action)
    return Signal(
        identity,
        runner.name,
        runner.symbol,
        contract,
        action,
        now,
        runner.strategy.base_timeframe,
        price,
        config_hash,
        "align",
        runner.held or 1,
    )


def _adopted(engine: Any, runner: Any) -> int:
    "Contracts taken over from the account, when what nobody owns there lies on the strategy's side."
    try:
        contract, side = engine.latest(runner.symbol)[0], _SIGNS[runner.position]
        return int(engine.executor.ask(lambda it: it.adopt(contract, "on_start", runner.name, side)))
    except InputError:
        return 0
    except FuturesAlgoError as error:
        _say(engine, "alarm", runner.name, f"could not take over what the account holds: {error}")
        return 0


def _withdraw_protection(engine: Any) -> None:
    "The stops an earlier run left at the broker: the strategy looks after its position; resting exits go on with them."
    if engine.executor.books.dry_run:
        return
    names = {runner.name for runner in engine.runners if not runner.strategy.rests}
    for order in [
        order
        for order in list(engine.executor.orders.open.values())
        if order.is_resting and order.purpose == "stop" and not order.oco_id and order.strategy in names
    ]:
        engine.executor.ask(lambda it, order=order: it.orders.cancel(order))


def leave(engine: Any, policy: str) -> None:
    "What `on_stop` asks for, said in the journal for every open position. No entry follows any more."
    engine.executor.withdraw_entries("the engine stops")
    engine.executor.poll()
    held = {key: ledger for key, ledger in list(engine.executor.ledgers.items()) if ledger.quantity}
    if policy == "flatten" and held:
        _flatten(engine)
    for (strategy, instrument), ledger in held.items():
        level, done = _left(engine, strategy, ledger, policy)
        _say(engine, level, f"{strategy} {instrument}", f"on_stop {policy}: {done}")


def _left(engine: Any, strategy: str, ledger: Any, policy: str) -> tuple[str, str]:
    "What became of one position, and how grave that is."
    if not ledger.quantity:
        return "info", "closed"
    if policy == "protect":
        return _protect(engine, strategy, ledger)
    return ("alarm" if policy == "flatten" else "warning"), f"{ledger.quantity:+d} left"


def _flatten(engine: Any) -> None:
    "Close everything and follow the orders to their end."
    executor = engine.executor
    deadline = (
        time.monotonic()
        + LEAVE_SECONDS
        + SECONDS_A_LEDGER * sum(map(bool, (held.quantity for held in executor.ledgers.values())))
    )
    executor.flatten("account")
    while (executor.unsettled() or executor.waiting) and time.monotonic() < deadline:
        time.sleep(0.05)  # between two questions to the broker
        engine.heartbeat()
        executor.poll()


def _protect(engine: Any, strategy: str, ledger: Any) -> tuple[str, str]:
    "A stop at the broker where the strategy declares one, and where none rests yet: two would turn the position round."
    resting = next(
        (
            o
            for o in list(engine.executor.orders.open.values())
            if (o.strategy, o.instrument, o.purpose) == (strategy, ledger.instrument, "stop")
        ),
        None,
    )
    if resting:
        return "warning", f"{ledger.quantity:+d} left with the stop that rests: {resting.order_id} {resting.state}"
    runner = next(
        (
            r
            for r in engine.runners
            if r.name == strategy and root_of(r.symbol) == Contract.parse(ledger.instrument).root
        ),
        None,
    )
    if engine.executor.books.dry_run:
        return "warning", f"{ledger.quantity:+d} left: a dry run places no stop"
    distance, kind = (
        runner.strategy.exit_rules(runner.symbol).stop if runner else 0,
        product(Contract.parse(ledger.instrument).root),
    )
    if not distance:
        return "warning", f"{ledger.quantity:+d} left: the strategy declares no stop_ticks to protect it with"
    sign = 1 if ledger.quantity > 0 else -1
    price = round((ledger.average_price - sign * distance) / kind.tick_size) * kind.tick_size
    request = OrderRequest(
        ledger.instrument,
        "SELL" if sign > 0 else "BUY",
        abs(ledger.quantity),
        "STOPMARKET",
        stop_price=price,
        order_id=own_id(),
        time_in_force="GTC",
    )
    order = engine.executor.orders.submit(request, purpose="stop", strategy=strategy)
    return (
        "alarm" if order.has_ended or not order.acknowledged else "warning"
    ), f"{ledger.quantity:+d} left with a stop at {price:g}: {order.state}"


def _say(engine: Any, level: str, name: str, message: str) -> None:
    engine.journal.add_event(engine.clock.now(), level, "present", name, message)
