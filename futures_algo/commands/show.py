"""How results look in a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def demo_progress(total: int, quiet: bool, what: str = "bars") -> Iterator[Callable[[int, int], None]]:
    "A progress bar on standard error; silent with --json."
    if quiet:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def table(title: str, rows: list[tuple[str, Any]], words: bool = False) -> None:
    "Two columns, numbers to the right, words to the left."
    from rich.console import Console
    from rich.table import Table

    grid = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="left" if words else "right", overflow="fold")
    for name, value in rows:
        grid.add_row(name, str(value))
    Console().print(grid)


def grid(title: str, columns: tuple[str, ...], rows: list[list[Any]]) -> None:
    "Rows under headings, numbers to the right."
    from rich.console import Console
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=None, padding=(0, 2))
    for at, column in enumerate(columns):
        made.add_column(
            column.replace("_", " "), justify="right" if rows and isinstance(rows[0][at], (int, float)) else "left"
        )
    for row in rows:
        made.add_row(*map(_cell, row))
    Console().print(made if rows else f"{title}: none")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)


def counted(counts: dict[str, Any]) -> str:
    "'1min 2,760  5min 552', or 'none'."
    return "  ".join(f"{name} {value:,}" for name, value in counts.items()) or "none"


def dollars(amount: float) -> str:
    "'-$3,894.50'"
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def moment(nanos: int) -> str:
    "'2025-09-15 21:00:00 UTC'"
    from futures_algo.core.types import to_timestamp

    return f"{to_timestamp(nanos):%Y-%m-%d %H:%M:%S} UTC"


def status_rows(documents: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    "What the engine last said, a line a part; the whole is in --json."
    order = {name: at for at, name in enumerate(_STATUS)}
    said = [
        (_name(name), line)
        for name, document in sorted(documents.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))
        for line in _lines(name, document)
    ]
    return [("" if at and name == said[at - 1][0] else name, line) for at, (name, line) in enumerate(said)]


def _name(key: str) -> str:
    "'bullish_cci_es ES.c.0' for strategy:bullish_cci_es:ES.c.0."
    return key.removeprefix("strategy:").replace(":", " ") if key.startswith("strategy:") else key


def _lines(name: str, document: dict[str, Any]) -> list[str]:
    "What a document says, a line a thought."
    say = _STATUS.get(name, _said_of_strategy if name.startswith("strategy:") else _said)
    return (say(document) or "–").split("\n")


def _said(document: dict[str, Any]) -> str:
    return ": ".join(str(part) for part in (document.get("state", ""), document.get("reason")) if part)


def _said_of_engine(document: dict[str, Any]) -> str:
    return (
        f"{document['state']} ({document.get('mode', '').replace('_', ' ')}, {document.get('account', '')})"
        f"\nlast beat {moment(document.get('beat', 0))}"
    )


def _said_of_trading(document: dict[str, Any]) -> str:
    return f"{_said(document)}, P&L {dollars(document.get('pnl_usd', 0.0))}"


def _said_of_day(document: dict[str, Any]) -> str:
    return f"{document['day'] or 'no session yet'}: {dollars(document['now_usd'])}"


def _said_of_books(document: dict[str, Any]) -> str:
    return "\n".join([_said(document), *(f"{name} locked: {why}" for name, why in document.get("locked", {}).items())])


def _said_of_market(document: dict[str, Any]) -> str:
    until = lambda said: f" until {moment(said['next'])}" if said.get("next") else ""
    return "\n".join(
        f"{symbol} {'open' if said['open'] else 'closed'}{until(said)}"
        for symbol, said in document.items()
        if isinstance(said, dict)
    )


def _said_of_strategy(document: dict[str, Any]) -> str:
    held = document.get("position", 0)
    state = [] if document.get("enabled", True) else ["disabled"]
    if not document.get("ready", True):
        state.append("warming up")
    side = "long" if held > 0 else "short"
    return ", ".join([f"{side} {abs(held)}" if held else "flat", *state])


_STATUS: dict[str, Callable[[dict[str, Any]], str]] = {
    "engine": _said_of_engine,
    "trading": _said_of_trading,
    "day": _said_of_day,
    "market": _said_of_market,
    "reconciliation": _said_of_books,
    "clock": lambda document: moment(document["now"]),
}


def demo_table(summary: dict[str, Any]) -> None:
    "The demo's end."
    table(
        f"What happened{' · ' + summary['origin'] + ' bars, no evidence of anything' if summary['origin'] else ''}",
        [
            ("bars in", f"{summary['bars_in']:,}"),
            ("bars out", counted(summary["bars_out"])),
            ("lost bars", summary["lost_bars"]),
            ("signals", f"{summary['signals']:,}  ({counted(summary['verdicts'])})"),
            ("orders", f"{summary['orders']:,}"),
            ("duplicate orders", summary["duplicate_orders"]),
            ("fills", f"{summary['fills']:,}  ({counted(summary['fills_by_symbol'])})"),
            ("open positions", counted(summary["positions"])),
            ("profit and loss", dollars(summary["pnl_usd"])),
            ("elapsed", f"{summary['elapsed_s']:.1f} s"),
            ("journal", summary["journal"]),
        ],
    )
