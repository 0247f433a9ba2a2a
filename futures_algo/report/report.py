"""Explain a session from its journal: every signal, order, fill and dollar that research would not have had carries a
cause, or is unexplained."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from futures_algo.core.paths import asset
from futures_algo.core.types import MINUTE, Bars, to_timestamp
from futures_algo.report.bars import MINUTE_BARS, BarCheck, check_bars, difference, read_recording
from futures_algo.report.causes import Cause
from futures_algo.report.facts import Facts, read_facts
from futures_algo.report.orders import Desk
from futures_algo.report.pnl import equity, pnl_table
from futures_algo.report.signals import check_signals
from futures_algo.strategies.checks import Difference


@dataclass
class Report:
    "What a session was compared with, and every difference with its cause."

    session: str  # date it closes on
    checked: int  # bars, signals, orders, fills and books compared
    differences: list[Difference] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=dict
    )  # lost_bars, duplicate_bars, duplicate_orders, signals, orders, fills, ...
    pnl: list[dict[str, Any]] = field(default_factory=list)  # a row a strategy and product, dollars
    slippage: list[dict[str, Any]] = field(default_factory=list)  # a row a fill
    latency: dict[str, dict[str, float]] = field(default_factory=dict)  # what -> p50, p95, p99, worst, milliseconds
    feed: dict[str, Any] = field(default_factory=dict)  # states and alarms of the session
    equity: dict[str, list] = field(
        default_factory=dict
    )  # time (ns UTC), model_usd, account_usd, net_usd: a value a minute

    @property
    def unexplained(self) -> list[Difference]:
        return [one for one in self.differences if one.cause == Cause.UNEXPLAINED.code]

    @property
    def ok(self) -> bool:
        return not self.unexplained

    @property
    def causes(self) -> dict[str, int]:
        "How often each cause stands in the differences."
        return dict(Counter(one.cause for one in self.differences).most_common())

    def as_dict(self) -> dict[str, Any]:
        return {
            "session": self.session,
            "ok": self.ok,
            "checked": self.checked,
            "differences": [asdict(one) for one in self.differences],
            "unexplained": len(self.unexplained),
            "causes": self.causes,
            **self.counts,
            "pnl": self.pnl,
            "slippage": slippage_summary(self.slippage),
            "latency": self.latency,
            "feed": self.feed,
        }

    def to_frame(self):
        "A `pd.DataFrame`, one difference a row."
        import pandas as pd

        return pd.DataFrame([asdict(one) for one in self.differences], columns=["kind", "id", "at", "cause", "detail"])

    def __str__(self) -> str:
        count = lambda number, what: f"{number:,} {what}{'' if number == 1 else 's'}"
        head = (
            f"session {self.session}: {count(self.checked, 'comparison')},"
            f" {count(len(self.differences), 'difference')}, {len(self.unexplained)} unexplained"
        )
        return "\n".join(
            [
                head,
                *(f"  {cause}: {times}" for cause, times in self.causes.items()),
                *(f"  UNEXPLAINED {d.at} {d.kind} {d.id}: {d.detail}" for d in self.unexplained[:10]),
            ]
        )

    def html(self) -> str:
        "A page that needs nothing else."
        return page(self)


def session_report(
    journal: "str | Path",  # the engine's journal
    # recorded bars (a DBN file, or bars by symbol); the journal's own when omitted
    data: "str | Path | dict[str, Bars] | None" = None,
    config: dict | None = None,  # judge by this config's content instead of the journal's
    *,
    session: str = "",  # date the session closes on; the newest one when empty
    late_s: float = 5.0,  # a live bar known later than this after its end is late
    tolerance_ticks: float = 8.0,  # how far outside its minutes' range a fill may lie
) -> Report:
    "Explain a session from its journal."
    facts = read_facts(journal, session, config)
    recorded = read_recording(data, facts)
    bars = check_bars(facts, recorded, late_s)
    signals = check_signals(facts, recorded, bars)
    desk = Desk(facts, signals, tolerance_ticks)
    orders = desk.run()
    differences = sorted([*bars.differences, *signals.differences, *orders.differences], key=lambda one: one.at)
    pnl = pnl_table(facts, signals, desk)
    differences += _lost_money(facts, pnl, differences)
    return Report(
        facts.session,
        bars.checked + signals.checked + orders.checked + len(pnl),
        differences,
        _counts(facts, bars, orders.duplicates),
        pnl,
        orders.slippage,
        _latency(facts),
        _feed(facts),
        equity(facts, signals, desk),
    )


def _lost_money(facts: Facts, pnl: list[dict[str, Any]], known: list[Difference]) -> list[Difference]:
    "Dollars that no cause took; those of an unexplained difference are told there."
    told = any(one.cause == Cause.UNEXPLAINED.code for one in known)
    lost = [row for row in pnl if abs(row["left_usd"]) > 0.01 or (Cause.UNEXPLAINED.code in row["causes"] and not told)]
    return [
        difference("pnl", f"{row['strategy']} {row['product']}", facts.end, Cause.UNEXPLAINED, **row) for row in lost
    ]


def _counts(facts: Facts, bars: BarCheck, duplicates: int) -> dict[str, int]:
    minutes = {symbol: frames.get(MINUTE_BARS) for symbol, frames in facts.bars.items()}
    inside = sum(int((found.end > facts.start).sum()) for found in minutes.values() if found is not None)
    return {
        "bars": inside,
        "lost_bars": bars.lost,
        "duplicate_bars": len(facts.duplicates),
        "replayed_bars": bars.replayed,
        "signals": len(facts.tables["signals"]),
        "orders": len(facts.tables["intents"]),
        "duplicate_orders": duplicates,
        "fills": len(facts.tables["fills"]),
    }


def percentiles(
    nanos: "list[int] | np.ndarray",
) -> dict[str, float]:  # milliseconds
    "Median, 95th and 99th percentile and the worst."
    if not len(nanos):
        return {}
    found = np.percentile(np.asarray(nanos, np.float64) / 1e6, [50, 95, 99, 100])
    return {name: round(float(value), 3) for name, value in zip(("p50", "p95", "p99", "worst"), found)} | {
        "count": len(nanos)
    }


def _latency(facts: Facts) -> dict[str, dict[str, float]]:
    "Replayed bars are not counted: they tell of the start, not of the feed."
    bars = [
        int(known - end)
        for symbol, received in facts.received.items()
        for end, known in zip(facts.bars[symbol][MINUTE_BARS].end, received)
        if end > facts.start and known - end < 5 * MINUTE and known >= end
    ]
    begun = {row["order_id"]: row["at"] for row in facts.tables["intents"]}
    filled = [
        row["at"] - begun[row["order_id"]]
        for row in facts.tables["fills"]
        if row["order_id"] in begun and row["at"] >= begun[row["order_id"]]
    ]
    return {
        "bar_end_to_engine": percentiles(bars),
        "broker_request": percentiles([row["latency_ns"] for row in facts.tables["requests"] if row["latency_ns"]]),
        "intent_to_fill": percentiles(filled),
    }


def slippage_summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    "Sums over the fills: dollars in all, and points by part."
    if not rows:
        return {}
    return {"fills": len(rows)} | {
        name: round(sum(row[name] for row in rows), 6)
        for name in ("gap_points", "delay_points", "execution_points", "total_points", "total_usd")
    }


def _feed(facts: Facts) -> dict[str, Any]:
    "States the feed went through, and what the engine raised alarm about."
    events = facts.tables["events"]
    return {
        "states": dict(Counter(event["subject"] for event in events if event["kind"] == "feed")),
        "runs": len({row for row in facts.running if row[1] > facts.start}),
        "alarms": [
            f"{event['kind']} {event['subject']}: {event['message']}"
            for event in events
            if event["level"] in ("alarm", "error", "critical")
        ],
        "reconciliation_breaks": sum(event["kind"] in ("reconcile", "lock") for event in events),
    }


def _shown(value: Any) -> str:
    "A value as text that cannot become markup; a dictionary as its names and values."
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, dict):
        return escape(str(value))
    written = lambda part: f"{part:,.2f}" if isinstance(part, float) else str(part)
    return escape(", ".join(f"{name} {written(part)}" for name, part in value.items()))


def table(rows: list[dict[str, Any]]) -> str:
    "Rows as an HTML table."
    if not rows:
        return "<p>none</p>"
    cell = lambda value: (
        f"<td class='n'>{_shown(value)}</td>" if isinstance(value, (int, float)) else f"<td>{_shown(value)}</td>"
    )
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in rows[0])
    return (
        f"<table><tr>{head}</tr>" + "".join(f"<tr>{''.join(map(cell, row.values()))}</tr>" for row in rows) + "</table>"
    )


_LINES = (
    ("model_usd", "the model", "#b8c4d0", 5),
    ("account_usd", "the account", "#1b6e3c", 1.5),
    ("net_usd", "the account after commission", "#b00020", 1.5),
)


def curve(equity: dict[str, list], width: int = 1060, height: int = 220) -> str:
    "The model's dollars (the broad line) and the account's over the session, as an SVG."
    lines = [equity.get(name, []) for name, *_ in _LINES]
    values = [0.0, *(value for line in lines for value in line)]
    if len(lines[0]) < 2 or min(values) == max(values):
        return ""
    low, high, step = min(values), max(values), width / (len(lines[0]) - 1)
    y = lambda value: height - 20 - (value - low) / (high - low) * (height - 40)
    path = lambda line: " ".join(f"{at * step:.1f},{y(value):.1f}" for at, value in enumerate(line))
    text = lambda x, at, words, anchor="start": (
        f"<text x='{x}' y='{at:.1f}' font-size='12' text-anchor='{anchor}' fill='#555'>{words}</text>"
    )
    drawn = "".join(
        f"<polyline fill='none' stroke='{color}' stroke-width='{wide}' points='{path(line)}'/>"
        for line, (_, _, color, wide) in zip(lines, _LINES)
    )
    begins, ends = (f"{to_timestamp(at):%Y-%m-%d %H:%M} UTC" for at in (equity["time"][0], equity["time"][-1]))
    marks = (
        text(4, y(high) - 4, _dollars(high))
        + text(4, y(low) - 4, _dollars(low))
        + text(0, height - 4, begins)
        + text(width, height - 4, ends, "end")
    )
    legend = ", ".join(f"<b style='color:{color}'>{name}</b>" for _, name, color, _ in _LINES)
    return (
        f"<svg viewBox='0 0 {width} {height}' width='100%'><line x1='0' x2='{width}' y1='{y(0):.1f}' y2='{y(0):.1f}'"
        f" stroke='#ccc'/>{drawn}{marks}</svg><p>dollars since the open: {legend}</p>"
    )


def _dollars(amount: float) -> str:
    return f"{'-' if amount < 0 else ''}${abs(amount):,.0f}"


def page(report: Report) -> str:
    "The report as HTML."
    verdict = f"<span class='bad'>{len(report.unexplained)} unexplained</span>"
    if report.ok:
        verdict = f"<span class='good'>{'every one has a cause' if report.differences else 'nothing to explain'}</span>"
    meanings = dict(Cause.table())
    causes = [{"cause": cause, "times": times, "meaning": meanings[cause]} for cause, times in report.causes.items()]
    parts: list[tuple[str, Any]] = [
        ("Counts", [report.counts]),
        ("Causes", causes),
        ("Money, dollars", report.pnl),
        ("Slippage, points and dollars", [slippage_summary(report.slippage)] if report.slippage else []),
        ("Latency, ms", [{"what": name, **found} for name, found in report.latency.items() if found]),
        ("Alarms", [{"alarm": text} for text in report.feed.get("alarms", [])]),
        (
            "Differences",
            [asdict(one) for one in sorted(report.differences, key=lambda d: d.cause != Cause.UNEXPLAINED.code)],
        ),
    ]
    body = curve(report.equity) + "".join(f"<h2>{name}</h2>{table(rows)}" for name, rows in parts)
    return Template(asset("report", "report.html")).substitute(
        session=report.session,
        style=asset("report", "report.css"),
        checked=f"{report.checked:,}",
        differences=f"{len(report.differences):,}",
        verdict=verdict,
        body=body,
    )
