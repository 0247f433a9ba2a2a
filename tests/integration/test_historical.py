"""The real `databento.Historical` against the loopback server, and `fetch` through it: priced before paid, resumed
after a break, nothing twice."""

import json
from importlib import import_module

import numpy as np
import pytest

from futures_algo.core.types import DAY, FeedError, InputError
from futures_algo.history import BarStore, fetch, historical_client, quote, read_dbn, write_dbn
from futures_algo.sim.historical import HistoricalServer
from futures_algo.sim.market import generate_minutes

SYMBOLS = ("ES.c.0", "NQ.c.0")


@pytest.fixture(scope="module")
def world():
    "Two symbols' minutes over two months and a roll."
    return {symbol: generate_minutes(symbol, sessions=45) for symbol in SYMBOLS}


@pytest.fixture(scope="module")
def path(world, tmp_path_factory):
    return write_dbn(tmp_path_factory.mktemp("history") / "minutes.dbn.zst", world)


@pytest.fixture
def server(path):
    with HistoricalServer({"ohlcv-1m": [path]}) as running:
        yield running


@pytest.fixture
def client(server):
    return historical_client("db-sim", server.url)


@pytest.fixture
def span(world, client, tmp_path):
    bars = world["ES.c.0"]
    return {
        "start": int(bars.start[0]),
        "end": int(bars.end[-1]),
        "client": client,
        "store": BarStore(tmp_path / "store"),
        "schema": "ohlcv-1m",
    }


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    # The room's attribute of this name is the function.
    monkeypatch.setattr(import_module("futures_algo.history.fetch"), "_FIRST_PAUSE", 0.001)


def served(server, endpoint: str) -> int:
    return sum(name == endpoint for name, _ in server.requests)


class TestServer:
    def test_the_real_client_gets_the_bars_of_the_file(self, client, path, tmp_path):
        bars = read_dbn(path)["NQ.c.0"]
        client.timeseries.get_range(
            dataset="GLBX.MDP3",
            symbols=["NQ.c.0"],
            schema="ohlcv-1m",
            stype_in="continuous",
            start=int(bars.start[0]),
            end=int(bars.end[-1]),
            path=tmp_path / "x.dbn.zst",
        )
        got = read_dbn(tmp_path / "x.dbn.zst")["NQ.c.0"]
        assert (
            np.array_equal(got.start, bars.start)
            and np.array_equal(got.close, bars.close)
            and np.array_equal(got.volume, bars.volume)
        )

    def test_a_range_ends_before_its_end_and_a_limit_holds(self, client, world):
        bars = world["ES.c.0"]
        ask = {
            "dataset": "GLBX.MDP3",
            "symbols": ["ES.c.0"],
            "schema": "ohlcv-1m",
            "stype_in": "continuous",
            "start": int(bars.start[10]),
            "end": int(bars.start[20]),
        }
        assert client.metadata.get_record_count(**ask) == 10
        assert client.metadata.get_billable_size(**ask) == 560
        assert client.metadata.get_cost(**ask) == pytest.approx(560 / 2**30 * 280.0)
        assert len(client.timeseries.get_range(**ask, limit=3).to_ndarray()) == 3

    def test_times_are_read_as_the_client_sends_them(self, client):
        count = lambda start, end: client.metadata.get_record_count(
            dataset="GLBX.MDP3", symbols=["ES.c.0"], schema="ohlcv-1m", stype_in="continuous", start=start, end=end
        )
        assert (
            count("2025-08-05", "2025-08-06")
            == count("2025-08-05T00:00:00+00:00", 1_754_438_400_000_000_000)
            == count("2025-08-04T19:00:00-05:00", "2025-08-05T19:00:00-05:00")
            > 1000
        )

    def test_symbols_resolve_by_date(self, client):
        found = client.symbology.resolve(
            dataset="GLBX.MDP3",
            symbols=["ES.c.0", "ZZ.c.0"],
            stype_in="continuous",
            stype_out="raw_symbol",
            start_date="2025-09-01",
            end_date="2025-09-30",
        )
        assert [spell["s"] for spell in found["result"]["ES.c.0"]] == ["ESU5", "ESZ5"] and found["not_found"] == [
            "ZZ.c.0"
        ]

    def test_lists(self, client):
        assert client.metadata.list_datasets() == ["GLBX.MDP3"] and client.metadata.list_schemas("GLBX.MDP3") == [
            "ohlcv-1m"
        ]
        assert client.metadata.get_dataset_range("GLBX.MDP3")["start"].startswith("2025-07-27T22:00")

    def test_refusals_carry_the_services_status(self, server, client):
        import databento

        ask = {
            "dataset": "GLBX.MDP3",
            "symbols": ["ZZ.c.0"],
            "schema": "ohlcv-1m",
            "stype_in": "continuous",
            "start": "2025-08-05",
            "end": "2025-08-06",
        }
        for wrong, status in (
            ({}, 422),
            ({"symbols": ["ES.c.0"], "schema": "ohlcv-1s"}, 422),
            ({"dataset": "XNAS.ITCH"}, 422),
        ):
            with pytest.raises(databento.BentoClientError) as refused:
                client.timeseries.get_range(**ask | wrong)
            assert refused.value.http_status == status
        with pytest.raises(databento.BentoClientError) as refused:
            historical_client("db-other", server.url).metadata.list_datasets()
        assert refused.value.http_status == 401


