"""Xet uploads without a server for them: hf_xet's own `local://` store, read back by the Hub.

The Hub answers the request for a Xet write token with a `casUrl` of `local:///FOLDER`. hf_xet then chunks,
deduplicates and writes xorbs (the chunks) and shards (which chunks make which file) into the folder itself. A commit
names a file by its sha256 only, so the Hub looks that up in the shards and puts the file together.

The scheme and the two formats are hf_xet's own and not documented: tests skip the Xet mode when this stops working.
"""

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

RECORD = 48  # bytes of the header of a shard and of each record in it
END_OF_FILES = b"\xff" * 32
HAS_VERIFICATION = 1 << 31
HAS_SHA256 = 1 << 30
STORED, LZ4, GROUPED_LZ4 = 0, 1, 2


class Segment(NamedTuple):
    """Chunks `first` to `last` (not included) of one xorb."""

    xorb: str
    first: int
    last: int


def xet_hash(raw: bytes) -> str:
    """Write a Xet hash as hf_xet names its files: four little-endian words."""
    return "".join(raw[start : start + 8][::-1].hex() for start in range(0, 32, 8))


def little_endian(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(data[start : start + length], "little")


class XetStore:
    """The files that clients uploaded by Xet into folders below `root`."""

    def __init__(self, root: Path):
        self.root = root.resolve()
        self.reset()

    def reset(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.files: dict[str, list[Segment]] = {}  # by sha256
        self.scanned: set[Path] = set()

    def lease(self) -> str:
        """Make the `casUrl` of one token.

        The process that has a `local://` store open locks it, so each token gets a store of its own. Downloads go over
        plain HTTP for the same reason.
        """
        store = self.root / uuid.uuid4().hex
        store.mkdir(parents=True)
        return f"local://{store}"

    def read(self, sha256: str) -> bytes | None:
        """Put a file together, or return `None` when nobody uploaded it (or not all of it)."""
        if sha256 not in self.files:
            self._scan()
        if sha256 not in self.files:
            return None
        data = b"".join(chunk for segment in self.files[sha256] for chunk in self._chunks(segment))
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def _scan(self) -> None:
        for path in set(self.root.glob("**/shards/*.mdb")) - self.scanned:
            self.files.update(files_of_shard(path.read_bytes()))
            self.scanned.add(path)

    def _chunks(self, segment: Segment) -> Iterator[bytes]:
        xorb = next(self.root.glob(f"**/xorbs/*.{segment.xorb}")).read_bytes()
        start = 0
        for index in range(segment.last):
            packed_size, scheme, size = (
                little_endian(xorb, start + 1, 3),
                xorb[start + 4],
                little_endian(xorb, start + 5, 3),
            )
            start += 8
            if index >= segment.first:
                yield unpack(xorb[start : start + packed_size], scheme, size)
            start += packed_size


def files_of_shard(shard: bytes) -> Iterator[tuple[str, list[Segment]]]:
    """Read the first part of a shard, the files: the sha256 of each and its segments in order."""
    start = RECORD
    while shard[start : start + 32] != END_OF_FILES:
        flags, num_segments = little_endian(shard, start + 32, 4), little_endian(shard, start + 36, 4)
        start += RECORD
        segments = []
        for record in range(start, start + RECORD * num_segments, RECORD):
            first, last = little_endian(shard, record + 40, 4), little_endian(shard, record + 44, 4)
            segments.append(Segment(xet_hash(shard[record : record + 32]), first, last))
        start += RECORD * num_segments * (2 if flags & HAS_VERIFICATION else 1)
        if flags & HAS_SHA256:
            yield xet_hash(shard[start : start + 32]), segments
            start += RECORD


def unpack(data: bytes, scheme: int, size: int) -> bytes:
    if scheme == STORED:
        return data
    import pyarrow

    data = pyarrow.decompress(data, size, codec="lz4", asbytes=True)
    if scheme == LZ4:
        return data
    unpacked, start = bytearray(size), 0  # GROUPED_LZ4: the bytes were sorted by position modulo 4
    for offset in range(4):
        length = (size - offset + 3) // 4
        unpacked[offset::4] = data[start : start + length]
        start += length
    return bytes(unpacked)
