"""A second reader of journals, from `docs/journal.md` alone and without any of Cobalt."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pathlib import Path

HEADER = struct.Struct("<8sHHIQQ32s")
FRAME = struct.Struct("<IIQqQB")
SEAL = 0


@dataclass(frozen=True)
class Raw:
    """A record, and where in the content of its segment it ends."""

    seq: int
    ts_ns: int
    step: int
    kind: int
    payload: bytes
    end: int


def content(path: Path) -> bytes:
    """A segment's bytes, decompressed."""
    if path.suffix == ".zst":
        return pa.CompressedInputStream(pa.memory_map(str(path)), "zstd").read()
    return path.read_bytes()


def read(folder: Path) -> list[Raw]:
    """All records; asserts every rule of the format on the way."""
    records: list[Raw] = []
    previous = bytes(32)
    next_seq = 1
    for number, path in enumerate(sorted(folder.iterdir()), start=1):
        data = content(path)
        magic, version, reserved, checksum, said, first, before = HEADER.unpack_from(data)
        assert (magic, version, reserved, said, first) == (b"CBLTJRNL", 1, 0, number, next_seq)
        assert checksum == zlib.crc32(data[:12] + data[16:64])
        assert before == previous
        at, sealed = HEADER.size, False
        while at < len(data):
            assert not sealed
            length, checksum, seq, ts_ns, step, kind = FRAME.unpack_from(data, at)
            end = at + 8 + length
            assert checksum == zlib.crc32(data[at : at + 4] + data[at + 8 : end])
            assert seq == next_seq
            payload = data[at + FRAME.size : end]
            if kind == SEAL:
                assert payload == hashlib.sha256(data[:at]).digest()
                sealed = True
            else:
                records.append(Raw(seq, ts_ns, step, kind, payload, end))
                next_seq += 1
            at = end
        assert sealed == (path.suffix == ".zst")
        previous = hashlib.sha256(data).digest()
    return records


def result_sha256(records: list[Raw]) -> str:
    """The hash of a run's result."""
    found = hashlib.sha256()
    for record in records:
        if record.kind < 128:
            found.update(struct.pack("<BqI", record.kind, record.ts_ns, len(record.payload)))
            found.update(record.payload)
    return found.hexdigest()
