"""Buttons that ask: each appends a command to the journal, and the engine answers there."""

import difflib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn

from futures_algo.core.paths import asset
from futures_algo.core.types import ConfigError, FuturesAlgoError
from futures_algo.journal.daily_pnl import contract_code
from futures_algo.journal.reader import View
from futures_algo.monitor.chart_panel import CONTROL_CSS
from futures_algo.monitor.html import card, tag
from futures_algo.monitor.panes import Words, flow
from futures_algo.monitor.status_panels import arguments

ARM_AFTER_S, ARMED_S = 0.4, 6.0  # the second press of Flatten all counts from and until then, seconds

_SECRET = ("key", "token", "secret", "password", "alert_urls", "alerts")


def masked(content: Any, name: str = "") -> Any:
    "The content with everything that may be a secret replaced; ${VARIABLES} are names, not secrets."
    if isinstance(content, dict):
        return {key: masked(value, str(key).lower()) for key, value in content.items()}
    if isinstance(content, list):
        return [masked(value, name) for value in content]
    secret = (
        isinstance(content, str) and content and any(word in name for word in _SECRET) and not content.startswith("${")
    )
    return "(hidden)" if secret else content


def config_difference(running: dict, file: dict) -> list[str]:
    "The lines that differ, as `- old` and `+ new` with some context."
    text = lambda content: json.dumps(masked(content), indent=1, sort_keys=True).splitlines()
    return list(difflib.unified_diff(text(running), text(file), "running", "file", n=1, lineterm=""))[2:]


def flatten_scopes(view: View) -> dict[str, dict[str, str]]:
    "What may be flattened: label -> arguments of the command."
    rows = [row for row in view.tables.get("positions", ()) if row["quantity"]]
    instruments = sorted({contract_code(row["instrument"]) for row in rows})
    strategies = sorted({name for name, _ in view.strategies})
    account = view.document("engine").get("account") or view.run.get("account") or ""
    found = {f"instrument {code}": {"scope": "instrument", "name": code} for code in instruments}
    found |= {f"strategy {name}": {"scope": "strategy", "name": name} for name in strategies}
    return found | ({f"account {account}": {"scope": "account", "name": account}} if account else {})


def open_alarms(view: View) -> dict[str, int]:
    "Errors and alarms nobody has acknowledged: text -> event number."
    done = {
        arguments(c).get("event")
        for c in view.tables.get("commands", ())
        if c["verb"] == "acknowledge" and c["state"] != "refused"
    }
    return {
        f"{e['subject']}: {e['message']}"[:90]: e["seq"]
        for e in view.tables.get("events", ())
        if str(e["level"]).lower() in ("error", "critical", "alarm") and e["seq"] not in done
    }


def _row(label: str, *widgets: Any) -> pn.Row:
    "Widgets of one purpose behind its name."
    return flow(Words(tag("span", label, cls="soft"), width=64, margin=(4, 0), stylesheets=[_SAID_CSS]), *widgets)


def _button(label: str, kind: str = "default", **kw: Any) -> pn.widgets.Button:
    return pn.widgets.Button(label=label, color=kind, stylesheets=[CONTROL_CSS], margin=(4, 6, 4, 0), **kw)


