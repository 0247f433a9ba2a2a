"""`backtest and sweep`."""
