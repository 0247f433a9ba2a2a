"One arithmetic of a position: signed quantity, average price, and what a fill realises. Every ledger uses it."

from typing import NamedTuple


class Netted(NamedTuple):
    "A position after a fill."

    quantity: int  # signed contracts
    average: float  # points; 0.0 when flat
    realized: float  # points times contracts, before commission


def net(
    quantity: int,  # signed contracts held before
    average: float,  # points
    filled: int,  # signed contracts of the fill
    price: float,  # points
) -> Netted:
    """The position after a fill; adding averages the price, reducing realises, turning round begins anew.

    >>> net(2, 100.0, -3, 101.0)
    Netted(quantity=-1, average=101.0, realized=2.0)
    """
    left = quantity + filled
    if quantity * filled >= 0:
        worth = average * abs(quantity) + price * abs(filled)
        return Netted(left, worth / abs(left) if left else 0.0, 0.0)
    closed = min(abs(filled), abs(quantity)) * (1 if quantity > 0 else -1)
    realized = closed * (price - average)
    if left == 0:
        return Netted(0, 0.0, realized)
    return Netted(left, price if left * quantity < 0 else average, realized)
