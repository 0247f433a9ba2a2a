"""Parts of a page that cost little: text of which only the text is sent, rows that wrap."""

from typing import Any

import panel as pn

from futures_algo.core.paths import asset


class Words(pn.pane.HTML):
    """HTML of which only the text ever changes; Panel's own pane compares and sends its style sheets again with every
    text."""

    def say(self, html: str) -> None:
        "Show it; the same text again costs nothing."
        if html != self.object:
            self.object = html

    def _update(self, ref: str, model: Any) -> None:
        model.text = self._transform_object(self.object)["object"]


_FLOW_CSS = asset("monitor", "flow.css")


def flow(*parts: Any, **options: Any) -> pn.Row:
    """Parts beside one another, on the next line where there is no room; pn.FlexBox does it with a template engine and
    ten times the time."""
    return pn.Row(*parts, sizing_mode="stretch_width", **{"stylesheets": [_FLOW_CSS], "margin": 0, **options})
