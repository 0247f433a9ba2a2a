"""From the explorer to the live config: see what would change, accept it, save."""

from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w

from futures_algo.config.files import read_json
from futures_algo.config.scenario import Scenario, make_scenario, save_to_live, scenarios_text, write_scenario
from futures_algo.core.types import ConfigError, FuturesAlgoError, InputError
from futures_algo.explorer.model import Exploration
from futures_algo.indicators.base import snake_case

NOTE = "chosen by hand in the explorer; no walk-forward was run"


def scenario_of(
    exploration: Exploration,
    name: str,  # of the strategy in the live config
    accepted: bool = False,  # a person says that it may trade without validation
    **more: Any,  # of `make_scenario`
) -> Scenario:
    "What the explorer shows, as a scenario."
    if not name.strip():
        raise InputError("name", name, "must not be empty", "name the strategy as the live config does")
    result = exploration.evaluate()
    return make_scenario(
        name.strip(),
        result.strategy,
        exploration.market.source,
        exploration.costs,
        quantity=exploration.quantity,
        engine="futures_algo.research.backtest",
        statistics={exploration.symbol: result.stats},
        accepted=accepted,
        note=NOTE,
        **more,
    )


def save(
    scenario: Scenario,
    config_path: "str | Path",  # the live config; where there is none, the scenario's file beside it is written alone
    write: bool = True,  # False only tells what would change
) -> str:  # the difference, as lines with + and -
    "Write a scenario, and let the live config refer to it."
    config = Path(config_path)
    if config.is_file():
        return save_to_live(scenario, config, SCENARIO_FILE, write)
    place = config.with_name(SCENARIO_FILE)
    if not scenario.accepted:
        raise ConfigError(
            "gates",
            "there are none",
            "must all have passed, or the scenario be accepted by a person",
            "tick the box, or run futures-algo optimize",
        )
    before = place.read_text(encoding="utf-8") if place.is_file() else ""
    text = scenarios_text(place, scenario)
    if write:
        write_scenario(place, scenario)
    return _difference(place.name, before, text)


SCENARIO_FILE = "live_scenario_config.json"


def _difference(name: str, before: str, after: str) -> str:
    import difflib

    return "".join(
        difflib.unified_diff(before.splitlines(True), after.splitlines(True), f"{name} now", f"{name} then", n=2)
    )


def nearest(path: "str | Path") -> Path:
    """The file from this folder, or from the one above where only that has it: a notebook in nbs/ finds the project's
    config."""
    above = Path("..") / path
    return above if not Path(path).is_file() and above.is_file() else Path(path)


def name_in_config(config_path: "str | Path", class_path: str, default: str) -> str:
    "The name the live config has for a strategy's class."
    path = Path(config_path)
    if not path.is_file():
        return default
    entries = read_json(path).get("strategies", {})
    return next(
        (
            name
            for name, entry in entries.items()
            if str(entry.get("class", "")).rpartition(".")[2] == class_path.rpartition(".")[2]
        ),
        default,
    )


class SaveTab(w.VBox):
    "Compare with the files, accept, save."

    def __init__(self, exploration: Exploration, config_path: "str | Path"):
        self.exploration = exploration
        wide = w.Layout(width="420px")
        self.config = w.Text(str(nearest(config_path)), description="Live config", continuous_update=False, layout=wide)
        self.name = w.Text(description="Strategy", layout=wide)
        self.accept = w.Checkbox(
            description="I accept these parameters without a walk-forward", indent=False, layout=w.Layout(width="auto")
        )
        self.compare, self.save = (
            w.Button(description="Compare"),
            w.Button(
                description="Save to live config", button_style="primary", disabled=True, layout=w.Layout(width="auto")
            ),
        )
        self.line, self.difference = w.HTML(), w.HTML()
        self.accept.observe(lambda change: setattr(self.save, "disabled", not change["new"]), "value")
        self.config.observe(lambda _: self.rename(), "value")
        self.compare.on_click(lambda _: self.act(write=False))
        self.save.on_click(lambda _: self.act(write=True))
        about = w.HTML(
            "<span class='fx-soft'>Writes <code>live_scenario_config.json</code> beside the live config and lets its"
            " strategy refer to it. An engine that runs takes it over between two bars. For validated parameters run"
            " <code>futures-algo optimize</code>.</span>"
        )
        super().__init__(
            [about, self.config, self.name, self.accept, w.HBox([self.compare, self.save]), self.line, self.difference]
        )
        self.rename()

    def rename(self) -> None:
        "The name the config has for the strategy, or one made of its class's."
        kind = self.exploration.kind
        try:
            self.name.value = name_in_config(
                self.config.value,
                f"{kind.__module__}.{kind.__qualname__}",
                snake_case(kind.__name__.removesuffix("Strategy")),
            )
        except FuturesAlgoError as error:
            self._refuse(error)

    def act(self, write: bool) -> None:
        "Show what changes, and change it when `write`."
        try:
            found = save(
                scenario_of(self.exploration, self.name.value, accepted=self.accept.value or not write),
                Path(self.config.value),
                write,
            )
        except (FuturesAlgoError, OSError) as error:
            return self._refuse(error)
        self.difference.value = (
            f"<pre class='fx-difference'>{''.join(map(_coloured, found.splitlines()))}</pre>" if found else ""
        )
        self.line.value = f"<span class='fx-soft' role='status'>{escape(self._said(write, bool(found)))}</span>"

    def _said(self, write: bool, changed: bool) -> str:
        place = Path(self.config.value).with_name(SCENARIO_FILE)
        if write:
            return f"saved {self.name.value} in {place}"
        return "this is what would change:" if changed else "nothing would change"

    def _refuse(self, error: Exception) -> None:
        self.difference.value, self.line.value = (
            "",
            f"<div class='fx-error' role='alert'>{escape(' '.join(str(error).split()))}</div>",
        )


def _coloured(line: str) -> str:
    kind = {"+": "added", "-": "removed"}.get(line[:1], "same")
    return f"<span class='fx-{kind}'>{escape(line)}</span>\n"
