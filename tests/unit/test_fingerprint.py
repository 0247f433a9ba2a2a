"""Code that calculates something else has another identity; code that only looks different has the same."""

import importlib
import sys

import numpy as np
import pytest

from futures_algo.config.classes import import_class
from futures_algo.config.fingerprint import PREFIX, fingerprint, strategy_fingerprint
from futures_algo.config.scenario import check_code, code_hash
from futures_algo.core.types import ConfigError
from futures_algo.engine.strategy_loader import code_files
from futures_algo.indicators.wrappers import ResearchIndicator, wrap_talib
from futures_algo.research.sweep import sweep
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies.base import BaseStrategy

FILES = {
    "planted_levels.py": "DEEP = 0\nTABLE = {'low': -60.0}\n",
    "planted_tools.py": """
import planted_levels
from planted_levels import DEEP

def below(x, level):
    return x.cci < level + DEEP + planted_levels.TABLE["low"]

class Rule:
    factor = 1.0

    def holds(self, x):
        return x.cci > 60 * self.factor
""",
    "planted_parent.py": """
from futures_algo.strategies.base import BaseStrategy

class Parent(BaseStrategy):
    bars_held = 12

    def exit(self, x):
        return x.cci > 80
""",
    "planted_own.py": """
import numpy as np
from futures_algo.indicators import CCI, SMA
from planted_parent import Parent
from planted_tools import Rule, below

LEVEL = -10.0

def at_least(count):
    return lambda x: x.volume >= count

enough = at_least(1)
steep = lambda x: x.close > x.prev.close
RULE = Rule()

def helper(x):
    "Words."
    return below(x, LEVEL)

class Own(Parent):
    "Words."
    length: int = 20
    stop_ticks = 40.0

    def indicators(self):
        return {"5min": [CCI(self.length), SMA(10)]}

    def entry(self, x):
        # a remark
        return helper(x) & enough(x) & ~steep(x)

    def short_entry(self, x):
        from planted_late import late

        return RULE.holds(x) & late(x)

    def short_exit(self, x):
        return np.less(x.cci, -80)
""",
    "planted_late.py": "def late(x):\n    return x.close < x.open\n",
}
# file, what stands there, what is put there
EDITS = {
    "class default": ("own", "stop_ticks = 40.0", "stop_ticks = 4.0"),
    "parameter default": ("own", "length: int = 20", "length: int = 12"),
    "parameter type": ("own", "length: int = 20", "length: float = 20"),
    "method body": ("own", "helper(x) & enough(x)", "helper(x) | enough(x)"),
    "method added": ("own", "    def short_exit", "    def check(self):\n        pass\n\n    def short_exit"),
    "method gone": ("own", "    def short_exit(self, x):\n        return np.less(x.cci, -80)\n", ""),
    "helper in the module": ("own", "below(x, LEVEL)", "below(x, LEVEL - 1)"),
    "constant": ("own", "LEVEL = -10.0", "LEVEL = -90.0"),
    "indicator parameter": ("own", "SMA(10)", "SMA(11)"),
    "indicator": ("own", "CCI(self.length), SMA", "CCI(self.length), EMA"),
    "closure": ("own", "at_least(1)", "at_least(10_000)"),
    "lambda": ("own", "x.close > x.prev.close", "x.close < x.prev.close"),
    "decorator": ("own", "def helper(x)", "@lambda made: lambda x: ~made(x)\ndef helper(x)"),
    "parent's default": ("parent", "bars_held = 12", "bars_held = 2"),
    "parent's method": ("parent", "x.cci > 80", "x.cci > 8"),
    "helper elsewhere": ("tools", "x.cci < level", "x.cci <= level - 50"),
    "object's method": ("tools", "60 * self.factor", "90 * self.factor"),
    "object's attribute": ("tools", "factor = 1.0", "factor = 2.0"),
    "constant of a third module": ("levels", "DEEP = 0", "DEEP = -40"),
    "value of a module's table": ("levels", "-60.0", "-90.0"),
    "module imported late": ("late", "x.close < x.open", "x.close > x.open"),
}
SAME = {
    "remark": ("own", "# a remark", "# another"),
    "class docstring": ("own", '"Words."\n    length', '"Other words."\n    length'),
    "function docstring": ("own", '"Words."\n    return', '"""Other\n\n    words."""\n    return'),
    "layout": (
        "own",
        "helper(x) & enough(x) & ~steep(x)",
        "(\n            helper(x)\n            & enough(x) & ~steep(x)\n        )",
    ),
    "blank lines": ("tools", "def below", "\n\n\n\ndef below"),
    "unused function": ("own", "def helper", "def unused(x):\n    return 1\n\ndef helper"),
    "docstring elsewhere": ("parent", "class Parent(BaseStrategy):", 'class Parent(BaseStrategy):\n    "Of others."'),
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    "Imports the strategy anew, as written or with an edit."
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = [name.removesuffix(".py") for name in FILES]

    def load(file: str = "own", before: str = "", after: str = "") -> type:
        for name, text in FILES.items():
            if name == f"planted_{file}.py":
                assert before in text
                text = text.replace(before, after, 1)
            (tmp_path / name).write_text(text.replace("CCI, SMA\n", "CCI, EMA, SMA\n"))
        for name in names:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("planted_own").Own

    yield load
    for name in names:
        sys.modules.pop(name, None)


def test_every_edit_that_may_change_a_backtest_changes_the_fingerprint(planted):
    found = {"": strategy_fingerprint(planted())} | {
        what: strategy_fingerprint(planted(*edit)) for what, edit in EDITS.items()
    }
    assert len(set(found.values())) == len(found), found
    assert found[""] == strategy_fingerprint(planted())


def test_words_and_layout_do_not(planted):
    first = strategy_fingerprint(planted())
    assert {what: strategy_fingerprint(planted(*edit)) for what, edit in SAME.items()} == dict.fromkeys(SAME, first)


def test_one_fingerprint_serves_scenario_and_engine(planted, tmp_path):
    kind = planted()
    assert code_hash("planted_own.Own") == code_hash(f"{tmp_path}/planted_own.py:Own") == strategy_fingerprint(kind)
    for path in ("planted_own.Own", f"{tmp_path}/planted_own.py:Own"):
        files = code_files(path, import_class(path)).values()
        assert {file.name for file in files} == set(FILES)


def test_the_store_never_returns_a_stale_row(planted, tmp_path):
    bars, grid = generate_minutes("ES.c.0", sessions=2), {"length": [10, 20]}
    for edit in ((), *EDITS.values()):
        kind = planted(*edit)
        stored = sweep(kind, bars, grid, store=tmp_path / "store").table
        assert stored.equals(sweep(kind, bars, grid).table), edit


def test_what_a_name_means_now_counts_not_what_the_file_says():
    space: dict = {"BaseStrategy": BaseStrategy}
    text = """
def helper(x):
    return x.close > 1

class A(BaseStrategy):
    def indicators(self):
        return {"5min": []}

    def entry(self, x):
        return helper(x)
"""
    exec(text, space)
    first = strategy_fingerprint(space["A"])
    exec("def helper(x):\n    return x.close > 2\n", space)
    assert strategy_fingerprint(space["A"]) != first


def test_a_file_edited_after_its_import_is_told_by_what_runs(planted, tmp_path):
    kind = planted()
    file = tmp_path / "planted_own.py"
    file.write_text(file.read_text().replace("below(x, LEVEL)", "below(x, LEVEL - 7)"))
    stale = strategy_fingerprint(kind)
    assert strategy_fingerprint(planted("own", "below(x, LEVEL)", "below(x, LEVEL - 7)")) != stale


def test_a_research_indicator_is_its_code_and_parameters_not_its_label():
    def made(scale, label="one"):
        return ResearchIndicator(label, ("mine",), lambda bars: [bars.close * scale])

    assert made(1) == made(1, "other label") != made(2)
    assert hash(made(1)) == hash(made(1, "other label"))
    other = ResearchIndicator("one", ("mine",), lambda bars: [bars.close + 1])
    assert other not in (made(1), made(2))


def test_talib_parameters_count():
    pytest.importorskip("talib")
    assert wrap_talib("KAMA", timeperiod=10) == wrap_talib("KAMA", timeperiod=10) != wrap_talib("KAMA", timeperiod=20)


def test_a_sweep_over_a_research_indicator_of_one_label_equals_single_runs():
    class Own(BaseStrategy):
        length: int = 20

        def indicators(self):
            return {"5min": ResearchIndicator("lag", ("lag",), lambda bars: [_lagged(bars.close, self.length)])}

        def entry(self, x):
            return x.close > x.lag

        def exit(self, x):
            return x.close < x.lag

    from futures_algo.research.backtest import backtest

    bars = generate_minutes("ES.c.0", sessions=2)
    table = sweep(Own, bars, {"length": [5, 20, 60]}).table
    single = [backtest(Own(length=n), bars).stats["trades"] for n in (5, 20, 60)]
    assert table["trades"].tolist() == single and len(set(single)) == 3


def _lagged(close: np.ndarray, bars: int) -> np.ndarray:
    return np.concatenate((np.full(bars, np.nan), close[:-bars]))


def test_values_of_many_kinds_are_told_apart():
    import functools
    import re

    things = [1, 1.0, True, "1", b"1", (1,), [1], {1}, {1: 2}, {1: 3}, np.arange(3), np.arange(3.0), np.float64(1)]
    things += [
        re.compile("a"),
        re.compile("b"),
        functools.partial(max, 1),
        functools.partial(max, 2),
        np.less,
        np.greater,
    ]
    found = [fingerprint(one) for one in things]
    assert len(set(found)) == len(found) and all(one.startswith(PREFIX) for one in found)
    assert fingerprint({"a", "b", "c"}) == fingerprint({"c", "b", "a"})
    around: list = [1]
    around.append(around)
    assert fingerprint(around) == fingerprint(around)


def test_a_scenario_of_an_older_fingerprint_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match="80cba3e4f7f63b09.*must be a fingerprint of this version.*optimize again"):
        check_code("rsi_es", "futures_algo.strategies.RSIStrategy", "80cba3e4f7f63b09")


def test_shipped_strategies_have_one_fingerprint_whatever_order_they_are_asked_in():
    path = "futures_algo.strategies.RSIStrategy"
    assert code_hash(path) == code_hash(path)
    assert not code_files(path, import_class(path))
