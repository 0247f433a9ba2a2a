"""The files of the fast tier: rules, arithmetic and parsing, without servers, processes or browsers.

All of them together take under a minute on two cores, `python -m pytest -m fast -n 2`, caches of compiled code not yet
written. A file that grows beyond some seconds leaves the list; `--durations 20` says which.
"""

FAST = frozenset(
    f"unit/test_{name}.py"
    for name in (
        "aggregator config crosstrade dbn engine_hard_cases execution expiry gate indicator_references intake journal"
        " market monitor_parts orders package paper_books performance promised_names rate_limiter remarks"
        " rooms signals strategies strategy_loader tape validation watch watchdog"
    ).split()
)
