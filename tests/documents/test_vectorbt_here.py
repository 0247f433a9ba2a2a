"vectorbtpro cannot be had everywhere: doctor says what the adapter does with the vectorbt that is installed."

from dataclasses import replace
from pathlib import Path

import numpy as np

from futures_algo.core.paths import PROJECT
from futures_algo.live import vectorbt_check
from futures_algo.live.doctor import CHECKS, Patient, vectorbt
from futures_algo.research import Costs, backtest
from futures_algo.sim.market import generate_minutes
from futures_algo.strategies import MACDCCIStrategy


def test_doctor_compares_the_adapter_with_the_model():
    (check,) = vectorbt(Patient(Path("config/live_trading_config.json")))
    assert check.status == "ok" and "gives the model's" in check.detail and vectorbt_check.installed() in check.detail
    assert vectorbt in CHECKS


def test_a_difference_is_named():
    trades = backtest(MACDCCIStrategy(), generate_minutes("ES.c.0", sessions=2), Costs()).trades
    other = replace(trades, exit_price=trades.exit_price + (np.arange(len(trades)) == 2) * 0.25)
    assert vectorbt_check.difference(trades, trades) == ""
    assert vectorbt_check.difference(trades, other).startswith("trade 2: exit_price is ")


def test_without_either_package_the_model_is_enough(monkeypatch):
    monkeypatch.setattr(vectorbt_check, "find_spec", lambda name: None)
    (check,) = vectorbt(Patient(Path("config/live_trading_config.json")))
    assert check.status == "ok" and "needs neither" in check.detail


def test_the_readme_says_what_was_tried_and_what_was_not():
    text = (PROJECT / "README.md").read_text()
    assert "vectorbtpro" in text and "doctor" in text and "been tried with it" in text
