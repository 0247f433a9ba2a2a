"""The journal's tables. All times are ns UTC; prices are points, money is US dollars, quantities are contracts."""

SCHEMA_VERSION = 2

TABLES: dict[str, str] = {
    "meta": "key TEXT PRIMARY KEY, value TEXT NOT NULL",
    "runs": """
        run_id TEXT PRIMARY KEY, started INTEGER NOT NULL, ended INTEGER, pid INTEGER, mode TEXT,
        account TEXT, config_hash TEXT, version TEXT
    """,
    "bars": """
        seq INTEGER PRIMARY KEY, symbol TEXT NOT NULL, timeframe TEXT NOT NULL, start INTEGER NOT NULL,
        "end" INTEGER NOT NULL, open REAL, high REAL, low REAL, close REAL, volume INTEGER,
        contract TEXT, partial INTEGER, received INTEGER
    """,
    "signals": """
        id TEXT PRIMARY KEY, at INTEGER NOT NULL, strategy TEXT, symbol TEXT, contract TEXT,
        action TEXT, leg INTEGER, bar_end INTEGER, timeframe TEXT, price REAL, quantity INTEGER,
        reason TEXT, config_hash TEXT, verdict TEXT NOT NULL, denial TEXT, detail TEXT
    """,
    "evaluations": """
        strategy TEXT, symbol TEXT, bar_end INTEGER, ready INTEGER, position TEXT, vals TEXT,
        PRIMARY KEY (strategy, symbol)
    """,
    "intents": """
        order_id TEXT PRIMARY KEY, signal_id TEXT, at INTEGER NOT NULL, account TEXT, instrument TEXT,
        strategy TEXT, action TEXT, quantity INTEGER, order_type TEXT, limit_price REAL,
        stop_price REAL, oco_id TEXT, purpose TEXT, state TEXT NOT NULL, updated INTEGER,
        reference_price REAL, arrival_price REAL, broker_id TEXT, bracket TEXT
    """,
    "requests": """
        seq INTEGER PRIMARY KEY, order_id TEXT, at INTEGER NOT NULL, method TEXT, path TEXT, body TEXT,
        status INTEGER, answer TEXT, latency_ns INTEGER, outcome TEXT
    """,
    "order_events": """
        seq INTEGER PRIMARY KEY, order_id TEXT NOT NULL, at INTEGER NOT NULL, state TEXT,
        filled INTEGER, average_price REAL, source TEXT, detail TEXT
    """,
    "fills": """
        execution_id TEXT PRIMARY KEY, order_id TEXT, signal_id TEXT, strategy TEXT, account TEXT,
        instrument TEXT, side TEXT, quantity INTEGER, price REAL, commission REAL, at INTEGER NOT NULL,
        reference_price REAL, slippage REAL, arrival_price REAL
    """,
    "positions": """
        seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, source TEXT, account TEXT, instrument TEXT,
        strategy TEXT, quantity INTEGER, average_price REAL, mark REAL
    """,
    "configs": "hash TEXT PRIMARY KEY, at INTEGER NOT NULL, content TEXT",
    "commands": """
        id TEXT PRIMARY KEY, at INTEGER NOT NULL, who TEXT, verb TEXT, args TEXT, state TEXT NOT NULL,
        answer TEXT, acked_at INTEGER
    """,
    "events": """
        seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, level TEXT, kind TEXT, subject TEXT, message TEXT,
        data TEXT
    """,
    "status": "key TEXT PRIMARY KEY, at INTEGER NOT NULL, value TEXT",
    "snapshots": "key TEXT PRIMARY KEY, at INTEGER NOT NULL, content TEXT NOT NULL",
}
INDEXES = (
    'CREATE INDEX IF NOT EXISTS bars_by_series ON bars (symbol, timeframe, "end")',
    "CREATE INDEX IF NOT EXISTS orders_by_id ON order_events (order_id)",
    "CREATE INDEX IF NOT EXISTS intents_by_state ON intents (state)",
    "CREATE INDEX IF NOT EXISTS intents_by_signal ON intents (signal_id)",
    "CREATE INDEX IF NOT EXISTS fills_by_order ON fills (order_id)",
    "CREATE INDEX IF NOT EXISTS commands_by_state ON commands (state)",
    "CREATE INDEX IF NOT EXISTS fills_by_time ON fills (at)",
)
# Rows an order depends on reach the disk before anything is sent; the rest is committed in groups and may lose its last
# moment in a power cut.
# A signal that was sent is committed together with its intent; one that was denied may join a group.
DURABLE = frozenset({"runs", "intents", "requests", "order_events", "fills", "configs", "commands"})