class Controls:
    "The actions of one open page; `.view` is the Panel object."

    def __init__(
        self,
        send: Callable[[str, dict], Any],  # (verb, arguments): appends the command in the user's name
        config_path: "str | Path | None" = None,  # the file `reload config` compares with
    ):
        self._send, self._config, self._view = send, Path(config_path) if config_path else None, View()
        self._armed = -ARMED_S  # when Flatten all was pressed once, monotonic seconds
        self.said = Words("", stylesheets=[_SAID_CSS], margin=(2, 0), sizing_mode="stretch_width")
        self.reach = self._in_reach()  # for the band at the top: no scrolling before a position is closed
        rows = [self._states(), self._flatten(), self._strategies(), self._alarms(), self._reload()]
        title = Words("<h2>Actions</h2>", stylesheets=[_SAID_CSS], margin=0)
        self.view = pn.Column(title, *rows, self.said, sizing_mode="stretch_width", margin=0, stylesheets=[_PANEL_CSS])

    def ask(self, verb: str, **args: Any) -> None:
        "Append a command and say so; what cannot be written is said too."
        try:
            self._send(verb, args)
        except (FuturesAlgoError, OSError) as error:
            self.say(str(error), "down")
        else:
            self.say(
                f"{verb.replace('_', ' ')} {' '.join(map(str, args.values()))}: asked, see Commands for the answer"
            )

    def say(self, text: str, cls: str = "soft") -> None:
        self.said.say(tag("p", text, cls=cls, role="status"))

    def _in_reach(self) -> tuple[pn.widgets.Button, pn.widgets.Button]:
        "Halt at once; Flatten all at its second press."
        self.halt, self.flat = _button("Halt", "danger"), _button("Flatten all", "danger")
        self.halt.on_click(lambda _: self.ask("halt", reason="asked on the page"))
        self.flat.on_click(lambda _: self._flatten_all())
        return self.halt, self.flat

    def _flatten_all(self) -> None:
        "Arm at the first press; act at the second, which a double click is too quick for."
        name, waited = self._account(), time.monotonic() - self._armed
        if not name:
            return self.say("no engine has named its account, so there is nothing to flatten", "warn")
        if ARM_AFTER_S <= waited <= ARMED_S:
            self._armed = -ARMED_S
            self.ask("flatten", scope="account", name=name)
        elif waited > ARMED_S:
            self._armed = time.monotonic()
        self.show_armed()

    def _account(self) -> str:
        return self._view.document("engine").get("account") or self._view.run.get("account") or ""

    def show_armed(self) -> None:
        "The button says what its next press does."
        armed = time.monotonic() - self._armed <= ARMED_S
        label = f"Sure? Flatten {self._account()}" if armed else "Flatten all"
        if label != self.flat.label:
            self.flat.label = label

    def _states(self) -> pn.Row:
        "Reduce only at once, resume after typing it."
        reduce = _button("Reduce only")
        reduce.on_click(lambda _: self.ask("reduce", reason="asked on the page"))
        typed, resume = self._typed("type RESUME", lambda: "RESUME"), _button("Resume", disabled=True)
        self._confirm(typed, resume, lambda: "RESUME", lambda: self.ask("resume"))
        return _row("Trading", reduce, typed, resume)

    def _flatten(self) -> pn.Row:
        "Scope, the typed name, the button."
        self.scope = pn.widgets.Select(options=[], width=162, stylesheets=[CONTROL_CSS], margin=(4, 6, 4, 0))
        target = lambda: (flatten_scopes(self._view).get(self.scope.value) or {}).get("name", "")
        typed, button = self._typed("type its name", target), _button("Flatten", "danger", disabled=True)
        self._confirm(
            typed, button, target, lambda: self.ask("flatten", **flatten_scopes(self._view)[self.scope.value])
        )
        self.scope.param.watch(lambda _: typed.param.update(value="", value_input=""), "value")
        return _row("Flatten", self.scope, typed, button)

    def _typed(self, hint: str, wanted: Callable[[], str]) -> pn.widgets.TextInput:
        return pn.widgets.TextInput(placeholder=hint, width=106, stylesheets=[CONTROL_CSS], margin=(4, 6, 4, 0))

    def _confirm(
        self, typed: pn.widgets.TextInput, button: pn.widgets.Button, wanted: Callable[[], str], act: Callable[[], None]
    ) -> None:
        "The button works only while the text is the wanted word; checked again when it is pressed."
        right = lambda: bool(wanted()) and typed.value_input.strip() == wanted()
        typed.param.watch(lambda _: setattr(button, "disabled", not right()), "value_input")

        def press(_):
            if not right():
                return self.say(f"type {wanted()} first", "warn")
            act()
            typed.param.update(value="", value_input="")
            button.disabled = True

        button.on_click(press)

    def _strategies(self) -> pn.Row:
        self.strategy = pn.widgets.Select(options=[], width=190, stylesheets=[CONTROL_CSS], margin=(4, 6, 4, 0))
        enable, disable = _button("Enable"), _button("Disable")
        enable.on_click(lambda _: self.strategy.value and self.ask("enable", strategy=self.strategy.value))
        disable.on_click(lambda _: self.strategy.value and self.ask("disable", strategy=self.strategy.value))
        return _row("Strategy", self.strategy, enable, disable)

    def _alarms(self) -> pn.Row:
        self.alarm = pn.widgets.Select(
            options={"no open alarm": 0}, width=212, stylesheets=[CONTROL_CSS], margin=(4, 6, 4, 0)
        )
        button = _button("Acknowledge")
        button.on_click(lambda _: self.alarm.value and self.ask("acknowledge", event=self.alarm.value))
        return _row("Alarm", self.alarm, button)

    def _reload(self) -> pn.Column:
        "Show the difference first, then offer to apply it."
        look, self._apply = _button("Compare config file"), _button("Apply it", "primary", visible=False)
        self.difference = Words("", stylesheets=[_SAID_CSS], margin=0, sizing_mode="stretch_width")
        look.on_click(lambda _: self._compare())
        self._apply.on_click(lambda _: self._apply_it())
        return pn.Column(_row("Config", look, self._apply), self.difference, sizing_mode="stretch_width", margin=0)

    def _apply_it(self) -> None:
        self.ask("reload")
        self._apply.visible = False
        self.difference.say("")

    def _compare(self) -> None:
        "The difference between the running config and the file, or why there is none to show."
        from futures_algo.config.loading import read_config

        running = next((c for c in self._view.tables.get("configs", ())), None)
        if self._config is None or running is None:
            return self.say("the page was not told the config file, or the engine has recorded no config", "warn")
        try:
            lines = config_difference(json.loads(running["content"]), read_config(self._config))
        except ConfigError as error:
            return self.say(str(error), "down")
        shown = [tag("div", line, cls={"+": "up", "-": "down"}.get(line[:1], "soft")) for line in lines]
        self.difference.say(tag("pre", *shown) if shown else tag("p", "the file equals the running config", cls="soft"))
        self._apply.visible = bool(shown)

    def update(self, view: View) -> None:
        "Offer what the journal now allows."
        self._view = view
        self.halt.disabled = view.document("trading").get("state") == "HALTED"
        self._offer(self.scope, list(flatten_scopes(view)))
        self._offer(self.strategy, sorted({name for name, _ in view.strategies}))
        alarms = open_alarms(view) or {"no open alarm": 0}
        if alarms != self.alarm.options:
            self.alarm.param.update(options=alarms, value=next(iter(alarms.values())))

    @staticmethod
    def _offer(select: pn.widgets.Select, options: list[str]) -> None:
        if options != select.options:
            first = options[0] if options else None
            select.param.update(options=options, value=select.value if select.value in options else first)


_PANEL_CSS = asset("monitor", "actions.css")
_SAID_CSS = asset("monitor", "actions_text.css")


def no_controls() -> pn.pane.HTML:
    "What a read-only page shows instead."
    return pn.pane.HTML(
        card("Actions", tag("p", "○ Read-only: you see everything and can change nothing.", cls="empty")),
        margin=0,
        sizing_mode="stretch_width",
    )
