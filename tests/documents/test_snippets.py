"Each snippet of the documents, run as written; only its imports are mapped as the page maps them."

import contextlib
import datetime as dt
import io
import json
import re

import pytest
from documents import CONFIG, KEYS, STRATEGY

import futures_algo as fa
from futures_algo.config.mistakes import ConfigErrors
from futures_algo.core.types import DataClock
from futures_algo.sim.broker import PaperBroker

HOMES = r"(?:execution|scanner|strategies|config|data|utils)(?:\.\w+)*"


def run(snippet: str, **names) -> dict:
    "The snippet's names after it ran, what it printed under `printed`."
    mapped = re.sub(rf"^(\s*)from {HOMES} import", r"\1from futures_algo import", snippet, flags=re.M)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(mapped, names)
    return names | {"printed": printed.getvalue()}


@pytest.fixture
def project(tmp_path, monkeypatch):
    "A project as the quick start leaves it, CrossTrade's port a paper broker's."
    (tmp_path / "config").mkdir()
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CROSSTRADE_API_KEY", "paper-token")
    monkeypatch.chdir(tmp_path)
    with PaperBroker({"ES 03-25": 5850.0, "ES 12-26": 5850.0}) as broker:
        monkeypatch.setenv("CROSSTRADE_BASE_URL", broker.url)
        settings = {"crosstrade_url": broker.url, "nt8_account": "Sim101", "default_quantity": 1}
        (tmp_path / "config/execution_config.json").write_text(json.dumps(settings | {"use_market_orders": True}))
        (tmp_path / "config/live_trading_config.json").write_text(json.dumps(CONFIG))
        yield tmp_path


def test_quick_start_4_test_connection(project):
    found = run(
        """
from execution.crosstrade_client import CrossTradeClient

client = CrossTradeClient()
print(client.get_accounts())  # Should print: ['Sim101']
"""
    )
    assert "Sim101" in found["printed"]
    found["client"].close()


def test_quick_start_5_integrate_with_scanner(project):
    found = run(
        """
# In live_scanner.py:
from execution.simple_executor import SimpleExecutor

executor = SimpleExecutor()

# When signal detected:
signal = {
    "signal_type": "LONG_ENTRY",
    "instrument": "ES 03-25",
    "price": current_price,
    "timestamp": datetime.now().isoformat()
}

executor.execute_signal(signal)
""",
        current_price=5850.0,
        datetime=dt.datetime,
    )
    (row,) = found["executor"].journal.rows("signals")
    assert row["action"] == "LONG_ENTRY" and row["verdict"] in ("dry_run", "denied")
    found["executor"].close()


def test_the_integration_point(project):
    class Enough(Exception):
        "The documents' loop has no end."

    class Clock:
        def sleep(self, seconds):
            assert seconds == 180
            raise Enough

    signal = {"signal_type": "LONG_ENTRY", "instrument": "ES 03-25", "price": 5850.0}
    scanned = [signal | {"timestamp": dt.datetime.now().isoformat()}]
    names = {"scan_for_patterns": lambda: scanned, "time": Clock()}
    with pytest.raises(Enough):
        run(
            """
# In your live_scanner.py:

from execution.simple_executor import SimpleExecutor

executor = SimpleExecutor()  # Initialize crosstrade

while True:
    # Scan market
    signals = scan_for_patterns()

    # Execute signals
    for signal in signals:
        executor.execute_signal(signal)  # <- This is crosstrade!

    time.sleep(180)  # Wait 3 min
""",
            **names,
        )
    assert "LONG_ENTRY" in (project / "logs/executions.log").read_text()


def test_signal_flow_example(project):
    "The documents' signal, in time: filled at the market, and the fill is a line of executions.log."
    signal = {
        "signal_type": "LONG_ENTRY",
        "instrument": "ES 03-25",
        "price": 5850.0,
        "timestamp": "2025-01-14T10:00:00-06:00",
    }
    with fa.SimpleExecutor(dry_run=False, journal=project / "flow.db") as executor:
        executor.executor.context.set_clock(DataClock(1_736_870_402 * 10**9))
        assert executor.execute_signal(signal).detail == "Filled"
        (intent,) = executor.journal.rows("intents")
        kept = [intent[name] for name in ("account", "instrument", "action", "quantity", "order_type")]
        assert kept == ["Sim101", "ES 03-25", "BUY", 1, "MARKET"]
    assert '"state": "Filled"' in (project / "logs/executions.log").read_text()


def test_the_documents_own_timestamp_is_stale_and_null_executes_it(project):
    signal = {
        "signal_type": "LONG_ENTRY",
        "instrument": "ES 12-26",
        "price": 5850.0,
        "timestamp": "2025-11-13T09:30:00",
    }
    with fa.SimpleExecutor(dry_run=False) as executor:
        assert executor.execute_signal(signal).denial == "STALE"
    with fa.SimpleExecutor(dry_run=False, max_signal_age_s=None, journal=project / "other.db") as executor:
        assert executor.execute_signal(signal).denial != "STALE"


def test_order_rejected_and_duplicate_signals(project):
    found = run(
        """
from execution.crosstrade_client import CrossTradeClient
from execution.signal_translator import SignalTranslator

client = CrossTradeClient()
translator = SignalTranslator(client)
positions = client.get_positions()

def skip(instrument):
    existing = translator.check_existing_position(instrument)
    if existing:
        return  # Skip signal
    return "go on"

answer = skip("ES 03-25")
"""
    )
    assert found["positions"] == [] and found["answer"] == "go on"
    found["client"].close()


