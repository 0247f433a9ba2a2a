"`futures-algo status` fits a terminal of 80 columns and reads like sentences."

from futures_algo.commands.show import status_rows, table

DOCUMENTS = {
    "engine": {"state": "ready", "mode": "dry_run", "account": "Sim101", "beat": 1_763_593_200 * 10**9},
    "day": {"day": "", "now_usd": 0.0},
    "market": {symbol: {"open": True, "next": 1_763_593_200 * 10**9} for symbol in ("ES.c.0", "NQ.c.0", "CL.c.0")},
    "strategy:bullish_cci_es:ES.c.0": {"position": 1, "enabled": False, "ready": True},
}


def test_no_line_is_wrapped_and_no_key_is_raw(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    table("Status", status_rows(DOCUMENTS), words=True)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and "strategy:" not in "".join(lines)
    assert [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")] == [
        "engine",
        "day",
        "market",
        "bullish_cci_es",
    ]
    assert any("no session yet: $0.00" in line for line in lines)
    assert sum(".c.0 open until" in line for line in lines) == 3
