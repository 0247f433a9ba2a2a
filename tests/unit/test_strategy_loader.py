"The loader compares what two configs mean, takes edited code, and waits for a file that is being written."

import json
import sys
from pathlib import Path

import pytest
from waiting import eventually

from futures_algo.aggregator.aggregator import BarAggregator, aggregate
from futures_algo.core.types import FuturesAlgoError
from futures_algo.engine.replay import extend
from futures_algo.engine.strategy_loader import StrategyLoader
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies.live import StrategyRunner

CCI = "futures_algo.strategies.SimpleBullishCCIStrategy"
KEYS = {"DATABENTO_API_KEY": "db-0123456789", "CROSSTRADE_API_KEY": "token-0123456789"}


class File:
    "A config file that tests change."

    def __init__(self, folder: Path, **strategies):
        self.path, self.content = (
            folder / "config.json",
            {"databento": {"symbols": ["ES.c.0", "NQ.c.0"]}, "strategies": strategies},
        )
        self.write()

    def write(self, text: str | None = None) -> None:
        self.path.write_text(json.dumps(self.content) if text is None else text)

    def loader(self, **options) -> StrategyLoader:
        return StrategyLoader(self.path, variables=KEYS, **options)


@pytest.fixture
def file(tmp_path) -> File:
    return File(tmp_path, mine={"class": CCI, "symbols": ["ES.c.0"]})


def lines(loader: StrategyLoader) -> list[str]:
    return loader.next[1].lines()


# --- what is a change


@pytest.mark.parametrize(
    "entry, expected",
    [
        ({"parameters": {"length": 20}}, ["~ strategies.mine.parameters.length: 15 -> 20"]),
        ({"quantity": 3}, ["~ strategies.mine.quantity: 1 -> 3"]),
        ({"priority": 2}, ["~ strategies.mine.priority: 0 -> 2"]),
        (
            {"risk_per_trade_usd": 500, "parameters": {"stop_ticks": 8}},
            [
                "~ strategies.mine.risk_per_trade_usd: null -> 500.0",
                "~ strategies.mine.parameters.stop_ticks: 0.0 -> 8.0",
            ],
        ),
        ({"symbols": ["ES.c.0", "NQ.c.0"]}, ['~ strategies.mine.symbols: ["ES.c.0"] -> ["ES.c.0", "NQ.c.0"]']),
        (
            {"parameters": {"timeframe": "10min"}},
            ['~ strategies.mine.parameters.timeframe: "5min" -> "10min"', "+ timeframe 10min"],
        ),
        ({"class": "futures_algo.strategies.MACDCCIStrategy"}, None),
    ],
)
def test_a_changed_entry_is_told_by_path_and_both_values(file, entry, expected):
    loader = file.loader()
    file.content["strategies"]["mine"] |= entry
    file.write()
    assert loader.look()
    if expected is None:
        assert lines(loader)[0].startswith("~ strategies.mine.class: ")
    else:
        assert lines(loader) == expected


@pytest.mark.parametrize(
    "entry",
    [
        {"quantity": 1, "enabled": True, "priority": 0},
        {"parameters": {"length": 15}},
        {"timeframes": [5]},
        {"indicators_by_timeframe": {"5min": {"cci": {"parameters": {"length": 15}}}}},
    ],
    ids=["defaults", "parameter", "timeframes", "other place"],
)
def test_the_same_in_other_words_is_no_change(file, entry):
    loader = file.loader()
    runner = loader.get_active_strategies()[0]
    file.content["strategies"]["mine"] |= entry
    file.write()
    assert not loader.look() and loader.next is None and loader.get_active_strategies() == [runner]


def test_strategies_come_go_and_are_switched_off(file):
    loader = file.loader()
    file.content["strategies"] = {
        "other": {"class": CCI},
        "mine": file.content["strategies"]["mine"] | {"enabled": False},
    }
    file.write()
    assert loader.look() and lines(loader) == ["+ strategies.other", "~ strategies.mine.enabled: true -> false"]
    assert [(runner.name, runner.symbol) for runner in loader.get_active_strategies()] == [
        ("other", "ES.c.0"),
        ("other", "NQ.c.0"),
    ]
    del file.content["strategies"]["mine"]
    file.write()
    assert loader.look() and lines(loader) == ["- strategies.mine"]


