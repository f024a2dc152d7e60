"""The chunks of a sound file: the named parts that WAV, RF64, BW64, W64 and AIFF files and FLAC headers consist of.

Sizes are as the file states them. They may be wrong; `whalefinder.sound.layout` finds out.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_CHUNKS = 10_000
"""More chunks than any recorder writes. So a file of nothing but empty chunks is not walked for hours."""
W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
W64_WAVE = b"wave\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
RIFF = (b"RIFF", b"RIFX", b"RF64", b"BW64")
FLAC_BLOCKS = (b"STRE", b"PADD", b"APPL", b"SEEK", b"VORB", b"CUES", b"PICT")
USUAL = (b"fmt ", b"data", b"LIST", b"bext", b"JUNK", b"fact", b"harp", b"guan", b"COMM", b"SSND")
UNKNOWN_32 = 0xFFFFFFFF
"""In RF64 and BW64 the size of a chunk whose size stands in the chunk ds64."""


@dataclass(frozen=True)
class Chunk:
    """A part of a file. Its body begins at byte `begin`; `size` is what the file states, in bytes."""

    id: bytes
    begin: int
    size: int

    def read(self, file: BinaryIO, limit: int) -> bytes:
        """The first bytes of the body: up to its stated size, `limit` and the end of the file."""
        file.seek(self.begin)
        return file.read(max(0, min(self.size, limit)))


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of a WAV, RF64, BW64, W64 or AIFF file, or the metadata blocks of a FLAC file, in their order.

    Other files have none. The walk ends where a size leads out of the file or to something that is no chunk.

    Args:
        file: opened for reading; its position is changed.
    """
    file.seek(0)
    head = file.read(40)
    if head[:4] in RIFF and head[8:12] == b"WAVE":
        yield from walk(file, 12, ">" if head[:4] == b"RIFX" else "<")
    elif head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        yield from walk(file, 12, ">")
    elif head[:16] == W64_RIFF and head[24:40] == W64_WAVE:
        yield from walk_w64(file, 40)
    elif head[:4] == b"fLaC" or head[:3] == b"ID3":
        yield from _walk_flac(file)


def walk(file: BinaryIO, at: int, order: str = "<") -> Iterator[Chunk]:
    """The chunks of a RIFF or AIFF file from byte `at` on, while they have names of four printable letters."""
    sizes: dict[bytes, int] = {}
    length = _length(file)
    for _ in range(MAX_CHUNKS):
        if at + 8 > length:
            return
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or not all(32 <= letter < 127 for letter in head[:4]):
            return
        chunk = Chunk(head[:4], at + 8, struct.unpack(order + "I", head[4:])[0])
        if chunk.size == UNKNOWN_32 and chunk.id in sizes:
            chunk = Chunk(chunk.id, chunk.begin, sizes[chunk.id])
        yield chunk
        if chunk.id == b"ds64":
            sizes = _long_sizes(chunk.read(file, 28 + 12 * 64))
        at = chunk.begin + chunk.size
        if chunk.size % 2 and at < length and not _follows_at_once(file, at):
            at += 1


def _follows_at_once(file: BinaryIO, at: int) -> bool:
    """Whether a chunk begins at the odd byte `at`, without the byte that should fill up the one before it."""
    file.seek(at)
    there = file.read(5)
    return there[:4] in USUAL and there[1:] not in USUAL


def _long_sizes(body: bytes) -> dict[bytes, int]:
    # EBU Tech 3306: sizes of RIFF, data and the number of samples (64 bits each), then a table of further chunks.
    if len(body) < 24:
        return {}
    sizes = {b"data": struct.unpack("<Q", body[8:16])[0]}
    for at in range(28, len(body) - 11, 12):
        sizes[body[at : at + 4]] = struct.unpack("<Q", body[at + 4 : at + 12])[0]
    return sizes


def walk_w64(file: BinaryIO, at: int) -> Iterator[Chunk]:
    """Sony's Wave64: names of 16 bytes whose first four are those of WAV, and sizes that count their own 24 bytes."""
    length = _length(file)
    for _ in range(MAX_CHUNKS):
        if at + 24 > length:
            return
        file.seek(at)
        head = file.read(24)
        if len(head) < 24 or not all(32 <= letter < 127 for letter in head[:4]):
            return
        (size,) = struct.unpack("<Q", head[16:])
        yield Chunk(head[:4], at + 24, max(0, size - 24))
        at += max(24, (size + 7) // 8 * 8)


def _walk_flac(file: BinaryIO) -> Iterator[Chunk]:
    """The metadata blocks of FLAC, also behind an ID3 tag. A second header directly behind the first is walked too."""
    at = 0
    file.seek(0)
    head = file.read(10)
    if head[:3] == b"ID3" and len(head) == 10:
        at = 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        at += 10 if head[5] & 0x10 else 0  # a footer
    last = True
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        head = file.read(4)
        if last:
            if head != b"fLaC":
                return
            at, last = at + 4, False
            continue
        if len(head) < 4 or head[0] & 127 == 127:
            return
        kind, size, last = head[0] & 127, int.from_bytes(head[1:], "big"), bool(head[0] & 128)
        yield Chunk(FLAC_BLOCKS[kind] if kind < len(FLAC_BLOCKS) else b"????", at + 4, size)
        at += 4 + size


def _length(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
