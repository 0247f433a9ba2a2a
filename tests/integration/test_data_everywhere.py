"""Every verb that takes bars takes CSV, Parquet and DBN, of any timeframe."""

import json

import numpy as np
import pytest

from futures_algo.aggregator.aggregator import aggregate
from futures_algo.cli import main
from futures_algo.history import import_file, write_dbn
from futures_algo.history.sources import read_source
from futures_algo.research.optimization import recorded_bars
from futures_algo.sim.market import generate_minutes

STRATEGY = ("--strategy", "RSIStrategy")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, tuple[str, ...]]:
    "One market in the forms a user has it in, as options of a verb."
    folder = tmp_path_factory.mktemp("forms")
    minutes = generate_minutes("ES.c.0", sessions=6)
    five = aggregate(minutes, 5)
    write_dbn(folder / "one.dbn.zst", {"ES.c.0": minutes})
    frame = five.to_frame()
    frame.index = frame.index.tz_localize(None)
    frame.drop(columns="contract").to_csv(folder / "five.csv", sep=";")
    import_file(folder / "five.csv", "ES.c.0", folder / "five.parquet", tz="UTC", stamp="open")
    return {
        "dbn": ("--data", str(folder / "one.dbn.zst")),
        "parquet": ("--data", str(folder / "five.parquet")),
        "csv": ("--data", f"ES.c.0={folder / 'five.csv'}", "--tz", "UTC", "--read", "stamp=open"),
    }


def run(capsys, *args: str) -> dict:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, args), "--json"])
    out, err = capsys.readouterr()
    assert (ended.value.code or 0) in (0, 1), err
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("form", ["dbn", "parquet", "csv"])
@pytest.mark.parametrize(
    "verb",
    [
        ("backtest", *STRATEGY),
        ("sweep", *STRATEGY, "--grid", "length=10,14"),
        ("walk-forward", *STRATEGY, "--grid", "length=10,14", "--folds", "2"),
        ("parity", *STRATEGY),
        ("lookahead", *STRATEGY, "--cuts", "5"),
        ("warmup", *STRATEGY),
    ],
    ids=lambda verb: verb[0],
)
def test_research_takes_it(verb, form, sources, capsys):
    parameters = () if verb[0] in ("sweep", "walk-forward") else ("--parameters", '{"timeframe": "5min"}')
    assert run(capsys, *verb, *_known(parameters), *sources[form])


def _known(parameters: tuple[str, ...]) -> tuple[str, ...]:
    "The strategy's own timeframe, where it has such a parameter."
    from futures_algo.strategies import strategy_class

    names = getattr(strategy_class("RSIStrategy"), "__annotations__", {})
    return parameters if "timeframe" in names else ()


def test_all_forms_are_the_same_bars(sources):
    parquet = read_source(sources["parquet"][1])["ES.c.0"]
    csv = recorded_bars([sources["csv"][1]], ["ES.c.0"], "UTC")["ES.c.0"]
    assert np.array_equal(parquet.start, csv.start) and np.array_equal(parquet.close, csv.close)


def test_the_demo_plays_five_minute_bars(sources, tmp_path, capsys):
    found = run(capsys, "demo", "--headless", "--folder", tmp_path, *sources["parquet"])
    assert found["bars_in"] == len(read_source(sources["parquet"][1])["ES.c.0"]) and not found["lost_bars"]


def test_prices_that_cannot_be_are_refused_by_every_door(tmp_path, capsys):
    bars = generate_minutes("ES.c.0", sessions=1)
    for name in ("open", "high", "low", "close"):
        getattr(bars, name)[100] = 0.0
    write_dbn(tmp_path / "bad.dbn.zst", {"ES.c.0": bars})
    for verb in (("backtest", *STRATEGY), ("parity", *STRATEGY)):
        with pytest.raises(SystemExit) as ended:
            main([*verb, "--data", str(tmp_path / "bad.dbn.zst")])
        assert ended.value.code == 2 and "must be a traded price" in capsys.readouterr().err
