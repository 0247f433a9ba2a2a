"The page that maps the documents names every file and name of theirs, and what it names here is there."

import json
import re

import pytest

import futures_algo as fa
from futures_algo.cli import app, load_verbs
from futures_algo.core.paths import PROJECT

FILES = """
README.md requirements.txt .env .gitignore live_trading_config.json live_scenario_config.json execution_config.json
config_loader.py config_validator.py databento_live_feed.py second_to_minute_aggregator.py bar_aggregator.py
vbt_indicator_calculator.py strategy_loader.py signal_generator.py live_trading_system.py live_trading_orchestrator.py
live_scanner.py start_live_trading.py start_live_trading.sh base.py macd_cci_27min.py simple_bullish_cci.py
future_strategy_v2.py yet_another.py indicator_cci.py crosstrade_client.py models.py order_manager.py
signal_translator.py market_data.py executor.py simple_executor.py scenarios.py backtest_runner.py data_loader.py
data_adapter.py validation.py logging_system.py time_utils.py errors.py validate_config.py test_databento_connection.py
graceful_shutdown.py signals.log executions.log scanner.log live_trading_2025-11-16.log ARCHITECTURE.md
API_REFERENCE.md DEPLOYMENT.md TROUBLESHOOTING.md CONFIG_GUIDE.md CROSSTRADE_INTEGRATION_PLAN.md crosstrade_example.py
MASTER_REFERENCE.md VBT_SIM_LIVE_ARCHITECTURE_GUIDE.md
""".split()
METHODS = {
    "DatabentoLiveFeed": "connect subscribe stream shutdown",
    "BarAggregator": "process_bar get_available_timeframes add_timeframes get_bars",
    "VBTIndicatorCalculator": "update_bar get_indicators is_ready reset",
    "BaseStrategy": "check_conditions update_parameters get_position set_position get_metadata",
    "SignalGenerator": "on_bar_complete process_signals",
    "StrategyLoader": "start_watching get_active_strategies",
    "LiveTradingSystem": "start on_bar shutdown get_status",
    "OrderManager": "submit_market_order submit_limit_order flatten_position",
    "SignalTranslator": "check_existing_position",
    "SimpleExecutor": "execute_signal",
    "CrossTradeExecutor": "submit_signal",
    "CrossTradeClient": "get_accounts get_positions",
}


def page(name: str) -> str:
    cells = json.loads((PROJECT / f"nbs/guides/{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


@pytest.mark.parametrize("file", FILES)
def test_every_file_of_the_documents_is_mapped(file):
    assert re.search(rf"[`/]{re.escape(file)}`", page("documents")), file


@pytest.mark.parametrize("kind", METHODS)
def test_every_method_of_the_documents_is_there_and_on_the_page(kind):
    for name in METHODS[kind].split():
        assert callable(getattr(getattr(fa, kind), name)) and f"`{name}" in page("documents"), name


def test_every_name_and_verb_the_page_gives_is_there():
    load_verbs()
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    verbs |= {group.name for group in app.registered_groups}
    text = page("documents")
    right = [line.split("|")[2] for line in text.splitlines() if line.startswith("| `")]
    named = {name for cell in right for name in re.findall(r"`([A-Z]\w+)`", cell)}
    assert len(named) > 15 and [name for name in named if not hasattr(fa, name)] == []
    assert [verb for verb in re.findall(r"`futures-algo ([\w-]+)", text) if verb not in verbs] == []


def test_the_page_of_differences_names_each_switch():
    text = page("differences")
    for switch in (
        "max_signal_age_s",
        "dry_run",
        "crosstrade_base_url",
        "crosstrade_url",
        "use_market_orders",
        "on_start",
    ):
        assert f"{switch}" in text


@pytest.mark.parametrize("name", ["documents", "differences"])
def test_the_code_on_the_page_runs(name):
    cells = json.loads((PROJECT / f"nbs/guides/{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), {})
