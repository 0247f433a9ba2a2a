"""Bokeh figures as a Jupyter widget, offline, with changes in both directions."""

from functools import cache
from typing import Any

import anywidget
import bokeh
from bokeh.core.json_encoder import serialize_json
from bokeh.core.serialization import Serializer
from bokeh.document import Document
from bokeh.document.events import DocumentPatchedEvent
from bokeh.models import LayoutDOM
from bokeh.resources import Resources

from futures_algo.core.paths import asset


@cache
def _library() -> bytes:
    "Bokeh's script as installed."
    return "\n".join(path.read_text(encoding="utf-8") for path in _script_files()).encode()


def _script_files() -> list:
    from pathlib import Path

    return [Path(path) for path in Resources(mode="absolute", components=["bokeh"], minified=True).js_files]


class BokehWidget(anywidget.AnyWidget):
    "A Bokeh layout in a notebook cell."

    _esm = asset("explorer", "bokeh_widget.js")

    def __init__(
        self,
        view: LayoutDOM | None = None,  # a figure or a layout of figures
        **traits: Any,  # of the widget: `layout`
    ):
        import traitlets

        self.add_traits(version=traitlets.Unicode(bokeh.__version__).tag(sync=True))
        super().__init__(**traits)
        self.document = Document()
        self.on_msg(self._asked)
        if view is not None:
            self.show(view)

    def show(self, view: LayoutDOM) -> None:
        "Another layout in place of the one shown."
        self.document.remove_on_change(self._changed) if self.document.callbacks._change_callbacks else None
        self.document = Document()
        self.document.add_root(view)
        self.document.on_change(self._changed)
        self._send_document()

    def _send_document(self, key: str = "") -> None:
        "The whole document, to one view or to all."
        content = self.document.to_json(deferred=False)
        self.document.models.flush_synced()
        self.send({"kind": "document", "key": key, "document": content})

    def _asked(self, _: Any, content: dict, buffers: list) -> None:
        "A view wants Bokeh or the document, or tells what happened."
        if content["kind"] == "bokeh":
            self.send({"kind": "bokeh"}, [_library()])
        elif content["kind"] == "document":
            self._send_document(content["key"])
        elif content["kind"] == "patch":
            self.document.apply_json_patch(content["patch"], setter=self)

    def _changed(self, event: Any) -> None:
        "Tell the views."
        if not isinstance(event, DocumentPatchedEvent) or event.setter is self:
            return
        serializer = Serializer(references=self.document.models.synced_references)
        patch = serialize_json({"events": serializer.encode([event])})
        self.document.models.flush_synced(lambda model: not serializer.has_ref(model))
        self.send(
            {"kind": "patch", "patch": patch, "ids": [buffer.id for buffer in serializer.buffers]},
            [buffer.to_bytes() for buffer in serializer.buffers],
        )