def test_a_setting_is_told_and_secrets_are_not(file):
    loader = file.loader()
    file.content |= {
        "execution": {"limits": {"max_position_contract": 2}, "crosstrade_api_key": "quite-another-token"},
        "engine": {"on_remove": "keep"},
    }
    file.write()
    assert loader.look() and loader.next is None  # the key needs a restart, so nothing of it is applied
    assert "execution.crosstrade_api_key" in str(loader.errors[0]) and "quite-another-token" not in str(
        loader.errors[0]
    )
    del file.content["execution"]["crosstrade_api_key"]
    file.write()
    assert loader.look() and sorted(lines(loader)) == [
        '~ engine.on_remove: "flatten" -> "keep"',
        "~ execution.limits.max_position_contract: null -> 2",
    ]


# --- when it looks


def test_nothing_happens_while_the_content_stays(file):
    loader = file.loader()
    assert not loader.look()
    file.write()  # touched
    assert not loader.look() and not loader.look()


def test_a_file_that_is_half_written_is_waited_for(file):
    loader = file.loader()
    file.content["strategies"]["mine"]["quantity"] = 2
    whole = json.dumps(file.content)
    file.write(whole[:60])
    assert not loader.look() and not loader.errors
    file.write(whole)
    assert loader.look() and lines(loader) == ["~ strategies.mine.quantity: 1 -> 2"] and not loader.errors


def test_a_file_that_stays_cut_or_missing_is_a_mistake_told_once(file):
    loader = file.loader()
    file.write('{"databento": {')
    assert [loader.look() for _ in range(5)] == [False, True, False, False, False] and "must be valid JSON" in str(
        loader.errors[0]
    )
    file.path.unlink()
    assert [loader.look() for _ in range(5)].count(True) == 1 and "must exist" in str(loader.errors[0])
    file.write()
    assert loader.look() and loader.errors == [] and loader.next is None


def test_asked_to_look_now_it_does_not_wait(file):
    loader = file.loader()
    file.write("{")
    assert loader.look_now() and "must be valid JSON" in str(loader.errors[0])


def test_a_mistake_leaves_the_strategies_as_they_were(file):
    loader = file.loader()
    before = loader.get_active_strategies()
    file.content["strategies"]["mine"]["parameters"] = {"length": 1}
    file.content["strategies"]["fine"] = {"class": CCI}
    file.write()
    assert loader.look() and loader.next is None and loader.get_active_strategies() == before
    assert "at least 2" in str(loader.errors[0])


def test_a_config_that_is_wrong_from_the_start_is_refused(file):
    file.write("{}")
    with pytest.raises(FuturesAlgoError, match="databento"):
        file.loader()


# --- code

PARENT = (
    "from futures_algo import BaseStrategy\n\nclass Parent(BaseStrategy):\n    bars_held = {held}\n    def"
    " indicators(self): return {{'5min': []}}\n"
)


