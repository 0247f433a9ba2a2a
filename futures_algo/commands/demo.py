"""`demo`: the whole chain on loopback servers."""

import math
import sys
from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish
from futures_algo.commands.options import Read, Zone, all_of
from futures_algo.core.paths import PROJECT

DEFAULT_CONFIG = Path("config/live_trading_config.json")


@app.command()
def demo(
    seed: int = typer.Option(7, help="Of the generated market; the same seed gives the same numbers."),
    data: list[str] = typer.Option(
        [], help="Bars to play instead: DBN, Parquet that import wrote, or ES.c.0=FILE; one second or longer."
    ),
    tz: str | None = Zone,
    read: list[str] = Read,
    config: Path = typer.Option(DEFAULT_CONFIG, help="Strategies and limits."),
    speed: float = typer.Option(0.0, help="Data seconds a second; 0 is as fast as the engine reads."),
    headless: bool = typer.Option(False, "--headless", help="Do not serve the page."),
    folder: Path | None = typer.Option(None, help="Keep journal and logs here; a temporary folder otherwise."),
    json: bool = Json,
) -> None:
    "Play two generated sessions of ES and NQ (or your own bars) through the whole system on paper."
    import tempfile

    from futures_algo.commands.show import demo_progress, demo_table
    from futures_algo.history.sources import reading_of
    from futures_algo.live.demo import Demo, generated, recorded

    config = config_of(config)
    with tempfile.TemporaryDirectory(prefix="futures-algo-demo-") as temporary:
        home = folder or Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        recording = (
            recorded(all_of(data, reading_of(read, tz=tz)), Path(temporary))
            if data
            else generated(Path(temporary), seed)
        )
        stays = not headless and not json and sys.stdin.isatty()
        player = Demo(recording, home, config, speed or math.inf, None if headless else _serve)
        with demo_progress(recording.count, quiet=json) as player.on_progress:
            summary = player.run(
                lambda url: typer.echo(f"Watch it at {url}", err=True), page_stays if stays else lambda summary: None
            )
        if folder is None:
            summary["journal"] = None  # it goes with the temporary folder
        finish(
            summary,
            json,
            None if stays else demo_table,
            finding=bool(summary["duplicate_orders"] or summary["lost_bars"]),
        )


def config_of(path: Path) -> Path:
    "The config named; where the usual one is not in this folder, the one that came with the code."
    shipped = PROJECT / DEFAULT_CONFIG
    return shipped if path == DEFAULT_CONFIG and not path.is_file() and shipped.is_file() else path


def page_stays(summary: dict) -> None:
    "Show the table and keep the page until the user has seen enough."
    from futures_algo.commands.show import demo_table

    demo_table(summary)
    try:
        input("The page stays open until you press Enter. ")
    except (EOFError, KeyboardInterrupt):
        typer.echo("")


def _serve(journal: Path):
    "The page of a journal; panel takes its time to import."
    from futures_algo.monitor.serving import serve

    return serve(journal)
