"""Signal ids, fills and config hashes of the shipped strategies over five fixed sessions.

A change of any of them moves what a live session does: it needs an entry in CHANGELOG's Behaviour section with the
digest before and after. `python tests/golden/test_golden.py` writes the file anew and prints both digests.
"""

import hashlib
import json
from pathlib import Path

import pytest
from golden_market import golden_bars

import futures_algo
from futures_algo import Costs, backtest, evaluate

FILE = Path(__file__).with_name("golden.json")
NAMES = ("MACDCCIStrategy", "OpeningRangeBreakout", "RSIStrategy", "SimpleBullishCCIStrategy", "VWAPReversion")
VARIANTS = {
    "default": {name: {} for name in NAMES},
    "exits": {
        "MACDCCIStrategy": {"stop_ticks": 30.0, "target_ticks": 45.0},
        "OpeningRangeBreakout": {"minutes": 60, "trail_ticks": 40.0},
        "RSIStrategy": {"length": 9, "stop_ticks": 24.0, "bars_held": 12},
        "SimpleBullishCCIStrategy": {"timeframe": "10min", "target_ticks": 18.0},
        "VWAPReversion": {"trail_atr": 2.5, "width": 1.5},
    },
}
VARIANTS["orders"] = VARIANTS["exits"]  # the same exits resting at the broker
VARIANTS["default"]["VWAPReversion"] = {"resting": False}  # it declares a stop of its own
VARIANTS["exits"] = {name: given | {"resting": False} for name, given in VARIANTS["exits"].items()}
CASES = [(name, variant, symbol) for name in NAMES for variant in VARIANTS for symbol in ("ES.c.0", "NQ.c.0")]


def golden(name: str, variant: str, symbol: str) -> dict:
    "Config hash, signals and fills of one strategy on one symbol."
    strategy = getattr(futures_algo, name)(**VARIANTS[variant][name])
    bars = golden_bars(symbol, seed=1)
    signals = evaluate(strategy, name.lower(), bars)
    trades = backtest(strategy, bars, Costs(commission_usd=2.25, slippage_ticks=1)).trades
    columns = ("entry_time", "exit_time", "side", "entry_price", "exit_price", "reason")
    fills = zip(*(getattr(trades, column).tolist() for column in columns), strict=True)
    return {
        "config_hash": strategy.config_hash(),
        "signals": [[signal.id, signal.bar_end, signal.action, signal.price, signal.reason] for signal in signals],
        "fills": [list(row) for row in fills],
    }


def digest(rows: dict) -> str:
    "Sixteen hexadecimal digits of all rows: the golden hash that CHANGELOG names."
    return hashlib.blake2b(json.dumps(rows, sort_keys=True).encode(), digest_size=8).hexdigest()


def read() -> dict:
    return json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "variant", "symbol"), CASES)
def test_what_shipped_strategies_do_stays(name, variant, symbol):
    kept, now = read()["rows"][f"{name} {variant} {symbol}"], golden(name, variant, symbol)
    assert now["config_hash"] == kept["config_hash"]
    for kind in ("signals", "fills"):
        pairs = enumerate(zip(kept[kind], now[kind], strict=False))
        first = next(((row, old, new) for row, (old, new) in pairs if old != new), None)
        assert first is None, f"{kind} differ first in row {first[0]}: {first[1]} was kept, {first[2]} came"
        assert len(now[kind]) == len(kept[kind]), f"{len(kept[kind])} {kind} were kept, {len(now[kind])} came"


def test_the_golden_hash_is_that_of_the_rows():
    kept = read()
    assert kept["hash"] == digest(kept["rows"])
    assert all(len(rows["signals"]) > 5 and len(rows["fills"]) > 2 for rows in kept["rows"].values())


def write() -> None:
    "Keep what comes out now."
    before = read()["hash"] if FILE.exists() else "none"
    rows = {f"{name} {variant} {symbol}": golden(name, variant, symbol) for name, variant, symbol in CASES}
    lines = (f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in rows.items())
    text = "\n".join(["{", f'  "hash": "{digest(rows)}",', '  "rows": {', ",\n".join(lines), "  }", "}", ""])
    FILE.write_text(text, encoding="utf-8")
    print(f"golden hash {before} -> {digest(rows)}")


if __name__ == "__main__":
    write()
