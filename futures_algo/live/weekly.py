"""The weekly search: the newest bars, a notebook for every strategy of the live config, and what passed its gates into
the file that live reads."""

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from futures_algo.config.files import environment, read_json, resolve_variables
from futures_algo.config.model import DatabentoConfig
from futures_algo.config.scenario import DEFAULT_SCENARIOS, read_scenario, write_scenario
from futures_algo.core.types import DAY, SECOND
from futures_algo.live.session import notebook_path
from futures_algo.research.optimization import plans_of

HISTORY_DAYS = 365  # searched at least, where the store is filled by the search itself


def weekly_search(
    config_path: Path,  # absolute
    data: Sequence[
        str
    ] = (),  # as `optimization.recorded_bars` takes them; the config's store, brought up to date, when empty
    days: int = HISTORY_DAYS,  # of history the store must hold
    output: Path | None = None,  # folder of the notebooks; reports/ of the project when omitted
    now: int | None = None,  # ns UTC
    **parameters: Any,  # further ones of nbs/optimize.ipynb
) -> dict[str, Any]:  # ok, file, and by strategy: written, notebook, error
    "Search for every enabled strategy; one that fails does not keep the others from theirs."
    plans, now = plans_of(config_path), time.time_ns() if now is None else now
    folder, file = output or config_path.parent.parent / "reports", config_path.parent / Path(DEFAULT_SCENARIOS).name
    sources = list(data) or [
        str(
            brought_up(config_path, list(dict.fromkeys(symbol for plan in plans for symbol in plan.symbols)), days, now)
        )
    ]
    folder.mkdir(parents=True, exist_ok=True)
    date = dt.datetime.fromtimestamp(now // SECOND, dt.UTC).date()
    found = {
        plan.name: _searched(
            config_path, plan.name, sources, folder / f"optimize_{date}_{plan.name}.ipynb", file, parameters
        )
        for plan in plans
    }
    return {"ok": all(one["written"] for one in found.values()), "file": str(file), "strategies": found}


def brought_up(
    config_path: Path,
    symbols: list[str],
    days: int,
    now: int,  # ns UTC
) -> Path:
    """The config's store with the days before the last midnight that is a day past: the service sells those to
    everybody."""
    from futures_algo.history.fetch import fetch, historical_client
    from futures_algo.history.store import BarStore

    section = read_json(config_path)["databento"]
    data = DatabentoConfig.model_validate(
        resolve_variables({"api_key": "${DATABENTO_API_KEY}"} | section, environment(config_path.parent), "databento")
    )
    store, end = BarStore(config_path.parent.parent / data.store, data.dataset), (now - DAY) // DAY * DAY
    client = historical_client(data.api_key.get_secret_value(), data.historical_url)
    fetch(symbols, end - days * DAY, end, client=client, store=store, schema="ohlcv-1m", max_cost_usd=data.max_cost_usd)
    return config_path.parent.parent / data.store


def _searched(
    config_path: Path, name: str, sources: list[str], notebook: Path, file: Path, parameters: dict[str, Any]
) -> dict[str, Any]:
    "One strategy's notebook; it leaves a scenario beside itself when the gates let it."
    import papermill
    from papermill.exceptions import PapermillExecutionError

    scenario = notebook.with_suffix(".json")
    scenario.unlink(missing_ok=True)
    given = {
        "config": str(config_path),
        "name": name,
        "data": sources,
        "grid": {},
        "output": str(scenario),
    } | parameters
    try:
        papermill.execute_notebook(
            str(notebook_path(config_path, "optimize.ipynb")),
            str(notebook),
            given,
            cwd=str(config_path.parent.parent),
            progress_bar=False,
        )
    except PapermillExecutionError as error:
        return {"written": False, "notebook": str(notebook), "error": f"{error.ename}: {error.evalue}"}
    if scenario.is_file():
        write_scenario(file, read_scenario(scenario, name))
    return {"written": scenario.is_file(), "notebook": str(notebook), "error": ""}


def said(document: dict[str, Any]) -> list[str]:
    "A line a strategy."
    words = lambda one: (
        one["error"]
        or (f"written to {document['file']}" if one["written"] else "a gate failed; what stood before stays")
    )
    return [f"{name}: {words(one)} ({one['notebook']})" for name, one in document["strategies"].items()]
