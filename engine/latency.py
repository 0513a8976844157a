"""Measured order latencies, for `latency.model=recorded`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.config import ConfigError, LatencyConfig

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Samples", "from_feed", "read_samples", "samples_of", "samples_sha256"]

Samples = list[tuple[int, int, int]]

COLUMNS = ("req_ns", "exch_ns", "resp_ns")
# The same under the names of hftbacktest's latency arrays.
_PEER_COLUMNS = ("req_ts", "exch_ts", "resp_ts")


def samples_of(config: LatencyConfig) -> Samples:
    """The samples that a configuration names; none but for `model=recorded`.

    Raises ConfigError where they are needed and cannot be read.
    """
    if config.model != "recorded":
        return []
    if config.file is None:
        raise ConfigError("latency.file: expected a file with latency.model=recorded, found none")
    return read_samples(config.file)


def read_samples(path: str | Path) -> Samples:
    """Rows of (request sent, handled by the exchange, answer received), in ns since the epoch, of
    a Parquet, npz or npy file with the columns req_ns, exch_ns and resp_ns (or hftbacktest's
    req_ts, exch_ts, resp_ts). Times at the exchange are on the venue's clock, 0 or less where it
    refused the request unread. Raises ConfigError.
    """
    try:
        table = _read(Path(path))
        names = COLUMNS if COLUMNS[0] in table else _PEER_COLUMNS
        columns = [np.asarray(table[name]) for name in names]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"latency.file: expected {', '.join(COLUMNS)} in a Parquet or npz file,"
            f" found {path}: {error}"
        ) from error
    for name, column in zip(names, columns, strict=True):
        if column.dtype.kind not in "iu" or column.ndim != 1:
            raise ConfigError(
                f"latency.file: {path}: {name}: expected whole ns, found {column.dtype}"
            )
    return [tuple(row) for row in np.stack(columns, axis=1).astype(np.int64).tolist()]


def samples_sha256(samples: Samples) -> str | None:
    """The SHA-256 (hex) of samples, None for none: the file's name says nothing about them."""
    if not samples:
        return None
    return hashlib.sha256(np.array(samples, "<i8").tobytes()).hexdigest()


def from_feed(
    depth: npt.NDArray[np.void],
    *,
    every_ns: int = 1_000_000_000,
    order_entry_factor: float = 1.0,
    response_factor: float = 1.0,
) -> npt.NDArray[np.void]:
    """Order latencies made up from those of market data, one for each `every_ns` of our clock: a
    request takes `order_entry_factor` times as long as the last message of that time took to us,
    its answer `response_factor` times. Rows are of `EVENT_DTYPE` in order of receipt; the result
    has the columns of [`read_samples`]. Raises ValueError for rows without a venue time.
    """
    if not len(depth) or depth["ts_event_ns"].min() < 0:
        raise ValueError("depth: expected rows with a venue time")
    ticks = depth["ts_recv_ns"] // every_ns
    last = np.flatnonzero(np.append(ticks[1:] != ticks[:-1], True))
    recv = depth["ts_recv_ns"][last]
    feed_ns = np.maximum(recv - depth["ts_event_ns"][last], 0)
    samples = np.zeros(len(last), [(name, np.int64) for name in COLUMNS])
    samples["req_ns"] = recv
    samples["exch_ns"] = recv + (feed_ns * order_entry_factor).astype(np.int64)
    samples["resp_ns"] = samples["exch_ns"] + (feed_ns * response_factor).astype(np.int64)
    # A request sent later must not be handled earlier.
    return samples[samples["exch_ns"] >= np.maximum.accumulate(samples["exch_ns"])]


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        return {name: table.column(name).to_numpy() for name in table.column_names}
    loaded = np.load(path, allow_pickle=False)
    array = loaded if isinstance(loaded, np.ndarray) else loaded[loaded.files[0]]
    if array.dtype.names is None:
        raise ValueError("no named columns")
    return {name: array[name] for name in array.dtype.names}
