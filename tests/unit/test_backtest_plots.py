"Pictures and tables show the run's own numbers, and the page stands alone."

import json
import re

import numpy as np
import pandas as pd
import pytest
from scripted import Scripted, scripted_bars

from futures_algo import backtest
from futures_algo.cli import main
from futures_algo.research.backtest_plots import hourly_table, monthly_table, overview
from futures_algo.sim.market import generate, generate_minutes
from futures_algo.strategies import RSIStrategy


@pytest.fixture(scope="module")
def result():
    return backtest(RSIStrategy(), generate_minutes("ES.c.0", sessions=30, seed=4))


def test_months_add_up_to_the_profit(result):
    table = monthly_table(result)
    assert table["year"].sum() == pytest.approx(result.stats["net_profit_usd"])
    assert table.loc[2025, ["Jan", "Dec"]].isna().all()  # no session, no number


def test_hours_add_up_to_the_trades_and_begin_with_the_session(result):
    table = hourly_table(result)
    assert table.index[0] == 17 and len(table) == 24
    assert table["trades"].sum() == result.stats["trades"] and table["net_profit_usd"].sum() == pytest.approx(
        result.trades.pnl_usd.sum()
    )


def test_the_drawing_keeps_every_extreme_of_a_long_curve():
    from futures_algo.research.backtest_plots import _thinned

    curve = np.cumsum(np.random.default_rng(0).normal(size=100_000))
    rows, drawn = _thinned(curve)
    assert drawn.min() == curve.min() and drawn.max() == curve.max() and drawn[-1] == curve[-1] and len(rows) < 3000


def test_the_picture_has_a_panel_a_symbol_and_equity_and_drawdown(result):
    assert [
        len(overview(one).axes)
        for one in (result, backtest(RSIStrategy(), [result.base, generate_minutes("CL.c.0", sessions=3)]))
    ] == [3, 4]
    entries = sum(
        len(collection.get_offsets())
        for collection in overview(result).axes[0].collections
        if hasattr(collection, "get_sizes") and len(collection.get_sizes())
    )
    assert entries == len(result.trades)


def test_the_page_is_one_file_that_loads_nothing(result, tmp_path):
    page = result.tearsheet(tmp_path / "sheet.html")
    assert (tmp_path / "sheet.html").read_text(encoding="utf-8") == page and page.startswith("<!doctype html>")
    assert not re.search(r"""(src|href)=['"](?!data:)|url\(|@import|<script|https?://""", page)
    assert f"{result.stats['trades']:,}" in page and "RSIStrategy on ES.c.0" in page and len(page) < 3_000_000


def test_what_is_worth_a_worry_is_said_everywhere(result):
    "A month's trades are too few to know anything."
    said = {one["name"] for one in result.as_dict()["remarks"]}
    assert "too_few_trades" in said or result.stats["trades"] >= 100
    assert (
        all(one.raised for one in result.remarks)
        and said == {one.name for one in result.remarks}
        and all(one.text in str(result) for one in result.remarks)
    )
    assert result.tearsheet().count("class='note'") == len(result.remarks) > 0


def test_nothing_happened_is_drawn_too():
    page = backtest(Scripted(), scripted_bars("ES.c.0", [100, 101], [100, 101], [0, 0])).tearsheet()
    assert "undefined" in page


def test_frames_carry_their_units_and_zones(result):
    bars, trades = result.to_frame(), result.trades_frame()
    assert (
        list(bars) == ["close", "position", "equity_usd"]
        and str(bars.index.tz) == str(trades["entry_time"].dt.tz) == "UTC"
    )
    assert (trades["symbol"] == "ES.c.0").all() and isinstance(trades, pd.DataFrame)


# --- the verb


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("bars"), sessions=2).files["ohlcv-1s"][0]


def run(capsys, *words) -> tuple[dict, int]:
    "The JSON a verb prints and its exit code."
    code = 0
    try:
        main(["backtest", *map(str, words), "--json"])
    except SystemExit as left:
        code = left.code or 0
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1]), code


def test_the_verb_prints_figures_by_symbol_and_writes_the_page(recorded, capsys, tmp_path):
    said, code = run(
        capsys,
        "--strategy",
        "RSIStrategy",
        "--data",
        recorded,
        "--parameters",
        '{"length": 9}',
        "--commission",
        0,
        "--slippage-ticks",
        0,
        "--html",
        tmp_path / "page.html",
    )
    assert code == 0 and set(said["symbols"]) == {"ES.c.0", "NQ.c.0"} and said["parameters"]["length"] == 9
    assert (
        said["stats"]["commission_usd"] == 0
        and said["stats"]["trades"] == sum(one["trades"] for one in said["symbols"].values()) > 0
    )
    assert (tmp_path / "page.html").stat().st_size > 50_000
    assert run(capsys, "--strategy", "RSIStrategy", "--data", recorded, "--engine", "vectorbt")[0]["engine"].startswith(
        "vectorbt"
    )


def test_the_verb_needs_no_data_and_takes_a_range_of_sessions(capsys):
    said, _ = run(
        capsys,
        "--strategy",
        "RSIStrategy",
        "--sample",
        6,
        "--symbol",
        "NQ.c.0",
        "--start",
        "2025-07-29",
        "--end",
        "2025-07-30",
    )
    assert (
        list(said["symbols"]) == ["NQ.c.0"]
        and said["stats"]["sessions"] == 2
        and said["start"].startswith("2025-07-28 22:00")
    )


def test_the_verb_reads_files_of_any_kind_and_a_contract_by_its_own_name(capsys, tmp_path):
    from futures_algo.history import read_dbn, write_dbn

    write_dbn(tmp_path / "one.dbn.zst", {"ESU5": generate_minutes("ES.c.0", sessions=2)})
    read_dbn(tmp_path / "one.dbn.zst")["ESU5"].to_frame().to_parquet(tmp_path / "one.parquet")
    words = ("--strategy", "RSIStrategy", "--data")
    by_name, _ = run(capsys, *words, tmp_path / "one.dbn.zst", "--symbol", "ESU5")
    front, _ = run(capsys, *words, tmp_path / "one.dbn.zst", "--symbol", "ES.c.0")
    table, _ = run(capsys, *words, f"ESU5={tmp_path / 'one.parquet'}")
    assert (
        list(by_name["symbols"]) == list(table["symbols"]) == ["ESU5"]
        and list(front["symbols"]) == ["ES.c.0"]
        and by_name["stats"] == table["stats"] == front["stats"]
    )


@pytest.mark.parametrize(
    "words, message",
    [
        (("--engine", "vectorbtt"), "vectorbt"),
        (("--parameters", '{"lenght": 9}'), "length"),
        (("--parameters", "length=9"), "JSON"),
        (("--commission", "-1"), "commission_usd"),
        (("--quantity", "0"), "1 or more"),
        (("--symbol", "CL.c.0"), "must have bars in the data; the data has ES.c.0, NQ.c.0"),
        (("--parameters", "[1]"), "object"),
        (("--start", "2031-01-01"), "must have a session in the data"),
        (("--end", "1 May"), "must be a session date"),
        (("--sample", "3"), "not both"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(recorded, capsys, words, message):
    said, code = run(capsys, "--strategy", "RSIStrategy", "--data", recorded, *words)
    assert code == 2 and message in said["error"] and "\n" not in said["error"]
