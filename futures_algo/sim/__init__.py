"""Loopback stand-ins for the real edges: a Databento gateway and historical server, a NinjaTrader paper broker, a
market generator."""