class TestFetch:
    def test_the_cost_is_asked_first_and_above_the_limit_nothing_is_fetched(self, server, span):
        asked = quote(SYMBOLS, **span)
        assert asked.cost_usd > 0 and asked.bytes > 0 and {symbol for symbol, _ in asked.parts} == set(SYMBOLS)
        with pytest.raises(
            InputError, match=r"cost was '\$\d+\.\d+'; it must not exceed the limit of \$0\.00.*nothing was fetched"
        ):
            fetch(SYMBOLS, **span)
        assert served(server, "timeseries.get_range") == 0 and span["store"].series() == []

    def test_what_is_fetched_is_what_the_service_has_with_its_contracts(self, span, world):
        steps = []
        done = fetch(SYMBOLS, **span, max_cost_usd=5.0, progress=lambda *step: steps.append(step[:2]))
        for symbol in SYMBOLS:
            kept, bars = span["store"].read(symbol), world[symbol]
            assert done.rows[symbol] == len(kept) == len(bars)
            for name in ("start", "open", "high", "low", "close", "volume"):
                assert np.array_equal(getattr(kept, name), getattr(bars, name))
            assert done.contracts[symbol] == list(bars.contracts)
            assert [kept.contracts[c] for c in kept.contract[::5000]] == [
                bars.contracts[c] for c in bars.contract[::5000]
            ]
        assert steps[-1] == (len(steps) - 1, len(steps) - 1)

    def test_a_second_fetch_asks_for_nothing(self, server, span):
        fetch(["ES.c.0"], **span, max_cost_usd=5.0)
        before = served(server, "timeseries.get_range")
        again = fetch(["ES.c.0"], **span)
        assert (
            served(server, "timeseries.get_range") == before
            and again.quote.cost_usd == 0.0
            and again.rows == {"ES.c.0": 0}
        )

    def test_only_the_missing_part_is_asked_for(self, server, span):
        middle = span["start"] + 10 * DAY
        fetch(["ES.c.0"], **span | {"end": middle}, max_cost_usd=5.0)
        assert next(part.start for _, part in quote(["ES.c.0"], **span).parts) == middle

    @pytest.mark.parametrize("kind", ["server_error", "busy", "cut", "truncate", "silence"])
    def test_what_may_pass_is_tried_again(self, server, span, world, kind):
        server.fail(kind, times=2)
        assert fetch(["ES.c.0"], **span, max_cost_usd=5.0).rows == {"ES.c.0": len(world["ES.c.0"])}

    def test_a_break_loses_at_most_its_month_and_the_next_call_goes_on(self, server, span, world):
        count = len(quote(["ES.c.0"], **span).parts)
        assert count == 3  # July, August, September
        original, calls = span["client"].timeseries.get_range, []

        def breaks_at_the_second(**params):
            calls.append(params["start"])
            if len(calls) == 2:
                server.fail("cut", times=4)
            return original(**params)

        span["client"].timeseries.get_range = breaks_at_the_second
        with pytest.raises(FeedError, match="failed 4 times"):
            fetch(["ES.c.0"], **span, max_cost_usd=5.0)
        assert len(list(span["store"].folder.rglob("*.parquet"))) == 1 and not list(
            span["store"].folder.rglob("*.part")
        )
        span["client"].timeseries.get_range = original
        assert len(quote(["ES.c.0"], **span).parts) == 2
        fetch(["ES.c.0"], **span, max_cost_usd=5.0)
        assert len(span["store"].read("ES.c.0")) == len(world["ES.c.0"])

    def test_a_symbol_a_key_and_a_range_that_cannot_be_served(self, server, span):
        with pytest.raises(InputError, match="must belong to a known product"):
            fetch(["QQ.c.0"], **span)
        with pytest.raises(InputError, match="but the service said: None of the symbols could be resolved"):
            fetch(["CL.c.0"], **span)
        stranger = span | {"client": historical_client("db-wrong", server.url)}
        with pytest.raises(InputError, match="must be one the service accepts"):
            fetch(["ES.c.0"], **stranger)
        with pytest.raises(InputError, match="must lie before end"):
            fetch(["ES.c.0"], **span | {"end": span["start"]})

    def test_a_server_that_is_not_there(self, server, span):
        server.stop()
        with pytest.raises(FeedError, match="cost of ES.c.0 failed 4 times"):
            quote(["ES.c.0"], **span)


