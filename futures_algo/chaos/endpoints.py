"The endpoints of the reference: names, methods, paths."

import difflib
import re

from futures_algo.chaos.records import Request
from futures_algo.chaos.shapes import Row

BASE = "/v1/api"
_A = r"/accounts/(?P<account>[^/]+)"
_O = _A + r"/orders/(?P<order>[^/]+)"
TABLE = [
    (name, method, re.compile(f"^{pattern}$"))
    for name, method, pattern in (
        ("ListAccounts", "GET", "/accounts"),
        ("GetAccountSummary", "GET", "/accounts/snapshot"),
        ("GetAccount", "GET", _A),
        ("GetWatermarks", "GET", _A + "/watermarks"),
        ("ListPositions", "GET", _A + "/positions"),
        ("GetPosition", "GET", _A + "/position"),
        ("GetAllPositions", "GET", "/positions"),
        ("ClosePosition", "POST", _A + "/positions/close"),
        ("Flatten", "POST", _A + "/positions/flatten"),
        ("FlattenEverything", "POST", "/positions/flatten"),
        ("Reverse", "POST", _A + "/positions/reverse"),
        ("ReversePosition", "POST", _A + "/positions/reverseposition"),
        ("ListOrders", "GET", _A + "/orders"),
        ("GetAllOrders", "GET", "/orders"),
        ("PlaceOrder", "POST", _A + "/orders/place"),
        ("FlatPlace", "POST", _A + "/orders/flatplace"),
        ("CancelOrders", "POST", _A + "/orders/cancel"),
        ("CancelAndBracket", "POST", _A + "/orders/cancel_and_bracket"),
        ("CancelAllOrders", "POST", "/orders/cancelall"),
        ("GetOrder", "GET", _O),
        ("GetOrderStatus", "GET", _O + "/status"),
        ("GetOrderLifecycle", "GET", _O + "/lifecycle"),
        ("CancelReplace", "POST", _O + "/replace"),
        ("Change", "PUT", _O + "/change"),
        ("Cancel", "POST", _O + "/cancel"),
        ("ListExecutions", "GET", _A + "/executions"),
        ("GetExecution", "GET", _A + r"/executions/(?P<execution>[^/]+)"),
        ("GetQuote", "GET", "/market/quote"),
        ("AccountQuote", "GET", _A + "/quote"),
        ("MarketInfo", "GET", "/market/info"),
        ("GetAtmTemplates", "GET", "/atm-templates"),
        ("Endpoints", "GET", "/_endpoints"),
    )
]
SERVER_SIDE = frozenset({"GetWatermarks", "Endpoints"})  # answered with the add-on off


def resolve(request: Request) -> None:
    "Names the endpoint of the request and what its path holds; leaves both empty for an unknown one."
    if not request.path.startswith(BASE + "/"):
        return
    for name, method, pattern in TABLE:
        if method == request.method and (found := pattern.match(request.path[len(BASE) :])):
            request.rpc, request.parts = name, found.groupdict()
            return


def unknown(request: Request) -> Row:
    "Body of the structured 404."
    paths = [re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern.pattern.strip("^$")) for _, _, pattern in TABLE]
    near = difflib.get_close_matches(request.path.removeprefix(BASE), paths, 1, 0.0)
    return {"success": False, "error": "not_found", "did_you_mean": [BASE + path for path in near]}
