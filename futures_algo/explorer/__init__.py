"""Sliders, figures and charts of a strategy in a notebook."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "widget": ("Debounced", "Explorer", "ParameterRow"),
    },
)
