"""Five fixed sessions of one-minute bars, made with nothing but Python's own random numbers.

The golden rows hang on these bars alone: not on the generator of the demo, not on a calendar, not on a file.
"""

import random

import numpy as np

from futures_algo import Bars

MINUTE = 60_000_000_000
FIRST_OPEN = 1_749_419_200_000_000_000 // (86_400 * 10**9) * 86_400 * 10**9 + 22 * 60 * MINUTE  # 2025-06-08T22:00Z
SESSION_MINUTES = 23 * 60
TICK = {"ES.c.0": 0.25, "NQ.c.0": 0.25}
ROLL_SESSION = 3  # from this session on the next contract


def golden_bars(symbol: str, seed: int) -> Bars:
    "Sunday evening to Friday, two of three minutes of the night traded, a roll before the fourth session."
    chance = random.Random(f"{symbol}|{seed}")
    contracts = (f"{symbol[:2]}M5", f"{symbol[:2]}U5")
    rows, price = [], 24000
    for session in range(5):
        opened = FIRST_OPEN + session * 24 * 60 * MINUTE
        price += 120 if session == ROLL_SESSION else 0
        drift = 0.0
        for minute in range(SESSION_MINUTES):
            if minute < 900 and chance.random() < 0.33:
                continue
            drift = 0.97 * drift + chance.gauss(0, 0.6)
            steps = [price + round(drift + chance.gauss(0, 3)) for _ in range(4)]
            first, last = price, steps[-1]
            high, low = max([first, *steps]), min([first, *steps])
            start = opened + minute * MINUTE
            rows.append((start, first, high, low, last, 1 + chance.randrange(900), session >= ROLL_SESSION))
            price = last
    columns = list(zip(*rows, strict=True))
    start = np.array(columns[0], np.int64)
    prices = [np.array(column, np.float64) * TICK[symbol] for column in columns[1:5]]
    volume, contract = np.array(columns[5], np.int64), np.array(columns[6], np.int32)
    return Bars(symbol, "1min", start, start + MINUTE, *prices, volume, contract, contracts)
