"Talking to a chaos broker with httpx alone: what its tests share."

import httpx

from futures_algo.chaos import ChaosBroker

ES = "ES 03-26"
A = "/accounts/Sim101"


def client(broker: ChaosBroker, **more) -> httpx.Client:
    return httpx.Client(base_url=broker.url, headers={"Authorization": f"Bearer {broker.token}"}, timeout=10, **more)


def order(kind: str = "MARKET", action: str = "BUY", quantity: int = 1, **more) -> dict:
    return {"instrument": ES, "action": action, "quantity": quantity, "orderType": kind, "timeInForce": "GTC", **more}


def place(wire: httpx.Client, **body) -> str:
    answer = wire.post(f"{A}/orders/place", json=order(**body))
    assert answer.status_code == 200 and answer.json()["success"] is True, answer.text
    return answer.json()["orderId"]


def state(wire: httpx.Client, ref: str) -> str:
    return wire.get(f"{A}/orders/{ref}/status").json()["status"]


def post(wire: httpx.Client, **body) -> httpx.Response:
    return wire.post(f"{A}/orders/place", json=order(**body))


def rows(wire: httpx.Client, what: str) -> list:
    return wire.get(f"{A}/{what}").json()[what]
