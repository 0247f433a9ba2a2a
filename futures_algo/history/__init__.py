"""Recorded market data: read files of any shape, check, import, keep, fetch, roll."""

from futures_algo._facade import facade

__all__, __getattr__, __dir__ = facade(
    __name__,
    {
        "checks": ("Fault", "Gap", "Report", "find_gaps"),
        "fetch": ("Fetched", "Quote", "export_range", "fetch", "historical_client", "quote"),
        "importing": (
            "FileReport",
            "Imported",
            "import_file",
            "name_contracts",
            "read_bars",
            "read_file",
            "validate_file",
            "write_parquet",
        ),
        "formats": ("FORMATS", "Reading"),
        "preview": ("Preview", "preview"),
        "dbn_files": ("read_dbn", "write_dbn"),
        "plausible": ("IMPOSSIBLE", "Judge"),
        "taking": ("validate_bars",),
        "vendor_rolls": ("find_steps", "with_rolls"),
        "rolls": ("Roll", "continuous", "load_rolls", "roll_table", "save_rolls"),
        "definitions": ("learn", "learn_file"),
        "sources": ("read_source", "reading_of"),
        "store": ("BarStore",),
        "csv_parquet": ("bars_from_frame", "read_csv", "read_parquet"),
        "trades": ("DataAdapter", "Trades", "bars_from_trades", "read_trades", "trades_of"),
    },
)
