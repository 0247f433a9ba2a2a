"""Finished parts of a sweep on disk, so that a killed one goes on where it was; a part is there whole or not at all."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from futures_algo import __version__
from futures_algo.core.types import Bars
from futures_algo.research.sweep_kernel import METRICS


def bars_hash(bars: Bars) -> str:
    "Sixteen hexadecimal digits of what the bars hold."
    digest = hashlib.blake2b(f"{bars.symbol}|{bars.timeframe}|{bars.contracts}".encode(), digest_size=8)
    for name in ("start", "end", "open", "high", "low", "close", "volume", "contract", "partial"):
        digest.update(np.ascontiguousarray(getattr(bars, name)).data)
    return digest.hexdigest()


class PartStore:
    "One sweep's folder: what it is in `sweep.json`, the figures of rows a to b in `part_a_b.npy`."

    def __init__(
        self,
        folder: "Path | str",  # of any number of sweeps
        content: Mapping[str, Any],  # all that decides the result: JSON-like
    ):
        text = json.dumps({**content, "version": __version__, "metrics": METRICS}, sort_keys=True, default=str)
        self.key = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        self.folder = Path(folder) / self.key
        self.folder.mkdir(parents=True, exist_ok=True)
        self._put("sweep.json", text.encode())

    def load(self, first: int, stop: int) -> np.ndarray | None:
        "The figures of these rows, float64[stop - first, len(METRICS)], or None where they are not there or damaged."
        try:
            found = np.load(self._path(first, stop), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found if found.shape == (stop - first, len(METRICS)) and found.dtype == np.float64 else None

    def save(self, first: int, stop: int, figures: np.ndarray) -> None:
        "Keep the figures of these rows."
        import io

        buffer = io.BytesIO()
        np.save(buffer, figures)
        self._put(self._path(first, stop).name, buffer.getvalue())

    def _path(self, first: int, stop: int) -> Path:
        return self.folder / f"part_{first}_{stop}.npy"

    def _put(self, name: str, content: bytes) -> None:
        "Write beside, then rename: a kill in between leaves nothing half-written under the name."
        beside = self.folder / f".{name}.{os.getpid()}"
        beside.write_bytes(content)
        os.replace(beside, self.folder / name)
