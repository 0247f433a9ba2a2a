"""What the engine answers: commands from the journal, and the status documents everybody watches."""

import os
import time
from collections.abc import Callable
from typing import Any

from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import FuturesAlgoError, InputError
from futures_algo.execution.orders import instrument_of
from futures_algo.execution.tracking import UNKNOWN

_SIGNS = {"FLAT": 0, "LONG": 1, "SHORT": -1}
VERBS = (
    "halt",
    "resume",
    "reduce",
    "flatten",
    "enable",
    "disable",
    "reconcile",
    "acknowledge",
    "reload",
    "stop",
    "adopt",
    "unlock",
    "give_up",
)


def obey(engine: Any, verb: str, args: dict[str, Any]) -> tuple[str, str]:
    "Carry out one command; 'done' or 'refused', and what to tell who asked."
    if verb not in VERBS:
        return "refused", f"unknown command {verb!r}; known: {', '.join(VERBS)}"
    if not isinstance(args, dict) or (
        odd := [name for name, value in args.items() if not isinstance(value, str) and name != "event"]
    ):
        return (
            "refused",
            (
                f"arguments were {args!r};"
                f" {'they must be named' if not isinstance(args, dict) else f'{odd[0]} must be a text'}"
            ),
        )
    try:
        return "done", _CARRY_OUT[verb](engine, args)
    except FuturesAlgoError as error:
        return "refused", str(error)


def _trading(state: str) -> Callable[..., str]:
    def change(engine: Any, args: dict[str, Any]) -> str:
        books = engine.executor.books
        books.trading, books.trading_reason = state, args.get("reason", "by command")
        return f"trading is {state}"

    return change


def _flatten(engine: Any, args: dict[str, Any]) -> str:
    orders = engine.executor.flatten(args.get("scope", ""), args.get("name", ""))
    return f"{len(orders)} exit orders sent"


def _strategy(enabled: bool) -> Callable[..., str]:
    def change(engine: Any, args: dict[str, Any]) -> str:
        name, known = args.get("strategy", args.get("name", "")), {runner.name for runner in engine.runners}
        if name not in known:
            raise InputError("strategy", name, "must be one the engine runs", f"they are {', '.join(sorted(known))}")
        (engine.executor.books.disabled.discard if enabled else engine.executor.books.disabled.add)(name)
        return f"{name} is {'enabled' if enabled else 'disabled'}"

    return change


def _reconcile(engine: Any, args: dict[str, Any]) -> str:
    differences = engine.executor.reconcile()
    return "the books agree" if not differences else f"the books differ in {', '.join(differences)}"


def _reload(engine: Any, args: dict[str, Any]) -> str:
    if engine.reloader is None:
        raise InputError(
            "reload", "this engine", "must have been started from a config file", "futures-algo run --config FILE"
        )
    return str(engine.reloader.now(engine))


def _adopt(engine: Any, args: dict[str, Any]) -> str:
    name, strategy = instrument_of(args.get("name", ""), engine.clock.now()), args.get("strategy") or "manual"
    return f"{engine.executor.adopt(name, 'command', strategy):+d} {name} taken into the books of {strategy}"


def _unlock(engine: Any, args: dict[str, Any]) -> str:
    engine.executor.unlock(args.get("name", ""))
    return f"{args['name']} is not locked"


def _give_up(engine: Any, args: dict[str, Any]) -> str:
    name, doubtful = (
        args.get("name", ""),
        {key: order for key, order in engine.executor.orders.open.items() if order.state == UNKNOWN},
    )
    if name not in doubtful:
        raise InputError(
            "order", name, "must be one whose outcome is unknown", f"they are {', '.join(doubtful) or 'none'}"
        )
    engine.executor.orders.give_up(doubtful[name], "command")
    engine.executor.reconcile()
    return f"{name} counts as never arrived; the books were compared again"


def _stop(engine: Any, args: dict[str, Any]) -> str:
    engine.stop("stopped by command")
    return "stopping"


_CARRY_OUT = {
    "halt": _trading("HALTED"),
    "resume": _trading("ACTIVE"),
    "reduce": _trading("REDUCING"),
    "flatten": _flatten,
    "enable": _strategy(True),
    "disable": _strategy(False),
    "reconcile": _reconcile,
    "acknowledge": lambda engine, args: "acknowledged",
    "reload": _reload,
    "stop": _stop,
    "adopt": _adopt,
    "unlock": _unlock,
    "give_up": _give_up,
}


def status_documents(engine: Any) -> dict[str, dict[str, Any]]:
    "One document a part, as the monitor reads them."
    books, executor, now = engine.executor.books, engine.executor, engine.clock.now()
    reconciled = "ok" if books.reconciled else "pending"
    documents = {
        "engine": {
            "state": engine.state,
            "mode": engine.mode,
            "account": executor.account,
            "run": engine.run_id,
            "pid": os.getpid(),
            "supervisor": engine.supervisor,
            "beat": time.time_ns(),
            "bars_in": engine.counts["bars_in"],
            "stop_reason": engine.stop_reason,
            "config_hash": engine.config_hash,
        },
        "feed": {
            "state": engine.feed_state.state,
            "reason": engine.feed_state.reason,
            "bars_received": engine.counts["bars_in"],
        },
        "broker": {"state": executor.broker_state[0], "reason": executor.broker_state[1], "checked": now},
        "reconciliation": {
            "state": "locked" if books.locked else reconciled,
            "locked": dict(books.locked),
            "at": now,
        },
        "trading": {
            "state": books.trading,
            "reason": books.trading_reason,
            "since": engine.trading_state[1],
            "pnl_usd": executor.pnl_usd(),
        },
        "clock": {"now": now},
        "day": executor.day_document(),
        "market": _market(engine, now),
    } | ({"config": engine.reloader.document()} if engine.reloader else {})
    return documents | {
        f"strategy:{runner.name}:{runner.symbol}": _strategy_card(engine, runner) for runner in engine.runners
    }


def _market(engine: Any, now: int) -> dict[str, Any]:
    if not now:
        return {}
    hours = {}
    for symbol in engine.feed.symbols:
        calendar = SessionCalendar.of(symbol)
        is_open = calendar.is_open(now)
        hours[symbol] = {"open": is_open, "next": calendar.next_close(now) if is_open else calendar.next_open(now)}
    return hours


def _strategy_card(engine: Any, runner: Any) -> dict[str, Any]:
    progress = {
        f"{row['timeframe']} {row['indicator']}": [row["seen"], row["first_valid"]]
        for row in runner.calculator.progress()
    }
    return {
        "class": type(runner.strategy).__name__,
        "parameters": runner.strategy.parameters(),
        "timeframes": list(runner.strategy.timeframes),
        "enabled": runner.name not in engine.executor.books.disabled,
        "ready": runner.is_ready() and not engine.is_broken(runner),
        "warmup": progress,
        "position": _SIGNS[runner.decided],
    }
