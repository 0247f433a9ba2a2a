"""`monitor`, `paper-broker`, `bench`."""

from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish

BENCHES = {
    "feed": "feed",
    "replay": "feed",
    "history": "history",
    "indicators": "indicators",
    "latency": "latency",
    "monitor": "monitor",
    "aggregator": "bars",
    "sweep": "sweep",
    "engine": "engine",
    "soak": "engine",
    "gates": "gates",
}  # name -> module of futures_algo.bench


@app.command()
def monitor(
    journal: Path = typer.Option(Path("journal/live.db"), help="The engine's journal."),
    port: int = typer.Option(5006, help="0 takes a free one."),
    address: str = typer.Option("127.0.0.1", help="Any other than loopback needs users and TLS."),
    users: Path | None = typer.Option(None, help="File of logins with hashed passwords and roles."),
    tls: tuple[Path, Path] | None = typer.Option(None, metavar="CERTIFICATE KEY", help="Files to encrypt with."),
    behind_proxy: bool = typer.Option(False, "--behind-proxy", help="A proxy in front encrypts."),
    origin: list[str] = typer.Option([], help="host:port the page is opened under, off this computer."),
    read_only: bool = typer.Option(False, "--read-only", help="Nobody may command."),
    config: Path = typer.Option(
        Path("config/live_trading_config.json"), help="The config file the running one is compared with."
    ),
) -> None:
    "Serve the page that watches the engine, until interrupted."
    from futures_algo.monitor.serving import serve

    page = serve(
        journal,
        port,
        address,
        users=users,
        tls=tls,
        behind_proxy=behind_proxy,
        origins=origin,
        role="viewer" if read_only else "trader",
        config_path=config,
    )
    typer.echo(f"{page.url}  (Ctrl-C ends it; the engine does not notice)")
    try:
        page.wait()
    except KeyboardInterrupt:
        page.stop()


@app.command("paper-broker")
def paper_broker(
    data: Path = typer.Option(..., help="DBN file whose bars are the prices."),
    port: int = typer.Option(8080, help="0 takes a free one."),
    token: str = typer.Option("paper-token", help="What clients must send."),
) -> None:
    "Serve CrossTrade's REST API on loopback, filling orders from recorded bars, until interrupted."
    from futures_algo.history import read_dbn
    from futures_algo.sim.broker import serve

    serve(
        read_dbn(data),
        port=port,
        token=token,
        announce=lambda url: typer.echo(f"{url}  (account Sim101, token {token}; Ctrl-C ends it)"),
    )


@app.command()
def bench(
    name: str = typer.Argument(help=", ".join(BENCHES)),
    peers: bool = typer.Option(False, "--peers", help="Beside further packages too, where the bench has them."),
    json: bool = Json,
) -> None:
    "Measure one part beside its peers, as ratios in one run."
    import importlib
    import platform
    from importlib.metadata import version
    from os import cpu_count

    from futures_algo.core.types import InputError, did_you_mean

    if name not in BENCHES:
        raise InputError("bench", name, "must be a known one", did_you_mean(name, BENCHES))
    module = importlib.import_module(f"futures_algo.bench.{BENCHES[name]}")
    if peers and not hasattr(module, f"{name}_peers"):
        raise InputError("--peers", name, "must be a bench with further peers", "leave --peers out")
    rows = getattr(module, name)() + (getattr(module, f"{name}_peers")() if peers else [])
    document = {
        "bench": name,
        "machine": {"cores": cpu_count(), "system": platform.system(), "python": platform.python_version()},
        "versions": {package: version(package) for package in ("numpy", "pandas", "numba", "databento")},
        "rows": rows,
    }

    def show(document: dict) -> None:
        for row in document["rows"]:
            peer = (
                f"  {row['peer']}: {row['peer_value']:.4g}  ratio {row['ratio']:.3g}"
                if row.get("peer_value") and row.get("ratio")
                else ""
            )
            verdict = {True: "met", False: "MISSED"}.get(row.get("met"), "")
            typer.echo(
                f"{verdict:6} {row['metric']}: {row['value']:.4g} {row['unit']}{peer}  {row.get('target') or ''}"
            )

    finish(document, json, show, finding=any(row.get("met") is False for row in rows))