def test_task_1_1_feed():
    heard = []
    feed = fa.DatabentoLiveFeed(KEYS["DATABENTO_API_KEY"], ["ES.c.0"], heard.append, schema="ohlcv-1m")
    for name in ("connect", "subscribe", "stream", "shutdown"):
        assert callable(getattr(feed, name))


def test_task_1_2_aggregator():
    found = run(
        """
from scanner.bar_aggregator import BarAggregator

aggregator = BarAggregator(timeframes=[3, 6, 15, 27])
for bar_1min in bars:
    completed = aggregator.process_bar("ES.c.0", bar_1min)
aggregator.add_timeframes([30])
available, last = aggregator.get_available_timeframes(), aggregator.get_bars("ES.c.0", 27, n=100)
""",
        bars=list(minutes(54)),
    )
    assert found["available"] == [3, 6, 15, 27, 30] and set(found["completed"]) == {3, 6, 27}
    assert len(found["last"]) == 2 and found["completed"][27]["volume"] == 270


def minutes(count: int, opened: str = "2025-11-13T23:00:00+00:00"):
    "One-minute bars as dictionaries from a session's open."
    start = dt.datetime.fromisoformat(opened)
    for minute in range(count):
        row = {"timestamp": start + dt.timedelta(minutes=minute), "open": 1.0, "high": 2.0, "low": 0.5}
        yield row | {"close": 1.5, "volume": 10}


def test_bar_timing_0640_to_0645_completes_with_the_0644_bar():
    aggregator = fa.BarAggregator([5])
    done = {
        bar["timestamp"].strftime("%H:%M"): aggregator.process_bar("ES.c.0", bar)
        for bar in minutes(10, "2025-11-13T06:40:00-06:00")
    }
    assert [at for at, completed in done.items() if 5 in completed] == ["06:44", "06:49"]


def test_task_1_3_configuration(project):
    found = run(
        """
from config.config_loader import load_config, validate_config, get_strategy_config

config = load_config("config/live_trading_config.json")
ok = validate_config(config)
entry = get_strategy_config(config, "macd_cci_27min")
symbols = config["databento"]["symbols"]
"""
    )
    assert found["ok"] is True and found["entry"].enabled and found["symbols"] == ["ES.c.0", "NQ.c.0"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"databento": {"schema": "ohlcv-1m"}}, "databento.symbols"),  # all required fields present
        ({"databento": {"symbols": ["ES"]}}, "databento.symbols"),  # symbol format
        ({"strategies": {"x": STRATEGY | {"class": "nowhere.Strategy"}}}, "strategies.x.class"),  # importable
        ({"strategies": {"x": STRATEGY | {"timeframes": [-1]}}}, "strategies.x.timeframes"),  # positive integers
        ({"strategies": {"x": {"class": STRATEGY["class"], "parameters": {"fast": float("nan")}}}}, "parameters.fast"),
        ({"strategies": {"x": {"class": STRATEGY["class"], "parameters": {"threshold": float("inf")}}}}, "threshold"),
    ],
)
def test_task_1_3_validation_checks(project, change, words):
    with pytest.raises(ConfigErrors, match=words):
        fa.validate_config(CONFIG | change)


def test_task_1_3_no_duplicate_strategy_names(project):
    text = json.dumps(CONFIG).replace('"strategies": {', '"strategies": {"macd_cci_27min": {}, ', 1)
    (project / "config/live_trading_config.json").write_text(text)
    with pytest.raises(fa.ConfigError, match="must not stand twice"):
        fa.load_config("config/live_trading_config.json")


def test_task_2_1_calculator():
    calculator = fa.VBTIndicatorCalculator("ES.c.0", STRATEGY)
    assert not calculator.is_ready()
    for bar in minutes(40):
        values = calculator.update_bar(27, bar)
    assert set(values) == {"macd", "macd_signal", "macd_histogram"} and calculator.get_indicators(27) == values
    calculator.reset()
    assert calculator.get_indicators(27)["macd"] != values["macd"]


def test_task_2_2_and_2_3_strategy():
    strategy = fa.MACDCCIStrategy("ES.c.0", STRATEGY)
    bullish = {"macd": 0.45, "macd_signal": 0.38, "cci": -102, "open": 1.0, "close": 2.0, "sma": 1.5}
    assert strategy.get_position() == "FLAT" and strategy.check_conditions(bullish) == "LONG_ENTRY"
    strategy.set_position("LONG")
    assert strategy.check_conditions(bullish) is None
    assert strategy.check_conditions(bullish | {"close": 1.4}) == "LONG_EXIT"  # 1min close < 20bar SMA
    assert strategy.check_conditions(bullish | {"macd": 0.3}) == "LONG_EXIT"  # 27min MACD < signal
    strategy.update_parameters({"threshold": -150})
    strategy.set_position("FLAT")
    assert strategy.check_conditions(bullish) is None and strategy.get_metadata()["parameters"]["threshold"] == -150


def test_task_3_1_loader_and_3_2_system(project):
    loader = fa.StrategyLoader("config/live_trading_config.json", fa.BarAggregator([1]))
    assert [(one.name, one.symbol) for one in loader.get_active_strategies()] == [
        ("macd_cci_27min", "ES.c.0"),
        ("macd_cci_27min", "NQ.c.0"),
    ]
    assert set(loader.aggregator.get_available_timeframes()) >= {1, 6, 27}
    assert fa.LiveTradingSystem("config/live_trading_config.json").get_status() == {}
