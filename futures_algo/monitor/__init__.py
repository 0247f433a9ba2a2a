"""The page a trader leaves open all day: it reads the journal, and asks the engine through it."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "page": (
            "ANSWER_MS",
            "PANELS_NS",
            "Page",
            "REFRESH_MS",
            "JournalViews",
            "append_command",
            "first_look",
            "monitor_app",
            "monitor_page",
            "release",
            "shared_views",
        ),
        "serving": ("serve",),
    },
)