@pytest.fixture
def code(tmp_path, monkeypatch):
    "A package of the user's with a class whose parent is in another module."
    folder = tmp_path / "house_code"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "parent.py").write_text(PARENT.format(held=2))
    (folder / "child.py").write_text(
        "from house_code.parent import Parent\n\nclass Child(Parent):\n    def entry(self, x): return x.close >"
        " x.open\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("house_code")]:
        del sys.modules[name]


def test_the_code_of_a_parent_is_taken_up_though_size_and_second_are_the_same(tmp_path, code):
    loader = File(tmp_path, mine={"class": "house_code.child.Child"}).loader()
    for held in (3, 4, 5, 6):  # quicker than the second a compiled file is trusted by
        (code / "parent.py").write_text(PARENT.format(held=held))
        assert loader.look() and any("strategies.mine.code" in line for line in lines(loader))
        assert {runner.strategy.bars_held for runner in loader.get_active_strategies()} == {held}


def test_comments_and_layout_are_no_change_of_code(tmp_path, code):
    loader = File(tmp_path, mine={"class": "house_code.child.Child"}).loader()
    (code / "parent.py").write_text(
        "# for the record\n" + PARENT.format(held=2).replace("bars_held = 2", "bars_held =  2")
    )
    assert not loader.look()


def test_a_helper_in_a_module_of_its_own_is_followed_and_taken_up(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    tools, own = tmp_path / "house_tools.py", tmp_path / "own.py"
    tools.write_text("def low(x):\n    return x.cci < -100\n")
    own.write_text(
        "from futures_algo.indicators import CCI\nfrom futures_algo.strategies import BaseStrategy\n"
        "from house_tools import low\n\n\nclass Mine(BaseStrategy):\n"
        "    def indicators(self):\n        return {'5min': CCI(20)}\n\n"
        "    def entry(self, x):\n        return low(x)\n"
    )
    loader = File(tmp_path, mine={"class": f"{own}:Mine"}).loader()
    assert tools in loader.running.files
    tools.write_text("def low(x):\n    return x.cci < -300\n")
    assert loader.look() and list(loader.next[1].changed["mine"]) == ["code"]
    assert type(loader.next[0].strategies["mine"]).entry.__globals__["low"].__code__.co_consts[-1] == -300
    sys.modules.pop("house_tools")


def test_running_strategies_keep_their_code_when_the_new_one_cannot_be_imported(tmp_path, code):
    loader = File(tmp_path, mine={"class": "house_code.child.Child"}).loader()
    before, modules = (
        loader.get_active_strategies(),
        {name: sys.modules[name] for name in ("house_code.parent", "house_code.child")},
    )
    (code / "parent.py").write_text("import nothing_of_this_name\n")
    assert loader.look() and "nothing_of_this_name" in str(loader.errors[0])
    assert loader.get_active_strategies() == before and {name: sys.modules[name] for name in modules} == modules
    (code / "parent.py").write_text(PARENT.format(held=9))
    assert loader.look() and loader.get_active_strategies()[0].strategy.bars_held == 9


@pytest.mark.parametrize(
    "body, words",
    [
        (
            (
                "class Mine(BaseStrategy):\n    def indicators(self): return {'5min': []}\n    def entry(self, x):"
                " return 1 / 0\n"
            ),
            "ZeroDivisionError",
        ),
        ("undefined_name\n", "NameError"),
        (
            (
                "class Mine(BaseStrategy):\n    def indicators(self): return {'5min': []}\n    def entry(self, x):"
                " return x.close > 0 and x.open > 0\n"
            ),
            "write \\(a > b\\) & \\(c < d\\)",
        ),
        ("class Mine: pass\n", "must be a BaseStrategy"),
    ],
)
def test_whatever_the_users_code_raises_is_told_with_its_place(tmp_path, body, words):
    own = tmp_path / "own.py"
    own.write_text(
        "from futures_algo import BaseStrategy\n\nclass Mine(BaseStrategy):\n    def indicators(self): return {'5min':"
        " []}\n"
    )
    loader = File(tmp_path, mine={"class": f"{own}:Mine"}).loader()
    own.write_text("from futures_algo import BaseStrategy\n\n" + body)
    assert loader.look()
    with pytest.raises(FuturesAlgoError, match=words):
        raise loader.errors[0]
    assert "strategies.mine" in str(loader.errors[0])


def test_a_class_file_that_is_half_written_is_waited_for(tmp_path):
    own = tmp_path / "own.py"
    whole = (
        "from futures_algo import BaseStrategy\n\nclass Mine(BaseStrategy):\n    bars_held = 2\n    def"
        " indicators(self): return {'5min': []}\n"
    )
    own.write_text(whole)
    loader = File(tmp_path, mine={"class": f"{own}:Mine"}).loader()
    own.write_text(whole[:70] + "(")
    assert not loader.look() and not loader.errors
    own.write_text(whole.replace("= 2", "= 3"))
    assert loader.look() and not loader.errors


def test_a_class_that_is_mended_is_seen_although_the_config_did_not_change(file, tmp_path):
    loader, own = file.loader(), tmp_path / "own.py"
    own.write_text("class Mine: pass\n")
    file.content["strategies"]["other"] = {"class": f"{own}:Mine"}
    file.write()
    assert loader.look() and loader.errors
    own.write_text(
        "from futures_algo import BaseStrategy\n\nclass Mine(BaseStrategy):\n    def indicators(self): return {'5min':"
        " []}\n"
    )
    assert loader.look() and not loader.errors and lines(loader)[0] == "+ strategies.other"


# --- timeframes and warmth


@pytest.mark.parametrize("cut", [1, 100, 137, 1379])
def test_a_timeframe_added_later_has_the_bars_it_would_have_had(cut):
    bars = list(generate_minutes("ES.c.0", sessions=2))
    whole, later = BarAggregator([1, 7, 60]), BarAggregator([1])
    for bar in bars[:cut]:
        later.push(bar)
    extend(later, [7, "60min"], lambda symbol: later.get_bars(symbol, 1, 10_000))
    for bar in bars[cut:]:
        later.push(bar)
    for bar in bars:
        whole.push(bar)
    for timeframe in (1, 7, 60):
        assert later.get_bars("ES.c.0", timeframe, 10_000) == whole.get_bars("ES.c.0", timeframe, 10_000)


def test_a_new_strategy_is_warmed_from_the_bars_that_are_kept(file):
    bars, aggregator = list(generate_minutes("ES.c.0", sessions=1)), BarAggregator([1])
    loader = file.loader(bar_aggregator=aggregator)
    for bar in bars[:1000]:
        aggregator.push(bar)
    file.content["strategies"]["late"] = {
        "class": CCI,
        "symbols": ["ES.c.0"],
        "parameters": {"timeframe": "3min", "length": 50},
    }
    file.write()
    assert loader.look()
    late = loader.get_active_strategies()[-1]
    fresh = StrategyRunner(type(late.strategy)(timeframe="3min", length=50), "late", "ES.c.0")
    for bar in aggregate(generate_minutes("ES.c.0", sessions=1)[:1000], 3):
        fresh.on_bars([bar])
    assert late.is_ready() and late.describe() == fresh.describe() and late.position == fresh.position


# --- on its own


def test_watching_finds_a_change_and_the_next_question_applies_it(tmp_path):
    file = File(tmp_path, mine={"class": CCI})
    file.content["engine"] = {"reload_seconds": 0.01}
    file.write()
    loader = file.loader()
    loader.start_watching()
    loader.start_watching()
    try:
        file.content["strategies"]["second"] = {"class": CCI}
        file.write()
        eventually(lambda: len(loader.get_active_strategies()) >= 4, 20)
        assert {runner.name for runner in loader.get_active_strategies()} == {"mine", "second"}
    finally:
        loader.stop_watching()


@pytest.mark.parametrize("spoil", ["unreadable", "not UTF-8", "environment not UTF-8"])
def test_a_file_that_cannot_be_read_is_said_and_ends_nothing(file, tmp_path, spoil):
    loader = file.loader()
    if spoil == "unreadable":
        loader.path.unlink()
        loader.path.symlink_to("/proc/self/mem")  # a regular file whose reading fails, as one an editor has locked
    elif spoil == "not UTF-8":
        loader.path.write_bytes('{"strategies": "Grün"}'.encode("latin-1"))
    else:
        loader._variables, _ = None, (loader.path.parent / ".env").write_bytes("NAME=Grün\n".encode("latin-1"))
    for _ in range(3):
        loader.look()
    assert loader.errors and loader.next is None and loader.running.strategies and "readable" in str(loader.errors[0])


def test_who_is_told_cannot_change_unnoticed_while_the_engine_runs(file):
    loader = file.loader()
    file.content["watch"] = {"alert_urls": ["json://127.0.0.1:9/secret"]}
    file.write()
    assert (
        loader.look()
        and "watch.alert_urls" in str(loader.errors[0])
        and "cannot change" in str(loader.errors[0])
        and "secret" not in str(loader.errors[0])
    )


def test_an_alerts_url_is_a_secret_of_the_journal():
    from futures_algo.engine.build import without_secrets

    kept = without_secrets(
        {
            "watch": {"alert_urls": ["tgram://token/7", "${ALERT_URL}"], "metrics_port": 9464},
            "databento": {"api_key": "db-key", "symbols": ["ES.c.0"]},
        }
    )
    assert kept == {
        "watch": {"alert_urls": ["***", "${ALERT_URL}"], "metrics_port": 9464},
        "databento": {"api_key": "***", "symbols": ["ES.c.0"]},
    }
