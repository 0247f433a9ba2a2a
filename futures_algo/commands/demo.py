"""`demo`: the whole chain on loopback servers."""

import math
import threading
from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.core.paths import PROJECT

DEFAULT_CONFIG = Path("config/live_trading_config.json")
DEMO_FOLDER = Path("journal/demo")  # where `live.find_journal` looks when the config's own journal is not there yet

_CLOSED = threading.Event()  # for whoever runs the demo in its own process


@app.command()
def demo(
    seed: int = typer.Option(7, help="Of the generated market; the same seed gives the same numbers."),
    data: list[Path] = typer.Option([], help="DBN files of one-second or one-minute bars to play instead."),
    config: Path = typer.Option(DEFAULT_CONFIG, help="Strategies and limits."),
    speed: float = typer.Option(0.0, help="Data seconds a second; 0 is as fast as the engine reads."),
    headless: bool = typer.Option(False, "--headless", help="Do not serve the page."),
    folder: Path | None = typer.Option(
        None, help="Keep journal and logs here; journal/demo where the page is served, else a temporary folder."
    ),
    json: bool = Json,
) -> None:
    """Play two generated sessions of ES and NQ (or your own bars) through the whole system on paper.

    The page stays until it is closed with Ctrl-C; --headless and --json end with the session.
    """
    import tempfile

    from futures_algo.commands.show import demo_progress, demo_table
    from futures_algo.live.demo import Demo, generated, recorded

    config = config_of(config)
    with tempfile.TemporaryDirectory(prefix="futures-algo-demo-") as temporary:
        stays = not headless and not json
        home = folder or (fresh(DEMO_FOLDER) if stays else Path(temporary))
        home.mkdir(parents=True, exist_ok=True)
        recording = recorded(data, Path(temporary)) if data else generated(Path(temporary), seed)
        player = Demo(recording, home, config, speed or math.inf, None if headless else _serve)
        with demo_progress(recording.count, quiet=json) as player.on_progress:
            shown: list[str] = []  # where the page is

            def on_page(url: str) -> None:
                shown.append(url)
                typer.echo(f"Watch it at {url}", err=True)

            summary = player.run(on_page, (lambda summary: page_stays(summary, shown[0])) if stays else _pass)
        if folder is None and not stays:
            summary["journal"] = None  # it goes with the temporary folder
        finish(
            summary,
            json,
            None if stays else demo_table,
            finding=bool(summary["duplicate_orders"] or summary["lost_bars"]),
        )


def _pass(summary: dict) -> None:
    "Nothing to show: the session ends with its last bar."


def config_of(path: Path) -> Path:
    "The config named; where the usual one is not in this folder, the one that came with the code."
    shipped = PROJECT / DEFAULT_CONFIG
    return shipped if path == DEFAULT_CONFIG and not path.is_file() and shipped.is_file() else path


def fresh(folder: Path) -> Path:
    "The demo's own folder without the last demo's journal: another session is another file."
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (folder / name).unlink(missing_ok=True)
    return folder


def page_stays(summary: dict, url: str) -> None:
    "Show the table and keep the page until the user has seen enough; says where it is once more."
    from futures_algo.commands.show import demo_table

    demo_table(summary)
    typer.echo(f"The page is at {url} and stays until you press Ctrl-C.", err=True)
    try:
        while not _CLOSED.wait(0.5):  # an endless wait hears no Ctrl-C on Windows
            pass
    except KeyboardInterrupt:
        typer.echo("")


def _serve(journal: Path):
    "The page of a journal; panel takes its time to import."
    from futures_algo.monitor.serving import serve

    return serve(journal)