class TestVerbs:
    @pytest.fixture
    def verb(self, server, tmp_path, monkeypatch, capsys):
        "Runs a verb; gives its exit code and what it printed."
        from futures_algo.cli import main

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DATABENTO_API_KEY", "db-sim")

        def run(*args: str) -> tuple[int, str, str]:
            with pytest.raises(SystemExit) as ended:
                main([str(arg) for arg in args])
            return ended.value.code or 0, *capsys.readouterr()

        return run

    def test_fetch_asks_the_price_fetches_and_writes_what_validate_data_passes(self, server, verb, tmp_path):
        ask = ("fetch", "ES.c.0", "--start", "2025-07-28", "--end", "2025-09-20", "--url", server.url, "--json")
        code, out, err = verb(*ask)
        assert (
            code == 2
            and "must not exceed the limit of $0.00" in json.loads(out.splitlines()[-1])["error"]
            and err.count("\n") == 1
        )
        code, out, _ = verb(*ask, "--max-cost", "2", "--out", "es.dbn.zst")
        document = json.loads(out.splitlines()[-1])
        assert (
            code == 0
            and document["rows"]["ES.c.0"] > 50_000
            and document["contracts"]["ES.c.0"] == ["ESU5", "ESZ5"]
            and document["quote"]["cost_usd"] > 0
        )
        assert list((tmp_path / "data/history").rglob("2025-08.parquet"))
        code, out, _ = verb("validate-data", "es.dbn.zst", "--json")
        assert code == 0 and json.loads(out)["series"][0]["rows"] == document["rows"]["ES.c.0"]

    def test_fetch_without_a_key(self, verb, monkeypatch):
        monkeypatch.delenv("DATABENTO_API_KEY")
        code, _, err = verb("fetch", "ES.c.0", "--start", "2025-07-28", "--end", "2025-09-20")
        assert code == 2 and "DATABENTO_API_KEY was ''; it must be set" in err

    def test_import_and_its_bad_inputs(self, verb, world, tmp_path):
        table = world["ES.c.0"][:100].to_frame().drop(columns="contract").tz_localize(None)
        table.to_csv("x.csv")
        assert (
            verb("import", "x.csv", "--symbol", "ES.c.0", "--tz", "UTC", "--out", "x.dbn", "--json")[0] == 0
            and len(read_dbn("x.dbn")["ES.c.0"]) == 100
        )
        table.drop(columns="high").to_csv("bad.csv")
        for name, symbol, said in (
            ("bad.csv", "ES.c.0", "high column"),
            ("none.csv", "ES.c.0", "must be a file that can be read"),
            ("x.csv", "QQ.c.0", "known product"),
        ):
            code, _, err = verb("import", name, "--symbol", symbol, "--tz", "UTC", "--out", "y.dbn")
            assert code == 2 and said in err and err.count("\n") == 1
        assert not list(tmp_path.glob("*y.dbn*"))

    def test_validate_data_finds_and_says_so(self, verb, world):
        table = world["ES.c.0"][:100].to_frame().tz_localize(None)
        table.iloc[[0, 1, 1, 2]].to_csv("twice.csv")
        code, out, _ = verb("validate-data", "twice.csv", "--symbol", "ES.c.0", "--tz", "UTC", "--json")
        document = json.loads(out)
        assert (
            code == 1
            and not document["ok"]
            and document["errors"][0]["rule"] == "ES.c.0 time must be the only row of its time"
        )
