"""`convert-config`."""

import json as json_module
from pathlib import Path

import typer

from futures_algo.cli import Json, app, finish


@app.command("convert-config")
def convert_config(
    files: list[Path] = typer.Argument(
        ..., help="The older config, and execution_config.json where order settings had a file of their own."
    ),
    output: Path = typer.Option(None, "--output", help="Write the converted config here; it is printed otherwise."),
    force: bool = typer.Option(False, "--force", help="Write over a file that is there."),
    json: bool = Json,
) -> None:
    """Bring a config of an older shape into the present one; keys without a place are named, and the exit code is 1
    then."""
    from futures_algo.config.files import read_json
    from futures_algo.core.types import ConfigError
    from futures_algo.live.convert_config import convert_config

    result = convert_config(*map(read_json, files))
    text = json_module.dumps(result.content, indent=2) + "\n"
    if output and output.exists() and not force:
        raise ConfigError("output", str(output), "must not exist yet", "name another file, or add --force")
    if output:
        output.write_text(text, encoding="utf-8")

    def show(document: dict) -> None:
        typer.echo(f"written to {output}" if output else text.rstrip())
        for note in document["notes"]:
            typer.echo(f"note: {note}", err=True)
        for path, value in document["unknown"].items():
            typer.echo(f"no place for {path} = {value!r}", err=True)
        for error in result.errors:
            typer.echo(f"still wrong: {error}", err=True)

    finish(
        result.as_dict() | {"output": str(output) if output else None},
        json,
        show,
        finding=bool(result.unknown or result.errors),
    )
