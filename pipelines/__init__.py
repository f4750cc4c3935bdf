"""Wiring: which steps stand behind which, for a live run and for a backtest."""
