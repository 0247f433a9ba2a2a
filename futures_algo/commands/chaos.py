"`chaos`: drawn episodes against an independent broker that misbehaves."

import typer

from futures_algo.cli import Json, app, finish


@app.command()
def chaos(
    seed: int = typer.Option(1, help="Of the first episode; each further one has the next."),
    minutes: float = typer.Option(8.0, min=0.01, help="How long at most."),
    seeds: int | None = typer.Option(None, min=1, help="How many episodes at most."),
    json: bool = Json,
) -> None:
    "Let the executor meet a broker, hands, clocks and kills that misbehave; exit code 1 where something must not be."
    import logging

    from futures_algo.chaos.campaign import run_campaign

    logging.getLogger("futures_algo").setLevel(logging.CRITICAL)  # thousands of alarms are what it is about
    finish(result := run_campaign(seed, seeds, minutes), json, _show, finding=bool(result["violations"]))


def _show(result: dict) -> None:
    typer.echo(f"{result['seeds']} episodes, {result['orders']} orders, {len(result['violations'])} violations")
    for name, count in result["faults"].items():
        typer.echo(f"  {count:6d}  {name}")
    for found in result["violations"]:
        typer.echo(f"VIOLATION seed {found['seed']}: {found['kind']}: {found['detail']}\n  again: {found['repeat']}")
