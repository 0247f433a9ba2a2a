"Fixtures of the broker tests: a desk on recorded bars, and a line to a broker at a constant price."

from broker_desk import desk  # noqa: F401
from broker_line import broker, client  # noqa: F401
