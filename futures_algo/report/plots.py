"""Pictures of a session's report, with matplotlib."""

from typing import Any

from futures_algo.core.types import to_timestamp

_GOOD, _BAD, _PLAIN = "#1b6e3c", "#b00020", "#44546a"


def plot_equity(report: Any, axes: Any = None) -> Any:
    "The model's dollars over the session beside the account's."
    import matplotlib.pyplot as plt

    axes = axes or plt.subplots(figsize=(10, 3.5))[1]
    times = [to_timestamp(at) for at in report.equity["time"]]
    for name, label, style in (
        ("model_usd", "model", {"color": _PLAIN, "ls": "--"}),
        ("account_usd", "account", {"color": _GOOD}),
        ("net_usd", "account after commission", {"color": _BAD, "lw": 1}),
    ):
        axes.step(times, report.equity[name], where="post", label=label, **style)
    axes.axhline(0, color="#aaa", lw=0.5)
    axes.set(title=f"Session {report.session}", ylabel="dollars since the open", xlabel="UTC")
    axes.legend(frameon=False)
    return axes


def plot_money(report: Any, axes: Any = None) -> Any:
    "From the model's dollars to the account's, a step a cause."
    import matplotlib.pyplot as plt

    axes = axes or plt.subplots(figsize=(10, 3.5))[1]
    causes: dict[str, float] = {}
    for row in report.pnl:
        for cause, dollars in row["causes"].items():
            causes[cause] = causes.get(cause, 0.0) + dollars
    model, commission = sum(row["model_usd"] for row in report.pnl), sum(row["commission_usd"] for row in report.pnl)
    steps, level = (
        [
            ("model", model, None),
            *((cause, dollars, True) for cause, dollars in causes.items()),
            ("commission", -commission, True),
        ],
        0.0,
    )
    for at, (name, dollars, is_step) in enumerate(steps):
        towards = _GOOD if dollars > 0 else _BAD
        axes.bar(at, dollars, bottom=level if is_step else 0, color=towards if is_step else _PLAIN)
        level += dollars
    axes.bar(len(steps), level, color=_PLAIN)
    axes.set_xticks(
        range(len(steps) + 1), [name.replace("_", " ") for name, _, _ in steps] + ["net"], rotation=30, ha="right"
    )
    axes.axhline(0, color="#aaa", lw=0.5)
    axes.use_sticky_edges = False
    axes.margins(y=0.1)
    axes.set(title="Where the money went", ylabel="dollars")
    return axes


def plot_slippage(report: Any, axes: Any = None) -> Any:
    "Each fill's points against the order, by part."
    import matplotlib.pyplot as plt

    axes = axes or plt.subplots(figsize=(10, 3))[1]
    rows = range(len(report.slippage))
    for offset, (name, color) in enumerate((("gap", "#9aa5b1"), ("delay", "#d08c2e"), ("execution", _BAD))):
        axes.bar(
            [row + 0.3 * (offset - 1) for row in rows],
            [row[f"{name}_points"] for row in report.slippage],
            width=0.3,
            color=color,
            label=name,
        )
    axes.plot(rows, [row["total_points"] for row in report.slippage], "k_", label="in all")
    axes.axhline(0, color="#aaa", lw=0.5)
    axes.set(
        title="Slippage of each fill against the model's price",
        ylabel="points, positive is against us",
        xlabel="fills in order",
    )
    axes.legend(frameon=False)
    return axes
