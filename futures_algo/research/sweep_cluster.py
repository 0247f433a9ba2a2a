"""The parts of a sweep on a dask.distributed cluster; a part whose worker dies runs on another."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from futures_algo.core.sessions import SessionCalendar
from futures_algo.core.types import Bars, FuturesAlgoError, InputError
from futures_algo.research.trades import Costs
from futures_algo.strategies.base import BaseStrategy

TRIES = 5  # of one part, each after a loss of workers or of the bars they held


class Job(NamedTuple):
    "What every worker needs."

    key: str
    bars: Bars
    calendar: SessionCalendar
    kind: type[BaseStrategy]
    costs: Costs
    quantity: Any
    rows: slice | None
    memory: int  # bytes


@lru_cache(maxsize=1)
def _shared(key: str, holder: "_Holder") -> Any:
    from futures_algo.research.sweep_columns import SharedColumns
    from futures_algo.strategies.batch import Market

    return SharedColumns(Market(holder.job.bars, holder.job.calendar), holder.job.rows)


class _Holder:
    "A job, whatever it is, as a key of the cache that is always equal."

    def __init__(self, job: Job):
        self.job = job

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def run_part(job: Job, combinations: Sequence[Mapping[str, Any]]) -> np.ndarray:
    "On a worker: the combinations' figures."
    from futures_algo.research.sweep_columns import run

    shared = _shared(job.key, _Holder(job))
    shared.trim(job.memory)
    return np.array([run(job.kind(**values), shared, job.costs, job.quantity) for values in combinations])


def run_parts(
    address: str,  # tcp://host:port of the scheduler
    job: Job,
    parts: Mapping[tuple[int, int], Sequence[Mapping[str, Any]]],  # combinations by rows
    done: Callable[[tuple[int, int], np.ndarray], None],  # called with each part's figures, in whatever order
) -> None:
    "Run the parts on a cluster; returns when all are done."
    with _client(address) as client, client.as_current():
        _send_code(job.kind)
        left = dict(parts)
        for _ in range(TRIES):
            if not left:
                return
            for part, figures in _round(client, job, left):
                done(part, figures)
                left.pop(part)
    if left:
        raise FuturesAlgoError(
            f"cluster {address} lost its workers {TRIES} times; {len(left)} parts are left, and --store keeps the"
            " others"
        )


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise InputError(
            "cluster", address, "needs dask.distributed, which is not installed", "pip install 'futures-algo[cluster]'"
        ) from None
    try:
        return Client(address, timeout=5, set_as_default=False)
    except (OSError, ValueError):
        raise InputError(
            "cluster",
            address,
            "must be a scheduler that answers",
            "start one with: dask scheduler, then dask worker tcp://...",
        ) from None


def _send_code(kind: type) -> None:
    "A class the workers cannot import, as one in a notebook, goes along with its module's content."
    import sys

    import cloudpickle

    module = kind.__module__
    if module != "__main__" and not module.startswith("futures_algo.") and module in sys.modules:
        cloudpickle.register_pickle_by_value(sys.modules[module])


def _round(
    client: Any, job: Job, left: Mapping[tuple[int, int], Sequence]
) -> Iterable[tuple[tuple[int, int], np.ndarray]]:
    "The parts that come back; a strategy's own error is raised, a loss of workers is not."
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    held = client.scatter(job, broadcast=True, hash=False)
    futures = {
        client.submit(run_part, held, combinations, pure=False, retries=1): part
        for part, combinations in list(left.items())
    }
    for future in as_completed(list(futures)):
        if future.status == "finished":
            yield futures[future], future.result()
        elif future.status == "error" and not isinstance(error := future.exception(), (KilledWorker, OSError)):
            raise error
